//! The set of distinct values behind `count(DISTINCT x)`, exact and small.
//!
//! Sets are kept by type: numbers, truth values and times as 64-bit words in a sorted vector, from 33 on in a hash table;
//! texts end to end in one run of bytes, from nine on with a hash table of their places. A number is the same in all its
//! forms (1 = 1.0), but 1 is not "1". Knows nothing of columns.

use crate::aggregate::Error;
use crate::aggregate::cell::Cell;
use crate::aggregate::encoding::{Reader, put_bytes, put_varint};
use crate::aggregate::key::{Key, Kind, hash_bytes, hash_word};
use hashbrown::HashTable;

/// A set of values of any type.
#[derive(Debug, Clone, Default)]
pub struct DistinctSet {
    /// By kind; nearly always one. A kind may come twice where its texts outgrew a set.
    sets: Vec<(Kind, Members)>,
}

#[derive(Debug, Clone)]
enum Members {
    Words(Words),
    Texts(Texts),
}

impl DistinctSet {
    /// Takes in a value.
    #[inline]
    pub fn add(&mut self, cell: Cell<'_>) {
        match Key::of(cell) {
            Key::Word(kind, word) => self.words(kind).insert(word),
            Key::Bytes(kind, bytes) => self.insert_bytes(kind, bytes),
        }
    }

    /// Takes in all that `other` has.
    pub fn merge(&mut self, other: &DistinctSet) {
        for (kind, members) in &other.sets {
            match members {
                Members::Words(words) => {
                    let own = self.words(*kind);
                    words.for_each(|word| own.insert(word));
                }
                Members::Texts(texts) => texts.iter().for_each(|bytes| self.insert_bytes(*kind, bytes)),
            }
        }
    }

    /// How many distinct values there are.
    pub fn count(&self) -> u64 {
        let counts = self.sets.iter().map(|(_, members)| match members {
            Members::Words(words) => words.len(),
            Members::Texts(texts) => texts.count,
        });
        counts.sum::<usize>() as u64
    }

    /// Appends the set to a partial: by kind, sorted; words as steps from one to the next.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for kind in Kind::ALL {
            let mut words = Vec::new();
            let mut texts = Vec::new();
            for (_, members) in self.sets.iter().filter(|(own, _)| *own == kind) {
                match members {
                    Members::Words(own) => own.for_each(|word| words.push(word)),
                    Members::Texts(own) => texts.extend(own.iter()),
                }
            }
            if kind.is_text() {
                texts.sort_unstable();
                put_varint(out, texts.len() as u64);
                texts.into_iter().for_each(|bytes| put_bytes(out, bytes));
            } else {
                words.sort_unstable();
                put_varint(out, words.len() as u64);
                let mut before = 0;
                for word in words {
                    put_varint(out, word - before);
                    before = word;
                }
            }
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<DistinctSet, Error> {
        let mut set = DistinctSet::default();
        for kind in Kind::ALL {
            let count = reader.count()?;
            let mut before: Option<u64> = None;
            let mut text_before: Option<&[u8]> = None;
            for _ in 0..count {
                if kind.is_text() {
                    let bytes = reader.bytes()?;
                    if text_before.is_some_and(|before| before >= bytes) || simdutf8::basic::from_utf8(bytes).is_err() {
                        return Err(Error::Malformed("texts are out of order or not UTF-8"));
                    }
                    text_before = Some(bytes);
                    set.insert_bytes(kind, bytes);
                } else {
                    let step = reader.varint()?;
                    let word = before
                        .unwrap_or(0)
                        .checked_add(step)
                        .filter(|word| (before.is_none() || step > 0) && kind.allows(*word));
                    let word = word.ok_or(Error::Malformed("distinct values are out of order or range"))?;
                    before = Some(word);
                    set.words(kind).insert(word);
                }
            }
        }
        Ok(set)
    }

    #[inline]
    fn words(&mut self, kind: Kind) -> &mut Words {
        let place = match self.sets.iter().position(|(own, _)| *own == kind) {
            Some(place) => place,
            None => {
                self.sets.push((kind, Members::Words(Words::Few(Vec::new()))));
                self.sets.len() - 1
            }
        };
        match &mut self.sets[place].1 {
            Members::Words(words) => words,
            Members::Texts(_) => unreachable!("{kind:?} are words"),
        }
    }

    #[inline]
    fn insert_bytes(&mut self, kind: Kind, bytes: &[u8]) {
        let hash = hash_bytes(kind, bytes);
        for (own, members) in &mut self.sets {
            if let (true, Members::Texts(texts)) = (*own == kind, members) {
                if texts.contains(hash, bytes) {
                    return;
                }
                if texts.has_room(bytes) {
                    return texts.insert_new(kind, hash, bytes);
                }
            }
        }
        let mut texts = Texts::default();
        texts.insert_new(kind, hash, bytes);
        self.sets.push((kind, Members::Texts(texts)));
    }
}

/// Up to this many words a sorted vector is smaller and as fast as a hash table.
const WORDS_FEW_MAX: usize = 32;

#[derive(Debug, Clone)]
enum Words {
    /// Sorted.
    Few(Vec<u64>),
    Many(HashTable<u64>),
}

impl Words {
    #[inline]
    fn insert(&mut self, word: u64) {
        match self {
            Words::Few(words) => {
                let Err(place) = words.binary_search(&word) else { return };
                if words.len() < WORDS_FEW_MAX {
                    return words.insert(place, word);
                }
                let mut table = HashTable::with_capacity(2 * WORDS_FEW_MAX);
                for word in words.iter().chain([&word]) {
                    table.insert_unique(hash_word(Kind::Int, *word), *word, |word| hash_word(Kind::Int, *word));
                }
                *self = Words::Many(table);
            }
            Words::Many(table) => {
                table
                    .entry(hash_word(Kind::Int, word), |own| *own == word, |own| hash_word(Kind::Int, *own))
                    .or_insert(word);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Words::Few(words) => words.len(),
            Words::Many(table) => table.len(),
        }
    }

    fn for_each(&self, f: impl FnMut(u64)) {
        match self {
            Words::Few(words) => words.iter().copied().for_each(f),
            Words::Many(table) => table.iter().copied().for_each(f),
        }
    }
}

/// Up to this many texts are looked through one by one.
const TEXTS_FEW_MAX: usize = 8;

/// Texts end to end, each after its length as a varint.
#[derive(Debug, Clone, Default)]
struct Texts {
    bytes: Vec<u8>,
    count: usize,
    /// Places in `bytes`; empty while the texts are few.
    places: HashTable<u32>,
}

impl Texts {
    #[inline]
    fn contains(&self, hash: u64, bytes: &[u8]) -> bool {
        if self.places.is_empty() {
            return self.iter().any(|own| own == bytes);
        }
        self.places.find(hash, |place| text_at(&self.bytes, *place as usize).0 == bytes).is_some()
    }

    fn has_room(&self, bytes: &[u8]) -> bool {
        self.bytes.len() + bytes.len() < (u32::MAX - 16) as usize
    }

    fn insert_new(&mut self, kind: Kind, hash: u64, bytes: &[u8]) {
        let place = self.bytes.len() as u32;
        put_bytes(&mut self.bytes, bytes);
        self.count += 1;
        let text = &self.bytes;
        let rehash = |place: &u32| hash_bytes(kind, text_at(text, *place as usize).0);
        if !self.places.is_empty() {
            self.places.insert_unique(hash, place, rehash);
        } else if self.count > TEXTS_FEW_MAX {
            let mut next = 0;
            while next < text.len() {
                let place = next as u32;
                self.places.insert_unique(rehash(&place), place, rehash);
                next = text_at(text, next).1;
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let (text, after) = (next < self.bytes.len()).then(|| text_at(&self.bytes, next))?;
            next = after;
            Some(text)
        })
    }
}

/// The text whose length stands at `place`, and the place after it.
#[inline]
fn text_at(bytes: &[u8], place: usize) -> (&[u8], usize) {
    let mut start = place;
    let mut length = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[start];
        start += 1;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    (&bytes[start..start + length], start + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::Random;
    use std::collections::BTreeSet;

    fn bytes(set: &DistinctSet) -> Vec<u8> {
        let mut bytes = Vec::new();
        set.encode(&mut bytes);
        bytes
    }

    #[test]
    fn sets_count_and_merge_as_a_plain_set_does() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (range, rows) = (1 + random.below(200), random.below(400));
            let mut parts = vec![DistinctSet::default(); 3];
            let mut whole = DistinctSet::default();
            let mut expected = BTreeSet::new();
            for _ in 0..rows {
                let number = random.below(range);
                let text = "long ".repeat(number as usize % 60) + &number.to_string();
                let (cell, name) = match random.below(4) {
                    0 => (Cell::Int(number as i64), format!("number {number}")),
                    1 => (Cell::Float(number as f64), format!("number {number}")),
                    2 => (Cell::Time(number as i64), format!("time {number}")),
                    _ => (Cell::Text(text.as_bytes()), format!("text {number}")),
                };
                expected.insert(name);
                whole.add(cell);
                parts[random.below(3) as usize].add(cell);
            }
            let mut merged = DistinctSet::default();
            parts.iter().rev().for_each(|part| merged.merge(part));
            assert_eq!(whole.count(), expected.len() as u64, "seed {seed}");
            assert_eq!(merged.count(), expected.len() as u64, "seed {seed}");
            assert_eq!(bytes(&merged), bytes(&whole), "seed {seed}");
            let decoded = DistinctSet::decode(&mut Reader::new(&bytes(&whole))).expect("own bytes can be read");
            assert_eq!(bytes(&decoded), bytes(&whole), "seed {seed}");
        }
    }
}
