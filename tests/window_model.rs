//! The window pipeline against a brute-force model: random queries over random streams must give the same rows in the
//! same order, the same late events and the same counts, however the input is cut and however many threads work.
//!
//! A failure prints its seed and the case, reduced as far as it still fails. `EVKIT_SEED=…` runs one case again,
//! `EVKIT_CASES_RANDOM=…` sets how many run.

#[path = "window_model/case.rs"]
mod case;
#[path = "window_model/model.rs"]
mod model;
#[path = "window_model/random.rs"]
mod random;
#[path = "window_model/real.rs"]
mod real;
#[path = "window_model/shrink.rs"]
mod shrink;

use crate::case::Case;
use crate::model::Answer;
use crate::random::Random;
use crate::real::Layout;

/// Cases of an ordinary run.
const CASES: u64 = 12_000;

/// So many failures are told in full.
const TOLD: usize = 3;

#[test]
fn the_pipeline_answers_as_the_model() {
    let seeds = match number("EVKIT_SEED") {
        Some(seed) => {
            // Told before, in case that it never ends.
            println!("{}{:?}", Case::of(seed), layouts(seed));
            seed..seed + 1
        }
        // Seeds are the same in every run, so that a run that was green stays green.
        None => 0..number("EVKIT_CASES_RANDOM").unwrap_or(CASES),
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let every =
            |first| seeds.clone().skip(first).step_by(threads).filter(|&seed| failure(seed).is_some()).collect();
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || -> Vec<u64> { every(first) })).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a failure is no panic")).collect()
    });
    let told: Vec<String> = failed.iter().take(TOLD).map(|&seed| shrunk(seed)).collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:?}\n{}", failed.len(), told.join("\n"));
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not '{text}'")))
}

/// Runs the case of a seed in two layouts; returns the first that fails.
fn failure(seed: u64) -> Option<(Case, Layout)> {
    let case = Case::of(seed);
    let layout = layouts(seed).into_iter().find(|layout| differs(&case, layout).is_some())?;
    Some((case, layout))
}

fn layouts(seed: u64) -> [Layout; 2] {
    let random = &mut Random::new(!seed);
    [Layout::random(random), Layout::random(random)]
}

/// The failure of a seed, reduced.
fn shrunk(seed: u64) -> String {
    let (case, layout) = failure(seed).expect("it failed before");
    let (case, layout) = shrink::shrink(case, layout, &|case, layout| differs(case, layout).is_some());
    let difference = differs(&case, &layout).unwrap_or_else(|| "it does not fail every time".into());
    format!("EVKIT_SEED={seed}\n{case}{layout:?}\n{difference}")
}

/// How the pipeline's answer differs from the model's, if it does.
fn differs(case: &Case, layout: &Layout) -> Option<String> {
    let expected = model::answer(case);
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
    for (expected, found) in expected.counts.iter().zip(&found.counts).filter(|(a, b)| a != b) {
        text += &format!("- expected {expected:?}\n+ found    {found:?}\n");
    }
    if expected.input != found.input {
        text += &format!("- expected {:?}\n+ found    {:?}\n", expected.input, found.input);
    }
    text
}
