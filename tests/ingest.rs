//! evingest as a user runs it: files through validation to a pipe and to a real Kafka, rejects sent again, runs killed.
//!
//! What is kept of an event and what becomes of a broken line is told by small cases in `tests/cli/evingest`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/random.rs"]
mod random;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use evkit::partition::partition_of;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::{Committed, Seen, Topics, brokers, client, unique};
use crate::random::Random;
use crate::support::{LIMIT, bash_in, programs};

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// How often each text comes.
fn counted(texts: impl IntoIterator<Item = String>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    texts.into_iter().for_each(|text| *counts.entry(text).or_default() += 1);
    counts
}

/// Panics, naming some of them, unless the topic has each event exactly once.
#[track_caller]
fn assert_once(found: Vec<Seen>, expected: impl IntoIterator<Item = String>, what: &str) {
    let payload = |seen: Seen| String::from_utf8(seen.payload.unwrap()).unwrap();
    let (found, expected) = (counted(found.into_iter().map(payload)), counted(expected));
    let wrong = |(event, times): (&String, &u32)| {
        let there = found.get(event).copied().unwrap_or(0);
        (there != *times).then(|| format!("{there} times in place of {times}: {event}"))
    };
    let wrong: Vec<String> = expected.iter().filter_map(wrong).collect();
    let foreign = found.keys().filter(|event| !expected.contains_key(*event)).count();
    assert!(
        wrong.is_empty() && foreign == 0,
        "{what}: {} events are wrong, {foreign} are none of ours; the first: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(3)]
    );
}

fn committed(brokers: &str, topic: &str) -> Vec<Seen> {
    let mut all = Vec::new();
    Committed::open(brokers, topic).read_to_end(|seen| all.push(seen));
    all
}

#[test]
fn every_line_is_accepted_rejected_or_left_out_and_rejects_come_back() {
    let place = tempfile::tempdir().unwrap();
    let script = "
        evgen -n 20000 --seed 5 --malformed 1% --duplicates 2% > a.ndjson
        evgen -n 5000 --seed 6 --profile iot | gzip > b.ndjson.gz
        evingest a.ndjson b.ndjson.gz --dedup event_id --rejects-to bad.ndjson --stats json -o good.ndjson 2> stats.json
        evingest a.ndjson b.ndjson.gz --dedup event_id --threads 1 --quiet > one.ndjson
        evingest a.ndjson b.ndjson.gz --dedup event_id --verdicts --quiet --to other.ndjson |
            sed 's/.*\"verdict\":\"//; s/\".*//' | sort | uniq -c
        cmp good.ndjson one.ndjson
        cmp good.ndjson other.ndjson";
    let ended = bash_in(place.path(), script, b"");
    ended.assert_code(0);
    let stats: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(place.path().join("stats.json")).unwrap()).unwrap();
    let count = |name: &str| stats[name].as_u64().unwrap();
    let (accepted, rejected, duplicates) = (count("accepted"), count("rejected"), count("duplicates"));
    assert_eq!(count("in"), accepted + rejected + duplicates, "{stats}");
    assert!(rejected > 100 && duplicates > 200, "{stats}");
    let (good, bad) = (lines(&place.path().join("good.ndjson")), lines(&place.path().join("bad.ndjson")));
    assert_eq!((good.len() as u64, bad.len() as u64), (accepted, rejected));
    let verdicts: Vec<&str> = ended.stdout.split_whitespace().collect();
    let told =
        [&accepted.to_string(), "accepted", &duplicates.to_string(), "duplicate", &rejected.to_string(), "rejected"];
    assert_eq!(verdicts, told);

    // Whoever broke the lines mends some of them.
    let script = r#"
        sed -n '1,10p' bad.ndjson | sed 's/"payload.*/"payload":"{\\"event_id\\":\\"m'"'"'\\",\\"event_type\\":\\"t\\",\\"timestamp\\":\\"2026-01-01T00:00:00Z\\",\\"user_id\\":\\"u\\"}"}/' > mended.ndjson
        sed -n '11,$p' bad.ndjson >> mended.ndjson
        evingest replay mended.ndjson --rejects-to still.ndjson --quiet > mended-good.ndjson
        evingest replay still.ndjson --where "attempt = 2 AND line > 100" --rejects-to third.ndjson --quiet
        grep -c '"attempt":2' still.ndjson
        grep -c '"attempt":3' third.ndjson"#;
    let ended = bash_in(place.path(), script, b"");
    ended.assert_code(0);
    let (mended, still) = (lines(&place.path().join("mended-good.ndjson")), lines(&place.path().join("still.ndjson")));
    assert_eq!((mended.len(), still.len()), (10, bad.len() - 10));
    // But for the attempt, each is kept as it was.
    let first: Vec<String> = bad[10..].iter().map(|line| line.replace("\"attempt\":1", "\"attempt\":2")).collect();
    assert_eq!(still, first);
}

#[test]
fn every_event_arrives_once_in_the_partition_of_its_user() {
    let Some(brokers) = brokers("every_event_arrives_once_in_the_partition_of_its_user") else { return };
    let mut topics = Topics::new(&brokers);
    let (topic, refused, generated) =
        (topics.create("ingest", 12, &[]), topics.create("rejects", 1, &[]), topics.create("evgen", 12, &[]));
    let place = tempfile::tempdir().unwrap();
    let script = format!(
        "evgen -n 30000 --seed 11 --malformed 0.5% > all.ndjson
        evingest all.ndjson --quiet > good.ndjson
        evingest < all.ndjson --to kafka://{brokers}/{topic} --rejects-to kafka://{brokers}/{refused} --stats json
        evgen -n 30000 --seed 11 --to kafka://{brokers}/{generated}"
    );
    let ended = bash_in(place.path(), &script, b"");
    ended.assert_code(0);
    let stats: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(stats["acknowledged"], stats["accepted"], "{stats}");
    let good = lines(&place.path().join("good.ndjson"));
    let arrived = committed(&brokers, &topic);
    for seen in &arrived {
        let event: serde_json::Value = serde_json::from_slice(seen.payload.as_ref().unwrap()).unwrap();
        let key = event["user_id"].as_str().unwrap().as_bytes();
        assert_eq!(seen.key.as_deref(), Some(key), "{event}");
        assert_eq!(seen.partition, partition_of(key, 12) as i32, "{event}");
    }
    assert_once(arrived, good, "through evingest");
    assert_eq!(committed(&brokers, &refused).len() as u64, stats["rejected"].as_u64().unwrap());
    let all = bash_in(place.path(), "evgen -n 30000 --seed 11", b"").stdout;
    assert_once(committed(&brokers, &generated), all.lines().map(str::to_owned), "straight from evgen");
}

#[test]
fn without_a_broker_or_a_topic_it_ends_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    let ended = bash_in(place.path(), "evgen -n 10 | evingest --to kafka://127.0.0.1:9/t --startup-timeout 1s", b"");
    ended.assert_code(4);
    assert!(ended.stderr.contains("cannot produce to 't' at '127.0.0.1:9'"), "{}", ended.stderr);
    let Some(brokers) = brokers("without_a_broker_or_a_topic_it_ends_and_says_so") else { return };
    for flags in ["", "--transactional-id x"] {
        let script = format!("evgen -n 10 > e; evingest e --to kafka://{brokers}/no_such_topic_here {flags}");
        let ended = bash_in(place.path(), &script, b"");
        ended.assert_code(1);
        assert!(ended.stderr.contains("there is no topic 'no_such_topic_here'"), "{}", ended.stderr);
    }
}

/// A reader of all records, those of open and aborted transactions too.
fn uncommitted(brokers: &str, topic: &str, partitions: i32) -> BaseConsumer {
    let settings = [("group.id", "watch"), ("enable.auto.commit", "false"), ("isolation.level", "read_uncommitted")];
    let consumer: BaseConsumer = client(brokers, &settings).create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    consumer
}

fn backfill(place: &Path, to: &str, id: &str, rejects_to: &str) -> Child {
    let mut command = Command::new(programs().join("evingest"));
    command.args([
        "a.ndjson",
        "b.ndjson.gz",
        "c.csv",
        "--to",
        to,
        "--transactional-id",
        id,
        "--rejects-to",
        rejects_to,
        "--quiet",
    ]);
    command.current_dir(place).stdin(Stdio::null()).spawn().unwrap()
}

/// Kills a backfill again and again, each time when so many records more have come into the topic, then lets it end. Gives the seed.
fn killed_backfill(brokers: &str, place: &Path, (topic, id, rejects_to): (&str, &str, &str), kills: u32) -> u64 {
    let seed = std::env::var("EVKIT_SEED").map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let script = "
        evgen -n 60000 --seed 21 --malformed 0.2% > a.ndjson
        evgen -n 30000 --seed 22 --profile iot | gzip > b.ndjson.gz
        evgen -n 20000 --seed 23 --profile web --format csv > c.csv
        evingest a.ndjson b.ndjson.gz c.csv --rejects-to straight-bad.ndjson --quiet > straight.ndjson";
    bash_in(place, script, b"").assert_code(0);
    let to = format!("kafka://{brokers}/{topic}");
    let watch = uncommitted(brokers, topic, 6);
    for _ in 0..kills {
        let mut child = backfill(place, &to, id, rejects_to);
        let mut more = random.below(20_000);
        let deadline = Instant::now() + LIMIT;
        while more > 0 && child.try_wait().unwrap().is_none() {
            more -= u64::from(matches!(watch.poll(Duration::from_millis(20)), Some(Ok(_))));
            assert!(Instant::now() < deadline, "seed {seed}: no record comes");
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    let status = backfill(place, &to, id, rejects_to).wait().unwrap();
    assert!(status.success(), "seed {seed}: {status}");
    assert_once(committed(brokers, topic), lines(&place.join("straight.ndjson")), &format!("seed {seed}"));
    seed
}

#[test]
fn a_backfill_that_is_killed_adds_nothing_twice() {
    let Some(brokers) = brokers("a_backfill_that_is_killed_adds_nothing_twice") else { return };
    let mut topics = Topics::new(&brokers);
    let (topic, id) = (topics.create("backfill", 6, &[]), unique("id"));
    let place = tempfile::tempdir().unwrap();
    let seed = killed_backfill(&brokers, place.path(), (&topic, &id, "bad.ndjson"), 6);
    // Rejects may come twice, and none is lost.
    let rejects = |name: &str| counted(lines(&place.path().join(name)));
    let (straight, kept) = (rejects("straight-bad.ndjson"), rejects("bad.ndjson"));
    assert_eq!(straight.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "seed {seed}");
    // There is nothing left to do.
    let before = committed(&brokers, &topic).len();
    let to = format!("kafka://{brokers}/{topic}");
    assert!(backfill(place.path(), &to, &id, "bad.ndjson").wait().unwrap().success());
    assert_eq!(committed(&brokers, &topic).len(), before, "seed {seed}");
}

#[test]
fn rejects_in_a_topic_are_part_of_the_transaction() {
    let Some(brokers) = brokers("rejects in a topic are part of the transaction") else { return };
    let mut topics = Topics::new(&brokers);
    let (topic, rejects, id) = (topics.create("events", 6, &[]), topics.create("rejects", 3, &[]), unique("id"));
    let place = tempfile::tempdir().unwrap();
    let rejects_to = format!("kafka://{brokers}/{rejects}");
    let seed = killed_backfill(&brokers, place.path(), (&topic, &id, &rejects_to), 4);
    let expected = lines(&place.path().join("straight-bad.ndjson"));
    assert!(expected.len() > 50, "seed {seed}: there are rejects");
    assert_once(committed(&brokers, &rejects), expected, &format!("rejects, seed {seed}"));
}

#[test]
fn a_backfill_with_too_many_rejects_ends_and_goes_on_when_more_are_allowed() {
    let Some(brokers) = brokers("a backfill with too many rejects ends and goes on") else { return };
    let mut topics = Topics::new(&brokers);
    let (topic, rejects, id) = (topics.create("events", 2, &[]), topics.create("rejects", 1, &[]), unique("id"));
    let place = tempfile::tempdir().unwrap();
    let run = |flags: &str| {
        let (to, bad) = (format!("kafka://{brokers}/{topic}"), format!("kafka://{brokers}/{rejects}"));
        let script = format!("evingest a.ndjson --to {to} --rejects-to {bad} --transactional-id {id} --quiet {flags}");
        bash_in(place.path(), &script, b"")
    };
    // At the end stand bad lines with no good one behind them.
    let script = "evgen -n 20000 --seed 31 --malformed 1% > a.ndjson
        seq 500 | sed 's/^/not JSON: /' >> a.ndjson
        evingest a.ndjson --rejects-to bad.ndjson --quiet > good.ndjson";
    bash_in(place.path(), script, b"").assert_code(0);
    run("--max-rejects 100").assert_code(3);
    run("--max-rejects 400").assert_code(3);
    run("").assert_code(0);
    assert_once(committed(&brokers, &topic), lines(&place.path().join("good.ndjson")), "events");
    assert_once(committed(&brokers, &rejects), lines(&place.path().join("bad.ndjson")), "rejects");
}

#[test]
fn schemas_are_kept_in_versions() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"
        export EVKIT_REGISTRY=$PWD/schemas.db
        echo '{"properties":{"properties":{"properties":{"amount":{"type":"number","minimum":1}}}}}' > 1.json
        sed 's/"minimum":1/"minimum":0/' 1.json > 2.json
        evingest schema put t 1.json
        evingest schema put t 1.json
        evingest schema check t 2.json
        evingest schema put t 2.json
        evingest schema put t 1.json || echo "status $?"
        evingest schema get t --version 1 | tr -d ' \n' && echo
        evingest schema list | sed 's/"created":"[^"]*",//'
        event() { echo "{\"event_id\":\"e\",\"event_type\":\"t\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"user_id\":\"u\",\"properties\":{\"amount\":$1}}"; }
        { event 0.5; event -1; } | evingest --quiet"#;
    let ended = bash_in(place.path(), script, b"");
    ended.assert_code(0);
    let expected = [
        "version 1 of 't': added",
        "version 1 of 't': it is there already",
        "version 2 of 't': it would be added",
        "version 2 of 't': added",
        "status 1",
        r#"{"properties":{"properties":{"properties":{"amount":{"type":"number","minimum":1}}}}}"#,
        r#"{"event_type":"t","version":1,"properties":1}"#,
        r#"{"event_type":"t","version":2,"properties":1}"#,
        r#"{"event_id":"e","event_type":"t","timestamp":"2026-01-01T00:00:00Z","user_id":"u","properties":{"amount":0.5}}"#,
    ];
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected);
    let refused = "cannot take the schema of 't': it is not compatible with version 2: at '/properties/properties/properties/amount/minimum'";
    assert!(ended.stderr.contains(refused), "{}", ended.stderr);
}
