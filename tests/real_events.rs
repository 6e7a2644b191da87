//! Real events (a web server's log, a shop's orders, flights) through the tour's queries, from a file and from a pipe,
//! against a count by jq, sort and awk that knows nothing of evkit.
//!
//! The events are in the folder `events-real` of the one named by `EVKIT_CASES`; without it nothing is compared.

mod support;

use std::path::Path;

/// Compares the rows of `evwindow QUERY`, made into lines by the jq program `row`, with the lines of the shell command
/// `count`, which reads the events from its stdin. The order of lines is of no account here.
fn check(events: &str, query: &str, row: &str, count: &str) {
    let Some(cases) = std::env::var_os("EVKIT_CASES") else {
        eprintln!("left out: EVKIT_CASES names no folder of cases, so there is no '{events}'");
        return;
    };
    let file = Path::new(&cases).join("events-real").join(format!("{events}.ndjson.gz"));
    assert!(file.exists(), "'{}' is not there", file.display());
    let file = file.display();
    let script = format!(
        r#"
        export LC_ALL=C
        zcat '{file}' | {{ {count}; }} | sort >counted
        evwindow {query} --watermark-delay 1d --format ndjson '{file}' >from-file
        zcat '{file}' | evwindow {query} --watermark-delay 1d --format ndjson >from-pipe
        cmp from-file from-pipe
        jq -r '{row} | @tsv' from-file | sort >answered
        wc -l <counted
        diff counted answered
        "#
    );
    let ended = support::bash(&script, b"");
    let lines: u32 = ended.assert_quiet().stdout.trim().parse().expect("wc prints a number, diff nothing");
    assert!(lines > 10, "only {lines} rows were compared");
}

#[test]
fn requests_per_hour_by_status() {
    check(
        "apache_access",
        "--tumbling 1h --by properties.status",
        "[.window_start[:13], .status, .count]",
        r#"jq -r '[.timestamp[:13], .properties.status] | @tsv' | sort | uniq -c | awk '{ print $2 "\t" $3 "\t" $1 }'"#,
    );
}

#[test]
fn busiest_pages_of_each_day() {
    check(
        "apache_access",
        r#"--tumbling 1d --where "event_type <> 'page_asset'" --by properties.path \
            --agg "count(*) AS views" --top 5 --order-by "views DESC""#,
        "[.window_start[:10], .rank, .path, .views]",
        r#"jq -r 'select(.event_type != "page_asset") | [.timestamp[:10], .properties.path] | @tsv' | sort | uniq -c |
            sort -k 2,2 -k 1,1nr -k 3,3 | awk '$2 != day { day = $2; rank = 0 } ++rank <= 5 { print $2 "\t" rank "\t" $3 "\t" $1 }'"#,
    );
}

#[test]
fn revenue_per_day() {
    // In thousandths of a cent, so that no sum is rounded on its way.
    check(
        "kibana_ecommerce",
        r#"--tumbling 1d --by properties.currency --agg "count(*) AS orders, sum(properties.total) AS revenue""#,
        "[.window_start[:10], .currency, .orders, (.revenue * 100000 | round)]",
        r#"jq -r '[.timestamp[:10], .properties.currency, (.properties.total * 100000 | round)] | @tsv' |
            awk '{ place = $1 "\t" $2; orders[place]++; total[place] += $3 }
                END { for (place in orders) printf "%s\t%d\t%d\n", place, orders[place], total[place] }'"#,
    );
}

#[test]
fn delays_of_flights_per_day() {
    check(
        "kibana_flights",
        r#"--tumbling 1d --by properties.dest_country --having "delayed > 0" \
            --agg "count(*) AS flights, count(*) FILTER (WHERE properties.delayed) AS delayed, max(properties.delay_min) AS worst""#,
        "[.window_start[:10], .dest_country, .flights, .delayed, .worst]",
        r#"jq -r '[.timestamp[:10], .properties.dest_country, (.properties.delayed | if . then 1 else 0 end), .properties.delay_min] | @tsv' |
            awk '{ place = $1 "\t" $2; flights[place]++; delayed[place] += $3; if ($4 > worst[place]) worst[place] = $4 }
                END { for (place in flights) if (delayed[place]) print place "\t" flights[place] "\t" delayed[place] "\t" worst[place] }'"#,
    );
}
