//! The threads of a run: work in equal parts, one a thread, done side by side.
//!
//! The thread that calls takes a part itself, so that a step begins and ends without a switch to another. Knows nothing of
//! what the work is.

use std::sync::{Mutex, PoisonError};

use crate::pipeline::error::PipelineError;

/// The threads of a run: the one that calls, and those that help it.
pub struct Crew {
    helpers: Option<rayon::ThreadPool>,
}

impl Crew {
    /// A crew of so many threads, at least 1, the one that calls included.
    pub fn new(threads: usize) -> Result<Crew, PipelineError> {
        let helpers = match threads {
            0 | 1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads - 1)
                    .build()
                    .map_err(|source| PipelineError::Threads { threads, source })?,
            ),
        };
        Ok(Crew { helpers })
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        1 + self.helpers.as_ref().map_or(0, rayon::ThreadPool::current_num_threads)
    }

    /// Does the work on each part, at most one a thread; what comes of it stands in the order of the parts.
    pub fn each<P: Send, R: Send>(&self, parts: &mut [P], work: impl Fn(&mut P) -> R + Sync) -> Vec<R> {
        let (Some(helpers), [own, others @ ..]) = (&self.helpers, &mut *parts) else {
            return parts.iter_mut().map(work).collect();
        };
        let mut results: Vec<Option<R>> = others.iter().map(|_| None).collect();
        let first = helpers.in_place_scope(|scope| {
            for (part, result) in others.iter_mut().zip(&mut results) {
                scope.spawn(|_| *result = Some(work(part)));
            }
            work(own)
        });
        let others = results.into_iter().map(|result| result.expect("the scope has waited for all of its work"));
        std::iter::once(first).chain(others).collect()
    }

    /// Works on the items side by side, the next one by whichever worker is done with its last: a slow one holds up nobody else. What
    /// comes of them stands in their order.
    pub fn share<W: Send, I: Send, R: Send>(
        &self,
        workers: &mut [W],
        items: Vec<I>,
        work: impl Fn(&mut W, I) -> R + Sync,
    ) -> Vec<R> {
        let count = items.len();
        if count == 1 {
            return items.into_iter().map(|item| work(&mut workers[0], item)).collect();
        }
        let queue = Mutex::new(items.into_iter().enumerate());
        let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let workers_needed = workers.len().min(count);
        let done = self.each(&mut workers[..workers_needed], |worker| {
            let taken = std::iter::from_fn(take);
            taken.map(|(number, item)| (number, work(worker, item))).collect::<Vec<_>>()
        });
        let mut done: Vec<_> = done.into_iter().flatten().collect();
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_answers_in_its_place() {
        for (threads, workers, items) in [(1, 1, 5), (2, 2, 0), (2, 2, 1), (3, 3, 2), (3, 3, 50), (2, 4, 9)] {
            let mut workers = vec![0; workers];
            let results = Crew::new(threads).unwrap().share(&mut workers, (0..items).collect(), |worked, item| {
                *worked += 1;
                item * 2
            });
            assert_eq!(results, (0..items).map(|item| item * 2).collect::<Vec<usize>>(), "{threads} threads");
            assert_eq!(workers.iter().sum::<usize>(), items, "{threads} threads");
        }
    }

    #[test]
    fn every_part_is_worked_on_and_answers_in_its_place() {
        for (threads, count) in [(1, 3), (2, 0), (2, 1), (2, 2), (3, 7)] {
            let mut parts: Vec<usize> = (0..count).collect();
            let results = Crew::new(threads).unwrap().each(&mut parts, |part| {
                *part += 10;
                *part * 2
            });
            assert_eq!(parts, (10..10 + count).collect::<Vec<_>>(), "{threads} threads");
            assert_eq!(results, (0..count).map(|part| (part + 10) * 2).collect::<Vec<_>>(), "{threads} threads");
        }
    }
}
