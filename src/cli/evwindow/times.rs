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
    field_in_words(&args.time.time_field, args.time.time_format)
}

/// The same of a field whose time is written so.
pub fn field_in_words(field: &str, format: TimeFormatArg) -> String {
    match format {
        TimeFormatArg::Auto => field.to_owned(),
        format => format!("{field} ({})", name(&format)),
    }
}

/// Where the time of an event comes from.
pub fn time_from(args: &Args) -> anyhow::Result<TimeFrom> {
    match args.time.time {
        TimeArg::Processing => Ok(TimeFrom::Arrival),
        TimeArg::Event => time_of_field(&args.time.time_field, args.time.time_format),
    }
}

/// Time is told by this field.
pub fn time_of_field(field: &str, format: TimeFormatArg) -> anyhow::Result<TimeFrom> {
    let path = path_of(field)
        .ok_or_else(|| anyhow!("cannot take --time-field '{field}': it must be the path of a field"))
        .exit_code(ExitCode::Usage)?;
    let format = match format {
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
