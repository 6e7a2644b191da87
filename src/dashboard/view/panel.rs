//! One panel: its frame, and inside a table, values, or histories; a chart is drawn by `chart`.
//!
//! Knows nothing of where it stands.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::figures::{change, count, number, window};
use crate::dashboard::layout::{Kind, Panel};
use crate::dashboard::model::ranking::{Ranked, RankedRow};
use crate::dashboard::printable::width;
use crate::dashboard::view::history::bars;
use crate::dashboard::view::ink::{frame, put, put_right};
use crate::dashboard::view::resolved::Resolved;
use crate::dashboard::view::theme::Theme;
use crate::dashboard::view::{Scene, chart};

/// Room of a number and of a change, with a blank before.
const NUMBER: u16 = 11;
const CHANGE: u16 = 9;
const LABEL_MIN: u16 = 10;
const HISTORY_MIN: u16 = 6;

/// Draws the panel of this number; gives the number of its rows.
pub fn draw(scene: &Scene, index: usize, panel: &Panel, buffer: &mut Buffer, area: Rect) -> usize {
    let is_selected = index == scene.state.panel;
    let theme = scene.theme;
    let border = if is_selected { theme.selected_frame() } else { theme.faint() };
    let Some(metric) = scene.model.metric(&panel.metric) else {
        let title = panel.title.as_deref().unwrap_or(&panel.metric);
        let inner = frame(buffer, area, (title, theme.strong()), "", border);
        say(buffer, inner, &format!("no row of '{}' has come yet", panel.metric), theme);
        return 0;
    };
    let resolved = match Resolved::new(panel, metric, scene.state.sort(index)) {
        Ok(resolved) => resolved,
        Err(reason) => {
            let title = panel.title.as_deref().unwrap_or(&panel.metric);
            let inner = frame(buffer, area, (title, theme.strong()), "", border);
            say(buffer, inner, &reason, theme);
            return 0;
        }
    };
    let lines = usize::from(area.height.saturating_sub(3)).max(1);
    let selected = scene.state.row(index);
    let skip = if resolved.kind == Kind::Value { 0 } else { (selected + 1).saturating_sub(lines) };
    let ranked = resolved.ranked(scene.state, skip, lines, resolved.field);
    // The selection may point beyond the end, since groups come and go.
    let selected = selected.min(ranked.rows_matching.saturating_sub(1));
    let skip = skip.min((selected + 1).saturating_sub(lines));
    let ranked = if skip + ranked.rows.len() <= selected || ranked.rows.is_empty() {
        resolved.ranked(scene.state, skip, lines, resolved.field)
    } else {
        ranked
    };
    let inner = frame(buffer, area, (resolved.title(), theme.strong()), &remark(&resolved, &ranked), border);
    if ranked.rows.is_empty() {
        let reason =
            if scene.state.filter.is_empty() { "nothing in this window" } else { "no group matches the filter" };
        say(buffer, inner, reason, theme);
        return ranked.rows_matching;
    }
    let marked = is_selected.then(|| selected - skip.min(selected));
    match resolved.kind {
        Kind::Table => table(scene, &resolved, &ranked, marked, buffer, inner),
        Kind::Sparkline => sparklines(scene, &resolved, &ranked, marked, buffer, inner),
        Kind::Value => values(scene, &resolved, &ranked, buffer, inner),
        Kind::Chart => chart::draw(scene, &resolved, &ranked, marked, buffer, inner),
    }
    ranked.rows_matching
}

/// What stands on the right of a frame: the window, how many groups, and the order.
pub fn remark(resolved: &Resolved, ranked: &Ranked) -> String {
    let mut parts = Vec::new();
    if matches!(resolved.kind, Kind::Chart | Kind::Sparkline) {
        parts.push(resolved.field_name().to_owned());
    }
    match ranked.window {
        Some(current) if resolved.metric.is_final(current) => parts.push(window(current)),
        Some(current) => parts.push(format!("~{}", window(current))),
        None => parts.push("each its own window".to_owned()),
    }
    if !ranked.columns.is_empty() && ranked.groups > 1 {
        parts.push(format!("{} groups", count(ranked.groups as u64)));
    }
    parts.extend(resolved.order_name());
    if resolved.metric.rows_not_kept() > 0 {
        parts.push(format!("{} rows of further groups not kept", count(resolved.metric.rows_not_kept())));
    }
    parts.join(", ")
}

/// Says why there is nothing to see, in as many lines as it takes.
fn say(buffer: &mut Buffer, inner: Rect, text: &str, theme: Theme) {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a line from the first on");
        if !last.is_empty() && width(last) + 1 + width(word) > inner.width.into() {
            lines.push(word.to_owned());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(word);
        }
    }
    let top = inner.y + inner.height.saturating_sub(lines.len() as u16) / 2;
    for (y, line) in (top..inner.bottom()).zip(&lines) {
        put(buffer, inner.x, y, line, inner.width, theme.faint());
    }
}

/// Columns of a table: how wide each is, by what fits.
struct Columns {
    label: u16,
    /// How many fields are shown, and the room of each with a blank before.
    fields: usize,
    number: u16,
    history: u16,
}

impl Columns {
    fn of(resolved: &Resolved, ranked: &Ranked, total: u16, windows: usize) -> Columns {
        let heading = ranked.columns.join(" / ");
        let widest = ranked.rows.iter().map(|row| width(&row.label)).chain([width(&heading)]).max().unwrap_or(0);
        let names = resolved.fields.iter().map(|(_, name)| width(name) as u16 + 1).max().unwrap_or(0).clamp(NUMBER, 24);
        let label_min = (widest as u16).clamp(LABEL_MIN, LABEL_MIN.max(total / 3));
        // Names of fields are written out where there is room for all of them.
        let is_roomy = resolved.fields.len() as u16 * names + label_min + CHANGE + HISTORY_MIN < total;
        let number = if is_roomy { names } else { NUMBER };
        let for_fields = total.saturating_sub(LABEL_MIN + CHANGE) / number;
        let fields = resolved.fields.len().min(for_fields.into()).max(1);
        let left = total.saturating_sub(fields as u16 * number + CHANGE);
        let mut label = (widest as u16).clamp(LABEL_MIN.min(left), left.max(1));
        // A name that leaves no room for the history gives half of it back.
        if left.saturating_sub(label) <= HISTORY_MIN {
            label = label.min((left / 2).max(LABEL_MIN)).min(left);
        }
        let history = left.saturating_sub(label + 1).min(windows.min(600) as u16);
        Columns { label, fields, number, history: if history >= HISTORY_MIN { history } else { 0 } }
    }
}

fn table(scene: &Scene, resolved: &Resolved, ranked: &Ranked, marked: Option<usize>, buffer: &mut Buffer, inner: Rect) {
    let theme = scene.theme;
    let columns = Columns::of(resolved, ranked, inner.width, scene.state.windows());
    let room = columns.number - 1;
    put(buffer, inner.x, inner.y, &ranked.columns.join(" / "), columns.label, theme.faint());
    let mut right = inner.x + columns.label;
    for (field, name) in &resolved.fields[..columns.fields] {
        right += columns.number;
        let style = if *field == resolved.field { theme.strong() } else { theme.faint() };
        put_right(buffer, right, inner.y, name, room, style);
    }
    put_right(buffer, right + CHANGE, inner.y, "change", CHANGE - 1, theme.faint());
    let hidden = resolved.fields.len() - columns.fields;
    if hidden > 0 {
        put_right(buffer, inner.right(), inner.y, &format!("+{hidden} fields"), columns.history, theme.faint());
    }
    for (index, row) in ranked.rows.iter().take(usize::from(inner.height) - 1).enumerate() {
        let y = inner.y + 1 + index as u16;
        let label = if row.label.is_empty() { "all" } else { &row.label };
        put(buffer, inner.x, y, label, columns.label, theme.plain());
        let mut right = inner.x + columns.label;
        for (field, _) in &resolved.fields[..columns.fields] {
            right += columns.number;
            put_right(buffer, right, y, &value(row, *field), room, value_style(row, *field == resolved.field, theme));
        }
        let changed = change_of(row, resolved.field, ranked);
        put_right(buffer, right + CHANGE, y, &changed, CHANGE - 1, theme.change(&changed));
        if columns.history > 0 {
            let line = bars(&row.history, columns.history.into(), 1);
            put(buffer, right + CHANGE + 1, y, &line[0], columns.history, theme.history());
        }
        if marked == Some(index) {
            buffer.set_style(Rect { y, height: 1, ..inner }, theme.selected_row());
        }
    }
}

fn sparklines(
    scene: &Scene,
    resolved: &Resolved,
    ranked: &Ranked,
    marked: Option<usize>,
    buffer: &mut Buffer,
    inner: Rect,
) {
    let theme = scene.theme;
    let widest = ranked.rows.iter().map(|row| width(&row.label)).max().unwrap_or(0) as u16;
    let label = widest.min(inner.width / 3);
    let history = inner.width.saturating_sub(label + NUMBER + CHANGE + 1);
    // A single line may use all the height.
    if let ([row], true) = (&ranked.rows[..], inner.height > 2 && ranked.rows_matching == 1) {
        return tall(scene, resolved.field, row, ranked, buffer, inner, resolved.field_name());
    }
    for (index, row) in ranked.rows.iter().take(inner.height.into()).enumerate() {
        let y = inner.y + index as u16;
        put(buffer, inner.x, y, &row.label, label, theme.plain());
        let line = bars(&row.history, history.into(), 1);
        put(buffer, inner.x + label + 1, y, &line[0], history, theme.history());
        let right = inner.right() - CHANGE;
        put_right(buffer, right, y, &value(row, resolved.field), NUMBER - 1, value_style(row, true, theme));
        let changed = change_of(row, resolved.field, ranked);
        put_right(buffer, inner.right(), y, &changed, CHANGE - 1, theme.change(&changed));
        if marked == Some(index) {
            buffer.set_style(Rect { y, height: 1, ..inner }, theme.selected_row());
        }
    }
}

/// Each field's value of the first group, with as much history as there is room.
fn values(scene: &Scene, resolved: &Resolved, ranked: &Ranked, buffer: &mut Buffer, inner: Rect) {
    let fields = resolved.fields.len().clamp(1, usize::from(inner.height.max(1)));
    let each = inner.height / fields as u16;
    for (index, (field, name)) in resolved.fields.iter().take(fields).enumerate() {
        let again;
        let ranked = if *field == resolved.field {
            ranked
        } else {
            again = resolved.ranked(scene.state, 0, 1, *field);
            &again
        };
        let Some(row) = ranked.rows.first() else { return };
        let place = Rect { y: inner.y + index as u16 * each, height: each, ..inner };
        let name = if row.label.is_empty() { name.clone() } else { format!("{name} of {}", row.label) };
        tall(scene, *field, row, ranked, buffer, place, &name);
    }
}

/// A name, its value and change in one line, and below or behind it the history.
fn tall(scene: &Scene, field: usize, row: &RankedRow, ranked: &Ranked, buffer: &mut Buffer, place: Rect, name: &str) {
    let (theme, windows) = (scene.theme, scene.state.windows());
    let label = (width(name) as u16).clamp(12, (place.width / 3).max(12)).min(place.width);
    put(buffer, place.x, place.y, name, label, theme.plain());
    let right = place.x + label + NUMBER;
    put_right(buffer, right, place.y, &value(row, field), NUMBER - 1, value_style(row, true, theme));
    let changed = change_of(row, field, ranked);
    put_right(buffer, right + CHANGE, place.y, &changed, CHANGE - 1, theme.change(&changed));
    let behind = place.right().saturating_sub(right + CHANGE + 2);
    if place.height >= 2 {
        // Each window is as wide as all of them leave room for.
        let wide = (usize::from(place.width) / windows).max(1);
        let history: Vec<f64> = row.history.iter().flat_map(|&value| std::iter::repeat_n(value, wide)).collect();
        for (index, line) in bars(&history, place.width.into(), usize::from(place.height) - 1).iter().enumerate() {
            put(buffer, place.x, place.y + 1 + index as u16, line, place.width, theme.history());
        }
    } else if behind >= HISTORY_MIN {
        let line = bars(&row.history, behind.into(), 1);
        put(buffer, place.right() - behind, place.y, &line[0], behind, theme.history());
    }
}

/// A value, marked where it may still change.
pub fn value(row: &RankedRow, field: usize) -> String {
    let text = number(row.values.get(field).copied().unwrap_or(f64::NAN));
    if row.is_final { text } else { format!("~{text}") }
}

fn value_style(row: &RankedRow, is_strong: bool, theme: Theme) -> ratatui::style::Style {
    match (row.is_final, is_strong) {
        (false, _) => theme.provisional(),
        (true, true) => theme.strong(),
        (true, false) => theme.plain(),
    }
}

/// The change of a field against the window before; nothing where there is none, or the value may still change.
pub fn change_of(row: &RankedRow, field: usize, ranked: &Ranked) -> String {
    let now = row.values.get(field).copied().unwrap_or(f64::NAN);
    let is_first = ranked.axis.len() < 2 && row.before.is_empty();
    if !row.is_final || now.is_nan() || is_first {
        return String::new();
    }
    change(now, row.before.get(field).copied())
}
