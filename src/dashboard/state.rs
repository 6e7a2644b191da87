//! What the user has chosen: the panel and the group that are selected, order, filter, range, and what covers the screen.
//!
//! Pure; changed by `keys`, read by `view`.

use std::collections::HashMap;

/// Windows of history that a zoom shows, from near to far.
pub const RANGES: [usize; 6] = [10, 20, 40, 80, 160, 600];

/// What the user has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The selected panel.
    pub panel: usize,
    /// By panel: the row of it that is selected.
    pub rows: HashMap<usize, usize>,
    /// By panel: how many times its order was changed.
    pub sorts: HashMap<usize, usize>,
    /// Only groups that hold this text.
    pub filter: String,
    /// Whether the filter is being typed.
    pub is_typing: bool,
    /// Which of `RANGES` is shown.
    pub range: usize,
    /// Whether the selected panel fills the screen as a chart.
    pub is_full: bool,
    /// Whether the help is shown.
    pub is_help: bool,
    /// Whether the picture stands still.
    pub is_paused: bool,
}

impl Default for State {
    fn default() -> State {
        State {
            panel: 0,
            rows: HashMap::new(),
            sorts: HashMap::new(),
            filter: String::new(),
            is_typing: false,
            range: 2,
            is_full: false,
            is_help: false,
            is_paused: false,
        }
    }
}

/// The panel that is selected where none is.
pub const NO_PANEL: usize = usize::MAX;

impl State {
    /// The selected row of a panel.
    pub fn row(&self, panel: usize) -> usize {
        self.rows.get(&panel).copied().unwrap_or(0)
    }

    /// How many times the order of a panel was changed.
    pub fn sort(&self, panel: usize) -> usize {
        self.sorts.get(&panel).copied().unwrap_or(0)
    }

    /// Windows of history that are shown.
    pub fn windows(&self) -> usize {
        RANGES[self.range.min(RANGES.len() - 1)]
    }
}
