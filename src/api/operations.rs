//! What operators ask of a running program: `/metrics` for Prometheus, and whether it is alive at `/healthz`.
//!
//! Knows nothing of sockets.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

use crate::api::prometheus::{CONTENT_TYPE_TEXT, group_page};
use crate::pipeline::group::Edges;

/// A program that can be watched. Both answers are given at once, whatever the program is at.
pub trait Watched: Send + Sync + 'static {
    /// Its numbers, in Prometheus's text format.
    fn metrics(&self) -> String;

    /// Whether it is alive, or why not.
    fn health(&self) -> Result<(), String>;
}

/// A process of a group.
pub struct WatchedGroup {
    /// What it shares with its stages.
    pub edges: Arc<Edges>,
    /// The names of its metrics, in the order of its plan.
    pub metrics: Vec<String>,
}

impl Watched for WatchedGroup {
    fn metrics(&self) -> String {
        group_page(&self.edges.status(), &self.metrics)
    }

    fn health(&self) -> Result<(), String> {
        self.edges.health()
    }
}

/// The routes of a program that is watched.
pub fn routes(watched: Arc<impl Watched>) -> Router {
    let for_health = Arc::clone(&watched);
    let metrics = move || async move { ([(CONTENT_TYPE, CONTENT_TYPE_TEXT)], watched.metrics()) };
    let health = move || async move {
        match for_health.health() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        }
    };
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::sync::Mutex;

    use super::*;
    use crate::api::server::Server;

    #[derive(Default)]
    struct Program {
        ails: Mutex<Option<String>>,
    }

    impl Watched for Program {
        fn metrics(&self) -> String {
            "evkit_rows_total 7\n".to_owned()
        }

        fn health(&self) -> Result<(), String> {
            self.ails.lock().unwrap().clone().map_or(Ok(()), Err)
        }
    }

    /// The status line and headers of an answer, and what stands below.
    fn ask(address: SocketAddr, path: &str) -> (String, String) {
        let mut socket = TcpStream::connect(address).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    #[test]
    fn a_program_answers_over_a_socket_until_its_server_is_dropped() {
        let program = Arc::new(Program::default());
        let server = Server::start((Ipv4Addr::LOCALHOST, 0).into(), routes(Arc::clone(&program))).unwrap();
        let address = server.address();
        let (head, body) = ask(address, "/metrics");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        assert_eq!(body, "evkit_rows_total 7\n");
        let (head, body) = ask(address, "/healthz");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body, "ok\n");
        *program.ails.lock().unwrap() = Some("merge has not polled for 31 s".into());
        let (head, body) = ask(address, "/healthz");
        assert!(head.starts_with("http/1.1 503"), "{head}");
        assert_eq!(body, "merge has not polled for 31 s\n");
        assert!(ask(address, "/").0.starts_with("http/1.1 404"));
        // A second server can't have the same port, and says so.
        let error = Server::start(address, Router::new()).err().unwrap();
        assert_eq!(error.to_string(), format!("cannot listen on '{address}'"));
        // One that is in the middle of a request doesn't hold the end up.
        let _half = TcpStream::connect(address).unwrap().write(b"GET /met").unwrap();
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
