//! The decoder: blocks of lines to batches, by the walker's findings.
//!
//! Decides which line is an event, a mark, a blank or a reject. Knows nothing of JSON's grammar.

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
        let Block { partition, offset, from, arrival, bytes } = block;
        assert!(bytes.len() < 1 << 31, "a block of {} bytes is beyond the 2 GiB that a block may have", bytes.len());
        let mut batch = EventBatch {
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
            at = match self.decode_known(batch, lines, at) {
                Some(next) => next,
                None => self.decode_any(batch, lines, at),
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
            Err(fault) => Err((fault.at - span.start, fault.reason.to_string())),
            Ok(_) => self.accept(batch, bytes, span, first, arrival),
        };
        if let Err((byte, reason)) = judged {
            batch.rejects.push(Reject { span, byte, reason: reason.into() });
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
    ) -> Result<(), (u32, String)> {
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
                None => return Err(self.beyond_double(bytes, span, raw)),
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
    ) -> Result<Result<Timestamp, InBand>, (u32, String)> {
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
                Line::Foreign => Err((0, format!("no field '{name}'"))),
            };
        }
        let byte = if (raw.start as usize) < bytes.len() { raw.start - span.start } else { 0 };
        Err((byte, format!("field '{name}' is no time: '{}'", excerpt(self.walk.text(bytes, raw)))))
    }

    #[cold]
    fn beyond_double(&self, bytes: &[u8], span: LineSpan, raw: Raw) -> (u32, String) {
        (raw.start - span.start, format!("number '{}' is beyond a double", excerpt(self.walk.text(bytes, raw))))
    }

    #[cold]
    fn too_long(&self) -> (u32, String) {
        (self.line_bytes_max as u32, format!("a line longer than {} bytes", self.line_bytes_max))
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
fn not_utf8(bytes: &[u8], span: LineSpan) -> (u32, String) {
    let line = &bytes[span.start as usize..(span.start + span.len) as usize];
    let byte = std::str::from_utf8(line).map_or_else(|error| error.valid_up_to(), str::len);
    (byte as u32, Reason::NotUtf8.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Path, Segment};
    use crate::partition::PartitionId;
    use crate::value::Value;

    const LINE_BYTES_MAX: usize = 200;
    const T: &str = "\"timestamp\":\"2026-02-16T10:30:00Z\"";

    fn block(bytes: impl AsRef<[u8]>) -> Block {
        let (partition, arrival) = (PartitionId(0), Timestamp(1_000_000));
        Block { partition, offset: 0, from: 0, arrival, bytes: bytes.as_ref().to_vec() }
    }

    fn time_field() -> TimeFrom {
        TimeFrom::Field { path: Path::of_keys(&["timestamp"]), format: TimeFormat::Auto }
    }

    /// `a`, `a.b`, `items[1].id`, `n`
    fn decoder() -> Decoder {
        let item = Path(vec![Segment::Key("items".into()), Segment::Index(1), Segment::Key("id".into())]);
        let paths = vec![Path::of_keys(&["a"]), Path::of_keys(&["a", "b"]), item, Path::of_keys(&["n"])];
        Decoder::new(&Wanted { paths, time: time_field() }, LINE_BYTES_MAX)
    }

    /// All that a block gives, in lines: rows as `line: values`, rejects as `line@byte: reason`, marks as `before row: mark`.
    fn shown(batch: &EventBatch) -> Vec<String> {
        let mut all = Vec::new();
        for row in 0..batch.rows() {
            let values: Vec<String> = batch.columns.iter().map(|c| c.value(row, &batch.text).to_json()).collect();
            all.push(format!("{}: {}", batch.spans[row].line, values.join(" ")));
        }
        all.extend(batch.rejects.iter().map(|r| format!("{}@{}: {}", r.span.line, r.byte, r.reason)));
        all.extend(batch.in_band.iter().map(|(row, mark)| match mark {
            InBand::Watermark(time) => format!("{row}: watermark {time}"),
            InBand::Partial(span) => format!("{row}: partial, line {}", span.line),
            InBand::Refused(span) => format!("{row}: refused, line {}", span.line),
            mark => format!("{row}: {mark:?}"),
        }));
        if batch.blank > 0 {
            all.push(format!("{} blank", batch.blank));
        }
        let lines = batch.rows() + batch.rejects.len() + batch.in_band.len() + batch.blank as usize;
        assert_eq!(batch.lines as usize, lines, "a line was lost");
        assert!(batch.columns.iter().all(|column| column.len() == batch.rows()));
        all
    }

    #[track_caller]
    fn check_bytes(input: impl AsRef<[u8]>, expected: &[&str]) {
        let input = input.as_ref();
        assert_eq!(shown(&decoder().decode(block(input))), expected, "{}", input.escape_ascii());
    }

    /// One event with these members beside its time.
    #[track_caller]
    fn check(members: &str, expected: &str) {
        check_bytes(format!("{{{T},{members}}}\n"), &[expected]);
        check_bytes(format!(" {{ {members}\t,\r{T} }} \r\n"), &[expected]);
    }

    #[track_caller]
    fn check_line(line: &str, expected: &str) {
        check_bytes(line, &[expected]);
    }

    #[test]
    fn takes_what_is_wanted() {
        check(r#""n":17"#, "0: null null null 17");
        check(r#""a":{"b":true,"c":[{},[]]}"#, r#"0: {"b":true,"c":[{},[]]} true null null"#);
        check(r#""a":[1,{"b":2}]"#, r#"0: [1,{"b":2}] null null null"#);
        check(r#""a":"x","n":null"#, r#"0: "x" null null null"#);
        check(r#""items":[{"id":1},{"id":"two","z":0},{"id":3}]"#, r#"0: null null "two" null"#);
        check(r#""items":[7]"#, "0: null null null null");
        check(r#""items":{"1":{"id":7}}"#, "0: null null null null");
        check(r#""other":{"a":1,"n":2}"#, "0: null null null null");
        check(r#""n":99.5"#, "0: null null null 99.5");
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        check(r#""n":1,"n":2"#, "0: null null null 2");
        check(r#""n":1,"n":null"#, "0: null null null null");
        check(r#""a":{"b":1},"a":{"c":2}"#, r#"0: {"c":2} null null null"#);
        check(r#""a":{"b":1},"a":3"#, "0: 3 null null null");
        check(r#""a":{"b":1},"a":{}"#, "0: {} null null null");
        check(r#""a":3,"a":{"b":1,"b":2}"#, r#"0: {"b":1,"b":2} 2 null null"#);
        check(r#""items":[{},{"id":1}],"items":[]"#, "0: null null null null");
        check(r#""n":1,"\u006e":2"#, "0: null null null 2");
        check(r#""n":1e400,"n":2"#, "0: null null null 2");
    }

    #[test]
    fn resolves_escapes_in_keys_and_values() {
        check(r#""n":"a\u0000\n\ud83d\ude00""#, "0: null null null \"a\\u0000\\n😀\"");
        check(r#""n":"\ud83d""#, "0: null null null \"\u{fffd}\"");
        check(r#""\u0061":{"\u0062":1}"#, r#"0: {"\u0062":1} 1 null null"#);
        check(r#""\ud83dn":1,"n\u0000":2"#, "0: null null null null");
        check(r#""timestamp":"2026\u002d02-16T10:30:00Z","n":1"#, "0: null null null 1");
    }

    #[test]
    fn numbers_beyond_a_double_are_faults_only_where_they_are_read() {
        check_line(&format!("{{{T},\"n\":-1e400}}"), "0@40: number '-1e400' is beyond a double");
        check(r#""other":1e400"#, "0: null null null null");
        check(r#""a":[1e400]"#, "0: [1e400] null null null");
        check(r#""n":1e-400"#, "0: null null null 0.0");
        check(r#""n":18446744073709551615"#, "0: null null null 18446744073709551615");
        check(r#""n":-0"#, "0: null null null 0");
    }

    #[test]
    fn events_need_a_time() {
        check_line("{\"n\":1}", "0@0: no field 'timestamp'");
        check_line("{\"timestamp\":\"yesterday\"}", "0@14: field 'timestamp' is no time: 'yesterday'");
        check_line("{\"timestamp\":null}", "0@13: field 'timestamp' is no time: 'null'");
        check_line("{\"timestamp\":{\"a\":1}}", "0@13: field 'timestamp' is no time: '{\"a\":1}'");
        check_line("{\"timestamp\":1700000000.5}", "0: null null null null");
        check_line("{\"timestamp\":\"1700000000\"}", "0: null null null null");
        check_line("{\"timestamp\":1e400}", "0@13: field 'timestamp' is no time: '1e400'");
    }

    #[test]
    fn lines_end_as_they_may() {
        check_bytes("", &[]);
        check_bytes("\n \t\r\n\n", &["3 blank"]);
        check_bytes(" ", &["1 blank"]);
        check_bytes(
            format!("{{{T}}}\r\n\r\n{{{T}}}"),
            &["0: null null null null", "2: null null null null", "1 blank"],
        );
        check_bytes(format!("\u{feff}{{{T}}}\n{{{T}}}\n"), &["0: null null null null", "1: null null null null"]);
        check_bytes(format!("{{{T}}}\n\u{feff}{{{T}}}\n"), &["0: null null null null", "1@0: not a JSON object"]);
        let mut later = block(format!("\u{feff}{{{T}}}\n"));
        later.offset = 1;
        assert_eq!(shown(&decoder().decode(later)), ["0@0: not a JSON object"]);
    }

    #[test]
    fn a_bad_line_is_a_reject_and_the_next_goes_on() {
        let good = format!("{{{T},\"n\":1}}\n");
        let lines = b"[1]\n17\n{\"n\":1\n{\"n\":\"a\x00\"}\n{} {}\n\x00\n{\"n\":\"\xff\"}\n{\"n\":nul}\n{\"a\tb\":1}\n";
        let input = [good.as_bytes(), lines, good.as_bytes()].concat();
        check_bytes(
            input,
            &[
                "0: null null null 1",
                "10: null null null 1",
                "1@0: not a JSON object",
                "2@0: not a JSON object",
                "3@6: the line ends within the event",
                "4@7: a control character in a string",
                "5@3: something after the event",
                "6@0: not a JSON object",
                "7@6: not UTF-8",
                "8@5: neither true, false nor null",
                "9@3: a control character in a string",
            ],
        );
    }

    #[test]
    fn a_reject_keeps_its_original_bytes() {
        let batch = decoder().decode(block("\u{feff}{\"n\":1}\r\n[\"\\u0061\"]\r\n"));
        let kept: Vec<&[u8]> = batch
            .rejects
            .iter()
            .map(|r| &batch.text[r.span.start as usize..(r.span.start + r.span.len) as usize])
            .collect();
        assert_eq!(kept, [b"{\"n\":1}\r".as_slice(), b"[\"\\u0061\"]\r"]);
    }

    #[test]
    fn a_line_too_long_is_a_reject() {
        let of_bytes = |len: usize| format!("{{{T}{}}}\n", " ".repeat(len - T.len() - 2));
        check_bytes(of_bytes(LINE_BYTES_MAX), &["0: null null null null"]);
        check_bytes(of_bytes(LINE_BYTES_MAX + 1), &["0@200: a line longer than 200 bytes"]);
    }

    #[test]
    fn nesting_has_no_limit_but_the_lines() {
        let wanted = Wanted { paths: vec![Path::of_keys(&["n"])], time: time_field() };
        let mut decoder = Decoder::new(&wanted, 1 << 20);
        let deep = format!(
            "{{{T},\"n\":{}{},\"x\":{}{}}}\n",
            "[".repeat(500),
            "]".repeat(500),
            "[".repeat(500),
            "]".repeat(500)
        );
        let brackets = "[".repeat(100_000) + "\n";
        let unclosed = format!("{{{T},\"n\":{}\n", "{\"n\":[".repeat(50_000));
        let batch = decoder.decode(block(deep.clone() + &brackets + &unclosed + &deep));
        assert_eq!((batch.rows(), batch.rejects.len()), (2, 2));
        assert_eq!(batch.columns[0].value(1, &batch.text), Value::Json(("[".repeat(500) + &"]".repeat(500)).into()));
    }

    #[test]
    fn reads_what_our_programs_write() {
        check_line(r#"{"watermark":"2026-02-16T10:30:00.000Z"}"#, "0: watermark 2026-02-16T10:30:00.000Z");
        check_line(r#"{ "watermark" : "2026-02-16T10:30:00Z" } "#, "0: watermark 2026-02-16T10:30:00.000Z");
        check_line(r#"{"watermark":"2026-02-16T10:30:00Z","n":1}"#, "0@0: no field 'timestamp'");
        check_line(r#"{"n":1,"watermark":"2026-02-16T10:30:00Z"}"#, "0@0: no field 'timestamp'");
        check_line(r#"{"watermark":"soon"}"#, "0@0: no field 'timestamp'");
        check_line(r#"{"stats":{"in":1}}"#, "0: Stats");
        check_line(r#"{"stats":{"in":1},"user":1}"#, "0@0: no field 'timestamp'");
        check_line(r#"{"partial":{"v":1},"n":1}"#, "0: partial, line 0");
        let row = |rest: &str| {
            let window = r#""window_start":"2026-02-16T10:30:00.000Z","window_end":"2026-02-16T10:31:00.000Z""#;
            format!(r#"{{"metric":"m",{window},"n":5,{rest}}}"#)
        };
        check_line(&row(r#""revision":0"#), "0: null null null 5");
        check_line(&row(r#""revision":0,"final":true"#), "0: null null null 5");
        check_line(&row(r#""revision":0,"final":false"#), "0: Early");
        check_line(&row(r#""revision":1"#), "0: refused, line 0");
        check_line(&row(r#""revision":0,"retracted":true"#), "0: refused, line 0");
        check_line(&row(r#""rank":0"#), "0@0: no field 'timestamp'");
        let batch = decoder().decode(block(row(r#""revision":0"#)));
        assert_eq!(batch.times[0].to_string(), "2026-02-16T10:30:59.999999Z");
        check_bytes(
            format!("{{{T}}}\n{{\"stats\":{{}}}}\n{{{T}}}\n"),
            &["0: null null null null", "2: null null null null", "1: Stats"],
        );
    }

    #[test]
    fn arrival_is_a_time_for_all_but_marks() {
        let wanted = Wanted { paths: vec![Path::of_keys(&["n"])], time: TimeFrom::Arrival };
        let input = "{\"n\":1}\n{\"watermark\":\"2026-02-16T10:30:00Z\"}\n{\"metric\":2,\"n\":3}\n{\"n\":\n{}\n";
        let batch = Decoder::new(&wanted, LINE_BYTES_MAX).decode(block(input));
        assert_eq!(batch.times, [Timestamp(1_000_000); 3]);
        let expected =
            ["0: 1", "2: 3", "4: null", "3@5: the line ends within the event", "1: watermark 2026-02-16T10:30:00.000Z"];
        assert_eq!(shown(&batch), expected);
    }

    #[test]
    fn the_whole_event_and_equal_paths_may_be_wanted() {
        let n = Path::of_keys(&["n"]);
        let time = Path::of_keys(&["timestamp"]);
        let wanted = Wanted { paths: vec![n.clone(), Path(vec![]), n, time], time: time_field() };
        let event = format!("{{{T},\"n\":1}}");
        let batch = Decoder::new(&wanted, LINE_BYTES_MAX).decode(block(&event));
        assert_eq!(shown(&batch), [format!("0: 1 {event} 1 \"2026-02-16T10:30:00Z\"")]);
    }

    #[test]
    fn the_text_is_the_block_itself() {
        let mut input = block(format!("{{{T}}}\n"));
        input.bytes.reserve(PADDING + 1);
        let address = input.bytes.as_ptr();
        assert_eq!(decoder().decode(input).text.as_ptr(), address);
    }

    /// The verdicts on the lines of the JSON test suite as events, where its folder is given.
    #[test]
    fn conforms() {
        let Some(folder) = std::env::var_os("EVKIT_CASES") else {
            eprintln!("skipped: EVKIT_CASES names no folder of conformance cases");
            return;
        };
        let folder = std::path::Path::new(&folder).join("json-parsing");
        let lines = std::fs::read(folder.join("wrapped_event_lines.bin")).expect("the lines are readable");
        let expected = std::fs::read_to_string(folder.join("wrapped_event_lines.expect.ndjson")).unwrap();
        let wanted = Wanted { paths: vec![Path::of_keys(&["properties", "v"])], time: time_field() };
        let batch = Decoder::new(&wanted, 1 << 20).decode(block(lines));
        let accepted: Vec<u32> = batch.spans.iter().map(|span| span.line).collect();
        for case in expected.lines() {
            let case: serde_json::Value = serde_json::from_str(case).unwrap();
            let line = case["line"].as_u64().unwrap() as u32 - 1;
            let verdict = if accepted.contains(&line) { "accept" } else { "reject" };
            assert_eq!(verdict, case["expect"], "line {line}, {}", case["file"]);
        }
        assert_eq!(batch.lines as usize, expected.lines().count());
    }
}
