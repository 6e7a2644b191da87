//! What `--explain` says beside the plan: the settings of a run, each by its flag, with the value in force.

use std::ffi::OsString;

use crate::cli::evwindow::config::{Output, name};
use crate::cli::evwindow::{Args, TimeArg};
use crate::codec::encode::OutputFormat;
use crate::source::input::{Input, InputFormat};

/// What `--explain` says of the settings that all metrics share.
pub fn settings(
    args: &Args,
    threads: usize,
    idle_close: Option<crate::time::Duration>,
    from: Vec<String>,
    outputs: &[Output],
) -> Vec<(&'static str, String)> {
    let or_none = |duration: Option<crate::time::Duration>| duration.map_or("none".into(), |d| d.to_string());
    let time = &args.time;
    let time_field = match time.time {
        TimeArg::Event => time.time_field.clone(),
        TimeArg::Processing => "(the clock: a replay will differ)".into(),
    };
    let shown = |text: &Option<OsString>| text.as_ref().map_or("none".into(), |text| text.display().to_string());
    let from = from.into_iter().map(|from| ("--from", from));
    let to = outputs.iter().map(|output| ("--to", format!("{} ({})", output.address, name_of(output.format))));
    let emit: Vec<String> = args.output.emit.iter().map(name).collect();
    let settings = [
        ("--time-field", time_field),
        ("--time-format", name(&time.time_format)),
        ("--watermark-delay", time.watermark_delay.to_string()),
        ("--max-future", or_none(time.max_future.0)),
        ("--idle-timeout", or_none(time.idle_timeout.0)),
        ("--idle-close", or_none(idle_close)),
        ("--at-end", name(&time.at_end)),
        ("--early", or_none(time.early)),
        ("--max-line", format!("{} bytes", args.reading.max_line)),
        ("--max-rejects", args.reading.max_rejects.map_or("any number".into(), |max| max.to_string())),
        ("--rejects-to", shown(&args.reading.rejects_to)),
        ("--late-to", shown(&args.reading.late_to)),
        ("--threads", threads.to_string()),
        ("--emit", emit.join(",")),
    ];
    from.chain(settings).chain(to).collect()
}

/// An input with its format.
pub fn in_words(input: &Input) -> String {
    match input.format {
        InputFormat::Ndjson => format!("{} (ndjson)", input.address),
        InputFormat::Csv => format!("{} (csv)", input.address),
    }
}

/// The name of a format, as --format takes it.
pub fn name_of(format: OutputFormat) -> &'static str {
    match format {
        OutputFormat::Ndjson => "ndjson",
        OutputFormat::Json => "json",
        OutputFormat::Csv => "csv",
        OutputFormat::LineProtocol => "line-protocol",
        OutputFormat::Table => "table",
    }
}
