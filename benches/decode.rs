//! Decoding speed on one thread, memory to columns, beside serde on a SIMD parser: `cargo bench --bench decode`.
//!
//! Events of some 400 bytes as a shop sends them, four fields wanted (type, time, currency, amount), in blocks of 512 KiB, and
//! the same events in other clothes. All decoders take turns, round by round; the figure is each one's best round.

use std::borrow::Cow;
use std::time::Instant;

use evkit::codec::ndjson::{Decoder, Instructions, PADDING};
use evkit::codec::{TimeFrom, Wanted};
use evkit::event::Path;
use evkit::partition::PartitionId;
use evkit::record::Block;
use evkit::time::{TimeFormat, Timestamp, parse_rfc3339};
use serde_json::{Map, Value};

const BLOCK_BYTES: usize = 512 << 10;
const BLOCKS_A_ROUND: usize = 100;
const ROUNDS: usize = 7;

/// Puts an event into other clothes.
type Dress = fn(Value, &mut Random) -> Value;

fn main() {
    println!("{:<28} {:>12} {:>12} {:>12}   M events/s, best of {ROUNDS}", "", "evkit", "baseline", "sonic-rs");
    let clothes: [(&str, Dress); 5] = [
        ("as they come", |event, _| event),
        ("keys shuffled", shuffled),
        ("8 optional fields", with_options),
        ("escapes in texts", |event, _| with_text(event, "a \"quoted\"\tword")),
        ("texts beyond ASCII", |event, _| with_text(event, "Größe – 日本")),
    ];
    for (name, dress) in clothes {
        let lines = events(dress);
        let count = lines.iter().filter(|&&byte| byte == b'\n').count();
        let mut ours = [Instructions::best(), Instructions::BASELINE].map(decoder);
        let mut best = [f64::INFINITY; 3];
        for _ in 0..ROUNDS {
            for (decoder, best) in ours.iter_mut().zip(&mut best) {
                *best = best.min(seconds(|| assert_eq!(decode(decoder, &lines), count)));
            }
            best[2] = best[2].min(seconds(|| assert_eq!(decode_by_serde(&lines), count)));
        }
        let speed = best.map(|seconds| (count * BLOCKS_A_ROUND) as f64 / seconds / 1e6);
        println!("{name:<28} {:>12.2} {:>12.2} {:>12.2}", speed[0], speed[1], speed[2]);
    }
}

fn decoder(instructions: Instructions) -> Decoder {
    let paths = vec![
        Path::of_keys(&["event_type"]),
        Path::of_keys(&["properties", "currency"]),
        Path::of_keys(&["properties", "amount"]),
    ];
    let time = TimeFrom::Field { path: Path::of_keys(&["timestamp"]), format: TimeFormat::Auto };
    Decoder::with(&Wanted { paths, time }, 1 << 20, instructions)
}

fn seconds(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..BLOCKS_A_ROUND).for_each(|_| work());
    start.elapsed().as_secs_f64()
}

/// Rows of a block. Its bytes are copied first, as reading copies them.
fn decode(decoder: &mut Decoder, lines: &[u8]) -> usize {
    let mut bytes = Vec::with_capacity(lines.len() + PADDING + 1);
    bytes.extend_from_slice(lines);
    let (partition, arrival) = (PartitionId(0), Timestamp(0));
    std::hint::black_box(decoder.decode(Block { partition, offset: 0, from: 0, arrival, stamps: None, bytes })).rows()
}

/// What a program would do that knows its events' form and needs no columns of mixed types.
#[derive(serde::Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    properties: Properties<'a>,
}

#[derive(serde::Deserialize)]
struct Properties<'a> {
    #[serde(borrow)]
    currency: Option<Cow<'a, str>>,
    amount: Option<f64>,
}

fn decode_by_serde(lines: &[u8]) -> usize {
    let bytes = std::hint::black_box(lines.to_vec());
    let mut rows = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Event = sonic_rs::from_slice(line).expect("the events are good JSON");
        let time = parse_rfc3339(event.timestamp.as_bytes()).expect("their times are good");
        rows.push((time, event.event_type, event.properties.currency, event.properties.amount));
    }
    std::hint::black_box(rows).len()
}

/// One block of events. All differ in their values and lengths, by a generator with a fixed seed.
fn events(dress: Dress) -> Vec<u8> {
    let mut random = Random(7);
    let mut lines = Vec::with_capacity(BLOCK_BYTES);
    loop {
        let event = event(&mut random);
        let mut line = serde_json::to_vec(&dress(event, &mut random)).expect("a value can be written");
        line.push(b'\n');
        if lines.len() + line.len() > BLOCK_BYTES {
            return lines;
        }
        lines.extend_from_slice(&line);
    }
}

fn event(random: &mut Random) -> Value {
    let event_type = ["page_view", "product_view", "add_to_cart", "purchase_completed"][random.below(4)];
    let (currency, country) = [("USD", "US"), ("EUR", "DE"), ("GBP", "GB")][random.below(3)];
    let [minute, second, milli] = [60, 60, 1000].map(|bound| random.below(bound));
    let address = [256; 4].map(|bound| random.below(bound));
    serde_json::json!({
        "event_id": format!("evt_{:016x}", random.below(1 << 31)),
        "event_type": event_type,
        "timestamp": format!("2026-02-16T10:{minute:02}:{second:02}.{milli:03}Z"),
        "user_id": format!("user_{}", random.below(100_000)),
        "session_id": format!("sess_{:012x}", random.below(1 << 31)),
        "properties": {
            "product_id": format!("prod_{}", random.below(5000)),
            "amount": random.below(50_000) as f64 / 100.0,
            "currency": currency,
            "payment_method": "credit_card",
            "country": country,
        },
        "metadata": {
            "ip_address": address.map(|part| part.to_string()).join("."),
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            "platform": "web",
        },
    })
}

/// The members of all objects in another order.
fn shuffled(value: Value, random: &mut Random) -> Value {
    let Value::Object(members) = value else { return value };
    let mut members: Vec<_> = members.into_iter().map(|(key, value)| (key, shuffled(value, random))).collect();
    for last in (1..members.len()).rev() {
        members.swap(last, random.below(last + 1));
    }
    Value::Object(members.into_iter().collect())
}

/// Each of eight more members is there or not.
fn with_options(mut event: Value, random: &mut Random) -> Value {
    let members: &mut Map<String, Value> = event["properties"].as_object_mut().expect("it has properties");
    for option in 0..8 {
        if random.below(2) == 0 {
            members.insert(format!("option_{option}"), random.below(1000).into());
        }
    }
    event
}

fn with_text(mut event: Value, text: &str) -> Value {
    event["metadata"]["note"] = text.into();
    event
}

/// A linear congruential generator, Knuth's MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
