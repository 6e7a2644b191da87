//! LIKE: patterns of text in which `%` stands for any characters and `_` for one.
//!
//! Knows nothing of columns.

use memchr::memmem;

/// A pattern, ready to be matched.
#[derive(Debug, Clone)]
pub struct Pattern {
    shape: Shape,
    any_case: bool,
}

#[derive(Debug, Clone)]
enum Shape {
    /// No wildcard.
    Exact(Box<str>),
    /// `text%`
    Prefix(Box<str>),
    /// `%text`
    Suffix(Box<str>),
    /// `%text%`
    Contains(Box<memmem::Finder<'static>>),
    /// Anything else.
    Pieces(Vec<Piece>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Character(char),
    One,
    Any,
}

impl Pattern {
    /// Reads a pattern; `None` when the escape character is its last.
    pub fn new(pattern: &str, escape: Option<char>, any_case: bool) -> Option<Pattern> {
        let mut pieces = Vec::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            if Some(c) == escape {
                push(&mut pieces, characters.next()?, any_case);
                continue;
            }
            match c {
                '%' if pieces.last() == Some(&Piece::Any) => {}
                '%' => pieces.push(Piece::Any),
                '_' => pieces.push(Piece::One),
                _ => push(&mut pieces, c, any_case),
            }
        }
        Some(Pattern { shape: Shape::of(pieces), any_case })
    }

    /// Whether all of `text` matches, where its bytes alone tell: no wildcard inside, no ILIKE.
    pub fn matches_bytes(&self, text: &[u8]) -> Option<bool> {
        match &self.shape {
            _ if self.any_case => None,
            Shape::Exact(whole) => Some(text == whole.as_bytes()),
            Shape::Prefix(prefix) => Some(text.starts_with(prefix.as_bytes())),
            Shape::Suffix(suffix) => Some(text.ends_with(suffix.as_bytes())),
            Shape::Contains(part) => Some(part.find(text).is_some()),
            Shape::Pieces(_) => None,
        }
    }

    /// Whether all of `text` matches. `buffer` is for text in lower case.
    pub fn matches(&self, text: &str, buffer: &mut String) -> bool {
        if !self.any_case {
            return self.shape.matches(text);
        }
        buffer.clear();
        if text.is_ascii() {
            buffer.push_str(text);
            buffer.make_ascii_lowercase();
        } else {
            buffer.extend(text.chars().flat_map(char::to_lowercase));
        }
        self.shape.matches(buffer)
    }
}

fn push(pieces: &mut Vec<Piece>, c: char, any_case: bool) {
    if any_case {
        pieces.extend(c.to_lowercase().map(Piece::Character));
    } else {
        pieces.push(Piece::Character(c));
    }
}

impl Shape {
    fn of(pieces: Vec<Piece>) -> Shape {
        let literal = |pieces: &[Piece]| -> Option<String> {
            let characters = pieces.iter().map(|piece| match piece {
                Piece::Character(c) => Some(*c),
                _ => None,
            });
            characters.collect()
        };
        if let Some(text) = literal(&pieces) {
            return Shape::Exact(text.into());
        }
        match &*pieces {
            [Piece::Any, inner @ .., Piece::Any] => {
                literal(inner).map(|text| Shape::Contains(Box::new(memmem::Finder::new(&text).into_owned())))
            }
            [inner @ .., Piece::Any] => literal(inner).map(|text| Shape::Prefix(text.into())),
            [Piece::Any, inner @ ..] => literal(inner).map(|text| Shape::Suffix(text.into())),
            _ => None,
        }
        .unwrap_or(Shape::Pieces(pieces))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Shape::Exact(whole) => text == &**whole,
            Shape::Prefix(prefix) => text.starts_with(&**prefix),
            Shape::Suffix(suffix) => text.ends_with(&**suffix),
            Shape::Contains(part) => part.find(text.as_bytes()).is_some(),
            Shape::Pieces(pieces) => matches_pieces(pieces, text),
        }
    }
}

/// Goes back to the last `%` only, which then takes one character more: at most length × pieces steps.
fn matches_pieces(pieces: &[Piece], text: &str) -> bool {
    let (mut piece, mut rest) = (0, text);
    let mut retry: Option<(usize, &str)> = None;
    loop {
        let mut characters = rest.chars();
        let next = characters.next();
        match (pieces.get(piece), next) {
            (Some(Piece::Any), _) => {
                piece += 1;
                retry = Some((piece, rest));
                continue;
            }
            (Some(Piece::One), Some(_)) => {}
            (Some(Piece::Character(expected)), Some(c)) if *expected == c => {}
            (None, None) => return true,
            _ => {
                let Some((after, from)) = retry else { return false };
                let mut skipped = from.chars();
                if skipped.next().is_none() {
                    return false;
                }
                (piece, rest) = (after, skipped.as_str());
                retry = Some((after, rest));
                continue;
            }
        }
        piece += 1;
        rest = characters.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::new(pattern, Some('\\'), false).unwrap();
        for text in matching {
            assert!(compiled.matches(text, &mut String::new()), "'{text}' should match '{pattern}'");
            assert_ne!(compiled.matches_bytes(text.as_bytes()), Some(false), "'{text}' should match '{pattern}'");
        }
        for text in others {
            assert!(!compiled.matches(text, &mut String::new()), "'{text}' should not match '{pattern}'");
            assert_ne!(compiled.matches_bytes(text.as_bytes()), Some(true), "'{text}' should not match '{pattern}'");
        }
    }

    #[test]
    fn all_shapes() {
        check("", &[""], &["a"]);
        check("%", &["", "a", "ab"], &[]);
        check("_", &["a", "ü"], &["", "ab"]);
        check("abc", &["abc"], &["ab", "abcd", "ABC"]);
        check("ab%", &["ab", "abc"], &["a", "xab"]);
        check("%ab", &["ab", "xab"], &["abx"]);
        check("%ab%", &["ab", "xabx"], &["a", "ba"]);
        check("%%ab%%", &["ab", "xabx"], &["a"]);
        check("a%b", &["ab", "axb", "abb", "aübb"], &["a", "b", "abx"]);
        check("a_c%e", &["abce", "aüc e"], &["ace", "abc"]);
        check("%a%b%c%", &["abc", "xaxbxc"], &["acb"]);
        check("%aab", &["aaab", "aab"], &["aaba"]);
        check("_%_", &["ab", "abc"], &["a"]);
        check(r"100\%", &["100%"], &["1000"]);
        check(r"a\_b\\%", &[r"a_b\", r"a_b\c"], &["axb"]);
    }

    #[test]
    fn a_dangling_escape_is_refused() {
        assert!(Pattern::new("abc!", Some('!'), false).is_none());
    }

    #[test]
    fn any_case() {
        let compiled = Pattern::new("%STRASSE Ü_", None, true).unwrap();
        assert!(compiled.matches("Hauptstrasse ü1", &mut String::new()));
        assert!(!compiled.matches("Hauptstrasse u1", &mut String::new()));
    }
}
