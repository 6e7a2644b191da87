//! Decoding speed on one thread, memory to columns: `cargo bench --bench decode`.
//!
//! Events of some 430 bytes as a shop sends them, four fields wanted (type, time, currency, amount), in blocks of 1 MiB.

use std::time::Instant;

use evkit::codec::ndjson::{Decoder, PADDING};
use evkit::codec::{TimeFrom, Wanted};
use evkit::event::Path;
use evkit::partition::PartitionId;
use evkit::record::Block;
use evkit::time::{TimeFormat, Timestamp};

const BLOCK_BYTES: usize = 1 << 20;
const ROUNDS: usize = 400;
const REPORTS: usize = 5;

fn main() {
    let paths = vec![
        Path::of_keys(&["event_type"]),
        Path::of_keys(&["properties", "currency"]),
        Path::of_keys(&["properties", "amount"]),
    ];
    let time = TimeFrom::Field { path: Path::of_keys(&["timestamp"]), format: TimeFormat::Auto };
    let mut decoder = Decoder::new(&Wanted { paths, time }, 1 << 20);
    let lines = events();
    for _ in 0..REPORTS {
        let (mut rows, mut bytes) = (0, 0);
        let mut text = lines.clone();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let (partition, arrival) = (PartitionId(0), Timestamp(0));
            let mut batch = decoder.decode(Block { partition, offset: 0, from: 0, arrival, bytes: text });
            rows += batch.rows();
            bytes += lines.len();
            batch.text.truncate(lines.len());
            text = batch.text;
        }
        let seconds = start.elapsed().as_secs_f64();
        let (millions, gigabytes) = (rows as f64 / seconds / 1e6, bytes as f64 / seconds / 1e9);
        println!("{millions:.2} M events/s, {gigabytes:.2} GB/s, {} bytes an event", bytes / rows);
    }
}

/// One block of events. All differ in their values and lengths, by a generator with a fixed seed.
fn events() -> Vec<u8> {
    let mut state = 7u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut lines = Vec::with_capacity(BLOCK_BYTES + PADDING + 1);
    loop {
        let event_type = ["page_view", "product_view", "add_to_cart", "purchase_completed"][draw(4) as usize];
        let (currency, country) = [("USD", "US"), ("EUR", "DE"), ("GBP", "GB")][draw(3) as usize];
        let line = format!(
            "{{\"event_id\":\"evt_{:016x}\",\"event_type\":\"{event_type}\",\"timestamp\":\"2026-02-16T10:{:02}:{:02}.{:03}Z\",\
             \"user_id\":\"user_{}\",\"session_id\":\"sess_{:012x}\",\"properties\":{{\"product_id\":\"prod_{}\",\
             \"amount\":{}.{:02},\"currency\":\"{currency}\",\"payment_method\":\"credit_card\",\"country\":\"{country}\"}},\
             \"metadata\":{{\"ip_address\":\"{}.{}.{}.{}\",\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\",\
             \"platform\":\"web\"}}}}\n",
            draw(1 << 31),
            draw(60),
            draw(60),
            draw(1000),
            draw(100_000),
            draw(1 << 31),
            draw(5000),
            draw(500),
            draw(100),
            draw(256),
            draw(256),
            draw(256),
            draw(256),
        );
        if lines.len() + line.len() > BLOCK_BYTES {
            return lines;
        }
        lines.extend_from_slice(line.as_bytes());
    }
}
