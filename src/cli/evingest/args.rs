//! evingest's flags, one by one.
//!
//! Knows nothing of how they must fit together; that is the config's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::about::AboutArgs;
use crate::cli::archive::ArchiveArgs;
use crate::cli::evingest::groups::GroupsCommand;
use crate::cli::evingest::topics::TopicsCommand;
use crate::cli::flags;
use crate::cli::input::InputArgs;
use crate::cli::kafka::ClientArgs;
use crate::cli::registry::RegistryArgs;
use crate::pipeline::tally::RejectsMax;
use crate::time::Duration;

/// Validates events and hands them on, to Kafka or down a pipe.
///
/// Reads NDJSON or CSV from stdin, files and globs, one after the other. An event has an event_id, an event_type, an RFC 3339
/// timestamp and a user_id or device_id; a JSON Schema for its type may ask for more. Good events go to the output in the
/// order of the input, the others to --rejects-to with the reason, from where `evingest replay` sends them again.
#[derive(Debug, Clone, Parser)]
#[command(name = "evingest", version, args_conflicts_with_subcommands = true, after_long_help = EXAMPLES)]
pub struct Args {
    /// replay, schema, topics, groups; without one, events are read
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Files, globs, or - for stdin [default: -]
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<OsString>,

    /// What is read.
    #[command(flatten)]
    pub input: InputArgs,

    /// What is demanded, and where it goes.
    #[command(flatten)]
    pub run: RunArgs,

    /// What is asked about the program itself.
    #[command(flatten)]
    pub about: AboutArgs,
}

/// What else evingest does.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Send rejects again: their original bytes, judged anew
    Replay(Box<ReplayArgs>),
    /// Keep JSON Schemas of event types, in versions
    Schema {
        /// What is done
        #[command(subcommand)]
        command: SchemaCommand,
    },
    /// Make topics and look at them
    Topics {
        /// What is done
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// Look at consumer groups
    Groups {
        /// What is done
        #[command(subcommand)]
        command: GroupsCommand,
    },
}

/// `evingest replay`.
#[derive(Debug, Clone, clap::Args)]
pub struct ReplayArgs {
    /// Files that --rejects-to wrote, globs, or - for stdin
    #[arg(value_name = "REJECTS", required = true)]
    pub rejects: Vec<OsString>,

    /// Only rejects for which this SQL expression is TRUE: source, line, byte, reason, pointer, attempt, payload
    #[arg(short = 'w', long = "where", value_name = "EXPR")]
    pub filter: Option<String>,

    /// What is demanded, and where it goes.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `evingest schema`.
#[derive(Debug, Clone, Subcommand)]
pub enum SchemaCommand {
    /// Add a version of a type's schema, if it is compatible with the one before
    Put {
        /// The type, schema and registry.
        #[command(flatten)]
        schema: SchemaArgs,

        /// What the new version must do with what the one before took
        #[arg(long, value_enum, default_value = "backward")]
        compatibility: CompatibilityArg,
    },
    /// Print a schema
    Get {
        /// The event type
        #[arg(value_name = "TYPE")]
        event_type: String,

        /// Which version [default: the newest]
        #[arg(long, value_name = "N")]
        version: Option<u32>,

        /// Where schemas are kept.
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// List types and versions
    List {
        /// Where schemas are kept.
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Make a registry's tables; say what was made, and what was there
    Init {
        /// Say what would be made, and change nothing
        #[arg(long)]
        dry_run: bool,

        /// Where schemas are kept.
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Say whether `put` would take a schema, and change nothing
    Check {
        /// The type, schema and registry.
        #[command(flatten)]
        schema: SchemaArgs,

        /// What the new version must do with what the one before took
        #[arg(long, value_enum, default_value = "backward")]
        compatibility: CompatibilityArg,
    },
}

/// A schema for a type.
#[derive(Debug, Clone, clap::Args)]
pub struct SchemaArgs {
    /// The event type
    #[arg(value_name = "TYPE")]
    pub event_type: String,

    /// The schema: a JSON file, or - for stdin
    #[arg(value_name = "FILE")]
    pub file: OsString,

    /// Where schemas are kept.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// What is demanded of events, and where they go.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RunArgs {
    /// What is demanded.
    #[command(flatten)]
    pub validation: ValidationArgs,

    /// Where it goes.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Where it is kept; without --to, there only.
    #[command(flatten)]
    pub archive: ArchiveArgs,

    /// How clients of Kafka are set up.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// What is demanded of events.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Validation")]
pub struct ValidationArgs {
    /// Judge events by the JSON Schemas in this folder, one a type: TYPE.json
    #[arg(long, value_name = "FOLDER", conflicts_with = "registry")]
    pub schemas: Option<PathBuf>,

    /// Judge events by the newest JSON Schemas of this registry, an SQLite file or postgres://USER@HOST:PORT/DB [default:
    /// $EVKIT_REGISTRY, if it is set]
    #[arg(long, value_name = "ADDRESS")]
    pub registry: Option<OsString>,

    /// How often the registry is asked for newer schemas [default: 10s]
    #[arg(long, value_name = "D", value_parser = flags::duration, conflicts_with = "schemas")]
    pub schema_refresh: Option<Duration>,

    /// What to do with events whose type has no schema [default: accept]
    #[arg(long, value_enum)]
    pub unknown_type: Option<UnknownTypeArg>,

    /// Leave out events whose value of this field came before: event_id
    #[arg(long, value_name = "PATH")]
    pub dedup: Option<String>,

    /// How much older than the newest event one may be to be known again [default: 10m]
    #[arg(long, value_name = "D", value_parser = flags::duration, requires = "dedup")]
    pub dedup_window: Option<Duration>,

    /// How many values are remembered at most; each takes about 60 bytes [default: 1M]
    #[arg(long, value_name = "N", value_parser = |text: &str| flags::count_within(text, 1, 100_000_000), requires = "dedup")]
    pub dedup_max: Option<u32>,

    /// Reject lines longer than this [default: 1MiB]
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    pub max_line: Option<usize>,

    /// Write rejected lines to this file or topic, with reason, field and position
    #[arg(long, value_name = "ADDRESS")]
    pub rejects_to: Option<OsString>,

    /// End with code 3 when more lines than this are rejected: 100, or 1%
    #[arg(long, value_name = "N|P%", value_parser = flags::rejects_max)]
    pub max_rejects: Option<RejectsMax>,

    /// Threads that validate [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = |text: &str| flags::count_within(text, 1, 256))]
    pub threads: Option<u32>,
}

/// Where events go.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Where events go: kafka://HOST:PORT/TOPIC, a file, or - for stdout [default: -, with --archive nowhere else]
    #[arg(short = 'o', long, value_name = "ADDRESS")]
    pub to: Option<OsString>,

    /// The field whose value is a record's key: equal ones share a partition; none for no keys [default: user_id]
    #[arg(long, value_name = "PATH")]
    pub key: Option<String>,

    /// Exactly once, of files to a topic: commit records and places in the files together, under this name
    ///
    /// A run that was killed or lost its cluster is run again with the same name and files: it goes on where the last commit
    /// was, and adds nothing twice. Readers must read committed records only, as evwindow does. The cluster keeps the places as
    /// the offset of a group of that name, for as long as it keeps offsets of groups without members (7 days by default).
    #[arg(long, value_name = "NAME", conflicts_with_all = ["dedup", "verdicts"])]
    pub transactional_id: Option<String>,

    /// Send at most this many events a second, evenly
    #[arg(short, long, value_name = "N", value_parser = flags::rate_milli)]
    pub rate: Option<u64>,

    /// Write to the end of files instead of replacing them
    #[arg(long)]
    pub append: bool,

    /// Tell on stdout of every event what became of it, one JSON object a line
    #[arg(long)]
    pub verdicts: bool,

    /// Report on stderr what happened to every line, as text or json
    #[arg(long, value_name = "text|json", num_args = 0..=1, default_missing_value = "text")]
    pub stats: Option<OsString>,

    /// No report on stderr
    #[arg(short, long, conflicts_with = "stats")]
    pub quiet: bool,
}

/// `--unknown-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnknownTypeArg {
    /// They are judged by their form alone
    Accept,
    /// They are rejected
    Reject,
}

/// `--compatibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompatibilityArg {
    /// Take all that the version before took
    Backward,
    /// Take nothing that the version before refused
    Forward,
    /// Both
    Full,
    /// Anything
    None,
}

const EXAMPLES: &str = "\
Examples:
  What of these logs is fit to be sent, and what is not:
    evingest 'logs/*.ndjson.gz' --rejects-to bad.ndjson > good.ndjson
  Live events into a topic, keyed by user:
    evgen --rate 20k | evingest --to kafka://127.0.0.1:9092/raw_events
  By a schema for each event type:
    evingest --schemas schemas/ --unknown-type reject events.ndjson
  The same from a registry:
    evingest schema put purchase_completed purchase.json
    evingest --registry ~/.local/share/evkit/registry.db events.ndjson
  From a registry that several machines share:
    evingest schema init --registry postgres://evkit@db.example.com/evkit
    evingest --registry postgres://evkit@db.example.com/evkit events.ndjson
  What was rejected for its user_id, once that is mended upstream:
    evingest replay bad.ndjson --where \"pointer = '/user_id'\" \\
      --to kafka://127.0.0.1:9092/raw_events --rejects-to still-bad.ndjson

Exit codes: 0 ok and every event acknowledged, 1 failure, 2 usage,
  3 more rejects than --max-rejects, 4 no broker or registry, or not all
  acknowledged, 130/143 signals.";
