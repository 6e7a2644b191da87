//! Notes: what is committed beside an offset, as text that people can read too.
//!
//! A broker keeps up to 4096 bytes with each committed offset; a note takes some two hundred. Knows nothing of who writes it.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Beside an offset of the input: how far its partition has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputNote {
    /// Version of the note.
    pub v: u32,
    /// Fingerprint of the query, in hexadecimal digits.
    pub q: String,
    /// Who has committed it.
    pub by: By,
    /// How many partitions the input had when the group began: those were begun as `--start` said.
    pub born: u32,
    /// The partition's watermark in microseconds since the epoch; none before its first event.
    pub w: Option<i64>,
    /// Whether the stream itself says it in band.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_band: bool,
    /// Whether the partition was found idle, and has given nothing since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
}

/// Beside an offset of the parcels: where the shard was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardNote {
    /// Version of the note.
    pub v: u32,
    /// Fingerprint of the query, in hexadecimal digits.
    pub q: String,
    /// The watermark up to which windows have fired, in microseconds since the epoch; none before the first.
    pub w: Option<i64>,
    /// Who has committed it; none if the group was made to begin anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The offset of the first parcel since the group began.
    #[serde(default)]
    pub b: i64,
    /// The snapshot to begin with; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s: Option<Snapshot>,
}

/// A process of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Its `--instance`.
    pub i: String,
    /// When it was started, in milliseconds since the epoch: of two that go by one name the later has it by right.
    pub t: i64,
}

impl By {
    /// Whether a note was left by a later process of the same name.
    pub fn is_replaced_in(&self, note: &str) -> bool {
        #[derive(Deserialize)]
        struct OfAny {
            by: Option<By>,
        }
        let by = serde_json::from_str::<OfAny>(note).ok().and_then(|note| note.by);
        by.is_some_and(|by| by.i == self.i && by.t > self.t)
    }
}

/// Where a snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// It holds what came of all parcels before this offset.
    pub at: i64,
    /// Offset of its first record in the topic of states.
    pub from: i64,
    /// The offset behind its last.
    pub to: i64,
}

/// Version of notes.
pub const VERSION: u32 = 1;

/// Why a note can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Somebody else commits offsets in this group.
    #[error("the offsets that are committed for partition {partition} were not written by evwindow: '{note}'")]
    Foreign {
        /// The partition.
        partition: i32,
        /// What stands there.
        note: String,
    },
    /// Another query was run in this group before.
    #[error("the group has run another query, or the same with other settings")]
    OtherQuery,
}

/// Reads a note of this query.
pub fn read<'a, Note: Deserialize<'a> + Noted>(
    text: &'a str,
    partition: i32,
    fingerprint: u64,
) -> Result<Note, NoteError> {
    let foreign = || NoteError::Foreign { partition, note: text.chars().take(200).collect() };
    let note: Note = serde_json::from_str(text).map_err(|_| foreign())?;
    let (version, query) = note.of();
    match (version, query == hex(fingerprint)) {
        (VERSION, true) => Ok(note),
        (VERSION, false) => Err(NoteError::OtherQuery),
        _ => Err(foreign()),
    }
}

/// What all notes have.
pub trait Noted {
    /// Version and query.
    fn of(&self) -> (u32, &str);
}

impl Noted for InputNote {
    fn of(&self) -> (u32, &str) {
        (self.v, &self.q)
    }
}

impl Noted for ShardNote {
    fn of(&self) -> (u32, &str) {
        (self.v, &self.q)
    }
}

/// A note's text.
pub fn text(note: &impl Serialize) -> String {
    serde_json::to_string(note).expect("a note has nothing that JSON can't hold")
}

/// A fingerprint as notes hold it.
pub fn hex(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// A watermark as notes hold it.
pub fn micros(watermark: Timestamp) -> Option<i64> {
    (watermark > Timestamp::MIN).then_some(watermark.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two processes of one name the later has it.
    #[test]
    fn the_later_of_two_has_the_name() {
        let by = |i: &str, t| By { i: i.into(), t };
        let of = |by: By| text(&ShardNote { v: VERSION, q: hex(1), w: None, by: Some(by), b: 0, s: None });
        for (note, expected) in [
            (of(by("one", 6)), true),
            (of(by("one", 5)), false),
            (of(by("one", 4)), false),
            (of(by("two", 6)), false),
            ("x".to_owned(), false),
        ] {
            assert_eq!(by("one", 5).is_replaced_in(&note), expected, "{note}");
        }
    }

    #[test]
    fn notes_read_back_and_tell_other_queries() {
        let snapshot = Snapshot { at: 5, from: 7, to: 9 };
        let note = ShardNote { v: VERSION, q: hex(77), w: Some(-1), by: None, b: 3, s: Some(snapshot) };
        assert_eq!(text(&note), r#"{"v":1,"q":"000000000000004d","w":-1,"b":3,"s":{"at":5,"from":7,"to":9}}"#);
        assert_eq!(read(&text(&note), 0, 77), Ok(note.clone()));
        assert_eq!(read::<ShardNote>(&text(&note), 0, 78), Err(NoteError::OtherQuery));
        for foreign in ["", "x", r#"{"v":2,"q":"000000000000004d","w":null}"#] {
            let expected = NoteError::Foreign { partition: 3, note: foreign.into() };
            assert_eq!(read::<InputNote>(foreign, 3, 77), Err(expected), "{foreign}");
        }
    }
}
