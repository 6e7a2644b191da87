//! Broken lines: each is surely no valid event, in one of the ways that lines break in real life.
//!
//! Knows the encodings only so far as it must to break them. A broken line has no line feed but its own.

use crate::generate::encode::Format;

/// How a line is broken. In CSV, which cannot be broken in as many ways, some of them look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The line ends too early.
    Truncated,
    /// There is an escape that JSON does not have.
    BadEscape,
    /// A text is not UTF-8.
    BadUtf8,
    /// Something follows the event.
    TrailingGarbage,
    /// There is no timestamp.
    MissingTimestamp,
    /// The timestamp is none.
    WrongTimestamp,
    /// There is a bare control character within a text.
    ControlCharacter,
    /// A text's opening quote is missing.
    MissingQuote,
}

impl Flaw {
    /// All flaws.
    pub const ALL: [Flaw; 8] = [
        Flaw::Truncated,
        Flaw::BadEscape,
        Flaw::BadUtf8,
        Flaw::TrailingGarbage,
        Flaw::MissingTimestamp,
        Flaw::WrongTimestamp,
        Flaw::ControlCharacter,
        Flaw::MissingQuote,
    ];
}

/// Breaks the last line of `out`, which begins at `start` and ends with a line feed. `variation` says where and how.
pub fn break_line(flaw: Flaw, variation: u32, format: Format, start: usize, out: &mut Vec<u8>) {
    let mut line = out.split_off(start);
    assert_eq!(line.pop(), Some(b'\n'), "a line to be broken ends with a line feed");
    match format {
        Format::Ndjson => break_json(flaw, variation as usize, &mut line),
        Format::Csv => break_csv(flaw, variation as usize, &mut line),
    }
    out.extend_from_slice(&line);
    out.push(b'\n');
}

fn break_json(flaw: Flaw, variation: usize, line: &mut Vec<u8>) {
    const TIMESTAMP: &[u8] = br#""timestamp":"#;
    // Quote, 24 characters, quote.
    const TIMESTAMP_LENGTH: usize = 26;
    let find = |line: &[u8], text| memchr::memmem::find(line, text).expect("every line has every field");
    let user = find(line, br#""user_id":""#) + br#""user_id":""#.len();
    let time = find(line, TIMESTAMP);
    match flaw {
        Flaw::Truncated => line.truncate(1 + variation % (line.len() - 1)),
        Flaw::BadEscape => splice(line, user, user, [&br"\q"[..], br"\x41", br"\u12g4"][variation % 3]),
        Flaw::BadUtf8 => {
            splice(line, user, user, [&b"\xff"[..], b"\xc3(", b"\xed\xa0\x80", b"\xc0\xaf"][variation % 4])
        }
        Flaw::TrailingGarbage => line.extend_from_slice([&b"}"[..], b",", b" {}", b" EOF", b"\x00"][variation % 5]),
        Flaw::MissingTimestamp => splice(line, time, time + TIMESTAMP.len() + TIMESTAMP_LENGTH + 1, b""),
        Flaw::WrongTimestamp => {
            let wrong = [
                &br#""2026-13-45T25:61:00.000Z""#[..],
                br#""2026-02-30T10:30:00.000Z""#,
                br#""yesterday""#,
                br#""""#,
                b"null",
                b"true",
            ];
            let value = time + TIMESTAMP.len();
            splice(line, value, value + TIMESTAMP_LENGTH, wrong[variation % wrong.len()]);
        }
        Flaw::ControlCharacter => splice(line, user, user, [b"\t", b"\x00", b"\x1b"][variation % 3]),
        Flaw::MissingQuote => splice(line, user - 1, user, b""),
    }
}

fn break_csv(flaw: Flaw, variation: usize, line: &mut Vec<u8>) {
    // The first three columns are the id, the type and the timestamp.
    let commas: Vec<usize> = memchr::memchr_iter(b',', line).take(3).collect();
    let &[_, before, after] = &commas[..] else { unreachable!("a row has more than three columns") };
    match flaw {
        Flaw::Truncated | Flaw::MissingQuote => line.truncate(1 + variation % before),
        Flaw::BadUtf8 | Flaw::BadEscape => splice(line, 2, 2, [&b"\xff"[..], b"\xc3(", b"\xed\xa0\x80"][variation % 3]),
        Flaw::MissingTimestamp | Flaw::TrailingGarbage => splice(line, before + 1, after, b""),
        Flaw::WrongTimestamp | Flaw::ControlCharacter => {
            let wrong = [&b"2026-13-45T25:61:00.000Z"[..], b"2026-02-30T10:30:00.000Z", b"yesterday", b"null"];
            splice(line, before + 1, after, wrong[variation % wrong.len()]);
        }
    }
}

fn splice(line: &mut Vec<u8>, from: usize, to: usize, text: &[u8]) {
    line.splice(from..to, text.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"event_id":"evt_00","event_type":"click","timestamp":"2026-02-16T10:30:00.000Z","#,
        r#""user_id":"user_1","session_id":"sess_1","properties":{"depth":50},"metadata":{}}"#,
        "\n"
    );

    /// Whether a strict reader takes the line: JSON, UTF-8, with a time.
    fn is_usable(line: &[u8]) -> bool {
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
        let time = event.get("timestamp").and_then(|time| time.as_str());
        time.is_some_and(|time| chrono::DateTime::parse_from_rfc3339(time).is_ok())
    }

    #[test]
    fn every_broken_line_is_unusable_and_one_line() {
        assert!(is_usable(LINE.as_bytes()));
        for flaw in Flaw::ALL {
            for variation in 0..1000 {
                let mut out = [b"before\n", LINE.as_bytes()].concat();
                break_line(flaw, variation, Format::Ndjson, 7, &mut out);
                let line = out.strip_prefix(b"before\n").expect("what came before stays");
                let text = String::from_utf8_lossy(line);
                assert!(!is_usable(line), "{flaw:?} {variation}: {text}");
                assert_eq!(memchr::memchr(b'\n', line), Some(line.len() - 1), "{flaw:?} {variation}: {text}");
                assert!(line.len() > 1, "{flaw:?} {variation} is empty");
            }
        }
    }

    #[test]
    fn every_broken_row_is_unusable_and_one_line() {
        let row = b"evt_00,click,2026-02-16T10:30:00.000Z,user_1,sess_1,50\n";
        for flaw in Flaw::ALL {
            for variation in 0..100 {
                let mut out = row.to_vec();
                break_line(flaw, variation, Format::Csv, 0, &mut out);
                let time = std::str::from_utf8(&out).ok().and_then(|text| text.split(',').nth(2));
                let usable = time.is_some_and(|time| chrono::DateTime::parse_from_rfc3339(time).is_ok());
                assert!(!usable, "{flaw:?} {variation}: {}", String::from_utf8_lossy(&out));
                assert_eq!(memchr::memchr(b'\n', &out), Some(out.len() - 1), "{flaw:?} {variation}");
                assert!(out.len() > 1, "{flaw:?} {variation} is empty");
            }
        }
    }
}
