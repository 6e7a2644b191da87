//! The walker: one pass over a line that checks all of it by RFC 8259 and notes where the wanted values stand.
//!
//! It never recurses: nesting that leads to wanted values is kept in frames (as deep as the wanted paths, no more), all
//! other nesting in one bit a level. All functions want `PADDING` bytes after the last line, which ends with a line
//! feed. Knows nothing of UTF-8 (checked a block at a time) and of what the values mean.

use crate::codec::ndjson::fault::{Fault, Reason};
use crate::codec::ndjson::number;
use crate::codec::ndjson::string::{self, PADDING, Scanned};
use crate::codec::ndjson::trie::{Node, NodeId, Trie};

/// What was found at a wanted place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Missing,
    /// `null`.
    Null,
    /// `false`.
    False,
    /// `true`.
    True,
    /// A number, by its text.
    Number,
    /// A string, by its text without quotes.
    Text,
    /// An object or array, by its text.
    Json,
}

/// A value at a wanted place, not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw {
    /// Its type.
    pub kind: Kind,
    /// Place of its text: in the bytes, or beyond their length in `Walk::anew`.
    pub start: u32,
    /// Length of its text.
    pub len: u32,
}

impl Raw {
    /// Nothing found.
    pub const MISSING: Raw = Raw { kind: Kind::Missing, start: 0, len: 0 };
}

/// What a walk has found, and the memory that it reuses from line to line.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// The value at each wanted place of the line walked last, by the cells of its trie.
    pub cells: Vec<Raw>,
    /// Strings that had to be written anew because of their escapes, of all lines.
    pub anew: Vec<u8>,
    frames: Vec<Frame>,
    key: Vec<u8>,
}

/// A container around the place that is walked, on the way to a wanted value.
#[derive(Debug, Clone, Copy)]
struct Frame {
    node: NodeId,
    start: u32,
    /// Index of the element that comes next, in an array.
    index: u32,
    /// Its closing bracket.
    close: u8,
}

impl Walk {
    /// Walks the line whose first byte that is no space is at `start`, and returns the place of its line feed.
    pub fn line(&mut self, trie: &Trie, bytes: &[u8], start: usize) -> Result<usize, Fault> {
        self.cells.clear();
        self.cells.resize(trie.cell_count, Raw::MISSING);
        if bytes[start] != b'{' {
            return Err(Fault::new(bytes, start, Reason::NotAnObject));
        }
        let end = skip_space::<false>(bytes, self.object(trie, bytes, start)?);
        if bytes[end] == b'\n' { Ok(end) } else { Err(Fault::new(bytes, end, Reason::Trailing)) }
    }

    /// Walks the object that is a whole event, and returns the place after it.
    fn object(&mut self, trie: &Trie, bytes: &[u8], start: usize) -> Result<usize, Fault> {
        self.frames.clear();
        let mut frame = Frame { node: 0, start: start as u32, index: 0, close: b'}' };
        let mut at = skip_space::<false>(bytes, start + 1);
        let mut opened = true;
        loop {
            // After a value, or after a bracket that has just opened.
            if bytes[at] == frame.close {
                at += 1;
                if let Some(cell) = trie.node(frame.node).cell {
                    self.cells[cell as usize] = raw(Kind::Json, frame.start as usize, at);
                }
                let Some(outer) = self.frames.pop() else { return Ok(at) };
                frame = outer;
                opened = false;
                at = skip_space::<false>(bytes, at);
                continue;
            }
            if !opened {
                if bytes[at] != b',' {
                    let reason = if frame.close == b'}' { Reason::NoCommaOrBrace } else { Reason::NoCommaOrBracket };
                    return Err(Fault::new(bytes, at, reason));
                }
                at = skip_space::<false>(bytes, at + 1);
            }
            let node = trie.node(frame.node);
            let child = if frame.close == b'}' {
                let (child, value) = self.key(node, bytes, at)?;
                at = value;
                child
            } else {
                frame.index += 1;
                node.element(frame.index - 1)
            };
            opened = false;
            at = match child {
                None => skip_value(bytes, at)?,
                Some(child) => match self.wanted(trie, child, bytes, at)? {
                    Some(end) => end,
                    None => {
                        let close = bytes[at] + 2;
                        self.frames.push(std::mem::replace(
                            &mut frame,
                            Frame { node: child, start: at as u32, index: 0, close },
                        ));
                        opened = true;
                        at + 1
                    }
                },
            };
            at = skip_space::<false>(bytes, at);
        }
    }

    /// Reads a key and its colon; returns the member's node, if it is wanted, and the place of the value.
    #[inline(always)]
    fn key(&mut self, node: &Node, bytes: &[u8], at: usize) -> Result<(Option<NodeId>, usize), Fault> {
        let Scanned { end, escaped } = scan_key(bytes, at)?;
        let child =
            if escaped { self.escaped_key(node, &bytes[at + 1..end]) } else { member(node, bytes, at + 1, end) };
        Ok((child, skip_colon::<false>(bytes, end + 1)?))
    }

    #[cold]
    fn escaped_key(&mut self, node: &Node, key: &[u8]) -> Option<NodeId> {
        self.key.clear();
        string::unescape(key, &mut self.key);
        let len = self.key.len();
        self.key.resize(len + 8, 0);
        member(node, &self.key, 0, len)
    }

    /// Notes the value at a wanted place, voiding what an earlier one gave, and returns the place after it; or `None`
    /// for a container in which something is wanted.
    #[inline(always)]
    fn wanted(&mut self, trie: &Trie, child: NodeId, bytes: &[u8], at: usize) -> Result<Option<usize>, Fault> {
        let node = trie.node(child);
        self.cells[node.cells.start as usize..node.cells.end as usize].fill(Raw::MISSING);
        let (found, end) = match bytes[at] {
            b'"' => {
                let Scanned { end, escaped } = string::scan(bytes, at + 1)?;
                let text = if escaped { self.write_anew(bytes, at + 1, end) } else { raw(Kind::Text, at + 1, end) };
                (text, end + 1)
            }
            b'-' | b'0'..=b'9' => {
                let end = number::scan(bytes, at)?;
                (raw(Kind::Number, at, end), end)
            }
            b'{' | b'[' => {
                if if bytes[at] == b'{' { node.wants_members() } else { node.wants_elements() } {
                    return Ok(None);
                }
                let end = skip_container::<false>(bytes, at)?;
                (raw(Kind::Json, at, end), end)
            }
            first => {
                let end = skip_literal(bytes, at)?;
                let kind = match first {
                    b't' => Kind::True,
                    b'f' => Kind::False,
                    _ => Kind::Null,
                };
                (raw(kind, at, end), end)
            }
        };
        if let Some(cell) = node.cell {
            self.cells[cell as usize] = found;
        }
        Ok(Some(end))
    }

    #[cold]
    fn write_anew(&mut self, bytes: &[u8], start: usize, end: usize) -> Raw {
        let anew = bytes.len() + self.anew.len();
        string::unescape(&bytes[start..end], &mut self.anew);
        raw(Kind::Text, anew, bytes.len() + self.anew.len())
    }

    /// The text of a value found by the last walk over `bytes`.
    #[inline]
    pub fn text<'a>(&'a self, bytes: &'a [u8], raw: Raw) -> &'a [u8] {
        let (start, len) = (raw.start as usize, raw.len as usize);
        match start.checked_sub(bytes.len()) {
            None => &bytes[start..start + len],
            Some(start) => &self.anew[start..start + len],
        }
    }
}

/// Checks a whole JSON text (RFC 8259: any value, white space around it, UTF-8).
pub fn validate(text: &[u8]) -> Result<(), Fault> {
    if let Err(error) = simdutf8::compat::from_utf8(text) {
        return Err(Fault { at: error.valid_up_to() as u32, reason: Reason::NotUtf8 });
    }
    let mut bytes = text.to_vec();
    bytes.resize(text.len() + PADDING, 0);
    let ends = |fault: Fault| Fault {
        reason: if fault.at as usize >= text.len() { Reason::Ends } else { fault.reason },
        ..fault
    };
    let start = skip_space::<true>(&bytes, 0);
    let end = match bytes[start] {
        b'{' | b'[' => skip_container::<true>(&bytes, start),
        _ => skip_scalar(&bytes, start),
    };
    let end = skip_space::<true>(&bytes, end.map_err(ends)?);
    if end == text.len() { Ok(()) } else { Err(Fault { at: end as u32, reason: Reason::Trailing }) }
}

#[inline(always)]
fn raw(kind: Kind, start: usize, end: usize) -> Raw {
    Raw { kind, start: start as u32, len: (end - start) as u32 }
}

/// The node of the member whose key is `bytes[start..end]`, with at least eight bytes after `start`.
#[inline(always)]
fn member(node: &Node, bytes: &[u8], start: usize, end: usize) -> Option<NodeId> {
    let len = end - start;
    let head = u64::from_le_bytes(bytes[start..start + 8].try_into().expect("eight bytes"));
    let head = if len < 8 { head & ((1 << (8 * len)) - 1) } else { head };
    node.member(head, &bytes[start..end])
}

/// Passes over white space: a line feed is some only where a text may have lines (`LF`).
#[inline(always)]
pub fn skip_space<const LF: bool>(bytes: &[u8], mut at: usize) -> usize {
    while bytes[at] <= b' ' && (matches!(bytes[at], b' ' | b'\t' | b'\r') || (LF && bytes[at] == b'\n')) {
        at += 1;
    }
    at
}

#[inline(always)]
fn skip_colon<const LF: bool>(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let at = skip_space::<LF>(bytes, at);
    if bytes[at] == b':' { Ok(skip_space::<LF>(bytes, at + 1)) } else { Err(Fault::new(bytes, at, Reason::NoColon)) }
}

#[inline(always)]
fn scan_key(bytes: &[u8], at: usize) -> Result<Scanned, Fault> {
    if bytes[at] == b'"' { string::scan(bytes, at + 1) } else { Err(Fault::new(bytes, at, Reason::NoKey)) }
}

#[inline(always)]
fn skip_value(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes[at] {
        b'{' | b'[' => skip_container::<false>(bytes, at),
        _ => skip_scalar(bytes, at),
    }
}

#[inline(always)]
fn skip_scalar(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes[at] {
        b'"' => string::scan(bytes, at + 1).map(|scanned| scanned.end + 1),
        b'-' | b'0'..=b'9' => number::scan(bytes, at),
        _ => skip_literal(bytes, at),
    }
}

#[inline(always)]
fn skip_literal(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let (rest, len): (&[u8], _) = match bytes[at] {
        b't' => (b"true", 4),
        b'n' => (b"null", 4),
        b'f' => (b"false", 5),
        _ => return Err(Fault::new(bytes, at, Reason::NoValue)),
    };
    if bytes[at..at + len] == *rest { Ok(at + len) } else { Err(Fault::new(bytes, at, Reason::NoLiteral)) }
}

/// Passes over an object or array in which nothing is wanted, however deep.
#[inline(never)]
fn skip_container<const LF: bool>(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut outer = Nesting::default();
    let mut close = bytes[start] + 2;
    let mut opened = true;
    let mut at = skip_space::<LF>(bytes, start + 1);
    loop {
        if bytes[at] == close {
            at += 1;
            let Some(outer_is_object) = outer.pop() else { return Ok(at) };
            close = if outer_is_object { b'}' } else { b']' };
            opened = false;
            at = skip_space::<LF>(bytes, at);
            continue;
        }
        if !opened {
            if bytes[at] != b',' {
                let reason = if close == b'}' { Reason::NoCommaOrBrace } else { Reason::NoCommaOrBracket };
                return Err(Fault::new(bytes, at, reason));
            }
            at = skip_space::<LF>(bytes, at + 1);
        }
        if close == b'}' {
            at = skip_colon::<LF>(bytes, scan_key(bytes, at)?.end + 1)?;
        }
        opened = matches!(bytes[at], b'{' | b'[');
        if opened {
            outer.push(close == b'}');
            close = bytes[at] + 2;
            at += 1;
        } else {
            at = skip_scalar(bytes, at)?;
        }
        at = skip_space::<LF>(bytes, at);
    }
}

/// One bit a level: whether it is an object. The innermost 63 levels are in a word with a one above them.
#[derive(Debug)]
struct Nesting {
    inner: u64,
    outer: Vec<u64>,
}

impl Default for Nesting {
    fn default() -> Nesting {
        Nesting { inner: 1, outer: Vec::new() }
    }
}

impl Nesting {
    #[inline(always)]
    fn push(&mut self, is_object: bool) {
        if self.inner >> 63 == 1 {
            self.outer.push(std::mem::replace(&mut self.inner, 1));
        }
        self.inner = self.inner << 1 | is_object as u64;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<bool> {
        if self.inner == 1 {
            self.inner = self.outer.pop()?;
        }
        let is_object = self.inner & 1 == 1;
        self.inner >>= 1;
        Some(is_object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, expected: Result<(), (u32, Reason)>) {
        let text = text.as_ref();
        assert_eq!(validate(text), expected.map_err(|(at, reason)| Fault { at, reason }), "{}", text.escape_ascii());
    }

    #[test]
    fn accepts() {
        for text in [
            "0",
            " [1,\n2 , {\"a\" : null}]\r\n",
            "{}",
            "[[],[{}]]",
            "\"\"",
            "true",
            "{\"a\":{\"b\":[1e5]},\"c\":\"\\n\"}",
        ] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn refuses_at_the_byte() {
        check("", Err((0, Reason::Ends)));
        check("[1,]", Err((3, Reason::NoValue)));
        check("[,1]", Err((1, Reason::NoValue)));
        check("[1 2]", Err((3, Reason::NoCommaOrBracket)));
        check("{\"a\":1,}", Err((7, Reason::NoKey)));
        check("{,}", Err((1, Reason::NoKey)));
        check("{\"a\" 1}", Err((5, Reason::NoColon)));
        check("{\"a\":1]", Err((6, Reason::NoCommaOrBrace)));
        check("[1}", Err((2, Reason::NoCommaOrBracket)));
        check("[01]", Err((2, Reason::NoCommaOrBracket)));
        check("[nul]", Err((1, Reason::NoLiteral)));
        check("[nan]", Err((1, Reason::NoLiteral)));
        check("[1]x", Err((3, Reason::Trailing)));
        check("[1]\0", Err((3, Reason::Trailing)));
        check("[\"\0\"]", Err((2, Reason::ControlCharacter)));
        check("[\"a", Err((3, Reason::Ends)));
        check("[tru", Err((1, Reason::NoLiteral)));
        check("1.", Err((2, Reason::Ends)));
        check(b"[\"\xff\"]", Err((2, Reason::NotUtf8)));
        check(b"\xef\xbb\xbf{}", Err((0, Reason::NoValue)));
    }

    #[test]
    fn nests_without_end() {
        check("[".repeat(100_000), Err((100_000, Reason::Ends)));
        check("[".repeat(100_000) + &"]".repeat(100_000), Ok(()));
        check("[{\"a\":".repeat(10_000) + "1" + &"}]".repeat(10_000), Ok(()));
        check("[{\"a\":".repeat(10_000) + "1" + &"]}".repeat(10_000), Err((60_001, Reason::NoCommaOrBrace)));
    }

    /// The verdicts of the JSON test suite, where its folder is given.
    #[test]
    fn conforms() {
        let Some(folder) = std::env::var_os("EVKIT_CASES") else {
            eprintln!("skipped: EVKIT_CASES names no folder of conformance cases");
            return;
        };
        let folder = std::path::Path::new(&folder).join("json-parsing");
        let index = std::fs::read_to_string(folder.join("index.ndjson")).expect("the index is readable");
        let mut judged = 0;
        for case in index.lines() {
            let case: serde_json::Value = serde_json::from_str(case).unwrap();
            let file = case["file"].as_str().unwrap();
            if !file.starts_with("test_parsing/") {
                continue;
            }
            let verdict = validate(&std::fs::read(folder.join(file)).expect("a case is readable"));
            match case["expect"].as_str().unwrap() {
                "accept" => assert_eq!(verdict, Ok(()), "{file}"),
                "reject" => assert!(verdict.is_err(), "{file}"),
                _ => {}
            }
            judged += 1;
        }
        assert!(judged > 300, "only {judged} cases in {}", folder.display());
    }
}
