//! `evquery admin dashboard`: layouts for evtop, kept in a registry under their names.

use std::ffi::OsString;
use std::io::Read;

use anyhow::Context;
use serde_json::{Map, Value as Json, json};

use crate::cli::about;
use crate::cli::dashboards::{find, to_json, to_toml};
use crate::cli::evquery::args::DashboardCommand;
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::records::{ListFormat, show};
use crate::cli::registry::{RegistryArgs, UserArgs, explained};
use crate::registry::Dashboard;

/// Does what is asked.
pub(crate) fn run(command: &DashboardCommand) -> anyhow::Result<ExitCode> {
    match command {
        DashboardCommand::Put { name, file, public, user, registry } => put(name, file, *public, user, registry),
        DashboardCommand::Get { name, user, registry } => {
            let dashboard = find(&registry.address()?, name, user.id()?)?;
            about::print(to_toml(&dashboard.config)?.as_bytes())?;
            Ok(ExitCode::Ok)
        }
        DashboardCommand::List { format, user, registry } => list(*format, user, registry),
    }
}

fn put(
    name: &str,
    file: &OsString,
    is_public: bool,
    user: &UserArgs,
    registry: &RegistryArgs,
) -> anyhow::Result<ExitCode> {
    let refused = || format!("cannot take the layout '{}'", file.display());
    let text = match file == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(file),
    };
    let config = to_json(&text.with_context(refused)?).with_context(refused).exit_code(ExitCode::Usage)?;
    let dashboard = Dashboard { name: name.to_owned(), config, created_by: user.id()?, is_public };
    let opened = crate::registry::open_to_write(&registry.address()?);
    let replaced = explained(opened.and_then(|mut registry| registry.put_dashboard(&dashboard)))?;
    let (done, whose) = (if replaced { "replaced" } else { "added" }, if is_public { "all" } else { "you" });
    about::print(format!("dashboard '{name}': {done}, for {whose}\n").as_bytes())?;
    Ok(ExitCode::Ok)
}

fn list(format: Option<ListFormat>, user: &UserArgs, registry: &RegistryArgs) -> anyhow::Result<ExitCode> {
    let (address, user) = (registry.address()?, user.id()?);
    let opened = crate::registry::open(&address);
    let dashboards = explained(opened.and_then(|mut registry| registry.dashboards(user)))?;
    let records: Vec<Map<String, Json>> = dashboards.iter().map(record).collect();
    show(&records, format, &format!("the registry '{address}' has no dashboard yet\n"))
}

fn record(dashboard: &Dashboard) -> Map<String, Json> {
    let rows = dashboard.config.get("row").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let panels = rows.iter().filter_map(|row| row.get("panel")?.as_array()).map(Vec::len).sum::<usize>();
    let members = [
        ("name", json!(dashboard.name)),
        ("panels", json!(panels)),
        ("user", json!(dashboard.created_by)),
        ("public", json!(dashboard.is_public)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
