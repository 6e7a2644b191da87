//! Organisations, buckets and their retention, and how a server fares, by the crate `influxdb2`; what it lacks by requests of
//! our own: to make the first user, to make an organisation, to change a retention.
//!
//! Each call waits for its answer. Knows nothing of what is to be there.

use std::future::Future;
use std::time::{Duration, Instant};

use influxdb2::RequestError;
use influxdb2::api::buckets::ListBucketsRequest;
use influxdb2::api::organization::ListOrganizationRequest;
use influxdb2::models::retention_rule::Type;
use influxdb2::models::{PostBucketRequest, RetentionRule, health};

use crate::store::influx::client::Client;
use crate::store::influx::error::InfluxError;

/// How long a server has no token after it has its first user, at most, and how often it is looked.
const SET_UP: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// How a server fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it says that it is well.
    pub is_well: bool,
    /// Its words.
    pub message: String,
    /// Its version, if it tells.
    pub version: Option<String>,
}

/// A bucket as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How long points are kept, in seconds; `None`: for ever.
    pub kept: Option<u64>,
}

/// Administers one server.
pub struct Admin {
    client: Client,
    api: influxdb2::Client,
    runtime: tokio::runtime::Runtime,
    limit: Duration,
}

impl Admin {
    /// Administers the server of a client.
    pub fn new(client: Client) -> Result<Admin, InfluxError> {
        let address = &client.target().address;
        if address.server.contains('/') {
            // The crate leaves the path out, and so would ask another server.
            return Err(InfluxError::Settings {
                what: format!("'{address}' here"),
                cause: "a server behind a path is administered at its own address, without the path".into(),
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            InfluxError::Connection { doing: "administer", server: client.base().to_owned(), cause: error.to_string() }
        })?;
        let token = client.target().token.as_ref().map_or("", |token| token.secret());
        let api = influxdb2::Client::new(client.base(), &address.org, token);
        Ok(Admin { api, runtime, limit: client.patience().write, client })
    }

    /// How the server fares.
    pub fn health(&self) -> Result<Health, InfluxError> {
        let found = self.wait("ask the health of", self.api.health())?;
        Ok(Health {
            is_well: found.status == health::Status::Pass,
            message: found.message.unwrap_or_default(),
            version: found.version,
        })
    }

    /// Whether the server has no user yet.
    pub fn is_new(&self) -> Result<bool, InfluxError> {
        self.wait("ask", self.api.is_onboarding_allowed())
    }

    /// Makes the first user, with our token for all rights, the organisation and a bucket of its own. False where somebody else has set
    /// the server up since it was asked.
    pub fn set_up(&self, user: &str, bucket: &str, seconds: u64) -> Result<bool, InfluxError> {
        let target = self.client.target();
        let body = serde_json::json!({
            "username": user,
            "org": target.address.org,
            "bucket": bucket,
            "retentionPeriodSeconds": seconds,
            "token": target.token.as_ref().map(|token| token.secret()),
        });
        let made = self.client.send_json("set up", "POST", "/api/v2/setup", &body).map(drop);
        unless_there(made, || Ok(!self.is_new()?))
    }

    /// The number of the organisation of this name, if it is there, of a server that somebody may be setting up at this moment. Such a
    /// one makes its first token last, and refuses all until then.
    pub fn organisation_soon(&self, name: &str) -> Result<Option<String>, InfluxError> {
        let started = Instant::now();
        loop {
            match self.organisation(name) {
                Err(InfluxError::Refused { status: 401, .. }) if started.elapsed() < SET_UP => {
                    std::thread::sleep(PAUSE)
                }
                found => return found,
            }
        }
    }

    /// The number of the organisation of this name, if it is there.
    pub fn organisation(&self, name: &str) -> Result<Option<String>, InfluxError> {
        let request = ListOrganizationRequest { org: Some(name.to_owned()), ..ListOrganizationRequest::default() };
        let found = match self.wait("list the organisations of", self.api.list_organizations(request)) {
            Err(InfluxError::Refused { status: 404, .. }) => return Ok(None),
            found => found?,
        };
        Ok(found.orgs.into_iter().find(|org| org.name == name).and_then(|org| org.id))
    }

    /// Makes an organisation. False where somebody else has made it since it was looked for.
    pub fn make_organisation(&self, name: &str) -> Result<bool, InfluxError> {
        let body = serde_json::json!({ "name": name });
        let made = self.client.send_json("make an organisation of", "POST", "/api/v2/orgs", &body).map(drop);
        unless_there(made, || Ok(self.organisation(name)?.is_some()))
    }

    /// The bucket of this name, if it is there.
    pub fn bucket(&self, organisation: &str, name: &str) -> Result<Option<Bucket>, InfluxError> {
        let request = ListBucketsRequest {
            name: Some(name.to_owned()),
            org_id: Some(organisation.to_owned()),
            ..ListBucketsRequest::default()
        };
        let found = match self.wait("list the buckets of", self.api.list_buckets(Some(request))) {
            Err(InfluxError::Refused { status: 404, .. }) => return Ok(None),
            found => found?,
        };
        let found = found.buckets.into_iter().find(|bucket| bucket.name == name);
        Ok(found.and_then(|bucket| {
            let rule = bucket.retention_rules.first();
            let kept = rule.and_then(|rule| u64::try_from(rule.every_seconds).ok()).filter(|seconds| *seconds > 0);
            Some(Bucket { id: bucket.id?, name: bucket.name, kept })
        }))
    }

    /// Makes a bucket that keeps points for so many seconds. False where somebody else has made it since it was looked for.
    pub fn make_bucket(&self, organisation: &str, name: &str, seconds: u64) -> Result<bool, InfluxError> {
        let mut request = PostBucketRequest::new(organisation.to_owned(), name.to_owned());
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        request.retention_rules = vec![RetentionRule::new(Type::Expire, seconds)];
        let made = self.wait("make a bucket of", self.api.create_bucket(Some(request)));
        unless_there(made, || Ok(self.bucket(organisation, name)?.is_some()))
    }

    /// Lets a bucket keep points for so many seconds.
    pub fn retain(&self, bucket: &Bucket, seconds: u64) -> Result<(), InfluxError> {
        let body = serde_json::json!({"retentionRules": [{"type": "expire", "everySeconds": seconds}]});
        let path = format!("/api/v2/buckets/{}", bucket.id);
        self.client.send_json("change a bucket of", "PATCH", &path, &body).map(drop)
    }

    /// What a call gives, if it does so in time.
    fn wait<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, InfluxError> {
        let server = self.client.base().to_owned();
        let limit = self.limit;
        let ended = self.runtime.block_on(async { tokio::time::timeout(limit, call).await });
        let Ok(result) = ended else { return Err(InfluxError::Timeout { doing, server, limit }) };
        result.map_err(|error| match error {
            RequestError::Http { status, text } => {
                let message = crate::store::influx::client::message_of(text.as_bytes(), "no reason was given");
                InfluxError::Refused { doing, server, status: status.as_u16(), message, retry_after: None }
            }
            RequestError::ReqwestProcessing { source } => {
                // Its own text leaves the cause out.
                let mut cause: &dyn std::error::Error = &source;
                while let Some(deeper) = cause.source() {
                    cause = deeper;
                }
                InfluxError::Connection { doing, server, cause: cause.to_string() }
            }
            error => InfluxError::Answer { doing, server, what: error.to_string() },
        })
    }
}

/// Whether something was made; false where it is there although that was refused.
fn unless_there(
    made: Result<(), InfluxError>,
    is_there: impl FnOnce() -> Result<bool, InfluxError>,
) -> Result<bool, InfluxError> {
    match made {
        Ok(()) => Ok(true),
        Err(error @ InfluxError::Refused { .. }) => {
            if is_there()? {
                Ok(false)
            } else {
                Err(error)
            }
        }
        Err(error) => Err(error),
    }
}
