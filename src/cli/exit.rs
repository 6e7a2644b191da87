//! How a program ends: its exit code, and the last words on stderr.
//!
//! `evwindow: what was attempted 'value': cause`, then perhaps a line `hint: what to do`. Does not know what any tool attempts.

use std::fmt;
use std::io;

use crate::sink::SinkError;

/// The exit codes that all tools share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well; also when the reader of stdout had seen enough.
    Ok = 0,
    /// It could not be done.
    Failure = 1,
    /// The command line or a file of settings is wrong.
    Usage = 2,
    /// More rejects than `--max-rejects`.
    Rejects = 3,
    /// A server could not be reached, or refused, in spite of retries.
    Upstream = 4,
    /// Another process owns the input now.
    Fenced = 5,
    /// `--fail-if` hit.
    FailIf = 6,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// The code that an error ends a program with: the one that was attached to it, 0 if it is that the reader of an output has gone,
    /// else 1.
    pub fn of(error: &anyhow::Error) -> ExitCode {
        if let Some(Code(code)) = error.downcast_ref::<Code>() {
            return *code;
        }
        if error.chain().any(is_closed) { ExitCode::Ok } else { ExitCode::Failure }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> std::process::ExitCode {
        std::process::ExitCode::from(code as u8)
    }
}

/// Attaches to an error what its report needs beyond the causes.
pub trait ReportContext<T> {
    /// Says what the user can do, on a line of its own.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;

    /// Says it where there is something to say.
    fn hint_if(self, hint: Option<impl Into<String>>) -> anyhow::Result<T>;

    /// Sets the exit code.
    fn exit_code(self, code: ExitCode) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> ReportContext<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Hint(hint.into())))
    }

    fn hint_if(self, hint: Option<impl Into<String>>) -> anyhow::Result<T> {
        match hint {
            Some(hint) => self.hint(hint),
            None => self.map_err(Into::into),
        }
    }

    fn exit_code(self, code: ExitCode) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Code(code)))
    }
}

/// The error of what can't be anything else: for one to which hint and exit code were attached.
pub fn error_of(error: anyhow::Result<std::convert::Infallible>) -> anyhow::Error {
    match error {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// What goes to stderr for `error`: the causes from the outermost on, one line, and its hint. Empty when there is nothing wrong.
pub fn report(tool: &str, error: &anyhow::Error) -> String {
    if ExitCode::of(error) == ExitCode::Ok {
        return String::new();
    }
    let mut report = tool.to_owned();
    let mut last = String::new();
    // Attached codes and hints show as nothing, and some causes repeat the text of what they caused.
    for cause in error.chain().map(ToString::to_string) {
        if !cause.is_empty() && !last.ends_with(&cause) {
            report.push_str(": ");
            report.push_str(&cause);
            last = cause;
        }
    }
    report.push('\n');
    if let Some(Hint(hint)) = error.downcast_ref::<Hint>() {
        report.push_str("hint: ");
        report.push_str(hint);
        report.push('\n');
    }
    printable(&report)
}

/// What may go to a terminal: control characters of names and values, which could move its cursor or forge a line, become `�`. Line
/// feeds and tabs stay, since carets stand under what they point to.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Ends a program's `main`: reports an error on stderr, if there is one, and gives the exit code.
pub fn finish(tool: &str, result: anyhow::Result<ExitCode>) -> std::process::ExitCode {
    let code = result.unwrap_or_else(|error| {
        let report = report(tool, &error);
        // If stderr is gone too, the exit code is all that is left to say.
        let _ = io::Write::write_all(&mut io::stderr(), report.as_bytes());
        ExitCode::of(&error)
    });
    code.into()
}

#[derive(Debug)]
struct Hint(String);

#[derive(Debug)]
struct Code(ExitCode);

impl fmt::Display for Hint {
    /// Nothing: a hint is no cause, and stands on its own line.
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl fmt::Display for Code {
    /// Nothing: a code is no cause.
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref::<SinkError>(), Some(SinkError::Closed { .. }))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        use ExitCode::{FailIf, Failure, Fenced, Interrupted, Ok, Rejects, Terminated, Upstream, Usage};
        let codes = [Ok, Failure, Usage, Rejects, Upstream, Fenced, FailIf, Interrupted, Terminated];
        assert_eq!(codes.map(|code| code as u8), [0, 1, 2, 3, 4, 5, 6, 130, 143]);
    }

    fn check(error: anyhow::Error, expected_code: ExitCode, expected_report: &str) {
        assert_eq!(ExitCode::of(&error), expected_code);
        assert_eq!(report("evwindow", &error), expected_report);
    }

    fn read_error() -> SinkError {
        SinkError::Write { name: "x".into(), source: io::ErrorKind::StorageFull.into() }
    }

    #[test]
    fn a_failure_names_all_its_causes() {
        check(anyhow!("no luck"), ExitCode::Failure, "evwindow: no luck\n");
        check(read_error().into(), ExitCode::Failure, "evwindow: cannot write to 'x': no storage space\n");
        let with_context = Err::<(), _>(read_error()).context("while closing").unwrap_err();
        check(with_context, ExitCode::Failure, "evwindow: while closing: cannot write to 'x': no storage space\n");
    }

    #[test]
    fn hints_and_codes_are_found_wherever_they_were_attached() {
        let error = Err::<(), _>(anyhow!("unknown flag '-y'"))
            .exit_code(ExitCode::Usage)
            .hint("try --help")
            .context("reading the command line")
            .unwrap_err();
        check(error, ExitCode::Usage, "evwindow: reading the command line: unknown flag '-y'\nhint: try --help\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_success_and_silent() {
        let closed = || SinkError::Closed { name: "stdout".into() };
        check(closed().into(), ExitCode::Ok, "");
        check(Err::<(), _>(closed()).context("writing rows").unwrap_err(), ExitCode::Ok, "");
    }

    #[test]
    fn names_cannot_reach_for_the_terminal() {
        let error = anyhow!("cannot read 'a\u{1b}[31mb\u{9b}c\rd'\n    ^");
        check(error, ExitCode::Failure, "evwindow: cannot read 'a\u{fffd}[31mb\u{fffd}c\u{fffd}d'\n    ^\n");
    }

    #[test]
    fn a_cause_that_repeats_what_it_caused_is_said_once() {
        let error = anyhow!("broken").context("it is broken");
        check(error, ExitCode::Failure, "evwindow: it is broken\n");
    }
}
