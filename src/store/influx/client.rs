//! Requests to one server: writing lines, asking in Flux, deleting. Blocking, each with its time-out.
//!
//! Says what the server said. Knows nothing of what lines mean, and tries nothing twice.

use std::io::{self, Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, RequestBuilder};

use crate::store::influx::annotated::AnswerError;
use crate::store::influx::credentials::{Target, base_url};
use crate::store::influx::error::InfluxError;
use crate::time::Timestamp;

/// What an answer that says no may be long; the rest is of no interest.
const MESSAGE_BYTES_MAX: u64 = 64 << 10;
/// A proxy's page of HTML is cut here.
const MESSAGE_CHARS_MAX: usize = 2000;

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the answer to a write, all in all.
    pub write: Duration,
    /// For the beginning of an answer to a question, and for each of its parts.
    pub query: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let seconds = Duration::from_secs;
        Patience { connect: seconds(10), write: seconds(30), query: seconds(120) }
    }
}

/// Speaks to one server in the name of one organisation.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    target: Target,
    /// The URL under which the API stands.
    base: String,
    patience: Patience,
}

/// An answer in annotated CSV, as it comes.
pub struct Answer {
    body: Box<dyn Read + Send>,
}

impl Read for Answer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.body.read(into)
    }
}

impl Client {
    /// A client of this server. Nothing is sent yet.
    pub fn new(target: Target, patience: Patience) -> Client {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(patience.connect))
            .tls_config(tls.build())
            .user_agent(concat!("evkit/", env!("CARGO_PKG_VERSION")))
            .build();
        Client { agent: agent.into(), base: base_url(&target.address), target, patience }
    }

    /// The bucket that was named.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The URL under which the API stands.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// How long is waited.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Writes lines of line protocol, compressed by `gzip`, with times in nanoseconds. No longer than `limit` is waited.
    pub fn post_write(&self, bucket: &str, zipped: &[u8], limit: Duration) -> Result<(), InfluxError> {
        const DOING: &str = "write to";
        let request = self.post("/api/v2/write").query("org", &self.target.address.org).query("bucket", bucket);
        let request = request
            .query("precision", "ns")
            .header("content-type", "text/plain; charset=utf-8")
            .header("content-encoding", "gzip");
        let sent = request.config().timeout_global(Some(limit)).build().send(zipped);
        self.done(DOING, limit, sent)
    }

    /// Asks in Flux. The answer comes as it is read: nothing of it is kept.
    pub fn query_flux(&self, flux: &str) -> Result<Answer, InfluxError> {
        const DOING: &str = "ask";
        let limit = self.patience.query;
        let question = serde_json::json!({
            "query": flux,
            "type": "flux",
            "dialect": {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": true},
        });
        let request = self.post("/api/v2/query").query("org", &self.target.address.org);
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/csv")
            // Entries hardly shrink, and to compress them takes the server as long as to find them.
            .header("accept-encoding", "identity");
        let request = request.config().timeout_recv_response(Some(limit)).timeout_per_read(Some(limit)).build();
        let response = request.send(question.to_string()).map_err(|error| self.failed(DOING, limit, &error))?;
        let response = self.accepted(DOING, response)?;
        let is_zipped = header(response.headers(), "content-encoding").is_some_and(|coding| coding == "gzip");
        let body = response.into_body().into_reader();
        Ok(Answer { body: if is_zipped { Box::new(MultiGzDecoder::new(body)) } else { Box::new(body) } })
    }

    /// Deletes the points of `bucket` from `start` to `stop`, both included, of which `predicate` is true: `=` joined by `AND`.
    pub fn delete(
        &self,
        bucket: &str,
        (start, stop): (Timestamp, Timestamp),
        predicate: &str,
        limit: Duration,
    ) -> Result<(), InfluxError> {
        const DOING: &str = "delete from";
        let what = serde_json::json!({
            "start": start.to_string(),
            "stop": stop.to_string(),
            "predicate": predicate,
        });
        let request = self.post("/api/v2/delete").query("org", &self.target.address.org).query("bucket", bucket);
        let request = request.header("content-type", "application/json");
        let sent = request.config().timeout_global(Some(limit)).build().send(what.to_string());
        self.done(DOING, limit, sent)
    }

    /// Sends JSON and gives the JSON of the answer, if it has any. `method`: POST, or PATCH.
    pub(crate) fn send_json(
        &self,
        doing: &'static str,
        method: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value, InfluxError> {
        let limit = self.patience.write;
        let request = match method {
            "PATCH" => self.agent.patch(format!("{}{path}", self.base)),
            _ => self.agent.post(format!("{}{path}", self.base)),
        };
        let request = self.signed(request).header("content-type", "application/json");
        let sent = request.config().timeout_global(Some(limit)).build().send(body.to_string());
        let response = self.accepted(doing, sent.map_err(|error| self.failed(doing, limit, &error))?)?;
        let mut text = Vec::new();
        let read = response.into_body().into_reader().take(MESSAGE_BYTES_MAX).read_to_end(&mut text);
        read.map_err(|error| self.lost(doing, limit, &error))?;
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    fn post(&self, path: &str) -> RequestBuilder<ureq::typestate::WithBody> {
        self.signed(self.agent.post(format!("{}{path}", self.base)))
    }

    fn signed(&self, request: RequestBuilder<ureq::typestate::WithBody>) -> RequestBuilder<ureq::typestate::WithBody> {
        match &self.target.token {
            Some(token) => request.header("authorization", format!("Token {}", token.secret())),
            None => request,
        }
    }

    /// That a request without an answer to read was accepted.
    fn done(
        &self,
        doing: &'static str,
        limit: Duration,
        sent: Result<Response<Body>, ureq::Error>,
    ) -> Result<(), InfluxError> {
        let response = sent.map_err(|error| self.failed(doing, limit, &error))?;
        let mut body = self.accepted(doing, response)?.into_body();
        // Read to its end, the connection can be used again.
        io::copy(&mut body.as_reader().take(MESSAGE_BYTES_MAX), &mut io::sink())
            .map_err(|error| self.lost(doing, limit, &error))?;
        Ok(())
    }

    fn accepted(&self, doing: &'static str, response: Response<Body>) -> Result<Response<Body>, InfluxError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let now = chrono::Utc::now().timestamp();
        let retry_after = header(response.headers(), "retry-after").and_then(|text| wait_of(text, now));
        let moved = header(response.headers(), "location").map(str::to_owned);
        let mut text = Vec::new();
        // Where it breaks off, what was read says more than that it did.
        let _ = response.into_body().into_reader().take(MESSAGE_BYTES_MAX).read_to_end(&mut text);
        let mut message = message_of(&text, status.canonical_reason().unwrap_or("no reason was given"));
        if let Some(place) = moved.filter(|_| status.is_redirection()) {
            message = format!("it has moved to '{place}'");
        }
        let (server, status) = (self.base.clone(), status.as_u16());
        Err(InfluxError::Refused { doing, server, status, message, retry_after })
    }

    /// What went wrong with an answer while it was read.
    pub fn lost(&self, doing: &'static str, limit: Duration, error: &io::Error) -> InfluxError {
        let server = self.base.clone();
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(error) => self.failed(doing, limit, error),
            None if error.kind() == io::ErrorKind::TimedOut => InfluxError::Timeout { doing, server, limit },
            None => InfluxError::Connection { doing, server, cause: error.to_string() },
        }
    }

    /// Why an answer can't be read on.
    pub(crate) fn broken(&self, doing: &'static str, error: AnswerError) -> InfluxError {
        let server = self.base.clone();
        match error {
            AnswerError::Io(error) => self.lost(doing, self.patience.query, &error),
            AnswerError::Malformed(what) => InfluxError::Answer { doing, server, what },
            AnswerError::Server(message) => InfluxError::GaveUp { doing, server, message },
        }
    }

    fn failed(&self, doing: &'static str, limit: Duration, error: &ureq::Error) -> InfluxError {
        let server = self.base.clone();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                InfluxError::Timeout { doing, server, limit: self.patience.connect.min(limit) }
            }
            ureq::Error::Timeout(_) => InfluxError::Timeout { doing, server, limit },
            ureq::Error::Io(error) => InfluxError::Connection { doing, server, cause: error.to_string() },
            ureq::Error::HostNotFound => {
                InfluxError::Connection { doing, server, cause: "there is no such host".into() }
            }
            error => InfluxError::Connection { doing, server, cause: error.to_string() },
        }
    }
}

/// Compresses lines for `post_write`, in place of what `out` held.
pub fn gzip(lines: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut encoder = GzEncoder::new(out, Compression::fast());
    let written = encoder.write_all(lines).and_then(|()| encoder.finish().map(drop));
    written.expect("writing to memory can't fail");
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// How long `Retry-After` asks to wait at the time `now`, in seconds since the epoch: it is a number of seconds, or a date.
fn wait_of(text: &str, now: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp();
    Some(Duration::from_secs(u64::try_from(until - now).unwrap_or(0)))
}

/// What a server says in a body: the message of InfluxDB's JSON, or the text itself on one line; `otherwise` where there is none.
pub(crate) fn message_of(body: &[u8], otherwise: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let text = said("message").or_else(|| said("error"));
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).split_whitespace().collect::<Vec<_>>().join(" "));
    let text = text.trim();
    if text.is_empty() {
        return otherwise.to_owned();
    }
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_when_to_come_back() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait_of("7", 0), seconds(7));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770), seconds(7));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_780), seconds(0));
        assert_eq!(wait_of("soon", 0), None);
        assert_eq!(wait_of("-1", 0), None);
    }

    #[test]
    fn servers_words_are_found() {
        for (body, expected) in [
            (r#"{"code":"invalid","message":"unable to parse 'x'"}"#, "unable to parse 'x'"),
            (r#"{"error":"partial write"}"#, "partial write"),
            ("<html>\n  no </html>", "<html> no </html>"),
            ("", "none"),
            ("{}", "{}"),
        ] {
            assert_eq!(message_of(body.as_bytes(), "none"), expected);
        }
        assert_eq!(message_of(&[b'a'; 3000], "none").chars().count(), MESSAGE_CHARS_MAX + 1);
    }

    #[test]
    fn lines_are_compressed() {
        let mut zipped = vec![1];
        gzip(b"m x=1 1\n", &mut zipped);
        let mut text = String::new();
        MultiGzDecoder::new(&zipped[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "m x=1 1\n");
    }
}
