//! Rows of page views as evwindow gives them, for measurements.

use evkit::aggregate::{Accumulators, Function};
use evkit::metric::Metric;
use evkit::time::{Timestamp, Window};
use evkit::value::Value;

/// How many groups there are.
pub const GROUPS: usize = 100;

/// So many rows of `count(*)`, `sum(x)` and `avg(x)` by page, country and device: each group's, a window of `length` microseconds after
/// the other, up to `end`.
pub fn rows(count: usize, length: i64, end: i64) -> impl Iterator<Item = Metric> {
    let mut accumulators = Accumulators::new(&[Function::Count, Function::Sum, Function::Avg]);
    accumulators.add_group();
    let mut state = Vec::new();
    accumulators.encode_group(0, &mut state);
    let first = end - (count / GROUPS) as i64 * length;
    (0..count).map(move |number| {
        let start = Timestamp(first + (number / GROUPS) as i64 * length);
        let group = number % GROUPS;
        Metric {
            metric: 0,
            window: Window::new(start, Timestamp(start.0 + length)),
            groups: [format!("/product/{group}"), "DE".into(), "mobile".into()]
                .map(|text| Value::Text(text.into()))
                .into(),
            aggregates: [
                Value::Int(number as i128),
                Value::Float(number as f64 * 19.99),
                Value::Float(number as f64 / 7.0),
            ]
            .into(),
            rank: None,
            revision: 0,
            is_final: true,
            retracted: false,
            state: Some(state.as_slice().into()),
        }
    })
}
