//! Numbers: exact integers, finite doubles; whatever is neither has no value.
//!
//! Every function gives `None` for a wrong type, an overflow, a division by zero.

use crate::batch::Tag;
use crate::expr::ast::ArithmeticOperator;
use crate::expr::cells::{Cell, Number};
use crate::expr::{text, times};

/// `left operator right`; neither is NULL.
pub fn apply(operator: ArithmeticOperator, left: Cell, right: Cell, batch_text: &mut Vec<u8>) -> Option<Cell> {
    if operator == ArithmeticOperator::Concatenate {
        return text::concat(&[left, right], batch_text);
    }
    if (left.tag, right.tag) == (Tag::Int, Tag::Int) {
        let (left, right) = (left.bits as i64, right.bits as i64);
        let small = match operator {
            ArithmeticOperator::Add => left.checked_add(right),
            ArithmeticOperator::Subtract => left.checked_sub(right),
            ArithmeticOperator::Multiply => left.checked_mul(right),
            _ => None,
        };
        if let Some(small) = small {
            return Some(Cell { tag: Tag::Int, bits: small as u64 });
        }
    }
    match (left.number(), right.number()) {
        (Some(Number::Int(left)), Some(Number::Int(right))) => integers(operator, left, right),
        (Some(left), Some(right)) => doubles(operator, as_double(left), as_double(right)),
        _ if operator == ArithmeticOperator::Subtract => {
            let is_number = |cell: Cell| !matches!(cell.tag, Tag::Time | Tag::Text);
            if is_number(left) || is_number(right) {
                return None;
            }
            let micros = i128::from(times::of_cell(left, batch_text)?) - i128::from(times::of_cell(right, batch_text)?);
            Cell::float(micros as f64 / 1e6)
        }
        _ => None,
    }
}

/// `-operand`.
pub fn negate(operand: Cell) -> Option<Cell> {
    match operand.number()? {
        Number::Int(i) => Cell::int(-i),
        Number::Float(x) => Cell::float(-x),
    }
}

/// The amount without its sign.
pub fn abs(operand: Cell) -> Option<Cell> {
    match operand.number()? {
        Number::Int(i) => Cell::int(i.abs()),
        Number::Float(x) => Cell::float(x.abs()),
    }
}

/// The least whole number that isn't less; of the same type.
pub fn ceil(operand: Cell) -> Option<Cell> {
    match operand.number()? {
        Number::Int(_) => Some(operand),
        Number::Float(x) => Cell::float(x.ceil()),
    }
}

/// The greatest whole number that isn't greater; of the same type.
pub fn floor(operand: Cell) -> Option<Cell> {
    match operand.number()? {
        Number::Int(_) => Some(operand),
        Number::Float(x) => Cell::float(x.floor()),
    }
}

/// To so many digits after the point, before it where negative; half away from zero; of the same type. A double is
/// multiplied by a power of ten, rounded and divided, so that 1.45 (a little less in binary) rounds to 1.5.
pub fn round(operand: Cell, digits: Option<Cell>) -> Option<Cell> {
    let digits = digits.map_or(Some(0), Cell::integer)?.clamp(-400, 400) as i32;
    match operand.number()? {
        Number::Int(i) if digits < 0 => {
            let Some(unit) = 10_i128.checked_pow(digits.unsigned_abs()) else { return Cell::int(0) };
            let rest = i % unit;
            let away = if rest.abs() * 2 >= unit { unit * i.signum() } else { 0 };
            Cell::int(i - rest + away)
        }
        Number::Int(_) => Some(operand),
        Number::Float(x) if digits == 0 => Cell::float(x.round()),
        Number::Float(x) if digits < 0 => {
            let unit = 10_f64.powi(-digits);
            Cell::float(if unit.is_finite() { (x / unit).round() * unit } else { 0.0 })
        }
        Number::Float(x) => {
            let scale = 10_f64.powi(digits);
            let scaled = x * scale;
            Cell::float(if scaled.is_finite() && scale.is_finite() { scaled.round() / scale } else { x })
        }
    }
}

/// The nearest double.
pub fn as_double(number: Number) -> f64 {
    match number {
        Number::Int(i) => i as f64,
        Number::Float(x) => x,
    }
}

fn integers(operator: ArithmeticOperator, left: i128, right: i128) -> Option<Cell> {
    match operator {
        ArithmeticOperator::Add => Cell::int(left + right),
        ArithmeticOperator::Subtract => Cell::int(left - right),
        ArithmeticOperator::Multiply => Cell::int(left.checked_mul(right)?),
        ArithmeticOperator::Remainder => Cell::int(left.checked_rem(right)?),
        ArithmeticOperator::Divide | ArithmeticOperator::Concatenate => doubles(operator, left as f64, right as f64),
    }
}

fn doubles(operator: ArithmeticOperator, left: f64, right: f64) -> Option<Cell> {
    Cell::float(match operator {
        ArithmeticOperator::Add => left + right,
        ArithmeticOperator::Subtract => left - right,
        ArithmeticOperator::Multiply => left * right,
        ArithmeticOperator::Divide => left / right,
        ArithmeticOperator::Remainder => left % right,
        ArithmeticOperator::Concatenate => return None,
    })
}
