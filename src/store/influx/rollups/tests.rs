//! Roll-ups are those of all points, however little of these memory holds: random rows, against a server that is a table.

use super::*;
use crate::store::influx::deliver::halves;
use crate::store::influx::form::EntryLines;
use crate::store::influx::testing::points::{Event, MINUTE, catalogue, query, row};
use crate::store::influx::testing::random::Random;

/// What a server holds: the text of each field, by measurement, tag, time in microseconds and field.
type Table = BTreeMap<(String, String, i64, String), String>;

/// Writes lines of one text field each; others, which are for everybody, have no quotes, and are kept as they are.
fn write(table: &mut Table, lines: &[u8]) {
    for line in std::str::from_utf8(lines).unwrap().lines() {
        let (series, rest) = line.split_once(' ').unwrap();
        let (fields, time) = rest.rsplit_once(' ').unwrap();
        let (measurement, tag) = series.split_once(',').unwrap();
        let tag = tag.strip_prefix("series=").unwrap_or(tag);
        let (field, text) = match fields.split_once("=\"") {
            Some((field, text)) => (field, text.strip_suffix('"').unwrap()),
            None => ("", fields),
        };
        let time = time.parse::<i64>().unwrap() / 1000;
        table.insert((measurement.into(), tag.into(), time, field.into()), text.into());
    }
}

/// A writer of roll-ups with so much memory, and its server.
struct Writer {
    catalogue: Catalogue,
    roll_ups: RollUps,
    table: Table,
    /// How often a portion was too large, and how many rows were read back.
    halved: usize,
    read: usize,
}

impl Writer {
    fn new(catalogue: &Catalogue, bytes_max: usize) -> Writer {
        let roll_ups = RollUps { bytes_max, ..RollUps::of(catalogue, PointTime::Start).unwrap() };
        Writer { catalogue: catalogue.clone(), roll_ups, table: Table::new(), halved: 0, read: 0 }
    }

    /// What the server answers is taken, as long as there is room or `is_least`. Whether all was taken.
    fn bring_in(&mut self, touches: &[Touch], is_least: bool) -> bool {
        for missing in self.roll_ups.missing(touches) {
            for ((measurement, tag, time, field), text) in &self.table {
                let is_asked = *measurement == missing.measurement
                    && missing.field == *field
                    && (missing.span.0..missing.span.1).contains(time)
                    && missing.tags.contains(tag);
                if is_asked {
                    self.read += 1;
                    if !self.roll_ups.take(&missing, tag, *time, text).unwrap() && !is_least {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Writes rows with their entries, then their roll-ups, as `InfluxWriter` does.
    fn write(&mut self, rows: &[crate::metric::Metric]) {
        let mut touches = Vec::new();
        let mut form = Form::of(&self.catalogue);
        let mut lines = EntryLines::of(&self.catalogue);
        for row in rows {
            let key: Box<[u8]> = crate::window::key::key_of(&row.groups).into();
            let (start, length) = crate::store::entry::key_of(row.window);
            let mut payload = Vec::new();
            let has_state = form.write(row, &mut payload).unwrap();
            let entry = Entry { start, length, revision: 0, rank: None, is_final: true, has_state, payload: &payload };
            let mut out = Vec::new();
            assert!(lines.push(&form::series_tag(&key), (start, length), Some(&entry), &mut out));
            write(&mut self.table, &out);
            let state = form.state(Grain::Points, &entry).unwrap().unwrap();
            touches.push(Touch { key, start, state: Some(state.into()) });
        }
        self.touch(touches);
    }

    /// Takes rows' points back: their roll-ups follow before their entries go, as `InfluxWriter` does it.
    fn take_back(&mut self, rows: &[crate::metric::Metric]) {
        let mut lines = EntryLines::of(&self.catalogue);
        let (mut touches, mut out) = (Vec::new(), Vec::new());
        for row in rows {
            let key: Box<[u8]> = crate::window::key::key_of(&row.groups).into();
            let (start, length) = crate::store::entry::key_of(row.window);
            assert!(lines.push(&form::series_tag(&key), (start, length), None, &mut out));
            touches.push(Touch { key, start, state: None });
        }
        self.touch(touches);
        for Emptied { measurement, key, time } in self.roll_ups.take_emptied() {
            let Value::Text(group) = &groups_of(&key)[0] else { panic!("groups are texts") };
            let place = (measurement, format!("g={group}"), time, String::new());
            assert!(self.table.remove(&place).is_some(), "{place:?} was never written");
        }
        write(&mut self.table, &out);
    }

    /// What the server holds, without what was taken back.
    fn standing(&self) -> Table {
        self.table.clone().into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }

    fn touch(&mut self, mut touches: Vec<Touch>) {
        let firsts = self.roll_ups.order(&mut touches);
        let touch = |span: usize| firsts.get(span).copied().unwrap_or(touches.len());
        let whole = 0..firsts.len();
        let mut left = vec![whole];
        while let Some(spans) = left.pop() {
            let portion = &touches[touch(spans.start)..touch(spans.end)];
            let is_least = spans.len() == 1;
            if self.bring_in(portion, is_least) {
                let mut batch = Batch::default();
                self.roll_ups.apply(portion, &mut batch).unwrap();
                write(&mut self.table, batch.text(0..batch.len()));
                self.check_bytes();
                assert!(self.roll_ups.bytes <= self.roll_ups.bytes_max, "there is too much after a portion");
            } else {
                self.roll_ups.let_go(portion);
                self.check_bytes();
                left.extend(halves(spans));
                self.halved += 1;
            }
        }
    }

    /// What is counted is what there is.
    fn check_bytes(&self) {
        let all = self.roll_ups.points.iter().chain(&self.roll_ups.hours);
        let size = |((key, _), states): (&(Box<[u8]>, i64), &States)| {
            let states = states.by_start.values().map(|state| state.len() + STATE_BYTES);
            states.sum::<usize>() + key.len() + SPAN_BYTES
        };
        assert_eq!(self.roll_ups.bytes, all.map(size).sum::<usize>());
    }
}

fn event(random: &mut Random, time: i64, groups: u64) -> Event {
    let group = Value::Text(format!("g{}", random.below(groups)).into());
    Event { groups: vec![group], time, amount: Value::Int(random.below(1000) as i128) }
}

#[test]
fn roll_ups_are_those_of_all_points_whatever_memory_holds() {
    let seed = std::env::var("EVKIT_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    for length in ["1m", "45m"] {
        let catalogue =
            catalogue(&query("m", length, "g", "count(*) AS n, sum(x) AS total, approx_percentile(x, 0.5) AS p"));
        let step = catalogue.length().unwrap().0;
        let mut plenty = Writer::new(&catalogue, STATES_BYTES_MAX);
        let mut little = Writer::new(&catalogue, 12_000);
        for _ in 0..40 {
            // Live ones, and some of long ago.
            let from = random.below(3 * 24) as i64 * 60 * MINUTE;
            let rows: Vec<_> = (0..random.below(60) + 1)
                .map(|_| {
                    let start = (from + random.below(180) as i64 * MINUTE) / step * step;
                    row(0, &catalogue, start, step, &[&event(&mut random, start, 9)])
                })
                .collect();
            // A batch holds the newest revision of a point only.
            let newest: BTreeMap<String, _> =
                rows.into_iter().map(|row| (format!("{:?} {:?}", row.groups, row.window), row)).collect();
            let rows: Vec<_> = newest.into_values().collect();
            plenty.write(&rows);
            little.write(&rows);
            assert_eq!(little.table, plenty.table, "seed {seed}, {length}");
        }
        assert!(plenty.halved == 0 && little.halved > 10, "seed {seed}: {} and {}", plenty.halved, little.halved);
    }
}

#[test]
fn roll_ups_are_those_of_the_points_that_were_not_taken_back() {
    let seed = std::env::var("EVKIT_SEED").map_or(11, |seed| seed.parse().unwrap());
    let (mut random, mut halved) = (Random(seed), 0);
    for length in ["1m", "1h"] {
        let catalogue = catalogue(&query("m", length, "g", "count(*) AS n, sum(x) AS total"));
        let step = catalogue.length().unwrap().0;
        let mut plenty = Writer::new(&catalogue, STATES_BYTES_MAX);
        let mut little = Writer::new(&catalogue, 4_000);
        let mut held: BTreeMap<String, crate::metric::Metric> = BTreeMap::new();
        for _ in 0..30 {
            let from = random.below(3 * 24) as i64 * 60 * MINUTE;
            let mut rows = BTreeMap::new();
            for _ in 0..random.below(20) + 1 {
                let start = (from + random.below(180) as i64 * MINUTE) / step * step;
                let row = row(0, &catalogue, start, step, &[&event(&mut random, start, 5)]);
                rows.insert(format!("{:?} {:?}", row.groups, row.window), row);
            }
            let gone: Vec<_> = held.keys().filter(|_| random.below(3) == 0).cloned().collect();
            let gone: Vec<_> = gone.into_iter().filter_map(|name| held.remove(&name)).collect();
            held.extend(rows.clone());
            let rows: Vec<_> = rows.into_values().collect();
            for writer in [&mut plenty, &mut little] {
                writer.take_back(&gone);
                writer.write(&rows);
            }
        }
        let mut straight = Writer::new(&catalogue, STATES_BYTES_MAX);
        straight.write(&held.into_values().collect::<Vec<_>>());
        assert!(plenty.standing() == straight.table, "seed {seed}, {length}");
        assert!(little.standing() == straight.table, "seed {seed}, {length}");
        assert!(plenty.table.len() > straight.table.len(), "seed {seed}: nothing was taken back");
        halved += little.halved;
    }
    assert!(halved > 10, "seed {seed}: {halved}");
}

#[test]
fn what_was_used_last_stays() {
    let catalogue = catalogue(&query("m", "1m", "g", "count(*) AS n"));
    let mut random = Random(1);
    let mut writer = Writer::new(&catalogue, 100_000);
    let mut hour_of = |writer: &mut Writer, hour: i64| {
        let rows: Vec<_> = (0..60)
            .map(|minute| {
                let start = (hour * 60 + minute) * MINUTE;
                row(0, &catalogue, start, MINUTE, &[&event(&mut random, start, 1)])
            })
            .collect();
        let before = writer.read;
        writer.write(&rows);
        writer.read - before
    };
    assert_eq!(hour_of(&mut writer, 0), 60, "at first what was just written is read back");
    for hour in 1..200 {
        hour_of(&mut writer, hour);
        assert_eq!(hour_of(&mut writer, 0), 0, "the first hour is used all the time, and is there after {hour} others");
    }
    assert!(hour_of(&mut writer, 1) > 0, "the second hour is not");
}

#[test]
fn a_span_that_is_larger_than_memory_is_read_whole() {
    let catalogue = catalogue(&query("m", "1s", "g", "count(*) AS n, sum(x) AS total"));
    let mut random = Random(2);
    let mut writer = Writer::new(&catalogue, 30_000);
    let mut expected = Writer::new(&catalogue, STATES_BYTES_MAX);
    for second in (0..3600).step_by(400) {
        let rows: Vec<_> = (second..second + 400)
            .map(|second| {
                row(0, &catalogue, second * 1_000_000, 1_000_000, &[&event(&mut random, second * 1_000_000, 1)])
            })
            .collect();
        writer.write(&rows);
        expected.write(&rows);
        assert_eq!(writer.table, expected.table);
    }
    assert!(writer.read > 3000, "{}", writer.read);
}
