//! evquery's checked configuration: the store's path, and what is asked with all times told.

use std::path::PathBuf;

use anyhow::{Context, anyhow};

use crate::cli::evquery::args::{Args, OutputArgs, QueryArgs, TimeArgs};
use crate::cli::evwindow::FormatArg;
use crate::cli::exit::{ExitCode, ReportContext};
use crate::codec::encode::OutputFormat;
use crate::query::Asked;
use crate::source::address::{Address, InfluxAddress, KafkaAddress};
use crate::store::{StoreError, default_path};
use crate::time::Timestamp;

/// The topic that is followed, if `--from` names one.
pub fn topic(args: &Args) -> anyhow::Result<Option<KafkaAddress>> {
    let Some(text) = &args.from else { return Ok(None) };
    match Address::parse(text).context("cannot take --from").exit_code(ExitCode::Usage)? {
        Address::Kafka(topic) => Ok(Some(topic)),
        _ => Ok(None),
    }
}

/// Where the metrics are that are asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// The local store of this path.
    Store(PathBuf),
    /// A bucket.
    Influx(InfluxAddress),
    /// The raw events in this folder, and nothing beside.
    Archive(PathBuf),
}

/// Where the metrics are that are asked for.
pub fn place(args: &Args) -> anyhow::Result<Place> {
    let Some(text) = &args.from else { return in_words(default_path()).map(Place::Store) };
    match Address::parse(text).context("cannot take --from").exit_code(ExitCode::Usage)? {
        Address::Store(Some(path)) => Ok(Place::Store(path)),
        Address::Store(None) => in_words(default_path()).map(Place::Store),
        Address::Influx(bucket) => Ok(Place::Influx(bucket)),
        Address::Archive(folder) => Ok(Place::Archive(folder)),
        other => Err(anyhow!("cannot take --from '{other}': evquery reads a store"))
            .hint(format!("name it as store:{other}"))
            .exit_code(ExitCode::Usage),
    }
}

/// A store's error with its hint and exit code.
pub fn in_words<T>(result: Result<T, StoreError>) -> anyhow::Result<T> {
    let hint = result.as_ref().err().and_then(StoreError::hint);
    let is_fenced = result.as_ref().is_err_and(StoreError::is_fenced);
    let is_unavailable = result.as_ref().is_err_and(StoreError::is_unavailable);
    let result = result.hint_if(hint);
    match (is_fenced, is_unavailable) {
        (true, _) => result.exit_code(ExitCode::Fenced),
        (_, true) => result.exit_code(ExitCode::Upstream),
        _ => result,
    }
}

/// What is asked of a metric.
pub fn asked(query: &QueryArgs, time: &TimeArgs, follow: bool, now: Timestamp) -> anyhow::Result<Asked> {
    let now = match &time.now {
        Some(flag) => flag.resolve(now).context("cannot take --now").exit_code(ExitCode::Usage)?,
        None => now,
    };
    let resolve = |flag: &Option<crate::cli::flags::TimeFlag>, name: &'static str| {
        let time = flag.as_ref().map(|flag| flag.resolve(now)).transpose();
        time.with_context(|| format!("cannot take --{name}")).exit_code(ExitCode::Usage)
    };
    let (mut from, mut until) = (resolve(&time.start, "start")?, resolve(&time.until, "until")?);
    if let Some(last) = time.last {
        (from, until) = (Some(Timestamp(now.0.saturating_sub(last.0))), Some(now));
    }
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        return Err(anyhow!("cannot take --until '{until}': it is not after --start '{from}'"))
            .exit_code(ExitCode::Usage);
    }
    if query.order_by.is_some() && query.top.is_none() {
        return Err(anyhow!("cannot take --order-by: it says which rows --top shows, but --top is not given"))
            .exit_code(ExitCode::Usage);
    }
    let window = if follow { crate::query::WindowAsked::Own } else { query.window.unwrap_or_default() };
    Ok(Asked {
        fields: query.field.clone(),
        by: if query.total { Some(Vec::new()) } else { (!query.by.is_empty()).then(|| query.by.clone()) },
        filter: query.filter.clone(),
        from,
        until,
        window,
        agg: (!query.agg.is_empty()).then(|| query.agg.join(", ")),
        top: query.top.map(|top| top as usize),
        order_by: query.order_by.clone(),
        with_ties: false,
        having: None,
        fill: query.fill.into(),
        compare: query.compare,
    })
}

/// How rows are written.
pub fn format(output: &OutputArgs, is_terminal: bool) -> OutputFormat {
    match output.format {
        Some(FormatArg::Ndjson) => OutputFormat::Ndjson,
        Some(FormatArg::Json) => OutputFormat::Json,
        Some(FormatArg::Csv) => OutputFormat::Csv,
        Some(FormatArg::LineProtocol) => OutputFormat::LineProtocol,
        Some(FormatArg::Table) => OutputFormat::Table,
        None if is_terminal => OutputFormat::Table,
        None => OutputFormat::Ndjson,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::time::Duration;

    const NOW: Timestamp = Timestamp(100 * 86_400_000_000);

    fn of(arguments: &str) -> anyhow::Result<Asked> {
        let arguments = ["evquery", "m"].into_iter().chain(arguments.split_whitespace());
        let args = Args::try_parse_from(arguments)?;
        asked(&args.query, &args.time, args.output.follow, NOW)
    }

    #[track_caller]
    fn check(arguments: &str, expected: (Option<i64>, Option<i64>)) {
        let asked = of(arguments).unwrap();
        let days = |time: Option<Timestamp>| time.map(|time| time.0 / 86_400_000_000);
        assert_eq!((days(asked.from), days(asked.until)), expected, "{arguments}");
    }

    #[test]
    fn times_count_from_now() {
        check("", (None, None));
        check("--last 7d", (Some(93), Some(100)));
        check("--last 1y --now 1971-01-01", (Some(0), Some(365)));
        check("--start -2d --until -1d", (Some(98), Some(99)));
        check("--start 1970-01-11", (Some(10), None));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for arguments in [
            "--last 1d --start -1h",
            "--start now --until -1h",
            "--order-by x",
            "--total --by a",
            "--follow --window 1h",
            "--chart -f csv",
            "--field a --agg sum(a)",
        ] {
            assert!(of(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn groups_and_fields_are_lists() {
        let asked = of("--by a,b --field c --field d --compare 7d").unwrap();
        assert_eq!(asked.by, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(asked.fields, ["c", "d"]);
        assert_eq!(asked.compare, Some(Duration(7 * 86_400_000_000)));
        assert_eq!(of("--total").unwrap().by, Some(vec![]));
        assert_eq!(of("").unwrap().by, None);
    }
}
