//! The store at size: makes one of minutes through the real writer, then asks it as evquery does; run by `scripts/bench-store`.
//!
//! `store make PATH SERIES DAYS` prints points a second, in the writer and with its commits, and bytes a point.
//! `store ask PATH` prints how long answers take. Not a divan bench: it needs a file that outlives a run.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration as Elapsed, Instant};

use evkit::codec::encode::RowEncoder;
use evkit::codec::encode::ndjson::NdjsonEncoder;
use evkit::metric::Metric;
use evkit::plan::{MetricText, Plan};
use evkit::query::{Asked, Question, WindowAsked, answer};
use evkit::store::{Catalogue, Job, Reader, SourceOffset, Writer};
use evkit::time::{Duration, Timestamp, Window};
use evkit::value::Value;

use crate::windows::{Kept, windows};

#[path = "support/windows.rs"]
mod windows;

const MINUTE: i64 = 60_000_000;

/// 2026-01-01, where the points begin.
const START: i64 = 1_767_225_600_000_000;

/// Points of one commit.
const BATCH: i64 = 200_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["make", path, series, days] => {
            make(Path::new(path), series.parse().expect("a number of series"), days.parse().expect("a number of days"));
        }
        ["ask", path] => ask(Path::new(path)),
        _ => eprintln!("usage: store make PATH SERIES DAYS | store ask PATH"),
    }
}

fn catalogue() -> Catalogue {
    let text = MetricText {
        name: Some("revenue".into()),
        tumbling: Some("1m".into()),
        by: Some("country, shop".into()),
        agg: Some("count(*) AS orders, sum(amount) AS revenue, max(amount) AS largest".into()),
        ..MetricText::default()
    };
    let plan = Plan::build(std::slice::from_ref(&text)).expect("the query is valid");
    Catalogue::of(&text, &plan.schemas[0], &plan.queries[0].functions)
}

fn make(path: &Path, series: i64, days: i64) {
    let catalogue = catalogue();
    let job = Job { metrics: vec![catalogue.clone()], fingerprint: Vec::new(), reset: false };
    let (mut writer, _) = Writer::open(path, &job).expect("the store can be made");
    let groups: Vec<Arc<[Value]>> = (0..series).map(|n| group(n, series)).collect();
    let points = Prepared::of(&catalogue);
    let (mut written, mut spent, mut slowest) = (0, Elapsed::ZERO, Elapsed::ZERO);
    let minutes = days * 1440;
    let step = (BATCH / series).max(1);
    for first in (0..minutes).step_by(step as usize) {
        let mut rows = Vec::new();
        for minute in first..(first + step).min(minutes) {
            rows.extend(groups.iter().enumerate().map(|(n, groups)| points.row(minute, n as i64, groups)));
        }
        let source =
            SourceOffset { name: "made".into(), identity: vec![0; 16], offset: first as u64, lines: first as u64 };
        let begun = Instant::now();
        writer.write(&rows).expect("rows can be taken");
        writer.commit(&[source], &[0; 4096]).expect("rows can be committed");
        let now = begun.elapsed();
        (written, spent, slowest) = (written + rows.len(), spent + now, slowest.max(now));
    }
    drop(writer);
    let bytes = std::fs::metadata(path).expect("the store is there").len();
    println!(
        "{written} points of {series} series: {:.0} k points/s, slowest commit {:.2} s, {:.1} bytes a point",
        written as f64 / spent.as_secs_f64() / 1e3,
        slowest.as_secs_f64(),
        bytes as f64 / written as f64
    );
}

/// Asks as evquery does, each time on connections of its own, and prints the median and the 99th percentile of a hundred times.
fn ask(path: &Path) {
    let all = Some(Timestamp(START));
    let hourly = Asked { window: WindowAsked::Every(Duration(60 * MINUTE)), ..Asked::default() };
    let by_country = Asked { by: Some(vec!["country".into()]), ..hourly.clone() };
    let week = Some(Timestamp(START + 80 * 1440 * MINUTE));
    let one = Some("shop = 'shop-0-0' AND country = 'country-0'".to_owned());
    for (what, asked) in [
        ("by hour and country, all days", Asked { from: all, ..by_country.clone() }),
        ("by hour and country, the last days", Asked { from: week, ..by_country }),
        ("by hour, every series, all days", Asked { from: all, ..hourly }),
        ("by day, one total, all days", Asked { from: all, by: Some(Vec::new()), ..Asked::default() }),
        ("one series raw, all days", Asked { from: all, filter: one, window: WindowAsked::Own, ..Asked::default() }),
        ("every series raw, the last day", Asked { window: WindowAsked::Own, ..Asked::default() }),
    ] {
        let mut rows = 0;
        let mut measured = |is_encoded: bool| {
            let mut times: Vec<f64> = Vec::new();
            for _ in 0..100 {
                let begun = Instant::now();
                rows = answered(path, &asked, is_encoded);
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            format!("median {:.1} ms, p99 {:.1} ms", times[50], times[98])
        };
        let (answer, encoded) = (measured(false), measured(true));
        println!("{what}: {rows} rows, {answer}; as NDJSON {encoded}");
    }
}

/// The number of rows of an answer, from opening the store to the last row.
fn answered(path: &Path, asked: &Asked, is_encoded: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let mut readers = Reader::open_together(path, cores).expect("the store is there");
    let metric = readers[0].metric("revenue").expect("it can be read").expect("it has the metric");
    let series = readers[0].series(metric.id).expect("it can be read");
    let extent = readers[0].extent(&metric, &series).expect("it can be read");
    let question = Question::of(asked, &metric, &series, extent).expect("the question is good");
    let mut encoder = NdjsonEncoder::new(std::slice::from_ref(&question.schema));
    let (mut count, mut out) = (0, Vec::new());
    answer(&question, &mut readers, |rows| {
        if is_encoded {
            rows.iter().for_each(|row| encoder.row(row, &mut out));
        }
        count += rows.len();
        out.clear();
        true
    })
    .expect("it can be answered");
    count
}

/// Ten countries, and as many shops as are needed.
fn group(number: i64, series: i64) -> Arc<[Value]> {
    let shop = number * 10 / series.max(10);
    [Value::Text(format!("country-{}", number % 10).into()), Value::Text(format!("shop-{shop}-{}", number / 10).into())]
        .into()
}

/// States and values of some hundred windows, of which all rows are made: folding events is not what is measured.
struct Prepared {
    windows: Vec<Kept>,
}

impl Prepared {
    fn of(catalogue: &Catalogue) -> Prepared {
        let functions: Vec<_> = catalogue.fields.iter().map(|field| field.function.clone()).collect();
        Prepared { windows: windows(&functions) }
    }

    fn row(&self, minute: i64, series: i64, groups: &Arc<[Value]>) -> Metric {
        let (state, values) = &self.windows[(minute * 31 + series * 17) as usize % self.windows.len()];
        let start = START + minute * MINUTE;
        Metric {
            metric: 0,
            window: Window::new(Timestamp(start), Timestamp(start + MINUTE)),
            groups: Arc::clone(groups),
            aggregates: values.clone(),
            rank: None,
            revision: 0,
            is_final: true,
            retracted: false,
            state: Some(state.clone()),
        }
    }
}
