//! `evquery admin` and `--check`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::cli::about;
use crate::cli::archive::explained_archive;
use crate::cli::evquery::config::in_words;
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::flags::TimeFlag;
use crate::source::clock::SystemClock;
use crate::store::retention::{Limits, retain};
use crate::time::{Clock, Duration};

/// `evquery admin retention`.
pub(crate) fn retention(
    path: &Path,
    hot: Option<Duration>,
    cold: Option<Duration>,
    now: Option<&TimeFlag>,
) -> anyhow::Result<ExitCode> {
    if hot.is_none() && cold.is_none() {
        return Err(anyhow!("neither --hot nor --cold says what is too old"))
            .hint("keep 90 days of points and a year of roll-ups: --hot 90d --cold 1y")
            .exit_code(ExitCode::Usage);
    }
    if let (Some(hot), Some(cold)) = (hot, cold)
        && hot > cold
    {
        return Err(anyhow!("cannot take --hot '{hot}': it is longer than --cold '{cold}'")).exit_code(ExitCode::Usage);
    }
    if !path.exists() {
        return in_words(Err(crate::store::StoreError::Missing { path: path.to_path_buf() }));
    }
    let clock = SystemClock.now();
    let now = match now {
        Some(flag) => flag.resolve(clock).context("cannot take --now").exit_code(ExitCode::Usage)?,
        None => clock,
    };
    let mut told = String::new();
    for dropped in in_words(retain(path, Limits { hot, cold }, now))? {
        let kept = dropped.kept_from.map_or_else(String::new, |time| format!("; points are kept from {time} on"));
        told.push_str(&format!(
            "{}: {} points and {} roll-ups dropped{kept}\n",
            dropped.metric, dropped.points, dropped.roll_ups
        ));
    }
    about::print(printable(&told).as_bytes())?;
    Ok(ExitCode::Ok)
}

/// `evquery admin retention --archive`.
pub(crate) fn archive_retention(folder: &Path, cold: Duration, now: Option<&TimeFlag>) -> anyhow::Result<ExitCode> {
    let clock = SystemClock.now();
    let now = match now {
        Some(flag) => flag.resolve(clock).context("cannot take --now").exit_code(ExitCode::Usage)?,
        None => clock,
    };
    let dropped = crate::archive::retention::retain(folder, cold, now).map_err(explained_archive)?;
    let kept = dropped.kept_from.map_or_else(String::new, |time| format!("; events are kept from {time} on"));
    let told = format!("{}: {} events in {} files dropped{kept}\n", folder.display(), dropped.rows, dropped.files);
    about::print(printable(&told).as_bytes())?;
    Ok(ExitCode::Ok)
}

/// `evquery --check`.
pub(crate) fn check(path: &Path, quiet: bool) -> anyhow::Result<ExitCode> {
    let report = in_words(crate::store::check::check(path))?;
    if report.findings.is_empty() {
        if !quiet {
            let (metrics, series) = (report.metrics, report.series);
            let told = format!(
                "the store '{}' is whole: {metrics} metrics, {series} series, {} points, {} roll-ups\n",
                path.display(),
                report.points,
                report.roll_ups
            );
            about::print(printable(&told).as_bytes())?;
        }
        return Ok(ExitCode::Ok);
    }
    let told: String = report.findings.iter().map(|finding| format!("evquery: {finding}\n")).collect();
    // Without a stderr there is nobody to tell.
    let _ = std::io::stderr().write_all(printable(&told).as_bytes());
    Err(anyhow!("the store '{}' is damaged in {} places", path.display(), report.findings.len()))
        .hint("restore the file from a copy, or remove it and run evwindow over the events again")
}
