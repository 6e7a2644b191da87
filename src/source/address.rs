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
}

/// Schemes that are part of the design and not yet of this release.
const SCHEMES_LATER: [&str; 6] = ["kafka:", "influx:", "influxs:", "archive:", "postgres:", "postgresql:"];

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
        if let Some(text) = text.to_str() {
            if let Some(scheme) = SCHEMES_LATER.iter().find(|scheme| text.starts_with(**scheme)) {
                return Err(AddressError::Later {
                    address: text.to_owned(),
                    scheme: scheme.trim_end_matches(':').to_owned(),
                });
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

impl fmt::Display for Address {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Stdio => f.write_str("-"),
            Address::Path(path) => path.display().fmt(f),
            Address::Store(None) => f.write_str("store:"),
            Address::Store(Some(path)) => write!(f, "store:{}", path.display()),
        }
    }
}

/// Why a text is no address. Always the user's to mend.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing was written.
    #[error("an address is empty: '-' is stdin and stdout")]
    Empty,
    /// A scheme that a later release will have.
    #[error(
        "cannot use '{address}': '{scheme}' addresses come with a later release, this one has files, '-' and pipes"
    )]
    Later {
        /// The whole address.
        address: String,
        /// Its scheme.
        scheme: String,
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
    fn what_is_no_path() {
        check("", Err("an address is empty: '-' is stdin and stdout"));
        check(
            "kafka://h:9092/t",
            Err(
                "cannot use 'kafka://h:9092/t': 'kafka' addresses come with a later release, this one has files, '-' and pipes",
            ),
        );
        check("http://x/y", Err("cannot use 'http://x/y': there is no scheme 'http'"));
    }

    #[test]
    fn paths_need_not_be_utf8() {
        use std::os::unix::ffi::OsStrExt;
        let path = OsStr::from_bytes(b"a\xff");
        assert_eq!(Address::parse(path), Ok(Address::Path(path.into())));
    }
}
