//! What one row costs on its way to InfluxDB, before it is sent. One thread, in memory.
//!
//! `cargo bench --bench influx`. Names a server that is never spoken to.

#[path = "support/website.rs"]
mod website;
#[path = "support/windows.rs"]
mod windows;

use std::time::Duration;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use evkit::codec::encode::line_protocol::LineProtocolEncoder;
use evkit::codec::encode::{EncodeOptions, RowEncoder};
use evkit::metric::Metric;
use evkit::source::address::InfluxAddress;
use evkit::store::Catalogue;
use evkit::store::influx::{Client, InfluxWriter, Patience, PointTime, Target, WriterSettings};

use crate::website::plan;

const ROWS: usize = 4_000;
const MINUTE: i64 = 60_000_000;

fn main() {
    divan::main();
}

/// Rows as lines of line protocol.
#[divan::bench]
fn encode(bencher: Bencher) {
    let (plan, rows) = (plan("1m"), rows());
    let options = EncodeOptions { counts: vec![vec![true, false, false]], ..EncodeOptions::default() };
    let mut encoder = LineProtocolEncoder::new(&plan.schemas, &options);
    let mut out = Vec::new();
    rows.iter().for_each(|row| encoder.row(row, &mut out));
    let bytes = out.len();
    bencher.counter(ItemsCount::from(ROWS)).counter(BytesCount::from(bytes)).bench_local(|| {
        out.clear();
        rows.iter().for_each(|row| encoder.row(row, &mut out));
        out.len()
    });
}

/// Rows as they wait to be sent: points only, or with entries and states.
#[divan::bench(args = [true, false])]
fn take(bencher: Bencher, points_only: bool) {
    let (plan, rows) = (plan("1m"), rows());
    let address = InfluxAddress { is_secure: false, server: "127.0.0.1:9".into(), org: "o".into(), bucket: "b".into() };
    let client = Client::new(Target { address, token: None }, Patience::default());
    let catalogue = Catalogue::of(&plan.texts[0], &plan.schemas[0], &plan.queries[0].functions);
    let settings = WriterSettings { point_time: PointTime::Start, points_only, retry_for: Duration::ZERO };
    let mut writer = InfluxWriter::new(client, vec![Some(catalogue)], settings);
    bencher.counter(ItemsCount::from(ROWS)).bench_local(|| {
        rows.iter().for_each(|row| writer.push(row).expect("a row can be encoded"));
        writer.clear();
    });
}

fn rows() -> Vec<Metric> {
    website::rows(ROWS, MINUTE, 1_771_238_400_000_000).collect()
}
