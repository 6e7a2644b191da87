//! Which registry is meant when none is named. Does not look whether anything is there.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::registry::RegistryError;
use crate::registry::address::RegistryAddress;

/// `$EVKIT_REGISTRY`, else `evkit/registry.db` in the user's data folder: `$XDG_DATA_HOME`, else `~/.local/share`.
pub fn default_address() -> Result<RegistryAddress, RegistryError> {
    resolve(|name| std::env::var_os(name))
}

fn resolve(variable: impl Fn(&str) -> Option<OsString>) -> Result<RegistryAddress, RegistryError> {
    // An empty variable counts as none, and a relative data folder is to be ignored: so the XDG specification says.
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(address) = set("EVKIT_REGISTRY") {
        return Ok(RegistryAddress::parse(&address)?);
    }
    let data = set("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    Ok(RegistryAddress::File(data.ok_or(RegistryError::NoHome)?.join("evkit/registry.db")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: Option<&str>) {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        let found = resolve(variable).ok().map(|address| address.to_string());
        assert_eq!(found.as_deref(), expected, "{variables:?}");
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        check(&[("EVKIT_REGISTRY", "a.db"), ("XDG_DATA_HOME", "/x")], Some("a.db"));
        check(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")], Some("/h/.local/share/evkit/registry.db"));
        check(&[("EVKIT_REGISTRY", "postgres://h/d"), ("HOME", "/h")], Some("postgres://h/d"));
        check(&[], None);
    }
}
