//! Learnt gaps: the quick way through lines whose shape has been seen before.
//!
//! Events of one source have few shapes. What stands between two scalar values (a *gap*: brackets, keys, colons, commas,
//! spaces, as in `","user_id":"`) is the same in all lines of a shape. The gaps of lines that the walker has accepted are
//! kept as a tree, and the next line is walked along it: one comparison a value takes the place of key search and grammar.
//!
//! That is an exact check and no guess. A place in the tree stands for all gaps from the start of the line on. A line that
//! comes to an end of the tree has, byte by byte, the gaps of a line that was accepted, and between them scalar values of
//! which each was checked. RFC 8259 judges a text by its tokens: another text, number or literal in the place of one makes
//! no difference to it. So the line is as good as the one that was learnt, and its values are those of the same paths.
//! (UTF-8, which goes by bytes, is checked elsewhere for both ways.)
//!
//! Where nothing fits the answer is "don't know", never "bad": the walker judges. Knows nothing of paths and of time.

use crate::batch::{Tag, slot};
use crate::codec::ndjson::cells::Cells;
use crate::codec::ndjson::number;
use crate::codec::ndjson::scan::Marks;
use crate::codec::ndjson::shape::{After, Step};
use crate::codec::ndjson::string::{self, PADDING};
use crate::codec::ndjson::walker::{Kind, Raw};

/// Bytes that are compared at once; a longer gap is kept in pieces.
const PIECE: usize = 32;

/// Pieces kept at most: some hundred shapes, which stay in the processor's second cache.
const PIECES_MAX: usize = 4096;

/// Pieces that may stand in each other's place at most, since they are tried one by one: objects whose keys are values, such as
/// ids, are not to be learnt.
const SIBLINGS_MAX: usize = 16;

/// The tree of all gaps learnt. Empty at first.
#[derive(Debug, Clone)]
pub struct Gaps {
    pieces: Vec<Piece>,
    /// The first of the pieces with which a line may begin, or `NONE`.
    first: u32,
}

/// A gap or a part of one, and with it a place in the tree: all gaps before it are known.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Piece {
    bytes: [u64; PIECE / 8],
    /// All ones where `bytes` count.
    mask: [u64; PIECE / 8],
    len: u32,
    then: Then,
    /// The cell of the value that follows, or `NONE`.
    cell: u32,
    /// The first of the pieces that may follow, or `NONE`.
    next: u32,
    /// Another piece that may stand in the place of this one, or `NONE`.
    other: u32,
}

const NONE: u32 = u32::MAX;

/// What stands after a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// More of the same gap.
    Piece,
    /// What stands after the gap.
    Gap(After),
}

/// A block to walk through, with its marks.
#[derive(Debug, Clone, Copy)]
pub struct Marked<'a> {
    /// Its bytes with their padding.
    pub bytes: &'a [u8],
    /// The marks of these bytes.
    pub marks: &'a Marks,
}

/// A line that was walked to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walked {
    /// Place of its line feed.
    pub end: usize,
    /// The value in the cell that was asked for, unread.
    pub raw: Raw,
}

impl Default for Gaps {
    fn default() -> Gaps {
        Gaps { pieces: Vec::new(), first: NONE }
    }
}

impl Gaps {
    /// Whether nothing was learnt.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Gaps::default();
    }

    /// Walks the line at `start`, puts its values into the open row of `cells`, and gives the one of `raw_cell` as it is
    /// written. `None` where the line's gaps are not known, or when a value must be looked at closer; some cells may have
    /// been put then. Texts with escapes are written anew to `anew`, which is thought of as standing behind the block.
    #[inline(always)]
    pub fn walk(
        &self,
        block: Marked<'_>,
        start: usize,
        raw_cell: u32,
        cells: &mut Cells,
        anew: &mut Vec<u8>,
    ) -> Option<Walked> {
        let bytes = block.bytes;
        let mut found = Raw::MISSING;
        let mut piece = self.pieces.get(self.first as usize)?;
        let mut at = start;
        loop {
            while !piece.stands_at(bytes, at) {
                piece = self.pieces.get(piece.other as usize)?;
            }
            at += piece.len as usize;
            match piece.then {
                Then::Piece => {}
                Then::Gap(After::Text) => {
                    let mut end = block.marks.next(at);
                    let mut text = Raw { kind: Kind::Text, start: at as u32, len: (end - at) as u32 };
                    if bytes[end] != b'"' {
                        (end, text) = escaped(bytes, at, piece.cell != NONE, anew)?;
                    }
                    if piece.cell != NONE {
                        cells.put(piece.cell, Tag::Text, slot(text.start as usize, text.len as usize));
                        if piece.cell == raw_cell {
                            found = text;
                        }
                    }
                    at = end;
                }
                Then::Gap(After::Scalar) => {
                    let scalar = match piece.cell {
                        NONE => pass_scalar(bytes, at).map(|end| (end, Kind::Missing, Tag::Null, 0)),
                        _ => read_scalar(bytes, at),
                    };
                    let Some((end, kind, tag, bits)) = scalar else {
                        // Perhaps a longer gap begins with the same bytes.
                        at -= piece.len as usize;
                        piece = self.pieces.get(piece.other as usize)?;
                        continue;
                    };
                    if piece.cell != NONE {
                        cells.put(piece.cell, tag, bits);
                        if piece.cell == raw_cell {
                            found = Raw { kind, start: at as u32, len: (end - at) as u32 };
                        }
                    }
                    at = end;
                }
                Then::Gap(After::End) => return Some(Walked { end: at - 1, raw: found }),
            }
            piece = self.pieces.get(piece.next as usize)?;
        }
    }

    /// Learns the gaps of a line that the walker has accepted, as far as there is room for them. Whether there was room in the
    /// whole.
    pub fn learn(&mut self, bytes: &[u8], steps: &[Step]) -> bool {
        if self.pieces.len() + steps.iter().map(|step| step.gap.len().div_ceil(PIECE - 1)).sum::<usize>() > PIECES_MAX {
            return false;
        }
        let mut before = None;
        for step in steps {
            let mut gap = &bytes[step.gap.clone()];
            while gap.len() > PIECE {
                // Shorter than a whole gap of the same bytes can be, so that it is tried after it.
                let (piece, rest) = gap.split_at(PIECE - 1);
                let Some(number) = self.after(before, piece, Then::Piece, NONE) else { return true };
                (before, gap) = (Some(number), rest);
            }
            let Some(number) = self.after(before, gap, Then::Gap(step.after), step.cell.unwrap_or(NONE)) else {
                return true;
            };
            before = Some(number);
        }
        true
    }

    /// The number of the piece that follows the piece `before`, or that is the line's first; made if there is none.
    /// `None` where too many others may stand in its place.
    ///
    /// Of two pieces that both fit, as `,"a":` and `,"a":"` do before a text, the longer must be tried first.
    fn after(&mut self, before: Option<u32>, bytes: &[u8], then: Then, cell: u32) -> Option<u32> {
        let new = Piece::new(bytes, then, cell);
        let first = before.map_or(self.first, |before| self.pieces[before as usize].next);
        let siblings = || {
            let piece = |number: u32| self.pieces.get(number as usize).map(|piece| (number, piece));
            std::iter::successors(piece(first), move |(_, sibling)| piece(sibling.other))
        };
        let is_same = |piece: &Piece| (piece.bytes, piece.len, piece.then) == (new.bytes, new.len, new.then);
        if let Some((same, _)) = siblings().find(|(_, sibling)| is_same(sibling)) {
            return Some(same);
        }
        if siblings().count() >= SIBLINGS_MAX {
            return None;
        }
        let last = siblings().take_while(|(_, sibling)| !sibling.comes_after(&new)).last().map(|(number, _)| number);
        let at = last.map_or(first, |last| self.pieces[last as usize].other);
        let number = self.pieces.len() as u32;
        self.pieces.push(Piece { other: at, ..new });
        *match (last, before) {
            (Some(last), _) => &mut self.pieces[last as usize].other,
            (None, Some(before)) => &mut self.pieces[before as usize].next,
            (None, None) => &mut self.first,
        } = number;
        Some(number)
    }
}

impl Piece {
    fn new(bytes: &[u8], then: Then, cell: u32) -> Piece {
        let (mut text, mut mask) = ([0; PIECE], [0; PIECE]);
        text[..bytes.len()].copy_from_slice(bytes);
        mask[..bytes.len()].fill(0xff);
        let words = |bytes: &[u8; PIECE]| [0, 1, 2, 3].map(|i| word(bytes, i));
        Piece { bytes: words(&text), mask: words(&mask), len: bytes.len() as u32, then, cell, next: NONE, other: NONE }
    }

    /// Whether this piece is to be tried after `other`, with which it begins. Of two that are equal, the one that ends a gap
    /// comes first: what follows it is checked at once.
    fn comes_after(&self, other: &Piece) -> bool {
        let differ = |i: usize| (other.bytes[i] ^ self.bytes[i]) & self.mask[i];
        let is_longer = other.len > self.len || (other.len == self.len && other.then != Then::Piece);
        is_longer && (0..PIECE / 8).all(|i| differ(i) == 0)
    }

    /// Whether the bytes of this piece stand at `at`.
    #[inline(always)]
    fn stands_at(&self, bytes: &[u8], at: usize) -> bool {
        const { assert!(PIECE <= PADDING, "a piece may be compared with what is behind the last line feed") };
        let found: &[u8; PIECE] = bytes[at..at + PIECE].try_into().expect("as many bytes as the array");
        let differ = |i: usize| (word(found, i) ^ self.bytes[i]) & self.mask[i];
        differ(0) | differ(1) | differ(2) | differ(3) == 0
    }
}

#[inline(always)]
fn word(bytes: &[u8; PIECE], i: usize) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    u64::from_le_bytes(words[i])
}

/// Passes over the text at `start` in which something other than its quote was found first: the place of its quote, and
/// the text without escapes if it is `wanted`.
#[cold]
#[inline(never)]
fn escaped(bytes: &[u8], start: usize, wanted: bool, anew: &mut Vec<u8>) -> Option<(usize, Raw)> {
    let end = string::scan(bytes, start).ok()?.end;
    let from = anew.len();
    if wanted {
        string::unescape(&bytes[start..end], anew);
    }
    Some((end, Raw { kind: Kind::Text, start: (bytes.len() + from) as u32, len: (anew.len() - from) as u32 }))
}

/// Passes over the number or literal at `at`.
#[inline(always)]
fn pass_scalar(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes[at] {
        b'-' | b'0'..=b'9' => number::scan(bytes, at).ok(),
        _ => literal(bytes, at).map(|(end, ..)| end),
    }
}

/// Reads the number or literal at `at`.
#[inline(always)]
fn read_scalar(bytes: &[u8], at: usize) -> Option<(usize, Kind, Tag, u64)> {
    match bytes[at] {
        b'-' | b'0'..=b'9' => {
            let end = number::scan(bytes, at).ok()?;
            let (tag, bits) = number::parse(&bytes[at..end])?;
            Some((end, Kind::Number, tag, bits))
        }
        _ => literal(bytes, at),
    }
}

#[inline(always)]
fn literal(bytes: &[u8], at: usize) -> Option<(usize, Kind, Tag, u64)> {
    match &bytes[at..at + 5] {
        [b't', b'r', b'u', b'e', _] => Some((at + 4, Kind::True, Tag::True, 1)),
        [b'n', b'u', b'l', b'l', _] => Some((at + 4, Kind::Null, Tag::Null, 0)),
        b"false" => Some((at + 5, Kind::False, Tag::False, 0)),
        _ => None,
    }
}
