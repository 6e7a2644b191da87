//! What each key does.
//!
//! Pure: a key and what is on the screen in, a changed state out. Does not know where keys come from.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::dashboard::state::{RANGES, State};

/// A filter is not longer than this.
const FILTER_CHARACTERS_MAX: usize = 100;

/// The keys and what they do, as the help shows them.
pub const HELP: [(&str, &str); 12] = [
    ("arrows, h j k l", "select a panel, and a group in it"),
    ("Tab, Shift-Tab", "the next panel, the one before"),
    ("PgUp PgDn Home End", "move further in the panel's groups"),
    ("s", "another order of the groups: field by field, then by name"),
    ("/", "only groups that hold a text; Enter keeps it, Esc clears it"),
    ("+ -", "show fewer windows of history, or more"),
    ("Enter", "the selected panel as a chart; Esc goes back"),
    ("space", "hold the picture; rows are taken in all the same"),
    ("?", "this help"),
    ("Esc", "back, or clear the filter"),
    ("Ctrl-Z", "stop; fg goes on"),
    ("q, Ctrl-C", "quit"),
];

/// What is on the screen, as far as keys move in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Number of panels.
    pub panels: usize,
    /// By panel: the number of its groups.
    pub rows: Vec<usize>,
    /// How many groups PgUp and PgDn move over.
    pub page: usize,
}

/// What is to be done beyond the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Draw again.
    Draw,
    /// Nothing: the key has no meaning.
    Nothing,
    /// End the program.
    Quit,
    /// Stop the program, as the shell's job control wants it.
    Stop,
}

/// Changes the state as the key says.
pub fn press(state: &mut State, key: KeyEvent, shown: &Shown) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::Nothing;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Action::Quit,
            KeyCode::Char('z') => Action::Stop,
            KeyCode::Char('l') => Action::Draw,
            _ => Action::Nothing,
        };
    }
    if state.is_typing {
        return type_filter(state, key.code);
    }
    if state.is_help {
        state.is_help = false;
        return if key.code == KeyCode::Char('q') { Action::Quit } else { Action::Draw };
    }
    match key.code {
        KeyCode::Char('q') => return Action::Quit,
        KeyCode::Char('?') => state.is_help = true,
        KeyCode::Char('/') => state.is_typing = true,
        KeyCode::Char(' ') => state.is_paused = !state.is_paused,
        KeyCode::Char('+' | '=') => state.range = state.range.saturating_sub(1),
        KeyCode::Char('-') => state.range = (state.range + 1).min(RANGES.len() - 1),
        KeyCode::Char('s') => *state.sorts.entry(state.panel).or_default() += 1,
        KeyCode::Enter => state.is_full = shown.panels > 0 && !state.is_full,
        KeyCode::Esc if state.is_full => state.is_full = false,
        KeyCode::Esc => state.filter.clear(),
        KeyCode::Right | KeyCode::Tab | KeyCode::Char('l') => select_panel(state, shown, 1),
        KeyCode::Left | KeyCode::BackTab | KeyCode::Char('h') => select_panel(state, shown, -1),
        KeyCode::Down | KeyCode::Char('j') => select_row(state, shown, 1),
        KeyCode::Up | KeyCode::Char('k') => select_row(state, shown, -1),
        KeyCode::PageDown => select_row(state, shown, shown.page as isize),
        KeyCode::PageUp => select_row(state, shown, -(shown.page as isize)),
        KeyCode::Home | KeyCode::Char('g') => select_row(state, shown, isize::MIN),
        KeyCode::End | KeyCode::Char('G') => select_row(state, shown, isize::MAX),
        _ => return Action::Nothing,
    }
    Action::Draw
}

fn type_filter(state: &mut State, code: KeyCode) -> Action {
    match code {
        KeyCode::Enter => state.is_typing = false,
        KeyCode::Esc => {
            state.is_typing = false;
            state.filter.clear();
        }
        KeyCode::Backspace => {
            state.filter.pop();
        }
        KeyCode::Char(c) if state.filter.chars().count() < FILTER_CHARACTERS_MAX => state.filter.push(c),
        _ => return Action::Nothing,
    }
    state.rows.clear();
    Action::Draw
}

/// Moves to another panel, round in a circle.
fn select_panel(state: &mut State, shown: &Shown, by: isize) {
    let count = shown.panels.max(1) as isize;
    state.panel = (state.panel as isize + by).rem_euclid(count) as usize;
}

/// Moves within a panel's groups; past the ends of them to the panel above or below.
fn select_row(state: &mut State, shown: &Shown, by: isize) {
    let rows = shown.rows.get(state.panel).copied().unwrap_or(0);
    let row = state.row(state.panel).min(rows.saturating_sub(1));
    let is_step = matches!(by, 1 | -1);
    let leaves = if by > 0 { row + 1 >= rows } else { row == 0 };
    if is_step && leaves && !state.is_full {
        let other = state.panel as isize + by;
        if (0..shown.panels as isize).contains(&other) {
            state.panel = other as usize;
            let rows = shown.rows.get(state.panel).copied().unwrap_or(0);
            state.rows.insert(state.panel, if by > 0 { 0 } else { rows.saturating_sub(1) });
        }
        return;
    }
    let moved = (row as isize).saturating_add(by).clamp(0, rows.saturating_sub(1) as isize);
    state.rows.insert(state.panel, moved as usize);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys by their names, parted by blanks, on a screen of three panels with 3, 0 and 20 groups.
    #[track_caller]
    fn pressed(keys: &str) -> (State, Action) {
        let shown = Shown { panels: 3, rows: vec![3, 0, 20], page: 5 };
        let mut state = State::default();
        let mut action = Action::Nothing;
        for key in keys.split(' ').filter(|key| !key.is_empty()) {
            let (modifiers, name) =
                key.strip_prefix("^").map_or((KeyModifiers::NONE, key), |name| (KeyModifiers::CONTROL, name));
            let code = match name {
                "up" => KeyCode::Up,
                "down" => KeyCode::Down,
                "left" => KeyCode::Left,
                "right" => KeyCode::Right,
                "tab" => KeyCode::Tab,
                "backtab" => KeyCode::BackTab,
                "enter" => KeyCode::Enter,
                "esc" => KeyCode::Esc,
                "back" => KeyCode::Backspace,
                "pgdn" => KeyCode::PageDown,
                "pgup" => KeyCode::PageUp,
                "home" => KeyCode::Home,
                "end" => KeyCode::End,
                "space" => KeyCode::Char(' '),
                other => KeyCode::Char(other.chars().next().unwrap()),
            };
            action = press(&mut state, KeyEvent::new(code, modifiers), &shown);
        }
        (state, action)
    }

    #[track_caller]
    fn check(keys: &str, expected: (usize, usize)) {
        let (state, _) = pressed(keys);
        assert_eq!((state.panel, state.row(state.panel)), expected, "{keys}");
    }

    #[test]
    fn moving_around() {
        check("right", (1, 0));
        check("tab tab tab", (0, 0));
        check("left", (2, 0));
        check("backtab h", (1, 0));
        check("j j", (0, 2));
        check("j j j", (1, 0));
        check("down down down down", (2, 0));
        check("j j j k", (0, 2));
        check("up", (0, 0));
        check("left pgdn", (2, 5));
        check("left G", (2, 19));
        check("left end pgup home", (2, 0));
        check("left G j", (2, 19));
        check("enter j j j j", (0, 2));
    }

    #[test]
    fn filter() {
        let filter = |keys: &str| {
            let (state, _) = pressed(keys);
            (state.filter, state.is_typing)
        };
        assert_eq!(filter("/ d e q"), ("deq".into(), true));
        assert_eq!(filter("/ d e back"), ("d".into(), true));
        assert_eq!(filter("/ d enter"), ("d".into(), false));
        assert_eq!(filter("/ d enter esc"), (String::new(), false));
        assert_eq!(filter("/ d esc"), (String::new(), false));
    }

    #[test]
    fn the_rest() {
        assert_eq!(pressed("q").1, Action::Quit);
        assert_eq!(pressed("^c").1, Action::Quit);
        assert_eq!(pressed("/ ^c").1, Action::Quit);
        assert_eq!(pressed("^z").1, Action::Stop);
        assert_eq!(pressed("x").1, Action::Nothing);
        assert!(pressed("?").0.is_help && !pressed("? x").0.is_help);
        assert!(pressed("space").0.is_paused && !pressed("space space").0.is_paused);
        assert!(pressed("enter").0.is_full && !pressed("enter esc").0.is_full && !pressed("enter enter").0.is_full);
        assert_eq!((pressed("+").0.windows(), pressed("-").0.windows()), (20, 80));
        assert_eq!((pressed("+ + + +").0.windows(), pressed("- - - - -").0.windows()), (10, 600));
        assert_eq!(pressed("s s").0.sort(0), 2);
    }
}
