//! Sessions that have not fired, as rows that are not final.

use crate::time::Timestamp;
use crate::window::session::{Shard, metric_row};
use crate::window::{Output, Query};

impl Shard {
    /// Writes every open session that has changed since the last call as a row that is not final.
    pub fn write_early(&mut self, query: &Query, out: &mut Vec<Output>) {
        for group in 0..self.groups.len() as u32 {
            for index in 0..self.groups[group as usize].sessions.len() {
                let session = &mut self.groups[group as usize].sessions[index];
                if !session.fired && session.early != session.events {
                    session.early = session.events;
                    self.write_unfinished(query, group, index, out);
                }
            }
        }
    }

    /// Writes every open session as a row that is not final, and changes nothing.
    pub fn write_open(&self, query: &Query, out: &mut Vec<Output>) {
        for group in 0..self.groups.len() as u32 {
            for (index, session) in self.groups[group as usize].sessions.iter().enumerate() {
                if !session.fired {
                    self.write_unfinished(query, group, index, out);
                }
            }
        }
    }

    /// The first event of all sessions that are open, those that may still be revised included; `Timestamp::MAX` where there are none.
    /// `None` while rows of sessions that may be forgotten wait to be asked for.
    pub fn open_since(&self) -> Option<Timestamp> {
        let open = self.groups.iter().flat_map(|group| &group.sessions).map(|session| session.first);
        (self.ahead.is_empty() && self.ended.is_empty()).then(|| open.min().unwrap_or(Timestamp::MAX))
    }

    fn write_unfinished(&self, query: &Query, group: u32, index: usize, out: &mut Vec<Output>) {
        let row = self.row(query, group, index);
        if query.presentation.shows(&row) {
            let window = self.groups[group as usize].sessions[index].window;
            let mut metric = metric_row(self.metric, window, row, 0, false);
            metric.is_final = false;
            out.push(Output::Row(metric));
        }
    }
}
