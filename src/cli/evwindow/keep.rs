//! The local store among evwindow's outputs: which metrics it takes, and what must be the same for a run to go on where the
//! last one ended.

use std::path::PathBuf;

use anyhow::anyhow;

use crate::cli::archive::hint_of_input;
use crate::cli::evwindow::config::{Output, name};
use crate::cli::evwindow::{Args, TimeArg};
use crate::cli::exit::{ExitCode, ReportContext, error_of};
use crate::cli::kept_query::{MERGE, query_of};
use crate::cli::points::explained_write;
use crate::pipeline::error::PipelineError;
use crate::pipeline::keep::{KeepError, Keeper, Readable};
use crate::plan::Plan;
use crate::plan::meaning::meaning;
use crate::source::address::Address;
use crate::store::{Catalogue, Job, StoreError, WindowKind, default_path};
use crate::time::{Duration, Timestamp};

/// `--to store:`.
#[derive(Debug, Clone)]
pub struct Store {
    /// The file; the default one if none is named.
    path: Option<PathBuf>,
    /// Whose rows it takes, by metric.
    metrics: Vec<bool>,
    wish: Wish,
    /// Whether a repair only says what it would do.
    pub is_dry: bool,
}

/// What the arguments say of any store.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What the answer depends on beside the queries, by flag.
    shared: Vec<(String, String)>,
    reset: bool,
    /// Over a topic a verdict on the future is the same for ever, and so part of the answer.
    max_future: Option<Duration>,
}

impl Wish {
    /// That of these arguments.
    pub fn of(args: &Args) -> Wish {
        Wish { shared: shared(args), reset: args.output.reset, max_future: args.time.max_future.0 }
    }

    /// The query of each metric as flags and their values, by which events can be windowed once more.
    pub fn queries(&self, plan: &Plan) -> Vec<Vec<(String, String)>> {
        let max_future = self.max_future.map_or_else(|| "none".to_owned(), |max| max.to_string());
        let max_future = ("--max-future".to_owned(), max_future);
        let of_text = |text| query_of(text).map(|(flag, value)| (flag.to_owned(), value));
        let of_metric = |text| self.shared.iter().cloned().chain([max_future.clone()]).chain(of_text(text)).collect();
        plan.texts.iter().map(of_metric).collect()
    }

    /// What the answer over a topic of this name depends on, as one number.
    pub fn fingerprint(&self, plan: &Plan, topic: &str) -> u64 {
        let mut text = format!("topic\0{topic}\0--max-future\0{:?}\0", self.max_future);
        let queries =
            plan.texts.iter().zip(&plan.schemas).flat_map(|(of, schema)| {
                query_of(of).map(|(flag, value)| (format!("{flag} of '{}'", schema.name), value))
            });
        for (name, value) in self.shared.iter().cloned().chain(queries) {
            text.push_str(&format!("{name}\0{}\0", meaning(&name, &value)));
        }
        rapidhash::v3::rapidhash_v3(text.as_bytes())
    }
}

impl Store {
    /// Takes the store out of the outputs. One run has one store: its points and what is open are committed together.
    pub fn among(outputs: &mut Vec<Output>, wish: &Wish, has_buckets: bool) -> anyhow::Result<Option<Store>> {
        let mut stores = outputs.extract_if(.., |output| matches!(output.address, Address::Store(_)));
        let (store, other) = (stores.next(), stores.next());
        drop(stores);
        if let (Some(Output { address: first, .. }), Some(Output { address: other, .. })) = (&store, &other) {
            return Err(anyhow!(
                "cannot take --to '{other}': '{first}' is written too, and a run keeps its place in one store"
            ))
            .hint("run evwindow once for each store")
            .exit_code(ExitCode::Usage);
        }
        let Some(Output { address: Address::Store(path), metrics, .. }) = store else {
            return match wish.reset && !has_buckets {
                true => Err(anyhow!("cannot take --reset: it is for what a store keeps, and there is no --to store:"))
                    .exit_code(ExitCode::Usage),
                false => Ok(None),
            };
        };
        Ok(Some(Store { path, metrics, wish: wish.clone(), is_dry: false }))
    }

    /// Whether what it has of the metrics is dropped before.
    pub fn is_reset(&self) -> bool {
        self.wish.reset
    }

    /// Opens it for the plan's metrics. `is_resumable`: the inputs are events.
    pub fn open(&self, plan: &Plan, inputs: &[Readable], is_resumable: bool) -> anyhow::Result<Keeper> {
        let (path, job, numbers) = self.job(plan)?;
        Keeper::open(&path, &job, numbers, inputs, is_resumable).map_err(explained)
    }

    /// Opens it to make the windows within `range` anew, from an archive.
    pub fn open_over(&self, plan: &Plan, range: (Timestamp, Timestamp)) -> anyhow::Result<Keeper> {
        let (path, job, numbers) = self.job(plan)?;
        if job.reset {
            return Err(anyhow!("cannot take --reset: an archive makes windows anew, and drops nothing else"))
                .hint("--start and --until say which windows")
                .exit_code(ExitCode::Usage);
        }
        Keeper::open_over(&path, &job, numbers, range).map_err(explained)
    }

    /// Opens it to bring late events in.
    pub fn open_repair(&self, plan: &Plan, inputs: &[Readable]) -> anyhow::Result<Keeper> {
        let (path, job, numbers) = self.job(plan)?;
        let opened = Keeper::open_repair(&path, &job, numbers, inputs, &plan.queries);
        let mut keeper = opened.map_err(|error| match error {
            KeepError::Shrunk { .. } | KeepError::Gap { .. } => error_of(Err(error).hint(
                "late events that were not brought in are lost with it; give what comes from now on to another file or topic",
            )),
            error => explained(error),
        })?;
        if self.is_dry {
            keeper.stay_dry();
        }
        Ok(keeper)
    }

    /// Opens it to make the windows within `range` anew with their late events. Beside it is said up to where the owner has fired.
    /// `is_part`: this process has it open in this way, and does a part of that.
    pub fn open_repair_over(
        &self,
        plan: &Plan,
        range: (Timestamp, Timestamp),
        is_part: bool,
    ) -> anyhow::Result<(Keeper, Timestamp)> {
        let (path, job, numbers) = self.job(plan)?;
        Keeper::open_repair_over(&path, &job, numbers, (range, is_part), &plan.queries).map_err(explained)
    }

    /// Refuses metrics whose points can't be added to.
    pub fn check_mends(&self, plan: &Plan) -> anyhow::Result<()> {
        let (_, job, _) = self.job(plan)?;
        let Some(metric) = job.metrics.iter().find(|metric| !metric.mends()) else { return Ok(()) };
        let cause = match metric.refusal() {
            Some(cause) => cause.to_owned(),
            None => {
                let lacks = (0..metric.fields.len()).find(|field| !metric.keeps_state(*field));
                let field = lacks.map_or("", |field| metric.fields[field].expression.as_str());
                format!("what {field} is made of is not kept")
            }
        };
        let name = &metric.name;
        let hint = match metric.window {
            WindowKind::Session { .. } | WindowKind::Global => {
                "window all events anew, under another --name, with a --watermark-delay that takes them"
            }
            _ => "--archive DIR makes the windows anew that have late events",
        };
        Err(anyhow!("cannot add late events to the points of '{name}': {cause}")).hint(hint).exit_code(ExitCode::Usage)
    }

    /// Where it is, what is written, and the number in it of each of the plan's metrics.
    fn job(&self, plan: &Plan) -> anyhow::Result<(PathBuf, Job, Vec<Option<usize>>)> {
        let path = match &self.path {
            Some(path) => path.clone(),
            None => default_path().map_err(explained_store)?,
        };
        let mut job = Job { metrics: Vec::new(), fingerprint: self.wish.shared.clone(), reset: self.wish.reset };
        let mut numbers = Vec::new();
        let texts = plan.texts.iter().zip(&plan.schemas).zip(&plan.queries);
        for (((text, schema), query), is_kept) in texts.zip(&self.metrics) {
            numbers.push(is_kept.then_some(job.metrics.len()));
            if *is_kept {
                job.metrics.push(Catalogue::of(text, schema, &query.functions));
            }
            // What is open is that of all metrics.
            job.fingerprint.extend(query_of(text).map(|(flag, value)| (format!("{flag} of '{}'", schema.name), value)));
        }
        Ok((path, job, numbers))
    }
}

/// Adds to an error of the pipeline what the user can do, and its exit code.
pub fn explained_pipeline(error: PipelineError) -> anyhow::Error {
    match error {
        PipelineError::Keep(error) => explained(error),
        PipelineError::Points(error) => explained_write(error),
        PipelineError::Source(error) => {
            let hint = hint_of_input(&error);
            error_of(Err(PipelineError::Source(error)).hint_if(hint))
        }
        error => error.into(),
    }
}

fn explained(error: KeepError) -> anyhow::Error {
    let hint = match error {
        KeepError::Store(error) => return explained_store(error),
        KeepError::ReadOnce { .. } => {
            let hint = "store it under another --name; or begin anew with --reset: it drops what the store has of these metrics";
            return error_of(Err(error).hint(hint).exit_code(ExitCode::Usage));
        }
        KeepError::LateOnce { .. } => {
            return error_of(Err(error).hint("write it to a file, and give that").exit_code(ExitCode::Usage));
        }
        KeepError::Late(error) => return error.into(),
        KeepError::Read { .. } => "give readable files, or - for stdin",
        KeepError::Shrunk { .. } => {
            "give the whole file, or begin anew with --reset: it drops what the store has of these metrics"
        }
        KeepError::Gap { .. } => {
            "begin anew with --reset: it drops what the store has of these metrics; or store them under other names"
        }
        KeepError::State(_) => "begin anew with --reset: it drops what the store has of these metrics",
    };
    error_of(Err(error).hint(hint))
}

fn explained_store(error: StoreError) -> anyhow::Error {
    let hint = error.hint();
    let code = match &error {
        error if error.is_fenced() => ExitCode::Fenced,
        StoreError::Changed { .. }
        | StoreError::Unknown { .. }
        | StoreError::Repaired { .. }
        | StoreError::Mended { .. }
        | StoreError::NoHome => ExitCode::Usage,
        _ => ExitCode::Failure,
    };
    error_of(Err(error).hint_if(hint).exit_code(code))
}

/// What decides which events there are, and how time goes on.
fn shared(args: &Args) -> Vec<(String, String)> {
    let time = &args.time;
    let mut shared = vec![
        ("--time".to_owned(), name(&time.time)),
        ("--watermark-delay".to_owned(), time.watermark_delay.to_string()),
        ("--csv-schema".to_owned(), args.input.csv_schema.clone().unwrap_or_default()),
    ];
    if time.time == TimeArg::Event {
        shared.push(("--time-field".to_owned(), time.time_field.clone()));
        shared.push(("--time-format".to_owned(), name(&time.time_format)));
    }
    if args.query.merge {
        shared.push((MERGE.to_owned(), "true".to_owned()));
    }
    shared
}
