//! `--transactional-id`: files to a topic, each event once and each reject too, however often the run is killed, loses its cluster, and is started again.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::cli::evingest::config::Config;
use crate::cli::evingest::{Around, Start, attempt};
use crate::cli::exit::{ExitCode, ReportContext, error_of};
use crate::cli::kafka::explained;
use crate::kafka::bookmark::{Bookmark, TEXT_BYTES_MAX};
use crate::kafka::error::KafkaError;
use crate::kafka::transaction::{Transaction, TransactionError};
use crate::pipeline::ingest::error::IngestError;
use crate::pipeline::ingest::exactly_once::{Transactional, Waiting};
use crate::pipeline::ingest::positions::{Positions, PositionsError};
use crate::pipeline::ingest::summary::Summary;
use crate::sink::Sink;
use crate::source::address::{Address, KafkaAddress};
use crate::source::identity::Head;
use crate::source::input::Compression;

/// So often in a row a transaction may be lost without any that was committed between.
const LOSSES_MAX: u32 = 5;

/// Whoever is fenced twice within this has a rival; once, and only its transaction ran out of time.
const RIVALRY: Duration = Duration::from_secs(30);

/// A cluster that was there at the start is waited for longer than one that was not.
const PATIENCE: Duration = Duration::from_secs(60);

/// Delivers events and positions together, and goes on after every loss.
pub fn deliver(config: &Config, to: &KafkaAddress, name: &str, around: &Around) -> anyhow::Result<Summary> {
    let settings = config.client.settings(&to.brokers)?;
    let heads = heads(config)?;
    let rejects_topic = match &config.rejects_to {
        Some(Address::Kafka(rejects)) => {
            // A topic that isn't there is told now, and not by a transaction that is lost.
            config.client.producer(rejects)?;
            Some(&rejects.topic)
        }
        _ => None,
    };
    let mut patience = Duration::from_micros(config.client.startup_timeout.0.unsigned_abs());
    let (mut before, mut attempted) = (Summary::default(), None);
    let (mut losses, mut fenced): (u32, Option<Instant>) = (0, None);
    loop {
        let bookmark = Bookmark::open(&settings, name, &to.topic, patience).map_err(explained)?;
        let transaction = Transaction::open(&settings, name, patience).map_err(explained)?;
        let kept = bookmark.read(patience).map_err(explained)?;
        let (written, text) = kept.map_or((0, String::new()), |kept| (kept.offset, kept.metadata));
        // The commit whose answer was lost came through after all.
        if let Some((_, summary)) = attempted.take().filter(|(committed, _)| *committed == text) {
            before = summary;
        }
        let positions =
            Positions::of(&heads, &text).and_then(|positions| positions.check_room(TEXT_BYTES_MAX).map(|()| positions));
        let positions = positions.map_err(refused)?;
        let start = Start {
            positions: (0..heads.len()).map(|input| positions.of_input(input)).collect(),
            before: before.clone(),
        };
        check_length(config, &start)?;
        let mut delivery = Transactional::new(transaction, bookmark, &to.topic, positions, written);
        let mut rejects: Option<Box<dyn Sink>> = None;
        if let Some(topic) = rejects_topic {
            let waiting = Waiting::default();
            delivery = delivery.with_rejects(topic, waiting.clone());
            rejects = Some(Box::new(waiting));
        }
        let error = match attempt(config, around, (Box::new(delivery), rejects), &start) {
            Ok(summary) => return Ok(summary),
            Err(error) => error.downcast::<IngestError>()?,
        };
        let IngestError::Lost { source, committed, attempted: last } = error else { return Err(error.into()) };
        losses = if committed.accepted > before.accepted { 1 } else { losses + 1 };
        let is_fenced = matches!(source, TransactionError::Lost { is_fenced: true, .. });
        if is_fenced && fenced.replace(Instant::now()).is_some_and(|before| before.elapsed() < RIVALRY) {
            return Err(explained(KafkaError::Fenced { name: name.to_owned() }));
        }
        before = *committed;
        attempted = last.map(|(text, summary)| (text, *summary));
        if losses >= LOSSES_MAX || around.stop.exit_code().is_some() {
            return Err(IngestError::Lost { source, committed: Box::new(before), attempted: None }.into());
        }
        patience = PATIENCE;
    }
}

/// How each input begins, which it is known by.
fn heads(config: &Config) -> anyhow::Result<Vec<(String, Head)>> {
    let head = |input: &crate::source::input::Input| {
        let name = input.name();
        let head = Head::of(input).with_context(|| format!("cannot read '{name}'"))?;
        let head = head.ok_or_else(|| {
            anyhow!(
                "cannot take --transactional-id: '{name}' can be read once only, and a run that goes on reads again"
            )
        });
        Ok((
            name,
            head.hint("give files; for stdin and pipes leave --transactional-id out").exit_code(ExitCode::Usage)?,
        ))
    };
    config.inputs.iter().map(head).collect()
}

/// Refuses files that are shorter than they were: what was read of them is not there any more.
fn check_length(config: &Config, start: &Start) -> anyhow::Result<()> {
    for (input, position) in config.inputs.iter().zip(&start.positions) {
        let Address::Path(path) = &input.address else { continue };
        let length = path.metadata().with_context(|| format!("cannot read '{}'", input.name()))?.len();
        if input.compression == Compression::None && length < position.byte {
            let (name, byte) = (input.name(), position.byte);
            return Err(anyhow!("cannot go on with '{name}': it was read up to byte {byte}, and has {length} now"))
                .hint("give the whole file, or another --transactional-id");
        }
    }
    Ok(())
}

fn refused(error: PositionsError) -> anyhow::Error {
    let hint = match &error {
        PositionsError::TooMany { .. } => "give fewer files at a time, each run with a --transactional-id of its own",
        PositionsError::Alike { .. } => "give each file once",
        PositionsError::Unreadable { .. } => "take another --transactional-id: this group is used by something else",
    };
    error_of(Err(error).context("cannot take --transactional-id").hint(hint).exit_code(ExitCode::Usage))
}
