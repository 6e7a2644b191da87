//! Layouts: which panels there are, what each shows, and how they share the screen; from a TOML file or made by itself.
//!
//! ```toml
//! [[row]]
//! size = 2                     # this row is twice as high as one without size
//! [[row.panel]]
//! metric = "revenue"
//! title = "Revenue by country"
//! kind = "table"               # value, table, chart or sparkline
//! fields = ["total_revenue", "orders"]
//! group = "country"            # groups that agree in it are added up; a list for several
//! sort = "-total_revenue"      # a field, with - the greatest first; group; rank
//! size = 3                     # three times as wide as one without size
//! ```
//!
//! Knows nothing of where the text comes from, and of drawing.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Rows of panels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// From top to bottom.
    pub rows: Vec<LayoutRow>,
}

/// Panels side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct LayoutRow {
    /// Its share of the height.
    pub size: u16,
    /// From left to right.
    pub panels: Vec<Panel>,
}

/// What one panel shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The metric.
    pub metric: String,
    /// What stands on its frame; the metric's name if nothing is said.
    pub title: Option<String>,
    /// How it is shown; by itself a table where there are groups, else values.
    pub kind: Option<Kind>,
    /// The fields that are shown, in this order; all if none is named.
    pub fields: Vec<String>,
    /// The columns that its groups go by; all of the metric's if nothing is said.
    pub group: Option<Vec<String>>,
    /// The order of its groups.
    pub sort: Option<SortKey>,
    /// Its share of the width.
    pub size: u16,
}

impl Panel {
    /// The panel that a metric gets by itself.
    pub fn of_metric(metric: &str) -> Panel {
        Panel {
            metric: metric.to_owned(),
            title: None,
            kind: None,
            fields: Vec::new(),
            group: None,
            sort: None,
            size: 1,
        }
    }
}

/// How a panel shows its metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each field's value, its change, and its history where there is room.
    Value,
    /// A line for each group.
    Table,
    /// A chart of one field, with a line for each of the first groups.
    Chart,
    /// A line for each group, with as much history as fits.
    Sparkline,
}

/// The order of a panel's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// By the rank that rows carry.
    Rank,
    /// By the groups' names.
    Group,
    /// By a field.
    Field {
        /// Its name.
        name: String,
        /// The greatest first.
        descending: bool,
    },
}

/// A layout that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It is no TOML.
    #[error("{}", .0.to_string().trim_end())]
    Toml(toml::de::Error),
    /// A key that is not known.
    #[error("line {line}: unknown key '{key}' in {place}{}", did_you_mean(.key, .known))]
    UnknownKey {
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
        /// Where it stands.
        place: &'static str,
        /// What may stand there.
        known: &'static [&'static str],
    },
    /// A value that does not fit its key.
    #[error("line {line}: '{key}' must be {wanted}")]
    Value {
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A key that must be there.
    #[error("line {line}: the {place} has no '{key}'")]
    Missing {
        /// Counted from 1.
        line: usize,
        /// What lacks it.
        place: &'static str,
        /// The key.
        key: &'static str,
    },
    /// There is nothing to show.
    #[error("it has no panel; begin a row with [[row]] and a panel in it with [[row.panel]]")]
    Empty,
}

const FILE_KEYS: &[&str] = &["row"];
const ROW_KEYS: &[&str] = &["size", "panel"];
const PANEL_KEYS: &[&str] = &["metric", "title", "kind", "fields", "group", "sort", "size"];

impl Layout {
    /// Reads a layout.
    pub fn parse(text: &str) -> Result<Layout, LayoutError> {
        let file = DeTable::parse(text).map_err(LayoutError::Toml)?;
        let reader = Reader { text };
        reader.check_keys(file.get_ref(), "the file", FILE_KEYS)?;
        let mut layout = Layout::default();
        for row in reader.tables(file.get_ref(), "row", "a list of tables, each begun with [[row]]")? {
            reader.check_keys(row.get_ref(), "a row", ROW_KEYS)?;
            let mut panels = Vec::new();
            for panel in reader.tables(row.get_ref(), "panel", "a list of tables, each begun with [[row.panel]]")? {
                panels.push(reader.panel(&panel)?);
            }
            if panels.is_empty() {
                return Err(LayoutError::Missing { line: reader.line(row.span().start), place: "row", key: "panel" });
            }
            layout.rows.push(LayoutRow { size: reader.size(row.get_ref())?, panels });
        }
        if layout.rows.is_empty() { Err(LayoutError::Empty) } else { Ok(layout) }
    }

    /// All panels in reading order.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    /// By metric: the columns that panels group by, which are groups whatever they hold.
    pub fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for panel in self.panels() {
            groups.entry(panel.metric.clone()).or_default().extend(panel.group.iter().flatten().cloned());
        }
        groups
    }
}

/// A table with the place where it begins.
type SpannedTable<'a> = Spanned<&'a DeTable<'a>>;

/// Reads values and knows their lines.
struct Reader<'t> {
    text: &'t str,
}

impl Reader<'_> {
    fn panel(&self, panel: &SpannedTable) -> Result<Panel, LayoutError> {
        let (table, line) = (panel.get_ref(), self.line(panel.span().start));
        self.check_keys(table, "a panel", PANEL_KEYS)?;
        let text = |key| self.value(table, key, "a text in quotes", |value| value.as_str().map(str::to_owned));
        let texts = |key| self.value(table, key, "a text in quotes, or a list of such", texts_of);
        let kind =
            self.value(table, "kind", "'value', 'table', 'chart' or 'sparkline'", |value| match value.as_str()? {
                "value" => Some(Kind::Value),
                "table" => Some(Kind::Table),
                "chart" => Some(Kind::Chart),
                "sparkline" => Some(Kind::Sparkline),
                _ => None,
            })?;
        Ok(Panel {
            metric: text("metric")?.ok_or(LayoutError::Missing { line, place: "panel", key: "metric" })?,
            title: text("title")?,
            kind,
            fields: texts("fields")?.unwrap_or_default(),
            group: texts("group")?,
            sort: text("sort")?.map(|sort| sort_key(&sort)),
            size: self.size(table)?,
        })
    }

    fn size(&self, table: &DeTable) -> Result<u16, LayoutError> {
        let size = self.value(table, "size", "a whole number from 1 to 100", |value| {
            value.as_integer()?.as_str().parse().ok().filter(|size| (1..=100).contains(size))
        })?;
        Ok(size.unwrap_or(1))
    }

    /// What `read` makes of the value of `key`, if it stands there.
    fn value<T>(
        &self,
        table: &DeTable,
        key: &str,
        wanted: &'static str,
        read: impl Fn(&DeValue) -> Option<T>,
    ) -> Result<Option<T>, LayoutError> {
        let Some(value) = table.get(key) else { return Ok(None) };
        let wrong = || LayoutError::Value { line: self.line(value.span().start), key: key.to_owned(), wanted };
        read(value.get_ref()).map(Some).ok_or_else(wrong)
    }

    fn tables<'a>(
        &self,
        table: &'a DeTable<'a>,
        key: &str,
        wanted: &'static str,
    ) -> Result<Vec<SpannedTable<'a>>, LayoutError> {
        let Some(value) = table.get(key) else { return Ok(Vec::new()) };
        let wrong = || LayoutError::Value { line: self.line(value.span().start), key: key.to_owned(), wanted };
        let items = value.get_ref().as_array().ok_or_else(wrong)?;
        let tables = items.iter().map(|item| Some(Spanned::new(item.span(), item.get_ref().as_table()?)));
        tables.collect::<Option<Vec<_>>>().ok_or_else(wrong)
    }

    fn check_keys(
        &self,
        table: &DeTable,
        place: &'static str,
        known: &'static [&'static str],
    ) -> Result<(), LayoutError> {
        let unknown = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            Some(key) => {
                let line = self.line(key.span().start);
                Err(LayoutError::UnknownKey { line, key: key.get_ref().to_string(), place, known })
            }
            None => Ok(()),
        }
    }

    /// The line, counted from 1, in which a byte stands.
    fn line(&self, byte: usize) -> usize {
        1 + self.text.bytes().take(byte).filter(|&byte| byte == b'\n').count()
    }
}

fn texts_of(value: &DeValue) -> Option<Vec<String>> {
    match value.as_array() {
        Some(items) => items.iter().map(|item| Some(item.get_ref().as_str()?.to_owned())).collect(),
        None => Some(vec![value.as_str()?.to_owned()]),
    }
}

fn sort_key(text: &str) -> SortKey {
    match text {
        "rank" => SortKey::Rank,
        "group" => SortKey::Group,
        _ => match text.strip_prefix('-') {
            Some(name) => SortKey::Field { name: name.to_owned(), descending: true },
            None => SortKey::Field { name: text.to_owned(), descending: false },
        },
    }
}

fn did_you_mean(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(key, known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 2 => format!("; did you mean '{nearest}'?"),
        _ => format!("; the keys are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let layout = Layout::parse(
            "[[row]]\nsize = 2\n[[row.panel]]\nmetric = 'm'\ntitle = 'T'\nkind = 'chart'\nfields = ['a', 'b']\n\
             group = 'g'\nsort = '-a'\nsize = 3\n[[row.panel]]\nmetric = 'n'\ngroup = []\nfields = 'x'\n[[row]]\n[[row.panel]]\nmetric = 'm'\nsort = 'group'\ngroup = ['g', 'h']\n",
        )
        .unwrap();
        let first = Panel {
            metric: "m".into(),
            title: Some("T".into()),
            kind: Some(Kind::Chart),
            fields: vec!["a".into(), "b".into()],
            group: Some(vec!["g".into()]),
            sort: Some(SortKey::Field { name: "a".into(), descending: true }),
            size: 3,
        };
        let second = Panel { group: Some(Vec::new()), fields: vec!["x".into()], ..Panel::of_metric("n") };
        assert_eq!(layout.rows[0], LayoutRow { size: 2, panels: vec![first, second] });
        assert_eq!(layout.rows[1].panels[0].sort, Some(SortKey::Group));
        assert_eq!(layout.groups()["m"], ["g", "g", "h"]);
    }

    #[test]
    fn the_shipped_layouts_are_right() {
        for text in [
            include_str!("../../layouts/web.toml"),
            include_str!("../../layouts/ecommerce.toml"),
            include_str!("../../layouts/iot.toml"),
        ] {
            let layout = Layout::parse(text).unwrap();
            assert!(layout.panels().count() >= 3);
        }
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(Layout::parse(text).expect_err("the layout is wrong").to_string(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        check_error(
            "[[row]]\n[[row.panel]]\nmetric = 'm'\ntitel = 'x'\n",
            "line 4: unknown key 'titel' in a panel; did you mean 'title'?",
        );
        check_error("[[rows]]\n", "line 1: unknown key 'rows' in the file; did you mean 'row'?");
        check_error(
            "[[row]]\ncolour = 1\n[[row.panel]]\nmetric = 'm'\n",
            "line 2: unknown key 'colour' in a row; the keys are size, panel",
        );
        check_error("[[row]]\n[[row.panel]]\ntitle = 'x'\n", "line 2: the panel has no 'metric'");
        check_error("\n[[row]]\nsize = 1\n", "line 2: the row has no 'panel'");
        let panel = |text: &str| format!("[[row]]\n[[row.panel]]\nmetric = 'm'\n{text}\n");
        check_error(&panel("kind = 'pie'"), "line 4: 'kind' must be 'value', 'table', 'chart' or 'sparkline'");
        check_error(&panel("size = 0"), "line 4: 'size' must be a whole number from 1 to 100");
        check_error(&panel("fields = [1]"), "line 4: 'fields' must be a text in quotes, or a list of such");
        check_error("row = 1\n", "line 1: 'row' must be a list of tables, each begun with [[row]]");
        check_error("", "it has no panel; begin a row with [[row]] and a panel in it with [[row.panel]]");
        check_error(
            "[[row]\n",
            "TOML parse error at line 1, column 7\n  |\n1 | [[row]\n  |       ^\nunclosed array table, expected `]`",
        );
    }
}
