//! Each flag of evwindow with good and bad values, alone and beside others: no process is started.
//!
//! Here those of the query and of questions about it. Knows nothing of what a run does with the configuration.

mod input;
mod output;

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
fn a_query_in_other_words_has_the_same_fingerprint() {
    let of = |text: &str| config(text, false).map(|config| config.fingerprint("events"));
    let other = of("-t 60s --allowed-lateness 600s --watermark-delay 90000ms");
    assert_eq!(of("-t 1m --allowed-lateness 10m --watermark-delay 1m30s"), other);
    assert!(of("-t 60s --allowed-lateness 601s --watermark-delay 90s") != other && other.is_ok());
}
