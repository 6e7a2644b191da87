//! The rows of a batch that a metric uses, with their group keys, each key written and hashed once a batch.
//!
//! Rows of a batch have few different keys as a rule. They are told apart by the cells of the group columns: a key's bytes
//! are written when its cells are met first, and its number stands for it from then on. Knows nothing of tables.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Column, EventBatch, Tag, slot_bytes};
use crate::window::Query;
use crate::window::key::write_key;
use crate::window::table::hash_key;

/// The rows of a batch that one metric uses, with their group keys.
#[derive(Debug, Default)]
pub struct Selected {
    /// Row numbers, rising.
    pub rows: Vec<u32>,
    /// The number of each row's key.
    numbers: Vec<u32>,
    /// By key number.
    hashes: Vec<u64>,
    key_ends: Vec<u32>,
    keys: Vec<u8>,
}

impl Selected {
    /// For each query, the rows of a batch that pass its filter. Queries of the same filter and groups share them.
    pub fn of_all(queries: &[Query], batch: &EventBatch) -> Vec<Arc<Selected>> {
        let mut all: Vec<Arc<Selected>> = Vec::with_capacity(queries.len());
        for (number, query) in queries.iter().enumerate() {
            let is_same = |other: &Query| (other.filter, &other.groups) == (query.filter, &query.groups);
            let selected = match queries[..number].iter().position(is_same) {
                Some(same) => Arc::clone(&all[same]),
                None => Arc::new(Selected::of(query, batch)),
            };
            all.push(selected);
        }
        all
    }

    fn of(query: &Query, batch: &EventBatch) -> Selected {
        let columns: Vec<&Column> = query.groups.iter().map(|&column| &batch.columns[column]).collect();
        let mut selected = Selected::default();
        match query.filter.map(|column| &batch.columns[column].tags) {
            Some(tags) => {
                let passes = |row: &u32| tags[*row as usize] == Tag::True;
                selected.rows.extend((0..batch.rows() as u32).filter(passes));
            }
            None => selected.rows.extend(0..batch.rows() as u32),
        }
        selected.numbers.reserve(selected.rows.len());
        let mut dictionary = Dictionary::new(&columns, &batch.text);
        for &row in &selected.rows {
            let (number, is_new) = dictionary.number(row);
            if is_new {
                let start = selected.keys.len();
                write_key(&columns, row as usize, &batch.text, &mut selected.keys);
                selected.hashes.push(hash_key(&selected.keys[start..]));
                selected.key_ends.push(selected.keys.len() as u32);
            }
            selected.numbers.push(number);
        }
        selected
    }

    /// The same without these rows.
    pub fn without(&self, rows: &[u32]) -> Selected {
        let kept = self.rows.iter().zip(&self.numbers).filter(|(row, _)| !rows.contains(row));
        let (rows, numbers) = kept.unzip();
        let (hashes, key_ends, keys) = (self.hashes.clone(), self.key_ends.clone(), self.keys.clone());
        Selected { rows, numbers, hashes, key_ends, keys }
    }

    /// The number of the `index`-th selected row's key, below `distinct`. Two numbers may stand for one key (2 and 2.0 are
    /// one group), but one number never for two.
    #[inline]
    pub fn number(&self, index: usize) -> u32 {
        self.numbers[index]
    }

    /// How many numbers there are.
    pub fn distinct(&self) -> usize {
        self.hashes.len()
    }

    /// Hash of the `index`-th selected row's key.
    #[inline]
    pub fn hash(&self, index: usize) -> u64 {
        self.hashes[self.numbers[index] as usize]
    }

    /// Key of the `index`-th selected row.
    #[inline]
    pub fn key(&self, index: usize) -> &[u8] {
        let number = self.numbers[index] as usize;
        let start = if number == 0 { 0 } else { self.key_ends[number - 1] as usize };
        &self.keys[start..self.key_ends[number] as usize]
    }

    /// The indexes of the selected rows within a range of batch rows.
    pub fn within(&self, rows: &Range<usize>) -> Range<usize> {
        let index_of = |row: usize| self.rows.partition_point(|&selected| (selected as usize) < row);
        index_of(rows.start)..index_of(rows.end)
    }
}

/// Numbers the different values of some columns in the order in which they come.
struct Dictionary<'a> {
    columns: &'a [&'a Column],
    text: &'a [u8],
    /// Open addressing, a power of two: the number of an entry and 1 more, or 0.
    places: Vec<u32>,
    /// By number: the row in which it was met first, and what its cells were condensed to.
    entries: Vec<(u32, u64)>,
    /// Rows that were asked for.
    rows: u32,
    /// Nearly every row has a value of its own, so that each gets a number of its own without a look at the others.
    is_of_no_use: bool,
}

/// Rows after which it is known whether a dictionary is of use.
const TRIAL: u32 = 256;

impl<'a> Dictionary<'a> {
    fn new(columns: &'a [&'a Column], text: &'a [u8]) -> Dictionary<'a> {
        Dictionary { columns, text, places: vec![0; 64], entries: Vec::new(), rows: 0, is_of_no_use: false }
    }

    /// The number of a row's values, and whether they are met for the first time.
    #[inline]
    fn number(&mut self, row: u32) -> (u32, bool) {
        self.rows += 1;
        if self.is_of_no_use {
            self.entries.push((row, 0));
            return (self.entries.len() as u32 - 1, true);
        }
        self.is_of_no_use = self.rows == TRIAL && self.entries.len() as u32 > TRIAL / 2;
        let condensed = self.columns.iter().fold(0, |hash, column| self.condense(hash, column, row as usize));
        let mask = self.places.len() - 1;
        let mut place = (condensed >> 32) as usize & mask;
        while let Some(number) = self.places[place].checked_sub(1) {
            let (first, own) = self.entries[number as usize];
            if own == condensed && self.are_equal(first as usize, row as usize) {
                return (number, false);
            }
            place = (place + 1) & mask;
        }
        let number = self.entries.len() as u32;
        self.entries.push((row, condensed));
        self.places[place] = number + 1;
        if self.entries.len() * 2 > self.places.len() {
            self.grow();
        }
        (number, true)
    }

    /// A cell mixed into a hash. Of a text only its length, beginning and end count, so that long texts cost no more.
    #[inline]
    fn condense(&self, hash: u64, column: &Column, row: usize) -> u64 {
        let (tag, bits) = (column.tags[row], column.bits[row]);
        let words = match tag {
            Tag::Text | Tag::Json => {
                let text = slot_bytes(self.text, bits);
                let (head, tail) = ends(text);
                [head ^ (text.len() as u64) << 56, tail]
            }
            _ => [bits, 0],
        };
        // Multiplied wide and folded, as wyhash does.
        let mix = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        mix(hash ^ words[0] ^ 0xa076_1d64_78bd_642f, words[1] ^ (tag as u64 + 1).wrapping_mul(0xe703_7ed1_a0b4_28db))
    }

    #[inline]
    fn are_equal(&self, a: usize, b: usize) -> bool {
        self.columns.iter().all(|column| {
            column.tags[a] == column.tags[b]
                && match column.tags[a] {
                    Tag::Text | Tag::Json => {
                        same_text(slot_bytes(self.text, column.bits[a]), slot_bytes(self.text, column.bits[b]))
                    }
                    _ => column.bits[a] == column.bits[b],
                }
        })
    }

    #[cold]
    fn grow(&mut self) {
        let mask = self.places.len() * 4 - 1;
        self.places = vec![0; mask + 1];
        for (number, (_, condensed)) in self.entries.iter().enumerate() {
            let mut place = (condensed >> 32) as usize & mask;
            while self.places[place] != 0 {
                place = (place + 1) & mask;
            }
            self.places[place] = number as u32 + 1;
        }
    }
}

/// The first and the last eight bytes of a text, which overlap in a short one, with zeros where there are none.
#[inline]
fn ends(text: &[u8]) -> (u64, u64) {
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
            _ => (text.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
        },
    }
}

/// Up to sixteen bytes are equal when their ends are.
#[inline]
fn same_text(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && if a.len() <= 16 { ends(a) == ends(b) } else { a == b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    /// The numbers of these rows' values.
    #[track_caller]
    fn check(rows: &[&[Value]], expected: &[u32]) {
        let mut text = Vec::new();
        let mut columns = vec![Column::new(); rows[0].len()];
        for row in rows {
            for (column, value) in columns.iter_mut().zip(*row) {
                column.push_value(value, &mut text);
            }
        }
        let columns: Vec<&Column> = columns.iter().collect();
        let mut dictionary = Dictionary::new(&columns, &text);
        let numbers: Vec<u32> = (0..rows.len() as u32).map(|row| dictionary.number(row).0).collect();
        assert_eq!(numbers, expected, "{rows:?}");
    }

    #[test]
    fn equal_values_have_one_number_and_others_another() {
        let text = |text: &str| Value::Text(text.into());
        check(&[&[text("USD")], &[text("EUR")], &[text("USD")], &[text("US")], &[text("")]], &[0, 1, 0, 2, 3]);
        check(
            &[&[Value::Int(1)], &[text("1")], &[Value::Bool(true)], &[Value::Null], &[Value::Int(1)]],
            &[0, 1, 2, 3, 0],
        );
        check(&[&[text("a"), text("b")], &[text("ab"), text("")], &[text("a"), text("b")]], &[0, 1, 0]);
        check(&[&[text("{}")], &[Value::Json("{}".into())]], &[0, 1]);
        // The same ends and length, and another middle.
        check(&[&[text("12345678-a-12345678")], &[text("12345678-b-12345678")]], &[0, 1]);
    }

    #[test]
    fn short_texts_are_told_apart_by_their_ends() {
        let texts: Vec<Vec<u8>> = (0..=17)
            .flat_map(|length| (0..length).map(move |at| (length, at)))
            .map(|(length, at)| {
                let mut text = vec![b'x'; length];
                text[at] = b'y';
                text
            })
            .collect();
        for a in &texts {
            for b in &texts {
                assert_eq!(same_text(a, b), a == b, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn thousands_of_values_are_numbered_in_order() {
        // Each value comes four times, so that a dictionary is of use.
        let value = |i: u32| i / 4 % 1000;
        let rows: Vec<[Value; 1]> = (0..8000).map(|i| [Value::Int(value(i).into())]).collect();
        let rows: Vec<&[Value]> = rows.iter().map(|row| &row[..]).collect();
        check(&rows, &(0..8000).map(value).collect::<Vec<u32>>());
    }

    #[test]
    fn where_nearly_all_values_differ_each_row_has_its_number() {
        let rows: Vec<[Value; 1]> = (0..1000).map(|i| [Value::Int(i % 200)]).collect();
        let rows: Vec<&[Value]> = rows.iter().map(|row| &row[..]).collect();
        let numbered = (0..TRIAL).map(|i| i % 200).chain(200..);
        check(&rows, &numbered.take(1000).collect::<Vec<u32>>());
    }
}
