//! One field of a CSV record and the types that it may have.
//!
//! Knows nothing of records.

use crate::batch::Tag;
use crate::codec::ndjson::read_number;
use crate::time::TimeFormat;

/// A field where it stands, or where it was written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its text: a slot of the block's bytes and what is written anew after them.
    pub slot: u64,
    /// Where it begins in the block.
    pub byte: u32,
    /// Whether it was quoted.
    pub quoted: bool,
}

/// How a field's text is read. An empty field that was not quoted is NULL, whatever its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldType {
    /// A number if the whole text is one as JSON writes them (so `007` and `+1` are texts), `true` and `false`, else text.
    #[default]
    Auto,
    /// Its text as it is.
    Text,
    /// An integer of `i64` or `u64`, leading zeros allowed.
    Int,
    /// A finite decimal number, leading zeros allowed.
    Float,
    /// `true`, `false`, `1` or `0`, in any case.
    Bool,
    /// A time, as `TimeFormat::Auto` takes it.
    Time,
}

impl FieldType {
    const ALL: [(&str, FieldType); 6] = [
        ("auto", FieldType::Auto),
        ("text", FieldType::Text),
        ("int", FieldType::Int),
        ("float", FieldType::Float),
        ("bool", FieldType::Bool),
        ("time", FieldType::Time),
    ];

    /// The type of this name.
    pub(crate) fn of_name(name: &str) -> Option<FieldType> {
        FieldType::ALL.iter().find(|(known, _)| *known == name).map(|&(_, field_type)| field_type)
    }

    /// The cell of a field, whose text is `text`, or `None` when it is not of this type.
    pub(crate) fn read(self, text: &[u8], field: &Field) -> Option<(Tag, u64)> {
        if text.is_empty() && !field.quoted {
            return Some((Tag::Null, 0));
        }
        match self {
            FieldType::Text => Some((Tag::Text, field.slot)),
            FieldType::Auto => Some(match text {
                b"true" => (Tag::True, 1),
                b"false" => (Tag::False, 0),
                [b'-' | b'0'..=b'9', ..] => read_number(text).unwrap_or((Tag::Text, field.slot)),
                _ => (Tag::Text, field.slot),
            }),
            FieldType::Int => {
                let text = std::str::from_utf8(text).ok()?;
                match (text.parse::<i64>(), text.parse::<u64>()) {
                    (Ok(int), _) => Some((Tag::Int, int as u64)),
                    (_, Ok(uint)) => Some((Tag::UInt, uint)),
                    _ => None,
                }
            }
            FieldType::Float => {
                // The standard library also reads words such as `inf`.
                let is_decimal = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
                let double: f64 = std::str::from_utf8(text).ok().filter(|_| is_decimal)?.parse().ok()?;
                double.is_finite().then(|| (Tag::Float, double.to_bits()))
            }
            FieldType::Bool if text.eq_ignore_ascii_case(b"true") || text == b"1" => Some((Tag::True, 1)),
            FieldType::Bool if text.eq_ignore_ascii_case(b"false") || text == b"0" => Some((Tag::False, 0)),
            FieldType::Bool => None,
            FieldType::Time => TimeFormat::Auto.read_text(text).ok().map(|time| (Tag::Time, time.0 as u64)),
        }
    }
}

impl std::fmt::Display for FieldType {
    /// As `--csv-schema` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = FieldType::ALL.iter().find(|(_, field_type)| field_type == self).map(|(name, _)| *name);
        f.write_str(name.expect("all types are in the list"))
    }
}
