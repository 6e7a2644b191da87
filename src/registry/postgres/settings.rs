//! What a connection needs: the address, and where it says nothing the variables of libpq, the file of passwords, libpq's defaults.
//!
//! Opens no connection. What is secret here can't be printed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::registry::address::PostgresAddress;
use crate::registry::postgres::passfile::{Found, Wanted, look_up};

/// The variables of the environment, by their names.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a connection is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A name, an IP address, or the folder of a socket, which begins with `/`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// The password, if one was found.
    pub password: Option<Password>,
    /// Why the file of passwords is not used.
    pub unused: Option<String>,
    /// How TLS is used.
    pub tls: TlsMode,
    /// What the server's certificate is checked by.
    pub roots: Roots,
    /// How long one attempt may take.
    pub patience: Duration,
    /// What the server shows of this client.
    pub application_name: String,
    /// Settings of the session.
    pub options: Option<String>,
}

/// A password. It can be handed on, but not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

/// `sslmode`, with libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the server doesn't let us in without.
    Allow,
    /// Where the server can.
    Prefer,
    /// Always.
    Require,
    /// Always, with a certificate that a root has signed.
    VerifyCa,
    /// And that is of the host's name.
    VerifyFull,
}

/// What the server's certificate is checked by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Nothing: any is taken.
    None,
    /// The certificates in a file.
    File(PathBuf),
    /// Those that the system trusts.
    System,
}

/// Settings that can't be. Always the user's to mend.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A value that is none.
    #[error("cannot take {name} '{value}': {wanted}")]
    Value {
        /// The parameter, and the variable.
        name: String,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Nobody says who the user is.
    #[error("cannot connect to a registry: no user is named; write postgres://USER@HOST:PORT/DB, or set PGUSER")]
    NoUser,
    /// A file of certificates that isn't there.
    #[error("cannot read sslrootcert '{}': there is no such file", .0.display())]
    NoRoots(PathBuf),
    /// Nothing to check the certificate by.
    #[error(
        "cannot use sslmode '{mode}': nothing says which certificates are trusted; name a file with sslrootcert=FILE, or sslrootcert=system"
    )]
    NothingToVerify {
        /// The mode.
        mode: &'static str,
    },
    /// What the system trusts says nothing of the host where its name isn't looked at.
    #[error(
        "cannot use sslmode '{mode}' with sslrootcert=system: anybody can have such a certificate; take verify-full"
    )]
    WeakForSystem {
        /// The mode.
        mode: &'static str,
    },
}

const MODES: [(&str, TlsMode); 6] = [
    ("disable", TlsMode::Disable),
    ("allow", TlsMode::Allow),
    ("prefer", TlsMode::Prefer),
    ("require", TlsMode::Require),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-full", TlsMode::VerifyFull),
];

const PATIENCE_SECONDS: u16 = 10;

impl Settings {
    /// Fills in what `address` leaves out.
    pub fn of(address: &PostgresAddress, variable: Environment<'_>) -> Result<Settings, SettingsError> {
        // An empty variable counts as none, as for libpq.
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let part = |part: &Option<String>, name: &str| part.clone().or_else(|| set(name));
        let host = part(&address.host, "PGHOST").unwrap_or_else(|| "localhost".to_owned());
        let port = part(&address.port, "PGPORT").unwrap_or_else(|| "5432".to_owned());
        let of_process = || set("USER").or_else(|| set("LOGNAME"));
        let user = part(&address.user, "PGUSER").or_else(of_process).ok_or(SettingsError::NoUser)?;
        let database = part(&address.database, "PGDATABASE").unwrap_or_else(|| user.clone());
        let home = set("HOME").map(PathBuf::from);
        let wanted = Wanted {
            // As libpq looks a socket up that is where sockets are.
            host: if host == "/var/run/postgresql" || host == "/tmp" { "localhost" } else { &host },
            port: &port,
            database: &database,
            user: &user,
        };
        let file = set("PGPASSFILE").map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(".pgpass")));
        let (password, unused) = match (set("PGPASSWORD"), file.map(|file| look_up(&file, wanted))) {
            (Some(password), _) | (None, Some(Found::Password(password))) => (Some(Password(password)), None),
            (None, Some(Found::Unused(reason))) => (None, Some(reason)),
            (None, Some(Found::Nothing) | None) => (None, None),
        };
        let seconds = part(&address.connect_timeout, "PGCONNECT_TIMEOUT");
        let seconds =
            seconds.map(|text| number("connect_timeout", "PGCONNECT_TIMEOUT", &text, "write seconds, from 1 on"));
        let (tls, roots) = tls(
            part(&address.sslmode, "PGSSLMODE"),
            part(&address.sslrootcert, "PGSSLROOTCERT"),
            home.map(|home| home.join(".postgresql/root.crt")),
        )?;
        Ok(Settings {
            port: number("port", "PGPORT", &port, "a port is a number from 1 to 65535")?,
            patience: Duration::from_secs(seconds.transpose()?.unwrap_or(PATIENCE_SECONDS).into()),
            application_name: part(&address.application_name, "PGAPPNAME").unwrap_or_else(|| "evkit".to_owned()),
            options: part(&address.options, "PGOPTIONS"),
            host,
            user,
            database,
            password,
            unused,
            tls,
            roots,
        })
    }
}

fn number(name: &str, variable: &str, text: &str, wanted: &'static str) -> Result<u16, SettingsError> {
    let wrong = || SettingsError::Value { name: format!("{name} ({variable})"), value: text.to_owned(), wanted };
    text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)
}

/// A root in the user's home counts in every mode, as for libpq; but one that is named must be there.
fn tls(
    mode: Option<String>,
    roots: Option<String>,
    in_home: Option<PathBuf>,
) -> Result<(TlsMode, Roots), SettingsError> {
    let roots = match roots.as_deref() {
        Some("system") => Roots::System,
        Some(path) if PathBuf::from(path).is_file() => Roots::File(path.into()),
        Some(path) => return Err(SettingsError::NoRoots(path.into())),
        None => in_home.filter(|path| path.is_file()).map_or(Roots::None, Roots::File),
    };
    let (name, mode) = match mode.as_deref() {
        None if roots == Roots::System => ("verify-full", TlsMode::VerifyFull),
        None => ("prefer", TlsMode::Prefer),
        Some(text) => *MODES.iter().find(|(name, _)| *name == text).ok_or_else(|| SettingsError::Value {
            name: "sslmode (PGSSLMODE)".to_owned(),
            value: text.to_owned(),
            wanted: "it is disable, allow, prefer, require, verify-ca or verify-full",
        })?,
    };
    match (mode, &roots) {
        (TlsMode::VerifyCa | TlsMode::VerifyFull, Roots::None) => Err(SettingsError::NothingToVerify { mode: name }),
        (TlsMode::VerifyFull, _) => Ok((mode, roots)),
        (_, Roots::System) => Err(SettingsError::WeakForSystem { mode: name }),
        _ => Ok((mode, roots)),
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::registry::address::RegistryAddress;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let RegistryAddress::Postgres(address) = RegistryAddress::parse(text.as_ref()).unwrap() else {
            panic!("'{text}' is no server")
        };
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::of(&address, &variable)
    }

    #[track_caller]
    fn check(text: &str, variables: &[(&str, &str)], expected: (&str, u16, &str, &str)) {
        let found = settings(text, variables).unwrap();
        assert_eq!((&*found.host, found.port, &*found.user, &*found.database), expected, "{text} {variables:?}");
    }

    #[test]
    fn variables_fill_what_the_address_leaves_out() {
        let all = [("PGHOST", "vh"), ("PGPORT", "7"), ("PGUSER", "vu"), ("PGDATABASE", "vd"), ("USER", "me")];
        check("postgres://u@h:1/d", &all, ("h", 1, "u", "d"));
        check("postgres://", &all, ("vh", 7, "vu", "vd"));
        check("postgres://u@h", &[("PGDATABASE", "")], ("h", 5432, "u", "u"));
        check("postgres:///d", &[("USER", "me")], ("localhost", 5432, "me", "d"));
        check("postgres:///d", &[("LOGNAME", "me"), ("PGHOST", "/run")], ("/run", 5432, "me", "d"));
        assert_eq!(settings("postgres://h/d", &[]).unwrap_err(), SettingsError::NoUser);
    }

    #[test]
    fn the_variable_for_the_password_goes_before_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let (home, path) = (folder.path().to_str().unwrap(), folder.path().join(".pgpass"));
        let other = folder.path().join("other");
        std::fs::write(&path, "h:5432:d:u:of-home\nlocalhost:5432:d:u:of-socket\n").unwrap();
        std::fs::write(&other, "*:*:*:*:of-other\n").unwrap();
        for file in [&path, &other] {
            std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
        }
        let password = |text: &str, variables: &[(&str, &str)]| {
            settings(text, variables).unwrap().password.map(|password| password.0)
        };
        let home = ("HOME", home);
        assert_eq!(password("postgres://u@h/d", &[home]).as_deref(), Some("of-home"));
        assert_eq!(password("postgres://u@%2Fvar%2Frun%2Fpostgresql/d", &[home]).as_deref(), Some("of-socket"));
        assert_eq!(password("postgres://u@h/d", &[home, ("PGPASSWORD", "set")]).as_deref(), Some("set"));
        let named = ("PGPASSFILE", other.to_str().unwrap());
        assert_eq!(password("postgres://u@h/d", &[home, named]).as_deref(), Some("of-other"));
        assert_eq!(password("postgres://u@h/e", &[home]), None);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let open = settings("postgres://u@h/d", &[home]).unwrap();
        assert!(open.password.is_none() && open.unused.unwrap().contains("others may read it"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", settings("postgres://u@h/d", &[("PGPASSWORD", "geheim")]).unwrap());
        assert!(shown.contains("Password") && !shown.contains("geheim"), "{shown}");
    }

    #[track_caller]
    fn check_tls(mode: Option<&str>, roots: Option<&str>, in_home: bool, expected: Result<(TlsMode, Roots), &str>) {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("root.crt");
        if in_home {
            std::fs::write(&home, "").unwrap();
        }
        let found = tls(mode.map(str::to_owned), roots.map(str::to_owned), Some(home.clone()));
        let expected = expected.map(|(mode, roots)| match roots {
            Roots::File(_) => (mode, Roots::File(home)),
            roots => (mode, roots),
        });
        assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{mode:?} {roots:?}");
    }

    #[test]
    fn tls_is_as_for_libpq() {
        let home = || Roots::File("home".into());
        check_tls(None, None, false, Ok((TlsMode::Prefer, Roots::None)));
        check_tls(Some("require"), None, true, Ok((TlsMode::Require, home())));
        check_tls(Some("verify-ca"), None, true, Ok((TlsMode::VerifyCa, home())));
        check_tls(None, Some("system"), true, Ok((TlsMode::VerifyFull, Roots::System)));
        check_tls(
            Some("verify-full"),
            None,
            false,
            Err(
                "cannot use sslmode 'verify-full': nothing says which certificates are trusted; name a file with sslrootcert=FILE, or sslrootcert=system",
            ),
        );
        check_tls(
            Some("require"),
            Some("system"),
            false,
            Err(
                "cannot use sslmode 'require' with sslrootcert=system: anybody can have such a certificate; take verify-full",
            ),
        );
        check_tls(
            Some("require"),
            Some("none.crt"),
            false,
            Err("cannot read sslrootcert 'none.crt': there is no such file"),
        );
        check_tls(
            Some("always"),
            None,
            false,
            Err(
                "cannot take sslmode (PGSSLMODE) 'always': it is disable, allow, prefer, require, verify-ca or verify-full",
            ),
        );
    }

    #[test]
    fn numbers_are_numbers() {
        let error = |text: &str, variables: &[(&str, &str)]| settings(text, variables).unwrap_err().to_string();
        assert_eq!(
            error("postgres://u@h:99999/d", &[]),
            "cannot take port (PGPORT) '99999': a port is a number from 1 to 65535"
        );
        assert_eq!(
            error("postgres://u@h/d", &[("PGCONNECT_TIMEOUT", "0")]),
            "cannot take connect_timeout (PGCONNECT_TIMEOUT) '0': write seconds, from 1 on"
        );
    }
}
