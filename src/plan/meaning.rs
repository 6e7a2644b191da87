//! What the value of a query's flag means, where several texts mean the same: `600s` is `10m`.
//!
//! Queries are kept and told in the user's words, and compared by this. Knows nothing of where they are kept.

use crate::time::Duration;

/// The flags whose values are lengths of time, or several with a `/` between.
const LENGTHS: [&str; 8] = [
    "--tumbling",
    "--sliding",
    "--cumulate",
    "--session",
    "--session-max",
    "--window-offset",
    "--allowed-lateness",
    "--watermark-delay",
];

/// Of these, those for which nothing means as much as no time.
const NONE_IS_ZERO: [&str; 2] = ["--window-offset", "--allowed-lateness"];

/// One text for all values that mean the same by a flag, which may stand before a metric's name: `--tumbling of 'm'`. Empty is a flag
/// that was not given.
pub fn meaning(flag: &str, value: &str) -> String {
    let flag = flag.split(' ').next().unwrap_or_default();
    let of_length = |text: &str| {
        let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
        Some(Duration(sign * Duration::parse(length).ok()?.0))
    };
    let lengths: Option<Vec<Duration>> = match LENGTHS.contains(&flag) {
        true => value.split('/').map(of_length).collect(),
        false => None,
    };
    match lengths.as_deref() {
        Some([Duration(0)]) if NONE_IS_ZERO.contains(&flag) => String::new(),
        Some(lengths) => lengths.iter().map(Duration::to_string).collect::<Vec<_>>().join("/"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_mean_the_same_in_all_units() {
        let check = |flag: &str, texts: &[&str], expected: &str| {
            texts.iter().for_each(|text| assert_eq!(meaning(flag, text), expected, "{flag} {text}"));
        };
        check("--allowed-lateness of 'a b'", &["600s", "10m", "9m60s"], "10m");
        check("--allowed-lateness", &["", "0", "0s", "0d0s"], "");
        check("--window-offset", &["-3600s", "-1h"], "-1h");
        check("--window-offset", &["-0s", ""], "");
        check("--sliding", &["1h/15m", "60m/900s"], "1h/15m");
        check("--watermark-delay", &["0", "0s"], "0s");
        // What is no length of time stands for itself.
        check("--by", &["600s"], "600s");
        check("--where of '--tumbling'", &["600s"], "600s");
        check("--tumbling", &["soon"], "soon");
        check("--session", &[""], "");
    }
}
