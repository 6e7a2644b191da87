//! A metric's query as it is kept beside its points: flags and their values, both ways.
//!
//! `evwindow` keeps it, and refuses another one of the same name; `evquery` reads it, to make windows of archived events that are
//! those of the live run. Knows nothing of where it is kept.

use anyhow::anyhow;
use clap::ValueEnum;

use crate::cli::evwindow::TimeFormatArg;
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::flags;
use crate::plan::MetricText;
use crate::store::{Catalogue, WindowKind};
use crate::time::Duration;

/// Says that a metric was merged of partials.
pub const MERGE: &str = "--merge";

/// What is rejected as too far in the future where nothing else is said.
pub const MAX_FUTURE: Duration = Duration(300_000_000);

/// All that decides a metric's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptQuery {
    /// The query itself.
    pub text: MetricText,
    /// By how much events may be out of order.
    pub watermark_delay: Duration,
    /// By how much they may be dated ahead; `None` takes any.
    pub max_future: Option<Duration>,
    /// The field that tells time.
    pub time_field: String,
    /// How.
    pub time_format: TimeFormatArg,
}

/// What decides a metric's rows of its own, by flag; empty values are flags that were not given.
pub fn query_of(text: &MetricText) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        ("--tumbling", or_none(&text.tumbling)),
        ("--sliding", or_none(&text.sliding)),
        ("--cumulate", or_none(&text.cumulate)),
        ("--session", or_none(&text.session)),
        ("--session-max", or_none(&text.session_max)),
        ("--window-offset", or_none(&text.window_offset)),
        ("--tz", or_none(&text.tz)),
        ("--where", or_none(&text.filter)),
        ("--by", or_none(&text.by)),
        ("--agg", or_none(&text.agg)),
        ("--having", or_none(&text.having)),
        ("--top", text.top.map_or(String::new(), |rows| rows.to_string())),
        ("--order-by", or_none(&text.order_by)),
        ("--with-ties", text.with_ties.to_string()),
        ("--allowed-lateness", or_none(&text.allowed_lateness)),
        ("--max-groups", text.max_groups.map_or(String::new(), |groups| groups.to_string())),
    ]
    .into_iter()
}

impl KeptQuery {
    /// The query that was kept as these flags; `None` where none was. Refuses one that reads no events by their own times.
    pub fn read(kept: &[(String, String)], catalogue: &Catalogue) -> anyhow::Result<Option<KeptQuery>> {
        let value = |flag: &str| {
            let found = kept.iter().find(|(known, _)| known == flag);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let name = &catalogue.name;
        let refuse =
            |cause: &str| Err(anyhow!("cannot make '{name}' of archived events: {cause}")).exit_code(ExitCode::Usage);
        let Some(delay) = value("--watermark-delay") else { return Ok(None) };
        if value(MERGE).is_some() {
            return refuse("it was merged of partials, which do not tell their query");
        }
        let Some(time_field) = value("--time-field") else {
            return refuse("its windows follow the clock (--time processing), and not the times of events");
        };
        let damaged =
            |flag: &str| anyhow!("cannot read the query that made '{name}': '{flag}' has no value of its kind");
        let watermark_delay = flags::duration(&delay).map_err(|_| damaged("--watermark-delay"))?;
        let max_future = match value("--max-future") {
            Some(text) => flags::duration_or_none(&text).map_err(|_| damaged("--max-future"))?.0,
            None => Some(MAX_FUTURE),
        };
        let time_format = value("--time-format").unwrap_or_default();
        let number = |flag: &str| value(flag).map(|text| text.parse::<u32>().map_err(|_| damaged(flag))).transpose();
        let text = MetricText {
            name: Some(name.clone()),
            tumbling: value("--tumbling"),
            sliding: value("--sliding"),
            cumulate: value("--cumulate"),
            session: value("--session"),
            session_max: value("--session-max"),
            global: catalogue.window == WindowKind::Global,
            window_offset: value("--window-offset"),
            tz: value("--tz"),
            filter: value("--where"),
            by: value("--by"),
            agg: value("--agg"),
            having: value("--having"),
            top: number("--top")?.map(|rows| rows as usize),
            order_by: value("--order-by"),
            with_ties: value("--with-ties").is_some_and(|value| value == "true"),
            allowed_lateness: value("--allowed-lateness"),
            max_groups: number("--max-groups")?,
            to: None,
        };
        let time_format = TimeFormatArg::from_str(&time_format, true).map_err(|_| damaged("--time-format"))?;
        Ok(Some(KeptQuery { text, watermark_delay, max_future, time_field, time_format }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    fn catalogue(text: &MetricText) -> Catalogue {
        let plan = Plan::build(std::slice::from_ref(text)).unwrap();
        Catalogue::of(text, &plan.schemas[0], &plan.queries[0].functions)
    }

    fn kept(text: &MetricText, others: &[(&str, &str)]) -> Vec<(String, String)> {
        let others = others.iter().map(|(flag, value)| (flag.to_string(), value.to_string()));
        others.chain(query_of(text).map(|(flag, value)| (flag.to_owned(), value))).collect()
    }

    const BY_EVENTS: [(&str, &str); 3] = [("--watermark-delay", "2s"), ("--time-field", "at"), ("--time-format", "ms")];

    #[test]
    fn a_query_reads_back_as_it_was_kept() {
        let some = |text: &str| Some(text.to_owned());
        for text in [
            MetricText {
                name: some("m"),
                tumbling: some("1m"),
                filter: some("a = ''"),
                by: some("a, b.c AS d"),
                agg: some("count(*) AS n, median(x)"),
                having: some("n > 1"),
                top: Some(3),
                order_by: some("n DESC"),
                with_ties: true,
                allowed_lateness: some("4s"),
                max_groups: Some(7),
                tz: None,
                ..MetricText::default()
            },
            MetricText { name: some("g"), global: true, ..MetricText::default() },
            MetricText { name: some("s"), session: some("30m"), session_max: some("1d"), ..MetricText::default() },
        ] {
            let read = KeptQuery::read(&kept(&text, &BY_EVENTS), &catalogue(&text)).unwrap().unwrap();
            assert_eq!(read.text, text);
            assert_eq!((read.watermark_delay, read.max_future), (Duration(2_000_000), Some(MAX_FUTURE)));
            assert_eq!((&*read.time_field, read.time_format), ("at", TimeFormatArg::Ms));
        }
    }

    #[test]
    fn what_reads_no_events_by_their_times_is_refused() {
        let text = MetricText { name: Some("m".into()), tumbling: Some("1m".into()), ..MetricText::default() };
        let read = |others: &[(&str, &str)]| KeptQuery::read(&kept(&text, others), &catalogue(&text));
        assert_eq!(read(&[]).unwrap(), None, "nothing was kept");
        let check = |others: &[(&str, &str)], expected: &str| {
            let refused = read(others).unwrap_err();
            let refused: Vec<String> = refused.chain().map(ToString::to_string).collect();
            assert!(refused.iter().any(|text| text.contains(expected)), "{others:?}: {refused:?}");
        };
        let clocked = [("--watermark-delay", "2s"), ("--time", "processing")];
        check(&clocked, "cannot make 'm' of archived events: its windows follow the clock");
        check(&[&BY_EVENTS[..], &[("--merge", "true")]].concat(), "it was merged of partials");
        check(&[("--watermark-delay", "soon"), ("--time-field", "at")], "'--watermark-delay' has no value of its kind");
    }
}
