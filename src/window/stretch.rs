//! Stretches of sessions: consecutive events of one group, each of which joined the session of those before it.
//!
//! Whether a session takes an event depends on what was finished in between, and of that the first of two stages knows only
//! what came since its last piece. So it never decides. It puts events together as long as there is no question that they are of one
//! session, and sends each such stretch with the watermark before its first event; the pieces of a group stand in the order of the
//! stream, and the merger takes each as if its events came one by one.
//!
//! That this is the same holds because an event only joins a stretch that is open by itself, at or after its first event:
//! an older session that the event touches is then touched by the first event too, and was judged with it; a younger one ends later
//! than the stretch, and so is open. Knows nothing of whole sessions.

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::aggregate::Accumulators;
use crate::time::{Timestamp, Window};
use crate::watermark::Run;
use crate::window::combine::Piece;
use crate::window::fold::Outcome;
use crate::window::session::{Gap, shard_of};
use crate::window::{Projected, Query, Selected};

/// The open stretches of the groups of one shard.
#[derive(Debug)]
pub struct Stretches {
    metric: usize,
    gap: Gap,
    index: HashTable<u32>,
    open: Vec<Stretch>,
    accumulators: Accumulators,
    /// Rows to fold, and the stretches that they go to.
    rows: Vec<u32>,
    slots: Vec<u32>,
}

/// The number of a stretch is that of its accumulators.
#[derive(Debug)]
struct Stretch {
    hash: u64,
    key: SmallVec<[u8; 24]>,
    first: Timestamp,
    last: Timestamp,
    judged: Timestamp,
    position: u64,
    events: u64,
}

impl Stretches {
    /// None yet.
    pub fn new(metric: usize, query: &Query, gap: Gap) -> Stretches {
        Stretches {
            metric,
            gap,
            index: HashTable::new(),
            open: Vec::new(),
            accumulators: Accumulators::new(&query.functions),
            rows: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// Open stretches.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes the rows of a run whose groups belong to shard `shard` of `shards`. What ends goes to `out`.
    pub fn fold(
        &mut self,
        query: &Query,
        (shard, shards): (usize, usize),
        (projected, selected, run): (&Projected, &Selected, &Run),
        out: &mut Vec<Piece>,
        nulled: &mut u64,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        for index in selected.within(&run.rows) {
            let hash = selected.hash(index);
            if shard_of(hash, shards) != shard {
                continue;
            }
            let row = selected.rows[index];
            let time = projected.batch.times[row as usize];
            let own = run.own_before(row as usize, &projected.maximum);
            let slot = self.stretch(selected.key(index), hash);
            if !self.takes(slot, query, time, own) {
                self.update(query, projected, nulled);
                self.send(slot, out);
                let stretch = &mut self.open[slot as usize];
                (stretch.first, stretch.last, stretch.judged) = (time, time, own);
                stretch.position = run.position_of(row as usize);
            }
            let stretch = &mut self.open[slot as usize];
            stretch.last = stretch.last.max(time);
            stretch.events += 1;
            self.rows.push(row);
            self.slots.push(slot);
            outcome.used += 1;
        }
        self.update(query, projected, nulled);
        outcome
    }

    /// Everything that is open, which then is closed.
    pub fn drain(&mut self, query: &Query, out: &mut Vec<Piece>) {
        for slot in 0..self.open.len() as u32 {
            self.send(slot, out);
        }
        *self = Stretches::new(self.metric, query, self.gap);
    }

    /// Whether an event is of a stretch without question.
    fn takes(&self, slot: u32, query: &Query, time: Timestamp, own: Timestamp) -> bool {
        let stretch = &self.open[slot as usize];
        let end = self.gap.window(stretch.first, stretch.last).end;
        let is_open = end.0.saturating_add(query.allowed_lateness.0) > own.max(stretch.judged).0;
        stretch.events > 0
            && is_open
            && time >= stretch.first
            && self.gap.joins((stretch.first, stretch.last), (time, time))
    }

    /// Sends what a stretch has, and leaves it without events.
    fn send(&mut self, slot: u32, out: &mut Vec<Piece>) {
        let stretch = &mut self.open[slot as usize];
        let events = std::mem::take(&mut stretch.events);
        if events == 0 {
            return;
        }
        let mut state = Vec::new();
        self.accumulators.encode_group(slot, &mut state);
        self.accumulators.reset_group(slot);
        out.push(Piece {
            metric: self.metric,
            span: Window::new(stretch.first, Timestamp(stretch.last.0 + 1)),
            first_end: self.gap.window(stretch.first, stretch.last).end,
            judged: stretch.judged,
            position: stretch.position,
            events,
            key: stretch.key[..].into(),
            state: state.into(),
        });
    }

    fn stretch(&mut self, key: &[u8], hash: u64) -> u32 {
        let open = &self.open;
        let is_it = |&slot: &u32| open[slot as usize].hash == hash && open[slot as usize].key[..] == *key;
        if let Some(&slot) = self.index.find(hash, is_it) {
            return slot;
        }
        let slot = self.accumulators.add_group();
        self.open.push(Stretch {
            hash,
            key: SmallVec::from_slice(key),
            first: Timestamp::MIN,
            last: Timestamp::MIN,
            judged: Timestamp::MIN,
            position: 0,
            events: 0,
        });
        let open = &self.open;
        self.index.insert_unique(hash, slot, |&slot| open[slot as usize].hash);
        slot
    }

    fn update(&mut self, query: &Query, projected: &Projected, nulled: &mut u64) {
        if self.rows.is_empty() {
            return;
        }
        query.update(&mut self.accumulators, (&self.slots, &self.rows), projected, nulled);
        self.rows.clear();
        self.slots.clear();
    }
}
