//! How every program begins, and what it answers about itself: completions and the man page, from the same definition as its
//! flags.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use crate::cli::exit::{ExitCode, finish};
use crate::sink::{self, FileMode, SinkError};
use crate::source::address::Address;

/// The flags of it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AboutArgs {
    /// Print a script that completes this program's flags
    #[arg(long, value_name = "SHELL", exclusive = true, help_heading = "About")]
    completions: Option<clap_complete::Shell>,

    /// Print this program's man page
    #[arg(long, exclusive = true, help_heading = "About")]
    man: bool,
}

impl AboutArgs {
    /// Answers what is asked about the program itself, if anything.
    pub fn answer<Args: CommandFactory>(&self, tool: &str) -> Option<anyhow::Result<ExitCode>> {
        let mut text = Vec::new();
        if let Some(shell) = self.completions {
            clap_complete::generate(shell, &mut Args::command(), tool, &mut text);
        } else if self.man {
            clap_mangen::Man::new(Args::command()).render(&mut text).expect("a vector takes everything");
        } else {
            return None;
        }
        Some(print(&text).map(|()| ExitCode::Ok).map_err(anyhow::Error::from))
    }
}

/// A program from its command line to its exit code: answers what is asked about it, else does its work.
pub fn program<Args: Parser>(
    tool: &str,
    arguments: impl IntoIterator<Item = OsString>,
    about: impl FnOnce(&Args) -> &AboutArgs,
    work: impl FnOnce(Args) -> anyhow::Result<ExitCode>,
) -> std::process::ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help goes to stdout, complaints to stderr; where neither is read, the code still tells.
            let _ = error.print();
            return std::process::ExitCode::from(error.exit_code() as u8);
        }
    };
    let answer = about(&args).answer::<Args>(tool);
    finish(tool, answer.unwrap_or_else(|| work(args)))
}

/// Writes an answer to stdout.
pub fn print(text: &[u8]) -> Result<(), SinkError> {
    let mut out = sink::open(&Address::Stdio, FileMode::Replace)?;
    out.write(text)?;
    out.finish()
}
