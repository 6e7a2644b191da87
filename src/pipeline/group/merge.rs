//! The second stage: pieces ─ merge ─ fire ─▶ result rows, and the offsets of the pieces that they were made from.
//!
//! Its state is its log. Every checkpoint interval a shard is saved to `GROUP.state`, and the note beside the committed offset says where;
//! whoever takes a partition over reads that, replays the pieces behind it without output, and goes on. Knows nothing of
//! the input.

mod points;

use std::collections::BTreeMap;
use std::time::{Duration as WallDuration, Instant};

use crate::codec::encode::keyed::push_key;
use crate::codec::encode::ndjson::NdjsonEncoder;
use crate::codec::partial::push_partial;
use crate::kafka::admin::Admin;
use crate::kafka::error::KafkaError;
use crate::kafka::group::{Committed, Member, Polled, REJOINS_MAX};
use crate::kafka::internal::read_range;
use crate::kafka::transaction::{GroupMetadata, NextOffset, Outgoing, TransactionError};
use crate::pipeline::group::fault;
use crate::pipeline::group::lease::{StartLease, Watch};
use crate::pipeline::group::note::{self, ShardNote, Snapshot};
use crate::pipeline::group::parcel::PARCEL_BYTES;
use crate::pipeline::group::shard::Shard;
use crate::pipeline::group::stage::{Keeping, Stage};
use crate::pipeline::group::{Edges, GroupConfig, GroupError, NEWEST, PATIENCE, Place};
use crate::pipeline::points::Buckets;
use crate::source::clock::since_boot;
use crate::store::influx::WriteError;
use crate::time::Timestamp;
use crate::window::Output;

const STAGE: &str = "merge";

/// The longest that a poll waits: so soon is a request to stop seen.
const POLL: WallDuration = WallDuration::from_millis(50);

/// Partitions that have moved on are taken on again after this, so often.
const RETAKE_AFTER: WallDuration = WallDuration::from_millis(500);
const RETAKES_MAX: u32 = 60;

/// How long one request for trimming may take: nothing is polled meanwhile.
const ADMIN_TIMEOUT: WallDuration = WallDuration::from_secs(5);

/// How long progress without rows waits to be committed.
const PROGRESS: WallDuration = WallDuration::from_secs(1);

/// How often the process around is told how this stage fares.
const TELL: WallDuration = WallDuration::from_secs(1);

/// A transaction is committed once it holds so many rows, whatever the time.
const ROWS_MANY: u64 = 500_000;

/// The second stage of one process.
pub struct Merge<'a> {
    config: &'a GroupConfig,
    edges: &'a Edges,
    member: Member,
    stage: Stage,
    admin: Admin,
    encoder: NdjsonEncoder,
    /// Where rows go that no transaction guards: they are acknowledged before it commits.
    buckets: Buckets,
    watch: Watch,
    /// When the brokers first took offsets of ours in the transaction that is open: see `claim`.
    claimed: Option<Instant>,
    held: BTreeMap<i32, Held>,
    /// What was held when partitions were last let go: it holds again for those that come back as they were.
    parked: BTreeMap<i32, Held>,
    batch_began: Option<Instant>,
    metadata: Option<GroupMetadata>,
    rows: u64,
    /// Of the rows that are not committed: how many fired behind a record with this Kafka time.
    waited: Vec<(Timestamp, u64)>,
    outputs: Vec<Output>,
    /// When partitions are to be taken on again, and how often in a row they were.
    again: Option<(Instant, Vec<i32>)>,
    retakes: u32,
    rejoins: u32,
    told: Instant,
}

/// A partition of the pieces.
struct Held {
    shard: Shard,
    /// The offset of the first parcel since the group began.
    begin: i64,
    /// The offset of the parcel to be taken next.
    next: i64,
    /// What is committed.
    committed: i64,
    snapshot: Option<Snapshot>,
    saved: Instant,
    /// How long saving took last.
    cost: WallDuration,
}

impl<'a> Merge<'a> {
    /// Joins the group.
    pub fn new(config: &'a GroupConfig, edges: &'a Edges) -> Result<Merge<'a>, GroupError> {
        let stage = Stage::open(&config.settings, (STAGE, &config.transactional_id(STAGE)), config.startup_timeout)?;
        let group = config.merge_group();
        let member = Member::join(
            &config.settings,
            (&group, &config.instance),
            &config.partials_topic(),
            config.startup_timeout,
        )?;
        let buckets = Buckets::open(&config.buckets, false, edges.clock.now(), &mut StartLease(edges))?;
        Ok(Merge {
            buckets,
            watch: Watch::new(since_boot()),
            claimed: None,
            admin: Admin::new(&config.settings, ADMIN_TIMEOUT)?,
            encoder: NdjsonEncoder::new(&config.plan.schemas),
            config,
            edges,
            member,
            stage,
            held: BTreeMap::new(),
            parked: BTreeMap::new(),
            batch_began: None,
            metadata: None,
            rows: 0,
            waited: Vec::new(),
            outputs: Vec::new(),
            again: None,
            retakes: 0,
            rejoins: 0,
            told: Instant::now(),
        })
    }

    /// Runs until it is asked to stop; then commits what it has and leaves.
    pub fn run(mut self) -> Result<(), GroupError> {
        while !self.edges.is_stopped() {
            if let Some((_, partitions)) = self.again.take_if(|(at, _)| *at <= Instant::now())
                && !self.member.is_lost()
            {
                self.take_over(&partitions)?;
            }
            let is_quiet = match self.poll() {
                Err(GroupError::Transaction(error)) => {
                    self.recover(error)?;
                    true
                }
                Err(GroupError::Kafka(error @ KafkaError::Fenced { .. })) => {
                    self.rejoin(error)?;
                    true
                }
                Err(GroupError::Points(WriteError::Lost)) => {
                    self.wait_for_word()?;
                    true
                }
                polled => polled?,
            };
            self.watch.look(since_boot());
            self.edges.beat(STAGE, is_quiet);
            if self.told.elapsed() >= TELL {
                self.tell();
            }
            if self.is_due(is_quiet) {
                self.commit()?;
            }
        }
        // What can't be committed now is done again by whoever comes next.
        self.stage.hurry();
        match self.commit_once() {
            Err(GroupError::Transaction(_) | GroupError::Points(WriteError::Lost)) => Ok(()),
            ended => ended,
        }
    }

    /// Takes what comes next. Whether nothing did.
    fn poll(&mut self) -> Result<bool, GroupError> {
        let timeout = match self.batch_began {
            None => POLL,
            Some(_) if self.rows > 0 => WallDuration::ZERO,
            Some(began) => self.config.commit_interval.saturating_sub(began.elapsed()).min(POLL),
        };
        match self.member.poll(timeout)? {
            Polled::Record(record) => {
                let partition = record.partition();
                let Some(held) = self.held.get_mut(&partition) else { return Ok(false) };
                if self.batch_began.is_none() {
                    self.batch_began = Some(Instant::now());
                    self.metadata = self.member.metadata();
                    fault::enter(STAGE, "begin");
                }
                let is_replayed = record.offset() < held.committed;
                held.next = record.offset() + 1;
                let newest = record.header(NEWEST).and_then(|text| str::from_utf8(text).ok()?.parse().ok());
                let value = record.value().to_vec();
                let rows_before = self.rows;
                self.take(partition, &value, is_replayed)?;
                if let Some(newest) = newest.filter(|_| self.rows > rows_before) {
                    self.waited.push((Timestamp(newest), self.rows - rows_before));
                }
                return Ok(false);
            }
            // Other partitions may have more.
            Polled::End(_) => return Ok(false),
            Polled::Nothing => {}
            Polled::Given(partitions) => {
                self.again = None;
                self.take_over(&partitions)?;
            }
            Polled::Taken { is_lost, .. } => {
                self.again = None;
                match if is_lost { Err(None) } else { self.commit_once().map_err(Some) } {
                    Ok(()) => {}
                    Err(None) => {
                        self.held.clear();
                        self.stage.give_up(&self.config.settings)?;
                    }
                    Err(Some(GroupError::Points(WriteError::Lost))) => {
                        self.held.clear();
                        self.stage.give_up(&self.config.settings)?;
                    }
                    Err(Some(GroupError::Transaction(error))) => {
                        self.held.clear();
                        self.reopen(error)?;
                    }
                    Err(Some(error)) => return Err(error),
                }
                self.parked = std::mem::take(&mut self.held);
                self.forget();
                self.tell();
                self.member.let_go()?;
            }
            // Whoever had the partitions meanwhile has trimmed them, or they are gone.
            Polled::OutOfRange if !self.held.is_empty() => self.retake(None)?,
            // It is told of each partition, and may come when they are let go; they are taken on all together.
            Polled::OutOfRange => {}
            Polled::Away(words) => self.edges.say_once(&format!("waiting for the brokers: {words}")),
        }
        Ok(true)
    }

    /// Merges a parcel and writes what fires; nothing is written of what was written before.
    fn take(&mut self, partition: i32, parcel: &[u8], is_replayed: bool) -> Result<(), GroupError> {
        let mut late = Vec::new();
        let held = self.held.get_mut(&partition).expect("a parcel is of a partition that is ours");
        held.shard.take(parcel, &mut self.outputs, &mut late)?;
        loop {
            let held = self.held.get_mut(&partition).expect("it is held while it fires");
            let more = held.shard.fire(&mut self.outputs);
            let outputs = std::mem::take(&mut self.outputs);
            if !is_replayed {
                self.write(&outputs)?;
            }
            if !more {
                break;
            }
        }
        if is_replayed {
            return Ok(());
        }
        for partial in &late {
            self.edges.count_late(partial.events);
            if let Some(topic) = &self.config.late_to {
                let mut value = Vec::new();
                push_partial(partial, &self.config.plan.schemas[partial.metric].name, &mut value);
                self.stage.keep(Keeping { topic: topic.clone(), key: None, value });
            }
        }
        Ok(())
    }

    /// Writes rows to the topics that take their metrics. A row's key is its metric and group, so that its revisions stay in order.
    fn write(&mut self, outputs: &[Output]) -> Result<(), GroupError> {
        self.write_points(outputs)?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for output in outputs {
            let Output::Row(row) = output else { continue };
            key.clear();
            push_key(row, &self.config.plan.schemas[row.metric].name, &mut key);
            value.clear();
            self.encoder.push_object(row, &mut value);
            self.rows += 1;
            for destination in &self.config.outputs {
                if destination.metrics[row.metric] {
                    let record =
                        Outgoing { topic: &destination.topic, key: Some(&key), value: &value, ..Outgoing::default() };
                    self.stage.transaction().send(&record)?;
                }
            }
        }
        Ok(())
    }

    fn is_due(&self, is_quiet: bool) -> bool {
        let is_behind = self.held.values().any(|held| held.next > held.committed);
        // What only takes the log further costs a restart little, and is committed seldom.
        let interval =
            if self.rows > 0 { self.config.commit_interval } else { self.config.commit_interval.max(PROGRESS) };
        let is_long = self.batch_began.is_some_and(|began| began.elapsed() >= interval);
        is_behind && (is_long || (is_quiet && self.rows > 0) || self.rows >= ROWS_MANY)
    }

    /// Commits rows and offsets, and with them a shard that is due to be saved.
    fn commit(&mut self) -> Result<(), GroupError> {
        match self.commit_once() {
            Err(GroupError::Transaction(error)) => self.recover(error),
            Err(GroupError::Points(WriteError::Lost)) => self.wait_for_word(),
            result => result,
        }
    }

    fn commit_once(&mut self) -> Result<(), GroupError> {
        if !self.held.values().any(|held| held.next > held.committed) {
            self.batch_began = None;
            return Ok(());
        }
        fault::enter(STAGE, "commit");
        let saved = self.send()?;
        fault::enter(STAGE, "committed");
        fault::reach(STAGE, "after-commit");
        for held in self.held.values_mut() {
            held.committed = held.committed.max(held.next);
        }
        let shards = self.held.iter().map(|(&partition, held)| (partition, &held.shard));
        self.edges.note_merge(shards, self.rows, self.waited.drain(..));
        self.stage.settle();
        (self.metadata, self.claimed) = (None, None);
        self.rejoins = 0;
        self.batch_began = None;
        self.rows = 0;
        if let Some((partition, snapshot)) = saved {
            self.trim(partition, snapshot);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<Option<(i32, Snapshot)>, GroupError> {
        let mut saved = self.checkpoint()?;
        fault::reach(STAGE, "after-produce");
        self.claim(saved)?;
        fault::reach(STAGE, "after-send-offsets");
        self.flush_points()?;
        if self.claimed.is_none() {
            // What was in the transaction before went with it.
            saved = None;
            self.claim(saved)?;
        }
        self.stage.send_kept()?;
        fault::reach_within(STAGE, "in-commit");
        self.stage.transaction().commit()?;
        if let Some((partition, snapshot)) = saved
            && let Some(held) = self.held.get_mut(&partition)
        {
            held.snapshot = Some(snapshot);
        }
        Ok(saved)
    }

    /// Sends the offsets behind what was read. The brokers take them of a member only; and whoever is given the partitions next is not
    /// told where to begin until this transaction has ended.
    fn claim(&mut self, saved: Option<(i32, Snapshot)>) -> Result<(), GroupError> {
        let (began, since_boot) = (Instant::now(), since_boot());
        if self.metadata.is_none() {
            self.metadata = self.member.metadata();
        }
        let metadata = self.metadata.as_ref().ok_or(GroupError::NoGroup)?;
        // What is being replayed was committed before.
        let behind = self.held.iter().filter(|(_, held)| held.next > held.committed);
        let offsets: Vec<NextOffset> = behind
            .map(|(&partition, held)| {
                let snapshot = saved.filter(|saved| saved.0 == partition).map(|saved| saved.1).or(held.snapshot);
                let note = ShardNote {
                    v: note::VERSION,
                    q: note::hex(self.config.fingerprint),
                    w: note::micros(held.shard.watermark()),
                    by: Some(self.config.by()),
                    b: held.begin,
                    s: snapshot,
                };
                NextOffset { partition, offset: held.next, metadata: note::text(&note) }
            })
            .collect();
        self.stage.transaction().send_offsets(&self.config.partials_topic(), &offsets, metadata)?;
        self.claimed = self.claimed.or(Some(began));
        // However long it took to get here, as where a great state was saved: they have just said that we are a member.
        self.watch = Watch::new(since_boot);
        Ok(())
    }

    /// Saves the shard that has waited longest, if it is time.
    fn checkpoint(&mut self) -> Result<Option<(i32, Snapshot)>, GroupError> {
        let interval = |held: &Held| self.config.checkpoint_interval.max(held.cost * 10);
        let due =
            self.held.iter().filter(|(_, held)| held.next > held.committed && held.saved.elapsed() >= interval(held));
        let Some(partition) = due.min_by_key(|(_, held)| held.saved).map(|(&partition, _)| partition) else {
            return Ok(None);
        };
        fault::enter(STAGE, "checkpoint");
        let started = Instant::now();
        let held = self.held.get_mut(&partition).expect("it was found there");
        let mut state = Vec::new();
        held.shard.save(&mut state);
        let topic = self.config.state_topic();
        let transaction = self.stage.transaction();
        for (number, piece) in state.chunks(PARCEL_BYTES).enumerate() {
            transaction.send(&Outgoing {
                topic: &topic,
                partition: Some(partition),
                value: piece,
                tag: number + 1,
                ..Outgoing::default()
            })?;
        }
        let delivered = transaction.delivered()?;
        fault::reach(STAGE, "in-checkpoint");
        let of_topic = || delivered.iter().filter(|delivered| delivered.partition == partition);
        let (from, to) = (of_topic().map(|d| d.offset).min(), of_topic().map(|d| d.offset + 1).max());
        let (Some(from), Some(to)) = (from, to) else { return Ok(None) };
        held.saved = Instant::now();
        held.cost = started.elapsed();
        Ok(Some((partition, Snapshot { at: held.next, from, to })))
    }

    /// Drops what no restart needs any more. What can't be dropped now is dropped another time.
    fn trim(&self, partition: i32, snapshot: Snapshot) {
        for (topic, offset) in [(self.config.partials_topic(), snapshot.at), (self.config.state_topic(), snapshot.from)]
        {
            if let Err(error) = self.admin.delete_records(&topic, &[(partition, offset)]) {
                self.edges.say_once(&error.to_string());
            }
        }
    }

    /// Takes these partitions on: from where they were parked, or from their snapshots.
    fn take_over(&mut self, partitions: &[i32]) -> Result<(), GroupError> {
        self.forget();
        self.held.clear();
        let mut starts = Vec::new();
        for &partition in partitions {
            // Asked for each at its turn: what one of many was told at the beginning may have been trimmed by then.
            let committed = self.member.committed(&[partition])?.pop().flatten();
            let held = match (self.parked.remove(&partition), &committed) {
                (Some(parked), Some(committed)) if parked.next == committed.offset => Ok(parked),
                _ => self.restored(partition, committed),
            };
            match held {
                Ok(held) => {
                    starts.push((partition, held.next));
                    self.held.insert(partition, held);
                }
                Err(GroupError::Moved { .. }) => return self.retake(Some(partitions.to_vec())),
                Err(error) => return Err(error),
            }
        }
        self.parked.clear();
        self.retakes = 0;
        self.watch = Watch::new(since_boot());
        self.edges.count_begun(STAGE);
        self.tell();
        Ok(self.member.start(&starts)?)
    }

    /// Takes the partitions on again a little later: what was committed has moved on, in another process's hands.
    fn retake(&mut self, partitions: Option<Vec<i32>>) -> Result<(), GroupError> {
        self.retakes += 1;
        if self.retakes > RETAKES_MAX {
            return Err(GroupError::LogLost { topic: self.config.partials_topic() });
        }
        self.put_off(RETAKE_AFTER, partitions)
    }

    /// Lets go of what is held, and of what is begun, and takes these partitions on again after a pause; else those that are held, or
    /// were put off before.
    fn put_off(&mut self, pause: WallDuration, partitions: Option<Vec<i32>>) -> Result<(), GroupError> {
        let waiting = self.again.take().map(|(_, partitions)| partitions);
        let partitions = partitions.or(waiting).unwrap_or_else(|| self.held.keys().copied().collect());
        self.forget();
        self.stage.give_up(&self.config.settings)?;
        self.held.clear();
        self.again = Some((Instant::now() + pause, partitions));
        Ok(())
    }

    fn restored(&self, partition: i32, committed: Option<Committed>) -> Result<Held, GroupError> {
        let config = self.config;
        let mut shard = Shard::new(&config.plan, config.fingerprint, config.early);
        shard.keep_states(&self.buckets.keeps_states());
        let note: Option<ShardNote> = match &committed {
            Some(committed) => Some(note::read(&committed.metadata, partition, config.fingerprint)?),
            None => None,
        };
        let (low, high) = self.member.bounds(partition)?;
        let snapshot = note.as_ref().and_then(|note| note.s);
        let begin = note.as_ref().map_or(0, |note| note.b);
        if note.is_none() && self.was_saved(partition)? {
            return Err(GroupError::LogLost { topic: config.partials_topic() });
        }
        let next = snapshot.map_or(begin, |snapshot| snapshot.at);
        // Trimmed meanwhile, or cut short: to read from there would bring the same word again and again.
        if low > next || next > high {
            return Err(GroupError::Moved { partition });
        }
        if let Some(Snapshot { from, to, .. }) = snapshot {
            let mut state = Vec::new();
            let topic = config.state_topic();
            let read = read_range(&config.settings, (&topic, partition), (from, to), |_, piece| {
                state.extend_from_slice(piece);
            });
            // It was trimmed after a later one, while we looked.
            if read.is_err() || shard.restore(&state).is_err() {
                return Err(GroupError::Moved { partition });
            }
        }
        let (cost, saved) = (WallDuration::ZERO, Instant::now());
        let committed = committed.map_or(next, |committed| committed.offset);
        Ok(Held { shard, begin, next, committed, snapshot, saved, cost })
    }

    /// Whether a snapshot of a partition was committed: then what is committed of the group itself is gone.
    fn was_saved(&self, partition: i32) -> Result<bool, GroupError> {
        let topic = self.config.state_topic();
        let ends = self.edges.wait_for_brokers(|| self.admin.ends(&topic))?;
        let Some(ends) = ends.iter().find(|ends| ends.partition == partition && ends.low < ends.stable) else {
            return Ok(false);
        };
        let mut was_saved = false;
        let range = (ends.low, ends.stable);
        read_range(&self.config.settings, (&topic, partition), range, |_, _| was_saved = true)?;
        Ok(was_saved)
    }

    /// Joins the group again, where the brokers took a member of ours for another's.
    fn rejoin(&mut self, error: KafkaError) -> Result<(), GroupError> {
        self.rejoins += 1;
        let config = self.config;
        if self.rejoins > REJOINS_MAX || is_replaced(config, self.edges)? {
            return Err(error.into());
        }
        self.forget();
        self.stage.give_up(&self.config.settings)?;
        self.held.clear();
        self.again = None;
        let group = config.merge_group();
        let names = (&*group, &*config.instance);
        self.member = Member::join(&config.settings, names, &config.partials_topic(), PATIENCE)?;
        Ok(())
    }

    /// Goes back to what was committed.
    fn recover(&mut self, error: TransactionError) -> Result<(), GroupError> {
        fault::enter(STAGE, "lost");
        self.reopen(error)?;
        if self.member.is_lost() {
            // Nothing is read until a poll has said so.
            self.forget();
            self.held.clear();
            return Ok(());
        }
        let partitions: Vec<i32> = self.held.keys().copied().collect();
        self.take_over(&partitions)
    }

    /// Tells the process around where this stage is and what is open.
    fn tell(&mut self) {
        self.told = Instant::now();
        let place = |partition, held: &Held| Place { committed: held.committed, stable: self.member.stable(partition) };
        let places = self.held.iter().map(|(&partition, held)| (partition, place(partition, held)));
        self.edges.note_places(STAGE, places.collect());
        self.edges.note_open(self.held.values().map(|held| &held.shard));
    }

    fn reopen(&mut self, error: TransactionError) -> Result<(), GroupError> {
        let (config, edges) = (self.config, self.edges);
        self.stage.reopen(&config.settings, error, edges, || is_replaced(config, edges))
    }

    /// Forgets what was read and not committed.
    fn forget(&mut self) {
        self.waited.clear();
        self.outputs.clear();
        self.buckets.clear();
        self.stage.drop_kept();
        (self.rows, self.batch_began) = (0, None);
        (self.metadata, self.claimed) = (None, None);
    }
}

/// Whether a later process goes by our name in this stage.
pub(in crate::pipeline::group::merge) fn is_replaced(config: &GroupConfig, edges: &Edges) -> Result<bool, KafkaError> {
    config.is_replaced(&config.merge_group(), &config.partials_topic(), edges)
}
