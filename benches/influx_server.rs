//! How fast points get into a real InfluxDB beside a bare client that posts batches made beforehand, and how long `evquery` takes beside
//! the server's own time for the same questions: server and measurement share the machine, so only ratios mean something.
//! `scripts/bench-influx` runs it.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

#[path = "../tests/support/influx.rs"]
mod influx;
#[path = "support/website.rs"]
mod website;
#[path = "support/windows.rs"]
mod windows;

use std::borrow::Borrow;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evkit::codec::encode::line_protocol::LineProtocolEncoder;
use evkit::codec::encode::{EncodeOptions, RowEncoder};
use evkit::metric::Metric;
use evkit::plan::Plan;
use evkit::source::address::InfluxAddress;
use evkit::store::Catalogue;
use evkit::store::influx::client::gzip;
use evkit::store::influx::{Client, InfluxWriter, Patience, PointTime, Sole, Target, Token, WriterSettings};
use evkit::time::Timestamp;

use crate::influx::Real;
use crate::website::{GROUPS, plan, rows};

const MINUTE: i64 = 60_000_000;
/// The end of all points: they are near enough to now for any retention.
const END: i64 = 1_771_200_000_000_000;
const BATCH: usize = 5_000;
/// Rounds in which both are measured.
const PAIRS: usize = 8;

fn main() {
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    if std::env::var_os("EVKIT_TEST_INFLUX").is_none() {
        return println!("EVKIT_TEST_INFLUX names no server: scripts/bench-influx starts one");
    }
    writing(number("EVKIT_ROWS", 500_000));
    asking(number("EVKIT_DAYS", 90));
}

/// Points by the writer, from rows, beside ready-made batches of the same lines; then all that the writer can write.
fn writing(count: usize) {
    let plan = plan("1m");
    let rows: Vec<Metric> = rows(count, MINUTE, END).collect();
    let batches = ready_made(&plan, &rows);
    let alone = || {
        let bucket = bucket();
        let client = client(&bucket);
        rate(count, || {
            batches
                .iter()
                .for_each(|zipped| client.post_write(&bucket.bucket, zipped, Duration::from_secs(60)).unwrap());
        })
    };
    let ours = || {
        let bucket = bucket();
        let mut writer = writer(&bucket, &plan, true);
        rate(count, || write(&mut writer, rows.iter()))
    };
    // One after the other, each as often the first.
    let pairs: Vec<(f64, f64)> = (0..PAIRS)
        .map(|pair| {
            if pair % 2 == 0 {
                (alone(), ours())
            } else {
                let ours = ours();
                (alone(), ours)
            }
        })
        .collect();
    println!(
        "points only, {count} of {GROUPS} series   {:>9.0}/s, a bare client {:>9.0}/s: {:.0} %",
        median(pairs.iter().map(|pair| pair.1).collect()),
        median(pairs.iter().map(|pair| pair.0).collect()),
        median(pairs.iter().map(|(alone, ours)| 100.0 * ours / alone).collect()),
    );
    let bucket = bucket();
    let mut writer = writer(&bucket, &plan, false);
    let all = rate(count, || write(&mut writer, rows.iter()));
    println!("with entries and roll-ups         {all:>9.0}/s");
}

/// Hours of many days, as evquery gives them, and what of that is the server's: its requests, made again by a client that only reads.
fn asking(days: usize) {
    const LENGTH: i64 = 10 * MINUTE;
    let plan = plan("10m");
    let bucket = bucket();
    let mut writer = writer(&bucket, &plan, false);
    let count = days * 144 * GROUPS;
    let written = rate(count, || write(&mut writer, rows(count, LENGTH, END)));
    println!("{count} points of 10 minutes written, {written:.0}/s");
    let start = Timestamp(END - days as i64 * 1440 * MINUTE);
    for more in [&[][..], &["--by", "country"]] {
        asking_for(&bucket, days, start, more);
    }
}

fn asking_for(bucket: &Real, days: usize, start: Timestamp, more: &[&str]) {
    let recorder = Recorder::start(&bucket.address);
    let ask = |server: &str, times: usize| {
        let (mut walls, mut lines) = (Vec::new(), 0);
        for _ in 0..times {
            let mut command = Command::new(env!("CARGO_BIN_EXE_evquery"));
            command.args([
                "website_metrics",
                "--window",
                "1h",
                "--start",
                &start.to_string(),
                "--until",
                &Timestamp(END).to_string(),
            ]);
            command
                .args(["--from", &format!("influx://{server}/evkit/{}", bucket.bucket), "-q", "-f", "ndjson"])
                .args(more);
            let began = Instant::now();
            let mut child = command.env("INFLUX_TOKEN", &bucket.token).stdout(Stdio::piped()).spawn().unwrap();
            lines = count_lines(child.stdout.take().unwrap());
            let status = child.wait().unwrap();
            walls.push(began.elapsed().as_secs_f64() * 1000.0);
            assert!(status.success(), "{status}");
        }
        (walls, lines)
    };
    ask(&recorder.address, 1);
    let questions = recorder.questions();
    let ask_alone = |question: &Vec<u8>| {
        let request = ureq::post(format!("http://{}/api/v2/query?org=evkit", bucket.address));
        let request = request.header("authorization", format!("Token {}", bucket.token));
        let response = request.header("content-type", "application/json").header("accept-encoding", "identity");
        let mut answer = response.send(question).unwrap().into_body().into_reader();
        std::io::copy(&mut answer, &mut std::io::sink()).unwrap();
    };
    // A look at what there is, then the others, as many at once as evquery asks.
    let replay = || {
        let began = Instant::now();
        ask_alone(&questions[0]);
        std::thread::scope(|scope| {
            for question in &questions[1..] {
                scope.spawn(|| ask_alone(question));
            }
        });
        began.elapsed().as_secs_f64() * 1000.0
    };
    let (mut alone, mut ours, mut lines) = (Vec::new(), Vec::new(), 0);
    for _ in 0..21 {
        alone.push(replay());
        let (walls, seen) = ask(&bucket.address, 1);
        ours.extend(walls);
        lines = seen;
    }
    let (alone, ours) = (median(alone), median(ours));
    println!(
        "{days} days of {GROUPS} series by hours {more:?}, {lines} rows: {ours:.0} ms, the server alone {alone:.0} ms ({} questions): {:.0} ms more",
        questions.len(),
        ours - alone
    );
}

/// Counts lines as they come, as `wc -l` does.
fn count_lines(mut from: impl Read) -> usize {
    let (mut bytes, mut lines) = (vec![0; 1 << 16], 0);
    while let read @ 1.. = from.read(&mut bytes).unwrap() {
        lines += memchr::memchr_iter(b'\n', &bytes[..read]).count();
    }
    lines
}

fn bucket() -> Real {
    Real::of_environment("bench-influx").unwrap()
}

fn client(bucket: &Real) -> Client {
    let address = InfluxAddress {
        is_secure: false,
        server: bucket.address.clone(),
        org: "evkit".into(),
        bucket: bucket.bucket.clone(),
    };
    Client::new(Target { address, token: Some(Token::new(&bucket.token).unwrap()) }, Patience::default())
}

fn writer(bucket: &Real, plan: &Plan, points_only: bool) -> InfluxWriter {
    let catalogue = Catalogue::of(&plan.texts[0], &plan.schemas[0], &plan.queries[0].functions);
    let settings = WriterSettings { point_time: PointTime::Start, points_only, retry_for: Duration::ZERO };
    let mut writer = InfluxWriter::new(client(bucket), vec![Some(catalogue)], settings);
    writer.open(&[], false, END, &mut Sole).unwrap();
    writer
}

fn write(writer: &mut InfluxWriter, rows: impl Iterator<Item = impl Borrow<Metric>>) {
    for row in rows {
        writer.push(row.borrow()).unwrap();
        if writer.is_full() {
            writer.begin_flush(END, Box::new(Sole)).unwrap();
        }
    }
    writer.flush(END, &mut Sole).unwrap();
    assert_eq!(writer.rejected(), 0);
}

fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    count as f64 / began.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The lines of these rows in batches, compressed.
fn ready_made(plan: &Plan, rows: &[Metric]) -> Vec<Vec<u8>> {
    let options = EncodeOptions { counts: vec![vec![true, false, false]], ..EncodeOptions::default() };
    let mut encoder = LineProtocolEncoder::new(&plan.schemas, &options);
    let batch = |rows: &[Metric]| {
        let (mut lines, mut zipped) = (Vec::new(), Vec::new());
        rows.iter().for_each(|row| encoder.row(row, &mut lines));
        gzip(&lines, &mut zipped);
        zipped
    };
    rows.chunks(BATCH).map(batch).collect()
}

/// A way to the server on which questions are noted.
struct Recorder {
    address: String,
    /// By connection.
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    fn start(server: &str) -> Recorder {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (noted, server) = (Arc::clone(&asked), server.to_owned());
        std::thread::spawn(move || {
            for (number, mut client) in listener.incoming().map(Result::unwrap).enumerate() {
                noted.lock().unwrap().push(Vec::new());
                let noted = Arc::clone(&noted);
                let mut behind = std::net::TcpStream::connect(&server).unwrap();
                let (mut answers, mut back) = (behind.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = client.read(&mut bytes) {
                        noted.lock().unwrap()[number].extend_from_slice(&bytes[..read]);
                        behind.write_all(&bytes[..read]).unwrap();
                    }
                });
            }
        });
        Recorder { address, asked }
    }

    /// The bodies of all requests so far, the first of all first.
    fn questions(&self) -> Vec<Vec<u8>> {
        self.asked.lock().unwrap().iter().flat_map(|asked| bodies(asked)).collect()
    }
}

/// The bodies of requests.
fn bodies(asked: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut questions) = (asked, Vec::new());
    while let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
        let length: usize = length.trim().parse().unwrap();
        let body = &rest[end + 4..];
        questions.push(body[..length].to_owned());
        rest = &body[length..];
    }
    questions
}
