//! The windows of an answer: as they are stored, on a coarser grid, or one over the whole range; and which grain serves them.
//!
//! Knows nothing of fields and groups.

use crate::query::error::QuestionError;
use crate::query::question::WindowAsked;
use crate::store::{Catalogue, Grain};
use crate::time::{Duration, Timestamp, Window};
use crate::window::assigner::{Alignment, Assigner};

/// The windows of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Those of the points, which follow no grid.
    AsStored,
    /// One after the other.
    Every {
        /// Where they begin and end.
        grid: Assigner,
        /// How long each is; days of a time zone vary.
        length: Duration,
    },
    /// One over all that is asked for.
    Whole,
}

/// More windows than this are not chosen for a user who asked for none.
const CHOSEN_WINDOWS_MAX: i64 = 1500;

/// Windows of an answer, at most.
pub const WINDOWS_MAX: usize = 20_000_000;

impl Frame {
    /// The windows that serve what was asked of this metric over this range; the metric's own if nothing was asked and they are few.
    pub fn choose(
        asked: WindowAsked,
        catalogue: &Catalogue,
        (from, until): (Timestamp, Timestamp),
        points_from: Option<Timestamp>,
    ) -> Result<Frame, QuestionError> {
        let Some(own) = catalogue.length() else {
            return match asked {
                WindowAsked::Any | WindowAsked::Own => Ok(Frame::AsStored),
                _ => Err(refuses(catalogue)),
            };
        };
        let length = match asked {
            WindowAsked::Whole if !catalogue.recombines() => return Err(refuses(catalogue)),
            WindowAsked::Whole => return Ok(Frame::Whole),
            WindowAsked::Own => own,
            WindowAsked::Every(length) if length == own => own,
            WindowAsked::Every(_) if !catalogue.recombines() => return Err(refuses(catalogue)),
            WindowAsked::Every(length) if length.0 == 0 || length.0 % own.0 != 0 => {
                return Err(QuestionError::NoMultiple { asked: length, own });
            }
            WindowAsked::Every(length) => length,
            WindowAsked::Any => {
                let is_few = |length: i64| until.0.saturating_sub(from.0) / length <= CHOSEN_WINDOWS_MAX;
                let is_kept = |grain: Grain| grain != Grain::Points || points_from.is_none_or(|kept| kept <= from);
                let grains = Grain::ALL.into_iter().filter(|grain| catalogue.has(*grain));
                let mut lengths = grains.map(|grain| (grain, grain.length().unwrap_or(own.0)));
                let fits = lengths.clone().find(|(grain, length)| is_few(*length) && is_kept(*grain));
                Duration(fits.or(lengths.next_back()).map_or(own.0, |(_, length)| length))
            }
        };
        Ok(Frame::Every { grid: grid(catalogue, length)?, length })
    }

    /// The range that is asked for, whole windows of the metric where one window is made of all of them.
    pub fn whole(
        &self,
        catalogue: &Catalogue,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<(Timestamp, Timestamp), QuestionError> {
        let (Frame::Whole, Some(own)) = (self, catalogue.length()) else { return Ok((from, until)) };
        let grid = grid(catalogue, own)?;
        let start = grid.slice(from).map_or(from, |window| window.start);
        let last = Timestamp(until.0.saturating_sub(1).max(from.0));
        Ok((start, grid.slice(last).map_or(until, |window| window.end)))
    }

    /// The coarsest roll-ups of which these windows can be made.
    pub fn grain(&self, catalogue: &Catalogue, (from, until): (Timestamp, Timestamp)) -> Grain {
        let divides = |grain: Grain| match (self, grain.length()) {
            (_, None) => true,
            (Frame::AsStored, _) => false,
            (Frame::Every { length, .. }, Some(unit)) => catalogue.zone.is_none() && length.0 % unit == 0,
            (Frame::Whole, Some(unit)) => from.0 % unit == 0 && until.0 % unit == 0,
        };
        let grains = Grain::ALL.into_iter().rev();
        grains.filter(|grain| catalogue.has(*grain)).find(|grain| divides(*grain)).unwrap_or(Grain::Points)
    }

    /// The windows that hold any of the range, in order.
    pub fn windows(&self, (from, until): (Timestamp, Timestamp)) -> Result<Vec<Window>, QuestionError> {
        let mut windows = Vec::new();
        match self {
            Frame::AsStored => {}
            Frame::Whole => windows.extend((from < until).then(|| Window::new(from, until))),
            Frame::Every { grid, .. } => {
                let mut next = grid.slice(from).filter(|window| window.start < until);
                while let Some(window) = next {
                    if windows.len() == WINDOWS_MAX {
                        let cells = until.0.saturating_sub(from.0) / (window.end.0 - window.start.0);
                        return Err(QuestionError::TooMany { cells: cells as u64, most: WINDOWS_MAX as u64 });
                    }
                    windows.push(window);
                    next = grid.slice(window.end).filter(|window| window.start < until);
                }
            }
        }
        Ok(windows)
    }

    /// These windows, so much earlier: on a grid those that hold their middle, since days are not all as long.
    pub fn earlier(&self, windows: &[Window], by: Duration) -> Vec<Window> {
        let shifted = |window: &Window| match self {
            Frame::Every { grid, .. } => {
                let middle = window.start.0 + (window.end.0 - window.start.0) / 2;
                grid.slice(Timestamp(middle - by.0)).expect("tumbling windows leave no gap")
            }
            _ => Window::new(Timestamp(window.start.0 - by.0), Timestamp(window.end.0 - by.0)),
        };
        windows.iter().map(shifted).collect()
    }
}

/// Where in `windows`, which are in order and don't overlap, the one is that holds `time`.
pub fn place(windows: &[Window], time: Timestamp) -> Option<usize> {
    let (first, last) = (windows.first()?, windows.last()?);
    if time < first.start || time >= last.end {
        return None;
    }
    // Most are of equal length and without gaps; where they aren't the guess is wrong.
    let guess = ((time.0 - first.start.0) / (first.end.0 - first.start.0)) as usize;
    let holds = |index: usize| windows.get(index).is_some_and(|window| window.start <= time && time < window.end);
    if holds(guess) {
        return Some(guess);
    }
    let index = windows.partition_point(|window| window.end <= time);
    holds(index).then_some(index)
}

fn refuses(catalogue: &Catalogue) -> QuestionError {
    let reason = catalogue.refusal().unwrap_or("its windows have no common length");
    let by_events = catalogue.with_all_states().recombines();
    let (metric, reason) = (catalogue.name.clone(), reason.into());
    QuestionError::MetricRefuses { metric, to: "to coarser windows", reason, by_events }
}

fn grid(catalogue: &Catalogue, length: Duration) -> Result<Assigner, QuestionError> {
    let zone = match &catalogue.zone {
        Some(zone) => Some(zone.parse().map_err(|_| {
            QuestionError::other(format!("the time zone '{zone}' is not known"), "use the evkit that wrote the store")
        })?),
        None => None,
    };
    // A metric whose windows are moved is asked for as it is only, and a multiple of its length moves nothing else.
    let alignment = Alignment { offset: catalogue.offset, zone };
    let alignment = if catalogue.recombines() { Alignment { offset: Duration(0), ..alignment } } else { alignment };
    Assigner::tumbling(length, alignment).map_err(|error| QuestionError::other(error.to_string(), "ask for whole days"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{MetricText, Plan};

    const HOUR: i64 = 3_600_000_000;

    fn catalogue(text: MetricText) -> Catalogue {
        let plan = Plan::build(std::slice::from_ref(&text)).unwrap();
        Catalogue::of(&text, &plan.schemas[0], &plan.queries[0].functions)
    }

    fn minutes() -> Catalogue {
        catalogue(MetricText { tumbling: Some("1m".into()), ..MetricText::default() })
    }

    #[track_caller]
    fn check(asked: WindowAsked, days: i64, expected: Result<(&str, Grain), &str>) {
        let range = (Timestamp(0), Timestamp(days * 24 * HOUR));
        let frame = Frame::choose(asked, &minutes(), range, None);
        let found = frame.map(|frame| match &frame {
            Frame::Every { length, .. } => (length.to_string(), frame.grain(&minutes(), range)),
            other => (format!("{other:?}"), other.grain(&minutes(), range)),
        });
        match expected {
            Ok((length, grain)) => assert_eq!(found.unwrap(), (length.to_owned(), grain)),
            Err(part) => assert!(found.unwrap_err().to_string().contains(part)),
        }
    }

    #[test]
    fn the_range_chooses_the_windows_and_they_the_grain() {
        check(WindowAsked::Any, 1, Ok(("1m", Grain::Points)));
        check(WindowAsked::Any, 7, Ok(("1h", Grain::Hour)));
        check(WindowAsked::Any, 90, Ok(("1d", Grain::Day)));
        check(WindowAsked::Own, 90, Ok(("1m", Grain::Points)));
        check(WindowAsked::Every(Duration(5 * HOUR)), 1, Ok(("5h", Grain::Hour)));
        check(WindowAsked::Every(Duration(48 * HOUR)), 1, Ok(("2d", Grain::Day)));
        check(WindowAsked::Every(Duration(HOUR / 4)), 1, Ok(("15m", Grain::Points)));
        check(WindowAsked::Whole, 3, Ok(("Whole", Grain::Day)));
        check(WindowAsked::Every(Duration(HOUR / 7)), 1, Err("no multiple"));
        check(WindowAsked::Every(Duration(0)), 1, Err("no multiple"));
    }

    #[test]
    fn what_does_not_recombine_is_shown_as_it_is() {
        let sliding = catalogue(MetricText { sliding: Some("5m/1m".into()), ..MetricText::default() });
        let range = (Timestamp(0), Timestamp(HOUR));
        assert_eq!(Frame::choose(WindowAsked::Any, &sliding, range, None).unwrap(), Frame::AsStored);
        let refused = Frame::choose(WindowAsked::Every(Duration(HOUR)), &sliding, range, None).unwrap_err();
        assert!(refused.to_string().contains("slide"), "{refused}");
    }

    #[test]
    fn windows_cover_the_range_and_are_found_by_time() {
        let grid = Assigner::tumbling(Duration(10), Alignment::EPOCH).unwrap();
        let frame = Frame::Every { grid, length: Duration(10) };
        let windows = frame.windows((Timestamp(-5), Timestamp(21))).unwrap();
        assert_eq!(windows.iter().map(|window| window.start.0).collect::<Vec<_>>(), [-10, 0, 10, 20]);
        for (time, expected) in [(-11, None), (-10, Some(0)), (9, Some(1)), (20, Some(3)), (30, None)] {
            assert_eq!(place(&windows, Timestamp(time)), expected, "{time}");
        }
        assert_eq!(frame.earlier(&windows, Duration(20))[0].start, Timestamp(-30));
    }

    #[test]
    fn days_of_a_zone_are_found_though_one_is_shorter() {
        let text =
            MetricText { tumbling: Some("1d".into()), tz: Some("Europe/Berlin".into()), ..MetricText::default() };
        let time = |text: &str| crate::time::parse_rfc3339(text.as_bytes()).unwrap();
        let range = (time("2026-03-27T12:00:00Z"), time("2026-04-02T00:00:00Z"));
        let frame = Frame::choose(WindowAsked::Own, &catalogue(text), range, None).unwrap();
        let windows = frame.windows(range).unwrap();
        assert_eq!(windows.len(), 7);
        for (index, window) in windows.iter().enumerate() {
            assert_eq!(place(&windows, window.start), Some(index));
            assert_eq!(place(&windows, Timestamp(window.end.0 - 1)), Some(index));
        }
        let before = frame.earlier(&windows, Duration(7 * 24 * HOUR));
        assert_eq!(before[6].start, time("2026-03-25T23:00:00Z"));
    }
}
