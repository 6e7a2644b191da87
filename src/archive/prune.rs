//! Whether any event of a row group can pass a filter, as far as the statistics of its columns tell.
//!
//! A filter that compares a field which has a column of its own with a literal is understood, in any combination by AND and OR; of
//! everything else it is assumed that it may hold. Knows nothing of files.

use std::cmp::Ordering;

use crate::event::Path;
use crate::expr::{Comparison, Expr, Literal, Truth};

/// What is known of a column's values in a row group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// None is less than the first and none greater than the second of these; `None` where all are NULL.
    pub bounds: Option<(Bound<'a>, Bound<'a>)>,
    /// Whether some are NULL.
    pub has_nulls: bool,
}

/// A bound of a column's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound<'a> {
    /// Of texts, which compare by their bytes.
    Text(&'a [u8]),
    /// Of times, in microseconds since the epoch.
    Time(i64),
}

impl Bound<'_> {
    /// `None` of a text and a time.
    fn compare(self, other: Bound) -> Option<Ordering> {
        match (self, other) {
            (Bound::Text(own), Bound::Text(other)) => Some(own.cmp(other)),
            (Bound::Time(own), Bound::Time(other)) => Some(own.cmp(&other)),
            _ => None,
        }
    }
}

/// Whether `filter` may be TRUE of some event. `known` tells of the fields that have columns.
pub(crate) fn may_hold<'a>(filter: &Expr, known: &dyn Fn(&Path) -> Option<Known<'a>>) -> bool {
    let compare = |operator, path: &Path, literal: &Expr| match (known(path), literal) {
        (Some(known), Expr::Literal(literal)) => may_compare(operator, known, literal),
        _ => true,
    };
    match filter {
        Expr::And(all) => all.iter().all(|one| may_hold(one, known)),
        Expr::Or(any) => any.iter().any(|one| may_hold(one, known)),
        Expr::Literal(Literal::Null | Literal::Bool(false)) => false,
        Expr::Compare { operator, left, right } => match (&**left, &**right) {
            (Expr::Path { path, .. }, literal) => compare(*operator, path, literal),
            (literal, Expr::Path { path, .. }) => compare(turned(*operator), path, literal),
            _ => true,
        },
        Expr::In { operand, list, negated: false } => match &**operand {
            Expr::Path { path, .. } => list.iter().any(|literal| compare(Comparison::Equal, path, literal)),
            _ => true,
        },
        Expr::Between { operand, low, high, negated: false } => match &**operand {
            Expr::Path { path, .. } => {
                compare(Comparison::GreaterOrEqual, path, low) && compare(Comparison::LessOrEqual, path, high)
            }
            _ => true,
        },
        Expr::Is { operand, test: Truth::Null, negated } => match &**operand {
            Expr::Path { path, .. } => {
                known(path).is_none_or(|known| if *negated { known.bounds.is_some() } else { known.has_nulls })
            }
            _ => true,
        },
        _ => true,
    }
}

/// Whether a value may be in that relation to the literal.
fn may_compare(operator: Comparison, known: Known, literal: &Literal) -> bool {
    if matches!(operator, Comparison::Distinct | Comparison::NotDistinct) {
        return true;
    }
    // What is NULL is in no relation.
    let Some((least, greatest)) = known.bounds else { return false };
    let literal = match literal {
        Literal::Text(text) => Bound::Text(text.as_bytes()),
        Literal::Time(time) => Bound::Time(time.0),
        _ => return true,
    };
    let (Some(least), Some(greatest)) = (least.compare(literal), greatest.compare(literal)) else { return true };
    match operator {
        Comparison::Equal => least.is_le() && greatest.is_ge(),
        Comparison::NotEqual => least.is_ne() || greatest.is_ne(),
        Comparison::Less => least.is_lt(),
        Comparison::LessOrEqual => least.is_le(),
        Comparison::Greater => greatest.is_gt(),
        Comparison::GreaterOrEqual => greatest.is_ge(),
        Comparison::Distinct | Comparison::NotDistinct => true,
    }
}

/// The comparison whose sides have changed places.
fn turned(operator: Comparison) -> Comparison {
    match operator {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Column, Tag, slot};
    use crate::expr::{Program, parse};
    use crate::generate::random::Random;

    const WORDS: [&str; 5] = ["a", "b", "bb", "c", "d'"];

    /// A filter over the paths `x` and `y`, some parts of which no statistics can tell of.
    fn filter(random: &mut Random, depth: u32) -> String {
        let path = if random.below(2) == 0 { "x" } else { "y" };
        let mut word = || format!("'{}'", WORDS[random.below(5) as usize].replace('\'', "''"));
        let (one, other) = (word(), word());
        let operator = ["=", "<>", "<", "<=", ">", ">="][random.below(6) as usize];
        match random.below(if depth == 0 { 8 } else { 11 }) {
            0 | 1 => format!("{path} {operator} {one}"),
            2 => format!("{one} {operator} {path}"),
            3 => format!("{path} IN ({one}, {other})"),
            4 => format!("{path} BETWEEN {one} AND {other}"),
            5 => format!("{path} IS NULL"),
            6 => format!("{path} IS NOT NULL"),
            7 => ["upper(x) = 'B'", "x = y", "x = 1", "x LIKE 'b%'", "TRUE", "x IS DISTINCT FROM 'a'"]
                [random.below(6) as usize]
                .to_owned(),
            8 => format!("NOT ({})", filter(random, depth - 1)),
            9 => format!("({}) AND ({})", filter(random, depth - 1), filter(random, depth - 1)),
            _ => format!("({}) OR ({})", filter(random, depth - 1), filter(random, depth - 1)),
        }
    }

    #[test]
    fn what_is_left_out_holds_for_no_event() {
        let mut left_out = 0;
        for seed in 0..4000 {
            let mut random = Random::new(seed, 0);
            let rows = 1 + random.below(3) as usize;
            let mut text: Vec<u8> = Vec::new();
            let mut values = [vec![], vec![]];
            let mut columns = vec![Column::new(), Column::new()];
            for (column, values) in columns.iter_mut().zip(&mut values) {
                for _ in 0..rows {
                    match WORDS.get(random.below(7) as usize) {
                        Some(word) => {
                            column.push(Tag::Text, slot(text.len(), word.len()));
                            text.extend_from_slice(word.as_bytes());
                            values.push(word.as_bytes());
                        }
                        None => column.push(Tag::Null, 0),
                    }
                }
            }
            let known = |path: &Path| {
                let values = &values[usize::from(*path == Path::of_keys(&["y"]))];
                let bounds = values.iter().min().zip(values.iter().max());
                let bounds = bounds.map(|(least, greatest)| (Bound::Text(least), Bound::Text(greatest)));
                Some(Known { bounds, has_nulls: values.len() < rows })
            };
            let text_of = filter(&mut random, 2);
            let expr = parse(&text_of).unwrap();
            let resolve = |path: &Path| Some(usize::from(*path == Path::of_keys(&["y"])));
            let program = Program::compile(&expr, &resolve).unwrap();
            let holds = !program.select(&columns, rows, &mut text.clone(), &mut 0).is_empty();
            let may = may_hold(&expr, &known);
            assert!(may || !holds, "seed {seed}: {text_of} holds for {values:?}");
            left_out += usize::from(!may);
        }
        assert!(left_out > 800, "only {left_out} were left out");
    }

    #[test]
    fn times_are_told_by_their_column_too() {
        let check = |filter: &str, expected: bool| {
            let time = |text: &str| crate::time::parse_rfc3339(text.as_bytes()).unwrap().0;
            let bounds = (time("2026-02-16T10:00:00Z"), time("2026-02-16T10:59:59Z"));
            let known = |_: &Path| {
                let bounds = Some((Bound::Time(bounds.0), Bound::Time(bounds.1)));
                Some(Known { bounds, has_nulls: false })
            };
            assert_eq!(may_hold(&parse(filter).unwrap(), &known), expected, "{filter}");
        };
        check("timestamp < TIMESTAMP '2026-02-16T10:00:00Z'", false);
        check("timestamp >= TIMESTAMP '2026-02-16T10:59:59Z'", true);
        check("timestamp > TIMESTAMP '2026-02-16T10:59:59Z'", false);
        // A text that is compared with a text is none of ours.
        check("timestamp < '2026-02-16T10:00:00Z'", true);
    }
}
