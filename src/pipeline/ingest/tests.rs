//! The loop over inputs in memory: what comes out, in which order, and that every line is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::delivery::Lines;
use super::judge::{Demands, Judge};
use super::replay::Replay;
use super::*;
use crate::codec::csv;
use crate::event::Path;
use crate::sink::memory::MemorySink;
use crate::source::clock::ManualClock;
use crate::source::input::InputFormat;
use crate::source::memory::{MemorySource, Step};
use crate::time::Clock;
use crate::validate::complete::Completion;
use crate::validate::schema::{Schema, Schemas, Versioned};

/// A clock that is moved by waiting for it.
struct StepPacer(AtomicI64);

impl Clock for StepPacer {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

impl Pacer for StepPacer {
    fn sleep_until(&self, time: Timestamp) {
        self.0.fetch_max(time.0, Ordering::Relaxed);
    }
}

/// What a run is to do, and the rest as it is by default.
#[derive(Clone)]
struct Case {
    demands: Demands,
    inputs: Vec<(InputFormat, Vec<Step>)>,
    threads: usize,
    rejects_max: RejectsMax,
    dedup: bool,
    rate_milli: Option<u64>,
    replays: Option<&'static str>,
    /// The schemas at each look; the last ones from then on.
    newest: Vec<Arc<Schemas>>,
}

/// What a run left behind.
struct Done {
    out: String,
    rejects: String,
    verdicts: String,
    summary: Summary,
    micros: i64,
}

fn demands() -> Demands {
    Demands {
        schemas: Arc::default(),
        rejects_unknown_types: false,
        completion: Completion::Off,
        key: Some(Path::of_keys(&["user_id"])),
        dedup: Some(Path::of_keys(&["event_id"])),
        line_bytes_max: 1000,
        csv_schema: csv::Schema::default(),
    }
}

fn case(blocks: &[&str]) -> Case {
    let steps = blocks.iter().map(|block| Step::Block(block.as_bytes().to_vec())).collect();
    Case {
        demands: demands(),
        inputs: vec![(InputFormat::Ndjson, steps)],
        threads: 1,
        rejects_max: RejectsMax::Unlimited,
        dedup: false,
        rate_milli: None,
        replays: None,
        newest: Vec::new(),
    }
}

fn done(case: Case) -> Result<Done, IngestError> {
    let pacer = StepPacer(AtomicI64::new(0));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(5_000_000)));
    let (formats, scripts): (Vec<InputFormat>, Vec<Vec<Step>>) = case.inputs.into_iter().unzip();
    let judge = Judge::new(case.demands, &formats);
    let worker = match case.replays {
        None => Worker::Events(judge),
        Some(filter) => {
            let filter = (!filter.is_empty()).then(|| crate::expr::parse(filter).expect("the filter is right"));
            let names = formats.iter().enumerate().map(|(i, _)| format!("memory-{i}")).collect();
            Worker::Rejects(Box::new(Replay::new(filter.as_ref(), names, judge, 10_000).expect("the filter is right")))
        }
    };
    let (out, rejects, verdicts) = (MemorySink::new(), MemorySink::new(), MemorySink::new());
    let looks = AtomicUsize::new(0);
    let look = || {
        let look = looks.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&case.newest[look.min(case.newest.len() - 1)])
    };
    let edges = Edges {
        source: Box::new(MemorySource::new(scripts, clock)),
        delivery: Box::new(Lines::new(Box::new(out.clone()))),
        rejects: Some(RejectWriter::new(Box::new(rejects.clone()), 1000)),
        verdicts: Some(Box::new(verdicts.clone())),
        dedup: case.dedup.then(|| Dedup::new(crate::time::Duration(600_000_000), 1000)),
        pacer: &pacer,
        schemas: (!case.newest.is_empty()).then_some(&look as &dyn Fn() -> Arc<Schemas>),
        is_stopped: &|| false,
    };
    let settings = Settings {
        threads: case.threads,
        rejects_max: case.rejects_max,
        rate_milli: case.rate_milli,
        lines_passed: Vec::new(),
        before: Summary::default(),
    };
    let summary = run(&settings, worker, edges)?;
    let text = |sink: MemorySink| String::from_utf8(sink.flushed()).expect("all that is written is UTF-8");
    assert_eq!(
        summary.events_in,
        summary.accepted + summary.rejected + summary.duplicates,
        "every line is counted once"
    );
    Ok(Done {
        out: text(out),
        rejects: text(rejects),
        verdicts: text(verdicts),
        summary,
        micros: pacer.0.load(Ordering::Relaxed),
    })
}

fn ran(case: Case) -> Done {
    done(case).expect("the run comes to its end")
}

fn event(id: &str, second: u32) -> String {
    format!(r#"{{"event_id":"{id}","event_type":"t","timestamp":"2026-01-01T00:00:{second:02}Z","user_id":"u"}}"#)
}

#[test]
fn events_come_out_as_they_went_in_and_the_rest_is_told() {
    let (a, b) = (event("a", 0), event("b", 1));
    let blocks = [format!("{a}\n{{\"event_id\":7}}\n\n"), format!("nonsense\n  {b} \r\n")];
    for threads in 1..4 {
        let done = ran(Case { threads, ..case(&[&blocks[0], &blocks[1]]) });
        assert_eq!(done.out, format!("{a}\n{b}\n"));
        let start = a.len() as u64 + 1;
        assert_eq!(
            done.rejects,
            format!(
                concat!(
                    r#"{{"source":"memory-0","line":2,"byte":{},"reason":"field 'event_id' is no text","pointer":"/event_id","attempt":1,"payload":"{{\"event_id\":7}}"}}"#,
                    "\n",
                    r#"{{"source":"memory-0","line":4,"byte":{},"reason":"not a JSON object","attempt":1,"payload":"nonsense"}}"#,
                    "\n"
                ),
                start,
                start + 16
            )
        );
        assert_eq!(
            done.verdicts,
            concat!(
                r#"{"source":"memory-0","line":1,"event_id":"a","verdict":"accepted"}"#,
                "\n",
                r#"{"source":"memory-0","line":2,"verdict":"rejected","reason":"field 'event_id' is no text","pointer":"/event_id"}"#,
                "\n",
                r#"{"source":"memory-0","line":4,"verdict":"rejected","reason":"not a JSON object"}"#,
                "\n",
                r#"{"source":"memory-0","line":5,"event_id":"b","verdict":"accepted"}"#,
                "\n"
            )
        );
        let summary = &done.summary;
        assert_eq!((summary.accepted, summary.rejected, summary.blank), (2, 2, 1));
        assert_eq!(summary.first_reject.as_ref().map(|first| first.line), Some(2));
    }
}

#[test]
fn inputs_come_one_after_the_other() {
    let steps = |ids: &[&str]| ids.iter().map(|id| Step::Block((event(id, 0) + "\n").into_bytes())).collect();
    let first = [Step::Pending, Step::Block((event("b", 0) + "\n").into_bytes())];
    let inputs = vec![
        (InputFormat::Ndjson, [steps(&["a"]), first.to_vec()].concat()),
        (InputFormat::Ndjson, steps(&["c", "d"])),
    ];
    let done = ran(Case { inputs, threads: 2, ..case(&[]) });
    assert_eq!(done.out, ["a", "b", "c", "d"].map(|id| event(id, 0) + "\n").concat());
}

#[test]
fn an_event_that_came_before_is_left_out() {
    let text = [event("a", 0), event("b", 1), event("a", 2)].join("\n");
    let done = ran(Case { dedup: true, ..case(&[&text]) });
    assert_eq!((done.summary.accepted, done.summary.duplicates), (2, 1));
    assert!(
        done.verdicts.ends_with("{\"source\":\"memory-0\",\"line\":3,\"event_id\":\"a\",\"verdict\":\"duplicate\"}\n")
    );
    assert_eq!(ran(case(&[&text])).summary.accepted, 3);
}

#[test]
fn one_reject_too_many_ends_the_run_where_it_stands() {
    let text = format!("{}\nx\n{}\ny\n{}\n", event("a", 0), event("b", 0), event("c", 0));
    let with = |rejects_max| ran(Case { rejects_max, ..case(&[&text, &text]) });
    let done = with(RejectsMax::Count(1));
    assert_eq!((done.summary.accepted, done.summary.rejected, done.summary.too_many_rejects), (2, 2, true));
    assert!(!with(RejectsMax::Count(4)).summary.too_many_rejects);
    let shares = [39.0, 41.0].map(|percent| with(RejectsMax::Percent(percent)).summary.too_many_rejects);
    assert_eq!(shares, [true, false]);
}

#[test]
fn schemas_judge_events_of_their_types() {
    let mut schemas = Schemas::default();
    let schema = Schema::parse(r#"{"properties":{"properties":{"required":["n"]}}}"#).unwrap();
    schemas.insert("t", Versioned { schema, version: Some(3) });
    let good = event("a", 0).replace('}', r#","properties":{"n":1}}"#);
    let bad = event("b", 0).replace('}', r#","properties":{}}"#);
    let other = event("c", 0).replace("\"t\"", "\"other\"");
    let text = format!("{good}\n{bad}\n{other}\n");
    let demands = Demands { schemas: Arc::new(schemas), ..demands() };
    let done = ran(Case { demands: demands.clone(), ..case(&[&text]) });
    assert_eq!(done.out, format!("{good}\n{other}\n"));
    assert!(done.rejects.contains(r#""pointer":"/properties/n""#), "{}", done.rejects);
    let strict = Demands { rejects_unknown_types: true, ..demands };
    let done = ran(Case { demands: strict, ..case(&[&text]) });
    assert_eq!(done.out, format!("{good}\n"));
    assert!(done.rejects.contains("no schema for events of type 'other'"), "{}", done.rejects);
}

#[test]
fn schemas_may_change_between_blocks_that_are_judged_together() {
    let of = |schema: &str| {
        let mut schemas = Schemas::default();
        schemas.insert("t", Versioned { schema: Schema::parse(schema).unwrap(), version: Some(1) });
        Arc::new(schemas)
    };
    let block = |ids: [&str; 2]| Step::Block(ids.map(|id| event(id, 0) + "\n").concat().into_bytes());
    let steps = vec![block(["a", "b"]), Step::Pending, block(["c", "d"])];
    let inputs = vec![(InputFormat::Ndjson, steps)];
    let newest = vec![of("true"), of("false"), of("true")];
    let done = ran(Case { inputs, newest, threads: 2, ..case(&[]) });
    assert_eq!(done.out, ["a", "b"].map(|id| event(id, 0) + "\n").concat());
    assert_eq!(done.summary.rejected, 2);
    // So it is where rejects are sent again.
    let rejects = ran(Case { newest: vec![of("false")], ..case(&[&event("a", 0)]) }).rejects;
    let done = ran(Case { newest: vec![of("true")], replays: Some(""), ..case(&[&rejects]) });
    assert_eq!((done.summary.accepted, done.summary.rejected), (1, 0));
    let demands = Demands { rejects_unknown_types: true, ..demands() };
    let cut_off = Arc::new(Schemas::default().cut_off(true));
    let done = ran(Case { demands, newest: vec![cut_off], ..case(&[&event("a", 0)]) });
    let reason = "no schema for events of type 't'; the registry does not answer, so a newer one may be missing";
    assert!(done.rejects.contains(reason), "{}", done.rejects);
}

#[test]
fn csv_becomes_json() {
    let header = "event_id,event_type,timestamp,user_id,properties.amount,properties.note\n";
    let rows = "17,t,2026-01-01T00:00:00Z,5,1.50,\"a \"\"b\"\"\"\n18,t,2026-01-01T00:00:00Z,,,\n";
    let inputs = vec![(InputFormat::Csv, vec![Step::Block(header.into()), Step::Block(rows.into())])];
    let done = ran(Case { inputs, threads: 2, ..case(&[]) });
    let expected = r#"{"event_id":"17","event_type":"t","timestamp":"2026-01-01T00:00:00Z","user_id":"5","properties":{"amount":1.5,"note":"a \"b\""}}"#;
    assert_eq!(done.out, format!("{expected}\n"));
    assert!(
        done.rejects.contains("says who it was") && done.rejects.contains(r#""payload":"18,t,"#),
        "{}",
        done.rejects
    );
    let inputs = vec![(
        InputFormat::Csv,
        vec![Step::Block("id,event_type,timestamp,user_id\n1,t,2026-01-01T00:00:00Z,u\n".into())],
    )];
    let demands = Demands { csv_schema: "id=event_id".parse().unwrap(), ..demands() };
    let named = ran(Case { inputs, demands, ..case(&[]) });
    assert!(named.out.starts_with(r#"{"event_id":"1","#), "{}", named.out);
    let conflict = "event_id,a,a.b\n1,2,3\n";
    let inputs = vec![(InputFormat::Csv, vec![Step::Block(conflict.into())])];
    assert!(matches!(done_error(Case { inputs, ..case(&[]) }), IngestError::CsvPaths { .. }));
}

fn done_error(case: Case) -> IngestError {
    done(case).err().expect("the run is to fail")
}

#[test]
fn what_callers_leave_out_is_completed_where_that_is_wanted() {
    let line = r#"{"event_type":"t","user_id":"u"}"#;
    let demands = Demands { completion: Completion::IdAndTime { run: 1 }, ..demands() };
    let done = ran(Case { demands, ..case(&[&format!("{line}\nbroken\n{}", event("a", 0))]) });
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(
        lines[0].starts_with("{\"event_id\":\"evt_") && lines[0].contains("\"timestamp\":\"1970-01-01T00:00:05.000Z\""),
        "{}",
        done.out
    );
    assert_eq!((lines[1], done.summary.rejected), (&*event("a", 0), 1));
    assert_eq!(ran(case(&[line])).summary.rejected, 1);
}

#[test]
fn rejects_can_be_sent_again() {
    let text = format!("{}\nbroken\n{{\"event_id\":\"b\"}}\n", event("a", 0));
    let rejects = ran(case(&[&text])).rejects;
    let mended = rejects.replace(r#"{\"event_id\":\"b\"}"#, &event("b", 1).replace('"', "\\\""));
    let done = ran(Case { replays: Some(""), ..case(&[&mended]) });
    assert_eq!(done.out, event("b", 1) + "\n");
    assert_eq!(done.rejects, rejects.lines().next().unwrap().replace("\"attempt\":1", "\"attempt\":2") + "\n");
    let done = ran(Case { replays: Some("pointer = '/event_type'"), ..case(&[&mended]) });
    assert_eq!((done.summary.accepted, done.summary.rejected, done.summary.left_out), (1, 0, 1));
    let done = ran(Case { replays: Some(""), ..case(&[&format!("{}\n[\n", event("a", 0))]) });
    assert_eq!((done.summary.accepted, done.summary.rejected), (0, 2), "{}", done.rejects);
}

#[test]
fn a_rate_paces() {
    let text: String = (0..100).map(|second| event("a", second % 60) + "\n").collect();
    let done = ran(Case { rate_milli: Some(50_000), ..case(&[&text]) });
    assert_eq!((done.summary.accepted, done.micros), (100, 1_980_000));
}
