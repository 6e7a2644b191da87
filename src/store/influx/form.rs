//! How metrics stand in InfluxDB beside the points that everybody reads: entries of the local store as texts, by series.
//!
//! * `evkit.points.METRIC` in the bucket: a point at a window's start, tagged with its `series`; the field `l` and the window's
//!   length in microseconds holds the window's entry, so windows that share a start live side by side. Sessions are of any length,
//!   and of one series no two share their start: they have the field `session`. An entry that was taken back is the empty text.
//! * `evkit.rollups.METRIC` in the bucket of roll-ups: a point at the start of each hour, tagged likewise, whose field `hour` holds the
//!   roll-up of that hour; where there are none by hour, a point at the start of each UTC day, whose field `day` holds the day's.
//!   One field and many times, since a server answers that several times faster than the same texts in many fields. A roll-up of
//!   which no point is left is the empty text.
//! * `evkit.catalogue` there: the catalogue of each metric as JSON, tagged with the metric's name; beside it, as `query`,
//!   the flags of the query that made it.
//! * `evkit.backfill` there: how far a backfill of a metric has come that is not complete, as JSON, tagged likewise.
//!
//! Texts are base64 of a chunk of `crate::store::entry`: nothing of a value's type, of a partial or of a revision is lost.
//! Knows nothing of servers.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::codec::encode::line_protocol::{Field, encode_point, push_measurement};
use crate::store::catalogue::{Catalogue, DAY, Grain, Grid, WindowKind};
use crate::store::entry::{self, Entry};
use crate::store::error::{Fault, Inner};
use crate::time::Window;
use crate::window::key::read_key;

/// What the name of the bucket of roll-ups has behind that of the points.
pub const ROLL_UPS: &str = "_rollups";
/// The field of the entries of sessions, whatever their length.
pub const SESSION_FIELD: &str = "session";
/// The tag that names a series.
pub const SERIES: &str = "series";
/// The field of an hour's roll-up.
pub const HOUR_FIELD: &str = "hour";
/// The field of a day's roll-up, where there are none by hour.
pub const DAY_FIELD: &str = "day";
/// The measurement, the tag and the field of catalogues.
pub const CATALOGUE: &str = "evkit.catalogue";
/// The measurement and the field of how far a backfill has come; its tag is that of catalogues.
pub const BACKFILL: &str = "evkit.backfill";
/// The field.
pub const BACKFILL_FIELD: &str = "progress";
/// The tag of a catalogue that names its metric.
pub const METRIC: &str = "metric";
/// The field of a catalogue.
pub const CATALOGUE_FIELD: &str = "catalogue";

/// The tag of the one series of a metric without group columns: a tag can't be empty, and no key is written like that.
const NO_GROUPS: &str = "-";

/// Which end of its window a point stands at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointTime {
    /// Its start.
    #[default]
    Start,
    /// Its end.
    End,
}

impl PointTime {
    /// The time of the point of a window, in microseconds.
    pub fn of(self, window: Window) -> i64 {
        match self {
            PointTime::Start => window.start.0,
            PointTime::End => window.end.0,
        }
    }

    /// As `--point-time` says it.
    pub fn name(self) -> &'static str {
        match self {
            PointTime::Start => "start",
            PointTime::End => "end",
        }
    }
}

/// The bucket of the roll-ups that belong to the points of `bucket`.
pub fn roll_ups_of(bucket: &str) -> String {
    format!("{bucket}{ROLL_UPS}")
}

/// The measurement of a metric's entries.
pub fn points_measurement(metric: &str) -> String {
    format!("evkit.points.{metric}")
}

/// The measurement of a metric's roll-ups.
pub fn roll_ups_measurement(metric: &str) -> String {
    format!("evkit.rollups.{metric}")
}

/// A series' key (`crate::window::key`) as the tag that names it.
pub fn series_tag(key: &[u8]) -> String {
    if key.is_empty() { NO_GROUPS.to_owned() } else { URL_SAFE_NO_PAD.encode(key) }
}

/// The key that a tag names.
pub(crate) fn key_of_tag(tag: &str) -> Inner<Vec<u8>> {
    let key = if tag == NO_GROUPS { Ok(Vec::new()) } else { URL_SAFE_NO_PAD.decode(tag) };
    let key = key.ok().filter(|key| read_key(key).is_some());
    key.ok_or_else(|| Fault::Damaged(format!("the series '{tag}' has no key")))
}

/// The field of an entry whose window is this long.
pub fn length_field(length: i64) -> String {
    format!("l{length}")
}

/// Microseconds since the epoch as InfluxDB's nanoseconds; `None` outside of the years 1677 to 2262.
pub fn nanoseconds(time: i64) -> Option<i64> {
    time.checked_mul(1000)
}

/// Writes the entries of one metric as lines, all but what changes from point to point prepared.
#[derive(Debug)]
pub(crate) struct EntryLines {
    grid: Grid,
    /// Whether the windows are sessions.
    are_sessions: bool,
    /// `measurement,series=`.
    head: Vec<u8>,
    chunk: Vec<u8>,
}

impl EntryLines {
    /// For the entries of this metric.
    pub fn of(catalogue: &Catalogue) -> EntryLines {
        let mut head = Vec::new();
        push_measurement(&points_measurement(&catalogue.name), &mut head);
        head.extend_from_slice(b",series=");
        let are_sessions = matches!(catalogue.window, WindowKind::Session { .. });
        EntryLines { grid: catalogue.grid(Grain::Points), are_sessions, head, chunk: Vec::new() }
    }

    /// Whether the entries of two windows of one series, by start and length, are the same field of the same point.
    pub fn share_place(&self, one: (i64, i64), other: (i64, i64)) -> bool {
        one.0 == other.0 && (self.are_sessions || one.1 == other.1)
    }

    /// Appends the line of the entry at `key`'s start and length: `None` takes back what was there. False, and nothing is
    /// appended, where its time is none of InfluxDB's.
    pub fn push(&mut self, tag: &str, key: (i64, i64), entry: Option<&Entry<'_>>, out: &mut Vec<u8>) -> bool {
        let Some(time) = nanoseconds(key.0) else { return false };
        out.extend_from_slice(&self.head);
        out.extend_from_slice(tag.as_bytes());
        out.push(b' ');
        if self.are_sessions {
            out.extend_from_slice(SESSION_FIELD.as_bytes());
        } else {
            out.push(b'l');
            out.extend_from_slice(itoa::Buffer::new().format(key.1).as_bytes());
        }
        out.extend_from_slice(b"=\"");
        if let Some(entry) = entry {
            entry::begin(&mut self.chunk);
            entry::push(&self.grid, key.0, entry, &mut self.chunk);
            push_base64(&self.chunk, out);
        }
        out.extend_from_slice(b"\" ");
        out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
        out.push(b'\n');
        true
    }
}

/// Appends the line of the roll-up of a series, of this grain and start: `None` takes back what was there. False, and nothing is
/// appended, where its time is none of InfluxDB's.
pub(crate) fn push_roll_up(
    catalogue: &Catalogue,
    tag: &str,
    (grain, start): (Grain, i64),
    roll_up: Option<&Entry<'_>>,
    out: &mut Vec<u8>,
) -> bool {
    let Some(time) = nanoseconds(start) else { return false };
    let field = if grain == Grain::Hour { HOUR_FIELD } else { DAY_FIELD };
    let (mut chunk, mut text) = (Vec::new(), Vec::new());
    if let Some(roll_up) = roll_up {
        entry::begin(&mut chunk);
        entry::push(&catalogue.grid(grain), start, roll_up, &mut chunk);
        push_base64(&chunk, &mut text);
    }
    let text = String::from_utf8(text).expect("base64 is ASCII");
    encode_point(&roll_ups_measurement(&catalogue.name), &[(SERIES, tag)], &[(field, Field::Text(&text))], time, out);
    true
}

/// What is kept of a metric for whoever writes it next: a reader needs the catalogue only.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What the metric is.
    #[serde(flatten)]
    pub catalogue: Catalogue,
    /// Which end of its window a point stands at.
    #[serde(default)]
    pub point_time: PointTime,
    /// The flags of the query that made it; empty where they were not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<(String, String)>,
}

/// Appends the line of a metric's catalogue, as it stands on the day of `now`.
pub(crate) fn push_catalogue(kept: &Kept, now: i64, out: &mut Vec<u8>) {
    let day = now - now.rem_euclid(DAY);
    let text = serde_json::to_string(kept).expect("a catalogue is plain data");
    let time = nanoseconds(day).expect("the clock stands between the years 1677 and 2262");
    encode_point(CATALOGUE, &[(METRIC, &kept.catalogue.name)], &[(CATALOGUE_FIELD, Field::Text(&text))], time, out);
}

/// What `push_catalogue` wrote.
pub(crate) fn read_catalogue(text: &str) -> Inner<Kept> {
    serde_json::from_str(text).map_err(|error| Fault::Damaged(format!("a catalogue cannot be read: {error}")))
}

/// The bytes of a field's text, in place of what `out` held; false of the empty text, which has none.
pub(crate) fn decode(text: &str, out: &mut Vec<u8>) -> Inner<bool> {
    out.clear();
    let decoded = STANDARD_NO_PAD.decode_vec(text, out);
    decoded.map_err(|error| Fault::Damaged(format!("an entry cannot be read: {error}")))?;
    Ok(!out.is_empty())
}

/// The one entry of the bytes of a field of a point at `time`, which is in microseconds.
pub(crate) fn read_entry<'a>(catalogue: &Catalogue, grain: Grain, time: i64, bytes: &'a [u8]) -> Inner<Entry<'a>> {
    entry::only_entry(&catalogue.grid(grain), time, bytes)
}

/// The grain of the roll-up that a field holds; `None` if it is no such field.
pub(crate) fn grain_of_field(field: &str) -> Option<Grain> {
    match field {
        HOUR_FIELD => Some(Grain::Hour),
        DAY_FIELD => Some(Grain::Day),
        _ => None,
    }
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + base64::encoded_len(bytes.len(), false).expect("a chunk is far shorter than memory"), 0);
    let written = STANDARD_NO_PAD.encode_slice(bytes, &mut out[from..]).expect("there is room for it");
    out.truncate(from + written);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::catalogue::HOUR;
    use crate::time::Duration;
    use crate::value::Value;
    use crate::window::key;

    fn catalogue(name: &str) -> Catalogue {
        Catalogue {
            name: name.into(),
            groups: vec!["g".into()],
            fields: Vec::new(),
            window: WindowKind::Tumbling { length: Duration(60_000_000) },
            offset: Duration(0),
            zone: None,
            ranked: false,
            having: None,
            all_states: false,
        }
    }

    fn entry(start: i64, length: i64, payload: &[u8]) -> Entry<'_> {
        Entry { start, length, revision: 0, rank: None, is_final: true, has_state: true, payload }
    }

    fn lines(push: impl FnOnce(&mut Vec<u8>) -> bool) -> String {
        let mut out = Vec::new();
        assert!(push(&mut out));
        String::from_utf8(out).unwrap()
    }

    /// Field and text of a line of one field.
    #[track_caller]
    fn field(line: &str) -> (&str, &str) {
        let (name, rest) = line.split(' ').nth(1).unwrap().split_once("=\"").unwrap();
        (name, rest.strip_suffix('"').unwrap())
    }

    #[test]
    fn keys_read_back_from_tags() {
        let keys: [&[Value]; 4] = [
            &[],
            &[Value::Null],
            &[Value::Int(1), Value::Text("1".into()), Value::Float(0.5)],
            &[Value::Text("é, =\"\\\n".into()), Value::Bool(true), Value::Text("".into())],
        ];
        for values in keys {
            let key = key::key_of(values);
            let tag = series_tag(&key);
            assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{tag}");
            assert_eq!(key_of_tag(&tag).unwrap(), key);
        }
        for wrong in ["", "*", "_w", "AAA=", "--"] {
            assert_eq!(key_of_tag(wrong).is_err(), !wrong.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn entries_read_back_from_lines() {
        let catalogue = catalogue("a b,c");
        let mut lines_of = EntryLines::of(&catalogue);
        let start = 1_771_236_000_000_000;
        let plain = entry(start, 60_000_000, b"state");
        let other = Entry { revision: 7, rank: Some(3), has_state: false, ..entry(start + 1, 5, b"\0\xff") };
        for given in [plain, other, entry(-1, i64::MAX / 2, b"")] {
            let line = lines(|out| lines_of.push("AQ", given.key(), Some(&given), out));
            let (name, text) = field(line.strip_prefix(r"evkit.points.a\ b\,c").unwrap());
            assert_eq!(name, length_field(given.length));
            assert!(line.ends_with(&format!(" {}\n", given.start * 1000)), "{line}");
            let mut bytes = Vec::new();
            assert!(decode(text, &mut bytes).unwrap());
            assert_eq!(read_entry(&catalogue, Grain::Points, given.start, &bytes).unwrap(), given);
        }
    }

    #[test]
    fn sessions_of_any_length_have_one_field() {
        let sessions = Catalogue { window: WindowKind::Session { gap: Duration(5) }, ..catalogue("m") };
        let mut lines_of = EntryLines::of(&sessions);
        for length in [5, 7, 3_600_000_000] {
            let given = entry(60, length, b"x");
            let line = lines(|out| lines_of.push("AQ", given.key(), Some(&given), out));
            let (name, text) = field(&line);
            assert_eq!(name, SESSION_FIELD);
            let mut bytes = Vec::new();
            assert!(decode(text, &mut bytes).unwrap());
            assert_eq!(read_entry(&sessions, Grain::Points, 60, &bytes).unwrap(), given);
        }
        assert!(lines_of.share_place((60, 5), (60, 7)) && !lines_of.share_place((60, 5), (61, 5)));
        assert!(!EntryLines::of(&catalogue("m")).share_place((60, 5), (60, 7)));
    }

    #[test]
    fn what_was_taken_back_is_empty() {
        let line = lines(|out| EntryLines::of(&catalogue("m")).push("AQ", (60, 7), None, out));
        assert_eq!(line, "evkit.points.m,series=AQ l7=\"\" 60000\n");
        assert!(!decode("", &mut vec![1]).unwrap());
        let mut out = Vec::new();
        assert!(!EntryLines::of(&catalogue("m")).push("AQ", (i64::MIN, 0), None, &mut out) && out.is_empty());
    }

    #[test]
    fn roll_ups_read_back_from_lines() {
        let catalogue = catalogue("m");
        let day = 20_000 * DAY;
        for (grain, given, expected) in [
            (Grain::Hour, entry(day, HOUR, b"a"), "hour"),
            (Grain::Hour, entry(day + 23 * HOUR, HOUR, b"bc"), "hour"),
            (Grain::Day, entry(day, DAY, b"abc"), "day"),
        ] {
            let line = lines(|out| push_roll_up(&catalogue, "AQ", (grain, given.start), Some(&given), out));
            assert!(
                line.starts_with("evkit.rollups.m,series=AQ ") && line.ends_with(&format!(" {}\n", given.start * 1000)),
                "{line}"
            );
            let (name, text) = field(&line);
            assert_eq!((name, grain_of_field(name)), (expected, Some(grain)));
            let mut bytes = Vec::new();
            assert!(decode(text, &mut bytes).unwrap());
            assert_eq!(read_entry(&catalogue, grain, given.start, &bytes).unwrap(), given);
        }
        for other in ["l60000000", "h00", "hours", ""] {
            assert_eq!(grain_of_field(other), None, "{other}");
        }
        let line = lines(|out| push_roll_up(&catalogue, "AQ", (Grain::Hour, day), None, out));
        assert_eq!(line, format!("evkit.rollups.m,series=AQ hour=\"\" {}\n", day * 1000), "taken back");
        assert!(!push_roll_up(&catalogue, "AQ", (Grain::Day, i64::MIN / 100), None, &mut Vec::new()));
    }

    #[test]
    fn catalogues_read_back() {
        let catalogue =
            Catalogue { zone: Some("Europe/Berlin".into()), having: Some("x = 'a\"b\\'".into()), ..catalogue("m n") };
        let query = vec![("--where".to_owned(), "a = 'b'".to_owned())];
        let given = Kept { catalogue, point_time: PointTime::End, query };
        let mut out = Vec::new();
        push_catalogue(&given, DAY + 5, &mut out);
        let line = String::from_utf8(out).unwrap();
        let text = line.strip_prefix("evkit.catalogue,metric=m\\ n catalogue=\"").unwrap();
        let text = text.strip_suffix(&format!("\" {}\n", DAY * 1000)).unwrap();
        let text = text.replace("\\\"", "\"").replace("\\\\", "\\");
        assert_eq!(read_catalogue(&text).unwrap(), given);
        let before = read_catalogue(&serde_json::to_string(&given.catalogue).unwrap()).unwrap();
        assert_eq!(before, Kept { point_time: PointTime::Start, query: Vec::new(), ..given });
        assert!(read_catalogue("{}").is_err());
    }

    #[test]
    fn damaged_texts_are_told() {
        let mut bytes = Vec::new();
        for wrong in ["A", "A*", "AQ=="] {
            assert!(decode(wrong, &mut bytes).is_err(), "{wrong}");
        }
        let catalogue = catalogue("m");
        for wrong in [&b""[..], &[1], &[9, 9]] {
            assert!(read_entry(&catalogue, Grain::Points, 0, wrong).is_err(), "{wrong:?}");
        }
    }
}
