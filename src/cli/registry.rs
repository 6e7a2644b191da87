//! The flags by which programs are told of a registry, and what an error of one means for whoever called the program.

use std::ffi::{OsStr, OsString};

use anyhow::anyhow;

use crate::cli::exit::{ExitCode, ReportContext};
use crate::registry::address::RegistryAddress;
use crate::registry::{RegistryError, default_address};

/// Where a registry is.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct RegistryArgs {
    /// The registry: an SQLite file, or postgres://USER@HOST:PORT/DB [default: $EVKIT_REGISTRY, else evkit/registry.db in the user's
    /// data folder]
    #[arg(long, value_name = "ADDRESS")]
    pub registry: Option<OsString>,
}

/// Whose dashboards are meant.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct UserArgs {
    /// Whose dashboards, by number [default: $EVKIT_USER, else the number that the system knows you by]
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub user: Option<i64>,
}

impl RegistryArgs {
    /// The registry that is named, or the one that is meant where none is.
    pub fn address(&self) -> anyhow::Result<RegistryAddress> {
        match &self.registry {
            Some(registry) => address(registry),
            None => explained(default_address()),
        }
    }
}

impl UserArgs {
    /// The user's number.
    pub fn id(&self) -> anyhow::Result<i64> {
        match (self.user, std::env::var_os("EVKIT_USER").filter(|value| !value.is_empty())) {
            (Some(user), _) => Ok(user),
            (None, Some(text)) => text
                .to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| anyhow!("cannot take EVKIT_USER '{}': it must be a whole number", text.display()))
                .exit_code(ExitCode::Usage),
            // SAFETY: it takes nothing, changes nothing and never fails.
            (None, None) => Ok(i64::from(unsafe { libc::getuid() })),
        }
    }
}

/// The registry that a text names.
pub fn address(text: &OsStr) -> anyhow::Result<RegistryAddress> {
    explained(RegistryAddress::parse(text).map_err(RegistryError::from))
}

/// A registry's error with its hint and exit code.
pub fn explained<T>(result: Result<T, RegistryError>) -> anyhow::Result<T> {
    let Err(error) = &result else { return Ok(result?) };
    let (hint, code) = (error.hint(), code_of(error));
    let result = result.hint_if(hint);
    match code {
        Some(code) => result.exit_code(code),
        None => result,
    }
}

/// The exit code that an error means, unless it is a plain failure.
pub fn code_of(error: &RegistryError) -> Option<ExitCode> {
    match error {
        error if error.is_usage() => Some(ExitCode::Usage),
        error if error.is_upstream() => Some(ExitCode::Upstream),
        _ => None,
    }
}
