//! InfluxDB for tests: a server that answers as a test wants, and what a real one holds, asked without our own code.
//!
//! `scripts/services` starts a real server and says where it is.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::{Router, serve};
use flate2::read::GzDecoder;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// What stands behind the question mark.
    pub query: String,
    /// The header `authorization`.
    pub token: Option<String>,
    /// The header `content-encoding`.
    pub encoding: Option<String>,
    /// Its body, unpacked.
    pub body: String,
    /// When it came.
    pub at: Instant,
}

impl Asked {
    /// Whether it writes lines.
    pub fn is_write(&self) -> bool {
        self.path.ends_with("/api/v2/write")
    }

    /// The lines that it writes.
    pub fn lines(&self) -> Vec<&str> {
        self.body.lines().filter(|line| !line.starts_with('#')).collect()
    }
}

/// What the server does.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status, headers, body.
    Says(u16, Vec<(&'static str, String)>, String),
    /// Nothing, for ever.
    Hangs,
    /// Closes the connection.
    Breaks,
}

impl Reply {
    /// It is done.
    pub fn done() -> Reply {
        Reply::Says(204, Vec::new(), String::new())
    }

    /// A refusal in the server's form.
    pub fn refusal(status: u16, message: &str) -> Reply {
        Reply::Says(status, Vec::new(), serde_json::json!({"code": "x", "message": message}).to_string())
    }
}

/// A server that answers as a test wants.
pub struct Fake {
    /// `HOST:PORT`.
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Starts one: `judge` sees each write that has lines, with its number from 0, and says what becomes of it. Questions in Flux have no
    /// answer but the empty one.
    pub fn start(judge: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Fake {
        Fake::start_answering(judge, |_| "\r\n".into())
    }

    /// Starts one that answers questions, too, in annotated CSV.
    pub fn start_answering(
        judge: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static,
        answer_to: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Fake {
        Fake::start_replying(move |number, asked| match asked.is_write() {
            true if asked.lines().is_empty() => judge_let_in(&judge, asked),
            true => judge(number - 1, asked),
            false => Reply::Says(200, Vec::new(), answer_to(asked)),
        })
    }

    /// Starts one that replies to all requests as `reply` says, which also gets how many writes with lines there were so far.
    pub fn start_replying(reply: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let reply = Arc::new(reply);
        let answer = move |request: Request| {
            let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
            async move {
                let asked = read(request).await;
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(asked.clone());
                    seen.iter().filter(|asked| asked.is_write() && !asked.lines().is_empty()).count()
                };
                match reply(number, &asked) {
                    Reply::Says(status, headers, body) => {
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        response.body(Body::from(body)).unwrap()
                    }
                    Reply::Hangs => std::future::pending().await,
                    Reply::Breaks => panic!("as the test wants, the connection breaks"),
                }
            }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve(listener, Router::new().fallback(answer)).await.unwrap();
            });
        });
        Fake { address, asked }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The writes so far that had lines.
    pub fn writes(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.is_write() && !asked.lines().is_empty()).collect()
    }
}

/// The first, empty write of a run: it is let in, unless nobody is.
fn judge_let_in(judge: &(dyn Fn(usize, &Asked) -> Reply + Send + Sync), asked: &Asked) -> Reply {
    match judge(usize::MAX, asked) {
        reply @ Reply::Says(401 | 403 | 404, ..) => reply,
        _ => Reply::done(),
    }
}

async fn read(request: Request) -> Asked {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let encoding = header("content-encoding");
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let mut text = String::new();
    if encoding.as_deref() == Some("gzip") {
        GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes.to_vec()).unwrap();
    }
    Asked {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        token: header("authorization"),
        encoding,
        body: text,
        at,
    }
}

/// A real server.
pub struct Real {
    /// `HOST:PORT`.
    pub address: String,
    /// A token for everything.
    pub token: String,
    /// The bucket of points.
    pub bucket: String,
}

impl Real {
    /// The server that the environment names, with a bucket of this test's own and that of its roll-ups. Without one, CI fails, and
    /// elsewhere it is said that the test is left out.
    pub fn of_environment(test: &str) -> Option<Real> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(address) = variable("EVKIT_TEST_INFLUX") else {
            let way = "start one with 'scripts/services up influx', then: export $(scripts/services env)";
            let told = format!("'{test}' needs a real InfluxDB, and EVKIT_TEST_INFLUX names none; {way}");
            assert!(std::env::var_os("CI").is_none(), "{told}");
            // Straight to stderr: of tests that pass, what is printed is not shown.
            let _ = writeln!(std::io::stderr(), "\nLEFT OUT: {told}");
            return None;
        };
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let bucket = format!("test_{moment}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let real = Real { address, token: variable("EVKIT_TEST_INFLUX_TOKEN").unwrap(), bucket };
        real.make_bucket("", 0);
        real.make_bucket("_rollups", 0);
        Some(real)
    }

    /// The bucket's address.
    pub fn to(&self) -> String {
        format!("influx://{}/evkit/{}", self.address, self.bucket)
    }

    /// What a script begins with whose `$B` is the bucket, and whose store is `s.db`.
    pub fn surroundings(&self) -> String {
        let (token, bucket) = (&self.token, self.to());
        format!("export EVKIT_STORE=s.db INFLUX_TOKEN={token} INFLUX_CONFIGS_PATH=none B={bucket}\n")
    }

    /// Makes a bucket that keeps points for so many seconds, or for ever.
    pub fn make_bucket(&self, suffix: &str, seconds: u64) {
        let orgs = self.ask("GET", "/api/v2/orgs?org=evkit", "");
        let orgs: serde_json::Value = serde_json::from_str(&orgs).unwrap();
        let rules = if seconds == 0 {
            serde_json::json!([])
        } else {
            serde_json::json!([{"type": "expire", "everySeconds": seconds}])
        };
        let body = serde_json::json!({
            "orgID": orgs["orgs"][0]["id"], "name": format!("{}{suffix}", self.bucket), "retentionRules": rules
        });
        self.ask("POST", "/api/v2/buckets", &body.to_string());
    }

    /// What Flux says of the bucket with this suffix, as CSV without annotations.
    pub fn flux(&self, suffix: &str, pipe: &str) -> String {
        let flux = format!("from(bucket: \"{}{suffix}\") {pipe}", self.bucket);
        let body = serde_json::json!({"query": flux, "type": "flux"});
        self.ask("POST", "/api/v2/query?org=evkit", &body.to_string())
    }

    /// Lines of `_time,_field,_value` and these tags of a measurement, sorted.
    pub fn points(&self, suffix: &str, measurement: &str, tags: &[&str]) -> Vec<String> {
        let columns: Vec<String> = tags.iter().map(|tag| format!(",\"{tag}\"")).collect();
        let pipe = format!(
            "|> range(start: 1970-01-01T00:00:00Z, stop: 2100-01-01T00:00:00Z) |> filter(fn: (r) => r._measurement == \"{measurement}\") \
             |> toString() |> keep(columns: [\"_time\",\"_field\",\"_value\"{}])",
            columns.concat()
        );
        let answer = self.flux(suffix, &pipe);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(answer.as_bytes());
        let (mut places, mut points) = (Vec::new(), Vec::new());
        for row in reader.records().map(Result::unwrap) {
            if row.iter().any(|name| name == "_value") {
                let place = |name: &str| row.iter().position(|column| column == name);
                places = ["_time", "_field", "_value"].iter().chain(tags).map(|name| place(name)).collect();
                continue;
            }
            let cells: Vec<&str> =
                places.iter().map(|place| place.map_or("", |place| row.get(place).unwrap_or(""))).collect();
            points.push(cells.join(" "));
        }
        points.sort();
        points
    }

    /// A request by curl, which is nobody's InfluxDB client.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let token = format!("Authorization: Token {}", self.token);
        let mut command = std::process::Command::new("curl");
        command.args([
            "-sS",
            "--max-time",
            "60",
            "--fail-with-body",
            "-X",
            method,
            "-H",
            &token,
            "-H",
            "Content-Type: application/json",
            &url,
        ]);
        if !body.is_empty() {
            command.args(["--data-binary", body]);
        }
        let ended = command.output().unwrap();
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{method} {path}: {text} {}", String::from_utf8_lossy(&ended.stderr));
        text
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for suffix in ["", "_rollups"] {
            let found = self.ask("GET", &format!("/api/v2/buckets?org=evkit&name={}{suffix}", self.bucket), "");
            let found: serde_json::Value = serde_json::from_str(&found).unwrap();
            if let Some(id) = found["buckets"][0]["id"].as_str() {
                self.ask("DELETE", &format!("/api/v2/buckets/{id}"), "");
            }
        }
    }
}
