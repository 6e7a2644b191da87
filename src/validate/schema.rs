//! JSON Schema, draft 2020-12, over events: compiled once, judged line by line without a value tree.
//!
//! The crate `jsonschema` is the whole of the standard and is shown a line as it stands (`tree`). What is decided here:
//! * A reference that leaves the document is refused when the schema is compiled: nothing is fetched, ever.
//! * Patterns are matched in linear time, so one that needs back-tracking (look-around, back-references) is refused.
//! * `format` is checked, not merely noted.
//!
//! Knows nothing of where schemas are kept.

pub mod compatible;
mod tree;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::codec::ndjson::Node;
use crate::validate::Violation;
use crate::validate::schema::tree::{Line, TreeNode};

/// A compiled schema.
pub struct Schema {
    validator: Validator<Line>,
}

/// The schemas of a stream, by event type.
#[derive(Debug, Default)]
pub struct Schemas {
    by_type: HashMap<Box<str>, Arc<Versioned>>,
    is_cut_off: bool,
}

/// A schema, and which version of its type's it is.
#[derive(Debug)]
pub struct Versioned {
    /// The schema.
    pub schema: Schema,
    /// Counted from 1 where a registry keeps versions.
    pub version: Option<u32>,
}

/// Why a text can't be used as a schema. Always the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It isn't JSON.
    #[error("it is no JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// Written for another draft.
    #[error(
        "its '$schema' is '{0}', and schemas here are of draft 2020-12, 'https://json-schema.org/draft/2020-12/schema'"
    )]
    Draft(String),
    /// A reference to somewhere else.
    #[error(
        "its '$ref' '{reference}' at '{pointer}' leaves the document, and nothing is fetched; put it under '$defs'"
    )]
    Remote {
        /// The reference.
        reference: String,
        /// Where it stands.
        pointer: String,
    },
    /// A pattern that is none, or that can't be matched in linear time.
    #[error(
        "its pattern '{pattern}' at '{pointer}' can't be matched without back-tracking (look-around and back-references need it), or is no regular expression"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Where it stands.
        pointer: String,
    },
    /// Not a schema.
    #[error("it is no schema: at '{pointer}': {reason}")]
    Invalid {
        /// Where.
        pointer: String,
        /// The validator's words.
        reason: String,
    },
}

/// Regular expressions are compiled to at most so many bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What a message shows of a value that is wrong.
const REASON_BYTES_MAX: usize = 240;

impl Schema {
    /// Compiles the text of a schema.
    pub fn parse(text: &str) -> Result<Schema, SchemaError> {
        Schema::compile(&serde_json::from_str(text).map_err(SchemaError::NotJson)?)
    }

    /// Compiles a schema.
    pub fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        check_draft(schema)?;
        let mut ids = Vec::new();
        visit(schema, "", &mut |key, value, _| {
            if key == "$id"
                && let Value::String(id) = value
            {
                ids.push(id.trim_end_matches('#').to_owned());
            }
            Ok(())
        })?;
        visit(schema, "", &mut |key, value, pointer| check_reference(key, value, pointer, &ids))?;
        let options = jsonschema::options_for::<Line>()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(
                PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX),
            );
        match options.build(schema) {
            Ok(validator) => Ok(Schema { validator }),
            Err(error) => Err(refused(&error)),
        }
    }

    /// What the event breaks, if it breaks anything: the first that the standard's order of checks comes upon.
    pub fn judge(&self, event: Node<'_>) -> Result<(), Violation> {
        if self.validator.is_valid(TreeNode(event)) {
            return Ok(());
        }
        match self.validator.validate(TreeNode(event)) {
            Ok(()) => Ok(()),
            Err(error) => Err(violation(&error)),
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Schemas {
    /// Adds or replaces the schema of a type.
    pub fn insert(&mut self, event_type: &str, schema: Versioned) {
        self.by_type.insert(event_type.into(), Arc::new(schema));
    }

    /// Leaves out the types that `is_kept` is not true for.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.by_type.retain(|event_type, _| is_kept(event_type));
    }

    /// The same schemas, with word whether newer ones can't be asked for.
    pub fn cut_off(&self, is_cut_off: bool) -> Schemas {
        Schemas { by_type: self.by_type.clone(), is_cut_off }
    }

    /// Whether there may be newer ones that can't be asked for.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// The schema of a type.
    pub fn get(&self, event_type: &str) -> Option<&Versioned> {
        self.by_type.get(event_type).map(Arc::as_ref)
    }

    /// How many types have one.
    pub fn len(&self) -> usize {
        self.by_type.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }
}

impl PartialEq for Schemas {
    /// Whether they are the very same, not merely alike.
    fn eq(&self, other: &Schemas) -> bool {
        let is_there = |event_type: &str, one: &Arc<Versioned>| {
            other.by_type.get(event_type).is_some_and(|other| Arc::ptr_eq(one, other))
        };
        self.is_cut_off == other.is_cut_off
            && self.len() == other.len()
            && self.by_type.iter().all(|(event_type, one)| is_there(event_type, one))
    }
}

fn check_draft(schema: &Value) -> Result<(), SchemaError> {
    match schema.get("$schema") {
        None => Ok(()),
        Some(Value::String(draft)) if draft.trim_end_matches('#') == "https://json-schema.org/draft/2020-12/schema" => {
            Ok(())
        }
        Some(other) => Err(SchemaError::Draft(other.as_str().map_or_else(|| other.to_string(), str::to_owned))),
    }
}

fn check_reference(key: &str, value: &Value, pointer: &str, ids: &[String]) -> Result<(), SchemaError> {
    let Value::String(reference) = value else { return Ok(()) };
    if !matches!(key, "$ref" | "$dynamicRef") || reference.starts_with('#') {
        return Ok(());
    }
    let document = reference.split_once('#').map_or(reference.as_str(), |(document, _)| document);
    match ids.iter().any(|id| id == document) {
        true => Ok(()),
        false => Err(SchemaError::Remote { reference: reference.clone(), pointer: pointer.to_owned() }),
    }
}

/// A look at a member: key, value, pointer.
type Look<'a> = &'a mut dyn FnMut(&str, &Value, &str) -> Result<(), SchemaError>;

/// Shows every member of a schema, those of plain values aside.
fn visit(schema: &Value, pointer: &str, look: Look<'_>) -> Result<(), SchemaError> {
    match schema {
        Value::Object(members) => members.iter().try_for_each(|(key, value)| {
            let pointer = format!("{pointer}/{}", escaped(key));
            look(key, value, &pointer)?;
            match key.as_str() {
                "const" | "enum" | "default" | "examples" => Ok(()),
                _ => visit(value, &pointer, look),
            }
        }),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(i, item)| visit(item, &format!("{pointer}/{i}"), look))
        }
        _ => Ok(()),
    }
}

/// A key as a JSON pointer has it.
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn refused(error: &ValidationError<'_>) -> SchemaError {
    let pointer = error.instance_path().as_str().to_owned();
    match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => {
            let pattern = error.instance().as_str().unwrap_or_default().to_owned();
            SchemaError::Pattern { pattern, pointer }
        }
        _ => SchemaError::Invalid { pointer, reason: shortened(error.to_string()) },
    }
}

#[cold]
fn violation(error: &ValidationError<'_>) -> Violation {
    let mut pointer = error.instance_path().as_str().to_owned();
    // The standard points to the object; whoever mends the event looks for the member.
    let member = match error.kind() {
        ValidationErrorKind::Required { property } => property.as_str(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected.first().map(String::as_str),
        _ => None,
    };
    if let Some(member) = member {
        pointer.push('/');
        pointer.push_str(&escaped(member));
    }
    Violation { pointer: pointer.into(), reason: format!("by the schema: {}", shortened(error.to_string())).into() }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::codec::ndjson::{Document, PADDING};

    fn judged(schema: &Value, line: &str) -> Result<(), String> {
        let mut bytes = line.as_bytes().to_vec();
        bytes.push(b'\n');
        bytes.resize(bytes.len() + PADDING, 0);
        let mut document = Document::default();
        let event = document.read(&bytes, 0).map_err(|error| error.to_string())?;
        let schema = Schema::compile(schema).map_err(|error| error.to_string())?;
        schema.judge(event).map_err(|violation| format!("{}: {}", violation.pointer, violation.reason))
    }

    #[track_caller]
    fn check(schema: &Value, line: &str, expected: Result<(), &str>) {
        assert_eq!(judged(schema, line), expected.map_err(str::to_owned), "{line} by {schema}");
    }

    #[track_caller]
    fn check_refused(schema: &Value, expected: &str) {
        let error = Schema::compile(schema).expect_err("the schema is to be refused").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_wrong_is_pointed_to() {
        let schema = json!({
            "type": "object",
            "required": ["properties"],
            "properties": { "properties": {
                "type": "object",
                "required": ["amount"],
                "properties": { "amount": {"type": "number", "minimum": 0}, "a/b": {"enum": ["x", 1]} },
                "additionalProperties": false,
            } },
        });
        check(&schema, r#"{"properties":{"amount":1.5,"a/b":1.0}}"#, Ok(()));
        check(&schema, r#"{}"#, Err("/properties: by the schema: \"properties\" is a required property"));
        check(
            &schema,
            r#"{"properties":{}}"#,
            Err("/properties/amount: by the schema: \"amount\" is a required property"),
        );
        check(
            &schema,
            r#"{"properties":{"amount":-1}}"#,
            Err("/properties/amount: by the schema: -1 is less than the minimum of 0"),
        );
        check(
            &schema,
            r#"{"properties":{"amount":1,"a/b":2}}"#,
            Err("/properties/a~1b: by the schema: 2 is not one of \"x\" or 1"),
        );
        check(
            &schema,
            r#"{"properties":{"amount":1,"x":2}}"#,
            Err("/properties/x: by the schema: Additional properties are not allowed ('x' was unexpected)"),
        );
    }

    #[test]
    fn formats_and_patterns_are_checked() {
        let schema = json!({"properties": {"t": {"format": "date-time"}, "p": {"pattern": "^a+$"}}});
        check(&schema, r#"{"t":"2026-01-01T00:00:00Z","p":"aaa"}"#, Ok(()));
        check(&schema, r#"{"t":"soon"}"#, Err("/t: by the schema: \"soon\" is not a \"date-time\""));
        check(&schema, r#"{"p":"b"}"#, Err("/p: by the schema: \"b\" does not match \"^a+$\""));
    }

    #[test]
    fn nothing_is_fetched_and_nothing_backtracks() {
        check_refused(&json!({"$ref": "https://example.com/x.json"}), "leaves the document");
        check_refused(
            &json!({"properties": {"a": {"$ref": "other.json#/a"}}}),
            "'other.json#/a' at '/properties/a/$ref'",
        );
        check_refused(
            &json!({"pattern": "^(?=a)b"}),
            "its pattern '^(?=a)b' at '/pattern' can't be matched without back-tracking",
        );
        check_refused(&json!({"properties": {"a": {"pattern": "(a)\\1"}}}), "back-tracking");
        check_refused(&json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "draft-07");
        check_refused(&json!({"type": "texts"}), "it is no schema: at '/type'");
        let within =
            json!({"$defs": {"a": {"$id": "a.json", "type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}}});
        check(&within, r#"{"x":1}"#, Err("/x: by the schema: 1 is not of type \"string\""));
    }
}
