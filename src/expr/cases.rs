//! What expressions mean, as a table: expression, event, value.

use crate::batch::Column;
use crate::event::{Path, Segment};
use crate::expr::{Expr, Program, parse, parse_aggregates, parse_groups, parse_order};
use crate::time::Timestamp;
use crate::value::Value;

/// The field of an event, as a decoder would give it; a key `@time` holds microseconds that become a time.
fn field(event: &serde_json::Value, path: &Path) -> Value {
    let mut at = event;
    for segment in &path.0 {
        let next = match segment {
            Segment::Key(key) => at.get(&**key),
            Segment::Index(index) => at.get(*index as usize),
        };
        let Some(next) = next else { return Value::Null };
        at = next;
    }
    match at {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::Int(i.into()),
            (_, Some(u)) => Value::Int(u.into()),
            _ => Value::Float(n.as_f64().unwrap()),
        },
        serde_json::Value::String(s) => Value::Text(s.as_str().into()),
        serde_json::Value::Object(o) if o.contains_key("@time") => Value::Time(Timestamp(o["@time"].as_i64().unwrap())),
        nested => Value::Json(nested.to_string().into()),
    }
}

/// Evaluates over three rows: the event, an empty one, the event once more.
fn evaluate(expr: &Expr, event: &serde_json::Value) -> (Value, u64) {
    let paths: Vec<Path> = expr.paths().into_iter().cloned().collect();
    let (mut text, mut nulled) = (b"block".to_vec(), 0);
    let mut columns = vec![Column::new(); paths.len()];
    let empty = serde_json::json!({});
    for row in [event, &empty, event] {
        for (column, path) in columns.iter_mut().zip(&paths) {
            column.push_value(&field(row, path), &mut text);
        }
    }
    let program = Program::compile(expr, &|path| paths.iter().position(|known| known == path)).unwrap();
    let (mut alone_text, mut alone_nulled) = (text.clone(), 0);
    let empty_columns: Vec<Column> = columns.iter().map(|_| Column::nulls(1)).collect();
    program.evaluate(&empty_columns, 1, &mut alone_text, &mut alone_nulled);
    let result = program.evaluate(&columns, 3, &mut text, &mut nulled);
    assert_eq!(result.len(), 3);
    assert_eq!(result.value(0, &text), result.value(2, &text), "equal rows have equal values");
    assert_eq!((nulled - alone_nulled) % 2, 0, "equal rows count the same");
    (result.value(0, &text), (nulled - alone_nulled) / 2)
}

/// Checks the value as JSON and how often it was NULL and counted; and that canonical SQL means the same.
#[track_caller]
fn check_counted(expression: &str, event: &str, expected: &str, counted: u64) {
    let event = serde_json::from_str(event).unwrap();
    let expr = parse(expression).unwrap_or_else(|error| panic!("{}", error.render()));
    let canonical = expr.to_string();
    let again = parse(&canonical).unwrap_or_else(|error| panic!("canonical: {}", error.render()));
    assert_eq!(again.to_string(), canonical, "canonical SQL of '{expression}' is canonical");
    for expr in [expr, again] {
        let (value, nulled) = evaluate(&expr, &event);
        assert_eq!((value.to_json(), nulled), (expected.to_string(), counted), "{expression}");
    }
}

#[track_caller]
fn check(expression: &str, event: &str, expected: &str) {
    check_counted(expression, event, expected, 0);
}

/// NULL, and counted once.
#[track_caller]
fn check_nulled(expression: &str, event: &str) {
    check_counted(expression, event, "null", 1);
}

#[test]
fn any_word_is_a_path() {
    let words = "timestamp user end start date time value type select from where group order by limit table as is in \
        like between case when then else not and or null true false cast extract interval position substring trim \
        current_user current_date current_timestamp localtime session_user count sum first last min max level \
        day hour minute second year month zone offset rows row key index default check references primary values \
        set update delete insert into join on using left right full inner outer cross natural union all any some \
        exists distinct having filter over partition window within array map struct json xml binary char varchar \
        int bigint long string text boolean double float decimal interval escape both leading trailing for n x e b";
    for word in words.split_whitespace() {
        check(&format!("properties.{word}"), &format!(r#"{{"properties":{{"{word}":7}}}}"#), "7");
        check(&format!("{word}.a = 7"), &format!(r#"{{"{word}":{{"a":7}}}}"#), "true");
        check(&format!("\"{word}\" + 1"), &format!(r#"{{"{word}":7}}"#), "8");
        if ["null", "true", "false"].contains(&word) {
            continue;
        }
        check(word, &format!(r#"{{"{word}":7}}"#), "7");
        check(&format!("{word} > 6"), &format!(r#"{{"{word}":7}}"#), "true");
        check(&format!("1 = 2 OR {word} IS NULL"), &format!(r#"{{"{word}":7}}"#), "false");
        check(&format!("{word} IN (6, {word})"), &format!(r#"{{"{word}":7}}"#), "true");
        check(&format!("coalesce({word}, 1)"), &format!(r#"{{"{word}":7}}"#), "7");
        check(&format!("{word} BETWEEN 1 AND {word}"), &format!(r#"{{"{word}":7}}"#), "true");
        check(&format!("CAST({word} AS TEXT)"), &format!(r#"{{"{word}":7}}"#), "\"7\"");
    }
    check("CASE end WHEN end THEN end ELSE 0 END", r#"{"end":7}"#, "7");
    check("CASE WHEN case = 1 THEN when ELSE then END", r#"{"case":1,"when":2,"then":3}"#, "2");
    check("NOT user", r#"{"user":true}"#, "false");
    check("extract(hour FROM hour)", r#"{"hour":"2026-01-01T07:00:00Z"}"#, "7");
    check("timestamp > TIMESTAMP '2026-01-01T00:00:00Z'", r#"{"timestamp":"2026-01-02T00:00:00Z"}"#, "true");
    check("date::text", r#"{"date":1}"#, "\"1\"");
}

#[test]
fn paths() {
    let event = r#"{"a.b":{"c":1},"items":[{"id":"x","tags":[1,2]},{"id":"y"}],"Größe":3,"A":1,"a":2,"@t":4,"q\"q":5}"#;
    check("\"a.b\".c", event, "1");
    check("items[0].id", event, "\"x\"");
    check("items[1].id || items[0].tags[1]", event, "\"y2\"");
    check("items[2].id", event, "null");
    check("items['0'].id", event, "null");
    check("Größe", event, "3");
    check("A * 10 + a", event, "12");
    check("@t", event, "4");
    check("\"q\"\"q\"", event, "5");
    check("items[0].tags", event, "[1,2]");
    check("LOWER(Items)", r#"{"Items":"ABC"}"#, "\"abc\"");
}

#[test]
fn three_valued_logic_is_complete() {
    let name = |value: &str| value.to_uppercase();
    let values = ["true", "false", "null"];
    let and = [["true", "false", "null"], ["false", "false", "false"], ["null", "false", "null"]];
    let or = [["true", "true", "true"], ["true", "false", "null"], ["true", "null", "null"]];
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate() {
            let event = format!(r#"{{"a":{a},"b":{b}}}"#);
            check("a AND b", &event, and[i][j]);
            check("a OR b", &event, or[i][j]);
            check(&format!("{} AND {}", name(a), name(b)), "{}", and[i][j]);
            check(&format!("{} OR b", name(a)), &event, or[i][j]);
            let (distinct, not_distinct) = if a == b { ("false", "true") } else { ("true", "false") };
            check("a IS DISTINCT FROM b", &event, distinct);
            check("a IS NOT DISTINCT FROM b", &event, not_distinct);
            let equal = if *a == "null" || *b == "null" { "null" } else { not_distinct };
            check("a = b", &event, equal);
        }
        let event = format!(r#"{{"a":{a}}}"#);
        for (test, truths) in [
            ("NULL", [false, false, true]),
            ("TRUE", [true, false, false]),
            ("FALSE", [false, true, false]),
            ("UNKNOWN", [false, false, true]),
        ] {
            check(&format!("a IS {test}"), &event, &truths[i].to_string());
            check(&format!("a IS NOT {test}"), &event, &(!truths[i]).to_string());
        }
        check("NOT a", &event, ["false", "true", "null"][i]);
    }
    check("a OR b AND c", r#"{"a":true,"b":false,"c":false}"#, "true");
    check("NOT a = b", r#"{"a":1,"b":2}"#, "true");
    check_nulled("a AND TRUE", r#"{"a":5}"#);
    check_nulled("NOT a", r#"{"a":"x"}"#);
    check_counted("a IS UNKNOWN", r#"{"a":5}"#, "true", 1);
    check("a AND b AND c", r#"{"a":true,"b":true,"c":true}"#, "true");
}

#[test]
fn comparisons() {
    check("a = 9007199254740993", r#"{"a":9007199254740993}"#, "true");
    check("a = b", r#"{"a":9007199254740993,"b":9007199254740992.0}"#, "false");
    check("a > b", r#"{"a":9007199254740993,"b":9007199254740992.0}"#, "true");
    check("b < 9007199254740993", r#"{"b":9007199254740992.0}"#, "true");
    check("b = 9007199254740992", r#"{"b":9007199254740992.0}"#, "true");
    check("a = 1e0", r#"{"a":1}"#, "true");
    check("a > 9223372036854775807", r#"{"a":18446744073709551615}"#, "true");
    check("a < 1e300", r#"{"a":18446744073709551615}"#, "true");
    check("a > -1e300", r#"{"a":-9223372036854775808}"#, "true");
    check("a = 18446744073709551616.0", r#"{"a":18446744073709551615}"#, "false");
    check("-0.0 = a", r#"{"a":0}"#, "true");
    check("3 < a", r#"{"a":4}"#, "true");
    check("a < 'b'", r#"{"a":"a"}"#, "true");
    check("a < 'Z'", r#"{"a":"a"}"#, "false");
    check("a <> 'ab'", r#"{"a":"aa"}"#, "true");
    check("a >= FALSE", r#"{"a":true}"#, "true");
    check("a = b", r#"{"a":{"x":1},"b":{"x":1}}"#, "true");
    check("a <> b", r#"{"a":{"x":1},"b":{"x":2}}"#, "true");
    check_nulled("a < b", r#"{"a":{"x":1},"b":{"x":2}}"#);
    check_nulled("a = 1", r#"{"a":"1"}"#);
    check_nulled("a = '1'", r#"{"a":1}"#);
    check_nulled("a <> 'x'", r#"{"a":true}"#);
    check_nulled("a < 5", r#"{"a":"x"}"#);
    check_nulled("a = TRUE", r#"{"a":1}"#);
    check("a = 1", "{}", "null");
    check("a = NULL", r#"{"a":1}"#, "null");
    check("a IS DISTINCT FROM 'x'", r#"{"a":1}"#, "true");
    check("a IS NOT DISTINCT FROM NULL", "{}", "true");
    check("t > '2026-01-01T00:00:00Z'", r#"{"t":{"@time":1767225600000001}}"#, "true");
    check("t = '2026-01-01T01:00:00+01:00'", r#"{"t":{"@time":1767225600000000}}"#, "true");
    check("a = t", r#"{"t":{"@time":1767225600000000},"a":"2026-01-01T00:00:00Z"}"#, "true");
    check_nulled("t = 'yesterday'", r#"{"t":{"@time":0}}"#);
    check_nulled("t < 'yesterday'", r#"{"t":{"@time":0}}"#);
    check_nulled("t < 5", r#"{"t":{"@time":0}}"#);
}

#[test]
fn membership() {
    check("a IN (1, 2)", r#"{"a":2}"#, "true");
    check("a IN (1, NULL)", r#"{"a":2}"#, "null");
    check("a IN (2, NULL)", r#"{"a":2}"#, "true");
    check("a NOT IN (1, NULL)", r#"{"a":2}"#, "null");
    check("a NOT IN (1, 3)", r#"{"a":2}"#, "true");
    check("a IN (1)", "{}", "null");
    check("a IN ('x', 'y')", r#"{"a":"y"}"#, "true");
    check("a NOT IN ('x', 'y')", r#"{"a":"z"}"#, "true");
    let many = "('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j')";
    check(&format!("a IN {many}"), r#"{"a":"j"}"#, "true");
    check(&format!("a IN {many}"), r#"{"a":"k"}"#, "false");
    check("a IN ('x', 'y')", "{}", "null");
    check_counted("a IN ('x', 'y')", r#"{"a":1}"#, "null", 2);
    check("a IN ('2026-01-01T00:00:00Z')", r#"{"a":{"@time":1767225600000000}}"#, "true");
    check_counted("a IN ('x', 1)", r#"{"a":1}"#, "true", 1);
    check("a IN (b, 1 / 0)", r#"{"a":1,"b":1}"#, "true");
    check("a BETWEEN 1 AND 3", r#"{"a":3}"#, "true");
    check("a NOT BETWEEN 1 AND 3", r#"{"a":3.5}"#, "true");
    check("a BETWEEN 1 AND NULL", r#"{"a":0}"#, "false");
    check("a BETWEEN 1 AND NULL", r#"{"a":2}"#, "null");
    check("a BETWEEN 3 AND 1 / b", r#"{"a":2,"b":0}"#, "false");
    check_nulled("a BETWEEN 1 AND 1 / b", r#"{"a":2,"b":0}"#);
    check("a BETWEEN 'a' AND 'c'", r#"{"a":"b"}"#, "true");
}

#[test]
fn arithmetic() {
    check("5 / 2", "{}", "2.5");
    check("a / 2", r#"{"a":4}"#, "2.0");
    check("1 + 2 * 3 - 4 % 3", "{}", "6");
    check("(1 + 2) * 3", "{}", "9");
    check("a - b - c", r#"{"a":10,"b":3,"c":2}"#, "5");
    check("a - (b - c)", r#"{"a":10,"b":3,"c":2}"#, "9");
    check("-a", r#"{"a":5}"#, "-5");
    check("- -a - -1", r#"{"a":5}"#, "6");
    check("-9223372036854775808", "{}", "-9223372036854775808");
    check("-a", r#"{"a":-9223372036854775808}"#, "9223372036854775808");
    check("18446744073709551615", "{}", "18446744073709551615");
    check("18446744073709551616", "{}", "1.8446744073709552e+19");
    check("9007199254740993 + 0", "{}", "9007199254740993");
    check("a + 1", r#"{"a":9223372036854775807}"#, "9223372036854775808");
    check("a * b", r#"{"a":4294967296,"b":4294967295}"#, "18446744069414584320");
    check("0.1 + 0.2", "{}", "0.30000000000000004");
    check(".5 + 1e2", "{}", "100.5");
    check("-7 % 3", "{}", "-1");
    check("7.5 % 2", "{}", "1.5");
    check("a + 1", "{}", "null");
    check_nulled("a + 1", r#"{"a":18446744073709551615}"#);
    check_nulled("a * a", r#"{"a":9223372036854775807}"#);
    check_nulled("a - 1", r#"{"a":-9223372036854775808}"#);
    check_nulled("1 / a", r#"{"a":0}"#);
    check_nulled("1 / a", r#"{"a":0.0}"#);
    check_nulled("1 % a", r#"{"a":0}"#);
    check_nulled("1.5 % a", r#"{"a":0}"#);
    check_nulled("a * 10", r#"{"a":1e308}"#);
    check_nulled("a + 1", r#"{"a":"1"}"#);
    check_nulled("a + 1", r#"{"a":true}"#);
    check_nulled("-a", r#"{"a":"x"}"#);
    check("a || '-' || b", r#"{"a":"x","b":"y"}"#, "\"x-y\"");
    check("a || b", r#"{"a":"x","b":2.5}"#, "\"x2.5\"");
    check("a || b", r#"{"a":"x"}"#, "null");
}

#[test]
fn lazy_parts_count_nothing() {
    check("a <> 0 AND 1 / a > 0", r#"{"a":0}"#, "false");
    check("a = 0 OR 1 / a > 0", r#"{"a":0}"#, "true");
    check("CASE WHEN a = 0 THEN 0 ELSE 1 / a END", r#"{"a":0}"#, "0");
    check("CASE a WHEN 0 THEN 0 WHEN 1 / a THEN 1 END", r#"{"a":0}"#, "0");
    check("coalesce(a, 1 / 0)", r#"{"a":0}"#, "0");
    check_counted("1 / a > 0 AND a <> 0", r#"{"a":0}"#, "false", 1);
    check("a = 'x' AND b + 1 > 0 AND c = 2", r#"{"a":"y","b":"text","c":3}"#, "false");
}

#[test]
fn choices() {
    check("CASE WHEN a > 1 THEN 'big' WHEN a > 0 THEN 'small' END", r#"{"a":1}"#, "\"small\"");
    check("CASE WHEN a > 1 THEN 'big' END", r#"{"a":1}"#, "null");
    check("CASE WHEN a THEN 1 ELSE 2 END", "{}", "2");
    check("CASE a WHEN 1 THEN 'one' WHEN NULL THEN 'null' ELSE 'other' END", "{}", "\"other\"");
    check("CASE a WHEN 1 THEN 'one' ELSE b END", r#"{"a":1.0}"#, "\"one\"");
    check_counted("CASE WHEN a THEN 1 ELSE 2 END", r#"{"a":"x"}"#, "2", 1);
    check("coalesce(a, b, 'none')", r#"{"b":"x"}"#, "\"x\"");
    check("coalesce(a, b)", "{}", "null");
    check("nullif(a, 0)", r#"{"a":0}"#, "null");
    check("nullif(a, 0)", r#"{"a":1}"#, "1");
    check("nullif(a, b)", r#"{"a":1}"#, "1");
    check("greatest(a, 2, b)", r#"{"a":1.5}"#, "2");
    check("least(a, 2, b)", r#"{"a":1.5}"#, "1.5");
    check("least(a, b)", "{}", "null");
    check("greatest('a', a)", r#"{"a":"b"}"#, "\"b\"");
    check_nulled("greatest(a, 2)", r#"{"a":"x"}"#);
}

#[test]
fn patterns() {
    check("a LIKE 'ab%'", r#"{"a":"abc"}"#, "true");
    check("a NOT LIKE '%c'", r#"{"a":"abc"}"#, "false");
    check("a LIKE '_b_'", r#"{"a":"äbc"}"#, "true");
    check("a LIKE '10!%' ESCAPE '!'", r#"{"a":"10%"}"#, "true");
    check("a LIKE '10!%' ESCAPE '!'", r#"{"a":"100"}"#, "false");
    check(r"a LIKE 'x\%'", r#"{"a":"x\\y"}"#, "true");
    check("a ILIKE '%STRASSE'", r#"{"a":"Hauptstraße, Nebenstrasse"}"#, "true");
    check("a LIKE b", r#"{"a":"abc","b":"%b%"}"#, "true");
    check("a LIKE b", r#"{"a":"abc"}"#, "null");
    check("a LIKE 'x'", "{}", "null");
    check_nulled("a LIKE '5'", r#"{"a":5}"#);
    check_nulled("a LIKE b ESCAPE '!'", r#"{"a":"abc","b":"abc!"}"#);
}

#[test]
fn casts() {
    check("CAST(a AS BIGINT)", r#"{"a":" 42 "}"#, "42");
    check("a::int", r#"{"a":2.5}"#, "3");
    check("a::int", r#"{"a":-2.5}"#, "-3");
    check("a::bigint", r#"{"a":true}"#, "1");
    check("a::integer", r#"{"a":"18446744073709551615"}"#, "18446744073709551615");
    check_nulled("a::int", r#"{"a":"2.5"}"#);
    check_nulled("a::int", r#"{"a":1e30}"#);
    check_nulled("TRY_CAST(a AS INT)", r#"{"a":"x"}"#);
    check_nulled("a::int", r#"{"a":[1]}"#);
    check("a::double", r#"{"a":"1e3"}"#, "1000.0");
    check("a::double precision", r#"{"a":1}"#, "1.0");
    check("CAST(a AS FLOAT) / 2", r#"{"a":1}"#, "0.5");
    check_nulled("a::double", r#"{"a":"inf"}"#);
    check("a::text", r#"{"a":1.0}"#, "\"1.0\"");
    check("CAST(a AS VARCHAR)", r#"{"a":true}"#, "\"true\"");
    check("a::text", r#"{"a":[1]}"#, "\"[1]\"");
    check("a::text", r#"{"a":{"@time":0}}"#, "\"1970-01-01T00:00:00.000Z\"");
    check("a::boolean", r#"{"a":"Yes"}"#, "true");
    check("a::bool", r#"{"a":0}"#, "false");
    check_nulled("a::boolean", r#"{"a":"maybe"}"#);
    check("a::timestamp", r#"{"a":"2026-01-01T01:00:00+01:00"}"#, "\"2026-01-01T00:00:00.000Z\"");
    check("CAST(a AS TIMESTAMP WITH TIME ZONE)", r#"{"a":{"@time":1}}"#, "\"1970-01-01T00:00:00.000001Z\"");
    check_nulled("a::timestamp", r#"{"a":"yesterday"}"#);
    check_nulled("a::timestamp", r#"{"a":5}"#);
    check("a::int", "{}", "null");
    check("-a::int", r#"{"a":"5"}"#, "-5");
}

#[test]
fn texts() {
    check("lower(a)", r#"{"a":"ÄBC"}"#, "\"äbc\"");
    check("upper(a)", r#"{"a":"straße"}"#, "\"STRASSE\"");
    check("Lower(a)", r#"{"a":"ABC"}"#, "\"abc\"");
    check_nulled("lower(a)", r#"{"a":5}"#);
    check("lower(a)", "{}", "null");
    check("length(a)", r#"{"a":"äbc"}"#, "3");
    check("trim(a)", r#"{"a":"  x y  "}"#, "\"x y\"");
    check("trim(BOTH 'x' FROM a)", r#"{"a":"xxaxx"}"#, "\"a\"");
    check("trim(LEADING 'xy' FROM a)", r#"{"a":"xyaxy"}"#, "\"axy\"");
    check("trim(TRAILING FROM a)", r#"{"a":" a "}"#, "\" a\"");
    check("trim('x' FROM a)", r#"{"a":"xax"}"#, "\"a\"");
    check("ltrim(a)", r#"{"a":" a "}"#, "\"a \"");
    check("rtrim(a, 'ä ')", r#"{"a":"a ä"}"#, "\"a\"");
    check("substring(a, 2, 2)", r#"{"a":"äöü"}"#, "\"öü\"");
    check("substring(a FROM 2 FOR 1)", r#"{"a":"äöü"}"#, "\"ö\"");
    check("substring(a FROM 2)", r#"{"a":"äöü"}"#, "\"öü\"");
    check("substring(a FOR 2)", r#"{"a":"äöü"}"#, "\"äö\"");
    check("substr(a, 0, 2)", r#"{"a":"abc"}"#, "\"a\"");
    check("substr(a, -5)", r#"{"a":"abc"}"#, "\"abc\"");
    check("substr(a, 9, 2)", r#"{"a":"abc"}"#, "\"\"");
    check_nulled("substr(a, 1, -1)", r#"{"a":"abc"}"#);
    check("concat(a, 1, b, TRUE, 2.5)", r#"{"a":"x"}"#, "\"x1true2.5\"");
    check("concat(a, b)", "{}", "\"\"");
    check("starts_with(a, 'ab')", r#"{"a":"abc"}"#, "true");
    check("replace(a, 'a', 'bb')", r#"{"a":"abca"}"#, "\"bbbcbb\"");
    check("replace(a, '', 'x')", r#"{"a":"abc"}"#, "\"abc\"");
    check("position('c' IN a)", r#"{"a":"äbc"}"#, "3");
    check("strpos(a, 'x')", r#"{"a":"abc"}"#, "0");
    check("strpos(a, '')", r#"{"a":"abc"}"#, "1");
    check("split_part(a, '/', 2)", r#"{"a":"x/y/z"}"#, "\"y\"");
    check("split_part(a, '/', -1)", r#"{"a":"x/y/z"}"#, "\"z\"");
    check("split_part(a, '/', 4)", r#"{"a":"x/y/z"}"#, "\"\"");
    check_nulled("split_part(a, '/', 0)", r#"{"a":"x/y/z"}"#);
    check("'it''s'", "{}", "\"it's\"");
    check("upper(lower(a) || 'x')", r#"{"a":"B"}"#, "\"BX\"");
}

#[test]
fn a_text_has_a_bound() {
    let event = format!(r#"{{"a":"{}"}}"#, "x".repeat(8000));
    check_nulled("length(replace(a, 'x', a))", &event);
}

#[test]
fn numbers() {
    check("abs(a)", r#"{"a":-9223372036854775808}"#, "9223372036854775808");
    check("abs(a)", r#"{"a":-1.5}"#, "1.5");
    check("round(a)", r#"{"a":2.5}"#, "3.0");
    check("round(a)", r#"{"a":-2.5}"#, "-3.0");
    check("round(a)", r#"{"a":7}"#, "7");
    check("round(a, 2)", r#"{"a":3.14159}"#, "3.14");
    check("round(a, 1)", r#"{"a":1.45}"#, "1.5");
    check("round(a, -2)", r#"{"a":1250}"#, "1300");
    check("round(a, -2)", r#"{"a":-1250.0}"#, "-1300.0");
    check("round(a, -99)", r#"{"a":1250}"#, "0");
    check("round(a, 400)", r#"{"a":1.5}"#, "1.5");
    check("floor(a)", r#"{"a":-1.5}"#, "-2.0");
    check("ceil(a)", r#"{"a":-1.5}"#, "-1.0");
    check("ceiling(a)", r#"{"a":3}"#, "3");
    check_nulled("abs(a)", r#"{"a":"x"}"#);
    check_nulled("round(a, 0.5)", r#"{"a":1.5}"#);
}

#[test]
fn times() {
    let event = r#"{"t":"2026-02-28T23:59:58.5Z","u":{"@time":-1}}"#;
    check("date_trunc('hour', t)", event, "\"2026-02-28T23:00:00.000Z\"");
    check("date_trunc('DAY', u)", event, "\"1969-12-31T00:00:00.000Z\"");
    check("date_trunc('week', t)", event, "\"2026-02-23T00:00:00.000Z\"");
    check("date_trunc('month', t)", event, "\"2026-02-01T00:00:00.000Z\"");
    check("date_trunc('quarter', t)", event, "\"2026-01-01T00:00:00.000Z\"");
    check("date_trunc('year', u)", event, "\"1969-01-01T00:00:00.000Z\"");
    check("extract(year FROM t) * 100 + extract(month FROM t)", event, "202602");
    check("extract(hour FROM t) * 100 + extract(minute FROM t)", event, "2359");
    check("extract(second FROM t)", event, "58");
    check("extract(epoch FROM t)", event, "1772323198.5");
    check("extract(dow FROM t)", event, "6");
    check("extract(isodow FROM DATE '2026-03-01')", event, "7");
    check("extract(dow FROM DATE '2026-03-01')", event, "0");
    check("extract(doy FROM t)", event, "59");
    check("extract(week FROM DATE '2026-12-31')", event, "53");
    check("date_part('day', t)", event, "28");
    check("extract(second FROM u)", event, "59");
    check_nulled("extract(year FROM a)", r#"{"a":5}"#);
    check_nulled("date_trunc('hour', a)", r#"{"a":"soon"}"#);
    check("t + INTERVAL '1 hour 30 minutes'", event, "\"2026-03-01T01:29:58.500Z\"");
    check("t - INTERVAL '5' MINUTE", event, "\"2026-02-28T23:54:58.500Z\"");
    check("INTERVAL '1 day' + u", event, "\"1970-01-01T23:59:59.999999Z\"");
    check("t - TIMESTAMP '2026-02-28 23:59:00'", event, "58.5");
    check("t - t > INTERVAL '-1 second'", event, "true");
    check("t - TIMESTAMP '2026-02-28T00:00:00Z' > INTERVAL '23 hours'", event, "true");
    check("TIMESTAMP '2026-01-01' = DATE '2026-01-01'", event, "true");
    check("INTERVAL '1 minute' + INTERVAL '1 second'", event, "61.0");
    check_nulled("a + INTERVAL '1 day'", r#"{"a":"x"}"#);
    check_nulled("a + a", r#"{"a":{"@time":5}}"#);
    check_nulled("a - INTERVAL '1 day'", r#"{"a":{"@time":-9223372036854775808}}"#);
}

#[test]
fn bare_paths_and_selection() {
    let resolve = |path: &Path| (path.to_string() == "a").then_some(3);
    assert_eq!(Program::compile(&parse("(a)").unwrap(), &resolve).unwrap().as_column(), Some(3));
    assert_eq!(Program::compile(&parse("a + 1").unwrap(), &resolve).unwrap().as_column(), None);
    let error = Program::compile(&parse("a = 1 AND\n x.y = 2").unwrap(), &resolve).unwrap_err();
    assert_eq!(error.render(), "no column 'x.y'\n x.y = 2\n ^^^");

    let mut text = Vec::new();
    let mut column = Column::new();
    for value in [Value::Int(1), Value::Null, Value::Text("x".into()), Value::Int(5), Value::Float(2.5)] {
        column.push_value(&value, &mut text);
    }
    let program = Program::compile(&parse("a > 2").unwrap(), &|_| Some(0)).unwrap();
    let mut nulled = 0;
    assert_eq!(program.select(&[column], 5, &mut text, &mut nulled), [3, 4]);
    assert_eq!(nulled, 1);
    let always = Program::compile(&parse("TRUE").unwrap(), &|_| None).unwrap();
    assert_eq!(always.select(&[], 2, &mut text, &mut nulled), [0, 1]);
}

#[test]
fn lists() {
    let groups =
        parse_groups("properties.name AS name, country, lower( c ), items[0], a.items[1] AS \"the item\", \"x.y\"");
    let groups: Vec<_> = groups.unwrap().into_iter().map(|g| format!("{} = {}", g.name, g.expr)).collect();
    let expected = [
        "name = properties.name",
        "country = country",
        "lower( c ) = lower(c)",
        "items[0] = items[0]",
        "the item = a.items[1]",
        "x.y = \"x.y\"",
    ];
    assert_eq!(groups, expected);

    let aggregates = parse_aggregates(
        "count(*) AS n, SUM(properties.amount) FILTER (WHERE x > 1 AND CAST(y AS INT) = 2) AS total, \
         count( DISTINCT user ), percentile_cont(0.9) WITHIN GROUP (ORDER BY v DESC) AS p, first(a), topk(x, 3) AS t",
    );
    let aggregates: Vec<_> = aggregates.unwrap().into_iter().map(|a| format!("{} = {a}", a.name)).collect();
    let expected = [
        "n = count(*)",
        "total = sum(properties.amount) FILTER (WHERE x > 1 AND CAST(y AS BIGINT) = 2)",
        "count( DISTINCT user ) = count(DISTINCT user)",
        "p = percentile_cont(0.9) WITHIN GROUP (ORDER BY v DESC)",
        "first(a) = first(a)",
        "t = topk(x, 3)",
    ];
    assert_eq!(aggregates, expected);

    let order = parse_order("view_count DESC, k0 ASC NULLS LAST, count( * ), desc NULLS FIRST, (a, 1)[1]");
    assert!(order.is_err());
    let order = parse_order("view_count DESC, k0 ASC NULLS LAST, count( * ) DESC NULLS FIRST, desc").unwrap();
    let order: Vec<_> = order.iter().map(|k| (k.expr.to_string(), k.descending, k.nulls_first)).collect();
    let expected =
        [("view_count", true, false), ("k0", false, false), ("count(*)", true, true), ("desc", false, false)];
    assert_eq!(order, expected.map(|(expr, descending, nulls_first)| (expr.into(), descending, nulls_first)));
}

#[test]
fn aggregates_are_columns_of_their_name() {
    let having = parse("count( * ) > 1 AND sum(x)/count(*) > avg").unwrap();
    let paths: Vec<_> = having.paths().into_iter().cloned().collect();
    let keys = ["count(*)", "sum(x)", "count(*)", "avg"];
    assert_eq!(paths, keys.map(|key| Path::of_keys(&[key])));
    assert_eq!(having.aggregate_call().unwrap().function, "count");
    let error = having.refuse_aggregates("--where").unwrap_err();
    assert_eq!(error.to_string(), "aggregate 'count' cannot stand in --where");
    assert!(parse("lower(a) = 'x'").unwrap().refuse_aggregates("--where").is_ok());
}

#[test]
fn size_has_a_bound() {
    let chain = vec!["a = 1"; 2000].join(" OR ");
    check(&chain, r#"{"a":1}"#, "true");
    assert_eq!(parse(&vec!["a = 1"; 3000].join(" OR ")).unwrap_err().to_string(), "the expression is too long");
    let nested = "NOT (".repeat(29) + "a" + &")".repeat(29);
    check(&nested, r#"{"a":false}"#, "true");
    for deep in [vec!["a"; 4000].join(" + "), "(".repeat(4000), "NOT ".repeat(4000) + "a", "-(".repeat(3000)] {
        assert_eq!(parse(&deep).unwrap_err().to_string(), "the expression is too deeply nested");
    }
}
