//! `evingest schema`: the registry at the command line.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use crate::cli::about;
use crate::cli::evingest::args::{CompatibilityArg, RegistryArgs, SchemaArgs, SchemaCommand};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::registry::{Candidate, Put, Registry, RegistryError, SqliteRegistry, default_path};
use crate::source::clock::SystemClock;
use crate::time::Clock;
use crate::validate::schema::compatible::Compatibility;
use crate::validate::schema::{Schema, Schemas, Versioned};

/// Does what is asked.
pub fn work(command: &SchemaCommand) -> anyhow::Result<ExitCode> {
    match command {
        SchemaCommand::Put { schema, compatibility } => put(schema, *compatibility),
        SchemaCommand::Check { schema, compatibility } => check(schema, *compatibility),
        SchemaCommand::Get { event_type, version, registry } => get(event_type, *version, registry),
        SchemaCommand::List { registry } => list(registry),
    }
}

/// The newest schema of every type in a registry.
pub fn all(registry: &OsStr) -> anyhow::Result<Schemas> {
    let refused = || format!("cannot take --registry '{}'", registry.display());
    let newest = explained(SqliteRegistry::open(&path_of(registry)?).and_then(|registry| registry.newest()));
    let mut schemas = Schemas::default();
    for stored in newest.with_context(refused)? {
        let schema = Schema::compile(&stored.schema).with_context(refused)?;
        schemas.insert(&stored.event_type, Versioned { schema, version: Some(stored.version) });
    }
    Ok(schemas)
}

fn put(args: &SchemaArgs, compatibility: CompatibilityArg) -> anyhow::Result<ExitCode> {
    let schema = read(&args.file)?;
    let mut registry = explained(SqliteRegistry::open_or_make(&place(&args.registry)?))?;
    let candidate = Candidate { event_type: &args.event_type, schema: &schema, compatibility: compatibility.into() };
    let put = explained(registry.put(&candidate, SystemClock.now()))?;
    say(&args.event_type, put, if put.was_there { "it is there already" } else { "added" })
}

fn check(args: &SchemaArgs, compatibility: CompatibilityArg) -> anyhow::Result<ExitCode> {
    let schema = read(&args.file)?;
    let candidate = Candidate { event_type: &args.event_type, schema: &schema, compatibility: compatibility.into() };
    let path = place(&args.registry)?;
    // Where there is no registry yet, it would be the first.
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let registry = match path.exists() {
        true => explained(SqliteRegistry::open(&path))?,
        false => explained(SqliteRegistry::open_or_make(&folder.path().join("empty.db")))?,
    };
    let put = explained(registry.check(&candidate))?;
    say(&args.event_type, put, if put.was_there { "it is there already" } else { "it would be added" })
}

fn get(event_type: &str, version: Option<u32>, registry: &RegistryArgs) -> anyhow::Result<ExitCode> {
    let path = place(registry)?;
    let found = explained(SqliteRegistry::open(&path).and_then(|registry| registry.get(event_type, version)))?;
    let Some(stored) = found else {
        let which = version.map_or(String::new(), |version| format!("version {version} of "));
        return Err(anyhow!("there is no {which}a schema for '{event_type}' in '{}'", path.display()))
            .hint("evingest schema list shows what is there");
    };
    let text = serde_json::to_string_pretty(&stored.schema).context("cannot write the schema")?;
    about::print(format!("{text}\n").as_bytes())?;
    Ok(ExitCode::Ok)
}

fn list(registry: &RegistryArgs) -> anyhow::Result<ExitCode> {
    let all = explained(SqliteRegistry::open(&place(registry)?).and_then(|registry| registry.list()))?;
    let line = |stored: &crate::registry::Stored| {
        let fields = stored.schema.get("properties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        let line = json!({
            "event_type": stored.event_type, "version": stored.version, "created": stored.created.to_string(), "properties": fields,
        });
        format!("{line}\n")
    };
    about::print(all.iter().map(line).collect::<String>().as_bytes())?;
    Ok(ExitCode::Ok)
}

fn say(event_type: &str, put: Put, what: &str) -> anyhow::Result<ExitCode> {
    about::print(format!("version {} of '{event_type}': {what}\n", put.version).as_bytes())?;
    Ok(ExitCode::Ok)
}

fn read(file: &OsString) -> anyhow::Result<Value> {
    let refused = || format!("cannot take the schema '{}'", file.display());
    let text = match file == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(file),
    };
    serde_json::from_str(&text.with_context(refused)?).with_context(refused).exit_code(ExitCode::Usage)
}

fn place(args: &RegistryArgs) -> anyhow::Result<PathBuf> {
    match &args.registry {
        Some(registry) => path_of(registry),
        None => explained(default_path()),
    }
}

fn path_of(registry: &OsStr) -> anyhow::Result<PathBuf> {
    match registry.to_str() {
        Some(text) if text.contains("://") => {
            Err(anyhow!("cannot take --registry '{text}': registries on servers come with a later release"))
                .hint("name an SQLite file")
                .exit_code(ExitCode::Usage)
        }
        _ => Ok(registry.into()),
    }
}

fn explained<T>(result: Result<T, RegistryError>) -> anyhow::Result<T> {
    match result {
        Err(error @ RegistryError::Missing { .. }) => Err(error).hint("evingest schema put makes it"),
        Err(error @ RegistryError::Incompatible { .. }) => Err(error)
            .hint("mend the schema, or put it with --compatibility none if nobody relies on the version before"),
        result => result.map_err(anyhow::Error::from),
    }
}

impl From<CompatibilityArg> for Compatibility {
    fn from(compatibility: CompatibilityArg) -> Compatibility {
        match compatibility {
            CompatibilityArg::Backward => Compatibility::Backward,
            CompatibilityArg::Forward => Compatibility::Forward,
            CompatibilityArg::Full => Compatibility::Full,
            CompatibilityArg::None => Compatibility::None,
        }
    }
}
