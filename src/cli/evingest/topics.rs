//! `evingest topics`: makes topics as a file wants them, and shows those that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde_json::{Map, Value as Json, json};

use crate::cli::about;
use crate::cli::evingest::cluster::{ClusterArgs, in_words};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::flags;
use crate::cli::records::{ListFormat, cell, is_table, show, table};
use crate::kafka::admin::plan::{Change, TopicPlan};
use crate::kafka::admin::{Topic, TopicSpec};

/// `evingest topics`.
#[derive(Debug, Clone, Subcommand)]
pub enum TopicsCommand {
    /// Make the topics of a file, and give those that are there what they lack; never deletes, never shrinks
    Apply {
        /// The file, such as topics.toml
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,

        /// Which cluster.
        #[command(flatten)]
        cluster: ClusterArgs,

        /// How it is told [default: a table on a terminal, else ndjson]
        #[arg(short, long, value_enum)]
        format: Option<ListFormat>,
    },
    /// Show the topics that there are
    List {
        /// Which cluster.
        #[command(flatten)]
        cluster: ClusterArgs,

        /// How [default: a table on a terminal, else ndjson]
        #[arg(short, long, value_enum)]
        format: Option<ListFormat>,
    },
    /// Show a topic: its settings, its partitions and where they end
    Describe {
        /// The topic
        topic: String,

        /// Which cluster.
        #[command(flatten)]
        cluster: ClusterArgs,

        /// How [default: a table on a terminal, else ndjson]
        #[arg(short, long, value_enum)]
        format: Option<ListFormat>,
    },
}

/// Does what is asked for.
pub(crate) fn run(command: &TopicsCommand) -> anyhow::Result<ExitCode> {
    match command {
        TopicsCommand::Apply { file, dry_run, cluster, format } => apply(file, *dry_run, cluster, *format),
        TopicsCommand::List { cluster, format } => list(cluster, *format),
        TopicsCommand::Describe { topic, cluster, format } => describe(topic, cluster, *format),
    }
}

fn apply(file: &Path, dry_run: bool, cluster: &ClusterArgs, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    let read = || format!("cannot read the topics of '{}'", file.display());
    let text = std::fs::read_to_string(file).with_context(read)?;
    let specs = specs_of(&text).with_context(read).exit_code(ExitCode::Usage)?;
    let admin = cluster.connect()?;
    // All is looked at before anything is done: what can't be asked for shows before half of it is made.
    let plans = specs.iter().map(|spec| in_words(admin.plan(spec))).collect::<anyhow::Result<Vec<TopicPlan>>>()?;
    let mut records = Vec::new();
    let mut failed = Ok(());
    for plan in &plans {
        if !dry_run {
            failed = in_words(admin.carry_out(plan));
        }
        if failed.is_err() {
            break;
        }
        records.push(told(plan));
    }
    show(&records, format, "the file names no topic\n")?;
    failed?;
    let left: Vec<&str> = plans.iter().filter(|plan| !plan.left.is_empty()).map(|plan| plan.name.as_str()).collect();
    match left.is_empty() {
        true => Ok(ExitCode::Ok),
        false => Err(anyhow!("not all could be made as the file wants it: {}", left.join(", "))),
    }
}

fn list(cluster: &ClusterArgs, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    let admin = cluster.connect()?;
    let mut records = Vec::new();
    for topic in in_words(admin.topics())? {
        let settings = in_words(admin.topic_settings(&topic.name))?;
        records.push(summary(&topic, &settings));
    }
    show(&records, format, &format!("the cluster '{}' has no topic yet\n", cluster.at.0))
}

fn describe(name: &str, cluster: &ClusterArgs, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    let admin = cluster.connect()?;
    let Some(topic) = in_words(admin.topic(name))? else {
        return Err(anyhow!("there is no topic '{name}' at '{}'", cluster.at.0))
            .hint("evingest topics list shows those that there are");
    };
    let settings = in_words(admin.topic_settings(name))?;
    let ends = in_words(admin.ends(name))?;
    let partitions = topic.partitions.iter().map(|partition| {
        let ends = ends.iter().find(|ends| ends.partition == partition.partition);
        json!({
            "partition": partition.partition,
            "leader": partition.leader,
            "replicas": partition.replicas,
            "in_sync": partition.in_sync,
            "low": ends.map(|ends| ends.low),
            "stable": ends.map(|ends| ends.stable),
            "high": ends.map(|ends| ends.high),
        })
    });
    let partitions: Vec<Json> = partitions.collect();
    let mut record = summary(&topic, &settings);
    if !is_table(format) {
        record.insert("ends".into(), partitions.into());
        return show(&[record], format, "");
    }
    let mut text: String =
        record.iter().map(|(name, value)| format!("{:<13}{}\n", format!("{name}:"), cell(value))).collect();
    let header = ["partition", "leader", "replicas", "in_sync", "low", "stable", "high"];
    let rows = partitions.iter().map(|partition| header.iter().map(|column| cell(&partition[*column])).collect());
    text.push('\n');
    text.push_str(&table(&header, rows.collect()));
    about::print(printable(&text).as_bytes())?;
    Ok(ExitCode::Ok)
}

fn summary(topic: &Topic, settings: &BTreeMap<String, String>) -> Map<String, Json> {
    let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Map::from_iter([
        ("topic".to_owned(), json!(topic.name)),
        ("partitions".to_owned(), json!(topic.partitions.len())),
        ("replication".to_owned(), json!(topic.replication())),
        ("settings".to_owned(), json!(settings)),
    ])
}

/// A plan as a record.
fn told(plan: &TopicPlan) -> Map<String, Json> {
    let mut changes = Vec::new();
    let action = match &plan.change {
        Change::None => "keep",
        Change::Create(spec) => {
            changes.push(format!("partitions={}", spec.partitions));
            changes.extend(spec.replication.map(|replication| format!("replication={replication}")));
            changes.extend(spec.settings.iter().map(|(name, value)| format!("{name}={value}")));
            "create"
        }
        Change::Alter { partitions, settings } => {
            changes.extend(partitions.map(|(before, after)| format!("partitions={after} (was {before})")));
            changes.extend(settings.iter().map(|(name, (before, after))| match before {
                Some(before) => format!("{name}={after} (was {before})"),
                None => format!("{name}={after}"),
            }));
            "alter"
        }
    };
    Map::from_iter([
        ("topic".to_owned(), json!(plan.name)),
        ("action".to_owned(), json!(action)),
        ("changes".to_owned(), json!(changes)),
        ("left".to_owned(), json!(plan.left)),
    ])
}

/// The file as it is written.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicsFile {
    #[serde(default)]
    topic: Vec<TopicText>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicText {
    name: String,
    partitions: u32,
    replication: Option<u32>,
    retention: Option<String>,
    cleanup: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

/// The topics that a file wants.
fn specs_of(text: &str) -> anyhow::Result<Vec<TopicSpec>> {
    let file: TopicsFile = toml::from_str(text)?;
    let mut names = BTreeSet::new();
    let mut specs = Vec::new();
    for topic in file.topic {
        let name = topic.name.clone();
        if !names.insert(name.clone()) {
            return Err(anyhow!("it names the topic '{name}' twice"));
        }
        specs.push(spec_of(topic).with_context(|| format!("topic '{name}'"))?);
    }
    Ok(specs)
}

fn spec_of(topic: TopicText) -> anyhow::Result<TopicSpec> {
    if topic.partitions == 0 || topic.replication == Some(0) {
        return Err(anyhow!("partitions and replication are at least 1"));
    }
    let mut settings = topic.settings;
    let mut set = |key: &str, setting: &str, value: String| match settings.insert(setting.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(anyhow!("'{key}' and the setting '{setting}' are the same")),
    };
    if let Some(retention) = topic.retention {
        let retention = flags::duration_or_none(&retention).context("'retention'")?.0;
        let milliseconds = retention.map_or(-1, |retention| retention.0 / 1000);
        set("retention", "retention.ms", milliseconds.to_string())?;
    }
    if let Some(cleanup) = topic.cleanup {
        let policies = ["delete", "compact", "delete,compact", "compact,delete"];
        if !policies.contains(&cleanup.as_str()) {
            return Err(anyhow!("'cleanup' is '{cleanup}', and must be one of: {}", policies[..3].join(" ")));
        }
        set("cleanup", "cleanup.policy", cleanup)?;
    }
    Ok(TopicSpec { name: topic.name, partitions: topic.partitions, replication: topic.replication, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topic's name, partitions and settings.
    type Wanted<'a> = (&'a str, u32, &'a [(&'a str, &'a str)]);

    fn check(text: &str, expected: Result<&[Wanted<'_>], &str>) {
        let expected = expected.map(|topics| {
            let one = |(name, partitions, settings): &Wanted<'_>| TopicSpec {
                name: (*name).into(),
                partitions: *partitions,
                replication: None,
                settings: settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            };
            topics.iter().map(one).collect::<Vec<_>>()
        });
        match (specs_of(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => {
                let found = format!("{found:#}");
                assert!(found.contains(expected), "'{expected}' is not in '{found}'");
            }
            (found, expected) => panic!("{found:?} in place of {expected:?}"),
        }
    }

    #[test]
    fn the_file_that_ships() {
        let expected: &[Wanted<'_>] = &[
            ("raw_events", 12, &[("retention.ms", "604800000")]),
            ("processed_metrics", 6, &[("retention.ms", "2592000000")]),
        ];
        check(include_str!("../../../topics.toml"), Ok(expected));
    }

    #[test]
    fn settings_have_short_names_and_kafkas() {
        let text = r#"
            [[topic]]
            name = "a"
            partitions = 1
            retention = "none"
            cleanup = "delete,compact"
            settings = { "segment.ms" = "1000" }
        "#;
        let settings = [("cleanup.policy", "delete,compact"), ("retention.ms", "-1"), ("segment.ms", "1000")];
        check(text, Ok(&[("a", 1, &settings)]));
        check("", Ok(&[]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        check("[[topic]]\nname = \"a\"\npartitions = 0", Err("topic 'a': partitions and replication are at least 1"));
        check("[[topic]]\nname = \"a\"\npartition = 1", Err("unknown field `partition`"));
        check("[[topic]]\nname = \"a\"\npartitions = 1\nretention = \"7 days\"", Err("topic 'a': 'retention'"));
        check("[[topic]]\nname = \"a\"\npartitions = 1\ncleanup = \"x\"", Err("'cleanup' is 'x'"));
        let twice = "[[topic]]\nname = \"a\"\npartitions = 1\n".repeat(2);
        check(&twice, Err("it names the topic 'a' twice"));
        let both =
            "[[topic]]\nname = \"a\"\npartitions = 1\nretention = \"1d\"\nsettings = { \"retention.ms\" = \"1\" }";
        check(both, Err("'retention' and the setting 'retention.ms' are the same"));
    }
}
