//! What every program answers about itself: completions and the man page, from the same definition as its flags.

use clap::CommandFactory;

use crate::cli::exit::ExitCode;
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

/// Writes an answer to stdout.
pub fn print(text: &[u8]) -> Result<(), SinkError> {
    let mut out = sink::open(&Address::Stdio, FileMode::Replace)?;
    out.write(text)?;
    out.finish()
}
