//! The beginning of writing: whether the bucket lets us in, whether what it has of the metrics is of the same query, or goes.
//!
//! Knows nothing of rows.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::store::catalogue::DAY;
use crate::store::influx::ask::each_row;
use crate::store::influx::batch::{Batch, NO_ROW};
use crate::store::influx::client::gzip;
use crate::store::influx::deliver::{Lease, WriteError};
use crate::store::influx::flux;
use crate::store::influx::form::{self, Kept};
use crate::store::influx::writer::backfill::backfill_predicate;
use crate::store::influx::writer::sender::{Sender, predicate_text};
use crate::store::ownership::{catalogue_changes, fingerprint_changes};
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
    /// There are points of its name, and nothing that tells of what.
    #[error("'{place}' has points of '{metric}', but not what evquery reads beside them")]
    Plain {
        /// The metric.
        metric: String,
        /// The bucket.
        place: String,
    },
    /// There is what evquery reads, and it would go without these points.
    #[error(
        "'{place}' has points of '{metric}' with what evquery reads beside them, which --points-only would leave behind"
    )]
    NotPlain {
        /// The metric.
        metric: String,
        /// The bucket.
        place: String,
    },
}

impl Sender {
    /// What `InfluxWriter::open` does.
    pub fn open(
        &mut self,
        queries: &[Vec<(String, String)>],
        reset: bool,
        now: i64,
        lease: &mut dyn Lease,
    ) -> Result<(), OpenError> {
        for (of, query) in self.metrics.iter_mut().zip(queries) {
            of.iter_mut().for_each(|of| of.query.clone_from(query));
        }
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
            return self.check_plain(lease);
        }
        let roll_ups = form::roll_ups_of(&bucket);
        for metric in 0..self.metrics.len() {
            let Some(of) = &self.metrics[metric] else { continue };
            let name = of.catalogue.name.clone();
            let mut stored = self.stored(&roll_ups, &name, lease)?;
            let has_points = stored.is_none() && self.has_any(&bucket, &name, lease)?;
            if has_points {
                // Another process may have begun meanwhile: it writes its catalogue before its points.
                stored = self.stored(&roll_ups, &name, lease)?;
            }
            match stored {
                Some(stored) => self.compare(metric, &stored)?,
                None if has_points => return Err(OpenError::Plain { metric: name, place: self.name() }),
                None => {}
            }
        }
        Ok(self.write_catalogues(now, lease)?)
    }

    /// That the stored metric is the one that is written, and stands at the same end of its windows.
    fn compare(&self, metric: usize, stored: &Kept) -> Result<(), OpenError> {
        let Some(of) = &self.metrics[metric] else { return Ok(()) };
        let (was, is) = (stored.point_time, self.settings.point_time);
        let mut changes = Vec::new();
        if stored.catalogue != of.catalogue {
            changes.push(catalogue_changes(&stored.catalogue, &of.catalogue));
        } else if !stored.query.is_empty() && !of.query.is_empty() {
            // What is too far in the future depends on when an event comes, and is not part of what a metric is.
            let decides = |query: &[(String, String)]| -> Vec<(String, String)> {
                query.iter().filter(|(flag, _)| flag != "--max-future").cloned().collect()
            };
            changes.push(fingerprint_changes(&decides(&stored.query), &decides(&of.query)));
            changes.retain(|change| !change.is_empty());
        }
        if was != is {
            changes.push(format!("--point-time was '{}' and is '{}'", was.name(), is.name()));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let (metric, place, changes) = (of.catalogue.name.clone(), self.name(), changes.join("; "));
        Err(OpenError::Changed { metric, place, changes })
    }

    /// That no metric was written with more than points. A server that answers no questions, or not to us, has nothing of the kind; one
    /// that may do so later is asked again.
    fn check_plain(&mut self, lease: &mut dyn Lease) -> Result<(), OpenError> {
        let roll_ups = form::roll_ups_of(&self.bucket);
        let names: Vec<String> = self.metrics.iter().flatten().map(|of| of.catalogue.name.clone()).collect();
        for metric in names {
            match self.stored(&roll_ups, &metric, lease) {
                Ok(None) => {}
                Ok(Some(_)) => return Err(OpenError::NotPlain { metric, place: self.name() }),
                Err(WriteError::Influx(error)) if !error.is_transient() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What the bucket of roll-ups says of a metric.
    fn stored(&mut self, roll_ups: &str, metric: &str, lease: &mut dyn Lease) -> Result<Option<Kept>, WriteError> {
        let mut found = None;
        let question = (roll_ups, &*flux::catalogue(roll_ups, metric));
        let _ = each_row(&mut self.delivery, question, &["_value"], lease, |row| {
            found = Some(form::read_catalogue(row.get(0))?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Whether a bucket has a point of this measurement.
    fn has_any(&mut self, bucket: &str, measurement: &str, lease: &mut dyn Lease) -> Result<bool, WriteError> {
        let question = (bucket, &*flux::any(bucket, measurement));
        let first = each_row(&mut self.delivery, question, &[], lease, |_| Ok(ControlFlow::Break(())))?;
        Ok(first.is_break())
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
            let in_roll_ups = [form::roll_ups_measurement(&name), format!("{name}.1h"), format!("{name}.1d")];
            let in_roll_ups = in_roll_ups.map(|name| (&roll_ups, name));
            let mut predicates: Vec<(&String, String)> = in_points
                .into_iter()
                .chain(in_roll_ups)
                .map(|(bucket, name)| (bucket, format!("_measurement={}", predicate_text(&name))))
                .collect();
            let of_catalogue = format!(
                "_measurement={} AND {}={}",
                predicate_text(form::CATALOGUE),
                predicate_text(form::METRIC),
                predicate_text(&name)
            );
            predicates.push((&roll_ups, of_catalogue));
            predicates.push((&roll_ups, backfill_predicate(&name)));
            for (bucket, predicate) in predicates {
                let is_aside = self.settings.points_only && *bucket == roll_ups;
                let deleted = self
                    .delivery
                    .again(lease, |client, limit, _| client.delete(bucket, all, &predicate, limit.min(most)));
                // Whoever writes points only may have no such bucket, or no right to it.
                if !is_aside {
                    deleted?;
                }
            }
        }
        Ok(())
    }

    pub fn write_catalogues(&mut self, now: i64, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let mut batch = Batch::default();
        for of in self.metrics.iter().flatten() {
            let (catalogue, query) = (of.catalogue.clone(), of.query.clone());
            let kept = Kept { catalogue, point_time: self.settings.point_time, query };
            batch.push(NO_ROW, |out| {
                form::push_catalogue(&kept, now, out);
                true
            });
        }
        let roll_ups = form::roll_ups_of(&self.bucket);
        self.write_aside(&roll_ups, &batch, lease)?;
        self.catalogued = Some(now.div_euclid(DAY));
        Ok(())
    }
}
