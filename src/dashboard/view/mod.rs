//! A frame: what is known, drawn as the user has chosen.
//!
//! Pure: the same scene and size give the same frame. Knows nothing of the terminal that shows it.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::arrange;
use crate::dashboard::keys::{HELP, Shown};
use crate::dashboard::layout::{Layout, Panel};
use crate::dashboard::model::Model;
use crate::dashboard::state::{NO_PANEL, State};
use crate::dashboard::view::ink::{frame, put};
use crate::dashboard::view::theme::Theme;
use crate::time::Timestamp;

mod chart;
mod header;
mod history;
mod ink;
mod panel;
mod resolved;
pub mod theme;

/// A frame that is smaller says so and nothing else.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 12;

/// How far the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More may come at any time.
    Live,
    /// A file is read.
    Recorded,
    /// There will be nothing more.
    Ended,
    /// No more is waited for.
    Cut,
}

/// All that a frame shows.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// What is known.
    pub model: &'a Model,
    /// What the user has chosen.
    pub state: &'a State,
    /// The panels, if they are not one for each metric.
    pub layout: Option<&'a Layout>,
    /// The name of the input.
    pub input: &'a str,
    /// How far it is.
    pub progress: Progress,
    /// Why it ended, if something went wrong.
    pub error: Option<&'a str>,
    /// Rows that have come by now, more than the model knows while the picture is held.
    pub rows_now: u64,
    /// The clock; None where a frame must not depend on it.
    pub now: Option<Timestamp>,
    /// The looks.
    pub theme: Theme,
}

/// Draws a frame; gives what is on it, for the keys to move in.
pub fn draw(scene: &Scene, buffer: &mut Buffer) -> Shown {
    let area = buffer.area;
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let lines =
            [format!("evtop needs {WIDTH_MIN}x{HEIGHT_MIN}"), format!("this is {}x{}", area.width, area.height)];
        for (y, text) in lines.iter().enumerate() {
            put(buffer, area.x, area.y + y as u16, text, area.width, scene.theme.plain());
        }
        return Shown::default();
    }
    let keys = Rect { y: area.bottom() - 1, height: 1, ..area };
    let body = Rect { y: area.y + header::HEIGHT, height: area.height - header::HEIGHT - 1, ..area };
    header::draw(scene, buffer, Rect { height: header::HEIGHT, ..area });
    header::draw_keys(scene, buffer, keys);
    let panels = panels(scene);
    let mut shown =
        Shown { panels: panels.len(), rows: vec![0; panels.len()], page: usize::from(body.height / 2).max(1) };
    let mut state = scene.state.clone();
    if state.panel != NO_PANEL {
        state.panel = state.panel.min(panels.len().saturating_sub(1));
    }
    let selected = state.panel;
    let scene = &Scene { state: &state, ..*scene };
    let full = if state.is_full { panels.get(selected) } else { None };
    match full.and_then(|panel| Some((panel, scene.model.metric(&panel.metric)?))) {
        Some((panel, metric)) => shown.rows[selected] = chart::draw_full(scene, panel, metric, buffer, body),
        None => draw_panels(scene, &panels, buffer, body, &mut shown),
    }
    if state.is_help {
        draw_help(scene, buffer, body);
    }
    shown
}

/// The panels of the layout, or one for each metric.
fn panels<'a>(scene: &Scene<'a>) -> Vec<Cow<'a, Panel>> {
    match scene.layout {
        Some(layout) => layout.panels().map(Cow::Borrowed).collect(),
        None => scene.model.metrics().iter().map(|metric| Cow::Owned(Panel::of_metric(metric.name()))).collect(),
    }
}

fn draw_panels(scene: &Scene, panels: &[Cow<Panel>], buffer: &mut Buffer, body: Rect, shown: &mut Shown) {
    let selected = if scene.state.panel == NO_PANEL { 0 } else { scene.state.panel };
    let places = match scene.layout {
        Some(layout) => arrange::rows(layout, selected, body),
        None => arrange::grid(panels.len(), selected, body),
    };
    if places.is_empty() {
        let text = match scene.progress {
            Progress::Live | Progress::Recorded => "no row has come yet",
            Progress::Ended | Progress::Cut => "no row came",
        };
        put(buffer, body.x + 2, body.y + body.height / 2, text, body.width - 2, scene.theme.faint());
    }
    for (index, place) in &places {
        shown.rows[*index] = panel::draw(scene, *index, &panels[*index], buffer, *place);
    }
    if places.len() < panels.len() {
        let keys_line = body.bottom();
        let text = format!("panel {} of {}", selected + 1, panels.len());
        ink::put_right(buffer, body.right(), keys_line, &text, body.width, scene.theme.strong());
    }
}

fn draw_help(scene: &Scene, buffer: &mut Buffer, body: Rect) {
    let theme = scene.theme;
    let (width, height) = (body.width.min(76), body.height.min(HELP.len() as u16 + 6));
    let area = Rect { x: body.x + (body.width - width) / 2, y: body.y, width, height };
    for y in area.top()..area.bottom() {
        put(buffer, area.x, y, &" ".repeat(area.width.into()), area.width, theme.plain());
        buffer.set_style(Rect { y, height: 1, ..area }, ratatui::style::Style::reset());
    }
    let inner = frame(buffer, area, ("keys", theme.strong()), "any key goes back", theme.selected_frame());
    let marks = [
        ("~", "a value that may still change: its window has not fired"),
        ("change", "against the window before"),
        ("bars", "one a window, from the least value to the greatest"),
    ];
    for (index, (key, meaning)) in HELP.iter().chain([&("", "")]).chain(&marks).enumerate() {
        let y = inner.y + index as u16;
        if y >= inner.bottom() {
            break;
        }
        put(buffer, inner.x + 1, y, key, 19, theme.strong());
        put(buffer, inner.x + 20, y, meaning, inner.width.saturating_sub(21), theme.plain());
    }
}

#[cfg(test)]
mod tests;
