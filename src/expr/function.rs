//! The functions that an expression may call: their names and how many arguments they take.
//!
//! Knows nothing of what they compute.

use std::fmt;

/// Names of the aggregates, which take many events.
pub const AGGREGATES: &[&str] = &[
    "approx_count_distinct",
    "approx_percentile",
    "avg",
    "count",
    "first",
    "last",
    "max",
    "median",
    "min",
    "percentile_cont",
    "percentile_disc",
    "rate",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "topk",
    "var_pop",
    "var_samp",
    "variance",
];

/// Functions that other products have and that would make results depend on the hour.
pub const CLOCKS: &[&str] = &[
    "clock_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "getdate",
    "localtime",
    "localtimestamp",
    "now",
    "random",
    "today",
    "transaction_timestamp",
];

/// A function of one event's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `abs(number)`
    Abs,
    /// `ceil(number)`
    Ceil,
    /// `coalesce(any, …)`: the first that is not NULL; later ones are not evaluated.
    Coalesce,
    /// `concat(any, …)`: the texts of all that are not NULL.
    Concat,
    /// `date_trunc(unit, time)`: the start of the unit in UTC; weeks begin on Monday.
    DateTrunc,
    /// `extract(field FROM time)`, in UTC; `epoch` is a double, all others are integers.
    Extract,
    /// `floor(number)`
    Floor,
    /// `greatest(any, …)`: NULLs are skipped.
    Greatest,
    /// `least(any, …)`: NULLs are skipped.
    Least,
    /// `length(text)`: characters.
    Length,
    /// `lower(text)`
    Lower,
    /// `nullif(a, b)`: NULL when they are equal, else a.
    NullIf,
    /// `replace(text, from, to)`
    Replace,
    /// `round(number[, digits])`: half away from zero.
    Round,
    /// `split_part(text, separator, part)`: parts count from 1, negative ones from the end; '' when there is none.
    SplitPart,
    /// `starts_with(text, prefix)`
    StartsWith,
    /// `strpos(text, part)`, also `position(part IN text)`: from 1; 0 when there is none.
    StrPos,
    /// `substring(text, start[, length])`: from 1; what is outside of the text is empty.
    Substring,
    /// `trim(text)`: of all these characters at both ends. Always two arguments.
    TrimBoth,
    /// `ltrim(text)`. Always two arguments.
    TrimLeading,
    /// `rtrim(text)`. Always two arguments.
    TrimTrailing,
    /// `upper(text)`
    Upper,
}

/// One row of the table of functions.
pub struct Signature {
    /// In lower case.
    pub name: &'static str,
    /// What it calls.
    pub function: Function,
    /// The fewest arguments.
    pub least: usize,
    /// The most arguments.
    pub most: usize,
}

/// The function of that name, in whatever case.
pub fn find(name: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|signature| signature.name.eq_ignore_ascii_case(name))
}

/// The known function or aggregate whose name is most like `name`, if one is near enough.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let known = SIGNATURES.iter().map(|signature| signature.name).chain(AGGREGATES.iter().copied()).chain(["cast"]);
    known
        .map(|known| (strsim::jaro_winkler(&name, known), known))
        .filter(|(likeness, _)| *likeness >= 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, known)| known)
}

/// More arguments than anyone writes.
const MANY: usize = 1000;

const fn row(name: &'static str, function: Function, least: usize, most: usize) -> Signature {
    Signature { name, function, least, most }
}

/// The first row of a function has its canonical name.
const SIGNATURES: &[Signature] = &[
    row("abs", Function::Abs, 1, 1),
    row("ceil", Function::Ceil, 1, 1),
    row("ceiling", Function::Ceil, 1, 1),
    row("coalesce", Function::Coalesce, 1, MANY),
    row("concat", Function::Concat, 1, MANY),
    row("date_trunc", Function::DateTrunc, 2, 2),
    row("extract", Function::Extract, 2, 2),
    row("date_part", Function::Extract, 2, 2),
    row("floor", Function::Floor, 1, 1),
    row("greatest", Function::Greatest, 1, MANY),
    row("least", Function::Least, 1, MANY),
    row("length", Function::Length, 1, 1),
    row("char_length", Function::Length, 1, 1),
    row("character_length", Function::Length, 1, 1),
    row("lower", Function::Lower, 1, 1),
    row("nullif", Function::NullIf, 2, 2),
    row("replace", Function::Replace, 3, 3),
    row("round", Function::Round, 1, 2),
    row("split_part", Function::SplitPart, 3, 3),
    row("starts_with", Function::StartsWith, 2, 2),
    row("strpos", Function::StrPos, 2, 2),
    row("substring", Function::Substring, 2, 3),
    row("substr", Function::Substring, 2, 3),
    row("trim", Function::TrimBoth, 1, 2),
    row("btrim", Function::TrimBoth, 1, 2),
    row("ltrim", Function::TrimLeading, 1, 2),
    row("rtrim", Function::TrimTrailing, 1, 2),
    row("upper", Function::Upper, 1, 1),
];

impl fmt::Display for Function {
    /// The canonical name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = SIGNATURES.iter().find(|signature| signature.function == *self);
        f.write_str(signature.expect("every function has a row in the table").name)
    }
}
