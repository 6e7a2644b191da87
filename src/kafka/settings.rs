//! How a client is set up: what the user may set, what he may not, and what each of our clients needs.
//!
//! Properties are librdkafka's. Those that our promises rest on are ours to set. Knows nothing of what is read and written.

use rdkafka::ClientConfig;

use crate::kafka::error::KafkaError;
use crate::kafka::native;

/// Where a cluster is and what was set for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HOST:PORT`, several separated by commas.
    pub brokers: String,
    /// Properties of librdkafka by name, in the order in which they were set: of equal names the last one counts.
    pub properties: Vec<(String, String)>,
}

/// Properties that are ours to set, each with the reason.
const OURS: [(&str, &str); 22] = [
    ("bootstrap.servers", "the address names the brokers"),
    ("metadata.broker.list", "the address names the brokers"),
    ("group.id", "'--group' names the group"),
    ("group.instance.id", "'--instance' names it"),
    ("group.protocol", "fencing relies on the classic protocol"),
    ("session.timeout.ms", "the hand-over of partitions relies on it"),
    ("heartbeat.interval.ms", "the hand-over of partitions relies on it"),
    ("partition.assignment.strategy", "partitions are handed over whole, with a commit before"),
    ("auto.offset.reset", "'--start' and '--on-gap' decide where to begin"),
    ("enable.auto.commit", "offsets are committed with the results"),
    ("enable.auto.offset.store", "offsets are committed with the results"),
    ("isolation.level", "records of open and aborted transactions must not be seen"),
    ("enable.partition.eof", "the ends of partitions are told by it"),
    ("transactional.id", "exactly once relies on its form"),
    ("transaction.timeout.ms", "it must be longer than a commit and shorter than an operator's patience"),
    ("enable.idempotence", "without it a retry may write a record twice"),
    ("acks", "without all of them an acknowledged record may be lost"),
    ("request.required.acks", "without all of them an acknowledged record may be lost"),
    ("enable.gapless.guarantee", "a lost record must not pass unseen"),
    ("delivery.report.only.error", "acknowledged records are counted"),
    ("partitioner", "records are placed as Java's clients place them"),
    ("check.crcs", "damaged records must not pass unseen"),
];

/// Properties whose values must be seen by nobody.
const SECRETS: [&str; 7] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "ssl_key",
];

/// Properties of two names, of which the second is taken: were both set, chance would decide which counts.
const ALIASES: [(&str, &str); 3] = [
    ("compression.codec", "compression.type"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("delivery.timeout.ms", "message.timeout.ms"),
];

/// The name under which a property is set.
fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// Every property of the client, with its default, by name.
pub fn all_properties() -> Vec<(String, String)> {
    let mut properties = native::defaults();
    // Hooks for programs are no properties for people.
    properties.retain(|(name, _)| !name.ends_with("_cb") && name != "opaque");
    properties.sort();
    properties
}

/// Why a property may not be set by the user, if he may not.
pub fn reason_against(property: &str) -> Option<&'static str> {
    OURS.iter().find(|(name, _)| *name == property).map(|(_, reason)| *reason)
}

/// Whether a property's value is a secret.
pub fn is_secret(property: &str) -> bool {
    SECRETS.contains(&property)
}

impl Settings {
    /// A client's configuration: the user's properties, then `ours`, which win.
    pub fn client(&self, ours: &[(&str, &str)]) -> Result<ClientConfig, KafkaError> {
        self.tuned_client(&[], ours)
    }

    /// What the user has set a property to, under any of its names.
    pub fn value(&self, name: &str) -> Option<&str> {
        let is_it = |(set, _): &&(String, String)| canonical(set) == canonical(name);
        self.properties.iter().rev().find(is_it).map(|(_, value)| value.as_str())
    }

    /// The same, with our own defaults for what the user may set.
    pub fn tuned_client(&self, defaults: &[(&str, &str)], ours: &[(&str, &str)]) -> Result<ClientConfig, KafkaError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "evkit");
        for (name, value) in defaults {
            config.set(canonical(name), *value);
        }
        // A broker that comes back is found soon.
        config.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.properties {
            // Each by itself, so that the message names the one that is wrong.
            let mut alone = ClientConfig::new();
            alone.set(name, value);
            if let Err(error) = alone.create_native_config() {
                let shown = if is_secret(name) { "***" } else { value };
                return Err(KafkaError::Property {
                    property: name.clone(),
                    value: shown.to_owned(),
                    cause: error.to_string(),
                });
            }
            config.set(canonical(name), value);
        }
        for (name, value) in ours {
            config.set(canonical(name), *value);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: &[(&str, &str)], expected: (&str, &str, &str)) {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = Settings { brokers: "h:1".to_owned(), properties };
        let config = settings
            .tuned_client(&[("compression.codec", "lz4"), ("linger.ms", "2")], &[("message.timeout.ms", "7")])
            .unwrap();
        let found = ["compression.type", "linger.ms", "message.timeout.ms"].map(|name| config.get(name).unwrap());
        assert_eq!(found, <[&str; 3]>::from(expected));
        for alias in ["compression.codec", "queue.buffering.max.ms", "delivery.timeout.ms"] {
            assert_eq!(config.get(alias), None, "a property has one name");
        }
    }

    #[test]
    fn defaults_give_way_to_users_and_those_to_what_is_ours_under_any_name() {
        check(&[], ("lz4", "2", "7"));
        check(&[("compression.type", "zstd"), ("queue.buffering.max.ms", "9")], ("zstd", "9", "7"));
        check(&[("linger.ms", "1"), ("queue.buffering.max.ms", "9"), ("delivery.timeout.ms", "1")], ("lz4", "9", "7"));
    }
}
