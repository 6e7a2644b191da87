//! Layouts that registries keep: as TOML for people and evtop, as JSON in the registry.

use anyhow::{Context, anyhow};
use serde_json::Value as Json;

use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::registry::explained;
use crate::dashboard::layout::Layout;
use crate::registry::Dashboard;
use crate::registry::address::RegistryAddress;

/// The JSON of a layout that is right.
pub fn to_json(toml: &str) -> anyhow::Result<Json> {
    Layout::parse(toml)?;
    Ok(toml::from_str(toml)?)
}

/// The TOML of what a registry keeps.
pub fn to_toml(config: &Json) -> anyhow::Result<String> {
    // By way of a table, whose members are sorted: databases order those of JSON as they like.
    let table = toml::Table::try_from(config).context("it is no layout: it has what TOML has not")?;
    Ok(toml::to_string(&table)?)
}

/// A dashboard by its name.
pub fn find(address: &RegistryAddress, name: &str, user: i64) -> anyhow::Result<Dashboard> {
    let opened = crate::registry::open(address);
    let found = explained(opened.and_then(|mut registry| registry.dashboard(name, user)))?;
    let missing = || anyhow!("there is no dashboard '{name}' in '{address}' that is public, or of the user {user}");
    found
        .ok_or_else(missing)
        .hint("evquery admin dashboard list shows what is there, put adds one")
        .exit_code(ExitCode::Failure)
}

/// The layout of a dashboard.
pub fn layout(address: &RegistryAddress, name: &str, user: i64) -> anyhow::Result<Layout> {
    let dashboard = find(address, name, user)?;
    let layout = to_toml(&dashboard.config).and_then(|text| Ok(Layout::parse(&text)?));
    layout
        .with_context(|| format!("cannot use the dashboard '{name}' of '{address}'"))
        .hint("evquery admin dashboard get shows it as TOML, with these lines; mend it, and put it again")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_layout_comes_back_as_it_was() {
        for text in [
            include_str!("../../layouts/web.toml"),
            include_str!("../../layouts/ecommerce.toml"),
            include_str!("../../layouts/iot.toml"),
        ] {
            let json = to_json(text).unwrap();
            assert_eq!(Layout::parse(&to_toml(&json).unwrap()).unwrap(), Layout::parse(text).unwrap(), "{json}");
        }
        // A database orders members as it likes.
        let json = json!({"row": [{"panel": [{"title": "T", "metric": "m"}], "size": 2}]});
        let layout = Layout::parse("[[row]]\nsize = 2\n[[row.panel]]\nmetric = 'm'\ntitle = 'T'\n").unwrap();
        assert_eq!(Layout::parse(&to_toml(&json).unwrap()).unwrap(), layout);
    }

    #[test]
    fn what_is_no_layout_is_refused() {
        assert!(to_json("[[row]]\n[[row.panel]]\ntitle = 'T'\n").unwrap_err().to_string().starts_with("line 2: "));
        assert!(to_toml(&json!({"row": null})).is_err());
        assert!(to_toml(&json!([1])).is_err());
    }
}
