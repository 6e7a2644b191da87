//! The window pipeline: source ─ decode ─ watermark ─ filter ─ [assign ▸ aggregate ▸ trigger] ─▶ sink.
//!
//! It runs in supersteps. Blocks are taken as they are there, decoded side by side, put in order by the sequencer, folded
//! side by side, and fired in one order. What is written depends neither on how many blocks a step has nor on how many
//! threads work on them. Knows nothing of flags and of what the expressions mean.

mod config;
mod keep;
mod points;
mod repair;

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::InBand;
use crate::codec::encode::in_band::StatsLine;
use crate::partition::PartitionId;
use crate::pipeline::backfill::Backfill;
use crate::pipeline::cadence::Cadence;
use crate::pipeline::crew::Crew;
use crate::pipeline::decode::{Decode, Decoded};
use crate::pipeline::destination::{headers, shown};
pub use crate::pipeline::error::PipelineError;
use crate::pipeline::intake::{Incoming, Taken};
use crate::pipeline::keep::Keeper;
use crate::pipeline::late::{Marks, mark};
use crate::pipeline::summary::{FirstReject, Summary};
pub use crate::pipeline::tally::RejectsMax;
use crate::pipeline::tally::{TakenReject, Tally};
use crate::pipeline::why::why;
pub use crate::pipeline::window::config::{Emit, WindowConfig, WindowEdges};
use crate::source::SourceError;
use crate::stats::MetricCounts;
use crate::time::{Duration, Timestamp};
use crate::watermark::{Run, Sequenced, Sequencer, Step};
use crate::window::operator::{Input, Late, Operator};
use crate::window::present::columns_of;
use crate::window::{Output, Projected, Row, Windows};

/// After so many rejects at once fewer blocks are taken: lines of a few bytes would each cost many times their length.
const REJECTS_MANY: usize = 1 << 16;

/// Fewer events than this are folded sooner than other threads are woken.
const ROWS_FEW: usize = 4096;

/// One run of the window pipeline.
pub struct WindowPipeline {
    config: WindowConfig,
    edges: WindowEdges,
    decoders: Vec<Decode>,
    /// Whether the input are partials.
    merging: bool,
    crew: Crew,
    sequencer: Sequencer,
    operator: Operator,
    cadence: Cadence,
    /// Batches that have rows left, by number.
    batches: HashMap<usize, Projected>,
    batches_made: usize,
    tally: Tally,
    /// Rejects of the blocks that were taken last.
    rejects_in_step: usize,
    summary: Summary,
    /// The partition without which nothing goes on.
    awaited: PartitionId,
    arrival: Timestamp,
    /// Up to here all has been fired and said.
    watermark: Timestamp,
    outputs: Vec<Output>,
    /// Whether a late partial was written.
    late_begun: bool,
    /// Where late events are brought in: which metrics they were late for.
    marks: Marks,
    /// What earlier runs had counted.
    counted_before: (Vec<MetricCounts>, u64),
}

impl WindowPipeline {
    /// Makes everything ready; nothing is read yet.
    pub fn new(config: WindowConfig, decode: Decode, mut edges: WindowEdges) -> Result<WindowPipeline, PipelineError> {
        let threads = config.threads;
        let crew = Crew::new(threads)?;
        let queries = config.plan.queries.clone();
        let in_band = config.emit.watermarks || config.emit.stats;
        let metrics = config.plan.schemas.iter().map(|schema| (schema.name.clone(), Default::default())).collect();
        let mut sequencer = Sequencer::new(edges.intake.partitions(), config.watermark_delay)
            .with_rejects_max(config.rejects_max.while_running());
        let mut operator = Operator::new(queries.clone(), threads, config.emit.partials);
        let mut tally = Tally::new(edges.intake.partitions());
        let mut lines_before = 0;
        operator.keep_states(&edges.buckets.keeps_states());
        if let Some(keeper) = &mut edges.keeper {
            operator.keep_states(keeper.keeps_states());
            keeper.positions().for_each(|(partition, position)| tally.begin_at(partition, position.lines));
            if config.repairs {
                lines_before = keeper.lines_before();
            }
            keeper.restore(&mut sequencer, &mut operator, &queries)?;
        }
        Ok(WindowPipeline {
            merging: decode.merging.is_some(),
            decoders: vec![decode; threads],
            crew,
            sequencer,
            cadence: Cadence::new(config.early, in_band, &queries),
            counted_before: (operator.counts(), operator.nulled()),
            watermark: operator.watermark(),
            operator,
            batches: HashMap::new(),
            batches_made: 0,
            tally,
            rejects_in_step: 0,
            summary: Summary { metrics, repaired_before: lines_before, ..Summary::default() },
            awaited: PartitionId(0),
            arrival: Timestamp::MIN,
            outputs: Vec::new(),
            late_begun: false,
            marks: Marks::default(),
            config,
            edges,
        })
    }

    /// Runs to the end of the input, or until it is stopped or nobody reads the output any more.
    pub fn run(mut self) -> Result<Summary, PipelineError> {
        self.run_to_end()?;
        // What was read before a failure has been written where it can be seen; a file of it would look complete.
        self.keep_open()?;
        self.edges.keeper.iter_mut().for_each(Keeper::end_late);
        self.flush_buckets()?;
        self.keep(!self.summary.too_many_rejects)?;
        match self.edges.intake.take_error() {
            Some(error) => Err(error.into()),
            None => {
                self.finish()?;
                Ok(self.summary)
            }
        }
    }

    fn run_to_end(&mut self) -> Result<(), PipelineError> {
        self.edges.intake.slow_down();
        let headers = if self.config.emit.partials { headers(&self.config.plan) } else { Vec::new() };
        self.edges.destinations.begin(&headers)?;
        self.flush()?;
        self.keep_late_place()?;
        loop {
            let Taken { blocks, is_quiet } = self.edges.intake.take(&mut self.sequencer, self.awaited);
            self.meet_headers(&blocks)?;
            self.rejects_in_step = 0;
            let mut cut_off = Vec::new();
            for (partition, decoded) in self.decode(blocks) {
                match decoded {
                    // What comes behind a block that could not be read is no use.
                    _ if cut_off.contains(&partition) => {}
                    Ok(decoded) => self.admit(decoded)?,
                    Err(error) => {
                        self.edges.intake.fail(partition, error);
                        cut_off.push(partition);
                    }
                }
            }
            match self.rejects_in_step {
                REJECTS_MANY.. => self.edges.intake.slow_down(),
                _ => self.edges.intake.speed_up(),
            }
            let ended = self.drain()?;
            if self.config.why && (is_quiet || ended) {
                self.tell_why(ended);
            }
            if ended {
                self.end()?;
            }
            self.flush()?;
            if self.edges.buckets.due().is_some_and(|due| due <= self.edges.clock.now()) {
                self.flush_buckets()?;
            }
            self.keep(false)?;
            self.summary.stopped = self.edges.intake.is_stopped();
            let is_over = ended || self.edges.intake.has_failed(self.awaited);
            if is_over || self.summary.stopped || self.summary.too_many_rejects || !self.is_heard() {
                return Ok(());
            }
        }
    }

    /// A CSV input is decoded after its header, which every thread must know.
    fn meet_headers(&mut self, blocks: &[Incoming]) -> Result<(), PipelineError> {
        for block in blocks {
            // A file whose blocks can be read in any order has no header.
            let Incoming::Read(block) = block else { continue };
            let partition = block.partition;
            let input = || self.edges.intake.name(partition).to_owned();
            let made = self.decoders[0].meet_header(block);
            if let Some(made) = made.map_err(|source| PipelineError::Csv { input: input(), source })? {
                for decode in &mut self.decoders {
                    decode.decoders[partition.0 as usize] = made.clone();
                }
            }
        }
        Ok(())
    }

    /// Reads and decodes blocks side by side; batches come back in the order of the blocks.
    fn decode(&mut self, blocks: Vec<Incoming>) -> Vec<(PartitionId, Result<Decoded, SourceError>)> {
        let decode = |decoder: &mut Decode, block: Incoming| {
            let partition = block.partition();
            (partition, block.read().map(|delivered| decoder.take(delivered)))
        };
        self.crew.share(&mut self.decoders, blocks, decode)
    }

    /// Puts the rejects of a batch aside until their turn, and hands it to the sequencer.
    fn admit(&mut self, decoded: Decoded) -> Result<(), PipelineError> {
        let Decoded { mut projected, watermarks, future, nulled, arrival, bytes } = decoded;
        self.arrival = self.arrival.max(arrival);
        let rows = projected.rows();
        let number = self.batches_made;
        self.batches_made += 1;
        let name = self.edges.intake.name(projected.batch.partition);
        let writer = self.edges.rejects.as_ref();
        self.rejects_in_step += projected.batch.rejects.len();
        let rejects = self.tally.read((number, &mut projected.batch), &future, nulled, |batch, reject, out| {
            if let Some(writer) = writer {
                writer.record(name, batch, reject, out);
            }
        });
        let batch = &projected.batch;
        for (_, mark) in &batch.in_band {
            let line = |span: &crate::batch::LineSpan| batch.line + u64::from(span.line) + 1;
            let input = || name.to_owned();
            match mark {
                InBand::Watermark(_) | InBand::Stats | InBand::Early | InBand::LateFor(_) => {}
                InBand::Partial(_) if self.merging || self.looks_for_windows() => {}
                InBand::Partial(span) => return Err(PipelineError::Partial { input: input(), line: line(span) }),
                InBand::Refused(span) => return Err(PipelineError::Revised { input: input(), line: line(span) }),
            }
        }
        let partition = batch.partition;
        if self.config.repairs {
            self.marks.apply(&mut projected, &self.config.plan.schemas);
            if self.edges.keeper.is_none() {
                self.marks.note(&projected, &self.config.plan);
            }
        }
        let batch = &projected.batch;
        if let Some(keeper) = &mut self.edges.keeper {
            keeper.admit(number, batch, rows, &bytes);
        }
        let maximum = Arc::clone(&projected.maximum);
        let in_band = watermarks.into();
        self.sequencer.push(partition, Sequenced { batch: number, rows, maximum, in_band, rejects });
        if rows > 0 {
            self.batches.insert(number, projected);
        }
        Ok(())
    }

    /// Takes everything that is in order by now. Whether the input has ended.
    fn drain(&mut self) -> Result<bool, PipelineError> {
        loop {
            let cut = self.cadence.after(self.watermark);
            let mut runs = Vec::new();
            let step = loop {
                match self.sequencer.next(cut) {
                    Step::Run(run) => {
                        self.tally.take(&run, self.events(&run));
                        runs.push(run);
                    }
                    Step::Rejects(partition, rejects) => self.tally.take_rejects(partition, rejects),
                    step => break step,
                }
            };
            let watermark = self.sequencer.watermark();
            self.write_rejects()?;
            self.fold(&runs)?;
            self.fire(watermark)?;
            let before = std::mem::replace(&mut self.watermark, watermark);
            if self.config.ends_with_range && self.config.range.is_some_and(|(_, end)| watermark >= end) {
                return Ok(true);
            }
            match step {
                Step::Run(_) | Step::Rejects(..) | Step::Cut => self.at_cut(before, watermark)?,
                Step::Wait(partition) => {
                    self.awaited = partition;
                    return Ok(false);
                }
                Step::TooManyRejects => {
                    self.summary.too_many_rejects = true;
                    return Ok(false);
                }
                Step::End => return Ok(true),
            }
        }
    }

    /// The events in a run; where partials are merged, those that they were folded from.
    fn events(&self, run: &Run) -> u64 {
        if self.merging {
            self.batches[&run.batch].partials[run.rows.clone()].iter().map(|partial| partial.events).sum()
        } else {
            run.rows.len() as u64
        }
    }

    /// Writes the rejects whose turn has come.
    fn write_rejects(&mut self) -> Result<(), PipelineError> {
        let records = self.tally.take_records();
        match &mut self.edges.rejects {
            Some(rejects) if !records.is_empty() => Ok(rejects.write(&records)?),
            _ => Ok(()),
        }
    }

    /// Folds runs into the open windows, side by side.
    fn fold(&mut self, runs: &[Run]) -> Result<(), PipelineError> {
        if runs.is_empty() {
            return Ok(());
        }
        let batches = &self.batches;
        let inputs: Vec<Input> = runs.iter().map(|run| Input { run, projected: &batches[&run.batch] }).collect();
        if self.merging {
            for Input { run, projected } in inputs {
                for row in run.rows.clone() {
                    let own = run.own_before(row, &projected.maximum);
                    let place = (own, run.operator_before(row, &projected.maximum), run.position_of(row));
                    let is_late = self.operator.merge(&projected.partials[row], place, &mut self.outputs)?;
                    if let Some(late) = self.edges.late.as_mut().filter(|_| is_late) {
                        // What is late can be merged elsewhere, and so begins as any file of partials.
                        if !std::mem::replace(&mut self.late_begun, true) {
                            headers(&self.config.plan).iter().try_for_each(|header| late.write_header(header))?;
                        }
                        late.write(&projected.batch, row)?;
                    }
                }
            }
            self.operator.bound_groups();
            self.write()?;
            self.recycle(runs);
            return Ok(());
        }
        let selected =
            |input: &Input| input.projected.selected.iter().map(|s| s.within(&input.run.rows).len()).sum::<usize>();
        let workers = self.operator.workers();
        let folded = if inputs.iter().map(selected).sum::<usize>() < ROWS_FEW {
            workers.iter_mut().map(|worker| worker.fold(&inputs)).collect()
        } else {
            self.crew.each(workers, |worker| worker.fold(&inputs))
        };
        let late = self.operator.apply(&inputs, folded, &mut self.outputs)?;
        for of_event in late.chunk_by(|a, b| (a.input, a.row) == (b.input, b.row)) {
            let Late { input, row, .. } = of_event[0];
            let Input { run, projected } = inputs[input];
            let watermark = run.own_before(row as usize, &projected.maximum);
            let highest = watermark.0.saturating_add(self.config.watermark_delay.0);
            let behind = highest.saturating_sub(projected.batch.times[row as usize].0);
            self.summary.furthest_behind = self.summary.furthest_behind.max(Duration(behind));
            if let Some(late) = &mut self.edges.late {
                let metrics: Vec<usize> = of_event.iter().map(|late| late.metric).collect();
                let mark = mark(&self.config.plan, projected, row, &metrics);
                mark.iter().try_for_each(|mark| late.write_header(mark))?;
                late.write(&projected.batch, row as usize)?;
            }
        }
        self.write()?;
        self.recycle(runs);
        Ok(())
    }

    /// Gives back the batches of which these runs took the last rows.
    fn recycle(&mut self, runs: &[Run]) {
        for run in runs {
            if run.rows.end == self.batches[&run.batch].rows() {
                let done = self.batches.remove(&run.batch).expect("a batch is done with once");
                self.edges.intake.recycle(done.batch.text);
            }
        }
    }

    fn fire(&mut self, watermark: Timestamp) -> Result<(), PipelineError> {
        let end = |backfill: &Backfill, operator: &Operator| backfill.stretch_end(operator.watermark(), watermark);
        while let Some(end) = self.edges.backfill.as_ref().and_then(|backfill| end(backfill, &self.operator)) {
            self.fire_to(end)?;
            self.keep_stretch()?;
        }
        self.fire_to(watermark)?;
        self.keep_stretch()
    }

    fn fire_to(&mut self, watermark: Timestamp) -> Result<(), PipelineError> {
        let has_sessions = || self.config.plan.queries.iter().any(|query| matches!(query.windows, Windows::Session(_)));
        if watermark > self.operator.watermark() && has_sessions() {
            self.crew.each(self.operator.workers(), |worker| worker.fire_sessions(watermark));
        }
        loop {
            let more = self.operator.fire_next(watermark, &mut self.outputs);
            self.write()?;
            if self.edges.keeper.as_ref().is_some_and(Keeper::is_full) {
                self.keep(true)?;
            }
            self.keep_buckets_small()?;
            // What is kept must be whole: half of what fires would be lost with the next run.
            if !more || (!self.is_heard() && self.edges.keeper.is_none()) {
                return Ok(());
            }
        }
    }

    /// Early results, and what is said in band, once the watermark has passed a cut.
    fn at_cut(&mut self, before: Timestamp, watermark: Timestamp) -> Result<(), PipelineError> {
        if before > Timestamp::MIN && self.cadence.is_early(before, watermark) {
            self.operator.write_early(&mut self.outputs);
            self.write()?;
        }
        if self.config.emit.watermarks {
            self.edges.destinations.write_watermark(watermark)?;
        }
        self.write_stats(watermark)
    }

    /// What is left to do when there is no more input.
    fn end(&mut self) -> Result<(), PipelineError> {
        let leaves_open = self.edges.keeper.as_ref().is_some_and(Keeper::leaves_open);
        self.edges.keeper.iter_mut().for_each(Keeper::end);
        // What a repair leaves open are windows that their owner has not fired.
        if let Some(until) = self.edges.keeper.as_ref().and_then(Keeper::repairs_until) {
            self.fire(until)?;
            return self.count_waiting();
        }
        match self.config.fire_at_end {
            // What is open goes on with the next run, and is shown as it stands.
            true if leaves_open => {
                // The input may be cut from one whose time went further.
                if let Some(until) = self.edges.keeper.as_ref().and_then(Keeper::fires_until) {
                    self.fire(until)?;
                }
                self.operator.write_open(&mut self.outputs);
                self.write()?;
            }
            true => self.fire(Timestamp::MAX)?,
            false => {}
        }
        self.write_stats(Timestamp::MAX)
    }

    /// Stores the rows of open windows that can't be counted on to be overwritten, once the run ends before its input does.
    fn keep_open(&mut self) -> Result<(), PipelineError> {
        let Some(keeper) = self.edges.keeper.as_mut().filter(|keeper| keeper.shows_open() && !keeper.has_ended())
        else {
            return Ok(());
        };
        if self.config.fire_at_end && !self.summary.too_many_rejects {
            keeper.end();
            self.operator.write_open(&mut self.outputs);
            keeper.take(&mut self.outputs)?;
        }
        Ok(())
    }

    /// Whether anyone takes rows: a reader that has not gone, or, where there is no other place, the store.
    fn is_heard(&self) -> bool {
        let destinations = &self.edges.destinations;
        let has_other = self.edges.keeper.is_some() || !self.edges.buckets.is_empty() || self.config.repairs;
        destinations.any_open() || (destinations.all.is_empty() && has_other)
    }

    fn write_stats(&mut self, watermark: Timestamp) -> Result<(), PipelineError> {
        if !self.config.emit.stats {
            return Ok(());
        }
        self.count();
        let metrics: Vec<_> = self.summary.metrics.iter().map(|(name, counts)| (name.as_str(), *counts)).collect();
        let held_by = self.sequencer.holder().map(|(partition, _)| self.edges.intake.name(partition));
        let latency_us = Some(self.edges.clock.now().0 - self.arrival.0);
        let stats = StatsLine { watermark, held_by, latency_us, input: self.tally.counts(), metrics: &metrics };
        Ok(self.edges.destinations.write_stats(&stats)?)
    }

    /// Says which window of each metric fires next, and what it waits for.
    fn tell_why(&mut self, ended: bool) {
        let reached = self.sequencer.watermark();
        let holder = self.sequencer.holder();
        let holder = holder.map(|(partition, watermark)| (self.edges.intake.name(partition), watermark));
        let end = ended.then_some(self.config.fire_at_end);
        for (metric, schema) in self.config.plan.schemas.iter().enumerate() {
            let window = self.operator.next_window(metric);
            if let Some(line) = window.and_then(|window| why(&schema.name, window, reached, holder, end)) {
                (self.edges.say)(&line);
            }
        }
    }

    /// Encodes the outputs so far.
    fn write(&mut self) -> Result<(), PipelineError> {
        if let Some((start, end)) = self.config.range {
            self.outputs.retain(|output| {
                let (_, window, _) = output.place();
                start <= window.start && window.end <= end
            });
        }
        if let Some(made) = self.edges.backfill.as_ref().and_then(Backfill::made) {
            self.outputs.retain(|output| output.place().1.end > made);
        }
        for output in &self.outputs {
            let Output::Row(row) = output else { continue };
            self.summary.rows += 1;
            if let Some(program) = &self.config.fail_if[row.metric]
                && row.is_final
                && !row.retracted
                && self.summary.failed_if.is_none()
            {
                let found = row;
                let row = Row { groups: row.groups.clone(), aggregates: row.aggregates.clone(), rank: row.rank };
                let mut text = Vec::new();
                let columns = columns_of(std::slice::from_ref(&row), &mut text);
                if !program.select(&columns, 1, &mut text, &mut 0).is_empty() {
                    self.summary.failed_if = Some(shown(found, &self.config.plan.schemas));
                }
            }
        }
        if self.looks_for_windows() {
            self.marks.note_windows(&self.outputs);
        }
        self.edges.destinations.write(&self.outputs, &self.config.plan.schemas, &self.crew)?;
        self.write_points()?;
        if let Some(keeper) = &mut self.edges.keeper {
            keeper.take(&mut self.outputs)?;
        }
        self.outputs.clear();
        Ok(())
    }

    /// Makes visible what was written: once a step, and so always before waiting for input.
    /// Hands on what was written to files, pipes and topics.
    pub(in crate::pipeline::window) fn flush(&mut self) -> Result<(), PipelineError> {
        self.edges.destinations.flush()?;
        if let Some(rejects) = &mut self.edges.rejects {
            rejects.flush()?;
        }
        if let Some(late) = &mut self.edges.late {
            late.flush()?;
        }
        Ok(())
    }

    fn count(&mut self) {
        let now = self.operator.counts();
        for ((_, counts), (now, before)) in self.summary.metrics.iter_mut().zip(now.iter().zip(&self.counted_before.0))
        {
            *counts = now.since(before);
        }
    }

    fn finish(&mut self) -> Result<(), PipelineError> {
        self.count();
        let given_up = self.summary.too_many_rejects;
        self.summary.input = *self.tally.counts();
        self.summary.first_reject = self.tally.first_reject().map(|TakenReject { partition, line, reason }| {
            let input = self.edges.intake.name(*partition).into();
            FirstReject { input, line: *line, reason: reason.clone() }
        });
        let input = &mut self.summary.input;
        input.became_null += self.operator.nulled() - self.counted_before.1;
        if let RejectsMax::Percent(max) = self.config.rejects_max {
            let rejected = input.rejected() + self.summary.points_rejected;
            self.summary.too_many_rejects |= rejected as f64 * 100.0 > max * input.events_in as f64;
        }
        self.summary.watermark = Some(self.operator.watermark());
        self.summary.affected = self.marks.take();
        self.summary.repaired = self.edges.keeper.as_ref().map(Keeper::repaired).unwrap_or_default();
        self.summary.only_rejects = self.edges.keeper.as_ref().map(Keeper::only_rejects).unwrap_or_default();
        let refused = self.edges.keeper.as_ref().map_or(0, Keeper::refused);
        if refused > 0 {
            (self.edges.say)(&format!(
                "{refused} rows were not stored: retention has dropped the points of their time"
            ));
        }
        self.summary.taken_back = self.edges.buckets.taken_back();
        let standing = self.edges.buckets.not_taken_back();
        if standing > 0 {
            (self.edges.say)(&format!(
                "{standing} points no longer hold and still stand: a group column of theirs is NULL, and InfluxDB cannot delete what has no tag"
            ));
        }
        self.summary.rows_skipped = self.edges.destinations.skipped();
        // Files of a run that was given up would look complete; what it rejected is what the user wants to see.
        if !given_up {
            self.edges.destinations.finish()?;
        }
        if let Some(rejects) = &mut self.edges.rejects {
            rejects.finish()?;
        }
        if let Some(late) = &mut self.edges.late {
            late.finish()?;
        }
        Ok(())
    }
}
