//! Which files a run writes, and that none of them is read too or written twice: a mistyped command must not cost data.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::anyhow;

use crate::cli::exit::{ExitCode, ReportContext};
use crate::source::address::Address;
use crate::source::input::Input;

/// Refuses outputs, each with its flag, of which one is compressed by its name, is among the inputs, or is another one's place.
pub fn check_files<'a>(
    tool: &str,
    inputs: &[Input],
    outputs: impl IntoIterator<Item = (&'a str, &'a Address)>,
) -> anyhow::Result<()> {
    let mut taken: Vec<(&str, PathBuf)> = Vec::new();
    for (flag, address) in outputs {
        let Some(place) = place_of(address) else { continue };
        let refuse = |cause: String, hint: &str| {
            Err(anyhow!("cannot take --{flag} '{address}': {cause}")).hint(hint).exit_code(ExitCode::Usage)
        };
        let is_topic = matches!(address, Address::Kafka(_));
        let compressed = place.extension().filter(|ending| ["gz", "zst", "parquet"].map(OsStr::new).contains(ending));
        if let Some(ending) = compressed.filter(|_| !is_topic) {
            let cause = format!("{tool} does not write .{} files", ending.display());
            return refuse(cause, "write to '-' and pipe it through gzip or zstd");
        }
        let is_place = |input: &Input| place_of(&input.address).is_some_and(|input| input == place);
        if *address != Address::Stdio && inputs.iter().any(is_place) {
            return refuse("it is read too".into(), "write to another file");
        }
        if let Some((other, _)) = taken.iter().find(|(_, other)| *other == place) {
            let own = if is_topic { "write each to a topic of its own" } else { "write each to a file of its own" };
            return refuse(format!("--{other} is written there"), own);
        }
        taken.push((flag, place));
    }
    Ok(())
}

/// What tells a file or topic from others, however a file's name is written. `None` for stores, and devices and pipes, which may
/// take anything.
fn place_of(address: &Address) -> Option<PathBuf> {
    let path = match address {
        Address::Stdio => return Some("-".into()),
        Address::Path(path) => path,
        Address::Kafka(topic) => return Some(topic.to_string().into()),
        Address::Store(_) => return None,
        Address::Influx(bucket) => return Some(bucket.to_string().into()),
        Address::Archive(folder) => folder,
    };
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => None,
        Ok(_) => path.canonicalize().ok(),
        Err(_) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
            Some(folder.canonicalize().unwrap_or_else(|_| folder.into()).join(path.file_name()?))
        }
    }
}
