//! The form that all events share, whatever their type: who, what, when, and an id.
//!
//! Judged over the decoded columns, without another look at the line. What stands in `properties` and `metadata` is for schemas.

use std::borrow::Cow;

use crate::batch::{Column, EventBatch, Tag, slot_bytes, slot_str};
use crate::event::Path;
use crate::time::{Timestamp, excerpt, parse_rfc3339};
use crate::validate::Violation;

/// A field of the form.
struct Field {
    name: &'static str,
    pointer: &'static str,
    keys: &'static [&'static str],
    is_required: bool,
}

const fn field(name: &'static str, pointer: &'static str, keys: &'static [&'static str], is_required: bool) -> Field {
    Field { name, pointer, keys, is_required }
}

const FIELDS: [Field; 7] = [
    field("event_id", "/event_id", &["event_id"], true),
    field("event_type", "/event_type", &["event_type"], true),
    field("timestamp", "/timestamp", &["timestamp"], true),
    field("user_id", "/user_id", &["user_id"], false),
    field("device_id", "/device_id", &["device_id"], false),
    field("properties.device_id", "/properties/device_id", &["properties", "device_id"], false),
    field("session_id", "/session_id", &["session_id"], false),
];

/// Column of the id.
pub const EVENT_ID: usize = 0;
/// Column of the type.
pub const EVENT_TYPE: usize = 1;
/// Column of the time.
pub const TIMESTAMP: usize = 2;
/// Columns of which one at least says who it was.
const WHO: std::ops::Range<usize> = 3..6;

/// The fields that the form is about: the first columns of a batch.
pub fn paths() -> Vec<Path> {
    FIELDS.iter().map(|field| Path::of_keys(field.keys)).collect()
}

/// When the event in this row happened, if it has the form: `event_id`, `event_type` and `timestamp` are there, and `user_id`,
/// `device_id` or `properties.device_id`; these and `session_id` are texts and not empty; the timestamp is one of RFC 3339.
/// A field that is null counts as missing.
pub fn judge(batch: &EventBatch, row: usize) -> Result<Timestamp, Violation> {
    for (field, column) in FIELDS.iter().zip(&batch.columns) {
        match column.tags[row] {
            Tag::Text if column.bits[row] & 0xffff_ffff != 0 => {}
            Tag::Null if !field.is_required => {}
            Tag::Time if field.name == "timestamp" => {}
            tag => return Err(violation(field, tag)),
        }
    }
    if batch.columns[WHO].iter().all(|column| column.tags[row] == Tag::Null) {
        let reason = "neither 'user_id' nor 'device_id' nor 'properties.device_id' says who it was";
        return Err(Violation { pointer: "".into(), reason: reason.into() });
    }
    time(&batch.columns[TIMESTAMP], row, &batch.text)
}

/// The type of the event in this row, which has the form.
pub fn event_type(batch: &EventBatch, row: usize) -> &str {
    slot_str(&batch.text, batch.columns[EVENT_TYPE].bits[row])
}

fn time(column: &Column, row: usize, text: &[u8]) -> Result<Timestamp, Violation> {
    let bits = column.bits[row];
    if column.tags[row] == Tag::Time {
        return Ok(Timestamp(bits as i64));
    }
    let written = slot_bytes(text, bits);
    parse_rfc3339(written).map_err(|_| Violation {
        pointer: FIELDS[TIMESTAMP].pointer.into(),
        reason: format!("field 'timestamp' is no RFC 3339 time: '{}'", excerpt(written)).into(),
    })
}

#[cold]
fn violation(field: &Field, tag: Tag) -> Violation {
    let name = field.name;
    let reason: Cow<'static, str> = match tag {
        Tag::Null => format!("no field '{name}'").into(),
        Tag::Text => format!("field '{name}' is empty").into(),
        _ => format!("field '{name}' is no text").into(),
    };
    Violation { pointer: field.pointer.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::ndjson::Decoder;
    use crate::codec::{TimeFrom, Wanted};
    use crate::partition::PartitionId;
    use crate::record::Block;

    /// The time of an event, or `pointer: reason`.
    #[track_caller]
    fn check(line: &str, expected: Result<&str, &str>) {
        let wanted = Wanted { paths: paths(), time: TimeFrom::Arrival };
        let bytes = line.as_bytes().to_vec();
        let block = Block { partition: PartitionId(0), offset: 0, from: 0, arrival: Timestamp(0), stamps: None, bytes };
        let batch = Decoder::new(&wanted, 1000).decode(block);
        assert_eq!(batch.rows(), 1, "{line}");
        let found = judge(&batch, 0).map(|time| time.to_string());
        let found = found.map_err(|violation| format!("{}: {}", violation.pointer, violation.reason));
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{line}");
    }

    #[test]
    fn who_what_when() {
        let time = "2026-01-01T00:00:00.000Z";
        let event = |rest: &str| format!(r#"{{"event_id":"e","event_type":"t","timestamp":"{time}"{rest}}}"#);
        check(&event(r#","user_id":"u""#), Ok(time));
        check(&event(r#","device_id":"d","session_id":"s""#), Ok(time));
        check(&event(r#","user_id":null,"properties":{"device_id":"d"}"#), Ok(time));
        check(&event(""), Err(": neither 'user_id' nor 'device_id' nor 'properties.device_id' says who it was"));
        check(&event(r#","user_id":7"#), Err("/user_id: field 'user_id' is no text"));
        check(&event(r#","user_id":"u","session_id":"""#), Err("/session_id: field 'session_id' is empty"));
        check(
            &event(r#","user_id":"u","properties":{"device_id":[]}"#),
            Err("/properties/device_id: field 'properties.device_id' is no text"),
        );
    }

    #[test]
    fn what_must_be_there() {
        check(r#"{}"#, Err("/event_id: no field 'event_id'"));
        check(r#"{"event_id":"e","event_type":false}"#, Err("/event_type: field 'event_type' is no text"));
        let timed = |time: &str| format!(r#"{{"event_id":"e","event_type":"t","user_id":"u","timestamp":{time}}}"#);
        check(&timed("1767225600"), Err("/timestamp: field 'timestamp' is no text"));
        check(&timed(r#""yesterday""#), Err("/timestamp: field 'timestamp' is no RFC 3339 time: 'yesterday'"));
        check(&timed(r#""1767225600""#), Err("/timestamp: field 'timestamp' is no RFC 3339 time: '1767225600'"));
        check(&timed(r#""2026-01-01T01:00:00+01:00""#), Ok("2026-01-01T00:00:00.000Z"));
    }
}
