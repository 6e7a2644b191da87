//! The lines above the panels: the stream, how far time has come, and what a window waits for; the line of keys below them.
//!
//! What the stream does not say is not guessed: the line names the flag that makes evwindow say it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::figures::{clock, count, instant, number, span};
use crate::dashboard::view::ink::{put, put_pieces};
use crate::dashboard::view::{Progress, Scene};
use crate::time::Duration;

/// Lines that it takes.
pub const HEIGHT: u16 = 3;

const DAY: Duration = Duration(86_400_000_000);

type Pieces = Vec<(String, Style)>;

/// Draws the lines above the panels.
pub fn draw(scene: &Scene, buffer: &mut Buffer, area: Rect) {
    let line = |index: u16| Rect { y: area.y + index, height: 1, ..area };
    put_pieces(buffer, line(0), &stream(scene));
    put_pieces(buffer, line(1), &time(scene));
    put_pieces(buffer, line(2), &waiting(scene));
}

/// Draws the line of keys.
pub fn draw_keys(scene: &Scene, buffer: &mut Buffer, line: Rect) {
    let (state, theme) = (scene.state, scene.theme);
    if state.is_typing {
        let end = put(buffer, line.x, line.y, "only groups with: ", line.width, theme.strong());
        let end = put(buffer, end, line.y, &state.filter, line.right().saturating_sub(end + 1), theme.plain());
        put(buffer, end, line.y, "_", 1, theme.strong());
        return;
    }
    let mut pieces: Pieces = Vec::new();
    if !state.filter.is_empty() {
        pieces.push((format!("only groups with '{}' (Esc clears)", state.filter), theme.warning()));
    }
    let windows = format!("+- {} windows", state.windows());
    let keys = if state.is_full {
        ["Esc back", "s field", "up down group", &windows, "space hold", "? help", "q quit"]
    } else {
        ["? help", "q quit", "arrows select", "Enter chart", "s sort", "/ filter", &windows]
    };
    pieces.extend(keys.map(|key| (key.to_owned(), theme.faint())));
    put_pieces(buffer, line, &pieces);
}

fn stream(scene: &Scene) -> Pieces {
    let (stream, theme) = (&scene.model.stream, scene.theme);
    let progress = match scene.progress {
        Progress::Live => ("live", theme.strong()),
        Progress::Recorded => ("recorded", theme.strong()),
        Progress::Ended => ("ended", theme.warning()),
        Progress::Cut => ("cut off by --for", theme.warning()),
    };
    let mut pieces = vec![("evtop".to_owned(), theme.strong()), (progress.0.to_owned(), progress.1)];
    if scene.state.is_paused {
        let behind = scene.rows_now.saturating_sub(stream.rows);
        pieces.push((format!("HELD, behind by {}", count(behind)), theme.warning()));
    }
    pieces.push((scene.input.to_owned(), theme.plain()));
    pieces.push((format!("rows {}", count(stream.rows)), theme.plain()));
    if let Some(rate) = scene.now.filter(|_| scene.progress != Progress::Ended).and_then(|now| stream.rate(now)) {
        pieces.push((format!("{}/s", number(rate.round())), theme.plain()));
    }
    if let Some(error) = scene.error {
        pieces.push((error.to_owned(), theme.warning()));
    }
    if stream.malformed > 0 {
        pieces.push((format!("malformed {}", count(stream.malformed)), theme.warning()));
    }
    if stream.partials > 0 {
        let text = format!("partials {}: use evwindow --emit rows", count(stream.partials));
        pieces.push((text, theme.warning()));
    }
    if stream.rows_not_kept > 0 {
        pieces.push((format!("of metrics not kept {}", count(stream.rows_not_kept)), theme.warning()));
    }
    if let Some((median, high)) = stream.delays().filter(|_| scene.now.is_some()) {
        let text = format!("window end to here p50 {} p99 {}", span(median), span(high));
        pieces.push((text, theme.plain()));
    }
    let counted =
        |number: u64, what: &str| if number > 0 { format!("{what} {}", count(number)) } else { String::new() };
    pieces.push((counted(stream.rows_early, "early"), theme.faint()));
    pieces.push((counted(stream.rows_revised, "revised"), theme.faint()));
    pieces.push((counted(stream.rows_retracted, "retracted"), theme.faint()));
    if let Some(fault) = &stream.last_fault {
        pieces.push((format!("last: {fault}"), theme.faint()));
    }
    pieces
}

fn time(scene: &Scene) -> Pieces {
    let (stream, theme) = (&scene.model.stream, scene.theme);
    let mut pieces = Pieces::new();
    match stream.watermark {
        Some(watermark) => {
            let text = match scene.now.map(|now| Duration(now.0.saturating_sub(watermark.0))) {
                // Which day it is, the lag tells.
                Some(lag) if lag < DAY => format!("{}, {} behind", clock(watermark), span(lag)),
                Some(lag) => format!("{}, {} behind", instant(watermark), span(lag)),
                None => instant(watermark),
            };
            pieces.push((format!("watermark {text}"), theme.plain()));
        }
        None => pieces.push(("watermark: --emit rows,watermarks".to_owned(), theme.faint())),
    }
    match &stream.stats {
        Some(stats) => {
            let late = stream.late().unwrap_or(0);
            let notable = |number: u64| if number > 0 { theme.warning() } else { theme.plain() };
            pieces.push((format!("in {}", count(stats.events_in)), theme.plain()));
            pieces.push((format!("late {}", count(late)), notable(late)));
            pieces.push((format!("rejected {}", count(stats.rejected)), notable(stats.rejected)));
            if let Some(latency) = stats.latency_us {
                pieces.push((format!("evwindow {}", span(Duration(latency))), theme.plain()));
            }
        }
        None => pieces.push(("in, late, rejected: --emit rows,watermarks,stats".to_owned(), theme.faint())),
    }
    pieces
}

fn waiting(scene: &Scene) -> Pieces {
    let (stream, theme) = (&scene.model.stream, scene.theme);
    if stream.watermark.is_none() {
        let text = "why a window waits: evwindow --emit rows,watermarks,stats tells it in band";
        return vec![(text.to_owned(), theme.faint())];
    }
    let mut pieces = Pieces::new();
    if let Some(waiting) =
        scene.model.waiting().filter(|_| matches!(scene.progress, Progress::Live | Progress::Recorded))
    {
        let text = format!(
            "next: {} at {}, waits for {} of event time",
            waiting.metric,
            clock(waiting.end),
            span(waiting.missing)
        );
        pieces.push((text, theme.plain()));
    }
    if let Some(held_by) = stream.stats.as_ref().and_then(|stats| stats.held_by.as_ref()) {
        let since = scene.now.zip(stream.moved_at).map(|(now, at)| format!(" for {}", span(Duration(now.0 - at.0))));
        pieces.push((format!("held by '{held_by}'{}", since.unwrap_or_default()), theme.plain()));
    }
    pieces
}
