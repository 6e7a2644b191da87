//! Which columns of a metric's rows are groups and which are values: learnt from the rows, since lines do not say it.
//!
//! Group columns come first in a row, then the aggregates. So a text before every number is a group, and a text behind one is
//! an aggregate's, which a dashboard of numbers leaves out. A group column of numbers looks like a value until two rows of one
//! window contradict each other: then the first value is a group after all. Knows nothing of what the columns hold.

use crate::dashboard::line::{Cell, Row};

/// Columns that a metric may have; what a row has beyond is left out.
const COLUMNS_MAX: usize = 64;

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It tells groups apart.
    Group,
    /// Only null so far, before every value: a group until a number comes.
    Undecided,
    /// A number to show.
    Value,
    /// A text or a list that an aggregate gave.
    Ignored,
}

impl Role {
    /// Whether it is part of what tells groups apart.
    pub fn is_key(self) -> bool {
        matches!(self, Role::Group | Role::Undecided)
    }
}

/// A column and its role.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the rows.
    pub name: String,
    /// What it is, as far as is known.
    pub role: Role,
}

/// The columns of a metric in the order in which they were met.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    all: Vec<Column>,
    /// Names of columns that are groups whatever they hold.
    told: Vec<String>,
    /// By column: the cell of the row that was looked at last.
    cells: Vec<Option<usize>>,
}

impl Columns {
    /// No columns yet; those of these names will be groups.
    pub fn new(told: Vec<String>) -> Columns {
        Columns { told, ..Columns::default() }
    }

    /// All columns.
    pub fn all(&self) -> &[Column] {
        &self.all
    }

    /// The names of the columns of a kind, in order.
    pub fn names(&self, is_kind: impl Fn(Role) -> bool) -> impl Iterator<Item = &str> {
        self.all.iter().filter(move |column| is_kind(column.role)).map(|column| column.name.as_str())
    }

    /// The row's cells by column. Valid for the row that was learnt last.
    pub fn cells<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = (Role, Option<&'a Cell>)> {
        self.all
            .iter()
            .zip(&self.cells)
            .map(|(column, cell)| (column.role, cell.and_then(|cell| row.cells.get(cell)).map(|(_, cell)| cell)))
    }

    /// Learns of a row. Gives the roles as they were before, if points that were made by them must be made anew.
    pub fn learn(&mut self, row: &Row) -> Option<Vec<Role>> {
        let mut before: Option<Vec<Role>> = None;
        self.cells.iter_mut().for_each(|cell| *cell = None);
        let mut is_behind_value = false;
        for (index, (name, cell)) in row.cells.iter().enumerate() {
            let known = self.place(index, name);
            let role = match known {
                Some(place) => self.settled(place, cell, is_behind_value),
                None if self.all.len() >= COLUMNS_MAX => continue,
                None => self.first_role(name, cell, is_behind_value, row.group_count.map(|count| index < count)),
            };
            let place = known.unwrap_or(self.all.len());
            let is_changed = self.all.get(place).is_none_or(|column| column.role != role);
            let was_key = self.all.get(place).map(|column| column.role.is_key());
            // A new value at the end changes nothing of what stands; Undecided to Group neither.
            if is_changed && !matches!((was_key, role), (None, Role::Value | Role::Ignored) | (Some(true), Role::Group))
            {
                before.get_or_insert_with(|| self.all.iter().map(|column| column.role).collect());
            }
            if known.is_none() {
                self.all.push(Column { name: name.clone(), role });
                self.cells.push(None);
            }
            self.all[place].role = role;
            self.cells[place] = Some(index);
            is_behind_value |= role == Role::Value;
        }
        before
    }

    /// Makes the first value a group, if another one is left to show. Gives the roles as they were before.
    pub fn promote(&mut self) -> Option<Vec<Role>> {
        if self.names(|role| role == Role::Value).count() < 2 {
            return None;
        }
        let before = self.all.iter().map(|column| column.role).collect();
        let first = self.all.iter_mut().find(|column| column.role == Role::Value)?;
        first.role = Role::Group;
        Some(before)
    }

    fn place(&self, index: usize, name: &str) -> Option<usize> {
        if self.all.get(index).is_some_and(|column| column.name == name) {
            return Some(index);
        }
        self.all.iter().position(|column| column.name == name)
    }

    fn first_role(&self, name: &str, cell: &Cell, is_behind_value: bool, is_group: Option<bool>) -> Role {
        match (is_group, cell) {
            (Some(true), _) => Role::Group,
            _ if self.told.iter().any(|told| told == name) => Role::Group,
            (Some(false), Cell::Null) | (_, Cell::Number(_)) => Role::Value,
            (_, Cell::Array) | (Some(false), _) => Role::Ignored,
            (None, Cell::Text(_)) if is_behind_value => Role::Ignored,
            (None, Cell::Null) if is_behind_value => Role::Value,
            (None, Cell::Text(_)) => Role::Group,
            (None, Cell::Null) => Role::Undecided,
        }
    }

    /// What a known column is, now that it holds `cell`.
    fn settled(&self, place: usize, cell: &Cell, is_behind_value: bool) -> Role {
        match (self.all[place].role, cell) {
            (Role::Undecided, Cell::Number(_)) => Role::Value,
            (Role::Undecided, Cell::Text(_)) => Role::Group,
            // Groups of mixed types, of which a number was the first.
            (Role::Value, Cell::Text(_)) if !is_behind_value && self.names(|role| role == Role::Value).count() > 1 => {
                Role::Group
            }
            (role, _) => role,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::line::{Line, decode};

    fn row(cells: &str) -> Row {
        let line = format!(r#"{{"metric":"m","window_start":null,"window_end":null,{cells}}}"#);
        match decode(line.as_bytes()) {
            Some(Line::Row(row)) => row,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[track_caller]
    fn check(told: &[&str], rows: &[&str], expected: &str) {
        let mut columns = Columns::new(told.iter().map(|told| (*told).to_owned()).collect());
        for cells in rows {
            columns.learn(&row(cells));
        }
        let shown: Vec<String> = columns.all().iter().map(|c| format!("{} {:?}", c.name, c.role)).collect();
        assert_eq!(shown.join(", "), expected);
    }

    #[test]
    fn texts_before_numbers_are_groups() {
        check(&[], &[r#""g":"a","h":"true","n":1,"x":null"#], "g Group, h Group, n Value, x Value");
        check(&[], &[r#""n":1,"first":"2026-01-01","top":[1]"#], "n Value, first Ignored, top Ignored");
    }

    #[test]
    fn a_null_waits_for_what_comes() {
        check(&[], &[r#""g":null,"n":1"#], "g Undecided, n Value");
        check(&[], &[r#""g":null,"n":1"#, r#""g":"a","n":1"#], "g Group, n Value");
        check(&[], &[r#""avg":null,"n":1"#, r#""avg":1.5,"n":1"#], "avg Value, n Value");
    }

    #[test]
    fn numbers_are_groups_where_it_is_told_or_mixed() {
        check(&["status"], &[r#""status":200,"n":1"#], "status Group, n Value");
        check(&[], &[r#""code":7,"n":1"#, r#""code":"A1","n":1"#], "code Group, n Value");
        let mut columns = Columns::default();
        columns.learn(&row(r#""status":200,"n":1"#));
        assert_eq!(columns.promote(), Some(vec![Role::Value, Role::Value]));
        assert_eq!(columns.promote(), None, "one value is left");
    }

    #[test]
    fn the_source_may_know_it() {
        let mut columns = Columns::default();
        columns.learn(&Row { group_count: Some(1), ..row(r#""status":200,"n":null,"t":"x""#) });
        let roles: Vec<Role> = columns.all().iter().map(|column| column.role).collect();
        assert_eq!(roles, [Role::Group, Role::Value, Role::Ignored]);
    }
}
