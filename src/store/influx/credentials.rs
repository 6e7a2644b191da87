//! Which server, organisation and bucket is meant, and by which token: flags, environment, the influx CLI's own settings.
//!
//! What is nearer wins: an address over `INFLUX_HOST`, `INFLUX_ORG` and `INFLUX_BUCKET`, a token file over `INFLUX_TOKEN` over
//! `~/.influxdbv2/configs`. A token of that file goes to the server only for which it was stored. A token never stands on a
//! command line, in a message or in what `Debug` shows.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::source::address::{Address, InfluxAddress};
use crate::store::influx::error::InfluxError;

/// What a server knows its users by.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token of this text, blanks around it apart.
    pub fn new(text: &str) -> Result<Token, InfluxError> {
        let text = text.trim();
        if text.is_empty() || text.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
            let cause = if text.is_empty() { "it is empty" } else { "it is not one line of ASCII" };
            return Err(InfluxError::Settings { what: "the token".into(), cause: cause.into() });
        }
        Ok(Token(text.to_owned()))
    }

    /// As it stands in a request.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    /// Not the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A bucket, and how to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The bucket.
    pub address: InfluxAddress,
    /// The token. Some servers want none.
    pub token: Option<Token>,
}

/// What surrounds a program: variables, and the file of the influx CLI.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `INFLUX_HOST`: a URL.
    pub host: Option<String>,
    /// `INFLUX_ORG`.
    pub org: Option<String>,
    /// `INFLUX_BUCKET`.
    pub bucket: Option<String>,
    /// `INFLUX_TOKEN`.
    pub token: Option<Token>,
    /// The name of the configuration to use: `INFLUX_ACTIVE_CONFIG`.
    pub active: Option<String>,
    /// `INFLUX_CONFIGS_PATH`, else `~/.influxdbv2/configs`.
    pub configs: Option<PathBuf>,
}

/// One section of the file of the influx CLI.
#[derive(Deserialize)]
struct Config {
    url: String,
    token: Option<String>,
    org: Option<String>,
    #[serde(default)]
    active: bool,
}

impl Environment {
    /// What surrounds this process.
    pub fn of_process() -> Result<Environment, InfluxError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = variable("INFLUX_TOKEN").map(|token| Token::new(&token)).transpose();
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".influxdbv2/configs"));
        Ok(Environment {
            host: variable("INFLUX_HOST"),
            org: variable("INFLUX_ORG"),
            bucket: variable("INFLUX_BUCKET"),
            token: token.map_err(|error| in_place(error, "INFLUX_TOKEN"))?,
            active: variable("INFLUX_ACTIVE_CONFIG"),
            configs: variable("INFLUX_CONFIGS_PATH").map(PathBuf::from).or_else(home),
        })
    }

    /// The bucket that an address means, and the token for its server: that of `token_file` if one is given.
    pub fn resolve(&self, address: &InfluxAddress, token_file: Option<&Path>) -> Result<Target, InfluxError> {
        let configs = self.read_configs()?;
        let (mut address, mut config) = (address.clone(), None);
        if address.server.is_empty() {
            let url = match &self.host {
                Some(host) => host.clone(),
                None => {
                    let missing = InfluxError::Incomplete { missing: "the server", variable: "INFLUX_HOST" };
                    config = Some(self.active(&configs).ok_or(missing)?);
                    config.map(|config| config.url.clone()).unwrap_or_default()
                }
            };
            (address.is_secure, address.server) = read_url(&url)?;
        }
        let config = config.or_else(|| self.of_server(&configs, &address));
        if address.org.is_empty() {
            let org = self.org.clone().or_else(|| config?.org.clone()).filter(|org| !org.is_empty());
            let missing = InfluxError::Incomplete { missing: "the organisation", variable: "INFLUX_ORG" };
            address.org = org.ok_or(missing)?;
        }
        if address.bucket.is_empty() {
            let missing = InfluxError::Incomplete { missing: "the bucket", variable: "INFLUX_BUCKET" };
            address.bucket = self.bucket.clone().ok_or(missing)?;
        }
        let stored = || {
            let text = config?.token.as_deref().filter(|token| !token.is_empty())?;
            Some(Token::new(text).map_err(|error| in_place(error, &self.configs_name())))
        };
        let token = match token_file {
            Some(path) => Some(read_token(path)?),
            None => match &self.token {
                Some(token) => Some(token.clone()),
                None => stored().transpose()?,
            },
        };
        Ok(Target { address, token })
    }

    fn configs_name(&self) -> String {
        format!("'{}'", self.configs.as_deref().unwrap_or(Path::new("")).display())
    }

    /// The sections of the file, by name. No file is none.
    fn read_configs(&self) -> Result<Vec<(String, Config)>, InfluxError> {
        let Some(path) = &self.configs else { return Ok(Vec::new()) };
        let failed = |cause: String| InfluxError::Settings { what: self.configs_name(), cause };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error.to_string())),
        };
        // What the parser says shows the line, in which a token may stand.
        let cause = |error: toml::de::Error| failed(format!("it is no file of the influx CLI: {}", error.message()));
        let sections: toml::Table = text.parse().map_err(cause)?;
        let sections = sections.into_iter().filter(|(_, section)| section.is_table());
        sections.map(|(name, section)| Ok((name, section.try_into().map_err(cause)?))).collect()
    }

    fn active<'a>(&self, configs: &'a [(String, Config)]) -> Option<&'a Config> {
        let is_active = |(name, config): &&(String, Config)| match &self.active {
            Some(active) => active == name,
            None => config.active,
        };
        configs.iter().find(is_active).map(|(_, config)| config)
    }

    /// The configuration of an address's server: the active one where several are, one of its organisation before others.
    fn of_server<'a>(&self, configs: &'a [(String, Config)], address: &InfluxAddress) -> Option<&'a Config> {
        let is_same = |config: &&Config| {
            read_url(&config.url).is_ok_and(|(is_secure, server)| {
                let base = |is_secure, server: &str| {
                    base_url(&InfluxAddress { is_secure, server: server.to_owned(), ..address.clone() })
                };
                base(is_secure, &server) == base_url(address)
            })
        };
        let of_org = |config: &Config| address.org.is_empty() || config.org.as_deref() == Some(&address.org);
        let same = || configs.iter().map(|(_, config)| config).filter(is_same);
        let active = self.active(configs).filter(is_same);
        active
            .filter(|config| of_org(config))
            .or_else(|| same().find(|config| of_org(config)))
            .or(active)
            .or_else(|| same().next())
    }
}

/// The URL under which an address's server has its API.
pub(crate) fn base_url(address: &InfluxAddress) -> String {
    let (scheme, port) = if address.is_secure { ("https", 443) } else { ("http", 8086) };
    let server = address.server.trim_end_matches('/');
    let (host, path) = server.split_at(server.find('/').unwrap_or(server.len()));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if has_port { format!("{scheme}://{host}{path}") } else { format!("{scheme}://{host}:{port}{path}") }
}

/// Whether a URL is spoken to by TLS, and its host, port and path.
fn read_url(url: &str) -> Result<(bool, String), InfluxError> {
    let failed = || {
        // What stands before an @ is a password.
        let (what, way) = match url.rsplit_once('@') {
            Some((_, server)) => (format!("'…@{server}'"), ", and the token in INFLUX_TOKEN or --token-file"),
            None => (format!("'{url}'"), ""),
        };
        let cause = format!("write http://HOST:PORT or https://HOST:PORT{way}");
        InfluxError::Settings { what: format!("{what} as an InfluxDB server"), cause }
    };
    if url.contains('@') {
        return Err(failed());
    }
    let (is_secure, port, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (false, 80, rest),
        (_, Some(rest)) => (true, 443, rest),
        _ => return Err(failed()),
    };
    let server = rest.trim_end_matches('/');
    // The address is read as the one of a bucket, so that both take the same servers.
    let scheme = if is_secure { "influxs" } else { "influx" };
    match Address::parse(format!("{scheme}://{server}/o/b").as_ref()) {
        Ok(Address::Influx(address)) => {
            let (host, path) = server.split_at(server.find('/').unwrap_or(server.len()));
            let has_port = base_url(&address)
                .starts_with(&format!("{}://{host}{path}", if is_secure { "https" } else { "http" }))
                && base_url(&address).ends_with(server);
            Ok((is_secure, if has_port { server.to_owned() } else { format!("{host}:{port}{path}") }))
        }
        _ => Err(failed()),
    }
}

fn read_token(path: &Path) -> Result<Token, InfluxError> {
    let name = format!("--token-file '{}'", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|error| InfluxError::Settings { what: name.clone(), cause: error.to_string() })?;
    Token::new(&text).map_err(|error| in_place(error, &name))
}

/// A token's fault, with where it was found.
fn in_place(error: InfluxError, place: &str) -> InfluxError {
    match error {
        InfluxError::Settings { what, cause } => InfluxError::Settings { what: format!("{what} of {place}"), cause },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGS: &str = r#"
        [here]
        url = "http://h:1"
        token = "of here"
        org = "o"
        [tls]
        url = "https://t/base/"
        token = "of tls"
        org = "other"
        active = true
    "#;

    fn address(is_secure: bool, server: &str, org: &str, bucket: &str) -> InfluxAddress {
        InfluxAddress { is_secure, server: server.into(), org: org.into(), bucket: bucket.into() }
    }

    fn with_configs(text: &str, check: impl FnOnce(Environment)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        check(Environment { configs: Some(file.path().to_path_buf()), ..Environment::default() });
    }

    fn token(text: &str) -> Option<Token> {
        Some(Token::new(text).unwrap())
    }

    #[test]
    fn a_token_is_that_of_the_nearest_place() {
        with_configs(CONFIGS, |mut environment| {
            let here = address(false, "h:1", "o", "b");
            assert_eq!(
                environment.resolve(&here, None).unwrap(),
                Target { address: here.clone(), token: token("of here") }
            );
            environment.token = token("of the environment");
            assert_eq!(environment.resolve(&here, None).unwrap().token, token("of the environment"));
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), "of the file\n").unwrap();
            assert_eq!(environment.resolve(&here, Some(file.path())).unwrap().token, token("of the file"));
        });
    }

    #[test]
    fn a_stored_token_goes_to_its_server_only() {
        with_configs(CONFIGS, |environment| {
            for (server, is_secure, expected) in [
                ("h:2", false, None),
                ("h:1", true, None),
                ("t/base", true, token("of tls")),
                ("t:443/base", true, token("of tls")),
                ("t", true, None),
            ] {
                let target = environment.resolve(&address(is_secure, server, "o", "b"), None).unwrap();
                assert_eq!(target.token, expected, "{server}");
            }
        });
    }

    #[test]
    fn what_an_address_leaves_out_is_filled() {
        let none = address(false, "", "", "");
        with_configs(CONFIGS, |mut environment| {
            environment.bucket = Some("b".into());
            let expected = Target { address: address(true, "t:443/base", "other", "b"), token: token("of tls") };
            assert_eq!(environment.resolve(&none, None).unwrap(), expected);
            environment.active = Some("here".into());
            assert_eq!(environment.resolve(&none, None).unwrap().token, token("of here"));
            environment.host = Some("http://x".into());
            environment.org = Some("p".into());
            let expected = Target { address: address(false, "x:80", "p", "b"), token: None };
            assert_eq!(environment.resolve(&none, None).unwrap(), expected);
        });
        for (environment, expected) in [
            (Environment::default(), "cannot tell the server of 'influx:'"),
            (
                Environment { host: Some("http://x".into()), ..Environment::default() },
                "cannot tell the organisation of 'influx:'",
            ),
            (
                Environment { host: Some("x:8086".into()), ..Environment::default() },
                "cannot use 'x:8086' as an InfluxDB server: write http://HOST:PORT or https://HOST:PORT",
            ),
            (
                Environment { host: Some("http://user:hush@x:8086".into()), ..Environment::default() },
                "cannot use '…@x:8086' as an InfluxDB server: write http://HOST:PORT or https://HOST:PORT, and the token in \
                 INFLUX_TOKEN or --token-file",
            ),
        ] {
            assert_eq!(environment.resolve(&none, None).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let target = Target { address: address(false, "h", "o", "b"), token: token("hush") };
        assert!(!format!("{target:?}").contains("hush"));
        with_configs("[a]\nurl = \"http://h\"\ntoken = \"hush\nactive = 1", |environment| {
            let error = environment.resolve(&address(false, "h", "o", "b"), None).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        });
        assert!(!format!("{:?}", Token::new("hu\nsh").unwrap_err()).contains("hu\\n"));
    }

    #[test]
    fn urls_have_a_port() {
        for (is_secure, server, expected) in [
            (false, "h", "http://h:8086"),
            (true, "h/a/b", "https://h:443/a/b"),
            (false, "h:1/a", "http://h:1/a"),
            (false, "[::1]", "http://[::1]:8086"),
            (false, "[::1]:5", "http://[::1]:5"),
        ] {
            assert_eq!(base_url(&address(is_secure, server, "o", "b")), expected);
        }
    }
}
