//! Evaluates compiled expressions over the columns of a batch, a whole vector at a time.
//!
//! Here is decided which part is evaluated for which rows; what a part computes is decided in the leaves
//! (`arithmetic`, `cast`, `compare`, `like`, `logic`, `text`, `times`).

use crate::batch::{Column, Tag};
use crate::expr::ast::{Comparison, Truth};
use crate::expr::cells::{Cell, Rows, Vector, truth};
use crate::expr::compare::{Relation, compare, relate};
use crate::expr::like::Pattern;
use crate::expr::node::{LikePattern, Node, Operation, TextSet};
use crate::expr::{arithmetic, cast, logic, text, times};
use std::borrow::Cow;
use std::cmp::Ordering;

/// What an evaluation reads and writes.
pub struct Evaluation<'a, 'b> {
    /// The batch's columns.
    pub columns: &'a [Column],
    /// The batch's text; results are appended.
    pub text: &'b mut Vec<u8>,
    /// Operations without a value are added here.
    pub nulled: &'b mut u64,
}

impl<'a> Evaluation<'a, '_> {
    /// The values of `node` in the rows asked for.
    pub fn vector(&mut self, node: &Node, rows: Rows<'_>) -> Vector<'a> {
        match node {
            Node::Column(column) => Vector::Column(Cow::Borrowed(&self.columns[*column])),
            Node::Literal(constant) => Vector::Constant(constant.cell(self.text)),
            Node::And(terms) => Vector::Truth(self.all_or_any(terms, rows, Tag::False)),
            Node::Or(terms) => Vector::Truth(self.all_or_any(terms, rows, Tag::True)),
            Node::Not(operand) => {
                let tags = self.truth(operand, rows);
                Vector::Truth(negated_if(true, tags))
            }
            Node::Is { operand, test, negated } => Vector::Truth(self.is(operand, *test, *negated, rows)),
            Node::Compare { operator, left, right } => {
                let (left, right) = (self.vector(left, rows), self.vector(right, rows));
                Vector::Truth(compare(*operator, &left, &right, rows, self.text, self.nulled))
            }
            Node::In { operand, list, texts, negated } => {
                let operand = self.vector(operand, rows);
                let tags = texts.as_ref().and_then(|texts| in_texts(&operand, texts, rows, self.text));
                Vector::Truth(negated_if(*negated, tags.unwrap_or_else(|| self.in_list(&operand, list, rows))))
            }
            Node::Between { operand, low, high, negated } => {
                let operand = self.vector(operand, rows);
                let low = self.vector(low, rows);
                let mut tags = compare(Comparison::GreaterOrEqual, &operand, &low, rows, self.text, self.nulled);
                let mask = undecided(&tags, Tag::False, rows);
                let rows = Rows { mask: Some(&mask), ..rows };
                let high = self.vector(high, rows);
                let right = compare(Comparison::LessOrEqual, &operand, &high, rows, self.text, self.nulled);
                logic::and(&mut tags, &right);
                Vector::Truth(negated_if(*negated, tags))
            }
            Node::Like { operand, pattern, negated } => {
                let operand = self.vector(operand, rows);
                Vector::Truth(negated_if(*negated, self.like(&operand, pattern, rows)))
            }
            Node::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), rows)
            }
            Node::Coalesce(terms) => self.coalesce(terms, rows),
            Node::NullIf(value, other) => {
                let (value, other) = (self.vector(value, rows), self.vector(other, rows));
                let equal = compare(Comparison::Equal, &value, &other, rows, self.text, self.nulled);
                self.by_row(rows, |row, _| Some(if equal[row] == Tag::True { Cell::NULL } else { value.cell(row) }))
            }
            Node::Extreme { greatest, terms } => self.extreme(*greatest, terms, rows),
            Node::Apply { operation, arguments } => self.apply(*operation, arguments, rows),
        }
    }

    /// The values of `node` as truth values.
    pub fn truth(&mut self, node: &Node, rows: Rows<'_>) -> Vec<Tag> {
        self.vector(node, rows).into_truth(rows, self.nulled)
    }

    /// AND and OR: `decided` is the value after which the other terms don't matter.
    fn all_or_any(&mut self, terms: &[Node], rows: Rows<'_>, decided: Tag) -> Vec<Tag> {
        let mut tags = self.truth(&terms[0], rows);
        for term in &terms[1..] {
            let mask = undecided(&tags, decided, rows);
            if !mask.contains(&true) {
                break;
            }
            let right = self.truth(term, Rows { mask: Some(&mask), ..rows });
            if decided == Tag::False { logic::and(&mut tags, &right) } else { logic::or(&mut tags, &right) }
        }
        tags
    }

    fn is(&mut self, operand: &Node, test: Truth, negated: bool, rows: Rows<'_>) -> Vec<Tag> {
        let sought = match test {
            Truth::Null => {
                let vector = self.vector(operand, rows);
                let is_null = |row| truth((vector.cell(row).tag == Tag::Null) != negated);
                return (0..rows.count).map(is_null).collect();
            }
            Truth::True => Tag::True,
            Truth::False => Tag::False,
            Truth::Unknown => Tag::Null,
        };
        let mut tags = self.truth(operand, rows);
        tags.iter_mut().for_each(|tag| *tag = truth((*tag == sought) != negated));
        tags
    }

    fn in_list(&mut self, operand: &Vector<'_>, list: &[Node], rows: Rows<'_>) -> Vec<Tag> {
        let mut tags = vec![Tag::False; rows.count];
        for item in list {
            let mask = undecided(&tags, Tag::True, rows);
            let rows = Rows { mask: Some(&mask), ..rows };
            let item = self.vector(item, rows);
            let right = compare(Comparison::Equal, operand, &item, rows, self.text, self.nulled);
            logic::or(&mut tags, &right);
        }
        tags
    }

    fn like(&mut self, operand: &Vector<'_>, pattern: &LikePattern, rows: Rows<'_>) -> Vec<Tag> {
        let mut buffer = String::new();
        let vector = match pattern {
            LikePattern::Fixed(pattern) => self.by_row(rows, |row, text| {
                let operand = operand.cell(row);
                if operand.tag == Tag::Null {
                    return Some(Cell::NULL);
                }
                let by_bytes = pattern.matches_bytes(operand.bytes(text)?);
                Some(Cell::boolean(match by_bytes {
                    Some(is_match) => is_match,
                    None => pattern.matches(operand.str(text)?, &mut buffer),
                }))
            }),
            LikePattern::Computed { pattern, escape, any_case } => {
                let patterns = self.vector(pattern, rows);
                self.by_row(rows, |row, text| {
                    let (operand, pattern) = (operand.cell(row), patterns.cell(row));
                    if operand.tag == Tag::Null || pattern.tag == Tag::Null {
                        return Some(Cell::NULL);
                    }
                    let pattern = Pattern::new(pattern.str(text)?, *escape, *any_case)?;
                    Some(Cell::boolean(pattern.matches(operand.str(text)?, &mut buffer)))
                })
            }
        };
        vector.into_truth(rows, self.nulled)
    }

    fn case(
        &mut self,
        operand: Option<&Node>,
        branches: &[(Node, Node)],
        otherwise: Option<&Node>,
        rows: Rows<'_>,
    ) -> Vector<'a> {
        let operand = operand.map(|operand| self.vector(operand, rows));
        let mut result = Column::nulls(rows.count);
        let mut remaining = rows.to_mask();
        for (condition, value) in branches {
            if !remaining.contains(&true) {
                break;
            }
            let open = Rows { mask: Some(&remaining), ..rows };
            let tags = match &operand {
                None => self.truth(condition, open),
                Some(operand) => {
                    let condition = self.vector(condition, open);
                    compare(Comparison::Equal, operand, &condition, open, self.text, self.nulled)
                }
            };
            let chosen: Vec<bool> = remaining.iter().zip(&tags).map(|(open, tag)| *open && *tag == Tag::True).collect();
            self.fill(&mut result, value, &chosen);
            remaining.iter_mut().zip(&chosen).for_each(|(open, chosen)| *open &= !chosen);
        }
        if let Some(otherwise) = otherwise {
            self.fill(&mut result, otherwise, &remaining);
        }
        Vector::Column(Cow::Owned(result))
    }

    fn coalesce(&mut self, terms: &[Node], rows: Rows<'_>) -> Vector<'a> {
        let mut result = Column::nulls(rows.count);
        let mut remaining = rows.to_mask();
        for term in terms {
            self.fill(&mut result, term, &remaining);
            remaining.iter_mut().zip(&result.tags).for_each(|(open, tag)| *open &= *tag == Tag::Null);
        }
        Vector::Column(Cow::Owned(result))
    }

    /// Writes the values of `node` into the rows of `mask`.
    fn fill(&mut self, result: &mut Column, node: &Node, mask: &[bool]) {
        if !mask.contains(&true) {
            return;
        }
        let values = self.vector(node, Rows { count: mask.len(), mask: Some(mask) });
        for (row, _) in mask.iter().enumerate().filter(|(_, active)| **active) {
            let cell = values.cell(row);
            (result.tags[row], result.bits[row]) = (cell.tag, cell.bits);
        }
    }

    fn extreme(&mut self, greatest: bool, terms: &[Node], rows: Rows<'_>) -> Vector<'a> {
        let sought = if greatest { Ordering::Greater } else { Ordering::Less };
        let terms: Vec<Vector<'a>> = terms.iter().map(|term| self.vector(term, rows)).collect();
        self.by_row(rows, |row, text| {
            let mut best = Cell::NULL;
            for cell in terms.iter().map(|term| term.cell(row)).filter(|cell| cell.tag != Tag::Null) {
                if best.tag == Tag::Null {
                    best = cell;
                    continue;
                }
                match relate(cell, best, text) {
                    Relation::Ordered(ordering) if ordering == sought => best = cell,
                    Relation::Ordered(_) => {}
                    Relation::Equality(_) | Relation::Mismatch => return None,
                }
            }
            Some(best)
        })
    }

    fn apply(&mut self, operation: Operation, arguments: &[Node], rows: Rows<'_>) -> Vector<'a> {
        let vectors: Vec<Vector<'a>> = arguments.iter().map(|argument| self.vector(argument, rows)).collect();
        let mut cells = vec![Cell::NULL; vectors.len()];
        let skips_nulls = operation == Operation::Concat;
        self.by_row(rows, |row, text| {
            for (cell, vector) in cells.iter_mut().zip(&vectors) {
                *cell = vector.cell(row);
                if cell.tag == Tag::Null && !skips_nulls {
                    return Some(Cell::NULL);
                }
            }
            operation.apply(&cells, text)
        })
    }

    /// A column made row by row; where `value` gives none, NULL and counted.
    fn by_row(&mut self, rows: Rows<'_>, mut value: impl FnMut(usize, &mut Vec<u8>) -> Option<Cell>) -> Vector<'a> {
        let mut column = Column { tags: Vec::with_capacity(rows.count), bits: Vec::with_capacity(rows.count) };
        for row in 0..rows.count {
            let cell = if !rows.is_active(row) {
                Cell::NULL
            } else if let Some(cell) = value(row, self.text) {
                cell
            } else {
                *self.nulled += 1;
                Cell::NULL
            };
            column.push(cell.tag, cell.bits);
        }
        Vector::Column(Cow::Owned(column))
    }
}

impl Operation {
    /// The value for one row; none of the arguments is NULL but for `Concat`.
    fn apply(self, cells: &[Cell], batch_text: &mut Vec<u8>) -> Option<Cell> {
        match (self, cells) {
            (Operation::Arithmetic(operator), [left, right]) => arithmetic::apply(operator, *left, *right, batch_text),
            (Operation::Concat, cells) => text::concat(cells, batch_text),
            (Operation::Negate, [a]) => arithmetic::negate(*a),
            (Operation::Shift(micros), [a]) => times::shift(*a, micros, batch_text),
            (Operation::Cast(target), [a]) => cast::apply(*a, target, batch_text),
            (Operation::Truncate(unit), [a]) => times::truncate(*a, unit, batch_text),
            (Operation::Extract(field), [a]) => times::extract(*a, field, batch_text),
            (Operation::Abs, [a]) => arithmetic::abs(*a),
            (Operation::Ceil, [a]) => arithmetic::ceil(*a),
            (Operation::Floor, [a]) => arithmetic::floor(*a),
            (Operation::Round, [a, digits @ ..]) => arithmetic::round(*a, digits.first().copied()),
            (Operation::Length, [a]) => text::length(*a, batch_text),
            (Operation::Lower, [a]) => text::lower(*a, batch_text),
            (Operation::Upper, [a]) => text::upper(*a, batch_text),
            (Operation::Replace, [a, from, to]) => text::replace(*a, *from, *to, batch_text),
            (Operation::SplitPart, [a, separator, part]) => text::split_part(*a, *separator, *part, batch_text),
            (Operation::StartsWith, [a, prefix]) => text::starts_with(*a, *prefix, batch_text),
            (Operation::StrPos, [a, part]) => text::position(*a, *part, batch_text),
            (Operation::Substring, [a, start, len @ ..]) => {
                text::substring(*a, *start, len.first().copied(), batch_text)
            }
            (Operation::Trim { at_start, at_end }, [a, set]) => text::trim(*a, *set, at_start, at_end, batch_text),
            (operation, cells) => unreachable!("{operation:?} was compiled with {} arguments", cells.len()),
        }
    }
}

/// The active rows whose value isn't `decided` yet.
fn undecided(tags: &[Tag], decided: Tag, rows: Rows<'_>) -> Vec<bool> {
    match rows.mask {
        None => tags.iter().map(|tag| *tag != decided).collect(),
        Some(mask) => tags.iter().zip(mask).map(|(tag, active)| *active && *tag != decided).collect(),
    }
}

fn negated_if(negated: bool, mut tags: Vec<Tag>) -> Vec<Tag> {
    if negated {
        logic::not(&mut tags);
    }
    tags
}

/// IN with a list of texts, if all active rows hold text or NULL.
fn in_texts(operand: &Vector<'_>, texts: &TextSet, rows: Rows<'_>, text: &[u8]) -> Option<Vec<Tag>> {
    let is_in = |row| {
        let cell = operand.cell(row);
        match cell.bytes(text) {
            Some(bytes) => Some(truth(texts.contains(bytes))),
            None => (cell.tag == Tag::Null || !rows.is_active(row)).then_some(Tag::Null),
        }
    };
    (0..rows.count).map(is_in).collect()
}
