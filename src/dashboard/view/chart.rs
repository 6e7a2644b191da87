//! A chart of one field: lines in braille, one for each of the first groups, over event time.
//!
//! Without colours only the selected group is a line; the others are dots. Knows nothing of what is around it.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use crate::dashboard::figures::{clock, count, number};
use crate::dashboard::layout::Panel;
use crate::dashboard::model::metric::MetricModel;
use crate::dashboard::model::ranking::Ranked;
use crate::dashboard::view::Scene;
use crate::dashboard::view::ink::{frame, put, put_right};
use crate::dashboard::view::panel::{change_of, remark, value};
use crate::dashboard::view::resolved::Resolved;

/// Lines of a chart.
const LINES_MAX: usize = 6;

/// Draws the chart of a panel, a line for each of the first groups.
pub fn draw(
    scene: &Scene,
    resolved: &Resolved,
    ranked: &Ranked,
    marked: Option<usize>,
    buffer: &mut Buffer,
    inner: Rect,
) {
    let legend_width = (inner.width / 3).min(36);
    let [chart, legend] = if ranked.columns.is_empty() {
        [inner, Rect { width: 0, ..inner }]
    } else {
        Layout::horizontal([Constraint::Min(1), Constraint::Length(legend_width)]).areas(inner)
    };
    lines(scene, ranked, marked, buffer, chart);
    for (index, row) in ranked.rows.iter().take(legend.height.into()).enumerate() {
        if legend.width < 12 {
            break;
        }
        let (y, line) = (legend.y + index as u16, scene.theme.line(index));
        let mark = if index >= LINES_MAX {
            "  "
        } else if Some(index) == marked {
            "━ "
        } else {
            "· "
        };
        put(buffer, legend.x + 1, y, mark, 2, line);
        let room = legend.width - 3;
        let end = put(buffer, legend.x + 3, y, &row.label, room.saturating_sub(11), line);
        put_right(
            buffer,
            legend.right(),
            y,
            &value(row, resolved.field),
            legend.right().saturating_sub(end),
            scene.theme.plain(),
        );
        if marked == Some(index) {
            buffer.set_style(Rect { y, height: 1, ..legend }, scene.theme.selected_row());
        }
    }
}

/// Draws the selected panel over the whole body; gives the number of its rows.
pub fn draw_full(scene: &Scene, panel: &Panel, metric: &MetricModel, buffer: &mut Buffer, area: Rect) -> usize {
    let (state, theme) = (scene.state, scene.theme);
    let resolved = match Resolved::new(panel, metric, state.sort(state.panel)) {
        Ok(resolved) => resolved,
        Err(reason) => {
            put(buffer, area.x, area.y, &reason, area.width, theme.warning());
            return 0;
        }
    };
    let lines = usize::from(area.height.saturating_sub(4)).max(1);
    let total = resolved.ranked(state, 0, 0, resolved.field).rows_matching;
    let selected = state.row(state.panel).min(total.saturating_sub(1));
    let skip = (selected + 1).saturating_sub(lines.min(LINES_MAX));
    let ranked = resolved.ranked(state, skip, lines, resolved.field);
    let title = format!("{}: {}", resolved.title(), resolved.field_name());
    let inner = frame(buffer, area, (&title, theme.strong()), &remark(&resolved, &ranked), theme.selected_frame());
    if ranked.rows.is_empty() || inner.height < 5 {
        put(buffer, inner.x, inner.y, "nothing to draw", inner.width, theme.faint());
        return total;
    }
    let marked = selected - skip;
    if let Some(row) = ranked.rows.get(marked) {
        let change = change_of(row, resolved.field, &ranked);
        let known = row.history.iter().copied().filter(|value| !value.is_nan());
        let (least, greatest) =
            (known.clone().fold(f64::INFINITY, f64::min), known.clone().fold(f64::NEG_INFINITY, f64::max));
        let label = if row.label.is_empty() { String::new() } else { format!("{}  ", row.label) };
        let text = format!(
            "{label}now {} {change}  least {}  greatest {}  {} windows",
            value(row, resolved.field),
            number(least),
            number(greatest),
            known.count()
        );
        put(buffer, inner.x, inner.y, &text, inner.width, theme.strong());
    }
    let mut body = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    if let Some(counts) = scene.model.stream.stats.as_ref().and_then(|stats| stats.metrics.get(metric.name())) {
        let text = format!(
            "events: in {}  used {}  filtered {}  late {}  in no window {}  overflowed {}",
            count(counts.events_in),
            count(counts.used),
            count(counts.filtered),
            count(counts.late),
            count(counts.no_window),
            count(counts.overflowed)
        );
        body.height -= 1;
        put(buffer, inner.x, body.bottom(), &text, inner.width, theme.faint());
    }
    draw(scene, &resolved, &ranked, Some(marked), buffer, body);
    total
}

fn lines(scene: &Scene, ranked: &Ranked, marked: Option<usize>, buffer: &mut Buffer, area: Rect) {
    let theme = scene.theme;
    let time = |index: usize| ranked.axis.get(index).map_or(index as f64, |window| window.end.0 as f64 / 1e6);
    let shown = ranked.rows.iter().take(LINES_MAX);
    let all: Vec<Vec<(f64, f64)>> = shown
        .map(|row| {
            let points = row.history.iter().enumerate().filter(|(_, value)| value.is_finite());
            points.map(|(index, value)| (time(index), *value)).collect()
        })
        .collect();
    let points = || all.iter().flatten();
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let least = points().map(of).fold(f64::INFINITY, f64::min);
        let greatest = points().map(of).fold(f64::NEG_INFINITY, f64::max);
        // A single value stands in the middle.
        if least < greatest { [least, greatest] } else { [least - 1.0, least + 1.0] }
    };
    if points().next().is_none() {
        put(buffer, area.x, area.y, "no value in these windows", area.width, theme.faint());
        return;
    }
    let (x, y) = (bounds(|point| point.0), bounds(|point| point.1));
    let marked = marked.unwrap_or(0);
    let mut order: Vec<usize> = (0..all.len()).collect();
    // What is drawn last lies on top.
    order.sort_by_key(|&index| (index == marked, index));
    let datasets = order.into_iter().map(|index| {
        let is_line = theme.has_colour || index == marked;
        Dataset::default()
            .marker(if is_line { Marker::Braille } else { Marker::Dot })
            .graph_type(if is_line { GraphType::Line } else { GraphType::Scatter })
            .style(theme.line(index))
            .data(&all[index])
    });
    let when = |index: usize| match ranked.axis.get(index) {
        Some(window) => clock(window.end),
        None => format!("#{}", index + 1),
    };
    let windows = ranked.rows.iter().map(|row| row.history.len()).max().unwrap_or(1);
    let times = [when(0), when(windows / 2), when(windows.saturating_sub(1))];
    let values = [number(y[0]), number((y[0] + y[1]) / 2.0), number(y[1])];
    Chart::new(datasets.collect())
        .x_axis(Axis::default().bounds(x).labels(times).style(theme.faint()))
        .y_axis(Axis::default().bounds(y).labels(values).style(theme.faint()))
        .legend_position(None)
        .render(area, buffer);
}
