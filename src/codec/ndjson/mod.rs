//! NDJSON to columns: each line an object, checked whole by RFC 8259 and UTF-8, always.
//!
//! What is decided where the standard leaves it open:
//! * A line ends with a line feed (or with the input); `\r` before it is white space. Lines of white space only are
//!   blank. A byte order mark is passed over at the start of the input, and a fault anywhere else.
//! * A line must be an object. NUL and other control characters, raw, are faults; nesting has no limit but the line's.
//! * Of a repeated key the last counts, at every level: if an object is repeated, all that the first gave is void.
//!   A key is compared after its escapes are resolved.
//! * Integers are exact from −2⁶³ to 2⁶⁴ − 1, beyond that the nearest double; `-0` is the integer 0. A wanted number
//!   beyond every double (`1e400`) makes the line a reject; in a field that nobody reads it passes, being good JSON.
//! * An escape that is half a surrogate pair becomes U+FFFD: one cut emoji is no reason to lose an event.
//! * A wanted path that names an object or array gives its text as it stands.
//!
//! A bad line is a reject with its byte and reason, and the next line goes on. Knows nothing of what the fields mean,
//! and of what is done about rejects.

mod cells;
mod decoder;
mod document;
mod fault;
mod gaps;
mod in_band;
mod instructions;
mod number;
#[cfg(test)]
mod oracle;
mod scan;
mod shape;
mod shapes;
mod string;
mod trie;
mod walker;

pub use crate::codec::ndjson::decoder::Decoder;
pub use crate::codec::ndjson::document::{Children, DEPTH_MAX, Document, DocumentError, Kind, Node};
pub use crate::codec::ndjson::fault::{Fault, Reason};
pub use crate::codec::ndjson::instructions::Instructions;
pub(crate) use crate::codec::ndjson::number::read as read_number;
pub use crate::codec::ndjson::string::PADDING;
pub use crate::codec::ndjson::walker::validate;

/// Whether a line is an object from end to end: nothing that could still be written would make another of it.
pub fn is_whole_object(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"{") && validate(line).is_ok()
}
