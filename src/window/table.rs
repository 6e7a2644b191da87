//! A table: the partials of one metric over one span of time, a row a group.
//!
//! Folding an event and merging two tables are the only ways in which it changes, and neither depends on order: groups
//! keep the position of their first event, so that which groups are the first `groups_max` is known at the end, too.
//! Knows nothing of windows and watermarks.

use std::hash::Hasher;

use hashbrown::HashTable;

use crate::aggregate::{Accumulators, Function};
use crate::window::Partial;
use crate::window::key::key_of;

/// Groups with their accumulators.
#[derive(Debug, Clone)]
pub struct Table {
    index: HashTable<u32>,
    hashes: Vec<u64>,
    /// Keys one after the other; key `g` ends at `key_ends[g]`.
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    /// Position in the stream of each group's first event.
    first: Vec<u64>,
    /// Events folded into each group.
    events: Vec<u64>,
    accumulators: Accumulators,
    overflow: Option<u32>,
}

/// How many groups a table may hold, and where events of further groups go.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupLimit {
    /// Most groups of one window, the overflow group aside. At least 1.
    pub groups_max: u32,
    /// Key of the overflow group.
    pub overflow_key: Vec<u8>,
}

/// The hash by which keys are interned and sessions are sharded. It never reaches an output.
pub fn hash_key(key: &[u8]) -> u64 {
    let mut hasher = rapidhash::fast::RapidHasher::default();
    hasher.write(key);
    hasher.finish()
}

impl Table {
    /// A table without groups.
    pub fn new(functions: &[Function]) -> Table {
        Table {
            index: HashTable::new(),
            hashes: Vec::new(),
            keys: Vec::new(),
            key_ends: Vec::new(),
            first: Vec::new(),
            events: Vec::new(),
            accumulators: Accumulators::new(functions),
            overflow: None,
        }
    }

    /// Number of groups.
    pub fn len(&self) -> u32 {
        self.hashes.len() as u32
    }

    /// Whether no event was folded in.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Events folded in, over all groups.
    pub fn events(&self) -> u64 {
        self.events.iter().sum()
    }

    /// The key of a group.
    pub fn key(&self, group: u32) -> &[u8] {
        let group = group as usize;
        let start = if group == 0 { 0 } else { self.key_ends[group - 1] as usize };
        &self.keys[start..self.key_ends[group] as usize]
    }

    /// Position of a group's first event.
    pub fn first_position(&self, group: u32) -> u64 {
        self.first[group as usize]
    }

    /// Accumulators of all groups, by group number.
    pub fn accumulators(&self) -> &Accumulators {
        &self.accumulators
    }

    /// Accumulators of all groups, to fold into.
    pub fn accumulators_mut(&mut self) -> &mut Accumulators {
        &mut self.accumulators
    }

    /// The number of the group with this key, which an event at `position` joins. Beyond the limit, if one is given, that
    /// is the overflow group: only the table of a whole window whose events come in order can tell.
    pub fn join(&mut self, key: &[u8], hash: u64, position: u64, limit: Option<&GroupLimit>) -> u32 {
        let group = match (self.find(key, hash), limit) {
            (Some(group), _) => group,
            (None, Some(limit)) if self.regular_len() >= limit.groups_max => self.overflow_group(limit),
            (None, _) => self.insert(key, hash),
        };
        self.join_known(group, position);
        group
    }

    /// The same for an event whose group is known by its number.
    #[inline]
    pub fn join_known(&mut self, group: u32, position: u64) {
        let group = group as usize;
        self.first[group] = self.first[group].min(position);
        self.events[group] += 1;
    }

    /// All groups but the overflow group.
    pub fn regular_groups(&self) -> impl Iterator<Item = u32> {
        let overflow = self.overflow;
        (0..self.len()).filter(move |&group| Some(group) != overflow)
    }

    fn regular_len(&self) -> u32 {
        self.len() - u32::from(self.overflow.is_some())
    }

    /// Whether this is the overflow group.
    pub fn is_overflow(&self, group: u32) -> bool {
        self.overflow == Some(group)
    }

    fn overflow_group(&mut self, limit: &GroupLimit) -> u32 {
        let hash = hash_key(&limit.overflow_key);
        let found = self.find(&limit.overflow_key, hash);
        let group = found.unwrap_or_else(|| self.insert(&limit.overflow_key, hash));
        self.overflow = Some(group);
        group
    }

    /// The number of the group with this key.
    pub fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        self.index.find(hash, |&g| self.hashes[g as usize] == hash && self.key(g) == key).copied()
    }

    fn insert(&mut self, key: &[u8], hash: u64) -> u32 {
        let group = self.accumulators.add_group();
        self.hashes.push(hash);
        self.keys.extend_from_slice(key);
        self.key_ends.push(u32::try_from(self.keys.len()).expect("keys of one table stay below 4 GiB"));
        self.first.push(u64::MAX);
        self.events.push(0);
        let hashes = &self.hashes;
        self.index.insert_unique(hash, group, |&g| hashes[g as usize]);
        group
    }

    /// Merges all groups of `other` into this table, without regard to any limit.
    pub fn merge(&mut self, other: &Table) {
        for from in 0..other.len() {
            self.merge_group(other, from, other.key(from), other.hashes[from as usize]);
        }
        if let Some(group) = other.overflow {
            self.overflow = self.find(other.key(group), other.hashes[group as usize]);
        }
    }

    fn merge_group(&mut self, other: &Table, from: u32, key: &[u8], hash: u64) -> u32 {
        let into = self.find(key, hash).unwrap_or_else(|| self.insert(key, hash));
        self.accumulators.merge_group(into, &other.accumulators, from);
        let (i, f) = (into as usize, from as usize);
        self.first[i] = self.first[i].min(other.first[f]);
        self.events[i] += other.events[f];
        into
    }

    /// Merges a partial, whose state must have been checked to decode, into the group that it names; returns the group.
    pub fn join_partial(&mut self, partial: &Partial, position: u64, limit: Option<&GroupLimit>) -> u32 {
        let key = key_of(&partial.groups);
        let group = self.join(&key, hash_key(&key), position, limit);
        // Joining has counted one event.
        self.events[group as usize] += partial.events.saturating_sub(1);
        let merged = self.accumulators.decode_into_group(group, &partial.state);
        merged.expect("a partial is checked before it is merged");
        group
    }

    /// Adds a group as it was: position of its first event, number of events, and their partial. False if it is there.
    pub fn restore_group(
        &mut self,
        key: &[u8],
        (first, events): (u64, u64),
        state: &[u8],
        is_overflow: bool,
    ) -> Result<bool, crate::aggregate::Error> {
        let hash = hash_key(key);
        if self.find(key, hash).is_some() {
            return Ok(false);
        }
        let group = self.insert(key, hash);
        (self.first[group as usize], self.events[group as usize]) = (first, events);
        self.overflow = is_overflow.then_some(group).or(self.overflow);
        self.accumulators.decode_into_group(group, state)?;
        Ok(true)
    }

    /// The same events with only the `groups_max` groups that came first in the stream; the others are merged into the
    /// overflow group. `None` if there are no others.
    pub fn limited(&self, functions: &[Function], limit: &GroupLimit) -> Option<Table> {
        let groups_max = limit.groups_max as usize;
        if self.regular_len() as usize <= groups_max {
            return None;
        }
        let mut by_first: Vec<u32> = self.regular_groups().collect();
        by_first.sort_unstable_by_key(|&group| (self.first[group as usize], group));
        let mut kept = vec![false; self.len() as usize];
        by_first[..groups_max].iter().for_each(|&group| kept[group as usize] = true);
        Some(self.reduced(functions, limit, &kept))
    }

    /// Events in the overflow group.
    pub fn overflowed(&self) -> u64 {
        self.overflow.map_or(0, |group| self.events[group as usize])
    }

    /// The same events with only the `kept` groups; the others are merged into the overflow group.
    pub fn reduced(&self, functions: &[Function], limit: &GroupLimit, kept: &[bool]) -> Table {
        let mut reduced = Table::new(functions);
        let is_kept = |group: u32| kept[group as usize] && !self.is_overflow(group);
        for group in (0..self.len()).filter(|&group| is_kept(group)) {
            reduced.merge_group(self, group, self.key(group), self.hashes[group as usize]);
        }
        let hash = hash_key(&limit.overflow_key);
        for group in (0..self.len()).filter(|&group| !is_kept(group)) {
            reduced.overflow = Some(reduced.merge_group(self, group, &limit.overflow_key, hash));
        }
        reduced
    }

    /// Groups in the order of their first events.
    pub fn in_stream_order(&self) -> Vec<u32> {
        let mut groups: Vec<u32> = (0..self.len()).collect();
        groups.sort_unstable_by_key(|&group| self.first[group as usize]);
        groups
    }

    /// Events of one group.
    pub fn group_events(&self, group: u32) -> u64 {
        self.events[group as usize]
    }
}
