//! Addresses of registries: a file, or `postgres://USER@HOST:PORT/DB`.
//!
//! An address never holds a password: it stands on command lines and in messages. What it leaves out is filled in by
//! `crate::registry::postgres::settings`.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryAddress {
    /// An SQLite file.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(Box<PostgresAddress>),
}

/// `postgres://[USER@][HOST][:PORT][/DB][?PARAMETER=VALUE&…]`, as libpq reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PostgresAddress {
    /// As it was written.
    text: String,
    /// A name, an IP address, or the folder of a socket.
    pub host: Option<String>,
    /// The port.
    pub port: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// How TLS is used.
    pub sslmode: Option<String>,
    /// The file of certificates that the server's is checked by.
    pub sslrootcert: Option<String>,
    /// Seconds.
    pub connect_timeout: Option<String>,
    /// What the server shows of this client.
    pub application_name: Option<String>,
    /// Settings of the session.
    pub options: Option<String>,
}

/// Why a text is no address of a registry. Always the user's to mend.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing was written.
    #[error("cannot take '' as a registry: it names nothing")]
    Empty,
    /// A password.
    #[error("cannot take the registry '{shown}': a secret on a command line can be seen by others")]
    Password {
        /// The address without it.
        shown: String,
    },
    /// No form of ours.
    #[error("cannot take the registry '{shown}': {cause}")]
    Form {
        /// The address up to its parameters.
        shown: String,
        /// What is wrong.
        cause: String,
    },
}

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

impl RegistryAddress {
    /// Reads an address: what has no scheme is a file.
    pub fn parse(text: &OsStr) -> Result<RegistryAddress, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let Some(text) = text.to_str() else { return Ok(RegistryAddress::File(text.into())) };
        if let Some(rest) = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
            return postgres(text, rest).map(Box::new).map(RegistryAddress::Postgres);
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(AddressError::Form {
                shown: format!("{scheme}://…"),
                cause: format!("there is no scheme '{scheme}': name an SQLite file, or postgres://USER@HOST:PORT/DB"),
            }),
            None => Ok(RegistryAddress::File(text.into())),
        }
    }
}

fn postgres(text: &str, rest: &str) -> Result<PostgresAddress, AddressError> {
    // Before anything else is said of the address: what is said of it shows it.
    if let Some((before, _)) = rest.split_once('@')
        && let Some((user, _)) = before.split_once(':')
    {
        return Err(AddressError::Password { shown: format!("postgres://{user}:…@…") });
    }
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let refused = |cause: String| AddressError::Form { shown: format!("postgres://{place}"), cause };
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, server) = authority.split_once('@').unwrap_or(("", authority));
    let (host, port) = match server.strip_prefix('[').and_then(|server| server.split_once(']')) {
        Some((host, "")) => (host, ""),
        Some((host, port)) if port.starts_with(':') => (host, &port[1..]),
        Some(_) => return Err(refused("behind ']' only a port may stand".to_owned())),
        None => server.split_once(':').unwrap_or((server, "")),
    };
    if server.contains(',') {
        return Err(refused("it names several servers, and a registry has one".to_owned()));
    }
    let mut address = PostgresAddress { text: text.to_owned(), ..PostgresAddress::default() };
    let pairs = [("host", host), ("port", port), ("user", user), ("dbname", database)].into_iter();
    let given = parameters.split('&').filter(|pair| !pair.is_empty());
    let given = given.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    for (name, value) in pairs.filter(|(_, value)| !value.is_empty()).chain(given) {
        if name == "password" {
            return Err(AddressError::Password { shown: format!("postgres://{place}?password=…") });
        }
        let value =
            decoded(value).ok_or_else(|| refused(format!("its '{name}' has a '%' that no two hex digits follow")))?;
        let field = address.field(name).ok_or_else(|| {
            let known = "sslmode, sslrootcert, connect_timeout, application_name, options";
            refused(format!("it has no parameter '{name}'; there are {known}"))
        })?;
        *field = Some(value);
    }
    Ok(address)
}

impl PostgresAddress {
    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "host" => &mut self.host,
            "port" => &mut self.port,
            "user" => &mut self.user,
            "dbname" => &mut self.database,
            "sslmode" => &mut self.sslmode,
            "sslrootcert" => &mut self.sslrootcert,
            "connect_timeout" => &mut self.connect_timeout,
            "application_name" => &mut self.application_name,
            "options" => &mut self.options,
            _ => return None,
        })
    }
}

/// A text with its `%41` as they are meant.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        // A NUL would end the text for the server.
        bytes.push(Some(byte).filter(|byte| *byte != 0)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for PostgresAddress {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for RegistryAddress {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryAddress::File(path) => path.display().fmt(f),
            RegistryAddress::Postgres(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Host, port, user, database, sslmode and options.
    #[track_caller]
    fn check(text: &str, expected: [&str; 6]) {
        let RegistryAddress::Postgres(address) = RegistryAddress::parse(text.as_ref()).unwrap() else {
            panic!("'{text}' is no server")
        };
        let PostgresAddress { host, port, user, database, sslmode, options, .. } = &*address;
        let found = [host, port, user, database, sslmode, options].map(|part| part.as_deref().unwrap_or("-"));
        assert_eq!(found, expected, "{text}");
        assert_eq!(address.to_string(), text);
    }

    #[test]
    fn servers() {
        check("postgres://me@h:5433/db", ["h", "5433", "me", "db", "-", "-"]);
        check("postgresql://h", ["h", "-", "-", "-", "-", "-"]);
        check("postgres://", ["-", "-", "-", "-", "-", "-"]);
        check("postgres:///db?sslmode=require", ["-", "-", "-", "db", "require", "-"]);
        check("postgres://[::1]:1/d", ["::1", "1", "-", "d", "-", "-"]);
        check("postgres://a%40b@%2Fvar%2Frun/d%2Fe", ["/var/run", "-", "a@b", "d/e", "-", "-"]);
        check(
            "postgres:///d?host=/run&user=u&port=7&options=-csearch_path%3Dx",
            ["/run", "7", "u", "d", "-", "-csearch_path=x"],
        );
    }

    #[test]
    fn files() {
        for path in ["r.db", "./a:b", "postgres.db"] {
            assert_eq!(RegistryAddress::parse(path.as_ref()), Ok(RegistryAddress::File(path.into())));
        }
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = RegistryAddress::parse(text.as_ref()).unwrap_err().to_string();
        assert_eq!(error, format!("cannot take {expected}"), "{text}");
        assert!(!error.contains("geheim"), "{error}");
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        let seen = "a secret on a command line can be seen by others";
        for text in ["postgres://me:geheim@h/db", "postgres://me:ge/heim@h/db", "postgres://me:geheim?x@h:port/d?a=b"] {
            check_error(text, &format!("the registry 'postgres://me:…@…': {seen}"));
        }
        check_error("postgres://h/db?password=geheim", &format!("the registry 'postgres://h/db?password=…': {seen}"));
        check_error(
            "postgres://h/db?passwort=geheim",
            "the registry 'postgres://h/db': it has no parameter 'passwort'; there are sslmode, sslrootcert, connect_timeout, application_name, options",
        );
    }

    #[test]
    fn what_is_no_address() {
        check_error("", "'' as a registry: it names nothing");
        check_error(
            "mysql://u:geheim@h",
            "the registry 'mysql://…': there is no scheme 'mysql': name an SQLite file, or postgres://USER@HOST:PORT/DB",
        );
        check_error(
            "postgres://h,i/d",
            "the registry 'postgres://h,i/d': it names several servers, and a registry has one",
        );
        check_error(
            "postgres://h/%zz",
            "the registry 'postgres://h/%zz': its 'dbname' has a '%' that no two hex digits follow",
        );
        check_error("postgres://[::1]x/d", "the registry 'postgres://[::1]x/d': behind ']' only a port may stand");
    }
}
