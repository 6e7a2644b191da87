//! Flags of what is read: files and topics, time, lateness, limits.

use crate::cli::evwindow::config::tests::*;

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
