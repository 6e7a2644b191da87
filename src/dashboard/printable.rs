//! The one place where text from outside becomes text for the screen: nothing that it holds moves the cursor, turns the reading
//! direction or hides.
//!
//! Everything that is drawn passes through here, our own words as well, so that nothing can be forgotten.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// More of a text is never shown, so that one of combining marks only, which has no width, ends as well.
const CHARACTERS_MAX: usize = 512;

/// The text with every character that is not for the screen as `�`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.len() <= CHARACTERS_MAX && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER };
    Cow::Owned(text.chars().take(CHARACTERS_MAX).map(shown).collect())
}

/// How many columns of the screen the text takes when it is shown.
pub fn width(text: &str) -> usize {
    printable(text).width()
}

/// The printable text in at most `columns`, with `…` at its end where it was cut.
pub fn fitted(text: &str, columns: usize) -> Cow<'_, str> {
    let text = printable(text);
    if text.width() <= columns {
        return text;
    }
    let mut taken = 0;
    let kept = text.chars().take_while(|c| {
        taken += c.width().unwrap_or(0);
        taken < columns
    });
    let mut kept: String = kept.collect();
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

fn is_shown(c: char) -> bool {
    let is_hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !is_hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, columns: usize, expected: &str) {
        assert_eq!(fitted(text, columns), expected, "{text:?} in {columns}");
        assert!(fitted(text, columns).width() <= columns);
    }

    #[test]
    fn controls_and_hidden_characters_are_replaced() {
        check("\u{1b}[31mred\u{7}\n\t\u{9b}", 80, "�[31mred����");
        check("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{e0041}", 80, "a�b�c�d�e�");
        check("café 東京", 80, "café 東京");
    }

    #[test]
    fn cut_at_a_column() {
        check("abcdef", 6, "abcdef");
        check("abcdef", 4, "abc…");
        check("東京都", 5, "東京…");
        check("東京都", 4, "東…");
        check("abc", 1, "…");
        check("abc", 0, "");
        assert_eq!(width("東京\u{1b}"), 5);
    }

    #[test]
    fn a_text_without_width_ends() {
        let marks = "\u{301}".repeat(10_000);
        assert_eq!(fitted(&marks, 10).chars().count(), CHARACTERS_MAX);
    }
}
