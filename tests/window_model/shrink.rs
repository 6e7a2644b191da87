//! Makes a failing case smaller, as long as it still fails.

use crate::case::{Case, Event, Line};
use crate::real::Layout;

/// The smallest case found that fails.
pub fn shrink(case: Case, layout: Layout, fails: &dyn Fn(&Case, &Layout) -> bool) -> (Case, Layout) {
    let mut smallest = (case, layout);
    loop {
        let smaller = candidates(&smallest.0, &smallest.1).into_iter().find(|(case, layout)| fails(case, layout));
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Everything that is one step simpler.
fn candidates(case: &Case, layout: &Layout) -> Vec<(Case, Layout)> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Case, &mut Layout) -> bool| {
        let (mut case, mut layout) = (case.clone(), layout.clone());
        if change(&mut case, &mut layout) {
            all.push((case, layout));
        }
    };
    for metric in 0..case.metrics.len() {
        add(&|case, _| case.metrics.len() > 1 && [case.metrics.remove(metric)].len() == 1);
    }
    for partition in 0..case.partitions.len() {
        add(&|case, _| case.partitions.len() > 1 && [case.partitions.remove(partition)].len() == 1);
    }
    for (partition, lines) in case.partitions.iter().enumerate() {
        // Halves first: most lines have nothing to do with a failure.
        for (from, to) in [(0, lines.len() / 2), (lines.len() / 2, lines.len())] {
            add(&|case, _| to - from > 1 && case.partitions[partition].drain(from..to).len() > 0);
        }
        for line in 0..lines.len() {
            add(&|case, _| [case.partitions[partition].remove(line)].len() == 1);
        }
    }
    add(&|_, layout| std::mem::replace(&mut layout.threads, 1) != 1);
    add(&|_, layout| std::mem::replace(&mut layout.lines_max, 100) != 100);
    add(&|_, layout| std::mem::take(&mut layout.watermarks));
    add(&|case, _| case.early.take().is_some());
    add(&|case, _| case.latest.take().is_some());
    add(&|case, _| !std::mem::replace(&mut case.fire_at_end, true));
    add(&|case, _| std::mem::take(&mut case.delay) != 0);
    for metric in 0..case.metrics.len() {
        add(&|case, _| case.metrics[metric].having.take().is_some());
        add(&|case, _| case.metrics[metric].top.take().is_some());
        add(&|case, _| case.metrics[metric].groups_max.take().is_some());
        add(&|case, _| std::mem::take(&mut case.metrics[metric].filter));
        add(&|case, _| std::mem::take(&mut case.metrics[metric].offset) != 0);
        add(&|case, _| std::mem::take(&mut case.metrics[metric].lateness) != 0);
        add(&|case, _| std::mem::take(&mut case.metrics[metric].groups) != 0);
    }
    for (partition, lines) in case.partitions.iter().enumerate() {
        for (number, line) in lines.iter().enumerate() {
            let Line::Event(event) = line else { continue };
            let blank: [fn(&mut Event); 4] = [|e| e.n = None, |e| e.x = None, |e| e.h = None, |e| e.g = None];
            for change in blank {
                let mut simpler = event.clone();
                change(&mut simpler);
                add(&|case, _| {
                    std::mem::replace(&mut case.partitions[partition][number], Line::Event(simpler.clone())) != *line
                });
            }
        }
    }
    all
}
