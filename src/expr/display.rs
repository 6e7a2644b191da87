//! An expression as canonical SQL: keywords in upper case, functions in lower case, no needless parentheses.
//!
//! What is written here parses back to the same tree.

use crate::expr::ast::{AggregateCall, ArithmeticOperator, CastTarget, Comparison, Expr, Literal, Truth};
use crate::expr::function::Function;
use std::fmt;

/// How tightly an expression holds together, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Predicate,
    Sum,
    Product,
    Negate,
    Primary,
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Path { path, .. } => write!(f, "{path}"),
            Expr::Aggregate { call, .. } => write!(f, "{call}"),
            Expr::Literal(literal) => write!(f, "{literal}"),
            Expr::And(terms) => separated(f, terms, " AND ", Level::Not),
            Expr::Or(terms) => separated(f, terms, " OR ", Level::And),
            Expr::Not(operand) => write!(f, "NOT {}", At(operand, Level::Predicate)),
            Expr::Is { operand, test, negated } => {
                let test = match test {
                    Truth::Null => "NULL",
                    Truth::True => "TRUE",
                    Truth::False => "FALSE",
                    Truth::Unknown => "UNKNOWN",
                };
                write!(f, "{} IS {}{test}", At(operand, Level::Sum), not(*negated))
            }
            Expr::Compare { operator, left, right } => {
                write!(f, "{} {operator} {}", At(left, Level::Sum), At(right, Level::Sum))
            }
            Expr::In { operand, list, negated } => {
                write!(f, "{} {}IN (", At(operand, Level::Sum), not(*negated))?;
                separated(f, list, ", ", Level::Or)?;
                f.write_str(")")
            }
            Expr::Between { operand, low, high, negated } => {
                let (operand, low, high) = (At(operand, Level::Sum), At(low, Level::Sum), At(high, Level::Sum));
                write!(f, "{operand} {}BETWEEN {low} AND {high}", not(*negated))
            }
            Expr::Like { operand, pattern, escape, any_case, negated } => {
                let name = if *any_case { "ILIKE" } else { "LIKE" };
                write!(f, "{} {}{name} {}", At(operand, Level::Sum), not(*negated), At(pattern, Level::Sum))?;
                escape.map_or(Ok(()), |c| write!(f, " ESCAPE {}", Literal::Text(c.to_string().into())))
            }
            Expr::Arithmetic { operator, left, right } => {
                let (symbol, level, next) = match operator {
                    ArithmeticOperator::Add => ("+", Level::Sum, Level::Product),
                    ArithmeticOperator::Subtract => ("-", Level::Sum, Level::Product),
                    ArithmeticOperator::Multiply => ("*", Level::Product, Level::Negate),
                    ArithmeticOperator::Divide => ("/", Level::Product, Level::Negate),
                    ArithmeticOperator::Remainder => ("%", Level::Product, Level::Negate),
                    ArithmeticOperator::Concatenate => ("||", Level::Product, Level::Negate),
                };
                write!(f, "{} {symbol} {}", At(left, level), At(right, next))
            }
            Expr::Negate(operand) => write!(f, "-{}", At(operand, Level::Primary)),
            Expr::Case { operand, branches, otherwise } => {
                f.write_str("CASE")?;
                operand.iter().try_for_each(|operand| write!(f, " {operand}"))?;
                branches.iter().try_for_each(|(when, then)| write!(f, " WHEN {when} THEN {then}"))?;
                otherwise.iter().try_for_each(|otherwise| write!(f, " ELSE {otherwise}"))?;
                f.write_str(" END")
            }
            Expr::Cast { operand, target } => write!(f, "CAST({operand} AS {target})"),
            Expr::Call { function, arguments } => write_call(f, *function, arguments),
        }
    }
}

fn write_call(f: &mut fmt::Formatter<'_>, function: Function, arguments: &[Expr]) -> fmt::Result {
    let side = match (function, arguments) {
        (Function::Extract, [Expr::Literal(Literal::Text(field)), time]) => {
            return write!(f, "extract({field} FROM {time})");
        }
        (Function::TrimBoth, [text, Expr::Literal(Literal::Text(characters))]) if &**characters == " " => {
            return write!(f, "trim({text})");
        }
        (Function::TrimBoth, _) => "BOTH",
        (Function::TrimLeading, _) => "LEADING",
        (Function::TrimTrailing, _) => "TRAILING",
        _ => {
            write!(f, "{function}(")?;
            separated(f, arguments, ", ", Level::Or)?;
            return f.write_str(")");
        }
    };
    write!(f, "trim({side} {} FROM {})", arguments[1], arguments[0])
}

impl fmt::Display for AggregateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function)?;
        if self.star {
            f.write_str("*")?;
        }
        if self.distinct {
            f.write_str("DISTINCT ")?;
        }
        separated(f, &self.arguments, ", ", Level::Or)?;
        f.write_str(")")?;
        if let Some(order) = &self.within_group {
            write!(f, " WITHIN GROUP (ORDER BY {order}{})", if self.within_group_descending { " DESC" } else { "" })?;
        }
        self.filter.iter().try_for_each(|filter| write!(f, " FILTER (WHERE {filter})"))
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str("NULL"),
            Literal::Bool(true) => f.write_str("TRUE"),
            Literal::Bool(false) => f.write_str("FALSE"),
            Literal::Int(i) => write!(f, "{i}"),
            Literal::Float(x) => f.write_str(zmij::Buffer::new().format_finite(*x)),
            Literal::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Literal::Time(time) => write!(f, "TIMESTAMP '{time}'"),
            Literal::Interval(length) => {
                let units = [
                    ("days", 86_400_000_000),
                    ("hours", 3_600_000_000),
                    ("minutes", 60_000_000),
                    ("seconds", 1_000_000),
                    ("milliseconds", 1000),
                    ("microseconds", 1),
                ];
                let (unit, size) = units
                    .into_iter()
                    .find(|(_, size)| length.0 % size == 0)
                    .expect("every length is a multiple of a microsecond");
                write!(f, "INTERVAL '{} {unit}'", length.0 / size)
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Distinct => "IS DISTINCT FROM",
            Comparison::NotDistinct => "IS NOT DISTINCT FROM",
        })
    }
}

impl fmt::Display for CastTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CastTarget::Integer => "BIGINT",
            CastTarget::Double => "DOUBLE",
            CastTarget::Text => "VARCHAR",
            CastTarget::Boolean => "BOOLEAN",
            CastTarget::Timestamp => "TIMESTAMP",
        })
    }
}

/// An expression that stands where something at least as tight is needed.
struct At<'a>(&'a Expr, Level);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if level(self.0) < self.1 { write!(f, "({})", self.0) } else { write!(f, "{}", self.0) }
    }
}

fn level(expr: &Expr) -> Level {
    match expr {
        Expr::Or(_) => Level::Or,
        Expr::And(_) => Level::And,
        Expr::Not(_) => Level::Not,
        Expr::Is { .. } | Expr::Compare { .. } | Expr::In { .. } | Expr::Between { .. } | Expr::Like { .. } => {
            Level::Predicate
        }
        Expr::Arithmetic { operator: ArithmeticOperator::Add | ArithmeticOperator::Subtract, .. } => Level::Sum,
        Expr::Arithmetic { .. } => Level::Product,
        Expr::Negate(_) => Level::Negate,
        Expr::Literal(Literal::Int(i)) if *i < 0 => Level::Negate,
        Expr::Literal(Literal::Float(x)) if x.is_sign_negative() => Level::Negate,
        _ => Level::Primary,
    }
}

fn separated(f: &mut fmt::Formatter<'_>, exprs: &[Expr], separator: &str, at_least: Level) -> fmt::Result {
    exprs.iter().enumerate().try_for_each(|(i, expr)| {
        let separator = if i == 0 { "" } else { separator };
        write!(f, "{separator}{}", At(expr, at_least))
    })
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}
