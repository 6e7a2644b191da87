//! Columns back to events: one row as one JSON object, dots of the paths as objects within it.
//!
//! For inputs that aren't JSON. Knows nothing of what the fields mean.

use crate::batch::{Column, Tag};
use crate::event::{Path, Segment};
use crate::value::write_json_string;

/// Writes rows of these columns as JSON objects.
#[derive(Debug, Clone)]
pub struct EventEncoder {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// An object begins, whose key is written so.
    Open(Box<[u8]>),
    /// A column's value, whose key is written so.
    Value(Box<[u8]>, usize),
    /// The object ends.
    Close,
}

/// Two columns that can't be of one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the columns '{outer}' and '{inner}' are a value and a field of that value")]
pub struct PathConflict {
    /// The path that names a value.
    pub outer: String,
    /// The path that goes on behind it.
    pub inner: String,
}

impl EventEncoder {
    /// An encoder of columns that are these fields, the first of them in column `first`. Paths are of keys only.
    pub fn new(paths: &[Path], first: usize) -> Result<EventEncoder, PathConflict> {
        for outer in paths {
            if let Some(inner) =
                paths.iter().find(|inner| inner.0.len() > outer.0.len() && inner.0.starts_with(&outer.0))
            {
                return Err(PathConflict { outer: outer.to_string(), inner: inner.to_string() });
            }
        }
        let fields: Vec<(&[Segment], usize)> =
            paths.iter().enumerate().map(|(i, path)| (&path.0[..], first + i)).collect();
        let mut steps = Vec::new();
        push_steps(&fields, &mut steps);
        Ok(EventEncoder { steps })
    }

    /// Appends the row as one object without a line feed. NULL is left out, and an object of nothing else too.
    pub fn encode(&self, columns: &[Column], row: usize, text: &[u8], out: &mut Vec<u8>) {
        out.push(b'{');
        // Where each open object began, with the comma before it, and where its first member stands.
        let mut open: Vec<(usize, usize)> = Vec::new();
        let mut inside = out.len();
        for step in &self.steps {
            let begin = out.len();
            match step {
                Step::Value(_, column) if columns[*column].tags[row] == Tag::Null => {}
                Step::Open(key) | Step::Value(key, _) => {
                    if begin > inside {
                        out.push(b',');
                    }
                    out.extend_from_slice(key);
                    match step {
                        Step::Value(_, column) => columns[*column].value(row, text).write_json(out),
                        _ => {
                            open.push((begin, inside));
                            inside = out.len();
                        }
                    }
                }
                Step::Close => {
                    let (begun, outside) = open.pop().expect("an object that ends has begun");
                    if out.len() == inside {
                        out.truncate(begun)
                    } else {
                        out.push(b'}')
                    }
                    inside = outside;
                }
            }
        }
        out.push(b'}');
    }
}

/// Steps of the fields, those of one object together at the place of its first.
fn push_steps(fields: &[(&[Segment], usize)], steps: &mut Vec<Step>) {
    let mut done = vec![false; fields.len()];
    for (i, (path, column)) in fields.iter().enumerate() {
        if std::mem::replace(&mut done[i], true) {
            continue;
        }
        let Some((Segment::Key(key), rest)) = path.split_first() else { continue };
        let mut written = Vec::new();
        write_json_string(key, &mut written);
        written.push(b':');
        if rest.is_empty() {
            steps.push(Step::Value(written.into(), *column));
            continue;
        }
        let mut within = Vec::new();
        for (other, (other_path, other_column)) in fields.iter().enumerate().skip(i) {
            if other_path.first() == path.first() {
                done[other] = true;
                within.push((&other_path[1..], *other_column));
            }
        }
        written.push(b'{');
        steps.push(Step::Open(written.into()));
        push_steps(&within, steps);
        steps.push(Step::Close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[track_caller]
    fn check(fields: &[(&str, Value)], expected: Result<&str, &str>) {
        let paths: Vec<Path> =
            fields.iter().map(|(name, _)| Path::of_keys(&name.split('.').collect::<Vec<_>>())).collect();
        let (mut text, mut columns) = (Vec::new(), vec![Column::nulls(1)]);
        for (_, value) in fields {
            let mut column = Column::new();
            column.push_value(value, &mut text);
            columns.push(column);
        }
        let found = EventEncoder::new(&paths, 1).map(|encoder| {
            let mut out = Vec::new();
            encoder.encode(&columns, 0, &text, &mut out);
            String::from_utf8(out).unwrap()
        });
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn dots_lead_into_objects() {
        let fields = [
            ("id", Value::Text("a\"b".into())),
            ("p.x", Value::Int(1)),
            ("q", Value::Null),
            ("m.n.o", Value::Null),
            ("p.y.z", Value::Bool(true)),
            ("t", Value::Float(1.5)),
        ];
        check(&fields, Ok(r#"{"id":"a\"b","p":{"x":1,"y":{"z":true}},"t":1.5}"#));
        check(&[("m.n.o", Value::Null), ("a", Value::Int(1))], Ok(r#"{"a":1}"#));
        check(&[("a", Value::Null)], Ok("{}"));
        check(
            &[("p", Value::Int(1)), ("p.x", Value::Int(2))],
            Err("the columns 'p' and 'p.x' are a value and a field of that value"),
        );
    }
}
