//! Lines that travel in one request, each with the number of the row that it was made of.
//!
//! Knows nothing of what lines say.

use std::ops::Range;

/// The row of a line that was made of none: it stays together with no other.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// Lines, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    text: Vec<u8>,
    /// Where each line ends, and the row that it is of.
    lines: Vec<(usize, u32)>,
}

impl Batch {
    /// Appends the line that `push` appends, of the row of this number. Whether there was one.
    pub fn push(&mut self, row: u32, push: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let from = self.text.len();
        let is_line = push(&mut self.text);
        if is_line {
            self.lines.push((self.text.len(), row));
        } else {
            self.text.truncate(from);
        }
        is_line
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Forgets all lines.
    pub fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
    }

    /// Some of the lines.
    pub fn text(&self, lines: Range<usize>) -> &[u8] {
        let end = |line: usize| self.lines[line].0;
        if lines.is_empty() {
            return &[];
        }
        &self.text[if lines.start == 0 { 0 } else { end(lines.start - 1) }..end(lines.end - 1)]
    }

    /// The row that a line was made of.
    pub fn row(&self, line: usize) -> u32 {
        self.lines[line].1
    }

    /// The lines as ranges of at most `lines_max` and `bytes_max`, one longer line apart; the lines of one row stay together.
    pub fn pieces(&self, lines_max: usize, bytes_max: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        let mut line = 0;
        while line < self.len() {
            let row = self.row(line);
            let is_other = |next: &usize| row == NO_ROW || self.row(*next) != row;
            let end = (line + 1..self.len()).find(is_other).unwrap_or(self.len());
            let more = self.text(line..end).len();
            if line > start && (end - start > lines_max || bytes + more > bytes_max) {
                pieces.push(start..line);
                (start, bytes) = (line, 0);
            }
            bytes += more;
            line = end;
        }
        if start < self.len() {
            pieces.push(start..self.len());
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_to_their_bounds_and_rows_together() {
        let mut batch = Batch::default();
        for row in 0..10_u32 {
            for line in 0..2 {
                assert!(batch.push(row, |out| {
                    out.extend_from_slice(format!("{row}{line}\n").as_bytes());
                    true
                }));
            }
            assert!(!batch.push(row, |out| {
                out.push(b'x');
                false
            }));
        }
        assert_eq!((batch.len(), batch.text(0..20).len()), (20, 60));
        assert_eq!(batch.pieces(5, 1000), [0..4, 4..8, 8..12, 12..16, 16..20]);
        assert_eq!(batch.pieces(100, 18), [0..6, 6..12, 12..18, 18..20]);
        assert_eq!(batch.pieces(1, 1).len(), 10);
        assert_eq!(batch.text(2..4), b"10\n11\n");
        for _ in 0..3 {
            batch.push(NO_ROW, |out| {
                out.push(b'\n');
                true
            });
        }
        assert_eq!(batch.pieces(20, 1000), [0..20, 20..23]);
        assert_eq!(batch.pieces(1, 1).len(), 13);
        assert!(Batch::default().pieces(1, 1).is_empty() && batch.text(3..3).is_empty());
    }
}
