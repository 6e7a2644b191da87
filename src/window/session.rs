//! Session windows: `[first, last + gap)` of each group, found by the data.
//!
//! Whether two sessions join depends on what was finished in between, so the events of a group are taken in the order of
//! the stream: sessions are sharded by group, never by block, and every shard sees every run. An event first counts as
//! a session of its own, `[time, time + gap)`; it merges with the sessions of its group that it touches and that have
//! not finished by its watermark; only then is it judged late. Knows nothing of other metrics and of formats.
//!
//! This file is long because a session's whole life stands in one place: begun, joined, ended, revised, forgotten. Each of
//! these steps leaves the timers and slots as the next one expects them.

mod open;
pub mod saved;

use std::collections::VecDeque;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::aggregate::Accumulators;
use crate::metric::Metric;
use crate::time::{Duration, Timestamp, Window};
use crate::watermark::Run;
use crate::window::fold::Outcome;
use crate::window::key::groups_of;
use crate::window::open::{Change, Noted};
use crate::window::present::values_of;
use crate::window::table::hash_key;
use crate::window::timers::{Timer, Timers};
use crate::window::{Output, Partial, Projected, Query, Row, Selected};

/// Groups that are fetched ahead of their use.
const AHEAD: usize = 32;

/// When a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Silence that ends a session. Two sessions exactly one gap apart are one.
    pub gap: Duration,
    /// Sessions are cut at multiples of this since the epoch.
    pub longest: Option<Duration>,
}

impl Gap {
    /// The window of a session and the segment that it must stay in, by its first and last event.
    pub(in crate::window) fn window(self, first: Timestamp, last: Timestamp) -> Window {
        let end = last.0.saturating_add(self.gap.0);
        let cut = match self.longest {
            Some(longest) => end.min((self.segment(first) + 1).saturating_mul(longest.0)),
            None => end,
        };
        Window::new(first, Timestamp(cut))
    }

    fn segment(self, time: Timestamp) -> i64 {
        self.longest.map_or(0, |longest| time.0.div_euclid(longest.0))
    }

    /// Whether two sessions, given by first and last event, are one.
    pub(in crate::window) fn joins(self, a: (Timestamp, Timestamp), b: (Timestamp, Timestamp)) -> bool {
        self.segment(a.0) == self.segment(b.0)
            && a.0.0 <= b.1.0.saturating_add(self.gap.0)
            && b.0.0 <= a.1.0.saturating_add(self.gap.0)
    }
}

/// A row that an event of the stream caused, with its place in the stream.
#[derive(Debug)]
pub struct Revision {
    /// Position of the event.
    pub position: u64,
    /// The operator's watermark before the event: windows up to it are written first.
    pub operator: Timestamp,
    /// The row.
    pub output: Output,
}

/// The sessions of the groups of one shard.
#[derive(Debug)]
pub struct Shard {
    metric: usize,
    partials: bool,
    index: HashTable<u32>,
    groups: Vec<Group>,
    groups_free: Vec<u32>,
    accumulators: Accumulators,
    slots_free: Vec<u32>,
    /// Each at or before the time at which its session ends or, once it has fired, can be forgotten. A session that grows
    /// keeps its timer, which is set anew when it runs out. Timers may be stale.
    timers: Timers,
    due: Vec<Timer>,
    sessions_made: u64,
    open: u32,
    /// How events have changed `open` since it was last asked for, and when what they retired could be forgotten.
    changes: Vec<Change>,
    retired: Vec<Timestamp>,
    /// Rows to fold, and the slots that they go to.
    rows: Vec<u32>,
    slots: Vec<u32>,
    /// Sessions that ended and then changed, all before they could be asked for: written when the watermark asks.
    ended: Vec<(Window, Output)>,
    /// Rows of sessions that were fired ahead, by end, start and group.
    ahead: VecDeque<Output>,
    revisions: Vec<Revision>,
}

/// Nearly every group has one session and a short key: then all of it stands in one place.
#[derive(Debug, Default)]
struct Group {
    hash: u64,
    key: SmallVec<[u8; 24]>,
    sessions: SmallVec<[Session; 1]>,
}

#[derive(Debug, Clone)]
struct Session {
    id: u64,
    first: Timestamp,
    last: Timestamp,
    window: Window,
    slot: u32,
    events: u64,
    /// How many there were when it was last written early.
    early: u64,
    /// The watermark before the event that it begins with: earlier sessions that had finished by then are none of its own.
    judged: Timestamp,
    /// A partial of it was sent. A merger may forget it before its new end comes, so whatever joins it is sent at once.
    sent: bool,
    /// The watermark has reached its end, and its row was written.
    fired: bool,
    /// Rows written of this window: the next one's revision.
    written: u32,
    /// Whether the last of them holds (passed `--having`).
    shown: bool,
    /// That row, where `--having` may take it back.
    row: Option<Box<Row>>,
}

/// One event, or the partial of a session, as it comes to a group.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    first: Timestamp,
    last: Timestamp,
    events: u64,
    /// Its own partition's watermark and the operator's, before it.
    own: Timestamp,
    operator: Timestamp,
    position: u64,
}

impl Shard {
    /// An empty shard of a metric.
    pub fn new(metric: usize, query: &Query, gap: Gap, partials: bool) -> Shard {
        Shard {
            metric,
            partials,
            index: HashTable::new(),
            groups: Vec::new(),
            groups_free: Vec::new(),
            accumulators: Accumulators::new(&query.functions),
            slots_free: Vec::new(),
            timers: Timers::new(gap.gap),
            due: Vec::new(),
            sessions_made: 0,
            open: 0,
            changes: Vec::new(),
            retired: Vec::new(),
            rows: Vec::new(),
            slots: Vec::new(),
            ended: Vec::new(),
            ahead: VecDeque::new(),
            revisions: Vec::new(),
        }
    }

    /// Sessions that are open, those that may still be revised included.
    pub fn open(&self) -> u64 {
        u64::from(self.open)
    }

    /// At most so many sessions were open at once since `settle`, those that may still be revised included.
    pub fn open_at_most(&self) -> u64 {
        let began = self.changes.iter().map(|change| change.by.max(0)).sum::<i64>();
        self.open_before() + began as u64
    }

    /// How many were open after each event since `settle`, which nothing must have fired since.
    pub fn noted(&self, query: &Query) -> Noted {
        let forget = |session: &Session| forgotten_at(session.window, query);
        let live = self.groups.iter().flat_map(|group| &group.sessions).map(forget);
        let forgets = live.chain(self.retired.iter().copied()).collect();
        Noted { before: self.open_before(), changes: self.changes.clone(), forgets }
    }

    /// Forgets how the number of open sessions came about.
    pub fn settle(&mut self) {
        self.changes.clear();
        self.retired.clear();
    }

    fn open_before(&self) -> u64 {
        let change: i64 = self.changes.iter().map(|change| change.by).sum();
        (i64::from(self.open) - change + self.retired.len() as i64) as u64
    }

    /// Takes the rows of a run whose groups belong to shard `shard` of `shards`.
    pub fn fold(
        &mut self,
        query: &Query,
        gap: Gap,
        (shard, shards): (usize, usize),
        (projected, selected, run): (&Projected, &Selected, &Run),
        nulled: &mut u64,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let is_own = |index: &usize| shard_of(selected.hash(*index), shards) == shard;
        let mut own = selected.within(&run.rows).filter(is_own);
        let mut next: SmallVec<[(usize, Option<u32>); AHEAD]> = SmallVec::new();
        loop {
            next.clear();
            next.extend(own.by_ref().take(AHEAD).map(|index| (index, None)));
            if next.is_empty() {
                break;
            }
            for (index, group) in &mut next {
                *group = self.likely_group(selected.hash(*index));
            }
            self.touch(next.iter().filter_map(|(_, group)| *group));
            for &(index, likely) in &next {
                self.take(query, gap, (projected, selected, run), (index, likely), &mut outcome, nulled);
            }
        }
        self.update(query, projected, nulled);
        outcome
    }

    /// Takes one event, the `index`-th selected row. `likely` is a guess at its group.
    fn take(
        &mut self,
        query: &Query,
        gap: Gap,
        (projected, selected, run): (&Projected, &Selected, &Run),
        (index, likely): (usize, Option<u32>),
        outcome: &mut Outcome,
        nulled: &mut u64,
    ) {
        let row = selected.rows[index];
        let time = projected.batch.times[row as usize];
        let arrival = Arrival {
            first: time,
            last: time,
            events: 1,
            own: run.own_before(row as usize, &projected.maximum),
            operator: run.operator_before(row as usize, &projected.maximum),
            position: run.position_of(row as usize),
        };
        let (key, hash) = (selected.key(index), selected.hash(index));
        // A group that was given up since has no sessions.
        let is_it = |group: &u32| {
            let group = &self.groups[*group as usize];
            group.key[..] == *key && !group.sessions.is_empty()
        };
        let group = likely.filter(is_it).unwrap_or_else(|| self.group(key, hash));
        match self.place(query, gap, group, arrival, &mut |shard| shard.update(query, projected, nulled)) {
            Some(slot) => {
                outcome.used += 1;
                self.rows.push(row);
                self.slots.push(slot);
                // A session that has fired is written again now, with this event in it.
                if query.allowed_lateness.0 > 0 {
                    self.update(query, projected, nulled);
                    self.revise(query, group, slot, arrival);
                }
            }
            None => {
                outcome.late += 1;
                outcome.late_rows.push(row);
                self.release_if_empty(group);
            }
        }
    }

    /// Takes the partial of a session, or of a part of one, whose state must have been checked to decode, and whose key this
    /// is. Whether it was not late.
    pub fn merge_partial(
        &mut self,
        query: &Query,
        gap: Gap,
        (partial, key): (&Partial, &[u8]),
        (own, operator, position): (Timestamp, Timestamp, u64),
    ) -> bool {
        let group = self.group(key, hash_key(key));
        let (first, last) = (partial.span.start, Timestamp(partial.span.end.0 - 1));
        let own = own.max(partial.judged);
        let arrival = Arrival { first, last, events: partial.events, own, operator, position };
        let Some(slot) = self.place(query, gap, group, arrival, &mut |_| {}) else {
            self.release_if_empty(group);
            return false;
        };
        let merged = self.accumulators.decode_into_group(slot, &partial.state);
        merged.expect("a partial is checked before it is merged");
        if query.allowed_lateness.0 > 0 {
            self.revise(query, group, slot, arrival);
        }
        true
    }

    /// Finds or makes the session that an arrival belongs to, and returns its slot; `None` if the arrival is late. `flush`
    /// folds what waits to be folded, before a session's values are needed.
    fn place(
        &mut self,
        query: &Query,
        gap: Gap,
        group: u32,
        arrival: Arrival,
        flush: &mut dyn FnMut(&mut Shard),
    ) -> Option<u32> {
        let lateness = query.allowed_lateness.0;
        let closed = |window: Window| window.end.0.saturating_add(lateness) <= arrival.own.0;
        let bounds = (arrival.first, arrival.last);
        if self.groups[group as usize].sessions.len() > 1 {
            self.retire(query, group, arrival.operator, flush);
        }
        // Nearly every event: its group has one session, which is open and grows.
        if let [session] = &mut self.groups[group as usize].sessions[..]
            && session.window.end > arrival.operator
            && !closed(session.window)
            && gap.joins((session.first, session.last), bounds)
        {
            if arrival.first < session.first {
                (session.first, session.judged) = (arrival.first, arrival.own);
            }
            session.last = session.last.max(arrival.last);
            session.window = gap.window(session.first, session.last);
            session.events += arrival.events;
            return Some(session.slot);
        }
        let joined: Vec<usize> = self.groups[group as usize]
            .sessions
            .iter()
            .enumerate()
            .filter(|(_, session)| gap.joins((session.first, session.last), bounds) && !closed(session.window))
            .map(|(index, _)| index)
            .collect();
        if joined.is_empty() {
            let window = gap.window(arrival.first, arrival.last);
            return (!closed(window)).then(|| self.begin(group, window, arrival));
        }
        // What ended by the operator's watermark is written as it was before this event.
        if joined.iter().any(|&index| {
            let session = &self.groups[group as usize].sessions[index];
            !session.fired && session.window.end <= arrival.operator
        }) {
            flush(self);
            for &index in &joined {
                self.end_before(query, group, index, arrival.operator);
            }
        }
        if joined.len() > 1 {
            flush(self);
        }
        Some(self.merge(query, gap, group, &joined, arrival))
    }

    /// Writes the sessions of a group that ended by the operator's watermark, as they wait for it to be asked for, and
    /// forgets those that can't be revised any more: a group keeps no more sessions than may still be joined.
    fn retire(&mut self, query: &Query, group: u32, operator: Timestamp, flush: &mut dyn FnMut(&mut Shard)) {
        let forgotten = |session: &Session| forgotten_at(session.window, query) <= operator;
        if !self.groups[group as usize].sessions.iter().any(forgotten) {
            return;
        }
        flush(self);
        for index in (0..self.groups[group as usize].sessions.len()).rev() {
            if forgotten(&self.groups[group as usize].sessions[index]) {
                self.end_before(query, group, index, operator);
                self.retired.push(forgotten_at(self.groups[group as usize].sessions[index].window, query));
                self.drop_session(group, index);
            }
        }
    }

    fn begin(&mut self, group: u32, window: Window, arrival: Arrival) -> u32 {
        let slot = match self.slots_free.pop() {
            Some(slot) => slot,
            None => self.accumulators.add_group(),
        };
        self.sessions_made += 1;
        self.open += 1;
        self.changes.push(Change { position: arrival.position, operator: arrival.operator, by: 1 });
        let id = self.sessions_made;
        self.groups[group as usize].sessions.push(Session {
            id,
            first: arrival.first,
            last: arrival.last,
            window,
            slot,
            events: arrival.events,
            early: 0,
            judged: arrival.own,
            sent: false,
            fired: false,
            written: 0,
            shown: false,
            row: None,
        });
        self.timers.set(Timer { time: window.end, group, session: id });
        slot
    }

    /// Marks a session that ended by `operator` as fired; its row waits for the watermark to be asked for.
    fn end_before(&mut self, query: &Query, group: u32, index: usize, operator: Timestamp) {
        let session = &self.groups[group as usize].sessions[index];
        if session.fired || session.window.end > operator {
            return;
        }
        let window = session.window;
        if let Some(output) = self.write(query, group, index) {
            self.ended.push((window, output));
        }
        let id = self.groups[group as usize].sessions[index].id;
        self.timers.set(Timer { time: forgotten_at(window, query), group, session: id });
    }

    /// Merges the joined sessions and the arrival into the first of them.
    fn merge(&mut self, query: &Query, gap: Gap, group: u32, joined: &[usize], arrival: Arrival) -> u32 {
        let sessions = &self.groups[group as usize].sessions;
        let first = joined.iter().map(|&i| sessions[i].first).min().unwrap_or(arrival.first).min(arrival.first);
        let begins = joined.iter().map(|&i| (sessions[i].first, sessions[i].judged));
        let (_, judged) = begins.min().filter(|begin| begin.0 <= arrival.first).unwrap_or((first, arrival.own));
        let last = joined.iter().map(|&i| sessions[i].last).max().unwrap_or(arrival.last).max(arrival.last);
        let window = gap.window(first, last);
        // A row written under other bounds no longer holds.
        let mut in_order = joined.to_vec();
        in_order.sort_unstable_by_key(|&index| sessions[index].window);
        for index in in_order {
            let session = &self.groups[group as usize].sessions[index];
            if session.window != window && session.shown {
                self.retract(query, group, index, arrival);
            }
        }
        let (kept, others) = joined.split_first().expect("a merge has at least one session");
        if !others.is_empty() {
            let by = -(others.len() as i64);
            self.changes.push(Change { position: arrival.position, operator: arrival.operator, by });
        }
        for &index in others.iter().rev() {
            let gone = self.groups[group as usize].sessions.remove(index);
            let target = &mut self.groups[group as usize].sessions[*kept];
            target.events += gone.events;
            target.sent |= gone.sent;
            // Of two sessions at most one has the merged bounds; its rows are the ones to be revised.
            if gone.window == window {
                (target.written, target.shown, target.fired) = (gone.written, gone.shown, gone.fired);
                (target.window, target.id, target.row) = (window, gone.id, gone.row);
            }
            let slot = target.slot;
            self.accumulators.merge_within(slot, gone.slot);
            self.accumulators.reset_group(gone.slot);
            self.slots_free.push(gone.slot);
            self.open -= 1;
        }
        let session = &mut self.groups[group as usize].sessions[*kept];
        session.events += arrival.events;
        (session.first, session.last, session.judged) = (first, last, judged);
        let (id, slot) = (session.id, session.slot);
        if session.window != window {
            // The timer of a session that has fired was used up.
            if session.fired {
                self.timers.set(Timer { time: window.end, group, session: id });
            }
            session.window = window;
            (session.fired, session.written, session.shown) = (false, 0, false);
        }
        slot
    }

    fn retract(&mut self, query: &Query, group: u32, index: usize, arrival: Arrival) {
        let row = self.row(query, group, index);
        let session = &mut self.groups[group as usize].sessions[index];
        session.shown = false;
        session.written += 1;
        let metric = metric_row(self.metric, session.window, row, session.written - 1, true);
        let Arrival { position, operator, .. } = arrival;
        self.revisions.push(Revision { position, operator, output: Output::Row(metric) });
    }

    /// Writes a session that ends at or before the operator's watermark again, now that an event has joined it.
    fn revise(&mut self, query: &Query, group: u32, slot: u32, arrival: Arrival) {
        let sessions = &self.groups[group as usize].sessions;
        let index = sessions.iter().position(|s| s.slot == slot).expect("an event was placed in one of them");
        if sessions[index].window.end > arrival.operator && !sessions[index].sent {
            return;
        }
        let Arrival { position, operator, .. } = arrival;
        if !sessions[index].fired {
            let forget = forgotten_at(sessions[index].window, query);
            self.timers.set(Timer { time: forget, group, session: sessions[index].id });
        }
        if let Some(output) = self.write(query, group, index) {
            self.revisions.push(Revision { position, operator, output });
        }
    }

    /// The next row of a session, which counts as fired from now on. `None` where `--having` never let it be seen.
    fn write(&mut self, query: &Query, group: u32, index: usize) -> Option<Output> {
        let session = &self.groups[group as usize].sessions[index];
        if self.partials {
            let mut state = Vec::new();
            self.accumulators.encode_group(session.slot, &mut state);
            let partial = Partial {
                metric: self.metric,
                span: Window::new(session.first, Timestamp(session.last.0 + 1)),
                first_end: session.window.end,
                judged: session.judged,
                groups: groups_of(&self.groups[group as usize].key),
                events: session.events,
                state,
            };
            // What was sent is not sent again: what comes later is another delta.
            self.accumulators.reset_group(session.slot);
            let session = &mut self.groups[group as usize].sessions[index];
            (session.fired, session.sent, session.events) = (true, true, 0);
            return (partial.events > 0).then_some(Output::Partial(partial));
        }
        let row = self.row(query, group, index);
        let shows = query.presentation.shows(&row);
        let session = &mut self.groups[group as usize].sessions[index];
        session.fired = true;
        if !shows && !session.shown {
            return None;
        }
        session.shown = shows;
        session.written += 1;
        // What is taken back is the row that was written.
        let row = match (shows, session.row.take()) {
            (false, Some(written)) => *written,
            _ => row,
        };
        if shows && query.presentation.having.is_some() && query.allowed_lateness.0 > 0 {
            session.row = Some(Box::new(row.clone()));
        }
        Some(Output::Row(metric_row(self.metric, session.window, row, session.written - 1, !shows)))
    }

    fn row(&self, query: &Query, group: u32, index: usize) -> Row {
        let group = &self.groups[group as usize];
        let session = &group.sessions[index];
        Row {
            groups: groups_of(&group.key),
            aggregates: values_of(&self.accumulators, session.slot, query.functions.len(), session.window),
            rank: None,
        }
    }

    /// Does the work of a `fire` that comes next. It can be done side by side with that of other shards.
    pub fn fire_ahead(&mut self, query: &Query, watermark: Timestamp) {
        let mut due = Vec::from(std::mem::take(&mut self.ahead));
        self.fire_due(query, watermark, &mut due);
        // A row is large, and so is moved once.
        due.sort_by_cached_key(Output::place);
        Output::sort(&mut due, |_| true);
        self.ahead = due.into();
    }

    /// Writes every session that ends by `watermark` and was not written yet, in no particular order.
    pub fn fire(&mut self, query: &Query, watermark: Timestamp, out: &mut Vec<Output>) {
        while let Some(output) = self.ahead.pop_front_if(|output| output.place().0 <= watermark) {
            out.push(output);
        }
        self.fire_due(query, watermark, out);
    }

    fn fire_due(&mut self, query: &Query, watermark: Timestamp, out: &mut Vec<Output>) {
        let mut kept = Vec::new();
        for (window, output) in self.ended.drain(..) {
            if window.end <= watermark {
                out.push(output);
            } else {
                kept.push((window, output));
            }
        }
        self.ended = kept;
        let mut due = std::mem::take(&mut self.due);
        self.timers.take(watermark, &mut due);
        for (number, &Timer { time, group, session: id }) in due.iter().enumerate() {
            if number % AHEAD == 0 {
                self.touch(due[number..].iter().take(AHEAD).map(|timer| timer.group));
            }
            let Some(index) = self.groups[group as usize].sessions.iter().position(|session| session.id == id) else {
                continue;
            };
            let window = self.groups[group as usize].sessions[index].window;
            // The session grew since the timer was set.
            if window.end > watermark {
                self.timers.set(Timer { time: window.end, group, session: id });
                continue;
            }
            if !self.groups[group as usize].sessions[index].fired {
                out.extend(self.write(query, group, index));
            }
            let forget = forgotten_at(window, query);
            if forget <= watermark {
                self.forget(group, index);
            } else if time < forget {
                self.timers.set(Timer { time: forget, group, session: id });
            }
        }
        due.clear();
        self.due = due;
    }

    fn forget(&mut self, group: u32, index: usize) {
        self.drop_session(group, index);
        self.release_if_empty(group);
    }

    fn drop_session(&mut self, group: u32, index: usize) {
        let session = self.groups[group as usize].sessions.swap_remove(index);
        self.accumulators.reset_group(session.slot);
        self.slots_free.push(session.slot);
        self.open -= 1;
    }

    /// Rows that events caused by themselves since the last call, in the order of the stream.
    pub fn take_revisions(&mut self) -> Vec<Revision> {
        std::mem::take(&mut self.revisions)
    }

    /// The first end of an open session, for `--why`.
    pub fn next_end(&self) -> Option<Timestamp> {
        let open = self.groups.iter().flat_map(|group| &group.sessions).filter(|session| !session.fired);
        open.map(|session| session.window.end).min()
    }

    fn update(&mut self, query: &Query, projected: &Projected, nulled: &mut u64) {
        if self.rows.is_empty() {
            return;
        }
        query.update(&mut self.accumulators, (&self.slots, &self.rows), projected, nulled);
        self.rows.clear();
        self.slots.clear();
    }

    /// A group of this hash: nearly always the one whose key has it.
    fn likely_group(&self, hash: u64) -> Option<u32> {
        self.index.find(hash, |&group| self.groups[group as usize].hash == hash).copied()
    }

    /// Looks at groups that are needed next, one straight after the other: they lie far apart in memory, and so are fetched
    /// side by side.
    fn touch(&self, groups: impl Iterator<Item = u32>) {
        let look = |group: u32| self.groups[group as usize].sessions.first().map_or(0, |session| session.id);
        std::hint::black_box(groups.map(look).fold(0, u64::wrapping_add));
    }

    fn group(&mut self, key: &[u8], hash: u64) -> u32 {
        let groups = &self.groups;
        let found = self.index.find(hash, |&g| groups[g as usize].hash == hash && groups[g as usize].key[..] == *key);
        if let Some(&group) = found {
            return group;
        }
        let made = Group { hash, key: SmallVec::from_slice(key), sessions: SmallVec::new() };
        let group = match self.groups_free.pop() {
            Some(group) => {
                self.groups[group as usize] = made;
                group
            }
            None => {
                self.groups.push(made);
                self.groups.len() as u32 - 1
            }
        };
        let groups = &self.groups;
        self.index.insert_unique(hash, group, |&g| groups[g as usize].hash);
        group
    }

    fn release_if_empty(&mut self, group: u32) {
        if !self.groups[group as usize].sessions.is_empty() {
            return;
        }
        let hash = self.groups[group as usize].hash;
        if let Ok(entry) = self.index.find_entry(hash, |&g| g == group) {
            entry.remove();
        }
        self.groups[group as usize] = Group::default();
        self.groups_free.push(group);
    }
}

/// The shard, of so many, to which a group belongs, by the hash of its key.
#[inline]
pub fn shard_of(hash: u64, shards: usize) -> usize {
    (hash >> 32) as usize % shards
}

/// From which watermark on nothing can join a session any more.
fn forgotten_at(window: Window, query: &Query) -> Timestamp {
    Timestamp(window.end.0.saturating_add(query.allowed_lateness.0))
}

fn metric_row(metric: usize, window: Window, row: Row, revision: u32, retracted: bool) -> Metric {
    Metric {
        metric,
        window,
        groups: row.groups,
        aggregates: row.aggregates,
        rank: None,
        revision,
        is_final: true,
        retracted,
        state: None,
    }
}

#[cfg(test)]
mod tests;
