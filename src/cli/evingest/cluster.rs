//! Which cluster is looked after, for `evingest topics` and `evingest groups`.

use crate::cli::kafka::{ClientArgs, explained};
use crate::kafka::admin::Admin;
use crate::kafka::error::KafkaError;
use crate::source::address::{AddressError, parse_brokers};

/// The flags of it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct ClusterArgs {
    /// The cluster
    #[arg(long, value_name = "ADDRESS", default_value = "kafka://127.0.0.1:9092", value_parser = brokers)]
    pub at: Brokers,

    /// How its clients are set up.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `HOST:PORT`, several separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers(pub String);

impl ClusterArgs {
    /// A connection to it. Each question is asked as long as `--startup-timeout` says.
    pub(crate) fn connect(&self) -> anyhow::Result<Admin> {
        let settings = self.client.settings(&self.at.0)?;
        let patience = std::time::Duration::from_micros(self.client.startup_timeout.0.unsigned_abs());
        in_words(Admin::new(&settings, patience))
    }
}

/// An error of Kafka's with its hint and exit code.
pub(crate) fn in_words<T>(result: Result<T, KafkaError>) -> anyhow::Result<T> {
    result.map_err(explained)
}

fn brokers(text: &str) -> Result<Brokers, AddressError> {
    parse_brokers(text).map(Brokers)
}
