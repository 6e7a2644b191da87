//! Addresses: what a user writes to name an input or an output, the same in every tool.
//!
//! Does not look whether what is named exists.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A place to read from or to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `-`: stdin or stdout.
    Stdio,
    /// A path, or for an input a glob.
    Path(PathBuf),
    /// `store:PATH`, a local store; `store:` is the user's own.
    Store(Option<PathBuf>),
    /// `kafka://HOST:PORT[,HOST:PORT]/TOPIC`.
    Kafka(KafkaAddress),
    /// `influx://HOST:PORT/ORG/BUCKET`.
    Influx(InfluxAddress),
    /// `archive:DIR`: raw events as Parquet files.
    Archive(PathBuf),
}

/// A bucket of an InfluxDB server. `influx:` leaves all of it to the surroundings: its parts are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfluxAddress {
    /// Whether it is spoken to by TLS: `influxs://`.
    pub is_secure: bool,
    /// `HOST:PORT`, and behind it the path under which the API stands, if there is one.
    pub server: String,
    /// The organisation's name.
    pub org: String,
    /// The bucket's name.
    pub bucket: String,
}

/// A topic of a Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaAddress {
    /// `HOST:PORT`, several separated by commas: whichever of them answers knows the others.
    pub brokers: String,
    /// The topic.
    pub topic: String,
}

/// What begins an address of a registry, which takes no events and no rows.
const REGISTRY: [&str; 2] = ["postgres:", "postgresql:"];

/// What begins the address of a bucket, and whether it is spoken to by TLS.
const INFLUX: [(&str, bool); 2] = [("influx://", false), ("influxs://", true)];

/// The bucket that `INFLUX_HOST`, `INFLUX_ORG` and `INFLUX_BUCKET` name.
const INFLUX_OF_SURROUNDINGS: &str = "influx:";

/// What begins an address of a Kafka topic.
const KAFKA: &str = "kafka://";

/// The longest name that a broker takes for a topic.
const TOPIC_BYTES_MAX: usize = 249;

impl Address {
    /// Reads an address. Everything that is no `-` and has no scheme is a path; a path that looks like a scheme can be written with
    /// `./` before it.
    pub fn parse(text: &OsStr) -> Result<Address, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text == "-" {
            return Ok(Address::Stdio);
        }
        if let Some(path) = text.as_encoded_bytes().strip_prefix(b"store:") {
            let path = PathBuf::from(OsStr::from_bytes(path));
            return Ok(Address::Store((!path.as_os_str().is_empty()).then_some(path)));
        }
        if let Some(path) = text.as_encoded_bytes().strip_prefix(b"archive:") {
            if path.is_empty() {
                return Err(AddressError::Archive);
            }
            return Ok(Address::Archive(PathBuf::from(OsStr::from_bytes(path))));
        }
        if text == INFLUX_OF_SURROUNDINGS {
            let [server, org, bucket] = [(); 3].map(|()| String::new());
            return Ok(Address::Influx(InfluxAddress { is_secure: false, server, org, bucket }));
        }
        if let Some(text) = text.to_str() {
            for (scheme, is_secure) in INFLUX {
                if let Some(rest) = text.strip_prefix(scheme) {
                    return influx(rest, is_secure, text).map(Address::Influx);
                }
            }
            if let Some(rest) = text.strip_prefix(KAFKA) {
                let (brokers, topic) = rest.split_once('/').unwrap_or((rest, ""));
                let brokers = check_brokers(brokers, text)?;
                check_topic(topic, text)?;
                return Ok(Address::Kafka(KafkaAddress { brokers, topic: topic.to_owned() }));
            }
            if REGISTRY.iter().any(|scheme| text.starts_with(scheme)) {
                return Err(AddressError::Registry);
            }
            let is_scheme = |s: &str| {
                s.starts_with(|c: char| c.is_ascii_alphabetic())
                    && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            };
            if let Some((scheme, _)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
                return Err(AddressError::UnknownScheme { address: text.to_owned(), scheme: scheme.to_owned() });
            }
        }
        Ok(Address::Path(PathBuf::from(text)))
    }
}

/// `HOST:PORT[/PATH]/ORG/BUCKET`.
fn influx(rest: &str, is_secure: bool, address: &str) -> Result<InfluxAddress, AddressError> {
    let parts = rest.rsplit_once('/').and_then(|(before, bucket)| {
        let (server, org) = before.rsplit_once('/')?;
        Some((server, org, bucket))
    });
    let host = |server: &str| server.split('/').next().unwrap_or_default().to_owned();
    match parts {
        Some((server, org, bucket)) if is_host(&host(server), "8086") && !org.is_empty() && !bucket.is_empty() => {
            let [server, org, bucket] = [server, org, bucket].map(str::to_owned);
            Ok(InfluxAddress { is_secure, server, org, bucket })
        }
        _ => Err(AddressError::Influx { address: address.to_owned() }),
    }
}

/// Whether a text is `HOST` or `HOST:PORT`, and nothing that would be a name and password before it.
fn is_host(text: &str, port: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, port));
    !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The brokers of `kafka://HOST:PORT[,HOST:PORT]`, for what concerns a whole cluster; a topic behind them is passed over.
pub fn parse_brokers(text: &str) -> Result<String, AddressError> {
    let rest = text.strip_prefix(KAFKA).ok_or_else(|| AddressError::Brokers { address: text.to_owned() })?;
    check_brokers(rest.split_once('/').map_or(rest, |(brokers, _)| brokers), text)
}

fn check_brokers(brokers: &str, address: &str) -> Result<String, AddressError> {
    match brokers.split(',').all(|broker| is_host(broker, "9092")) {
        true => Ok(brokers.to_owned()),
        false => Err(AddressError::Brokers { address: address.to_owned() }),
    }
}

fn check_topic(topic: &str, address: &str) -> Result<(), AddressError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = !topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX && !matches!(topic, "." | "..");
    match is_name && topic.bytes().all(is_allowed) {
        true => Ok(()),
        false => Err(AddressError::Topic { address: address.to_owned(), topic: topic.to_owned() }),
    }
}

impl fmt::Display for KafkaAddress {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KAFKA}{}/{}", self.brokers, self.topic)
    }
}

impl fmt::Display for InfluxAddress {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.server.is_empty() {
            return f.write_str(INFLUX_OF_SURROUNDINGS);
        }
        let scheme = if self.is_secure { "influxs" } else { "influx" };
        write!(f, "{scheme}://{}/{}/{}", self.server, self.org, self.bucket)
    }
}

impl fmt::Display for Address {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Stdio => f.write_str("-"),
            Address::Path(path) => path.display().fmt(f),
            Address::Store(None) => f.write_str("store:"),
            Address::Store(Some(path)) => write!(f, "store:{}", path.display()),
            Address::Kafka(kafka) => kafka.fmt(f),
            Address::Influx(influx) => influx.fmt(f),
            Address::Archive(folder) => write!(f, "archive:{}", folder.display()),
        }
    }
}

/// Why a text is no address. Always the user's to mend.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing was written.
    #[error("an address is empty: '-' is stdin and stdout")]
    Empty,
    /// The address of a registry. It may hold a password, so it is not repeated.
    #[error("cannot use a 'postgres://' address here: it is a registry's, for --registry")]
    Registry,
    /// An InfluxDB address without server, organisation or bucket.
    #[error("cannot use '{address}': write 'influx://HOST:PORT/ORG/BUCKET', 'influxs://' for TLS")]
    Influx {
        /// The whole address.
        address: String,
    },
    /// An archive without a folder.
    #[error("cannot use 'archive:': it wants a folder, 'archive:DIR'")]
    Archive,
    /// A Kafka address that names no brokers.
    #[error("cannot use '{address}': write 'kafka://HOST:PORT/TOPIC', several brokers as 'HOST:PORT,HOST:PORT'")]
    Brokers {
        /// The whole address.
        address: String,
    },
    /// A Kafka address without a topic, or with one that can't be.
    #[error(
        "cannot use '{address}': '{topic}' is no name of a topic, which has 1 to 249 letters, digits, '.', '_' and '-'"
    )]
    Topic {
        /// The whole address.
        address: String,
        /// What stands for the topic.
        topic: String,
    },
    /// No scheme of ours.
    #[error("cannot use '{address}': there is no scheme '{scheme}'")]
    UnknownScheme {
        /// The whole address.
        address: String,
        /// Its scheme.
        scheme: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Address, &str>) {
        let address = Address::parse(OsStr::new(text));
        assert_eq!(address.as_ref().map_err(ToString::to_string), expected.as_ref().map_err(ToString::to_string));
        if let Ok(address) = address {
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn stdio_and_paths() {
        check("-", Ok(Address::Stdio));
        for path in ["a.ndjson", "./kafka:x", "/a b/*.gz", "./-", "C:x", "a:b", "é://x"] {
            check(path, Ok(Address::Path(path.into())));
        }
    }

    #[test]
    fn stores() {
        check("store:", Ok(Address::Store(None)));
        check("store:a b/s.db", Ok(Address::Store(Some("a b/s.db".into()))));
        check("./store:", Ok(Address::Path("./store:".into())));
    }

    #[test]
    fn topics() {
        let kafka = |brokers: &str, topic: &str| {
            Ok(Address::Kafka(KafkaAddress { brokers: brokers.into(), topic: topic.into() }))
        };
        check("kafka://127.0.0.1:9092/raw_events", kafka("127.0.0.1:9092", "raw_events"));
        check("kafka://a,[::1]:9093/a.b-c", kafka("a,[::1]:9093", "a.b-c"));
        let form = "write 'kafka://HOST:PORT/TOPIC', several brokers as 'HOST:PORT,HOST:PORT'";
        check("kafka://:9092/t", Err(&format!("cannot use 'kafka://:9092/t': {form}")));
        check("kafka://h:99999/t", Err(&format!("cannot use 'kafka://h:99999/t': {form}")));
        check("kafka:///t", Err(&format!("cannot use 'kafka:///t': {form}")));
        let name = "is no name of a topic, which has 1 to 249 letters, digits, '.', '_' and '-'";
        check("kafka://h:1/", Err(&format!("cannot use 'kafka://h:1/': '' {name}")));
        check("kafka://h:1", Err(&format!("cannot use 'kafka://h:1': '' {name}")));
        check("kafka://h:1/a b", Err(&format!("cannot use 'kafka://h:1/a b': 'a b' {name}")));
        check("kafka://h:1/a/b", Err(&format!("cannot use 'kafka://h:1/a/b': 'a/b' {name}")));
        assert_eq!(parse_brokers("kafka://h:1,i:2"), Ok("h:1,i:2".into()));
    }

    #[test]
    fn buckets() {
        let influx = |is_secure, server: &str| {
            let (server, org, bucket) = (server.to_owned(), "o".to_owned(), "b".to_owned());
            Ok(Address::Influx(InfluxAddress { is_secure, server, org, bucket }))
        };
        check("influx://h:8086/o/b", influx(false, "h:8086"));
        check("influxs://h/a/path/o/b", influx(true, "h/a/path"));
        let none = String::new;
        let surroundings = InfluxAddress { is_secure: false, server: none(), org: none(), bucket: none() };
        check("influx:", Ok(Address::Influx(surroundings)));
        for wrong in
            ["influx://h:8086/o", "influx://h:8086", "influx:///o/b", "influx://me:pw@h:8086/o/b", "influx://h:8086/o/"]
        {
            let form = "write 'influx://HOST:PORT/ORG/BUCKET', 'influxs://' for TLS";
            check(wrong, Err(&format!("cannot use '{wrong}': {form}")));
        }
    }

    #[test]
    fn archives() {
        check("archive:events/raw", Ok(Address::Archive("events/raw".into())));
        check("archive:", Err("cannot use 'archive:': it wants a folder, 'archive:DIR'"));
    }

    #[test]
    fn what_is_no_path() {
        check("", Err("an address is empty: '-' is stdin and stdout"));
        check("http://x/y", Err("cannot use 'http://x/y': there is no scheme 'http'"));
        check(
            "postgres://me:secret@h/db",
            Err("cannot use a 'postgres://' address here: it is a registry's, for --registry"),
        );
    }

    #[test]
    fn paths_need_not_be_utf8() {
        use std::os::unix::ffi::OsStrExt;
        let path = OsStr::from_bytes(b"a\xff");
        assert_eq!(Address::parse(path), Ok(Address::Path(path.into())));
    }
}
