//! Expressions compiled for the columns at hand.
//!
//! Knows nothing of where columns come from: the caller resolves paths.

use std::cell::RefCell;

use crate::batch::{Column, Tag};
use crate::event::Path;
use crate::expr::ast::{ArithmeticOperator, Comparison, Expr, Literal};
use crate::expr::cells::{Cell, Rows};
use crate::expr::error::{Error, Problem, Span};
use crate::expr::evaluate::Evaluation;
use crate::expr::function::Function;
use crate::expr::like::Pattern;
use crate::expr::node::{Constant, LikePattern, Node, Operation, TextSet};
use crate::expr::times;

/// A compiled expression. It is stateless: any thread may evaluate any batch.
#[derive(Debug, Clone)]
pub struct Program {
    root: Node,
    reads: Vec<usize>,
}

impl Program {
    /// Compiles `expr`; `resolve` gives the number of a path's column. Parts without a path are computed once, here.
    pub fn compile(expr: &Expr, resolve: &dyn Fn(&Path) -> Option<usize>) -> Result<Program, Error> {
        let reads = RefCell::new(Vec::new());
        let noting = |path: &Path| {
            let column = resolve(path);
            reads.borrow_mut().extend(column);
            column
        };
        let root = node(expr, &noting)?;
        Ok(Program { root, reads: reads.into_inner() })
    }

    /// Whether the values may depend on this column. One that is not read may be left empty.
    pub fn reads(&self, column: usize) -> bool {
        self.reads.contains(&column)
    }

    /// The values of all rows, in order. Text results are appended to `text`, the batch's; every operation that had no
    /// value adds one to `nulled`. `columns` must be those that `resolve` meant, each of `rows` cells.
    pub fn evaluate(&self, columns: &[Column], rows: usize, text: &mut Vec<u8>, nulled: &mut u64) -> Column {
        let mut evaluation = Evaluation { columns, text, nulled };
        evaluation.vector(&self.root, Rows { count: rows, mask: None }).into_column(rows)
    }

    /// The rows where the value is TRUE, in order; as `evaluate` otherwise. What is no truth value is NULL and counted.
    pub fn select(&self, columns: &[Column], rows: usize, text: &mut Vec<u8>, nulled: &mut u64) -> Vec<u32> {
        let mut evaluation = Evaluation { columns, text, nulled };
        let tags = evaluation.truth(&self.root, Rows { count: rows, mask: None });
        let mut selected = vec![0; rows];
        let mut count = 0;
        for (row, tag) in tags.iter().enumerate() {
            selected[count] = row as u32;
            count += usize::from(*tag == Tag::True);
        }
        selected.truncate(count);
        selected
    }

    /// The column's number when the expression is a bare path: the caller need not evaluate it.
    pub fn as_column(&self) -> Option<usize> {
        match self.root {
            Node::Column(column) => Some(column),
            _ => None,
        }
    }
}

fn node(expr: &Expr, resolve: &dyn Fn(&Path) -> Option<usize>) -> Result<Node, Error> {
    let inner = |expr: &Expr| node(expr, resolve);
    let boxed = |expr: &Expr| node(expr, resolve).map(Box::new);
    let all = |exprs: &[Expr]| exprs.iter().map(inner).collect::<Result<Vec<_>, _>>();
    let compiled = match expr {
        Expr::Path { path, span } | Expr::Aggregate { path, span, .. } => return column(path, span, resolve),
        Expr::Literal(literal) => return Ok(Node::Literal(constant(literal))),
        Expr::And(terms) => Node::And(all(terms)?),
        Expr::Or(terms) => Node::Or(all(terms)?),
        Expr::Not(operand) => Node::Not(boxed(operand)?),
        Expr::Is { operand, test, negated } => Node::Is { operand: boxed(operand)?, test: *test, negated: *negated },
        Expr::Compare { operator, left, right } => compare(*operator, inner(left)?, inner(right)?),
        Expr::In { operand, list, negated } => {
            let list = all(list)?;
            let text_of = |item: &Node| match item {
                Node::Literal(constant) if constant.tag == Tag::Text => Some(constant.text.clone()),
                _ => None,
            };
            let texts = list.iter().map(text_of).collect::<Option<Vec<_>>>().map(TextSet::new);
            Node::In { operand: boxed(operand)?, list, texts, negated: *negated }
        }
        Expr::Between { operand, low, high, negated } => {
            Node::Between { operand: boxed(operand)?, low: boxed(low)?, high: boxed(high)?, negated: *negated }
        }
        Expr::Like { operand, pattern, escape, any_case, negated } => {
            let fixed = match &**pattern {
                Expr::Literal(Literal::Text(pattern)) => Pattern::new(pattern, *escape, *any_case),
                _ => None,
            };
            let pattern = match fixed {
                Some(pattern) => LikePattern::Fixed(pattern),
                None => LikePattern::Computed { pattern: boxed(pattern)?, escape: *escape, any_case: *any_case },
            };
            Node::Like { operand: boxed(operand)?, pattern, negated: *negated }
        }
        Expr::Arithmetic { operator, left, right } => arithmetic(*operator, left, right, resolve)?,
        Expr::Negate(operand) => apply(Operation::Negate, vec![inner(operand)?]),
        Expr::Case { operand, branches, otherwise } => Node::Case {
            operand: operand.as_deref().map(boxed).transpose()?,
            branches: branches.iter().map(|(w, t)| Ok((inner(w)?, inner(t)?))).collect::<Result<_, Error>>()?,
            otherwise: otherwise.as_deref().map(boxed).transpose()?,
        },
        Expr::Cast { operand, target } => apply(Operation::Cast(*target), vec![inner(operand)?]),
        Expr::Call { function, arguments } => call(*function, arguments, resolve)?,
    };
    Ok(folded(compiled))
}

fn column(path: &Path, span: &Span, resolve: &dyn Fn(&Path) -> Option<usize>) -> Result<Node, Error> {
    match resolve(path) {
        Some(column) => Ok(Node::Column(column)),
        None => Err(Error::new(Problem::NoColumn(path.to_string()), span.clone())),
    }
}

/// A node without columns as a literal, unless computing it counts something: that has to happen for every row.
fn folded(node: Node) -> Node {
    if node.has_column() {
        return node;
    }
    let (mut text, mut nulled) = (Vec::new(), 0);
    let mut evaluation = Evaluation { columns: &[], text: &mut text, nulled: &mut nulled };
    let cell: Cell = evaluation.vector(&node, Rows { count: 1, mask: None }).cell(0);
    if nulled > 0 {
        return node;
    }
    let own_text = cell.bytes(&text).unwrap_or_default().into();
    let bits = if cell.tag == Tag::Text { 0 } else { cell.bits };
    Node::Literal(Constant { tag: cell.tag, bits, text: own_text })
}

fn constant(literal: &Literal) -> Constant {
    let plain = |cell: Option<Cell>| {
        let cell = cell.expect("the parser only makes literals that cells can hold");
        Constant { tag: cell.tag, bits: cell.bits, text: Box::default() }
    };
    match literal {
        Literal::Null => plain(Some(Cell::NULL)),
        Literal::Bool(b) => plain(Some(Cell::boolean(*b))),
        Literal::Int(i) => plain(Cell::int(*i)),
        Literal::Float(x) => plain(Cell::float(*x)),
        Literal::Text(text) => Constant { tag: Tag::Text, bits: 0, text: text.as_bytes().into() },
        Literal::Time(time) => plain(Some(Cell::time(time.0))),
        Literal::Interval(length) => plain(Cell::float(length.0 as f64 / 1e6)),
    }
}

/// A comparison with a literal, if any, on the right.
fn compare(operator: Comparison, left: Node, right: Node) -> Node {
    let is_swapped = matches!(left, Node::Literal(_)) && !matches!(right, Node::Literal(_));
    if !is_swapped {
        return Node::Compare { operator, left: Box::new(left), right: Box::new(right) };
    }
    let operator = match operator {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    };
    Node::Compare { operator, left: Box::new(right), right: Box::new(left) }
}

fn arithmetic(
    operator: ArithmeticOperator,
    left: &Expr,
    right: &Expr,
    resolve: &dyn Fn(&Path) -> Option<usize>,
) -> Result<Node, Error> {
    let shift = |operand, micros| Ok(apply(Operation::Shift(micros), vec![node(operand, resolve)?]));
    match (operator, left, right) {
        (_, Expr::Literal(Literal::Interval(_)), Expr::Literal(Literal::Interval(_))) => {}
        (ArithmeticOperator::Add, operand, Expr::Literal(Literal::Interval(length)))
        | (ArithmeticOperator::Add, Expr::Literal(Literal::Interval(length)), operand) => {
            return shift(operand, length.0);
        }
        (ArithmeticOperator::Subtract, operand, Expr::Literal(Literal::Interval(length))) => {
            return shift(operand, -length.0);
        }
        _ => {}
    }
    Ok(apply(Operation::Arithmetic(operator), vec![node(left, resolve)?, node(right, resolve)?]))
}

fn apply(operation: Operation, arguments: Vec<Node>) -> Node {
    Node::Apply { operation, arguments }
}

fn call(function: Function, exprs: &[Expr], resolve: &dyn Fn(&Path) -> Option<usize>) -> Result<Node, Error> {
    let mut arguments = exprs.iter().map(|expr| node(expr, resolve)).collect::<Result<Vec<_>, _>>()?;
    let unit = match exprs.first() {
        Some(Expr::Literal(Literal::Text(unit))) => &**unit,
        _ => "",
    };
    let operation = match function {
        Function::Coalesce => return Ok(Node::Coalesce(arguments)),
        Function::Greatest => return Ok(Node::Extreme { greatest: true, terms: arguments }),
        Function::Least => return Ok(Node::Extreme { greatest: false, terms: arguments }),
        Function::NullIf => {
            let other = Box::new(arguments.pop().expect("the parser checked for two arguments"));
            let value = Box::new(arguments.pop().expect("the parser checked for two arguments"));
            return Ok(Node::NullIf(value, other));
        }
        Function::DateTrunc => {
            arguments.remove(0);
            Operation::Truncate(times::Unit::parse(unit).expect("the parser checked the unit"))
        }
        Function::Extract => {
            arguments.remove(0);
            Operation::Extract(times::Field::parse(unit).expect("the parser checked the field"))
        }
        Function::Abs => Operation::Abs,
        Function::Ceil => Operation::Ceil,
        Function::Concat => Operation::Concat,
        Function::Floor => Operation::Floor,
        Function::Length => Operation::Length,
        Function::Lower => Operation::Lower,
        Function::Replace => Operation::Replace,
        Function::Round => Operation::Round,
        Function::SplitPart => Operation::SplitPart,
        Function::StartsWith => Operation::StartsWith,
        Function::StrPos => Operation::StrPos,
        Function::Substring => Operation::Substring,
        Function::TrimBoth => Operation::Trim { at_start: true, at_end: true },
        Function::TrimLeading => Operation::Trim { at_start: true, at_end: false },
        Function::TrimTrailing => Operation::Trim { at_start: false, at_end: true },
        Function::Upper => Operation::Upper,
    };
    Ok(apply(operation, arguments))
}
