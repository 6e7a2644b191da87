//! Runs a case through the core of the window pipeline, and stops it at random places to go on with a new sequencer, a new
//! operator of another number of workers, and nothing but the bytes that the old ones saved.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use evkit::codec::encode::RowEncoder;
use evkit::codec::encode::ndjson::NdjsonEncoder;
use evkit::codec::partial::push_partial;
use evkit::codec::{Decoder, TimeFrom, Wanted};
use evkit::event::Path;
use evkit::partition::PartitionId;
use evkit::pipeline::cadence::Cadence;
use evkit::pipeline::decode::{Decode, InputDecoder};
use evkit::plan::Plan;
use evkit::record::Block;
use evkit::time::{Duration, TimeFormat, Timestamp};
use evkit::validate::FutureGuard;
use evkit::watermark::{Run, Sequenced, Sequencer, Step};
use evkit::window::operator::{Input, Operator, OperatorError};
use evkit::window::{Output, Projected};

use crate::case::{Case, Line};
use crate::model::{Answer, Counts};
use crate::random::Random;
use crate::real::Layout;

/// What the core is to do with the lines of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Rows,
    /// Send partials instead.
    Partials,
    /// The lines are partials.
    Merge,
}

/// How a core is run.
pub struct Stream<'a> {
    pub case: &'a Case,
    pub layout: &'a Layout,
    pub plan: Arc<Plan>,
    pub task: Task,
    /// By partition.
    pub lines: Vec<Vec<String>>,
    pub delay: i64,
    pub restarts: bool,
}

impl<'a> Stream<'a> {
    /// Of the case's own lines.
    pub fn of(case: &'a Case, layout: &'a Layout, task: Task, restarts: bool) -> Result<Stream<'a>, String> {
        let plan = Plan::build(&crate::real::texts(case)).map_err(|error| error.to_string())?;
        let lines = case.partitions.iter().map(|lines| lines.iter().map(Line::text).collect()).collect();
        Ok(Stream { case, layout, plan: Arc::new(plan), task, lines, delay: case.delay, restarts })
    }

    /// Rows or partials, late events and counts. The lines that are no events are not counted.
    pub fn answer(self) -> Result<Answer, String> {
        let run = || match Core::new(&self).run() {
            Err(OperatorError::TooManySessions { .. }) => Ok(Answer { too_many_sessions: true, ..Answer::default() }),
            answer => answer.map_err(|error| error.to_string()),
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("of unknown kind")))
        })
    }
}

struct Core<'a> {
    stream: &'a Stream<'a>,
    random: Random,
    decode: Decode,
    sequencer: Sequencer,
    operator: Operator,
    cadence: Cadence,
    /// Up to here everything was said that is due at a cut.
    said: Timestamp,
    /// By partition: lines that the input has by now, and how many of them were given.
    visible: Vec<usize>,
    given: Vec<usize>,
    batches: Vec<Batch>,
    out: Vec<Output>,
    late: Vec<String>,
}

struct Batch {
    projected: Projected,
    /// Lines of its partition before it.
    line: usize,
}

impl<'a> Core<'a> {
    fn new(stream: &'a Stream<'a>) -> Core<'a> {
        let mut random = Random::new(stream.layout.seed ^ u64::from(stream.restarts));
        let plan = &stream.plan;
        let partitions = stream.lines.len();
        let time = TimeFrom::Field { path: Path::of_keys(&["t"]), format: TimeFormat::Micros };
        let wanted = Wanted { paths: plan.wanted.clone(), time };
        let decoder = Decoder::Ndjson(Box::new(evkit::codec::ndjson::Decoder::new(&wanted, 1 << 20)));
        let latest = stream.case.latest;
        let names = || plan.schemas.iter().map(|schema| schema.name.clone()).collect();
        // A file that ends and then grows is as one that was there whole, as long as no other input goes on meanwhile.
        let grows = stream.restarts && partitions == 1;
        let visible =
            |lines: &Vec<String>| if grows { random.within(0, lines.len() as i64) as usize } else { lines.len() };
        Core {
            visible: stream.lines.iter().map(visible).collect(),
            given: vec![0; partitions],
            decode: Decode {
                decoders: vec![InputDecoder::Ready(decoder); partitions],
                plan: plan.clone(),
                future: FutureGuard { max: latest.map(|_| Duration(0)), now: latest.map(Timestamp) },
                merging: (stream.task == Task::Merge).then(names),
            },
            sequencer: Sequencer::new(partitions, Duration(stream.delay)),
            operator: Operator::new(plan.queries.clone(), stream.layout.threads, stream.task == Task::Partials),
            cadence: Cadence::new(stream.case.early.map(Duration), stream.layout.watermarks, &plan.queries),
            said: Timestamp::MIN,
            batches: Vec::new(),
            out: Vec::new(),
            late: Vec::new(),
            random,
            stream,
        }
    }

    fn run(mut self) -> Result<Answer, OperatorError> {
        let mut awaited = PartitionId(0);
        loop {
            self.give(awaited);
            for partition in 0..self.given.len() as u32 {
                let partition = PartitionId(partition);
                let has_more = self.given[partition.0 as usize] < self.visible[partition.0 as usize];
                if partition != awaited && has_more && self.random.chance(1, 2) {
                    self.give(partition);
                }
            }
            match self.drain()? {
                Some(partition) => awaited = partition,
                None if (0..self.visible.len()).any(|p| self.visible[p] < self.stream.lines[p].len()) => {
                    self.restart();
                    self.visible = self.stream.lines.iter().map(Vec::len).collect();
                    awaited = PartitionId(0);
                }
                None => break,
            }
        }
        if self.stream.case.fire_at_end {
            self.fire(Timestamp::MAX);
        }
        Ok(self.answer())
    }

    /// Hands the next lines of a partition to the sequencer, or tells that there are none.
    fn give(&mut self, partition: PartitionId) {
        let index = partition.0 as usize;
        let (lines, from) = (&self.stream.lines[index], self.given[index]);
        let left = self.visible[index] - from;
        if left == 0 {
            return self.sequencer.end(partition);
        }
        let to = from + self.random.within(1, self.stream.layout.lines_max.min(left) as i64) as usize;
        self.given[index] = to;
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        let offset = text(&lines[..from]).len() as u64;
        let bytes = text(&lines[from..to]);
        let decoded =
            self.decode.block(Block { partition, offset, from: 0, arrival: Timestamp(0), stamps: None, bytes });
        let projected = decoded.projected;
        let (batch, rows, maximum) = (self.batches.len(), projected.rows(), projected.maximum.clone());
        let in_band = decoded.watermarks.into();
        self.sequencer.push(partition, Sequenced { batch, rows, maximum, in_band, rejects: Default::default() });
        self.batches.push(Batch { projected, line: from });
    }

    /// Takes everything that is in order by now, as the pipeline does, and in smaller steps. The partition that is waited for,
    /// if the input has not ended.
    fn drain(&mut self) -> Result<Option<PartitionId>, OperatorError> {
        loop {
            let cut = self.cadence.after(self.said);
            let runs_max = if self.stream.restarts { self.random.pick(&[1, 1, 2, 5, usize::MAX]) } else { usize::MAX };
            let mut runs = Vec::new();
            let step = loop {
                if runs.len() == runs_max {
                    break None;
                }
                match self.sequencer.next(cut) {
                    Step::Run(run) => runs.push(run),
                    step => break Some(step),
                }
            };
            let watermark = self.sequencer.watermark();
            self.fold(&runs)?;
            self.fire(watermark);
            if step.is_some() {
                let before = std::mem::replace(&mut self.said, watermark);
                if step == Some(Step::Cut) && before > Timestamp::MIN && self.cadence.is_early(before, watermark) {
                    self.operator.write_early(&mut self.out);
                }
            }
            // What is due at a cut must have been said.
            if self.stream.restarts && (step.is_some() || watermark < cut) && self.random.chance(1, 3) {
                self.restart();
            }
            match step {
                Some(Step::Wait(partition)) => return Ok(Some(partition)),
                Some(Step::End) => return Ok(None),
                _ => {}
            }
        }
    }

    fn fold(&mut self, runs: &[Run]) -> Result<(), OperatorError> {
        let inputs: Vec<Input> =
            runs.iter().map(|run| Input { run, projected: &self.batches[run.batch].projected }).collect();
        if self.stream.task == Task::Merge {
            for Input { run, projected } in inputs {
                for row in run.rows.clone() {
                    let own = run.own_before(row, &projected.maximum);
                    let place = (own, run.operator_before(row, &projected.maximum), run.position_of(row));
                    if self.operator.merge(&projected.partials[row], place, &mut self.out)? {
                        self.late.push(line_of(projected, row));
                    }
                }
            }
            self.operator.bound_groups();
            return Ok(());
        }
        let folded = self.operator.workers().iter_mut().map(|worker| worker.fold(&inputs)).collect();
        let mut late = self.operator.apply(&inputs, folded, &mut self.out)?;
        // An event may be late for several metrics.
        late.dedup_by_key(|late| (late.input, late.row));
        self.late.extend(late.iter().map(|late| line_of(inputs[late.input].projected, late.row as usize)));
        Ok(())
    }

    fn fire(&mut self, watermark: Timestamp) {
        if watermark > self.operator.watermark() && self.random.chance(1, 2) {
            self.operator.workers().iter_mut().for_each(|worker| worker.fire_sessions(watermark));
        }
        while self.operator.fire_next(watermark, &mut self.out) {}
    }

    /// Ends, and begins anew with what was saved. Lines that were given and not taken are given again.
    fn restart(&mut self) {
        let partitions = self.given.len();
        let save = |operator: &Operator| {
            let mut saved = Vec::new();
            operator.save(&mut saved);
            saved
        };
        let saved = save(&self.operator);
        self.operator.write_open(&mut Vec::new());
        assert_eq!(save(&self.operator), saved, "what is open was only looked at");
        let partials = self.stream.task == Task::Partials;
        let workers = self.random.pick(&[1, 2, 3, 5]);
        self.operator = Operator::new(self.stream.plan.queries.clone(), workers, partials);
        self.operator.restore(&saved).expect("what was saved can be read");
        assert_eq!(save(&self.operator), saved, "equal states have equal bytes");

        let mut sequencer = Sequencer::new(partitions, Duration(self.stream.delay));
        let mut saved = Vec::new();
        self.sequencer.save(&mut saved);
        sequencer.restore(&saved).expect("what was saved can be read");
        for partition in 0..partitions {
            let id = PartitionId(partition as u32);
            let mut saved = Vec::new();
            self.sequencer.save_partition(id, &mut saved);
            sequencer.restore_partition(id, &saved).expect("what was saved can be read");
            if let Some((batch, rows)) = self.sequencer.goes_on_at(id) {
                let Batch { projected, line } = &self.batches[batch];
                let taken = rows.checked_sub(1).map_or(0, |last| projected.batch.spans[last].line as usize + 1);
                self.given[partition] = line + taken;
            }
        }
        self.sequencer = sequencer;
        self.batches.clear();
    }

    fn answer(self) -> Answer {
        let schemas = &self.stream.plan.schemas;
        let mut encoder = NdjsonEncoder::new(schemas);
        let row = |output: &Output| {
            let mut line = Vec::new();
            match output {
                Output::Row(row) => encoder.row(row, &mut line),
                Output::Partial(partial) => push_partial(partial, &schemas[partial.metric].name, &mut line),
            }
            String::from_utf8(line).expect("rows are UTF-8").trim_end().to_owned()
        };
        let counts = self.operator.counts().into_iter().map(|counts| Counts {
            used: counts.used,
            filtered: counts.filtered,
            late: counts.late,
            no_window: counts.no_window,
            overflowed: counts.overflowed,
        });
        Answer {
            rows: self.out.iter().map(row).collect(),
            late: self.late,
            counts: counts.collect(),
            ..Answer::default()
        }
    }
}

fn line_of(projected: &Projected, row: usize) -> String {
    let span = &projected.batch.spans[row];
    let bytes = &projected.batch.text[span.start as usize..][..span.len as usize];
    String::from_utf8(bytes.to_vec()).expect("lines are UTF-8")
}
