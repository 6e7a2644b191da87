//! Flags of what is written: rows, rejects, late events, marks, statistics.

use crate::cli::evwindow::config::Output;
use crate::cli::evwindow::config::tests::*;

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
        let shown = |output: &Output| format!("{} {}", output.address, name_of(output.format));
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
