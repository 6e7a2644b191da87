//! `evingest groups`: who is in a group, how far it is, how far behind.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::{Map, Value as Json, json};

use crate::cli::about;
use crate::cli::evingest::cluster::{ClusterArgs, in_words};
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::records::{ListFormat, cell, is_table, show, table};
use crate::kafka::admin::Admin;
use crate::kafka::admin::offsets::{Committed, Ends, Group};
use crate::time::Timestamp;

/// `evingest groups`.
#[derive(Debug, Clone, Subcommand)]
pub enum GroupsCommand {
    /// Show a group: its members, how far it is and how far behind; of one of evwindow's, both stages with their watermarks
    Describe {
        /// The group
        #[arg(value_name = "NAME")]
        name: String,

        /// Which cluster.
        #[command(flatten)]
        cluster: ClusterArgs,

        /// How [default: a table on a terminal, else ndjson]
        #[arg(short, long, value_enum)]
        format: Option<ListFormat>,
    },
}

/// Does what is asked for.
pub(crate) fn run(command: &GroupsCommand) -> anyhow::Result<ExitCode> {
    match command {
        GroupsCommand::Describe { name, cluster, format } => describe(name, cluster, *format),
    }
}

/// The columns of a group's partitions.
const PARTITION: [&str; 9] =
    ["topic", "partition", "offset", "stable", "high", "lag", "unstable", "watermark", "member"];
/// The columns of a group's members.
const MEMBER: [&str; 4] = ["member", "client", "host", "assigned"];

fn describe(name: &str, cluster: &ClusterArgs, format: Option<ListFormat>) -> anyhow::Result<ExitCode> {
    let admin = cluster.connect()?;
    let mut records = Vec::new();
    for stage in [name.to_owned(), format!("{name}.merge")] {
        let group = in_words(admin.group(&stage))?;
        let committed = in_words(admin.committed_everywhere(&stage))?;
        if !group.members.is_empty() || !committed.is_empty() {
            records.push(record_of(&admin, &group, &committed)?);
        }
    }
    if records.is_empty() {
        return Err(anyhow!("there is no group '{name}' at '{}', or it has no members and no offsets", cluster.at.0))
            .hint("a group is there once it has committed an offset");
    }
    if !is_table(format) {
        return show(&records, format, "");
    }
    let text: Vec<String> = records.iter().map(page).collect();
    about::print(printable(&text.join("\n")).as_bytes())?;
    Ok(ExitCode::Ok)
}

fn record_of(admin: &Admin, group: &Group, committed: &[Committed]) -> anyhow::Result<Map<String, Json>> {
    let mut ends: BTreeMap<&str, Vec<Ends>> = BTreeMap::new();
    for one in committed {
        if !ends.contains_key(one.topic.as_str()) {
            ends.insert(&one.topic, in_words(admin.ends(&one.topic))?);
        }
    }
    let partitions: Vec<Json> = committed
        .iter()
        .map(|one| {
            let ends = ends[one.topic.as_str()].iter().find(|ends| ends.partition == one.partition);
            partition_of(one, ends, holder(group, one))
        })
        .collect();
    let members: Vec<Json> = group
        .members
        .iter()
        .map(|member| {
            let assigned: Vec<String> = member
                .assigned
                .iter()
                .map(|assigned| format!("{} {}", assigned.topic, ranges(&assigned.partitions)))
                .collect();
            json!({"member": member.id, "client": member.client, "host": member.host, "assigned": assigned})
        })
        .collect();
    let lag: i64 = partitions.iter().filter_map(|partition| partition["lag"].as_i64()).sum();
    let watermarks: Option<Vec<i64>> = committed.iter().map(|one| watermark(&one.metadata)).collect();
    let watermark = watermarks.and_then(|watermarks| watermarks.into_iter().min());
    Ok(Map::from_iter([
        ("group".to_owned(), json!(group.name)),
        ("state".to_owned(), json!(group.state)),
        ("lag".to_owned(), json!(lag)),
        ("watermark".to_owned(), time(watermark)),
        ("members".to_owned(), members.into()),
        ("partitions".to_owned(), partitions.into()),
    ]))
}

/// `lag` is what could be read now; `unstable` lies behind it in transactions that are open.
fn partition_of(one: &Committed, ends: Option<&Ends>, member: Option<&str>) -> Json {
    json!({
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "stable": ends.map(|ends| ends.stable),
        "high": ends.map(|ends| ends.high),
        // Both ends were asked for after the offset, but one by one.
        "lag": ends.map(|ends| (ends.stable - one.offset.max(ends.low)).max(0)),
        "unstable": ends.map(|ends| (ends.high - ends.stable).max(0)),
        "lost": ends.map(|ends| (ends.low - one.offset).max(0)),
        "watermark": time(watermark(&one.metadata)),
        "member": member,
    })
}

/// The member that has a partition.
fn holder<'a>(group: &'a Group, one: &Committed) -> Option<&'a str> {
    let has = |member: &&crate::kafka::admin::offsets::Member| {
        let is_it = |topic: &str, partitions: &[i32]| topic == one.topic && partitions.contains(&one.partition);
        member.assigned.iter().any(|assigned| is_it(&assigned.topic, &assigned.partitions))
    };
    group.members.iter().find(has).map(|member| member.id.as_str())
}

/// The watermark that evwindow wrote beside an offset, in microseconds.
fn watermark(metadata: &str) -> Option<i64> {
    let metadata: Json = serde_json::from_str(metadata).ok()?;
    metadata.get("v")?;
    metadata.get("w")?.as_i64()
}

/// A watermark as a time; before the first event and after the last it is none.
fn time(watermark: Option<i64>) -> Json {
    let time = watermark.map(Timestamp).filter(|time| (Timestamp::EARLIEST..=Timestamp::LATEST).contains(time));
    time.map_or(Json::Null, |time| time.to_string().into())
}

/// Partitions in short: `0-3,7`.
fn ranges(partitions: &[i32]) -> String {
    let mut sorted = partitions.to_vec();
    sorted.sort_unstable();
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for partition in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == partition => *last = partition,
            _ => ranges.push((partition, partition)),
        }
    }
    let texts = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    texts.collect::<Vec<String>>().join(",")
}

/// A group for people.
fn page(record: &Map<String, Json>) -> String {
    let mut text = String::new();
    for name in ["group", "state", "lag", "watermark"] {
        if !record[name].is_null() {
            text.push_str(&format!("{:<11}{}\n", format!("{name}:"), cell(&record[name])));
        }
    }
    for (list, columns) in [("members", &MEMBER[..]), ("partitions", &PARTITION[..])] {
        let entries = record[list].as_array().map_or(&[][..], Vec::as_slice);
        if !entries.is_empty() {
            let rows = entries.iter().map(|entry| columns.iter().map(|column| cell(&entry[*column])).collect());
            text.push('\n');
            text.push_str(&table(columns, rows.collect()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_read_where_evwindow_wrote_it() {
        let check = |metadata, expected| assert_eq!(time(watermark(metadata)), expected, "of '{metadata}'");
        check(r#"{"v":1,"w":1767225600000000}"#, json!("2026-01-01T00:00:00.000Z"));
        check(r#"{"v":1,"w":-9223372036854775808,"x":[]}"#, Json::Null);
        for other in ["", "7", "{}", r#"{"w":1}"#, r#"{"v":1,"w":"x"}"#, "not json"] {
            check(other, Json::Null);
        }
    }

    #[test]
    fn partitions_are_told_in_short() {
        let check = |partitions: &[i32], expected| assert_eq!(ranges(partitions), expected);
        check(&[], "");
        check(&[3], "3");
        check(&[2, 0, 1, 7, 9, 8, 5], "0-2,5,7-9");
    }

    #[test]
    fn lag_is_what_can_be_read_now() {
        let check = |offset, low, stable, high, expected: [i64; 3]| {
            let one = Committed { topic: "t".into(), partition: 0, offset, metadata: String::new() };
            let told = partition_of(&one, Some(&Ends { partition: 0, low, stable, high }), None);
            assert_eq!([&told["lag"], &told["unstable"], &told["lost"]], expected.map(Json::from).each_ref());
        };
        check(4, 0, 10, 14, [6, 4, 0]);
        check(10, 0, 10, 10, [0, 0, 0]);
        // Retention has overtaken the group.
        check(4, 7, 10, 10, [3, 0, 3]);
        // The offset is newer than the ends.
        check(11, 0, 10, 9, [0, 0, 0]);
    }
}
