//! What `evwindow --to influx://…` and `evquery admin influx setup` ask and make before the first point is written: where the server is,
//! who may write, what stands there already, and who else begins at the same moment. The servers are made up.

#[path = "support/events.rs"]
mod events;
#[path = "support/influx.rs"]
mod influx;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/sent.rs"]
mod sent;
mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::events::events;
use crate::influx::{Asked, Fake, Reply};
use crate::kafka::{Topics, brokers, client, unique};
use crate::sent::{QUERY, run, run_at};
use crate::support::bash_in;

/// What a server answers, asked for the first time whether there is more than points; and how often it must be asked.
#[track_caller]
fn check_asked(first: Reply, times: usize) {
    let count = AtomicUsize::new(0);
    let fake = Fake::start_replying(move |_, asked| match asked.is_write() {
        true => Reply::done(),
        false if count.fetch_add(1, Ordering::SeqCst) == 0 => first.clone(),
        false => Reply::Says(200, Vec::new(), "\r\n".into()),
    });
    run(&fake, "--points-only", &events(60)).0.assert_quiet();
    assert_eq!(fake.asked().iter().filter(|asked| !asked.is_write()).count(), times);
}

#[test]
fn who_writes_points_only_makes_sure_that_there_is_no_more_where_the_server_answers_questions() {
    check_asked(Reply::refusal(503, "not now"), 2);
    check_asked(Reply::Breaks, 2);
    check_asked(Reply::refusal(404, "there is no such thing"), 1);
    check_asked(Reply::refusal(501, "not implemented"), 1);
}

#[test]
fn who_is_not_let_in_hears_of_it_at_once() {
    let fake = Fake::start(|_, _| Reply::refusal(404, "bucket \"b\" not found"));
    let (ended, _) = run(&fake, "", &events(600));
    ended.assert_code(4);
    assert_eq!(fake.asked().len(), 1);
    let nobody = run_at("influx://127.0.0.1:9/o/b", "--retry-for 100ms", &events(1)).0;
    nobody.assert_code(4);
    assert!(nobody.stderr.contains("Connection refused"), "{}", nobody.stderr);
}

/// Another process of the group begins at the same moment: from the second question on its points are there, and what stands beside them.
#[test]
fn who_begins_at_the_same_moment_is_no_stranger() {
    let first = Fake::start(|_, _| Reply::done());
    run(&first, "", &events(60)).0.assert_quiet();
    let writes = first.writes();
    let mut lines = writes.iter().flat_map(|write| write.lines());
    let catalogue = lines.find_map(|line| line.strip_prefix("evkit.catalogue,metric=m catalogue=\"")).unwrap();
    let catalogue = catalogue.rsplit_once('"').unwrap().0.replace("\\\"", "\"\"");
    let questions = AtomicU64::new(0);
    let answer = move |asked: &Asked| {
        let value = match questions.fetch_add(1, Ordering::Relaxed) {
            0 => return "\r\n".into(),
            _ if asked.body.contains("evkit.catalogue") => &catalogue,
            _ => "1",
        };
        let head = "#datatype,string,long,string\r\n#group,false,false,false\r\n#default,_result,,\r\n";
        format!("{head},result,table,_value\r\n,,0,\"{value}\"\r\n\r\n")
    };
    let fake = Fake::start_answering(|_, _| Reply::done(), answer);
    run(&fake, "", &events(60)).0.assert_quiet();
    assert!(fake.asked().iter().filter(|asked| !asked.is_write()).count() > 1);
}

/// Whoever joins a group while its bucket is emptied would lose what it writes: the group is not forgotten then, and that is told.
#[test]
fn a_group_that_begins_while_its_bucket_is_emptied_is_told() {
    let Some(kafka) = brokers("a group that begins while its bucket is emptied is told") else { return };
    let mut topics = Topics::new(&kafka);
    let (topic, group) = (topics.create("points", 1, &[]), unique("emptied"));
    ["partials", "state"].iter().for_each(|suffix| topics.adopt(&format!("{group}.{suffix}")));
    let joined: Mutex<Option<BaseConsumer>> = Mutex::default();
    let join = {
        let (kafka, topic, merge) = (kafka.clone(), topic.clone(), format!("{group}.merge"));
        move |asked: &Asked| {
            let mut joined = joined.lock().unwrap();
            if asked.path.ends_with("/api/v2/delete") && joined.is_none() {
                let member: BaseConsumer = client(&kafka, &[("group.id", &*merge)]).create().unwrap();
                member.subscribe(&[&topic]).unwrap();
                while member.assignment().unwrap().count() == 0 {
                    assert!(member.poll(Duration::from_millis(100)).is_none(), "the topic is empty");
                }
                *joined = Some(member);
            }
            "\r\n".into()
        }
    };
    let fake = Fake::start_answering(|_, _| Reply::done(), join);
    let flags = format!("--from kafka://{kafka}/{topic} --group {group} --point-time end --influx-timeout 60s --reset");
    let script =
        format!("export INFLUX_TOKEN=hush HOME=$PWD; evwindow {QUERY} {flags} --to influx://{}/o/b", fake.address);
    let ended = bash_in(tempfile::tempdir().unwrap().path(), &script, b"");
    ended.assert_code(1);
    let expected = format!("'{group}.merge'");
    assert!(ended.stderr.contains(&expected) && ended.stderr.contains("it has members"), "{}", ended.stderr);
}

#[test]
fn what_cannot_stand_in_a_bucket_is_refused() {
    for (flags, expected) in [
        ("--global", "a point of line protocol needs a time"),
        ("--cumulate 1h/1m", "growing windows share their start"),
        ("-t 1m --emit partials", "only ndjson has a place for partials"),
        ("-t 1m --format csv", "InfluxDB takes line protocol"),
        ("-t 1m -b time", "InfluxDB keeps the name 'time' to itself\nhint: give the column another one: '… AS time_'"),
        ("-t 1m -a 'count(*) AS _field'", "InfluxDB keeps the name '_field' to itself"),
        (r"-t 1m --name 'a\ b'", r"InfluxDB misreads the name 'a\ b', which has a backslash"),
        (r"-t 1m --name 'a\'", "\nhint: give it another one, by --name or AS"),
        (r#"-t 1m -a 'count(*) AS "n\,m"'"#, r"cannot write 'events'"),
        ("-t 1m --token-file missing", "cannot use --token-file 'missing'"),
    ] {
        let ended = support::bash(&format!("evwindow {flags} --to influx://127.0.0.1:9/o/b </dev/null"), b"");
        ended.assert_code(2);
        assert!(ended.stderr.contains(expected), "{flags}: {}", ended.stderr);
    }
    let ended = support::bash("env -u INFLUX_HOST HOME=$PWD evwindow -t 1m --to influx: </dev/null", b"");
    ended.assert_code(2);
    assert!(ended.stderr.contains("INFLUX_HOST"), "{}", ended.stderr);
}

/// Somebody else makes each thing between our look and our making it, which the server then refuses; and its token a bit later.
#[test]
fn two_that_set_a_server_up_at_once_are_both_done() {
    let made: Mutex<BTreeSet<String>> = Mutex::default();
    let looks = AtomicUsize::new(0);
    let fake = Fake::start_replying(move |_, asked| {
        let mut made = made.lock().unwrap();
        let says = |text: String| Reply::Says(200, vec![("content-type", "application/json".into())], text);
        if !asked.body.is_empty() {
            let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
            made.insert(body["name"].as_str().unwrap_or("the server").to_owned());
            return Reply::refusal(422, "it is there already");
        }
        let name = asked.query.split('&').find_map(|pair| pair.strip_prefix("name=").or(pair.strip_prefix("org=")));
        match name.filter(|name| made.contains(*name)) {
            _ if asked.path.ends_with("/orgs") && looks.fetch_add(1, Ordering::SeqCst) < 2 => {
                Reply::refusal(401, "unauthorized access")
            }
            _ if asked.path.ends_with("/setup") => says(format!("{{\"allowed\":{}}}", !made.contains("the server"))),
            Some(name) if asked.path.ends_with("/orgs") => {
                says(format!("{{\"orgs\":[{{\"id\":\"1\",\"name\":\"{name}\"}}]}}"))
            }
            Some(name) => {
                let kept = "\"retentionRules\":[{\"type\":\"expire\",\"everySeconds\":7200}]";
                says(format!("{{\"buckets\":[{{\"id\":\"2\",\"name\":\"{name}\",\"orgID\":\"1\",{kept}}}]}}"))
            }
            None if asked.path.ends_with("/orgs") => says("{\"orgs\":[]}".into()),
            None => says("{\"buckets\":[]}".into()),
        }
    });
    let script = format!(
        "export INFLUX_TOKEN=hush HOME=$PWD; evquery admin influx setup influx://{}/o/b --hot 2h --cold 1d",
        fake.address
    );
    let ended = bash_in(tempfile::tempdir().unwrap().path(), &script, b"");
    ended.assert_code(0);
    let there = "is there, keeping 2h";
    assert_eq!(
        ended.stdout,
        format!(
            "server: new; makes the user 'evkit' with the token given\nserver: somebody else has set it up meanwhile\n\
             organisation 'o': is there\nbucket 'b': {there}\n\
             bucket 'b_rollups': {there}; `evquery admin influx retention` makes it 1d\n"
        )
    );
}

#[test]
fn surroundings_name_server_bucket_and_token() {
    let fake = Fake::start(|_, _| Reply::done());
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("e.ndjson"), events(3)).unwrap();
    let configs = format!("[x]\nurl = \"http://{}\"\ntoken = \"stored\"\norg = \"o2\"\nactive = true\n", fake.address);
    std::fs::create_dir(place.path().join(".influxdbv2")).unwrap();
    std::fs::write(place.path().join(".influxdbv2/configs"), configs).unwrap();
    let script = format!(
        "export HOME=$PWD; unset INFLUX_TOKEN INFLUX_HOST INFLUX_ORG; export INFLUX_BUCKET=b2; echo filed > token
         evwindow {QUERY} --points-only --to influx: e.ndjson
         evwindow {QUERY} --points-only --to influx: --token-file token e.ndjson
         INFLUX_TOKEN=near INFLUX_ORG=o3 evwindow {QUERY} --points-only --to influx: e.ndjson"
    );
    bash_in(place.path(), &script, b"").assert_quiet();
    let writes = fake.writes();
    let tokens: Vec<&str> = writes.iter().filter_map(|write| write.token.as_deref()).collect();
    assert_eq!(tokens, ["Token stored", "Token filed", "Token near"]);
    assert!(writes[0].query.contains("org=o2&bucket=b2") && writes[2].query.contains("org=o3&bucket=b2"));
}
