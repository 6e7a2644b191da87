//! The shape of a line: what stands between its values, and which of them are wanted.
//!
//! A line is a string of *gaps* and scalar values by turns: in `{"id":7,"tags":["a"]}` the gaps are `{"id":`, `,"tags":["`
//! and `"]}` with the line feed. The quotes of a text are of the gaps around it. Lines are taken apart only to learn from
//! them, so this is written to be short. Knows nothing of how gaps are kept.

use std::ops::Range;

use crate::codec::ndjson::number;
use crate::codec::ndjson::string;
use crate::codec::ndjson::trie::{NodeId, Trie, head_of};

/// What stands after a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// A text, up to its closing quote, which is the next gap's.
    Text,
    /// A number, `true`, `false` or `null`.
    Scalar,
    /// Nothing: the gap holds the line feed.
    End,
}

/// A gap with what stands after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Places of its bytes in the block.
    pub gap: Range<usize>,
    /// What follows it.
    pub after: After,
    /// The cell of the value that follows, if it is wanted.
    pub cell: Option<u32>,
}

struct Level {
    node: Option<NodeId>,
    is_object: bool,
    /// Index of its current element.
    index: u32,
}

/// Takes apart the line from `start` to its line feed at `end`, which the walker has accepted. `None` if its shape does not
/// tell which values it gives: a wanted key is repeated, or a whole object or array is wanted.
pub fn take_apart(trie: &Trie, bytes: &[u8], start: usize, end: usize) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    let mut members: Vec<NodeId> = Vec::new();
    let (mut at, mut gap) = (start, start);
    // The wanted place of the value that comes next, and whether a key comes first.
    let (mut place, mut key_next) = (Some(0), false);
    while at < end {
        let cell = place.and_then(|place| trie.node(place).cell);
        match bytes[at] {
            b' ' | b'\t' | b'\r' | b':' => at += 1,
            b'{' | b'[' if cell.is_some() => return None,
            open @ (b'{' | b'[') => {
                key_next = open == b'{';
                let inner = if key_next { None } else { place.and_then(|place| trie.node(place).element(0)) };
                levels.push(Level { node: place, is_object: key_next, index: 0 });
                place = inner;
                at += 1;
            }
            b'}' | b']' => {
                levels.pop();
                at += 1;
            }
            b',' => {
                let level = levels.last_mut()?;
                key_next = level.is_object;
                level.index += 1;
                place = level.node.and_then(|node| trie.node(node).element(level.index));
                at += 1;
            }
            b'"' if key_next => {
                let key_end = string::scan(bytes, at + 1).ok()?.end;
                place = levels.last()?.node.and_then(|node| member(trie, node, &bytes[at + 1..key_end]));
                if let Some(place) = place {
                    if members.contains(&place) {
                        return None;
                    }
                    members.push(place);
                }
                key_next = false;
                at = key_end + 1;
            }
            b'"' => {
                steps.push(Step { gap: gap..at + 1, after: After::Text, cell });
                gap = string::scan(bytes, at + 1).ok()?.end;
                at = gap + 1;
            }
            first => {
                steps.push(Step { gap: gap..at, after: After::Scalar, cell });
                at = match first {
                    b't' | b'n' => at + 4,
                    b'f' => at + 5,
                    _ => number::scan(bytes, at).ok()?,
                };
                gap = at;
            }
        }
    }
    steps.push(Step { gap: gap..end + 1, after: After::End, cell: None });
    Some(steps)
}

/// The wanted member with this key, as it is written in the line.
fn member(trie: &Trie, node: NodeId, written: &[u8]) -> Option<NodeId> {
    let mut key = Vec::with_capacity(written.len());
    string::unescape(written, &mut key);
    trie.node(node).member(head_of(&key), &key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::ndjson::string::PADDING;
    use crate::event::{Path, Segment};

    /// Gaps and values by turns, a wanted value in its cell's brackets.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let second = Path(vec![Segment::Key("items".into()), Segment::Index(1)]);
        let trie = Trie::new(&[Path::of_keys(&["id"]), Path::of_keys(&["in", "id"]), second]);
        let names = [(trie.cells[0], "id"), (trie.cells[1], "in.id"), (trie.cells[2], "items[1]")];
        let mut bytes = format!("{line}\n").into_bytes();
        bytes.resize(bytes.len() + PADDING, 0);
        let shown = take_apart(&trie, &bytes, 0, line.len()).map(|steps| {
            let show = |step: &Step| {
                let cell = step.cell.map(|cell| names.iter().find(|(own, _)| *own == cell).unwrap().1);
                let gap = std::str::from_utf8(&bytes[step.gap.clone()]).unwrap().replace('\n', "⏎");
                format!(
                    "{gap}<{}>",
                    cell.unwrap_or(match step.after {
                        After::Text => "text",
                        After::Scalar => "scalar",
                        After::End => "",
                    })
                )
            };
            steps.iter().map(show).collect::<String>()
        });
        assert_eq!(shown.as_deref(), Some(expected).filter(|expected| !expected.is_empty()), "{line}");
    }

    #[test]
    fn gaps_stand_between_values() {
        check(r#"{"id":7,"tags":["a",true]}"#, r#"{"id":<id>,"tags":["<text>",<scalar>]}⏎<>"#);
        check(r#" { "in" : {"id": "x\"y" , "e":[],"f":{} } }"#, r#" { "in" : {"id": "<in.id>" , "e":[],"f":{} } }⏎<>"#);
        check(r#"{"items":[1,-2.5e1,"3"],"id":null}"#, r#"{"items":[<scalar>,<items[1]>,"<text>"],"id":<id>}⏎<>"#);
        check(r#"{"items":{"1":2},"in":[{"id":3}]}"#, r#"{"items":{"1":<scalar>},"in":[{"id":<scalar>}]}⏎<>"#);
        check(r#"{"a":{"id":1},"\u0069d":2}"#, r#"{"a":{"id":<scalar>},"\u0069d":<id>}⏎<>"#);
        check("{}\r", "{}\r⏎<>");
    }

    #[test]
    fn lines_whose_shape_is_not_enough_are_not_taken_apart() {
        check(r#"{"id":1,"id":2}"#, "");
        check(r#"{"id":1,"\u0069d":2}"#, "");
        check(r#"{"in":{},"in":{"id":1}}"#, "");
        check(r#"{"id":[1]}"#, "");
        check(r#"{"items":[1,{}]}"#, "");
        check(r#"{"other":1,"other":2}"#, r#"{"other":<scalar>,"other":<scalar>}⏎<>"#);
    }
}
