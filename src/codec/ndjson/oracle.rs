//! The decoder against a plain one on serde_json, over seeded mutations of event lines: lines made up to be awkward, and those
//! of all profiles that evgen has.
//!
//! The plain one builds a tree of each line and looks the paths up in it: slow, short, and by other people's parser.
//! Where serde_json refuses what JSON allows (numbers beyond a double, deep nesting), only the grammar is compared.
//!
//! A failure prints its seed. `EVKIT_ORACLE_LINES=10000000` compares so many lines in place of the usual number.

use std::collections::BTreeMap;

use crate::batch::{EventBatch, InBand, Tag, slot_str};
use rayon::prelude::*;

use crate::codec::ndjson::{Decoder, Instructions};
use crate::codec::{TimeFrom, Wanted};
use crate::event::{Path, Segment};
use crate::generate::disturb::Disturbances;
use crate::generate::encode::{Encoder, Format};
use crate::generate::{Generator, Profile, Settings};
use crate::partition::PartitionId;
use crate::record::Block;
use crate::time::{TimeFormat, Timestamp};
use crate::value::Value;

const LINES: usize = 240_000;
const LINES_A_SEED: usize = 30_000;
const LINES_A_BLOCK: usize = 300;
const EVENTS_A_PROFILE: u64 = 300;

#[derive(Debug, PartialEq)]
enum Verdict {
    Blank,
    Reject,
    InBand,
    Row(Timestamp, Vec<Value>),
    /// Good JSON, but the tree can't hold it.
    NoTree,
}

/// The fields that are compared: plain, nested, through arrays, and the time itself. With `whole` also some that may be an
/// object or an array, which no line whose shape is learnt has.
fn paths(whole: bool) -> Vec<Path> {
    let key = |key: &str| Segment::Key(key.into());
    let mut paths = vec![
        Path::of_keys(&["timestamp"]),
        Path::of_keys(&["event_type"]),
        Path::of_keys(&["properties", "amount"]),
        Path::of_keys(&["properties", "value"]),
        Path::of_keys(&["properties", "currency"]),
        Path(vec![key("items"), Segment::Index(1), key("id")]),
        Path::of_keys(&["metadata", "platform"]),
        Path::of_keys(&["count"]),
        Path::of_keys(&["user_id"]),
        Path::of_keys(&["event_type"]),
    ];
    if whole {
        paths.extend([Path::of_keys(&["properties"]), Path(vec![key("items"), Segment::Index(0)])]);
    }
    paths
}

fn oracle(line: &[u8], paths: &[Path]) -> Verdict {
    let Ok(text) = std::str::from_utf8(line) else { return Verdict::Reject };
    let trimmed = text.trim_matches([' ', '\t', '\r']);
    if trimmed.is_empty() {
        return Verdict::Blank;
    }
    if !trimmed.starts_with('{') || serde_json::from_str::<serde::de::IgnoredAny>(trimmed).is_err() {
        return Verdict::Reject;
    }
    let Ok(tree) = serde_json::from_str::<serde_json::Value>(&without_half_surrogates(trimmed)) else {
        return Verdict::NoTree;
    };
    let time = match &tree["timestamp"] {
        serde_json::Value::String(text) => TimeFormat::Auto.read_text(text.as_bytes()).ok(),
        serde_json::Value::Number(number) => TimeFormat::Auto.read_number(number.to_string().as_bytes()).ok(),
        _ => None,
    };
    let time = match time {
        Some(time) => time,
        None if tree.get("timestamp").is_none() => match ours(&tree, trimmed) {
            Ok(time) => time,
            Err(verdict) => return verdict,
        },
        None => return Verdict::Reject,
    };
    let values = paths.iter().map(|path| look_up(&tree, path)).collect();
    Verdict::Row(time, values)
}

/// The time of a result row, or the verdict on a line that has none.
fn ours(tree: &serde_json::Value, line: &str) -> Result<Timestamp, Verdict> {
    let is_sole = tree.as_object().is_some_and(|members| members.len() == 1);
    let time =
        |member: &str| tree[member].as_str().and_then(|text| TimeFormat::Rfc3339.read_text(text.as_bytes()).ok());
    let begins_with = |key: &str| line[1..].trim_start_matches([' ', '\t', '\r']).starts_with(&format!("\"{key}\""));
    if (is_sole && begins_with("watermark") && time("watermark").is_some())
        || (is_sole && begins_with("stats") && (tree["stats"].is_object() || tree["stats"].is_array()))
        || (is_sole && begins_with("late_for") && (tree["late_for"].is_object() || tree["late_for"].is_array()))
        || (begins_with("partial") && tree.get("partial").is_some())
    {
        return Err(Verdict::InBand);
    }
    let start_is_good =
        tree["window_start"].is_string() || tree.get("window_start").is_some_and(|start| start.is_null());
    if !tree["metric"].is_string() || !start_is_good || !tree["window_end"].is_string() || !tree["revision"].is_number()
    {
        return Err(Verdict::Reject);
    }
    if tree["final"] == false || tree["retracted"] == true || tree["revision"].as_f64() != Some(0.0) {
        return Err(Verdict::InBand);
    }
    time("window_end").map(|end| Timestamp(end.0 - 1)).ok_or(Verdict::Reject)
}

fn look_up(tree: &serde_json::Value, path: &Path) -> Value {
    let mut at = tree;
    for segment in &path.0 {
        let next = match segment {
            Segment::Key(key) => at.as_object().and_then(|members| members.get(&**key)),
            Segment::Index(index) => at.as_array().and_then(|elements| elements.get(*index as usize)),
        };
        let Some(next) = next else { return Value::Null };
        at = next;
    }
    match at {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => Value::Bool(*bool),
        serde_json::Value::String(text) => Value::Text(text.as_str().into()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), _, _) => Value::Int(int as i128),
            (_, Some(uint), _) => Value::Int(uint as i128),
            (_, _, double) => Value::Float(double.expect("a number without arbitrary precision is one of the three")),
        },
        nested => Value::Json(nested.to_string().into()),
    }
}

/// The same text with every escape that is half a surrogate pair as U+FFFD's, since serde_json refuses the former.
fn without_half_surrogates(text: &str) -> String {
    let unit = |at: usize| text.get(at + 2..at + 6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        let is_unit = |at: usize| text[at..].starts_with("\\u");
        match unit(at).filter(|_| is_unit(at)) {
            None => at += 2,
            Some(0xd800..=0xdbff) => {
                let is_pair =
                    text.is_char_boundary(at + 6) && is_unit(at + 6) && matches!(unit(at + 6), Some(0xdc00..=0xdfff));
                if !is_pair {
                    bytes[at + 2..at + 6].copy_from_slice(b"fffd");
                }
                at += if is_pair { 12 } else { 6 };
            }
            Some(0xdc00..=0xdfff) => {
                bytes[at + 2..at + 6].copy_from_slice(b"fffd");
                at += 6;
            }
            Some(_) => at += 6,
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What the decoder made of each line.
fn verdicts(batch: &EventBatch) -> Vec<Verdict> {
    let mut by_line = BTreeMap::new();
    for row in 0..batch.rows() {
        let values = batch.columns.iter().map(|column| column.value(row, &batch.text)).collect();
        by_line.insert(batch.spans[row].line, Verdict::Row(batch.times[row], values));
    }
    for reject in &batch.rejects {
        assert!(reject.byte <= reject.span.len, "{reject:?}");
        by_line.insert(reject.span.line, Verdict::Reject);
    }
    // Marks tell the rows before them only: they and blank lines are told apart by the counts.
    assert_eq!(batch.lines as usize, by_line.len() + batch.in_band.len() + batch.blank as usize);
    for (_, mark) in &batch.in_band {
        if let InBand::Partial(span) | InBand::Refused(span) = mark {
            assert!(by_line.insert(span.line, Verdict::InBand).is_none());
        }
    }
    (0..batch.lines)
        .map(|line| {
            by_line.remove(&line).unwrap_or(if batch.in_band.is_empty() { Verdict::Blank } else { Verdict::InBand })
        })
        .collect()
}

fn agree(found: &Verdict, expected: &Verdict, line: &[u8]) -> bool {
    match (found, expected) {
        (Verdict::Row(time, values), Verdict::Row(expected_time, expected)) => {
            // A time that is no integer went through a double in the tree.
            let is_near = matches!(expected[0], Value::Float(_)) && (time.0 - expected_time.0).abs() < 1000;
            (time == expected_time || is_near) && values.iter().zip(expected).all(|(a, b)| same(a, b))
        }
        (Verdict::Row(..) | Verdict::Reject | Verdict::InBand, Verdict::NoTree) => true,
        // Blank lines and small marks are told apart by their counts only.
        (Verdict::InBand, Verdict::Blank) => true,
        // A mark must be spelt as we spell it.
        (Verdict::Reject, Verdict::InBand) => line.contains(&b'\\'),
        (found, expected) => found == expected,
    }
}

fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        // serde_json reads `-0` as a double.
        (Value::Int(0), Value::Float(b)) => *b == 0.0,
        (Value::Json(a), Value::Json(b)) => {
            let tree = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            tree(&without_half_surrogates(a)) == tree(b)
        }
        (found, expected) => found == expected,
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

const AWKWARD: [&str; 10] = [
    r#"{"event_id":"evt_1","event_type":"purchase_completed","timestamp":"2026-02-16T10:30:00.000Z","user_id":"user_123","properties":{"product_id":"prod_456","amount":99.99,"currency":"USD","country":"US"},"metadata":{"ip_address":"1.2.3.4","platform":"web"},"count":12}"#,
    r#"{"timestamp":1700000000.25,"event_type":"page_view","properties":{"amount":-17,"amount":null,"tags":["a","b",[]]},"items":[{"id":1},{"id":"two"},{"id":3}]}"#,
    r#" { "count" : 18446744073709551615 , "timestamp" : "2026-02-16T10:30:00+01:00" , "properties" : { "amount" : 1.5e3 , "deep" : {"a":{"b":[1,2,{"c":null}]}} } } "#,
    "{\"event_type\":\"caf\\u00e9 \\\"x\\\" \\ud83d\\ude00 \\n\",\"timestamp\":1700000000000,\"properties\":{\"amount\":\"12\",\"ünï\":\"wörld – 日本\"},\"items\":[]}\r",
    r#"{"timestamp":"2026-02-16T10:30:00Z","properties":{"amount":1},"properties":{"note":"amount"},"items":[[{"id":4}],{"id":{"x":true}}],"event_type":false}"#,
    r#"{"metric":"events","window_start":"2026-02-16T10:30:00.000Z","window_end":"2026-02-16T10:31:00.000Z","count":7,"revision":0,"final":true}"#,
    r#"{"watermark":"2026-02-16T10:30:00.000Z"}"#,
    r#"{"stats":{"in":17,"late":0}}"#,
    r#"{"event_type":"a string that is longer than thirty-two bytes, so that it is scanned in pieces","timestamp":"2026-02-16 10:30:00.123456Z","count":0.1234567890123456789}"#,
    "  \t\r",
];

const PIECES: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "\t",
    "\r",
    "0",
    "-",
    "1.",
    "e5",
    "E-3",
    "-0",
    "-0.0",
    "1e400",
    "1e-400",
    "12345678901234567890",
    "9223372036854775808",
    "null",
    "true",
    "false",
    "nul",
    "[]",
    "{}",
    "\"\"",
    "[[[[",
    "]]]]",
    "\\u0061",
    "\\ud83d",
    "\\ude00",
    "\\u12",
    "\\n",
    "\\x",
    "\u{feff}",
    "\0",
    "é",
    "\"amount\":2",
    "\"properties\":{\"amount\":3},",
    "\"timestamp\"",
    "\"count\":1,",
];

/// Events of all profiles.
fn generated(seed: u64) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for profile in [Profile::Ecommerce, Profile::Web, Profile::Iot] {
        let settings = Settings {
            profile,
            seed,
            start: Timestamp(1_771_000_000_000_000),
            events_max: Some(EVENTS_A_PROFILE),
            duration: None,
            rate: None,
            users: 50,
            products: 50,
            devices: 50,
            disturbances: Disturbances::NONE,
            now: Timestamp(1_771_000_000_000_000),
        };
        let (mut events, mut text) = (Vec::new(), Vec::new());
        Generator::new(&settings).fill(Timestamp::MAX, EVENTS_A_PROFILE as usize, &mut events);
        Encoder::new(profile, seed, Format::Ndjson).encode(&events, &mut text);
        lines.extend(text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
    }
    lines
}

fn mutate(random: &mut Random, generated: &[Vec<u8>]) -> Vec<u8> {
    let mut line = match random.below(2) {
        0 => generated[random.below(generated.len())].clone(),
        _ => random.pick(&AWKWARD).as_bytes().to_vec(),
    };
    for _ in 0..random.below(3) {
        let at = random.below(line.len() + 1);
        let end = (at + random.below(12)).min(line.len());
        match random.below(8) {
            0 if at < line.len() => line[at] = random.below(256) as u8,
            1 if at < line.len() => line[at] ^= 1 << random.below(8),
            2 => drop(line.drain(at..end)),
            3 => drop(line.splice(at..at, random.pick(&PIECES).bytes())),
            4 => drop(line.splice(at..end, random.pick(&PIECES).bytes())),
            5 => {
                let copied = line[at..end].to_vec();
                let to = random.below(line.len() + 1);
                drop(line.splice(to..to, copied));
            }
            6 => repeat_member(&mut line, random),
            _ => escape_letter(&mut line, at),
        }
    }
    line.retain(|&byte| byte != b'\n');
    line
}

/// Copies what stands between two commas or brackets to behind another comma.
fn repeat_member(line: &mut Vec<u8>, random: &mut Random) {
    let commas: Vec<usize> = (0..line.len()).filter(|&i| matches!(line[i], b',' | b'{')).collect();
    if commas.len() < 2 {
        return;
    }
    let from = random.below(commas.len() - 1);
    let mut member = line[commas[from] + 1..commas[from + 1]].to_vec();
    member.push(b',');
    let to = commas[random.below(commas.len())] + 1;
    drop(line.splice(to..to, member));
}

/// Writes a letter as its escape, which changes nothing within a string.
fn escape_letter(line: &mut Vec<u8>, at: usize) {
    if let Some(letter) = line.get(at).copied().filter(u8::is_ascii_alphanumeric) {
        drop(line.splice(at..=at, format!("\\u{letter:04x}").bytes()));
    }
}

#[track_caller]
fn check(seed: u64) {
    let mut random = Random(seed);
    let generated = generated(seed);
    let instructions = [Instructions::BASELINE, Instructions::best()][random.below(2)];
    let paths = paths(random.below(2) == 0);
    let time = TimeFrom::Field { path: Path::of_keys(&["timestamp"]), format: TimeFormat::Auto };
    let wanted = Wanted { paths: paths.clone(), time };
    let mut decoder = Decoder::with(&wanted, 1 << 20, instructions);
    let what = format!("seed {seed} ({instructions:?}, {} paths)", paths.len());
    let mut seen = BTreeMap::new();
    for _ in 0..LINES_A_SEED / LINES_A_BLOCK {
        let lines: Vec<Vec<u8>> = (0..LINES_A_BLOCK).map(|_| mutate(&mut random, &generated)).collect();
        let (partition, arrival) = (PartitionId(0), Timestamp(0));
        let joined = lines.iter().flat_map(|line| [line.as_slice(), b"\n"]).flatten().copied().collect();
        // Not at the input's start, where a byte order mark is good.
        let batch = decoder.decode(Block { partition, offset: 7, from: 0, arrival, stamps: None, bytes: joined });
        let found = verdicts(&batch);
        let expected: Vec<Verdict> = lines.iter().map(|line| oracle(line, &paths)).collect();
        assert_eq!(found.len(), lines.len(), "{what}");
        for ((line, found), expected) in lines.iter().zip(&found).zip(&expected) {
            let shown = line.escape_ascii();
            assert!(agree(found, expected, line), "{what}: {shown}\nfound {found:?}\nexpected {expected:?}");
            *seen.entry(format!("{expected:?}").split('(').next().unwrap().to_owned()).or_insert(0) += 1;
        }
        let blank = expected.iter().filter(|expected| **expected == Verdict::Blank).count();
        assert_eq!(batch.blank as usize, blank, "{what}");
        check_every_text(&batch);
    }
    for verdict in ["Row", "Reject", "InBand", "Blank"] {
        assert!(seen.get(verdict).is_some_and(|&count| count > LINES_A_SEED / 100), "{what}: {seen:?}");
    }
}

/// Each text is UTF-8: asking for it panics otherwise.
fn check_every_text(batch: &EventBatch) {
    for column in &batch.columns {
        for (tag, bits) in column.tags.iter().zip(&column.bits) {
            if matches!(tag, Tag::Text | Tag::Json) {
                slot_str(&batch.text, *bits);
            }
        }
    }
}

#[test]
fn agrees_with_serde_json() {
    let lines = std::env::var("EVKIT_ORACLE_LINES").map_or(LINES, |lines| lines.parse().expect("a number of lines"));
    let seeds = lines.div_ceil(LINES_A_SEED) as u64;
    (1..=seeds).into_par_iter().for_each(check);
}
