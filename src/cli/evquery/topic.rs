//! `--follow --from kafka://…`: the rows of one metric as they come into a topic, until a signal comes or the reader of stdout goes.
//!
//! A topic has rows as evwindow wrote them, and nothing to merge them by: so what asks for other windows, groups or fields is refused.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};

use crate::cli::evquery::args::{Args, FillArg};
use crate::cli::evquery::{Judge, config};
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::flags;
use crate::cli::signals::StopRequest;
use crate::codec::encode::{EncodeOptions, OutputFormat, RowEncoder, encoder};
use crate::codec::row::{NamedRow, read};
use crate::kafka::source::From as Begin;
use crate::metric::{Metric, MetricSchema};
use crate::pipeline::abreast::Abreast;
use crate::pipeline::destination::shown;
use crate::plan::{MetricText, RowColumns};
use crate::sink::{self, FileMode, Sink};
use crate::source::Source;
use crate::source::address::{Address, KafkaAddress};
use crate::source::clock::SystemClock;
use crate::time::{Clock, Timestamp};

/// Writes the rows of `metric` until it is told to stop.
pub fn follow(args: &Args, from: &KafkaAddress, metric: &str) -> anyhow::Result<ExitCode> {
    check(args, from)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let since = since(args, clock.now())?;
    let stop = StopRequest::listen()?;
    let source = args.client.source(from, (since.map_or(Begin::Latest, Begin::At), false), &clock)?;
    let reader_gone = Arc::new(AtomicBool::new(false));
    let (gone, waker) = (Arc::clone(&reader_gone), source.waker());
    sink::stdout::watch_closed(move || {
        gone.store(true, Ordering::Relaxed);
        waker.wake();
    })?;
    stop.wake_on_request(source.waker());
    let is_stopped = || stop.exit_code().is_some() || reader_gone.load(Ordering::Relaxed);
    let mut rows = TopicRows::open(args)?;
    let mut blocks = Abreast::side_by_side(source);
    while let Some(block) = blocks.next(&is_stopped)? {
        for line in block.bytes.split(|&byte| byte == b'\n') {
            // What stands between rows, and what others write there, is none of this metric's.
            let Ok(NamedRow { schema, row }) = read(line) else { continue };
            if schema.name == metric && since.is_none_or(|since| row.window.end > since) {
                rows.take(schema, row)?;
            }
        }
        rows.flush()?;
        blocks.recycle(block.bytes);
        if let Some(alarm) = rows.alarm() {
            rows.finish()?;
            return Err(alarm).exit_code(ExitCode::FailIf);
        }
    }
    rows.finish()?;
    Ok(stop.exit_code().unwrap_or(ExitCode::Ok))
}

/// Refuses what a topic can't answer.
fn check(args: &Args, from: &KafkaAddress) -> anyhow::Result<()> {
    let (query, time) = (&args.query, &args.time);
    if !args.output.follow {
        return Err(anyhow!("cannot take --from '{from}': what is asked is answered by a store"))
            .hint("--follow writes a topic's rows as they come; evwindow --to store: keeps rows to be asked for")
            .exit_code(ExitCode::Usage);
    }
    let refused = [
        ("field", !query.field.is_empty()),
        ("by", !query.by.is_empty()),
        ("total", query.total),
        ("where", query.filter.is_some()),
        ("fill", query.fill != FillArg::None),
        ("until", time.until.is_some()),
        ("archive", args.beneath.archive.is_some()),
        ("metrics", args.beneath.metrics.is_some()),
    ];
    match refused.iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(anyhow!("cannot take --{flag} with '{from}': a topic's rows are written as they are"))
            .hint("ask a store for it, as evwindow --to store: keeps one")
            .exit_code(ExitCode::Usage),
        None => Ok(()),
    }
}

/// The time from which on rows are asked for; `None` from now on.
fn since(args: &Args, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    let asked = config::asked(&args.query, &args.time, true, now)?;
    Ok(asked.from)
}

/// Rows on their way to stdout.
struct TopicRows<'a> {
    format: OutputFormat,
    sink: Box<dyn Sink>,
    bytes: Vec<u8>,
    /// Of the row before.
    schema: Option<MetricSchema>,
    encoder: Option<Box<dyn RowEncoder>>,
    fail_if: Option<&'a str>,
    judge: Judge<'a>,
}

impl<'a> TopicRows<'a> {
    fn open(args: &'a Args) -> anyhow::Result<TopicRows<'a>> {
        Ok(TopicRows {
            format: config::format(&args.output, io::stdout().is_terminal()),
            sink: sink::open(&Address::Stdio, FileMode::Replace)?,
            bytes: Vec::new(),
            schema: None,
            encoder: None,
            fail_if: args.output.fail_if.as_deref(),
            judge: Judge { fail_if: None, found: None, has_looked: false },
        })
    }

    fn take(&mut self, schema: MetricSchema, row: Metric) -> anyhow::Result<()> {
        if self.schema.as_ref() != Some(&schema) {
            self.meet(schema)?;
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.row(&row, &mut self.bytes);
        }
        if self.judge.found.is_none() && !row.retracted {
            self.judge.look(&[row]);
        }
        Ok(())
    }

    /// The first row says which columns there are. Where later ones have others, lines of JSON can follow, but no header can.
    fn meet(&mut self, schema: MetricSchema) -> anyhow::Result<()> {
        if self.encoder.is_some() && self.format != OutputFormat::Ndjson {
            return Err(anyhow!("cannot go on: the rows of '{}' have other columns than before", schema.name))
                .hint("--format ndjson has room for both");
        }
        let options = EncodeOptions {
            changes: true,
            color: flags::may_colour(io::stdout().is_terminal()),
            ..EncodeOptions::default()
        };
        let mut encoder = encoder(self.format, std::slice::from_ref(&schema), &options)?;
        encoder.begin(&mut self.bytes);
        self.encoder = Some(encoder);
        if let Some(text) = self.fail_if {
            let named: Vec<(String, String)> =
                schema.aggregates.iter().map(|name| (name.clone(), name.clone())).collect();
            let program = RowColumns::new(&[], &named).over_rows(&MetricText::default(), "fail-if", text);
            let hint = program.as_ref().err().and_then(|error| error.hint());
            self.judge.fail_if = Some((text, program.hint_if(hint).exit_code(ExitCode::Usage)?));
        }
        self.schema = Some(schema);
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if let Some(encoder) = &mut self.encoder {
            encoder.flush(&mut self.bytes);
        }
        self.sink.write(&self.bytes)?;
        self.bytes.clear();
        Ok(self.sink.flush()?)
    }

    /// The row for which `--fail-if` is TRUE, in words.
    fn alarm(&self) -> Option<anyhow::Error> {
        let (row, schema) = (self.judge.found.as_ref()?, self.schema.as_ref()?);
        let shown = shown(row, std::slice::from_ref(schema));
        Some(anyhow!("--fail-if '{}' is TRUE for {shown}", self.fail_if.unwrap_or_default()))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(encoder) = &mut self.encoder {
            encoder.end(&mut self.bytes);
        }
        self.sink.write(&self.bytes)?;
        self.sink.finish().context("cannot finish the rows")
    }
}
