//! One vector of states for each aggregate, and which function keeps which kind of state.
//!
//! Every step over all kinds stands here once: adding cells, merging, writing. Knows nothing of results, of the other
//! aggregates of the query, and of how a state does what it does.

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
use crate::aggregate::variance::Moments;
use crate::aggregate::{Error, Function};
use crate::batch::{Column, EventBatch, Tag};
use std::cmp::Ordering;

/// The states of one aggregate, by group.
#[derive(Debug, Clone)]
pub enum States {
    /// Rows or values.
    Count(Vec<u64>),
    /// `count(DISTINCT x)`.
    Distinct(Vec<DistinctSet>),
    /// `approx_count_distinct`.
    ApproxDistinct(Vec<HyperLogLog>),
    /// `sum` and `rate`.
    Sum(Vec<ExactSum>),
    /// `avg`: sum and count.
    Average(Vec<(ExactSum, u64)>),
    /// `min` (less is wanted) and `max` (greater).
    Extreme(Vec<Extreme>, Ordering),
    /// `first` (less) and `last` (greater).
    Positioned(Vec<Positioned>, Ordering),
    /// Variances and standard deviations.
    Moments(Vec<Moments>),
    /// Exact percentiles.
    Samples(Vec<Samples>),
    /// `approx_percentile`.
    Sketch(Vec<DdSketch>),
    /// `topk`, and its k.
    Greatest(Vec<Greatest>, usize),
}

/// Which rows go into which groups.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// The groups, one for each of `rows`.
    pub groups: &'a [u32],
    /// The rows of the batch, in any order.
    pub rows: &'a [u32],
    /// Rows whose cell here is not TRUE are left out.
    pub filter: Option<&'a Column>,
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

impl States {
    /// The empty vector of states that `function` keeps.
    pub fn of(function: &Function) -> States {
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
    pub fn kind(&self) -> u8 {
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

    /// Adds a group without events.
    pub fn add_group(&mut self) {
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

    /// Makes `group` one without events.
    pub fn reset_group(&mut self, group: usize) {
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

    /// Folds the cells of a column into their groups. Cells of a wrong type are counted in `nulled`.
    pub fn update(&mut self, selection: Selection<'_>, column: &Column, batch: &EventBatch, nulled: &mut u64) {
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
                let offset = batch.place(row);
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

    /// Counts rows, whatever they hold: `count(*)`, the only function that needs no input.
    pub fn update_rows(&mut self, selection: Selection<'_>) {
        match self {
            States::Count(counts) => selection.each(|group, _| counts[group] += 1),
            other => unreachable!("only count(*) has no input, not states of kind {}", other.kind()),
        }
    }

    /// Takes all that `group` of `from` has into the group `into`. Both are of the same function.
    pub fn merge(&mut self, into: usize, from: &States, group: usize) {
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

    /// Appends the state of a group to a partial.
    pub fn encode(&self, group: usize, out: &mut Vec<u8>) {
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

    /// Puts the next state of a partial in the place of a group's. After an error the group is of no use.
    pub fn decode(&mut self, group: usize, reader: &mut Reader<'_>) -> Result<(), Error> {
        match self {
            States::Count(states) => states[group] = reader.varint()?,
            States::Distinct(states) => states[group] = DistinctSet::decode(reader)?,
            States::ApproxDistinct(states) => states[group] = HyperLogLog::decode(reader)?,
            States::Sum(states) => states[group] = ExactSum::decode(reader)?,
            States::Average(states) => states[group] = (ExactSum::decode(reader)?, reader.varint()?),
            States::Extreme(states, _) => states[group] = Extreme::decode(reader)?,
            States::Positioned(states, _) => states[group] = Positioned::decode(reader)?,
            States::Moments(states) => states[group] = Moments::decode(reader)?,
            States::Samples(states) => states[group] = Samples::decode(reader)?,
            States::Sketch(states) => states[group] = DdSketch::decode(reader)?,
            States::Greatest(states, limit) => states[group] = Greatest::decode(reader, *limit)?,
        }
        Ok(())
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

#[inline(always)]
fn add(sum: &mut ExactSum, number: Number) {
    match number {
        Number::Double(value) => sum.add_double(value),
        Number::Integer(value) => sum.add_integer(value.into()),
        Number::Large(value) => sum.add_integer(value.into()),
    }
}
