//! States and values of windows, for measurements of what comes behind them: folding events is not what is measured.

use evkit::aggregate::{Accumulators, Function};
use evkit::batch::{Column, EventBatch, LineSpan};
use evkit::partition::PartitionId;
use evkit::time::Timestamp;
use evkit::value::Value;

/// State and values of a row.
pub type Kept = (Box<[u8]>, Box<[Value]>);

/// Some hundred windows of some events each, with amounts in cents. The first function is `count(*)`, and the others take the amount.
pub fn windows(functions: &[Function]) -> Vec<Kept> {
    let mut random = 7_u64;
    (0..997).map(|_| window(functions, &mut random)).collect()
}

fn window(functions: &[Function], random: &mut u64) -> Kept {
    let mut next = || {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *random >> 33
    };
    let events = 1 + (next() % 40) as usize;
    let mut column = Column::new();
    for _ in 0..events {
        column.push_value(&Value::Float((next() % 30_000) as f64 / 100.0), &mut Vec::new());
    }
    let batch = EventBatch {
        stamps: None,
        partition: PartitionId(0),
        offset: 0,
        line: 0,
        text: Vec::new(),
        times: vec![Timestamp(0); events],
        spans: vec![LineSpan { start: 0, len: 1, line: 0 }; events],
        columns: vec![column],
        rejects: Vec::new(),
        in_band: Vec::new(),
        lines: 0,
        blank: 0,
        result_lines: Vec::new(),
    };
    let mut accumulators = Accumulators::new(functions);
    accumulators.add_group();
    let rows: Vec<u32> = (0..events as u32).collect();
    for aggregate in 0..functions.len() {
        let input = (aggregate > 0).then(|| &batch.columns[0]);
        accumulators.update(aggregate, &vec![0; events], &rows, input, None, &batch, &mut 0);
    }
    let mut state = Vec::new();
    accumulators.encode_group(0, &mut state);
    (state.into(), (0..functions.len()).map(|aggregate| accumulators.finish(aggregate, 0, Some(60.0))).collect())
}
