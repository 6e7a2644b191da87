//! Exact percentiles: every value is kept, eight bytes each, and sorted when the percentile is asked for.
//!
//! The definitions are PostgreSQL's. The memory is that of the values of the group: `approx_percentile` is for streams
//! without a bound. Knows nothing of columns.

use crate::aggregate::Error;
use crate::aggregate::cell::{Cell, Kept};
use crate::aggregate::encoding::{Reader, put_varint, put_word};
use crate::value::Value;
use std::cmp::Ordering;

/// The numbers seen, by their form, in no order.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    integers: Vec<i64>,
    large_integers: Vec<u64>,
    doubles: Vec<f64>,
}

impl Samples {
    /// Takes in an integer.
    #[inline]
    pub fn add_integer(&mut self, value: i64) {
        self.integers.push(value);
    }

    /// Takes in an integer above `i64::MAX`.
    #[inline]
    pub fn add_large_integer(&mut self, value: u64) {
        self.large_integers.push(value);
    }

    /// Takes in a finite double.
    #[inline]
    pub fn add_double(&mut self, value: f64) {
        self.doubles.push(value);
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &Samples) {
        self.integers.extend_from_slice(&other.integers);
        self.large_integers.extend_from_slice(&other.large_integers);
        self.doubles.extend_from_slice(&other.doubles);
    }

    /// `percentile_cont(fraction)`: between the two values around place `fraction · (n − 1)` by straight line. NULL over
    /// no values.
    pub fn continuous(&self, fraction: f64) -> Value {
        let Some(last) = self.count().checked_sub(1) else { return Value::Null };
        let place = fraction * last as f64;
        let below = (place.floor() as usize).min(last);
        let above = (place.ceil() as usize).min(last);
        let (low, high) = self.at_ranks(below, above);
        let (low, high) = (as_double(low), as_double(high));
        let share = place - below as f64;
        let difference = high - low;
        // Two values at opposite ends of the doubles are too far apart for a difference.
        let value = if difference.is_finite() { low + share * difference } else { low * (1.0 - share) + high * share };
        Value::Float(value)
    }

    /// `percentile_disc(fraction)`: the first value that is not less than `fraction` of them all, in the form in which
    /// it came. NULL over no values.
    pub fn discrete(&self, fraction: f64) -> Value {
        let Some(last) = self.count().checked_sub(1) else { return Value::Null };
        let rank = (fraction * self.count() as f64).ceil() as usize;
        let rank = rank.saturating_sub(1).min(last);
        Kept::from(self.at_ranks(rank, rank).0).value()
    }

    /// Appends the values to a partial, sorted.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bits_of_doubles = {
            let mut doubles = self.doubles.clone();
            doubles.sort_unstable_by(f64::total_cmp);
            doubles.into_iter().map(f64::to_bits).collect()
        };
        let bits_of_integers = {
            let mut integers = self.integers.clone();
            integers.sort_unstable();
            integers.into_iter().map(|value| value as u64).collect()
        };
        let large_integers = {
            let mut integers = self.large_integers.clone();
            integers.sort_unstable();
            integers
        };
        for words in [bits_of_integers, large_integers, bits_of_doubles] {
            let words: Vec<u64> = words;
            put_varint(out, words.len() as u64);
            words.into_iter().for_each(|word| put_word(out, word));
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Samples, Error> {
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        for list in &mut lists {
            for _ in 0..reader.count()? {
                list.push(reader.word()?);
            }
        }
        let [integers, large_integers, doubles] = lists;
        let integers: Vec<i64> = integers.into_iter().map(|word| word as i64).collect();
        let doubles: Vec<f64> = doubles.into_iter().map(f64::from_bits).collect();
        let sorted = integers.is_sorted()
            && large_integers.is_sorted()
            && doubles.is_sorted_by(|a, b| a.total_cmp(b) != Ordering::Greater);
        let in_range =
            large_integers.iter().all(|value| *value > i64::MAX as u64) && doubles.iter().all(|v| v.is_finite());
        if !sorted || !in_range {
            return Err(Error::Malformed("values are out of order or range"));
        }
        Ok(Samples { integers, large_integers, doubles })
    }

    fn count(&self) -> usize {
        self.integers.len() + self.large_integers.len() + self.doubles.len()
    }

    /// The values at rank `below`, counted from 0, and at `above`, which is the same or one more.
    fn at_ranks(&self, below: usize, above: usize) -> (Cell<'static>, Cell<'static>) {
        let one_form = [self.integers.len(), self.large_integers.len(), self.doubles.len()].contains(&self.count());
        if one_form && !self.doubles.is_empty() {
            let (low, high) = select(self.doubles.clone(), below, above, f64::total_cmp);
            (Cell::Float(low), Cell::Float(high))
        } else if one_form && !self.integers.is_empty() {
            let (low, high) = select(self.integers.clone(), below, above, i64::cmp);
            (Cell::Int(low), Cell::Int(high))
        } else {
            let mut cells: Vec<Cell<'static>> = self.integers.iter().map(|value| Cell::Int(*value)).collect();
            cells.extend(self.large_integers.iter().map(|value| Cell::UInt(*value)));
            cells.extend(self.doubles.iter().map(|value| Cell::Float(*value)));
            select(cells, below, above, |a, b| a.order(*b))
        }
    }
}

/// The values at rank `below` and at `above`, which is the same or one more, without sorting them all.
fn select<T: Copy>(mut values: Vec<T>, below: usize, above: usize, order: impl Fn(&T, &T) -> Ordering) -> (T, T) {
    let (_, low, greater) = values.select_nth_unstable_by(below, &order);
    let high = if above == below { None } else { greater.iter().min_by(|a, b| order(a, b)) };
    (*low, *high.unwrap_or(low))
}

fn as_double(number: Cell<'_>) -> f64 {
    match number {
        Cell::Int(value) => value as f64,
        Cell::UInt(value) => value as f64,
        Cell::Float(value) => value,
        other => unreachable!("only numbers are sampled, not {other:?}"),
    }
}
