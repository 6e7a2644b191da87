//! Why a registry did not do what was asked.

use std::path::PathBuf;

use crate::registry::address::AddressError;
use crate::registry::postgres::ServerError;
use crate::registry::postgres::settings::SettingsError;
use crate::registry::sqlite::has_hot_journal;
use crate::registry::{DASHBOARD_CHARS_MAX, TYPE_CHARS_MAX};
use crate::validate::schema::SchemaError;
use crate::validate::schema::compatible::Incompatible;

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no registry there.
    #[error("there is no registry '{}'", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The database has no tables of ours.
    #[error("the registry '{registry}' was never made ready")]
    NotReady {
        /// Its address.
        registry: String,
    },
    /// It lacks tables that this release has.
    #[error("the registry '{registry}' was made by an earlier release and lacks tables")]
    Behind {
        /// Its address.
        registry: String,
    },
    /// It is something else, or of a later release.
    #[error("cannot use '{registry}' as a registry: {cause}")]
    Foreign {
        /// The file or address.
        registry: String,
        /// What it is.
        cause: String,
    },
    /// It has a table of a name that ours have, and of another make.
    #[error("cannot use '{registry}' as a registry: {cause}")]
    Tables {
        /// Its address.
        registry: String,
        /// What differs.
        cause: String,
    },
    /// The user has no home.
    #[error("cannot tell where the registry is: neither EVKIT_REGISTRY nor XDG_DATA_HOME nor HOME is set")]
    NoHome,
    /// An address that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Settings that can't be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A name that can't be an event type's.
    #[error("cannot take the event type '{0}': a name has 1 to {TYPE_CHARS_MAX} letters and no control characters")]
    Type(String),
    /// A name that can't be a dashboard's.
    #[error("cannot take the dashboard '{0}': a name has 1 to {DASHBOARD_CHARS_MAX} letters and no control characters")]
    DashboardName(String),
    /// Not a schema.
    #[error("cannot take the schema of '{event_type}'")]
    Schema {
        /// The type.
        event_type: String,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// It does not fit to the version before.
    #[error("cannot take the schema of '{event_type}': it is not compatible with version {version}")]
    Incompatible {
        /// The type.
        event_type: String,
        /// The newest version.
        version: u32,
        /// Where.
        #[source]
        source: Incompatible,
    },
    /// The file can't be read or written.
    #[error("cannot {doing} the registry '{}'", path.display())]
    Sqlite {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file's folder can't be made.
    #[error("cannot make the folder '{}'", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server can't be reached, or doesn't let us in.
    #[error("cannot reach the registry '{registry}'")]
    Unavailable {
        /// Its address.
        registry: String,
        /// Why the file of passwords is not used.
        unused: Option<String>,
        /// Whether there was a password.
        has_password: bool,
        /// Why.
        #[source]
        source: ServerError,
    },
    /// The server did not do it.
    #[error("cannot {doing} the registry '{registry}'")]
    Server {
        /// What was attempted.
        doing: &'static str,
        /// Its address.
        registry: String,
        /// Why.
        #[source]
        source: ServerError,
    },
}

impl RegistryError {
    /// Whether it is the server or the way to it, and may be well again in a while.
    pub fn is_upstream(&self) -> bool {
        match self {
            RegistryError::Unavailable { source, .. } => !matches!(source, ServerError::Roots { .. }),
            _ => false,
        }
    }

    /// Whether the command line, or the environment, is to be mended.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            RegistryError::Address(_)
                | RegistryError::Settings(_)
                | RegistryError::Unavailable { source: ServerError::Roots { .. }, .. }
        )
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            RegistryError::Missing { .. } => "evingest schema init makes it, and so does evingest schema put".to_owned(),
            RegistryError::Sqlite { path, source, .. } if has_hot_journal(source) => format!(
                "a process was killed while it wrote to it: who may write to it and its folder undoes that with evingest schema \
                 list --registry '{}'",
                path.display()
            ),
            RegistryError::NotReady { registry } => {
                format!("make its tables: evingest schema init --registry '{registry}'")
            }
            RegistryError::Behind { registry } => format!("add them: evingest schema init --registry '{registry}'"),
            RegistryError::Tables { .. } => {
                "give the column that type, rename the table, or keep ours in a schema of their own: ?options=-csearch_path%3DNAME"
                    .to_owned()
            }
            RegistryError::Incompatible { .. } => {
                "mend the schema, or put it with --compatibility none if nobody relies on the version before".to_owned()
            }
            RegistryError::Address(AddressError::Password { .. }) => {
                "leave it out, and set PGPASSWORD or write it to ~/.pgpass".to_owned()
            }
            RegistryError::Unavailable { unused: Some(reason), has_password: false, .. } => reason.clone(),
            RegistryError::Unavailable { has_password: false, source, .. } if source.wants_password() => {
                "set PGPASSWORD, or write a line HOST:PORT:DATABASE:USER:PASSWORD to ~/.pgpass".to_owned()
            }
            RegistryError::Unavailable { source: ServerError::Roots { .. }, .. } => return None,
            RegistryError::Unavailable { .. } => {
                "is the server up, and are address and credentials right? psql with the same address tells".to_owned()
            }
            _ => return None,
        })
    }
}
