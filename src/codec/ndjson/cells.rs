//! The columns of a block in the making: a cell for each wanted place, row after row.
//!
//! All cells of the open row are NULL until they are put. Knows nothing of where values come from.

use crate::batch::{Column, Tag};

/// Columns by cell, with one row open at their end.
#[derive(Debug, Clone, Default)]
pub struct Cells {
    columns: Vec<Column>,
    /// The open row.
    row: usize,
    /// Rows that there is room for. More than `row`.
    room: usize,
}

impl Cells {
    /// Begins anew with room for about `rows`.
    pub fn begin(&mut self, cells: usize, rows: usize) {
        (self.row, self.room) = (0, rows + 1);
        self.columns.clear();
        self.columns.resize_with(cells, || Column::nulls(rows + 1));
    }

    /// Sets a cell of the open row.
    #[inline(always)]
    pub fn put(&mut self, cell: u32, tag: Tag, bits: u64) {
        let column = &mut self.columns[cell as usize];
        column.tags[self.row] = tag;
        column.bits[self.row] = bits;
    }

    /// Makes all cells of the open row NULL again.
    #[cold]
    pub fn void(&mut self) {
        for cell in 0..self.columns.len() {
            self.put(cell as u32, Tag::Null, 0);
        }
    }

    /// Closes the open row and opens the next.
    #[inline(always)]
    pub fn next_row(&mut self) {
        self.row += 1;
        if self.row == self.room {
            self.make_room();
        }
    }

    #[cold]
    fn make_room(&mut self) {
        self.room += self.room / 2 + 64;
        for column in &mut self.columns {
            column.tags.resize(self.room, Tag::Null);
            column.bits.resize(self.room, 0);
        }
    }

    /// Ends with the rows that were closed, and gives the columns of these cells, one of which may be named twice.
    pub fn finish(&mut self, cells: &[u32]) -> Vec<Column> {
        for column in &mut self.columns {
            column.tags.truncate(self.row);
            column.bits.truncate(self.row);
        }
        let take = |(i, &cell): (usize, &u32)| {
            let column = &mut self.columns[cell as usize];
            if cells[i + 1..].contains(&cell) { column.clone() } else { std::mem::take(column) }
        };
        cells.iter().enumerate().map(take).collect()
    }
}
