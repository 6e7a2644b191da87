//! Rows of page views as evwindow gives them, for measurements.

use evkit::metric::Metric;
use evkit::plan::{MetricText, Plan};
use evkit::time::{Timestamp, Window};
use evkit::value::Value;

use crate::windows::windows;

/// How many groups there are.
pub const GROUPS: usize = 100;

/// The query that makes these rows of windows of this length.
pub fn plan(tumbling: &str) -> Plan {
    let text = MetricText {
        name: Some("website_metrics".into()),
        tumbling: Some(tumbling.into()),
        by: Some("page_url, country, device_type".into()),
        agg: Some("count(*) AS page_views, sum(x) AS total, avg(x) AS avg_load_time".into()),
        ..MetricText::default()
    };
    Plan::build(&[text]).expect("the query is right")
}

/// So many rows of that query: each group's, a window of `length` microseconds after the other, up to `end`.
pub fn rows(count: usize, length: i64, end: i64) -> impl Iterator<Item = Metric> {
    let windows = windows(&plan("1m").queries[0].functions);
    let first = end - (count / GROUPS) as i64 * length;
    (0..count).map(move |number| {
        let start = Timestamp(first + (number / GROUPS) as i64 * length);
        let group = number % GROUPS;
        let (state, values) = &windows[number * 31 % windows.len()];
        Metric {
            metric: 0,
            window: Window::new(start, Timestamp(start.0 + length)),
            groups: [format!("/product/{group}"), "DE".into(), "mobile".into()]
                .map(|text| Value::Text(text.into()))
                .into(),
            aggregates: values.clone(),
            rank: None,
            revision: 0,
            is_final: true,
            retracted: false,
            state: Some(state.clone()),
        }
    })
}
