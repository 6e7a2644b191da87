//! The history of one group: its value in each window that is still remembered.
//!
//! Does not know which groups there are, nor what its values mean.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::time::Window;

/// The value fields of a row in the order of the metric's fields; NaN stands for null.
pub type Values = SmallVec<[f64; 4]>;

/// What is known of a group in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The window.
    pub window: Window,
    /// How often it had fired before.
    pub revision: u64,
    /// False while the row was written before its window fired.
    pub is_final: bool,
    /// The row's place in the order of `--top`.
    pub rank: Option<u64>,
    /// Its values.
    pub values: Values,
}

impl Point {
    /// The value of a field, if it has one.
    pub fn value(&self, field: usize) -> Option<f64> {
        self.values.get(field).copied().filter(|value| !value.is_nan())
    }
}

/// A group's points, ordered by window.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The group's columns in the order of the metric's group columns; None for null.
    pub groups: Vec<Option<Box<str>>>,
    points: VecDeque<Point>,
}

/// What a new point did.
#[derive(Debug, Clone, PartialEq)]
pub enum Put {
    /// There was none of this window.
    Added,
    /// It took the place of this one.
    Replaced(Point),
    /// The one that stands is newer: a final row, or a later revision.
    Outdated,
    /// A row of the same window, revision and group stands there already, and says something else.
    Contradicts,
}

impl Series {
    /// A group without a point.
    pub fn new(groups: Vec<Option<Box<str>>>) -> Series {
        Series { groups, points: VecDeque::new() }
    }

    /// The points, oldest first.
    pub fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    /// The newest point.
    pub fn last(&self) -> Option<&Point> {
        self.points.back()
    }

    /// The point of a window.
    pub fn at(&self, window: Window) -> Option<&Point> {
        self.place(window).ok().map(|index| &self.points[index])
    }

    /// Puts in a point. With `replaces`, a point that contradicts takes the other's place.
    pub fn put(&mut self, point: Point, replaces: bool) -> Put {
        match self.place(point.window) {
            Err(index) => {
                self.points.insert(index, point);
                Put::Added
            }
            Ok(index) => {
                let standing = &mut self.points[index];
                let is_outdated = (standing.is_final && !point.is_final)
                    || (standing.is_final == point.is_final && standing.revision > point.revision);
                if is_outdated {
                    return Put::Outdated;
                }
                let is_same = standing.is_final && point.is_final && standing.revision == point.revision;
                let is_equal =
                    || standing.values.iter().map(|v| v.to_bits()).eq(point.values.iter().map(|v| v.to_bits()));
                if is_same && !replaces && !is_equal() {
                    return Put::Contradicts;
                }
                Put::Replaced(std::mem::replace(standing, point))
            }
        }
    }

    /// Takes the point of a window away.
    pub fn remove(&mut self, window: Window) -> Option<Point> {
        let index = self.place(window).ok()?;
        self.points.remove(index)
    }

    /// Takes the oldest point away, if there are more than `points_max`.
    pub fn trim(&mut self, points_max: usize) -> Option<Point> {
        if self.points.len() > points_max { self.points.pop_front() } else { None }
    }

    fn place(&self, window: Window) -> Result<usize, usize> {
        match self.points.back() {
            // Rows come in the order of their windows, nearly always.
            Some(last) if last.window < window => Err(self.points.len()),
            Some(last) if last.window == window => Ok(self.points.len() - 1),
            _ => self.points.binary_search_by(|point| point.window.cmp(&window)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::time::Timestamp;

    fn point(minute: i64, revision: u64, is_final: bool, value: f64) -> Point {
        let window = Window::new(Timestamp(minute * 60_000_000), Timestamp((minute + 1) * 60_000_000));
        Point { window, revision, is_final, rank: None, values: Values::from_slice(&[value]) }
    }

    #[track_caller]
    fn check(points: &[Point], last: Point, expected: Put, values: &[f64]) {
        let mut series = Series::default();
        for point in points {
            series.put(point.clone(), false);
        }
        assert_eq!(series.put(last, false), expected);
        assert_eq!(series.points().iter().map(|point| point.values[0]).collect::<Vec<_>>(), values);
    }

    #[test]
    fn points_are_ordered_by_window() {
        check(&[point(1, 0, true, 1.0), point(3, 0, true, 3.0)], point(2, 0, true, 2.0), Put::Added, &[1.0, 2.0, 3.0]);
    }

    #[test]
    fn what_is_newer_stands() {
        let first = point(1, 0, true, 1.0);
        check(from_ref(&first), point(1, 1, true, 2.0), Put::Replaced(first.clone()), &[2.0]);
        check(&[point(1, 1, true, 2.0)], first.clone(), Put::Outdated, &[2.0]);
        check(from_ref(&first), point(1, 0, false, 2.0), Put::Outdated, &[1.0]);
        let early = point(1, 0, false, 1.0);
        check(from_ref(&early), point(1, 0, false, 2.0), Put::Replaced(early.clone()), &[2.0]);
        check(from_ref(&early), point(1, 0, true, 2.0), Put::Replaced(early.clone()), &[2.0]);
        check(from_ref(&first), first.clone(), Put::Replaced(first.clone()), &[1.0]);
        check(from_ref(&first), point(1, 0, true, 2.0), Put::Contradicts, &[1.0]);
    }
}
