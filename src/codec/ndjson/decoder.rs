//! The decoder: blocks of lines to batches, by the walker's findings.
//!
//! Decides which line is an event, a mark, a blank or a reject. Knows nothing of JSON's grammar.

use std::borrow::Cow;

use crate::batch::{EventBatch, InBand, LineSpan, Reject, Tag, slot};
use crate::codec::ndjson::cells::Cells;
use crate::codec::ndjson::fault::Reason;
use crate::codec::ndjson::gaps::{Marked, Walked};
use crate::codec::ndjson::in_band::{Line, Recogniser, begins_like_ours};
use crate::codec::ndjson::instructions::Instructions;
use crate::codec::ndjson::number;
use crate::codec::ndjson::scan::Marks;
use crate::codec::ndjson::shapes::Shapes;
use crate::codec::ndjson::string::PADDING;
use crate::codec::ndjson::trie::Trie;
use crate::codec::ndjson::walker::{Kind, Raw, Walk, skip_space};
use crate::codec::{TimeFrom, Wanted};
use crate::record::Block;
use crate::time::{TimeFormat, Timestamp, excerpt};

/// Decodes blocks. Has memory that it reuses: one for each thread, as clones of one.
#[derive(Debug, Clone)]
pub struct Decoder {
    trie: Trie,
    time: Time,
    /// The cell of each column.
    columns: Vec<u32>,
    line_bytes_max: usize,
    instructions: Instructions,
    marks: Marks,
    shapes: Shapes,
    walk: Walk,
    cells: Cells,
    recogniser: Recogniser,
    /// Rows of the block before, by which the next one's columns are made.
    rows_before: usize,
    /// Lines of the current block that are result rows.
    result_lines: Vec<u32>,
}

#[derive(Debug, Clone)]
enum Time {
    Field { name: String, cell: u32, format: TimeFormat },
    Arrival,
}

/// What is the same for all lines of a block.
#[derive(Clone, Copy)]
struct Lines<'a> {
    /// Its bytes with their padding.
    bytes: &'a [u8],
    /// Behind its last line feed.
    end: usize,
    is_utf8: bool,
    arrival: Timestamp,
}

impl Decoder {
    /// A decoder of `wanted`. A line of more than `line_bytes_max` bytes is a reject.
    pub fn new(wanted: &Wanted, line_bytes_max: usize) -> Decoder {
        Decoder::with(wanted, line_bytes_max, Instructions::best())
    }

    /// The same, by these instructions. The batches are the same with any.
    pub fn with(wanted: &Wanted, line_bytes_max: usize, instructions: Instructions) -> Decoder {
        let mut paths = wanted.paths.clone();
        if let TimeFrom::Field { path, .. } = &wanted.time {
            paths.push(path.clone());
        }
        let trie = Trie::new(&paths);
        let time = match &wanted.time {
            TimeFrom::Arrival => Time::Arrival,
            TimeFrom::Field { path, format } => {
                Time::Field { name: path.to_string(), cell: trie.cells[paths.len() - 1], format: *format }
            }
        };
        Decoder {
            columns: trie.cells[..wanted.paths.len()].to_vec(),
            trie,
            time,
            line_bytes_max,
            instructions,
            marks: Marks::default(),
            shapes: Shapes::default(),
            walk: Walk::default(),
            cells: Cells::default(),
            recogniser: Recogniser::new(),
            rows_before: 0,
            result_lines: Vec::new(),
        }
    }

    /// Decodes one block. Its bytes become the batch's text without being copied, if `PADDING` + 1 bytes of capacity
    /// are left in them.
    pub fn decode(&mut self, block: Block) -> EventBatch {
        let Block { partition, offset, from, arrival, stamps, bytes } = block;
        assert!(bytes.len() < 1 << 31, "a block of {} bytes is beyond the 2 GiB that a block may have", bytes.len());
        let mut batch = EventBatch {
            stamps,
            partition,
            offset,
            line: 0,
            text: Vec::new(),
            times: Vec::with_capacity(self.rows_before),
            spans: Vec::with_capacity(self.rows_before),
            columns: Vec::new(),
            rejects: Vec::new(),
            in_band: Vec::new(),
            lines: 0,
            blank: 0,
            result_lines: Vec::new(),
        };
        let mut text = bytes;
        let is_start = offset == 0 && text.starts_with(b"\xef\xbb\xbf");
        if text.len() > from && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        let end = text.len();
        let is_ascii = self.marks.mark(&text, self.instructions);
        let is_utf8 = is_ascii || simdutf8::basic::from_utf8(&text[from..]).is_ok();
        text.resize(end + PADDING, 0);
        self.walk.anew.clear();
        self.cells.begin(self.trie.cell_count, self.rows_before);
        let lines = Lines { bytes: &text, end, is_utf8, arrival };
        self.decode_lines(&mut batch, lines, if is_start { 3 } else { from });
        text.extend_from_slice(&self.walk.anew);
        batch.text = text;
        batch.columns = self.cells.finish(&self.columns);
        batch.result_lines = std::mem::take(&mut self.result_lines);
        self.rows_before = batch.rows() + batch.rows() / 16;
        batch
    }

    fn decode_lines(&mut self, batch: &mut EventBatch, lines: Lines, start: usize) {
        #[cfg(target_arch = "x86_64")]
        if self.instructions.has_avx2() {
            // SAFETY: the processor has all of these instructions.
            return unsafe { self.decode_lines_avx2(batch, lines, start) };
        }
        self.decode_each_line(batch, lines, start);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn decode_lines_avx2(&mut self, batch: &mut EventBatch, lines: Lines, start: usize) {
        self.decode_each_line(batch, lines, start);
    }

    #[inline(always)]
    fn decode_each_line(&mut self, batch: &mut EventBatch, lines: Lines, start: usize) {
        let mut at = start;
        while at < lines.end {
            let anew = self.walk.anew.len();
            at = match self.decode_known(batch, lines, at) {
                Some(next) => next,
                None => {
                    self.walk.anew.truncate(anew);
                    self.decode_any(batch, lines, at)
                }
            };
        }
    }

    /// Decodes the line at `start` if it is an event of a shape that was seen before, and returns the start of the next.
    #[inline(always)]
    fn decode_known(&mut self, batch: &mut EventBatch, lines: Lines, start: usize) -> Option<usize> {
        let block = Marked { bytes: lines.bytes, marks: &self.marks };
        let (time_cell, arrival) = match &self.time {
            Time::Field { cell, .. } => (*cell, None),
            Time::Arrival => (u32::MAX, Some(lines.arrival)),
        };
        let Walked { end, raw } =
            self.shapes.gaps()?.walk(block, start, time_cell, &mut self.cells, &mut self.walk.anew)?;
        let time = match arrival {
            Some(arrival) => arrival,
            None => self.read_time(lines.bytes, raw)?,
        };
        if end - start > self.line_bytes_max
            || (!lines.is_utf8 && std::str::from_utf8(&lines.bytes[start..end]).is_err())
        {
            return None;
        }
        self.shapes.known += 1;
        batch.spans.push(LineSpan { start: start as u32, len: (end - start) as u32, line: batch.lines });
        batch.times.push(time);
        batch.lines += 1;
        self.cells.next_row();
        Some(end + 1)
    }

    /// Decodes the line at `start`, whatever it is, and returns the start of the next.
    #[inline(never)]
    fn decode_any(&mut self, batch: &mut EventBatch, lines: Lines, start: usize) -> usize {
        let Lines { bytes, is_utf8, arrival, .. } = lines;
        self.cells.void();
        let line = batch.lines;
        batch.lines += 1;
        let first = skip_space::<false>(bytes, start);
        if bytes[first] == b'\n' {
            batch.blank += 1;
            return first + 1;
        }
        let walked = self.walk.line(&self.trie, bytes, first);
        let end = match walked {
            Ok(end) => end,
            Err(fault) => line_end(bytes, (fault.at as usize).max(start)),
        };
        let span = LineSpan { start: start as u32, len: (end - start) as u32, line };
        let judged = match walked {
            _ if span.len as usize > self.line_bytes_max => Err(self.too_long()),
            _ if !is_utf8 && std::str::from_utf8(&bytes[start..end]).is_err() => Err(not_utf8(bytes, span)),
            Err(fault) => Err((fault.at - span.start, fault.reason.as_str().into())),
            Ok(_) => self.accept(batch, bytes, span, first, arrival),
        };
        if let Err((byte, reason)) = judged {
            batch.rejects.push(Reject { span, byte, reason });
        }
        end + 1
    }

    /// Appends the row of a line that is good JSON, if its time and its numbers are good too.
    #[inline]
    fn accept(
        &mut self,
        batch: &mut EventBatch,
        bytes: &[u8],
        span: LineSpan,
        first: usize,
        arrival: Timestamp,
    ) -> Result<(), (u32, Cow<'static, str>)> {
        let own_time = match &self.time {
            Time::Field { cell, .. } => self.read_time(bytes, self.walk.cells[*cell as usize]),
            Time::Arrival => (!begins_like_ours(bytes, first)).then_some(arrival),
        };
        let time = match own_time {
            Some(time) => time,
            None => match self.without_time(bytes, span, arrival)? {
                Ok(time) => time,
                Err(mark) => {
                    batch.in_band.push((batch.times.len() as u32, mark));
                    return Ok(());
                }
            },
        };
        for &cell in &self.columns {
            let raw = self.walk.cells[cell as usize];
            match cell_of(raw, bytes) {
                Some((tag, bits)) => self.cells.put(cell, tag, bits),
                None => {
                    self.cells.void();
                    return Err(self.beyond_double(bytes, span, raw));
                }
            }
        }
        // Lines without a time of their own are told apart by more than their shape.
        if own_time.is_some() {
            self.shapes.learn(&self.trie, bytes, span.start as usize, (span.start + span.len) as usize);
        }
        batch.times.push(time);
        batch.spans.push(span);
        self.cells.next_row();
        Ok(())
    }

    /// The time that the time field holds, if it is one.
    #[inline(always)]
    fn read_time(&self, bytes: &[u8], raw: Raw) -> Option<Timestamp> {
        let Time::Field { format, .. } = &self.time else { return None };
        match raw.kind {
            Kind::Text => format.read_text(self.walk.text(bytes, raw)).ok(),
            Kind::Number => format.read_number(self.walk.text(bytes, raw)).ok(),
            _ => None,
        }
    }

    /// What to do with a line whose time is missing or unreadable: a time, a mark, or the reason why it is a reject.
    #[cold]
    #[inline(never)]
    fn without_time(
        &mut self,
        bytes: &[u8],
        span: LineSpan,
        arrival: Timestamp,
    ) -> Result<Result<Timestamp, InBand>, (u32, Cow<'static, str>)> {
        let (name, raw) = match &self.time {
            Time::Field { name, cell, .. } => (name.as_str(), self.walk.cells[*cell as usize]),
            Time::Arrival => {
                return Ok(match self.recogniser.recognise(bytes, span) {
                    Line::InBand(mark) => Err(mark),
                    Line::Row(_) | Line::Foreign => Ok(arrival),
                });
            }
        };
        if raw.kind == Kind::Missing {
            return match self.recogniser.recognise(bytes, span) {
                Line::InBand(mark) => Ok(Err(mark)),
                Line::Row(time) => {
                    self.result_lines.push(span.line);
                    Ok(Ok(time))
                }
                Line::Foreign => Err((0, format!("no field '{name}'").into())),
            };
        }
        let byte = if (raw.start as usize) < bytes.len() { raw.start - span.start } else { 0 };
        Err((byte, format!("field '{name}' is no time: '{}'", excerpt(self.walk.text(bytes, raw))).into()))
    }

    #[cold]
    fn beyond_double(&self, bytes: &[u8], span: LineSpan, raw: Raw) -> (u32, Cow<'static, str>) {
        (raw.start - span.start, format!("number '{}' is beyond a double", excerpt(self.walk.text(bytes, raw))).into())
    }

    #[cold]
    fn too_long(&self) -> (u32, Cow<'static, str>) {
        (self.line_bytes_max as u32, format!("a line longer than {} bytes", self.line_bytes_max).into())
    }
}

/// The cell of a value, or `None` for a number beyond every double.
#[inline(always)]
fn cell_of(raw: Raw, bytes: &[u8]) -> Option<(Tag, u64)> {
    let text = slot(raw.start as usize, raw.len as usize);
    Some(match raw.kind {
        Kind::Missing | Kind::Null => (Tag::Null, 0),
        Kind::False => (Tag::False, 0),
        Kind::True => (Tag::True, 1),
        Kind::Number => number::parse(&bytes[raw.start as usize..raw.start as usize + raw.len as usize])?,
        Kind::Text => (Tag::Text, text),
        Kind::Json => (Tag::Json, text),
    })
}

#[cold]
fn line_end(bytes: &[u8], from: usize) -> usize {
    from + memchr::memchr(b'\n', &bytes[from..]).expect("the last line of a block was given its line feed")
}

#[cold]
fn not_utf8(bytes: &[u8], span: LineSpan) -> (u32, Cow<'static, str>) {
    let line = &bytes[span.start as usize..(span.start + span.len) as usize];
    let byte = std::str::from_utf8(line).map_or_else(|error| error.valid_up_to(), str::len);
    (byte as u32, Reason::NotUtf8.as_str().into())
}

#[cfg(test)]
mod tests;
