//! What has not fired: early results, what is open at the end of a run, and which window fires next. Changes no window.

use crate::time::{Timestamp, Window};
use crate::window::Output;
use crate::window::operator::{Operator, Shard, context};

impl Operator {
    /// Writes every open window that has changed since the last early results, in the order of `fire`.
    pub fn write_early(&mut self, out: &mut Vec<Output>) {
        let begin = out.len();
        for metric in 0..self.queries.len() {
            match context(&self.queries, metric, false) {
                Some(context) => {
                    let shards: Vec<_> =
                        self.workers.iter().filter_map(|worker| worker.shards[metric].aligned()).collect();
                    self.aligned[metric].write_early(context, &shards, self.watermark, out);
                }
                None => {
                    for worker in &mut self.workers {
                        if let Shard::Session(shard) = &mut worker.shards[metric] {
                            shard.write_early(&self.queries[metric], out);
                        }
                    }
                }
            }
        }
        self.sort(&mut out[begin..]);
    }

    /// Writes every open window as it is, in the order of `fire`, as rows that are not final: the end of a run that another
    /// one takes up. What was written early, and what will be, is as if this had not been called.
    pub fn write_open(&self, out: &mut Vec<Output>) {
        let begin = out.len();
        for metric in 0..self.queries.len() {
            let shards = || self.workers.iter().map(|worker| &worker.shards[metric]);
            match context(&self.queries, metric, false) {
                Some(context) => {
                    let shards: Vec<_> = shards().filter_map(Shard::aligned).collect();
                    self.aligned[metric].write_open(context, &shards, self.watermark, out);
                }
                None => {
                    let shards = shards().filter_map(Shard::session);
                    shards.for_each(|shard| shard.write_open(&self.queries[metric], out));
                }
            }
        }
        self.sort(&mut out[begin..]);
    }

    /// The window of a metric that fires next, for `--why`; of a session, only its end is told.
    pub fn next_window(&self, metric: usize) -> Option<Window> {
        let shards = || self.workers.iter().map(|worker| &worker.shards[metric]);
        match context(&self.queries, metric, self.partials) {
            Some(context) => {
                let shards: Vec<_> = shards().filter_map(Shard::aligned).collect();
                self.aligned[metric].next_window(context, &shards)
            }
            None => {
                let ends = shards().filter_map(Shard::session).filter_map(crate::window::session::Shard::next_end);
                ends.min().map(|end| Window { start: Timestamp::MIN, end })
            }
        }
    }
}
