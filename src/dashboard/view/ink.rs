//! How text gets into a frame: made printable, cut where its room ends.
//!
//! All text that is drawn goes through here, except for the labels of axes, which are figures of ours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Block, Widget};

use crate::dashboard::printable::{fitted, width};

/// Puts text at a place, in at most `columns`; gives the column behind it. What lies outside of the frame is left out.
pub fn put(buffer: &mut Buffer, x: u16, y: u16, text: &str, columns: u16, style: Style) -> u16 {
    let area = buffer.area;
    if !(area.top()..area.bottom()).contains(&y) || !(area.left()..area.right()).contains(&x) {
        return x;
    }
    let columns = columns.min(area.right() - x);
    let (end, _) = buffer.set_stringn(x, y, fitted(text, columns.into()), columns.into(), style);
    end
}

/// Puts text so that it ends before the column `right`, in at most `columns`.
pub fn put_right(buffer: &mut Buffer, right: u16, y: u16, text: &str, columns: u16, style: Style) {
    let text = fitted(text, columns.into());
    let length = width(&text) as u16;
    put(buffer, right.saturating_sub(length), y, &text, length, style);
}

/// Puts pieces of a line side by side, two blanks between them, as many as fit; the last one may be cut.
pub fn put_pieces(buffer: &mut Buffer, line: Rect, pieces: &[(String, Style)]) {
    let mut x = line.x;
    for (text, style) in pieces.iter().filter(|(text, _)| !text.is_empty()) {
        let room = line.right().saturating_sub(x);
        // A piece of which next to nothing would be seen is left out.
        if usize::from(room) < width(text).min(8) {
            return;
        }
        x = put(buffer, x, line.y, text, room, *style) + 2;
    }
}

/// Draws a frame with a title on its left and a remark on its right; gives what is inside.
pub fn frame(buffer: &mut Buffer, area: Rect, title: (&str, Style), remark: &str, border: Style) -> Rect {
    let block = Block::bordered().border_style(border);
    let inner = block.inner(area);
    block.render(area, buffer);
    let room = area.width.saturating_sub(4);
    let end = put(
        buffer,
        area.x + 1,
        area.y,
        &format!(" {} ", fitted(title.0, room.saturating_sub(2).into())),
        room,
        title.1,
    );
    let left = area.right().saturating_sub(end + 3);
    if !remark.is_empty() && usize::from(left) >= width(remark).min(12) + 2 {
        let remark = format!(" {} ", fitted(remark, usize::from(left) - 2));
        put_right(buffer, area.right() - 1, area.y, &remark, left, border);
    }
    inner
}
