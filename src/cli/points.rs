//! The flags by which a program is told how to write points, and what its errors mean for whoever called.
//!
//! Knows nothing of which metrics are written.

use std::time::Duration as WallDuration;

use clap::ValueEnum;

use crate::cli::exit::{ExitCode, ReportContext, error_of};
use crate::cli::flags;
use crate::cli::influx::{InfluxArgs, explained};
use crate::store::influx::{OpenError, PointTime, WriteError, WriterSettings};
use crate::time::Duration;

/// How points are written.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "InfluxDB")]
pub struct PointArgs {
    /// The server.
    #[command(flatten)]
    pub server: InfluxArgs,

    /// Which end of its window a point stands at
    #[arg(long, value_enum, default_value = "start")]
    pub point_time: PointTimeArg,

    /// Write points and nothing else: for servers that take line protocol and no more; evquery can't read them
    #[arg(long)]
    pub points_only: bool,

    /// How long a server that is away or overloaded is asked again, before the run ends with code 4
    #[arg(long, value_name = "D", default_value = "2m", value_parser = flags::duration)]
    pub retry_for: Duration,
}

/// `--point-time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PointTimeArg {
    /// Its start
    Start,
    /// Its end
    End,
}

impl PointArgs {
    /// Which end of its window a point stands at.
    pub fn point_time(&self) -> PointTime {
        match self.point_time {
            PointTimeArg::Start => PointTime::Start,
            PointTimeArg::End => PointTime::End,
        }
    }

    /// How rows are written.
    pub fn settings(&self) -> WriterSettings {
        WriterSettings { point_time: self.point_time(), points_only: self.points_only, retry_for: wall(self.retry_for) }
    }
}

/// Adds to an error while rows were written what the user can do, and its exit code.
pub fn explained_write(error: WriteError) -> anyhow::Error {
    match error {
        WriteError::Influx(error) => explained(error),
        WriteError::Lost => error_of(Err(error).exit_code(ExitCode::Fenced)),
        WriteError::Damaged { .. } => {
            error_of(Err(error).hint("--reset drops what the bucket has of these metrics and begins anew"))
        }
    }
}

/// The same of an error before any row was written.
pub fn explained_open(error: OpenError) -> anyhow::Error {
    match error {
        OpenError::Write(error) => explained_write(error),
        OpenError::Changed { .. } => {
            let hint = "--reset drops what the bucket has of it and begins anew; another --name keeps both";
            error_of(Err(error).hint(hint).exit_code(ExitCode::Usage))
        }
        OpenError::Plain { .. } => {
            let hint = "they were written with --points-only, or by another program: go on with --points-only, give another --name, \
                        or let --reset delete them and begin anew";
            error_of(Err(error).hint(hint).exit_code(ExitCode::Usage))
        }
        OpenError::NotPlain { .. } => {
            let hint = "leave --points-only out, or give another --name; --reset drops what the bucket has of it and begins anew";
            error_of(Err(error).hint(hint).exit_code(ExitCode::Usage))
        }
    }
}

fn wall(duration: Duration) -> WallDuration {
    WallDuration::from_micros(duration.0.unsigned_abs())
}
