//! The looks: with colours, or by bold, dim and reversed alone.
//!
//! The sixteen colours of the terminal are used and no others, so that the user's own scheme holds.

use ratatui::style::{Color, Modifier, Style};

/// The looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours are used.
    pub has_colour: bool,
}

impl Theme {
    /// Plain text.
    pub fn plain(self) -> Style {
        Style::new()
    }

    /// What matters most.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What matters less: frames, headings, hints.
    pub fn faint(self) -> Style {
        if self.has_colour { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// The frame of the selected panel.
    pub fn selected_frame(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The selected row.
    pub fn selected_row(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What should not be overlooked.
    pub fn warning(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// A value that may still change.
    pub fn provisional(self) -> Style {
        self.colour(Color::Yellow)
    }

    /// A change, by its text.
    pub fn change(self, text: &str) -> Style {
        match text.as_bytes().first() {
            Some(b'+' | b'>') => self.colour(Color::Green),
            Some(b'-' | b'<') => self.colour(Color::Red),
            _ => self.faint(),
        }
    }

    /// Histories.
    pub fn history(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// The line of the group at `place` in a chart.
    pub fn line(self, place: usize) -> Style {
        const LINES: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];
        self.colour(LINES[place % LINES.len()])
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }
}
