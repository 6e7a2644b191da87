//! What each flag makes of the config, and what is refused.

use std::fmt::Debug;

use clap::Parser;

use super::*;
use crate::cli::evingest::args::Command;

/// The config of a command line, or what is wrong with it in one text.
fn config(line: &str) -> Result<Config, String> {
    let args = Args::try_parse_from(std::iter::once("evingest").chain(line.split_whitespace()));
    let args = args.map_err(|error| error.to_string())?;
    let made = match &args.command {
        None => Config::of_events(&args),
        Some(Command::Replay(replay)) => Config::of_rejects(replay),
        Some(_) => return Err("no run".to_owned()),
    };
    made.map_err(|error| format!("{error:#}"))
}

#[track_caller]
fn check<T: PartialEq + Debug>(line: &str, look: impl Fn(&Config) -> T, expected: T) {
    let config = config(line).unwrap_or_else(|error| panic!("'{line}' is refused: {error}"));
    assert_eq!(look(&config), expected, "'{line}'");
}

#[track_caller]
fn check_bad(line: &str, expected: &str) {
    let error = config(line).err().unwrap_or_else(|| panic!("'{line}' is taken"));
    assert!(error.contains(expected), "'{line}': {error}");
}

#[test]
fn inputs_and_outputs() {
    let names = |config: &Config| config.inputs.iter().map(Input::name).collect::<Vec<_>>();
    check("", names, vec!["stdin".into()]);
    check("Cargo.toml --from README.md -", names, vec!["Cargo.toml".into(), "stdin".into(), "README.md".into()]);
    check("--input-format csv", |config| config.inputs[0].format, InputFormat::Csv);
    check("", |config| config.to.clone(), Address::Stdio);
    check("-o out", |config| config.to.clone(), Address::Path("out".into()));
    check("--to kafka://h:1/t", |config| config.to.to_string(), "kafka://h:1/t".into());
    check("--rejects-to bad", |config| config.rejects_to.clone(), Some(Address::Path("bad".into())));
    check("", |config| config.file_mode, FileMode::Replace);
    check("--append -o out", |config| config.file_mode, FileMode::Append);
    check_bad("--to store:", "a store holds metrics, not events");
    check_bad("--rejects-to store:x", "cannot take --rejects-to 'store:x'");
    check_bad("--to out --rejects-to out", "--to is written there");
    check_bad("Cargo.toml --to Cargo.toml", "it is read too");
    check_bad("--to out.gz", "evingest does not write .gz files");
    check_bad("--csv-schema a:number", "'number'");
}

#[test]
fn validation() {
    check("", |config| (config.line_bytes_max, config.payload_bytes_max), (1 << 20, 1 << 20));
    check("--max-line 4KiB", |config| (config.line_bytes_max, config.payload_bytes_max), (4096, 4096));
    check("--max-rejects 7", |config| config.settings.rejects_max, RejectsMax::Count(7));
    check("", |config| config.settings.rejects_max, RejectsMax::Unlimited);
    check("--threads 3", |config| config.settings.threads, 3);
    check("", |config| config.dedup, None);
    let minute = Duration(60_000_000);
    let wish = |window, ids_max| Some(DedupWish { window, ids_max });
    check("--dedup event_id", |config| config.dedup, wish(Duration(10 * minute.0), 1_000_000));
    check("--dedup event_id --dedup-window 1m --dedup-max 5k", |config| config.dedup, wish(minute, 5000));
    check_bad("--dedup-window 1m", "--dedup");
    check_bad("--dedup a+b", "it must be the path of a field");
    check_bad("--key count(*)", "--key");
    check("--key none", |config| config.to.clone(), Address::Stdio);
    check_bad("--unknown-type reject", "there are no schemas");
    check_bad("--schemas no-such-folder", "cannot read --schemas 'no-such-folder'");
    check_bad("--schemas a --registry b", "cannot be used with");
}

#[test]
fn reports() {
    check("", |config| config.stats, Stats::WhenRemarkable);
    check("-q", |config| config.stats, Stats::Quiet);
    check("--stats", |config| config.stats, Stats::Text);
    check("--stats json", |config| config.stats, Stats::Json);
    check("--stats Cargo.toml", |config| (config.stats, config.inputs.len()), (Stats::Text, 1));
    check_bad("--stats xml", "it is neither 'text' nor 'json'");
    check("--verdicts --to out", |config| (config.verdicts, config.writes_stdout()), (true, true));
    check_bad("--verdicts", "stdout has other lines already");
    check_bad("--verdicts --to out --rejects-to -", "stdout has other lines already");
}

#[test]
fn pace_and_transactions() {
    check("--rate 20k", |config| config.settings.rate_milli, Some(20_000_000));
    let id = |config: &Config| (config.transactional_id.clone(), config.file_mode);
    check("Cargo.toml --to kafka://h:1/t --transactional-id x", id, (Some("x".into()), FileMode::Append));
    check_bad("--to out --transactional-id x", "is no topic, and has no transactions");
    check_bad("--to kafka://h/t --rejects-to kafka://i/r --transactional-id x", "would not be part of it");
    let both = "--to kafka://h/t --rejects-to kafka://h/r --transactional-id x";
    check(both, |config| config.transactional_id.is_some(), true);
    check_bad("--to kafka://h/t --transactional-id x --dedup event_id", "cannot be used with");
    check_bad("replay Cargo.toml --to kafka://h/t --transactional-id x --rate 5", "cannot take --rate");
}

#[test]
fn replays() {
    check("replay Cargo.toml", |config| config.inputs.len(), 1);
    check(
        "replay Cargo.toml --max-line 1000",
        |config| (config.line_bytes_max, config.payload_bytes_max),
        (71_536, 1000),
    );
    check_bad("replay", "REJECTS");
    check_bad("replay - --where sum(line)>1", "--where");
    // Flags stand behind the word; before it, it is taken for a file.
    check_bad("--threads 2 replay -", "cannot read 'replay'");
}

#[test]
fn the_flags_are_consistent() {
    <Args as clap::CommandFactory>::command().debug_assert();
}
