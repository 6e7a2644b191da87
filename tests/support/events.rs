//! Made-up events, for tests of what becomes of them.

/// Events of some groups, one a second.
pub fn events(count: usize) -> String {
    let event = |number: usize| {
        let (minute, second) = (number / 60, number % 60);
        format!(
            "{{\"timestamp\":\"2026-02-16T{:02}:{:02}:{second:02}Z\",\"g\":\"g{}\",\"x\":{}}}\n",
            10 + minute / 60,
            minute % 60,
            number % 3,
            number % 7
        )
    };
    (0..count).map(event).collect()
}
