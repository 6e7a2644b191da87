//! Three-valued logic over whole vectors of truth values.
//!
//! Knows nothing of expressions: who evaluates what for which rows is decided elsewhere.

use crate::batch::Tag;

/// `left AND right` into `left`.
pub fn and(left: &mut [Tag], right: &[Tag]) {
    for (l, r) in left.iter_mut().zip(right) {
        *l = match (*l, *r) {
            (Tag::False, _) | (_, Tag::False) => Tag::False,
            (Tag::True, Tag::True) => Tag::True,
            _ => Tag::Null,
        };
    }
}

/// `left OR right` into `left`.
pub fn or(left: &mut [Tag], right: &[Tag]) {
    for (l, r) in left.iter_mut().zip(right) {
        *l = match (*l, *r) {
            (Tag::True, _) | (_, Tag::True) => Tag::True,
            (Tag::False, Tag::False) => Tag::False,
            _ => Tag::Null,
        };
    }
}

/// NOT, in place.
pub fn not(tags: &mut [Tag]) {
    for tag in tags {
        *tag = match *tag {
            Tag::True => Tag::False,
            Tag::False => Tag::True,
            _ => Tag::Null,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{and, not, or};
    use crate::batch::Tag::{False, Null, True};

    #[test]
    fn truth_tables_are_complete() {
        let left = [True, True, True, False, False, False, Null, Null, Null];
        let right = [True, False, Null, True, False, Null, True, False, Null];
        let (mut conjunction, mut disjunction, mut negation) = (left, left, [True, False, Null]);
        and(&mut conjunction, &right);
        or(&mut disjunction, &right);
        not(&mut negation);
        assert_eq!(conjunction, [True, False, Null, False, False, False, Null, False, Null]);
        assert_eq!(disjunction, [True, True, True, True, False, Null, True, Null, Null]);
        assert_eq!(negation, [False, True, Null]);
    }
}
