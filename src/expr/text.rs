//! Functions of text. Parts of a text share its bytes; only what is new is appended to the batch's text.
//!
//! Positions and lengths count characters, from 1. Every function gives `None` for a wrong type or a result that is
//! too long.

use crate::batch::Tag;
use crate::expr::cells::{Cell, TEXT_BYTES_MAX};
use crate::time::Timestamp;
use std::io::Write;

/// The texts of all that aren't NULL, one after the other. Any scalar has a text: its JSON without quotes.
pub fn concat(cells: &[Cell], text: &mut Vec<u8>) -> Option<Cell> {
    if let [cell] = cells
        && cell.tag == Tag::Text
    {
        return Some(*cell);
    }
    let start = text.len();
    for cell in cells {
        match cell.tag {
            Tag::Null => {}
            Tag::False => text.extend_from_slice(b"false"),
            Tag::True => text.extend_from_slice(b"true"),
            Tag::Int => text.extend_from_slice(itoa::Buffer::new().format(cell.bits as i64).as_bytes()),
            Tag::UInt => text.extend_from_slice(itoa::Buffer::new().format(cell.bits).as_bytes()),
            Tag::Float => {
                let x = f64::from_bits(cell.bits);
                text.extend_from_slice(zmij::Buffer::new().format_finite(x).as_bytes());
            }
            Tag::Text | Tag::Json => {
                let (from, len) = ((cell.bits >> 32) as usize, (cell.bits & 0xffff_ffff) as usize);
                text.extend_from_within(from..from + len);
            }
            Tag::Time => write!(text, "{}", Timestamp(cell.bits as i64)).expect("writing to a vector can't fail"),
        }
    }
    appended(start, text)
}

/// What was appended since `start`, if it isn't too long; else it is taken back.
fn appended(start: usize, text: &mut Vec<u8>) -> Option<Cell> {
    let len = text.len() - start;
    if len > TEXT_BYTES_MAX || text.len() > u32::MAX as usize {
        text.truncate(start);
        return None;
    }
    Some(Cell::text(start, len))
}

/// In lower case, by Unicode's rules.
pub fn lower(operand: Cell, text: &mut Vec<u8>) -> Option<Cell> {
    change_case(operand, text, <[u8]>::make_ascii_lowercase, str::to_lowercase)
}

/// In upper case, by Unicode's rules.
pub fn upper(operand: Cell, text: &mut Vec<u8>) -> Option<Cell> {
    change_case(operand, text, <[u8]>::make_ascii_uppercase, str::to_uppercase)
}

fn change_case(operand: Cell, text: &mut Vec<u8>, ascii: fn(&mut [u8]), unicode: fn(&str) -> String) -> Option<Cell> {
    let (from, len) = operand.text_place()?;
    let start = text.len();
    if text[from..from + len].is_ascii() {
        text.extend_from_within(from..from + len);
        ascii(&mut text[start..]);
    } else {
        let changed = unicode(operand.str(text)?);
        text.extend_from_slice(changed.as_bytes());
    }
    appended(start, text)
}

/// Number of characters.
pub fn length(operand: Cell, text: &[u8]) -> Option<Cell> {
    Cell::int(operand.str(text)?.chars().count() as i128)
}

/// Without the characters of `set` at the start and the end.
pub fn trim(operand: Cell, set: Cell, at_start: bool, at_end: bool, text: &[u8]) -> Option<Cell> {
    let (whole, set) = (operand.str(text)?, set.str(text)?);
    let part = if at_start { whole.trim_start_matches(|c| set.contains(c)) } else { whole };
    let skipped = whole.len() - part.len();
    let part = if at_end { part.trim_end_matches(|c| set.contains(c)) } else { part };
    Some(part_of(operand, skipped, part.len()))
}

/// `length` characters from `start`; what is outside of the text is empty. A negative length has no value.
pub fn substring(operand: Cell, start: Cell, length: Option<Cell>, text: &[u8]) -> Option<Cell> {
    let whole = operand.str(text)?;
    let start = start.integer()?;
    let end = match length {
        Some(length) => {
            let length = length.integer()?;
            if length < 0 {
                return None;
            }
            start + length
        }
        None => i128::MAX,
    };
    let first = byte_of(whole, start.max(1));
    let last = byte_of(whole, end.max(1)).max(first);
    Some(part_of(operand, first, last - first))
}

/// The byte where character `position` (from 1) begins; the end of the text when it has fewer.
fn byte_of(whole: &str, position: i128) -> usize {
    let Ok(skip) = usize::try_from(position - 1) else { return whole.len() };
    whole.char_indices().nth(skip).map_or(whole.len(), |(byte, _)| byte)
}

/// `len` bytes of a text from byte `skipped` on.
fn part_of(operand: Cell, skipped: usize, len: usize) -> Cell {
    Cell::text((operand.bits >> 32) as usize + skipped, len)
}

/// Whether the text begins with the other.
pub fn starts_with(operand: Cell, prefix: Cell, text: &[u8]) -> Option<Cell> {
    Some(Cell::boolean(operand.bytes(text)?.starts_with(prefix.bytes(text)?)))
}

/// Every `from` replaced by `to`; an empty `from` is found nowhere.
pub fn replace(operand: Cell, from: Cell, to: Cell, text: &mut Vec<u8>) -> Option<Cell> {
    let (whole, sought, instead) = (operand.bytes(text)?, from.bytes(text)?, to.bytes(text)?);
    if sought.is_empty() {
        return Some(operand);
    }
    let mut result = Vec::new();
    let mut copied = 0;
    for at in memchr::memmem::find_iter(whole, sought) {
        result.extend_from_slice(&whole[copied..at]);
        result.extend_from_slice(instead);
        copied = at + sought.len();
        if result.len() > TEXT_BYTES_MAX {
            return None;
        }
    }
    if copied == 0 {
        return Some(operand);
    }
    result.extend_from_slice(&whole[copied..]);
    Cell::new_text(&result, text)
}

/// The position of `part`, from 1; 0 when there is none.
pub fn position(operand: Cell, part: Cell, text: &[u8]) -> Option<Cell> {
    let (whole, part) = (operand.str(text)?, part.str(text)?);
    let characters =
        memchr::memmem::find(whole.as_bytes(), part.as_bytes()).map_or(0, |byte| whole[..byte].chars().count() + 1);
    Cell::int(characters as i128)
}

/// Part number `number` between separators, from 1, from the end where negative; empty when there are fewer. 0 has no
/// value. An empty separator is found nowhere.
pub fn split_part(operand: Cell, separator: Cell, number: Cell, text: &[u8]) -> Option<Cell> {
    let (whole, separator, number) = (operand.str(text)?, separator.str(text)?, number.integer()?);
    let nth = usize::try_from(number.unsigned_abs().checked_sub(1)?).unwrap_or(usize::MAX);
    let part = if separator.is_empty() {
        (nth == 0).then_some(whole)
    } else if number > 0 {
        whole.split(separator).nth(nth)
    } else {
        whole.rsplit(separator).nth(nth)
    };
    let part = part.unwrap_or(&whole[..0]);
    Some(part_of(operand, part.as_ptr() as usize - whole.as_ptr() as usize, part.len()))
}
