//! The flags by which all programs are told of an InfluxDB server, and what its errors mean for whoever called.
//!
//! A token never stands on a command line, where every user of the machine can see it.

use std::path::PathBuf;
use std::time::Duration as WallDuration;

use crate::cli::exit::{ExitCode, ReportContext, error_of};
use crate::cli::flags;
use crate::source::address::InfluxAddress;
use crate::store::influx::{Client, Environment, InfluxError, Patience, Target};
use crate::time::Duration;

/// How a server is spoken to.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "InfluxDB")]
pub struct InfluxArgs {
    /// Read the token from this file [default: $INFLUX_TOKEN, else that of ~/.influxdbv2/configs for the server]
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,

    /// How long the answer to one request is waited for [default: 30s to a write, 2m to a question]
    #[arg(long, value_name = "D", value_parser = flags::duration, global = true)]
    pub influx_timeout: Option<Duration>,
}

impl InfluxArgs {
    /// The bucket that an address means, and the token for it.
    pub fn target(&self, address: &InfluxAddress) -> anyhow::Result<Target> {
        let environment = Environment::of_process().map_err(explained)?;
        environment.resolve(address, self.token_file.as_deref()).map_err(explained)
    }

    /// How long is waited.
    pub fn patience(&self) -> Patience {
        let usual = Patience::default();
        self.influx_timeout.map(wall).map_or(usual, |limit| Patience {
            connect: usual.connect.min(limit),
            write: limit,
            query: limit,
        })
    }

    /// A client of the server that has this bucket. Nothing is sent yet.
    pub fn client(&self, address: &InfluxAddress) -> anyhow::Result<Client> {
        Ok(Client::new(self.target(address)?, self.patience()))
    }
}

/// Adds to an error of a server what the user can do, and its exit code.
pub fn explained(error: InfluxError) -> anyhow::Error {
    let code = match &error {
        InfluxError::Connection { .. }
        | InfluxError::Timeout { .. }
        | InfluxError::Refused { .. }
        | InfluxError::GaveUp { .. } => ExitCode::Upstream,
        InfluxError::Answer { .. } => ExitCode::Failure,
        InfluxError::Incomplete { .. } | InfluxError::Settings { .. } => ExitCode::Usage,
    };
    let hint = error.hint();
    error_of(Err(error).hint_if(hint).exit_code(code))
}

fn wall(duration: Duration) -> WallDuration {
    WallDuration::from_micros(duration.0.unsigned_abs())
}
