//! A history as bars of eighths, one column a window, one or more lines high.
//!
//! From the least value to the greatest, since what is looked for is change; a history that never changes is half high.

/// The last `columns` values as `lines` lines of text from top to bottom, the newest on the right; NaN leaves a gap.
pub fn bars(values: &[f64], columns: usize, lines: usize) -> Vec<String> {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(columns)..];
    let known = || shown.iter().copied().filter(|value| !value.is_nan());
    let (least, greatest) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let steps = 8 * lines;
    let height = |value: f64| match value {
        gap if gap.is_nan() => 0,
        _ if greatest <= least => steps / 2,
        value => 1 + ((value - least) / (greatest - least) * (steps - 1) as f64).round() as usize,
    };
    let heights: Vec<usize> = shown.iter().map(|&value| height(value)).collect();
    let line = |from_top: usize| {
        let below = 8 * (lines - 1 - from_top);
        let blanks = std::iter::repeat_n(' ', columns - shown.len());
        blanks.chain(heights.iter().map(|height| EIGHTHS[height.saturating_sub(below).min(8)])).collect()
    };
    (0..lines).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], columns: usize, lines: usize, expected: &[&str]) {
        assert_eq!(bars(values, columns, lines), expected);
    }

    #[test]
    fn bars_reach_from_the_least_to_the_greatest() {
        check(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8, 1, &["▁▂▃▄▅▆▇█"]);
        check(&[-5.0, f64::NAN, 5.0], 5, 1, &["  ▁ █"]);
        check(&[1.0, 2.0, 3.0], 2, 1, &["▁█"]);
        check(&[7.0, 7.0], 2, 1, &["▄▄"]);
        check(&[0.0, 15.0, 7.0], 3, 2, &[" █ ", "▁██"]);
        check(&[], 3, 1, &["   "]);
        check(&[f64::NAN], 1, 1, &[" "]);
    }
}
