//! What one event costs on its way through the core, part by part: decode, filter, fold, merge, fire. One thread, in memory.
//!
//! `cargo bench --bench data_path`. Divide by `scripts/bench`'s whole processes to see what the edges add.

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use evkit::aggregate::{Accumulators, Function};
use evkit::batch::EventBatch;
use evkit::codec::ndjson::{Decoder, PADDING};
use evkit::codec::{TimeFrom, Wanted};
use evkit::event::Path;
use evkit::expr::{Program, parse};
use evkit::partition::PartitionId;
use evkit::plan::{MetricText, Plan};
use evkit::record::Block;
use evkit::time::{Duration, TimeFormat, Timestamp};
use evkit::watermark::{RunningMaximum, Sequenced, Sequencer, Step};
use evkit::window::operator::{Input, Operator};
use evkit::window::{Projected, Selected};

const EVENTS: usize = 2500;
const FIELDS: [&[&str]; 4] =
    [&["event_type"], &["properties", "currency"], &["properties", "amount"], &["properties", "product_id"]];

fn main() {
    divan::main();
}

/// The first `fields` of `FIELDS` out of every event of a block of about a mebibyte.
#[divan::bench(args = [0, 1, 3, 4])]
fn decode_ndjson(bencher: Bencher, fields: usize) {
    let bytes = events();
    let mut decoder = decoder(fields);
    bencher
        .counter(BytesCount::from(bytes.len()))
        .counter(ItemsCount::from(EVENTS))
        .with_inputs(|| block(&bytes))
        .bench_local_values(|block| decoder.decode(block));
}

#[divan::bench(args = [
    "event_type = 'purchase_completed'",
    "properties.amount > 50",
    "properties.amount * 1.19 > 50 AND upper(properties.currency) IN ('USD', 'EUR')",
])]
fn filter(bencher: Bencher, expression: &str) {
    let mut batch = batch();
    let resolve = |path: &Path| FIELDS.iter().position(|keys| *path == Path::of_keys(keys));
    let program =
        Program::compile(&parse(expression).expect("the filter is SQL"), &resolve).expect("its fields are there");
    let text_len = batch.text.len();
    bencher.counter(ItemsCount::from(EVENTS)).bench_local(|| {
        batch.text.truncate(text_len);
        let mut nulled = 0;
        black_box(program.select(&batch.columns, EVENTS, &mut batch.text, &mut nulled))
    });
}

/// Every event into one of a hundred groups.
#[divan::bench]
fn fold_sum(bencher: Bencher) {
    fold(bencher, Function::Sum);
}

#[divan::bench]
fn fold_count_distinct(bencher: Bencher) {
    fold(bencher, Function::CountDistinct);
}

#[divan::bench]
fn fold_approx_percentile(bencher: Bencher) {
    fold(bencher, Function::ApproxPercentile(0.95));
}

/// The partials of one table into those of another, group by group.
#[divan::bench]
fn merge_sums(bencher: Bencher) {
    merge(bencher, Function::Sum);
}

#[divan::bench]
fn merge_count_distinct(bencher: Bencher) {
    merge(bencher, Function::CountDistinct);
}

fn merge(bencher: Bencher, function: Function) {
    const GROUPS: u32 = 1000;
    let batch = batch();
    let mut one = Accumulators::new(&[function]);
    for _ in 0..GROUPS {
        one.add_group();
    }
    let rows: Vec<u32> = (0..EVENTS as u32).collect();
    let groups: Vec<u32> = rows.iter().map(|row| row % GROUPS).collect();
    one.update(0, &groups, &rows, Some(&batch.columns[2]), None, &batch, &mut 0);
    bencher.counter(ItemsCount::new(GROUPS)).with_inputs(|| one.clone()).bench_local_values(|mut into| {
        (0..GROUPS).for_each(|group| into.merge_group(group, &one, group));
        into
    });
}

/// A window of some nine hundred products: its rows made and put in order.
#[divan::bench]
fn fire(bencher: Bencher) {
    let text = MetricText {
        tumbling: Some("1h".into()),
        by: Some("properties.product_id".into()),
        agg: Some("count(*) AS n, sum(properties.amount) AS total".into()),
        ..MetricText::default()
    };
    let plan = Plan::build(&[text]).expect("the query is good");
    let time = TimeFrom::Field { path: Path::of_keys(&["timestamp"]), format: TimeFormat::Auto };
    let mut batch = Decoder::new(&Wanted { paths: plan.wanted.clone(), time }, 1 << 20).decode(block(&events()));
    plan.compute(&mut batch, &mut 0);
    let maximum = Arc::new(RunningMaximum::of(&batch.times));
    let (rows, selected) = (batch.rows(), Selected::of_all(&plan.queries, &batch));
    let projected = Projected { batch, partials: Vec::new(), maximum: Arc::clone(&maximum), selected };
    let mut sequencer = Sequencer::new(1, Duration(0));
    let (in_band, rejects) = (Default::default(), Default::default());
    sequencer.push(PartitionId(0), Sequenced { batch: 0, rows, maximum, in_band, rejects });
    let Step::Run(run) = sequencer.next(Timestamp::MAX) else { panic!("one batch is one run") };
    let folded = || {
        let mut operator = Operator::new(plan.queries.clone(), 1, false);
        let inputs = [Input { run: &run, projected: &projected }];
        let folded = operator.workers().iter_mut().map(|worker| worker.fold(&inputs)).collect();
        operator.apply(&inputs, folded, &mut Vec::new()).expect("no bound is reached");
        operator
    };
    bencher.with_inputs(folded).bench_local_values(|mut operator| {
        let mut out = Vec::new();
        operator.fire(Timestamp::MAX, &mut out);
        assert!(black_box(out).len() > 500);
        operator
    });
}

fn fold(bencher: Bencher, function: Function) {
    const GROUPS: u32 = 100;
    let batch = batch();
    let mut accumulators = Accumulators::new(&[function]);
    for _ in 0..GROUPS {
        accumulators.add_group();
    }
    let rows: Vec<u32> = (0..EVENTS as u32).collect();
    let groups: Vec<u32> = rows.iter().map(|row| row * 7919 % GROUPS).collect();
    let amounts = &batch.columns[2];
    bencher.counter(ItemsCount::from(EVENTS)).bench_local(|| {
        let mut nulled = 0;
        accumulators.update(0, &groups, &rows, Some(amounts), None, &batch, &mut nulled);
    });
}

fn batch() -> EventBatch {
    let batch = decoder(FIELDS.len()).decode(block(&events()));
    assert_eq!((batch.rows(), batch.rejects.len()), (EVENTS, 0), "every line is an event");
    batch
}

fn decoder(fields: usize) -> Decoder {
    let time = TimeFrom::Field { path: Path::of_keys(&["timestamp"]), format: TimeFormat::Auto };
    let paths = FIELDS[..fields].iter().map(|keys| Path::of_keys(keys)).collect();
    Decoder::new(&Wanted { paths, time }, 1 << 20)
}

/// A block with room behind its bytes, as the source makes them.
fn block(bytes: &[u8]) -> Block {
    let mut owned = Vec::with_capacity(bytes.len() + PADDING + 1);
    owned.extend_from_slice(bytes);
    Block { partition: PartitionId(0), offset: 0, from: 0, arrival: Timestamp(0), stamps: None, bytes: owned }
}

/// Lines of the shapes and lengths that a shop sends; the same ones always.
fn events() -> Vec<u8> {
    let mut out = String::new();
    let mut random = 7_u64;
    for number in 0..EVENTS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (chance, user) = (random >> 33, random >> 48);
        let kind = ["page_view", "product_view", "add_to_cart", "purchase_completed"][chance as usize % 4];
        let (seconds, millis) = (number / 1000, number % 1000);
        let (euros, cents, product) = (chance % 200, chance % 100, chance % 1000);
        let currency = ["USD", "EUR", "GBP"][user as usize % 3];
        out.push_str(&format!(
            r#"{{"event_id":"evt_{random:016x}","event_type":"{kind}","timestamp":"2026-02-16T10:30:{seconds:02}.{millis:03}Z","user_id":"user_{user}","session_id":"sess_{user:08x}","properties":{{"product_id":"prod_{product}","amount":{euros}.{cents:02},"currency":"{currency}","payment_method":"credit_card","country":"US"}},"metadata":{{"ip_address":"10.1.2.3","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","platform":"web"}}}}"#
        ));
        out.push('\n');
    }
    out.into_bytes()
}
