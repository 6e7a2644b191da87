//! evingest's loop: source ─ decode ─ validate ─ complete ─ encode ─▶ delivery, rejects ▸ side.
//!
//! Blocks are judged side by side and delivered in the order of the input, whatever the number of threads. What depends on what
//! came before (duplicates, the bound on rejects, the pace) is decided where they are put in order. Knows nothing of flags.

pub mod dedup;
pub mod delivery;
pub mod error;
pub mod exactly_once;
pub mod in_turn;
pub mod judge;
pub mod kept;
pub mod positions;
pub mod replay;
pub mod summary;

use std::sync::Arc;

use crate::kafka::transaction::TransactionError;
use crate::partition::PartitionId;
use crate::pipeline::crew::Crew;
use crate::pipeline::ingest::dedup::Dedup;
use crate::pipeline::ingest::delivery::{Delivery, DeliveryError, Event};
use crate::pipeline::ingest::error::IngestError;
use crate::pipeline::ingest::in_turn::InTurn;
use crate::pipeline::ingest::judge::{Accepted, Judged, Rejected};
use crate::pipeline::ingest::positions::Position;
use crate::pipeline::ingest::replay::Worker;
use crate::pipeline::ingest::summary::Summary;
use crate::pipeline::intake::Incoming;
use crate::pipeline::pace::Pacer;
use crate::pipeline::summary::FirstReject;
use crate::pipeline::tally::RejectsMax;
use crate::sink::side::{RejectRecord, RejectWriter};
use crate::sink::{Sink, SinkError};
use crate::source::{Source, SourceError};
use crate::time::Timestamp;
use crate::validate::schema::Schemas;
use crate::value::write_json_string;

/// Blocks taken at once for each thread.
const BLOCKS_A_THREAD: usize = 2;

/// A paced run looks this often whether it should stop, and wakes up at most this often.
const NAP_MAX: i64 = 100_000;
const TICK: i64 = 1_000;

/// As far behind its pace a run may fall and catch up again.
const BURST: i64 = 50_000;

/// How a run works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that judge. At least 1.
    pub threads: usize,
    /// How many lines may be rejected.
    pub rejects_max: RejectsMax,
    /// Events sent in a thousand seconds, if it is paced.
    pub rate_milli: Option<u64>,
    /// Lines of each input that the source passes over.
    pub lines_passed: Vec<u64>,
    /// What was done before this run began, to be counted with it.
    pub before: Summary,
}

/// What a run reads and writes.
pub struct Edges<'a> {
    /// The inputs.
    pub source: Box<dyn Source>,
    /// Where events go.
    pub delivery: Box<dyn Delivery>,
    /// Where rejects go.
    pub rejects: Option<RejectWriter>,
    /// Where it is told of every event what became of it.
    pub verdicts: Option<Box<dyn Sink>>,
    /// What tells events that came before.
    pub dedup: Option<Dedup>,
    /// The clock that paces.
    pub pacer: &'a dyn Pacer,
    /// The schemas as they are now, where they may change while events are judged.
    pub schemas: Option<&'a dyn Fn() -> Arc<Schemas>>,
    /// Whether reading is to stop. Whoever makes it true must call the source's waker.
    pub is_stopped: &'a dyn Fn() -> bool,
}

/// Reads, judges and delivers until the input ends, reading is stopped, or too many lines are rejected. Also where that ends in an
/// error, what was judged before has been handed on.
pub fn run(settings: &Settings, worker: Worker, edges: Edges<'_>) -> Result<Summary, IngestError> {
    let crew = Crew::new(settings.threads)?;
    let Edges { source, delivery, rejects, verdicts, dedup, pacer, schemas, is_stopped } = edges;
    let mut lines = settings.lines_passed.clone();
    lines.resize(source.partitions(), 0);
    let mut inputs = InTurn::new(source);
    let mut workers = vec![worker; settings.threads];
    let mut writer = Writer {
        delivery,
        rejects,
        verdicts,
        dedup,
        pace: settings.rate_milli.map(|rate| Pace::new(rate, pacer)),
        newest: schemas.map(|newest| Newest { newest, taken: None }),
        is_stopped,
        rejects_max: settings.rejects_max.while_running() as u64,
        lines,
        has_stopped: false,
        committed: settings.before.clone(),
        summary: settings.before.clone(),
        scratch: Vec::new(),
    };
    let ended = writer.write_all(&crew, &mut workers, &mut inputs);
    let finished = ended.and_then(|failed| writer.finish(settings, failed.or_else(|| inputs.take_error())));
    match finished {
        // The reader of the events has all that it wanted; the rejects until then are kept.
        Err(IngestError::Delivery(DeliveryError::Sink(SinkError::Closed { .. }))) => {
            writer.delivery.give_up()?;
            writer.finish_sides()?;
            Ok(writer.summary)
        }
        finished => finished.map_err(|error| writer.explained(error)),
    }
}

/// Judges blocks side by side, the next one by whichever thread is free; gives them in their order.
fn judge(
    crew: &Crew,
    workers: &mut [Worker],
    inputs: &InTurn,
    blocks: Vec<Incoming>,
) -> Result<Vec<Result<Judged, SourceError>>, IngestError> {
    for block in &blocks {
        if let Incoming::Read(block) = block
            && workers[0].awaits_header(block.partition)
        {
            let (first, others) = workers.split_first_mut().expect("there is one at least");
            first.meet_header(block, inputs.name(block.partition))?;
            others.iter_mut().for_each(|other| other.learn(first, block.partition));
        }
    }
    Ok(crew.share(workers, blocks, |worker, block| block.read_lines().map(|block| worker.block(block))))
}

/// Hands on what was judged, in order, and counts it.
struct Writer<'a> {
    delivery: Box<dyn Delivery>,
    rejects: Option<RejectWriter>,
    verdicts: Option<Box<dyn Sink>>,
    dedup: Option<Dedup>,
    pace: Option<Pace<'a>>,
    newest: Option<Newest<'a>>,
    is_stopped: &'a dyn Fn() -> bool,
    rejects_max: u64,
    /// Lines before the next block, by partition.
    lines: Vec<u64>,
    /// Reading was stopped within a block.
    has_stopped: bool,
    summary: Summary,
    /// What of it is sure to have arrived, where the delivery tells.
    committed: Summary,
    scratch: Vec<u8>,
}

/// What became of an event.
enum Verdict<'a> {
    Accepted,
    Duplicate,
    Rejected(&'a Rejected),
}

impl Writer<'_> {
    /// Takes, judges and writes until there is no more, or no more is wanted. Gives what went wrong while a block was read: all before
    /// it was written.
    fn write_all(
        &mut self,
        crew: &Crew,
        workers: &mut [Worker],
        inputs: &mut InTurn,
    ) -> Result<Option<SourceError>, IngestError> {
        while !(self.is_stopped)() && !self.summary.too_many_rejects {
            let blocks = inputs.take(workers.len() * BLOCKS_A_THREAD);
            if blocks.is_empty() {
                if inputs.has_ended() {
                    break;
                }
                self.flush()?;
                inputs.wait();
                continue;
            }
            // Between blocks that are judged together, so that all of them are judged by the same.
            if let Some(schemas) = self.newest.as_mut().and_then(Newest::take) {
                workers.iter_mut().for_each(|worker| worker.renew(&schemas));
            }
            for judged in judge(crew, workers, inputs, blocks)? {
                let judged = match judged {
                    Ok(judged) => judged,
                    Err(error) => return Ok(Some(error)),
                };
                self.write(&judged, inputs.name(PartitionId(judged.partition)))?;
                inputs.recycle(judged.text);
            }
        }
        Ok(None)
    }

    /// A lost transaction with what was committed before it.
    fn explained(&self, error: IngestError) -> IngestError {
        let done = |summary: &Summary| Box::new(Summary { acknowledged: Some(summary.accepted), ..summary.clone() });
        let committed = done(&self.committed);
        match error {
            IngestError::Delivery(DeliveryError::Transaction(source @ TransactionError::Lost { .. })) => {
                IngestError::Lost { source, committed, attempted: None }
            }
            IngestError::Delivery(DeliveryError::Commit { source, positions }) => {
                IngestError::Lost { source, committed, attempted: Some((positions, done(&self.summary))) }
            }
            error => error,
        }
    }

    fn write(&mut self, judged: &Judged, name: &str) -> Result<(), IngestError> {
        if self.has_stopped || self.summary.too_many_rejects {
            return Ok(());
        }
        let mut rejected = judged.rejected.iter().peekable();
        for accepted in &judged.accepted {
            while let Some(reject) = rejected.next_if(|reject| reject.span.line < accepted.span.line) {
                self.reject(judged, reject, name)?;
            }
            if self.summary.too_many_rejects || !self.keep_pace(judged, accepted)? {
                return Ok(());
            }
            self.accept(judged, accepted, name)?;
        }
        for reject in rejected {
            self.reject(judged, reject, name)?;
        }
        // Those behind the one that was too many are not kept: they have not had their turn.
        if self.summary.too_many_rejects {
            return Ok(());
        }
        self.lines[judged.partition as usize] += u64::from(judged.lines);
        self.summary.in_band += u64::from(judged.in_band);
        self.summary.blank += u64::from(judged.blank);
        self.summary.left_out += u64::from(judged.left_out);
        let position = Position { byte: judged.end, lines: self.lines[judged.partition as usize] };
        self.reached(judged.partition, position)
    }

    /// Everything before this place has had its turn.
    fn reached(&mut self, partition: u32, position: Position) -> Result<(), IngestError> {
        // What is committed is not read again, so its rejects must be kept by then.
        self.rejects.as_mut().map_or(Ok(()), RejectWriter::flush)?;
        if self.delivery.reached(PartitionId(partition), position)? {
            self.committed.clone_from(&self.summary);
        }
        Ok(())
    }

    #[inline]
    fn accept(&mut self, judged: &Judged, accepted: &Accepted, name: &str) -> Result<(), IngestError> {
        self.summary.events_in += 1;
        if let (Some(dedup), Some(id)) = (&mut self.dedup, accepted.dedup)
            && !dedup.is_new(id, accepted.time)
        {
            self.summary.duplicates += 1;
            return self.tell(judged, accepted.span.line, Some(accepted.event_id), name, &Verdict::Duplicate);
        }
        self.delivery.send(&Event {
            partition: judged.partition,
            place: judged.offset + u64::from(accepted.span.start),
            payload: judged.bytes(accepted.payload),
            key: accepted.key.map(|key| judged.bytes(key)),
            time: accepted.time,
            schema_version: accepted.schema_version,
        })?;
        self.summary.accepted += 1;
        self.tell(judged, accepted.span.line, Some(accepted.event_id), name, &Verdict::Accepted)
    }

    #[cold]
    fn reject(&mut self, judged: &Judged, reject: &Rejected, name: &str) -> Result<(), IngestError> {
        if self.summary.too_many_rejects {
            return Ok(());
        }
        let origin = judged.origins.get(reject.span.line as usize);
        let line = self.lines[judged.partition as usize] + u64::from(reject.span.line) + 1;
        let begin = judged.offset + u64::from(reject.span.start);
        let (source, line, byte) = match origin {
            Some(origin) => (&*origin.source, origin.line, origin.byte),
            None => (name, line, begin + u64::from(reject.byte)),
        };
        self.summary.events_in += 1;
        self.summary.rejected += 1;
        self.summary.too_many_rejects = self.summary.rejected > self.rejects_max;
        let reason = &*reject.violation.reason;
        if self.summary.first_reject.is_none() {
            self.summary.first_reject = Some(FirstReject { input: source.to_owned(), line, reason: reason.into() });
        }
        if let Some(rejects) = &mut self.rejects {
            self.scratch.clear();
            let record = RejectRecord {
                source,
                offset: None,
                line,
                byte,
                reason,
                pointer: reject.is_event.then_some(&*reject.violation.pointer),
                attempt: Some(origin.map_or(1, |origin| origin.attempt)),
                payload: judged.original(reject.span),
            };
            rejects.push(&record, &mut self.scratch);
            rejects.write(&self.scratch)?;
        }
        self.tell(judged, reject.span.line, None, name, &Verdict::Rejected(reject))
    }

    /// Says what became of an event, where that is wanted.
    #[inline]
    fn tell(
        &mut self,
        judged: &Judged,
        line: u32,
        event_id: Option<u64>,
        name: &str,
        verdict: &Verdict<'_>,
    ) -> Result<(), IngestError> {
        let Some(verdicts) = &mut self.verdicts else { return Ok(()) };
        let out = &mut self.scratch;
        out.clear();
        let (source, line) = match judged.origins.get(line as usize) {
            Some(origin) => (&*origin.source, origin.line),
            None => (name, self.lines[judged.partition as usize] + u64::from(line) + 1),
        };
        out.extend_from_slice(b"{\"source\":");
        write_json_string(source, out);
        out.extend_from_slice(format!(",\"line\":{line}").as_bytes());
        if let Some(id) = event_id {
            out.extend_from_slice(b",\"event_id\":");
            write_json_string(&String::from_utf8_lossy(judged.bytes(id)), out);
        }
        match verdict {
            Verdict::Accepted => out.extend_from_slice(b",\"verdict\":\"accepted\""),
            Verdict::Duplicate => out.extend_from_slice(b",\"verdict\":\"duplicate\""),
            Verdict::Rejected(reject) => {
                out.extend_from_slice(b",\"verdict\":\"rejected\",\"reason\":");
                write_json_string(&reject.violation.reason, out);
                if reject.is_event {
                    out.extend_from_slice(b",\"pointer\":");
                    write_json_string(&reject.violation.pointer, out);
                }
            }
        }
        out.extend_from_slice(b"}\n");
        match verdicts.write(out) {
            // Whoever read them has gone. Events are delivered all the same.
            Err(SinkError::Closed { .. }) => self.verdicts = None,
            written => written?,
        }
        Ok(())
    }

    /// Waits until the next event is due. False when reading was stopped meanwhile.
    #[inline]
    fn keep_pace(&mut self, judged: &Judged, next: &Accepted) -> Result<bool, IngestError> {
        if !self.pace.as_mut().is_some_and(Pace::is_ahead) {
            return Ok(true);
        }
        let lines = self.lines[judged.partition as usize] + u64::from(next.span.line);
        self.reached(judged.partition, Position { byte: judged.offset + u64::from(next.span.start), lines })?;
        self.delivery.flush()?;
        self.has_stopped = !self.pace.as_mut().is_some_and(|pace| pace.wait(self.is_stopped));
        Ok(!self.has_stopped)
    }

    fn flush(&mut self) -> Result<(), IngestError> {
        self.delivery.flush()?;
        self.rejects.as_mut().map_or(Ok(()), RejectWriter::flush)?;
        match self.verdicts.as_mut().map_or(Ok(()), |verdicts| verdicts.flush()) {
            Err(SinkError::Closed { .. }) => self.verdicts = None,
            flushed => flushed?,
        }
        Ok(())
    }

    /// Completes what is written beside the events.
    fn finish_sides(&mut self) -> Result<(), IngestError> {
        if let Some(rejects) = &mut self.rejects {
            rejects.finish()?;
        }
        match self.verdicts.as_mut().map_or(Ok(()), |verdicts| verdicts.finish()) {
            Err(SinkError::Closed { .. }) => Ok(()),
            finished => Ok(finished?),
        }
    }

    /// Completes the outputs, unless the run has failed: then nothing looks complete.
    fn finish(&mut self, settings: &Settings, failed: Option<SourceError>) -> Result<Summary, IngestError> {
        let summary = &mut self.summary;
        if let RejectsMax::Percent(max) = settings.rejects_max {
            summary.too_many_rejects |= summary.rejected as f64 > summary.events_in as f64 * max / 100.0;
        }
        let is_good = failed.is_none() && !summary.too_many_rejects;
        // Rejects are there to be looked at, above all when they were too many.
        self.finish_sides()?;
        self.delivery.finish(is_good)?;
        let before = settings.before.acknowledged.unwrap_or(0);
        self.summary.acknowledged = self.delivery.acknowledged().map(|acknowledged| before + acknowledged);
        self.summary.forgotten_early = self.dedup.as_ref().map_or(0, Dedup::forgotten_early);
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(self.summary.clone()),
        }
    }
}

/// Schemas that may change.
struct Newest<'a> {
    newest: &'a dyn Fn() -> Arc<Schemas>,
    taken: Option<Arc<Schemas>>,
}

impl Newest<'_> {
    /// The schemas, where they are others than those that were taken before.
    fn take(&mut self) -> Option<Arc<Schemas>> {
        let newest = (self.newest)();
        if self.taken.as_ref().is_some_and(|taken| Arc::ptr_eq(taken, &newest)) {
            return None;
        }
        self.taken = Some(Arc::clone(&newest));
        Some(newest)
    }
}

/// When events are due.
struct Pace<'a> {
    pacer: &'a dyn Pacer,
    rate_milli: u64,
    begun: Timestamp,
    sent: u64,
    /// Until here no look at the clock is needed.
    checked_until: u64,
}

impl<'a> Pace<'a> {
    fn new(rate_milli: u64, pacer: &'a dyn Pacer) -> Pace<'a> {
        Pace { pacer, rate_milli, begun: pacer.now(), sent: 0, checked_until: 0 }
    }

    /// When event number `number` is due, counted from 0.
    fn due(&self, number: u64) -> Timestamp {
        let micros = u128::from(number) * 1_000_000_000 / u128::from(self.rate_milli);
        Timestamp(self.begun.0.saturating_add(i64::try_from(micros).unwrap_or(i64::MAX)))
    }

    /// Counts the next event, and says whether it is to be waited for.
    #[inline]
    fn is_ahead(&mut self) -> bool {
        self.sent += 1;
        if self.sent <= self.checked_until {
            return false;
        }
        let now = self.pacer.now();
        let due = self.due(self.sent - 1);
        if now < due {
            return true;
        }
        // An input that paused is not made up for by a burst.
        self.begun.0 += (now.0 - due.0 - BURST).max(0);
        let passed = u128::from((now.0 - self.begun.0).max(0) as u64) * u128::from(self.rate_milli) / 1_000_000_000;
        self.checked_until = u64::try_from(passed).unwrap_or(u64::MAX).max(self.sent);
        false
    }

    /// Waits for the event that was counted last. False when it is to stop.
    fn wait(&mut self, is_stopped: &dyn Fn() -> bool) -> bool {
        let due = self.due(self.sent - 1).max(Timestamp(self.pacer.now().0 + TICK));
        while !is_stopped() {
            let now = self.pacer.now();
            if now >= due {
                return true;
            }
            self.pacer.sleep_until(due.min(Timestamp(now.0 + NAP_MAX)));
        }
        false
    }
}

#[cfg(test)]
mod tests;
