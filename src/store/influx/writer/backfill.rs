//! How far a backfill has come, beside the catalogues: a point of each of its metrics, which goes when it is complete.
//!
//! Knows nothing of rows.

use std::ops::ControlFlow;

use crate::codec::encode::line_protocol::{Field, encode_point};
use crate::store::influx::ask::each_row;
use crate::store::influx::batch::{Batch, NO_ROW};
use crate::store::influx::deliver::{Lease, Pieces, WriteError};
use crate::store::influx::flux;
use crate::store::influx::form;
use crate::store::influx::writer::sender::{Sender, predicate_text};
use crate::store::progress::{Note, Progress};
use crate::time::Timestamp;

impl Sender {
    /// What `InfluxWriter::progress` gives.
    pub fn progress(&mut self, lease: &mut dyn Lease) -> Result<Option<Progress>, WriteError> {
        let roll_ups = form::roll_ups_of(&self.bucket);
        let names = if self.settings.points_only { Vec::new() } else { self.names() };
        let mut found = Vec::new();
        for name in names {
            let (mut at, mut progress) = (None, None);
            let question = (&*roll_ups, &*flux::backfill(&roll_ups, &name));
            let _ = each_row(&mut self.delivery, question, &["_time", "_value"], lease, |row| {
                at = crate::time::parse_rfc3339(row.get(0).as_bytes()).ok();
                // What can't be read is as good as nothing: all is made once more.
                progress = serde_json::from_str::<Progress>(row.get(1)).ok();
                Ok(ControlFlow::Continue(()))
            })?;
            self.backfill_at = at.map(|time| time.0).or(self.backfill_at);
            found.push(progress);
        }
        // They are written together: where they differ, they are of different backfills.
        found.dedup();
        Ok(if let [one] = found[..] { one } else { None })
    }

    /// What `InfluxWriter::note` does.
    pub fn note(&mut self, note: Note, now: i64, lease: &mut dyn Lease) -> Result<(), WriteError> {
        if self.settings.points_only {
            return Ok(());
        }
        let roll_ups = form::roll_ups_of(&self.bucket);
        match note {
            Note::AsBefore => Ok(()),
            Note::At(progress) => {
                // One point a metric, which is overwritten.
                let time = form::nanoseconds(*self.backfill_at.get_or_insert(now)).unwrap_or(0);
                let text = serde_json::to_string(&progress).expect("progress is made of numbers");
                let mut batch = Batch::default();
                for name in self.names() {
                    batch.push(NO_ROW, |out| {
                        let fields = [(form::BACKFILL_FIELD, Field::Text(&text))];
                        encode_point(form::BACKFILL, &[(form::METRIC, &name)], &fields, time, out);
                        true
                    });
                }
                // What is refused is not remembered, and so made once more.
                self.delivery.write(&roll_ups, &batch, Pieces::whole(&batch), lease).map(|_refused| ())
            }
            Note::Nothing => {
                let most = self.delivery.client().patience().write;
                let all = (Timestamp(-9_223_372_036_854_775), Timestamp(9_223_372_036_854_775));
                if self.backfill_at.take().is_none() {
                    return Ok(());
                }
                for name in self.names() {
                    let predicate = backfill_predicate(&name);
                    self.delivery
                        .again(lease, |client, limit, _| client.delete(&roll_ups, all, &predicate, limit.min(most)))?;
                }
                Ok(())
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.metrics.iter().flatten().map(|of| of.catalogue.name.clone()).collect()
    }
}

/// The points that tell of a metric's backfill.
pub(in crate::store::influx::writer) fn backfill_predicate(metric: &str) -> String {
    format!(
        "_measurement={} AND {}={}",
        predicate_text(form::BACKFILL),
        predicate_text(form::METRIC),
        predicate_text(metric)
    )
}
