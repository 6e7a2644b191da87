//! The compiled form of an expression: columns by number, literals as cells, functions resolved.
//!
//! Knows nothing of paths and of how it is evaluated.

use crate::batch::Tag;
use crate::expr::ast::{ArithmeticOperator, CastTarget, Comparison, Truth};
use crate::expr::cells::Cell;
use crate::expr::like::Pattern;
use crate::expr::times::{Field, Unit};
use hashbrown::HashSet;

/// One step of evaluation.
#[derive(Debug, Clone)]
pub enum Node {
    /// The column of that number.
    Column(usize),
    /// The same in all rows.
    Literal(Constant),
    /// See `Expr::And`.
    And(Vec<Node>),
    /// See `Expr::Or`.
    Or(Vec<Node>),
    /// NOT.
    Not(Box<Node>),
    /// See `Expr::Is`.
    Is {
        /// What is tested.
        operand: Box<Node>,
        /// For what.
        test: Truth,
        /// IS NOT.
        negated: bool,
    },
    /// A literal stands on the right side if on any.
    Compare {
        /// Which.
        operator: Comparison,
        /// Left side.
        left: Box<Node>,
        /// Right side.
        right: Box<Node>,
    },
    /// See `Expr::In`.
    In {
        /// What is looked for.
        operand: Box<Node>,
        /// Where.
        list: Vec<Node>,
        /// The list once more when all of it is text.
        texts: Option<TextSet>,
        /// NOT IN.
        negated: bool,
    },
    /// See `Expr::Between`.
    Between {
        /// What is compared.
        operand: Box<Node>,
        /// The least that is in.
        low: Box<Node>,
        /// The greatest that is in.
        high: Box<Node>,
        /// NOT BETWEEN.
        negated: bool,
    },
    /// LIKE and ILIKE.
    Like {
        /// The text.
        operand: Box<Node>,
        /// The pattern.
        pattern: LikePattern,
        /// NOT LIKE.
        negated: bool,
    },
    /// See `Expr::Case`.
    Case {
        /// What conditions are compared with.
        operand: Option<Box<Node>>,
        /// WHEN and THEN.
        branches: Vec<(Node, Node)>,
        /// ELSE.
        otherwise: Option<Box<Node>>,
    },
    /// The first that isn't NULL.
    Coalesce(Vec<Node>),
    /// NULL where both are equal, else the first.
    NullIf(Box<Node>, Box<Node>),
    /// The greatest or the least that isn't NULL.
    Extreme {
        /// Greatest or least.
        greatest: bool,
        /// Of these.
        terms: Vec<Node>,
    },
    /// An operation on the cells of one row at a time.
    Apply {
        /// Which.
        operation: Operation,
        /// Of what.
        arguments: Vec<Node>,
    },
}

/// Texts to be looked up.
#[derive(Debug, Clone)]
pub enum TextSet {
    /// So few that comparing lengths is faster than hashing.
    Few(Vec<Box<[u8]>>),
    /// More.
    Many(HashSet<Box<[u8]>>),
}

impl TextSet {
    /// A set of these.
    pub fn new(texts: Vec<Box<[u8]>>) -> TextSet {
        if texts.len() <= 8 { TextSet::Few(texts) } else { TextSet::Many(texts.into_iter().collect()) }
    }

    /// Whether the text is one of them.
    #[inline]
    pub fn contains(&self, text: &[u8]) -> bool {
        match self {
            TextSet::Few(texts) => texts.iter().any(|known| **known == *text),
            TextSet::Many(texts) => texts.contains(text),
        }
    }
}

/// A literal as a cell with its own text.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// Its type.
    pub tag: Tag,
    /// See `Tag`; of no meaning for text.
    pub bits: u64,
    /// The text, if it is one.
    pub text: Box<[u8]>,
}

/// What LIKE matches with.
#[derive(Debug, Clone)]
pub enum LikePattern {
    /// Known when compiled.
    Fixed(Pattern),
    /// Another in each row.
    Computed {
        /// Gives the pattern.
        pattern: Box<Node>,
        /// ESCAPE.
        escape: Option<char>,
        /// ILIKE.
        any_case: bool,
    },
}

/// Operations on the cells of one row. All but `Concat` are NULL when any argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Of two.
    Arithmetic(ArithmeticOperator),
    /// Unary minus.
    Negate,
    /// A time so many microseconds later.
    Shift(i64),
    /// CAST.
    Cast(CastTarget),
    /// `date_trunc`.
    Truncate(Unit),
    /// `extract`.
    Extract(Field),
    /// Skips NULLs.
    Concat,
    /// As the functions of the same name.
    Abs,
    /// See `Abs`.
    Ceil,
    /// See `Abs`.
    Floor,
    /// See `Abs`.
    Round,
    /// See `Abs`.
    Length,
    /// See `Abs`.
    Lower,
    /// See `Abs`.
    Upper,
    /// See `Abs`.
    Replace,
    /// See `Abs`.
    SplitPart,
    /// See `Abs`.
    StartsWith,
    /// See `Abs`.
    StrPos,
    /// See `Abs`.
    Substring,
    /// See `Abs`.
    Trim {
        /// Before the text.
        at_start: bool,
        /// Behind it.
        at_end: bool,
    },
}

impl Node {
    /// Whether its value depends on the row.
    pub fn has_column(&self) -> bool {
        let any = |nodes: &[Node]| nodes.iter().any(Node::has_column);
        match self {
            Node::Column(_) => true,
            Node::Literal(_) => false,
            Node::And(terms) | Node::Or(terms) | Node::Coalesce(terms) => any(terms),
            Node::Extreme { terms, .. } | Node::Apply { arguments: terms, .. } => any(terms),
            Node::Not(operand) | Node::Is { operand, .. } => operand.has_column(),
            Node::Compare { left, right, .. } | Node::NullIf(left, right) => left.has_column() || right.has_column(),
            Node::In { operand, list, .. } => operand.has_column() || any(list),
            Node::Between { operand, low, high, .. } => operand.has_column() || low.has_column() || high.has_column(),
            Node::Like { operand, pattern, .. } => {
                operand.has_column() || matches!(pattern, LikePattern::Computed { pattern, .. } if pattern.has_column())
            }
            Node::Case { operand, branches, otherwise } => {
                operand.iter().chain(otherwise).any(|node| node.has_column())
                    || branches.iter().any(|(when, then)| when.has_column() || then.has_column())
            }
        }
    }
}

impl Constant {
    /// Its cell; a text is appended to the batch's.
    pub fn cell(&self, text: &mut Vec<u8>) -> Cell {
        match self.tag {
            Tag::Text | Tag::Json => {
                let cell = Cell::new_text(&self.text, text).unwrap_or(Cell::NULL);
                if cell == Cell::NULL { cell } else { Cell { tag: self.tag, ..cell } }
            }
            tag => Cell { tag, bits: self.bits },
        }
    }
}
