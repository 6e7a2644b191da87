//! The aggregate functions of the query language: their names, parameters and how these are checked.
//!
//! Knows nothing of how a function is computed, of the expression that it is applied to, and of parsing.

use crate::aggregate::Error;

/// An aggregate function with its parameters, which are in range.
#[derive(Debug, Clone, PartialEq)]
pub enum Function {
    /// `count(*)`, rows, or `count(x)`, rows where x is not NULL.
    Count,
    /// `count(DISTINCT x)`, exact.
    CountDistinct,
    /// `approx_count_distinct(x)`: standard error 0.81 %, all but exact up to 2048.
    ApproxCountDistinct,
    /// `sum(x)`: exact for integers; for doubles exact, then rounded once.
    Sum,
    /// `avg(x)`: the exact sum divided by the count, rounded once.
    Avg,
    /// `min(x)`, of any type.
    Min,
    /// `max(x)`, of any type.
    Max,
    /// `first(x)`: the value that is not NULL of the earliest event.
    First,
    /// `last(x)`: the value that is not NULL of the latest event.
    Last,
    /// `stddev_samp(x)`, also `stddev(x)`.
    StddevSamp,
    /// `stddev_pop(x)`.
    StddevPop,
    /// `var_samp(x)`, also `variance(x)`.
    VarSamp,
    /// `var_pop(x)`.
    VarPop,
    /// `percentile_cont(p) WITHIN GROUP (ORDER BY x)`, and `median(x)` for 0.5: exact, between two values by straight line.
    PercentileCont(f64),
    /// `percentile_disc(p) WITHIN GROUP (ORDER BY x)`: exact, one of the values.
    PercentileDisc(f64),
    /// `approx_percentile(x, p)`: within 1 % of the value at rank ⌊p·(n−1)⌋.
    ApproxPercentile(f64),
    /// `topk(x, k)`: the k greatest, greatest first, equal ones as often as they came.
    TopK(usize),
    /// `rate(x)`: the sum for each second of the window.
    Rate,
}

/// The most values that `topk` keeps for a group.
pub const TOP_MAX: usize = 10_000;

/// Every name that a query may use.
pub const NAMES: [&str; 21] = [
    "count",
    "approx_count_distinct",
    "sum",
    "avg",
    "min",
    "max",
    "first",
    "last",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "median",
    "percentile_cont",
    "percentile_disc",
    "approx_percentile",
    "topk",
    "rate",
    "mean",
];

impl Function {
    /// The function of that name, in any case. `parameters` are the constants beside the argument: p of a percentile, k
    /// of `topk`. DISTINCT is taken by `count`, and by `min` and `max`, where it changes nothing.
    pub fn from_name(name: &str, distinct: bool, parameters: &[f64]) -> Result<Function, Error> {
        let lower = name.to_ascii_lowercase();
        let function = match lower.as_str() {
            "count" if distinct => Function::CountDistinct,
            "count" => Function::Count,
            "approx_count_distinct" => Function::ApproxCountDistinct,
            "sum" => Function::Sum,
            "avg" | "mean" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            "first" => Function::First,
            "last" => Function::Last,
            "stddev_samp" | "stddev" => Function::StddevSamp,
            "stddev_pop" => Function::StddevPop,
            "var_samp" | "variance" => Function::VarSamp,
            "var_pop" => Function::VarPop,
            "median" => Function::PercentileCont(0.5),
            "percentile_cont" => Function::PercentileCont(fraction(&lower, parameters)?),
            "percentile_disc" => Function::PercentileDisc(fraction(&lower, parameters)?),
            "approx_percentile" => Function::ApproxPercentile(fraction(&lower, parameters)?),
            "topk" => Function::TopK(how_many(&lower, parameters)?),
            "rate" => Function::Rate,
            _ => return Err(Error::UnknownFunction { name: name.into(), nearest: nearest(&lower) }),
        };
        if distinct && !matches!(function, Function::CountDistinct | Function::Min | Function::Max) {
            return Err(Error::DistinctNotTaken(lower));
        }
        let takes = match function {
            Function::PercentileCont(_) if lower == "median" => 0,
            Function::PercentileCont(_) | Function::PercentileDisc(_) | Function::ApproxPercentile(_) => 1,
            Function::TopK(_) => 1,
            _ => 0,
        };
        if parameters.len() != takes {
            return Err(Error::ParameterCount { name: lower, takes, given: parameters.len() });
        }
        Ok(function)
    }
}

impl Function {
    /// Whether results are counts: whole numbers wherever they are written.
    pub fn is_count(&self) -> bool {
        matches!(self, Function::Count | Function::CountDistinct | Function::ApproxCountDistinct)
    }

    /// Whether results over long spans can be had from states that stay small: a store keeps the state of each group of each
    /// window, and merges them. False where a state must hold every value, or every different one.
    pub fn recombines(&self) -> bool {
        match self {
            Function::CountDistinct | Function::PercentileCont(_) | Function::PercentileDisc(_) => false,
            Function::Count
            | Function::ApproxCountDistinct
            | Function::Sum
            | Function::Avg
            | Function::Min
            | Function::Max
            | Function::First
            | Function::Last
            | Function::StddevSamp
            | Function::StddevPop
            | Function::VarSamp
            | Function::VarPop
            | Function::ApproxPercentile(_)
            | Function::TopK(_)
            | Function::Rate => true,
        }
    }

    /// Name, DISTINCT and parameter, from which `from_name` makes the same function again.
    pub fn parts(&self) -> (&'static str, bool, Option<f64>) {
        match *self {
            Function::Count => ("count", false, None),
            Function::CountDistinct => ("count", true, None),
            Function::ApproxCountDistinct => ("approx_count_distinct", false, None),
            Function::Sum => ("sum", false, None),
            Function::Avg => ("avg", false, None),
            Function::Min => ("min", false, None),
            Function::Max => ("max", false, None),
            Function::First => ("first", false, None),
            Function::Last => ("last", false, None),
            Function::StddevSamp => ("stddev_samp", false, None),
            Function::StddevPop => ("stddev_pop", false, None),
            Function::VarSamp => ("var_samp", false, None),
            Function::VarPop => ("var_pop", false, None),
            Function::PercentileCont(fraction) => ("percentile_cont", false, Some(fraction)),
            Function::PercentileDisc(fraction) => ("percentile_disc", false, Some(fraction)),
            Function::ApproxPercentile(fraction) => ("approx_percentile", false, Some(fraction)),
            Function::TopK(k) => ("topk", false, Some(k as f64)),
            Function::Rate => ("rate", false, None),
        }
    }
}

fn fraction(name: &str, parameters: &[f64]) -> Result<f64, Error> {
    match parameters.first() {
        Some(p) if (0.0..=1.0).contains(p) => Ok(*p),
        Some(p) => Err(Error::Fraction { name: name.into(), given: *p }),
        None => Err(Error::ParameterCount { name: name.into(), takes: 1, given: 0 }),
    }
}

fn how_many(name: &str, parameters: &[f64]) -> Result<usize, Error> {
    match parameters.first() {
        Some(k) if (1.0..=TOP_MAX as f64).contains(k) && k.fract() == 0.0 => Ok(*k as usize),
        Some(k) => Err(Error::HowMany { name: name.into(), given: *k }),
        None => Err(Error::ParameterCount { name: name.into(), takes: 1, given: 0 }),
    }
}

/// The name that was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    let scored = NAMES.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.75).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, distinct: bool, parameters: &[f64], expected: Result<Function, &str>) {
        let found = Function::from_name(name, distinct, parameters).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{name}");
    }

    #[test]
    fn names_are_found_in_any_case() {
        check("COUNT", false, &[], Ok(Function::Count));
        check("count", true, &[], Ok(Function::CountDistinct));
        check("Median", false, &[], Ok(Function::PercentileCont(0.5)));
        check("stddev", false, &[], Ok(Function::StddevSamp));
        check("max", true, &[], Ok(Function::Max));
        check("topk", false, &[3.0], Ok(Function::TopK(3)));
        check("approx_percentile", false, &[0.99], Ok(Function::ApproxPercentile(0.99)));
        for name in NAMES {
            let parameters: &[f64] = if name.contains("percentile") || name == "topk" { &[1.0] } else { &[] };
            let function = Function::from_name(name, false, parameters).unwrap();
            let (name, distinct, parameter) = function.parts();
            check(name, distinct, parameter.as_slice(), Ok(function));
        }
    }

    #[test]
    fn exact_sets_and_percentiles_do_not_recombine() {
        for name in NAMES {
            let parameters: &[f64] = if name.contains("percentile") || name == "topk" { &[1.0] } else { &[] };
            let recombines = Function::from_name(name, false, parameters).unwrap().recombines();
            assert_eq!(recombines, !["median", "percentile_cont", "percentile_disc"].contains(&name), "{name}");
        }
        assert!(!Function::CountDistinct.recombines());
    }

    #[test]
    fn wrong_calls_say_what_is_wrong() {
        check("cuont", false, &[], Err("unknown aggregate function 'cuont'; did you mean 'count'?"));
        check("zzz", false, &[], Err("unknown aggregate function 'zzz'"));
        check("sum", true, &[], Err("'sum' takes no DISTINCT"));
        check("sum", false, &[1.0], Err("'sum' takes no parameters beside its argument, but 1 given"));
        check("topk", false, &[], Err("'topk' takes 1 parameter beside its argument, but 0 given"));
        check("topk", false, &[0.0], Err("'topk' needs a whole number from 1 to 10000, not '0'"));
        check("percentile_cont", false, &[95.0], Err("'percentile_cont' needs a fraction from 0 to 1, not '95'"));
        check("percentile_cont", false, &[f64::NAN], Err("'percentile_cont' needs a fraction from 0 to 1, not 'NaN'"));
    }
}
