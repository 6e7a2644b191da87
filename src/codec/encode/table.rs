//! Result rows as aligned columns for a person at a terminal, live: one header, under it the rows as their windows fire.
//!
//! Rows are kept until `flush` and laid out together. Columns begin with some room, as long as a line fits a terminal of 80
//! columns, and never get narrower again, so later rows stand under the same header; a new header comes when the metric changes.
//! What is exact in the other formats is short here: times without their day where it is that of the window's start, floats
//! rounded. Data can't move the cursor: control characters and marks that turn the writing direction are taken out. Does not
//! know whether there is a terminal and how wide it is.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, Table, Width};

use crate::codec::encode::{EncodeOptions, RowEncoder};
use crate::metric::{Metric, MetricSchema};
use crate::time::{Timestamp, Window};
use crate::value::Value;

/// Lines are not made longer than this without need.
const LINE_WIDTH: u16 = 80;

/// Columns stand so far apart.
const GAP_WIDTH: u16 = 2;

/// Writes tables.
pub struct TableEncoder {
    layouts: Vec<Layout>,
    color: bool,
    /// Rows of `metric` that are not yet written.
    pending: Vec<Vec<Cell>>,
    /// The metric of the rows in `pending`, whose header is the last that was written.
    metric: Option<usize>,
    header_written: bool,
}

impl TableEncoder {
    /// An encoder of rows of these metrics.
    pub fn new(schemas: &[MetricSchema], options: &EncodeOptions) -> TableEncoder {
        let has_name = options.taken(schemas).len() > 1;
        let layout = |schema| Layout::new(schema, has_name, options.changes);
        TableEncoder {
            layouts: schemas.iter().map(layout).collect(),
            color: options.color,
            pending: Vec::new(),
            metric: None,
            header_written: false,
        }
    }
}

impl RowEncoder for TableEncoder {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Metric, out: &mut Vec<u8>) {
        if self.metric != Some(row.metric) {
            self.flush(out);
            if self.metric.is_some() {
                out.push(b'\n');
            }
            self.metric = Some(row.metric);
            self.header_written = false;
        }
        self.pending.push(self.layouts[row.metric].cells(row));
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        let Some(metric) = self.metric.filter(|_| !self.pending.is_empty()) else { return };
        let layout = &mut self.layouts[metric];
        let mut table = layout.table(self.color);
        table.add_rows(self.pending.drain(..));
        layout.widen(&mut table);
        for line in table.lines().skip(usize::from(self.header_written)) {
            out.extend_from_slice(line.trim_end().as_bytes());
            out.push(b'\n');
        }
        self.header_written = true;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.flush(out);
    }
}

/// The columns of one metric.
struct Layout {
    columns: Vec<Column>,
    /// The metric's name, where there are several.
    name: Option<String>,
    is_ranked: bool,
    has_changes: bool,
}

struct Column {
    header: String,
    alignment: CellAlignment,
    /// Its width so far.
    width: u16,
}

impl Layout {
    fn new(schema: &MetricSchema, has_name: bool, has_changes: bool) -> Layout {
        let left = |name: &str, room| (printable(name), CellAlignment::Left, room);
        let right = |name: &str, room| (printable(name), CellAlignment::Right, room);
        let mut columns = Vec::new();
        columns.extend(has_name.then(|| left("metric", 0)));
        columns.extend([left("start (UTC)", 19), left("end", 12)]);
        columns.extend(schema.groups.iter().map(|name| left(name, 20)));
        columns.extend(schema.aggregates.iter().map(|name| right(name, 10)));
        columns.extend(schema.ranked.then(|| right("rank", 0)));
        columns.extend(has_changes.then(|| left("note", 10)));
        Layout {
            columns: with_room(columns),
            name: has_name.then(|| printable(&schema.name)),
            is_ranked: schema.ranked,
            has_changes,
        }
    }

    fn cells(&self, row: &Metric) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(self.columns.len());
        cells.extend(self.name.as_ref().map(Cell::new));
        cells.extend([start(row.window), end(row.window)].map(Cell::new_owned));
        cells.extend(row.groups.iter().map(|value| Cell::new_owned(shown(value))));
        cells.extend(row.aggregates.iter().map(|value| number(rounded(value))));
        cells.extend(self.is_ranked.then(|| number(row.rank.map(|rank| rank.to_string()).unwrap_or_default())));
        cells.extend(self.has_changes.then(|| Cell::new_owned(note(row))));
        cells
    }

    /// An empty table with this header, at least as wide as before.
    fn table(&self, color: bool) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty();
        if color {
            table.enforce_styling();
        }
        let header = self.columns.iter().map(|Column { header, alignment, .. }| {
            let cell = Cell::new(header).set_alignment(*alignment);
            if color { cell.add_attribute(Attribute::Bold) } else { cell }
        });
        table.set_header(header.collect::<Vec<_>>());
        for (column, Column { width, .. }) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, GAP_WIDTH));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + GAP_WIDTH)));
        }
        table
    }

    fn widen(&mut self, table: &mut Table) {
        for (column, now) in self.columns.iter_mut().zip(table.column_max_content_widths()) {
            column.width = column.width.max(now);
        }
    }
}

fn number(text: String) -> Cell {
    Cell::new_owned(text).set_alignment(CellAlignment::Right)
}

/// Columns with their header, alignment and the width that they would like to begin with: they get it, the first ones first,
/// as long as a line fits the terminal.
fn with_room(columns: Vec<(String, CellAlignment, u16)>) -> Vec<Column> {
    let least = |header: &str| header.chars().count().min(1000) as u16;
    let line: u16 = columns.iter().map(|(header, ..)| least(header) + GAP_WIDTH).sum();
    let mut room = (LINE_WIDTH + GAP_WIDTH).saturating_sub(line);
    let column = |(header, alignment, wanted): (String, CellAlignment, u16)| {
        let more = wanted.saturating_sub(least(&header)).min(room);
        room -= more;
        Column { width: least(&header) + more, header, alignment }
    };
    columns.into_iter().map(column).collect()
}

/// `2026-11-22 19:54:22`, with its fraction where it has one.
fn start(window: Window) -> String {
    match day_and_time(window.start) {
        Some((day, time)) => format!("{day} {time}"),
        None => unbounded(window.start),
    }
}

/// The time alone on the day on which the window starts, `24:00:00` where that day ends; later `00:00:05 +1d`.
fn end(window: Window) -> String {
    let Some((day, time)) = day_and_time(window.end) else { return unbounded(window.end) };
    if day_and_time(window.start).is_none() {
        return format!("{day} {time}");
    }
    const DAY: i64 = 86_400_000_000;
    match window.end.0.div_euclid(DAY) - window.start.0.div_euclid(DAY) {
        0 => time,
        1 if window.end.0.rem_euclid(DAY) == 0 => "24:00:00".to_owned(),
        days => format!("{time} +{days}d"),
    }
}

/// None of times that have no date of four digits.
fn day_and_time(time: Timestamp) -> Option<(String, String)> {
    let text = time.to_string();
    let (day, clock) = text.split_at_checked(10).filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))?;
    let clock = clock.strip_prefix('T')?.strip_suffix('Z')?;
    Some((day.to_owned(), clock.strip_suffix(".000").unwrap_or(clock).to_owned()))
}

fn unbounded(time: Timestamp) -> String {
    if time == Timestamp::MIN || time == Timestamp::MAX { "-".to_owned() } else { time.to_string() }
}

fn note(row: &Metric) -> String {
    match (row.is_final, row.retracted, row.revision) {
        (false, _, _) => "early".to_owned(),
        (_, true, _) => "retracted".to_owned(),
        (_, _, 0) => String::new(),
        (_, _, revision) => format!("revision {revision}"),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => printable(text),
        Value::Time(time) => time.to_string(),
        _ => printable(&value.to_json()),
    }
}

/// Floats with at most four decimals, six below 1, unless that would lose too much or be too long.
fn rounded(value: &Value) -> String {
    let Value::Float(float) = value else { return shown(value) };
    let decimals = match float.abs() {
        size if (1.0..1e15).contains(&size) => 4,
        size if (1e-3..1.0).contains(&size) => 6,
        _ => return shown(value),
    };
    format!("{float:.decimals$}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The text without control characters and marks of writing direction.
fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    text.chars().filter(|&c| !c.is_control() && !turns(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::fixture::{encode, row, schema, text};
    use crate::time::parse_rfc3339;

    fn plain(schemas: &[MetricSchema], changes: bool) -> TableEncoder {
        TableEncoder::new(schemas, &EncodeOptions { changes, ..EncodeOptions::default() })
    }

    #[test]
    fn rows_of_several_flushes_stand_under_one_header() {
        let mut encoder = plain(&[schema("m", &["page"], &["count"], false)], false);
        let mut out = Vec::new();
        encoder.row(&row(&[text("/")], &[Value::Int(5)]), &mut out);
        encoder.row(&row(&[text("/products")], &[Value::Int(12345678)]), &mut out);
        assert!(out.is_empty());
        encoder.flush(&mut out);
        encoder.flush(&mut out);
        encoder.row(&row(&[Value::Null], &[Value::Float(1.5)]), &mut out);
        encoder.end(&mut out);
        let expected = "\
start (UTC)          end           page                       count
1970-01-01 00:00:00  00:01:00      /                              5
1970-01-01 00:00:00  00:01:00      /products               12345678
1970-01-01 00:00:00  00:01:00      NULL                         1.5
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn another_metric_gets_its_own_header() {
        let schemas = [schema("a", &[], &["n"], true), schema("b", &["g"], &[], false)];
        let rows = [
            Metric { rank: Some(1), window: Window::GLOBAL, ..row(&[], &[Value::Int(1)]) },
            Metric { metric: 1, window: Window::GLOBAL, ..row(&[text("x")], &[]) },
        ];
        let expected = "\
metric  start (UTC)          end                    n  rank
a       -                    -                      1     1

metric  start (UTC)          end           g
b       -                    -             x
";
        assert_eq!(encode(plain(&schemas, false), &rows), expected);
    }

    fn check_window(window: (&str, &str), expected: (&str, &str)) {
        let time = |text: &str| match text {
            "min" => Timestamp::MIN,
            "max" => Timestamp::MAX,
            _ => parse_rfc3339(text.as_bytes()).unwrap(),
        };
        let window = Window::new(time(window.0), time(window.1));
        assert_eq!((start(window).as_str(), end(window).as_str()), expected);
    }

    #[test]
    fn a_window_says_its_day_once() {
        let day = "2026-01-01 00:00:00";
        check_window(("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.25Z"), (day, "00:00:00.250"));
        check_window(("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), (day, "24:00:00"));
        check_window(("2026-01-01T00:00:00Z", "2026-01-02T00:00:05Z"), (day, "00:00:05 +1d"));
        check_window(("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z"), (day, "00:00:00 +7d"));
        check_window(("min", "2026-01-01T12:00:00.000001Z"), ("-", "2026-01-01 12:00:00.000001"));
        check_window(("min", "max"), ("-", "-"));
    }

    #[test]
    fn floats_are_rounded_for_the_eye() {
        for (float, expected) in [
            (1234567.891, "1234567.891"),
            (2.0 / 3.0 * 100.0, "66.6667"),
            (-2.0 / 3.0, "-0.666667"),
            (100.0, "100"),
            (0.0, "0.0"),
            (1e-9, "1e-9"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(rounded(&Value::Float(float)), expected);
        }
    }

    #[test]
    fn a_line_is_no_longer_than_a_terminal_without_need() {
        let columns = [&["currency"][..], &["orders", "total_revenue", "avg_order_value"]];
        let written = encode(plain(&[schema("m", columns[0], columns[1], false)], false), &[]);
        assert!(written.is_empty());
        let cells = [Value::Int(1), Value::Float(5.5), Value::Float(5.5)];
        let written =
            encode(plain(&[schema("m", columns[0], columns[1], false)], false), &[row(&[text("USD")], &cells)]);
        assert!(written.lines().all(|line| line.len() == 80), "{written}");
    }

    #[test]
    fn changes_are_noted() {
        let global = Metric { window: Window::GLOBAL, ..row(&[], &[]) };
        let rows = [
            global.clone(),
            Metric { revision: 2, ..global.clone() },
            Metric { retracted: true, revision: 3, ..global.clone() },
            Metric { is_final: false, ..global },
        ];
        let written = encode(plain(&[schema("m", &[], &[], false)], true), &rows);
        let notes: Vec<&str> = written.lines().map(|line| line.get(33..).unwrap_or("").trim()).collect();
        assert_eq!(notes, ["note", "", "revision 2", "retracted", "early"]);
    }

    #[test]
    fn data_can_not_steer_the_terminal() {
        let evil = "\u{1b}[31mred\u{7}\r\n\u{9b}2J\u{202e}x";
        let rows = [row(&[text(evil)], &[Value::Array(vec![text("\u{9d}y")])])];
        let written = encode(plain(&[schema("m", &["g\u{1b}"], &["a"], false)], false), &rows);
        assert!(written.contains("[31mred2Jx"), "{written:?}");
        assert!(!written.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{written:?}");
        assert_eq!(written.lines().count(), 2);
    }

    #[test]
    fn colour_only_when_asked_for() {
        let schemas = [schema("m", &[], &["n"], false)];
        let rows = [row(&[], &[Value::Int(1)])];
        assert!(!encode(plain(&schemas, false), &rows).contains('\u{1b}'));
        let options = EncodeOptions { color: true, ..EncodeOptions::default() };
        assert!(encode(TableEncoder::new(&schemas, &options), &rows).contains("\u{1b}[1m"));
    }
}
