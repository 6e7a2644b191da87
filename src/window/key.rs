//! Group keys: the values of the group columns as one byte string, equal exactly when the values are.
//!
//! Numbers have one form (2 and 2.0 are one group), 1 and "1" are two groups. Knows nothing of tables and windows.

use std::sync::Arc;

use crate::batch::{Column, Tag, slot_bytes};
use crate::time::Timestamp;
use crate::value::Value;

/// The group that events join when a window has its most groups already.
pub const OVERFLOW: &str = "__other__";

/// Appends the key of `row` over the given group columns to `out`. `text` is the batch's.
pub fn write_key(columns: &[&Column], row: usize, text: &[u8], out: &mut Vec<u8>) {
    for column in columns {
        let bits = column.bits[row];
        match column.tags[row] {
            tag @ (Tag::Text | Tag::Json) => write_text(tag, slot_bytes(text, bits), out),
            Tag::Float => write_float(f64::from_bits(bits), out),
            tag => {
                out.push(tag as u8);
                if tag as u8 > Tag::True as u8 {
                    out.extend_from_slice(&bits.to_le_bytes());
                }
            }
        }
    }
}

fn write_text(tag: Tag, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag as u8);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A double that is a whole number of 64 bits takes the form of the integer.
fn write_float(value: f64, out: &mut Vec<u8>) {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2⁶³, exact.
    let (tag, bits) = if value.trunc() == value && (-LIMIT..LIMIT).contains(&value) {
        (Tag::Int, value as i64 as u64)
    } else if value.trunc() == value && (LIMIT..2.0 * LIMIT).contains(&value) {
        (Tag::UInt, value as u64)
    } else {
        (Tag::Float, value.to_bits())
    };
    out.push(tag as u8);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// The key of the overflow group of `columns` group columns: its name in each of them.
pub fn overflow_key(columns: usize) -> Vec<u8> {
    let mut key = Vec::new();
    for _ in 0..columns {
        write_text(Tag::Text, OVERFLOW.as_bytes(), &mut key);
    }
    key
}

/// The key of these values: the inverse of `read_key`. Arrays can't be group values and count as NULL.
pub fn key_of(values: &[Value]) -> Vec<u8> {
    let mut key = Vec::new();
    push_key(values, &mut key);
    key
}

/// Appends the key of these values to `out`, as `key_of` gives it.
pub fn push_key(values: &[Value], out: &mut Vec<u8>) {
    for value in values {
        match value {
            Value::Text(text) => write_text(Tag::Text, text.as_bytes(), out),
            Value::Json(json) => write_text(Tag::Json, json.as_bytes(), out),
            value => {
                let (mut column, mut text) = (Column::new(), Vec::new());
                column.push_value(value, &mut text);
                write_key(&[&column], 0, &text, out);
            }
        }
    }
}

/// The values of a key; `None` if `write_key` never wrote it.
pub fn read_key(mut key: &[u8]) -> Option<Arc<[Value]>> {
    let mut values = Vec::new();
    while let Some((&tag, rest)) = key.split_first() {
        key = rest;
        let bits = |key: &mut &[u8]| {
            let (bytes, rest) = key.split_first_chunk::<8>()?;
            *key = rest;
            Some(u64::from_le_bytes(*bytes))
        };
        let text = |key: &mut &[u8]| -> Option<Box<str>> {
            let (len, rest) = key.split_first_chunk::<4>()?;
            let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            *key = rest;
            Some(std::str::from_utf8(bytes).ok()?.into())
        };
        values.push(match tag {
            t if t == Tag::Null as u8 => Value::Null,
            t if t == Tag::False as u8 => Value::Bool(false),
            t if t == Tag::True as u8 => Value::Bool(true),
            t if t == Tag::Int as u8 => Value::Int(i128::from(bits(&mut key)? as i64)),
            t if t == Tag::UInt as u8 => Value::Int(i128::from(bits(&mut key)?)),
            t if t == Tag::Float as u8 => Value::Float(f64::from_bits(bits(&mut key)?)),
            t if t == Tag::Text as u8 => Value::Text(text(&mut key)?),
            t if t == Tag::Json as u8 => Value::Json(text(&mut key)?),
            t if t == Tag::Time as u8 => Value::Time(Timestamp(bits(&mut key)? as i64)),
            _ => return None,
        });
    }
    Some(values.into())
}

/// The values of a group's key.
pub fn groups_of(key: &[u8]) -> Arc<[Value]> {
    read_key(key).expect("the keys of groups are written by write_key")
}

/// The order of groups in the output: numbers, then text, nested JSON, times, truth values, NULL last.
pub fn compare_groups(a: &[Value], b: &[Value]) -> std::cmp::Ordering {
    a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|order| order.is_ne()).unwrap_or(a.len().cmp(&b.len()))
}

fn compare_values(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::Int(a), Value::Float(b)) => compare_exactly(*a, *b),
        (Value::Float(a), Value::Int(b)) => compare_exactly(*b, *a).reverse(),
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => family(a).cmp(&family(b)),
    }
}

/// As the numbers are, without rounding either, so that the order of three numbers agrees with itself. NaN is beyond all
/// others, on the side of its sign; an integer 0 is a positive one.
fn compare_exactly(integer: i128, float: f64) -> std::cmp::Ordering {
    const LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2¹²⁷, exact.
    if !(-LIMIT..LIMIT).contains(&float) {
        return 0f64.total_cmp(&float);
    }
    let rest = if float == 0.0 { float } else { float - float.trunc() };
    integer.cmp(&(float as i128)).then_with(|| 0f64.total_cmp(&rest))
}

fn family(value: &Value) -> u8 {
    match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Text(_) => 1,
        Value::Json(_) => 2,
        Value::Time(_) => 3,
        Value::Bool(_) => 4,
        Value::Array(_) => 5,
        Value::Null => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_the_values_they_were_made_of() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::Int(-5),
            Value::Int(i128::from(u64::MAX)),
            Value::Float(2.5),
            Value::Text("a\0b".into()),
            Value::Text("".into()),
            Value::Json("[1]".into()),
            Value::Time(Timestamp(7)),
        ];
        assert_eq!(&*groups_of(&key_of(&values)), &values);
        assert_eq!(read_key(&[Tag::Int as u8, 0]), None);
    }

    #[test]
    fn whole_doubles_and_integers_are_one_group_and_text_another() {
        let key = |value| key_of(&[value]);
        assert_eq!(key(Value::Float(2.0)), key(Value::Int(2)));
        assert_eq!(key(Value::Float(-0.0)), key(Value::Int(0)));
        assert_eq!(key(Value::Float(1.0e19)), key(Value::Int(10_000_000_000_000_000_000)));
        assert_ne!(key(Value::Text("1".into())), key(Value::Int(1)));
        assert_ne!(key(Value::Null), key(Value::Text("".into())));
    }

    /// As doubles, both integers are the same.
    #[test]
    fn integers_and_doubles_are_compared_exactly() {
        let (least, greatest) = (Value::Int(1 << 53), Value::Int((1 << 53) + 1));
        let double = Value::Float(9_007_199_254_740_992.0);
        assert!(compare_values(&least, &double).is_eq());
        assert!(compare_values(&double, &greatest).is_lt());
        for (integer, double) in [(0, -0.5), (0, -0.0), (-1, -1.5), (1, 0.5), (7, f64::NEG_INFINITY), (7, -1e300)] {
            assert!(compare_values(&Value::Int(integer), &Value::Float(double)).is_gt(), "{integer} and {double}");
        }
        for (integer, double) in [(0, 0.5), (-1, -0.5), (7, f64::INFINITY), (7, f64::NAN), (7, 1e300)] {
            assert!(compare_values(&Value::Float(double), &Value::Int(integer)).is_gt(), "{double} and {integer}");
        }
    }

    #[test]
    fn groups_are_ordered_by_value_and_null_comes_last() {
        let mut values =
            vec![Value::Null, Value::Text("a".into()), Value::Int(10), Value::Float(9.5), Value::Bool(true)];
        values.sort_by(|a, b| compare_groups(std::slice::from_ref(a), std::slice::from_ref(b)));
        let expected = [Value::Float(9.5), Value::Int(10), Value::Text("a".into()), Value::Bool(true), Value::Null];
        assert_eq!(values, expected);
    }
}
