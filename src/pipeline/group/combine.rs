//! The first stage: input ─ decode ─ watermark ─ filter ─ fold ─▶ pieces, and the offsets that they were made from.
//!
//! It keeps nothing between two commits but each partition's watermark, which is committed with the offset. When a transaction is
//! lost, what it held is forgotten and read again. What the wall clock decides (which partitions are silent) is decided here and travels
//! with the pieces. Knows nothing of open windows.

use std::collections::BTreeMap;
use std::time::{Duration as WallDuration, Instant};

use crate::batch::InBand;
use crate::kafka::error::KafkaError;
use crate::kafka::group::{Committed, Member, Polled, REJOINS_MAX};
use crate::kafka::transaction::{GroupMetadata, NextOffset, Outgoing, Transaction, TransactionError};
use crate::partition::{PartitionId, partition_of};
use crate::pipeline::crew::Crew;
use crate::pipeline::decode::{Decode, Decoded};
use crate::pipeline::group::fault;
use crate::pipeline::group::lane::{Lane, Opened};
use crate::pipeline::group::note::{self, InputNote};
use crate::pipeline::group::parcel::{Mark, Packer};
use crate::pipeline::group::stage::{Keeping, Stage};
use crate::pipeline::group::{Edges, Gap, GroupConfig, GroupError, NEWEST, PATIENCE, Place, Start};
use crate::pipeline::late::mark;
use crate::record::Block;
use crate::stats::InputCounts;
use crate::time::Timestamp;
use crate::watermark::Run;
use crate::window::Projected;
use crate::window::combine::{Combiner, Piece};
use crate::window::operator::{Input, Late};

/// The longest that a poll waits: so soon is a request to stop seen.
const POLL: WallDuration = WallDuration::from_millis(50);

/// A step is folded once so much has been read.
const STEP_BYTES: usize = 4 << 20;

/// A transaction is committed once it holds so many groups or events, whatever the time.
const GROUPS_MANY: usize = 200_000;
const EVENTS_MANY: u64 = 2_000_000;

/// While catching up, commits are so many times apart as they take, and no further than this.
const COSTS_APART: u32 = 8;
const CATCHING_UP: WallDuration = WallDuration::from_secs(1);

/// So much of a reject is kept: escaped, it must fit into a record.
const REJECT_BYTES_MAX: usize = 128 << 10;

/// A look that comes so late was held up: what has come meanwhile may not have been read yet.
const HELD_UP: WallDuration = WallDuration::from_secs(2);

/// How often silence is looked at.
const LOOK: WallDuration = WallDuration::from_millis(500);

const STAGE: &str = "combine";

/// The first stage of one process.
pub struct Combine<'a> {
    config: &'a GroupConfig,
    edges: &'a Edges,
    decoders: Vec<Decode>,
    crew: Crew,
    member: Member,
    stage: Stage,
    /// Partitions of the input and of the pieces.
    inputs: u32,
    outputs: u32,
    lanes: BTreeMap<i32, Lane>,
    combiner: Combiner,
    /// Bytes that wait to be folded.
    bytes: usize,
    /// What was folded and not committed.
    events: u64,
    is_changed: bool,
    batch_began: Option<Instant>,
    looked: Instant,
    metadata: Option<GroupMetadata>,
    /// How long the last commit took.
    cost: WallDuration,
    /// Whether a position that was asked for is not there.
    is_out_of_range: bool,
    rejoins: u32,
    /// What was committed, and what came since.
    counts: InputCounts,
    pending: InputCounts,
    late: u64,
    late_pending: u64,
    /// The greatest Kafka time of what was folded and not committed.
    newest: Timestamp,
}

impl<'a> Combine<'a> {
    /// Joins the group.
    pub fn new(
        config: &'a GroupConfig,
        decode: Decode,
        edges: &'a Edges,
        (inputs, outputs): (u32, u32),
    ) -> Result<Combine<'a>, GroupError> {
        let stage = Stage::open(&config.settings, (STAGE, &config.transactional_id(STAGE)), config.startup_timeout)?;
        let member =
            Member::join(&config.settings, (&config.group, &config.instance), &config.topic, config.startup_timeout)?;
        Ok(Combine {
            crew: Crew::new(config.threads)?,
            combiner: Combiner::new(config.plan.queries.clone(), config.threads),
            decoders: vec![decode; config.threads],
            config,
            edges,
            member,
            stage,
            inputs,
            outputs,
            lanes: BTreeMap::new(),
            bytes: 0,
            events: 0,
            is_changed: false,
            batch_began: None,
            looked: Instant::now(),
            metadata: None,
            cost: WallDuration::ZERO,
            is_out_of_range: false,
            rejoins: 0,
            counts: InputCounts::default(),
            pending: InputCounts::default(),
            late: 0,
            late_pending: 0,
            newest: Timestamp::MIN,
        })
    }

    /// Runs until it is asked to stop; then commits what it has and leaves.
    pub fn run(mut self) -> Result<(), GroupError> {
        while !self.edges.is_stopped() {
            let is_quiet = match self.poll() {
                Err(GroupError::Kafka(error @ KafkaError::Fenced { .. })) => {
                    self.rejoin(error)?;
                    true
                }
                polled => polled?,
            };
            self.edges.beat(STAGE, is_quiet);
            if is_quiet || self.bytes >= STEP_BYTES {
                self.step()?;
            }
            self.look()?;
            if self.is_due(is_quiet) {
                self.commit()?;
            }
        }
        // What can't be committed now is done again by whoever comes next.
        self.stage.hurry();
        match self.commit_once() {
            Err(GroupError::Transaction(_)) => Ok(()),
            ended => ended,
        }
    }

    /// Takes what comes next. Whether nothing did.
    fn poll(&mut self) -> Result<bool, GroupError> {
        // What is there is taken; only then is waited, and not longer than a commit may wait.
        let timeout = match self.batch_began {
            None => POLL,
            Some(_) if self.bytes > 0 => WallDuration::ZERO,
            Some(began) => self.interval().saturating_sub(began.elapsed()).min(POLL),
        };
        match self.member.poll(timeout)? {
            Polled::Record(record) => {
                let Some(lane) = self.lanes.get_mut(&record.partition()) else { return Ok(false) };
                if self.batch_began.is_none() {
                    self.batch_began = Some(Instant::now());
                    self.metadata = self.member.metadata();
                    fault::enter(STAGE, "begin");
                }
                self.bytes += lane.push(&record, self.edges.clock.now());
                return Ok(false);
            }
            Polled::Nothing => {}
            Polled::End(partition) => {
                if let Some(lane) = self.lanes.get_mut(&partition) {
                    lane.reach_end(Instant::now());
                }
                // Other partitions may have more: with many of them, one is at its end all the time.
                return Ok(false);
            }
            Polled::Given(partitions) => self.take_over(&partitions)?,
            Polled::Taken { is_lost, .. } => {
                // Where others have these partitions already, whatever is written would be refused.
                if !is_lost {
                    match self.commit_once() {
                        Err(GroupError::Transaction(error)) => {
                            self.reopen(error)?;
                        }
                        result => result?,
                    }
                }
                self.forget();
                self.lanes.clear();
                self.tell();
                self.member.let_go()?;
            }
            Polled::OutOfRange if !self.lanes.is_empty() => self.meet_gap()?,
            // It may come when they are let go.
            Polled::OutOfRange => {}
            Polled::Away(words) => self.edges.say_once(&format!("waiting for the brokers: {words}")),
        }
        Ok(true)
    }

    /// Begins to read these partitions where their last commit ends.
    fn take_over(&mut self, partitions: &[i32]) -> Result<(), GroupError> {
        self.forget();
        // A partition that was made since widens the input: all must hear of it.
        let inputs = self.member.partitions(PATIENCE)?;
        self.inputs = self.inputs.max(u32::try_from(inputs).unwrap_or(0));
        let all: Vec<i32> = (0..self.inputs as i32).collect();
        let committed = self.member.committed(&all)?;
        let mut notes: BTreeMap<i32, (i64, InputNote)> = BTreeMap::new();
        for (&partition, committed) in all.iter().zip(&committed) {
            if let Some(Committed { offset, metadata }) = committed {
                notes.insert(partition, (*offset, note::read(metadata, partition, self.config.fingerprint)?));
            }
        }
        let born = notes.values().map(|(_, note)| note.born).min().unwrap_or(self.inputs);
        self.lanes.clear();
        for &partition in partitions {
            let (low, high) = self.member.bounds(partition)?;
            let opened = match notes.remove(&partition) {
                Some((offset, note)) => Opened::At(self.beyond_gap(partition, offset, (low, high))?, note),
                // It was made after the group began: everything in it is new.
                None if partition as u32 >= born => Opened::New(low),
                None => Opened::New(match self.config.start {
                    Start::Earliest => low,
                    Start::Latest => high,
                    Start::At(time) => self.member.offset_at(partition, time.0.div_euclid(1000))?,
                }),
            };
            self.lanes.insert(partition, Lane::open(partition, born, opened, self.config.watermark_delay));
        }
        self.is_changed = !self.lanes.is_empty();
        self.batch_began.get_or_insert_with(Instant::now);
        self.metadata = self.member.metadata();
        self.edges.count_begun(STAGE);
        self.tell();
        let starts: Vec<(i32, i64)> = self.lanes.values().map(|lane| (lane.partition(), lane.next())).collect();
        Ok(self.member.start(&starts)?)
    }

    /// The offset to go on with, where retention may have overtaken the one that was committed, or the topic is another one.
    fn beyond_gap(&self, partition: i32, committed: i64, (low, high): (i64, i64)) -> Result<i64, GroupError> {
        let topic = || self.config.topic.clone();
        let is_beyond = self.is_out_of_range && committed > high;
        if committed >= low && !is_beyond {
            return Ok(committed);
        }
        match (self.config.on_gap, is_beyond) {
            (Gap::Fail, true) => return Err(GroupError::Beyond { topic: topic(), partition, committed, high }),
            (Gap::Fail, false) => return Err(GroupError::Gap { topic: topic(), partition, committed, low }),
            (Gap::Skip, true) => self.edges.say(&format!(
                "partition {partition} ends at {high}, before the committed offset {committed}: beginning it anew at {low}"
            )),
            (Gap::Skip, false) => self.edges.say(&format!(
                "retention has dropped {} offsets of partition {partition} from {committed} on: going on at {low}",
                low - committed
            )),
        }
        Ok(low)
    }

    fn meet_gap(&mut self) -> Result<(), GroupError> {
        self.commit()?;
        if self.lanes.is_empty() {
            // They were lost with the transaction.
            return Ok(());
        }
        let partitions: Vec<i32> = self.lanes.keys().copied().collect();
        self.is_out_of_range = true;
        let taken = self.take_over(&partitions);
        self.is_out_of_range = false;
        taken
    }

    /// Decodes and folds what was read.
    fn step(&mut self) -> Result<(), GroupError> {
        if self.bytes == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let blocks: Vec<Block> = self.lanes.values_mut().filter_map(Lane::take_block).collect();
        // Records of a partition come in the order of their times, near enough.
        let newest = blocks.iter().filter_map(|block| block.stamps.as_ref()?.last()).map(|stamp| stamp.time).max();
        self.newest = self.newest.max(newest.unwrap_or(Timestamp::MIN));
        let decoded = self.decode(blocks);
        let mut projected: Vec<Projected> = Vec::with_capacity(decoded.len());
        let mut runs: Vec<(usize, Run)> = Vec::new();
        for (partition, mut decoded) in decoded {
            decoded.projected.batch.partition = partition;
            self.admit(&decoded)?;
            let lane = self.lanes.get_mut(&(partition.0 as i32)).expect("a block is of a partition that is ours");
            runs.extend(lane.runs(&decoded).into_iter().map(|run| (projected.len(), run)));
            projected.push(decoded.projected);
        }
        let inputs: Vec<Input> = runs.iter().map(|(at, run)| Input { run, projected: &projected[*at] }).collect();
        let found = self.crew.each(self.combiner.workers(), |worker| worker.fold(&inputs));
        let late = self.combiner.apply(found);
        for of_event in late.chunk_by(|a, b| (a.input, a.row) == (b.input, b.row)) {
            self.late_pending += 1;
            let Late { input, row, .. } = of_event[0];
            let projected = inputs[input].projected;
            let span = projected.batch.spans[row as usize];
            let line = &projected.batch.text[span.start as usize..][..span.len as usize];
            if let Some(topic) = &self.config.late_to {
                let metrics: Vec<usize> = of_event.iter().map(|late| late.metric).collect();
                let key = mark(&self.config.plan, projected, row, &metrics);
                self.stage.keep(Keeping { topic: topic.clone(), key, value: line.to_vec() });
            }
        }
        self.is_changed = true;
        Ok(())
    }

    /// Decodes blocks side by side.
    fn decode(&mut self, blocks: Vec<Block>) -> Vec<(PartitionId, Decoded)> {
        let mut shares: Vec<(&mut Decode, Vec<Block>)> =
            self.decoders.iter_mut().map(|decoder| (decoder, Vec::new())).collect();
        let count = shares.len();
        for (number, block) in blocks.into_iter().enumerate() {
            shares[number % count].1.push(block);
        }
        let decoded = self.crew.each(&mut shares, |(decoder, blocks)| {
            let decode = |mut block: Block| {
                // All partitions share a decoder, and so the shapes that it has learnt.
                let partition = std::mem::replace(&mut block.partition, PartitionId(0));
                (partition, decoder.block(block))
            };
            std::mem::take(blocks).into_iter().map(decode).collect::<Vec<_>>()
        });
        decoded.into_iter().flatten().collect()
    }

    /// Counts what a batch holds, and writes its rejects aside.
    fn admit(&mut self, decoded: &Decoded) -> Result<(), GroupError> {
        let batch = &decoded.projected.batch;
        self.events += batch.rows() as u64;
        self.pending.events_in += batch.rows() as u64 + batch.rejects.len() as u64;
        self.pending.in_band += batch.in_band.len() as u64;
        self.pending.blank += u64::from(batch.blank);
        let topic = &self.config.topic;
        for (_, mark) in &batch.in_band {
            let (InBand::Partial(span) | InBand::Refused(span)) = mark else { continue };
            let offset = batch.stamps.as_ref().map_or(0, |stamps| stamps[span.line as usize].offset);
            let place = format!("{topic}[{}] at offset {offset}", batch.partition.0);
            return Err(GroupError::NotEvents { place });
        }
        if batch.rejects.is_empty() {
            return Ok(());
        }
        let future = decoded.future.len() as u64;
        self.pending.future += future;
        self.pending.malformed += batch.rejects.len() as u64 - future;
        let name = format!("kafka://{}/{topic}[{}]", self.config.settings.brokers, batch.partition.0);
        for reject in &batch.rejects {
            let mut record = Vec::new();
            crate::sink::side::push_reject(
                &name,
                batch,
                reject,
                self.config.line_bytes_max.min(REJECT_BYTES_MAX),
                &mut record,
            );
            if let Some(topic) = &self.config.rejects_to {
                record.pop();
                self.stage.keep(Keeping { topic: topic.clone(), key: None, value: record });
            }
        }
        let rejected = self.counts.rejected() + self.pending.rejected();
        match self.config.rejects_max {
            Some(max) if rejected > max => Err(GroupError::TooManyRejects { rejected, max }),
            _ => Ok(()),
        }
    }

    /// Looks for partitions that have fallen silent.
    fn look(&mut self) -> Result<(), GroupError> {
        let now = Instant::now();
        let since = now.saturating_duration_since(self.looked);
        if since < LOOK || self.bytes > 0 {
            return Ok(());
        }
        self.looked = now;
        if since > HELD_UP {
            // Whoever did not listen has heard nothing.
            self.lanes.values_mut().for_each(|lane| lane.begin_silence(now));
            return Ok(());
        }
        self.tell();
        for lane in self.lanes.values_mut() {
            let limits = (self.config.idle_timeout, self.config.idle_close);
            let Some(silence) = lane.silence(limits, now) else { continue };
            // Not before the brokers have said anew that nothing is left.
            let Some(stable) = self.member.stable_now(lane.partition()) else {
                self.lanes.values_mut().for_each(|lane| lane.begin_silence(now));
                break;
            };
            match self.member.high(lane.partition()) {
                Some(high) if high > stable => {
                    lane.begin_silence(now);
                    self.edges.say_once(&format!(
                        "partition {} waits at offset {stable} for an open transaction of another producer",
                        lane.partition()
                    ));
                }
                _ if lane.confirm(stable) => {
                    lane.fall_silent(silence);
                    self.is_changed = true;
                }
                // Where it ends is new: it has until the next look to give what is there.
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells the process around where this stage is.
    fn tell(&self) {
        let place = |lane: &Lane| Place { committed: lane.committed(), stable: self.member.stable(lane.partition()) };
        self.edges.note_places(STAGE, self.lanes.values().map(|lane| (lane.partition(), place(lane))).collect());
        self.edges.note_marks(self.lanes.values().map(Lane::mark));
    }

    fn is_due(&self, is_quiet: bool) -> bool {
        let is_long = self.batch_began.is_some_and(|began| began.elapsed() >= self.interval());
        let is_quiet = is_quiet && self.is_caught_up();
        let groups = self.combiner.groups();
        self.is_changed && (is_quiet || is_long || self.events >= EVENTS_MANY || groups >= GROUPS_MANY)
    }

    /// Whether everything there is has been read.
    fn is_caught_up(&self) -> bool {
        self.lanes.values().all(Lane::is_at_end)
    }

    /// The most that a commit waits: longer while there is much to catch up with, where nobody waits for the newest results and
    /// committing would take most of the time.
    fn interval(&self) -> WallDuration {
        let interval = self.config.commit_interval;
        match self.is_caught_up() {
            true => interval,
            false => interval.max((self.cost * COSTS_APART).min(CATCHING_UP)),
        }
    }

    /// Sends what was folded, and commits it with the offsets. A transaction that is lost is begun anew from what was committed.
    fn commit(&mut self) -> Result<(), GroupError> {
        match self.commit_once() {
            Err(GroupError::Transaction(error)) => {
                fault::enter(STAGE, "lost");
                self.reopen(error)?;
                self.begin_anew()
            }
            result => result,
        }
    }

    fn commit_once(&mut self) -> Result<(), GroupError> {
        self.step()?;
        if !self.is_changed {
            return Ok(());
        }
        fault::enter(STAGE, "commit");
        let started = Instant::now();
        self.send()?;
        self.cost = started.elapsed();

        fault::enter(STAGE, "committed");
        fault::reach(STAGE, "after-commit");
        self.counts.add(&std::mem::take(&mut self.pending));
        self.late += std::mem::take(&mut self.late_pending);
        self.combiner.settle();
        self.rejoins = 0;
        self.lanes.values_mut().for_each(Lane::settle);
        self.tell();
        self.edges.note_commit(STAGE, &self.counts, self.late, self.combiner.counts());
        self.stage.settle();
        self.batch_began = None;
        self.is_changed = false;
        self.events = 0;
        self.newest = Timestamp::MIN;
        Ok(())
    }

    fn send(&mut self) -> Result<(), GroupError> {
        let pieces = self.crew.each(self.combiner.workers(), |worker| worker.drain());
        let names: Vec<&str> = self.config.plan.schemas.iter().map(|schema| schema.name.as_str()).collect();
        let mut packers: Vec<Packer> =
            (0..self.outputs).map(|_| Packer::new(self.config.fingerprint, self.inputs)).collect();
        let marks: Vec<Mark> = self.lanes.values().map(Lane::mark).collect();
        let transaction = self.stage.transaction();
        let topic = self.config.partials_topic();
        let newest = self.newest.0.to_string();
        let header = [(NEWEST, newest.as_bytes())];
        let headers: &[(&str, &[u8])] = if self.newest > Timestamp::MIN { &header } else { &[] };
        let send = |transaction: &mut Transaction, partition: u32, value: &[u8]| {
            transaction.send(&Outgoing {
                topic: &topic,
                partition: Some(partition as i32),
                value,
                headers,
                ..Outgoing::default()
            })
        };
        let mut key = Vec::new();
        for piece in pieces.into_iter().flatten() {
            let partition = place(self.config, &piece, &names, &mut key, self.outputs);
            if let Some(parcel) = packers[partition as usize].add(&piece) {
                send(transaction, partition, &parcel)?;
            }
        }
        for (partition, packer) in packers.iter_mut().enumerate() {
            send(transaction, partition as u32, &packer.close(&marks))?;
        }
        self.stage.send_kept()?;
        fault::reach(STAGE, "after-produce");
        let metadata = self.metadata.take().or_else(|| self.member.metadata()).ok_or(GroupError::NoGroup)?;
        let offsets: Vec<NextOffset> =
            self.lanes.values().map(|lane| lane.offset(self.config.fingerprint, self.config.by())).collect();
        let transaction = self.stage.transaction();
        transaction.send_offsets(&self.config.topic, &offsets, &metadata)?;
        fault::reach(STAGE, "after-send-offsets");
        fault::reach_within(STAGE, "in-commit");
        Ok(transaction.commit()?)
    }

    fn reopen(&mut self, error: TransactionError) -> Result<(), GroupError> {
        let (config, edges) = (self.config, self.edges);
        self.stage.reopen(&config.settings, error, edges, || config.is_replaced(&config.group, &config.topic, edges))
    }

    /// Begins anew at what is committed, unless the partitions are lost: then nothing is read until that is said.
    fn begin_anew(&mut self) -> Result<(), GroupError> {
        let partitions: Vec<i32> = self.lanes.keys().copied().collect();
        if self.member.is_lost() {
            self.forget();
            self.lanes.clear();
            return Ok(());
        }
        self.take_over(&partitions)
    }

    /// Joins the group again, where the brokers took a member of ours for another's.
    fn rejoin(&mut self, error: KafkaError) -> Result<(), GroupError> {
        self.rejoins += 1;
        if self.rejoins > REJOINS_MAX || self.config.is_replaced(&self.config.group, &self.config.topic, self.edges)? {
            return Err(error.into());
        }
        self.forget();
        self.lanes.clear();
        let (config, names) = (self.config, (&*self.config.group, &*self.config.instance));
        self.member = Member::join(&config.settings, names, &config.topic, PATIENCE)?;
        Ok(())
    }

    /// Forgets what was read and not committed.
    fn forget(&mut self) {
        self.combiner.clear();
        self.stage.drop_kept();
        self.lanes.values_mut().for_each(|lane| drop(lane.take_block()));
        (self.bytes, self.events, self.is_changed, self.batch_began) = (0, 0, false, None);
        (self.pending, self.late_pending) = (InputCounts::default(), 0);
        self.newest = Timestamp::MIN;
    }
}

/// The partition, of so many, for a piece: that of its metric and group. Where `--top` looks at all groups of a window, that of its metric.
fn place(config: &GroupConfig, piece: &Piece, names: &[&str], key: &mut Vec<u8>, partitions: u32) -> u32 {
    key.clear();
    key.extend_from_slice(names[piece.metric].as_bytes());
    if config.plan.queries[piece.metric].presentation.top.is_none() {
        key.push(0);
        key.extend_from_slice(&piece.key);
    }
    partition_of(key, partitions)
}
