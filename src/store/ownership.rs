//! Who writes a metric: jobs, their fingerprints, their epochs.
//!
//! A job owns its metrics. The same query goes on with them; another one is refused with what differs, or drops them. Locks keep a
//! second living writer out; the epoch, which each owner raises, fences one that was paused while it lost them.
//! Knows nothing of points.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::plan::meaning::meaning;
use crate::store::catalogue::{Catalogue, WindowKind};
use crate::store::error::{Fault, Inner, MEANS_POINTS, StoreError};
use crate::store::lock::Locks;
use crate::store::schema;
use crate::store::writer::{Job, Resume, SourceOffset};

/// What a writer owns.
#[derive(Debug)]
pub(crate) struct Owned {
    /// Number of the job.
    pub job: i64,
    /// The owner's epoch.
    pub epoch: i64,
    /// Numbers of the metrics, in the job's order.
    pub metrics: Vec<i64>,
    /// Where the last run ended.
    pub resume: Option<Resume>,
    /// Whether metrics were dropped whose points wait to be swept away.
    pub dropped: bool,
}

/// What may be done beside whoever owns metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Windows made anew of the events that their owner read. Metrics that are not there are made.
    Backfill,
    /// Late events brought in, by this means.
    Repair(&'static str),
    /// The same for a part of them, while this process has the right to.
    Part(&'static str),
}

/// A metric as the store has it.
#[derive(Debug)]
struct Known {
    id: i64,
    job: i64,
    name: String,
    catalogue: String,
}

/// Takes the metrics of a job for this process.
pub(crate) fn take(connection: &Connection, path: &Path, job: &Job, locks: &mut Locks) -> Result<Owned, StoreError> {
    in_transaction(connection, path, || take_within(connection, path, job, locks))
}

/// Does all of the work, or, where it fails, nothing of it.
fn in_transaction(
    connection: &Connection,
    path: &Path,
    work: impl FnOnce() -> Result<Owned, StoreError>,
) -> Result<Owned, StoreError> {
    let failed = |error: rusqlite::Error| Fault::from(error).at("write to", path);
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let taken = work().and_then(|owned| {
        connection.execute_batch("COMMIT").map_err(failed)?;
        Ok(owned)
    });
    if taken.is_err() {
        // The transaction may have ended by itself, as when the disk is full.
        let _ = connection.execute_batch("ROLLBACK");
    }
    taken
}

fn take_within(connection: &Connection, path: &Path, job: &Job, locks: &mut Locks) -> Result<Owned, StoreError> {
    let failed = |fault: Fault| fault.at("write to", path);
    let known = find(connection, job).map_err(failed)?;
    for metric in &known {
        lock(connection, path, metric.id, &metric.name, metric.job, locks)?;
    }
    if job.reset {
        for metric in &known {
            drop_metric(connection, metric).map_err(failed)?;
        }
    } else if let Some(first) = known.first() {
        if let Some((metric, changes)) = differences(connection, job, &known).map_err(failed)? {
            return Err(StoreError::Changed { metric, path: path.to_path_buf(), changes });
        }
        let epoch = raise_epoch(connection, first.job).map_err(failed)?;
        let resume = resume(connection, first.job).map_err(failed)?;
        let metrics = known.iter().map(|metric| metric.id).collect();
        return Ok(Owned { job: first.job, epoch, metrics, resume, dropped: false });
    }
    let (number, metrics) = insert(connection, job).map_err(failed)?;
    for (id, catalogue) in metrics.iter().zip(&job.metrics) {
        lock(connection, path, *id, &catalogue.name, number, locks)?;
    }
    Ok(Owned { job: number, epoch: 1, metrics, resume: None, dropped: job.reset && !known.is_empty() })
}

/// Takes the points of a job's metrics to be made anew, or added to, beside whoever owns the metrics.
pub(crate) fn take_beside(
    connection: &Connection,
    path: &Path,
    job: &Job,
    purpose: Beside,
    locks: &mut Locks,
) -> Result<Owned, StoreError> {
    in_transaction(connection, path, || beside_within(connection, path, job, purpose, locks))
}

fn beside_within(
    connection: &Connection,
    path: &Path,
    job: &Job,
    purpose: Beside,
    locks: &mut Locks,
) -> Result<Owned, StoreError> {
    let failed = |fault: Fault| fault.at("write to", path);
    let known = find(connection, job).map_err(failed)?;
    let (number, metrics) = match known.first() {
        Some(first) => {
            if let Some((metric, changes)) = differences(connection, job, &known).map_err(failed)? {
                return Err(StoreError::Changed { metric, path: path.to_path_buf(), changes });
            }
            (first.job, known.iter().map(|metric| metric.id).collect())
        }
        None if purpose == Beside::Backfill => insert(connection, job).map_err(failed)?,
        None => {
            let metric = job.metrics.first().map_or_else(String::new, |catalogue| catalogue.name.clone());
            return Err(StoreError::Unknown { metric, path: path.to_path_buf() });
        }
    };
    for (id, catalogue) in metrics.iter().zip(&job.metrics) {
        if !matches!(purpose, Beside::Part(_)) && !locks.take_rewriting(path, *id)? {
            let (metric, path) = (catalogue.name.clone(), path.to_path_buf());
            return Err(StoreError::Owned { metric, path, owner: "another backfill or repair".into() });
        }
    }
    schema::forget_backfills(connection).map_err(failed)?;
    let before = repaired_by(connection, number).map_err(failed)?;
    let (metric, path) = (job.metrics[0].name.clone(), path.to_path_buf());
    match (purpose, before) {
        // An event that was late for the owner may be in time for a backfill, by what partitions lagged behind.
        (Beside::Backfill, Some(before)) if before == MEANS_POINTS => {
            return Err(StoreError::Mended { metric, path });
        }
        (Beside::Repair(means) | Beside::Part(means), Some(before)) if before != means => {
            return Err(StoreError::Repaired { metric, path, before });
        }
        _ => {}
    }
    Ok(Owned { job: number, epoch: 0, metrics, resume: None, dropped: false })
}

/// By what means the late events of a job have been repaired so far.
fn repaired_by(connection: &Connection, job: i64) -> Inner<Option<String>> {
    let mut statement = connection.prepare("SELECT means FROM repairs WHERE job = ?1")?;
    Ok(statement.query_row([job], |row| row.get(0)).optional()?)
}

/// The metrics of a job that the store has, in the job's order.
fn find(connection: &Connection, job: &Job) -> Inner<Vec<Known>> {
    let mut statement = connection.prepare("SELECT id, job, name, catalogue FROM metrics WHERE name = ?1")?;
    let mut known = Vec::new();
    for catalogue in &job.metrics {
        let found = statement.query_row([&catalogue.name], |row| {
            Ok(Known { id: row.get(0)?, job: row.get(1)?, name: row.get(2)?, catalogue: row.get(3)? })
        });
        known.extend(found.optional()?);
    }
    Ok(known)
}

fn lock(
    connection: &Connection,
    path: &Path,
    metric: i64,
    name: &str,
    job: i64,
    locks: &mut Locks,
) -> Result<(), StoreError> {
    if locks.take(path, metric)? {
        return Ok(());
    }
    let owner = connection.query_row("SELECT owner FROM jobs WHERE id = ?1", [job], |row| row.get::<_, String>(0));
    let owner = owner.unwrap_or_else(|_| "another process".into());
    Err(StoreError::Owned { metric: name.to_owned(), path: path.to_path_buf(), owner })
}

/// The first metric that another query made, and what differs.
fn differences(connection: &Connection, job: &Job, known: &[Known]) -> Inner<Option<(String, String)>> {
    let first = &known[0];
    let names = |job: i64| -> Inner<Vec<String>> {
        let mut statement =
            connection.prepare("SELECT name FROM metrics WHERE job = ?1 AND name IS NOT NULL ORDER BY id")?;
        Ok(statement.query_map([job], |row| row.get(0))?.collect::<Result<_, _>>()?)
    };
    let stored_together = names(first.job)?;
    let wanted: Vec<String> = job.metrics.iter().map(|catalogue| catalogue.name.clone()).collect();
    if stored_together != wanted {
        let stored = stored_together.join("', '");
        let changes = format!("it stored '{stored}' together, and this one stores '{}'", wanted.join("', '"));
        return Ok(Some((first.name.clone(), changes)));
    }
    for (metric, catalogue) in known.iter().zip(&job.metrics) {
        let stored: Catalogue = serde_json::from_str(&metric.catalogue)
            .map_err(|error| Fault::Damaged(format!("the catalogue of '{}': {error}", metric.name)))?;
        if stored != *catalogue {
            return Ok(Some((metric.name.clone(), catalogue_changes(&stored, catalogue))));
        }
    }
    let text: String =
        connection.query_row("SELECT fingerprint FROM jobs WHERE id = ?1", [first.job], |row| row.get(0))?;
    let stored: Vec<(String, String)> = serde_json::from_str(&text)
        .map_err(|error| Fault::Damaged(format!("the fingerprint of '{}': {error}", first.name)))?;
    let changes = fingerprint_changes(&stored, &job.fingerprint);
    Ok((!changes.is_empty()).then(|| (first.name.clone(), changes)))
}

/// What differs between two catalogues of one metric, in the words of the flags.
pub(crate) fn catalogue_changes(stored: &Catalogue, wanted: &Catalogue) -> String {
    let parts = |catalogue: &Catalogue| -> Vec<(String, String)> {
        let fields = catalogue.fields.iter().map(|field| format!("{} AS {}", field.expression, field.name));
        let having = catalogue.having.clone().unwrap_or_default();
        [
            ("the window", window(catalogue)),
            ("--by", catalogue.groups.join(", ")),
            ("--agg", fields.collect::<Vec<_>>().join(", ")),
            ("--having", having),
            ("--top", if catalogue.ranked { "given" } else { "" }.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    };
    fingerprint_changes(&parts(stored), &parts(wanted))
}

/// A metric's windows as the flags say them.
fn window(catalogue: &Catalogue) -> String {
    let mut text = match catalogue.window {
        WindowKind::Tumbling { length } => format!("--tumbling {length}"),
        WindowKind::Sliding { length, slide } => format!("--sliding {length}/{slide}"),
        WindowKind::Cumulative { length, step } => format!("--cumulate {length}/{step}"),
        WindowKind::Session { gap } => format!("--session {gap}"),
        WindowKind::Global => "--global".to_owned(),
    };
    if catalogue.offset.0 != 0 {
        text.push_str(&format!(" --window-offset {}", catalogue.offset));
    }
    text.extend(catalogue.zone.iter().map(|zone| format!(" --tz {zone}")));
    text
}

/// What differs, by name, in the order of `wanted`, in the words in which it was said; empty when all means the same.
pub(crate) fn fingerprint_changes(stored: &[(String, String)], wanted: &[(String, String)]) -> String {
    let value = |parts: &[(String, String)], name: &str| {
        parts.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let meant = |name: &str, value: &Option<String>| meaning(name, value.as_deref().unwrap_or_default());
    let gone = stored.iter().filter(|(name, _)| !wanted.iter().any(|(other, _)| other == name));
    let mut changes = Vec::new();
    for (name, _) in wanted.iter().chain(gone) {
        changes.extend(match (value(stored, name), value(wanted, name)) {
            (was, is) if meant(name, &was) == meant(name, &is) => None,
            (Some(was), Some(is)) => Some(format!("{name} was '{was}' and is '{is}'")),
            (Some(was), None) => Some(format!("{name} was '{was}' and is not given")),
            (None, Some(is)) => Some(format!("{name} was not given and is '{is}'")),
            (None, None) => None,
        });
    }
    changes.join("; ")
}

/// Takes a metric out of sight; its points are swept away later, in slices.
fn drop_metric(connection: &Connection, metric: &Known) -> Inner<()> {
    connection.execute("UPDATE metrics SET name = NULL WHERE id = ?1", [metric.id])?;
    connection.execute("DELETE FROM changes WHERE metric = ?1", [metric.id])?;
    let left: i64 = connection.query_row(
        "SELECT count(*) FROM metrics WHERE job = ?1 AND name IS NOT NULL",
        [metric.job],
        |row| row.get(0),
    )?;
    if left == 0 {
        connection.execute("DELETE FROM source_offsets WHERE job = ?1", [metric.job])?;
        connection.execute("DELETE FROM repairs WHERE job = ?1", [metric.job])?;
        connection.execute("DELETE FROM jobs WHERE id = ?1", [metric.job])?;
    }
    Ok(())
}

fn insert(connection: &Connection, job: &Job) -> Inner<(i64, Vec<i64>)> {
    let json = |error: serde_json::Error| Fault::Damaged(error.to_string());
    let fingerprint = serde_json::to_string(&job.fingerprint).map_err(json)?;
    connection.execute(
        "INSERT INTO jobs (fingerprint, epoch, owner) VALUES (?1, 1, ?2)",
        params![fingerprint, this_process()],
    )?;
    let number = connection.last_insert_rowid();
    let mut metrics = Vec::new();
    for catalogue in &job.metrics {
        let text = serde_json::to_string(catalogue).map_err(json)?;
        connection.execute(
            "INSERT INTO metrics (name, catalogue, job, points, refused, kept_from, rolled_from)
             VALUES (?1, ?2, ?3, 0, 0, ?4, ?4)",
            params![catalogue.name, text, number, i64::MIN],
        )?;
        metrics.push(connection.last_insert_rowid());
    }
    Ok((number, metrics))
}

/// The query that made a metric, of those that were stored with it: each flag, and its value.
pub(crate) fn query_of(connection: &Connection, metric: i64, name: &str) -> Inner<Vec<(String, String)>> {
    let mut statement =
        connection.prepare("SELECT fingerprint FROM jobs WHERE id = (SELECT job FROM metrics WHERE id = ?1)")?;
    let Some(text) = statement.query_row([metric], |row| row.get::<_, String>(0)).optional()? else {
        return Ok(Vec::new());
    };
    let all: Vec<(String, String)> =
        serde_json::from_str(&text).map_err(|error| Fault::Damaged(format!("the fingerprint of '{name}': {error}")))?;
    let own = format!(" of '{name}'");
    let part = |(flag, value): (String, String)| match flag.strip_suffix(&own) {
        Some(flag) => Some((flag.to_owned(), value)),
        None => (!flag.contains(' ')).then_some((flag, value)),
    };
    Ok(all.into_iter().filter_map(part).collect())
}

fn raise_epoch(connection: &Connection, job: i64) -> Inner<i64> {
    let mut statement =
        connection.prepare("UPDATE jobs SET epoch = epoch + 1, owner = ?2 WHERE id = ?1 RETURNING epoch")?;
    Ok(statement.query_row(params![job, this_process()], |row| row.get(0))?)
}

fn this_process() -> String {
    format!("process {}", std::process::id())
}

fn resume(connection: &Connection, job: i64) -> Inner<Option<Resume>> {
    let state = connection.query_row("SELECT state FROM jobs WHERE id = ?1", [job], |row| row.get(0))?;
    let mut statement = connection
        .prepare("SELECT source, identity, offset, lines FROM source_offsets WHERE job = ?1 ORDER BY source")?;
    let sources = statement.query_map([job], |row| {
        Ok(SourceOffset {
            name: row.get(0)?,
            identity: row.get(1)?,
            offset: row.get::<_, i64>(2)? as u64,
            lines: row.get::<_, i64>(3)? as u64,
        })
    })?;
    let sources = sources.collect::<Result<_, _>>()?;
    let state: Option<Vec<u8>> = state;
    Ok(state.map(|state| Resume { sources, state }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_name() {
        let parts = |parts: &[(&str, &str)]| -> Vec<(String, String)> {
            parts.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let stored = parts(&[("--where", "a"), ("--by", "b"), ("--tz", "")]);
        let wanted = parts(&[("--where", "c"), ("--by", "b"), ("--watermark-delay", "5s")]);
        assert_eq!(
            fingerprint_changes(&stored, &wanted),
            "--where was 'a' and is 'c'; --watermark-delay was not given and is '5s'"
        );
        assert_eq!(fingerprint_changes(&wanted, &stored).matches("; ").count(), 1);
        assert_eq!(fingerprint_changes(&stored, &stored[..2]), "");
        let stored = parts(&[("--tumbling of 'm'", "1m"), ("--allowed-lateness of 'm'", "10m"), ("--by", "1m")]);
        let same = parts(&[("--tumbling of 'm'", "60s"), ("--allowed-lateness of 'm'", "600s"), ("--by", "1m")]);
        assert_eq!(fingerprint_changes(&stored, &same), "");
        let other = parts(&[("--tumbling of 'm'", "60s"), ("--allowed-lateness of 'm'", "601s"), ("--by", "60s")]);
        assert_eq!(
            fingerprint_changes(&stored, &other),
            "--allowed-lateness of 'm' was '10m' and is '601s'; --by was '1m' and is '60s'"
        );
    }
}
