//! The registry: the same behaviour of a file and of a real PostgreSQL, and what only a server can do: refuse, go away, come back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/gate.rs"]
mod gate;
#[path = "support/postgres.rs"]
mod postgres;
mod support;

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;

use evkit::registry::address::RegistryAddress;
use evkit::registry::{
    Candidate, Dashboard, PostgresRegistry, Put, Registry, RegistryError, SqliteRegistry, Step, StepState,
};
use evkit::time::Timestamp;
use evkit::validate::schema::compatible::Compatibility;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::Gate;
use crate::postgres::{Schema, server};
use crate::support::{Ended, Running, bash_in};

/// Where a registry is tested.
enum Place {
    File(TempDir),
    Server(Box<Schema>),
}

impl Place {
    fn open(&self) -> Result<Box<dyn Registry>, RegistryError> {
        Ok(match self {
            Place::File(folder) => Box::new(SqliteRegistry::open_or_make(&folder.path().join("of/r.db"))?),
            Place::Server(schema) => Box::new(opened(schema, &schema.address(""))?),
        })
    }

    fn init(&self, dry_run: bool) -> Vec<StepState> {
        let steps = match self {
            Place::File(folder) => SqliteRegistry::init(&folder.path().join("of/r.db"), dry_run),
            Place::Server(schema) => init(schema, dry_run),
        };
        steps.unwrap().iter().map(|step| step.state).collect()
    }
}

fn opened(schema: &Schema, address: &str) -> Result<PostgresRegistry, RegistryError> {
    opened_with(address, &[("PGPASSWORD", &schema.server.password)])
}

fn opened_with(address: &str, variables: &[(&str, &str)]) -> Result<PostgresRegistry, RegistryError> {
    let RegistryAddress::Postgres(address) = RegistryAddress::parse(address.as_ref())? else {
        panic!("'{address}' is no server")
    };
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    PostgresRegistry::open(&address, &variable)
}

fn init(schema: &Schema, dry_run: bool) -> Result<Vec<Step>, RegistryError> {
    let RegistryAddress::Postgres(address) = RegistryAddress::parse(schema.address("").as_ref())? else {
        panic!("it is a server")
    };
    PostgresRegistry::init(&address, &|name| (name == "PGPASSWORD").then(|| schema.server.password.clone()), dry_run)
}

/// Runs a check on a file, and on a server where there is one.
fn on_both(test: &str, check: impl Fn(&Place)) {
    check(&Place::File(tempfile::tempdir().unwrap()));
    if let Some(schema) = ready(test) {
        check(&Place::Server(Box::new(schema)));
    }
}

/// A schema of the server with our tables.
fn ready(test: &str) -> Option<Schema> {
    let schema = Schema::create(server(test)?);
    init(&schema, false).unwrap();
    Some(schema)
}

fn minimum(minimum: i64) -> Value {
    json!({"properties": {"a": {"minimum": minimum}}})
}

fn candidate<'a>(event_type: &'a str, schema: &'a Value, compatibility: Compatibility) -> Candidate<'a> {
    Candidate { event_type, schema, compatibility }
}

/// An error with its causes.
fn told(error: &RegistryError) -> String {
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[test]
fn versions_follow_each_other_if_they_are_compatible() {
    let backward = Compatibility::Backward;
    on_both("versions follow each other", |place| {
        let wishes = [(1, backward), (1, backward), (0, backward), (5, backward), (5, Compatibility::None)];
        let mut found = Vec::new();
        for (i, (least, compatibility)) in (0..).zip(wishes) {
            let mut registry = place.open().unwrap();
            let schema = minimum(least);
            let candidate = candidate("t", &schema, compatibility);
            let shown = |put: Result<Put, RegistryError>| match put {
                Ok(put) => format!("{}{}", put.version, if put.was_there { " again" } else { "" }),
                Err(error) => told(&error),
            };
            let checked = shown(registry.check(&candidate));
            found.push(shown(registry.put(&candidate, Timestamp(i * 1_000_001))));
            assert_eq!(checked, *found.last().unwrap(), "a check says what a put does");
        }
        let expected = [
            "1",
            "1 again",
            "2",
            "cannot take the schema of 't': it is not compatible with version 2: at '/properties/a/minimum': it is higher than in the other version",
            "3",
        ];
        assert_eq!(found, expected);
        let mut registry = place.open().unwrap();
        registry.put(&candidate("Z", &json!(true), backward), Timestamp(0)).unwrap();
        let (newest, all) = (registry.newest().unwrap(), registry.list().unwrap());
        let names = |stored: &[evkit::registry::Stored]| {
            stored.iter().map(|stored| (stored.event_type.clone(), stored.version)).collect::<Vec<_>>()
        };
        let named =
            |all: &[(&str, u32)]| all.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect::<Vec<_>>();
        assert_eq!(names(&newest), named(&[("Z", 1), ("t", 3)]), "capitals go first, as bytes do");
        assert_eq!(names(&all), named(&[("Z", 1), ("t", 1), ("t", 2), ("t", 3)]));
        assert_eq!(all.iter().map(|stored| stored.created.0).collect::<Vec<_>>(), [0, 0, 2_000_002, 4_000_004]);
        assert_eq!(registry.get("t", Some(1)).unwrap().as_ref(), Some(&all[1]));
        assert_eq!(registry.get("t", None).unwrap().as_ref(), Some(&all[3]));
        for (event_type, version) in [("t", Some(99)), ("t", Some(u32::MAX)), ("u", None)] {
            assert_eq!(registry.get(event_type, version).unwrap(), None);
        }
    });
}

#[test]
fn what_cannot_be_kept_is_refused() {
    on_both("what cannot be kept is refused", |place| {
        let mut registry = place.open().unwrap();
        let error = registry.put(&candidate("t", &json!({"type": 5}), Compatibility::None), Timestamp(0)).unwrap_err();
        assert!(told(&error).starts_with("cannot take the schema of 't': it is no schema: at '/type': "), "{error:?}");
        let longest = "ä".repeat(100);
        for name in ["", "a\n", &format!("{longest}b")] {
            let refused = registry.put(&candidate(name, &json!(true), Compatibility::None), Timestamp(0));
            assert!(matches!(refused, Err(RegistryError::Type(_))), "{name}");
        }
        registry.put(&candidate(&longest, &json!(true), Compatibility::None), Timestamp(0)).unwrap();
        assert_eq!(registry.list().unwrap().len(), 1);
        let dashboard = |name: String| Dashboard { name, config: json!({}), created_by: 1, is_public: false };
        assert!(matches!(registry.put_dashboard(&dashboard("d".repeat(256))), Err(RegistryError::DashboardName(_))));
        assert!(!registry.put_dashboard(&dashboard("ä".repeat(255))).unwrap());
    });
}

#[test]
fn a_schema_comes_back_as_it_was_put() {
    on_both("a schema comes back as it was put", |place| {
        let mut registry = place.open().unwrap();
        let text =
            r#"{"title":"'\"\\ é","required":["b","a"],"properties":{"bb":{"maximum":1e2},"a":{"minimum":0.1}}}"#;
        let schema: Value = serde_json::from_str(text).unwrap();
        let put = |registry: &mut Box<dyn Registry>, schema| {
            registry.put(&candidate("t", schema, Compatibility::Backward), Timestamp(0)).unwrap()
        };
        assert_eq!(put(&mut registry, &schema), Put { version: 1, was_there: false });
        let found = registry.get("t", None).unwrap().unwrap().schema;
        assert_eq!(found.to_string(), schema.to_string(), "its members stand in their order");
        let alike =
            r#"{"properties":{"a":{"minimum":0.1},"bb":{"maximum":100}},"required":["b","a"],"title":"'\"\\ é"}"#;
        let alike: Value = serde_json::from_str(alike).unwrap();
        assert_eq!(put(&mut registry, &alike), Put { version: 1, was_there: true });
    });
}

#[test]
fn puts_at_the_same_time_lose_nothing() {
    const EACH: i64 = 15;
    on_both("puts at the same time lose nothing", |place| {
        // Made before: the first of two that open it at once makes the file.
        place.open().unwrap();
        let puts: Vec<(u32, i64)> = std::thread::scope(|scope| {
            let writers: Vec<_> = [0, 1_000]
                .into_iter()
                .map(|first| {
                    let mut registry = place.open().unwrap();
                    scope.spawn(move || {
                        let put = |number: i64| {
                            let schema = minimum(number);
                            let put = registry.put(&candidate("t", &schema, Compatibility::None), Timestamp(number));
                            (put.unwrap().version, number)
                        };
                        (first..first + EACH).map(put).collect::<Vec<_>>()
                    })
                })
                .collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let mut versions: Vec<u32> = puts.iter().map(|(version, _)| *version).collect();
        versions.sort_unstable();
        assert!(versions.into_iter().eq(1..=2 * EACH as u32), "each put got a version of its own");
        let mut registry = place.open().unwrap();
        for (version, number) in &puts {
            assert_eq!(registry.get("t", Some(*version)).unwrap().unwrap().schema, minimum(*number));
        }
        let last = puts.iter().max().unwrap();
        assert_eq!(registry.newest().unwrap()[0].schema, minimum(last.1));
    });
}

#[test]
fn dashboards_are_ones_own_or_public() {
    on_both("dashboards are one's own or public", |place| {
        let mut registry = place.open().unwrap();
        let dashboard = |name: &str, created_by: i64, is_public: bool, title: &str| Dashboard {
            name: name.to_owned(),
            config: json!({"row": [{"panel": [{"metric": "m", "title": title}]}]}),
            created_by,
            is_public,
        };
        let all = [
            dashboard("shop", 1, false, "mine"),
            dashboard("shop", 2, true, "everybody's"),
            dashboard("web", 2, false, "theirs"),
            dashboard("shop", 1, true, "mine anew"),
        ];
        let put: Vec<bool> = all.iter().map(|one| registry.put_dashboard(one).unwrap()).collect();
        assert_eq!(put, [false, false, false, true], "the last took the place of the first");
        let mut found = |name: &str, user: i64| registry.dashboard(name, user).unwrap();
        assert_eq!(found("shop", 1).as_ref(), Some(&all[3]));
        assert_eq!(found("shop", 2).as_ref(), Some(&all[1]));
        assert_eq!(found("shop", 3).as_ref(), Some(&all[1]), "of several that are public it is the latest");
        assert_eq!((found("web", 1), found("web", 2).as_ref()), (None, Some(&all[2])));
        let mut listed = |user: i64| registry.dashboards(user).unwrap();
        assert_eq!(listed(1), [all[3].clone(), all[1].clone()]);
        assert_eq!(listed(2), [all[3].clone(), all[1].clone(), all[2].clone()]);
    });
}

#[test]
fn a_registry_is_made_ready_once() {
    let check = |place: &Place, steps: usize| {
        assert_eq!(place.init(true), vec![StepState::Planned; steps]);
        assert_eq!(place.init(true), vec![StepState::Planned; steps], "a look changes nothing");
        assert_eq!(place.init(false), vec![StepState::Done; steps]);
        assert_eq!(place.init(false), vec![StepState::WasThere; steps]);
        assert_eq!(place.init(true), vec![StepState::WasThere; steps]);
        assert_eq!(place.open().unwrap().list().unwrap(), []);
    };
    check(&Place::File(tempfile::tempdir().unwrap()), 2);
    if let Some(server) = server("a registry is made ready once") {
        check(&Place::Server(Box::new(Schema::create(server))), 3);
    }
}

#[test]
fn a_database_that_is_not_ready_says_so() {
    let Some(server) = server("a database that is not ready says so") else { return };
    let mut schema = Schema::create(server);
    let hint = format!("make its tables: evingest schema init --registry '{}'", schema.address(""));
    let error = opened(&schema, &schema.address("")).unwrap_err();
    assert!(matches!(error, RegistryError::NotReady { .. }) && error.hint() == Some(hint), "{error:?}");
    init(&schema, false).unwrap();
    schema.client.run("DELETE FROM evkit_migrations WHERE number = 3");
    assert!(matches!(opened(&schema, &schema.address("")), Err(RegistryError::Behind { .. })));
    let states: Vec<_> = init(&schema, false).unwrap().iter().map(|step| step.state).collect();
    assert_eq!(states, [StepState::WasThere, StepState::WasThere, StepState::Done]);
    schema.client.run("INSERT INTO evkit_migrations VALUES (4, 'of a later release', now())");
    assert!(matches!(opened(&schema, &schema.address("")), Err(RegistryError::Foreign { .. })));
}

#[test]
fn two_make_the_tables_at_the_same_time() {
    let Some(server) = server("two make the tables at the same time") else { return };
    let schema = Schema::create(server);
    let schema = &schema;
    let done: Vec<StepState> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2)
            .map(|_| {
                let (server, name) = (schema.server.clone(), schema.name.clone());
                scope.spawn(move || {
                    let address = format!("{}?options=-csearch_path%3D{name}", server.address);
                    let RegistryAddress::Postgres(address) = RegistryAddress::parse(address.as_ref()).unwrap() else {
                        panic!("it is a server")
                    };
                    let password = |name: &str| (name == "PGPASSWORD").then(|| server.password.clone());
                    PostgresRegistry::init(&address, &password, false).unwrap()
                })
            })
            .collect();
        both.into_iter().flat_map(|one| one.join().unwrap()).map(|step| step.state).collect()
    });
    let count = |state: StepState| done.iter().filter(|found| **found == state).count();
    assert_eq!((count(StepState::Done), count(StepState::WasThere)), (3, 3));
}

#[test]
fn tables_are_as_others_expect_them_and_what_others_write_is_kept() {
    let Some(server) = server("tables are as others expect them") else { return };
    let mut schema = Schema::create(server);
    // They may have been there before us.
    schema.client.run(
        "CREATE TABLE event_schemas (event_type VARCHAR(100) PRIMARY KEY, schema_version INT NOT NULL,
            json_schema JSONB NOT NULL, created_at TIMESTAMP NOT NULL);
         INSERT INTO event_schemas VALUES ('t', 7, '{\"title\": \"others\"}', '2026-01-01 00:00:00')",
    );
    init(&schema, false).unwrap();
    let columns = schema.client.rows(
        "SELECT table_name::text, column_name::text, data_type::text || coalesce('(' || character_maximum_length || ')', ''),
            is_nullable::text FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name IN ('event_schemas', 'dashboards')
         ORDER BY table_name, ordinal_position",
    );
    let expected = "dashboards id bigint NO, dashboards name character varying(255) NO, dashboards config jsonb NO, \
        dashboards created_by bigint NO, dashboards is_public boolean YES, event_schemas event_type character varying(100) NO, \
        event_schemas schema_version integer NO, event_schemas json_schema jsonb NO, \
        event_schemas created_at timestamp without time zone NO";
    assert_eq!(columns.iter().map(|column| column.join(" ")).collect::<Vec<_>>().join(", "), expected);
    let mut registry = opened(&schema, &schema.address("")).unwrap();
    assert_eq!(registry.get("t", None).unwrap().map(|stored| stored.version), Some(7));
    let put = registry.put(&candidate("t", &json!({"title": "ours"}), Compatibility::Backward), Timestamp(1_500_000));
    assert_eq!(put.unwrap().version, 8);
    let versions: Vec<_> = registry.list().unwrap().into_iter().map(|stored| (stored.version, stored.schema)).collect();
    assert_eq!(versions, [(7, json!({"title": "others"})), (8, json!({"title": "ours"}))]);
    let newest =
        "SELECT event_type::text, schema_version::text, json_schema::text, created_at::text FROM event_schemas";
    assert_eq!(schema.client.rows(newest), [["t", "8", "{\"title\": \"ours\"}", "1970-01-01 00:00:01.5"]]);
    schema.client.run("INSERT INTO dashboards (name, config, created_by) VALUES ('d', '{\"row\": []}', 5)");
    let found = registry.dashboard("d", 5).unwrap().unwrap();
    assert_eq!((found.config, found.is_public), (json!({"row": []}), false));
}

#[test]
fn tables_of_another_make_are_refused_by_column() {
    for (columns, expected) in [
        ("schema_version BIGINT", "column 'schema_version' is of type 'bigint', not 'integer'"),
        ("schema_version INT, json_schema JSONB", "has no column 'created_at'"),
    ] {
        let Some(server) = server("tables of another make are refused by column") else { return };
        let mut schema = Schema::create(server);
        schema.client.run(&format!("CREATE TABLE event_schemas (event_type TEXT PRIMARY KEY, {columns})"));
        for error in [true, false].map(|dry_run| init(&schema, dry_run).unwrap_err()) {
            assert!(told(&error).contains(expected) && error.hint().unwrap().contains("csearch_path"), "{error}");
        }
        let made = "SELECT coalesce(to_regclass('evkit_migrations')::text, 'none')";
        assert_eq!(schema.client.rows(made), [["none"]], "nothing is left half done");
    }
}

/// Whether the connection that an address makes is by TLS, or why there is none.
fn is_secure(schema: &mut Schema, address: &str) -> Result<bool, String> {
    let name = format!("&application_name={}", schema.name);
    let registry = opened(schema, &format!("{address}{name}")).map_err(|error| told(&error))?;
    let query = format!(
        "SELECT ssl::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = '{}'",
        schema.name
    );
    let rows = schema.client.rows(&query);
    drop(registry);
    assert_eq!(rows.len(), 1, "one connection is open");
    // Its leave is taken, so the next one is alone.
    let gone = format!("SELECT pid::text FROM pg_stat_activity WHERE application_name = '{}'", schema.name);
    while !schema.client.rows(&gone).is_empty() {}
    Ok(rows[0][0] == "true")
}

#[test]
fn tls_is_used_and_checked_as_is_wished() {
    let Some(mut schema) = ready("TLS is used and checked as is wished") else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "openssl req -new -x509 -nodes -days 2 -subj /CN=other -keyout key.pem -out other.pem 2>/dev/null";
    bash_in(folder.path(), script, b"").assert_code(0);
    let own = schema.server.certificate.clone();
    let other = folder.path().join("other.pem").display().to_string();
    // The same machine by a name that its certificate doesn't have.
    let (port, foreign) = (schema.port(), "127.1");
    let cases: &[(&str, &str, &str, Result<bool, &str>)] = &[
        ("127.0.0.1", "disable", "", Ok(false)),
        ("127.0.0.1", "allow", "", Ok(false)),
        ("127.0.0.1", "prefer", "", Ok(true)),
        ("127.0.0.1", "require", "", Ok(true)),
        (foreign, "require", "", Ok(true)),
        ("127.0.0.1", "require", &own, Ok(true)),
        ("127.0.0.1", "require", &other, Err("certificate verify failed")),
        // As with libpq: what is only preferred is done without.
        ("127.0.0.1", "prefer", &other, Ok(false)),
        (foreign, "verify-ca", &own, Ok(true)),
        ("127.0.0.1", "verify-ca", &other, Err("certificate verify failed")),
        ("127.0.0.1", "verify-full", &own, Ok(true)),
        ("localhost", "verify-full", &own, Ok(true)),
        (foreign, "verify-full", &own, Err("certificate verify failed")),
        ("127.0.0.1", "verify-full", "system", Err("certificate verify failed")),
        ("127.0.0.1", "verify-full", "", Err("nothing says which certificates are trusted")),
        (
            "127.0.0.1",
            "verify-ca",
            &format!("{}", folder.path().join("key.pem").display()),
            Err("no certificate in it"),
        ),
    ];
    for (host, mode, roots, expected) in cases {
        let roots = if roots.is_empty() { String::new() } else { format!("&sslrootcert={roots}") };
        let address = schema.address_by(&format!("{host}:{port}"), &format!("&sslmode={mode}{roots}"));
        match (is_secure(&mut schema, &address), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, *expected, "{address}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{address}: {error}"),
            (found, expected) => panic!("{address}: {found:?} in place of {expected:?}"),
        }
    }
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let Some(schema) = ready("who is not let in is told why") else { return };
    let check = |address: &str, variables: &[(&str, &str)], expected: &str, hint: &str| {
        let error = opened_with(address, variables).unwrap_err();
        let shown = format!("{} {error:?}", told(&error));
        assert!(error.is_upstream() && shown.contains(expected), "{shown}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        assert!(!shown.contains("geheim"), "{shown}");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pgpass");
    std::fs::write(&file, "*:*:*:*:geheim\n").unwrap();
    let of_file = [("PGPASSFILE", file.to_str().unwrap())];
    let address = schema.address("");
    check(&address, &[("PGPASSWORD", "geheim")], "password authentication failed for user \"evkit\"", "psql");
    check(&address, &[], "password missing", "set PGPASSWORD");
    check(&address, &of_file, "password missing", "chmod 600");
    let other = address.replace("/evkit?", "/no_such_database?");
    check(&other, &[("PGPASSWORD", &schema.server.password)], "database \"no_such_database\" does not exist", "psql");
    // Somebody who listens and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let address = schema.address_by(&place, "&connect_timeout=1");
    check(&address, &[("PGPASSWORD", "geheim")], "there was no answer within 1 s", "is the server up");
    drop(silent);
    check(&address, &[("PGPASSWORD", "geheim")], "Connection refused", "is the server up");
}

/// Runs a script with the registry's address as `$R`, and its password.
fn run(place: &Path, schema: &Schema, address: &str, script: &str) -> Ended {
    let password = &schema.server.password;
    bash_in(place, &format!("export PGPASSWORD={password} R='{address}'\n{script}"), b"")
}

#[test]
fn the_programs_take_a_server_where_they_take_a_file() {
    let Some(server) = server("the programs take a server where they take a file") else { return };
    let schema = Schema::create(server);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("1.json"), r#"{"properties":{"properties":{"required":["n"]}}}"#).unwrap();
    std::fs::write(place.join("2.json"), "true").unwrap();
    let event = |id: &str, properties: &str| {
        format!(
            r#"{{"event_id":"{id}","event_type":"t","timestamp":"2026-01-01T00:00:00Z","user_id":"u","properties":{properties}}}"#
        )
    };
    std::fs::write(place.join("e.ndjson"), format!("{}\n{}\n", event("a", r#"{"n":1}"#), event("b", "{}"))).unwrap();
    let address = schema.address("");
    let ended = run(place, &schema, &address, "evingest schema list --registry \"$R\"");
    ended.assert_code(1);
    assert!(
        ended.stderr.contains("was never made ready\nhint: make its tables: evingest schema init"),
        "{}",
        ended.stderr
    );
    let script = "
        evingest schema init --registry \"$R\" --dry-run | grep -c 'would be made'
        evingest schema init --registry \"$R\" | grep -c ': made'
        evingest schema init --registry \"$R\" | grep -c 'is there already'
        evingest schema check t 1.json --registry \"$R\"
        evingest schema put t 1.json --registry \"$R\"
        export EVKIT_REGISTRY=$R
        evingest schema put t 1.json
        evingest schema get t | jq -c .
        evingest schema list | jq -c '[.event_type, .version]'
        evingest e.ndjson --quiet --rejects-to bad.ndjson | jq -r .event_id
        jq -r .pointer bad.ndjson
        evingest schema put t 2.json
        evingest replay bad.ndjson --quiet | jq -r .event_id";
    let ended = run(place, &schema, &address, script);
    ended.assert_quiet();
    let expected = "3\n3\n3\nversion 1 of 't': it would be added\nversion 1 of 't': added\nversion 1 of 't': it is there already\n\
        {\"properties\":{\"properties\":{\"required\":[\"n\"]}}}\n[\"t\",1]\na\n/properties/n\nversion 2 of 't': added\nb\n";
    assert_eq!(ended.stdout, expected);
    let script = "printf '%s:%s\\n' '*:*:*:*' \"$PGPASSWORD\" > pgpass && chmod 600 pgpass && unset PGPASSWORD
        PGPASSFILE=pgpass evingest schema list --registry \"$R\" | wc -l";
    assert_eq!(run(place, &schema, &address, script).assert_quiet().stdout.trim(), "2");
}

#[test]
fn dashboards_of_both_kinds_are_shown() {
    on_both("dashboards of both kinds are shown", |place| {
        place.open().unwrap();
        let (address, password) = match place {
            Place::File(folder) => (folder.path().join("of/r.db").display().to_string(), "none"),
            Place::Server(schema) => (schema.address(""), &*schema.server.password),
        };
        let folder = tempfile::tempdir().unwrap();
        let layout = "[[row]]\nsize = 2\n\n[[row.panel]]\nmetric = \"m\"\ntitle = \"One panel of ours\"\n";
        std::fs::write(folder.path().join("l.toml"), layout).unwrap();
        std::fs::write(folder.path().join("bad.toml"), layout.replace("title", "titel")).unwrap();
        let row = r#"{"metric":"m","window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:10Z","n":1,"revision":0}"#;
        std::fs::write(folder.path().join("rows.ndjson"), format!("{row}\n")).unwrap();
        let script = "
            evquery admin dashboard put shop l.toml --user 7 --registry \"$R\"
            export EVKIT_REGISTRY=$R EVKIT_USER=7
            evquery admin dashboard put shop l.toml --public
            evquery admin dashboard get shop
            evquery admin dashboard list
            evtop rows.ndjson --once --dashboard shop --user 8 | grep -o 'One panel of ours'
            ! evtop rows.ndjson --once --dashboard web 2>&1 | tail -n 1
            ! evquery admin dashboard put web bad.toml 2>&1";
        let ended = bash_in(folder.path(), &format!("export PGPASSWORD={password} R='{address}'\n{script}"), b"");
        ended.assert_quiet();
        let expected = format!(
            "dashboard 'shop': added, for you\ndashboard 'shop': replaced, for all\n{layout}{}\nOne panel of ours\n{}\n{}\n",
            r#"{"name":"shop","panels":1,"user":7,"public":true}"#,
            "hint: evquery admin dashboard list shows what is there, put adds one",
            "evquery: cannot take the layout 'bad.toml': line 6: unknown key 'titel' in a panel; did you mean 'title'?",
        );
        assert_eq!(ended.stdout, expected);
    });
}

#[test]
fn a_run_goes_on_while_the_registry_is_away_and_takes_what_is_new_when_it_is_back() {
    let Some(schema) = ready("a run goes on while the registry is away") else { return };
    let mut registry = opened(&schema, &schema.address("")).unwrap();
    let mut put = |event_type: &str, schema: &Value| {
        registry.put(&candidate(event_type, schema, Compatibility::None), Timestamp(0)).unwrap();
    };
    put("known", &json!({"properties": {"properties": {"required": ["n"]}}}));
    let gate = Gate::to(schema.port());
    let address = schema.address_by(&format!("127.0.0.1:{}", gate.port), "");
    let folder = tempfile::tempdir().unwrap();
    let flags = "--verdicts --to good.ndjson --quiet --unknown-type reject --schema-refresh 20ms";
    let script =
        format!("export PGPASSWORD={}\nexec evingest {flags} --registry '{address}' 2>&1", schema.server.password);
    let mut running = Running::start_in(folder.path(), &script);
    let judged = |running: &mut Running, event_type: &str, properties: &str| {
        let event = format!(
            r#"{{"event_id":"e","event_type":"{event_type}","timestamp":"2026-01-01T00:00:00Z","user_id":"u","properties":{properties}}}"#
        );
        running.write(format!("{event}\n").as_bytes());
        running.line().unwrap()
    };
    let accepted = |line: &str| line.contains(r#""verdict":"accepted""#);
    assert!(accepted(&judged(&mut running, "known", r#"{"n":1}"#)));
    // A newer version is seen while it runs, by and by.
    put("known", &json!({"properties": {"properties": {"required": ["n", "m"]}}}));
    while accepted(&judged(&mut running, "known", r#"{"n":1}"#)) {}
    gate.close();
    let said = running.line().unwrap();
    assert!(said.starts_with("evingest: cannot reach the registry 'postgres://evkit@127.0.0.1:"), "{said}");
    assert!(said.ends_with("; events are judged by the schemas that were read before"), "{said}");
    put("new", &json!(true));
    assert!(accepted(&judged(&mut running, "known", r#"{"n":1,"m":1}"#)));
    let line = judged(&mut running, "new", "{}");
    let reason = "no schema for events of type 'new'; the registry does not answer, so a newer one may be missing";
    assert!(line.contains(reason), "{line}");
    gate.open();
    // What it has said, it said once: this is the next that it says.
    assert_eq!(running.line().unwrap(), "evingest: the registry answers again");
    assert!(accepted(&judged(&mut running, "new", "{}")));
    let ended = running.finish();
    assert_eq!((ended.code, &*ended.stdout), (0, ""), "{}", ended.stderr);
    gate.close();
    let ended = run(folder.path(), &schema, &address, "evingest --registry \"$R\" < /dev/null");
    ended.assert_code(4);
    assert!(ended.stderr.contains("hint: is the server up"), "{}", ended.stderr);
}

#[test]
fn secrets_do_not_stand_on_command_lines() {
    for program in ["evingest schema list", "evquery admin dashboard list", "evtop --once --dashboard d"] {
        let folder = tempfile::tempdir().unwrap();
        let ended = bash_in(folder.path(), &format!("{program} --registry postgres://me:geheim@127.0.0.1/d"), b"");
        ended.assert_code(2);
        assert!(!ended.stderr.contains("geheim") && ended.stderr.contains("set PGPASSWORD"), "{}", ended.stderr);
    }
}
