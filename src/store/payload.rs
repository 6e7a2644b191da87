//! What a point's payload says: the states of the fields that recombine, the values of the others.
//!
//! With states: of a metric all of whose fields recombine the partial itself, else its length, the partial and the values
//! of the other fields. Without: the values of all fields. A roll-up's payload is a partial. Values keep their type and their bits.

use crate::aggregate::encoding::{Reader, put_bytes, put_varint, put_word};
use crate::aggregate::{Accumulators, Function};
use crate::metric::Metric;
use crate::store::catalogue::{Catalogue, Grain};
use crate::store::entry::Entry;
use crate::store::error::{Fault, Inner};
use crate::store::metrics::Point;
use crate::time::Timestamp;
use crate::value::Value;
use crate::window::present::values_of;

/// Writes and reads the payloads of one metric.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// For each field, whether its state is kept.
    kept: Vec<bool>,
    /// Whether all are.
    all_kept: bool,
    /// One group, of all fields: what a row's state is read into.
    of_row: Accumulators,
    /// One group, of the fields whose state is kept: what a point's state is read into.
    of_point: Accumulators,
}

impl Form {
    /// The form of this metric's payloads.
    pub fn of(catalogue: &Catalogue) -> Form {
        let kept: Vec<bool> = (0..catalogue.fields.len()).map(|field| catalogue.keeps_state(field)).collect();
        let all: Vec<Function> = catalogue.fields.iter().map(|field| field.function.clone()).collect();
        let mut of_row = Accumulators::new(&all);
        let mut of_point = Accumulators::new(&catalogue.states());
        of_row.add_group();
        of_point.add_group();
        Form { all_kept: kept.iter().all(|kept| *kept), kept, of_row, of_point }
    }

    /// Whether points have states.
    pub fn has_states(&self) -> bool {
        !self.of_point.functions().is_empty()
    }

    /// Appends the payload of a row. Says whether it has states.
    pub fn write(&mut self, row: &Metric, out: &mut Vec<u8>) -> Inner<bool> {
        let Some(state) = row.state.as_deref().filter(|_| self.has_states()) else {
            row.aggregates.iter().for_each(|value| put_value(value, out));
            return Ok(false);
        };
        if self.all_kept {
            out.extend_from_slice(state);
            return Ok(true);
        }
        self.of_row.reset_group(0);
        self.of_row.decode_into_group(0, state)?;
        let mut partial = Vec::new();
        self.of_row.encode_some(0, |field| self.kept[field], &mut partial);
        put_bytes(out, &partial);
        let values = row.aggregates.iter().zip(&self.kept).filter(|(_, kept)| !**kept);
        values.for_each(|(value, _)| put_value(value, out));
        Ok(true)
    }

    /// The partial of a point or a roll-up; `None` where it has none.
    pub fn state<'a>(&self, grain: Grain, entry: &Entry<'a>) -> Inner<Option<&'a [u8]>> {
        if !entry.has_state {
            return Ok(None);
        }
        if self.all_kept || grain != Grain::Points {
            return Ok(Some(entry.payload));
        }
        Ok(Some(Reader::new(entry.payload).bytes()?))
    }

    /// A point as the row was.
    pub fn point(&mut self, entry: &Entry<'_>) -> Inner<Point> {
        Ok(Point {
            window: entry.window(),
            values: self.values(entry)?,
            revision: entry.revision,
            rank: entry.rank,
            is_final: entry.is_final,
        })
    }

    /// The values of all fields of a point, as the row had them.
    pub fn values(&mut self, entry: &Entry<'_>) -> Inner<Box<[Value]>> {
        let mut reader = Reader::new(entry.payload);
        if !entry.has_state {
            let values = self.kept.iter().map(|_| value(&mut reader)).collect::<Inner<_>>()?;
            reader.finish()?;
            return Ok(values);
        }
        let state = if self.all_kept { reader.rest() } else { reader.bytes()? };
        self.of_point.reset_group(0);
        self.of_point.decode_into_group(0, state)?;
        let states = self.of_point.functions().len();
        let finished = values_of(&self.of_point, 0, states, entry.window());
        if self.all_kept {
            return Ok(finished);
        }
        let mut finished = finished.into_iter();
        let mut next = |kept: &bool| match kept {
            true => Ok(finished.next().expect("a value for each function whose state is kept")),
            false => value(&mut reader),
        };
        let values = self.kept.iter().map(&mut next).collect::<Inner<_>>()?;
        reader.finish()?;
        Ok(values)
    }
}

/// Appends a value with its type.
fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(false) => out.push(1),
        Value::Bool(true) => out.push(2),
        Value::Int(number) => {
            out.push(3);
            let zigzag = (number << 1 ^ number >> 127) as u128;
            put_varint(out, zigzag as u64);
            put_varint(out, (zigzag >> 64) as u64);
        }
        Value::Float(number) => {
            out.push(4);
            put_word(out, number.to_bits());
        }
        Value::Text(text) => {
            out.push(5);
            put_bytes(out, text.as_bytes());
        }
        Value::Json(text) => {
            out.push(6);
            put_bytes(out, text.as_bytes());
        }
        Value::Time(time) => {
            out.push(7);
            put_word(out, time.0 as u64);
        }
        Value::Array(values) => {
            out.push(8);
            put_varint(out, values.len() as u64);
            values.iter().for_each(|value| put_value(value, out));
        }
    }
}

fn value(reader: &mut Reader<'_>) -> Inner<Value> {
    let text = |reader: &mut Reader<'_>| -> Inner<Box<str>> {
        let bytes = reader.bytes()?;
        Ok(std::str::from_utf8(bytes).map_err(|_| Fault::Damaged("a text is not UTF-8".into()))?.into())
    };
    Ok(match reader.byte()? {
        0 => Value::Null,
        1 => Value::Bool(false),
        2 => Value::Bool(true),
        3 => {
            let zigzag = u128::from(reader.varint()?) | u128::from(reader.varint()?) << 64;
            Value::Int((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128))
        }
        4 => Value::Float(reader.double()?),
        5 => Value::Text(text(reader)?),
        6 => Value::Json(text(reader)?),
        7 => Value::Time(Timestamp(reader.word()? as i64)),
        8 => {
            let count = reader.count()?;
            Value::Array((0..count).map(|_| value_in_array(reader)).collect::<Inner<_>>()?)
        }
        other => return Err(Fault::Damaged(format!("a value is of the unknown type {other}"))),
    })
}

/// Arrays don't nest: forged ones could do so without end.
fn value_in_array(reader: &mut Reader<'_>) -> Inner<Value> {
    match reader.peek() {
        Some(8) => Err(Fault::Damaged("an array lies in an array".into())),
        _ => value(reader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_type_and_bits() {
        let values = [
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            Value::Int(i128::MIN),
            Value::Int(-1),
            Value::Int(i128::MAX),
            Value::Float(2.0),
            Value::Float(-0.0),
            Value::Text("é".into()),
            Value::Json("{}".into()),
            Value::Time(Timestamp(-3)),
            Value::Array(vec![Value::Int(1), Value::Text("".into()), Value::Null]),
        ];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| put_value(value, &mut bytes));
        let mut reader = Reader::new(&bytes);
        for expected in &values {
            let found = value(&mut reader).unwrap();
            assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        }
        reader.finish().unwrap();
    }

    #[test]
    fn forged_values_are_errors() {
        for bytes in [&b""[..], &[9], &[8, 1, 8, 0], &[5, 2, 0xff, 0xff], &[4, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f]] {
            assert!(value(&mut Reader::new(bytes)).is_err(), "{bytes:?}");
        }
    }
}
