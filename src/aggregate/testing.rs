//! What the tests of this module share: random numbers, the same for the same seed; batches; the meaning of rounding.
//!
//! Knows nothing of what is tested.

use crate::batch::{Column, EventBatch, LineSpan};
use crate::partition::PartitionId;
use crate::time::Timestamp;
use crate::value::Value;
use num_bigint::BigInt;

/// splitmix64.
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A finite double of everyday size, or one of any size there is.
    pub fn double(&mut self) -> f64 {
        match self.below(4) {
            0 => f64::from_bits(self.next() & !(1 << 62)),
            1 => f64::from_bits(self.next() & !(1 << 54)),
            2 => (self.below(2_000_000) as f64 - 1e6) / 100.0,
            _ => (self.next() >> 11) as f64 / (1_u64 << 53) as f64,
        }
    }
}

/// A batch of one column with these values at these times; rows stand ten bytes apart.
pub fn batch(partition: u32, offset: u64, values: &[Value], times: &[i64]) -> EventBatch {
    let mut text = Vec::new();
    let mut column = Column::new();
    values.iter().for_each(|value| column.push_value(value, &mut text));
    let span = |row| LineSpan { start: row * 10, len: 9, line: row };
    EventBatch {
        stamps: None,
        partition: PartitionId(partition),
        offset,
        line: 0,
        text,
        times: times.iter().map(|time| Timestamp(*time)).collect(),
        spans: (0..values.len() as u32).map(span).collect(),
        columns: vec![column],
        rejects: Vec::new(),
        in_band: Vec::new(),
        lines: values.len() as u32,
        blank: 0,
        result_lines: Vec::new(),
    }
}

/// Asserts that `found` is `numerator / denominator · 2^exponent` rounded to nearest, ties to even, by comparing its
/// distance with those of its neighbours; None must be beyond the doubles.
pub fn assert_nearest(found: Option<f64>, numerator: &BigInt, denominator: u128, exponent: i32, seed: u64) {
    const LOWEST: i32 = -2300;
    let exact = numerator << (exponent - LOWEST);
    let scaled = |value: f64| {
        let (mantissa, exponent) = match value.to_bits() >> 52 & 0x7ff {
            0 => (value.to_bits() & ((1 << 52) - 1), -1074),
            field => (value.to_bits() & ((1 << 52) - 1) | 1 << 52, field as i32 - 1075),
        };
        let magnitude: BigInt = BigInt::from(mantissa) << (exponent - LOWEST);
        (if value < 0.0 { -magnitude } else { magnitude }) * denominator
    };
    let Some(found) = found else {
        let limit: BigInt = (BigInt::from((1_u64 << 54) - 1) << (970 - LOWEST)) * denominator;
        assert!(exact.magnitude() >= limit.magnitude(), "seed {seed}: {numerator} / {denominator} became NULL");
        return;
    };
    let distance = |value: f64| (scaled(value) - &exact).magnitude().clone();
    let own = distance(found);
    for neighbour in [found.next_up(), found.next_down()] {
        let other = if neighbour.is_finite() { distance(neighbour) } else { own.clone() + 1_u8 };
        let nearest = own < other || own == other && found.to_bits() & 1 == 0;
        assert!(
            nearest,
            "seed {seed}: {found:e} is no nearer than {neighbour:e} to {numerator} / {denominator} · 2^{exponent}"
        );
    }
}
