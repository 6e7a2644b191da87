//! Rows that wait to be sent, as the lines that they become: of each point the newest revision only.
//!
//! Knows nothing of requests, and of when what waits is sent.

use std::ops::Range;

use hashbrown::{HashTable, hash_table};

use crate::codec::encode::line_protocol::MetricKeys;
use crate::metric::Metric;
use crate::store::catalogue::{Catalogue, Grain};
use crate::store::entry::{Entry, key_of};
use crate::store::influx::batch::Batch;
use crate::store::influx::deliver::WriteError;
use crate::store::influx::form::{self, EntryLines, PointTime};
use crate::store::influx::rollups::RollUps;
use crate::store::influx::tags::Tags;
use crate::store::influx::writer::{RejectedPoint, WriterSettings};
use crate::store::payload::Form;
use crate::time::Window;
use crate::value::Value;
use crate::window::key;

/// So many rows are enough for one load, or lines of such a length.
const ROWS_MANY: usize = 20_000;
const BYTES_MANY: usize = 8 << 20;

/// How rows of one metric become lines.
#[derive(Debug)]
struct Encoding {
    keys: MetricKeys,
    form: Form,
    entries: EntryLines,
    has_roll_ups: bool,
    tags: Tags,
}

/// A row that waits. Its bytes stand in the text of those that wait with it.
#[derive(Debug)]
pub(crate) struct WaitingRow {
    pub metric: usize,
    /// Its number among all rows, from 1.
    pub number: u64,
    pub window: Window,
    key: Range<usize>,
    /// The point's line; empty where there is none.
    line: Range<usize>,
    entry: Range<usize>,
    /// For the roll-ups.
    state: Option<Range<usize>>,
    /// Entries of other windows whose points stand at the same time, and came before.
    aside: Vec<u8>,
    /// The point that stands there must go first.
    pub deletes: bool,
    /// A newer one of its point has come.
    is_replaced: bool,
}

impl WaitingRow {
    /// Of the point that it is.
    fn hash(&self, text: &[u8], point_time: PointTime) -> u64 {
        let time = point_time.of(self.window);
        let key = rapidhash::v3::rapidhash_v3(&text[self.key.clone()]);
        key ^ (time as u64 ^ self.metric as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// The same row, to wait anew with these entries aside.
    fn again(&self, aside: Vec<u8>) -> WaitingRow {
        let WaitingRow { metric, number, window, deletes, .. } = *self;
        let (key, line, entry, state) = (self.key.clone(), self.line.clone(), self.entry.clone(), self.state.clone());
        WaitingRow { metric, number, window, key, line, entry, state, aside, deletes, is_replaced: false }
    }

    /// Whether both are the same point.
    fn is_of(&self, other: &WaitingRow, text: &[u8], point_time: PointTime) -> bool {
        let time = |one: &WaitingRow| point_time.of(one.window);
        self.metric == other.metric && time(self) == time(other) && text[self.key.clone()] == text[other.key.clone()]
    }
}

/// What is sent at once: rows, and their lines.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// In the order in which they came.
    pub rows: Vec<WaitingRow>,
    text: Vec<u8>,
    /// Each line with its row's place.
    pub batch: Batch,
    /// By line, whether it is an entry.
    pub are_entries: Vec<bool>,
}

impl Load {
    /// What tells the group of a row apart.
    pub fn key(&self, row: &WaitingRow) -> &[u8] {
        &self.text[row.key.clone()]
    }

    /// What a row brings to the roll-ups.
    pub fn state(&self, row: &WaitingRow) -> Option<&[u8]> {
        row.state.clone().map(|state| &self.text[state])
    }

    fn push(&mut self, row: usize, line: &[u8], is_entry: bool) {
        if !line.is_empty() {
            self.are_entries.push(is_entry);
            self.batch.push(row as u32, |out| {
                out.extend_from_slice(line);
                true
            });
        }
    }

    fn clear(&mut self) {
        let Load { rows, text, batch, are_entries } = self;
        rows.clear();
        text.clear();
        batch.clear();
        are_entries.clear();
    }
}

/// The rows that wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    settings: WriterSettings,
    /// By `Metric::metric`.
    metrics: Vec<Option<Encoding>>,
    /// As they came.
    rows: Vec<WaitingRow>,
    text: Vec<u8>,
    /// Where in `rows` the newest of each metric, group and time of the point stands.
    places: HashTable<usize>,
    /// How many rows have come so far.
    count: u64,
    scratch: Vec<u8>,
    /// What an earlier load has left: its memory.
    spare: Load,
}

impl Waiting {
    /// Of these metrics by `Metric::metric`.
    pub fn new(catalogues: &[Option<Catalogue>], settings: WriterSettings) -> Waiting {
        let encoding = |catalogue: &Catalogue| {
            let counts: Vec<bool> = catalogue.fields.iter().map(|field| field.function.is_count()).collect();
            Encoding {
                keys: MetricKeys::new(&catalogue.schema(), &counts),
                form: Form::of(catalogue),
                entries: EntryLines::of(catalogue),
                has_roll_ups: !settings.points_only && RollUps::of(catalogue, settings.point_time).is_some(),
                tags: Tags::default(),
            }
        };
        Waiting {
            settings,
            metrics: catalogues.iter().map(|catalogue| catalogue.as_ref().map(encoding)).collect(),
            rows: Vec::new(),
            text: Vec::new(),
            places: HashTable::new(),
            count: 0,
            scratch: Vec::new(),
            spare: Load::default(),
        }
    }

    /// By metric: whether its rows must carry their state.
    pub fn keeps_states(&self) -> Vec<bool> {
        let keeps = |of: &Encoding| !self.settings.points_only && of.form.has_states();
        self.metrics.iter().map(|of| of.as_ref().is_some_and(keeps)).collect()
    }

    /// Takes a row, or gives it back as a point that can't be written. Early ones are passed over.
    pub fn push(&mut self, row: &Metric) -> Result<Option<RejectedPoint>, WriteError> {
        let Some(of) = self.metrics[row.metric].as_mut().filter(|_| row.is_final) else { return Ok(None) };
        self.count += 1;
        let number = self.count;
        let text = &mut self.text;
        // What is appended from here on goes again where the row can't be written.
        let begin = text.len();
        key::push_key(&row.groups, text);
        let key = begin..text.len();
        let time = form::nanoseconds(self.settings.point_time.of(row.window));
        of.keys.push_series(&row.groups, &mut self.scratch, text);
        let is_taken = of.tags.is_taken(&row.groups, &text[key.end..], &text[key.clone()]);
        let has_fields = time.is_some_and(|time| of.keys.push_fields(&row.aggregates, time, &mut self.scratch, text));
        if is_taken || time.is_none() || form::nanoseconds(row.window.start.0).is_none() {
            let words = match is_taken {
                true => "its tags are those of another group, which differs in type only: a tag is a text",
                false => "its window is outside of the years 1677 to 2262",
            };
            let rejected = RejectedPoint { number, line: text[key.end..].to_vec(), words: words.to_owned() };
            text.truncate(begin);
            return Ok(Some(rejected));
        }
        if row.retracted || !has_fields {
            text.truncate(key.end);
        }
        let line = key.end..text.len();
        let mut state = None;
        if !self.settings.points_only {
            let tag = form::series_tag(&text[key.clone()]);
            let (start, length) = key_of(row.window);
            if row.retracted {
                of.entries.push(&tag, (start, length), None, text);
            } else {
                let payload = &mut self.scratch;
                payload.clear();
                let written = of.form.write(row, payload);
                let has_state = written.map_err(|fault| WriteError::damaged("a row", fault))?;
                let (revision, rank) = (row.revision, row.rank);
                let stored = Entry { start, length, revision, rank, is_final: true, has_state, payload };
                of.entries.push(&tag, (start, length), Some(&stored), text);
                if of.has_roll_ups {
                    let of_row = of.form.state(Grain::Points, &stored);
                    state = of_row.map_err(|fault| WriteError::damaged("a row", fault))?;
                }
            }
        }
        let entry = line.end..text.len();
        let state = state.map(|state| {
            text.extend_from_slice(state);
            entry.end..text.len()
        });
        let new = WaitingRow {
            metric: row.metric,
            number,
            window: row.window,
            key,
            line,
            entry,
            state,
            aside: Vec::new(),
            // Fields merge: one that is NULL by now would stay as it was.
            deletes: row.retracted || (row.revision > 0 && row.aggregates.contains(&Value::Null)),
            is_replaced: false,
        };
        self.put(new, row.retracted);
        Ok(None)
    }

    /// Has a row wait, in place of an older one of its point.
    fn put(&mut self, mut new: WaitingRow, is_retracted: bool) {
        let point_time = self.settings.point_time;
        let Waiting { rows, text, places, metrics, .. } = self;
        let is_same = |place: &usize| rows[*place].is_of(&new, text, point_time);
        let hash_at = |place: &usize| rows[*place].hash(text, point_time);
        match places.entry(new.hash(text, point_time), is_same, hash_at) {
            hash_table::Entry::Vacant(place) => drop(place.insert(rows.len())),
            hash_table::Entry::Occupied(mut place) => {
                let before = std::mem::replace(place.get_mut(), rows.len());
                let before = &mut rows[before];
                before.is_replaced = true;
                let aside = std::mem::take(&mut before.aside);
                let windows = (key_of(before.window), key_of(new.window));
                let deletes = before.deletes | new.deletes;
                if windows.0 != windows.1 && is_retracted {
                    // Another window with its point at the same time, which is the newer.
                    let taken_back = &text[new.entry.clone()];
                    new = before.again([&aside, taken_back].concat());
                } else {
                    // What becomes of another window's entry must be said, too.
                    let entries = metrics[new.metric].as_ref().map(|of| &of.entries);
                    let is_told = entries.is_some_and(|entries| entries.share_place(windows.0, windows.1));
                    let other = if is_told { &[][..] } else { &text[before.entry.clone()] };
                    new.aside = [&aside, other].concat();
                }
                new.deletes = deletes;
            }
        }
        self.rows.push(new);
    }

    /// Whether any row waits.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there are enough for a load.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MANY || self.text.len() >= BYTES_MANY
    }

    /// All that waits, which then waits no longer.
    pub fn take(&mut self) -> Load {
        self.places.clear();
        let mut load = std::mem::take(&mut self.spare);
        std::mem::swap(&mut load.rows, &mut self.rows);
        std::mem::swap(&mut load.text, &mut self.text);
        load.rows.retain(|row| !row.is_replaced);
        let (rows, text) = (std::mem::take(&mut load.rows), std::mem::take(&mut load.text));
        for (place, row) in rows.iter().enumerate() {
            load.push(place, &text[row.line.clone()], false);
            row.aside.split_inclusive(|&byte| byte == b'\n').for_each(|line| load.push(place, line, true));
            load.push(place, &text[row.entry.clone()], true);
        }
        Load { rows, text, ..load }
    }

    /// Forgets all that waits.
    pub fn clear(&mut self) {
        let load = self.take();
        self.reuse(load);
    }

    /// Gives the memory of a load back.
    pub fn reuse(&mut self, mut load: Load) {
        load.clear();
        self.spare = load;
    }
}
