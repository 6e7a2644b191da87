//! Metrics files: many named queries in TOML, run in one pass over the stream.
//!
//! ```toml
//! [[metric]]
//! name = "revenue"
//! tumbling = "1m"
//! where = "event_type = 'purchase_completed'"
//! by = "properties.currency"
//! agg = "sum(properties.amount) AS total_revenue"
//! ```
//!
//! Keys are the flags without dashes; what takes several expressions takes them as one text or as a list of texts, such as
//! `by = ["user_id", "properties.country"]`. A table `[defaults]` holds keys for all metrics that don't say otherwise. Knows
//! nothing of where the text comes from.

use crate::plan::MetricText;

/// Every key of a metric.
const KEYS: [&str; 19] = [
    "name",
    "tumbling",
    "sliding",
    "cumulate",
    "session",
    "session-max",
    "global",
    "window-offset",
    "tz",
    "where",
    "by",
    "agg",
    "having",
    "top",
    "order-by",
    "with-ties",
    "allowed-lateness",
    "max-groups",
    "to",
];

/// Keys that name a kind of window: a metric that has one takes none from the defaults.
const WINDOWS: [&str; 5] = ["tumbling", "sliding", "cumulate", "session", "global"];

/// Keys that take several expressions.
const LISTS: [&str; 3] = ["by", "agg", "order-by"];

/// A metrics file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is no TOML, or a value has the wrong type.
    #[error("{}", .0.to_string().trim_end())]
    Toml(toml::de::Error),
    /// A value of the wrong type.
    #[error("'{key}' in {place} must be {wanted}, not {value}")]
    Value {
        /// The key.
        key: String,
        /// Where it stands.
        place: String,
        /// What it should be.
        wanted: &'static str,
        /// What it is, as TOML.
        value: String,
    },
    /// A key that is not known.
    #[error("unknown key '{key}' in {place}{}", did_you_mean(.key, .known))]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands.
        place: String,
        /// What may stand there.
        known: &'static [&'static str],
    },
    /// There is nothing to do.
    #[error("it names no metric; begin one with [[metric]]")]
    Empty,
    /// Rows need a name to be told apart.
    #[error("metric {number} has no name")]
    NoName {
        /// Counted from 1.
        number: usize,
    },
}

fn did_you_mean(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(key, k), k)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 3 => format!("; did you mean '{nearest}'?"),
        _ => format!("; the keys are {}", known.join(", ")),
    }
}

/// Reads a metrics file.
pub fn parse(text: &str) -> Result<Vec<MetricText>, FileError> {
    const TOP: &[&str] = &["metric", "defaults"];
    let file: toml::Table = text.parse().map_err(FileError::Toml)?;
    check_keys(&file, "the file", TOP)?;
    let empty = toml::Table::new();
    let defaults = match file.get("defaults") {
        Some(toml::Value::Table(table)) => table,
        Some(other) => return Err(wrong_value("defaults", "the file", "a table, begun with [defaults]", other)),
        None => &empty,
    };
    check_keys(defaults, "[defaults]", &KEYS)?;
    check_values(defaults, "[defaults]")?;
    let metrics: Vec<toml::Table> = match file.get("metric") {
        Some(metrics) => metrics
            .clone()
            .try_into()
            .map_err(|_| wrong_value("metric", "the file", "a list of tables, each begun with [[metric]]", metrics))?,
        None => return Err(FileError::Empty),
    };
    let mut texts = Vec::new();
    for (index, mut metric) in metrics.into_iter().enumerate() {
        let place = match metric.get("name").and_then(toml::Value::as_str) {
            Some(name) => format!("the metric '{name}'"),
            None => return Err(FileError::NoName { number: index + 1 }),
        };
        check_keys(&metric, &place, &KEYS)?;
        check_values(&metric, &place)?;
        let has_window = metric.keys().any(|key| WINDOWS.contains(&key.as_str()));
        for (key, value) in defaults {
            let is_other_window = has_window && WINDOWS.contains(&key.as_str());
            if !is_other_window && !metric.contains_key(key) {
                metric.insert(key.clone(), value.clone());
            }
        }
        LISTS.iter().for_each(|key| join_list(&mut metric, key));
        texts.push(toml::Value::Table(metric).try_into().map_err(FileError::Toml)?);
    }
    if texts.is_empty() { Err(FileError::Empty) } else { Ok(texts) }
}

fn check_keys(table: &toml::Table, place: &str, known: &'static [&'static str]) -> Result<(), FileError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(FileError::UnknownKey { key: key.clone(), place: place.into(), known }),
        None => Ok(()),
    }
}

fn check_values(table: &toml::Table, place: &str) -> Result<(), FileError> {
    for (key, value) in table {
        let (fits, wanted) = match key.as_str() {
            "global" | "with-ties" => (value.is_bool(), "true or false"),
            "top" | "max-groups" => {
                let fits = value.as_integer().is_some_and(|count| u32::try_from(count).is_ok());
                (fits, "a whole number")
            }
            list if LISTS.contains(&list) => {
                let fits = value.as_array().is_some_and(|items| items.iter().all(toml::Value::is_str));
                (value.is_str() || fits, "a text in quotes, or a list of such")
            }
            _ => (value.is_str(), "a text in quotes"),
        };
        if !fits {
            return Err(wrong_value(key, place, wanted, value));
        }
    }
    Ok(())
}

/// Writes a list of expressions as one text, as the flag takes it. An empty list is as good as none.
fn join_list(metric: &mut toml::Table, key: &str) {
    let Some(items) = metric.get(key).and_then(toml::Value::as_array) else { return };
    let texts: Vec<&str> = items.iter().filter_map(toml::Value::as_str).collect();
    let joined = texts.join(", ");
    if joined.is_empty() {
        metric.remove(key);
    } else {
        metric.insert(key.to_owned(), joined.into());
    }
}

fn wrong_value(key: &str, place: &str, wanted: &'static str, value: &toml::Value) -> FileError {
    FileError::Value { key: key.into(), place: place.into(), wanted, value: value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(parse(text).expect_err("the file is wrong").to_string(), expected);
    }

    #[test]
    fn metrics_take_from_the_defaults_what_they_do_not_say() {
        let texts = parse(
            "[defaults]\ntumbling = '1m'\nallowed-lateness = '5s'\n\
             [[metric]]\nname = 'a'\n[[metric]]\nname = 'b'\nsession = '30s'\nallowed-lateness = '1s'\n",
        )
        .unwrap();
        assert_eq!(texts[0].tumbling.as_deref(), Some("1m"));
        assert_eq!(texts[0].allowed_lateness.as_deref(), Some("5s"));
        assert_eq!((texts[1].tumbling.as_deref(), texts[1].session.as_deref()), (None, Some("30s")));
        assert_eq!(texts[1].allowed_lateness.as_deref(), Some("1s"));
    }

    #[test]
    fn expressions_are_one_text_or_a_list_of_texts() {
        let texts = parse(
            "[defaults]\nby = ['k']\nagg = ['count(*) AS n', 'sum(v) AS s, max(v)']\n\
             [[metric]]\nname = 'a'\ntop = 1\norder-by = ['s DESC', 'n']\n[[metric]]\nname = 'b'\nby = []\nagg = 'min(v)'\n",
        )
        .unwrap();
        let lists = |text: &MetricText| (text.by.clone(), text.agg.clone(), text.order_by.clone());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(lists(&texts[0]), (some("k"), some("count(*) AS n, sum(v) AS s, max(v)"), some("s DESC, n")));
        assert_eq!(lists(&texts[1]), (None, some("min(v)"), None));
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest() {
        let expected = "unknown key 'tumbing' in the metric 'a'; did you mean 'tumbling'?";
        check_error("[[metric]]\nname = 'a'\ntumbing = '1m'\n", expected);
        check_error("[[metrics]]\nname = 'a'\n", "unknown key 'metrics' in the file; did you mean 'metric'?");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_with_its_place() {
        let check = |text: &str, expected: &str| check_error(&format!("[[metric]]\nname = 'a'\n{text}\n"), expected);
        check("tumbling = 1", "'tumbling' in the metric 'a' must be a text in quotes, not 1");
        check("where = ['k', 'v']", "'where' in the metric 'a' must be a text in quotes, not [\"k\", \"v\"]");
        check("by = ['k', 1]", "'by' in the metric 'a' must be a text in quotes, or a list of such, not [\"k\", 1]");
        check("top = -1", "'top' in the metric 'a' must be a whole number, not -1");
        check("top = 1.5", "'top' in the metric 'a' must be a whole number, not 1.5");
        check("global = 'yes'", "'global' in the metric 'a' must be true or false, not \"yes\"");
        check_error("defaults = 3\n", "'defaults' in the file must be a table, begun with [defaults], not 3");
        let expected = "'metric' in the file must be a list of tables, each begun with [[metric]], not 3";
        check_error("metric = 3\n", expected);
        check_error("[defaults]\nwhere = 1\n", "'where' in [defaults] must be a text in quotes, not 1");
    }

    #[test]
    fn a_text_that_is_no_toml_is_shown_with_its_place() {
        check_error(
            "[[metric]\n",
            "TOML parse error at line 1, column 10\n  |\n1 | [[metric]\n  |          ^\nunclosed array table, expected `]`",
        );
    }

    #[test]
    fn a_file_without_metrics_and_a_metric_without_name_are_refused() {
        check_error("", "it names no metric; begin one with [[metric]]");
        check_error("[[metric]]\ntumbling = '1m'\n", "metric 1 has no name");
    }
}
