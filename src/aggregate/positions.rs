//! The first and the last value by event time, then partition, then offset.
//!
//! The place of an event in the input decides between equal times, so the answer does not depend on who read it when.
//! Knows nothing of columns.

use crate::aggregate::Error;
use crate::aggregate::cell::{Cell, Kept};
use crate::aggregate::encoding::{Reader, put_signed, put_varint};
use crate::partition::PartitionId;
use crate::time::Timestamp;
use crate::value::Value;
use std::cmp::Ordering;

/// When an event happened, and where it stands in the input. Compared in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Event time.
    pub time: Timestamp,
    /// Where it was read.
    pub partition: PartitionId,
    /// Its place in the partition: its record's offset, or its first byte.
    pub offset: u64,
}

/// The value seen at the least or greatest position.
#[derive(Debug, Clone, Default)]
pub struct Positioned(Option<(Position, Kept)>);

impl Positioned {
    /// Takes in a value, which is kept if its position compares as `wanted` (less or greater) with the one kept so far.
    #[inline]
    pub fn add(&mut self, position: Position, cell: Cell<'_>, wanted: Ordering) {
        match &mut self.0 {
            None => self.0 = Some((position, cell.into())),
            Some((kept_position, kept)) => {
                // Only partials from different runs over the same positions can tie.
                if position.cmp(kept_position).then_with(|| cell.order(kept.cell())) == wanted {
                    *kept_position = position;
                    kept.assign(cell);
                }
            }
        }
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &Positioned, wanted: Ordering) {
        if let Some((position, kept)) = &other.0 {
            self.add(*position, kept.cell(), wanted);
        }
    }

    /// The value; NULL over none.
    pub fn value(&self) -> Value {
        self.0.as_ref().map_or(Value::Null, |(_, kept)| kept.value())
    }

    /// Appends position and value to a partial.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.0.is_some()));
        if let Some((position, kept)) = &self.0 {
            put_signed(out, position.time.0);
            put_varint(out, position.partition.0.into());
            put_varint(out, position.offset);
            kept.encode(out);
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Positioned, Error> {
        match reader.byte()? {
            0 => Ok(Positioned(None)),
            1 => {
                let time = Timestamp(reader.signed()?);
                let partition = u32::try_from(reader.varint()?);
                let partition = PartitionId(partition.map_err(|_| Error::Malformed("a partition is out of range"))?);
                let position = Position { time, partition, offset: reader.varint()? };
                Ok(Positioned(Some((position, Kept::decode(reader)?))))
            }
            _ => Err(Error::Malformed("a value is neither there nor missing")),
        }
    }
}
