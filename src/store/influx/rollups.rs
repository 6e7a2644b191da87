//! Roll-ups by hour and by day of one metric, made anew of the states of their points whenever one comes.
//!
//! The states of the points that came lately are kept in memory, by series and hour; of an hour that is not among them, as after a
//! start or in a backfill, those that are stored are read back first. A roll-up is always the merge of all its points, so
//! whoever writes the same points again writes the same roll-ups; a span of which no point is left has none. Of a day only the hours
//! that points came for are written, and what others have written of it is read anew with each new hour: a backfill and a live run
//! may write to one day.
//!
//! What is kept is bounded by `STATES_BYTES_MAX` as memory counts it: spans that were not used for longest go first, and are read
//! back when they are needed again, for all of it is stored. Where the spans of one portion of touches are too much, `take` says so,
//! and the caller takes smaller portions; a portion of one span is held whatever its size. Knows nothing of requests.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::aggregate::Accumulators;
use crate::codec::encode::line_protocol::MetricKeys;
use crate::metric::MetricSchema;
use crate::store::catalogue::{Catalogue, DAY, Grain, HOUR};
use crate::store::entry::Entry;
use crate::store::error::{Fault, Inner};
use crate::store::influx::batch::{Batch, NO_ROW};
use crate::store::influx::form::{self, PointTime};
use crate::store::payload::Form;
use crate::time::{Timestamp, Window};
use crate::value::Value;
use crate::window::key::groups_of;
use crate::window::present::values_of;

/// What the states kept may take, over the series of one metric.
const STATES_BYTES_MAX: usize = 48 << 20;

/// Where there was too much, so much is kept, that not each touch makes room anew.
const fn kept_of(bytes_max: usize) -> usize {
    bytes_max / 4 * 3
}

/// What a state takes beside its bytes: its place in a tree whose nodes are half full, and what the allocator adds.
const STATE_BYTES: usize = 2 * size_of::<(i64, Box<[u8]>)>() + 16;

/// What a span takes beside its key and its states: its place in a table of which a part is empty, an empty tree's node, the
/// allocator's share.
const SPAN_BYTES: usize = 2 * size_of::<((Box<[u8]>, i64), States)>() + 64;

/// A point that was written, or that goes.
#[derive(Debug, Clone)]
pub(crate) struct Touch {
    /// Its series' key.
    pub key: Box<[u8]>,
    /// Start of its window.
    pub start: i64,
    /// Its partial; `None` of one that goes.
    pub state: Option<Box<[u8]>>,
}

/// Where stored states are to be read from: a span of time, and the series' tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The measurement.
    pub measurement: String,
    /// Whether it is one of the bucket of roll-ups.
    pub is_rolled_up: bool,
    /// The field.
    pub field: String,
    /// Start and end, in microseconds.
    pub span: (i64, i64),
    /// The series.
    pub tags: BTreeSet<String>,
}

/// A roll-up for everybody of which there are no points any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emptied {
    /// Its measurement.
    pub measurement: String,
    /// Its series' key.
    pub key: Box<[u8]>,
    /// The time of its point.
    pub time: i64,
}

/// The states of the points, or hours, of a series in a span.
type Spans = HashMap<(Box<[u8]>, i64), States>;

/// States by the start of what they are of.
#[derive(Debug, Default)]
struct States {
    by_start: BTreeMap<i64, Box<[u8]>>,
    /// Hours from the span's start that this writer has points of, as bits: nobody else is taken to write these meanwhile.
    own: u32,
    /// When it was used last.
    used: u64,
    /// What its states take.
    bytes: usize,
}

impl States {
    /// Puts a state in, in place of the one that is there. Gives what the states took before.
    fn put(&mut self, start: i64, state: Box<[u8]>) -> usize {
        let before = self.bytes;
        self.bytes += state.len() + STATE_BYTES;
        if let Some(old) = self.by_start.insert(start, state) {
            self.bytes -= old.len() + STATE_BYTES;
        }
        before
    }

    /// Takes a state out. Gives what the states took before.
    fn take_out(&mut self, start: i64) -> usize {
        let before = self.bytes;
        if let Some(old) = self.by_start.remove(&start) {
            self.bytes -= old.len() + STATE_BYTES;
        }
        before
    }

    /// Keeps the states whose start is fine. Gives what the states took before.
    fn keep(&mut self, is_kept: impl Fn(i64) -> bool) -> usize {
        let before = self.bytes;
        let bytes = &mut self.bytes;
        self.by_start.retain(|start, state| {
            let is_kept = is_kept(*start);
            *bytes -= if is_kept { 0 } else { state.len() + STATE_BYTES };
            is_kept
        });
        before
    }

    /// What it takes with its key.
    fn size(&self, key: &[u8]) -> usize {
        self.bytes + key.len() + SPAN_BYTES
    }
}

/// Makes the roll-ups of one metric.
#[derive(Debug)]
pub(crate) struct RollUps {
    catalogue: Catalogue,
    form: Form,
    point_time: PointTime,
    /// Of what points are merged to: hours, or days where there are no hours.
    unit: i64,
    has_hours: bool,
    length: i64,
    /// For everybody: of hours, of days.
    hour_keys: MetricKeys,
    day_keys: MetricKeys,
    merged: Accumulators,
    /// Points by series and span.
    points: Spans,
    /// Hours by series and day.
    hours: Spans,
    /// What both take.
    bytes: usize,
    bytes_max: usize,
    round: u64,
    emptied: Vec<Emptied>,
}

impl RollUps {
    /// The roll-ups of a metric; `None` where it has none.
    pub fn of(catalogue: &Catalogue, point_time: PointTime) -> Option<RollUps> {
        let has_hours = catalogue.has(Grain::Hour);
        if !has_hours && !catalogue.has(Grain::Day) {
            return None;
        }
        let kept = || (0..catalogue.fields.len()).filter(|field| catalogue.keeps_state(*field));
        let keys = |suffix: &str| {
            let schema = MetricSchema {
                name: format!("{}.{suffix}", catalogue.name),
                groups: catalogue.groups.clone(),
                aggregates: kept().map(|field| catalogue.fields[field].name.clone()).collect(),
                ranked: false,
            };
            let counts: Vec<bool> = kept().map(|field| catalogue.fields[field].function.is_count()).collect();
            MetricKeys::new(&schema, &counts)
        };
        let mut merged = Accumulators::new(&catalogue.states());
        merged.add_group();
        Some(RollUps {
            form: Form::of(catalogue),
            point_time,
            unit: if has_hours { HOUR } else { DAY },
            has_hours,
            length: catalogue.length().expect("a metric with roll-ups is tumbling").0,
            hour_keys: keys("1h"),
            day_keys: keys("1d"),
            catalogue: catalogue.clone(),
            merged,
            points: HashMap::new(),
            hours: HashMap::new(),
            bytes: 0,
            bytes_max: STATES_BYTES_MAX,
            round: 0,
            emptied: Vec::new(),
        })
    }

    /// Puts touches in the order in which portions are cut from them. Gives where each span begins: the least that a portion may be.
    pub fn order(&self, touches: &mut [Touch]) -> Vec<usize> {
        let span = |touch: &Touch| touch.start - touch.start.rem_euclid(self.unit);
        touches.sort_by(|a, b| (&a.key, span(a)).cmp(&(&b.key, span(b))));
        let is_first = |at: &usize| {
            let is_same = |before: &Touch| before.key == touches[*at].key && span(before) == span(&touches[*at]);
            at.checked_sub(1).is_none_or(|before| !is_same(&touches[before]))
        };
        (0..touches.len()).filter(is_first).collect()
    }

    /// What must be read back before these touches can be applied: each is then to be given to `take`, row by row.
    pub fn missing(&mut self, touches: &[Touch]) -> Vec<Missing> {
        self.round += 1;
        let field = form::length_field(self.length);
        let points = missing(&mut self.points, touches, self.unit, self.round, &mut self.bytes);
        let points = points.into_iter().map(|(span, tags)| Missing {
            measurement: form::points_measurement(&self.catalogue.name),
            is_rolled_up: false,
            field: field.clone(),
            span,
            tags,
        });
        let mut all: Vec<Missing> = points.collect();
        if self.has_hours {
            let days = missing(&mut self.hours, touches, DAY, self.round, &mut self.bytes).into_iter();
            all.extend(days.map(|(span, tags)| Missing {
                measurement: form::roll_ups_measurement(&self.catalogue.name),
                is_rolled_up: true,
                field: form::HOUR_FIELD.to_owned(),
                span,
                tags,
            }));
        }
        all
    }

    /// Takes a stored text of what `missing` named: of the series with this tag, at this time in microseconds. False where memory has
    /// no room for what `missing` named.
    pub fn take(&mut self, missing: &Missing, tag: &str, time: i64, text: &str) -> Inner<bool> {
        let key: Box<[u8]> = form::key_of_tag(tag)?.into();
        let mut bytes = Vec::new();
        if !form::decode(text, &mut bytes)? {
            return Ok(true);
        }
        let (grain, states) = match missing.is_rolled_up {
            true => (Grain::Hour, self.hours.get_mut(&(key, time - time.rem_euclid(DAY)))),
            false => (Grain::Points, self.points.get_mut(&(key, time - time.rem_euclid(self.unit)))),
        };
        // Others may lie between those that were asked for.
        let Some(states) = states.filter(|states| states.used == self.round) else { return Ok(true) };
        let entry = form::read_entry(&self.catalogue, grain, time, &bytes)?;
        if let Some(state) = self.form.state(grain, &entry)?.filter(|_| entry.is_final) {
            // What is in memory is of this writer's own hours, and at least as new.
            if !states.by_start.contains_key(&entry.start) {
                let before = states.put(entry.start, state.into());
                self.bytes += states.bytes - before;
            }
        }
        if self.bytes > self.bytes_max {
            self.make_room(Some(self.round));
        }
        Ok(self.bytes <= self.bytes_max)
    }

    /// Forgets what these touches need: it was not read to its end, and what is half known would be taken for the whole.
    pub fn let_go(&mut self, touches: &[Touch]) {
        for Touch { key, start, .. } in touches {
            for (spans, length) in [(&mut self.points, self.unit), (&mut self.hours, DAY)] {
                if let Some(states) = spans.remove(&(key.clone(), start - start.rem_euclid(length))) {
                    self.bytes -= states.size(key);
                }
            }
        }
    }

    /// Forgets all: others may write from now on.
    pub fn forget(&mut self) {
        self.points = Spans::new();
        self.hours = Spans::new();
        self.bytes = 0;
    }

    /// Appends the lines of all roll-ups that these touches change. Nothing that they need is missing any more.
    pub fn apply(&mut self, touches: &[Touch], out: &mut Batch) -> Inner<()> {
        let mut spans: BTreeSet<(&[u8], i64)> = BTreeSet::new();
        for Touch { key, start, state } in touches {
            let span = start - start.rem_euclid(self.unit);
            let states = self.points.get_mut(&(key.clone(), span)).ok_or_else(lost)?;
            let before = match state {
                Some(state) => states.put(*start, state.clone()),
                None => states.take_out(*start),
            };
            self.bytes = self.bytes + states.bytes - before;
            spans.insert((key, span));
        }
        let spans: Vec<(&[u8], i64)> = spans.into_iter().collect();
        let mut state = Vec::new();
        for of_day in spans.chunk_by(|a, b| a.0 == b.0 && a.1.div_euclid(DAY) == b.1.div_euclid(DAY)) {
            let (key, first) = of_day[0];
            let day = first - first.rem_euclid(DAY);
            let tag = form::series_tag(key);
            let groups = groups_of(key);
            for (_, span) in of_day {
                let states = self.points.get(&(key.into(), *span)).ok_or_else(lost)?;
                let is_empty = states.by_start.is_empty();
                merge(&mut self.merged, states)?;
                state.clear();
                self.merged.encode_group(0, &mut state);
                let (grain, length) = if self.has_hours { (Grain::Hour, HOUR) } else { (Grain::Day, DAY) };
                let entry = Some(roll_up(*span, length, &state)).filter(|_| !is_empty);
                out.push(NO_ROW, |out| form::push_roll_up(&self.catalogue, &tag, (grain, *span), entry.as_ref(), out));
                if self.has_hours {
                    let hours = self.hours.get_mut(&(key.into(), day)).ok_or_else(lost)?;
                    let before = match is_empty {
                        true => hours.take_out(*span),
                        false => hours.put(*span, state.as_slice().into()),
                    };
                    self.bytes = self.bytes + hours.bytes - before;
                    self.push_plain((key, &groups), (*span, HOUR), is_empty, out);
                }
            }
            let of_day = if self.has_hours { &self.hours } else { &self.points };
            let states = of_day.get(&(key.into(), day)).ok_or_else(lost)?;
            merge(&mut self.merged, states)?;
            let is_empty = states.by_start.is_empty();
            self.push_plain((key, &groups), (day, DAY), is_empty, out);
        }
        if self.bytes > self.bytes_max {
            self.make_room(None);
        }
        Ok(())
    }

    /// The roll-ups for everybody that are to be deleted, since this was asked last.
    pub fn take_emptied(&mut self) -> Vec<Emptied> {
        std::mem::take(&mut self.emptied)
    }

    /// Appends the line for everybody of the roll-up that was merged, or has it deleted.
    fn push_plain(
        &mut self,
        (key, groups): (&[u8], &[Value]),
        (start, length): (i64, i64),
        is_empty: bool,
        out: &mut Batch,
    ) {
        let (keys, suffix) = if length == HOUR { (&self.hour_keys, "1h") } else { (&self.day_keys, "1d") };
        if is_empty {
            let window = Window::new(Timestamp(start), Timestamp(start + length));
            let measurement = format!("{}.{suffix}", self.catalogue.name);
            self.emptied.push(Emptied { measurement, key: key.into(), time: self.point_time.of(window) });
        } else {
            push_line(keys, (start, length), self.point_time, groups, &self.merged, out);
        }
    }

    /// Lets go of the spans that were not used for longest, but of none that was used in the round `spared`.
    fn make_room(&mut self, spared: Option<u64>) {
        let all = self.points.iter().chain(&self.hours);
        let spans = all.filter(|(_, states)| Some(states.used) != spared);
        let mut by_use: BTreeMap<u64, usize> = BTreeMap::new();
        for ((key, _), states) in spans {
            *by_use.entry(states.used).or_default() += states.size(key);
        }
        let (mut left, mut last_let_go) = (self.bytes, None);
        for (used, bytes) in by_use {
            if left <= kept_of(self.bytes_max) {
                break;
            }
            left -= bytes;
            last_let_go = Some(used);
        }
        let Some(last_let_go) = last_let_go else { return };
        for spans in [&mut self.points, &mut self.hours] {
            spans.retain(|_, states| states.used > last_let_go);
            spans.shrink_to_fit();
        }
        self.bytes = left;
    }
}

/// The spans of this length of which touches are the first in an hour, neighbours as one, with their series; in memory there is
/// nothing of their other hours from now on but what this writer has written.
fn missing(
    known: &mut Spans,
    touches: &[Touch],
    length: i64,
    round: u64,
    bytes: &mut usize,
) -> Vec<((i64, i64), BTreeSet<String>)> {
    let mut spans: BTreeMap<i64, BTreeSet<&[u8]>> = BTreeMap::new();
    for Touch { key, start, .. } in touches {
        let span = start - start.rem_euclid(length);
        let hour = |start: i64| 1_u32 << ((start - span) / HOUR);
        let states = known.entry((key.clone(), span)).or_insert_with(|| {
            let states = States::default();
            *bytes += states.size(key);
            states
        });
        states.used = round;
        if states.own & hour(*start) == 0 {
            let own = states.own;
            *bytes -= states.keep(|start| own & hour(start) != 0) - states.bytes;
            states.own |= hour(*start);
            spans.entry(span).or_default().insert(key);
        }
    }
    let mut found: Vec<((i64, i64), BTreeSet<String>)> = Vec::new();
    for (span, keys) in spans {
        let tags = keys.into_iter().map(form::series_tag);
        match found.last_mut().filter(|((_, end), _)| *end == span) {
            Some(((_, end), known)) => {
                *end += length;
                known.extend(tags);
            }
            None => found.push(((span, span + length), tags.collect())),
        }
    }
    found
}

/// Merges states, in place of what `merged` held.
fn merge(merged: &mut Accumulators, states: &States) -> Inner<()> {
    merged.reset_group(0);
    for state in states.by_start.values() {
        merged.decode_into_group(0, state)?;
    }
    Ok(())
}

/// Appends a roll-up's line for everybody.
fn push_line(
    keys: &MetricKeys,
    (start, length): (i64, i64),
    point_time: PointTime,
    groups: &[Value],
    merged: &Accumulators,
    out: &mut Batch,
) {
    let window = Window::new(Timestamp(start), Timestamp(start + length));
    let values = values_of(merged, 0, merged.functions().len(), window);
    let Some(time) = form::nanoseconds(point_time.of(window)) else { return };
    out.push(NO_ROW, |out| {
        let mut scratch = Vec::new();
        keys.push_series(groups, &mut scratch, out);
        keys.push_fields(&values, time, &mut scratch, out)
    });
}

fn roll_up(start: i64, length: i64, state: &[u8]) -> Entry<'_> {
    Entry { start, length, revision: 0, rank: None, is_final: true, has_state: true, payload: state }
}

fn lost() -> Fault {
    Fault::Damaged("the states of a span are not in memory".into())
}

#[cfg(test)]
mod tests;
