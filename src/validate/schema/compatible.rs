//! Whether a new version of a schema takes what the one before took.
//!
//! Judged by the two texts, keyword by keyword, and on the safe side: where a keyword has changed whose meaning can't be compared, they
//! are not compatible. One thing is taken for granted that logic does not grant: a field that the version before did not name was
//! not sent, so a new optional field is compatible. Knows nothing of where versions are kept.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::validate::schema::escaped;

/// What a new version must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// Take all that the one before took: whoever sends by the old schema can go on.
    #[default]
    Backward,
    /// Take nothing that the one before refused: whoever reads by the old schema can go on.
    Forward,
    /// Both.
    Full,
    /// Nothing.
    None,
}

/// Where a new version isn't compatible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at '{pointer}': {reason}")]
pub struct Incompatible {
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    /// What has changed.
    pub reason: String,
}

/// Keywords that say nothing of what is valid.
const ANNOTATIONS: [&str; 13] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "$anchor",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentMediaType",
];

/// Keywords by which a schema that takes more can make the whole take less.
const REVERSING: [&str; 9] = [
    "not",
    "if",
    "oneOf",
    "contains",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "propertyNames",
];

/// Checks the version `after` against the one `before`.
pub fn check(before: &Value, after: &Value, compatibility: Compatibility) -> Result<(), Incompatible> {
    match compatibility {
        Compatibility::None => Ok(()),
        Compatibility::Backward => takes_all(before, after),
        Compatibility::Forward => takes_all(after, before),
        Compatibility::Full => takes_all(before, after).and_then(|()| takes_all(after, before)),
    }
}

/// Whether `wide` takes all that `narrow` takes.
fn takes_all(narrow: &Value, wide: &Value) -> Result<(), Incompatible> {
    if let (Some(Value::Object(narrow_parts)), Some(Value::Object(wide_parts))) =
        (narrow.get("$defs"), wide.get("$defs"))
    {
        for (name, wide_part) in wide_parts {
            let pointer = format!("/$defs/{}", escaped(name));
            let Some(narrow_part) = narrow_parts.get(name).filter(|narrow_part| *narrow_part != wide_part) else {
                continue;
            };
            if uses(narrow, &REVERSING) || uses(wide, &REVERSING) {
                let reason = "it has changed, and with 'not', 'if', 'oneOf' and the like what that means can't be told";
                return Err(Incompatible { pointer, reason: reason.to_owned() });
            }
            is_wider(narrow_part, wide_part, &pointer)?;
        }
    }
    is_wider(narrow, wide, "")
}

fn uses(schema: &Value, keywords: &[&str]) -> bool {
    match schema {
        Value::Object(members) => {
            members.iter().any(|(key, value)| keywords.contains(&key.as_str()) || uses(value, keywords))
        }
        Value::Array(items) => items.iter().any(|item| uses(item, keywords)),
        _ => false,
    }
}

fn is_wider(narrow: &Value, wide: &Value, pointer: &str) -> Result<(), Incompatible> {
    let nothing = Map::new();
    let (narrow, wide) = match (narrow, wide) {
        _ if narrow == wide => return Ok(()),
        (Value::Bool(false), _) | (_, Value::Bool(true)) => return Ok(()),
        (_, Value::Bool(false)) => return Err(incompatible(pointer, "", "nothing is taken any more")),
        (Value::Object(narrow), Value::Object(wide)) => (narrow, wide),
        (_, Value::Object(wide)) => (&nothing, wide),
        // Neither: it would not compile.
        _ => return Ok(()),
    };
    for (keyword, value) in wide {
        check_keyword(keyword, narrow, wide, value, pointer)?;
    }
    Ok(())
}

fn check_keyword(
    keyword: &str,
    narrow: &Map<String, Value>,
    wide: &Map<String, Value>,
    value: &Value,
    pointer: &str,
) -> Result<(), Incompatible> {
    let before = narrow.get(keyword);
    let refuse = |reason: &str| Err(incompatible(pointer, keyword, reason));
    match keyword {
        _ if ANNOTATIONS.contains(&keyword) => Ok(()),
        "properties" => properties(narrow, value, pointer),
        "additionalProperties" => additional(narrow, wide, value, pointer),
        "unevaluatedProperties" if narrow.get("properties") != wide.get("properties") => {
            refuse("it stands beside fields that have changed, and what that means can't be told")
        }
        _ if before == Some(value) => Ok(()),
        "type" => match types(narrow).is_some_and(|types| types.iter().all(|one| has_type(value, one))) {
            true => Ok(()),
            false => refuse("it does not take every type that the other version takes"),
        },
        "enum" | "const" => {
            let taken = |one: &Value| if keyword == "const" { one == value } else { list(value).contains(one) };
            let all = narrow.get("const").map(std::slice::from_ref).or_else(|| narrow.get("enum").map(list));
            match all.is_some_and(|all| all.iter().all(taken)) {
                true => Ok(()),
                false => refuse("it does not take every value that the other version takes"),
            }
        }
        "required" => match list(value).iter().find(|key| !before.map_or(&[][..], list).contains(key)) {
            Some(key) => refuse(&format!("{key} is demanded, which the other version takes events without")),
            None => Ok(()),
        },
        "items" => is_wider(before.unwrap_or(&Value::Bool(true)), value, &format!("{pointer}/items")),
        "minimum" | "exclusiveMinimum" => bound(before, value, |before, after| before >= after)
            .or_else(|()| refuse("it is higher than in the other version")),
        "maximum" | "exclusiveMaximum" => bound(before, value, |before, after| before <= after)
            .or_else(|()| refuse("it is lower than in the other version")),
        "minLength" | "minItems" | "minProperties" => {
            let none = Value::from(0);
            bound(before.or(Some(&none)), value, |before, after| before >= after)
                .or_else(|()| refuse("it is higher than in the other version"))
        }
        "maxLength" | "maxItems" | "maxProperties" => bound(before, value, |before, after| before <= after)
            .or_else(|()| refuse("it is lower than in the other version")),
        "uniqueItems" if *value == Value::Bool(false) => Ok(()),
        _ if before.is_none() => refuse("it is demanded, and the other version does not"),
        _ => refuse("it has changed, and what that means can't be told"),
    }
}

fn properties(narrow: &Map<String, Value>, wide: &Value, pointer: &str) -> Result<(), Incompatible> {
    let Value::Object(wide) = wide else { return Ok(()) };
    let named = narrow.get("properties").and_then(Value::as_object);
    for (name, schema) in wide {
        let own = named.and_then(|named| named.get(name));
        // What is not named and not bounded was not sent.
        let before =
            own.or_else(|| narrow.get("additionalProperties").filter(|additional| **additional != Value::Bool(true)));
        if let Some(before) = before {
            is_wider(before, schema, &format!("{pointer}/properties/{}", escaped(name)))?;
        }
    }
    Ok(())
}

fn additional(
    narrow: &Map<String, Value>,
    wide: &Map<String, Value>,
    value: &Value,
    pointer: &str,
) -> Result<(), Incompatible> {
    let at = format!("{pointer}/additionalProperties");
    let everything = Value::Bool(true);
    is_wider(narrow.get("additionalProperties").unwrap_or(&everything), value, &at)?;
    let fields = |schema: &Map<String, Value>| -> BTreeSet<String> {
        schema
            .get("properties")
            .and_then(Value::as_object)
            .map(|fields| fields.keys().cloned().collect())
            .unwrap_or_default()
    };
    for name in fields(narrow).difference(&fields(wide)) {
        let before = &narrow["properties"][name];
        is_wider(before, value, &at).map_err(|mut error| {
            error.reason = format!("the field '{name}' is not named any more: {}", error.reason);
            error
        })?;
    }
    Ok(())
}

/// The types that a schema may take, if it bounds them.
fn types(schema: &Map<String, Value>) -> Option<Vec<String>> {
    let name = |value: &Value| {
        match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
        .to_owned()
    };
    if let Some(types) = schema.get("type") {
        let one = |value: &Value| value.as_str().map(str::to_owned);
        return types
            .as_array()
            .map_or_else(|| one(types).map(|one| vec![one]), |types| types.iter().map(one).collect());
    }
    let values = schema.get("const").map(std::slice::from_ref).or_else(|| schema.get("enum").map(list));
    values.map(|values| values.iter().map(name).collect())
}

/// Whether a `type` names this one.
fn has_type(types: &Value, one: &str) -> bool {
    let is_one = |name: &Value| name == one || (one == "integer" && name == "number");
    types.as_array().map_or_else(|| is_one(types), |types| types.iter().any(is_one))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn bound(before: Option<&Value>, after: &Value, is_wide: impl Fn(f64, f64) -> bool) -> Result<(), ()> {
    let both = before.and_then(Value::as_f64).zip(after.as_f64());
    if both.is_some_and(|(before, after)| is_wide(before, after)) { Ok(()) } else { Err(()) }
}

fn incompatible(pointer: &str, keyword: &str, reason: &str) -> Incompatible {
    let pointer = if keyword.is_empty() { pointer.to_owned() } else { format!("{pointer}/{}", escaped(keyword)) };
    Incompatible { pointer, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Where the second is no backward compatible version of the first; nothing where it is.
    #[track_caller]
    fn check_backward(before: Value, after: Value, expected: &str) {
        let found =
            check(&before, &after, Compatibility::Backward).map_or_else(|error| error.pointer, |()| String::new());
        assert_eq!(found, expected, "{before}, then {after}");
        let forward = check(&after, &before, Compatibility::Forward).is_ok();
        assert_eq!(forward, expected.is_empty(), "forward is backward with the versions exchanged");
    }

    fn object(properties: Value, rest: Value) -> Value {
        let mut schema = json!({"type": "object", "properties": properties});
        schema.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        schema
    }

    #[test]
    fn more_may_be_taken_and_not_less() {
        let number = |rest: Value| object(json!({"a": rest}), json!({}));
        check_backward(number(json!({"type": "integer"})), number(json!({"type": "number"})), "");
        check_backward(number(json!({"type": "number"})), number(json!({"type": "integer"})), "/properties/a/type");
        check_backward(number(json!({"type": "string"})), number(json!({"type": ["null", "string"]})), "");
        check_backward(number(json!({"minimum": 0})), number(json!({"minimum": -1})), "");
        check_backward(number(json!({"minimum": 0})), number(json!({"minimum": 1})), "/properties/a/minimum");
        check_backward(number(json!({})), number(json!({"maxLength": 5})), "/properties/a/maxLength");
        check_backward(number(json!({"enum": ["x"]})), number(json!({"enum": ["x", "y"]})), "");
        check_backward(number(json!({"enum": ["x", "y"]})), number(json!({"enum": ["x"]})), "/properties/a/enum");
        check_backward(number(json!({"const": "x"})), number(json!({"type": "string", "enum": ["x"]})), "");
        check_backward(number(json!({"pattern": "a"})), number(json!({})), "");
        check_backward(number(json!({"pattern": "a"})), number(json!({"pattern": "b"})), "/properties/a/pattern");
        check_backward(number(json!({"title": "x"})), number(json!({"title": "y", "description": "z"})), "");
        check_backward(
            number(json!({"items": {"type": "integer"}})),
            number(json!({"items": {"type": "string"}})),
            "/properties/a/items/type",
        );
    }

    #[test]
    fn fields_come_and_go() {
        let (none, a) = (json!({}), json!({"a": {"type": "string"}}));
        check_backward(object(none.clone(), json!({})), object(a.clone(), json!({})), "");
        check_backward(object(none.clone(), json!({})), object(a.clone(), json!({"required": ["a"]})), "/required");
        check_backward(object(a.clone(), json!({"required": ["a"]})), object(a.clone(), json!({})), "");
        check_backward(object(a.clone(), json!({})), object(none.clone(), json!({})), "");
        let closed = json!({"additionalProperties": false});
        check_backward(object(a.clone(), json!({})), object(a.clone(), closed.clone()), "/additionalProperties");
        check_backward(object(a.clone(), closed.clone()), object(none, closed.clone()), "/additionalProperties");
        check_backward(
            object(a.clone(), closed.clone()),
            object(json!({"a": {"type": "string"}, "b": {}}), closed),
            "",
        );
    }

    #[test]
    fn parts_that_are_referred_to_count() {
        let schema = |part: Value, rest: Value| {
            let mut schema = json!({"$defs": {"p": part}, "properties": {"a": {"$ref": "#/$defs/p"}}});
            schema.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            schema
        };
        check_backward(schema(json!({"minimum": 1}), json!({})), schema(json!({"minimum": 0}), json!({})), "");
        check_backward(
            schema(json!({"minimum": 0}), json!({})),
            schema(json!({"minimum": 1}), json!({})),
            "/$defs/p/minimum",
        );
        let not = json!({"not": {"$ref": "#/$defs/p"}});
        check_backward(schema(json!({"minimum": 1}), not.clone()), schema(json!({"minimum": 0}), not), "/$defs/p");
    }
}
