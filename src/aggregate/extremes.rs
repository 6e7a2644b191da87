//! The least and the greatest value, and the k greatest, of values of any type.
//!
//! "Greater" is the total order of `crate::aggregate::cell`. Knows nothing of columns.

use crate::aggregate::Error;
use crate::aggregate::cell::{Cell, Kept};
use crate::aggregate::encoding::{Reader, put_varint};
use crate::value::Value;
use std::cmp::Ordering;

/// The one value seen that comes before all others in an order.
#[derive(Debug, Clone, Default)]
pub struct Extreme(Option<Kept>);

impl Extreme {
    /// Takes in a value, which is kept if it compares as `wanted` (less or greater) with the one kept so far.
    #[inline]
    pub fn add(&mut self, cell: Cell<'_>, wanted: Ordering) {
        match &mut self.0 {
            None => self.0 = Some(cell.into()),
            Some(kept) => {
                if cell.order(kept.cell()) == wanted {
                    kept.assign(cell);
                }
            }
        }
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &Extreme, wanted: Ordering) {
        if let Some(kept) = &other.0 {
            self.add(kept.cell(), wanted);
        }
    }

    /// The value; NULL over none.
    pub fn value(&self) -> Value {
        self.0.as_ref().map_or(Value::Null, Kept::value)
    }

    /// Appends the value to a partial.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.0.is_some()));
        if let Some(kept) = &self.0 {
            kept.encode(out);
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Extreme, Error> {
        match reader.byte()? {
            0 => Ok(Extreme(None)),
            1 => Ok(Extreme(Some(Kept::decode(reader)?))),
            _ => Err(Error::Malformed("a value is neither there nor missing")),
        }
    }
}

/// The k greatest values, greatest first; equal ones are kept as often as they came.
#[derive(Debug, Clone, Default)]
pub struct Greatest(Vec<Kept>);

impl Greatest {
    /// Takes in a value; never more than `limit`, which is at least 1, are kept.
    #[inline]
    pub fn add(&mut self, cell: Cell<'_>, limit: usize) {
        let full = self.0.len() >= limit;
        if full && self.0.last().is_some_and(|least| cell.order(least.cell()) != Ordering::Greater) {
            return;
        }
        let place = self.0.partition_point(|kept| kept.cell().order(cell) != Ordering::Less);
        if full {
            self.0[place..].rotate_right(1);
            self.0[place].assign(cell);
        } else {
            self.0.insert(place, cell.into());
        }
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &Greatest, limit: usize) {
        other.0.iter().for_each(|kept| self.add(kept.cell(), limit));
    }

    /// The values as an array; NULL over none.
    pub fn value(&self) -> Value {
        if self.0.is_empty() { Value::Null } else { Value::Array(self.0.iter().map(Kept::value).collect()) }
    }

    /// Appends the values to a partial.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        self.0.iter().for_each(|kept| kept.encode(out));
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>, limit: usize) -> Result<Greatest, Error> {
        let count = reader.count()?;
        if count > limit {
            return Err(Error::Malformed("more values are kept than were asked for"));
        }
        let kept: Vec<Kept> = (0..count).map(|_| Kept::decode(reader)).collect::<Result<_, _>>()?;
        if !kept.is_sorted_by(|a, b| a.cell().order(b.cell()) != Ordering::Less) {
            return Err(Error::Malformed("values are out of order"));
        }
        Ok(Greatest(kept))
    }
}
