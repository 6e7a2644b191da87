//! One cell of a column, borrowed or kept, and the total order over cells of all types.
//!
//! The order is booleans < numbers < text < JSON < times; within them false < true, numbers by their exact value
//! whatever their form (an integer before the equal double, -0.0 before 0.0), text and JSON by bytes. Being total it
//! makes `min`, `max` and `topk` independent of the order of their input. Knows nothing of accumulators.

use crate::aggregate::Error;
use crate::aggregate::encoding::{Reader, put_bytes, put_signed, put_varint, put_word};
use crate::batch::{Column, Tag, slot_bytes};
use crate::time::Timestamp;
use crate::value::Value;
use std::cmp::Ordering;

/// A cell of a batch that is not NULL.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// FALSE or TRUE.
    Bool(bool),
    /// An integer that fits `i64`.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// A finite double.
    Float(f64),
    /// UTF-8 text.
    Text(&'a [u8]),
    /// JSON text of an object or array.
    Json(&'a [u8]),
    /// Microseconds since the epoch.
    Time(i64),
}

impl<'a> Cell<'a> {
    /// The cell of one row, unless it is NULL; `text` is the batch's.
    #[inline]
    pub fn of(column: &Column, row: usize, text: &'a [u8]) -> Option<Cell<'a>> {
        let bits = column.bits[row];
        Some(match column.tags[row] {
            Tag::Null => return None,
            Tag::False => Cell::Bool(false),
            Tag::True => Cell::Bool(true),
            Tag::Int => Cell::Int(bits as i64),
            Tag::UInt => Cell::UInt(bits),
            Tag::Float => Cell::Float(f64::from_bits(bits)),
            Tag::Text => Cell::Text(slot_bytes(text, bits)),
            Tag::Json => Cell::Json(slot_bytes(text, bits)),
            Tag::Time => Cell::Time(bits as i64),
        })
    }

    /// The place of `self` in the total order of this module.
    #[inline]
    pub fn order(self, other: Cell<'_>) -> Ordering {
        match (self, other) {
            (Cell::Float(a), Cell::Float(b)) => a.total_cmp(&b),
            (Cell::Int(a), Cell::Int(b)) | (Cell::Time(a), Cell::Time(b)) => a.cmp(&b),
            (Cell::UInt(a), Cell::UInt(b)) => a.cmp(&b),
            (Cell::Int(_), Cell::UInt(_)) => Ordering::Less,
            (Cell::UInt(_), Cell::Int(_)) => Ordering::Greater,
            (Cell::Int(a), Cell::Float(b)) => integer_before_double(a.into(), b),
            (Cell::UInt(a), Cell::Float(b)) => integer_before_double(a.into(), b),
            (Cell::Float(a), Cell::Int(b)) => integer_before_double(b.into(), a).reverse(),
            (Cell::Float(a), Cell::UInt(b)) => integer_before_double(b.into(), a).reverse(),
            (Cell::Text(a), Cell::Text(b)) | (Cell::Json(a), Cell::Json(b)) => a.cmp(b),
            (Cell::Bool(a), Cell::Bool(b)) => a.cmp(&b),
            _ => self.family().cmp(&other.family()),
        }
    }

    fn family(self) -> u8 {
        match self {
            Cell::Bool(_) => 0,
            Cell::Int(_) | Cell::UInt(_) | Cell::Float(_) => 1,
            Cell::Text(_) => 2,
            Cell::Json(_) => 3,
            Cell::Time(_) => 4,
        }
    }
}

/// The order of an integer and a double by their exact values, the integer first where they are equal.
fn integer_before_double(integer: i128, double: f64) -> Ordering {
    const BEYOND: f64 = (1_u128 << 100) as f64;
    if double.abs() >= BEYOND {
        return if double > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    let whole = double.trunc();
    let fraction = double - whole;
    let by_fraction = if fraction < 0.0 { Ordering::Greater } else { Ordering::Less };
    integer.cmp(&(whole as i128)).then(by_fraction)
}

/// A cell that outlives its batch.
#[derive(Debug, Clone)]
pub enum Kept {
    /// FALSE or TRUE.
    Bool(bool),
    /// An integer that fits `i64`.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// A finite double.
    Float(f64),
    /// UTF-8 text.
    Text(Vec<u8>),
    /// JSON text of an object or array.
    Json(Vec<u8>),
    /// Microseconds since the epoch.
    Time(i64),
}

impl From<Cell<'_>> for Kept {
    fn from(cell: Cell<'_>) -> Kept {
        match cell {
            Cell::Bool(value) => Kept::Bool(value),
            Cell::Int(value) => Kept::Int(value),
            Cell::UInt(value) => Kept::UInt(value),
            Cell::Float(value) => Kept::Float(value),
            Cell::Text(bytes) => Kept::Text(bytes.to_vec()),
            Cell::Json(bytes) => Kept::Json(bytes.to_vec()),
            Cell::Time(value) => Kept::Time(value),
        }
    }
}

impl Kept {
    /// The cell, borrowed.
    #[inline]
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Kept::Bool(value) => Cell::Bool(*value),
            Kept::Int(value) => Cell::Int(*value),
            Kept::UInt(value) => Cell::UInt(*value),
            Kept::Float(value) => Cell::Float(*value),
            Kept::Text(bytes) => Cell::Text(bytes),
            Kept::Json(bytes) => Cell::Json(bytes),
            Kept::Time(value) => Cell::Time(*value),
        }
    }

    /// Becomes `cell`. A text takes the place of a text without allocating anew.
    #[inline]
    pub fn assign(&mut self, cell: Cell<'_>) {
        match (&mut *self, cell) {
            (Kept::Text(kept), Cell::Text(bytes)) | (Kept::Json(kept), Cell::Json(bytes)) => {
                kept.clear();
                kept.extend_from_slice(bytes);
            }
            _ => *self = cell.into(),
        }
    }

    /// The cell as a scalar.
    pub fn value(&self) -> Value {
        let text =
            |bytes: &[u8]| std::str::from_utf8(bytes).expect("text was checked when it was decoded").to_owned().into();
        match self {
            Kept::Bool(value) => Value::Bool(*value),
            Kept::Int(value) => Value::Int((*value).into()),
            Kept::UInt(value) => Value::Int((*value).into()),
            Kept::Float(value) => Value::Float(*value),
            Kept::Text(bytes) => Value::Text(text(bytes)),
            Kept::Json(bytes) => Value::Json(text(bytes)),
            Kept::Time(value) => Value::Time(Timestamp(*value)),
        }
    }

    /// Appends the cell to a partial.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Kept::Bool(value) => out.push(u8::from(*value)),
            Kept::Int(value) => {
                out.push(2);
                put_signed(out, *value);
            }
            Kept::UInt(value) => {
                out.push(3);
                put_varint(out, *value);
            }
            Kept::Float(value) => {
                out.push(4);
                put_word(out, value.to_bits());
            }
            Kept::Text(bytes) => {
                out.push(5);
                put_bytes(out, bytes);
            }
            Kept::Json(bytes) => {
                out.push(6);
                put_bytes(out, bytes);
            }
            Kept::Time(value) => {
                out.push(7);
                put_signed(out, *value);
            }
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Kept, Error> {
        Ok(match reader.byte()? {
            0 => Kept::Bool(false),
            1 => Kept::Bool(true),
            2 => Kept::Int(reader.signed()?),
            3 => match reader.varint()? {
                value if value > i64::MAX as u64 => Kept::UInt(value),
                _ => return Err(Error::Malformed("a small integer is marked as a large one")),
            },
            4 => Kept::Float(reader.double()?),
            5 => Kept::Text(checked_text(reader)?.to_vec()),
            6 => Kept::Json(checked_text(reader)?.to_vec()),
            7 => Kept::Time(reader.signed()?),
            _ => return Err(Error::Malformed("a value is of an unknown type")),
        })
    }
}

fn checked_text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let bytes = reader.bytes()?;
    simdutf8::basic::from_utf8(bytes).map_err(|_| Error::Malformed("a text is not UTF-8"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of `ascending` compares by its places.
    fn check(ascending: &[Cell]) {
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.order(*b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn cells_have_one_total_order() {
        check(&[
            Cell::Bool(false),
            Cell::Bool(true),
            Cell::Float(-1e300),
            Cell::Int(i64::MIN),
            Cell::Float(-9223372036854775808.0),
            Cell::Float(-1.5),
            Cell::Int(-1),
            Cell::Float(-0.5),
            Cell::Int(0),
            Cell::Float(-0.0),
            Cell::Float(0.0),
            Cell::Float(5e-324),
            Cell::Int(1),
            Cell::Float(1.0),
            Cell::Int(9007199254740992),
            Cell::Float(9007199254740992.0),
            Cell::Int(9007199254740993),
            Cell::Int(i64::MAX),
            Cell::UInt(1 << 63),
            Cell::Float(9223372036854775808.0),
            Cell::UInt(u64::MAX),
            Cell::Float(18446744073709551616.0),
            Cell::Float(f64::MAX),
            Cell::Text(b""),
            Cell::Text(b"10"),
            Cell::Text(b"9"),
            Cell::Json(b"[]"),
            Cell::Time(-5),
            Cell::Time(5),
        ]);
    }

    #[test]
    fn kept_cells_are_read_as_they_were_written() {
        let cells = [
            Cell::Bool(true),
            Cell::Int(-5),
            Cell::UInt(u64::MAX),
            Cell::Float(-0.0),
            Cell::Text("ü".as_bytes()),
            Cell::Json(b"{}"),
            Cell::Time(7),
        ];
        for cell in cells {
            let mut bytes = Vec::new();
            Kept::from(cell).encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            assert_eq!(Kept::decode(&mut reader).unwrap().cell().order(cell), Ordering::Equal);
            reader.finish().unwrap();
        }
    }
}
