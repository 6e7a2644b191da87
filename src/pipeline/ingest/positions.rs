//! How far each file was read, in few bytes of text: what is committed with the records that were made of it.
//!
//! A file is known by how it begins, as everywhere (`crate::source::identity`), so it may be renamed, and may grow. The text is
//! `1:` and, in base64, for each file: the hash of its beginning, the length of that, the place of the next line, the lines before it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::source::identity::{Head, Identity};

const VERSION: &str = "1:";

/// Where the next line of an input begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Bytes before it.
    pub byte: u64,
    /// Lines before it.
    pub lines: u64,
}

/// The places in files, those that are read now first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions {
    /// By input.
    files: Vec<(Identity, Position)>,
    /// Files of earlier runs, the newest first.
    others: Vec<(Identity, Position)>,
}

/// Why places can't be kept or taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PositionsError {
    /// Nothing of ours, or damaged.
    #[error("what the cluster keeps of the last run is no list of places in files: '{text}'")]
    Unreadable {
        /// Its beginning.
        text: String,
    },
    /// Two inputs that can't be told apart.
    #[error("'{first}' and '{second}' begin alike, so their places can't be told apart")]
    Alike {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// More files than the cluster keeps places for.
    #[error("places in {files} files take {bytes} bytes, and a cluster keeps {bytes_max} with an offset")]
    TooMany {
        /// How many files there are.
        files: usize,
        /// What they take.
        bytes: usize,
        /// What there is.
        bytes_max: usize,
    },
}

impl Positions {
    /// The places of inputs that begin so: those of `kept`, the text of the last run, where it knows them; else their starts.
    pub fn of(heads: &[(String, Head)], kept: &str) -> Result<Positions, PositionsError> {
        let mut kept = decode(kept)?;
        let mut files: Vec<(Identity, Position)> = Vec::new();
        for (number, (name, head)) in heads.iter().enumerate() {
            let identity = head.identity();
            let is_alike = |(_, other): &&(String, Head)| identity.bytes > 0 && other.identity() == identity;
            if let Some((first, _)) = heads[..number].iter().find(is_alike) {
                return Err(PositionsError::Alike { first: first.clone(), second: name.clone() });
            }
            // Nothing is known of a file by no bytes.
            let known = kept.iter().position(|(known, _)| known.bytes > 0 && head.is_of(*known));
            let position = known.map_or_else(Position::default, |known| kept.remove(known).1);
            files.push((identity, position));
        }
        Ok(Positions { files, others: kept })
    }

    /// Where the next line of an input begins.
    pub fn of_input(&self, input: usize) -> Position {
        self.files[input].1
    }

    /// Moves on in an input; never goes back.
    pub fn reach(&mut self, input: usize, position: Position) {
        let own = &mut self.files[input].1;
        if position.byte > own.byte {
            *own = position;
        }
    }

    /// The text, of at most `bytes_max` bytes: files of earlier runs are forgotten where there is no room.
    pub fn encode(&self, bytes_max: usize) -> Result<String, PositionsError> {
        let room = (bytes_max - VERSION.len()) / 4 * 3;
        let mut bytes = Vec::new();
        let begun = |file: &&(Identity, Position)| file.0.bytes > 0 && file.1.byte > 0;
        for file in self.files.iter().filter(begun) {
            push(file, &mut bytes);
        }
        if bytes.len() > room {
            let bytes = VERSION.len() + bytes.len().div_ceil(3) * 4;
            return Err(PositionsError::TooMany { files: self.files.len(), bytes, bytes_max });
        }
        for other in &self.others {
            let before = bytes.len();
            push(other, &mut bytes);
            if bytes.len() > room {
                bytes.truncate(before);
                break;
            }
        }
        Ok(format!("{VERSION}{}", STANDARD_NO_PAD.encode(bytes)))
    }

    /// Whether the places of all files will fit, however far they are read.
    pub fn check_room(&self, bytes_max: usize) -> Result<(), PositionsError> {
        let furthest = Position { byte: u64::MAX >> 14, lines: u64::MAX >> 21 };
        let files =
            self.files.iter().map(|(identity, _)| (Identity { bytes: identity.bytes.max(1), ..*identity }, furthest));
        Positions { files: files.collect(), others: Vec::new() }.encode(bytes_max).map(|_| ())
    }
}

fn push((identity, position): &(Identity, Position), out: &mut Vec<u8>) {
    out.extend_from_slice(&identity.hash.to_le_bytes());
    for mut number in [identity.bytes, position.byte, position.lines] {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
}

fn decode(text: &str) -> Result<Vec<(Identity, Position)>, PositionsError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let unreadable = || PositionsError::Unreadable { text: text.chars().take(40).collect() };
    let bytes = text.strip_prefix(VERSION).and_then(|text| STANDARD_NO_PAD.decode(text).ok()).ok_or_else(unreadable)?;
    let mut rest = &bytes[..];
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (hash, behind) = rest.split_first_chunk::<8>().ok_or_else(unreadable)?;
        rest = behind;
        let mut numbers = [0; 3];
        for number in &mut numbers {
            *number = take_number(&mut rest).ok_or_else(unreadable)?;
        }
        let [length, byte, lines] = numbers;
        files.push((Identity { bytes: length, hash: u64::from_le_bytes(*hash) }, Position { byte, lines }));
    }
    Ok(files)
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::address::Address;
    use crate::source::input::{Compression, Input, InputFormat};

    const BYTES_MAX: usize = 4096;

    fn head(text: &str) -> Head {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, text).unwrap();
        let input = Input { address: Address::Path(path), format: InputFormat::Ndjson, compression: Compression::None };
        Head::of(&input).unwrap().unwrap()
    }

    fn heads(texts: &[&str]) -> Vec<(String, Head)> {
        texts.iter().map(|text| ((*text).to_owned(), head(text))).collect()
    }

    fn at(byte: u64, lines: u64) -> Position {
        Position { byte, lines }
    }

    #[test]
    fn files_are_found_again_in_any_order_and_when_they_have_grown() {
        let mut first = Positions::of(&heads(&["one", "two", ""]), "").unwrap();
        first.reach(0, at(300, 3));
        first.reach(1, at(1 << 40, 1 << 33));
        first.reach(1, at(7, 1));
        first.reach(2, at(9, 9));
        let text = first.encode(BYTES_MAX).unwrap();
        let second = Positions::of(&heads(&["two and more", "three", "one"]), &text).unwrap();
        assert_eq!([0, 1, 2].map(|i| second.of_input(i)), [at(1 << 40, 1 << 33), at(0, 0), at(300, 3)]);
        assert!(second.others.is_empty());
        let third = Positions::of(&heads(&["three"]), &text).unwrap();
        assert_eq!(third.others.len(), 2, "files of earlier runs are remembered");
        let fourth = Positions::of(&heads(&["one"]), &third.encode(BYTES_MAX).unwrap()).unwrap();
        assert_eq!(fourth.of_input(0), at(300, 3));
    }

    #[test]
    fn what_does_not_fit_is_forgotten_or_refused() {
        let names: Vec<String> = (0..300).map(|i| format!("file {i}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let few = Positions::of(&heads(&all[..100]), "").unwrap();
        assert_eq!(few.check_room(BYTES_MAX), Ok(()));
        let many = Positions::of(&heads(&all), "").unwrap();
        assert!(matches!(many.check_room(BYTES_MAX), Err(PositionsError::TooMany { files: 300, .. })));
        let mut full = Positions { files: Vec::new(), others: many.files };
        full.others.iter_mut().for_each(|other| other.1 = at(1, 1));
        let text = full.encode(BYTES_MAX).unwrap();
        assert!(text.len() <= BYTES_MAX && text.len() > BYTES_MAX - 30, "{}", text.len());
    }

    #[test]
    fn what_cannot_be_told_apart_or_read_is_refused() {
        let alike = Positions::of(&heads(&["same", "same"]), "");
        assert!(matches!(alike, Err(PositionsError::Alike { .. })));
        assert!(Positions::of(&heads(&["", ""]), "").is_ok());
        for text in ["x", "2:AAAA", "1:%", "1:AAAA", "1:AAAAAAAAAAD/"] {
            assert!(matches!(Positions::of(&[], text), Err(PositionsError::Unreadable { .. })), "{text}");
        }
    }
}
