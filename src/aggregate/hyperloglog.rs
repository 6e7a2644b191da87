//! The sketch behind `approx_count_distinct`: HyperLogLog with 2^14 registers.
//!
//! Up to 2048 distinct values it keeps 25 bits of each hash and is all but exact (two values are taken for one once in
//! some 30 million pairs); beyond that it keeps registers, 16 KiB, and its standard error is 1.04 / √2^14 = 0.81 %.
//! The sparse form is HLL++'s: Heule, Nunkesser and Hall, "HyperLogLog in practice" (2013); the estimate is the improved
//! raw estimator of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), algorithm 6, which
//! needs no tables and no change of method. When the sparse form ends depends on the set alone, not on its order.
//! Knows nothing of values: it is given hashes.

use crate::aggregate::Error;
use crate::aggregate::encoding::{Reader, put_varint};

/// Leading bits of a hash that choose the register.
pub const PRECISION: u32 = 14;
/// Leading bits of a hash that choose the entry of the sparse form.
const SPARSE_PRECISION: u32 = 25;
const REGISTERS: usize = 1 << PRECISION;
/// More entries than this would take half the memory of the registers.
const SPARSE_MAX: usize = 2048;
/// Bits of a hash that are ranked: a register holds at most one more.
const RANKED: u32 = 64 - PRECISION;
/// Bits of an entry that hold the rank.
const RANK_BITS: u32 = 6;

/// A sketch of a set of hashes.
#[derive(Debug, Clone)]
pub struct HyperLogLog(Form);

#[derive(Debug, Clone)]
enum Form {
    /// Sorted entries `index << 6 | rank`, one an index. The index is the first 25 bits of the hash, the rank one more
    /// than the zeros that follow them.
    Sparse(Vec<u32>),
    /// For each register the greatest rank seen, 0 for none.
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for HyperLogLog {
    fn default() -> Self {
        HyperLogLog(Form::Sparse(Vec::new()))
    }
}

impl HyperLogLog {
    /// Takes in the hash of a value: 64 well mixed bits.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        match &mut self.0 {
            Form::Dense(registers) => {
                let register = &mut registers[(hash >> RANKED) as usize];
                *register = (*register).max(rank(hash, PRECISION));
            }
            Form::Sparse(_) => {
                let index = (hash >> (64 - SPARSE_PRECISION)) as u32;
                self.add_entry(index << RANK_BITS | u32::from(rank(hash, SPARSE_PRECISION)));
            }
        }
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &HyperLogLog) {
        match &other.0 {
            Form::Sparse(entries) => entries.iter().for_each(|entry| self.add_entry(*entry)),
            Form::Dense(others) => {
                let own = self.dense();
                own.iter_mut().zip(others.iter()).for_each(|(own, other)| *own = (*own).max(*other));
            }
        }
    }

    /// The estimated number of distinct values.
    pub fn estimate(&self) -> u64 {
        match &self.0 {
            // Linear counting over 2^25 places adds less than a tenth to any number of entries that there can be.
            Form::Sparse(entries) => entries.len() as u64,
            Form::Dense(registers) => estimate(registers),
        }
    }

    /// Appends the sketch to a partial: the number of entries and their steps, or one more than there can be and the
    /// registers, three bytes for four.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Sparse(entries) => {
                put_varint(out, entries.len() as u64);
                let mut before = 0;
                for entry in entries {
                    put_varint(out, u64::from(entry - before));
                    before = *entry;
                }
            }
            Form::Dense(registers) => {
                put_varint(out, SPARSE_MAX as u64 + 1);
                for four in registers.chunks_exact(4) {
                    let packed = four.iter().rev().fold(0_u32, |packed, rank| packed << 6 | u32::from(*rank));
                    out.extend_from_slice(&packed.to_le_bytes()[..3]);
                }
            }
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<HyperLogLog, Error> {
        const MALFORMED: Error = Error::Malformed("a sketch of distinct values is out of order or range");
        let count = reader.varint()?;
        if count > SPARSE_MAX as u64 + 1 {
            return Err(MALFORMED);
        }
        if count == SPARSE_MAX as u64 + 1 {
            let packed = reader.take(REGISTERS / 4 * 3)?;
            let mut sketch = HyperLogLog::default();
            let registers = sketch.dense();
            for (four, bytes) in registers.chunks_exact_mut(4).zip(packed.chunks_exact(3)) {
                let packed = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
                four.iter_mut().enumerate().for_each(|(i, rank)| *rank = (packed >> (6 * i) & 63) as u8);
            }
            let in_range = registers.iter().all(|rank| u32::from(*rank) <= RANKED + 1);
            return if in_range { Ok(sketch) } else { Err(MALFORMED) };
        }
        let mut entries: Vec<u32> = Vec::new();
        for _ in 0..count {
            let before = entries.last().copied();
            let entry = u64::from(before.unwrap_or(0)) + reader.varint()?.min(u64::from(u32::MAX));
            let entry = u32::try_from(entry).map_err(|_| MALFORMED)?;
            let (index, rank) = (entry >> RANK_BITS, entry & ((1 << RANK_BITS) - 1));
            let ascends = before.is_none_or(|before| before >> RANK_BITS < index);
            if !ascends || index >> SPARSE_PRECISION != 0 || !(1..=64 - SPARSE_PRECISION + 1).contains(&rank) {
                return Err(MALFORMED);
            }
            entries.push(entry);
        }
        Ok(HyperLogLog(Form::Sparse(entries)))
    }

    fn add_entry(&mut self, entry: u32) {
        match &mut self.0 {
            Form::Sparse(entries) => {
                let place = entries.partition_point(|own| own >> RANK_BITS < entry >> RANK_BITS);
                match entries.get_mut(place) {
                    Some(own) if *own >> RANK_BITS == entry >> RANK_BITS => *own = (*own).max(entry),
                    _ => {
                        entries.insert(place, entry);
                        if entries.len() > SPARSE_MAX {
                            self.dense();
                        }
                    }
                }
            }
            Form::Dense(registers) => raise(registers, entry),
        }
    }

    fn dense(&mut self) -> &mut [u8; REGISTERS] {
        if let Form::Sparse(entries) = &self.0 {
            let mut registers = vec![0; REGISTERS].into_boxed_slice();
            let mut registers: Box<[u8; REGISTERS]> =
                std::mem::take(&mut registers).try_into().expect("the slice was made of that length");
            entries.iter().for_each(|entry| raise(&mut registers, *entry));
            self.0 = Form::Dense(registers);
        }
        match &mut self.0 {
            Form::Dense(registers) => registers,
            Form::Sparse(_) => unreachable!("the sketch was just made dense"),
        }
    }
}

/// One more than the zeros that follow the first `precision` bits.
#[inline]
fn rank(hash: u64, precision: u32) -> u8 {
    // The bit set at the end stops the count where all bits are zero.
    ((hash << precision | 1 << (precision - 1)).leading_zeros() + 1) as u8
}

/// Brings what a sparse entry says into its register.
fn raise(registers: &mut [u8; REGISTERS], entry: u32) {
    const BETWEEN: u32 = SPARSE_PRECISION - PRECISION;
    let index = entry >> RANK_BITS;
    let between = index & ((1 << BETWEEN) - 1);
    let rank = match between {
        0 => BETWEEN + (entry & ((1 << RANK_BITS) - 1)),
        _ => between.leading_zeros() - (32 - BETWEEN) + 1,
    };
    let register = &mut registers[(index >> BETWEEN) as usize];
    *register = (*register).max(rank as u8);
}

/// Ertl's algorithm 6, with only operations that IEEE 754 defines to the bit.
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    const MOST: usize = RANKED as usize + 1;
    let mut counts = [0_u32; MOST + 1];
    registers.iter().for_each(|rank| counts[*rank as usize] += 1);
    let all = REGISTERS as f64;
    let mut z = all * tau(1.0 - f64::from(counts[MOST]) / all);
    for count in counts[1..MOST].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += all * sigma(f64::from(counts[0]) / all);
    let alpha = 0.5 / std::f64::consts::LN_2;
    // Infinite when no register was raised, which a dense sketch never is unless it was forged.
    if z.is_finite() { (alpha * all * all / z).round() as u64 } else { 0 }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::cell::Cell;
    use crate::aggregate::key::Key;
    use crate::aggregate::testing::Random;

    fn bytes(sketch: &HyperLogLog) -> Vec<u8> {
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        bytes
    }

    /// `count` distinct values, each twice, in one sketch and in 16 that are merged.
    fn check(count: u64, value: impl Fn(u64) -> u64) {
        let mut whole = HyperLogLog::default();
        let mut parts = vec![HyperLogLog::default(); 16];
        for number in (0..count).chain((0..count).rev()) {
            let hash = value(number);
            whole.add(hash);
            parts[(number % 7 + number % 10) as usize].add(hash);
        }
        let mut merged = HyperLogLog::default();
        parts.iter().for_each(|part| merged.merge(part));
        assert_eq!(bytes(&merged), bytes(&whole), "{count} values in 16 parts");
        let encoded = bytes(&whole);
        let decoded = HyperLogLog::decode(&mut Reader::new(&encoded)).expect("own bytes can be read");
        assert_eq!(bytes(&decoded), bytes(&whole));
        let error = (whole.estimate() as f64 - count as f64).abs();
        let bound = if count <= 2000 { 0.5 } else { 3.0 * 1.04 / (REGISTERS as f64).sqrt() * count as f64 };
        assert!(error <= bound, "{count} values were estimated as {}", whole.estimate());
    }

    #[test]
    fn estimates_are_within_three_standard_errors() {
        for count in
            (0..=100).chain([500, 2000, 2040, 2048, 2049, 2060, 3000, 5000, 10_000, 20_000, 40_000, 100_000, 500_000])
        {
            check(count, |number| Key::of(Cell::Text(format!("user-{number}").as_bytes())).hash());
            check(count, |number| Key::of(Cell::Int(number as i64)).hash());
            check(count, |number| Key::of(Cell::Float(number as f64 / 1000.0)).hash());
        }
    }

    #[test]
    fn a_sparse_entry_raises_the_register_that_its_hash_would() {
        for seed in 0..20_000 {
            let mut random = Random::new(seed);
            let hash = random.next() >> random.below(64) << random.below(64);
            let mut sparse = HyperLogLog::default();
            sparse.add(hash);
            let mut dense = HyperLogLog::default();
            dense.dense();
            dense.add(hash);
            sparse.dense();
            assert_eq!(bytes(&sparse), bytes(&dense), "seed {seed}: {hash:x}");
        }
    }
}
