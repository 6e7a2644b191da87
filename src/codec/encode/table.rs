//! Result rows as aligned columns for a person at a terminal, live: one header, under it the rows as their windows fire.
//!
//! Rows are kept until `flush` and laid out together. Columns never get narrower again, so later rows stand under the same
//! header; a new header comes when the metric changes. Data can't move the cursor: control characters and marks that turn the
//! writing direction are taken out. Does not know whether there is a terminal and how wide it is.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, Table, Width};

use crate::codec::encode::{EncodeOptions, RowEncoder};
use crate::metric::{Metric, MetricSchema};
use crate::time::Timestamp;
use crate::value::Value;

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
    header: Vec<(String, CellAlignment)>,
    /// Widths so far.
    widths: Vec<u16>,
    /// The metric's name, where there are several.
    name: Option<String>,
    is_ranked: bool,
    has_changes: bool,
}

impl Layout {
    fn new(schema: &MetricSchema, has_name: bool, has_changes: bool) -> Layout {
        let left = |name: &str| (printable(name), CellAlignment::Left);
        let right = |name: &str| (printable(name), CellAlignment::Right);
        let mut header = Vec::new();
        header.extend(has_name.then(|| left("metric")));
        header.extend([left("window_start"), left("window_end")]);
        header.extend(schema.groups.iter().map(|name| left(name)));
        header.extend(schema.aggregates.iter().map(|name| right(name)));
        header.extend(schema.ranked.then(|| right("rank")));
        header.extend(has_changes.then(|| left("note")));
        Layout {
            widths: vec![0; header.len()],
            header,
            name: has_name.then(|| printable(&schema.name)),
            is_ranked: schema.ranked,
            has_changes,
        }
    }

    fn cells(&self, row: &Metric) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(self.header.len());
        cells.extend(self.name.as_ref().map(Cell::new));
        cells.extend([row.window.start, row.window.end].map(|time| Cell::new_owned(bound(time))));
        cells.extend(row.groups.iter().map(|value| Cell::new_owned(shown(value))));
        cells.extend(row.aggregates.iter().map(|value| number(shown(value))));
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
        let header = self.header.iter().map(|(name, alignment)| {
            let cell = Cell::new(name).set_alignment(*alignment);
            if color { cell.add_attribute(Attribute::Bold) } else { cell }
        });
        table.set_header(header.collect::<Vec<_>>());
        for (column, width) in table.column_iter_mut().zip(&self.widths) {
            column.set_padding((0, 2));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + 2)));
        }
        table
    }

    fn widen(&mut self, table: &mut Table) {
        for (width, now) in self.widths.iter_mut().zip(table.column_max_content_widths()) {
            *width = (*width).max(now);
        }
    }
}

fn number(text: String) -> Cell {
    Cell::new_owned(text).set_alignment(CellAlignment::Right)
}

fn bound(time: Timestamp) -> String {
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

/// The text without control characters and marks of writing direction.
fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    text.chars().filter(|&c| !c.is_control() && !turns(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode::fixture::{encode, row, schema, text};
    use crate::time::Window;

    const START: &str = "1970-01-01T00:00:00.000Z";
    const END: &str = "1970-01-01T00:01:00.000Z";

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
        let expected = format!(
            "window_start              window_end                page          count\n\
             {START}  {END}  /                 5\n\
             {START}  {END}  /products  12345678\n\
             {START}  {END}  NULL            1.5\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn another_metric_gets_its_own_header() {
        let schemas = [schema("a", &[], &["n"], true), schema("b", &["g"], &[], false)];
        let rows = [
            Metric { rank: Some(1), window: Window::GLOBAL, ..row(&[], &[Value::Int(1)]) },
            Metric { metric: 1, window: Window::GLOBAL, ..row(&[text("x")], &[]) },
        ];
        let expected = "metric  window_start  window_end  n  rank\na       -             -           1     1\n\n\
                        metric  window_start  window_end  g\nb       -             -           x\n";
        assert_eq!(encode(plain(&schemas, false), &rows), expected);
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
        let notes: Vec<&str> = written.lines().map(|line| line.get(26..).unwrap_or("").trim()).collect();
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
