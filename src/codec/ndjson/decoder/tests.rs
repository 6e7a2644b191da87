//! What the decoder makes of lines, good and bad.

use super::*;
use crate::event::{Path, Segment};
use crate::partition::PartitionId;
use crate::value::Value;

const LINE_BYTES_MAX: usize = 200;
const T: &str = "\"timestamp\":\"2026-02-16T10:30:00Z\"";

fn block(bytes: impl AsRef<[u8]>) -> Block {
    let (partition, arrival) = (PartitionId(0), Timestamp(1_000_000));
    Block { partition, offset: 0, from: 0, arrival, stamps: None, bytes: bytes.as_ref().to_vec() }
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
    check_bytes(format!("{{{T}}}\r\n\r\n{{{T}}}"), &["0: null null null null", "2: null null null null", "1 blank"]);
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
    let deep =
        format!("{{{T},\"n\":{}{},\"x\":{}{}}}\n", "[".repeat(500), "]".repeat(500), "[".repeat(500), "]".repeat(500));
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

/// What a line gave that was left in the middle must not be seen in the next one, though it is of a known shape.
#[test]
fn a_rejected_line_leaves_nothing_behind() {
    let known = format!("{{{T},\"n\":1}}\n{{{T}}}\n");
    let rejected = format!("{{{T},\"a\":{{\"b\":2}},\"n\":1e400}}\n");
    let half_way = format!("{{{T},\"n\":7,}}\n");
    check_bytes(
        [&*known, &*rejected, &*half_way, &*known].concat(),
        &[
            "0: null null null 1",
            "1: null null null null",
            "4: null null null 1",
            "5: null null null null",
            "2@52: number '1e400' is beyond a double",
            "3@42: no '\"' where a key must begin",
        ],
    );
}

/// Lines of a shape seen before are walked by their gaps, whatever their values, and give the same.
#[test]
fn a_shape_is_known_the_second_time() {
    let lines = [
        r#"{"timestamp":"2026-02-16T10:30:00Z","a":{"b":1,"x":[true,"y"]},"n":-0.5}"#,
        r#"{"timestamp":"2026-02-16T10:30:00.5Z","a":{"b":null,"x":[false,"\u00e9\"\\"]},"n":12345678901234567890}"#,
        r#"{"timestamp":"1700000000","a":{"b":"\ud83d\ude00 z","x":[null,""]},"n":false}"#,
        r#"{"timestamp":"1700000000","a":{"b":"a text longer than any word or chunk that is looked at at once, by far, and é","x":[0,"\/"]},"n":"1"}"#,
    ];
    for instructions in [Instructions::BASELINE, Instructions::best()] {
        let paths = vec![Path::of_keys(&["a", "b"]), Path::of_keys(&["n"])];
        let mut decoder = Decoder::with(&Wanted { paths, time: time_field() }, LINE_BYTES_MAX, instructions);
        let first = shown(&decoder.decode(block(lines.join("\n"))));
        assert!(decoder.shapes.gaps().is_some());
        let known = decoder.shapes.known;
        assert_eq!(shown(&decoder.decode(block(lines.join("\n")))), first);
        assert_eq!(decoder.shapes.known - known, lines.len() as u64, "{instructions:?}");
    }
}

/// Where keys come in ever other orders nothing is gained by learning them.
#[test]
fn shapes_that_do_not_come_again_are_forgotten() {
    let mut decoder = decoder();
    for number in 0..20_000 {
        decoder.decode(block(format!("{{\"k{number}\":1,{T}}}\n")));
        if decoder.shapes.gaps().is_none() && number > 0 {
            return;
        }
    }
    panic!("20,000 shapes were tried in vain");
}

/// A gap of just as many bytes as are compared at once may be the beginning of a longer one.
#[test]
fn gaps_of_any_length_are_told_apart() {
    for length in 20..40 {
        let key = "k".repeat(length);
        let line = |value: &str| format!("{{{T},\"{key}\":{value},\"n\":1}}\n");
        let lines = [line("7"), line("\"text\""), line("[true]"), line("{\"a\":\"b\"}"), line("null")].concat();
        let mut decoder = decoder();
        let first = shown(&decoder.decode(block(&lines)));
        let known = decoder.shapes.known;
        assert_eq!(shown(&decoder.decode(block(&lines))), first);
        assert_eq!(decoder.shapes.known - known, 5, "a key of {length} letters");
    }
}

/// Keys that are values, such as ids, fill no tree: what else comes is known all the same.
#[test]
fn keys_that_never_come_again_do_not_keep_others_out() {
    let mut decoder = decoder();
    let odd: String = (0..1000).map(|id| format!("{{{T},\"u{id}\":1}}\n")).collect();
    decoder.decode(block(odd));
    let line = format!("{{{T},\"n\":1}}\n");
    decoder.decode(block(&line));
    let known = decoder.shapes.known;
    decoder.decode(block(&line));
    assert_eq!(decoder.shapes.known - known, 0, "sixteen others stand in its place");
    let other = format!("{{\"n\":1,{T}}}\n");
    decoder.decode(block(&other));
    decoder.decode(block(&other));
    assert_eq!(decoder.shapes.known - known, 1);
}
