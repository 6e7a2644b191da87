//! A real InfluxDB for tests: buckets that are gone afterwards, and a client that is none of ours.
//!
//! It doesn't go through our own InfluxDB code, so that it can judge it. `scripts/services` starts the server and says where it is.

// Each test program compiles this file anew and uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A server, and two buckets of a test: of points, and of roll-ups. They are gone when it is dropped, also where the test failed.
pub struct Buckets {
    /// `HOST:PORT`.
    pub server: String,
    /// What lets in.
    pub token: String,
    /// The bucket of points.
    pub bucket: String,
    ids: Vec<String>,
}

impl Buckets {
    /// New buckets on the server that the environment names. Without one, CI fails, and elsewhere it is said that the test is left out.
    pub fn make(test: &str) -> Option<Buckets> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(server) = variable("EVKIT_TEST_INFLUX") else {
            let way = "start one with 'scripts/services up influx', then: export $(scripts/services env)";
            assert!(
                variable("CI").is_none(),
                "'{test}' needs a real InfluxDB, and EVKIT_TEST_INFLUX names none; {way}"
            );
            // Straight to stderr: of tests that pass, what is printed is not shown.
            let _ = writeln!(std::io::stderr(), "\nLEFT OUT: '{test}' needs a real InfluxDB; {way}");
            return None;
        };
        let token =
            variable("EVKIT_TEST_INFLUX_TOKEN").expect("EVKIT_TEST_INFLUX_TOKEN stands beside EVKIT_TEST_INFLUX");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let bucket = format!("test_{test}_{moment}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut buckets = Buckets { server, token, bucket, ids: Vec::new() };
        let org = buckets.call("GET", "/api/v2/orgs?org=evkit", "");
        let org = org["orgs"][0]["id"].as_str().expect("the organisation is there").to_owned();
        for name in [buckets.bucket.clone(), format!("{}_rollups", buckets.bucket)] {
            let body = serde_json::json!({"orgID": org, "name": name, "retentionRules": []}).to_string();
            let made = buckets.call("POST", "/api/v2/buckets", &body);
            buckets.ids.push(made["id"].as_str().unwrap_or_else(|| panic!("no bucket was made: {made}")).to_owned());
        }
        Some(buckets)
    }

    /// As a command line names the bucket of points.
    pub fn address(&self) -> String {
        format!("influx://{}/evkit/{}", self.server, self.bucket)
    }

    /// One request with a body, and the JSON that comes back.
    pub fn call(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let url = format!("http://{}{path}", self.server);
        let token = format!("Token {}", self.token);
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let sent = match method {
            "GET" => agent.get(url).header("authorization", token).call(),
            "DELETE" => agent.delete(url).header("authorization", token).call(),
            _ => agent.post(url).header("authorization", token).send(body),
        };
        let text = sent.unwrap().into_body().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| drop(self.call("DELETE", &format!("/api/v2/buckets/{id}"), "")));
    }
}
