//! What the second stage has of one partition of the pieces: a pure function of the parcels in that partition, in their order.
//!
//! It is saved now and then; whoever has the saved bytes and the parcels behind them has the same shard again, and what comes out of it
//! is the same. Time goes on by the least watermark over all partitions of the input that are not idle. Knows nothing of Kafka.

use std::sync::Arc;

use crate::aggregate::Accumulators;
use crate::aggregate::encoding::{put_bytes, put_varint, put_word};
use crate::aggregate::saved::{Kind, StateError, seal, unseal};
use crate::partition::PartitionId;
use crate::pipeline::group::parcel::{Mark, Parcel, put_marks, read_marks};
use crate::plan::Plan;
use crate::stats::MetricCounts;
use crate::time::{Duration, Timestamp};
use crate::window::combine::Piece;
use crate::window::key::read_key;
use crate::window::operator::{OpenSize, Operator, OperatorError};
use crate::window::state::{put_time, read_time, read_u32};
use crate::window::{Output, Partial};

/// The open windows of one partition of the pieces.
#[derive(Debug)]
pub struct Shard {
    plan: Arc<Plan>,
    fingerprint: u64,
    early: Option<Duration>,
    operator: Operator,
    /// By partition of the input; `None` of those not heard of yet.
    marks: Vec<Option<Mark>>,
    /// The least over the partitions that count. It never goes back.
    watermark: Timestamp,
}

/// Why a parcel can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// It is damaged, or of a later version.
    #[error("cannot read what the first stage sent")]
    Parcel(#[from] StateError),
    /// Another query sent it.
    #[error("the first stage runs another query: all processes of a group must be given the same one")]
    OtherQuery,
    /// A piece that its metric can't hold.
    #[error("cannot merge a piece of the metric number {metric}: {cause}")]
    Piece {
        /// The metric.
        metric: usize,
        /// What is wrong.
        cause: &'static str,
    },
    /// A bound was reached.
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

impl Shard {
    /// Nothing yet. Early results are written whenever the watermark passes a multiple of `early`.
    pub fn new(plan: &Arc<Plan>, fingerprint: u64, early: Option<Duration>) -> Shard {
        Shard {
            plan: Arc::clone(plan),
            fingerprint,
            early,
            operator: Operator::new(plan.queries.clone(), 1, false),
            marks: Vec::new(),
            watermark: Timestamp::MIN,
        }
    }

    /// From now on the rows of the metrics that are named by `true` carry the states of their groups.
    pub fn keep_states(&mut self, metrics: &[bool]) {
        self.operator.keep_states(metrics);
    }

    /// How far time has come.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// How far each partition of the input has come, as far as it was heard of.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter().flatten()
    }

    /// What happened to the events, by metric.
    pub fn counts(&self) -> Vec<MetricCounts> {
        self.operator.counts()
    }

    /// What is open, by metric.
    pub fn open_sizes(&self) -> Vec<OpenSize> {
        (0..self.plan.queries.len()).map(|metric| self.operator.open_size(metric)).collect()
    }

    /// Takes a parcel: merges its pieces, and notes how far time has come. Pieces that no window takes any more go to `late`. What it
    /// makes ready is fired by `fire`, which must be called until it says that there is no more.
    pub fn take(&mut self, parcel: &[u8], out: &mut Vec<Output>, late: &mut Vec<Partial>) -> Result<(), ShardError> {
        let parcel = Parcel::read(parcel)?;
        if parcel.fingerprint != self.fingerprint {
            return Err(ShardError::OtherQuery);
        }
        for piece in parcel.pieces {
            let position = piece.position;
            let partial = self.checked(piece)?;
            if self.operator.merge(&partial, (self.watermark, self.watermark, position), out)? {
                late.push(partial);
            }
        }
        self.operator.bound_groups();
        let inputs = self.marks.len().max(parcel.inputs as usize);
        self.marks.resize(inputs, None);
        for mark in parcel.marks {
            let index = mark.partition.0 as usize;
            if index >= self.marks.len() {
                self.marks.resize(index + 1, None);
            }
            // A partition's watermark never goes back, also where it was read anew.
            let before = self.marks[index].map_or(Timestamp::MIN, |mark| mark.watermark);
            self.marks[index] = Some(Mark { watermark: mark.watermark.max(before), ..mark });
        }
        Ok(())
    }

    /// Fires the windows that end next, as far as time has come. Whether there are more.
    pub fn fire(&mut self, out: &mut Vec<Output>) -> bool {
        let reached = self.reached().max(self.watermark);
        let more = reached > self.operator.watermark() && self.operator.fire_next(reached, out);
        if !more {
            let before = std::mem::replace(&mut self.watermark, reached);
            let passed = |step: Duration| before.0.div_euclid(step.0) < reached.0.div_euclid(step.0);
            if before > Timestamp::MIN && self.early.is_some_and(passed) {
                self.operator.write_early(out);
            }
        }
        more
    }

    /// The least watermark over the partitions that are not idle; where all have been silent for long, the clock goes on.
    fn reached(&self) -> Timestamp {
        if self.marks.is_empty() || self.marks.iter().any(Option::is_none) {
            return Timestamp::MIN;
        }
        let highest = self.marks().map(|mark| mark.watermark).max().filter(|&highest| highest > Timestamp::MIN);
        let closing: Option<Vec<Duration>> = self.marks().map(|mark| mark.silence.closing).collect();
        if let (Some(highest), Some(closing)) = (highest, closing) {
            let for_long = closing.into_iter().min().unwrap_or(Duration(0));
            return Timestamp(highest.0.saturating_add(for_long.0));
        }
        let awake = self.marks().filter(|mark| !mark.silence.is_idle);
        awake.map(|mark| mark.watermark).min().unwrap_or(Timestamp::MIN)
    }

    /// The piece as a partial, if its metric can hold it.
    fn checked(&self, piece: Piece) -> Result<Partial, ShardError> {
        let wrong = |cause| ShardError::Piece { metric: piece.metric, cause };
        let query = self.plan.queries.get(piece.metric).ok_or(wrong("there is no such metric"))?;
        let groups = read_key(&piece.key).filter(|values| values.len() == query.groups.len());
        let groups = groups.ok_or(wrong("its key has other group columns"))?;
        let mut probe = Accumulators::new(&query.functions);
        let group = probe.add_group();
        probe.decode_into_group(group, &piece.state).map_err(|_| wrong("its state is of other aggregates"))?;
        let Piece { metric, span, first_end, judged, events, state, .. } = piece;
        Ok(Partial { metric, span, first_end, judged, groups, events, state: state.into() })
    }

    /// Appends the whole state. To be called when `fire` has no more.
    pub fn save(&self, out: &mut Vec<u8>) {
        seal(Kind::Shard, out, |out| {
            put_word(out, self.fingerprint);
            put_time(out, self.watermark);
            put_varint(out, self.marks.len() as u64);
            put_marks(out, &self.marks().copied().collect::<Vec<_>>());
            let mut operator = Vec::new();
            self.operator.save(&mut operator);
            put_bytes(out, &operator);
        });
    }

    /// Takes on what `save` wrote.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), ShardError> {
        let fingerprint = self.fingerprint;
        let is_same = unseal(Kind::Shard, bytes, |reader| {
            let is_same = reader.word()? == fingerprint;
            self.watermark = read_time(reader)?;
            let inputs = read_u32(reader)? as usize;
            let marks = read_marks(reader)?;
            if inputs > 1 << 20 || marks.iter().any(|mark| mark.partition.0 as usize >= inputs) {
                return Err(StateError::Malformed("a partition is none of the input's"));
            }
            self.marks = vec![None; inputs];
            for mark in marks {
                let PartitionId(index) = mark.partition;
                self.marks[index as usize] = Some(mark);
            }
            let operator = reader.bytes()?;
            if is_same {
                self.operator.restore(operator)?;
            }
            Ok(is_same)
        })?;
        if is_same { Ok(()) } else { Err(ShardError::OtherQuery) }
    }
}

#[cfg(test)]
mod tests;
