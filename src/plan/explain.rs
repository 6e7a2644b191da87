//! The plan in words, with every effective value: what `--explain` prints.
//!
//! Knows nothing of where it is printed.

use std::fmt::Write;

use crate::metric::MetricSchema;
use crate::plan::{MetricText, Plan};
use crate::window::Query;

impl Plan {
    /// Describes the plan, one value a line. `stream` are the settings that all metrics share, by flag.
    pub fn explain(&self, stream: &[(&str, String)]) -> String {
        let mut text = String::new();
        let mut say = |line: std::fmt::Arguments| {
            let _ = writeln!(text, "{line}");
        };
        say(format_args!("stream"));
        for (flag, value) in stream {
            say(format_args!("  {flag:<19} {value}"));
        }
        let wanted: Vec<String> = self.wanted.iter().map(ToString::to_string).collect();
        say(format_args!(
            "  {:<19} {}",
            "decodes",
            if wanted.is_empty() { "(no field)".into() } else { wanted.join(", ") }
        ));
        for computed in &self.computed {
            say(format_args!("  {:<19} {}", "computes", computed.text));
        }
        for ((metric, query), schema) in self.texts.iter().zip(&self.queries).zip(&self.schemas) {
            say(format_args!("metric {}", schema.name));
            for (flag, value) in settings(metric, query, schema) {
                say(format_args!("  {flag:<19} {value}"));
            }
            say(format_args!("  {:<19} {}", "group columns", or_none(&schema.groups)));
            say(format_args!("  {:<19} {}", "aggregates", or_none(&schema.aggregates)));
        }
        text
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "(none)".into() } else { names.join(", ") }
}

/// The settings of a metric that are in force, by flag.
fn settings(metric: &MetricText, query: &Query, schema: &MetricSchema) -> Vec<(&'static str, String)> {
    let has_edges = metric.session.is_none() && !metric.global;
    let first = || format!("{} DESC", schema.aggregates[0]);
    let given = [
        ("--tumbling", metric.tumbling.clone()),
        ("--sliding", metric.sliding.clone()),
        ("--cumulate", metric.cumulate.clone()),
        ("--session", metric.session.clone()),
        ("--session-max", metric.session_max.clone()),
        ("--global", metric.global.then(|| "one window over everything".into())),
        ("--window-offset", has_edges.then(|| metric.window_offset.clone().unwrap_or_else(|| "0s".into()))),
        ("--tz", has_edges.then(|| metric.tz.clone().unwrap_or_else(|| "UTC".into()))),
        ("--where", Some(metric.filter.clone().unwrap_or_else(|| "(every event)".into()))),
        ("--by", Some(metric.by.clone().unwrap_or_else(|| "(one group)".into()))),
        ("--agg", Some(metric.agg.clone().unwrap_or_else(|| "count(*) AS count".into()))),
        ("--having", metric.having.clone()),
        ("--top", metric.top.map(|rows| rows.to_string())),
        ("--order-by", metric.top.map(|_| metric.order_by.clone().unwrap_or_else(first))),
        ("--with-ties", metric.with_ties.then(|| "yes".into())),
        ("--allowed-lateness", Some(query.allowed_lateness.to_string())),
        ("--max-groups", Some(query.limit.groups_max.to_string())),
        ("--to", metric.to.clone()),
    ];
    given.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect()
}
