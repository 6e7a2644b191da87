//! The bytes of a chunk: the points of one series over a span of time, in order of their windows.
//!
//! A chunk is a version and entries, each independent of the others, so that a new last point is appended as it is. An
//! entry is a byte of flags, then numbers as LEB128: the start from the chunk's start, then only what differs from the usual
//! (length, revision, rank), then the payload with its length. Knows nothing of what a payload says.

use crate::aggregate::encoding::{Reader, put_bytes, put_varint};
use crate::store::catalogue::Grid;
use crate::store::error::{Fault, Inner};
use crate::time::{Timestamp, Window};

/// First byte of every chunk.
const VERSION: u8 = 1;

const PROVISIONAL: u8 = 1;
const HAS_LENGTH: u8 = 2;
const HAS_RANK: u8 = 4;
const HAS_REVISION: u8 = 8;
const HAS_STATE: u8 = 16;
/// The start counts units, not microseconds.
const IN_UNITS: u8 = 32;

/// One point as a chunk holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry<'a> {
    /// Start of its window.
    pub start: i64,
    /// Length of its window; 0 of the one over everything.
    pub length: i64,
    /// Revision of the row.
    pub revision: u32,
    /// Rank of the row.
    pub rank: Option<u64>,
    /// Whether the window has fired.
    pub is_final: bool,
    /// Whether the payload begins with states.
    pub has_state: bool,
    /// See `crate::store::payload`.
    pub payload: &'a [u8],
}

impl Entry<'_> {
    /// The order of points within a series, and what tells them apart.
    pub fn key(&self) -> (i64, i64) {
        (self.start, self.length)
    }

    /// Its window.
    pub fn window(&self) -> Window {
        if self.start == i64::MIN {
            return Window::GLOBAL;
        }
        Window { start: Timestamp(self.start), end: Timestamp(self.start.saturating_add(self.length)) }
    }
}

/// The start and length by which a window is stored.
pub(crate) fn key_of(window: Window) -> (i64, i64) {
    if window == Window::GLOBAL { (i64::MIN, 0) } else { (window.start.0, window.end.0.saturating_sub(window.start.0)) }
}

/// Makes `out` an empty chunk.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
}

/// Appends an entry to the chunk that begins at `start`; it must come after those before it.
pub(crate) fn push(grid: &Grid, start: i64, entry: &Entry<'_>, out: &mut Vec<u8>) {
    let since = entry.start.wrapping_sub(start) as u64;
    let unit = grid.unit as u64;
    let in_units = since.is_multiple_of(unit);
    let mut flags = 0;
    for (flag, is_set) in [
        (PROVISIONAL, !entry.is_final),
        (HAS_LENGTH, entry.length != grid.length),
        (HAS_RANK, entry.rank.is_some()),
        (HAS_REVISION, entry.revision > 0),
        (HAS_STATE, entry.has_state),
        (IN_UNITS, in_units),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    out.push(flags);
    put_varint(out, if in_units { since / unit } else { since });
    if flags & HAS_LENGTH != 0 {
        put_varint(out, entry.length as u64);
    }
    if let Some(rank) = entry.rank {
        put_varint(out, rank);
    }
    if entry.revision > 0 {
        put_varint(out, entry.revision.into());
    }
    put_bytes(out, entry.payload);
}

/// The entries of the chunk that begins at `start`.
pub(crate) fn entries<'a>(grid: &Grid, start: i64, chunk: &'a [u8]) -> Inner<Vec<Entry<'a>>> {
    let mut reader = opened(chunk)?;
    // An entry is three bytes at least; most are far longer.
    let mut found = Vec::with_capacity((chunk.len() / 24).min(256));
    while !reader.is_empty() {
        let entry = entry(grid, start, &mut reader)?;
        if found.last().is_some_and(|before: &Entry<'_>| before.key() >= entry.key()) {
            return Err(Fault::Damaged("the points of a chunk are not in order".into()));
        }
        found.push(entry);
    }
    Ok(found)
}

/// The entry of a chunk that has no other.
pub(crate) fn only_entry<'a>(grid: &Grid, start: i64, chunk: &'a [u8]) -> Inner<Entry<'a>> {
    let mut reader = opened(chunk)?;
    let only = entry(grid, start, &mut reader)?;
    if !reader.is_empty() {
        return Err(Fault::Damaged("a chunk of one point has several".into()));
    }
    Ok(only)
}

/// A chunk behind its version.
fn opened(chunk: &[u8]) -> Inner<Reader<'_>> {
    let mut reader = Reader::new(chunk);
    match reader.byte()? {
        VERSION => Ok(reader),
        other => Err(Fault::Damaged(format!("a chunk is of the unknown version {other}"))),
    }
}

fn entry<'a>(grid: &Grid, start: i64, reader: &mut Reader<'a>) -> Inner<Entry<'a>> {
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    let since = reader.varint()?;
    let since = if has(IN_UNITS) { since.wrapping_mul(grid.unit as u64) } else { since };
    Ok(Entry {
        start: start.wrapping_add(since as i64),
        length: if has(HAS_LENGTH) { reader.varint()? as i64 } else { grid.length },
        rank: if has(HAS_RANK) { Some(reader.varint()?) } else { None },
        revision: if has(HAS_REVISION) { reader.varint()? as u32 } else { 0 },
        is_final: !has(PROVISIONAL),
        has_state: has(HAS_STATE),
        payload: reader.bytes()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { span: 3600, unit: 60, length: 60 };

    #[track_caller]
    fn check(grid: Grid, start: i64, given: &[Entry<'_>]) {
        let mut chunk = Vec::new();
        begin(&mut chunk);
        given.iter().for_each(|entry| push(&grid, start, entry, &mut chunk));
        assert_eq!(entries(&grid, start, &chunk).unwrap(), given);
    }

    fn plain(start: i64, payload: &[u8]) -> Entry<'_> {
        Entry { start, length: 60, revision: 0, rank: None, is_final: true, has_state: true, payload }
    }

    #[test]
    fn entries_read_back() {
        let other =
            Entry { length: 7, revision: 3, rank: Some(2), is_final: false, has_state: false, ..plain(3661, b"") };
        check(GRID, 3600, &[plain(3600, b"a"), other, plain(3720, b"xyz")]);
        check(GRID, -3600, &[plain(-3600, b"a"), plain(-60, b"b")]);
        check(Grid { span: 0, unit: 1, length: 0 }, i64::MIN, &[Entry { length: 0, ..plain(i64::MIN, b"all") }]);
        check(GRID, 0, &[]);
    }

    #[test]
    fn a_plain_point_takes_three_bytes_beside_its_payload() {
        let mut chunk = Vec::new();
        push(&GRID, 0, &plain(3540, b"12345"), &mut chunk);
        assert_eq!(chunk.len(), 3 + 5);
    }

    #[test]
    fn broken_chunks_are_told() {
        let mut chunk = Vec::new();
        begin(&mut chunk);
        push(&GRID, 0, &plain(60, b"a"), &mut chunk);
        push(&GRID, 0, &plain(60, b"a"), &mut chunk);
        for broken in [&b""[..], &[9], &chunk, &chunk[..chunk.len() - 7]] {
            assert!(broken.len() == 6 || entries(&GRID, 0, broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn windows_have_keys() {
        for window in [Window::GLOBAL, Window::new(Timestamp(-5), Timestamp(7))] {
            let (start, length) = key_of(window);
            assert_eq!(Entry { start, length, ..plain(0, b"") }.window(), window);
        }
    }
}
