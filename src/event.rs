//! The words for what an event holds: a path names one of its fields.
//!
//! Knows nothing of how events are encoded and of which fields a query wants.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A member of an object, by its key (unescaped).
    Key(Box<str>),
    /// An element of an array, counted from 0.
    Index(u32),
}

/// The place of a field in an event: `properties.items[0].id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// A path of keys only, such as `["properties", "amount"]`.
    pub fn of_keys(keys: &[&str]) -> Path {
        Path(keys.iter().map(|key| Segment::Key((*key).into())).collect())
    }
}

impl fmt::Display for Path {
    /// As written in a query: a key that is no plain identifier stands in double quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                    if plain { f.write_str(key)? } else { write!(f, "\"{}\"", key.replace('"', "\"\""))? }
                }
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
