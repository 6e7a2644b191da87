//! The flags by which all programs are told of a Kafka cluster, and what they are checked against.
//!
//! A secret never stands on a command line, where every user of the machine can see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::cli::exit::{ExitCode, ReportContext, error_of};
use crate::cli::flags;
use crate::kafka::error::KafkaError;
use crate::kafka::producer::Producer;
use crate::kafka::settings::{Settings, all_properties, is_secret, reason_against};
use crate::kafka::source::{From as Begin, TopicSource};
use crate::source::address::KafkaAddress;
use crate::time::{Clock, Duration, Timestamp};

/// How a Kafka client is set up.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct ClientArgs {
    /// Set a property of librdkafka: linger.ms=50; sasl.password=@FILE reads the value from a file; `-X list` shows all
    #[arg(short = 'X', value_name = "PROP=VALUE")]
    pub properties: Vec<String>,

    /// Read properties from this file, one PROP=VALUE a line [default: $EVKIT_KAFKA_CONFIG]
    #[arg(short = 'F', value_name = "FILE")]
    pub properties_file: Option<PathBuf>,

    /// How long brokers that can't be reached are waited for at the beginning
    #[arg(long, value_name = "D", default_value = "10s", value_parser = flags::duration)]
    pub startup_timeout: Duration,
}

/// Environment variables with this prefix set properties: EVKIT_KAFKA_SASL_PASSWORD sets sasl.password.
const PREFIX: &str = "EVKIT_KAFKA_";
const CONFIG: &str = "EVKIT_KAFKA_CONFIG";

impl ClientArgs {
    /// Whether only the properties are to be listed.
    pub fn wants_list(&self) -> bool {
        self.properties.iter().any(|property| property == "list")
    }

    /// A producer to a topic, as soon as its brokers can be reached.
    pub fn producer(&self, to: &KafkaAddress) -> anyhow::Result<Producer> {
        let patience = std::time::Duration::from_micros(self.startup_timeout.0.unsigned_abs());
        Producer::connect(&self.settings(&to.brokers)?, &to.topic, patience).map_err(explained)
    }

    /// A topic to be read without a group, as soon as its brokers can be reached.
    pub fn source(
        &self,
        from: &KafkaAddress,
        range: (Begin, bool),
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<TopicSource> {
        let settings = self.settings(&from.brokers)?;
        let patience = std::time::Duration::from_micros(self.startup_timeout.0.unsigned_abs());
        TopicSource::open(&settings, &from.topic, range, clock, patience).map_err(explained)
    }

    /// The settings for these brokers: the environment's, then those of the file, then the flags'.
    pub fn settings(&self, brokers: &str) -> anyhow::Result<Settings> {
        let mut properties = Vec::new();
        let mut variables: Vec<(String, String)> = std::env::vars()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace('_', "."), value))
            })
            .filter(|(name, _)| name != "config")
            .collect();
        variables.sort();
        for (name, value) in variables {
            checked(&name, &format!("the variable '{PREFIX}{}'", name.to_ascii_uppercase().replace('.', "_")))?;
            properties.push((name, value));
        }
        let file = self.properties_file.clone().or_else(|| std::env::var_os(CONFIG).map(PathBuf::from));
        if let Some(path) = file {
            properties.extend(read_file(&path)?);
        }
        for property in &self.properties {
            properties.push(of_flag(property)?);
        }
        Ok(Settings { brokers: brokers.to_owned(), properties })
    }
}

/// Where `--start` begins to read a topic: earliest, latest, `@TIME` or a time before now such as `-1h`.
pub fn begin(text: &str, now: Timestamp) -> anyhow::Result<Begin> {
    Ok(match text {
        "earliest" => Begin::Earliest,
        "latest" => Begin::Latest,
        text => Begin::At(time_of("start", text, "earliest, latest", now)?),
    })
}

/// The time that `--flag` names as `@TIME`, or as one before now such as `-1h`; `others` are the words that it takes beside.
pub fn time_of(flag: &str, text: &str, others: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    let time = text.strip_prefix('@').or(text.starts_with('-').then_some(text));
    match time.map(|time| Timestamp::parse_argument(time, now)) {
        Some(Ok(time)) => Ok(time),
        Some(Err(error)) => {
            Err(error).with_context(|| format!("cannot take --{flag} '{text}'")).exit_code(ExitCode::Usage)
        }
        None => Err(anyhow!("cannot take --{flag} '{text}': write {others}, @TIME or -1h")).exit_code(ExitCode::Usage),
    }
}

/// What `-X list` prints: every property with its default and what it is for, and why some are not to be set.
pub fn list() -> String {
    let mut text = String::new();
    for (name, default) in all_properties() {
        let kept = reason_against(&name).map(|reason| format!(" (not to be set: {reason})"));
        text.push_str(&format!("{name}\t{default}{}\n", kept.unwrap_or_default()));
    }
    text
}

/// What can be done about an error of Kafka, and its exit code.
pub fn meaning(error: &KafkaError) -> (Option<&'static str>, ExitCode) {
    match error {
        KafkaError::Property { .. } => (Some("-X list shows the properties"), ExitCode::Usage),
        KafkaError::Unavailable { .. } => (
            Some("is the cluster up, and are address and credentials right? --startup-timeout waits longer"),
            ExitCode::Upstream,
        ),
        KafkaError::NoTopic { .. } => (Some("make it: evingest topics apply topics.toml"), ExitCode::Failure),
        KafkaError::Fenced { .. } => (Some("give each process an --instance of its own"), ExitCode::Fenced),
        KafkaError::Client { .. } => (None, ExitCode::Failure),
    }
}

/// Says what can be done about an error of Kafka, and sets the exit code.
pub fn explained(error: KafkaError) -> anyhow::Error {
    let (hint, code) = meaning(&error);
    error_of(Err(error).hint_if(hint).exit_code(code))
}

fn of_flag(property: &str) -> anyhow::Result<(String, String)> {
    let Some((name, value)) = property.split_once('=') else {
        return Err(anyhow!("cannot take -X '{property}': write it as PROP=VALUE")).exit_code(ExitCode::Usage);
    };
    checked(name, &format!("-X '{name}'"))?;
    if let Some(path) = value.strip_prefix('@') {
        let read = std::fs::read_to_string(path);
        let value = read.with_context(|| format!("cannot read '{path}' for -X '{name}'")).exit_code(ExitCode::Usage)?;
        return Ok((name.to_owned(), value.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if is_secret(name) {
        return Err(anyhow!("cannot take -X '{name}': a secret on a command line can be seen by others"))
            .hint(format!(
                "use -X {name}=@FILE, -F FILE, or the variable {PREFIX}{}",
                name.to_ascii_uppercase().replace('.', "_")
            ))
            .exit_code(ExitCode::Usage);
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Properties that stand in a file as PROP=VALUE, one a line; blank lines and those that begin with # are passed over.
fn read_file(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read -F '{}'", path.display()))
        .exit_code(ExitCode::Usage)?;
    let mut properties = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {} of '{}'", number + 1, path.display());
        let Some((name, value)) = line.split_once('=') else {
            return Err(anyhow!("cannot take {place}: write it as PROP=VALUE")).exit_code(ExitCode::Usage);
        };
        checked(name.trim(), &place)?;
        properties.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(properties)
}

fn checked(name: &str, place: &str) -> anyhow::Result<()> {
    match reason_against(name) {
        Some(reason) => {
            Err(anyhow!("cannot take {place}: '{name}' is not to be set: {reason}")).exit_code(ExitCode::Usage)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(property: &str, expected: Result<(&str, &str), &str>) {
        let found = of_flag(property).map_err(|error| crate::cli::exit::report("t", &error));
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).map_err(str::to_owned);
        assert_eq!(found, expected, "{property}");
    }

    #[test]
    fn properties_are_set_but_ours_and_secrets() {
        check("linger.ms=50", Ok(("linger.ms", "50")));
        check("linger.ms", Err("t: cannot take -X 'linger.ms': write it as PROP=VALUE\n"));
        check(
            "acks=1",
            Err(
                "t: cannot take -X 'acks': 'acks' is not to be set: without all of them an acknowledged record may be lost\n",
            ),
        );
        check(
            "sasl.password=x",
            Err(
                "t: cannot take -X 'sasl.password': a secret on a command line can be seen by others\nhint: use -X sasl.password=@FILE, -F FILE, or the variable EVKIT_KAFKA_SASL_PASSWORD\n",
            ),
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\n").unwrap();
        check(&format!("sasl.password=@{}", path.display()), Ok(("sasl.password", "secret")));
    }

    #[test]
    fn files_hold_a_property_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        std::fs::write(&path, "# ours\n\n sasl.password = a=b \nlinger.ms=5\n").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read_file(&path).unwrap(), [pair("sasl.password", "a=b"), pair("linger.ms", "5")]);
    }

    #[test]
    fn the_list_tells_what_is_not_to_be_set() {
        let list = list();
        assert!(list.lines().any(|line| line.starts_with("queue.buffering.max.ms\t5")), "{list}");
        assert!(list.contains("request.required.acks\t-1 (not to be set: "), "{list}");
    }
}
