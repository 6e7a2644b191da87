//! `evingest schema`: the registry at the command line.

use std::ffi::{OsStr, OsString};
use std::io::Read;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use crate::cli::about;
use crate::cli::evingest::args::{CompatibilityArg, SchemaArgs, SchemaCommand};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::registry::{RegistryArgs, address, explained};
use crate::registry::address::RegistryAddress;
use crate::registry::watch::{News, WatchError, Watched};
use crate::registry::{Candidate, Put, RegistryError, StepState, Stored};
use crate::source::clock::SystemClock;
use crate::time::Clock;
use crate::validate::schema::compatible::Compatibility;

/// Does what is asked.
pub fn work(command: &SchemaCommand) -> anyhow::Result<ExitCode> {
    match command {
        SchemaCommand::Put { schema, compatibility } => put(schema, *compatibility),
        SchemaCommand::Check { schema, compatibility } => check(schema, *compatibility),
        SchemaCommand::Get { event_type, version, registry } => get(event_type, *version, registry),
        SchemaCommand::List { registry } => list(registry),
        SchemaCommand::Init { dry_run, registry } => init(registry, *dry_run),
    }
}

/// The newest schema of every type in a registry, and what looks for newer ones.
pub fn watched(registry: &OsStr) -> anyhow::Result<Watched> {
    let address = address(registry)?;
    let opened = address.clone();
    let begun = Watched::begin(Box::new(move || crate::registry::open(&opened)));
    let begun = match begun {
        Err(WatchError::Registry(error)) => explained(Err(error)),
        begun => Ok(begun?),
    };
    begun.with_context(|| format!("cannot take --registry '{address}'"))
}

/// What is said of news, if they are a person's to know.
pub fn told(news: &News) -> String {
    match news {
        News::Lost(error) => {
            format!("{}; events are judged by the schemas that were read before", chain(error))
        }
        News::Back => "the registry answers again".to_owned(),
        News::Refused { event_type, version, source } => {
            format!("cannot use version {version} of the schema of '{event_type}', the one before is used: {source}")
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn init(registry: &RegistryArgs, dry_run: bool) -> anyhow::Result<ExitCode> {
    let address = registry.address()?;
    let mut told = String::new();
    for step in explained(crate::registry::init(&address, dry_run))? {
        let state = match step.state {
            StepState::Done => "made",
            StepState::WasThere => "is there already",
            StepState::Planned => "would be made",
        };
        told.push_str(&format!("{}: {state}\n", step.name));
    }
    about::print(told.as_bytes())?;
    Ok(ExitCode::Ok)
}

fn put(args: &SchemaArgs, compatibility: CompatibilityArg) -> anyhow::Result<ExitCode> {
    let schema = read(&args.file)?;
    let mut registry = explained(crate::registry::open_to_write(&args.registry.address()?))?;
    let candidate = Candidate { event_type: &args.event_type, schema: &schema, compatibility: compatibility.into() };
    let put = explained(registry.put(&candidate, SystemClock.now()))?;
    say(&args.event_type, put, if put.was_there { "it is there already" } else { "added" })
}

fn check(args: &SchemaArgs, compatibility: CompatibilityArg) -> anyhow::Result<ExitCode> {
    let schema = read(&args.file)?;
    let candidate = Candidate { event_type: &args.event_type, schema: &schema, compatibility: compatibility.into() };
    let address = args.registry.address()?;
    // Where there is no registry yet, it would be the first.
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut registry = explained(match crate::registry::open(&address) {
        Err(RegistryError::Missing { .. }) => {
            crate::registry::open_to_write(&RegistryAddress::File(folder.path().join("empty.db")))
        }
        opened => opened,
    })?;
    let put = explained(registry.check(&candidate))?;
    say(&args.event_type, put, if put.was_there { "it is there already" } else { "it would be added" })
}

fn get(event_type: &str, version: Option<u32>, registry: &RegistryArgs) -> anyhow::Result<ExitCode> {
    let address = registry.address()?;
    let mut registry = explained(crate::registry::open(&address))?;
    let Some(stored) = explained(registry.get(event_type, version))? else {
        let which = version.map_or(String::new(), |version| format!("version {version} of "));
        return Err(anyhow!("there is no {which}a schema for '{event_type}' in '{address}'"))
            .hint("evingest schema list shows what is there");
    };
    let text = serde_json::to_string_pretty(&stored.schema).context("cannot write the schema")?;
    about::print(format!("{text}\n").as_bytes())?;
    Ok(ExitCode::Ok)
}

fn list(registry: &RegistryArgs) -> anyhow::Result<ExitCode> {
    let mut registry = explained(crate::registry::open(&registry.address()?))?;
    let all = explained(registry.list())?;
    let line = |stored: &Stored| {
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
