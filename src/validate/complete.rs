//! What a caller may leave out of an event, and what then stands there: an id, and the time of arrival.
//!
//! Knows nothing of clocks and chance: both are handed in.

use crate::codec::ndjson::Node;
use crate::time::Timestamp;

/// Whether events are completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Completion {
    /// What is not there is missing: for files and pipes, whose events must be the same however often they are read.
    #[default]
    Off,
    /// An event without `event_id` gets one made of this number and its place in the input; one without `timestamp` gets the
    /// time of its arrival.
    IdAndTime {
        /// Another one for each run, or ids would come again.
        run: u64,
    },
}

/// Appends to `out` the event with what it lacks, and says whether anything was lacking; if not, nothing is appended.
/// `line` is the object's text, `event` the same as a tree. A field that is null is there: it is refused, not replaced.
pub fn complete(
    completion: Completion,
    line: &str,
    event: Node<'_>,
    place: u64,
    arrival: Timestamp,
    out: &mut Vec<u8>,
) -> bool {
    let Completion::IdAndTime { run } = completion else { return false };
    let (no_id, no_time) = (event.get("event_id").is_none(), event.get("timestamp").is_none());
    let Some(body) = line.trim_ascii().strip_prefix('{').filter(|_| no_id || no_time) else { return false };
    out.push(b'{');
    if no_id {
        let number = rapidhash::v3::rapidhash_v3(&[run.to_le_bytes(), place.to_le_bytes()].concat());
        out.extend_from_slice(format!("\"event_id\":\"evt_{number:016x}\",").as_bytes());
    }
    if no_time {
        out.extend_from_slice(b"\"timestamp\":\"");
        arrival.write_rfc3339(out);
        out.extend_from_slice(b"\",");
    }
    if event.is_empty() {
        out.pop();
    }
    out.extend_from_slice(body.as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::ndjson::{Document, PADDING};

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let mut bytes = line.as_bytes().to_vec();
        bytes.push(b'\n');
        bytes.resize(bytes.len() + PADDING, 0);
        let mut document = Document::default();
        let event = document.read(&bytes, 0).unwrap();
        let mut out = Vec::new();
        assert!(!complete(Completion::Off, line, event, 7, Timestamp(0), &mut out) && out.is_empty());
        let has_changed = complete(Completion::IdAndTime { run: 3 }, line, event, 7, Timestamp(0), &mut out);
        assert_eq!(has_changed.then(|| String::from_utf8(out).unwrap()).as_deref(), expected);
    }

    #[test]
    fn what_is_missing_is_put_before_the_rest() {
        let (id, time) = (r#""event_id":"evt_ID""#, r#""timestamp":"1970-01-01T00:00:00.000Z""#);
        let hash = rapidhash::v3::rapidhash_v3(&[3u64.to_le_bytes(), 7u64.to_le_bytes()].concat());
        let id = id.replace("ID", &format!("{hash:016x}"));
        check(r#"{"event_id":"e","timestamp":null}"#, None);
        check(r#" {"event_id":"e","a":1}"#, Some(&format!(r#"{{{time},"event_id":"e","a":1}}"#)));
        check(r#"{"timestamp":"t"}"#, Some(&format!(r#"{{{id},"timestamp":"t"}}"#)));
        check("{}", Some(&format!("{{{id},{time}}}")));
    }
}
