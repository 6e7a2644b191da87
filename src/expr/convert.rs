//! From the tree of `sqlparser` to ours: everything is said in one way, and what we don't have is refused by name.
//!
//! Knows nothing of evaluation.

use crate::event::Path;
use crate::expr::ast::{AggregateCall, ArithmeticOperator, CastTarget, Comparison, Expr, Literal, Truth};
use crate::expr::error::{Error, Problem, Span};
use crate::expr::function::{AGGREGATES, CLOCKS, Function, find, nearest};
use crate::expr::like::Pattern;
use crate::expr::times;
use crate::expr::tokens::Tokens;
use sqlparser::ast as sql;
use sqlparser::ast::Spanned;

/// Deeper trees are refused: a bound on the stack of everything that walks a tree. Chains of AND and OR are flat.
const DEPTH_MAX: usize = 200;

/// Converts the trees of one text.
pub struct Converter<'a> {
    /// The text.
    pub tokens: &'a Tokens,
}

impl Converter<'_> {
    /// Converts one expression; `depth` is the number of expressions around it.
    pub fn expr(&self, e: &sql::Expr, depth: usize) -> Result<Expr, Error> {
        if depth > DEPTH_MAX {
            return Err(Error::new(Problem::TooLarge("deeply nested"), self.tokens.source.end()));
        }
        let inner = |e: &sql::Expr| self.expr(e, depth + 1);
        let boxed = |e: &sql::Expr| self.expr(e, depth + 1).map(Box::new);
        let is = |operand: &sql::Expr, test, negated| Ok(Expr::Is { operand: boxed(operand)?, test, negated });
        match e {
            sql::Expr::Nested(e) => inner(e),
            sql::Expr::Identifier(name) => self.path(name),
            sql::Expr::Value(value) => self.value(&value.value, e),
            sql::Expr::TypedString(typed) => self.typed_string(typed, e),
            sql::Expr::Interval(interval) => self.interval(interval),
            sql::Expr::IsNull(e) => is(e, Truth::Null, false),
            sql::Expr::IsNotNull(e) => is(e, Truth::Null, true),
            sql::Expr::IsTrue(e) => is(e, Truth::True, false),
            sql::Expr::IsNotTrue(e) => is(e, Truth::True, true),
            sql::Expr::IsFalse(e) => is(e, Truth::False, false),
            sql::Expr::IsNotFalse(e) => is(e, Truth::False, true),
            sql::Expr::IsUnknown(e) => is(e, Truth::Unknown, false),
            sql::Expr::IsNotUnknown(e) => is(e, Truth::Unknown, true),
            sql::Expr::IsDistinctFrom(left, right) => {
                Ok(Expr::Compare { operator: Comparison::Distinct, left: boxed(left)?, right: boxed(right)? })
            }
            sql::Expr::IsNotDistinctFrom(left, right) => {
                Ok(Expr::Compare { operator: Comparison::NotDistinct, left: boxed(left)?, right: boxed(right)? })
            }
            sql::Expr::InList { expr, list, negated } => {
                let list = list.iter().map(inner).collect::<Result<_, _>>()?;
                Ok(Expr::In { operand: boxed(expr)?, list, negated: *negated })
            }
            sql::Expr::Between { expr, negated, low, high } => {
                let (operand, low, high) = (boxed(expr)?, boxed(low)?, boxed(high)?);
                Ok(Expr::Between { operand, low, high, negated: *negated })
            }
            sql::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(inner(expr)?, pattern, escape_char, [false, *negated], depth)
            }
            sql::Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(inner(expr)?, pattern, escape_char, [true, *negated], depth)
            }
            sql::Expr::BinaryOp { left, op, right } => self.binary(e, left, op, right, depth),
            sql::Expr::UnaryOp { op: sql::UnaryOperator::Not, expr } => Ok(Expr::Not(boxed(expr)?)),
            sql::Expr::UnaryOp { op: sql::UnaryOperator::Plus, expr } => inner(expr),
            sql::Expr::UnaryOp { op: sql::UnaryOperator::Minus, expr } => Ok(negate(inner(expr)?)),
            sql::Expr::Cast { expr, data_type, format: None, .. } => {
                Ok(Expr::Cast { operand: boxed(expr)?, target: self.cast_target(data_type, e)? })
            }
            sql::Expr::Case { operand, conditions, else_result, .. } => {
                let branches = conditions.iter().map(|case| Ok((inner(&case.condition)?, inner(&case.result)?)));
                Ok(Expr::Case {
                    operand: operand.as_deref().map(boxed).transpose()?,
                    branches: branches.collect::<Result<_, _>>()?,
                    otherwise: else_result.as_deref().map(boxed).transpose()?,
                })
            }
            sql::Expr::Function(call) => self.function(call, e, depth),
            _ => self.special_call(e, depth),
        }
    }

    /// The calls with a grammar of their own.
    fn special_call(&self, e: &sql::Expr, depth: usize) -> Result<Expr, Error> {
        let inner = |e: &sql::Expr| self.expr(e, depth + 1);
        let space = || Expr::Literal(Literal::Text(" ".into()));
        match e {
            sql::Expr::Extract { field, expr, .. } => {
                let field = Expr::Literal(Literal::Text(field.to_string().into()));
                self.call(Function::Extract, vec![field, inner(expr)?], self.span(e))
            }
            sql::Expr::Position { expr, r#in } => {
                Ok(Expr::Call { function: Function::StrPos, arguments: vec![inner(r#in)?, inner(expr)?] })
            }
            sql::Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![inner(expr)?];
                match (substring_from, substring_for) {
                    (None, Some(_)) => arguments.push(Expr::Literal(Literal::Int(1))),
                    (None, None) => {
                        let expected = "2 to 3 arguments".into();
                        let problem = Problem::Arguments { name: "substring".into(), expected, found: 1 };
                        return Err(Error::new(problem, self.span(e)));
                    }
                    _ => {}
                }
                for argument in substring_from.iter().chain(substring_for) {
                    arguments.push(inner(argument)?);
                }
                Ok(Expr::Call { function: Function::Substring, arguments })
            }
            sql::Expr::Trim { expr, trim_where, trim_what, trim_characters: None } => {
                let function = match trim_where {
                    None | Some(sql::TrimWhereField::Both) => Function::TrimBoth,
                    Some(sql::TrimWhereField::Leading) => Function::TrimLeading,
                    Some(sql::TrimWhereField::Trailing) => Function::TrimTrailing,
                };
                let characters = trim_what.as_deref().map_or_else(|| Ok(space()), inner)?;
                Ok(Expr::Call { function, arguments: vec![inner(expr)?, characters] })
            }
            sql::Expr::Tuple(_) => self.unsupported("a list of values outside of IN", e),
            _ => self.unsupported(&format!("'{e}'"), e),
        }
    }

    fn path(&self, name: &sql::Ident) -> Result<Expr, Error> {
        let span = self.tokens.source.span(name.span);
        match self.tokens.paths.get(&name.value) {
            Some(path) => Ok(Expr::Path { path: path.clone(), span }),
            None => Err(Error::new(Problem::Syntax(format!("'{}' cannot stand here", name.value)), span)),
        }
    }

    fn value(&self, value: &sql::Value, e: &sql::Expr) -> Result<Expr, Error> {
        Ok(Expr::Literal(match value {
            sql::Value::Null => Literal::Null,
            sql::Value::Boolean(b) => Literal::Bool(*b),
            sql::Value::SingleQuotedString(text) => Literal::Text(text.as_str().into()),
            sql::Value::Number(digits, _) => match (digits.parse::<u64>(), digits.parse::<f64>()) {
                (Ok(integer), _) => Literal::Int(integer.into()),
                (_, Ok(float)) if float.is_finite() => Literal::Float(float),
                _ => return Err(self.literal("a number", digits, "it is greater than any double", self.span(e))),
            },
            _ => return self.unsupported(&format!("the literal {value}"), e),
        }))
    }

    fn typed_string(&self, typed: &sql::TypedString, e: &sql::Expr) -> Result<Expr, Error> {
        let (sql::DataType::Timestamp(..) | sql::DataType::Date, sql::Value::SingleQuotedString(text)) =
            (&typed.data_type, &typed.value.value)
        else {
            return self.unsupported(&format!("a literal of type '{}'", typed.data_type), e);
        };
        match times::parse_literal(text) {
            Some(time) => Ok(Expr::Literal(Literal::Time(time))),
            None => {
                let reason = "expected RFC 3339, such as '2026-01-31T12:00:00Z'";
                Err(self.literal("a timestamp", text, reason, self.tokens.source.span(typed.value.span)))
            }
        }
    }

    fn interval(&self, interval: &sql::Interval) -> Result<Expr, Error> {
        let sql::Expr::Value(value) = &*interval.value else {
            return self.unsupported("an interval that is no literal", &interval.value);
        };
        let sql::Value::SingleQuotedString(text) = &value.value else {
            return self.unsupported("an interval without quotes", &interval.value);
        };
        let text = match &interval.leading_field {
            Some(unit) => format!("{text} {}", unit.to_string().to_lowercase()),
            None => text.clone(),
        };
        match times::parse_interval(&text) {
            Ok(length) => Ok(Expr::Literal(Literal::Interval(length))),
            Err(reason) => Err(self.literal("an interval", &text, &reason, self.tokens.source.span(value.span))),
        }
    }

    fn like(
        &self,
        operand: Expr,
        pattern: &sql::Expr,
        escape: &Option<Box<sql::Expr>>,
        [any_case, negated]: [bool; 2],
        depth: usize,
    ) -> Result<Expr, Error> {
        let (span, escape) = (self.span(pattern), self.escape(escape)?);
        let pattern = self.expr(pattern, depth + 1)?;
        if let Expr::Literal(Literal::Text(text)) = &pattern
            && Pattern::new(text, escape, any_case).is_none()
        {
            return Err(self.literal("a pattern", text, "it ends with the escape character", span));
        }
        Ok(Expr::Like { operand: Box::new(operand), pattern: Box::new(pattern), escape, any_case, negated })
    }

    fn escape(&self, escape: &Option<Box<sql::Expr>>) -> Result<Option<char>, Error> {
        let Some(e) = escape else { return Ok(None) };
        if let sql::Expr::Value(value) = &**e
            && let sql::Value::SingleQuotedString(text) = &value.value
            && text.chars().count() == 1
        {
            return Ok(text.chars().next());
        }
        Err(self.literal("an escape", &e.to_string(), "expected one character", self.span(e)))
    }

    fn binary(
        &self,
        e: &sql::Expr,
        left: &sql::Expr,
        op: &sql::BinaryOperator,
        right: &sql::Expr,
        depth: usize,
    ) -> Result<Expr, Error> {
        use sql::BinaryOperator as Op;
        if matches!(op, Op::And | Op::Or) {
            let mut terms = Vec::new();
            self.chain(left, right, op, &mut terms, depth)?;
            return Ok(if *op == Op::And { Expr::And(terms) } else { Expr::Or(terms) });
        }
        let compare = |operator, left, right| Expr::Compare { operator, left, right };
        let arithmetic = |operator, left, right| Expr::Arithmetic { operator, left, right };
        let (left, right) = (Box::new(self.expr(left, depth + 1)?), Box::new(self.expr(right, depth + 1)?));
        Ok(match op {
            Op::Eq => compare(Comparison::Equal, left, right),
            Op::NotEq => compare(Comparison::NotEqual, left, right),
            Op::Lt => compare(Comparison::Less, left, right),
            Op::LtEq => compare(Comparison::LessOrEqual, left, right),
            Op::Gt => compare(Comparison::Greater, left, right),
            Op::GtEq => compare(Comparison::GreaterOrEqual, left, right),
            Op::Plus => arithmetic(ArithmeticOperator::Add, left, right),
            Op::Minus => arithmetic(ArithmeticOperator::Subtract, left, right),
            Op::Multiply => arithmetic(ArithmeticOperator::Multiply, left, right),
            Op::Divide => arithmetic(ArithmeticOperator::Divide, left, right),
            Op::Modulo => arithmetic(ArithmeticOperator::Remainder, left, right),
            Op::StringConcat => arithmetic(ArithmeticOperator::Concatenate, left, right),
            _ => return self.unsupported(&format!("the operator '{op}'"), e),
        })
    }

    /// Flattens `a AND b AND c`, however long: the parser hangs such chains to the left.
    fn chain(
        &self,
        left: &sql::Expr,
        right: &sql::Expr,
        op: &sql::BinaryOperator,
        terms: &mut Vec<Expr>,
        depth: usize,
    ) -> Result<(), Error> {
        let (mut spine, mut first) = (vec![right], left);
        loop {
            match first {
                sql::Expr::BinaryOp { left, op: inner, right } if inner == op => {
                    spine.push(right);
                    first = left;
                }
                sql::Expr::Nested(inner) => first = inner,
                _ => break,
            }
        }
        for term in std::iter::once(first).chain(spine.into_iter().rev()) {
            match (self.expr(term, depth + 1)?, op) {
                (Expr::And(inner), sql::BinaryOperator::And) | (Expr::Or(inner), sql::BinaryOperator::Or) => {
                    terms.extend(inner);
                }
                (term, _) => terms.push(term),
            }
        }
        Ok(())
    }

    fn cast_target(&self, data_type: &sql::DataType, e: &sql::Expr) -> Result<CastTarget, Error> {
        use sql::DataType as Type;
        Ok(match data_type {
            Type::BigInt(_) | Type::Int(_) | Type::Integer(_) | Type::Int8(_) | Type::Int64 => CastTarget::Integer,
            Type::BigIntUnsigned(_) | Type::UBigInt | Type::UInt64 => CastTarget::Integer,
            Type::Double(_) | Type::DoublePrecision | Type::Float(_) | Type::Float8 | Type::Float64 | Type::Real => {
                CastTarget::Double
            }
            Type::Text | Type::Varchar(None) | Type::CharacterVarying(None) | Type::String(None) => CastTarget::Text,
            Type::Boolean | Type::Bool => CastTarget::Boolean,
            Type::Timestamp(..) => CastTarget::Timestamp,
            _ => {
                let problem = Problem::Unsupported(format!("the type '{data_type}'"));
                return Err(Error::new(problem, self.tokens.source.find_after(&data_type.to_string(), &self.span(e))));
            }
        })
    }

    fn function(&self, call: &sql::Function, e: &sql::Expr, depth: usize) -> Result<Expr, Error> {
        let name = call.name.to_string();
        let span = match call.name.0.first().and_then(|part| part.as_ident()) {
            Some(ident) => self.tokens.source.span(ident.span),
            None => self.span(e),
        };
        let lower = name.to_ascii_lowercase();
        if AGGREGATES.contains(&&*lower) {
            return self.aggregate(call, lower, span, depth);
        }
        if CLOCKS.contains(&&*lower) {
            return Err(Error::new(Problem::Clock(lower), span));
        }
        let Some(signature) = find(&lower) else {
            let suggestion = nearest(&name).map(String::from);
            return Err(Error::new(Problem::UnknownFunction { name, suggestion }, span));
        };
        if call.filter.is_some() || !call.within_group.is_empty() || call.over.is_some() {
            return Err(Error::new(Problem::Unsupported(format!("FILTER or WITHIN GROUP with '{lower}'")), span));
        }
        let (mut arguments, star, distinct) = self.arguments(call, &span, depth)?;
        if star || distinct {
            return Err(Error::new(Problem::Unsupported(format!("'*' or DISTINCT in '{lower}'")), span));
        }
        let (least, most, found) = (signature.least, signature.most, arguments.len());
        if found < least || found > most {
            let plural = if most == 1 { "" } else { "s" };
            let many = if least == most { String::new() } else { format!(" to {most}") };
            let problem =
                Problem::Arguments { name: lower, expected: format!("{least}{many} argument{plural}"), found };
            return Err(Error::new(problem, span));
        }
        let is_trim = matches!(signature.function, Function::TrimBoth | Function::TrimLeading | Function::TrimTrailing);
        if is_trim && found == 1 {
            arguments.push(Expr::Literal(Literal::Text(" ".into())));
        }
        self.call(signature.function, arguments, span)
    }

    /// Checks the arguments that must be literals and puts them in one form.
    fn call(&self, function: Function, mut arguments: Vec<Expr>, span: Span) -> Result<Expr, Error> {
        let is_time = matches!(function, Function::DateTrunc | Function::Extract);
        if is_time && let Some(first) = arguments.first_mut() {
            let Expr::Literal(Literal::Text(unit)) = first else {
                return Err(Error::new(Problem::Unsupported("a unit of time that is no literal".into()), span));
            };
            *unit = unit.to_lowercase().into();
            let known = if function == Function::DateTrunc {
                times::Unit::parse(unit).map(|_| ()).ok_or(times::Unit::names())
            } else {
                times::Field::parse(unit).map(|_| ()).ok_or(times::Field::names())
            };
            if let Err(names) = known {
                return Err(self.literal("a unit of time", unit, &format!("expected one of {names}"), span));
            }
        }
        Ok(Expr::Call { function, arguments })
    }

    fn arguments(&self, call: &sql::Function, span: &Span, depth: usize) -> Result<(Vec<Expr>, bool, bool), Error> {
        let sql::FunctionArguments::List(list) = &call.args else {
            return Err(Error::new(Problem::Unsupported("a call without plain arguments".into()), span.clone()));
        };
        if !list.clauses.is_empty() || call.parameters != sql::FunctionArguments::None || call.null_treatment.is_some()
        {
            return Err(Error::new(Problem::Unsupported("a clause among the arguments".into()), span.clone()));
        }
        let (mut arguments, mut star) = (Vec::new(), false);
        for argument in &list.args {
            match argument {
                sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(e)) => arguments.push(self.expr(e, depth + 1)?),
                sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Wildcard) => star = true,
                _ => return Err(Error::new(Problem::Unsupported("a named argument".into()), span.clone())),
            }
        }
        Ok((arguments, star, list.duplicate_treatment == Some(sql::DuplicateTreatment::Distinct)))
    }

    fn aggregate(&self, call: &sql::Function, function: String, span: Span, depth: usize) -> Result<Expr, Error> {
        let refused =
            |what: &str| Err(Error::new(Problem::Unsupported(format!("{what} in '{function}'")), span.clone()));
        if call.over.is_some() {
            return Err(Error::new(Problem::Unsupported("a window function".into()), span));
        }
        let (arguments, star, distinct) = self.arguments(call, &span, depth)?;
        if star && (!arguments.is_empty() || distinct || function != "count") {
            return refused("'*'");
        }
        let filter = call.filter.as_deref().map(|filter| self.expr(filter, depth + 1)).transpose()?;
        let (mut within_group, mut within_group_descending) = (None, false);
        match &*call.within_group {
            [] => {}
            [order] => {
                within_group_descending = order.options.sort == Some(sql::OrderBySort::Desc);
                within_group = Some(self.expr(&order.expr, depth + 1)?);
            }
            _ => return refused("an order by several keys"),
        }
        for inner in arguments.iter().chain(&filter).chain(&within_group) {
            inner.refuse_aggregates("another aggregate")?;
        }
        let name = String::new();
        let mut call = AggregateCall {
            function,
            arguments,
            star,
            distinct,
            within_group,
            within_group_descending,
            filter,
            name,
            span: span.clone(),
        };
        call.name = call.to_string();
        let path = Path::of_keys(&[&call.name]);
        Ok(Expr::Aggregate { call: Box::new(call), path, span })
    }

    fn span(&self, e: &sql::Expr) -> Span {
        self.tokens.source.span(e.span())
    }

    fn literal(&self, what: &'static str, value: &str, reason: &str, span: Span) -> Error {
        Error::new(Problem::Literal { what, value: value.into(), reason: reason.into() }, span)
    }

    fn unsupported<T>(&self, what: &str, e: &sql::Expr) -> Result<T, Error> {
        Err(Error::new(Problem::Unsupported(what.into()), self.span(e)))
    }
}

/// `-operand`; a number takes the sign itself, so that `-9223372036854775808` is an integer.
fn negate(operand: Expr) -> Expr {
    match operand {
        Expr::Literal(Literal::Int(i)) if -i >= i64::MIN.into() => Expr::Literal(Literal::Int(-i)),
        Expr::Literal(Literal::Int(i)) => Expr::Literal(Literal::Float(-(i as f64))),
        Expr::Literal(Literal::Float(x)) => Expr::Literal(Literal::Float(-x)),
        operand => Expr::Negate(Box::new(operand)),
    }
}
