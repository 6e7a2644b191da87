//! A chart in the terminal: lines over time in braille dots, or bars where there is one window.
//!
//! Draws the first value of the rows, one line a group; where there are more groups than can be told apart, those with the
//! greatest sums. Knows nothing of colours: lines go by a letter at their end.

use std::io::IsTerminal;

use crate::metric::{Metric, MetricSchema};
use crate::time::Timestamp;
use crate::value::Value;

/// Lines that are drawn.
pub const LINES_MAX: usize = 6;

/// Bars that are drawn.
const BARS_MAX: usize = 40;

/// Points that are kept.
const POINTS_MAX: usize = 2_000_000;

/// One group's values over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The group.
    pub name: String,
    /// Start of the window and value; a gap where there is none.
    pub points: Vec<(Timestamp, f64)>,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// The metric and the value.
    pub title: String,
    lines: Vec<Line>,
    count: usize,
}

impl Lines {
    /// Nothing yet, of the first value of these rows.
    pub fn of(schema: &MetricSchema) -> Lines {
        let value = schema.aggregates.first().map_or("", String::as_str);
        let by = if schema.groups.is_empty() { String::new() } else { format!(" by {}", schema.groups.join(", ")) };
        Lines { title: printable(&format!("{}: {value}{by}", schema.name)), lines: Vec::new(), count: 0 }
    }

    /// Adds a row. Rows come in order of time; what is no number is a gap.
    pub fn add(&mut self, row: &Metric) {
        let value = match row.aggregates.first() {
            Some(Value::Int(value)) => *value as f64,
            Some(Value::Float(value)) => *value,
            _ => return,
        };
        if self.count == POINTS_MAX {
            return;
        }
        self.count += 1;
        let name = match &row.groups[..] {
            [] => "all".to_owned(),
            groups => groups.iter().map(text).collect::<Vec<_>>().join(", "),
        };
        let point = (row.window.start, value);
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => self.lines.push(Line { name, points: vec![point] }),
        }
    }

    /// The lines with the greatest sums, greatest first.
    pub fn greatest(&self, most: usize) -> Vec<&Line> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        let sum = |line: &Line| line.points.iter().map(|(_, value)| value.abs()).sum::<f64>();
        lines.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
        lines.truncate(most);
        lines
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The chart as text, in a place of this many columns and rows.
    pub fn draw(&self, width: usize, height: usize) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        let drawn = if self.lines.iter().all(|line| line.points.len() == 1) {
            bars(&self.greatest(BARS_MAX), width)
        } else {
            lines(&self.greatest(LINES_MAX), width, height)
        };
        let shown =
            if drawn.1 < self.len() { format!(" (the greatest {} of {})", drawn.1, self.len()) } else { String::new() };
        format!("{}{shown}\n{}", self.title, drawn.0)
    }
}

/// Columns of the terminal, of an ordinary one where there is none, and rows for a chart.
pub fn room() -> (usize, usize) {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    // The tables' crate knows the terminal's width. A chart that is scrolled needs no height of it.
    let width = comfy_table::Table::new().width().filter(|_| std::io::stdout().is_terminal());
    (columns.or(width.map(usize::from)).unwrap_or(80).clamp(30, 400), 24)
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => printable(text),
        Value::Null => "NULL".into(),
        other => other.to_json(),
    }
}

fn printable(text: &str) -> String {
    crate::cli::exit::printable(text).replace(['\n', '\t'], " ")
}

/// A number in few characters.
pub fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e12 => return format!("{value:.2e}"),
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        size if size > 0.0 && size < 1e-3 => return format!("{value:.2e}"),
        _ => (value, ""),
    };
    let digits = format!("{value:.2}");
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits}{unit}")
}

/// One bar a line, with its value; gives the text and the number of bars.
fn bars(lines: &[&Line], width: usize) -> (String, usize) {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let name_width = lines.iter().map(|line| columns(&line.name)).max().unwrap_or(0).min(width / 3);
    let values: Vec<f64> = lines.iter().map(|line| line.points[0].1).collect();
    let greatest = values.iter().fold(0_f64, |greatest, value| greatest.max(value.abs()));
    let room = width.saturating_sub(name_width + 12).max(8);
    let mut text = String::new();
    for (line, value) in lines.iter().zip(values) {
        let eighths = if greatest > 0.0 { (value.abs() / greatest * room as f64 * 8.0).round() as usize } else { 0 };
        let bar = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
        text.push_str(&format!("{} {bar} {}\n", padded(&line.name, name_width), short(value)));
    }
    (text, lines.len())
}

/// Lines in a grid of braille cells, two dots wide and four high each, with an axis to either side.
fn lines(lines: &[&Line], width: usize, height: usize) -> (String, usize) {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (first, last) = points().fold((i64::MAX, i64::MIN), |(a, b), (time, _)| (a.min(time.0), b.max(time.0)));
    let (mut low, mut high) =
        points().fold((f64::MAX, f64::MIN), |(low, high), (_, value)| (low.min(*value), high.max(*value)));
    // Heights compare where the axis begins at zero, unless that would flatten everything.
    if low > 0.0 && low < high * 0.8 {
        low = 0.0;
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    const LABEL: usize = 9;
    let (wide, tall) = (width.saturating_sub(LABEL + 3).max(10), height.saturating_sub(6).max(4));
    let mut dots = vec![0_u8; wide * tall];
    let mut ends = Vec::new();
    let x = |time: i64| ((time - first) as f64 / (last - first).max(1) as f64 * (wide * 2 - 1) as f64).round() as i64;
    let y = |value: f64| ((high - value) / (high - low) * (tall * 4 - 1) as f64).round() as i64;
    for (index, line) in lines.iter().enumerate() {
        for pair in line.points.windows(2) {
            let [(from, a), (to, b)] = pair else { unreachable!("windows of two") };
            stroke((x(from.0), y(*a)), (x(to.0), y(*b)), |column, row| dot(&mut dots, wide, tall, column, row));
        }
        if let Some((time, value)) = line.points.last() {
            dot(&mut dots, wide, tall, x(time.0), y(*value));
            ends.push((y(*value) as usize / 4, letter(index)));
        }
    }
    let mut text = String::new();
    for row in 0..tall {
        let label = match row {
            0 => short(high),
            _ if row == tall - 1 => short(low),
            _ if row == tall / 2 => short(high - (high - low) * row as f64 / (tall - 1) as f64),
            _ => String::new(),
        };
        let cells: String = dots[row * wide..(row + 1) * wide].iter().map(|bits| braille(*bits)).collect();
        let marks: String = ends.iter().filter(|(end, _)| *end == row).map(|(_, letter)| *letter).collect();
        let marks = if lines.len() > 1 { marks } else { String::new() };
        text.push_str(format!("{label:>LABEL$} ┤{cells}{marks}").trim_end());
        text.push('\n');
    }
    let (from, to) = (Timestamp(first).to_string(), Timestamp(last).to_string());
    let gap = (wide + 1).saturating_sub(from.len() + to.len()).max(1);
    text.push_str(&format!("{:>LABEL$} {from}{}{to}\n", "", " ".repeat(gap)));
    if lines.len() > 1 {
        let names = lines.iter().enumerate().map(|(index, line)| format!("{} {}", letter(index), line.name));
        text.push_str(&format!("{:>LABEL$} {}\n", "", names.collect::<Vec<_>>().join("   ")));
    }
    (text, lines.len())
}

fn letter(index: usize) -> char {
    (b'a' + index as u8) as char
}

/// Calls `mark` for each dot of a straight stroke.
fn stroke((x0, y0): (i64, i64), (x1, y1): (i64, i64), mut mark: impl FnMut(i64, i64)) {
    let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1);
    for step in 0..=steps {
        let at = |a: i64, b: i64| (a as f64 + (b - a) as f64 * step as f64 / steps as f64).round() as i64;
        mark(at(x0, x1), at(y0, y1));
    }
}

fn dot(dots: &mut [u8], wide: usize, tall: usize, column: i64, row: i64) {
    // The bits of a braille cell's dots, by row and column.
    const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    let (column, row) = (column.max(0) as usize, row.max(0) as usize);
    if column < wide * 2 && row < tall * 4 {
        dots[row / 4 * wide + column / 2] |= BITS[row % 4][column % 2];
    }
}

fn braille(bits: u8) -> char {
    if bits == 0 { ' ' } else { char::from_u32(0x2800 + u32::from(bits)).expect("a block of 256 characters") }
}

fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// The text in exactly so many columns.
fn padded(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let next = unicode_width::UnicodeWidthChar::width(character).unwrap_or(0);
        if used + next > width {
            break;
        }
        out.push(character);
        used += next;
    }
    out + &" ".repeat(width - used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Window;

    fn of(points: &[(&str, i64, f64)]) -> Lines {
        let schema =
            MetricSchema { name: "m".into(), groups: vec!["g".into()], aggregates: vec!["v".into()], ranked: false };
        let mut lines = Lines::of(&schema);
        for (group, minute, value) in points {
            let start = Timestamp(minute * 60_000_000);
            lines.add(&Metric {
                metric: 0,
                window: Window::new(start, Timestamp(start.0 + 60_000_000)),
                groups: [Value::Text((*group).into())].into(),
                aggregates: [Value::Float(*value)].into(),
                rank: None,
                revision: 0,
                is_final: true,
                retracted: false,
                state: None,
            });
        }
        lines
    }

    #[test]
    fn one_window_is_drawn_as_bars() {
        let drawn = of(&[("small", 0, 5.0), ("great", 0, 40.0)]).draw(40, 20);
        let expected = "\
m: v by g
great ███████████████████████ 40
small ██▉ 5
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_line_rises_from_the_left_below_to_the_right_above() {
        let points: Vec<_> = (0..20).map(|minute| ("a", minute, minute as f64)).collect();
        let drawn = of(&points).draw(40, 12);
        let rows: Vec<&str> = drawn.lines().collect();
        assert!(
            rows[1].starts_with("       19 ┤") && rows[1].trim_end().ends_with(|c: char| c >= '\u{2800}'),
            "{drawn}"
        );
        assert!(rows[6].starts_with("        0 ┤⣀"), "{drawn}");
        assert!(rows[7].contains("1970-01-01T00:00:00.000Z"), "{drawn}");
        assert_eq!(rows.len(), 8, "{drawn}");
    }

    #[test]
    fn data_moves_no_cursor_and_too_many_groups_are_told() {
        let names: Vec<String> = (0..9).map(|n| format!("g{n}\x1b[2J")).collect();
        let points: Vec<_> =
            names.iter().enumerate().flat_map(|(n, name)| [(name.as_str(), 0, n as f64), (name, 1, 1.0)]).collect();
        let drawn = of(&points).draw(80, 20);
        assert!(!drawn.contains('\x1b'));
        assert!(drawn.starts_with("m: v by g (the greatest 6 of 9)\n"), "{drawn}");
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in
            [(0.0, "0"), (1.5, "1.5"), (9999.0, "9999"), (12_345.0, "12.35k"), (2.5e6, "2.5M"), (1e-5, "1.00e-5")]
        {
            assert_eq!(short(value), expected);
        }
    }
}
