//! The columns of an archive: those of the event form by their types, the original line, and where an event stood.
//!
//! Knows nothing of files.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};

use crate::event::Path;

/// Fields of events that have a text column of their own, whose name is the path's.
pub const TEXTS: [&str; 5] = ["event_id", "event_type", "user_id", "session_id", "device_id"];

/// The event's time.
pub(crate) const TIMESTAMP: &str = "timestamp";
/// The original line.
pub(crate) const EVENT: &str = "event";
/// The partition of the source.
pub(crate) const PARTITION: &str = "partition";
/// The record's number in its partition; of a file, the byte at which its line begins.
pub(crate) const OFFSET: &str = "offset";
/// The greatest event time of the partition before this event; NULL for the first.
pub(crate) const SEEN_UNTIL: &str = "seen_until";
/// When the event arrived, if it is dated so far ahead of that that it tells no time; else NULL.
pub(crate) const ARRIVED: &str = "arrived";

/// The paths of `TEXTS`: what a decoder must want, as its first columns.
pub fn paths() -> Vec<Path> {
    TEXTS.iter().map(|name| Path::of_keys(&[name])).collect()
}

/// For each of these paths the number of its text column, if all of them have one.
pub fn typed(wanted: &[Path]) -> Option<Vec<usize>> {
    let known = paths();
    wanted.iter().map(|path| known.iter().position(|known| known == path)).collect()
}

/// The schema of every file. Columns are found by their names.
pub(crate) fn schema() -> Arc<Schema> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let fields = vec![
        text("event_id"),
        text("event_type"),
        Field::new(TIMESTAMP, time(), false),
        text("user_id"),
        text("session_id"),
        text("device_id"),
        Field::new(EVENT, DataType::Utf8, false),
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(SEEN_UNTIL, time(), true),
        Field::new(ARRIVED, time(), true),
    ];
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_a_column_and_a_path() {
        let schema = schema();
        assert!(TEXTS.iter().all(|name| schema.field_with_name(name).is_ok()));
        let path = |keys: &[&str]| Path::of_keys(keys);
        assert_eq!(typed(&[path(&["user_id"]), path(&["event_id"])]), Some(vec![2, 0]));
        assert_eq!(typed(&[path(&["user_id"]), path(&["properties", "amount"])]), None);
        // It may be written in any way, and the column has lost which.
        assert_eq!(typed(&[path(&["timestamp"])]), None);
    }
}
