//! The operator's state, to be taken on by another one: in another process, with another number of workers.
//!
//! The bytes are the same for any number of workers, and again the same when saved right after they were taken on.

use crate::aggregate::encoding::{Reader, put_varint};
use crate::aggregate::saved::{Kind, StateError, seal, unseal};
use crate::window::Windows;
use crate::window::operator::{Operator, Shard, context};
use crate::window::state::{put_flag, put_time, read_flag, read_time};

const ALIGNED: u8 = 0;
const SESSION: u8 = 1;

impl Operator {
    /// Appends the whole state: open windows, those that may still be revised, counts, and the watermark. To be called when
    /// nothing is half done: everything that the sequencer gave has been applied, and all windows have fired that end by its
    /// watermark.
    pub fn save(&self, out: &mut Vec<u8>) {
        seal(Kind::Operator, out, |out| {
            put_flag(out, self.partials);
            put_time(out, self.watermark);
            put_varint(out, self.nulled);
            put_varint(out, self.queries.len() as u64);
            (0..self.queries.len()).for_each(|metric| self.save_metric(metric, out));
        });
    }

    fn save_metric(&self, metric: usize, out: &mut Vec<u8>) {
        let counts = &self.counts[metric];
        for count in [counts.used, counts.filtered, counts.late, counts.no_window] {
            put_varint(out, count);
        }
        let shards = || self.workers.iter().map(|worker| &worker.shards[metric]);
        match context(&self.queries, metric, self.partials) {
            Some(context) => {
                out.push(ALIGNED);
                let shards: Vec<_> = shards().filter_map(Shard::aligned).collect();
                self.aligned[metric].save(context, &shards, self.watermark, out);
            }
            None => {
                out.push(SESSION);
                let shards: Vec<_> = shards().filter_map(Shard::session).collect();
                crate::window::session::saved::save(&shards, out);
            }
        }
    }

    /// Takes on what `save` wrote, into an operator of the same queries that has folded nothing. That the queries are the same
    /// is found out as far as the state goes wrong otherwise; a caller who may have others must compare them. After an error
    /// the operator is of no use.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        unseal(Kind::Operator, bytes, |reader| {
            if read_flag(reader)? != self.partials {
                return Err(StateError::OtherQuery("its output is that"));
            }
            self.watermark = read_time(reader)?;
            self.nulled = reader.varint()?;
            if reader.varint()? != self.queries.len() as u64 {
                return Err(StateError::OtherQuery("its metrics are those"));
            }
            (0..self.queries.len()).try_for_each(|metric| self.restore_metric(metric, reader))
        })
    }

    fn restore_metric(&mut self, metric: usize, reader: &mut Reader) -> Result<(), StateError> {
        let counts = &mut self.counts[metric];
        for count in [&mut counts.used, &mut counts.filtered, &mut counts.late, &mut counts.no_window] {
            *count = reader.varint()?;
        }
        let query = &self.queries[metric];
        match (reader.byte()?, &query.windows) {
            (ALIGNED, Windows::Aligned(_)) => {
                let context = context(&self.queries, metric, self.partials).expect("its windows are aligned");
                // Tables are merged when their windows fire, whoever holds them.
                let shard = self.workers[0].shards[metric].aligned_mut().expect("shards are made after the queries");
                self.aligned[metric].restore(context, shard, self.watermark, reader)
            }
            (SESSION, Windows::Session(gap)) => {
                let shards = self.workers.iter_mut().map(|worker| &mut worker.shards[metric]);
                let mut shards: Vec<_> = shards.filter_map(Shard::session_mut).collect();
                crate::window::session::saved::restore(&mut shards, query, *gap, reader)
            }
            _ => Err(StateError::OtherQuery("its windows are those")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{MetricText, Plan};
    use crate::time::Timestamp;
    use crate::window::Output;
    use crate::window::testing::{check, one_event};

    fn tumbling(lateness: &str) -> MetricText {
        let allowed_lateness = Some(lateness.into());
        MetricText { tumbling: Some("10us".into()), allowed_lateness, ..MetricText::default() }
    }

    fn saved(operator: &Operator) -> Vec<u8> {
        let mut bytes = Vec::new();
        operator.save(&mut bytes);
        bytes
    }

    /// Another operator of other workers, with what this one saves.
    fn moved(operator: &Operator, workers: usize) -> Operator {
        let mut moved = Operator::new(operator.queries.to_vec(), workers, operator.partials);
        moved.restore(&saved(operator)).unwrap();
        moved
    }

    fn counts(out: &[Output]) -> Vec<(i64, String, String)> {
        let row = |output: &Output| match output {
            Output::Row(row) => (row.window.end.0, row.groups[0].to_json(), row.aggregates[0].to_json()),
            Output::Partial(partial) => panic!("rows were asked for, not {partial:?}"),
        };
        out.iter().map(row).collect()
    }

    /// An event that its own partition's watermark, 20, finds within the lateness, while the operator's has come to 3: it waits
    /// by itself for [0, 10) to fire.
    #[test]
    fn events_for_one_window_alone_are_kept() {
        let query = MetricText { by: Some("g".into()), ..tumbling("30us") };
        let mut operator = Operator::new(Plan::build(&[query]).unwrap().queries, 1, false);
        let mut out = Vec::new();
        let partial = one_event(&operator.queries, 0, "a", 4);
        operator.merge(&partial, (Timestamp(20), Timestamp(3), 0), &mut out).unwrap();
        let mut operator = moved(&operator, 3);
        operator.fire(Timestamp(10), &mut out);
        assert_eq!(counts(&out), [(10, "\"a\"".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_window_that_has_fired_is_revised() {
        let expected = ["[0,10) a=1", "[0,10) a=2 #1", "[0,10) a=3 #2", "[10,20) z=1"];
        check(tumbling("5us"), 0, &["a@1 z@10 a@2 a@3"], &expected);
    }

    /// b overtakes a, whose row was written before the restart.
    #[test]
    fn what_was_shown_is_retracted() {
        let query = MetricText { top: Some(1), ..tumbling("5us") };
        let expected = ["[0,10) a=1", "[0,10) a=1 #1 gone", "[0,10) b=2", "[10,20) z=1"];
        check(query, 0, &["a@1 b@1 z@10 b@2"], &expected);
    }

    /// Both within the lateness: [1, 6) was written and is taken back, [20, 25) is revised.
    #[test]
    fn sessions_that_have_fired_are_revised_and_retracted() {
        let query = MetricText {
            session: Some("5us".into()),
            allowed_lateness: Some("9us".into()),
            having: Some("count < 3".into()),
            ..MetricText::default()
        };
        let expected = [
            "[1,6) a=1",
            "[1,6) a=1 #1 gone",
            "[1,10) a=2",
            "[11,16) z=1",
            "[20,25) b=1",
            "[20,25) b=2 #1",
            "[20,25) b=2 #2 gone",
            "[30,35) z=1",
        ];
        check(query, 0, &["a@1 z@11 a@5 b@20 z@30 b@20 b@20"], &expected);
    }

    /// Who came first is a matter of the whole stream: c and d are the third and the fourth, also of their run.
    #[test]
    fn the_first_groups_stay_the_first() {
        let query = MetricText { max_groups: Some(2), ..tumbling("5us") };
        let expected = ["[0,10) __other__=2", "[0,10) a=1", "[0,10) b=1", "[10,20) z=1", "[0,10) __other__=3 #1"];
        check(query, 0, &["a@1 b@2 c@3 d@4 z@10 e@5"], &[&expected[..3], &expected[4..], &expected[3..4]].concat());
    }

    /// Something of everything, folded and merged.
    fn busy() -> Operator {
        let text = |query: MetricText| MetricText { by: Some("g".into()), max_groups: Some(3), ..query };
        let queries = [
            MetricText { name: Some("a".into()), ..tumbling("30us") },
            MetricText { name: Some("b".into()), top: Some(2), ..tumbling("30us") },
            MetricText { name: Some("c".into()), cumulate: Some("20us/5us".into()), ..MetricText::default() },
            MetricText {
                name: Some("d".into()),
                session: Some("5us".into()),
                having: Some("count > 0".into()),
                allowed_lateness: Some("20us".into()),
                max_groups: Some(9),
                ..MetricText::default()
            },
        ];
        let queries = queries.map(|query| MetricText { max_groups: query.max_groups.or(Some(3)), ..text(query) });
        let mut operator = Operator::new(Plan::build(&queries).unwrap().queries, 2, false);
        let mut out = Vec::new();
        for (number, (group, start, own, reached)) in
            [("a", 1, 0, 0), ("b", 2, 0, 0), ("c", 3, 1, 1), ("a", 12, 9, 9), ("d", 4, 13, 13), ("e", 14, 21, 14)]
                .into_iter()
                .enumerate()
        {
            for metric in 0..4 {
                let partial = one_event(&operator.queries, metric, group, start);
                let place = (Timestamp(own), Timestamp(reached), number as u64);
                operator.merge(&partial, place, &mut out).unwrap();
            }
        }
        operator.fire(Timestamp(14), &mut out);
        operator.write_early(&mut out);
        assert!(operator.aligned.iter().any(|aligned| aligned.overflowed() > 0), "a group overflows");
        operator
    }

    #[test]
    fn equal_states_have_equal_bytes() {
        let operator = busy();
        for workers in 1..4 {
            assert_eq!(saved(&moved(&operator, workers)), saved(&operator), "{workers} workers");
        }
    }

    #[test]
    fn the_state_of_another_query_is_refused() {
        let bytes = saved(&busy());
        let refused = |queries: &[MetricText], partials| {
            let mut operator = Operator::new(Plan::build(queries).unwrap().queries, 1, partials);
            assert!(matches!(operator.restore(&bytes), Err(StateError::OtherQuery(_))), "{queries:?}");
        };
        refused(&[tumbling("5us")], true);
        refused(&[tumbling("5us")], false);
        let named = |name: &str, size: &str| MetricText {
            name: Some(name.into()),
            by: Some("g".into()),
            tumbling: Some(size.into()),
            ..MetricText::default()
        };
        let all = |size| ["a", "b", "c", "d"].map(|name| named(name, size));
        refused(&all("7us"), false);
        refused(&all("10us"), false);
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let operator = busy();
        let bytes = saved(&operator);
        let restored = |bytes: &[u8]| Operator::new(operator.queries.to_vec(), 2, false).restore(bytes);
        assert_eq!(restored(&bytes), Ok(()));
        for length in 0..bytes.len() {
            assert!(restored(&bytes[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(restored(&flipped).is_err(), "bit {bit}");
        }
    }

    /// Bytes that someone sealed who knows how: they may be anything, but reading them ends without a panic.
    #[test]
    fn forged_bytes_do_not_panic() {
        let operator = busy();
        let bytes = saved(&operator);
        let body = &bytes[2..bytes.len() - 8];
        let try_body = |body: &[u8]| {
            let mut forged = Vec::new();
            seal(Kind::Operator, &mut forged, |out| out.extend_from_slice(body));
            Operator::new(operator.queries.to_vec(), 2, false).restore(&forged)
        };
        assert_eq!(try_body(body), Ok(()));
        for length in 0..body.len() {
            assert!(try_body(&body[..length]).is_err(), "{length} bytes");
        }
        let mut refused = 0;
        for at in 0..body.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff, body[at] ^ 1, body[at] ^ 0x80, body[at].wrapping_add(1)] {
                let mut changed = body.to_vec();
                changed[at] = value;
                refused += usize::from(try_body(&changed).is_err());
                changed.truncate(at + 1);
                changed.extend([0xff; 40]);
                refused += usize::from(try_body(&changed).is_err());
            }
        }
        assert!(refused > body.len(), "most of it is refused");
    }
}
