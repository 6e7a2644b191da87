//! Lines that another evkit program wrote: marks between events, and result rows as events.
//!
//! Looked at only when a line has no time of its own (or needs none and begins like one of these), so that events do
//! not pay for it. Knows nothing of how partials are encoded.

use crate::batch::{InBand, LineSpan, Tag};
use crate::codec::ndjson::number;
use crate::codec::ndjson::trie::Trie;
use crate::codec::ndjson::walker::{Kind, Raw, Walk, skip_space};
use crate::event::Path;
use crate::time::{Timestamp, parse_rfc3339};

/// What a line without a time of its own turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A mark, or a row that is no event.
    InBand(InBand),
    /// A result row, an event like any other: its time.
    Row(Timestamp),
    /// Nothing of ours.
    Foreign,
}

/// Recognises such lines.
#[derive(Debug, Clone)]
pub struct Recogniser {
    trie: Trie,
    walk: Walk,
}

/// Members of such lines; the places in this list are the cells' names below.
const MEMBERS: [&str; 10] = [
    "watermark",
    "stats",
    "partial",
    "metric",
    "late_for",
    "window_start",
    "window_end",
    "revision",
    "final",
    "retracted",
];

/// The cells of a line, by the names of `MEMBERS`.
struct Members {
    watermark: Raw,
    stats: Raw,
    partial: Raw,
    metric: Raw,
    late_for: Raw,
    window_start: Raw,
    window_end: Raw,
    revision: Raw,
    is_final: Raw,
    retracted: Raw,
}

impl Recogniser {
    /// A recogniser of whatever our programs write.
    pub fn new() -> Recogniser {
        let paths: Vec<Path> = MEMBERS.iter().map(|member| Path::of_keys(&[member])).collect();
        Recogniser { trie: Trie::new(&paths), walk: Walk::default() }
    }

    /// Judges a line that the walker has accepted; `bytes` are the padded block's.
    #[cold]
    pub fn recognise(&mut self, bytes: &[u8], span: LineSpan) -> Line {
        let start = skip_space::<false>(bytes, span.start as usize);
        self.walk.anew.clear();
        self.walk.line(&self.trie, bytes, start).expect("the line was accepted before");
        let members = self.members();
        let begins_with = |key: &str| first_key(bytes, start) == key.as_bytes();
        // The bytes after the value; a string's closing quote is not of its text.
        let ends_after = |value: Raw| {
            let end = value.start as usize + value.len as usize + (value.kind == Kind::Text) as usize;
            end < bytes.len() && bytes[skip_space::<false>(bytes, end)] == b'}'
        };
        if members.watermark.kind == Kind::Text && begins_with("watermark") && ends_after(members.watermark) {
            return match parse_rfc3339(self.walk.text(bytes, members.watermark)) {
                Ok(time) => Line::InBand(InBand::Watermark(time)),
                Err(_) => Line::Foreign,
            };
        }
        if members.stats.kind == Kind::Json && begins_with("stats") && ends_after(members.stats) {
            return Line::InBand(InBand::Stats);
        }
        if members.partial.kind != Kind::Missing && begins_with("partial") {
            return Line::InBand(InBand::Partial(span));
        }
        if members.late_for.kind == Kind::Json && begins_with("late_for") && ends_after(members.late_for) {
            return Line::InBand(InBand::LateFor(span));
        }
        self.row(bytes, span, &members)
    }

    fn row(&self, bytes: &[u8], span: LineSpan, members: &Members) -> Line {
        let is_row = members.metric.kind == Kind::Text
            && matches!(members.window_start.kind, Kind::Text | Kind::Null)
            && members.window_end.kind == Kind::Text
            && members.revision.kind == Kind::Number;
        if !is_row {
            return Line::Foreign;
        }
        if members.is_final.kind == Kind::False {
            return Line::InBand(InBand::Early);
        }
        let is_first = match number::parse(self.walk.text(bytes, members.revision)) {
            Some((Tag::Float, bits)) => f64::from_bits(bits) == 0.0,
            revision => revision == Some((Tag::Int, 0)),
        };
        if members.retracted.kind == Kind::True || !is_first {
            return Line::InBand(InBand::Refused(span));
        }
        match parse_rfc3339(self.walk.text(bytes, members.window_end)) {
            Ok(end) => Line::Row(Timestamp(end.0 - 1)),
            Err(_) => Line::Foreign,
        }
    }

    fn members(&self) -> Members {
        let cell = |member: usize| self.walk.cells[self.trie.cells[member] as usize];
        Members {
            watermark: cell(0),
            stats: cell(1),
            partial: cell(2),
            metric: cell(3),
            late_for: cell(4),
            window_start: cell(5),
            window_end: cell(6),
            revision: cell(7),
            is_final: cell(8),
            retracted: cell(9),
        }
    }
}

/// Whether a line begins as one of ours. The object that it must be begins at `start`.
pub fn begins_like_ours(bytes: &[u8], start: usize) -> bool {
    MEMBERS[..5].iter().any(|key| first_key(bytes, start) == key.as_bytes())
}

/// The first key of the object at `start`, as it is written; empty if there is none.
fn first_key(bytes: &[u8], start: usize) -> &[u8] {
    let quote = skip_space::<false>(bytes, start + 1);
    if bytes[quote] != b'"' {
        return b"";
    }
    let key = &bytes[quote + 1..];
    &key[..memchr::memchr(b'"', key).unwrap_or(0)]
}
