//! Comparing two cells of whatever types, and columns with literals at speed.
//!
//! Numbers compare exactly across integers and doubles, a time with text that is RFC 3339, text by its bytes (which is
//! the order of code points), FALSE before TRUE. Nested JSON is equal or not, and has no order.

use crate::batch::{Column, Tag, slot_bytes};
use crate::expr::ast::Comparison;
use crate::expr::cells::{Cell, Number, Rows, Vector, truth};
use crate::expr::times;
use std::cmp::Ordering;

/// How two cells that aren't NULL compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They have an order.
    Ordered(Ordering),
    /// They are equal or not, but have no order.
    Equality(bool),
    /// Their types don't compare.
    Mismatch,
}

/// Compares two cells that aren't NULL.
#[inline]
pub fn relate(left: Cell, right: Cell, text: &[u8]) -> Relation {
    match (left.tag, right.tag) {
        (Tag::Text, Tag::Text) => Relation::Ordered(slot_bytes(text, left.bits).cmp(slot_bytes(text, right.bits))),
        (Tag::Int, Tag::Int) | (Tag::Time, Tag::Time) => {
            Relation::Ordered((left.bits as i64).cmp(&(right.bits as i64)))
        }
        (Tag::False | Tag::True, Tag::False | Tag::True) => Relation::Ordered(left.bits.cmp(&right.bits)),
        (Tag::Json, Tag::Json) => Relation::Equality(slot_bytes(text, left.bits) == slot_bytes(text, right.bits)),
        (Tag::Time, Tag::Text) | (Tag::Text, Tag::Time) => {
            match (times::of_cell(left, text), times::of_cell(right, text)) {
                (Some(left), Some(right)) => Relation::Ordered(left.cmp(&right)),
                _ => Relation::Mismatch,
            }
        }
        _ => match (left.number(), right.number()) {
            (Some(left), Some(right)) => Relation::Ordered(compare_numbers(left, right)),
            _ => Relation::Mismatch,
        },
    }
}

/// The exact order of two numbers.
#[inline]
pub fn compare_numbers(left: Number, right: Number) -> Ordering {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => left.cmp(&right),
        (Number::Float(left), Number::Float(right)) => compare_floats(left, right),
        (Number::Int(left), Number::Float(right)) => compare_int_float(left, right),
        (Number::Float(left), Number::Int(right)) => compare_int_float(right, left).reverse(),
    }
}

#[inline]
fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).expect("cells hold finite doubles only")
}

/// A double beyond `i128` saturates in the cast, which keeps the order, since cells hold at most 65 bits.
fn compare_int_float(int: i128, float: f64) -> Ordering {
    let whole = float.trunc();
    int.cmp(&(whole as i128)).then_with(|| compare_floats(whole, float))
}

/// What an operator says of each order.
#[derive(Clone, Copy)]
struct Verdicts([Tag; 3]);

impl Verdicts {
    fn of(operator: Comparison) -> Verdicts {
        let (t, f) = (Tag::True, Tag::False);
        Verdicts(match operator {
            Comparison::Equal | Comparison::NotDistinct => [f, t, f],
            Comparison::NotEqual | Comparison::Distinct => [t, f, t],
            Comparison::Less => [t, f, f],
            Comparison::LessOrEqual => [t, t, f],
            Comparison::Greater => [f, f, t],
            Comparison::GreaterOrEqual => [f, t, t],
        })
    }

    #[inline]
    fn on(self, ordering: Ordering) -> Tag {
        self.0[(ordering as i8 + 1) as usize]
    }
}

/// Compares two vectors row by row. A literal, if any, should be `right`: it is looked at once only.
pub fn compare(
    operator: Comparison,
    left: &Vector<'_>,
    right: &Vector<'_>,
    rows: Rows<'_>,
    text: &[u8],
    nulled: &mut u64,
) -> Vec<Tag> {
    let is_distinct = matches!(operator, Comparison::Distinct | Comparison::NotDistinct);
    if let (false, Vector::Column(column), Vector::Constant(constant)) = (is_distinct, left, right) {
        match constant.number() {
            Some(number) => return compare_number(operator, column, number, rows, nulled),
            None if constant.tag == Tag::Text && matches!(operator, Comparison::Equal | Comparison::NotEqual) => {
                let literal = slot_bytes(text, constant.bits);
                return equal_text(operator == Comparison::Equal, column, literal, rows, text, nulled);
            }
            None => {}
        }
    }
    let constant_time = match right {
        Vector::Constant(constant) if constant.tag == Tag::Text => times::of_cell(*constant, text).map(Cell::time),
        _ => None,
    };
    let verdicts = Verdicts::of(operator);
    let is_equality = matches!(operator, Comparison::Equal | Comparison::NotEqual) || is_distinct;
    (0..rows.count)
        .map(|row| {
            if !rows.is_active(row) {
                return Tag::Null;
            }
            let (left, right) = (left.cell(row), right.cell(row));
            if left.tag == Tag::Null || right.tag == Tag::Null {
                let are_same = left.tag == right.tag;
                return if is_distinct { truth(are_same == (operator == Comparison::NotDistinct)) } else { Tag::Null };
            }
            let right = constant_time.filter(|_| left.tag == Tag::Time).unwrap_or(right);
            match relate(left, right, text) {
                Relation::Ordered(ordering) => verdicts.on(ordering),
                Relation::Equality(true) if is_equality => verdicts.on(Ordering::Equal),
                Relation::Equality(false) if is_equality => verdicts.on(Ordering::Less),
                _ if is_distinct => truth(operator == Comparison::Distinct),
                _ => {
                    *nulled += 1;
                    Tag::Null
                }
            }
        })
        .collect()
}

/// A column and a literal number.
fn compare_number(operator: Comparison, column: &Column, number: Number, rows: Rows<'_>, nulled: &mut u64) -> Vec<Tag> {
    let verdicts = Verdicts::of(operator);
    let (small, double) = match number {
        Number::Int(i) => (i64::try_from(i).ok(), (i.unsigned_abs() < 1 << 53).then_some(i as f64)),
        Number::Float(x) => (None, Some(x)),
    };
    let cells = column.tags.iter().zip(&column.bits).take(rows.count).enumerate();
    cells
        .map(|(row, (&tag, &bits))| match (tag, small, double) {
            (Tag::Float, _, Some(double)) => verdicts.on(compare_floats(f64::from_bits(bits), double)),
            (Tag::Int, Some(small), _) => verdicts.on((bits as i64).cmp(&small)),
            (Tag::Null, ..) => Tag::Null,
            _ => match (Cell { tag, bits }).number() {
                Some(left) => verdicts.on(compare_numbers(left, number)),
                None => {
                    *nulled += u64::from(rows.is_active(row));
                    Tag::Null
                }
            },
        })
        .collect()
}

/// A column and a literal text, by `=` or `<>`: most rows are told apart by the length alone.
fn equal_text(equal: bool, column: &Column, literal: &[u8], rows: Rows<'_>, text: &[u8], nulled: &mut u64) -> Vec<Tag> {
    let len = literal.len() as u64;
    let cells = column.tags.iter().zip(&column.bits).take(rows.count).enumerate();
    cells
        .map(|(row, (&tag, &bits))| match tag {
            Tag::Text => {
                let is_same = bits & 0xffff_ffff == len && slot_bytes(text, bits) == literal;
                truth(is_same == equal)
            }
            Tag::Null => Tag::Null,
            Tag::Time if !rows.is_active(row) => Tag::Null,
            Tag::Time => match std::str::from_utf8(literal).ok().and_then(times::parse) {
                Some(time) => truth((bits as i64 == time) == equal),
                None => {
                    *nulled += 1;
                    Tag::Null
                }
            },
            _ => {
                *nulled += u64::from(rows.is_active(row));
                Tag::Null
            }
        })
        .collect()
}
