//! Where the local store lies when no path is given.
//!
//! Does not look whether anything is there.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::store::error::StoreError;

/// `$EVKIT_STORE`, else `evkit/store.db` in the user's data folder: `$XDG_DATA_HOME`, else `~/.local/share`.
pub fn default_path() -> Result<PathBuf, StoreError> {
    resolve(|name| std::env::var_os(name))
}

fn resolve(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, StoreError> {
    // An empty variable counts as none, and a relative data folder is to be ignored: so the XDG specification says.
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("EVKIT_STORE") {
        return Ok(path);
    }
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| set("HOME").map(|home| home.join(".local/share")));
    Ok(data.ok_or(StoreError::NoHome)?.join("evkit/store.db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: Option<&str>) {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        assert_eq!(resolve(variable).ok(), expected.map(PathBuf::from), "{variables:?}");
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        check(&[("EVKIT_STORE", "a.db"), ("XDG_DATA_HOME", "/x")], Some("a.db"));
        check(&[("EVKIT_STORE", ""), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")], Some("/x/evkit/store.db"));
        check(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")], Some("/h/.local/share/evkit/store.db"));
        check(&[], None);
    }
}
