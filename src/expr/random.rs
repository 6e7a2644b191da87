//! The vectorised evaluator against the naive one, over random expressions and rows.

use crate::batch::Column;
use crate::event::Path;
use crate::expr::oracle::Row;
use crate::expr::{Program, parse};
use crate::time::Timestamp;
use crate::value::Value;

/// Vigna's splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const NAMES: &[&str] = &["a", "b", "c", "end", "x y"];

/// A random expression as SQL: all kinds, any types.
fn expression(random: &mut Random, depth: usize) -> String {
    if depth == 0 || random.below(8) == 0 {
        let leaves = [
            "a",
            "b",
            "c",
            "end",
            "\"x y\"",
            "a",
            "b",
            "c",
            "NULL",
            "TRUE",
            "FALSE",
            "0",
            "1",
            "-2",
            "2.5",
            "0.0",
            "9007199254740993",
            "9007199254740992.0",
            "18446744073709551615",
            "-9223372036854775808",
            "1e300",
            "''",
            "'a'",
            "'Ab'",
            "' ä '",
            "'12'",
            "'%b'",
            "'a_%'",
            "'2026-01-01T00:00:00Z'",
            "TIMESTAMP '2026-01-01T00:00:00Z'",
            "INTERVAL '90 seconds'",
        ];
        return random.pick(&leaves).to_string();
    }
    let kind = random.below(22);
    let mut e = || format!("({})", expression(random, depth - 1));
    match kind {
        0 | 1 => format!("{} AND {} AND {}", e(), e(), e()),
        2 | 3 => format!("{} OR {}", e(), e()),
        4 => format!("NOT {}", e()),
        5..=9 => {
            let (left, right) = (e(), e());
            let operators = ["=", "<>", "<", "<=", ">", ">=", "=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
            format!("{left} {} {right}", random.pick(&operators))
        }
        10..=12 => {
            let (left, right) = (e(), e());
            format!("{left} {} {right}", random.pick(&["+", "-", "*", "/", "%", "||", "-"]))
        }
        13 => {
            let operand = e();
            let tests = ["NULL", "NOT NULL", "TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "UNKNOWN", "NOT UNKNOWN"];
            format!("{operand} IS {}", random.pick(&tests))
        }
        14 => format!("{} IN ({}, {}, {})", e(), e(), e(), e()),
        15 => format!("{} {}", e(), random.pick(&["IN ('a', 'Ab', 'x')", "NOT IN ('a', NULL)", "NOT IN (1, 2.5, 0)"])),
        16 => {
            let (a, b, c) = (e(), e(), e());
            format!("{a} {}BETWEEN {b} AND {c}", random.pick(&["", "NOT "]))
        }
        17 => {
            let (a, b) = (e(), e());
            format!("{a} {} {b}{}", random.pick(&["LIKE", "NOT LIKE", "ILIKE"]), random.pick(&["", " ESCAPE '_'"]))
        }
        18 => format!("CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END", e(), e(), e(), e(), e()),
        19 => format!("CASE {} WHEN {} THEN {} WHEN {} THEN {} END", e(), e(), e(), e(), e()),
        20 => {
            let operand = e();
            format!("CAST({operand} AS {})", random.pick(&["BIGINT", "DOUBLE", "TEXT", "BOOLEAN", "TIMESTAMP"]))
        }
        _ => call(random, depth),
    }
}

fn call(random: &mut Random, depth: usize) -> String {
    let mut e = || expression(random, depth - 1);
    let (a, b, c) = (e(), e(), e());
    let calls = [
        "coalesce(\u{1}, \u{2}, \u{3})",
        "nullif(\u{1}, \u{2})",
        "greatest(\u{1}, \u{2}, \u{3})",
        "least(\u{1}, \u{2}, \u{3})",
        "lower(\u{1})",
        "upper(\u{1})",
        "length(\u{1})",
        "trim(\u{1})",
        "trim(BOTH \u{2} FROM \u{1})",
        "substring(\u{1}, \u{2}, \u{3})",
        "substring(\u{1} FROM \u{2})",
        "concat(\u{1}, \u{2}, \u{3})",
        "abs(\u{1})",
        "round(\u{1})",
        "floor(\u{1})",
        "ceil(\u{1})",
        "starts_with(\u{1}, \u{2})",
        "replace(\u{1}, \u{2}, \u{3})",
        "position((\u{1}) IN \u{2})",
        "split_part(\u{1}, \u{2}, \u{3})",
        "date_trunc('hour', \u{1})",
        "date_trunc('week', \u{1})",
        "date_trunc('month', \u{1})",
        "extract(hour FROM \u{1})",
        "extract(doy FROM \u{1})",
        "extract(year FROM \u{1})",
        "-(\u{1})",
        "(\u{1}) + INTERVAL '2 days'",
        "(\u{1}) - INTERVAL '1 second'",
    ];
    let call = random.pick(&calls);
    call.replace('\u{1}', &a).replace('\u{2}', &b).replace('\u{3}', &c)
}

fn cell(random: &mut Random) -> Value {
    match random.below(14) {
        0..=2 => Value::Null,
        3 => Value::Bool(random.below(2) == 0),
        4 => Value::Int(random.below(4) as i128 - 1),
        5 => Value::Int([i64::MAX.into(), i64::MIN.into(), u64::MAX.into(), 9007199254740993][random.below(4)]),
        6 => Value::Float([0.0, -0.5, 2.5, 9007199254740992.0, 1e300, 18446744073709551616.0][random.below(6)]),
        7..=9 => Value::Text(random.pick(&["", "a", "Ab", "abc", " ä ", "12", "2.5", "true", "b_%", "ÄÖ"]).into()),
        10 => Value::Text(random.pick(&["2026-01-01T00:00:00Z", "2025-12-31T23:30:00.25+01:00", "2026-13-01"]).into()),
        11 => Value::Time(Timestamp([0, 1_767_225_600_000_000, -1, i64::MAX, i64::MIN][random.below(5)])),
        12 => Value::Json(random.pick(&["{}", "[1,2]", r#"{"a":"ä"}"#]).into()),
        _ => Value::Int(1),
    }
}

#[test]
fn the_evaluator_equals_the_naive_one() {
    let mut valued = 0;
    for seed in 0..6000 {
        valued += check_seed(seed);
    }
    assert!(valued > 6000, "only {valued} of the values weren't NULL: the test tests nothing");
}

/// Returns the number of values that weren't NULL.
fn check_seed(seed: u64) -> usize {
    const ROWS: usize = 9;
    let mut random = Random(seed);
    let depth = 1 + random.below(4);
    let sql = expression(&mut random, depth);
    let Ok(expr) = parse(&sql) else {
        // A literal pattern may end with the escape character; all else must parse.
        let error = parse(&sql).unwrap_err();
        assert!(error.to_string().starts_with("cannot read a pattern"), "seed {seed}: {}", error.render());
        return 0;
    };
    let canonical = expr.to_string();
    assert_eq!(parse(&canonical).map(|e| e.to_string()).as_deref(), Ok(&*canonical), "seed {seed}: {sql}");

    // Columns of one type take the fast ways, mixed ones the general.
    let is_mixed: Vec<bool> = NAMES.iter().map(|_| random.below(2) == 0).collect();
    let usual: Vec<Value> = NAMES.iter().map(|_| cell(&mut random)).collect();
    let mut rows = Vec::new();
    for _ in 0..ROWS {
        let row = (0..NAMES.len()).map(|i| if is_mixed[i] { cell(&mut random) } else { usual[i].clone() });
        rows.push(row.collect::<Vec<_>>());
    }
    let (mut text, mut columns) = (b"some block".to_vec(), vec![Column::new(); NAMES.len()]);
    for row in &rows {
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push_value(value, &mut text));
    }
    let resolve = |path: &Path| NAMES.iter().position(|name| *path == Path::of_keys(&[name]));
    let mut valued = 0;
    for expr in [&expr, &parse(&canonical).unwrap()] {
        let program = Program::compile(expr, &resolve).unwrap();
        let mut nulled = 0;
        let result = program.evaluate(&columns, ROWS, &mut text, &mut nulled);
        let selected = program.select(&columns, ROWS, &mut text, &mut 0);
        let mut expected_nulled = 0;
        for (i, values) in rows.iter().enumerate() {
            let mut row = Row { names: NAMES, values, nulled: 0 };
            let (expected, actual) = (row.value(expr), result.value(i, &text));
            expected_nulled += row.nulled;
            assert_eq!(actual.to_json(), expected.to_json(), "seed {seed}: {canonical}\nover {values:?}");
            assert_eq!(selected.contains(&(i as u32)), expected == Value::Bool(true), "seed {seed}: {canonical}");
            valued += usize::from(expected != Value::Null);
        }
        assert_eq!(nulled, expected_nulled, "seed {seed}, counted: {canonical}\nover {rows:?}");
    }
    valued
}
