//! The states of all groups of one table: folded from batches, merged, read out, and written as partials.
//!
//! Knows which state each function keeps; the states themselves know how they add and merge.

use crate::aggregate::cell::Cell;
use crate::aggregate::ddsketch::DdSketch;
use crate::aggregate::distinct::DistinctSet;
use crate::aggregate::encoding::{Reader, put_varint};
use crate::aggregate::exact_sum::ExactSum;
use crate::aggregate::extremes::{Extreme, Greatest};
use crate::aggregate::hyperloglog::HyperLogLog;
use crate::aggregate::key::Key;
use crate::aggregate::percentile::Samples;
use crate::aggregate::positions::{Position, Positioned};
use crate::aggregate::rounding::Parts;
use crate::aggregate::variance::Moments;
use crate::aggregate::{Error, Function};
use crate::batch::{Column, EventBatch, Tag};
use crate::value::Value;
use std::cmp::Ordering;
use std::sync::Arc;

/// The accumulators of all groups of one table: for each aggregate one state a group.
#[derive(Debug, Clone)]
pub struct Accumulators {
    functions: Arc<[Function]>,
    states: Vec<States>,
    groups: u32,
}

/// The states of one aggregate, by group.
#[derive(Debug, Clone)]
enum States {
    Count(Vec<u64>),
    Distinct(Vec<DistinctSet>),
    ApproxDistinct(Vec<HyperLogLog>),
    Sum(Vec<ExactSum>),
    Average(Vec<(ExactSum, u64)>),
    Extreme(Vec<Extreme>, Ordering),
    Positioned(Vec<Positioned>, Ordering),
    Moments(Vec<Moments>),
    Samples(Vec<Samples>),
    Sketch(Vec<DdSketch>),
    Greatest(Vec<Greatest>, usize),
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
    /// Without `input` it is `count(*)`; without `filter` every row counts. `batch` gives the text, times and places of
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
            None => match &mut self.states[aggregate] {
                States::Count(counts) => selection.each(|group, _| counts[group] += 1),
                _ => debug_assert!(false, "only count needs no input"),
            },
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

/// Which rows go into which groups.
#[derive(Clone, Copy)]
struct Selection<'a> {
    groups: &'a [u32],
    rows: &'a [u32],
    filter: Option<&'a Column>,
}

impl Selection<'_> {
    /// Calls `f` with group and row, in order, for every row that the filter lets through.
    #[inline(always)]
    fn each(self, mut f: impl FnMut(usize, usize)) {
        let pairs = self.groups.iter().zip(self.rows).map(|(group, row)| (*group as usize, *row as usize));
        match self.filter {
            None => pairs.for_each(|(group, row)| f(group, row)),
            Some(filter) => {
                let tags = &filter.tags[..];
                pairs.filter(|(_, row)| tags[*row] == Tag::True).for_each(|(group, row)| f(group, row));
            }
        }
    }

    /// Calls `f` with group and cell for every row whose cell is not NULL.
    #[inline(always)]
    fn each_cell<'b>(self, column: &Column, batch: &'b EventBatch, mut f: impl FnMut(usize, usize, Cell<'b>)) {
        self.each(|group, row| {
            if let Some(cell) = Cell::of(column, row, &batch.text) {
                f(group, row, cell);
            }
        });
    }

    /// Calls `f` with group and number for every row whose cell is one; counts those that are neither number nor NULL.
    #[inline(always)]
    fn each_number(self, column: &Column, nulled: &mut u64, mut f: impl FnMut(usize, Number)) {
        let (tags, bits) = (&column.tags[..], &column.bits[..column.tags.len()]);
        let mut wrong = 0;
        self.each(|group, row| match tags[row] {
            Tag::Float => f(group, Number::Double(f64::from_bits(bits[row]))),
            Tag::Int => f(group, Number::Integer(bits[row] as i64)),
            Tag::UInt => f(group, Number::Large(bits[row])),
            Tag::Null => {}
            _ => wrong += 1,
        });
        *nulled += wrong;
    }
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    /// Above `i64::MAX`.
    Large(u64),
    /// Finite.
    Double(f64),
}

impl States {
    fn of(function: &Function) -> States {
        match function {
            Function::Count => States::Count(Vec::new()),
            Function::CountDistinct => States::Distinct(Vec::new()),
            Function::ApproxCountDistinct => States::ApproxDistinct(Vec::new()),
            Function::Sum | Function::Rate => States::Sum(Vec::new()),
            Function::Avg => States::Average(Vec::new()),
            Function::Min => States::Extreme(Vec::new(), Ordering::Less),
            Function::Max => States::Extreme(Vec::new(), Ordering::Greater),
            Function::First => States::Positioned(Vec::new(), Ordering::Less),
            Function::Last => States::Positioned(Vec::new(), Ordering::Greater),
            Function::StddevSamp | Function::StddevPop | Function::VarSamp | Function::VarPop => {
                States::Moments(Vec::new())
            }
            Function::PercentileCont(_) | Function::PercentileDisc(_) => States::Samples(Vec::new()),
            Function::ApproxPercentile(_) => States::Sketch(Vec::new()),
            Function::TopK(limit) => States::Greatest(Vec::new(), *limit),
        }
    }

    /// The byte before a state in a partial. A sum is a sum whether `sum` or `rate` is made of it, but `min` is no `max`.
    fn kind(&self) -> u8 {
        match self {
            States::Count(_) => 1,
            States::Distinct(_) => 2,
            States::ApproxDistinct(_) => 3,
            States::Sum(_) => 4,
            States::Average(_) => 5,
            States::Extreme(_, Ordering::Less) => 6,
            States::Extreme(..) => 7,
            States::Positioned(_, Ordering::Less) => 8,
            States::Positioned(..) => 9,
            States::Moments(_) => 10,
            States::Samples(_) => 11,
            States::Sketch(_) => 12,
            States::Greatest(..) => 13,
        }
    }

    fn add_group(&mut self) {
        match self {
            States::Count(states) => states.push(0),
            States::Distinct(states) => states.push(Default::default()),
            States::ApproxDistinct(states) => states.push(Default::default()),
            States::Sum(states) => states.push(Default::default()),
            States::Average(states) => states.push(Default::default()),
            States::Extreme(states, _) => states.push(Default::default()),
            States::Positioned(states, _) => states.push(Default::default()),
            States::Moments(states) => states.push(Default::default()),
            States::Samples(states) => states.push(Default::default()),
            States::Sketch(states) => states.push(Default::default()),
            States::Greatest(states, _) => states.push(Default::default()),
        }
    }

    fn reset_group(&mut self, group: usize) {
        match self {
            States::Count(states) => states[group] = 0,
            States::Distinct(states) => states[group] = Default::default(),
            States::ApproxDistinct(states) => states[group] = Default::default(),
            States::Sum(states) => states[group] = Default::default(),
            States::Average(states) => states[group] = Default::default(),
            States::Extreme(states, _) => states[group] = Default::default(),
            States::Positioned(states, _) => states[group] = Default::default(),
            States::Moments(states) => states[group] = Default::default(),
            States::Samples(states) => states[group] = Default::default(),
            States::Sketch(states) => states[group] = Default::default(),
            States::Greatest(states, _) => states[group] = Default::default(),
        }
    }

    fn update(&mut self, selection: Selection<'_>, column: &Column, batch: &EventBatch, nulled: &mut u64) {
        match self {
            States::Count(counts) => {
                selection.each(|group, row| counts[group] += u64::from(column.tags[row] != Tag::Null));
            }
            States::Distinct(sets) => selection.each_cell(column, batch, |group, _, cell| sets[group].add(cell)),
            States::ApproxDistinct(sketches) => {
                selection.each_cell(column, batch, |group, _, cell| sketches[group].add(Key::of(cell).hash()));
            }
            States::Sum(sums) => selection.each_number(column, nulled, |group, number| add(&mut sums[group], number)),
            States::Average(averages) => selection.each_number(column, nulled, |group, number| {
                let (sum, count) = &mut averages[group];
                add(sum, number);
                *count += 1;
            }),
            States::Extreme(extremes, wanted) => {
                selection.each_cell(column, batch, |group, _, cell| extremes[group].add(cell, *wanted));
            }
            States::Positioned(positioned, wanted) => selection.each_cell(column, batch, |group, row, cell| {
                let offset = batch.offset + u64::from(batch.spans[row].start);
                let position = Position { time: batch.times[row], partition: batch.partition, offset };
                positioned[group].add(position, cell, *wanted);
            }),
            States::Moments(moments) => selection.each_number(column, nulled, |group, number| match number {
                Number::Integer(value) => moments[group].add_integer(value.into()),
                Number::Large(value) => moments[group].add_integer(value.into()),
                Number::Double(value) => moments[group].add_double(value),
            }),
            States::Samples(samples) => selection.each_number(column, nulled, |group, number| match number {
                Number::Integer(value) => samples[group].add_integer(value),
                Number::Large(value) => samples[group].add_large_integer(value),
                Number::Double(value) => samples[group].add_double(value),
            }),
            States::Sketch(sketches) => selection.each_number(column, nulled, |group, number| {
                sketches[group].add(match number {
                    Number::Integer(value) => value as f64,
                    Number::Large(value) => value as f64,
                    Number::Double(value) => value,
                });
            }),
            States::Greatest(greatest, limit) => {
                selection.each_cell(column, batch, |group, _, cell| greatest[group].add(cell, *limit));
            }
        }
    }

    fn merge(&mut self, into: usize, from: &States, group: usize) {
        match (self, from) {
            (States::Count(own), States::Count(other)) => own[into] = own[into].saturating_add(other[group]),
            (States::Distinct(own), States::Distinct(other)) => own[into].merge(&other[group]),
            (States::ApproxDistinct(own), States::ApproxDistinct(other)) => own[into].merge(&other[group]),
            (States::Sum(own), States::Sum(other)) => own[into].merge(&other[group]),
            (States::Average(own), States::Average(other)) => {
                own[into].0.merge(&other[group].0);
                own[into].1 = own[into].1.saturating_add(other[group].1);
            }
            (States::Extreme(own, wanted), States::Extreme(other, _)) => own[into].merge(&other[group], *wanted),
            (States::Positioned(own, wanted), States::Positioned(other, _)) => own[into].merge(&other[group], *wanted),
            (States::Moments(own), States::Moments(other)) => own[into].merge(&other[group]),
            (States::Samples(own), States::Samples(other)) => own[into].merge(&other[group]),
            (States::Sketch(own), States::Sketch(other)) => own[into].merge(&other[group]),
            (States::Greatest(own, limit), States::Greatest(other, _)) => own[into].merge(&other[group], *limit),
            (own, other) => unreachable!("tables of other aggregates: {} and {}", own.kind(), other.kind()),
        }
    }

    fn encode(&self, group: usize, out: &mut Vec<u8>) {
        match self {
            States::Count(states) => put_varint(out, states[group]),
            States::Distinct(states) => states[group].encode(out),
            States::ApproxDistinct(states) => states[group].encode(out),
            States::Sum(states) => states[group].encode(out),
            States::Average(states) => {
                let (sum, count) = &states[group];
                sum.encode(out);
                put_varint(out, *count);
            }
            States::Extreme(states, _) => states[group].encode(out),
            States::Positioned(states, _) => states[group].encode(out),
            States::Moments(states) => states[group].encode(out),
            States::Samples(states) => states[group].encode(out),
            States::Sketch(states) => states[group].encode(out),
            States::Greatest(states, _) => states[group].encode(out),
        }
    }

    /// The next state of a partial, as the one group of a table.
    fn decode(&self, reader: &mut Reader<'_>) -> Result<States, Error> {
        Ok(match self {
            States::Count(_) => States::Count(vec![reader.varint()?]),
            States::Distinct(_) => States::Distinct(vec![DistinctSet::decode(reader)?]),
            States::ApproxDistinct(_) => States::ApproxDistinct(vec![HyperLogLog::decode(reader)?]),
            States::Sum(_) => States::Sum(vec![ExactSum::decode(reader)?]),
            States::Average(_) => States::Average(vec![(ExactSum::decode(reader)?, reader.varint()?)]),
            States::Extreme(_, wanted) => States::Extreme(vec![Extreme::decode(reader)?], *wanted),
            States::Positioned(_, wanted) => States::Positioned(vec![Positioned::decode(reader)?], *wanted),
            States::Moments(_) => States::Moments(vec![Moments::decode(reader)?]),
            States::Samples(_) => States::Samples(vec![Samples::decode(reader)?]),
            States::Sketch(_) => States::Sketch(vec![DdSketch::decode(reader)?]),
            States::Greatest(_, limit) => States::Greatest(vec![Greatest::decode(reader, *limit)?], *limit),
        })
    }
}

#[inline(always)]
fn add(sum: &mut ExactSum, number: Number) {
    match number {
        Number::Double(value) => sum.add_double(value),
        Number::Integer(value) => sum.add_integer(value.into()),
        Number::Large(value) => sum.add_integer(value.into()),
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
