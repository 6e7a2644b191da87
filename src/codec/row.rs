//! Result rows read back from the NDJSON that `codec::encode::ndjson` writes, every digit of their numbers kept.
//!
//! A row doesn't say which of its columns are groups, so here all of them are values. Knows nothing of where rows come from.

use std::sync::Arc;

use crate::metric::{Metric, MetricSchema};
use crate::time::{ParseError, Timestamp, Window, parse_rfc3339};
use crate::value::Value;

/// A row with its names.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRow {
    /// The metric, and its columns as aggregates.
    pub schema: MetricSchema,
    /// The row; its `metric` is 0.
    pub row: Metric,
}

/// Why a line is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Not a JSON object.
    #[error("it is no JSON object")]
    NoObject,
    /// A watermark, stats, a partial, or something of somebody else's.
    #[error("it has no '{0}'")]
    Missing(&'static str),
    /// A member of a row that has another type.
    #[error("its '{0}' is not what a row has there")]
    Member(&'static str),
    /// A bound of its window.
    #[error("its window has a wrong bound")]
    Bound(#[from] ParseError),
}

/// Reads one line.
pub fn read(line: &[u8]) -> Result<NamedRow, RowError> {
    if !crate::codec::ndjson::is_whole_object(line) {
        return Err(RowError::NoObject);
    }
    let text = str::from_utf8(line).map_err(|_| RowError::NoObject)?;
    let (mut name, mut start, mut end) = (None, None, None);
    let mut columns: Vec<(String, Value)> = Vec::new();
    let (mut rank, mut revision, mut is_final, mut retracted) = (None, 0, true, false);
    for (member, value) in members(text) {
        match (member.as_str(), value_of(value)) {
            ("metric", Value::Text(text)) => name = Some(text.into_string()),
            ("metric", _) => return Err(RowError::Member("metric")),
            ("window_start", bound) => start = Some(bound_of(&bound, Timestamp::MIN)?),
            ("window_end", bound) => end = Some(bound_of(&bound, Timestamp::MAX)?),
            ("rank", Value::Int(place)) => rank = Some(u64::try_from(place).map_err(|_| RowError::Member("rank"))?),
            ("revision", Value::Int(times)) => {
                revision = u32::try_from(times).map_err(|_| RowError::Member("revision"))?;
            }
            ("final", Value::Bool(truth)) => is_final = truth,
            ("retracted", Value::Bool(truth)) => retracted = truth,
            (_, value) => columns.push((member, value)),
        }
    }
    let name = name.ok_or(RowError::Missing("metric"))?;
    let start = start.ok_or(RowError::Missing("window_start"))?;
    let end = end.ok_or(RowError::Missing("window_end"))?;
    if start >= end {
        return Err(RowError::Member("window_end"));
    }
    let (names, values): (Vec<String>, Vec<Value>) = columns.into_iter().unzip();
    Ok(NamedRow {
        schema: MetricSchema { name, groups: Vec::new(), aggregates: names, ranked: rank.is_some() },
        row: Metric {
            metric: 0,
            window: Window { start, end },
            groups: Arc::new([]),
            aggregates: values.into(),
            rank,
            revision,
            is_final,
            retracted,
            state: None,
        },
    })
}

fn bound_of(value: &Value, open: Timestamp) -> Result<Timestamp, RowError> {
    match value {
        Value::Null => Ok(open),
        Value::Text(text) => Ok(parse_rfc3339(text.as_bytes())?),
        _ => Err(RowError::Member("window_start")),
    }
}

/// A value as it is written.
fn value_of(raw: &str) -> Value {
    match raw.as_bytes()[0] {
        b'"' => serde_json::from_str(raw).map_or(Value::Null, Value::Text),
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'n' => Value::Null,
        b'{' | b'[' => Value::Json(raw.into()),
        _ => match (raw.parse(), raw.parse::<f64>()) {
            (Ok(int), _) => Value::Int(int),
            (_, Ok(float)) if float.is_finite() => Value::Float(float),
            _ => Value::Json(raw.into()),
        },
    }
}

/// The members of an object that is valid JSON, each value as it is written.
fn members(object: &str) -> Vec<(String, &str)> {
    let bytes = object.as_bytes();
    let is_between = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'{' | b',' | b':');
    let skip = |mut at: usize| {
        while bytes.get(at).is_some_and(|byte| is_between(*byte)) {
            at += 1;
        }
        at
    };
    let mut found = Vec::new();
    let mut at = skip(0);
    while bytes.get(at) == Some(&b'"') {
        let name_end = string_end(bytes, at);
        // The brace of an object that is a value is not passed over.
        let value = name_end + bytes[name_end..].iter().take_while(|byte| **byte != b':').count() + 1;
        let value = value + bytes[value..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let value_end = value_end(bytes, value);
        let name = serde_json::from_str(&object[at..name_end]).unwrap_or_default();
        found.push((name, &object[value..value_end]));
        at = skip(value_end);
    }
    found
}

/// Behind the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' if depth == 0 => return at,
            byte if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::RowEncoder;
    use crate::codec::encode::ndjson::NdjsonEncoder;

    /// What is read is written again as the same bytes.
    #[track_caller]
    fn check(line: &str, columns: &[&str]) {
        let NamedRow { schema, row } = read(line.as_bytes()).unwrap();
        assert_eq!(schema.aggregates, columns, "{line}");
        let mut out = Vec::new();
        NdjsonEncoder::new(&[schema]).row(&row, &mut out);
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), line);
    }

    #[track_caller]
    fn check_refused(line: &str, expected: &str) {
        assert_eq!(read(line.as_bytes()).unwrap_err().to_string(), expected, "{line}");
    }

    const HEAD: &str =
        r#"{"metric":"m","window_start":"1970-01-01T00:00:00.000Z","window_end":"1970-01-01T00:01:00.000Z""#;

    #[test]
    fn rows_keep_every_digit() {
        check(&format!(r#"{HEAD},"revision":0}}"#), &[]);
        let body = r#","g":"a\"}\\","b":true,"n":null,"i":340282366920938463463374607431768211,"x":0.1,"e":1e+300,"o":{"k":[1, "}"]},"t":[1,null]"#;
        check(&format!(r#"{HEAD}{body},"revision":0}}"#), &["g", "b", "n", "i", "x", "e", "o", "t"]);
        check(&format!(r#"{HEAD},"a":-1,"rank":3,"revision":2,"final":false,"retracted":true}}"#), &["a"]);
        check(r#"{"metric":"m\"","window_start":null,"window_end":null,"a:,{":7,"revision":0}"#, &["a:,{"]);
    }

    #[test]
    fn blanks_are_of_no_account() {
        let line = format!("{HEAD} , \"a\" :\t{{ \"b\" : 1 }} , \"c\": [ 2 ] ,\"revision\":0 }} ");
        let NamedRow { schema, row } = read(line.as_bytes()).unwrap();
        assert_eq!(schema.aggregates, ["a", "c"]);
        assert_eq!(row.aggregates[0], Value::Json("{ \"b\" : 1 }".into()));
    }

    #[test]
    fn what_is_no_row_says_why() {
        check_refused("[1]", "it is no JSON object");
        check_refused(&format!("{HEAD},"), "it is no JSON object");
        check_refused(r#"{"watermark":"1970-01-01T00:00:00.000Z"}"#, "it has no 'metric'");
        check_refused(r#"{"metric":1}"#, "its 'metric' is not what a row has there");
        check_refused(r#"{"metric":"m","window_start":null}"#, "it has no 'window_end'");
        check_refused(r#"{"metric":"m","window_start":"x","window_end":null}"#, "its window has a wrong bound");
    }
}
