//! Inputs: addresses turned into the list of things to open, globs expanded, formats told by name.
//!
//! Each input is one partition, in the order named. Looks into folders, but opens nothing.

use std::path::{Path, PathBuf};

use crate::source::address::Address;

/// What the lines of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
}

/// How an input is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
}

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is: never a glob any more.
    pub address: Address,
    /// What its lines are.
    pub format: InputFormat,
    /// How it is compressed.
    pub compression: Compression,
}

impl Input {
    /// Its name in errors, rejects and statistics.
    pub fn name(&self) -> String {
        match &self.address {
            Address::Stdio => "stdin".to_owned(),
            other => other.to_string(),
        }
    }
}

/// The inputs that `addresses` name, in their order; what a glob names is sorted by its bytes. `format` is for inputs whose names
/// do not tell theirs. Files in a folder that a glob names are read, folders passed over, hidden names need their dot.
pub fn inputs(addresses: &[Address], format: Option<InputFormat>) -> Result<Vec<Input>, InputError> {
    let mut inputs = Vec::new();
    for address in addresses {
        match address {
            Address::Stdio => {
                if inputs.iter().any(|input: &Input| input.address == Address::Stdio) {
                    return Err(InputError::StdinTwice);
                }
                let format = format.unwrap_or(InputFormat::Ndjson);
                inputs.push(Input { address: Address::Stdio, format, compression: Compression::None });
            }
            Address::Path(path) => {
                for path in expand(path)? {
                    inputs.push(of_path(path, format)?);
                }
            }
            Address::Store(_) => return Err(InputError::Store { address: address.to_string() }),
            Address::Kafka(_) => return Err(InputError::Topic { address: address.to_string() }),
            Address::Influx(_) | Address::Archive(_) => {
                return Err(InputError::NoEvents { address: address.to_string() });
            }
        }
    }
    Ok(inputs)
}

/// Why there is nothing to read. Always the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Stdin can be read once.
    #[error("cannot read '-' (stdin) twice")]
    StdinTwice,
    /// No such file, or it can't be looked at.
    #[error("cannot read '{path}'")]
    Missing {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A folder is not read by itself.
    #[error("cannot read '{path}': it is a folder, name its files as '{path}/*'")]
    Folder {
        /// The path.
        path: String,
    },
    /// A glob that names nothing.
    #[error("cannot read '{pattern}': no file matches the pattern")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// A text that is no glob.
    #[error("cannot read '{pattern}': no such file, and it is no pattern: {cause}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        cause: &'static str,
    },
    /// A store holds metrics.
    #[error("cannot read events from '{address}': a store holds metrics")]
    Store {
        /// The address.
        address: String,
    },
    /// A bucket, or an archive among files.
    #[error("cannot read '{address}' here: it holds no lines")]
    NoEvents {
        /// The address.
        address: String,
    },
    /// A topic among files.
    #[error("cannot read '{address}' here: a topic is read alone, and by evwindow, evtop and evquery")]
    Topic {
        /// The address.
        address: String,
    },
    /// A format that a later release will read.
    #[error("cannot read '{path}': Parquet comes with a later release")]
    ParquetLater {
        /// The path.
        path: String,
    },
}

/// The files that a path names. A file that is there wins over the pattern that its name would be.
fn expand(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    let shown = path.display().to_string();
    let cause = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Err(InputError::Folder { path: shown }),
        Ok(_) => return Ok(vec![path.to_owned()]),
        Err(error) => error,
    };
    let Some(pattern) = path.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Err(InputError::Missing { path: shown, source: cause });
    };
    let options =
        glob::MatchOptions { require_literal_leading_dot: true, require_literal_separator: true, case_sensitive: true };
    let found = glob::glob_with(pattern, options)
        .map_err(|error| InputError::Pattern { pattern: shown.clone(), cause: error.msg })?;
    let mut paths = Vec::new();
    for path in found {
        let path = path
            .map_err(|error| InputError::Missing { path: error.path().display().to_string(), source: error.into() })?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(InputError::NoMatch { pattern: shown });
    }
    paths.sort();
    Ok(paths)
}

/// An input told by its name: `.gz` and `.zst`, and before them `.csv`, `.ndjson` and `.jsonl`. `.json`, `.log` and the rest do not
/// tell.
fn of_path(path: PathBuf, format: Option<InputFormat>) -> Result<Input, InputError> {
    let mut name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let mut compression = Compression::None;
    for (ending, kind) in [(".gz", Compression::Gzip), (".zst", Compression::Zstd)] {
        if let Some(rest) = name.strip_suffix(ending) {
            name = rest.to_owned();
            compression = kind;
            break;
        }
    }
    let format = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv") => InputFormat::Csv,
        Some("ndjson" | "jsonl") => InputFormat::Ndjson,
        Some("parquet") => return Err(InputError::ParquetLater { path: path.display().to_string() }),
        _ => format.unwrap_or(InputFormat::Ndjson),
    };
    Ok(Input { address: Address::Path(path), format, compression })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_name(name: &str, flag: Option<InputFormat>, expected: (InputFormat, Compression)) {
        let input = of_path(PathBuf::from(name), flag).unwrap();
        assert_eq!((input.format, input.compression), expected, "{name}");
    }

    #[test]
    fn names_tell_format_and_compression() {
        use Compression::{Gzip, None as Plain, Zstd};
        use InputFormat::{Csv, Ndjson};
        check_name("a.csv", Some(Ndjson), (Csv, Plain));
        check_name("a.CSV.GZ", None, (Csv, Gzip));
        check_name("a.ndjson.zst", Some(Csv), (Ndjson, Zstd));
        check_name("a.jsonl", None, (Ndjson, Plain));
        check_name("a.log", None, (Ndjson, Plain));
        check_name("a.json.gz", Some(Csv), (Csv, Gzip));
        check_name("csv", None, (Ndjson, Plain));
        assert!(matches!(of_path("a.parquet".into(), None), Err(InputError::ParquetLater { .. })));
    }

    /// The names that `patterns` give in a folder of `files`, or the error.
    fn check(files: &[&str], patterns: &[&str], expected: Result<&[&str], &str>) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = format!("{}/", folder.path().display());
        let address = |pattern: &&str| match *pattern {
            "-" => Address::Stdio,
            pattern => Address::Path(folder.path().join(pattern)),
        };
        let addresses: Vec<Address> = patterns.iter().map(address).collect();
        let found = inputs(&addresses, None)
            .map(|inputs| inputs.iter().map(|input| input.name().replace(&root, "")).collect::<Vec<_>>())
            .map_err(|error| error.to_string().replace(&root, ""));
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn order_is_as_named_and_globs_are_sorted() {
        check(&["b", "a", "c.log"], &["c.log", "-", "[ab]"], Ok(&["c.log", "stdin", "a", "b"]));
        check(&["d/x", "d/e/y", ".hidden", "z"], &["*"], Ok(&["z"]));
        check(&["d/x", "d/e/y"], &["**/[xy]"], Ok(&["d/e/y", "d/x"]));
    }

    #[test]
    fn a_file_wins_over_the_pattern_of_its_name() {
        check(&["a[1].log", "a1.log"], &["a[1].log"], Ok(&["a[1].log"]));
        check(&["a1.log"], &["a[1].log"], Ok(&["a1.log"]));
    }

    #[test]
    fn what_is_not_there_is_named() {
        check(&[], &["x.log"], Err("cannot read 'x.log'"));
        check(&["x"], &["*.gz"], Err("cannot read '*.gz': no file matches the pattern"));
        check(&["d/x"], &["d"], Err("cannot read 'd': it is a folder, name its files as 'd/*'"));
        check(&[], &["-", "-"], Err("cannot read '-' (stdin) twice"));
        check(
            &[],
            &["a***"],
            Err(
                "cannot read 'a***': no such file, and it is no pattern: wildcards are either regular `*` or recursive `**`",
            ),
        );
    }
}
