//! Which windows an event belongs to: tumbling, sliding, cumulative and global windows, on the instant axis or by a
//! civil calendar.
//!
//! All of these are *aligned*: their edges depend on the clock only, not on the data. Time between two consecutive edges
//! is a *slice*; every event of a slice belongs to the same windows, so events are folded once, into their slice, and
//! slices are merged when a window fires. Sessions follow the data and live in `crate::window::session`.
//! Knows nothing of watermarks, lateness and accumulators.

use chrono::{Datelike, MappedLocalTime, NaiveDate, TimeZone};
use chrono_tz::Tz;

use crate::time::{Duration, Timestamp, Window};

const DAY: i64 = 86_400_000_000;

/// Assigns instants to slices and slices to windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Assigner {
    shape: Shape,
    axis: Axis,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// Windows of `size` units that start at every multiple of `slide` units. Tumbling windows have slide = size.
    Sliding { size: i64, slide: i64 },
    /// Windows that start at every unit of the axis and end at every `step` microseconds until the next unit.
    Cumulative { step: i64 },
    /// One window over everything.
    Global,
}

/// Instants counted in units. Unit numbers rise with time; unit `i` spans `[instant(i), instant(i + 1))`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Axis {
    /// Units of equal length since `offset`.
    Instant { unit: i64, offset: i64 },
    /// Runs of `days` civil days of a time zone since 1970-01-01, each begun at local midnight plus `offset`.
    Civil { days: i64, offset: i64, zone: Tz },
}

/// Why a window can't be built.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum AssignerError {
    /// A length that must be greater than zero is not.
    #[error("a window's {0} must be greater than zero")]
    NotPositive(&'static str),
    /// A cumulative window whose size is not a multiple of its step.
    #[error("the size of a cumulative window must be a multiple of its step")]
    NotMultiple,
    /// Windows by a civil calendar last whole days.
    #[error("windows in a time zone must last whole days; shorter windows are the same in every zone")]
    NotWholeDays,
}

/// On which calendar windows are aligned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// Added to every edge.
    pub offset: Duration,
    /// Follow the civil days of this zone; windows must then last whole days.
    pub zone: Option<Tz>,
}

impl Alignment {
    /// To the epoch, UTC.
    pub const EPOCH: Alignment = Alignment { offset: Duration(0), zone: None };

    fn axis(self, unit: i64) -> Result<Axis, AssignerError> {
        match self.zone {
            None => Ok(Axis::Instant { unit, offset: self.offset.0 }),
            Some(_) if unit % DAY != 0 => Err(AssignerError::NotWholeDays),
            Some(zone) => Ok(Axis::Civil { days: unit / DAY, offset: self.offset.0, zone }),
        }
    }
}

impl Assigner {
    /// Windows of `size`, one after the other.
    pub fn tumbling(size: Duration, alignment: Alignment) -> Result<Assigner, AssignerError> {
        positive(size, "size")?;
        Ok(Assigner { shape: Shape::Sliding { size: 1, slide: 1 }, axis: alignment.axis(size.0)? })
    }

    /// Windows of `size` that start every `slide`. Neither need be a multiple of the other; a slide greater than the size
    /// leaves gaps, in which events belong to no window.
    pub fn sliding(size: Duration, slide: Duration, alignment: Alignment) -> Result<Assigner, AssignerError> {
        positive(size, "size")?;
        positive(slide, "slide")?;
        let unit = if alignment.zone.is_some() { DAY } else { greatest_common_divisor(size.0, slide.0) };
        if size.0 % unit != 0 || slide.0 % unit != 0 {
            return Err(AssignerError::NotWholeDays);
        }
        let shape = Shape::Sliding { size: size.0 / unit, slide: slide.0 / unit };
        Ok(Assigner { shape, axis: alignment.axis(unit)? })
    }

    /// Windows that start every `size` and fire at every `step` until they are full. On a civil calendar steps are
    /// counted from the window's start, and the last one of a short or long day is cut or added.
    pub fn cumulative(size: Duration, step: Duration, alignment: Alignment) -> Result<Assigner, AssignerError> {
        positive(size, "size")?;
        positive(step, "step")?;
        if size.0 % step.0 != 0 {
            return Err(AssignerError::NotMultiple);
        }
        Ok(Assigner { shape: Shape::Cumulative { step: step.0 }, axis: alignment.axis(size.0)? })
    }

    /// One window over everything; it fires at the end of input.
    pub fn global() -> Assigner {
        Assigner { shape: Shape::Global, axis: Axis::Instant { unit: DAY, offset: 0 } }
    }

    /// Whether all slices of a window are also in each later one that any of them is in.
    pub fn is_cumulative(&self) -> bool {
        matches!(self.shape, Shape::Cumulative { .. })
    }

    /// The slice that holds `time`, or `None` in a gap between windows.
    pub fn slice(&self, time: Timestamp) -> Option<Window> {
        match self.shape {
            Shape::Global => Some(Window::GLOBAL),
            Shape::Sliding { size, slide } => {
                let unit = self.axis.index(time);
                // Edges are the starts (multiples of the slide) and the ends (the same, plus the size).
                let (since_start, since_end) = (unit.rem_euclid(slide), (unit - size).rem_euclid(slide));
                if since_start >= size {
                    return None;
                }
                let start = unit - since_start.min(since_end);
                let end = unit + (slide - since_start).min(slide - since_end);
                Some(Window::new(self.axis.instant(start), self.axis.instant(end)))
            }
            Shape::Cumulative { step } => {
                let unit = self.axis.index(time);
                let (base, limit) = (self.axis.instant(unit).0, self.axis.instant(unit + 1).0);
                let start = base + (time.0 - base) / step * step;
                Some(Window::new(Timestamp(start), Timestamp((start + step).min(limit))))
            }
        }
    }

    /// Of the windows that hold `slice`, the one that ends first after `end`.
    ///
    /// Walks all windows of a slice in order when called again with each answer's end, from `Timestamp::MIN` on.
    pub fn window_after(&self, slice: Window, end: Timestamp) -> Option<Window> {
        match self.shape {
            Shape::Global => (end < Timestamp::MAX).then_some(Window::GLOBAL),
            Shape::Sliding { size, slide } => {
                // The window starts at a multiple of the slide, not after the slice does, and ends not before it.
                // An instant may begin several units, where a zone left out a date: the slice ends with the first of them.
                let slice_end = self.axis.index(Timestamp(slice.end.0 - 1)) + 1;
                let end_least = slice_end.max(self.axis.index(end.max(slice.start)) + 1);
                let start = -(size - end_least).div_euclid(slide) * slide;
                (start <= self.axis.index(slice.start))
                    .then(|| Window::new(self.axis.instant(start), self.axis.instant(start + size)))
            }
            Shape::Cumulative { step } => {
                let unit = self.axis.index(slice.start);
                let (base, limit) = (self.axis.instant(unit).0, self.axis.instant(unit + 1).0);
                let next = base + (end.0.clamp(base, limit) - base) / step * step + step;
                let next = next.max(slice.end.0).min(limit);
                (next > end.0).then(|| Window::new(Timestamp(base), Timestamp(next)))
            }
        }
    }

    /// The earliest start of the windows that end after `time`.
    pub fn first_start_after(&self, time: Timestamp) -> Timestamp {
        match self.shape {
            Shape::Global => Timestamp::MIN,
            Shape::Sliding { size, slide } => {
                let end_least = self.axis.index(time).saturating_add(1);
                self.axis.instant(-(size - end_least).div_euclid(slide) * slide)
            }
            Shape::Cumulative { .. } => self.axis.instant(self.axis.index(time)),
        }
    }

    /// The first edge after `time`: where a window may end next. `None` for the global window, which has no edges.
    pub fn edge_after(&self, time: Timestamp) -> Option<Timestamp> {
        match self.shape {
            Shape::Global => None,
            Shape::Cumulative { .. } => self.slice(time).map(|slice| slice.end),
            Shape::Sliding { size, slide } => {
                let unit = self.axis.index(time);
                let since_edge = |shift: i64| (unit - shift).rem_euclid(slide);
                Some(self.axis.instant(unit + (slide - since_edge(0)).min(slide - since_edge(size))))
            }
        }
    }
}

fn positive(length: Duration, what: &'static str) -> Result<(), AssignerError> {
    if length.0 > 0 { Ok(()) } else { Err(AssignerError::NotPositive(what)) }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Axis {
    /// The unit that holds `time`.
    fn index(&self, time: Timestamp) -> i64 {
        match *self {
            Axis::Instant { unit, offset } => time.0.saturating_sub(offset).div_euclid(unit),
            Axis::Civil { days, offset, .. } => {
                let mut unit = self.local_day(time.0.saturating_sub(offset)).div_euclid(days);
                // Where a zone skips midnight a day begins later than its date says: trust the edges alone.
                while self.instant(unit) > time {
                    unit -= 1;
                }
                while self.instant(unit + 1) <= time {
                    unit += 1;
                }
                unit
            }
        }
    }

    /// Where unit `index` begins.
    fn instant(&self, index: i64) -> Timestamp {
        match *self {
            Axis::Instant { unit, offset } => Timestamp(index.saturating_mul(unit).saturating_add(offset)),
            Axis::Civil { days, offset, zone } => Timestamp(local_midnight(index * days, zone).saturating_add(offset)),
        }
    }

    fn local_day(&self, micros: i64) -> i64 {
        let Axis::Civil { zone, .. } = *self else { unreachable!("only civil axes have local days") };
        match chrono::DateTime::from_timestamp_micros(micros) {
            Some(instant) => {
                i64::from(instant.with_timezone(&zone).date_naive().num_days_from_ce()) - i64::from(epoch_day())
            }
            None => micros.div_euclid(DAY),
        }
    }
}

fn epoch_day() -> i32 {
    NaiveDate::from_ymd_opt(1970, 1, 1).expect("the epoch is a date").num_days_from_ce()
}

/// The first instant of a civil day, counted from 1970-01-01. A midnight that the zone skips is moved to the first
/// instant after it, a repeated one is taken the first time, so that days neither overlap nor leave a gap.
fn local_midnight(day: i64, zone: Tz) -> i64 {
    let date = i32::try_from(day + i64::from(epoch_day())).ok().and_then(NaiveDate::from_num_days_from_ce_opt);
    let Some(date) = date else { return day.saturating_mul(DAY) };
    let midnight = date.and_hms_opt(0, 0, 0).expect("midnight is a time");
    let mut local = midnight;
    let mut instant = loop {
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => break instant,
            MappedLocalTime::None => local += chrono::TimeDelta::minutes(1),
        }
    };
    // Local mean time was left by minutes and seconds: the minute found may hold the first instant.
    let second = chrono::TimeDelta::seconds(1);
    while local > midnight && (instant - second).naive_local() >= midnight {
        instant -= second;
    }
    instant.timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_rfc3339;
    use crate::window::testing::splitmix64;

    fn within(state: &mut u64, least: i64, most: i64) -> i64 {
        least + (splitmix64(state) % (most - least + 1) as u64) as i64
    }

    fn time(text: &str) -> Timestamp {
        parse_rfc3339(text.as_bytes()).unwrap()
    }

    fn shifted(offset: i64) -> Alignment {
        Alignment { offset: Duration(offset), zone: None }
    }

    fn civil(zone: &str) -> Alignment {
        Alignment { offset: Duration(0), zone: Some(zone.parse().unwrap()) }
    }

    /// All windows of a slice, in the order in which they end.
    fn windows(assigner: &Assigner, slice: Window) -> Vec<Window> {
        let mut end = Timestamp::MIN;
        let next = || {
            let window = assigner.window_after(slice, end)?;
            end = window.end;
            Some(window)
        };
        std::iter::from_fn(next).collect()
    }

    /// Compares with windows that were listed one by one, (start, end), at every time from -100 to 100.
    fn check_listed(assigner: &Assigner, mut listed: Vec<(i64, i64)>, what: &str) {
        listed.sort_by_key(|&(start, end)| (end, start));
        let holding = |time: i64| -> Vec<Window> {
            let holds = listed.iter().filter(|&&(start, end)| start <= time && time < end);
            holds.map(|&(start, end)| Window::new(Timestamp(start), Timestamp(end))).collect()
        };
        for t in -100..100 {
            let expected = holding(t);
            let Some(slice) = assigner.slice(Timestamp(t)) else {
                assert!(expected.is_empty(), "{what}: {t} is in {expected:?}, but has no slice");
                continue;
            };
            assert!(slice.start.0 <= t && t < slice.end.0, "{what}: the slice {slice:?} does not hold {t}");
            assert_eq!(windows(assigner, slice), expected, "{what}: windows of {t}");
            for other in slice.start.0..slice.end.0 {
                assert_eq!(holding(other), expected, "{what}: {t} and {other} share a slice");
            }
            for end in -100..100 {
                let after = expected.iter().find(|window| window.end.0 > end).copied();
                assert_eq!(assigner.window_after(slice, Timestamp(end)), after, "{what}: after {end} at {t}");
            }
            let edges = listed.iter().flat_map(|&(start, end)| [start, end]);
            let edge = edges.filter(|&edge| edge > t).min().map(Timestamp);
            assert_eq!(assigner.edge_after(Timestamp(t)), edge, "{what}: the edge after {t}");
            let start = listed.iter().filter(|(_, end)| *end > t).map(|(start, _)| Timestamp(*start)).min();
            assert_eq!(Some(assigner.first_start_after(Timestamp(t))), start, "{what}: the first that ends after {t}");
        }
    }

    #[test]
    fn sliding_windows_of_any_ratio_are_those_of_the_definition() {
        for seed in 0..150 {
            let state = &mut seed.clone();
            let (size, slide, offset) = (within(state, 1, 20), within(state, 1, 25), within(state, -30, 30));
            let assigner = Assigner::sliding(Duration(size), Duration(slide), shifted(offset)).unwrap();
            let starts = (-300..300).map(|k| k * slide + offset);
            let what = format!("seed {seed}: {size}/{slide} + {offset}");
            check_listed(&assigner, starts.map(|start| (start, start + size)).collect(), &what);
        }
    }

    #[test]
    fn tumbling_windows_are_those_of_the_definition() {
        for (size, offset) in [(1, 0), (7, 0), (7, 3), (7, -10), (50, 49)] {
            let assigner = Assigner::tumbling(Duration(size), shifted(offset)).unwrap();
            let starts = (-300..300).map(|k| k * size + offset);
            check_listed(&assigner, starts.map(|start| (start, start + size)).collect(), &format!("{size} + {offset}"));
        }
    }

    #[test]
    fn cumulative_windows_are_those_of_the_definition() {
        for seed in 0..60 {
            let state = &mut seed.clone();
            let (step, steps, offset) = (within(state, 1, 8), within(state, 1, 5), within(state, -30, 30));
            let size = step * steps;
            let assigner = Assigner::cumulative(Duration(size), Duration(step), shifted(offset)).unwrap();
            let starts = (-300..300).map(|k| k * size + offset);
            let listed = starts.flat_map(|start| (1..=steps).map(move |n| (start, start + n * step))).collect();
            check_listed(&assigner, listed, &format!("seed {seed}: {size}/{step} + {offset}"));
        }
    }

    /// ```text
    /// −7        0        7
    ///  [────────)[───────)
    ///           ↑ −1 belongs to the window that ends at 0, 0 to the one that starts there
    /// ```
    #[test]
    fn before_1970_windows_go_on_without_a_seam() {
        let assigner = Assigner::tumbling(Duration(7), Alignment::EPOCH).unwrap();
        let slice = |t| assigner.slice(Timestamp(t)).map(|slice| (slice.start.0, slice.end.0));
        assert_eq!(
            [slice(-8), slice(-7), slice(-1), slice(0)],
            [Some((-14, -7)), Some((-7, 0)), Some((-7, 0)), Some((0, 7))]
        );
    }

    /// One window over everything has one slice, and no edge.
    #[test]
    fn the_global_window_holds_every_time() {
        let assigner = Assigner::global();
        let slice = assigner.slice(Timestamp(-5)).unwrap();
        assert_eq!(windows(&assigner, slice), [Window::GLOBAL]);
        assert_eq!(assigner.edge_after(Timestamp(0)), None);
    }

    #[track_caller]
    fn check_windows(assigner: &Assigner, at: &str, expected: &[(&str, &str)]) {
        let slice = assigner.slice(time(at)).unwrap();
        let expected: Vec<Window> = expected.iter().map(|(start, end)| Window::new(time(start), time(end))).collect();
        assert_eq!(windows(assigner, slice), expected, "at {at}");
    }

    #[track_caller]
    fn check_day(zone: &str, at: &str, start: &str, end: &str) {
        check_windows(&Assigner::tumbling(Duration(DAY), civil(zone)).unwrap(), at, &[(start, end)]);
    }

    #[test]
    fn days_of_23_and_25_hours_in_berlin() {
        check_day("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check_day("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        // Both hours that the clock calls 02:00 belong to the day.
        check_day("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        check_day("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        // Edges.
        check_day("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check_day("Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z");
    }

    #[test]
    fn a_skipped_midnight_begins_the_day_at_the_first_instant_after_it() {
        // São Paulo, 2018-11-04: 00:00 becomes 01:00.
        check_day("America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z");
        check_day("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z");
        // And back: 2018-02-17 has 25 hours, its last one twice.
        check_day("America/Sao_Paulo", "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z");
    }

    #[test]
    fn a_midnight_skipped_by_seconds_is_found_to_the_second() {
        // Monrovia, 1972-01-07: 00:00:00 becomes 00:44:30.
        check_day("Africa/Monrovia", "1972-01-07T00:44:30Z", "1972-01-07T00:44:30Z", "1972-01-08T00:00:00Z");
        check_day("Africa/Monrovia", "1972-01-07T00:44:29Z", "1972-01-06T00:44:30Z", "1972-01-07T00:44:30Z");
        // Berlin left its local mean time at 1893-04-01: 00:00:00 became 00:06:32.
        check_day("Europe/Berlin", "1893-03-31T23:06:32Z", "1893-03-31T23:06:32Z", "1893-04-01T23:00:00Z");
    }

    #[test]
    fn a_repeated_midnight_counts_the_first_time() {
        // St John's, 2006-10-29: 00:01 becomes 23:01 of the day before.
        check_day("America/St_Johns", "2006-10-29T02:30:30Z", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z");
        check_day("America/St_Johns", "2006-10-29T03:00:00Z", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z");
    }

    #[test]
    fn a_date_that_a_zone_left_out_has_no_time() {
        // Apia went from 2011-12-29 to 2011-12-31.
        check_day("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z");
        check_day("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z");
    }

    #[test]
    fn the_29th_of_february_is_a_day_where_there_is_one() {
        check_day("Europe/Berlin", "2024-02-29T12:00:00Z", "2024-02-28T23:00:00Z", "2024-02-29T23:00:00Z");
        check_day("UTC", "2000-02-29T23:59:59Z", "2000-02-29T00:00:00Z", "2000-03-01T00:00:00Z");
        check_day("UTC", "2100-02-28T23:59:59Z", "2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z");
    }

    /// A day of 23 hours has its last step cut, one of 25 hours has one more.
    #[test]
    fn cumulative_windows_follow_the_civil_day() {
        let assigner = Assigner::cumulative(Duration(DAY), Duration(DAY / 4), civil("Europe/Berlin")).unwrap();
        let short = "2026-03-28T23:00:00Z";
        check_windows(&assigner, "2026-03-29T17:00:00Z", &[(short, "2026-03-29T22:00:00Z")]);
        check_windows(
            &assigner,
            "2026-03-29T12:00:00Z",
            &[(short, "2026-03-29T17:00:00Z"), (short, "2026-03-29T22:00:00Z")],
        );
        let long = "2026-10-24T22:00:00Z";
        check_windows(&assigner, "2026-10-25T22:30:00Z", &[(long, "2026-10-25T23:00:00Z")]);
        check_windows(
            &assigner,
            "2026-10-25T21:59:59Z",
            &[(long, "2026-10-25T22:00:00Z"), (long, "2026-10-25T23:00:00Z")],
        );
    }

    /// A week of seven civil days that slides by one, over the day of 23 hours.
    #[test]
    fn sliding_windows_follow_the_civil_day() {
        let assigner = Assigner::sliding(Duration(2 * DAY), Duration(DAY), civil("Europe/Berlin")).unwrap();
        check_windows(
            &assigner,
            "2026-03-29T12:00:00Z",
            &[("2026-03-27T23:00:00Z", "2026-03-29T22:00:00Z"), ("2026-03-28T23:00:00Z", "2026-03-30T22:00:00Z")],
        );
    }

    /// Every instant of a day has the day's date, and those around it have another.
    #[test]
    fn civil_days_are_those_of_the_calendar() {
        let zones =
            ["Europe/Berlin", "America/Sao_Paulo", "Africa/Monrovia", "America/New_York", "Australia/Lord_Howe"];
        for seed in 0..400 {
            let state = &mut seed.clone();
            let zone = zones[within(state, 0, zones.len() as i64 - 1) as usize];
            let at = within(state, -80 * 365, 67 * 365) * DAY + within(state, 0, DAY - 1);
            let date = |t: i64| {
                let instant = chrono::DateTime::from_timestamp_micros(t).unwrap();
                instant.with_timezone(&zone.parse::<Tz>().unwrap()).date_naive()
            };
            let day = Assigner::tumbling(Duration(DAY), civil(zone)).unwrap().slice(Timestamp(at)).unwrap();
            let (start, end) = (day.start.0, day.end.0);
            assert!(start <= at && at < end, "seed {seed}: {zone} {at} is not in {day:?}");
            let inside = [date(start), date(end - 1)];
            assert_eq!(inside, [date(at); 2], "seed {seed}: {zone} {at} in {day:?}");
            assert!(date(start - 1) < date(at) && date(at) < date(end), "seed {seed}: {zone} {at} in {day:?}");
        }
    }

    #[test]
    fn lengths_that_make_no_window_are_refused() {
        let (zero, day) = (Duration(0), Duration(DAY));
        assert_eq!(Assigner::tumbling(zero, Alignment::EPOCH), Err(AssignerError::NotPositive("size")));
        assert_eq!(Assigner::sliding(day, zero, Alignment::EPOCH), Err(AssignerError::NotPositive("slide")));
        assert_eq!(Assigner::cumulative(day, Duration(7), Alignment::EPOCH), Err(AssignerError::NotMultiple));
        assert_eq!(Assigner::tumbling(Duration(DAY / 2), civil("UTC")), Err(AssignerError::NotWholeDays));
        assert_eq!(Assigner::sliding(day, Duration(DAY / 2), civil("UTC")), Err(AssignerError::NotWholeDays));
    }
}
