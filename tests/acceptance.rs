//! What evgen and evwindow promise together, with the real programs: the generator's truth is found again, a brute force counts
//! the same, bytes don't depend on threads and pieces, rows come in time, and signals end a run in order.
//!
//! Knows nothing of the library: it reads what the programs write, and counts by itself.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use support::{Running, bash_in};

/// A whole hour's events would be no better proof, and take longer.
const EVENTS: &str = "--profile ecommerce --events 200000 --seed 7";
const DISTURBED: &str = "--out-of-order 5s:20% --late 2m:1% --duplicates 0.5% --malformed 0.5% --future 0.1%";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// The JSON objects of a file, one a line.
fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("'{}': {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("no text '{key}' in {object}"))
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("no number '{key}' in {object}"))
}

/// The minute of a time: all before its seconds.
fn minute(time: &str) -> &str {
    &time[..16]
}

/// Hundredths of an amount that has two decimals, give or take what a double can't hold.
fn cents(amount: f64) -> i64 {
    let cents = (amount * 100.0).round();
    assert!((amount * 100.0 - cents).abs() < 0.01, "{amount} is no sum of cents");
    cents as i64
}

const REVENUE: &str = r#"--tumbling 1m --where "event_type = 'purchase_completed'" --by properties.currency \
    --agg "count(*) AS count, sum(properties.amount) AS total_revenue, avg(properties.amount) AS avg_order_value""#;

/// Purchases and cents by minute and currency, as the generator knows them.
fn revenue_of_truth(truth: &Value) -> BTreeMap<(String, String), (u64, i64)> {
    let tallies = truth["revenue_by_minute"].as_array().expect("revenue is a list").iter();
    let tally = |row: &Value| {
        let amount = text(row, "amount").replace('.', "").parse().expect("amounts have two decimals");
        ((minute(text(row, "minute")).into(), text(row, "currency").into()), (number(row, "count"), amount))
    };
    tallies.map(tally).collect()
}

/// The same, as the rows say it; of several revisions the last counts.
fn revenue_of_rows(rows: &[Value]) -> BTreeMap<(String, String), (u64, i64)> {
    let tally = |row: &Value| {
        let (count, total) = (number(row, "count"), row["total_revenue"].as_f64().expect("a sum"));
        let average = row["avg_order_value"].as_f64().expect("an average");
        assert!((average * count as f64 - total).abs() < 0.005, "{row}");
        ((minute(text(row, "window_start")).into(), text(row, "currency").into()), (count, cents(total)))
    };
    rows.iter().map(tally).collect()
}

#[test]
fn revenue_is_the_truth_to_the_cent() {
    let place = folder();
    let script = format!("evgen {EVENTS} --truth truth.json | evwindow {REVENUE} >rows.ndjson");
    bash_in(place.path(), &script, b"").assert_quiet();
    let truth = &rows_of_json(&place.path().join("truth.json"));
    let found = revenue_of_rows(&rows(&place.path().join("rows.ndjson")));
    assert!(found.len() > 20, "only {} sums were compared", found.len());
    assert_eq!(found, revenue_of_truth(truth));
}

#[test]
fn late_revenue_is_taken_by_revisions() {
    let place = folder();
    let script = format!(
        "evgen {EVENTS} {DISTURBED} --truth truth.json | evwindow {REVENUE} --allowed-lateness 1h -q >rows.ndjson"
    );
    bash_in(place.path(), &script, b"").assert_quiet();
    let truth = &rows_of_json(&place.path().join("truth.json"));
    let found = rows(&place.path().join("rows.ndjson"));
    assert!(found.iter().any(|row| number(row, "revision") > 0), "nothing came late, so nothing was shown");
    assert_eq!(revenue_of_rows(&found), revenue_of_truth(truth));
}

fn rows_of_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("evgen wrote its truth")).expect("the truth is JSON")
}

#[test]
fn late_rejected_and_used_events_are_the_truth() {
    let place = folder();
    let script = format!(
        "evgen {EVENTS} {DISTURBED} --truth truth.json |
         evwindow -t 1m -b event_type --late-to late.ndjson --rejects-to rejects.ndjson --stats json >rows.ndjson"
    );
    let ended = bash_in(place.path(), &script, b"");
    let stats: Value = serde_json::from_str(&ended.assert_code(0).stderr).expect("the report is JSON");
    let truth = &rows_of_json(&place.path().join("truth.json"));
    let list = |key: &str| truth[key].as_array().expect("a list").clone();

    // A window of a minute takes what comes before its end, also where it is late by the stream's delay.
    let is_late = |event: &&Value| minute(text(event, "watermark")) > minute(text(event, "timestamp"));
    let late: Vec<Value> = list("late").iter().filter(is_late).cloned().collect();
    let ids = |events: &[Value]| events.iter().map(|event| text(event, "event_id").to_owned()).collect::<Vec<_>>();
    assert!(late.len() > 100 && late.len() < list("late").len(), "{} late events show nothing", late.len());
    assert_eq!(ids(&rows(&place.path().join("late.ndjson"))), ids(&late));

    let lines = |events: &[Value]| events.iter().map(|event| number(event, "line")).collect::<BTreeSet<_>>();
    let (future, malformed): (Vec<Value>, Vec<Value>) = rows(&place.path().join("rejects.ndjson"))
        .into_iter()
        .partition(|reject| text(reject, "reason").starts_with("future"));
    assert_eq!(lines(&malformed), lines(&list("malformed")));
    assert_eq!(lines(&future), lines(&list("future")));
    let future_ids = future.iter().map(|reject| {
        let event: Value = serde_json::from_str(text(reject, "payload")).expect("a future event is sound otherwise");
        text(&event, "event_id").to_owned()
    });
    assert_eq!(future_ids.collect::<Vec<_>>(), ids(&list("future")));

    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for (event_type, count) in truth["counts_by_type"].as_object().expect("counts") {
        expected.insert(event_type.clone(), count.as_u64().expect("a count"));
    }
    for event in &late {
        *expected.get_mut(text(event, "event_type")).expect("a type that was counted") -= 1;
    }
    let mut used: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows(&place.path().join("rows.ndjson")) {
        *used.entry(text(&row, "event_type").to_owned()).or_default() += number(&row, "count");
    }
    assert_eq!(used, expected);
    assert_eq!(number(&stats, "in"), number(truth, "lines"));
    assert_eq!(number(&stats["metrics"]["events"], "used"), expected.values().sum::<u64>());
    assert_eq!(number(&stats["metrics"]["events"], "late"), late.len() as u64);
}

#[test]
fn the_busiest_products_are_those_of_a_brute_force() {
    let place = folder();
    let script = format!(
        r#"evgen {EVENTS} >events.ndjson
        evwindow --sliding 5m/1m --where "event_type = 'product_view'" --by properties.product_id \
            --agg "count(*) AS view_count" --top 10 --order-by "view_count DESC" events.ndjson >rows.ndjson"#
    );
    bash_in(place.path(), &script, b"").assert_quiet();

    // Views by the number of the minute in which the window ends, and product.
    let mut views: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
    for event in rows(&place.path().join("events.ndjson")) {
        if text(&event, "event_type") == "product_view" {
            let time = text(&event, "timestamp");
            assert_eq!(&time[..14], "2026-01-01T00:", "the brute force reckons within one hour");
            let begun: u64 = time[14..16].parse().expect("a minute");
            for end in begun + 1..=begun + 5 {
                let product = text(&event["properties"], "product_id").to_owned();
                *views.entry(end).or_default().entry(product).or_default() += 1;
            }
        }
    }
    let mut expected = Vec::new();
    for (end, products) in views {
        let mut ranking: Vec<(String, u64)> = products.into_iter().collect();
        ranking.sort_by(|(a, a_views), (b, b_views)| b_views.cmp(a_views).then(a.cmp(b)));
        for (index, (product, views)) in ranking.into_iter().take(10).enumerate() {
            expected.push((format!("2026-01-01T00:{end:02}:00.000Z"), product, views, index as u64 + 1));
        }
    }
    let found = rows(&place.path().join("rows.ndjson")).into_iter().map(|row| {
        let product = text(&row, "product_id").to_owned();
        (text(&row, "window_end").to_owned(), product, number(&row, "view_count"), number(&row, "rank"))
    });
    assert!(expected.len() > 50, "only {} ranks were compared", expected.len());
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// Runs `query` over disturbed events by 1, 2 and 5 threads, from a file, a pipe and a pipe that gives small pieces, and without
/// the instructions that not every processor has.
#[track_caller]
fn check_same_bytes(query: &str) {
    let place = folder();
    let script = format!(
        r#"evgen --profile ecommerce --events 40000 --seed 11 {DISTURBED} >events.ndjson
        run() {{ evwindow {query} --emit rows,watermarks --now 2026-01-02T00:00:00Z -q --late-to "late-$1" "${{@:2}}" >"rows-$1"; }}
        for threads in 1 2 5; do
            run "file-$threads" --threads $threads events.ndjson
            cat events.ndjson | run "pipe-$threads" --threads $threads
            dd if=events.ndjson bs=3001 status=none | run "pieces-$threads" --threads $threads -
        done
        EVKIT_INSTRUCTIONS=baseline run baseline-2 --threads 2 events.ndjson
        cmp rows-file-1 rows-baseline-2
        for threads in 1 2 5; do
            for from in file pipe pieces; do
                cmp "rows-file-1" "rows-$from-$threads"
                cmp "late-file-1" "late-$from-$threads"
            done
        done
        wc -l <rows-file-1; wc -l <late-file-1"#
    );
    let ended = bash_in(place.path(), &script, b"");
    let counts: Vec<u32> =
        ended.assert_quiet().stdout.lines().map(|line| line.trim().parse().expect("wc prints a number")).collect();
    assert!(counts[0] > 5, "{counts:?} rows and late events show nothing");
}

/// Sessions and aligned windows in one file: their partials stand in one order, wherever the stream was cut into steps.
#[test]
fn partials_of_sessions_and_slices_are_the_same_bytes() {
    let place = folder();
    let metrics = "[[metric]]\nname = \"s\"\nsession = \"30s\"\nby = \"user_id\"\nallowed-lateness = \"20s\"\n\
                   [[metric]]\nname = \"t\"\ntumbling = \"10s\"\nby = \"event_type\"\n";
    std::fs::write(place.path().join("mixed.toml"), metrics).expect("the folder can be written");
    let script = format!(
        r#"evgen --profile ecommerce --events 40000 --seed 11 {DISTURBED} >events.ndjson
        run() {{ evwindow --metrics mixed.toml --emit partials --now 2026-01-02T00:00:00Z -q "${{@:2}}" >"$1"; }}
        for threads in 1 2 5; do run "file-$threads" --threads $threads events.ndjson; done
        dd if=events.ndjson bs=3001 status=none | run pieces -
        for other in file-2 file-5 pieces; do cmp file-1 $other; done
        wc -l <file-1"#
    );
    let ended = bash_in(place.path(), &script, b"");
    let lines: u32 = ended.assert_quiet().stdout.trim().parse().expect("wc prints a number");
    assert!(lines > 100, "{lines} lines show nothing");
}

const MANY: &str = r#"-a "count(*) AS n, sum(properties.amount) AS total, avg(properties.amount), first(event_id), last(event_id),
    stddev_samp(properties.amount), median(properties.amount), count(DISTINCT user_id), approx_count_distinct(user_id),
    approx_percentile(properties.amount, 0.9), topk(properties.amount, 3)""#;

#[test]
fn tumbling_rows_are_the_same_bytes_however_they_are_made() {
    check_same_bytes(&format!("-t 5s -b properties.country {MANY}"));
    check_same_bytes(&format!("-t 5s -b properties.country --allowed-lateness 20s {MANY}"));
}

#[test]
fn sliding_and_session_rows_are_the_same_bytes_however_they_are_made() {
    check_same_bytes(&format!("--sliding 10s/4s -b event_type --top 3 --early 3s {MANY}"));
    check_same_bytes(&format!("--session 3s -b user_id --allowed-lateness 5s {MANY}"));
}

#[test]
fn no_event_is_lost_on_the_way_to_any_metric() {
    let place = folder();
    let metrics = "
        [[metric]]\nname = 'all'\ntumbling = '10s'
        [[metric]]\nname = 'some'\ntumbling = '10s'\nwhere = \"event_type = 'click'\"
        [[metric]]\nname = 'gaps'\nsliding = '2s/7s'
        [[metric]]\nname = 'sessions'\nsession = '1s'\nby = 'user_id'
        [[metric]]\nname = 'patient'\ntumbling = '10s'\nallowed-lateness = '1h'
        [[metric]]\nname = 'whole'\nglobal = true\nby = 'user_id'\nmax-groups = 10";
    std::fs::write(place.path().join("metrics.toml"), metrics).unwrap();
    let script = format!(
        "evgen --events 40000 --seed 3 {DISTURBED} | evwindow --metrics metrics.toml --stats json >rows.ndjson"
    );
    let ended = bash_in(place.path(), &script, b"");
    let stats: Value = serde_json::from_str(&ended.assert_code(0).stderr).expect("the report is JSON");
    let metrics = stats["metrics"].as_object().expect("metrics");
    assert_eq!(metrics.len(), 6);
    for (name, counts) in metrics {
        let fates = ["used", "filtered", "late", "no_window"].map(|fate| number(counts, fate));
        let all = fates.iter().sum::<u64>() + number(&stats, "rejected");
        assert_eq!(number(&stats, "in"), all, "{name}: {stats}");
        assert_eq!(number(counts, "in"), fates.iter().sum::<u64>(), "{name}: {stats}");
    }
    let fate = |metric: &str, fate: &str| number(&metrics[metric], fate);
    assert!(fate("all", "late") > 0 && fate("some", "filtered") > 0 && fate("gaps", "no_window") > 0, "{stats}");
    assert!(fate("patient", "late") == 0 && fate("whole", "overflowed") > 0, "{stats}");
    assert_eq!(number(&stats, "rows"), rows(&place.path().join("rows.ndjson")).len() as u64);
}

/// The merger of two metrics, one of them filtered, waits for nothing that comes behind its watermark.
#[test]
fn merged_metrics_count_their_own_events_and_late_partials_are_kept() {
    let place = folder();
    let metrics = "[[metric]]\nname = 'all'\ntumbling = '10s'\n\
        [[metric]]\nname = 'some'\ntumbling = '10s'\nwhere = 'n > 1'";
    std::fs::write(place.path().join("metrics.toml"), metrics).unwrap();
    let event = |second: u32, n: u32| format!("{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\",\"n\":{n}}}\n");
    std::fs::write(place.path().join("early.ndjson"), event(1, 1) + &event(2, 2) + &event(55, 3)).unwrap();
    let script = "
        evwindow -q --metrics metrics.toml --watermark-delay 0s --emit partials early.ndjson >partials
        head -2 partials >shuffled; echo '{\"watermark\":\"2026-01-01T00:00:30.000Z\"}' >>shuffled; tail -n +3 partials >>shuffled
        evwindow --merge -t 10s --late-to late --stats json shuffled >rows 2>stats
        head -2 late | cmp - <(head -2 partials) && tail -n +3 late | wc -l
        evwindow -q --merge -t 1m late | jq -c '[.metric, .count]'
        jq -c '.metrics | map_values([.in, .used, .late])' stats
        jq -c '[.metric, .count]' rows";
    let ended = bash_in(place.path(), script, b"");
    let lines: Vec<&str> = ended.assert_quiet().stdout.lines().collect();
    let expected =
        ["2", r#"["all",2]"#, r#"["some",1]"#, r#"{"all":[3,1,2],"some":[2,1,1]}"#, r#"["all",1]"#, r#"["some",1]"#];
    assert_eq!(lines, expected);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_whole_pipeline() {
    let place = folder();
    let begun = std::time::Instant::now();
    let ended = bash_in(place.path(), "evgen --rate 1000 --duration 30s | evwindow --tumbling 1s | head -3", b"");
    assert_eq!(ended.assert_quiet().stdout.lines().count(), 3);
    // The third row is due after about 8 s. At 30 s evgen would have ended by itself, which would show nothing.
    assert!(begun.elapsed().as_secs() < 28, "it took {:?}", begun.elapsed());
}

const OPENING: &[u8] = b"{\"timestamp\":\"2026-01-01T00:00:01Z\"}\n{\"timestamp\":\"2026-01-01T00:00:09Z\"}\n{\"timestamp\":\"2026-01-01T00:00:15Z\"}\n";
const FIRST_ROW: &str = r#"{"metric":"events","window_start":"2026-01-01T00:00:00.000Z","window_end":"2026-01-01T00:00:10.000Z","count":2,"revision":0}"#;
const SECOND_ROW: &str = r#"{"metric":"events","window_start":"2026-01-01T00:00:10.000Z","window_end":"2026-01-01T00:00:20.000Z","count":1,"revision":0}"#;

#[test]
fn a_row_comes_while_the_input_stays_open() {
    let place = folder();
    for threads in [1, 2] {
        let mut running = Running::start_in(place.path(), &format!("exec evwindow -t 10s --threads {threads}"));
        running.write(OPENING);
        assert_eq!(running.line().as_deref(), Some(FIRST_ROW));
        assert_eq!(running.finish().assert_quiet().stdout.trim(), SECOND_ROW);
    }
}

/// A signal while a window is open and the input too.
#[track_caller]
fn check_signal(signal: i32, code: i32) {
    let place = folder();
    let script = "exec evwindow -t 10s --to - --to rows.csv --stats";
    let mut running = Running::start_in(place.path(), script);
    running.write(OPENING);
    assert_eq!(running.line().as_deref(), Some(FIRST_ROW));
    running.signal(signal);
    assert_eq!(running.line(), None, "the open window is not final");
    let ended = running.finish();
    assert_eq!(ended.assert_code(code).stderr, "3 events in, 1 row out\n");
    let file = std::fs::read_to_string(place.path().join("rows.csv")).expect("the file is in place");
    assert_eq!(file.lines().count(), 2, "{file}");
}

#[test]
fn signals_end_a_run_in_order() {
    check_signal(libc::SIGINT, 130);
    check_signal(libc::SIGTERM, 143);
}

/// evgen is stuck: nobody reads what it writes. The first signal can't end it, the second does, and leaves nothing behind.
#[test]
fn a_second_signal_ends_a_stuck_run_and_leaves_no_temporary_file() {
    let script = "mkfifo full; exec 3<>full; evgen --events 100000 --truth truth.json --to full & \
                  head -c 1 <&3 >first; for n in $(seq 500); do ! grep -q pipe_write /proc/$!/wchan || break; sleep 0.01; done
                  ls -A | grep -c part; kill -INT $!; kill -TERM $!; wait $! || echo $?; ls -A";
    let ended = bash_in(folder().path(), script, b"");
    assert_eq!(ended.stdout, "1\n143\nfirst\nfull\n", "{}", ended.stderr);
}

#[test]
fn fifos_are_partitions_side_by_side() {
    let place = folder();
    let script = r#"
        for second in {10..59}; do
            echo "{\"timestamp\":\"2026-01-01T00:00:${second}Z\",\"k\":\"a\"}" >>a.ndjson
            echo "{\"timestamp\":\"2026-01-01T00:01:${second}Z\",\"k\":\"b\"}" >>b.ndjson
        done
        echo '{"timestamp":"2026-01-01T00:01:59Z","k":"a"}' >>a.ndjson
        mkfifo a b
        cat a.ndjson >a & cat b.ndjson >b &
        evwindow -t 10s -b k a b >fifos
        wait
        evwindow -t 10s -b k a.ndjson b.ndjson >files
        cmp fifos files
        wc -l <fifos"#;
    // Were one read after the other, the minute of the first would be late: the summary would say so.
    assert_eq!(bash_in(place.path(), script, b"").assert_quiet().stdout.trim(), "11");
}

#[test]
fn hostile_bytes_are_kept_as_they_came() {
    let place = folder();
    let lines: [&[u8]; 5] = [
        b"{\"timestamp\":\"2026-01-01T00:00:01Z\",\"k\":\"tab\\tquote\\\"backslash\\\\\"}",
        b"{\"timestamp\":\"2026-01-01T00:00:02Z\",\"k\":\"\x00\"}",
        b"{\"timestamp\":\"2026-01-01T00:00:02Z\",\"k\":\"\xff\"}",
        b"back\\slash \"quoted\"",
        b"{\"timestamp\":\"2026-01-01T00:00:03Z\",\"k\":\"\\u001b[31m\"}",
    ];
    std::fs::write(place.path().join("in.ndjson"), lines.join(&b'\n')).unwrap();
    let script = "evwindow -t 1m -b k -q --rejects-to rejects.ndjson in.ndjson >rows.ndjson
                  tr -d '\\n[:print:]' <rows.ndjson | wc -c; base64 -d <<<$(jq -r 'select(.line == 3).payload_base64' rejects.ndjson) >third";
    assert_eq!(bash_in(place.path(), script, b"").assert_quiet().stdout.trim(), "0", "rows hold control characters");
    let keys: Vec<String> =
        rows(&place.path().join("rows.ndjson")).iter().map(|row| text(row, "k").to_owned()).collect();
    assert_eq!(keys, ["\u{1b}[31m", "tab\tquote\"backslash\\"]);
    let rejects = rows(&place.path().join("rejects.ndjson"));
    assert_eq!(rejects.iter().map(|reject| number(reject, "line")).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(text(&rejects[0], "payload").as_bytes(), lines[1]);
    assert_eq!(std::fs::read(place.path().join("third")).unwrap(), lines[2]);
    assert_eq!(text(&rejects[2], "payload").as_bytes(), lines[3]);
}

#[test]
fn completions_and_the_man_page_are_made_from_the_flags() {
    let place = folder();
    for tool in ["evgen", "evwindow", "evtop"] {
        let script = format!(
            "{tool} --completions bash >complete.bash; bash -n complete.bash; grep -c -- --completions complete.bash
             for shell in zsh fish; do {tool} --completions $shell | grep -q man; done
             {tool} --man >man; head -3 man | grep -c '^.TH {tool} 1'"
        );
        let ended = bash_in(place.path(), &script, b"");
        let counts: Vec<u32> = ended.assert_quiet().stdout.lines().map(|line| line.parse().unwrap()).collect();
        assert!(counts[0] > 0 && counts[1] == 1, "{tool}: {counts:?}");
    }
}

/// The slices of 15 s windows every 10 s are 5 s long: no partial of theirs may lie behind a watermark that was said before.
#[test]
fn partials_make_shorter_windows_without_a_loss_and_sessions_are_sent_once() {
    let place = folder();
    let events = |seconds: &[u32]| -> String {
        seconds.iter().map(|second| format!("{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\"}}\n")).collect()
    };
    std::fs::write(place.path().join("slices.ndjson"), events(&[1, 6, 12, 17, 26, 27, 40])).unwrap();
    std::fs::write(place.path().join("sessions.ndjson"), events(&[1, 30, 2, 58])).unwrap();
    let script = "
        evwindow -q --sliding 15s/10s --watermark-delay 0s --emit partials,watermarks slices.ndjson | evwindow -q --merge -t 5s >merged
        evwindow -q -t 5s --watermark-delay 0s slices.ndjson >direct; cmp merged direct
        session='--session 10s --allowed-lateness 1h'
        evwindow -q $session --watermark-delay 0s --emit partials sessions.ndjson | evwindow -q --merge $session |
            jq -s 'map(.count) | add'";
    assert_eq!(bash_in(place.path(), script, b"").assert_quiet().stdout.trim(), "4");
}
