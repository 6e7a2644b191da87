//! A naive interpreter that takes one row at a time: what the vectorised evaluator is tested against.
//!
//! It shares no code with the evaluator but chrono's calendar.

use crate::event::Path;
use crate::expr::{ArithmeticOperator, CastTarget, Comparison, Expr, Function, Literal, Truth};
use crate::time::Timestamp;
use crate::value::Value;
use chrono::{DateTime, Datelike, Timelike};
use std::cmp::Ordering;

/// Interprets over one row, and counts.
pub struct Row<'a> {
    /// Names of the columns.
    pub names: &'a [&'a str],
    /// Their values.
    pub values: &'a [Value],
    /// How often there was no value.
    pub nulled: u64,
}

impl Row<'_> {
    /// The value of an expression.
    pub fn value(&mut self, expr: &Expr) -> Value {
        match expr {
            Expr::Path { path, .. } | Expr::Aggregate { path, .. } => {
                let column = self.names.iter().position(|name| *path == Path::of_keys(&[name])).unwrap();
                self.values[column].clone()
            }
            Expr::Literal(literal) => match literal {
                Literal::Null => Value::Null,
                Literal::Bool(b) => Value::Bool(*b),
                Literal::Int(i) => Value::Int(*i),
                Literal::Float(x) => Value::Float(*x),
                Literal::Text(text) => Value::Text(text.clone()),
                Literal::Time(time) => Value::Time(*time),
                Literal::Interval(length) => Value::Float(length.0 as f64 / 1e6),
            },
            Expr::And(terms) => {
                let mut result = Some(true);
                for term in terms {
                    match self.truth(term) {
                        Some(false) => return Value::Bool(false),
                        None => result = None,
                        Some(true) => {}
                    }
                }
                tri(result)
            }
            Expr::Or(terms) => {
                let mut result = Some(false);
                for term in terms {
                    match self.truth(term) {
                        Some(true) => return Value::Bool(true),
                        None => result = None,
                        Some(false) => {}
                    }
                }
                tri(result)
            }
            Expr::Not(operand) => tri(self.truth(operand).map(|b| !b)),
            Expr::Is { operand, test: Truth::Null, negated } => {
                Value::Bool((self.value(operand) == Value::Null) != *negated)
            }
            Expr::Is { operand, test, negated } => {
                let sought = match test {
                    Truth::True => Some(true),
                    Truth::False => Some(false),
                    _ => None,
                };
                Value::Bool((self.truth(operand) == sought) != *negated)
            }
            Expr::Compare { operator, left, right } => {
                let (left, right) = (self.value(left), self.value(right));
                tri(self.compare(*operator, &left, &right))
            }
            Expr::In { operand, list, negated } => {
                let operand = self.value(operand);
                let mut result = Some(false);
                for item in list {
                    let item = self.value(item);
                    match self.compare(Comparison::Equal, &operand, &item) {
                        Some(true) => return Value::Bool(!negated),
                        None => result = None,
                        Some(false) => {}
                    }
                }
                tri(result.map(|found| found != *negated))
            }
            Expr::Between { operand, low, high, negated } => {
                let (operand, low) = (self.value(operand), self.value(low));
                let above = self.compare(Comparison::GreaterOrEqual, &operand, &low);
                if above == Some(false) {
                    return Value::Bool(*negated);
                }
                let high = self.value(high);
                let below = self.compare(Comparison::LessOrEqual, &operand, &high);
                let both = if below == Some(false) { Some(false) } else { above.and(below) };
                tri(both.map(|both| both != *negated))
            }
            Expr::Like { operand, pattern, escape, any_case, negated } => {
                match (self.value(operand), self.value(pattern)) {
                    (Value::Null, _) | (_, Value::Null) => Value::Null,
                    (Value::Text(text), Value::Text(pattern)) => {
                        let fold = |s: &str| if *any_case { s.to_lowercase() } else { s.to_string() };
                        let pattern: Vec<char> = fold(&pattern).chars().collect();
                        let text: Vec<char> = fold(&text).chars().collect();
                        let result = like(&pattern, &text, *escape).map(|b| Value::Bool(b != *negated));
                        self.counted(result)
                    }
                    _ => self.counted(None),
                }
            }
            Expr::Arithmetic { operator, left, right } => self.arithmetic(*operator, left, right),
            Expr::Negate(operand) => match self.value(operand) {
                Value::Null => Value::Null,
                Value::Int(i) => self.counted(int(-i)),
                Value::Float(x) => Value::Float(-x),
                _ => self.counted(None),
            },
            Expr::Case { operand, branches, otherwise } => {
                let operand = operand.as_ref().map(|operand| self.value(operand));
                for (when, then) in branches {
                    let is_chosen = match &operand {
                        None => self.truth(when),
                        Some(operand) => {
                            let when = self.value(when);
                            self.compare(Comparison::Equal, operand, &when)
                        }
                    };
                    if is_chosen == Some(true) {
                        return self.value(then);
                    }
                }
                otherwise.as_ref().map_or(Value::Null, |otherwise| self.value(otherwise))
            }
            Expr::Cast { operand, target } => match self.value(operand) {
                Value::Null => Value::Null,
                value => self.counted(cast(value, *target)),
            },
            Expr::Call { function, arguments } => self.call(*function, arguments),
        }
    }

    fn counted(&mut self, value: Option<Value>) -> Value {
        self.nulled += u64::from(value.is_none());
        value.unwrap_or(Value::Null)
    }

    fn truth(&mut self, expr: &Expr) -> Option<bool> {
        match self.value(expr) {
            Value::Bool(b) => Some(b),
            Value::Null => None,
            _ => {
                self.nulled += 1;
                None
            }
        }
    }

    fn compare(&mut self, operator: Comparison, left: &Value, right: &Value) -> Option<bool> {
        let distinct = match operator {
            Comparison::Distinct => Some(true),
            Comparison::NotDistinct => Some(false),
            _ => None,
        };
        if *left == Value::Null || *right == Value::Null {
            return distinct.map(|distinct| (left == right) != distinct);
        }
        let ordering = match (left, right) {
            (Value::Json(left), Value::Json(right)) => match operator {
                Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual => None,
                _ => Some(if left == right { Ordering::Equal } else { Ordering::Less }),
            },
            _ => order(left, right),
        };
        let Some(ordering) = ordering else {
            if distinct.is_none() {
                self.nulled += 1;
            }
            return distinct;
        };
        Some(match operator {
            Comparison::Equal | Comparison::NotDistinct => ordering == Ordering::Equal,
            Comparison::NotEqual | Comparison::Distinct => ordering != Ordering::Equal,
            Comparison::Less => ordering == Ordering::Less,
            Comparison::LessOrEqual => ordering != Ordering::Greater,
            Comparison::Greater => ordering == Ordering::Greater,
            Comparison::GreaterOrEqual => ordering != Ordering::Less,
        })
    }

    fn arithmetic(&mut self, operator: ArithmeticOperator, left: &Expr, right: &Expr) -> Value {
        let shift = match (operator, left, right) {
            _ if is_interval(left) && is_interval(right) => None,
            (ArithmeticOperator::Add, e, Expr::Literal(Literal::Interval(length)))
            | (ArithmeticOperator::Add, Expr::Literal(Literal::Interval(length)), e) => Some((e, length.0)),
            (ArithmeticOperator::Subtract, e, Expr::Literal(Literal::Interval(length))) => Some((e, -length.0)),
            _ => None,
        };
        if let Some((operand, micros)) = shift {
            let shifted = match self.value(operand) {
                Value::Null => return Value::Null,
                Value::Int(i) => float(i as f64 + micros as f64 / 1e6),
                Value::Float(x) => float(x + micros as f64 / 1e6),
                value => time(&value).and_then(|t| t.checked_add(micros)).map(|t| Value::Time(Timestamp(t))),
            };
            return self.counted(shifted);
        }
        let (left, right) = (self.value(left), self.value(right));
        if left == Value::Null || right == Value::Null {
            return Value::Null;
        }
        let result = match (operator, &left, &right) {
            (ArithmeticOperator::Concatenate, ..) => Some(Value::Text((plain(&left) + &plain(&right)).into())),
            (ArithmeticOperator::Divide, ..) => match (double(&left), double(&right)) {
                (Some(left), Some(right)) if right != 0.0 => float(left / right),
                _ => None,
            },
            (_, Value::Int(left), Value::Int(right)) => match operator {
                ArithmeticOperator::Add => int(left + right),
                ArithmeticOperator::Subtract => int(left - right),
                ArithmeticOperator::Multiply => left.checked_mul(*right).and_then(int),
                _ => left.checked_rem(*right).and_then(int),
            },
            (ArithmeticOperator::Subtract, Value::Time(_) | Value::Text(_), Value::Time(_) | Value::Text(_)) => {
                let difference = |l: i64, r: i64| Value::Float((i128::from(l) - i128::from(r)) as f64 / 1e6);
                time(&left).zip(time(&right)).map(|(l, r)| difference(l, r))
            }
            _ => match (double(&left), double(&right)) {
                (Some(left), Some(right)) => float(match operator {
                    ArithmeticOperator::Add => left + right,
                    ArithmeticOperator::Subtract => left - right,
                    ArithmeticOperator::Multiply => left * right,
                    _ => left % right,
                }),
                _ => None,
            },
        };
        self.counted(result)
    }

    fn call(&mut self, function: Function, arguments: &[Expr]) -> Value {
        if function == Function::Coalesce {
            let mut values = arguments.iter().map(|argument| self.value(argument));
            return values.find(|value| *value != Value::Null).unwrap_or(Value::Null);
        }
        let values: Vec<Value> = arguments.iter().map(|argument| self.value(argument)).collect();
        match function {
            Function::Concat => {
                let texts: String = values.iter().filter(|value| **value != Value::Null).map(plain).collect();
                return Value::Text(texts.into());
            }
            Function::NullIf => {
                let is_equal = self.compare(Comparison::Equal, &values[0], &values[1]) == Some(true);
                return if is_equal { Value::Null } else { values[0].clone() };
            }
            Function::Greatest | Function::Least => {
                let sought = if function == Function::Greatest { Ordering::Greater } else { Ordering::Less };
                let mut best = Value::Null;
                for value in values.into_iter().filter(|value| *value != Value::Null) {
                    match order(&value, &best) {
                        _ if best == Value::Null => best = value,
                        Some(ordering) if ordering == sought => best = value,
                        Some(_) => {}
                        None => return self.counted(None),
                    }
                }
                return best;
            }
            _ => {}
        }
        if values.contains(&Value::Null) { Value::Null } else { self.counted(strict(function, &values)) }
    }
}

fn is_interval(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(Literal::Interval(_)))
}

fn tri(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Bool)
}

fn int(i: i128) -> Option<Value> {
    (i >= i64::MIN.into() && i <= u64::MAX.into()).then_some(Value::Int(i))
}

fn float(x: f64) -> Option<Value> {
    x.is_finite().then_some(Value::Float(x))
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

fn time(value: &Value) -> Option<i64> {
    match value {
        Value::Time(t) => Some(t.0),
        Value::Text(text) => DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros()),
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Time(t) => t.to_string(),
        other => other.to_json(),
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Float(right)) => {
            // All integers lie between the bounds, where the floor is exact.
            let floor = right.clamp(-1e20, 1e20).floor();
            let is_whole = floor == *right;
            Some(match left.cmp(&(floor as i128)) {
                Ordering::Equal if !is_whole => Ordering::Less,
                ordering => ordering,
            })
        }
        (Value::Float(_), Value::Int(_)) => order(right, left).map(Ordering::reverse),
        (Value::Text(left), Value::Text(right)) => Some(left.chars().cmp(right.chars())),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Time(_), Value::Time(_) | Value::Text(_)) | (Value::Text(_), Value::Time(_)) => {
            Some(time(left)?.cmp(&time(right)?))
        }
        _ => None,
    }
}

fn like(pattern: &[char], text: &[char], escape: Option<char>) -> Option<bool> {
    let Some((first, rest)) = pattern.split_first() else { return Some(text.is_empty()) };
    if Some(*first) == escape {
        let (next, rest) = rest.split_first()?;
        return Some(text.first() == Some(next))
            .and_then(|b| if b { like(rest, &text[1..], escape) } else { valid(rest, escape) });
    }
    match first {
        '%' => {
            valid(rest, escape)?;
            Some((0..=text.len()).any(|skip| like(rest, &text[skip..], escape) == Some(true)))
        }
        '_' if !text.is_empty() => like(rest, &text[1..], escape),
        c if text.first() == Some(c) && *c != '_' => like(rest, &text[1..], escape),
        _ => valid(rest, escape),
    }
}

/// No match; but no value when the pattern is no pattern.
fn valid(pattern: &[char], escape: Option<char>) -> Option<bool> {
    let mut characters = pattern.iter();
    while let Some(c) = characters.next() {
        if Some(*c) == escape {
            characters.next()?;
        }
    }
    Some(false)
}

fn cast(value: Value, target: CastTarget) -> Option<Value> {
    match (target, value) {
        (CastTarget::Integer, Value::Bool(b)) => int(b.into()),
        (CastTarget::Integer, Value::Int(i)) => int(i),
        (CastTarget::Integer, Value::Float(x)) => int(x.clamp(-1e30, 1e30).round() as i128),
        (CastTarget::Integer, Value::Text(text)) => int(text.trim_matches(' ').parse().ok()?),
        (CastTarget::Double, Value::Bool(b)) => Some(Value::Float(if b { 1.0 } else { 0.0 })),
        (CastTarget::Double, Value::Text(text)) => float(text.trim_matches(' ').parse().ok()?),
        (CastTarget::Double, value) => double(&value).and_then(float),
        (CastTarget::Text, value) => Some(Value::Text(plain(&value).into())),
        (CastTarget::Boolean, Value::Bool(b)) => Some(Value::Bool(b)),
        (CastTarget::Boolean, Value::Text(text)) => {
            let word = text.trim_matches(' ').to_lowercase();
            let is_true = ["true", "t", "yes", "on", "1"].contains(&&*word);
            let is_false = ["false", "f", "no", "off", "0"].contains(&&*word);
            (is_true || is_false).then_some(Value::Bool(is_true))
        }
        (CastTarget::Boolean, value) => double(&value).map(|x| Value::Bool(x != 0.0)),
        (CastTarget::Timestamp, value) => time(&value).map(|t| Value::Time(Timestamp(t))),
        (CastTarget::Integer, _) => None,
    }
}

fn strict(function: Function, values: &[Value]) -> Option<Value> {
    let text = |i: usize| match &values[i] {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    };
    let whole = |i: usize| match &values[i] {
        Value::Int(i) => Some(*i),
        _ => None,
    };
    let text_value = |s: String| Some(Value::Text(s.into()));
    let on_float = |f: fn(f64) -> f64| match &values[0] {
        Value::Int(i) => int(*i),
        Value::Float(x) => float(f(*x)),
        _ => None,
    };
    match function {
        Function::Abs => match &values[0] {
            Value::Int(i) => int(i.abs()),
            Value::Float(x) => float(x.abs()),
            _ => None,
        },
        Function::Ceil => on_float(f64::ceil),
        Function::Floor => on_float(f64::floor),
        Function::Round if values.len() == 1 => on_float(f64::round),
        Function::Lower => text_value(text(0)?.to_lowercase()),
        Function::Upper => text_value(text(0)?.to_uppercase()),
        Function::Length => int(text(0)?.chars().count() as i128),
        Function::StartsWith => Some(Value::Bool(text(0)?.starts_with(&text(1)?))),
        Function::Replace => {
            let (text, from, to) = (text(0)?, text(1)?, text(2)?);
            text_value(if from.is_empty() { text } else { text.replace(&from, &to) })
        }
        Function::StrPos => {
            let (text, part) = (text(0)?, text(1)?);
            int(text.find(&part).map_or(0, |at| text[..at].chars().count() + 1) as i128)
        }
        Function::Substring => {
            let (text, start) = (text(0)?, whole(1)?);
            let end = if values.len() == 3 { start + whole(2).filter(|len| *len >= 0)? } else { i128::MAX };
            let inside = |(i, _): &(usize, char)| (*i as i128 + 1) >= start && (*i as i128 + 1) < end;
            text_value(text.chars().enumerate().filter(inside).map(|(_, c)| c).collect())
        }
        Function::TrimBoth => {
            let (text, set) = (text(0)?, text(1)?);
            text_value(text.trim_matches(|c| set.contains(c)).into())
        }
        Function::SplitPart => {
            let (text, separator, number) = (text(0)?, text(1)?, whole(2)?);
            let mut parts: Vec<&str> =
                if separator.is_empty() { vec![&text] } else { text.split(&separator).collect() };
            if number < 0 && !separator.is_empty() {
                parts = text.rsplit(&separator).collect();
            }
            let nth = number.abs().checked_sub(1).filter(|nth| *nth >= 0)?;
            text_value(parts.get(nth.min(1 << 20) as usize).unwrap_or(&"").to_string())
        }
        Function::DateTrunc if beyond_calendar(&values[1]) => {
            const HOUR: i128 = 3_600_000_000;
            let micros = i128::from(time(&values[1])?);
            let size = match text(0)?.as_str() {
                "hour" => HOUR,
                "week" => HOUR * 24 * 7,
                _ => return None,
            };
            // The epoch was a Thursday.
            let monday = if size == HOUR { 0 } else { HOUR * 24 * 3 };
            let start = micros - (micros + monday).rem_euclid(size);
            i64::try_from(start).ok().map(|start| Value::Time(Timestamp(start)))
        }
        Function::Extract if beyond_calendar(&values[1]) => {
            let hours = time(&values[1])?.div_euclid(3_600_000_000);
            (text(0)?.to_lowercase() == "hour").then_some(Value::Int(hours.rem_euclid(24).into()))
        }
        Function::DateTrunc => {
            let at = DateTime::from_timestamp_micros(time(&values[1])?)?;
            let day = at.date_naive().and_hms_opt(0, 0, 0)?.and_utc();
            let start = match text(0)?.as_str() {
                "hour" => day + chrono::Duration::hours(at.hour().into()),
                "week" => day - chrono::Duration::days(at.weekday().num_days_from_monday().into()),
                "month" => day.with_day(1)?,
                unit => unreachable!("{unit} is not generated"),
            };
            Some(Value::Time(Timestamp(start.timestamp_micros())))
        }
        Function::Extract => {
            let at = DateTime::from_timestamp_micros(time(&values[1])?)?;
            int(match text(0)?.to_lowercase().as_str() {
                "hour" => at.hour().into(),
                "doy" => at.ordinal().into(),
                "year" => at.year().into(),
                field => unreachable!("{field} is not generated"),
            })
        }
        function => unreachable!("{function} is not generated"),
    }
}

/// Chrono's calendar ends in the year 262142; hours and weeks go on.
fn beyond_calendar(value: &Value) -> bool {
    time(value).is_some_and(|micros| DateTime::from_timestamp_micros(micros).is_none())
}
