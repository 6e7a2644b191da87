//! Why a window has not fired, in words.

use crate::time::{Duration, Timestamp, Window};

/// What the next window of a metric waits for. `reached` is the operator's watermark, `holder` the input that holds it, with its own;
/// `end` says that the input has ended, and whether windows then fire. `None` when there is nothing to tell.
pub fn why(
    name: &str,
    window: Window,
    reached: Timestamp,
    holder: Option<(&str, Timestamp)>,
    end: Option<bool>,
) -> Option<String> {
    let start = if window.start > Timestamp::MIN { window.start.to_string() } else { "…".into() };
    let until = if window.end < Timestamp::MAX { window.end.to_string() } else { "end of input".into() };
    if let Some(fires) = end {
        let fate = if fires { "fires early, with what it has" } else { "is dropped" };
        let short = Duration(window.end.0.saturating_sub(reached.0));
        return (window.end < Timestamp::MAX).then(|| {
            format!(
                "{name}: [{start}, {until}) {fate}: the input ended with its watermark at {reached}, {short} before the window's end"
            )
        });
    }
    let cause = match holder {
        _ if window.end == Timestamp::MAX => "it fires when the input ends".to_owned(),
        Some((input, watermark)) if watermark > Timestamp::MIN => format!(
            "'{input}' holds the watermark at {watermark}, and its event time must move {} further",
            Duration(window.end.0 - watermark.0)
        ),
        Some((input, _)) => format!("'{input}' has given no event yet"),
        None => "all inputs are silent".to_owned(),
    };
    Some(format!("{name}: [{start}, {until}) has not fired: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: Window, holder: Option<(&str, Timestamp)>, end: Option<bool>, expected: Option<&str>) {
        let told = why("m", window, Timestamp(1_000_000), holder, end);
        assert_eq!(told.as_deref(), expected);
    }

    #[test]
    fn each_cause_is_told() {
        let minute = Window::new(Timestamp(0), Timestamp(60_000_000));
        let open = "m: [1970-01-01T00:00:00.000Z, 1970-01-01T00:01:00.000Z)";
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let held = format!(
            "{open} has not fired: 'a' holds the watermark at 1970-01-01T00:00:20.000Z, and its event time must move 40s further"
        );
        check(minute, Some(("a", at(20))), None, Some(&held));
        check(
            minute,
            Some(("a", Timestamp::MIN)),
            None,
            Some(&format!("{open} has not fired: 'a' has given no event yet")),
        );
        check(minute, None, None, Some(&format!("{open} has not fired: all inputs are silent")));
        let short = "the input ended with its watermark at 1970-01-01T00:00:01.000Z, 59s before the window's end";
        check(minute, None, Some(true), Some(&format!("{open} fires early, with what it has: {short}")));
        check(minute, None, Some(false), Some(&format!("{open} is dropped: {short}")));
        check(Window::GLOBAL, None, None, Some("m: […, end of input) has not fired: it fires when the input ends"));
        check(Window::GLOBAL, None, Some(true), None);
    }
}
