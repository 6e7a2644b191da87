//! The flags of programs that read events: what is read, and in which form it stands there.

use std::ffi::OsString;

use anyhow::Context;
use clap::ValueEnum;

use crate::cli::exit::{ExitCode, ReportContext};
use crate::codec::csv;
use crate::source::input::InputFormat;

/// What is read.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// The same as INPUT
    #[arg(long, value_name = "INPUT")]
    pub from: Vec<OsString>,

    /// What the lines are, where the name of an input does not tell
    #[arg(long, value_enum)]
    pub input_format: Option<InputFormatArg>,

    /// Types and paths of CSV columns: "amount:float=properties.amount, user:text=user_id"
    #[arg(long, value_name = "COLUMN[:TYPE][=PATH],…")]
    pub csv_schema: Option<String>,
}

/// `--input-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormatArg {
    /// A JSON object a line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

impl InputArgs {
    /// The form that all inputs have, if it is said.
    pub fn format(&self) -> Option<InputFormat> {
        self.input_format.map(|format| match format {
            InputFormatArg::Ndjson => InputFormat::Ndjson,
            InputFormatArg::Csv => InputFormat::Csv,
        })
    }

    /// What is said about the columns of CSV.
    pub fn columns(&self) -> anyhow::Result<csv::Schema> {
        let Some(schema) = &self.csv_schema else { return Ok(csv::Schema::default()) };
        schema.parse().with_context(|| format!("cannot take --csv-schema '{schema}'")).exit_code(ExitCode::Usage)
    }
}
