//! The window pipeline at its edges, in memory: what is seen when it waits, what it does when a source or a sink fails, and
//! that everything it writes is the same however the input was cut.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration as StdDuration;

use evkit::codec::encode::ndjson::NdjsonEncoder;
use evkit::codec::{Decoder, TimeFrom, Wanted};
use evkit::event::Path;
use evkit::partition::PartitionId;
use evkit::pipeline::decode::{Decode, InputDecoder};
use evkit::pipeline::destination::{Destination, Destinations};
use evkit::pipeline::intake::{Intake, IntakeOptions};
use evkit::pipeline::summary::Summary;
use evkit::pipeline::window::{Emit, PipelineError, RejectsMax, WindowConfig, WindowEdges, WindowPipeline};
use evkit::plan::{MetricText, Plan};
use evkit::sink::memory::MemorySink;
use evkit::sink::side::{LateWriter, RejectWriter};
use evkit::sink::{FileMode, Sink, SinkError};
use evkit::source::clock::ManualClock;
use evkit::source::memory::{MemorySource, Step};
use evkit::source::{Polled, Source, SourceError, Waker};
use evkit::time::{Duration, TimeFormat, Timestamp};
use evkit::validate::FutureGuard;

const SECOND: i64 = 1_000_000;

const ROWS: Emit = Emit { rows: true, partials: false, watermarks: false, stats: false };

/// A run in memory: windows of ten seconds without a delay, unless it says otherwise.
struct Job {
    metrics: Vec<MetricText>,
    scripts: Vec<Vec<Step>>,
    threads: usize,
    blocks_max: usize,
    emit: Emit,
    early: Option<Duration>,
    idle_close: Option<Duration>,
    rejects_max: RejectsMax,
    /// Each with the metrics that it takes; one that takes all if there is none.
    sinks: Vec<(Vec<bool>, Box<dyn Sink>)>,
    /// Called whenever the source is waited for.
    on_wait: Box<dyn FnMut() + Send>,
    clock: Arc<ManualClock>,
    stop: Arc<AtomicBool>,
}

impl Job {
    fn new(scripts: Vec<Vec<Step>>) -> Job {
        Job {
            metrics: vec![metric("events")],
            scripts,
            threads: 1,
            blocks_max: 4,
            emit: ROWS,
            early: None,
            idle_close: None,
            rejects_max: RejectsMax::Unlimited,
            sinks: Vec::new(),
            on_wait: Box::new(|| {}),
            clock: Arc::new(ManualClock::new(Timestamp(1000 * SECOND))),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Runs; gives what the sink has seen that stands in for missing ones, and the rejects.
    fn run(self) -> (Result<Summary, PipelineError>, String, String) {
        let (sink, rejects) = (MemorySink::new(), MemorySink::new());
        let plan = Arc::new(Plan::build(&self.metrics).unwrap());
        let partitions = self.scripts.len();
        let memory = MemorySource::new(self.scripts, self.clock.clone());
        let stop = self.stop;
        let intake = Intake::new(
            Box::new(WatchedSource { memory, on_wait: self.on_wait }),
            self.clock.clone(),
            Box::new(move || stop.load(Ordering::Relaxed)),
            IntakeOptions {
                blocks_max: self.blocks_max,
                idle_timeout: None,
                idle_close: self.idle_close,
                patience: None,
            },
        );
        let destination = |(metrics, sink): (Vec<bool>, Box<dyn Sink>)| {
            Destination::new(metrics, Box::new(NdjsonEncoder::new(&plan.schemas)), sink)
        };
        let mut sinks = self.sinks;
        if sinks.is_empty() {
            sinks.push((vec![true; self.metrics.len()], Box::new(sink.clone())));
        }
        let edges = WindowEdges {
            intake,
            destinations: Destinations { all: sinks.into_iter().map(destination).collect(), rows: self.emit.rows },
            buckets: evkit::pipeline::points::Buckets::default(),
            payload_bytes_max: 1000,
            rejects: Some(RejectWriter::new(Box::new(rejects.clone()), 1000)),
            late: Some(LateWriter::new(Box::new(MemorySink::new()))),
            late_file: None,
            say: Arc::new(|_| {}),
            clock: self.clock,
            keeper: None,
            backfill: None,
        };
        let time = TimeFrom::Field { path: Path::of_keys(&["t"]), format: TimeFormat::Seconds };
        let wanted = Wanted { paths: plan.wanted.clone(), time };
        let decoder = evkit::codec::ndjson::Decoder::new(&wanted, 1 << 20);
        let decode = Decode {
            decoders: vec![InputDecoder::Ready(Decoder::Ndjson(Box::new(decoder))); partitions],
            merging: None,
            plan: plan.clone(),
            future: FutureGuard { max: Some(Duration(0)), now: Some(Timestamp(1000 * SECOND)) },
        };
        let config = WindowConfig {
            range: None,
            repairs: false,
            ends_with_range: true,
            fail_if: vec![None; self.metrics.len()],
            plan,
            threads: self.threads,
            watermark_delay: Duration(0),
            fire_at_end: true,
            early: self.early,
            emit: self.emit,
            rejects_max: self.rejects_max,
            why: false,
        };
        let result = WindowPipeline::new(config, decode, edges).unwrap().run();
        (result, text(&sink), text(&rejects))
    }
}

fn metric(name: &str) -> MetricText {
    MetricText { name: Some(name.into()), tumbling: Some("10s".into()), ..MetricText::default() }
}

fn text(sink: &MemorySink) -> String {
    String::from_utf8(sink.flushed()).unwrap()
}

/// A source that tells when it is waited for.
struct WatchedSource {
    memory: MemorySource,
    on_wait: Box<dyn FnMut() + Send>,
}

impl Source for WatchedSource {
    fn partitions(&self) -> usize {
        self.memory.partitions()
    }

    fn name(&self, partition: PartitionId) -> &str {
        self.memory.name(partition)
    }

    fn seek(&mut self, partition: PartitionId, offset: u64) {
        self.memory.seek(partition, offset);
    }

    fn poll(&mut self, partition: PartitionId) -> Result<Polled, SourceError> {
        self.memory.poll(partition)
    }

    fn wait(&mut self, _partitions: &[PartitionId], _timeout: Option<StdDuration>) {
        (self.on_wait)();
    }

    fn waker(&self) -> Waker {
        self.memory.waker()
    }
}

/// Nothing until the source has been waited for: one look comes at once after a block.
const PAUSE: [Step; 2] = [Step::Pending, Step::Pending];

/// Events at these seconds as one block.
fn events(seconds: &[i64]) -> Step {
    Step::Block(seconds.iter().flat_map(|second| format!("{{\"t\":{second}}}\n").into_bytes()).collect())
}

/// Rows in short: `START+COUNT`, in seconds of the first minute; `~` before early ones.
fn short(rows: &str) -> String {
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let start = row["window_start"].as_str().unwrap();
        let early = if row["final"] == false { "~" } else { "" };
        format!("{early}{}+{}", &start[17..19], row["count"])
    };
    rows.lines().map(row).collect::<Vec<_>>().join(" ")
}

#[test]
fn rows_are_seen_before_more_input_is_waited_for() {
    let script = [&[events(&[1, 2, 10])], &PAUSE[..], &[events(&[20])], &PAUSE, &[events(&[21])]].concat();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, waits) = (MemorySink::new(), Arc::clone(&seen));
    let rows = sink.clone();
    let job = Job {
        sinks: vec![(vec![true], Box::new(sink.clone()))],
        on_wait: Box::new(move || waits.lock().unwrap().push(short(&text(&rows)))),
        ..Job::new(vec![script])
    };
    job.run().0.unwrap();
    // It may wait more than once for the same.
    seen.lock().unwrap().dedup();
    assert_eq!(*seen.lock().unwrap(), ["00+2", "00+2 10+1"]);
    assert_eq!(short(&text(&sink)), "00+2 10+1 20+2");
    assert!(sink.is_finished());
}

#[test]
fn when_all_inputs_are_silent_rows_come_by_the_clock() {
    // Event time stands at 5 s when the input falls silent; each wait lasts 100 ms.
    let script = [vec![events(&[5])], vec![Step::Pending; 130], vec![events(&[6, 7, 15])]].concat();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, waits) = (MemorySink::new(), Arc::clone(&seen));
    let rows = sink.clone();
    let mut job = Job::new(vec![script]);
    let clock = job.clock.clone();
    let mut step = 0;
    job.on_wait = Box::new(move || {
        waits.lock().unwrap().push(short(&text(&rows)));
        step += 1;
        clock.set(Timestamp(1000 * SECOND + step * SECOND / 10));
    });
    job.sinks = vec![(vec![true], Box::new(sink.clone()))];
    job.idle_close = Some(Duration(2 * SECOND));
    let summary = job.run().0.unwrap();
    // Two seconds of silence and five until the window's end.
    let first = seen.lock().unwrap().iter().position(|rows| !rows.is_empty());
    assert_eq!(first, Some(70));
    // What comes for it then is late; the next window is whole.
    assert_eq!(short(&text(&sink)), "00+1 10+1");
    assert_eq!(summary.metrics[0].1.late, 2);
}

#[test]
fn early_rows_come_at_multiples_of_event_time() {
    let job = Job { early: Some(Duration(4 * SECOND)), ..Job::new(vec![vec![events(&[1, 3, 4, 5, 9, 9, 11, 13])]]) };
    // Watermark 4: three events. 9 passes 8: five, where 9 itself has just come. 11 fires the window; 13 passes 12.
    assert_eq!(short(&job.run().1), "~00+3 ~00+5 00+6 ~10+2 10+2");
}

/// All lines of both partitions, cut into blocks of about so many bytes.
fn cut(lines: &str, bytes: usize) -> Vec<Step> {
    let mut steps = vec![Step::Block(Vec::new())];
    for line in lines.split_inclusive('\n') {
        if !matches!(steps.last(), Some(Step::Block(block)) if block.len() < bytes) {
            steps.push(Step::Pending);
            steps.push(Step::Block(Vec::new()));
        }
        if let Some(Step::Block(block)) = steps.last_mut() {
            block.extend_from_slice(line.as_bytes());
        }
    }
    steps
}

/// Latencies are what the clock says.
fn without_latency(written: &str) -> String {
    let cut = |line: &str| match line.split_once("\"latency_us\":") {
        Some((before, after)) => format!("{before}{}\n", after.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => format!("{line}\n"),
    };
    written.lines().map(cut).collect()
}

#[test]
fn what_is_said_in_band_does_not_depend_on_how_the_input_was_cut() {
    let first: String = (0..200)
        .map(|i| match i % 10 {
            3 => "no event\n".to_owned(),
            5 => "{\"t\":2000}\n".to_owned(),
            7 => "\n".to_owned(),
            _ => format!("{{\"t\":{}}}\n", i / 2 + (i * 7) % 13),
        })
        .collect();
    // The second one says by itself how far it has come.
    let second: String = (0..150)
        .map(|i| match i % 6 {
            1 => format!("{{\"watermark\":\"1970-01-01T00:{:02}:{:02}.000Z\"}}\n", i / 60, i % 60),
            4 => "{\n".to_owned(),
            _ => format!("{{\"t\":{}}}\n", i + (i * 5) % 3),
        })
        .collect();
    let run = |bytes: usize, threads: usize, blocks_max: usize| {
        let emit = Emit { watermarks: true, stats: true, ..ROWS };
        let early = Some(Duration(3 * SECOND));
        let scripts = vec![cut(&first, bytes), cut(&second, bytes)];
        let (summary, written, _) = Job { emit, early, threads, blocks_max, ..Job::new(scripts) }.run();
        (summary.unwrap(), without_latency(&written))
    };
    let (summary, whole) = run(1 << 20, 1, 4);
    assert_eq!((summary.input.malformed, summary.input.future), (20 + 25, 20));
    assert!(summary.metrics[0].1.late > 0, "the case has late events");
    for kind in ["{\"watermark\"", "{\"stats\"", "\"final\":false", "\"held_by\":\"memory-1\""] {
        assert!(whole.contains(kind), "no {kind} in\n{whole}");
    }
    let counts = &summary.metrics[0].1;
    assert_eq!(summary.input.events_in, summary.input.rejected() + counts.used + counts.late);
    for bytes in [1, 13, 50, 400] {
        for (threads, blocks_max) in [(1, 1), (1, 4), (2, 8), (3, 2)] {
            let (other_summary, written) = run(bytes, threads, blocks_max);
            assert_eq!(written, whole, "blocks of {bytes} bytes, {threads} threads, {blocks_max} at once");
            assert_eq!(other_summary.to_json(), summary.to_json());
        }
    }
}

/// The run ends where the reject stands that is one too many: what comes before it is written, what comes after it isn't,
/// and windows that are open there don't fire.
#[test]
fn where_too_many_rejects_end_a_run_does_not_depend_on_how_it_was_read() {
    let lines = |step: i64| -> String {
        let line = |i| if i % 7 == 3 { "no event\n".to_owned() } else { format!("{{\"t\":{}}}\n", i * step) };
        (0..140).map(line).collect()
    };
    // Three rejects in a row at the end of the first input; the second one's come at another event time.
    let scripts = [lines(1) + "x\ny\nz\n", lines(2), "{\"t\":5}\n".to_owned()];
    let run = |inputs: &[usize], max: u64, (bytes, threads, blocks_max): (usize, usize, usize)| {
        let scripts = inputs.iter().map(|&input| cut(&scripts[input], bytes)).collect();
        let rejects_max = RejectsMax::Count(max);
        let (summary, rows, rejects) = Job { rejects_max, threads, blocks_max, ..Job::new(scripts) }.run();
        let summary = summary.unwrap();
        assert!(summary.too_many_rejects, "{max} of {}", summary.input.rejected());
        assert_eq!(summary.input.rejected(), max + 1);
        assert_eq!(rejects.lines().count() as u64, max + 1);
        (short(&rows), rejects, summary.input.events_in)
    };
    let whole = (1 << 20, 1, 4);
    // Line 39 is the sixth reject: of the events before it, 38 is the last, and the window from 30 on is open.
    assert_eq!(run(&[0], 5, whole).0, "00+9 10+8 20+9");
    assert_eq!(run(&[0], 5, whole).2, 39);
    assert_eq!(run(&[0], 21, whole).2, 142);
    for (inputs, max) in
        [(&[0][..], 0), (&[0], 5), (&[0], 20), (&[0], 22), (&[0, 1], 7), (&[1, 0, 2], 18), (&[0, 1, 2], 41)]
    {
        let expected = run(inputs, max, whole);
        for bytes in [1, 13, 50, 400] {
            for (threads, blocks_max) in [(1, 1), (1, 4), (2, 8), (3, 2)] {
                let found = run(inputs, max, (bytes, threads, blocks_max));
                assert_eq!(
                    found, expected,
                    "{inputs:?}, {max}, blocks of {bytes}, {threads} threads, {blocks_max} at once"
                );
            }
        }
    }
}

/// A sink whose medium is full.
struct FullSink;

impl Sink for FullSink {
    fn write(&mut self, _bytes: &[u8]) -> Result<(), SinkError> {
        Err(SinkError::Write { name: "full".into(), source: ErrorKind::StorageFull.into() })
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn a_full_medium_ends_the_run_and_leaves_no_file_that_looks_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.ndjson");
    std::fs::write(&path, "of the day before\n").unwrap();
    let file = evkit::sink::file::open(&path, FileMode::Replace).unwrap();
    let job = Job {
        sinks: vec![(vec![true], file), (vec![true], Box::new(FullSink))],
        ..Job::new(vec![vec![events(&[1, 11])]])
    };
    assert_eq!(job.run().0.unwrap_err().to_string(), "cannot write to 'full'");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "of the day before\n");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_source_that_fails_leaves_what_is_sure_and_no_file_that_looks_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.ndjson");
    let file = evkit::sink::file::open(&path, FileMode::Replace).unwrap();
    let rows = MemorySink::new();
    let failing = vec![events(&[1, 11, 12]), Step::Error(ErrorKind::InvalidData)];
    let job = Job {
        sinks: vec![(vec![true], file), (vec![true], Box::new(rows.clone()))],
        ..Job::new(vec![failing, vec![events(&[2, 31, 41])]])
    };
    let error = job.run().0.unwrap_err();
    assert_eq!(error.to_string(), "cannot read 'memory-0' at byte 26");
    // The failed input may have had more events for the window from 10 on.
    assert_eq!(short(&text(&rows)), "00+2");
    assert!(!rows.is_finished() && !path.exists());
}

#[test]
fn a_reader_that_goes_leaves_the_others_alone() {
    let (short_lived, other) = (MemorySink::closing_after(10), MemorySink::new());
    let job = Job {
        sinks: vec![(vec![true], Box::new(short_lived.clone())), (vec![true], Box::new(other.clone()))],
        ..Job::new(vec![[&[events(&[1, 11])], &PAUSE[..], &[events(&[21])]].concat()])
    };
    job.run().0.unwrap();
    assert_eq!(short(&text(&other)), "00+1 10+1 20+1");
    assert!(other.is_finished() && !short_lived.is_finished());
    assert_eq!(short_lived.flushed().len(), 10);
}

#[test]
fn when_no_reader_is_left_no_more_is_read() {
    let waits = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&waits);
    let job = Job {
        sinks: vec![(vec![true], Box::new(MemorySink::closing_after(0)))],
        on_wait: Box::new(move || *counted.lock().unwrap() += 1),
        ..Job::new(vec![[&[events(&[1, 11])], &PAUSE[..], &[events(&[21])]].concat()])
    };
    assert_eq!(job.run().0.unwrap().input.events_in, 2);
    assert_eq!(*waits.lock().unwrap(), 0);
}

#[test]
fn each_metric_goes_to_its_own_place() {
    let (first, second, both) = (MemorySink::new(), MemorySink::new(), MemorySink::new());
    let odd = MetricText { filter: Some("t = 3".into()), ..metric("odd") };
    let job = Job {
        metrics: vec![metric("all"), odd],
        emit: Emit { watermarks: true, ..ROWS },
        sinks: vec![
            (vec![true, false], Box::new(first.clone())),
            (vec![false, true], Box::new(second.clone())),
            (vec![true, true], Box::new(both.clone())),
        ],
        ..Job::new(vec![vec![events(&[1, 3, 4, 10])]])
    };
    job.run().0.unwrap();
    let kinds = |sink: &MemorySink| -> Vec<String> {
        let kind = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["metric"]
                .as_str()
                .map_or_else(|| row["watermark"].to_string(), |name| format!("{name} {}", row["count"]))
        };
        text(sink).lines().map(kind).collect()
    };
    let (begin, end) = ("\"1970-01-01T00:00:01.000Z\"", "\"1970-01-01T00:00:10.000Z\"");
    assert_eq!(kinds(&first), [begin, "all 3", end, "all 1"]);
    assert_eq!(kinds(&second), [begin, "odd 1", end]);
    assert_eq!(kinds(&both), [begin, "all 3", "odd 1", end, "all 1"]);
}

#[test]
fn a_stop_request_keeps_what_is_final_and_counts_what_was_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.ndjson");
    let file = evkit::sink::file::open(&path, FileMode::Replace).unwrap();
    let first = [&[events(&[1, 11, 12]), Step::Block(b"bad\n".to_vec())], &PAUSE[..], &[events(&[30])]].concat();
    let second = vec![events(&[2, 25, 26])];
    let mut job = Job::new(vec![first, second]);
    job.sinks = vec![(vec![true], file)];
    let stop = Arc::clone(&job.stop);
    job.on_wait = Box::new(move || stop.store(true, Ordering::Relaxed));
    let (summary, _, rejects) = job.run();
    let summary = summary.unwrap();
    assert!(summary.stopped);
    assert_eq!(short(&std::fs::read_to_string(&path).unwrap()), "00+2");
    assert_eq!(rejects.lines().count(), 1);
    let counts = summary.metrics[0].1;
    assert_eq!(summary.input.events_in, counts.used + counts.late + summary.input.rejected());
}
