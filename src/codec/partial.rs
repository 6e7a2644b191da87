//! Partials as JSON lines, so that one evkit program can fold and another can merge.
//!
//! A stream of partials begins with a header for each metric, `{"partial":{"version":1,"metric":…,"groups":[…],
//! "aggregates":[…],"gap":…}}`, which says all that the merger must know of the query. Then come deltas, each exactly once:
//! `{"partial":"<state>","metric":…,"window_start":…,"window_end":…,"first_end":…,"judged":…,"events":…,"key":"<key>","groups":[…]}`. State and key are
//! base64; the groups beside the key are for people. Knows nothing of how partials are folded and merged.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde_json::{Value as Json, json};

use crate::aggregate::Function;
use crate::metric::MetricSchema;
use crate::time::{Duration, Timestamp, Window, parse_rfc3339};
use crate::window::Partial;
use crate::window::key::{key_of, read_key};

/// Version of the form of these lines. The accumulators' encoding has a version of its own.
const VERSION: u64 = 1;

/// What a header says of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Names of metric, groups and aggregates. The merger ranks by itself.
    pub schema: MetricSchema,
    /// What the accumulators are.
    pub functions: Vec<Function>,
    /// The gap, where the partials are sessions and not slices of aligned windows.
    pub gap: Option<Duration>,
}

/// A line of a stream of partials.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// What a metric's partials are made of.
    Header(Header),
    /// A delta, with the name of its metric; the number in it is 0.
    Partial(String, Partial),
}

/// A line that is no partial of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartialError {
    /// A member is missing or of the wrong type.
    #[error("member '{0}' of a partial is missing or wrong")]
    Member(&'static str),
    /// Written by a later evkit.
    #[error("partials of version {0} cannot be read; this program knows version {VERSION}")]
    Version(u64),
}

/// Appends the header of a metric, without a line feed.
pub fn push_header(header: &Header, out: &mut Vec<u8>) {
    let schema = &header.schema;
    let aggregates: Vec<Json> = schema
        .aggregates
        .iter()
        .zip(&header.functions)
        .map(|(name, function)| {
            let (function, distinct, parameter) = function.parts();
            json!({"name": name, "function": function, "distinct": distinct, "parameter": parameter})
        })
        .collect();
    let header = json!({"partial": {
        "version": VERSION, "metric": schema.name, "groups": schema.groups, "aggregates": aggregates,
        "gap": header.gap.map(|gap| gap.to_string()),
    }});
    serde_json::to_writer(out, &header).expect("writing to a vector can't fail");
}

/// Appends a delta of the metric of this name, without a line feed.
pub fn push_partial(partial: &Partial, metric: &str, out: &mut Vec<u8>) {
    let time = |time: Timestamp| (time != Timestamp::MIN && time != Timestamp::MAX).then(|| time.to_string());
    let groups: Vec<Json> =
        partial.groups.iter().map(|value| serde_json::from_str(&value.to_json()).unwrap_or(Json::Null)).collect();
    let line = json!({
        "partial": BASE64.encode(&partial.state),
        "metric": metric,
        "window_start": time(partial.span.start),
        "window_end": time(partial.span.end),
        "first_end": time(partial.first_end),
        "judged": time(partial.judged),
        "events": partial.events,
        "key": BASE64.encode(key_of(&partial.groups)),
        "groups": groups,
    });
    serde_json::to_writer(out, &line).expect("writing to a vector can't fail");
}

/// Reads a line of a stream of partials.
pub fn parse(line: &[u8]) -> Result<Line, PartialError> {
    let object: Json = serde_json::from_slice(line).map_err(|_| PartialError::Member("partial"))?;
    match &object["partial"] {
        Json::Object(_) => parse_header(&object["partial"]).map(Line::Header),
        Json::String(state) => parse_delta(&object, state),
        _ => Err(PartialError::Member("partial")),
    }
}

fn parse_header(header: &Json) -> Result<Header, PartialError> {
    let wrong = PartialError::Member;
    match header["version"].as_u64() {
        Some(VERSION) => {}
        other => return Err(PartialError::Version(other.unwrap_or(0))),
    }
    let texts = |name: &'static str| -> Option<Vec<String>> {
        header[name].as_array()?.iter().map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    let mut schema = MetricSchema {
        name: header["metric"].as_str().ok_or(wrong("metric"))?.to_owned(),
        groups: texts("groups").ok_or(wrong("groups"))?,
        aggregates: Vec::new(),
        ranked: false,
    };
    let mut functions = Vec::new();
    for aggregate in header["aggregates"].as_array().ok_or(wrong("aggregates"))? {
        schema.aggregates.push(aggregate["name"].as_str().ok_or(wrong("name"))?.to_owned());
        let name = aggregate["function"].as_str().ok_or(wrong("function"))?;
        let parameter = aggregate["parameter"].as_f64();
        let distinct = aggregate["distinct"] == Json::Bool(true);
        let function = Function::from_name(name, distinct, parameter.as_slice());
        functions.push(function.map_err(|_| wrong("function"))?);
    }
    let gap = match &header["gap"] {
        Json::Null => None,
        gap => Some(gap.as_str().and_then(|gap| Duration::parse(gap).ok()).ok_or(wrong("gap"))?),
    };
    Ok(Header { schema, functions, gap })
}

fn parse_delta(object: &Json, state: &str) -> Result<Line, PartialError> {
    let wrong = PartialError::Member;
    let time = |name: &'static str, unbounded: Timestamp| match &object[name] {
        Json::Null => Ok(unbounded),
        Json::String(text) => parse_rfc3339(text.as_bytes()).map_err(|_| wrong(name)),
        _ => Err(wrong(name)),
    };
    let base64 = |name: &'static str, text: &str| BASE64.decode(text).map_err(|_| wrong(name));
    let (start, end) = (time("window_start", Timestamp::MIN)?, time("window_end", Timestamp::MAX)?);
    if start >= end {
        return Err(wrong("window_end"));
    }
    let key = base64("key", object["key"].as_str().ok_or(wrong("key"))?)?;
    let partial = Partial {
        metric: 0,
        span: Window::new(start, end),
        first_end: time("first_end", Timestamp::MAX)?,
        judged: time("judged", Timestamp::MIN)?,
        groups: read_key(&key).ok_or(wrong("key"))?,
        events: object["events"].as_u64().ok_or(wrong("events"))?,
        state: base64("partial", state)?,
    };
    Ok(Line::Partial(object["metric"].as_str().ok_or(wrong("metric"))?.to_owned(), partial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[track_caller]
    fn check(push: impl Fn(&mut Vec<u8>), expected: Line) {
        let mut line = Vec::new();
        push(&mut line);
        assert_eq!(parse(&line), Ok(expected), "{}", String::from_utf8_lossy(&line));
    }

    #[test]
    fn headers_and_deltas_read_back() {
        let schema = MetricSchema {
            name: "m".into(),
            groups: vec!["g".into()],
            aggregates: vec!["a".into(), "b".into()],
            ranked: false,
        };
        let functions = vec![Function::CountDistinct, Function::TopK(3)];
        let header = Header { schema, functions, gap: Some(Duration(30_000_000)) };
        check(|out| push_header(&header, out), Line::Header(header.clone()));
        for span in [Window::new(Timestamp(-1), Timestamp(60_000_000)), Window::GLOBAL] {
            let partial = Partial {
                metric: 0,
                span,
                first_end: span.end,
                judged: Timestamp::MIN,
                groups: [Value::Text("é\n".into()), Value::Null, Value::Time(Timestamp(5))].into(),
                events: 3,
                state: vec![1, 2, 255],
            };
            check(|out| push_partial(&partial, "m", out), Line::Partial("m".into(), partial.clone()));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for (line, expected) in [
            (r#"{"partial":1}"#, PartialError::Member("partial")),
            (r#"{"partial":{"version":2}}"#, PartialError::Version(2)),
            (r#"{"partial":"AA","metric":"m","events":1,"key":"AwA"}"#, PartialError::Member("key")),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(expected), "{line}");
        }
    }
}
