//! Where panels stand on the screen: in the rows of a layout, or in a grid that takes as many as there are.
//!
//! What has no room is reached by moving on to it: then others go. Knows nothing of what is in a panel.

use ratatui::layout::Rect;

use crate::dashboard::layout::Layout;

/// A panel is never smaller than this.
const WIDTH_MIN: u16 = 38;
const HEIGHT_MIN: u16 = 5;

/// The place of each panel of a grid by its number; those that are not there have no room. The selected one always has.
pub fn grid(count: usize, selected: usize, area: Rect) -> Vec<(usize, Rect)> {
    if count == 0 || area.is_empty() {
        return Vec::new();
    }
    let columns_max = usize::from((area.width / WIDTH_MIN).max(1)).min(count);
    let rows_max = usize::from((area.height / HEIGHT_MIN).max(1));
    // Wide panels say more than high ones, so as few columns as show all of them.
    let columns = (1..=columns_max).find(|columns| count.div_ceil(*columns) <= rows_max).unwrap_or(columns_max);
    let rows = count.div_ceil(columns);
    let shown = rows.min(rows_max);
    let first = (selected / columns + 1).saturating_sub(shown).min(rows - shown);
    let mut places = Vec::new();
    for (row, (top, height)) in shares(&vec![1; shown], area.y, area.height).into_iter().enumerate() {
        let from = (first + row) * columns;
        let in_row = columns.min(count - from);
        // The last row may have fewer panels: they are as wide as they can be.
        for (column, (left, width)) in shares(&vec![1; in_row], area.x, area.width).into_iter().enumerate() {
            places.push((from + column, Rect::new(left, top, width, height)));
        }
    }
    places
}

/// The place of each panel of a layout by its number in reading order. Where the layout has no room, they stand in a grid.
pub fn rows(layout: &Layout, selected: usize, area: Rect) -> Vec<(usize, Rect)> {
    let mut places = Vec::new();
    let heights: Vec<u16> = layout.rows.iter().map(|row| row.size).collect();
    for (row, (top, height)) in layout.rows.iter().zip(shares(&heights, area.y, area.height)) {
        let widths: Vec<u16> = row.panels.iter().map(|panel| panel.size).collect();
        for (left, width) in shares(&widths, area.x, area.width) {
            places.push((places.len(), Rect::new(left, top, width, height)));
        }
    }
    let has_room = places.iter().all(|(_, place)| place.width >= WIDTH_MIN.min(24) && place.height >= HEIGHT_MIN);
    if has_room { places } else { grid(layout.panels().count(), selected, area) }
}

/// Divides `length` from `start` on by shares; what does not divide evenly goes to the first.
fn shares(shares: &[u16], start: u16, length: u16) -> Vec<(u16, u16)> {
    let total: u32 = shares.iter().map(|&share| u32::from(share)).sum::<u32>().max(1);
    let edge = |upto: u32| (u32::from(length) * upto).div_ceil(total) as u16;
    let mut upto = 0;
    let place = |&share: &u16| {
        let from = edge(upto);
        upto += u32::from(share);
        (start + from, edge(upto) - from)
    };
    shares.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: usize, selected: usize, size: (u16, u16), expected: &[(usize, u16, u16, u16, u16)]) {
        let places = grid(count, selected, Rect::new(0, 0, size.0, size.1));
        let places: Vec<_> = places.into_iter().map(|(n, r)| (n, r.x, r.y, r.width, r.height)).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn as_few_columns_as_show_all() {
        check(1, 0, (80, 20), &[(0, 0, 0, 80, 20)]);
        check(2, 0, (80, 20), &[(0, 0, 0, 80, 10), (1, 0, 10, 80, 10)]);
        check(
            5,
            0,
            (80, 15),
            &[(0, 0, 0, 40, 5), (1, 40, 0, 40, 5), (2, 0, 5, 40, 5), (3, 40, 5, 40, 5), (4, 0, 10, 80, 5)],
        );
        check(0, 0, (80, 20), &[]);
    }

    #[test]
    fn what_has_no_room_is_reached_by_the_selection() {
        check(4, 0, (40, 10), &[(0, 0, 0, 40, 5), (1, 0, 5, 40, 5)]);
        check(4, 2, (40, 10), &[(1, 0, 0, 40, 5), (2, 0, 5, 40, 5)]);
        check(4, 3, (40, 10), &[(2, 0, 0, 40, 5), (3, 0, 5, 40, 5)]);
    }

    #[test]
    fn a_layout_shares_by_size_or_falls_back() {
        let text = "[[row]]\nsize = 2\n[[row.panel]]\nmetric = 'a'\nsize = 3\n[[row.panel]]\nmetric = 'b'\n[[row]]\n[[row.panel]]\nmetric = 'c'\n";
        let layout = Layout::parse(text).unwrap();
        let places = rows(&layout, 0, Rect::new(0, 0, 120, 30));
        assert_eq!(
            places,
            [(0, Rect::new(0, 0, 90, 20)), (1, Rect::new(90, 0, 30, 20)), (2, Rect::new(0, 20, 120, 10))]
        );
        let small = rows(&layout, 2, Rect::new(0, 0, 40, 10));
        assert_eq!(small, [(1, Rect::new(0, 0, 40, 5)), (2, Rect::new(0, 5, 40, 5))]);
    }
}
