//! How evwindow's flags say that time is told.

use anyhow::anyhow;

use crate::cli::evwindow::config::name;
use crate::cli::evwindow::{Args, TimeArg, TimeFormatArg};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::codec::TimeFrom;
use crate::event::Path;
use crate::expr::Expr;
use crate::time::TimeFormat;

/// The field that tells time, in the words that an archive keeps.
pub fn time_in_words(args: &Args) -> String {
    match args.time.time_format {
        TimeFormatArg::Auto => args.time.time_field.clone(),
        format => format!("{} ({})", args.time.time_field, name(&format)),
    }
}

/// Where the time of an event comes from.
pub fn time_from(args: &Args) -> anyhow::Result<TimeFrom> {
    let field = &args.time.time_field;
    if args.time.time == TimeArg::Processing {
        return Ok(TimeFrom::Arrival);
    }
    let path = path_of(field)
        .ok_or_else(|| anyhow!("cannot take --time-field '{field}': it must be the path of a field"))
        .exit_code(ExitCode::Usage)?;
    let format = match args.time.time_format {
        TimeFormatArg::Auto => TimeFormat::Auto,
        TimeFormatArg::Rfc3339 => TimeFormat::Rfc3339,
        TimeFormatArg::S => TimeFormat::Seconds,
        TimeFormatArg::Ms => TimeFormat::Millis,
        TimeFormatArg::Us => TimeFormat::Micros,
        TimeFormatArg::Ns => TimeFormat::Nanos,
    };
    Ok(TimeFrom::Field { path, format })
}

fn path_of(text: &str) -> Option<Path> {
    match crate::expr::parse(text) {
        Ok(Expr::Path { path, .. }) => Some(path),
        _ => None,
    }
}
