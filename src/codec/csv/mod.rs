//! CSV to columns: RFC 4180 with a header, as the crate `csv` reads it.
//!
//! What is decided where that leaves it open:
//! * A record ends with a line feed outside of quotes; a `\r` before it is not of the record, any other is data.
//!   Empty lines are blank. A byte order mark is passed over at the start of the input.
//! * A quote opens a quoted field only at the field's beginning, elsewhere it is data.
//! * An empty field is NULL, `""` is the empty text.
//! * A record with another number of fields than the header, or with a field that is not of the type that the schema
//!   gives it, is a reject, as is one with a quote that nothing closes.
//!
//! Fields are taken where they stand in the block; only those with doubled quotes are written anew. Knows nothing of
//! what the fields mean.

mod field;
mod records;
mod schema;

pub use crate::codec::csv::field::FieldType;
pub use crate::codec::csv::records::{Boundary, whole_records};
pub use crate::codec::csv::schema::{Header, Schema, SchemaError};

use crate::batch::{Column, EventBatch, LineSpan, Reject, Tag, slot_bytes};
use crate::codec::csv::field::Field;
use crate::codec::csv::records::{next_record, split};
use crate::codec::{TimeFrom, Wanted};
use crate::event::Path;
use crate::record::Block;
use crate::time::{TimeFormat, Timestamp, excerpt};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Decodes blocks of one input, whose header it has been given. Has memory that it reuses: one for each thread, as
/// clones of one.
#[derive(Debug, Clone)]
pub struct Decoder {
    time: Time,
    /// For each wanted path the place and type of its field, if the input has it.
    columns: Vec<Option<(usize, FieldType)>>,
    names: Vec<Box<str>>,
    record_bytes_max: usize,
    fields: Vec<Field>,
}

#[derive(Debug, Clone)]
enum Time {
    Field { name: String, place: usize, format: TimeFormat },
    Arrival,
}

impl Decoder {
    /// A decoder of `wanted` for inputs with this header. A record of more than `record_bytes_max` bytes is a reject.
    pub fn new(
        wanted: &Wanted,
        header: &Header,
        schema: &Schema,
        record_bytes_max: usize,
    ) -> Result<Decoder, SchemaError> {
        let fields = schema.apply(header)?;
        let place_of = |path: &Path| fields.iter().position(|field| field.path == *path);
        let time = match &wanted.time {
            TimeFrom::Arrival => Time::Arrival,
            TimeFrom::Field { path, format } => {
                let no_time = || SchemaError::NoTime { field: path.to_string(), columns: header.names.join(", ") };
                Time::Field { name: path.to_string(), place: place_of(path).ok_or_else(no_time)?, format: *format }
            }
        };
        let columns =
            wanted.paths.iter().map(|path| place_of(path).map(|place| (place, fields[place].field_type))).collect();
        Ok(Decoder { time, columns, names: header.names.clone(), record_bytes_max, fields: Vec::new() })
    }

    /// Decodes one block of whole records; the block at the input's start begins with the header, which is passed over.
    pub fn decode(&mut self, block: Block) -> EventBatch {
        let Block { partition, offset, from, arrival, stamps, bytes } = block;
        assert!(bytes.len() < 1 << 31, "a block of {} bytes is beyond the 2 GiB that a block may have", bytes.len());
        let is_utf8 = simdutf8::basic::from_utf8(&bytes).is_ok();
        let mut batch = EventBatch {
            stamps,
            partition,
            offset,
            line: 0,
            text: Vec::new(),
            times: Vec::new(),
            spans: Vec::new(),
            columns: vec![Column::new(); self.columns.len()],
            rejects: Vec::new(),
            in_band: Vec::new(),
            lines: 0,
            blank: 0,
            result_lines: Vec::new(),
        };
        let mut anew = Vec::new();
        let is_start = offset == 0 && from == 0;
        let mut at = if is_start && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { from };
        let mut header_seen = !is_start;
        while at < bytes.len() {
            let record = next_record(&bytes, at);
            let line = batch.lines;
            batch.lines += record.lines;
            let span = LineSpan { start: at as u32, len: (record.end - at) as u32, line };
            at = record.next;
            if record.content(&bytes, span.start as usize).is_empty() {
                batch.blank += 1;
                continue;
            }
            if !std::mem::replace(&mut header_seen, true) {
                continue;
            }
            let judged = if span.len as usize > self.record_bytes_max {
                Err((self.record_bytes_max as u32, self.too_long()))
            } else if !record.closed {
                Err((0, "a quoted field is not closed".to_owned()))
            } else {
                check_utf8(is_utf8, &bytes[span.start as usize..record.end])
                    .and_then(|()| self.accept(&mut batch, &bytes, &mut anew, span, arrival))
            };
            if let Err((byte, reason)) = judged {
                batch.rejects.push(Reject { span, byte, reason: reason.into() });
            }
        }
        batch.text = bytes;
        batch.text.extend_from_slice(&anew);
        batch
    }

    /// Appends the row of a record, if all that is wanted of it is good.
    fn accept(
        &mut self,
        batch: &mut EventBatch,
        bytes: &[u8],
        anew: &mut Vec<u8>,
        span: LineSpan,
        arrival: Timestamp,
    ) -> Result<(), (u32, String)> {
        let start = span.start as usize;
        split(bytes, start, start + span.len as usize, &mut self.fields, anew);
        if self.fields.len() != self.names.len() {
            let (found, expected) = (self.fields.len(), self.names.len());
            return Err((0, format!("{found} fields where the header has {expected}")));
        }
        let text = |field: &Field| match (field.slot >> 32).checked_sub(bytes.len() as u64) {
            None => slot_bytes(bytes, field.slot),
            Some(start) => slot_bytes(anew, start << 32 | field.slot & 0xffff_ffff),
        };
        let time = match &self.time {
            Time::Arrival => arrival,
            Time::Field { name, place, format } => {
                let field = &self.fields[*place];
                match text(field) {
                    b"" => return Err((field.byte - span.start, format!("no field '{name}'"))),
                    text => format.read_text(text).map_err(|_| {
                        (field.byte - span.start, format!("field '{name}' is no time: '{}'", excerpt(text)))
                    })?,
                }
            }
        };
        let rows = batch.times.len();
        for i in 0..self.columns.len() {
            let Some((place, field_type)) = self.columns[i] else {
                batch.columns[i].push(Tag::Null, 0);
                continue;
            };
            let field = &self.fields[place];
            let Some((tag, bits)) = field_type.read(text(field), field) else {
                for column in &mut batch.columns {
                    column.tags.truncate(rows);
                    column.bits.truncate(rows);
                }
                let (name, value) = (&self.names[place], excerpt(text(field)));
                return Err((field.byte - span.start, format!("column '{name}' is no {field_type}: '{value}'")));
            };
            batch.columns[i].push(tag, bits);
        }
        batch.times.push(time);
        batch.spans.push(span);
        Ok(())
    }

    /// How long it is does not count: the source may have cut it.
    fn too_long(&self) -> String {
        format!("a record longer than {} bytes", self.record_bytes_max)
    }
}

fn check_utf8(block_is_utf8: bool, record: &[u8]) -> Result<(), (u32, String)> {
    if block_is_utf8 {
        return Ok(());
    }
    match std::str::from_utf8(record) {
        Ok(_) => Ok(()),
        Err(error) => Err((error.valid_up_to() as u32, "not UTF-8".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::PartitionId;
    use crate::value::Value;

    const RECORD_BYTES_MAX: usize = 60;
    const HEADER: &str = "time,a,b.c,d\n";

    fn block(bytes: impl AsRef<[u8]>) -> Block {
        let (partition, arrival) = (PartitionId(0), Timestamp(1_000_000));
        Block { partition, offset: 0, from: 0, arrival, stamps: None, bytes: bytes.as_ref().to_vec() }
    }

    fn wanted(time: TimeFrom) -> Wanted {
        Wanted { paths: vec![Path::of_keys(&["a"]), Path::of_keys(&["b", "c"]), Path::of_keys(&["x"])], time }
    }

    fn time_field(name: &str) -> TimeFrom {
        TimeFrom::Field { path: Path::of_keys(&[name]), format: TimeFormat::Auto }
    }

    /// Rows as `line: values`, then rejects as `line@byte: reason`, then the number of blank lines.
    fn shown(input: &[u8], schema: &str, time: TimeFrom) -> Result<Vec<String>, String> {
        let schema = if schema.is_empty() { Schema::default() } else { schema.parse().map_err(message)? };
        let header = Header::read(input).map_err(message)?.ok_or("no header")?;
        let mut decoder = Decoder::new(&wanted(time), &header, &schema, RECORD_BYTES_MAX).map_err(message)?;
        let batch = decoder.decode(block(input));
        let mut all = Vec::new();
        for row in 0..batch.rows() {
            let values: Vec<String> = batch.columns.iter().map(|c| c.value(row, &batch.text).to_json()).collect();
            all.push(format!("{}: {}", batch.spans[row].line, values.join(" ")));
        }
        all.extend(batch.rejects.iter().map(|r| format!("{}@{}: {}", r.span.line, r.byte, r.reason)));
        if batch.blank > 0 {
            all.push(format!("{} blank", batch.blank));
        }
        let line_feeds = input.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(batch.lines as usize, line_feeds + !input.ends_with(b"\n") as usize);
        assert!(batch.columns.iter().all(|column| column.len() == batch.rows()));
        Ok(all)
    }

    fn message(error: SchemaError) -> String {
        error.to_string()
    }

    #[track_caller]
    fn check(records: impl AsRef<[u8]>, expected: &[&str]) {
        let input = [HEADER.as_bytes(), records.as_ref()].concat();
        let found = shown(&input, "", time_field("time"));
        assert_eq!(found.unwrap(), expected, "{}", input.escape_ascii());
    }

    /// The cells of one record `0,FIELD,,` by a schema for `a`.
    #[track_caller]
    fn check_field(schema: &str, field: &str, expected: &str) {
        let input = format!("{HEADER}0,{field},,\n");
        let found = shown(input.as_bytes(), schema, time_field("time")).unwrap();
        assert_eq!(found, [expected], "{schema} {field}");
    }

    #[track_caller]
    fn check_refused(header: &str, schema: &str, expected: &str) {
        let error = shown(header.as_bytes(), schema, time_field("time")).expect_err(schema);
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn takes_what_is_wanted() {
        check("0,1,2,3\n", &["1: 1 2 null"]);
        check(
            "2026-02-16T10:30:00Z,x,,\r\n0,\"a,b\",\"c\"\"d\",\"\"\r\n",
            &["1: \"x\" null null", "2: \"a,b\" \"c\\\"d\" null"],
        );
        check("0,\"two\nlines\",2,3\n0,x,4,5", &["1: \"two\\nlines\" 2 null", "3: \"x\" 4 null"]);
        check("\n0,1,2,3\n\r\n", &["2: 1 2 null", "2 blank"]);
        check("0,a\"b,\"c\"d,\n", &["1: \"a\\\"b\" \"cd\" null"]);
        check("0,é,\"\",\n", &["1: \"é\" \"\" null"]);
    }

    #[test]
    fn tells_types_by_the_text() {
        for (field, expected) in [
            ("12", "12"),
            ("-1.50", "-1.5"),
            ("1e3", "1000.0"),
            ("007", "\"007\""),
            ("+1", "\"+1\""),
            ("1.", "\"1.\""),
            ("-", "\"-\""),
            ("1e400", "\"1e400\""),
            ("18446744073709551615", "18446744073709551615"),
            ("true", "true"),
            ("True", "\"True\""),
            ("\"12\"", "12"),
            (" 1", "\" 1\""),
            ("", "null"),
            ("\"\"", "\"\""),
            ("null", "\"null\""),
        ] {
            check_field("", field, &format!("1: {expected} null null"));
        }
        let long = "1".repeat(50);
        check_field(
            "",
            &long,
            &format!("1: {} null null", long.parse::<f64>().map(|f| Value::Float(f).to_json()).unwrap()),
        );
    }

    #[test]
    fn takes_types_from_the_schema() {
        check_field("a:text", "12", "1: \"12\" null null");
        check_field("a:float", "12", "1: 12.0 null null");
        check_field("a:int", "007", "1: 7 null null");
        check_field("a:int", "", "1: null null null");
        check_field("a:bool", "TRUE", "1: true null null");
        check_field("a:bool", "0", "1: false null null");
        check_field("a:time", "1700000000", "1: \"2023-11-14T22:13:20.000Z\" null null");
        check_field("a:int", "1.5", "1@2: column 'a' is no int: '1.5'");
        check_field("a:float", "inf", "1@2: column 'a' is no float: 'inf'");
        check_field("a:float", "1e400", "1@2: column 'a' is no float: '1e400'");
        check_field("a:bool", "yes", "1@2: column 'a' is no bool: 'yes'");
        check_field("a:time", "\"\"", "1@2: column 'a' is no time: ''");
    }

    #[test]
    fn takes_paths_from_the_schema() {
        check_field("d:text=a, a = x", "12", "1: null null 12");
        check_field("a=b.c,b.c=a", "12", "1: null 12 null");
        let input = b"when,a,b.c\n5,1,2\n";
        assert_eq!(shown(input, "when=time", time_field("time")).unwrap(), ["1: 1 2 null"]);
        assert_eq!(shown(input, "", TimeFrom::Arrival).unwrap(), ["1: 1 2 null"]);
    }

    #[test]
    fn a_bad_record_is_a_reject_and_the_next_goes_on() {
        let bad = b"0,1,2\n0,1,2,3,4\nsoon,1,2,3\n,1,2,3\n0,\xff,2,3\n0,0123456789012345678901234567890123456789012345678901234567,2,3\n0,x,y,z\n0,\"x\n0,x,y,z\n";
        check(
            bad,
            &[
                "7: \"x\" \"y\" null",
                "9: \"x\" \"y\" null",
                "1@0: 3 fields where the header has 4",
                "2@0: 5 fields where the header has 4",
                "3@0: field 'time' is no time: 'soon'",
                "4@0: no field 'time'",
                "5@2: not UTF-8",
                "6@60: a record longer than 60 bytes",
                "8@0: a quoted field is not closed",
            ],
        );
    }

    #[test]
    fn the_header_is_in_the_first_block_only() {
        let header = Header::read(b"\xef\xbb\xbf\r\n\"a\",\"b\n\"\r\n").unwrap().unwrap();
        assert_eq!(header.names, ["a".into(), "b\n".into()]);
        assert_eq!(Header::read(b"\xef\xbb\xbf\n").unwrap(), None);
        assert!(Header::read(b"a,\"b\n").is_err());
        assert!(Header::read(b"a,\xff\n").is_err());
        let mut later = block("5,1,2,3\n");
        later.offset = HEADER.len() as u64;
        let header = Header::read(HEADER.as_bytes()).unwrap().unwrap();
        let wanted = wanted(time_field("time"));
        let batch = Decoder::new(&wanted, &header, &Schema::default(), 100).unwrap().decode(later);
        assert_eq!(batch.times, [Timestamp(5_000_000)]);
    }

    #[test]
    fn refuses_schemas_that_do_not_fit() {
        check_refused("a,b\n", "", "no column of the CSV input is the time field 'time'\nthe columns are: a, b");
        check_refused("time,a,a\n", "", "two columns of the CSV input are the field 'a'");
        check_refused("time,a\n", "b=a", "the CSV schema's column 'b' is not in the input\nthe columns are: time, a");
        check_refused("time,a\n", "a,a:int", "the CSV schema's column 'a' is named twice");
        check_refused("time,a\n", "a:number", "'number' in 'a:number' of the CSV schema is no type");
        check_refused("time,a\n", "a=", "cannot read 'a='");
        check_refused("time,a\n", "a=b..c", "cannot read 'a=b..c'");
        check_refused("time,a\n", "a,", "cannot read ''");
    }
}
