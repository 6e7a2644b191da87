//! What makes two values the same, and the hash of that.
//!
//! A number has one key whatever its form: 1 and 1.0 are the same, 1 and "1" are not. The hash is part of stored
//! partials (through `crate::aggregate::hyperloglog`) and must never change. Knows nothing of who counts keys.

use crate::aggregate::cell::Cell;
use rapidhash::v3::rapidhash_v3;

/// A type of values that never equal those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// FALSE or TRUE: 0 or 1.
    Bool,
    /// A whole number from `i64::MIN` to `i64::MAX`.
    Int,
    /// A whole number above that, up to `u64::MAX`.
    UInt,
    /// Any other double, by its bits.
    Float,
    /// Microseconds since the epoch.
    Time,
    /// Text.
    Text,
    /// JSON text of an object or array, compared as text.
    Json,
}

impl Kind {
    /// All kinds, in the order of partials.
    pub const ALL: [Kind; 7] = [Kind::Bool, Kind::Int, Kind::UInt, Kind::Float, Kind::Time, Kind::Text, Kind::Json];

    /// Whether keys of this kind are bytes, not words.
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Json)
    }

    /// Whether `word` is the key of a value of this kind.
    pub fn allows(self, word: u64) -> bool {
        match self {
            Kind::Bool => word < 2,
            Kind::Int | Kind::Time => true,
            Kind::UInt => word > i64::MAX as u64,
            Kind::Float => {
                let value = f64::from_bits(word);
                value.is_finite() && matches!(Key::of(Cell::Float(value)), Key::Word(Kind::Float, _))
            }
            Kind::Text | Kind::Json => false,
        }
    }
}

/// A value's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// Everything but text.
    Word(Kind, u64),
    /// Text and JSON.
    Bytes(Kind, &'a [u8]),
}

impl<'a> Key<'a> {
    /// The key of a value.
    #[inline]
    pub fn of(cell: Cell<'a>) -> Key<'a> {
        const TWO_TO_63: f64 = 9223372036854775808.0;
        match cell {
            Cell::Bool(value) => Key::Word(Kind::Bool, value.into()),
            Cell::Int(value) => Key::Word(Kind::Int, value as u64),
            Cell::UInt(value) => Key::Word(Kind::UInt, value),
            Cell::Float(value) if value.trunc() != value => Key::Word(Kind::Float, value.to_bits()),
            Cell::Float(value) if (-TWO_TO_63..TWO_TO_63).contains(&value) => Key::Word(Kind::Int, value as i64 as u64),
            Cell::Float(value) if (TWO_TO_63..2.0 * TWO_TO_63).contains(&value) => Key::Word(Kind::UInt, value as u64),
            Cell::Float(value) => Key::Word(Kind::Float, value.to_bits()),
            Cell::Time(value) => Key::Word(Kind::Time, value as u64),
            Cell::Text(bytes) => Key::Bytes(Kind::Text, bytes),
            Cell::Json(bytes) => Key::Bytes(Kind::Json, bytes),
        }
    }

    /// 64 well mixed bits, the same on every machine and in every version.
    #[inline]
    pub fn hash(self) -> u64 {
        match self {
            Key::Word(kind, word) => hash_word(kind, word),
            Key::Bytes(kind, bytes) => hash_bytes(kind, bytes),
        }
    }
}

/// The hash of a word: the finalizer of splitmix64, Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators" (2014).
#[inline]
pub fn hash_word(kind: Kind, word: u64) -> u64 {
    let mut hash = word.wrapping_add((kind as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

/// The hash of bytes: rapidhash V3, which its authors keep stable.
#[inline]
pub fn hash_bytes(kind: Kind, bytes: &[u8]) -> u64 {
    hash_word(kind, rapidhash_v3(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: Cell, b: Cell, same: bool) {
        assert_eq!(Key::of(a) == Key::of(b), same, "{a:?} and {b:?}");
        assert_eq!(Key::of(a).hash() == Key::of(b).hash(), same, "{a:?} and {b:?}");
    }

    #[test]
    fn numbers_are_the_same_in_all_forms() {
        check(Cell::Int(1), Cell::Float(1.0), true);
        check(Cell::Int(0), Cell::Float(-0.0), true);
        check(Cell::Int(i64::MIN), Cell::Float(-9223372036854775808.0), true);
        check(Cell::UInt(1 << 63), Cell::Float(9223372036854775808.0), true);
        check(Cell::Int(i64::MAX), Cell::Float(9223372036854775808.0), false);
        check(Cell::Float(18446744073709551616.0), Cell::UInt(u64::MAX), false);
        check(Cell::Float(0.5), Cell::Float(0.25), false);
        check(Cell::Int(1), Cell::Text(b"1"), false);
        check(Cell::Int(1), Cell::Bool(true), false);
        check(Cell::Int(1), Cell::Time(1), false);
        check(Cell::Int(-1), Cell::UInt(u64::MAX), false);
        check(Cell::Text(b"[]"), Cell::Json(b"[]"), false);
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(Key::of(Cell::Int(42)).hash(), HASH_OF_42);
        assert_eq!(Key::of(Cell::Text(b"user-0")).hash(), HASH_OF_USER_0);
    }

    const HASH_OF_42: u64 = 2949826092126892291;
    const HASH_OF_USER_0: u64 = 11860387736852681297;
}
