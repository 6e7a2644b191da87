//! The tree of an expression: what is left of SQL when everything is said in one way only.
//!
//! Knows nothing of the text it came from, but for the spans that errors show, and of how it is evaluated.

use crate::event::{Path, Segment};
use crate::expr::error::{Error, Problem, Span};
use crate::expr::function::Function;
use crate::time::{Duration, Timestamp};

/// An expression. `Display` writes it as SQL that parses back to the same expression.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A field.
    Path {
        /// Where it stands in an event.
        path: Path,
        /// Where it stands in the text.
        span: Span,
    },
    /// An aggregate in `--having` or `--order-by`; its value is resolved as a column that has its SQL as its name.
    Aggregate {
        /// The call.
        call: Box<AggregateCall>,
        /// One key: the call as `Display` writes it.
        path: Path,
        /// Where it stands in the text.
        span: Span,
    },
    /// A literal.
    Literal(Literal),
    /// All of them, at least two; evaluated from left to right.
    And(Vec<Expr>),
    /// One of them, at least two; evaluated from left to right.
    Or(Vec<Expr>),
    /// NOT.
    Not(Box<Expr>),
    /// `operand IS [NOT] NULL | TRUE | FALSE | UNKNOWN`.
    Is {
        /// What is tested.
        operand: Box<Expr>,
        /// For what.
        test: Truth,
        /// IS NOT.
        negated: bool,
    },
    /// A comparison.
    Compare {
        /// Which.
        operator: Comparison,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// `operand [NOT] IN (list)`: as a chain of `=` with OR.
    In {
        /// What is looked for.
        operand: Box<Expr>,
        /// Where; at least one.
        list: Vec<Expr>,
        /// NOT IN.
        negated: bool,
    },
    /// `operand [NOT] BETWEEN low AND high`: as `operand >= low AND operand <= high`.
    Between {
        /// What is compared.
        operand: Box<Expr>,
        /// The least that is in.
        low: Box<Expr>,
        /// The greatest that is in.
        high: Box<Expr>,
        /// NOT BETWEEN.
        negated: bool,
    },
    /// `operand [NOT] LIKE pattern [ESCAPE escape]`, or ILIKE.
    Like {
        /// The text.
        operand: Box<Expr>,
        /// `%` stands for any characters, `_` for one.
        pattern: Box<Expr>,
        /// The character that takes the meaning from the next.
        escape: Option<char>,
        /// ILIKE: upper and lower case are the same.
        any_case: bool,
        /// NOT LIKE.
        negated: bool,
    },
    /// Two numbers, or times, to one.
    Arithmetic {
        /// Which.
        operator: ArithmeticOperator,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// Unary minus.
    Negate(Box<Expr>),
    /// CASE in both forms.
    Case {
        /// What the branches' conditions are compared with, if anything.
        operand: Option<Box<Expr>>,
        /// WHEN and THEN; at least one.
        branches: Vec<(Expr, Expr)>,
        /// ELSE; NULL without.
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(operand AS target)`; NULL and counted when it fails.
    Cast {
        /// What is converted.
        operand: Box<Expr>,
        /// To what.
        target: CastTarget,
    },
    /// A function of the arguments in their canonical order; their number was checked.
    Call {
        /// Which.
        function: Function,
        /// Its arguments.
        arguments: Vec<Expr>,
    },
}

/// A value written in the expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Bool(bool),
    /// From `i64::MIN` to `u64::MAX`; what is beyond is a double.
    Int(i128),
    /// Finite.
    Float(f64),
    /// `'text'`.
    Text(Box<str>),
    /// `TIMESTAMP '…'`.
    Time(Timestamp),
    /// `INTERVAL '…'`. Outside of `time ± interval` it is a number of seconds.
    Interval(Duration),
}

/// What IS tests for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// No value, of whatever type.
    Null,
    /// TRUE.
    True,
    /// FALSE.
    False,
    /// NULL where a truth value is expected.
    Unknown,
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// IS DISTINCT FROM: never NULL.
    Distinct,
    /// IS NOT DISTINCT FROM: never NULL.
    NotDistinct,
}

/// Operators on numbers, times and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, in doubles always.
    Divide,
    /// `%`, with the sign of the left side.
    Remainder,
    /// `||`
    Concatenate,
}

/// Types that a value can be cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastTarget {
    /// `i64` or `u64`.
    Integer,
    /// `f64`.
    Double,
    /// Text.
    Text,
    /// TRUE or FALSE.
    Boolean,
    /// A point in time.
    Timestamp,
}

/// An expression with a name: a group column.
#[derive(Debug, Clone)]
pub struct Named {
    /// What is computed.
    pub expr: Expr,
    /// From AS; else the last part of a path, or the text of any other expression.
    pub name: String,
}

/// One aggregate: a function of many events. `Display` writes the call without its name.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// In lower case; one of `AGGREGATES`. Whether the arguments suit it, the plan decides.
    pub function: String,
    /// What it is computed of. None has an aggregate in it.
    pub arguments: Vec<Expr>,
    /// `count(*)`: there are no arguments.
    pub star: bool,
    /// `count(DISTINCT x)`.
    pub distinct: bool,
    /// `percentile_cont(0.9) WITHIN GROUP (ORDER BY x)`.
    pub within_group: Option<Expr>,
    /// `ORDER BY x DESC` in WITHIN GROUP.
    pub within_group_descending: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expr>,
    /// From AS; else the text as it was written.
    pub name: String,
    /// Where the call stands in the text.
    pub span: Span,
}

/// One key of an order.
#[derive(Debug, Clone)]
pub struct OrderKey {
    /// What is compared.
    pub expr: Expr,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST; without it NULLs are last in both directions.
    pub nulls_first: bool,
}

impl Expr {
    /// All paths, of aggregates too, in the order of the text; a path used twice comes twice.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        self.visit(&mut |expr| {
            if let Expr::Path { path, .. } | Expr::Aggregate { path, .. } = expr {
                paths.push(path);
            }
        });
        paths
    }

    /// The first aggregate in it.
    pub fn aggregate_call(&self) -> Option<&AggregateCall> {
        self.aggregate_calls().into_iter().next()
    }

    /// All aggregates in it, in the order of the text.
    pub fn aggregate_calls(&self) -> Vec<&AggregateCall> {
        let mut calls = Vec::new();
        self.visit(&mut |expr| {
            if let Expr::Aggregate { call, .. } = expr {
                calls.push(&**call);
            }
        });
        calls
    }

    /// Refuses an expression that has an aggregate in it; `place` is where it stands, as the user knows it: `--where`.
    pub fn refuse_aggregates(&self, place: &str) -> Result<(), Error> {
        match self.aggregate_call() {
            None => Ok(()),
            Some(call) => {
                let problem = Problem::Aggregate { function: call.function.clone(), place: place.into() };
                Err(Error::new(problem, call.span.clone()))
            }
        }
    }

    /// Shows `see` this expression and all in it, from the outside in and from left to right.
    fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Expr)) {
        see(self);
        match self {
            Expr::Path { .. } | Expr::Aggregate { .. } | Expr::Literal(_) => {}
            Expr::And(terms) | Expr::Or(terms) | Expr::Call { arguments: terms, .. } => {
                terms.iter().for_each(|term| term.visit(see));
            }
            Expr::Not(operand) | Expr::Negate(operand) | Expr::Is { operand, .. } | Expr::Cast { operand, .. } => {
                operand.visit(see);
            }
            Expr::Compare { left, right, .. }
            | Expr::Arithmetic { left, right, .. }
            | Expr::Like { operand: left, pattern: right, .. } => {
                left.visit(see);
                right.visit(see);
            }
            Expr::In { operand, list, .. } => {
                operand.visit(see);
                list.iter().for_each(|item| item.visit(see));
            }
            Expr::Between { operand, low, high, .. } => {
                operand.visit(see);
                low.visit(see);
                high.visit(see);
            }
            Expr::Case { operand, branches, otherwise } => {
                operand.iter().for_each(|operand| operand.visit(see));
                for (condition, result) in branches {
                    condition.visit(see);
                    result.visit(see);
                }
                otherwise.iter().for_each(|otherwise| otherwise.visit(see));
            }
        }
    }
}

/// The name of a column that is a bare path: its last key, with the indexes that follow it.
pub fn name_of_path(path: &Path) -> String {
    let last_key = path.0.iter().rposition(|segment| matches!(segment, Segment::Key(_))).unwrap_or(0);
    path.0[last_key..]
        .iter()
        .map(|segment| match segment {
            Segment::Key(key) => key.to_string(),
            Segment::Index(index) => format!("[{index}]"),
        })
        .collect()
}
