//! Where late events go, and from where on: beside a store they are in their file once, however often a run is killed.
//!
//! Knows nothing of which events are late.

use std::io::Write;

use crate::cli::evwindow::config::Config;
use crate::cli::evwindow::keep::Store;
use crate::cli::evwindow::{keep, side};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::pipeline::error::PipelineError;
use crate::pipeline::keep::{Keeper, LatePlace};
use crate::sink::appended::Appended;
use crate::sink::side::LateWriter;
use crate::sink::{FileMode, SinkError};
use crate::source::address::Address;

/// Where late events go; and that file, if a run that goes on where this one ends is to know how far it was written.
pub fn open(config: &Config, keeper: Option<&Keeper>) -> anyhow::Result<(Option<LateWriter>, Option<Appended>)> {
    let others = || Ok((side(&config.late_to, config)?.map(LateWriter::new), None));
    let keeper = keeper.filter(|keeper| keeper.is_resumable());
    let (Some(keeper), Some(Address::Path(path))) = (keeper, &config.late_to) else { return others() };
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return others();
    }
    let file = match Appended::open(path) {
        Err(error @ SinkError::Taken { .. }) => {
            return Err(error).hint("give each run a --late-to of its own").exit_code(ExitCode::Fenced);
        }
        opened => opened?,
    };
    let is_reset = config.store.as_ref().is_some_and(Store::is_reset);
    let place = keeper.late_place(&file).map_err(|error| keep::explained_pipeline(PipelineError::Keep(error)))?;
    match place {
        LatePlace::Behind(bytes) => file.cut(bytes)?,
        // The events come again that it found late.
        LatePlace::End if is_reset && config.file_mode != FileMode::Append => file.cut(0)?,
        LatePlace::End => {}
        LatePlace::Shrunk(bytes) => {
            let line = format!(
                "evwindow: '{}' is shorter than the {bytes} bytes that the last run left: late events are written to its end\n",
                path.display()
            );
            // Without a stderr there is nobody to tell.
            let _ = std::io::stderr().write_all(printable(&line).as_bytes());
        }
    }
    Ok((Some(LateWriter::new(file.sink()?)), Some(file)))
}
