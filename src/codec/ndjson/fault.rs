//! What can be wrong with a JSON text, and where.
//!
//! Knows nothing of lines and events.

/// The first byte at which a text cannot be JSON any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from the start of what was read.
    pub at: u32,
    /// Which rule is broken there.
    pub reason: Reason,
}

/// A rule of RFC 8259, or of ours, that a text breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A line must be an object.
    NotAnObject,
    /// Something else where a value must begin.
    NoValue,
    /// `true`, `false` or `null` misspelt.
    NoLiteral,
    /// A `-`, `.` or `e` without a digit after it.
    NoDigit,
    /// Something else where a key must begin.
    NoKey,
    /// No `:` after a key.
    NoColon,
    /// Neither `,` nor `}` after a member.
    NoCommaOrBrace,
    /// Neither `,` nor `]` after an element.
    NoCommaOrBracket,
    /// A byte below 0x20 in a string.
    ControlCharacter,
    /// The text ends where something must follow.
    Ends,
    /// An unknown letter after a backslash.
    NoEscape,
    /// `\u` without four hexadecimal digits.
    NoHexDigit,
    /// Something after the value.
    Trailing,
    /// Bytes that are not UTF-8.
    NotUtf8,
}

impl Fault {
    /// The fault that `bytes` has at `at`: `reason`, unless the line or text already ended there.
    #[cold]
    pub fn new(bytes: &[u8], at: usize, reason: Reason) -> Fault {
        // NUL is what the padding is made of; a NUL of the input itself is told as what it is.
        let ends = matches!(bytes.get(at), None | Some(b'\n'));
        Fault { at: at as u32, reason: if ends { Reason::Ends } else { reason } }
    }
}

impl Reason {
    /// What is wrong, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NotAnObject => "not a JSON object",
            Reason::NoValue => "no JSON value where one must begin",
            Reason::NoLiteral => "neither true, false nor null",
            Reason::NoDigit => "no digit where a number needs one",
            Reason::NoKey => "no '\"' where a key must begin",
            Reason::NoColon => "no ':' after a key",
            Reason::NoCommaOrBrace => "neither ',' nor '}' after a member",
            Reason::NoCommaOrBracket => "neither ',' nor ']' after an element",
            Reason::ControlCharacter => "a control character in a string",
            Reason::Ends => "the line ends within the event",
            Reason::NoEscape => "an unknown escape in a string",
            Reason::NoHexDigit => "no four hexadecimal digits after '\\u'",
            Reason::Trailing => "something after the event",
            Reason::NotUtf8 => "not UTF-8",
        }
    }
}
