//! Runs a case through the whole window pipeline in memory: blocks, decoder, sequencer, windows, encoder, side file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use evkit::codec::encode::ndjson::NdjsonEncoder;
use evkit::codec::{Decoder, TimeFrom, Wanted};
use evkit::event::Path;
use evkit::pipeline::decode::{Decode, InputDecoder};
use evkit::pipeline::destination::{Destination, Destinations};
use evkit::pipeline::intake::{Intake, IntakeOptions};
use evkit::pipeline::summary::Summary;
use evkit::pipeline::window::{Emit, RejectsMax, WindowConfig, WindowEdges, WindowPipeline};
use evkit::plan::{MetricText, Plan};
use evkit::sink::memory::MemorySink;
use evkit::sink::side::LateWriter;
use evkit::source::clock::ManualClock;
use evkit::source::memory::{MemorySource, Step};
use evkit::time::{Duration, TimeFormat, Timestamp};
use evkit::validate::FutureGuard;

use crate::case::{Case, Line};
use crate::model::{Answer, Counts, InputCounts};
use crate::random::Random;

/// What must not change the answer.
#[derive(Debug, Clone)]
pub struct Layout {
    pub threads: usize,
    /// Most blocks that are taken at once.
    pub blocks_max: usize,
    /// Most lines in a block.
    pub lines_max: usize,
    /// How the lines are cut.
    pub seed: u64,
    /// Also write watermarks, which cuts the stream at every edge.
    pub watermarks: bool,
}

impl Layout {
    pub fn random(random: &mut Random) -> Layout {
        let threads = random.pick(&[1, 1, 2, 3, 5]);
        Layout {
            threads,
            blocks_max: random.pick(&[threads, 4 * threads, 1]),
            lines_max: random.pick(&[1, 2, 5, 100]),
            seed: random.next(),
            watermarks: random.chance(1, 4),
        }
    }

    /// The lines of a partition as blocks, with polls between them that give nothing.
    fn steps(&self, random: &mut Random, lines: &[String]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut rest = lines;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(random.within(1, (self.lines_max).min(rest.len()) as i64) as usize);
            rest = later;
            let mut text: String = now.iter().map(|line| format!("{line}\n")).collect();
            // The last line may lack its line feed.
            if rest.is_empty() && text.len() > 1 && random.chance(1, 4) {
                text.pop();
            }
            steps.push(Step::Block(text.into_bytes()));
            if random.chance(1, 4) {
                steps.push(Step::Pending);
            }
        }
        steps
    }
}

/// What the pipeline answers; its panic, if it has one.
pub fn answer(case: &Case, layout: &Layout) -> Result<Answer, String> {
    catch_unwind(AssertUnwindSafe(|| run(case, layout))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("of unknown kind")))
    })
}

fn run(case: &Case, layout: &Layout) -> Result<Answer, String> {
    let plan = Plan::build(&texts(case)).map_err(|error| error.to_string())?;
    let emit = Emit { rows: true, partials: false, watermarks: layout.watermarks, stats: false };
    let Output { summary, mut rows, late } = match Pipe::of(case, layout, plan, emit).run() {
        Err(error) if error.ends_with("the most that --max-groups allows") => {
            return Ok(Answer { too_many_sessions: true, ..Answer::default() });
        }
        output => output?,
    };
    rows.retain(|row| !row.starts_with("{\"watermark\""));
    if summary.rows != rows.len() as u64 {
        return Err(format!("{} rows were counted, {} written", summary.rows, rows.len()));
    }
    let input = summary.input;
    let counts = summary.metrics.iter().map(|(_, counts)| counts);
    Ok(Answer {
        rows,
        late,
        too_many_sessions: false,
        counts: counts
            .map(|c| Counts {
                used: c.used,
                filtered: c.filtered,
                late: c.late,
                no_window: c.no_window,
                overflowed: c.overflowed,
            })
            .collect(),
        input: InputCounts {
            events_in: input.events_in,
            malformed: input.malformed,
            future: input.future,
            in_band: input.in_band,
            blank: input.blank,
        },
    })
}

/// The rows of the case's one metric, computed by two pipelines: the first sends partials, the second merges them.
pub fn rows_through_partials(case: &Case, layout: &Layout) -> Result<Vec<String>, String> {
    catch_unwind(AssertUnwindSafe(|| merge(case, layout))).unwrap_or_else(|_| Err("panic".into()))
}

/// The delay of a reader for whom only that counts which the stream says of itself.
pub const DELAY_OF_MERGER: i64 = 1_000_000_000;

/// The lines that the case's one metric sends as partials, and the plan that merges them.
pub fn partials(case: &Case, layout: &Layout) -> Result<(Vec<String>, Plan), String> {
    let plan = Plan::build(&texts(case)).map_err(|error| error.to_string())?;
    let emit = Emit { rows: false, partials: true, watermarks: true, stats: false };
    let partials = Pipe::of(case, layout, plan, emit).run()?.rows;
    let Ok(evkit::codec::partial::Line::Header(header)) = evkit::codec::partial::parse(partials[0].as_bytes()) else {
        return Err(format!("no header: {}", partials[0]));
    };
    let text = MetricText { name: None, filter: None, by: None, agg: None, ..texts(case).remove(0) };
    let plan = Plan::merging(&text, &[header]).map_err(|error| error.to_string())?;
    Ok((partials, plan))
}

fn merge(case: &Case, layout: &Layout) -> Result<Vec<String>, String> {
    let (partials, plan) = partials(case, layout)?;
    let emit = Emit { rows: true, partials: false, watermarks: false, stats: false };
    let random = &mut Random::new(!layout.seed);
    let pipe = Pipe {
        scripts: vec![layout.steps(random, &partials)],
        merging: Some(plan.schemas.iter().map(|schema| schema.name.clone()).collect()),
        plan: Arc::new(plan),
        emit,
        delay: DELAY_OF_MERGER,
        case,
        layout,
    };
    Ok(pipe.run()?.rows)
}

/// The queries of a case.
pub fn texts(case: &Case) -> Vec<MetricText> {
    case.metrics.iter().enumerate().map(|(number, metric)| metric.text(number)).collect()
}

/// A pipeline in memory.
struct Pipe<'a> {
    case: &'a Case,
    layout: &'a Layout,
    plan: Arc<Plan>,
    scripts: Vec<Vec<Step>>,
    emit: Emit,
    delay: i64,
    merging: Option<Vec<String>>,
}

struct Output {
    summary: Summary,
    rows: Vec<String>,
    late: Vec<String>,
}

impl<'a> Pipe<'a> {
    fn of(case: &'a Case, layout: &'a Layout, plan: Plan, emit: Emit) -> Pipe<'a> {
        let random = &mut Random::new(layout.seed);
        let texts = case.partitions.iter().map(|lines| lines.iter().map(Line::text).collect::<Vec<_>>());
        let scripts = texts.map(|lines| layout.steps(random, &lines)).collect();
        Pipe { case, layout, plan: Arc::new(plan), scripts, emit, delay: case.delay, merging: None }
    }

    fn run(self) -> Result<Output, String> {
        let Pipe { case, layout, plan, scripts, emit, delay, merging } = self;
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let partitions = scripts.len();
        let intake = Intake::new(
            Box::new(MemorySource::new(scripts, clock.clone())),
            clock.clone(),
            Box::new(|| false),
            IntakeOptions { blocks_max: layout.blocks_max, idle_timeout: None, idle_close: None, patience: None },
        );
        let (rows, late) = (MemorySink::new(), MemorySink::new());
        let metrics = plan.schemas.len();
        let encoder = Box::new(NdjsonEncoder::new(&plan.schemas));
        let destination = Destination::new(vec![true; metrics], encoder, Box::new(rows.clone()));
        let edges = WindowEdges {
            intake,
            destinations: Destinations { all: vec![destination], rows: emit.rows },
            buckets: evkit::pipeline::points::Buckets::default(),
            payload_bytes_max: 1000,
            rejects: None,
            late: Some(LateWriter::new(Box::new(late.clone()))),
            late_file: None,
            say: Arc::new(|_| {}),
            clock,
            keeper: None,
            backfill: None,
        };
        let time = TimeFrom::Field { path: Path::of_keys(&["t"]), format: TimeFormat::Micros };
        let wanted = Wanted { paths: plan.wanted.clone(), time };
        let decoder = evkit::codec::ndjson::Decoder::new(&wanted, 1 << 20);
        let decode = Decode {
            decoders: vec![InputDecoder::Ready(Decoder::Ndjson(Box::new(decoder))); partitions],
            plan: plan.clone(),
            future: FutureGuard { max: case.latest.map(|_| Duration(0)), now: case.latest.map(Timestamp) },
            merging,
        };
        let config = WindowConfig {
            range: None,
            repairs: false,
            ends_with_range: true,
            fail_if: vec![None; metrics],
            plan,
            threads: layout.threads,
            watermark_delay: Duration(delay),
            fire_at_end: case.fire_at_end,
            early: case.early.map(Duration),
            emit,
            rejects_max: RejectsMax::Unlimited,
            why: false,
        };
        let pipeline = WindowPipeline::new(config, decode, edges).map_err(|error| error.to_string())?;
        let summary = pipeline.run().map_err(|error| error.to_string())?;
        // For which metrics an event was late is said between the events.
        let is_event = |line: &String| !line.starts_with("{\"late_for\":");
        let late = lines(late.flushed()).into_iter().filter(is_event).collect();
        Ok(Output { summary, rows: lines(rows.flushed()), late })
    }
}

fn lines(bytes: Vec<u8>) -> Vec<String> {
    let text = String::from_utf8(bytes).expect("rows are UTF-8");
    text.lines().map(str::to_owned).collect()
}
