//! The states of all groups of one table: folded from batches, merged, read out, and written as partials.
//!
//! Knows how results are made of states, and nothing of how states add and merge.

use crate::aggregate::encoding::Reader;
use crate::aggregate::exact_sum::ExactSum;
use crate::aggregate::rounding::Parts;
use crate::aggregate::states::{Selection, States};
use crate::aggregate::variance::Moments;
use crate::aggregate::{Error, Function};
use crate::batch::{Column, EventBatch};
use crate::value::Value;
use std::sync::Arc;

/// The accumulators of all groups of one table: for each aggregate one state a group.
#[derive(Debug, Clone)]
pub struct Accumulators {
    functions: Arc<[Function]>,
    states: Vec<States>,
    groups: u32,
}

/// First byte of every partial.
const VERSION: u8 = 1;

impl Accumulators {
    /// Accumulators of these aggregates, without groups. The functions are shared: to make many tables, clone an empty one.
    pub fn new(functions: &[Function]) -> Self {
        let states = functions.iter().map(States::of).collect();
        Accumulators { functions: functions.into(), states, groups: 0 }
    }

    /// The aggregates.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Number of groups.
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// Adds a group without events; its number is the next one.
    pub fn add_group(&mut self) -> u32 {
        self.states.iter_mut().for_each(States::add_group);
        self.groups += 1;
        self.groups - 1
    }

    /// Makes `group` one without events, so that its number can be given to another. Frees what it held.
    pub fn reset_group(&mut self, group: u32) {
        self.states.iter_mut().for_each(|states| states.reset_group(group as usize));
    }

    /// Folds row `rows[i]` of the columns into group `groups[i]`, for each i, where the row's cell of `filter` is TRUE.
    ///
    /// Without `input`, which only `count` can do without, it is `count(*)`; without `filter` every row counts. `batch` gives the text, times and places of
    /// the rows. Cells of a wrong type are taken for NULL and counted in `nulled`.
    #[expect(clippy::too_many_arguments, reason = "each is a vector of its own, named once by one caller")]
    pub fn update(
        &mut self,
        aggregate: usize,
        groups: &[u32],
        rows: &[u32],
        input: Option<&Column>,
        filter: Option<&Column>,
        batch: &EventBatch,
        nulled: &mut u64,
    ) {
        debug_assert_eq!(groups.len(), rows.len(), "one group a row");
        let selection = Selection { groups, rows, filter };
        match input {
            Some(column) => self.states[aggregate].update(selection, column, batch, nulled),
            None => self.states[aggregate].update_rows(selection),
        }
    }

    /// Takes all that `group` of `from` has into the group `into`. Both have the same aggregates.
    pub fn merge_group(&mut self, into: u32, from: &Accumulators, group: u32) {
        for (own, other) in self.states.iter_mut().zip(&from.states) {
            own.merge(into as usize, other, group as usize);
        }
    }

    /// The result of one aggregate for one group. `window_seconds`, the window's length, is what `rate` divides by: NULL
    /// where the window has none.
    pub fn finish(&self, aggregate: usize, group: u32, window_seconds: Option<f64>) -> Value {
        let group = group as usize;
        let double = |value: Option<f64>| value.map_or(Value::Null, Value::Float);
        match &self.states[aggregate] {
            States::Count(counts) => Value::Int(counts[group].into()),
            States::Distinct(sets) => Value::Int(sets[group].count().into()),
            States::ApproxDistinct(sketches) => Value::Int(sketches[group].estimate().into()),
            States::Sum(sums) => match self.functions[aggregate] {
                Function::Rate => double(window_seconds.and_then(|seconds| rate(&sums[group], seconds))),
                _ => sums[group].value(),
            },
            States::Average(averages) => {
                let (sum, count) = &averages[group];
                double(sum.quotient(*count, 0))
            }
            States::Extreme(extremes, _) => extremes[group].value(),
            States::Positioned(positioned, _) => positioned[group].value(),
            States::Moments(moments) => double(spread(&self.functions[aggregate], &moments[group])),
            States::Samples(samples) => match self.functions[aggregate] {
                Function::PercentileDisc(fraction) => samples[group].discrete(fraction),
                Function::PercentileCont(fraction) => samples[group].continuous(fraction),
                _ => unreachable!("only exact percentiles keep samples"),
            },
            States::Sketch(sketches) => match self.functions[aggregate] {
                Function::ApproxPercentile(fraction) => double(sketches[group].quantile(fraction)),
                _ => unreachable!("only approximate percentiles keep a sketch"),
            },
            States::Greatest(greatest, _) => greatest[group].value(),
        }
    }

    /// Appends the partial of a group: a version, then for each aggregate its kind of state and the state. Groups that
    /// have taken in the same events have the same bytes.
    pub fn encode_group(&self, group: u32, out: &mut Vec<u8>) {
        out.push(VERSION);
        for states in &self.states {
            out.push(states.kind());
            states.encode(group as usize, out);
        }
    }

    /// Takes all that a partial has into a group. On an error the group is as it was.
    pub fn decode_into_group(&mut self, group: u32, bytes: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        let mut decoded = Vec::with_capacity(self.states.len());
        for states in &self.states {
            if reader.byte()? != states.kind() {
                return Err(Error::OtherAggregates);
            }
            decoded.push(states.decode(&mut reader)?);
        }
        reader.finish()?;
        for (own, other) in self.states.iter_mut().zip(&decoded) {
            own.merge(group as usize, other, 0);
        }
        Ok(())
    }
}

/// The exact sum divided by the exact seconds, rounded once.
fn rate(sum: &ExactSum, seconds: f64) -> Option<f64> {
    if !(seconds.is_finite() && seconds > 0.0) {
        return None;
    }
    let parts = Parts::of(seconds);
    sum.quotient(parts.mantissa, parts.exponent)
}

fn spread(function: &Function, moments: &Moments) -> Option<f64> {
    match function {
        Function::VarSamp => moments.variance(1),
        Function::VarPop => moments.variance(0),
        Function::StddevSamp => moments.variance(1).map(f64::sqrt),
        Function::StddevPop => moments.variance(0).map(f64::sqrt),
        _ => unreachable!("only variances keep moments"),
    }
}
