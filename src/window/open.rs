//! How many sessions are open at once, event by event in the order of the stream.
//!
//! Sessions are spread over shards, and a shard looks at the clock only when it has something to do. So each notes when
//! sessions began, merged and could be forgotten, and here this is put in order: whether a bound is reached depends neither on
//! the number of shards nor on where the stream is cut into steps. Knows nothing of the sessions themselves.

use crate::time::Timestamp;

/// What one shard noted in a step.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// Sessions that were open before it.
    pub before: u64,
    /// Each change of their number by an event.
    pub changes: Vec<Change>,
    /// From which watermark of the operator on each session is forgotten; of all that were before the step or came in it.
    pub forgets: Vec<Timestamp>,
}

/// An event changed how many sessions are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Its place in the stream.
    pub position: u64,
    /// The operator's watermark before it.
    pub operator: Timestamp,
    /// By how many.
    pub by: i64,
}

/// The most sessions that were open after any of the events.
pub fn most_open(shards: impl Iterator<Item = Noted>) -> u64 {
    let mut all = Noted::default();
    for Noted { before, changes, forgets } in shards {
        all.before += before;
        all.changes.extend(changes);
        all.forgets.extend(forgets);
    }
    all.changes.sort_unstable();
    all.forgets.sort_unstable();
    let mut forgets = all.forgets.into_iter().peekable();
    let (mut open, mut most) = (all.before as i64, 0);
    for change in all.changes {
        while forgets.next_if(|&forget| forget <= change.operator).is_some() {
            open -= 1;
        }
        open += change.by;
        most = most.max(open);
    }
    most as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```text
    /// watermark    2     4     4     6
    /// shard 0     +1                +1      5 ends one of shard 1 before
    /// shard 1           +1    -1
    /// open   1     2     3     2     2
    /// ```
    #[test]
    fn shards_are_counted_together_in_the_order_of_the_stream() {
        let change = |position, operator, by| Change { position, operator: Timestamp(operator), by };
        let times = |times: &[i64]| times.iter().map(|&time| Timestamp(time)).collect();
        let first = Noted { before: 0, changes: vec![change(0, 2, 1), change(3, 6, 1)], forgets: times(&[9, 12]) };
        let second = Noted { before: 1, changes: vec![change(1, 4, 1), change(2, 4, -1)], forgets: times(&[5, 9]) };
        assert_eq!(most_open([first.clone(), second.clone()].into_iter()), 3);
        assert_eq!(most_open([second, first].into_iter()), 3);
    }
}
