//! A scalar as the query sees it: what an expression, a group column or an aggregate may hold for one row.
//!
//! This is the slow, general form, used at the edges (literals, result rows); the data path keeps values in
//! `crate::batch::Column`. Knows nothing of columns and of how a value is printed in a format.

use crate::time::Timestamp;

/// One scalar, or an array of them (from `topk`).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL's NULL: missing, JSON null, or the result of an operation on the wrong type.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer, exact. Fields hold `i64` and `u64`, sums of them reach further.
    Int(i128),
    /// A finite double. Results that are not finite become NULL before they get here.
    Float(f64),
    /// Text, UTF-8.
    Text(Box<str>),
    /// A nested JSON object or array as its original text, which is valid JSON.
    Json(Box<str>),
    /// A point in time.
    Time(Timestamp),
    /// The values of `topk`, greatest first.
    Array(Vec<Value>),
}

impl Value {
    /// The value as JSON text: integers in full, doubles in their shortest form that reads back equal, times as RFC 3339.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write_json(&mut out);
        String::from_utf8(out).expect("JSON made from UTF-8 is UTF-8")
    }

    /// Appends the value as JSON text to `out`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
            Value::Int(i) => out.extend_from_slice(itoa::Buffer::new().format(*i).as_bytes()),
            Value::Float(f) => out.extend_from_slice(zmij::Buffer::new().format_finite(*f).as_bytes()),
            Value::Text(s) => write_json_string(s, out),
            Value::Json(s) => out.extend_from_slice(s.as_bytes()),
            Value::Time(t) => write_json_string(&t.to_string(), out),
            Value::Array(values) => {
                out.push(b'[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    value.write_json(out);
                }
                out.push(b']');
            }
        }
    }
}

/// Appends `text` as a JSON string to `out`.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing text to a vector can't fail");
}
