//! A connection to PostgreSQL behind calls that block: TLS as it is wished, and a bound on how long anything takes.
//!
//! Knows nothing of tables.

use std::future::Future;
use std::time::Duration;

use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

use crate::registry::postgres::settings::{Roots, Settings, TlsMode};

/// How long a question may take, with all its waiting for others.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the server may take to hear that we leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the server or the way to it did not do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The server refused, or can't be reached.
    #[error("{}", words(.0))]
    Server(tokio_postgres::Error),
    /// It does not answer.
    #[error("there was no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The file of certificates is none.
    #[error("cannot take sslrootcert '{path}': {cause}")]
    Roots {
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
    /// The machine gives no more.
    #[error("cannot begin to talk to it: {0}")]
    Machine(std::io::Error),
    /// TLS can't be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(native_tls::Error),
}

impl ServerError {
    /// Whether the server has gone, or does not answer: another time it may.
    pub fn is_outage(&self) -> bool {
        match self {
            ServerError::Silent(_) => true,
            ServerError::Server(error) => match error.code() {
                // It shuts down, or takes no more connections.
                Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
                None => {
                    error.is_closed()
                        || std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
                }
            },
            ServerError::Roots { .. } | ServerError::Machine(_) | ServerError::Tls(_) => false,
        }
    }

    /// Whether a password was asked for and there was none.
    pub fn wants_password(&self) -> bool {
        matches!(self, ServerError::Server(error) if words(error).contains("password missing"))
    }
}

/// A connection.
pub struct Connection {
    runtime: Option<Runtime>,
    client: Option<Client>,
    driver: Option<JoinHandle<()>>,
}

impl Connection {
    /// Connects.
    pub fn open(settings: &Settings) -> Result<Connection, ServerError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ServerError::Machine)?;
        let opened = runtime.block_on(open(settings));
        match opened {
            Ok((client, driver)) => {
                Ok(Connection { runtime: Some(runtime), client: Some(client), driver: Some(driver) })
            }
            Err(error) => {
                // Somebody may still be looking for the name of the host.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Does something with the client, and waits for it.
    pub fn run<'a, T, Done>(&'a mut self, work: impl FnOnce(&'a mut Client) -> Done) -> Result<T, ServerError>
    where
        Done: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let runtime = self.runtime.as_ref().expect("there is one until it is dropped");
        let done = work(self.client.as_mut().expect("there is one until it is dropped"));
        runtime.block_on(async {
            match tokio::time::timeout(PATIENCE, done).await {
                Ok(done) => done.map_err(ServerError::Server),
                Err(_) => Err(ServerError::Silent(PATIENCE)),
            }
        })
    }
}

impl Drop for Connection {
    /// Takes leave, so that the server need not wonder.
    fn drop(&mut self) {
        drop(self.client.take());
        if let (Some(runtime), Some(driver)) = (self.runtime.take(), self.driver.take()) {
            let _ = runtime.block_on(async { tokio::time::timeout(FAREWELL, driver).await });
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

async fn open(settings: &Settings) -> Result<(Client, JoinHandle<()>), ServerError> {
    let connector = connector(settings)?;
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name(&settings.application_name);
    if let Some(password) = &settings.password {
        config.password(&password.0);
    }
    if let Some(options) = &settings.options {
        config.options(options);
    }
    let mut first = None;
    for mode in attempts(settings) {
        config.ssl_mode(*mode);
        let connected = tokio::time::timeout(settings.patience, config.connect(connector.clone())).await;
        match connected.map_err(|_| ServerError::Silent(settings.patience))? {
            Ok((client, connection)) => {
                let driver = tokio::spawn(async move {
                    // Whoever waits for an answer hears of it.
                    let _ = connection.await;
                });
                return Ok((client, driver));
            }
            // The other way would end the same, or worse: with a password on an open line.
            Err(error) if !is_about_tls(&error) => return Err(ServerError::Server(first.unwrap_or(error))),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(ServerError::Server(first.expect("there is one attempt at least")))
}

/// What is tried, one after the other.
fn attempts(settings: &Settings) -> &'static [SslMode] {
    match settings.tls {
        // A socket of this machine has no TLS.
        _ if settings.host.starts_with('/') => &[SslMode::Disable],
        TlsMode::Disable => &[SslMode::Disable],
        TlsMode::Allow => &[SslMode::Disable, SslMode::Require],
        TlsMode::Prefer => &[SslMode::Prefer, SslMode::Disable],
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => &[SslMode::Require],
    }
}

/// Whether it may be that the server wants the other of both ways.
fn is_about_tls(error: &tokio_postgres::Error) -> bool {
    let is_refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    is_refused || std::error::Error::source(error).is_some_and(|source| source.is::<native_tls::Error>())
}

fn connector(settings: &Settings) -> Result<MakeTlsConnector, ServerError> {
    let mut builder = TlsConnector::builder();
    builder.danger_accept_invalid_hostnames(settings.tls != TlsMode::VerifyFull);
    match &settings.roots {
        Roots::None => {
            builder.danger_accept_invalid_certs(true);
        }
        Roots::System => {}
        Roots::File(path) => {
            let refused = |cause: String| ServerError::Roots { path: path.display().to_string(), cause };
            let text = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
            let certificates = Certificate::stack_from_pem(&text).map_err(|error| refused(error.to_string()))?;
            if certificates.is_empty() {
                return Err(refused("there is no certificate in it".to_owned()));
            }
            builder.disable_built_in_roots(true);
            for certificate in certificates {
                builder.add_root_certificate(certificate);
            }
        }
    }
    builder.build().map(MakeTlsConnector::new).map_err(ServerError::Tls)
}

/// The server's own words, or the causes one behind the other.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(refused) = error.as_db_error() {
        let detail = refused.detail().map_or_else(String::new, |detail| format!(" ({detail})"));
        return format!("{}{detail}", refused.message());
    }
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}
