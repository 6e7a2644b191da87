//! A backfill as evwindow begins it: alone among those that write the same, and where an earlier one left off.
//!
//! Knows nothing of how windows are made.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::anyhow;

use crate::archive::lock::hold_backfill;
use crate::cli::archive::explained_archive;
use crate::cli::evwindow::archive::ArchiveInput;
use crate::cli::evwindow::config::Config;
use crate::cli::evwindow::keep::explained_pipeline;
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::points::explained_write;
use crate::pipeline::backfill::Backfill;
use crate::pipeline::error::PipelineError;
use crate::pipeline::keep::Keeper;
use crate::pipeline::points::{BucketConfig, Buckets};
use crate::pipeline::window::RejectsMax;
use crate::store::Note;
use crate::store::influx::Lease;
use crate::time::Timestamp;

/// Keeps others from making the same points of these buckets anew, until what is given is dropped.
pub fn hold(archive: &Path, buckets: &[BucketConfig]) -> anyhow::Result<Vec<File>> {
    let mut held = Vec::new();
    for bucket in buckets {
        let place = bucket.target.address.to_string();
        for catalogue in bucket.catalogues.iter().flatten() {
            let name = &catalogue.name;
            match hold_backfill(archive, &format!("{place}\0{name}")).map_err(explained_archive)? {
                Some(file) => held.push(file),
                None => {
                    return Err(anyhow!("cannot make the points of '{name}' in '{place}' anew: another backfill does"))
                        .hint("run it again when that has ended")
                        .exit_code(ExitCode::Fenced);
                }
            }
        }
    }
    Ok(held)
}

/// Begins, or takes up what an earlier run has left. Also gives the time from which events are needed then.
pub fn begin(
    config: &Config,
    archived: &ArchiveInput,
    (keeper, buckets): (&mut Option<Keeper>, &mut Buckets),
    (now, lease): (Timestamp, &mut dyn Lease),
) -> anyhow::Result<(Backfill, Option<Timestamp>)> {
    let span = archived.range().unwrap_or((Timestamp::MIN, Timestamp::MAX));
    // What else decides which points there are, and where they stand.
    let query = (config.fingerprint("archive"), config.points.point_time(), config.line_bytes_max);
    let made_of = archived.made_of(&config.window.plan, &format!("{query:?}"));
    let mut backfill = Backfill::new(made_of, span, is_resumable(config));
    let explained = |error| explained_pipeline(PipelineError::Keep(error));
    let mut places = buckets.progress(lease).map_err(explained_write)?;
    for keeper in keeper.iter() {
        places.push(keeper.progress().map_err(explained)?);
    }
    let needed = if archived.resumes { backfill.take_up(&places) } else { None };
    if let Some(keeper) = keeper {
        keeper.begin_rewriting(backfill.made());
    }
    buckets.begin_rewriting(span, backfill.made());
    match backfill.made() {
        None => buckets.note(Note::Nothing, now, lease).map_err(explained_write)?,
        Some(made) if !config.quiet => {
            let line = format!(
                "evwindow: goes on at {made}, to where an earlier run came; --no-resume makes all windows anew\n"
            );
            // Without a stderr there is nobody to tell.
            let _ = std::io::stderr().write_all(printable(&line).as_bytes());
        }
        Some(_) => {}
    }
    Ok((backfill, needed))
}

/// Whether a run that is cut short can be taken up: nothing is lost of what it wrote, and nothing was found that the next one must know.
fn is_resumable(config: &Config) -> bool {
    let has_sides = config.rejects_to.is_some() || config.late_to.is_some();
    let is_judged = config.fail_if.is_some() || !matches!(config.window.rejects_max, RejectsMax::Unlimited);
    config.outputs.is_empty() && !has_sides && !is_judged && !config.with_late
}
