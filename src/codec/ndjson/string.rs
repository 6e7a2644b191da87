//! JSON strings: finding their end, checking and resolving their escapes.
//!
//! Most strings have no escape, so that they are their own text; escapes take a cold path. All functions want bytes
//! with `PADDING` bytes after the last that may belong to a string, the first of which is a control character.
//! Knows nothing of UTF-8, which is checked a block at a time.

use crate::codec::ndjson::fault::{Fault, Reason};

/// Bytes that must follow what is scanned, since scanning looks at several bytes at once.
pub const PADDING: usize = 32;

/// Bytes looked at at once.
const CHUNK: usize = 16;

/// A string that was passed over.
#[derive(Debug, Clone, Copy)]
pub struct Scanned {
    /// Place of its closing quote.
    pub end: usize,
    /// Whether there is a backslash in it.
    pub escaped: bool,
}

/// Passes over the string whose opening quote is just before `start`, and checks it.
#[inline(always)]
pub fn scan(bytes: &[u8], start: usize) -> Result<Scanned, Fault> {
    let end = find_special(bytes, start);
    if bytes[end] == b'"' { Ok(Scanned { end, escaped: false }) } else { scan_escaped(bytes, end) }
}

#[cold]
#[inline(never)]
fn scan_escaped(bytes: &[u8], mut at: usize) -> Result<Scanned, Fault> {
    let mut escaped = false;
    loop {
        match bytes[at] {
            b'"' => return Ok(Scanned { end: at, escaped }),
            b'\\' => {
                at += match bytes[at + 1] {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' => {
                        if let Some(no_digit) = (at + 2..at + 6).find(|&i| !bytes[i].is_ascii_hexdigit()) {
                            return Err(Fault::new(bytes, no_digit, Reason::NoHexDigit));
                        }
                        6
                    }
                    _ => return Err(Fault::new(bytes, at + 1, Reason::NoEscape)),
                };
                escaped = true;
            }
            _ => return Err(Fault::new(bytes, at, Reason::ControlCharacter)),
        }
        at = find_special(bytes, at);
    }
}

/// Appends the text of a string (without its quotes) that `scan` has passed to `out`. A surrogate without its other
/// half, which no UTF-8 can hold, becomes U+FFFD.
#[cold]
#[inline(never)]
pub fn unescape(string: &[u8], out: &mut Vec<u8>) {
    let mut rest = string;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..backslash]);
        let letter = rest[backslash + 1];
        rest = &rest[backslash + 2..];
        out.push(match letter {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, after) = code_point(rest);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
                continue;
            }
            itself => itself,
        });
    }
    out.extend_from_slice(rest);
}

/// The character whose four digits begin `digits`, with its second half if it needs one, and what follows.
fn code_point(digits: &[u8]) -> (char, &[u8]) {
    let unit = |digits: &[u8]| {
        digits.iter().fold(0u32, |unit, digit| {
            unit * 16 + (*digit as char).to_digit(16).expect("scan has found four hexadecimal digits")
        })
    };
    let (first, rest) = (unit(&digits[..4]), &digits[4..]);
    if (0xd800..0xdc00).contains(&first) && rest.starts_with(b"\\u") {
        let second = unit(&rest[2..6]);
        if (0xdc00..0xe000).contains(&second) {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return (char::from_u32(code).expect("two surrogates make a character"), &rest[6..]);
        }
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

/// The next quote, backslash or control character from `at`.
#[inline(always)]
fn find_special(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let chunk: &[u8; CHUNK] = bytes[at..at + CHUNK].try_into().expect("as many bytes as the array");
        let first = first_special(chunk);
        at += first;
        if first < CHUNK {
            return at;
        }
    }
}

/// Place of the first quote, backslash or control character of a chunk, or its length.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_special(chunk: &[u8; CHUNK]) -> usize {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: SSE2 belongs to every x86-64, and the load is of the sixteen bytes of `chunk`.
    let specials = unsafe {
        let chunk = _mm_loadu_si128(chunk.as_ptr().cast::<__m128i>());
        let quotes = _mm_cmpeq_epi8(chunk, _mm_set1_epi8(b'"' as i8));
        let backslashes = _mm_cmpeq_epi8(chunk, _mm_set1_epi8(b'\\' as i8));
        let controls = _mm_cmpeq_epi8(_mm_min_epu8(chunk, _mm_set1_epi8(0x1f)), chunk);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls)) as u32
    };
    (specials | 1 << CHUNK).trailing_zeros() as usize
}

#[cfg(not(target_arch = "x86_64"))]
use first_special_portable as first_special;

/// The same for any machine.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn first_special_portable(chunk: &[u8; CHUNK]) -> usize {
    const ONES: u128 = u128::MAX / 255;
    let word = u128::from_le_bytes(*chunk);
    // The highest bit of each byte below `bound`, exact up to the first of them.
    let below = |word: u128, bound: u8| word.wrapping_sub(ONES * bound as u128) & !word & (ONES << 7);
    let specials = below(word ^ (ONES * b'"' as u128), 1) | below(word ^ (ONES * b'\\' as u128), 1) | below(word, 0x20);
    specials.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Result<&str, (u32, Reason)>) {
        let mut bytes = json.as_bytes().to_vec();
        bytes.push(b'\n');
        bytes.resize(bytes.len() + PADDING, 0);
        let read = scan(&bytes, 1).map(|string| {
            let mut text = Vec::new();
            unescape(&bytes[1..string.end], &mut text);
            assert_eq!(string.escaped, json.contains('\\'), "{json}");
            String::from_utf8(text).unwrap()
        });
        assert_eq!(
            read.as_deref(),
            expected.map_err(|(at, reason)| Fault { at, reason }).as_ref().map(|t| *t),
            "{json}"
        );
    }

    #[test]
    fn resolves_escapes() {
        check(r#""plain and longer than sixteen bytes""#, Ok("plain and longer than sixteen bytes"));
        check(r#""""#, Ok(""));
        check(r#""\"\\\/\b\f\n\r\t""#, Ok("\"\\/\u{8}\u{c}\n\r\t"));
        check(r#""\u0061\u00e9\u20AC\ud83D\ude00 end""#, Ok("aé€😀 end"));
        check(r#""a long beginning, then\u0000""#, Ok("a long beginning, then\0"));
    }

    #[test]
    fn replaces_half_surrogates() {
        check(r#""\ud83d""#, Ok("\u{fffd}"));
        check(r#""\ude00\ud83d""#, Ok("\u{fffd}\u{fffd}"));
        check(r#""\ud83d\ud83d\ude00""#, Ok("\u{fffd}😀"));
        check(r#""\ud83d\u0061""#, Ok("\u{fffd}a"));
        check(r#""\ud83dx""#, Ok("\u{fffd}x"));
    }

    #[test]
    fn refuses() {
        check("\"a\tb\"", Err((2, Reason::ControlCharacter)));
        check("\"a\0b\"", Err((2, Reason::ControlCharacter)));
        check(r#""a\x""#, Err((3, Reason::NoEscape)));
        check(r#""a\u12g4""#, Err((6, Reason::NoHexDigit)));
        check(r#""a"#, Err((2, Reason::Ends)));
        check(r#""a\"#, Err((3, Reason::Ends)));
        check(r#""a\u12"#, Err((6, Reason::Ends)));
        check(r#""sixteen bytes and then some"#, Err((28, Reason::Ends)));
    }

    /// Each byte at each place of a chunk.
    #[test]
    fn finds_the_first_special() {
        for at in 0..40 {
            for byte in 0..=255u8 {
                let mut bytes = [b'x'; 64];
                bytes[at] = byte;
                bytes[45] = b'"';
                bytes[46] = b'\\';
                let expected = if byte < 0x20 || byte == b'"' || byte == b'\\' { at } else { 45 };
                assert_eq!(find_special(&bytes, 0), expected, "byte {byte:#x} at {at}");
                let chunk = bytes[at / CHUNK * CHUNK..][..CHUNK].try_into().unwrap();
                assert_eq!(first_special_portable(chunk), first_special(chunk), "byte {byte:#x} at {at}");
            }
        }
    }
}
