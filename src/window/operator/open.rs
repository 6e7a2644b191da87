//! What has not fired: early results, what is open at the end of a run, and which window fires next. Changes no window.

use crate::time::{Timestamp, Window};
use crate::window::operator::{Operator, Shard, context};
use crate::window::table::Table;
use crate::window::{Output, Windows};

/// How much is open of a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenSize {
    /// Slices of windows that have not fired; of tumbling windows, the windows. Each thread's part counts by itself.
    pub slices: u64,
    /// Groups, added up over the slices.
    pub groups: u64,
    /// Sessions, those included that may still be revised.
    pub sessions: u64,
}

impl OpenSize {
    /// Both together.
    pub fn and(self, other: OpenSize) -> OpenSize {
        OpenSize {
            slices: self.slices + other.slices,
            groups: self.groups + other.groups,
            sessions: self.sessions + other.sessions,
        }
    }
}

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

    /// What is open of a metric.
    pub fn open_size(&self, metric: usize) -> OpenSize {
        let shards = || self.workers.iter().map(|worker| &worker.shards[metric]);
        let in_folding = shards().filter_map(Shard::aligned).flat_map(|shard| shard.open().map(|(_, table)| table));
        let groups: Vec<u32> = in_folding.chain(self.aligned[metric].unfired()).map(Table::len).collect();
        OpenSize {
            slices: groups.len() as u64,
            groups: groups.into_iter().map(u64::from).sum(),
            sessions: shards().filter_map(Shard::session).map(crate::window::session::Shard::open).sum(),
        }
    }

    /// Windows that end by the first of these times have fired and will not change any more; to make all others, events from the
    /// second one on are needed. `None` where that can't be told now.
    pub fn made(&self) -> Option<(Timestamp, Timestamp)> {
        let lateness = self.queries.iter().map(|query| query.allowed_lateness.0).max().unwrap_or(0);
        let made = Timestamp(self.watermark.0.saturating_sub(lateness));
        let mut needed = Timestamp::MAX;
        for (metric, query) in self.queries.iter().enumerate() {
            needed = needed.min(match &query.windows {
                Windows::Aligned(assigner) => assigner.first_start_after(made),
                Windows::Session(gap) => {
                    let shards = self.workers.iter().filter_map(|worker| worker.shards[metric].session());
                    let open = shards.map(crate::window::session::Shard::open_since).collect::<Option<Vec<_>>>()?;
                    // What comes yet and is not late may begin or join what ends later.
                    let coming = Timestamp(made.0.saturating_sub(gap.gap.0));
                    open.into_iter().min().unwrap_or(coming).min(coming)
                }
            });
        }
        Some((made, needed))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Accumulators;
    use crate::metric::Metric;
    use crate::plan::{MetricText, Plan};
    use crate::window::testing::one_event;

    fn operator(query: MetricText) -> Operator {
        let plan = Plan::build(&[MetricText { by: Some("g".into()), ..query }]).unwrap();
        Operator::new(plan.queries, 2, false)
    }

    fn tumbling() -> MetricText {
        let allowed_lateness = Some("9us".into());
        MetricText { tumbling: Some("10us".into()), allowed_lateness, ..MetricText::default() }
    }

    /// Merges one event of a group while the watermark stands at `watermark`; returns the rows that it causes.
    fn meet(operator: &mut Operator, group: &str, start: i64, watermark: i64) -> Vec<Output> {
        let mut out = Vec::new();
        let partial = one_event(&operator.queries, 0, group, start);
        operator.merge(&partial, (Timestamp(watermark), Timestamp(watermark), start as u64), &mut out).unwrap();
        out
    }

    fn rows(out: Vec<Output>) -> Vec<Metric> {
        let row = |output| match output {
            Output::Row(row) => row,
            Output::Partial(partial) => panic!("rows were asked for, not {partial:?}"),
        };
        out.into_iter().map(row).collect()
    }

    /// Rows as `[start,end) group=count`, all of them not final.
    fn open_rows(operator: &Operator) -> Vec<String> {
        let mut out = Vec::new();
        operator.write_open(&mut out);
        let shown = |row: Metric| {
            assert!(!row.is_final && !row.retracted && row.revision == 0, "{row:?}");
            let (group, count) = (row.groups[0].to_json(), row.aggregates[0].to_json());
            format!("[{},{}) {group}={count}", row.window.start.0, row.window.end.0)
        };
        rows(out).into_iter().map(shown).collect()
    }

    /// [0, 10) has fired; [10, 20) and [20, 30) have not, whether they were written early or not.
    #[test]
    fn every_open_window_is_written_and_stays_as_it_is() {
        let mut operator = operator(tumbling());
        for (group, start) in [("a", 1), ("b", 11), ("a", 11), ("c", 21)] {
            meet(&mut operator, group, start, 0);
        }
        operator.fire(Timestamp(10), &mut Vec::new());
        let expected = [r#"[10,20) "a"=1"#, r#"[10,20) "b"=1"#, r#"[20,30) "c"=1"#];
        assert_eq!(open_rows(&operator), expected);
        let mut early = Vec::new();
        operator.write_early(&mut early);
        assert_eq!(early.len(), 3);
        assert_eq!(open_rows(&operator), expected);
        early.clear();
        operator.write_early(&mut early);
        assert_eq!(early, []);
    }

    #[test]
    fn what_is_open_is_counted_until_it_fires() {
        let open = |operator: &Operator| {
            let OpenSize { slices, groups, sessions } = operator.open_size(0);
            (slices, groups, sessions)
        };
        let mut aligned = operator(MetricText { allowed_lateness: None, ..tumbling() });
        for (group, start) in [("a", 1), ("b", 2), ("b", 3), ("c", 21)] {
            meet(&mut aligned, group, start, 0);
        }
        let before = open(&aligned);
        assert!(before.0 >= 2 && before.1 == 3, "{before:?}");
        aligned.fire(Timestamp(10), &mut Vec::new());
        assert_eq!(open(&aligned), (1, 1, 0));
        let mut sessions = operator(MetricText { session: Some("5us".into()), ..MetricText::default() });
        for (group, start) in [("a", 1), ("b", 2), ("b", 30)] {
            meet(&mut sessions, group, start, 0);
        }
        assert_eq!(open(&sessions), (0, 0, 3));
    }

    #[test]
    fn open_sessions_are_written_too() {
        let mut operator = operator(MetricText { session: Some("5us".into()), ..MetricText::default() });
        for (group, start) in [("b", 8), ("a", 1), ("b", 7), ("a", 8)] {
            meet(&mut operator, group, start, 0);
        }
        operator.fire(Timestamp(6), &mut Vec::new());
        assert_eq!(open_rows(&operator), [r#"[7,13) "b"=2"#, r#"[8,13) "a"=1"#]);
    }

    /// First rows, revisions, early and open ones: each with what a store needs to make its value again.
    #[test]
    fn rows_carry_the_states_of_their_groups_where_they_are_asked_for() {
        let mut operator = operator(tumbling());
        operator.keep_states(&[true]);
        let mut all = Vec::new();
        meet(&mut operator, "a", 1, 0);
        meet(&mut operator, "a", 2, 0);
        operator.write_open(&mut all);
        operator.write_early(&mut all);
        operator.fire(Timestamp(10), &mut all);
        all.extend(meet(&mut operator, "a", 3, 12));
        let counts: Vec<String> = rows(all)
            .iter()
            .map(|row| {
                let mut states = Accumulators::new(&operator.queries[0].functions);
                let group = states.add_group();
                states.decode_into_group(group, row.state.as_ref().unwrap()).unwrap();
                assert_eq!(states.finish(0, group, None), row.aggregates[0]);
                row.aggregates[0].to_json()
            })
            .collect();
        assert_eq!(counts, ["2", "2", "2", "3"]);
    }

    #[test]
    fn rows_that_hang_on_others_carry_no_states() {
        for (query, asked) in [(MetricText { top: Some(1), ..tumbling() }, true), (tumbling(), false)] {
            let mut operator = operator(query);
            operator.keep_states(&[asked]);
            let mut out = meet(&mut operator, "a", 1, 0);
            operator.fire(Timestamp(10), &mut out);
            assert_eq!(rows(out).into_iter().map(|row| row.state).collect::<Vec<_>>(), [None]);
        }
    }
}
