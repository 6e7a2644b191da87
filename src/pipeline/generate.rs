//! evgen's loop: events from the generator through the encoder into the output, paced by a clock or flat out.
//!
//! Flat out, one thread simulates, some encode, and the caller's writes in order; so the bytes do not depend on the number
//! of threads. Paced, all is done by one thread, and an event's time is kept whether or not the reader keeps up.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::generate::encode::{Encoder, Format};
use crate::generate::truth::Truth;
use crate::generate::{Event, Generator, Settings};
use crate::pipeline::pace::Pacer;
use crate::sink::{Sink, SinkError};
use crate::time::{Duration, Timestamp};

/// What evgen has been asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Which events.
    pub settings: Settings,
    /// How they are written.
    pub format: Format,
    /// How many threads encode, at least 1. With 1 nothing is started.
    pub threads: usize,
    /// Seconds of event time to a second of the clock; `None` is as fast as the reader reads.
    pub speed: Option<f64>,
    /// Keep the truth for a reader whose watermark runs this far behind.
    pub truth_delay: Option<Duration>,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// Events written, copies too.
    pub lines: u64,
    /// How far behind its time an event was written at most; 0 when not paced.
    pub lag_max: Duration,
    /// What a reader must find in what was written. Not there when the reader left, since nobody knows how much it read.
    pub truth: Option<Truth>,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All events are written.
    Finished,
    /// Stopped from outside; what was simulated until then is written.
    Stopped,
    /// Nobody reads the output any more.
    ReaderLeft,
}

/// A block's bytes are written at once: some 800 KiB of ndjson, under the 1 MiB that a pipe holds.
const BLOCK_EVENTS: usize = 2048;
/// Blocks under way for each encoding thread.
const BLOCKS_A_THREAD: usize = 3;
/// A paced run wakes up at most this often: timestamps have milliseconds.
const TICK: i64 = 1_000;
/// A paced run looks this often whether it should stop.
const NAP_MAX: i64 = 100_000;

/// Writes the events of `job` to `out`, until the last, or `stop` says so, or the reader leaves. `out` is flushed, not finished.
pub fn run(job: &Job, pacer: &dyn Pacer, stop: Stop<'_>, out: &mut dyn Sink) -> Result<Outcome, SinkError> {
    let encoder = Encoder::new(job.settings.profile, job.settings.seed, job.format);
    let header = encoder.header();
    let truth = job.truth_delay.map(|delay| Truth::new(&job.settings, delay, u64::from(!header.is_empty())));
    let run = Run { generator: Generator::new(&job.settings), encoder, truth, stop, lines: 0, lag_max: 0 };
    let written = out.write(&header).and_then(|()| match (job.speed, job.threads) {
        (Some(speed), _) => run.paced(job.settings.start, speed, pacer, out),
        (None, 1) => run.flat_out(out),
        (None, threads) => run.flat_out_threaded(threads, out),
    });
    match written {
        Err(SinkError::Closed { .. }) => {
            Ok(Outcome { end: End::ReaderLeft, lines: 0, lag_max: Duration(0), truth: None })
        }
        written => written,
    }
}

/// Says whether a run should end before its last event.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

struct Run<'a> {
    generator: Generator,
    encoder: Encoder,
    truth: Option<Truth>,
    stop: Stop<'a>,
    lines: u64,
    lag_max: i64,
}

impl Run<'_> {
    fn paced(
        mut self,
        start: Timestamp,
        speed: f64,
        pacer: &dyn Pacer,
        out: &mut dyn Sink,
    ) -> Result<Outcome, SinkError> {
        let begun = pacer.now().0;
        let (mut block, mut bytes) = (Vec::new(), Vec::new());
        let mut next_tick = begun;
        while let Some(arrival) = self.generator.next_arrival() {
            if self.is_stopped() {
                return Ok(self.outcome(End::Stopped));
            }
            let due = begun + (arrival.0.saturating_sub(start.0).max(0) as f64 / speed) as i64;
            let now = pacer.now().0;
            if now < due.max(next_tick) {
                pacer.sleep_until(Timestamp(due.max(next_tick).min(now + NAP_MAX)));
                continue;
            }
            self.lag_max = self.lag_max.max(now - due);
            next_tick = now + TICK;
            let reached = start.0.saturating_add(((now - begun) as f64 * speed) as i64);
            // Rounding must not hold back the event that is due.
            let until = Timestamp(reached.max(arrival.0));
            while !self.is_stopped() && self.fill(until, &mut block) {
                bytes.clear();
                self.encoder.encode(&block, &mut bytes);
                out.write(&bytes)?;
            }
            out.flush()?;
        }
        Ok(self.outcome(End::Finished))
    }

    fn flat_out(mut self, out: &mut dyn Sink) -> Result<Outcome, SinkError> {
        let (mut block, mut bytes) = (Vec::new(), Vec::new());
        while !self.is_stopped() {
            if !self.fill(Timestamp::MAX, &mut block) {
                out.flush()?;
                return Ok(self.outcome(End::Finished));
            }
            bytes.clear();
            self.encoder.encode(&block, &mut bytes);
            out.write(&bytes)?;
            out.flush()?;
        }
        Ok(self.outcome(End::Stopped))
    }

    fn flat_out_threaded(mut self, threads: usize, out: &mut dyn Sink) -> Result<Outcome, SinkError> {
        std::thread::scope(|scope| {
            let (return_empty, take_empty) = channel();
            for _ in 0..threads * BLOCKS_A_THREAD {
                return_empty.send(Bundle::default()).expect("the receiver is in this very function");
            }
            let (mut to_encode, mut encoded) = (Vec::new(), Vec::new());
            for _ in 0..threads {
                let (to_encoder, from_simulation) = sync_channel::<Bundle>(BLOCKS_A_THREAD);
                let (to_writer, from_encoder) = sync_channel(BLOCKS_A_THREAD);
                let encoder = self.encoder.clone();
                scope.spawn(move || encode_blocks(encoder, &from_simulation, &to_writer));
                to_encode.push(to_encoder);
                encoded.push(from_encoder);
            }
            let simulation = scope.spawn(move || {
                let end = self.simulate_blocks(&take_empty, to_encode);
                self.outcome(end)
            });
            // An early end drops the channels' ends, which ends the others.
            write_blocks(encoded, return_empty, out)?;
            Ok(simulation.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// Hands out blocks to the encoders in turn.
    fn simulate_blocks(&mut self, take_empty: &Receiver<Bundle>, to_encode: Vec<SyncSender<Bundle>>) -> End {
        for to_encoder in to_encode.iter().cycle() {
            if self.is_stopped() {
                return End::Stopped;
            }
            let Ok(mut bundle) = take_empty.recv() else { return End::ReaderLeft };
            if !self.fill(Timestamp::MAX, &mut bundle.events) {
                return End::Finished;
            }
            if to_encoder.send(bundle).is_err() {
                return End::ReaderLeft;
            }
        }
        End::Finished
    }

    /// Replaces `block` by the next events that arrive by `until`. False when there are none.
    fn fill(&mut self, until: Timestamp, block: &mut Vec<Event>) -> bool {
        block.clear();
        self.lines += self.generator.fill(until, BLOCK_EVENTS, block) as u64;
        if let Some(truth) = &mut self.truth {
            truth.record(block);
        }
        !block.is_empty()
    }

    fn is_stopped(&self) -> bool {
        (self.stop)()
    }

    fn outcome(self, end: End) -> Outcome {
        Outcome { end, lines: self.lines, lag_max: Duration(self.lag_max), truth: self.truth }
    }
}

/// A block on its way round: simulation, encoder, writer, and empty back.
#[derive(Default)]
struct Bundle {
    events: Vec<Event>,
    bytes: Vec<u8>,
}

fn encode_blocks(mut encoder: Encoder, from_simulation: &Receiver<Bundle>, to_writer: &SyncSender<Bundle>) {
    while let Ok(mut bundle) = from_simulation.recv() {
        bundle.bytes.clear();
        encoder.encode(&bundle.events, &mut bundle.bytes);
        if to_writer.send(bundle).is_err() {
            return;
        }
    }
}

/// Takes blocks from the encoders in turn, which is the order in which they were handed out.
fn write_blocks(
    encoded: Vec<Receiver<Bundle>>,
    return_empty: Sender<Bundle>,
    out: &mut dyn Sink,
) -> Result<(), SinkError> {
    for from_encoder in encoded.iter().cycle() {
        let Ok(bundle) = from_encoder.recv() else { break };
        out.write(&bundle.bytes)?;
        out.flush()?;
        // Nobody takes it when the simulation is over.
        let _ = return_empty.send(bundle);
    }
    out.flush()
}
