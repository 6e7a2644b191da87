//! What is read from a real InfluxDB is what the local store gives: random metrics in both, and random questions to both.

use std::path::{Path, PathBuf};
use std::time::Duration as Limit;

use super::*;
use crate::query::{Asked, Fill, Question, WindowAsked, answer};
use crate::source::address::InfluxAddress;
use crate::store::catalogue::DAY;
use crate::store::influx::client::{Patience, gzip};
use crate::store::influx::credentials::{Target, Token};
use crate::store::influx::testing::influx::Real;
use crate::store::influx::testing::points::{self, Event, MINUTE, catalogue, row};
use crate::store::influx::testing::random::Random;
use crate::store::metrics::Metrics;
use crate::store::retention::{Limits, retain};
use crate::store::{Job, WindowKind, Writer, connection, reader as local};
use crate::time::Duration;
use crate::value::Value;
use crate::window::key::key_of;

/// A client of the points' bucket, or of another.
fn client(buckets: &Real, bucket: &str) -> Client {
    let server = buckets.address.clone();
    let address = InfluxAddress { is_secure: false, server, org: "evkit".into(), bucket: bucket.into() };
    Client::new(Target { address, token: Some(Token::new(&buckets.token).unwrap()) }, Patience::default())
}

/// An entry that was taken back: its series, start and length.
type TakenBack = (String, (i64, i64));

/// Writes what the local store has of a metric, and the entries that were taken back, into the buckets.
fn copy(path: &Path, client: &Client, name: &str, taken_back: &[TakenBack]) {
    let connection = connection::for_reading(path).unwrap();
    let metrics = local::metrics(&connection).unwrap();
    let metric = metrics.into_iter().find(|metric| metric.catalogue.name == name).unwrap();
    let catalogue = &metric.catalogue;
    let (mut points, mut roll_ups) = (Vec::new(), Vec::new());
    let kept = form::Kept { catalogue: catalogue.clone(), point_time: form::PointTime::Start, query: Vec::new() };
    form::push_catalogue(&kept, 0, &mut roll_ups);
    let mut lines = form::EntryLines::of(catalogue);
    for series in local::series(&connection, metric.id).unwrap() {
        let tag = form::series_tag(&key_of(&series.groups));
        let all = |grain, see: &mut dyn FnMut(&Entry<'_>)| {
            let time = (i64::MIN, i64::MAX);
            local::each_entry(&connection, catalogue, series.id, grain, time, |entry| {
                see(entry);
                Ok(())
            })
            .unwrap();
        };
        all(Grain::Points, &mut |entry| assert!(lines.push(&tag, entry.key(), Some(entry), &mut points)));
        let grain = if catalogue.has(Grain::Hour) { Grain::Hour } else { Grain::Day };
        all(grain, &mut |roll_up| {
            assert!(form::push_roll_up(catalogue, &tag, (grain, roll_up.start), Some(roll_up), &mut roll_ups));
        });
    }
    for (tag, key) in taken_back {
        assert!(lines.push(tag, *key, None, &mut points));
    }
    let mut zipped = Vec::new();
    let bucket = &client.target().address.bucket;
    for (bucket, lines) in [(bucket.clone(), points), (form::roll_ups_of(bucket), roll_ups)] {
        gzip(&lines, &mut zipped);
        client.post_write(&bucket, &zipped, Limit::from_secs(60)).unwrap();
    }
}

const RECOMBINING: &str = "count(*) AS n, sum(x) AS total, avg(x) AS mean, min(x) AS least, first(x) AS opening, last(x) AS closing, \
     stddev_samp(x) AS spread, approx_count_distinct(x) AS kinds, approx_percentile(x, 0.9) AS p90, topk(x, 2) AS best";

/// Metrics of all kinds.
fn queries() -> Vec<crate::plan::MetricText> {
    let of = |name: &str, agg: &str| points::query(name, "1m", "g, h", agg);
    let other = |name: &str, change: &dyn Fn(&mut crate::plan::MetricText)| {
        let mut text = of(name, "count(*) AS n, max(x) AS peak, count(DISTINCT x) AS kinds");
        text.tumbling = None;
        change(&mut text);
        text
    };
    let some = |text: &str| Some(text.to_owned());
    vec![
        of("minutes of all", RECOMBINING),
        of("partly \"merged\", ${x}", "count(*) AS n, median(x) AS middle, sum(x) AS total"),
        points::query("no groups", "45m", "", RECOMBINING),
        points::query("hours", "1h", "g", "count(*) AS n, sum(x) AS total"),
        other("days of Berlin", &|text| (text.tumbling, text.tz) = (some("1d"), some("Europe/Berlin"))),
        other("slides", &|text| text.sliding = some("5m/1m")),
        other("grows", &|text| text.cumulate = some("1h/15m")),
        other("visits", &|text| text.session = some("30m")),
        other("best", &|text| (text.tumbling, text.top) = (some("1m"), Some(3))),
    ]
}

fn group(random: &mut Random, columns: usize) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.into());
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Int(1),
        text("1"),
        text(""),
        text("a=b, c\\"),
        text("é \"q\"\n{}"),
        Value::Float(-0.5),
    ];
    (0..columns).map(|column| values[random.below(8 / (column as u64 + 1)) as usize].clone()).collect()
}

/// The end of March, when an hour is missing in Berlin.
const START: i64 = 1_774_483_200_000_000;

fn window(random: &mut Random, catalogue: &Catalogue) -> (i64, i64) {
    let at = |random: &mut Random, unit: i64| START + random.below((4 * DAY / unit) as u64) as i64 * unit;
    match catalogue.window {
        WindowKind::Tumbling { .. } if catalogue.zone.is_some() => {
            // Midnight there: the last Sunday has 23 hours.
            let hours = [[-1, 24], [23, 24], [47, 24], [71, 23], [94, 24]][random.below(5) as usize];
            (START + hours[0] * HOUR, hours[1] * HOUR)
        }
        WindowKind::Tumbling { length } => (at(random, length.0), length.0),
        WindowKind::Sliding { length, slide } => (at(random, slide.0), length.0),
        WindowKind::Cumulative { length, step } => {
            (at(random, length.0), step.0 * (1 + random.below((length.0 / step.0) as u64) as i64))
        }
        WindowKind::Session { .. } => (at(random, 1_000_003), random.below(HOUR as u64) as i64 + 1),
        WindowKind::Global => unreachable!("InfluxDB has no time for a global window"),
    }
}

/// Fills a store with a metric: rows of random windows, then again some of them revised, provisional or taken back.
fn fill(random: &mut Random, catalogue: &Catalogue, writer: &mut Writer, number: usize) -> Vec<TakenBack> {
    let amount = |random: &mut Random| match random.below(5) {
        0 => Value::Null,
        1 => Value::Int(random.next() as i64 as i128),
        2 => Value::Int(i128::from(random.below(10))),
        _ => Value::Float(random.below(1000) as f64 / 8.0 - 3.0),
    };
    let is_ranked = catalogue.ranked;
    let mut rows = Vec::new();
    for day in 0..3 {
        rows.push((
            (START + day * DAY, catalogue.length().map_or(MINUTE, |length| length.0)),
            group(random, catalogue.groups.len()),
        ));
    }
    rows.extend((0..500).map(|_| (window(random, catalogue), group(random, catalogue.groups.len()))));
    if matches!(catalogue.window, WindowKind::Sliding { .. } | WindowKind::Cumulative { .. })
        || catalogue.zone.is_some()
    {
        rows.drain(..3);
    }
    let rows: Vec<_> = rows
        .into_iter()
        .map(|((start, length), groups)| {
            let events: Vec<Event> = (0..1 + random.below(3) as i64)
                .map(|event| Event { groups: groups.clone(), time: start + event, amount: amount(random) })
                .collect();
            let mut row = row(number, catalogue, start, length, &events.iter().collect::<Vec<_>>());
            row.rank = is_ranked.then(|| 1 + random.below(3));
            row
        })
        .collect();
    writer.write(&rows).unwrap();
    writer.commit(&[], b"").unwrap();
    let mut taken_back = Vec::new();
    // The first row of each day stays, so that the day's first hour tells where retention cut.
    for mut again in rows.into_iter().skip(3) {
        again.revision = 1 + random.below(300) as u32;
        match random.below(10) {
            0 => {
                again.retracted = true;
                let tag = form::series_tag(&key_of(&again.groups));
                taken_back.push((tag, crate::store::entry::key_of(again.window)));
            }
            1 => {
                again.is_final = false;
                again.state = again.state.filter(|_| random.below(2) == 0);
            }
            2 => {}
            _ => continue,
        }
        writer.write(&[again.clone()]).unwrap();
        if !again.retracted {
            let (tag, key) = (form::series_tag(&key_of(&again.groups)), crate::store::entry::key_of(again.window));
            taken_back.retain(|gone| *gone != (tag.clone(), key));
        }
    }
    writer.commit(&[], b"").unwrap();
    taken_back
}

fn question(random: &mut Random, catalogue: &Catalogue) -> Asked {
    let hours = |random: &mut Random, count: u64| Timestamp(START + (random.below(count) as i64 - 12) * HOUR / 2);
    let from = (random.below(3) > 0).then(|| hours(random, 200));
    let until = (random.below(3) > 0)
        .then(|| Timestamp(from.map_or(START, |from| from.0) + HOUR * (1 + random.below(100) as i64)));
    let lengths = [MINUTE, 15 * MINUTE, 90 * MINUTE, HOUR, 3 * HOUR, DAY, 2 * DAY];
    let window = match random.below(6) {
        0 => WindowAsked::Any,
        1 => WindowAsked::Own,
        2 => WindowAsked::Whole,
        _ => WindowAsked::Every(Duration(lengths[random.below(7) as usize])),
    };
    let some = |random: &mut Random, names: &[String]| -> Vec<String> {
        names.iter().filter(|_| random.below(2) == 0).cloned().collect()
    };
    let names: Vec<String> = catalogue.fields.iter().map(|field| field.name.clone()).collect();
    let is_refolded = random.below(5) == 0;
    let filters = ["g = '1'", "g IS NULL OR h", "n > 1", "g = 1 AND n < 3"];
    Asked {
        fields: if is_refolded || random.below(2) == 0 { Vec::new() } else { some(random, &names) },
        by: (random.below(2) == 0).then(|| some(random, &catalogue.groups)),
        filter: (random.below(4) == 0).then(|| filters[random.below(4) as usize].to_owned()),
        from,
        until,
        window,
        agg: is_refolded
            .then(|| "max(n) AS most, first(n) AS opening, last(n) AS closing, count(*) AS rows".to_owned()),
        top: (random.below(5) == 0).then_some(2),
        order_by: None,
        with_ties: false,
        having: None,
        fill: [Fill::None, Fill::None, Fill::Null, Fill::Previous][random.below(4) as usize],
        compare: (random.below(6) == 0).then_some(Duration(DAY)),
    }
}

/// What is said of a question and the answer, row by row, or the refusal.
fn outcome<M: Metrics>(readers: &mut [M], name: &str, asked: &Asked) -> Result<Vec<String>, String> {
    let known = readers[0].look(name).map_err(|error| error.to_string())?.ok_or("no such metric")?;
    let question =
        Question::of(asked, &known.metric, &known.series, known.extent).map_err(|error| error.to_string())?;
    let mut said = vec![question.told(), format!("{:?} {:?}", question.notes, question.complete_until)];
    answer(&question, readers, |rows| {
        said.extend(rows.iter().map(|row| format!("{row:?}")));
        true
    })
    .map_err(|error| error.to_string())?;
    Ok(said)
}

/// The first line in which two outcomes differ.
fn difference(found: &Result<Vec<String>, String>, expected: &Result<Vec<String>, String>) -> String {
    let (Ok(found), Ok(expected)) = (found, expected) else { return format!("{found:?}\nis not\n{expected:?}") };
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let line = |lines: &[String]| lines.get(same).cloned().unwrap_or_else(|| "the end".to_owned());
    format!("line {same}: {}\nis not\n{}", line(found), line(expected))
}

fn seed() -> u64 {
    let given = std::env::var("EVKIT_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

#[test]
fn questions_have_the_answers_of_the_local_store() {
    let Some(buckets) = Real::of_environment("questions_have_the_answers_of_the_local_store") else { return };
    let seed = seed();
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("s.db");
    let catalogues: Vec<Catalogue> = queries().iter().map(catalogue).collect();
    let job = Job { metrics: catalogues.clone(), fingerprint: Vec::new(), reset: false };
    let (mut writer, _) = Writer::open(&path, &job).unwrap();
    let taken_back: Vec<Vec<TakenBack>> = catalogues
        .iter()
        .enumerate()
        .map(|(number, catalogue)| fill(&mut random, catalogue, &mut writer, number))
        .collect();
    let mut rows = 0;
    for is_retained in [false, true] {
        if is_retained {
            let limits = Limits { hot: Some(Duration(2 * DAY)), cold: None };
            retain(&path, limits, Timestamp(START + 4 * DAY)).unwrap();
            // The shards of the first two days are dropped.
            let gone = (Timestamp(START - DAY), Timestamp(START + 2 * DAY - 1000));
            let bucket = &buckets.bucket;
            for catalogue in catalogues.iter().filter(|catalogue| catalogue.has(Grain::Hour)) {
                let measurement = form::points_measurement(&catalogue.name).replace('\\', "\\\\").replace('"', "\\\"");
                let predicate = format!("_measurement=\"{measurement}\"");
                client(&buckets, &buckets.bucket).delete(bucket, gone, &predicate, Limit::from_secs(60)).unwrap();
            }
        }
        for (catalogue, taken_back) in catalogues.iter().zip(&taken_back) {
            let name = &catalogue.name;
            if is_retained && !catalogue.has(Grain::Hour) {
                continue;
            }
            if !is_retained {
                copy(&path, &client(&buckets, &buckets.bucket), name, taken_back);
            }
            let mut here = local::Reader::open_together(&path, 2).unwrap();
            let mut there = [Reader::new(client(&buckets, &buckets.bucket))];
            for number in 0..12 {
                let asked = question(&mut random, catalogue);
                let (expected, found) = (outcome(&mut here, name, &asked), outcome(&mut there, name, &asked));
                if found != expected {
                    let differs = difference(&found, &expected);
                    panic!("seed {seed}: question {number} to '{name}', retained {is_retained}: {asked:?}\n{differs}");
                }
                rows += found.map_or(0, |said| said.len());
            }
            let metric = here[0].look(name).unwrap().unwrap().metric;
            assert_eq!(there[0].count(&metric).unwrap(), metric.points, "seed {seed}: points of '{name}'");
        }
    }
    assert!(rows > 500, "seed {seed}: only {rows} rows were compared");
    let mut names: Vec<String> = catalogues.into_iter().map(|catalogue| catalogue.name).collect();
    names.sort_unstable();
    assert_eq!(Reader::new(client(&buckets, &buckets.bucket)).names().unwrap(), names);
}

#[test]
fn what_is_not_there_is_told() {
    let Some(buckets) = Real::of_environment("what_is_not_there_is_told") else { return };
    let mut reader = Reader::new(client(&buckets, &buckets.bucket));
    assert_eq!(reader.look("m").unwrap(), None);
    assert_eq!(reader.why_missing("m").unwrap(), None);
    let mut zipped = Vec::new();
    gzip(b"m n=1i 1000\n", &mut zipped);
    client(&buckets, &buckets.bucket).post_write(&buckets.bucket, &zipped, Limit::from_secs(60)).unwrap();
    assert!(reader.why_missing("m").unwrap().unwrap().contains("--points-only"));

    let error = Reader::new(client(&buckets, "nowhere")).look("m").unwrap_err();
    assert!(error.to_string().contains("404") && error.to_string().contains("nowhere"), "{error}");
    assert!(error.is_unavailable() && error.hint().unwrap().contains("admin influx setup"));
}

/// A metric of minutes, or of hours, with points or without, as the ends of its series tell it.
#[test]
fn extents_are_told_by_the_finest_roll_ups() {
    let window = |start: i64, length: i64| Some(Window::new(Timestamp(start), Timestamp(start + length)));
    let rolled = |first, last| Ends { rolled_first: first, rolled_last: last, ..Ends::default() };
    let points = |first: Option<Window>, ends: Ends| Ends { first, last: Some((first.unwrap(), true)), ..ends };
    let check = |length: &str, all: &[Ends], expected: (i64, i64, Option<i64>)| {
        let catalogue = catalogue(&points::query("m", length, "", "count(*) AS n"));
        let (extent, kept_from) = extent_of(&catalogue, all.iter());
        let extent = extent.unwrap();
        assert_eq!((extent.first.0, extent.end.0, kept_from.map(|time| time.0)), expected, "{length}: {all:?}");
    };
    let ten = START + 10 * HOUR;
    // A live run that began at 10:30 and ended at 12:01, on the next day; then its first points are gone, and then all.
    let (first, last) = (window(ten, HOUR), window(ten + DAY + 2 * HOUR, HOUR));
    let begun = points(window(ten + 30 * MINUTE, MINUTE), rolled(first, None));
    check("1m", std::slice::from_ref(&begun), (ten + 30 * MINUTE, ten + 31 * MINUTE, None));
    let cut = points(window(ten + 2 * HOUR + MINUTE, MINUTE), rolled(first, None));
    check("1m", std::slice::from_ref(&cut), (ten, ten + 2 * HOUR + 2 * MINUTE, Some(ten + 2 * HOUR)));
    check("1m", &[cut, begun], (ten + 30 * MINUTE, ten + 2 * HOUR + 2 * MINUTE, None));
    let later = rolled(last, last);
    check("1m", &[later.clone(), rolled(first, first)], (ten, ten + DAY + 3 * HOUR, Some(ten + DAY + 3 * HOUR)));
    // Of hours there are days only.
    let day = window(START, DAY);
    check("1h", &[points(window(ten, HOUR), rolled(day, None))], (ten, ten + HOUR, None));
    check("1h", &[rolled(day, day)], (START, START + DAY, Some(START + DAY)));
}
