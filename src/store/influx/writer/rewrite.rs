//! Windows of a span of time made anew: what the bucket has of them beside the rows that were made goes, once they are complete.
//!
//! Rows overwrite what stands at their place. What stands elsewhere in these windows is of a run that knew other events: sessions
//! that a late one has joined, groups that fell out of `--top` or fail `--having`. It is found by reading entries back, and taken
//! back as a live run's retracted rows are. Every metric is looked at, also those of which a live run never takes rows back and
//! which have roll-ups: a backfill leaves out what `evwindow repair` made of late events alone, and what came of a run with a greater
//! `--max-future`.
//!
//! A time of which nothing at all was made is left as it is: the archive may have a hole there, as where a pipe was lost with the run
//! that read it.
//!
//! Of the rows that were made only hashes of their places are kept, until their windows are complete. An entry goes last: killed
//! before, the next run finds it again. Knows nothing of when windows are complete.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use hashbrown::HashMap;

use crate::codec::encode::line_protocol::MetricKeys;
use crate::metric::Metric;
use crate::store::catalogue::{Catalogue, DAY, Grain, WindowKind};
use crate::store::entry::key_of;
use crate::store::error::{Fault, Inner};
use crate::store::influx::annotated::Row;
use crate::store::influx::ask::each_row;
use crate::store::influx::batch::{Batch, NO_ROW};
use crate::store::influx::deliver::{Lease, WriteError};
use crate::store::influx::flux;
use crate::store::influx::form::{self, EntryLines, PointTime};
use crate::store::influx::rollups::{Emptied, Touch};
use crate::store::influx::writer::sender::Sender;
use crate::store::influx::writer::{InfluxWriter, WriterSettings};
use crate::store::payload::Form;
use crate::time::{Timestamp, Window, parse_rfc3339};
use crate::value::Value;
use crate::window::key::{groups_of, push_key};

/// So many places are kept before they are compared with what is stored; more, where their windows are not complete.
const PLACES_MANY: usize = 1 << 20;

/// What is left of a session that another has taken in is looked at for so long after its end, in microseconds.
const SESSION_MAX: i64 = DAY;

/// So many points are taken back at once.
const GONE_MAX: usize = 10_000;

/// Names a place: of an entry, or of a point.
type Place = u64;

/// How far a span of time has been made anew, and what was made of the rest.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// Windows that lie here are made anew.
    range: (i64, i64),
    /// Of those that end by then the bucket has what was made, and nothing else.
    done: i64,
    /// The places of rows that were made of the others, and where their windows end.
    made: HashMap<Place, i64>,
    /// So many of them are enough to be compared.
    enough: usize,
    /// What is looked for before the rows that wait are written.
    looked_for: HashMap<Place, LookedFor>,
    point_time: PointTime,
    /// By `Metric::metric`.
    metrics: Vec<Option<OfMetric>>,
    taken_back: u64,
    scratch: Vec<u8>,
    key: Vec<u8>,
    series: Vec<u8>,
}

/// One metric that is made anew.
#[derive(Debug)]
struct OfMetric {
    catalogue: Catalogue,
    keys: MetricKeys,
    entries: EntryLines,
    /// When windows were that were made.
    made: Spans,
    /// Where its windows are sessions.
    sessions: Option<Sessions>,
}

/// A time, as spans.
#[derive(Debug, Default)]
struct Spans(Vec<(i64, i64)>);

impl Spans {
    fn add(&mut self, start: i64, end: i64) {
        match self.0.last_mut() {
            // As the rows of one window, and mostly of the next one.
            Some(last) if last.0 <= start && start <= last.1 => last.1 = last.1.max(end),
            _ => self.0.push((start, end)),
        }
    }

    /// Puts them in order, without what ended by `end`.
    fn settle(&mut self, end: i64) {
        self.0.sort_unstable();
        for (start, end) in std::mem::take(&mut self.0) {
            self.add(start, end);
        }
        self.0.retain(|span| span.1 > end);
    }

    /// Whether they overlap this one; they must be in order.
    fn touch(&self, start: i64, end: i64) -> bool {
        let at = self.0.partition_point(|span| span.1 <= start);
        self.0.get(at).is_some_and(|span| span.0 < end)
    }
}

/// A row that waits, and may not overwrite all that stands at its place.
#[derive(Debug)]
struct LookedFor {
    metric: usize,
    window: Window,
    /// Its fields that are NULL.
    nulls: Box<[usize]>,
}

/// Sessions are of any length, and one that lasts must not be read again with each stretch.
#[derive(Debug)]
struct Sessions {
    /// Those that start before have been read.
    read_to: i64,
    /// Of these the ones that end later than all that is complete, and stood there before.
    open: BTreeSet<Standing>,
}

/// What stands in the bucket: the key of its series, start and length of its window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    key: Box<[u8]>,
    start: i64,
    length: i64,
}

impl Standing {
    fn end(&self) -> i64 {
        self.start.saturating_add(self.length)
    }

    fn window(&self) -> Window {
        Window::new(Timestamp(self.start), Timestamp(self.end()))
    }
}

/// What is to become of something that stands there.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Stays,
    Goes,
    /// It is too early to tell.
    Waits,
}

impl Rewrite {
    fn new(
        (start, end): (Timestamp, Timestamp),
        made: Option<Timestamp>,
        point_time: PointTime,
        metrics: impl Iterator<Item = Option<Catalogue>>,
    ) -> Rewrite {
        let range = (start.max(Timestamp::EARLIEST).0, end.min(Timestamp::LATEST).0);
        let of_metric = |catalogue: Catalogue| {
            let counts: Vec<bool> = catalogue.fields.iter().map(|field| field.function.is_count()).collect();
            let are_sessions = matches!(catalogue.window, WindowKind::Session { .. });
            OfMetric {
                keys: MetricKeys::new(&catalogue.schema(), &counts),
                entries: EntryLines::of(&catalogue),
                made: Spans::default(),
                sessions: are_sessions.then(|| Sessions { read_to: range.0, open: BTreeSet::new() }),
                catalogue,
            }
        };
        Rewrite {
            range,
            done: made.map_or(range.0, |made| made.0.max(range.0)),
            made: HashMap::new(),
            enough: PLACES_MANY,
            looked_for: HashMap::new(),
            point_time,
            metrics: metrics.map(|catalogue| catalogue.map(of_metric)).collect(),
            taken_back: 0,
            scratch: Vec::new(),
            key: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Takes note of a row that was made.
    pub fn make(&mut self, row: &Metric) {
        let Some(of) = self.metrics[row.metric].as_mut().filter(|_| row.is_final) else { return };
        if !row.retracted {
            of.made.add(row.window.start.0, row.window.end.0);
        }
        self.key.clear();
        self.series.clear();
        push_key(&row.groups, &mut self.key);
        of.keys.push_series(&row.groups, &mut self.scratch, &mut self.series);
        let (start, length) = key_of(row.window);
        let entry = self.entry(row.metric, &self.key, start, length);
        let point = point(&self.series, self.point_time.of(row.window));
        self.made.extend([entry, point].map(|place| (place, row.window.end.0)));
        if row.retracted {
            return;
        }
        // Of a row that is revised the point goes first anyway.
        let nulls = row.aggregates.iter().enumerate().filter(|(_, value)| row.revision == 0 && **value == Value::Null);
        let nulls: Box<[usize]> = nulls.map(|(field, _)| field).collect();
        if !nulls.is_empty() || self.ends_move(row.metric) {
            self.looked_for.insert(entry, LookedFor { metric: row.metric, window: row.window, nulls });
        }
    }

    fn sessions(&self, metric: usize) -> Option<&Sessions> {
        self.metrics[metric].as_ref().and_then(|of| of.sessions.as_ref())
    }

    /// Whether entries of a metric that share a place may have points that don't.
    fn ends_move(&self, metric: usize) -> bool {
        self.sessions(metric).is_some() && self.point_time == PointTime::End
    }

    /// The place of an entry. Of sessions that share a start there is one.
    fn entry(&self, metric: usize, key: &[u8], start: i64, length: i64) -> Place {
        let length = if self.sessions(metric).is_some() { 0 } else { length };
        place(key, [metric as i64, start, length])
    }

    /// What becomes of what stands there once all windows that end by `complete` have been made.
    fn judge(&self, metric: usize, standing: &Standing, complete: i64) -> Verdict {
        let end = standing.end();
        let is_ours = self.range.0 <= standing.start && end <= self.range.1;
        let is_made = || self.made.contains_key(&self.entry(metric, &standing.key, standing.start, standing.length));
        let Some(of) = self.metrics[metric].as_ref().filter(|_| is_ours && !is_made()) else { return Verdict::Stays };
        match of.made.touch(standing.start, end) {
            _ if end > complete => Verdict::Waits,
            true => Verdict::Goes,
            // A session that it has become a part of may last on.
            false if of.sessions.is_some() && complete < end.saturating_add(SESSION_MAX) => Verdict::Waits,
            false => Verdict::Stays,
        }
    }

    /// From where to where windows start that have become complete.
    fn starts(&self, of: &OfMetric, complete: i64) -> (i64, i64) {
        let (from, until) = match (of.catalogue.window, &of.sessions) {
            (_, Some(sessions)) => (sessions.read_to, complete),
            // Days of a time zone are of different lengths.
            (WindowKind::Tumbling { length } | WindowKind::Sliding { length, .. }, _)
                if of.catalogue.zone.is_none() =>
            {
                (self.done - length.0 + 1, complete - length.0 + 1)
            }
            (
                WindowKind::Tumbling { length }
                | WindowKind::Sliding { length, .. }
                | WindowKind::Cumulative { length, .. },
                _,
            ) => (self.done - 2 * length.0, complete),
            (WindowKind::Session { .. } | WindowKind::Global, _) => (self.range.0, complete),
        };
        (from.max(self.range.0), until)
    }

    /// Windows that end by `complete` hold what was made.
    fn reach(&mut self, complete: i64) {
        self.made.retain(|_, end| *end > complete);
        self.enough = PLACES_MANY.max(2 * self.made.len());
        self.done = complete;
        for of in self.metrics.iter_mut().flatten() {
            let Some(sessions) = &mut of.sessions else { continue };
            sessions.read_to = complete;
        }
    }
}

/// The place of a point.
fn point(series: &[u8], time: i64) -> Place {
    // An entry's window is not shorter than nothing.
    place(series, [0, time, -1])
}

fn place(name: &[u8], numbers: [i64; 3]) -> Place {
    let name = rapidhash::v3::rapidhash_v3(name) as i64;
    let mut bytes = [0; 32];
    for (to, number) in bytes.chunks_exact_mut(8).zip([name].into_iter().chain(numbers)) {
        to.copy_from_slice(&number.to_le_bytes());
    }
    rapidhash::v3::rapidhash_v3(&bytes)
}

/// Reads rows that tell what stands there. Rows of a series follow one another, so a key is read once.
struct Look<'a> {
    catalogue: &'a Catalogue,
    tag: String,
    key: Box<[u8]>,
    bytes: Vec<u8>,
}

impl<'a> Look<'a> {
    const COLUMNS: &'static [&'static str] = &[form::SERIES, "_time", "_field", "_value"];

    fn at(catalogue: &'a Catalogue) -> Look<'a> {
        Look { catalogue, tag: String::new(), key: Box::default(), bytes: Vec::new() }
    }

    /// What a row tells of; its entry is in `bytes`, where it was asked for.
    fn read(&mut self, row: Row<'_>) -> Inner<Standing> {
        let [tag, time, field, text] = [0, 1, 2, 3].map(|column| row.get(column));
        if self.tag != tag {
            self.key = form::key_of_tag(tag)?.into();
            tag.clone_into(&mut self.tag);
        }
        let start = parse_rfc3339(time.as_bytes()).map_err(|error| Fault::Damaged(error.to_string()))?.0;
        form::decode(text, &mut self.bytes)?;
        let length = match field.strip_prefix('l').and_then(|length| length.parse().ok()) {
            Some(length) => length,
            None => form::read_entry(self.catalogue, Grain::Points, start, &self.bytes)?.length,
        };
        Ok(Standing { key: self.key.clone(), start, length })
    }
}

impl Rewrite {
    /// Takes back what stands in the windows that end by `complete`, and was not made.
    fn take_back(&mut self, complete: i64, sender: &mut Sender, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let complete = complete.min(self.range.1);
        if self.done < complete {
            let done = self.done;
            for of in self.metrics.iter_mut().flatten() {
                of.made.settle(if of.sessions.is_some() { done.saturating_sub(SESSION_MAX) } else { done });
            }
            (0..self.metrics.len()).try_for_each(|metric| self.take_back_of(metric, complete, sender, lease))?;
            self.reach(complete);
        }
        Ok(())
    }

    fn take_back_of(
        &mut self,
        metric: usize,
        complete: i64,
        sender: &mut Sender,
        lease: &mut dyn Lease,
    ) -> Result<(), WriteError> {
        // Sessions that were read before.
        let (mut gone, mut open) = (BTreeSet::new(), BTreeSet::new());
        for standing in self.sessions_of(metric).map(|sessions| std::mem::take(&mut sessions.open)).unwrap_or_default()
        {
            match self.judge(metric, &standing, complete) {
                Verdict::Stays => {}
                Verdict::Goes => drop(gone.insert(standing)),
                Verdict::Waits => drop(open.insert(standing)),
            }
        }
        self.sessions_of(metric).into_iter().for_each(|sessions| sessions.open.append(&mut open));
        self.remove(metric, &gone, sender, lease)?;
        let Some(of) = &self.metrics[metric] else { return Ok(()) };
        let (starts, are_sessions) = (self.starts(of, complete), of.sessions.is_some());
        if starts.0 >= starts.1 {
            return Ok(());
        }
        let bucket = sender.bucket.clone();
        let question = flux::standing(&bucket, &of.catalogue.name, starts, are_sessions);
        let mut before = BTreeSet::new();
        loop {
            // An answer that breaks off comes again: what is found twice is one.
            let (mut gone, mut open) = (BTreeSet::new(), BTreeSet::new());
            let Some(of) = &self.metrics[metric] else { return Ok(()) };
            let mut look = Look::at(&of.catalogue);
            let read = each_row(&mut sender.delivery, (&bucket, &question), Look::COLUMNS, lease, |row| {
                let standing = look.read(row)?;
                // What ended before is what was made, by this run or by an earlier one.
                let is_new = standing.end() > self.done;
                match self.judge(metric, &standing, complete) {
                    _ if !is_new => {}
                    Verdict::Goes => drop(gone.insert(standing)),
                    Verdict::Waits if are_sessions => drop(open.insert(standing)),
                    Verdict::Stays | Verdict::Waits => {}
                }
                Ok(if gone.len() < GONE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            self.sessions_of(metric).into_iter().for_each(|sessions| sessions.open.append(&mut open));
            // A server may refuse to have entries emptied that are as old as what it keeps.
            if gone == before {
                return Ok(());
            }
            self.remove(metric, &gone, sender, lease)?;
            if read.is_continue() {
                return Ok(());
            }
            before = gone;
        }
    }

    fn sessions_of(&mut self, metric: usize) -> Option<&mut Sessions> {
        self.metrics[metric].as_mut().and_then(|of| of.sessions.as_mut())
    }

    /// Takes points back: their roll-ups first, then the points, their entries last.
    fn remove(
        &mut self,
        metric: usize,
        gone: &BTreeSet<Standing>,
        sender: &mut Sender,
        lease: &mut dyn Lease,
    ) -> Result<(), WriteError> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut touches: Vec<Vec<Touch>> = self.metrics.iter().map(|_| Vec::new()).collect();
        let touch = |standing: &Standing| Touch { key: standing.key.clone(), start: standing.start, state: None };
        touches[metric].extend(gone.iter().map(touch));
        sender.bring_up_to_date(touches, lease)?;
        let bucket = sender.bucket.clone();
        let roll_ups = sender.metrics[metric].as_mut().and_then(|of| of.roll_ups.as_mut());
        let emptied = roll_ups.map(|roll_ups| roll_ups.take_emptied()).unwrap_or_default();
        for Emptied { measurement, key, time } in emptied {
            sender.delete_point((&form::roll_ups_of(&bucket), &measurement), (metric, &key), time, lease)?;
        }
        let mut batch = Batch::default();
        for standing in gone {
            self.delete_unmade(metric, standing, sender, lease)?;
            let of = self.metrics[metric].as_mut().expect("what stands there is of a metric that is made anew");
            let Standing { key, start, length } = standing;
            batch.push(NO_ROW, |out| of.entries.push(&form::series_tag(key), (*start, *length), None, out));
        }
        self.taken_back += gone.len() as u64;
        sender.write_aside(&bucket, &batch, lease)
    }

    /// Deletes the point of a window, unless one that was made has its place: groups that differ in type share a series, and sessions
    /// may share an end.
    fn delete_unmade(
        &mut self,
        metric: usize,
        standing: &Standing,
        sender: &mut Sender,
        lease: &mut dyn Lease,
    ) -> Result<(), WriteError> {
        let of = self.metrics[metric].as_ref().expect("what stands there is of a metric that is made anew");
        self.series.clear();
        of.keys.push_series(&groups_of(&standing.key), &mut self.scratch, &mut self.series);
        let time = self.point_time.of(standing.window());
        if self.made.contains_key(&point(&self.series, time)) {
            return Ok(());
        }
        let bucket = sender.bucket.clone();
        sender.delete_point((&bucket, &of.catalogue.name), (metric, &standing.key), time, lease)
    }

    /// Deletes what rows that are about to be written would leave standing of what they overwrite: a field that has become NULL,
    /// which is not written, and the point at a session's former end.
    fn look_before(&mut self, sender: &mut Sender, lease: &mut dyn Lease) -> Result<(), WriteError> {
        let looked_for = std::mem::take(&mut self.looked_for);
        (0..self.metrics.len()).try_for_each(|metric| self.look_before_of(metric, &looked_for, sender, lease))
    }

    fn look_before_of(
        &mut self,
        metric: usize,
        looked_for: &HashMap<Place, LookedFor>,
        sender: &mut Sender,
        lease: &mut dyn Lease,
    ) -> Result<(), WriteError> {
        let starts = || looked_for.values().filter(|row| row.metric == metric).map(|row| row.window.start.0);
        let (Some(first), Some(last)) = (starts().min(), starts().max()) else { return Ok(()) };
        let Some(of) = &self.metrics[metric] else { return Ok(()) };
        let bucket = sender.bucket.clone();
        let question = flux::standing(&bucket, &of.catalogue.name, (first, last.saturating_add(1)), true);
        let (mut lacking, mut moved) = (BTreeSet::new(), BTreeSet::new());
        let (mut look, mut form) = (Look::at(&of.catalogue), Form::of(&of.catalogue));
        let _ = each_row(&mut sender.delivery, (&bucket, &question), Look::COLUMNS, lease, |row| {
            let standing = look.read(row)?;
            let place = self.entry(metric, &standing.key, standing.start, standing.length);
            let Some(row) = looked_for.get(&place) else { return Ok(ControlFlow::Continue(())) };
            let entry = form::read_entry(look.catalogue, Grain::Points, standing.start, &look.bytes)?;
            let values = form.values(&entry)?;
            if self.ends_move(metric) && standing.window() != row.window {
                moved.insert(standing);
            } else if row.nulls.iter().any(|&field| values[field] != Value::Null) {
                lacking.insert(standing);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let name = of.catalogue.name.clone();
        for standing in &lacking {
            let time = self.point_time.of(standing.window());
            sender.delete_point((&bucket, &name), (metric, &standing.key), time, lease)?;
        }
        moved.iter().try_for_each(|standing| self.delete_unmade(metric, standing, sender, lease))
    }
}

impl InfluxWriter {
    /// Windows in `range` are made anew from now on, all of those that end after `made`.
    pub fn begin_rewriting(&mut self, range: (Timestamp, Timestamp), made: Option<Timestamp>) {
        let (sender, _) = self.courier.back();
        let catalogues = sender.metrics.iter().map(|of| of.as_ref().map(|of| of.catalogue.clone()));
        let WriterSettings { point_time, points_only, .. } = sender.settings;
        // Of points only there is nothing that could be asked what stands there.
        self.rewrite = (!points_only).then(|| Rewrite::new(range, made, point_time, catalogues));
    }

    /// Whether so much is remembered of what was made that it is to be compared soon.
    pub fn remembers_much(&self) -> bool {
        self.rewrite.as_ref().is_some_and(|rewrite| rewrite.made.len() >= rewrite.enough)
    }

    /// How many points were taken back that windows made anew have not.
    pub fn taken_back(&self) -> u64 {
        self.rewrite.as_ref().map_or(0, |rewrite| rewrite.taken_back)
    }

    /// Takes back what stands in the windows made anew that end by `complete`, and was not made. Their rows must all have been
    /// written.
    pub fn take_back(&mut self, complete: Timestamp, lease: &mut dyn Lease) -> Result<(), WriteError> {
        self.with_rewrite(|rewrite, sender| rewrite.take_back(complete.0, sender, lease))
    }

    /// What must be done before what waits is sent, where windows are made anew.
    pub(in crate::store::influx::writer) fn look_before(&mut self, lease: &mut dyn Lease) -> Result<(), WriteError> {
        match self.rewrite.as_ref().is_some_and(|rewrite| !rewrite.looked_for.is_empty()) {
            true => self.with_rewrite(|rewrite, sender| rewrite.look_before(sender, lease)),
            false => Ok(()),
        }
    }

    fn with_rewrite(
        &mut self,
        work: impl FnOnce(&mut Rewrite, &mut Sender) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let Some(mut rewrite) = self.rewrite.take() else { return Ok(()) };
        let done = self.with_sender(|sender| work(&mut rewrite, sender));
        self.rewrite = Some(rewrite);
        done
    }
}

#[cfg(test)]
mod tests;
