//! Where CSV records end and their fields stand.
//!
//! A quote has a meaning only at the beginning of a field and within one that began with a quote, so quotes can't be
//! counted: the states of the grammar are kept. Knows nothing of headers and types.

use memchr::{memchr, memchr2};

use crate::batch::slot;
use crate::codec::csv::field::Field;

/// The length of the whole records at the beginning of `bytes`, which begin where a record does.
pub fn whole_records(bytes: &[u8]) -> usize {
    Boundary::new().feed(bytes).unwrap_or(0)
}

/// Finds out where records end in an input that comes in pieces, so that blocks can be cut between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boundary {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote within a quoted field: its end, unless another quote follows.
    QuoteInQuoted,
}

impl Boundary {
    /// The state at the start of an input.
    pub fn new() -> Boundary {
        Boundary::default()
    }

    /// Goes on over the input's next bytes; returns the place after the last line feed in them that ends a record.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let (mut last, mut at) = (None, 0);
        while let Some(end) = self.next_end(bytes, at) {
            last = Some(end);
            at = end;
        }
        last
    }

    /// Whether the input, should it end here, ends within a quoted field.
    pub fn in_quotes(&self) -> bool {
        self.state == State::Quoted
    }

    /// The place after the first line feed from `at` that ends a record; if there is none, all bytes are gone over.
    fn next_end(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        while at < bytes.len() {
            match self.state {
                State::Quoted => {
                    at += memchr(b'"', &bytes[at..])? + 1;
                    self.state = State::QuoteInQuoted;
                    continue;
                }
                State::FieldStart | State::QuoteInQuoted if bytes[at] == b'"' => self.state = State::Quoted,
                _ => {
                    self.state = State::Unquoted;
                    at += memchr2(b',', b'\n', &bytes[at..])?;
                    self.state = State::FieldStart;
                    if bytes[at] == b'\n' {
                        return Some(at + 1);
                    }
                }
            }
            at += 1;
        }
        None
    }
}

/// One record in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Place after its last byte, its line feed not counted.
    pub end: usize,
    /// Where the next one begins.
    pub next: usize,
    /// Lines that it takes.
    pub lines: u32,
    /// Whether all its quotes are closed.
    pub closed: bool,
}

impl Record {
    /// What it holds from `start`, without a `\r` before its line feed.
    pub fn content<'a>(&self, bytes: &'a [u8], start: usize) -> &'a [u8] {
        let content = &bytes[start..self.end];
        content.strip_suffix(b"\r").unwrap_or(content)
    }
}

/// The record that begins at `start`. The last of a block may lack its line feed.
pub(crate) fn next_record(bytes: &[u8], start: usize) -> Record {
    let line_feed = memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
    if memchr(b'"', &bytes[start..line_feed]).is_none() {
        return Record { end: line_feed, next: (line_feed + 1).min(bytes.len()), lines: 1, closed: true };
    }
    let mut boundary = Boundary::new();
    let found = boundary.next_end(bytes, start);
    let next = found.unwrap_or(bytes.len());
    let end = if found.is_some() { next - 1 } else { next };
    let mut lines = 1 + memchr::memchr_iter(b'\n', &bytes[start..end]).count() as u32;
    if !boundary.in_quotes() {
        return Record { end, next, lines, closed: true };
    }
    // The quote that nothing closes has taken the rest of the input. Its line is the reject, and the next goes on.
    lines = 1;
    Record { end: line_feed, next: (line_feed + 1).min(bytes.len()), lines, closed: false }
}

/// Finds the fields of the record `bytes[start..end]`, a `\r` at its end left out. Fields whose quotes are not just
/// around them are written to `anew`, whose slots count from the end of `bytes`.
pub(crate) fn split(bytes: &[u8], start: usize, end: usize, fields: &mut Vec<Field>, anew: &mut Vec<u8>) {
    fields.clear();
    let end = if bytes[start..end].ends_with(b"\r") { end - 1 } else { end };
    let mut at = start;
    loop {
        let field_end = if at < end && bytes[at] == b'"' {
            let (field, field_end) = quoted_field(bytes, at, end, anew);
            fields.push(field);
            field_end
        } else {
            let field_end = memchr(b',', &bytes[at..end]).map_or(end, |comma| at + comma);
            fields.push(Field { slot: slot(at, field_end - at), byte: at as u32, quoted: false });
            field_end
        };
        if field_end == end {
            return;
        }
        at = field_end + 1;
    }
}

/// The field whose opening quote is at `start`, and the place after it.
fn quoted_field(bytes: &[u8], start: usize, end: usize, anew: &mut Vec<u8>) -> (Field, usize) {
    let field = |slot| Field { slot, byte: start as u32, quoted: true };
    let anew_start = anew.len();
    let mut piece = start + 1;
    loop {
        let quote = piece + memchr(b'"', &bytes[piece..end]).expect("the record's quotes were found to be closed");
        if quote + 1 < end && bytes[quote + 1] == b'"' {
            anew.extend_from_slice(&bytes[piece..=quote]);
            piece = quote + 2;
            continue;
        }
        // What stands between the closing quote and the comma is data, as for the crate `csv`.
        let field_end = memchr(b',', &bytes[quote + 1..end]).map_or(end, |comma| quote + 1 + comma);
        if anew.len() == anew_start && field_end == quote + 1 {
            return (field(slot(piece, quote - piece)), field_end);
        }
        anew.extend_from_slice(&bytes[piece..quote]);
        anew.extend_from_slice(&bytes[quote + 1..field_end]);
        return (field(slot(bytes.len() + anew_start, anew.len() - anew_start)), field_end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::slot_bytes;

    /// Every text of up to eight bytes over what matters to CSV, against the crate `csv`; and however it is cut.
    #[test]
    fn agrees_with_the_crate_csv() {
        const ALPHABET: &[u8] = b"a,\"\n";
        let mut judged = 0;
        for len in 0..=8u32 {
            for number in 0..(ALPHABET.len() as u32).pow(len) {
                let text: Vec<u8> = (0..len).map(|i| ALPHABET[(number >> (2 * i)) as usize % ALPHABET.len()]).collect();
                let mut whole = Boundary::new();
                let last_end = whole.feed(&text);
                check_pieces(&text, whole, last_end);
                if whole.in_quotes() {
                    continue;
                }
                assert_eq!(records_of(&text), expected_records(&text), "{}", text.escape_ascii());
                judged += 1;
            }
        }
        assert!(judged > 30_000, "only {judged} texts");
    }

    fn check_pieces(text: &[u8], whole: Boundary, last_end: Option<usize>) {
        for cut in 0..=text.len() {
            let mut boundary = Boundary::new();
            let first = boundary.feed(&text[..cut]);
            let second = boundary.feed(&text[cut..]).map(|end| cut + end);
            assert_eq!((boundary, second.or(first)), (whole, last_end), "{} cut at {cut}", text.escape_ascii());
        }
    }

    fn records_of(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let (mut records, mut fields, mut at, mut lines) = (Vec::new(), Vec::new(), 0, 0);
        while at < text.len() {
            let (record, mut anew) = (next_record(text, at), Vec::new());
            assert!(record.closed);
            if at < record.end {
                split(text, at, record.end, &mut fields, &mut anew);
                let all = [text, &anew].concat();
                records.push(fields.iter().map(|field| slot_bytes(&all, field.slot).to_vec()).collect());
            }
            (at, lines) = (record.next, lines + record.lines as usize);
        }
        let line_feeds = text.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(lines, line_feeds + !(text.is_empty() || text.ends_with(b"\n")) as usize);
        records
    }

    fn expected_records(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let terminator = csv::Terminator::Any(b'\n');
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).terminator(terminator).from_reader(text);
        reader.byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
    }
}
