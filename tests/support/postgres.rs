//! A real PostgreSQL for tests: schemas that are gone afterwards, and a client that is none of ours.
//!
//! `scripts/services` starts the server and says where it is.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Row};

/// Where the server is.
#[derive(Debug, Clone)]
pub struct Server {
    /// `postgres://USER@HOST:PORT/DB`.
    pub address: String,
    /// The user's password.
    pub password: String,
    /// The file of its certificate.
    pub certificate: String,
}

/// The server that the environment names. Without one, CI fails, and elsewhere it is said that the test is left out.
pub fn server(test: &str) -> Option<Server> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let all = ["EVKIT_TEST_POSTGRES", "EVKIT_TEST_POSTGRES_PASSWORD", "EVKIT_TEST_POSTGRES_CERTIFICATE"].map(variable);
    if let [Some(address), Some(password), Some(certificate)] = all {
        return Some(Server { address, password, certificate });
    }
    let way = "start one with 'scripts/services up postgres', then: export $(scripts/services env)";
    let what = format!("'{test}' needs a real PostgreSQL, and EVKIT_TEST_POSTGRES names none; {way}");
    assert!(std::env::var_os("CI").is_none(), "{what}");
    // Straight to stderr: of tests that pass, what is printed is not shown.
    let _ = writeln!(std::io::stderr(), "\nLEFT OUT: {what}");
    None
}

/// A schema of the database that no other test uses, as if it were a database of its own. Gone when it is dropped.
pub struct Schema {
    /// Where it is.
    pub server: Server,
    /// Its name.
    pub name: String,
    /// Our own client, which sees the schema's tables.
    pub client: Plain,
}

impl Schema {
    /// Makes one.
    pub fn create(server: Server) -> Schema {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let name = format!("test_{moment}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut client = Plain::open(&server);
        client.run(&format!("CREATE SCHEMA {name}; SET search_path = {name}"));
        Schema { server, name, client }
    }

    /// Its address for our programs, with more parameters.
    pub fn address(&self, parameters: &str) -> String {
        format!("{}?options=-csearch_path%3D{}{parameters}", self.server.address, self.name)
    }

    /// The same by another host and port.
    pub fn address_by(&self, place: &str, parameters: &str) -> String {
        let (before, behind) = self.server.address.split_once('@').unwrap();
        let (_, database) = behind.split_once('/').unwrap();
        format!("{before}@{place}/{database}?options=-csearch_path%3D{}{parameters}", self.name)
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        let place = self.server.address.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
        place.rsplit_once(':').unwrap().1.parse().unwrap()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let name = &self.name;
        self.client.run(&format!("DROP SCHEMA IF EXISTS {name} CASCADE"));
    }
}

/// A client without TLS, which blocks.
pub struct Plain {
    runtime: Runtime,
    client: Client,
}

impl Plain {
    /// Connects.
    pub fn open(server: &Server) -> Plain {
        let mut config: tokio_postgres::Config = server.address.parse().unwrap();
        config.password(&server.password);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (client, connection) = runtime.block_on(config.connect(NoTls)).unwrap();
        runtime.spawn(async move {
            let _ = connection.await;
        });
        Plain { runtime, client }
    }

    /// Does what `sql` says.
    pub fn run(&mut self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).unwrap();
    }

    /// The rows of a query, in words.
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let text = |row: &Row| (0..row.len()).map(|column| row.get::<_, String>(column)).collect();
        self.runtime.block_on(self.client.query(sql, &[])).unwrap().iter().map(text).collect()
    }
}
