//! What an archive covers: the span of event time of which it has every event, so that windows made from it are right.
//!
//! It begins where the archive began, or where retention has left it, and ends where the partition of a topic that was read least
//! far has come. Knows nothing of windows: it is told how late events may be.

use std::collections::BTreeMap;

use crate::archive::manifest::{SourceRead, State};
use crate::time::{Duration, Timestamp};

/// The span that is covered, whole to the microsecond; `None` where nothing is. Events may be late by `late` behind others of their
/// partition, and of those that came before the archive was begun, by `delay`.
pub fn covered(state: &State, delay: Duration, late: Duration) -> Option<(Timestamp, Timestamp)> {
    let (from, until) = (begin(state, delay)?, end(state, late)?);
    (from < until).then_some((from, until))
}

/// From when on every event is there, of those that came before the archive was begun late by `delay` at most. `None` where none ever was.
pub fn begin(state: &State, delay: Duration) -> Option<Timestamp> {
    let torn_until = state.torn_us.map_or(i64::MIN, |torn| torn.saturating_add(delay.0));
    Some(Timestamp(state.kept_from_us?.max(torn_until)))
}

/// Before when every event is there, of those that are late by `late` at most. `None` where none ever was.
pub fn end(state: &State, late: Duration) -> Option<Timestamp> {
    let until = |source: &SourceRead| source.partitions.iter().filter_map(|read| read.seen_until_us).min();
    let (topics, files): (Vec<_>, Vec<_>) = state.sources.values().partition(|source| source.is_topic());
    // A topic goes on, and so does each of its partitions. Of files and pipes most have ended, and the last one tells how far it is.
    let topics = topics.into_iter().filter_map(until).min();
    let until = topics.or_else(|| files.into_iter().filter_map(until).max())?;
    Some(Timestamp(until.saturating_sub(late.0)))
}

/// Whether each source is there from its first byte or record on: as far as the archive knows nothing came before.
pub fn is_from_the_beginning(state: &State) -> bool {
    let mut first: BTreeMap<(&str, i32), u64> = BTreeMap::new();
    for (file, span) in state.files.iter().flat_map(|file| file.partitions.iter().map(move |span| (file, span))) {
        let known = first.entry((&file.source, span.partition)).or_insert(span.first);
        *known = span.first.min(*known);
    }
    // What retention has dropped was older than all that is left.
    let is_begun = state.files.iter().map(|file| file.first_us).min() <= state.kept_from_us;
    state.torn_us.is_none() && is_begun && first.values().all(|first| *first == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::manifest::{FileEntry, Read, Span};

    fn source(id: &str, seen_until: &[Option<i64>]) -> (String, SourceRead) {
        let read = |(partition, &seen_until_us): (i32, &Option<i64>)| Read {
            partition,
            from: 0,
            to: 1,
            lines: 1,
            seen_until_us,
            is_torn: false,
        };
        let (name, time_field) = (id.to_owned(), "timestamp".to_owned());
        let partitions = (0..).zip(seen_until).map(read).collect();
        (id.to_owned(), SourceRead { id: id.to_owned(), name, time_field, identity: None, topic: None, partitions })
    }

    #[test]
    fn it_ends_with_the_slowest_partition_of_a_topic_and_the_last_of_the_files() {
        let check = |sources: &[(&str, &[Option<i64>])], torn_us, expected: Option<(i64, i64)>| {
            let sources = sources.iter().map(|(id, seen_until)| source(id, seen_until)).collect();
            let state = State { sources, kept_from_us: Some(100), torn_us, ..State::default() };
            let found = covered(&state, Duration(10), Duration(30));
            assert_eq!(found.map(|(from, until)| (from.0, until.0)), expected);
        };
        check(&[("topic:a", &[Some(500), Some(300), None])], None, Some((100, 270)));
        check(&[("file:a", &[Some(200)]), ("pipe:b", &[Some(400)])], None, Some((100, 370)));
        check(&[("file:a", &[Some(900)]), ("topic:b", &[Some(400)])], None, Some((100, 370)));
        check(&[("topic:a", &[Some(500)])], Some(200), Some((210, 470)));
        check(&[("topic:a", &[Some(130)])], None, None);
        check(&[("topic:a", &[None])], None, None);
        check(&[], None, None);
        assert_eq!(covered(&State::default(), Duration(0), Duration(0)), None, "nothing was ever archived");
    }

    #[test]
    fn it_begins_with_its_sources_where_each_is_there_from_its_first_byte() {
        let file = |source: &str, first_us: i64, spans: &[(i32, u64)]| FileEntry {
            path: String::new(),
            source: source.into(),
            part: 0,
            rows: 1,
            bytes: 1,
            first_us,
            last_us: first_us,
            inexact: Vec::new(),
            partitions: spans
                .iter()
                .map(|&(partition, first)| Span { partition, first, last: first, rows: 1 })
                .collect(),
        };
        let check = |files: &[FileEntry], kept_from_us, torn_us, expected: bool| {
            let state = State { files: files.to_vec(), kept_from_us, torn_us, ..State::default() };
            assert_eq!(is_from_the_beginning(&state), expected, "{files:?}");
        };
        let whole = [file("a", 200, &[(0, 7), (1, 0)]), file("a", 100, &[(0, 0)]), file("b", 300, &[(0, 0)])];
        check(&whole, Some(100), None, true);
        check(&whole, Some(150), None, true);
        check(&whole, Some(100), Some(120), false);
        check(&whole[1..], Some(50), None, false);
        check(&whole[..1], Some(200), None, false);
    }
}
