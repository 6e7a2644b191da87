//! What can go wrong with a server, told by what was attempted, the server, the cause in its own words and the way out.
//!
//! Knows nothing of exit codes; `InfluxError::is_unavailable` says where a server is to blame.

use std::time::Duration;

/// A server that can't be used as wanted.
#[derive(Debug, thiserror::Error)]
pub enum InfluxError {
    /// There is no connection, or it broke.
    #[error("cannot {doing} InfluxDB at '{server}': {cause}")]
    Connection {
        /// What was attempted.
        doing: &'static str,
        /// The server's URL.
        server: String,
        /// Why.
        cause: String,
    },
    /// It did not answer in time.
    #[error("cannot {doing} InfluxDB at '{server}': no answer within {} s", limit.as_secs_f64())]
    Timeout {
        /// What was attempted.
        doing: &'static str,
        /// The server's URL.
        server: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It said no.
    #[error("cannot {doing} InfluxDB at '{server}': {status}: {message}")]
    Refused {
        /// What was attempted.
        doing: &'static str,
        /// The server's URL.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Its answer breaks off with a reason.
    #[error("cannot {doing} InfluxDB at '{server}': it gave up in the middle of its answer: {message}")]
    GaveUp {
        /// What was attempted.
        doing: &'static str,
        /// The server's URL.
        server: String,
        /// The server's words.
        message: String,
    },
    /// The answer can't be read.
    #[error("cannot {doing} InfluxDB at '{server}': the answer cannot be read: {what}")]
    Answer {
        /// What was attempted.
        doing: &'static str,
        /// The server's URL.
        server: String,
        /// What is wrong with it.
        what: String,
    },
    /// An address and its surroundings don't name a bucket.
    #[error("cannot tell {missing} of 'influx:'")]
    Incomplete {
        /// What is missing.
        missing: &'static str,
        /// The variable that names it.
        variable: &'static str,
    },
    /// A variable, a file or an address holds what can't be used.
    #[error("cannot use {what}: {cause}")]
    Settings {
        /// What can't be used.
        what: String,
        /// Why.
        cause: String,
    },
}

impl InfluxError {
    /// The same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            InfluxError::Connection { .. } | InfluxError::Timeout { .. } | InfluxError::GaveUp { .. } => true,
            // What a server does not know how to do, it won't know later.
            InfluxError::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..),
            InfluxError::Answer { .. } | InfluxError::Incomplete { .. } | InfluxError::Settings { .. } => false,
        }
    }

    /// Whether the server is not there, or too busy: that passes, however long it may take.
    pub fn is_away(&self) -> bool {
        match self {
            InfluxError::Connection { .. } | InfluxError::Timeout { .. } => true,
            error => matches!(error.status(), Some(408 | 425 | 429 | 502..=504)),
        }
    }

    /// Whether the server, not the user's words, is to blame.
    pub fn is_unavailable(&self) -> bool {
        self.is_transient() || matches!(self.status(), Some(401 | 403 | 404 | 501 | 505))
    }

    /// The HTTP status, where the server gave one.
    pub fn status(&self) -> Option<u16> {
        match self {
            InfluxError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// When the server wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            InfluxError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What to do about it, where that is not plain from the cause.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            InfluxError::Connection { .. } | InfluxError::Timeout { .. } => {
                "is the server up, and is this its address? evquery admin influx health asks it".into()
            }
            InfluxError::Refused { status: 401, .. } => {
                "give a token that the server knows: INFLUX_TOKEN, --token-file FILE, or `influx config create`".into()
            }
            InfluxError::Refused { status: 403, .. } => {
                "the token needs the right to this bucket and to the one of its roll-ups; --points-only does without the latter"
                    .into()
            }
            InfluxError::Refused { status: 404, .. } => {
                "evquery admin influx setup influx://HOST:PORT/ORG/BUCKET makes the organisation and the buckets".into()
            }
            InfluxError::Incomplete { variable, .. } => {
                format!("write influx://HOST:PORT/ORG/BUCKET, or set {variable}")
            }
            InfluxError::Refused { .. }
            | InfluxError::GaveUp { .. }
            | InfluxError::Answer { .. }
            | InfluxError::Settings { .. } => return None,
        })
    }
}
