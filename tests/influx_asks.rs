//! What evwindow writes to a real InfluxDB: evquery answers from it as from the local store, byte for byte, and another client
//! than ours reads the points.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::gate::Gate;
use crate::influx::Real;
use crate::support::{Ended, Running, bash_in};

#[path = "support/gate.rs"]
mod gate;
#[path = "support/influx.rs"]
mod influx;
mod support;

/// What is waited for comes within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command line in a folder: `$B` is the bucket, `s.db` the store.
fn run(buckets: &Real, place: &Path, script: &str) -> Ended {
    bash_in(place, &format!("{}{script}", buckets.surroundings()), b"")
}

/// Some days of a shop, written to the store and to the bucket. Windows that the end leaves open are in neither: the store would keep
/// them as they are, for the next run.
fn write_both(buckets: &Real, place: &Path) {
    let written = run(
        buckets,
        place,
        "evgen --profile ecommerce --seed 5 -r 2000 --speed 172800x -d 4d --start 2026-03-27 > events.ndjson
        cat > metrics.toml <<'EOF'
[[metric]]
name = \"revenue by minute\"
tumbling = \"1m\"
where = \"event_type = 'purchase_completed'\"
by = [\"properties.country\", \"properties.currency\"]
agg = \"sum(properties.amount) AS revenue, count(*) AS orders, avg(properties.amount) AS mean, approx_percentile(properties.amount, 0.9) AS p90, count(DISTINCT user_id) AS buyers\"
[[metric]]
name = \"days\"
tumbling = \"1d\"
tz = \"Europe/Berlin\"
agg = \"count(*) AS events\"
[[metric]]
name = \"busy\"
sliding = \"2h/30m\"
by = \"event_type\"
[[metric]]
name = \"visits\"
session = \"30m\"
by = \"properties.country\"
[[metric]]
name = \"best\"
tumbling = \"1h\"
by = \"properties.product_id\"
agg = \"count(*) AS n, sum(properties.amount) AS total\"
top = 3
EOF
        evwindow -q --metrics metrics.toml --at-end drop --to store: events.ndjson
        evwindow -q --metrics metrics.toml --at-end drop --to $B events.ndjson",
    );
    written.assert_code(0);
}

#[test]
fn answers_are_those_of_the_local_store() {
    let Some(buckets) = Real::of_environment("answers_are_those_of_the_local_store") else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    write_both(&buckets, place);
    for question in [
        "list",
        "describe 'revenue by minute'",
        "describe visits -f table",
        "'revenue by minute'",
        "'revenue by minute' --start 2026-03-01 --until 2026-05-01",
        "'revenue by minute' --window own --start 2026-03-28 --until 2026-03-29 -f csv",
        "'revenue by minute' --window 1h --by currency --start 2026-03-01",
        "'revenue by minute' --window 1h --by country --fill zero --start 2026-03-28 --until 2026-03-30 -f json",
        "'revenue by minute' --window 1d --total --compare 1d --start 2026-03-01",
        "'revenue by minute' --window all --start 2026-03-28T01:30:00Z --top 3 --order-by 'orders DESC'",
        "'revenue by minute' --window all --start 2026-03-28 --until 9999-12-31",
        "'revenue by minute' --window 15m --where \"country = 'DE'\" --agg 'max(orders) AS peak, first(mean) AS opening'",
        "'revenue by minute' --window 6h --chart --start 2026-03-01",
        "days --start 2026-03-01",
        "days --window 2d --start 2026-03-01",
        "busy --start 2026-03-01",
        "visits --start 2026-03-01",
        "best --start 2026-03-01 --where 'n > 1'",
        "best --window 1d",
        "nothing",
        "visits --window 1h",
    ] {
        let [here, there] =
            ["store:", "$B"].map(|from| run(&buckets, place, &format!("evquery {question} --from {from}")));
        // Only the place is told differently.
        let said = |ended: &Ended| {
            ended
                .stderr
                .replace("the store 's.db'", "PLACE")
                .replace(&format!("the bucket '{}'", buckets.to()), "PLACE")
        };
        assert_eq!(there.stdout, here.stdout, "{question}\n{}", there.stderr);
        assert_eq!((there.code, said(&there)), (here.code, said(&here)), "{question}");
    }
    let explained =
        run(&buckets, place, "evquery 'revenue by minute' --window 1h --start 2026-03-01 --explain --from $B");
    assert!(explained.stdout.contains(&format!("in '{}_rollups'", buckets.bucket)), "{}", explained.stdout);
}

#[test]
fn a_backfill_beside_a_live_run_leaves_the_days_roll_ups_whole() {
    let Some(buckets) = Real::of_environment("a backfill beside a live run") else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let hour = |hour: u32| -> String {
        let event = |minute: u32| {
            let (g, x) = (minute % 3, (hour * 60 + minute) * 7 % 101);
            format!("{{\"timestamp\":\"2026-02-16T{hour:02}:{minute:02}:00Z\",\"g\":\"g{g}\",\"x\":{x}.5}}\n")
        };
        (0..60).map(event).collect()
    };
    for (name, text) in [("morning", hour(8)), ("noon", hour(12)), ("afternoon", hour(13) + &hour(14))] {
        std::fs::write(place.join(name), text).unwrap();
    }
    std::fs::write(
        place.join("metrics.toml"),
        ["1m", "45m"]
            .map(|length| {
                format!(
                    "[[metric]]\nname = \"by {length}\"\ntumbling = \"{length}\"\nby = \"g\"\n\
                 agg = \"count(*) AS n, sum(x) AS total, approx_percentile(x, 0.9) AS p90\"\n"
                )
            })
            .concat(),
    )
    .unwrap();
    // The live run waits for the afternoon until the backfill is done.
    let written = run(
        &buckets,
        place,
        "there() { evquery 'by 1m' --window own --start 2026-02-16 --from $B 2> asked | grep -q \"$1\"; }
        mkfifo live
        evwindow -q --metrics metrics.toml --at-end drop --to $B < live &
        exec 3> live
        cat noon >&3
        until there T12:57; do [ $SECONDS -lt 90 ] || { cat asked >&2; exit 9; }; sleep 0.1; done
        evwindow -q --metrics metrics.toml --to $B morning
        cat afternoon >&3
        exec 3>&-
        wait
        cat morning noon afternoon > all
        evwindow -q --metrics metrics.toml --at-end drop --to store: all",
    );
    written.assert_code(0);
    for question in
        ["'by 1m' --window 1h", "'by 1m' --window 1d", "'by 1m' --window 1d --total", "'by 45m' --window 1d"]
    {
        let [here, there] = ["store:", "$B"]
            .map(|from| run(&buckets, place, &format!("evquery {question} --start 2026-02-16 --from {from}")));
        assert!(here.stdout.lines().count() > 0 && here.code == 0, "{question}: {}", here.stderr);
        assert_eq!(there.stdout, here.stdout, "{question}\n{}", there.stderr);
    }
    // For everybody: the morning's 20 and noon's 20 at least, and what of the afternoon has fired.
    let days = buckets.points("_rollups", "by 1m.1d", &["g"]);
    let hours = buckets.points("_rollups", "by 1m.1h", &["g"]);
    let sum = |points: &[String]| -> u32 {
        let counts =
            points.iter().filter_map(|point| point.split_once(" n ")?.1.split(' ').next()?.parse::<u32>().ok());
        counts.sum()
    };
    assert!(sum(&days) > 180 && sum(&days) == sum(&hours), "{days:?}\n{hours:?}");
}

#[test]
fn new_rows_are_followed() {
    let Some(buckets) = Real::of_environment("new_rows_are_followed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let write = |minute: u32, value: u32| {
        let event = format!(r#"{{"timestamp":"2026-02-16T10:{minute:02}:00Z","v":{value}}}"#);
        std::fs::write(place.join("e.ndjson"), event).unwrap();
        run(&buckets, place, "evwindow -q -t 1m --name m -a 'sum(v) AS total' --to $B e.ndjson").assert_code(0);
    };
    write(0, 1);
    let script = "evquery m --follow --start 2026-02-16 --from $B -f csv";
    let mut following = Running::start_in(place, &format!("{}{}", buckets.surroundings(), script));
    assert_eq!(following.line().as_deref(), Some("metric,window_start,window_end,total,revision"));
    assert_eq!(following.line().as_deref(), Some("m,2026-02-16T10:00:00.000Z,2026-02-16T10:01:00.000Z,1,0"));
    write(1, 5);
    assert_eq!(following.line().as_deref(), Some("m,2026-02-16T10:01:00.000Z,2026-02-16T10:02:00.000Z,5,0"));
    write(0, 7);
    assert_eq!(following.line().as_deref(), Some("m,2026-02-16T10:00:00.000Z,2026-02-16T10:01:00.000Z,7,0"));
    following.signal(2);
    following.finish();
}

#[test]
fn new_rows_are_followed_while_the_server_goes_and_comes() {
    let Some(buckets) = Real::of_environment("new_rows_are_followed_while_the_server_goes_and_comes") else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let write = |events: &str| {
        std::fs::write(place.join("e.ndjson"), events).unwrap();
        run(&buckets, place, "evwindow -q -t 1m --name m -a 'sum(v) AS total' --to $B e.ndjson").assert_code(0);
    };
    write(r#"{"timestamp":"2026-02-16T10:00:00Z","v":1}"#);
    let gate = Gate::to(buckets.address.rsplit(':').next().unwrap().parse().unwrap());
    let bucket = format!("influx://127.0.0.1:{}/evkit/{}", gate.port, buckets.bucket);
    let script = format!("exec evquery m --follow --start 2026-02-16 --from {bucket} -f csv 2> said");
    let mut following = Running::start_in(place, &format!("{}{script}", buckets.surroundings()));
    assert_eq!(following.line().as_deref(), Some("metric,window_start,window_end,total,revision"));
    assert_eq!(following.line().as_deref(), Some("m,2026-02-16T10:00:00.000Z,2026-02-16T10:01:00.000Z,1,0"));
    gate.close();
    let said = || std::fs::read_to_string(place.join("said")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !said().contains("asking again") {
        assert!(Instant::now() < deadline, "{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
    // What comes meanwhile lies further apart than what is looked at each time.
    write(
        "{\"timestamp\":\"2026-02-16T10:01:00Z\",\"v\":2}\n{\"timestamp\":\"2026-02-16T14:00:00Z\",\"v\":3}\n\
         {\"timestamp\":\"2026-02-18T10:00:00Z\",\"v\":4}\n",
    );
    gate.open();
    for (time, end, total) in [("16T10:01", "16T10:02", 2), ("16T14:00", "16T14:01", 3), ("18T10:00", "18T10:01", 4)] {
        let expected = format!("m,2026-02-{time}:00.000Z,2026-02-{end}:00.000Z,{total},0");
        assert_eq!(following.line(), Some(expected));
    }
    assert_eq!(said().matches("asking again").count(), 1, "{}", said());
    following.signal(2);
    following.finish();
}

/// The block of a metrics file with the metric of this name.
fn metric_of(pack: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics").join(pack);
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("[[metric]]").find(|block| block.contains(&format!("name = \"{name}\"")));
    format!("[[metric]]{}", block.expect("the pack has the metric"))
}

/// Asks in InfluxQL by curl; the records of the CSV that comes back, each by the names of its columns.
fn influxql(buckets: &Real, place: &Path, question: &str) -> Vec<BTreeMap<String, String>> {
    std::fs::write(place.join("question"), question).unwrap();
    let script = format!(
        "curl -sSf -G -H \"Authorization: Token $INFLUX_TOKEN\" -H 'Accept: application/csv' --data-urlencode db={} \
         --data-urlencode epoch=ns --data-urlencode q@question http://{}/query",
        buckets.bucket, buckets.address
    );
    let ended = run(buckets, place, &script);
    ended.assert_quiet();
    let mut reader = csv::Reader::from_reader(ended.stdout.as_bytes());
    let names = reader.headers().unwrap().clone();
    let records = reader.records().map(Result::unwrap);
    records
        .map(|record| names.iter().zip(&record).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect())
        .collect()
}

/// Writes a metric of a pack, and checks that every row is read back by another client, with these tags, and fields of these types.
#[track_caller]
fn check_measurement(profile: &str, pack: &str, name: &str, tags: &[&str], fields: &[(&str, &str)]) {
    let Some(buckets) = Real::of_environment(name) else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("metrics.toml"), metric_of(pack, name)).unwrap();
    let script = format!(
        "evgen --profile {profile} --seed 3 -n 20000 --start 2026-02-16 > events.ndjson
         evwindow -q --metrics metrics.toml events.ndjson
         evwindow -q --metrics metrics.toml --to $B events.ndjson"
    );
    let written = run(&buckets, place, &script);
    written.assert_code(0);

    let names = |question: &str, column: &str| -> Vec<String> {
        influxql(&buckets, place, question).into_iter().map(|mut record| record.remove(column).unwrap()).collect()
    };
    let mut expected: Vec<&str> = tags.to_vec();
    expected.sort_unstable();
    assert_eq!(names(&format!("SHOW TAG KEYS FROM {name}"), "tagKey"), expected);
    let mut types: Vec<(String, String)> = influxql(&buckets, place, &format!("SHOW FIELD KEYS FROM {name}"))
        .into_iter()
        .map(|record| (record["fieldKey"].clone(), record["fieldType"].clone()))
        .collect();
    types.sort_unstable();
    let mut expected: Vec<(String, String)> =
        fields.iter().map(|(field, kind)| (field.to_string(), kind.to_string())).collect();
    expected.sort_unstable();
    assert_eq!(types, expected);

    let cells = |cell: &dyn Fn(&str) -> String| -> Vec<String> {
        tags.iter().map(|tag| cell(tag)).chain(fields.iter().map(|(field, _)| cell(field))).collect()
    };
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.as_f64().unwrap().to_string(),
        serde_json::Value::Null => String::new(),
        other => panic!("{other} is no cell"),
    };
    let mut expected: Vec<(i64, Vec<String>)> = written
        .stdout
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let start = row["window_start"].as_str().unwrap();
            let start = evkit::time::parse_rfc3339(start.as_bytes()).unwrap().0 * 1000;
            (start, cells(&|name| text(&row[name])))
        })
        .collect();
    let number = |cell: &str| cell.parse::<f64>().map_or_else(|_| cell.to_owned(), |number| number.to_string());
    let mut found: Vec<(i64, Vec<String>)> = influxql(&buckets, place, &format!("SELECT * FROM {name}"))
        .iter()
        .map(|record| (record["time"].parse().unwrap(), cells(&|name| number(&record[name]))))
        .collect();
    expected.sort();
    found.sort();
    assert!(expected.len() > 50, "only {} rows", expected.len());
    assert_eq!(found, expected);
}

#[test]
fn website_metrics_are_read_by_another_client() {
    let tags = ["page_url", "country", "device_type"];
    let fields = [("page_views", "integer"), ("unique_users", "integer"), ("avg_load_time", "float")];
    check_measurement("web", "web.toml", "website_metrics", &tags, &fields);
}

#[test]
fn purchase_metrics_are_read_by_another_client() {
    let tags = ["product_id", "currency", "payment_method"];
    let fields = [("count", "integer"), ("total_amount", "float"), ("avg_amount", "float")];
    check_measurement("ecommerce", "ecommerce.toml", "purchase_metrics", &tags, &fields);
}
