//! The beginning of writing: whether the bucket lets us in, whether what it has of the metrics is of the same query, or goes.
//!
//! Knows nothing of rows.

use std::time::Duration;

use crate::store::catalogue::DAY;
use crate::store::influx::batch::{Batch, NO_ROW};
use crate::store::influx::client::gzip;
use crate::store::influx::deliver::{Lease, WriteError};
use crate::store::influx::form;
use crate::store::influx::readback::catalogue_question;
use crate::store::influx::writer::{InfluxWriter, ask, damaged, predicate_text};
use crate::store::ownership::catalogue_changes;
use crate::time::Timestamp;

/// At the start a server that is away is not waited for longer than this.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Why metrics can't be written to a bucket.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A request failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another query made a metric.
    #[error("the metric '{metric}' in '{place}' was made by another query: {changes}")]
    Changed {
        /// The metric.
        metric: String,
        /// The bucket.
        place: String,
        /// What differs.
        changes: String,
    },
}

impl InfluxWriter {
    /// Finds out whether the bucket can be written to, and compares the catalogues with the stored ones: another query's metric is
    /// refused, or dropped with `reset`. `now` is in microseconds.
    pub fn open(&mut self, reset: bool, now: i64, lease: &mut dyn Lease) -> Result<(), OpenError> {
        let usual = self.delivery.retry_for(self.settings.retry_for.min(START_PATIENCE));
        let opened = self.open_soon(reset, now, lease);
        self.delivery.retry_for(usual);
        opened
    }

    fn open_soon(&mut self, reset: bool, now: i64, lease: &mut dyn Lease) -> Result<(), OpenError> {
        let bucket = self.bucket.clone();
        self.touch(&bucket, lease)?;
        if reset {
            self.drop_metrics(lease)?;
        }
        if self.settings.points_only {
            return Ok(());
        }
        let roll_ups = form::roll_ups_of(&bucket);
        for of in self.metrics.iter().flatten() {
            let question = catalogue_question(&roll_ups, &of.catalogue.name);
            let text = ask(&mut self.delivery, &question, &["_value"], lease)?.pop();
            let Some(text) = text.map(|row| row.into_iter().next().unwrap_or_default()) else { continue };
            let stored = form::read_catalogue(&text).map_err(|fault| damaged(fault, &roll_ups))?;
            if stored != of.catalogue {
                return Err(OpenError::Changed {
                    metric: of.catalogue.name.clone(),
                    place: self.name(),
                    changes: catalogue_changes(&stored, &of.catalogue),
                });
            }
        }
        Ok(self.write_catalogues(now, lease)?)
    }

    /// Asks to be let in, without writing anything.
    fn touch(&mut self, bucket: &str, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let most = self.delivery.client().patience().write;
        let mut nothing = Vec::new();
        gzip(b"# evkit\n", &mut nothing);
        self.delivery.again(lease, |client, limit, _| client.post_write(bucket, &nothing, limit.min(most)))
    }

    /// Deletes all that the buckets have of the metrics.
    fn drop_metrics(&mut self, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let names: Vec<String> = self.metrics.iter().flatten().map(|of| of.catalogue.name.clone()).collect();
        let (bucket, most) = (self.bucket.clone(), self.delivery.client().patience().write);
        let roll_ups = form::roll_ups_of(&bucket);
        let all = (Timestamp(-9_223_372_036_854_775), Timestamp(9_223_372_036_854_775));
        for name in names {
            let in_points = [name.clone(), form::points_measurement(&name)].map(|name| (&bucket, name));
            let in_roll_ups = [form::days_measurement(&name), format!("{name}.1h"), format!("{name}.1d")];
            let in_roll_ups =
                in_roll_ups.map(|name| (&roll_ups, name)).into_iter().filter(|_| !self.settings.points_only);
            let mut predicates: Vec<(&String, String)> = in_points
                .into_iter()
                .chain(in_roll_ups)
                .map(|(bucket, name)| (bucket, format!("_measurement={}", predicate_text(&name))))
                .collect();
            if !self.settings.points_only {
                let of_catalogue = format!(
                    "_measurement={} AND {}={}",
                    predicate_text(form::CATALOGUE),
                    predicate_text(form::METRIC),
                    predicate_text(&name)
                );
                predicates.push((&roll_ups, of_catalogue));
            }
            for (bucket, predicate) in predicates {
                self.delivery
                    .again(lease, |client, limit, _| client.delete(bucket, all, &predicate, limit.min(most)))?;
            }
        }
        Ok(())
    }

    pub(in crate::store::influx::writer) fn write_catalogues(
        &mut self,
        now: i64,
        lease: &mut dyn Lease,
    ) -> Result<(), WriteError> {
        let mut batch = Batch::default();
        for of in self.metrics.iter().flatten() {
            batch.push(NO_ROW, |out| {
                form::push_catalogue(&of.catalogue, &of.query, now, out);
                true
            });
        }
        let roll_ups = form::roll_ups_of(&self.bucket);
        self.write_aside(&roll_ups, &batch, lease)?;
        self.catalogued = Some(now.div_euclid(DAY));
        Ok(())
    }
}
