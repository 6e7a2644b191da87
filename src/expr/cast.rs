//! Casts. `None` when the value has no counterpart in the type.

use crate::batch::Tag;
use crate::expr::arithmetic::as_double;
use crate::expr::ast::CastTarget;
use crate::expr::cells::{Cell, Number};
use crate::expr::{text, times};

/// `CAST(operand AS target)`; the operand isn't NULL.
pub fn apply(operand: Cell, target: CastTarget, batch_text: &mut Vec<u8>) -> Option<Cell> {
    match target {
        CastTarget::Integer => integer(operand, batch_text),
        CastTarget::Double => double(operand, batch_text),
        CastTarget::Text => text::concat(&[operand], batch_text),
        CastTarget::Boolean => boolean(operand, batch_text),
        CastTarget::Timestamp => times::of_cell(operand, batch_text).map(Cell::time),
    }
}

/// Doubles round half away from zero; text must be an integer itself.
fn integer(operand: Cell, batch_text: &[u8]) -> Option<Cell> {
    match operand.tag {
        Tag::False | Tag::True => Cell::int(operand.bits.into()),
        Tag::Text => Cell::int(operand.str(batch_text)?.trim_matches(' ').parse().ok()?),
        _ => match operand.number()? {
            Number::Int(i) => Cell::int(i),
            Number::Float(x) => Cell::int(x.round() as i128),
        },
    }
}

fn double(operand: Cell, batch_text: &[u8]) -> Option<Cell> {
    match operand.tag {
        Tag::False | Tag::True => Cell::float(operand.bits as f64),
        Tag::Text => Cell::float(operand.str(batch_text)?.trim_matches(' ').parse().ok()?),
        _ => Cell::float(as_double(operand.number()?)),
    }
}

fn boolean(operand: Cell, batch_text: &[u8]) -> Option<Cell> {
    match operand.tag {
        Tag::False | Tag::True => Some(operand),
        Tag::Text => {
            let word = operand.str(batch_text)?.trim_matches(' ').to_ascii_lowercase();
            match &*word {
                "true" | "t" | "yes" | "on" | "1" => Some(Cell::boolean(true)),
                "false" | "f" | "no" | "off" | "0" => Some(Cell::boolean(false)),
                _ => None,
            }
        }
        _ => Some(Cell::boolean(as_double(operand.number()?) != 0.0)),
    }
}
