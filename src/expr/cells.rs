//! What evaluation works on: one cell, a whole vector of them, and which rows are asked for.
//!
//! Knows nothing of operators.

use crate::batch::{Column, Tag, slot, slot_bytes, slot_str};
use std::borrow::Cow;

/// A text that a function makes is at most this long; beyond it the result is NULL and counted. Without a bound
/// `replace` could make a terabyte from two megabytes.
pub const TEXT_BYTES_MAX: usize = 16 << 20;

/// One cell of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Its type.
    pub tag: Tag,
    /// See `Tag`.
    pub bits: u64,
}

/// A number as it is computed with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Exact.
    Int(i128),
    /// Finite.
    Float(f64),
}

impl Cell {
    /// NULL.
    pub const NULL: Cell = Cell { tag: Tag::Null, bits: 0 };

    /// TRUE or FALSE.
    pub fn boolean(b: bool) -> Cell {
        Cell { tag: truth(b), bits: b.into() }
    }

    /// An integer, if a cell can hold it.
    pub fn int(i: i128) -> Option<Cell> {
        match (i64::try_from(i), u64::try_from(i)) {
            (Ok(i), _) => Some(Cell { tag: Tag::Int, bits: i as u64 }),
            (_, Ok(u)) => Some(Cell { tag: Tag::UInt, bits: u }),
            _ => None,
        }
    }

    /// A double, if it is finite.
    pub fn float(x: f64) -> Option<Cell> {
        x.is_finite().then(|| Cell { tag: Tag::Float, bits: x.to_bits() })
    }

    /// A time in microseconds.
    pub fn time(micros: i64) -> Cell {
        Cell { tag: Tag::Time, bits: micros as u64 }
    }

    /// A part of the batch's text.
    pub fn text(start: usize, len: usize) -> Cell {
        Cell { tag: Tag::Text, bits: slot(start, len) }
    }

    /// Appends a text to the batch's, if there is room.
    pub fn new_text(bytes: &[u8], text: &mut Vec<u8>) -> Option<Cell> {
        let start = text.len();
        if bytes.len() > TEXT_BYTES_MAX || start + bytes.len() > u32::MAX as usize {
            return None;
        }
        text.extend_from_slice(bytes);
        Some(Cell::text(start, bytes.len()))
    }

    /// Its number, if it is one.
    #[inline]
    pub fn number(self) -> Option<Number> {
        match self.tag {
            Tag::Int => Some(Number::Int((self.bits as i64).into())),
            Tag::UInt => Some(Number::Int(self.bits.into())),
            Tag::Float => Some(Number::Float(f64::from_bits(self.bits))),
            _ => None,
        }
    }

    /// Its integer, if it is one.
    pub fn integer(self) -> Option<i128> {
        match self.number()? {
            Number::Int(i) => Some(i),
            Number::Float(_) => None,
        }
    }

    /// Where its text stands, start and length, if it is one.
    pub fn text_place(self) -> Option<(usize, usize)> {
        (self.tag == Tag::Text).then_some(((self.bits >> 32) as usize, (self.bits & 0xffff_ffff) as usize))
    }

    /// Its text, if it is one.
    pub fn str(self, text: &[u8]) -> Option<&str> {
        (self.tag == Tag::Text).then(|| slot_str(text, self.bits))
    }

    /// The bytes of its text, if it is one.
    #[inline]
    pub fn bytes(self, text: &[u8]) -> Option<&[u8]> {
        (self.tag == Tag::Text).then(|| slot_bytes(text, self.bits))
    }
}

/// The tag of a truth value.
#[inline]
pub fn truth(b: bool) -> Tag {
    if b { Tag::True } else { Tag::False }
}

/// The rows that are asked for. Cells of others may hold anything valid, and count nothing.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// All rows of the batch.
    pub count: usize,
    /// Which are active; all without it.
    pub mask: Option<&'a [bool]>,
}

impl Rows<'_> {
    /// Whether the row is asked for.
    #[inline]
    pub fn is_active(&self, row: usize) -> bool {
        self.mask.is_none_or(|mask| mask[row])
    }

    /// Which rows are active, as a mask of one's own.
    pub fn to_mask(self) -> Vec<bool> {
        self.mask.map_or_else(|| vec![true; self.count], <[bool]>::to_vec)
    }
}

/// The cells of all rows.
pub enum Vector<'a> {
    /// A column of the batch or a result.
    Column(Cow<'a, Column>),
    /// Truth values: True, False or Null each.
    Truth(Vec<Tag>),
    /// The same in all rows.
    Constant(Cell),
}

impl Vector<'_> {
    /// The cell of one row.
    #[inline]
    pub fn cell(&self, row: usize) -> Cell {
        match self {
            Vector::Column(column) => Cell { tag: column.tags[row], bits: column.bits[row] },
            Vector::Truth(tags) => Cell { tag: tags[row], bits: (tags[row] == Tag::True).into() },
            Vector::Constant(cell) => *cell,
        }
    }

    /// As a column of `rows` cells.
    pub fn into_column(self, rows: usize) -> Column {
        match self {
            Vector::Column(column) => column.into_owned(),
            Vector::Truth(tags) => {
                let bits = tags.iter().map(|tag| (*tag == Tag::True).into()).collect();
                Column { tags, bits }
            }
            Vector::Constant(cell) => Column { tags: vec![cell.tag; rows], bits: vec![cell.bits; rows] },
        }
    }

    /// As truth values: what is none of them is NULL and counted.
    pub fn into_truth(self, rows: Rows<'_>, nulled: &mut u64) -> Vec<Tag> {
        let mut tags = match self {
            Vector::Truth(tags) => return tags,
            Vector::Column(column) => column.into_owned().tags,
            Vector::Constant(cell) => vec![cell.tag; rows.count],
        };
        for (row, tag) in tags.iter_mut().enumerate() {
            if !matches!(tag, Tag::True | Tag::False | Tag::Null) {
                *tag = Tag::Null;
                *nulled += u64::from(rows.is_active(row));
            }
        }
        tags
    }
}
