//! The window pipeline against a brute-force model: random queries over random streams must give the same rows in the
//! same order, the same late events and the same counts, however the input is cut and however many threads work.
//!
//! A failure prints its seed and the case, reduced as far as it still fails. `EVKIT_SEED=…` runs one case again,
//! `EVKIT_CASES_RANDOM=…` sets how many run.
//!
//! That these tests can fail was shown by putting bugs into the library, one at a time. Each of them was caught by some of the
//! 12,000 random cases (of the 4,000 of partials, where it says so), and by a test of its own with few events:
//!
//! | bug | random cases | a small test that catches it, too |
//! |---|---|---|
//! | a window fires a microsecond late | 2284 | `a_window_fires_again_for_every_straggler` |
//! | it takes events when the watermark is its end | 1415 | `a_window_fires_when_the_watermark_reaches_its_end` |
//! | its end belongs to it | 4366 | `an_event_between_two_windows_joins_none` |
//! | sessions exactly one gap apart are two | 1043 | `sessions_exactly_one_gap_apart_are_one` |
//! | the watermark moves after the batch | 754 | `the_watermark_moves_with_every_event` |
//! | lateness is judged by the event's time | 2284 | `an_event_late_for_one_window_of_its_slice_joins_the_other` |
//! | the same in sessions | 880 | `nothing_joins_a_session_that_has_finished` |
//! | an event joins a session that was retired | 112 | `nothing_joins_a_session_that_has_finished` |
//! | a partial does | 9 of partials | `partials_of_sessions_parted_by_a_retirement_are_not_joined` |
//! | an event joins its slice, also for windows that it is late for | 976 | `an_event_late_for_one_window_of_its_slice_joins_the_other` |
//! | what is late for a window is merged into it when it fires | 75 | `an_event_late_for_a_window_stays_out_of_it_when_all_fire_at_once` |
//! | a straggler's row is not written | 963 | `a_window_fires_again_for_every_straggler` |
//! | its revision is not raised | 252 | `a_window_fires_again_for_every_straggler` |
//! | it is not written under `--top` | 518 | `a_group_that_falls_out_of_the_top_is_retracted` |
//! | a session's straggler is not written | 175 | `a_fired_session_that_takes_a_straggler_within_its_bounds_is_revised` |
//! | its revision is not raised | 166 | `a_fired_session_that_takes_a_straggler_within_its_bounds_is_revised` |

#[path = "window_model/case.rs"]
mod case;
#[path = "window_model/model.rs"]
mod model;
#[path = "window_model/random.rs"]
mod random;
#[path = "window_model/real.rs"]
mod real;
#[path = "window_model/restart.rs"]
mod restart;
#[path = "window_model/shrink.rs"]
mod shrink;
#[path = "window_model/timelines.rs"]
mod timelines;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::case::Case;
use crate::model::Answer;
use crate::random::Random;
use crate::real::Layout;
use crate::restart::{Stream, Task};

/// Cases of an ordinary run.
const CASES: u64 = 12_000;
const CASES_OF_PARTIALS: u64 = 4_000;
const CASES_OF_RESTARTS: u64 = 12_000;

/// So many failures are told in full.
const TOLD: usize = 3;

#[test]
fn the_pipeline_answers_as_the_model() {
    run("the model", CASES, Case::of, differs);
}

/// `evwindow --emit partials,watermarks | evwindow --merge` ends with the rows of one `evwindow`; where nothing can be
/// revised it writes the very same ones.
#[test]
fn partials_merged_give_the_same_rows() {
    run("partials", CASES_OF_PARTIALS, Case::of_partials, |case, layout| {
        let direct = model::answer(case).rows;
        let merged = match real::rows_through_partials(case, layout) {
            Ok(merged) => merged,
            Err(error) => return Some(error),
        };
        let same = match case.metrics[0].lateness {
            0 => {
                let sorted = |rows: &[String]| rows.iter().cloned().collect::<BTreeSet<String>>();
                sorted(&direct) == sorted(&merged) && direct.len() == merged.len()
            }
            _ => last_rows(&direct) == last_rows(&merged),
        };
        let answer = |rows| Answer { rows, ..Answer::default() };
        (!same).then(|| difference(&answer(direct), &answer(merged)))
    });
}

/// A run that is stopped at any place, and taken up by another process with what was saved, ends as if it had not been.
#[test]
fn a_run_in_pieces_answers_as_the_model() {
    run("restarts", CASES_OF_RESTARTS, Case::of, |case, layout| {
        let expected = model::answer(case);
        let found = match Stream::of(case, layout, Task::Rows, true).and_then(Stream::answer) {
            // The core does not count what is no event.
            Ok(found) if !found.too_many_sessions => Answer { input: expected.input, ..found },
            Ok(found) => found,
            Err(error) => return Some(error),
        };
        (found != expected).then(|| difference(&expected, &found))
    });
}

#[test]
fn a_run_in_pieces_sends_the_same_partials() {
    run("restarts of partials", CASES_OF_PARTIALS, Case::of_partials, |case, layout| {
        let answer = |restarts| Stream::of(case, layout, Task::Partials, restarts).and_then(Stream::answer);
        same(answer(false), answer(true))
    });
}

#[test]
fn a_run_in_pieces_merges_partials_to_the_same_rows() {
    run("restarts of merging", CASES_OF_PARTIALS, Case::of_partials, |case, layout| {
        let answer = |restarts| {
            let (lines, plan) = real::partials(case, layout)?;
            let (plan, lines) = (Arc::new(plan), vec![lines]);
            let delay = real::DELAY_OF_MERGER;
            Stream { case, layout, plan, task: Task::Merge, lines, delay, restarts }.answer()
        };
        same(answer(false), answer(true))
    });
}

/// How an answer differs from the one that was expected, if it does.
fn same(expected: Result<Answer, String>, found: Result<Answer, String>) -> Option<String> {
    match (expected, found) {
        (Ok(expected), Ok(found)) => (found != expected).then(|| difference(&expected, &found)),
        (Err(error), _) | (_, Err(error)) => Some(error),
    }
}

/// The rows that hold at the end, without their revision, by metric, window and group.
fn last_rows(rows: &[String]) -> BTreeMap<String, String> {
    let mut last = BTreeMap::new();
    for row in rows {
        let (row, mark) = row.rsplit_once(",\"revision\":").expect("every row has a revision");
        // The first aggregate is always the count, so all before it names the row.
        let name = row.split(",\"c\":").next().expect("a split has a first part").to_owned();
        match mark.contains("retracted") {
            true => last.remove(&name),
            false => last.insert(name, row.to_owned()),
        };
    }
    last
}

/// Runs cases on all cores, each in two layouts, and tells the failures.
fn run(what: &str, cases: u64, case: fn(u64) -> Case, differs: fn(&Case, &Layout) -> Option<String>) {
    let seeds = match number("EVKIT_SEED") {
        Some(seed) => {
            // Told before, in case that it never ends.
            println!("{what}:\n{}{:?}", case(seed), layouts(seed));
            seed..seed + 1
        }
        // Seeds are the same in every run, so that a run that was green stays green.
        None => 0..number("EVKIT_CASES_RANDOM").unwrap_or(cases),
    };
    let failure = |seed: u64| {
        let case = case(seed);
        let layout = layouts(seed).into_iter().find(|layout| differs(&case, layout).is_some())?;
        Some((case, layout))
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let every =
            |first| seeds.clone().skip(first).step_by(threads).filter(|&seed| failure(seed).is_some()).collect();
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || -> Vec<u64> { every(first) })).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a failure is no panic")).collect()
    });
    let told = failed.iter().take(TOLD).map(|&seed| {
        let (case, layout) = failure(seed).expect("it failed before");
        let (case, layout) = shrink::shrink(case, layout, &|case, layout| differs(case, layout).is_some());
        let difference = differs(&case, &layout).unwrap_or_else(|| "it does not fail every time".into());
        format!("EVKIT_SEED={seed} ({what})\n{case}{layout:?}\n{difference}")
    });
    let told: Vec<String> = told.collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:?}\n{}", failed.len(), told.join("\n"));
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not '{text}'")))
}

fn layouts(seed: u64) -> [Layout; 2] {
    let random = &mut Random::new(!seed);
    [Layout::random(random), Layout::random(random)]
}

/// How the pipeline's answer differs from the model's, if it does.
fn differs(case: &Case, layout: &Layout) -> Option<String> {
    let expected = model::answer(case);
    // Of a run that failed nothing is counted.
    for counts in &expected.counts {
        let fates = counts.used + counts.filtered + counts.late + counts.no_window;
        assert_eq!(fates + expected.input.malformed + expected.input.future, expected.input.events_in);
    }
    let found = match real::answer(case, layout) {
        Ok(found) => found,
        Err(error) => return Some(error),
    };
    (found != expected).then(|| difference(&expected, &found))
}

fn difference(expected: &Answer, found: &Answer) -> String {
    let mut text = String::new();
    for (name, expected, found) in [("row", &expected.rows, &found.rows), ("late", &expected.late, &found.late)] {
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
        expected[..same].iter().for_each(|line| text += &format!("  both     {name} {line}\n"));
        expected[same..].iter().for_each(|line| text += &format!("- expected {name} {line}\n"));
        found[same..].iter().for_each(|line| text += &format!("+ found    {name} {line}\n"));
    }
    if expected.too_many_sessions != found.too_many_sessions {
        text += &format!("- expected too many sessions: {}\n", expected.too_many_sessions);
    }
    for (expected, found) in expected.counts.iter().zip(&found.counts).filter(|(a, b)| a != b) {
        text += &format!("- expected {expected:?}\n+ found    {found:?}\n");
    }
    if expected.input != found.input {
        text += &format!("- expected {:?}\n+ found    {:?}\n", expected.input, found.input);
    }
    text
}
