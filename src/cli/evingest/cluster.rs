//! Which cluster is looked after, for `evingest topics` and `evingest groups`.

use std::time::Duration;

use crate::cli::exit::{ExitCode, ReportContext};
use crate::kafka::admin::Admin;
use crate::kafka::error::KafkaError;
use crate::kafka::settings::Settings;
use crate::source::address::{AddressError, parse_brokers};

/// The flags of it.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct ClusterArgs {
    /// The cluster
    #[arg(long, value_name = "ADDRESS", default_value = "kafka://127.0.0.1:9092", value_parser = brokers)]
    pub at: Brokers,
}

/// `HOST:PORT`, several separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers(pub String);

/// How long a request may take before the cluster counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

impl ClusterArgs {
    /// A connection to it.
    pub(crate) fn connect(&self) -> anyhow::Result<Admin> {
        let settings = Settings { brokers: self.at.0.clone(), properties: Vec::new() };
        in_words(Admin::new(&settings, PATIENCE))
    }
}

/// An error of Kafka's with its hint and exit code.
pub(crate) fn in_words<T>(result: Result<T, KafkaError>) -> anyhow::Result<T> {
    match result {
        Err(error) if error.is_unavailable() => {
            Err(error).hint("is the cluster up, and is --at its address?").exit_code(ExitCode::Upstream)
        }
        result => Ok(result?),
    }
}

fn brokers(text: &str) -> Result<Brokers, AddressError> {
    parse_brokers(text).map(Brokers)
}
