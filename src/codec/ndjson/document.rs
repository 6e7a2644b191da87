//! A line as a flat tree: every value is a slot, in the order of the text, and borrows from the line.
//!
//! For whoever must look at the whole of an event, as a schema does; a query takes columns. Nothing is allocated for a line but
//! texts with escapes. What a repeated key means is decided here as everywhere: the last one counts. Knows nothing of schemas.

use crate::batch::Tag;
use crate::codec::ndjson::fault::{Fault, Reason};
use crate::codec::ndjson::number;
use crate::codec::ndjson::string::{self, Scanned};
use crate::codec::ndjson::walker::skip_space;

/// Objects and arrays within each other: as deep as others read JSON, and no deeper than a recursive schema may follow.
pub const DEPTH_MAX: usize = 128;

/// In objects with fewer members each key is compared with those before it, in others they are sorted.
const MEMBERS_FEW: u32 = 48;

/// The memory of a tree, used again for the next line.
#[derive(Debug, Clone, Default)]
pub struct Document {
    slots: Vec<Slot>,
    /// Keys and texts that had to be written anew.
    anew: Vec<u8>,
    open: Vec<Open>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `false`.
    False,
    /// `true`.
    True,
    /// A number.
    Number,
    /// A text.
    Text,
    /// `[…]`.
    Array,
    /// `{…}`.
    Object,
    /// A member whose key came once more.
    Void,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    kind: Kind,
    key: Place,
    text: Place,
    /// The slot behind this one and all within it.
    next: u32,
    /// Members or elements that count.
    count: u32,
}

/// A piece of the bytes, or of `anew` where `ANEW` is set in its start.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: u32,
    len: u32,
}

/// Blocks are shorter than this.
const ANEW: u32 = 1 << 31;

/// A container whose end has not come.
#[derive(Debug, Clone, Copy)]
struct Open {
    slot: u32,
    /// A bit for each key so far, so that most keys need no comparison to be new.
    keys: u64,
}

/// Why a line is no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It isn't JSON.
    #[error("{}", .0.reason.as_str())]
    Fault(Fault),
    /// It is nested too deeply.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A number that no double is near to.
    #[error("a number beyond a double")]
    BeyondDouble,
}

impl From<Fault> for DocumentError {
    fn from(fault: Fault) -> DocumentError {
        DocumentError::Fault(fault)
    }
}

/// A value of a line.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    document: &'a Document,
    /// From the root's first byte to its last: checked to be UTF-8 once, for all texts in it.
    line: &'a str,
    /// Where the line begins in the bytes.
    from: u32,
    slot: u32,
}

impl Document {
    /// Reads the value that begins at `start`. There are `PADDING` bytes or more behind its line, and less than 2 GiB in all.
    pub fn read<'a>(&'a mut self, bytes: &'a [u8], start: usize) -> Result<Node<'a>, DocumentError> {
        self.slots.clear();
        self.anew.clear();
        self.open.clear();
        let start = skip_space::<false>(bytes, start);
        let end = self.build(bytes, start)?;
        let utf8 = simdutf8::compat::from_utf8(&bytes[start..end]);
        let line = utf8.map_err(|error| Fault::new(bytes, start + error.valid_up_to(), Reason::NotUtf8))?;
        Ok(Node { document: self, line, from: start as u32, slot: 0 })
    }

    /// Makes the slots of the value at `at`; gives the place behind it.
    fn build(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, DocumentError> {
        let mut key = Place::default();
        loop {
            at = match bytes[at] {
                bracket @ (b'{' | b'[') => {
                    if self.open.len() == DEPTH_MAX {
                        return Err(DocumentError::TooDeep);
                    }
                    let kind = if bracket == b'{' { Kind::Object } else { Kind::Array };
                    self.open.push(Open { slot: self.slots.len() as u32, keys: 0 });
                    self.push(kind, key, Place { start: at as u32, len: 0 });
                    let first = skip_space::<false>(bytes, at + 1);
                    if bytes[first] == bracket + 2 {
                        self.close(bytes, first)
                    } else if bracket == b'{' {
                        (key, at) = self.key(bytes, first)?;
                        continue;
                    } else {
                        (key, at) = (Place::default(), first);
                        continue;
                    }
                }
                _ => self.scalar(bytes, at, key)?,
            };
            // Behind a value: its container goes on or ends, and so may those around it.
            loop {
                let Some(open) = self.open.last() else { return Ok(at) };
                let container = &mut self.slots[open.slot as usize];
                container.count += 1;
                let is_object = container.kind == Kind::Object;
                at = skip_space::<false>(bytes, at);
                match bytes[at] {
                    b',' => {
                        at = skip_space::<false>(bytes, at + 1);
                        (key, at) = if is_object { self.key(bytes, at)? } else { (Place::default(), at) };
                        break;
                    }
                    b'}' if is_object => at = self.close(bytes, at),
                    b']' if !is_object => at = self.close(bytes, at),
                    _ if is_object => return Err(Fault::new(bytes, at, Reason::NoCommaOrBrace).into()),
                    _ => return Err(Fault::new(bytes, at, Reason::NoCommaOrBracket).into()),
                }
            }
        }
    }

    #[inline]
    fn push(&mut self, kind: Kind, key: Place, text: Place) {
        self.slots.push(Slot { kind, key, text, next: self.slots.len() as u32 + 1, count: 0 });
    }

    #[inline]
    fn scalar(&mut self, bytes: &[u8], at: usize, key: Place) -> Result<usize, DocumentError> {
        let (kind, text, end) = match bytes[at] {
            b'"' => {
                let scanned = string::scan(bytes, at + 1)?;
                (Kind::Text, self.text(bytes, at + 1, scanned), scanned.end + 1)
            }
            b'-' | b'0'..=b'9' => {
                let end = number::scan(bytes, at)?;
                let is_plain = end - at <= 300 && !bytes[at..end].iter().any(|byte| byte | 0x20 == b'e');
                if !is_plain && number::parse(&bytes[at..end]).is_none() {
                    return Err(DocumentError::BeyondDouble);
                }
                (Kind::Number, Place { start: at as u32, len: (end - at) as u32 }, end)
            }
            first => {
                let (kind, word): (Kind, &[u8]) = match first {
                    b't' => (Kind::True, b"true"),
                    b'f' => (Kind::False, b"false"),
                    b'n' => (Kind::Null, b"null"),
                    _ => return Err(Fault::new(bytes, at, Reason::NoValue).into()),
                };
                if bytes[at..at + word.len()] != *word {
                    return Err(Fault::new(bytes, at, Reason::NoLiteral).into());
                }
                (kind, Place { start: at as u32, len: word.len() as u32 }, at + word.len())
            }
        };
        self.push(kind, key, text);
        Ok(end)
    }

    /// Reads the key at `at`; gives it and the place of its value. An earlier member of that key becomes void.
    #[inline]
    fn key(&mut self, bytes: &[u8], at: usize) -> Result<(Place, usize), DocumentError> {
        if bytes[at] != b'"' {
            return Err(Fault::new(bytes, at, Reason::NoKey).into());
        }
        let scanned = string::scan(bytes, at + 1)?;
        let key = self.text(bytes, at + 1, scanned);
        let colon = skip_space::<false>(bytes, scanned.end + 1);
        if bytes[colon] != b':' {
            return Err(Fault::new(bytes, colon, Reason::NoColon).into());
        }
        let name = self.bytes_of(bytes, key);
        let last = name.last().copied().unwrap_or_default();
        let bit = 1 << ((usize::from(last) * 5 + name.len() * 7 + usize::from(bytes[at + 1])) % 64);
        let open = self.open.last_mut().expect("a key stands in an object");
        let may_repeat = open.keys & bit != 0;
        open.keys |= bit;
        let object = open.slot;
        if may_repeat && self.slots[object as usize].count < MEMBERS_FEW {
            self.void_earlier(bytes, object, key);
        }
        Ok((key, skip_space::<false>(bytes, colon + 1)))
    }

    #[inline]
    fn text(&mut self, bytes: &[u8], start: usize, scanned: Scanned) -> Place {
        if !scanned.escaped {
            return Place { start: start as u32, len: (scanned.end - start) as u32 };
        }
        let anew = self.anew.len();
        string::unescape(&bytes[start..scanned.end], &mut self.anew);
        Place { start: ANEW | anew as u32, len: (self.anew.len() - anew) as u32 }
    }

    #[inline]
    fn bytes_of<'a>(&'a self, bytes: &'a [u8], place: Place) -> &'a [u8] {
        let len = place.len as usize;
        match place.start & ANEW {
            0 => &bytes[place.start as usize..][..len],
            _ => &self.anew[(place.start ^ ANEW) as usize..][..len],
        }
    }

    #[cold]
    fn void_earlier(&mut self, bytes: &[u8], object: u32, key: Place) {
        let mut member = object as usize + 1;
        while member < self.slots.len() {
            let slot = self.slots[member];
            if slot.kind != Kind::Void && self.bytes_of(bytes, slot.key) == self.bytes_of(bytes, key) {
                self.void(object, member);
            }
            member = slot.next as usize;
        }
    }

    fn void(&mut self, object: u32, member: usize) {
        self.slots[member].kind = Kind::Void;
        self.slots[object as usize].count -= 1;
    }

    /// Ends the innermost container with the bracket at `at`; gives the place behind it.
    #[inline]
    fn close(&mut self, bytes: &[u8], at: usize) -> usize {
        let open = self.open.pop().expect("a bracket that closes has one that opens");
        let next = self.slots.len() as u32;
        let slot = &mut self.slots[open.slot as usize];
        slot.next = next;
        slot.text.len = at as u32 + 1 - slot.text.start;
        if slot.kind == Kind::Object && slot.count >= MEMBERS_FEW {
            self.void_repeated(bytes, open.slot);
        }
        at + 1
    }

    /// Voids all members of a big object but the last of each key.
    #[cold]
    fn void_repeated(&mut self, bytes: &[u8], object: u32) {
        let mut members = Vec::new();
        let mut member = object as usize + 1;
        while member < self.slots.len() {
            if self.slots[member].kind != Kind::Void {
                members.push(member);
            }
            member = self.slots[member].next as usize;
        }
        let key = |member: &usize| self.bytes_of(bytes, self.slots[*member].key);
        members.sort_by(|a, b| key(a).cmp(key(b)));
        let repeated: Vec<usize> =
            members.windows(2).filter(|two| key(&two[0]) == key(&two[1])).map(|two| two[0]).collect();
        repeated.into_iter().for_each(|member| self.void(object, member));
    }
}

impl<'a> Node<'a> {
    /// What it is.
    #[inline]
    pub fn kind(self) -> Kind {
        self.own().kind
    }

    /// A text without its quotes, its escapes resolved; anything else as it is written.
    #[inline]
    pub fn text(self) -> &'a str {
        self.str(self.own().text)
    }

    /// The cell of a number; NULL for anything else.
    #[inline]
    pub fn number(self) -> (Tag, u64) {
        let slot = self.own();
        match slot.kind {
            Kind::Number => number::parse(self.bytes(slot.text))
                .expect("numbers beyond a double were refused when the line was read"),
            _ => (Tag::Null, 0),
        }
    }

    /// How many members or elements it has.
    #[inline]
    pub fn len(self) -> usize {
        self.own().count as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The member of that key. `None` where there is none, and where it is no object.
    #[inline]
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        if self.kind() != Kind::Object {
            return None;
        }
        let is_key = |node: &Node<'_>| node.bytes(node.own().key) == key.as_bytes();
        self.children().find(is_key)
    }

    /// Its members or elements, in the order of the text.
    #[inline]
    pub fn children(self) -> Children<'a> {
        Children { next: self.slot + 1, end: self.own().next, of: self }
    }

    /// Its key, if it is a member; else nothing.
    #[inline]
    pub fn key(self) -> &'a str {
        self.str(self.own().key)
    }

    /// What tells it from all other nodes that are there at the same time.
    #[inline]
    pub fn address(self) -> usize {
        std::ptr::from_ref(&self.document.slots[self.slot as usize]) as usize
    }

    #[inline]
    fn own(self) -> Slot {
        self.document.slots[self.slot as usize]
    }

    #[inline]
    fn bytes(self, place: Place) -> &'a [u8] {
        match place.start & ANEW {
            // Keys that are none stand nowhere.
            0 if place.len == 0 => b"",
            0 => &self.line.as_bytes()[(place.start - self.from) as usize..][..place.len as usize],
            _ => &self.document.anew[(place.start ^ ANEW) as usize..][..place.len as usize],
        }
    }

    #[inline]
    fn str(self, place: Place) -> &'a str {
        match place.start & ANEW {
            0 if place.len == 0 => "",
            0 => &self.line[(place.start - self.from) as usize..][..place.len as usize],
            _ => std::str::from_utf8(self.bytes(place)).expect("what was unescaped is UTF-8, as the line is"),
        }
    }
}

/// The members or elements of a node.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    of: Node<'a>,
    next: u32,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    #[inline]
    fn next(&mut self) -> Option<Node<'a>> {
        while self.next < self.end {
            let node = Node { slot: self.next, ..self.of };
            let slot = node.own();
            self.next = slot.next;
            if slot.kind != Kind::Void {
                return Some(node);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::ndjson::PADDING;

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(b'\n');
        bytes.resize(bytes.len() + PADDING, 0);
        bytes
    }

    fn shown(node: Node<'_>) -> String {
        let list = |separator: fn(Node<'_>) -> String| {
            let shown: Vec<String> = node.children().map(|child| separator(child) + &shown(child)).collect();
            assert_eq!(shown.len(), node.len());
            shown.join(",")
        };
        match node.kind() {
            Kind::Object => format!("{{{}}}", list(|child| format!("{}:", child.key()))),
            Kind::Array => format!("[{}]", list(|_| String::new())),
            Kind::Number => {
                let (tag, bits) = node.number();
                if tag == Tag::Float { f64::from_bits(bits).to_string() } else { format!("{}", bits as i64) }
            }
            _ => node.text().to_owned(),
        }
    }

    #[track_caller]
    fn check(line: &str, expected: Result<&str, &str>) {
        let bytes = padded(line);
        let mut document = Document::default();
        let found = document.read(&bytes, 0).map(shown).map_err(|error| error.to_string());
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{line}");
    }

    #[test]
    fn values_stand_in_the_order_of_the_text() {
        check(r#"{"a":1,"b":[true,null,{"c":"x"}],"d":{},"e":[]}"#, Ok("{a:1,b:[true,null,{c:x}],d:{},e:[]}"));
        check(r#" { "a" : -1.5 , "b" : [ 1 , 2 ] } "#, Ok("{a:-1.5,b:[1,2]}"));
        check(r#"{"\u0061\n":"\"é\ud83d"}"#, Ok("{a\n:\"é\u{fffd}}"));
    }

    #[test]
    fn of_a_repeated_key_the_last_counts() {
        check(r#"{"a":{"x":1},"b":2,"a":{"y":3}}"#, Ok("{b:2,a:{y:3}}"));
        check(r#"{"a":1,"\u0061":2,"a":3}"#, Ok("{a:3}"));
        let many: String = (0..200).map(|i| format!("\"k{}\":{i},", i % 100)).collect();
        let expected: Vec<String> = (100..200).map(|i| format!("k{}:{i}", i % 100)).collect();
        check(&format!("{{{}}}", many.trim_end_matches(',')), Ok(&format!("{{{}}}", expected.join(","))));
    }

    #[test]
    fn members_are_found_by_key() {
        let bytes = padded(r#"{"a":{"b":1,"a":2},"c":"x"}"#);
        let mut document = Document::default();
        let root = document.read(&bytes, 0).unwrap();
        assert_eq!(root.get("a").and_then(|a| a.get("a")).map(|a| a.text()), Some("2"));
        assert_eq!(root.get("c").map(|c| c.text()), Some("x"));
        assert!(root.get("b").is_none() && root.get("c").and_then(|c| c.get("x")).is_none());
    }

    #[test]
    fn what_can_be_no_tree_is_refused() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(Document::default().read(&padded(&nested(DEPTH_MAX)), 0).is_ok());
        check(&nested(DEPTH_MAX + 1), Err("nested deeper than 128 levels"));
        check(r#"{"a":1e400}"#, Err("a number beyond a double"));
        check(r#"{"a":[1}"#, Err("neither ',' nor ']' after an element"));
        check(r#"{"a":1"#, Err("the line ends within the event"));
        check(r#"{a:1}"#, Err("no '\"' where a key must begin"));
    }
}
