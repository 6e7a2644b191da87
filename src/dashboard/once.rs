//! One frame as text, for scripts, mails and tests.
//!
//! The clock is of no account: the same lines give the same bytes. Knows nothing of where the text goes.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use crate::dashboard::feed::Feed;
use crate::dashboard::run::{RunError, Settings};
use crate::dashboard::state::{NO_PANEL, State};
use crate::dashboard::view::{Progress, Scene, draw};

/// The size of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Lines.
    pub height: u16,
}

/// Reads to the end, or until `deadline`, and gives one frame.
pub fn once(
    settings: &Settings,
    mut feed: impl Feed + 'static,
    size: Size,
    deadline: Option<Instant>,
) -> Result<String, RunError> {
    let (sender, batches) = sync_channel(16);
    let reader = std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
        while let Some(next) = feed.next().transpose() {
            let is_over = next.is_err();
            if sender.send(next).is_err() || is_over {
                return;
            }
        }
    });
    reader.map_err(RunError::Thread)?;
    let mut model = settings.model();
    let progress = loop {
        let next = match deadline {
            Some(deadline) => batches.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(batch) => {
                batch?.lines.iter().for_each(|line| model.apply(line, None));
            }
            Err(RecvTimeoutError::Timeout) => break Progress::Cut,
            Err(RecvTimeoutError::Disconnected) => break Progress::Ended,
        }
    };
    let scene = Scene {
        model: &model,
        state: &State { panel: NO_PANEL, ..State::default() },
        layout: settings.layout.as_ref(),
        input: &settings.input,
        progress,
        error: None,
        rows_now: model.stream.rows,
        now: None,
        theme: settings.theme,
    };
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.width, size.height));
    draw(&scene, &mut buffer);
    Ok(text(&buffer, settings.theme.has_colour))
}

/// The frame line by line, without blanks at the ends of lines; with colours and marks as a terminal takes them, if wanted.
pub fn text(buffer: &Buffer, has_colour: bool) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let (mut line, mut style, mut covered) = (String::new(), Style::reset(), 0);
        for x in buffer.area.left()..buffer.area.right() {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            let cell = &buffer[(x, y)];
            if has_colour && cell.style() != style {
                style = cell.style();
                line.push_str(&select(style));
            }
            line.push_str(cell.symbol());
            covered = crate::dashboard::printable::width(cell.symbol()).saturating_sub(1);
        }
        text.push_str(line.trim_end_matches(' '));
        if style != Style::reset() {
            text.push_str("\u{1b}[0m");
        }
        text.push('\n');
    }
    text
}

/// The sequence that makes a terminal write in this style.
fn select(style: Style) -> String {
    let mut codes = vec!["0".to_owned()];
    let marks = [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::REVERSED, "7")];
    codes.extend(
        marks.iter().filter(|(mark, _)| style.add_modifier.contains(*mark)).map(|(_, code)| (*code).to_owned()),
    );
    const COLOURS: [Color; 7] =
        [Color::Red, Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::Cyan, Color::Gray];
    match style.fg {
        Some(Color::DarkGray) => codes.push("90".to_owned()),
        Some(colour) => {
            codes.extend(COLOURS.iter().position(|known| *known == colour).map(|place| (31 + place).to_string()));
        }
        None => {}
    }
    format!("\u{1b}[{}m", codes.join(";"))
}
