//! Each flag of evwindow with good and bad values, alone and beside others: no process is started.
//!
//! Knows nothing of what a run does with the configuration. This file is long because each flag has its test here, and there
//! are many flags.

use std::fmt::Debug;

use clap::Parser;

use crate::cli::evwindow::Args;
use crate::cli::evwindow::config::{Config, Stats};
use crate::cli::evwindow::settings::name_of;
use crate::cli::exit::{ExitCode, report};
use crate::codec::TimeFrom;
use crate::pipeline::window::RejectsMax;
use crate::time::{Duration, Timestamp};
use crate::window::Windows;
use crate::window::assigner::{Alignment, Assigner};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// What `now` is in these tests.
const NOW: Timestamp = Timestamp(1_767_225_600_000_000);

/// The words of a command line; single quotes hold spaces together.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in text.split('\'').enumerate() {
        match index % 2 {
            0 => {
                for (number, piece) in part.split(' ').enumerate() {
                    if number > 0 {
                        words.push(String::new());
                    }
                    words.last_mut().expect("there is a first").push_str(piece);
                }
            }
            _ => words.last_mut().expect("there is a first").push_str(part),
        }
    }
    words
}

/// The configuration that a command line makes, or what is said about it. All refusals are the user's to mend.
fn config(text: &str, is_terminal: bool) -> Result<Config, String> {
    let args = Args::try_parse_from([vec!["evwindow".to_owned()], words(text)].concat()).map_err(|error| {
        assert_eq!(error.exit_code(), 2, "{text}");
        error.to_string().lines().next().unwrap_or_default().to_owned()
    })?;
    Config::new(args, NOW, is_terminal).map_err(|error| {
        assert_eq!(ExitCode::of(&error), ExitCode::Usage, "{text}: {error:#}");
        report("evwindow", &error).trim_end().to_owned()
    })
}

/// A good command line, and something of the configuration that it makes.
#[track_caller]
fn check<T: PartialEq + Debug>(text: &str, seen: impl Fn(&Config) -> T, expected: T) {
    assert_eq!(config(text, false).as_ref().map(seen), Ok(expected), "{text}");
}

/// A bad command line, and all that is said about it.
#[track_caller]
fn refuse(text: &str, expected: &str) {
    assert_eq!(config(text, false).map(|_| "taken").unwrap_err(), expected, "{text}");
}

fn windows(config: &Config) -> Windows {
    config.window.plan.queries[0].windows.clone()
}

fn tumbling(size: i64, offset: i64, zone: Option<chrono_tz::Tz>) -> Windows {
    let alignment = Alignment { offset: Duration(offset), zone };
    Windows::Aligned(Assigner::tumbling(Duration(size), alignment).unwrap())
}

const NO_LENGTH: &str = "hint: write a length of time as '90s', '5m', '7d', '250ms', '10us' or '1h30m'";

#[test]
fn tumbling_takes_a_length_of_time() {
    check("-t 1m", windows, tumbling(MINUTE, 0, None));
    check("--tumbling 1h30m", windows, tumbling(90 * MINUTE, 0, None));
    refuse("-t 0s", "evwindow: cannot take --tumbling '0s': a window's size must be greater than zero");
    refuse("-t 1x", &format!("evwindow: cannot take --tumbling '1x': it has an unknown unit\n{NO_LENGTH}"));
    refuse("-t=-1m", &format!("evwindow: cannot take --tumbling '-1m': it is negative\n{NO_LENGTH}"));
    refuse("-t", "error: a value is required for '--tumbling <SIZE>' but none was supplied");
}

#[test]
fn one_kind_of_window_is_needed() {
    let hint = "hint: try --tumbling 1m, --sliding 5m/1m, --session 30m or --global";
    refuse("-q", &format!("evwindow: no window is given\n{hint}"));
    for (flag, value) in [("sliding", "5m/1m"), ("cumulate", "1d/1h"), ("session", "5m")] {
        let expected = format!(
            "evwindow: cannot take --{flag} '{value}': --tumbling is given too, and a metric has one kind of window"
        );
        refuse(&format!("-t 1m --{flag} {value}"), &expected);
    }
    refuse(
        "--session 1m --global",
        "evwindow: cannot take --global: --session is given too, and a metric has one kind of window",
    );
}

#[test]
fn sliding_takes_size_and_slide() {
    let sliding =
        |size, slide| Windows::Aligned(Assigner::sliding(Duration(size), Duration(slide), Alignment::EPOCH).unwrap());
    check("--sliding 5m/1m", windows, sliding(5 * MINUTE, MINUTE));
    check("--sliding 1m/5m", windows, sliding(MINUTE, 5 * MINUTE));
    refuse("--sliding 5m", "evwindow: cannot take --sliding '5m': it takes size and slide, such as 5m/1m");
    refuse("--sliding 5m/0s", "evwindow: cannot take --sliding '5m/0s': a window's slide must be greater than zero");
    let cause = "'1q' is no length of time: it has an unknown unit";
    refuse("--sliding 5m/1q", &format!("evwindow: cannot take --sliding '5m/1q': {cause}\n{NO_LENGTH}"));
}

#[test]
fn cumulate_takes_size_and_step() {
    let cumulative = Assigner::cumulative(Duration(24 * HOUR), Duration(HOUR), Alignment::EPOCH).unwrap();
    check("--cumulate 1d/1h", windows, Windows::Aligned(cumulative));
    refuse("--cumulate 1d", "evwindow: cannot take --cumulate '1d': it takes size and step, such as 1d/1h");
    refuse(
        "--cumulate 1m/7s",
        "evwindow: cannot take --cumulate '1m/7s': the size of a cumulative window must be a multiple of its step",
    );
}

#[test]
fn session_takes_a_gap_and_may_be_cut() {
    let gap = |config: &Config| match windows(config) {
        Windows::Session(gap) => (gap.gap, gap.longest),
        Windows::Aligned(_) => panic!("no session"),
    };
    check("--session 30m", gap, (Duration(30 * MINUTE), None));
    check("--session 30m --session-max 1d", gap, (Duration(30 * MINUTE), Some(Duration(24 * HOUR))));
    refuse("--session 0s", "evwindow: cannot take --session '0s': it must be greater than zero");
    refuse("--session 1m --session-max 0s", "evwindow: cannot take --session-max '0s': it must be greater than zero");
    refuse(
        "-t 1m --session-max 1d",
        "evwindow: cannot take --session-max: it cuts sessions, but --session is not given",
    );
}

#[test]
fn global_has_no_edges_to_move() {
    check("--global", windows, Windows::Aligned(Assigner::global()));
    refuse("--global=yes", "error: unexpected value 'yes' for '--global' found; no more were expected");
    refuse(
        "--global --window-offset 1h",
        "evwindow: cannot take --window-offset: windows by --global have no edges to move",
    );
    refuse("--global --tz Europe/Berlin", "evwindow: cannot take --tz: windows by --global have no edges to move");
}

#[test]
fn window_offset_moves_edges_both_ways() {
    check("-t 1h --window-offset 15m", windows, tumbling(HOUR, 15 * MINUTE, None));
    check("-t 1h --window-offset -15m", windows, tumbling(HOUR, -15 * MINUTE, None));
    let cause = "it has an unknown unit";
    refuse("-t 1h --window-offset 1x", &format!("evwindow: cannot take --window-offset '1x': {cause}\n{NO_LENGTH}"));
}

#[test]
fn tz_takes_a_zone_for_whole_days() {
    check("-t 1d --tz Europe/Berlin", windows, tumbling(24 * HOUR, 0, Some(chrono_tz::Europe::Berlin)));
    refuse(
        "-t 1d --tz Berlin",
        "evwindow: cannot take --tz 'Berlin': it is no time zone of the IANA database, such as Europe/Berlin",
    );
    let cause = "windows in a time zone must last whole days; shorter windows are the same in every zone";
    refuse("-t 1h --tz Europe/Berlin", &format!("evwindow: cannot take --tumbling '1h': {cause}"));
}

#[test]
fn where_takes_an_expression_over_events() {
    let decoded = |config: &Config| config.window.plan.wanted.iter().map(ToString::to_string).collect::<Vec<_>>();
    check("-t 1m", decoded, vec![]);
    check("-t 1m -w 'a.b > 1 AND c IS NULL'", decoded, vec!["a.b".to_owned(), "c".to_owned()]);
    refuse(
        "-t 1m --where 'a >'",
        "evwindow: wrong --where: cannot parse the expression: expected an expression, found the end of the text\na >\n   ^",
    );
    refuse(
        "-t 1m -w 'sum(a) > 1'",
        "evwindow: wrong --where: aggregate 'sum' cannot stand in --where\nsum(a) > 1\n^^^",
    );
}

#[test]
fn by_may_be_repeated() {
    let groups = |config: &Config| config.window.plan.schemas[0].groups.join(" ");
    check("-t 1m", groups, String::new());
    check("-t 1m -b 'a.b, lower(c) AS d' --by e", groups, "b d e".into());
    refuse(
        "-t 1m -b 'country c'",
        "evwindow: wrong --by: cannot parse the expression: expected an operator, found 'c'\ncountry c\n        ^\n\
         hint: a name of your own stands after AS: AS c",
    );
    refuse("-t 1m -b a,a", "evwindow: cannot take --by 'a': this name is used twice; give another one with AS");
    refuse(
        "-t 1m -b rank",
        "evwindow: cannot take --by 'rank': every row has a column of this name; give another one with AS",
    );
}

#[test]
fn agg_may_be_repeated_and_counts_by_default() {
    let aggregates = |config: &Config| config.window.plan.schemas[0].aggregates.join(" | ");
    check("-t 1m", aggregates, "count".into());
    check("-t 1m -a 'sum(a) AS s, max(b)' --agg 'median(c)'", aggregates, "s | max(b) | median(c)".into());
    refuse("-t 1m -a a", "evwindow: wrong --agg: 'a' is not an aggregate such as count(*) or sum(x)\na\n^");
    refuse(
        "-t 1m -b a -a 'sum(b) AS a'",
        "evwindow: cannot take --agg 'a': this name is used twice; give another one with AS",
    );
    refuse(
        "-t 1m -a 'count(*) \"n\", sum(a)'",
        "evwindow: wrong --agg: cannot parse the expression: expected an operator, found '\"n\"'\ncount(*) \"n\", sum(a)\n         ^^^\n\
         hint: a name of your own stands after AS: AS \"n\"",
    );
    refuse("-t 1m -a 'sum(*)'", "evwindow: wrong --agg: '*' in 'sum' is not supported in an expression\nsum(*)\n^^^");
}

#[test]
fn having_and_fail_if_take_expressions_over_rows() {
    for flag in ["having", "fail-if"] {
        let has = |config: &Config| {
            (config.window.plan.queries[0].presentation.having.is_some(), config.window.fail_if[0].is_some())
        };
        let expected = (flag == "having", flag == "fail-if");
        check(&format!("-t 1m -b a.k -a 'sum(b) AS s' --{flag} 's > 1'"), has, expected);
        check(&format!("-t 1m -b a.k -a 'sum(b) AS s' --{flag} 'sum(b) > 1 OR a.k = 2 OR k = 3'"), has, expected);
        refuse(
            &format!("-t 1m -b a.k -a 'sum(b) AS s' --{flag} 'b > 1'"),
            &format!("evwindow: wrong --{flag}: no column 'b'\nb > 1\n^\nhint: the columns are k, s"),
        );
    }
}

#[test]
fn top_shows_at_least_one_row() {
    let top = |config: &Config| {
        let top = config.window.plan.queries[0].presentation.top.as_ref();
        top.map(|top| (top.rows, top.order.len(), top.with_ties))
    };
    check("-t 1m -b a", top, None);
    check("-t 1m -b a -n 10", top, Some((10, 1, false)));
    check("-t 1m -b a --top 1k --order-by 'count DESC, a' --with-ties", top, Some((1000, 2, true)));
    refuse("-t 1m -n 0", "error: invalid value '0' for '--top <N>': it must lie between 1 and 1000000000");
    refuse("-t 1m -n -1", "error: invalid value '-1' for '--top <N>': write a whole number, as '5000', '10k' or '2M'");
    refuse(
        "--session 1m -n 3",
        "evwindow: cannot take --top '3': sessions are windows of one group each, so there is nothing to rank",
    );
    refuse("-t 1m -n 3 --order-by b", "evwindow: wrong --order-by: no column 'b'\nb\n^\nhint: the columns are count");
    let cause = "it says which rows --top shows, but --top is not given";
    refuse("-t 1m --order-by count", &format!("evwindow: cannot take --order-by: {cause}"));
    refuse("-t 1m --with-ties", &format!("evwindow: cannot take --with-ties: {cause}"));
}

#[test]
fn name_is_the_metrics() {
    let name = |config: &Config| config.window.plan.schemas[0].name.clone();
    check("-t 1m", name, "events".into());
    check("-t 1m --name 'page views'", name, "page views".into());
    refuse("-t 1m --name ''", "evwindow: cannot take --name: it is empty, and a metric needs a name");
}

#[test]
fn metrics_takes_a_file_and_no_query_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.toml");
    let path = path.to_str().unwrap();
    std::fs::write(path, "[[metric]]\nname = 'a'\nglobal = true\n[[metric]]\nname = 'b'\ntumbling = '1m'\n").unwrap();
    let metrics = |config: &Config| {
        let plan = &config.window.plan;
        let queries = plan.schemas.iter().zip(&plan.queries);
        queries.map(|(schema, query)| (schema.name.clone(), query.allowed_lateness)).collect::<Vec<_>>()
    };
    let expected = vec![("a".to_owned(), Duration(SECOND)), ("b".to_owned(), Duration(SECOND))];
    check(&format!("--metrics {path} --allowed-lateness 1s"), metrics, expected);
    for other in ["-t 1m", "--global", "-w a", "-b a", "-a 'count(*)'", "--having a", "-n 1", "--name a"] {
        let error = config(&format!("--metrics {path} {other}"), false).map(|_| "taken").unwrap_err();
        assert!(error.starts_with("error: the argument '--metrics <FILE>' cannot be used with"), "{other}: {error}");
    }
    std::fs::write(path, "[[metric]]\nname = 'a'\n").unwrap();
    refuse(
        &format!("--metrics {path}"),
        &format!(
            "evwindow: cannot take --metrics '{path}': cannot plan the metric 'a': no window is given\n\
             hint: try --tumbling 1m, --sliding 5m/1m, --session 30m or --global"
        ),
    );
    std::fs::write(path, "[[metric]]\nname = 'a'\nglobal = true\nmax-groups = 0\n").unwrap();
    refuse(
        &format!("--metrics {path}"),
        &format!(
            "evwindow: cannot take --metrics '{path}': cannot plan the metric 'a': \
             cannot take --max-groups '0': it must lie between 1 and 1000000000"
        ),
    );
    let nowhere = "evwindow: cannot read --metrics '/no/file': No such file or directory (os error 2)";
    refuse("--metrics /no/file", nowhere);
}

#[test]
fn max_groups_has_bounds() {
    let groups = |config: &Config| config.window.plan.queries[0].limit.groups_max;
    check("-t 1m", groups, 1_000_000);
    check("-t 1m --max-groups 10k", groups, 10_000);
    let bounds = "it must lie between 1 and 1000000000";
    refuse("-t 1m --max-groups 0", &format!("error: invalid value '0' for '--max-groups <N>': {bounds}"));
    refuse("-t 1m --max-groups 2000M", &format!("error: invalid value '2000M' for '--max-groups <N>': {bounds}"));
}

#[test]
fn merge_takes_the_query_from_its_input() {
    check("--merge -t 1h", Config::is_merging, true);
    check("-t 1h", Config::is_merging, false);
    for other in ["-w a", "-b a", "-a 'count(*)'", "--name a"] {
        let error = config(&format!("--merge -t 1h {other}"), false).map(|_| "taken").unwrap_err();
        assert!(error.starts_with("error: the argument '--merge' cannot be used with"), "{other}: {error}");
    }
}

#[test]
fn explain_tells_every_setting() {
    check("-t 1m", |config| config.explanation.is_some(), false);
    let text = config("-t 1m --explain --watermark-delay 7s -n 3", false).unwrap().explanation.unwrap();
    for line in ["  --watermark-delay   7s", "  --tumbling          1m", "  --order-by          count DESC"] {
        assert!(text.lines().any(|told| told == line), "'{line}' is not in\n{text}");
    }
}

#[test]
fn time_field_and_format_say_where_time_comes_from() {
    let time = |config: &Config| match &config.time {
        TimeFrom::Field { path, format } => format!("{path} {format:?}"),
        TimeFrom::Arrival => "arrival".into(),
    };
    check("-t 1m", time, "timestamp Auto".into());
    check("-t 1m --time-field meta.at --time-format ms", time, "meta.at Millis".into());
    for (format, expected) in [("rfc3339", "Rfc3339"), ("s", "Seconds"), ("us", "Micros"), ("ns", "Nanos")] {
        check(&format!("-t 1m --time-format {format}"), time, format!("timestamp {expected}"));
    }
    check("-t 1m --time processing", time, "arrival".into());
    refuse("-t 1m --time-field 'a b'", "evwindow: cannot take --time-field 'a b': it must be the path of a field");
    refuse("-t 1m --time-format iso", "error: invalid value 'iso' for '--time-format <TIME_FORMAT>'");
    refuse("-t 1m --time later", "error: invalid value 'later' for '--time <TIME>'");
}

#[test]
fn delays_are_lengths_of_time() {
    check("-t 1m", |config| config.window.watermark_delay, Duration(5 * SECOND));
    check("-t 1m --watermark-delay 0s", |config| config.window.watermark_delay, Duration(0));
    let lateness = |config: &Config| config.window.plan.queries[0].allowed_lateness;
    check("-t 1m", lateness, Duration(0));
    check("-t 1m --allowed-lateness 1h", lateness, Duration(HOUR));
    check("-t 1m --early 10s", |config| config.window.early, Some(Duration(10 * SECOND)));
    refuse("-t 1m --early 0s", "evwindow: cannot take --early '0s': it must be greater than zero");
    let cause = "'1x' is no length of time: it has an unknown unit";
    refuse("-t 1m --watermark-delay 1x", &format!("error: invalid value '1x' for '--watermark-delay <D>': {cause}"));
    refuse("-t 1m --early 1x", &format!("error: invalid value '1x' for '--early <D>': {cause}"));
    let unknown = "evwindow: cannot take --allowed-lateness '1x': it has an unknown unit";
    refuse("-t 1m --allowed-lateness 1x", &format!("{unknown}\n{NO_LENGTH}"));
}

#[test]
fn max_future_is_measured_from_now() {
    let future = |config: &Config| (config.future.max, config.future.now);
    check("-t 1m", future, (Some(Duration(5 * MINUTE)), None));
    check("-t 1m --max-future none", future, (None, None));
    check("-t 1m --max-future 1h --now -1h", future, (Some(Duration(HOUR)), Some(Timestamp(NOW.0 - HOUR))));
    check("-t 1m --time processing", future, (None, None));
    let cause = "'x' is no length of time: a whole number must stand before each unit";
    refuse("-t 1m --max-future x", &format!("error: invalid value 'x' for '--max-future <D>': {cause}"));
    refuse("-t 1m --now x", "error: invalid value 'x' for '--now <TIME>': 'x' is no time");
}

#[test]
fn idleness_can_be_turned_off_and_on() {
    let idle = |config: &Config| (config.intake.idle_timeout, config.intake.idle_close);
    check("-t 1m", idle, (Some(Duration(30 * SECOND)), None));
    check("-t 1m --idle-timeout none --idle-close 10s", idle, (None, Some(Duration(10 * SECOND))));
    let cause = "'never' is no length of time: a whole number must stand before each unit";
    refuse("-t 1m --idle-timeout never", &format!("error: invalid value 'never' for '--idle-timeout <D>': {cause}"));
    refuse("-t 1m --idle-close never", &format!("error: invalid value 'never' for '--idle-close <D>': {cause}"));
}

#[test]
fn at_end_fires_or_drops() {
    check("-t 1m", |config| config.window.fire_at_end, true);
    check("-t 1m --at-end drop", |config| config.window.fire_at_end, false);
    refuse("-t 1m --at-end keep", "error: invalid value 'keep' for '--at-end <AT_END>'");
}

#[test]
fn inputs_are_positional_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    for name in ["a.ndjson", "b.csv"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let inputs = |config: &Config| {
        let shown = |input: &crate::source::input::Input| format!("{} {:?}", input.address, input.format);
        config.inputs.iter().map(shown).collect::<Vec<_>>().join(", ").replace(place, "")
    };
    check("-t 1m", inputs, "- Ndjson".into());
    check("-t 1m --input-format csv", inputs, "- Csv".into());
    check(&format!("-t 1m {place}/a.ndjson --from {place}/b.csv"), inputs, "/a.ndjson Ndjson, /b.csv Csv".into());
    check(&format!("-t 1m {place}/*"), inputs, "/a.ndjson Ndjson, /b.csv Csv".into());
    refuse("-t 1m /no/file", "evwindow: cannot read '/no/file': No such file or directory (os error 2)");
    refuse("-t 1m - --from -", "evwindow: cannot read '-' (stdin) twice");
    refuse("-t 1m ''", "evwindow: an address is empty: '-' is stdin and stdout");
    refuse("-t 1m influx://h/o/b", "evwindow: cannot read 'influx://h/o/b' here: it holds no lines");
    refuse("-t 1m kafka://h/t -", "evwindow: cannot read 'kafka://h/t' with other inputs: a topic is read alone");
    refuse("-t 1m --input-format xml", "error: invalid value 'xml' for '--input-format <INPUT_FORMAT>'");
}

#[test]
fn csv_schema_names_types() {
    check(
        "-t 1m --csv-schema 'a:int=b.c, d:text'",
        |config| format!("{:?}", config.csv_schema).contains("\"d\""),
        true,
    );
    refuse(
        "-t 1m --csv-schema a:flot",
        "evwindow: cannot take --csv-schema 'a:flot': 'flot' in 'a:flot' of the CSV schema is no type\n\
         use one of 'auto', 'text', 'int', 'float', 'bool' and 'time'",
    );
}

#[test]
fn max_line_and_threads_have_bounds() {
    check("-t 1m", |config| config.line_bytes_max, 1 << 20);
    check("-t 1m --max-line 64KiB", |config| config.line_bytes_max, 64 << 10);
    let bytes = "write a number of bytes up to 1024MiB, as '65536', '64KiB' or '1MiB'";
    for bad in ["0", "1025MiB", "big"] {
        let expected = format!("error: invalid value '{bad}' for '--max-line <BYTES>': {bytes}");
        refuse(&format!("-t 1m --max-line {bad}"), &expected);
    }
    check("-t 1m --threads 256", |config| (config.window.threads, config.intake.blocks_max), (256, 2048));
    for bad in ["0", "257"] {
        let expected = format!("error: invalid value '{bad}' for '--threads <N>': it must lie between 1 and 256");
        refuse(&format!("-t 1m --threads {bad}"), &expected);
    }
}

#[test]
fn max_rejects_is_a_count_or_a_share() {
    let max = |config: &Config| config.window.rejects_max;
    check("-t 1m", max, RejectsMax::Unlimited);
    check("-t 1m --max-rejects 0", max, RejectsMax::Count(0));
    check("-t 1m --max-rejects 1.5%", max, RejectsMax::Percent(1.5));
    let cause = "write a whole number, as '5000', '10k' or '2M'";
    refuse("-t 1m --max-rejects x", &format!("error: invalid value 'x' for '--max-rejects <N|P%>': {cause}"));
    let cause = "write a share from 0% to 100%, as '0.1%'";
    refuse("-t 1m --max-rejects 101%", &format!("error: invalid value '101%' for '--max-rejects <N|P%>': {cause}"));
}

#[test]
fn side_files_are_files_of_their_own() {
    let sides = |config: &Config| [&config.rejects_to, &config.late_to].map(|to| to.as_ref().map(ToString::to_string));
    check("-t 1m", sides, [None, None]);
    let (a, b) = ("a.ndjson", "b.ndjson");
    check(&format!("-t 1m --rejects-to {a} --late-to {b}"), sides, [Some(a.to_owned()), Some(b.to_owned())]);
    check("-t 1m --rejects-to - --to x.ndjson", sides, [Some("-".to_owned()), None]);
    check(
        "-t 1m --rejects-to /dev/null --late-to /dev/null --to /dev/null",
        sides,
        [Some("/dev/null".to_owned()), Some("/dev/null".to_owned())],
    );
    let hint = "hint: write each to a file of its own";
    refuse("-t 1m --rejects-to -", &format!("evwindow: cannot take --rejects-to '-': --to is written there\n{hint}"));
    refuse(
        "-t 1m --rejects-to x --late-to ./x",
        &format!("evwindow: cannot take --late-to './x': --rejects-to is written there\n{hint}"),
    );
    check("-t 1m --late-to kafka://h/t", sides, [None, Some("kafka://h/t".to_owned())]);
    refuse(
        "-t 1m --to kafka://h/t --late-to kafka://h/t",
        "evwindow: cannot take --late-to 'kafka://h/t': --to is written there\nhint: write each to a topic of its own",
    );
    refuse(
        "-t 1m kafka://h/t --to kafka://h/t",
        "evwindow: cannot take --to 'kafka://h/t': it is read too\nhint: write to another topic",
    );
    refuse(
        "-t 1m --rejects-to store:",
        "evwindow: cannot take --rejects-to 'store:': a store takes result rows, not lines",
    );
}

#[test]
fn no_output_is_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("a.ndjson"), "").unwrap();
    for flag in ["to", "rejects-to", "late-to"] {
        let to = format!("{place}/../{}/a.ndjson", folder.path().file_name().unwrap().to_str().unwrap());
        refuse(
            &format!("-t 1m {place}/a.ndjson --{flag} {to}"),
            &format!("evwindow: cannot take --{flag} '{to}': it is read too\nhint: write to another file"),
        );
    }
}

#[test]
fn to_may_be_repeated_and_its_name_tells_the_format() {
    let outputs = |config: &Config| {
        let shown = |output: &super::Output| format!("{} {}", output.address, name_of(output.format));
        config.outputs.iter().map(shown).collect::<Vec<_>>().join(", ")
    };
    check("-t 1m", outputs, "- ndjson".into());
    check(
        "-t 1m -o a.csv --to b.json -o c.lp -o d -o -",
        outputs,
        "a.csv csv, b.json json, c.lp line-protocol, d ndjson, - ndjson".into(),
    );
    check("-t 1m -o a.csv -o a.csv", outputs, "a.csv csv".into());
    for format in ["ndjson", "json", "csv", "line-protocol", "table"] {
        check(&format!("-t 1m -f {format} -o a.csv"), outputs, format!("a.csv {format}"));
    }
    refuse("-t 1m --format xml", "error: invalid value 'xml' for '--format <FORMAT>'");
    for ending in ["gz", "zst", "parquet"] {
        refuse(
            &format!("-t 1m -o a.{ending}"),
            &format!(
                "evwindow: cannot take --to 'a.{ending}': evwindow does not write .{ending} files\n\
                 hint: write to '-' and pipe it through gzip or zstd"
            ),
        );
    }
}

#[test]
fn a_point_needs_a_time() {
    let refusal = |to: &str| {
        format!(
            "evwindow: cannot take --global with --to '{to}': a point of line protocol needs a time, and the one window over \
             everything has none\nhint: use --format ndjson, or windows such as --tumbling 1d"
        )
    };
    refuse("--global -f line-protocol", &refusal("-"));
    refuse("--global -o a.json -o a.lp", &refusal("a.lp"));
    check("--global -o a.json", |config| config.outputs.len(), 1);
}

#[test]
fn a_terminal_gets_a_table_that_gives_way() {
    let format = |text: &str| config(text, true).map(|config| name_of(config.outputs[0].format));
    assert_eq!(format("-t 1m"), Ok("table"));
    assert_eq!(format("-t 1m --emit rows,watermarks"), Ok("ndjson"));
    assert_eq!(format("-t 1m --format csv"), Ok("csv"));
    assert_eq!(format("-t 1m -o a"), Ok("ndjson"));
}

#[test]
fn append_goes_on_where_that_is_possible() {
    let mode = |config: &Config| config.file_mode == crate::sink::FileMode::Append;
    check("-t 1m -o a.csv", mode, false);
    check("-t 1m -o a.csv --append", mode, true);
    refuse(
        "-t 1m -o a.json --append",
        "evwindow: cannot take --append with --to 'a.json': a JSON array cannot be continued\nhint: use --format ndjson",
    );
}

#[test]
fn emit_lists_what_is_written() {
    let emit = |config: &Config| {
        let emit = config.window.emit;
        [emit.rows, emit.partials, emit.watermarks, emit.stats]
    };
    check("-t 1m", emit, [true, false, false, false]);
    check("-t 1m --emit partials,watermarks,stats", emit, [false, true, true, true]);
    refuse(
        "-t 1m --emit rows,partials",
        "evwindow: cannot take --emit 'rows,partials': partials are written instead of rows",
    );
    let cause = "only ndjson has a place for partials, watermarks and stats\nhint: use --format ndjson";
    refuse("-t 1m --emit stats -o a.csv", &format!("evwindow: cannot take --emit with --to 'a.csv': {cause}"));
    refuse("-t 1m --emit stats -f table", &format!("evwindow: cannot take --emit with --to '-': {cause}"));
    refuse("-t 1m --emit everything", "error: invalid value 'everything' for '--emit <EMIT>'");
}

#[test]
fn stats_is_text_or_json_or_not_its_value() {
    let stats = |config: &Config| (config.stats, config.inputs.len());
    check("-t 1m", stats, (Stats::WhenRemarkable, 1));
    check("-t 1m --stats", stats, (Stats::Text, 1));
    check("-t 1m --stats text", stats, (Stats::Text, 1));
    check("-t 1m --stats json", stats, (Stats::Json, 1));
    check("-t 1m --stats -", stats, (Stats::Text, 1));
    refuse(
        "-t 1m --stats jsno",
        "evwindow: cannot take --stats 'jsno': it is neither 'text' nor 'json', and there is no such file",
    );
}

#[test]
fn quiet_and_stats_exclude_each_other() {
    check("-t 1m -q", |config| config.quiet, true);
    refuse("-t 1m -q --stats", "error: the argument '--quiet' cannot be used with '--stats [<text|json>]'");
}

#[test]
fn why_looks_up_now_and_then() {
    check("-t 1m", |config| (config.window.why, config.intake.patience), (false, None));
    check("-t 1m --why", |config| (config.window.why, config.intake.patience), (true, Some(Duration(2 * SECOND))));
}

#[test]
fn questions_about_the_program_stand_alone() {
    for question in ["--man", "--completions bash"] {
        let error = config(&format!("-t 1m {question}"), false).map(|_| "taken").unwrap_err();
        assert!(error.contains("cannot be used with one or more of the other specified arguments"), "{error}");
    }
    refuse("--completions tcsh", "error: invalid value 'tcsh' for '--completions <SHELL>'");
}

#[test]
fn a_query_in_other_words_has_the_same_fingerprint() {
    let of = |text: &str| config(text, false).map(|config| config.fingerprint("events"));
    let other = of("-t 60s --allowed-lateness 600s --watermark-delay 90000ms");
    assert_eq!(of("-t 1m --allowed-lateness 10m --watermark-delay 1m30s"), other);
    assert!(of("-t 60s --allowed-lateness 601s --watermark-delay 90s") != other && other.is_ok());
}
