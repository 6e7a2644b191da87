//! What can be wrong with the text of an expression, and how the place is shown.
//!
//! Knows nothing of the command line: the caller names the flag.

use std::fmt;
use std::sync::Arc;

/// A wrong expression, and the place in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Error {
    /// What is wrong.
    pub problem: Problem,
    /// Where.
    pub span: Span,
}

/// A place in the text of an expression.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The whole text.
    pub text: Arc<str>,
    /// First byte.
    pub start: usize,
    /// The byte after the last. Equals `start` at the end of the text only.
    pub end: usize,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is no SQL.
    #[error("cannot parse the expression: {0}")]
    Syntax(String),
    /// It is SQL, but of no use here.
    #[error("{0} is not supported in an expression")]
    Unsupported(String),
    /// No such function.
    #[error("unknown function '{name}'{}", suggest(.suggestion))]
    UnknownFunction {
        /// As it was written.
        name: String,
        /// The known name that is nearest, if one is near.
        suggestion: Option<String>,
    },
    /// A function got too few or too many arguments.
    #[error("'{name}' takes {expected}, found {found}")]
    Arguments {
        /// The function.
        name: String,
        /// How many it takes, in words.
        expected: String,
        /// How many it got.
        found: usize,
    },
    /// A function that reads the clock: results must not depend on when they are computed.
    #[error("'{0}' reads the clock, which an expression cannot: the same input must give the same rows")]
    Clock(String),
    /// A literal, unit or other fixed part that can't be read.
    #[error("cannot read {what} '{value}': {reason}")]
    Literal {
        /// What it should have been.
        what: &'static str,
        /// As it was written.
        value: String,
        /// Why it isn't.
        reason: String,
    },
    /// An aggregate where there are single events only.
    #[error("aggregate '{function}' cannot stand in {place}")]
    Aggregate {
        /// The aggregate.
        function: String,
        /// The place, as the user knows it.
        place: String,
    },
    /// One of the items of `--agg` is no aggregate.
    #[error("'{0}' is not an aggregate such as count(*) or sum(x)")]
    NotAggregate(String),
    /// A path that names no column of what the expression is evaluated over.
    #[error("no column '{0}'")]
    NoColumn(String),
    /// Larger than anyone writes by hand: a bound on memory and stack.
    #[error("the expression is too {0}")]
    TooLarge(&'static str),
}

impl Error {
    pub(crate) fn new(problem: Problem, span: Span) -> Error {
        Error { problem, span }
    }

    /// Three lines: the message, the line of the text that has the trouble, and carets under the place.
    pub fn render(&self) -> String {
        let (text, start) = (&*self.span.text, self.span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let indent: String = text[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = text[start..self.span.end.clamp(start, line_end)].chars().count().max(1);
        format!("{self}\n{}\n{indent}{}", &text[line_start..line_end], "^".repeat(carets))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

fn suggest(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or(String::new(), |name| format!("; did you mean '{name}'?"))
}

#[cfg(test)]
mod tests {
    use crate::expr::{Error, parse, parse_aggregates, parse_groups, parse_order};

    #[track_caller]
    fn check<T>(result: Result<T, Error>, expected: &str) {
        let rendered = result.err().expect("a wrong expression is refused").render();
        assert_eq!(rendered, expected.trim_start_matches('\n'));
    }

    #[test]
    fn the_place_is_shown() {
        check(parse("lowr(name) = 'a'"), "unknown function 'lowr'; did you mean 'lower'?\nlowr(name) = 'a'\n^^^^");
        check(
            parse("a = 1 AND frobnicate(b)"),
            "unknown function 'frobnicate'\na = 1 AND frobnicate(b)\n          ^^^^^^^^^^",
        );
        check(
            parse("a +"),
            "cannot parse the expression: expected an expression, found the end of the text\na +\n   ^",
        );
        check(parse(""), "cannot parse the expression: expected an expression, found the end of the text\n\n^");
        check(parse("(a = 1"), "cannot parse the expression: expected ), found the end of the text\n(a = 1\n      ^");
        check(parse("a = 1 b"), "cannot parse the expression: expected an operator, found 'b'\na = 1 b\n      ^");
        check(
            parse("größe > 1 AND\n\tname ==== 'ü' OR x"),
            "cannot parse the expression: expected an expression, found '=='\n\tname ==== 'ü' OR x\n\t       ^^",
        );
        check(
            parse("name = 'open"),
            "cannot parse the expression: unterminated string literal\nname = 'open\n       ^",
        );
    }

    #[test]
    fn unsupported_syntax_is_named() {
        check(
            parse("a IN (SELECT b FROM c)"),
            "a subquery is not supported in an expression\na IN (SELECT b FROM c)\n      ^^^^^^",
        );
        check(
            parse("sum(x) OVER (PARTITION BY y) > 1"),
            "a window function is not supported in an expression\nsum(x) OVER (PARTITION BY y) > 1\n       ^^^^",
        );
        check(parse("a ~ 'x'"), "the operator '~' is not supported in an expression\na ~ 'x'\n^^^^^^^");
        check(
            parse("now() > timestamp"),
            "'now' reads the clock, which an expression cannot: the same input must give the same rows\nnow() > timestamp\n^^^",
        );
        check(
            parse("CAST(a AS DATE)"),
            "the type 'DATE' is not supported in an expression\nCAST(a AS DATE)\n          ^^^^",
        );
        check(
            parse("INTERVAL '1 month' < x"),
            "cannot read an interval '1 month': 'month' has no fixed length\nINTERVAL '1 month' < x\n         ^^^^^^^^^",
        );
    }

    #[test]
    fn functions_are_checked() {
        check(parse("x = round()"), "'round' takes 1 to 2 arguments, found 0\nx = round()\n    ^^^^^");
        check(parse("lower(a, b)"), "'lower' takes 1 argument, found 2\nlower(a, b)\n^^^^^");
        check(
            parse("date_trunc('fortnight', t)"),
            "cannot read a unit of time 'fortnight': expected one of microsecond, millisecond, second, minute, hour, day, week, month, quarter, year\ndate_trunc('fortnight', t)\n^^^^^^^^^^",
        );
    }

    #[test]
    fn lists_are_checked() {
        check(
            parse_aggregates("count(*), sum(x) / 2 AS half"),
            "'sum(x) / 2' is not an aggregate such as count(*) or sum(x)\ncount(*), sum(x) / 2 AS half\n          ^^^^^^^^^^",
        );
        check(
            parse_aggregates("sum(max(x)) AS s"),
            "aggregate 'max' cannot stand in another aggregate\nsum(max(x)) AS s\n    ^^^",
        );
        check(parse_groups("a, sum(b) AS c"), "aggregate 'sum' cannot stand in --by\na, sum(b) AS c\n   ^^^");
        check(
            parse_groups("a,"),
            "cannot parse the expression: expected an expression, found the end of the text\na,\n  ^",
        );
        check(parse_groups("a AS"), "cannot parse the expression: expected a name after AS\na AS\n  ^^");
        check(
            parse_order("a DESC b"),
            "cannot parse the expression: expected an operator, found 'DESC'\na DESC b\n  ^^^^",
        );
    }
}
