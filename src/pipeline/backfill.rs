//! A backfill: windows of a span made anew in stretches of an hour of event time, each remembered once it is durable, so that a run
//! that is cut short is taken up by the next one.
//!
//! Windows that an earlier run has made are left out only if they would be made of the same events by the same query. Knows nothing of
//! where points are written, and nothing of archives.

use crate::store::{Note, Progress};
use crate::time::Timestamp;
use crate::window::operator::Operator;

/// The length of a stretch, in microseconds of event time: roll-ups by hour are then made once.
const STRETCH: i64 = 3_600_000_000;

/// Time spent on other things for each part that is spent committing.
const SHARE: i64 = 10;

/// What the windows that end by a time are made of, and how, as one number.
pub type MadeOf = Box<dyn Fn(Timestamp) -> u64 + Send>;

/// The progress of a backfill.
pub struct Backfill {
    made_of: MadeOf,
    /// Its span.
    start: Timestamp,
    until: Timestamp,
    /// Whether another run can take it up: what it writes is all in places that remember.
    is_resumable: bool,
    /// Windows that end by then have been made, here or by an earlier run.
    made: Timestamp,
    /// The same, as far as it is remembered.
    noted: Timestamp,
    /// Windows that end by then were called complete.
    complete: Timestamp,
    /// The stretch to which the watermark has come, and when the next commit may be.
    stretch: Option<i64>,
    not_before: Timestamp,
}

impl Backfill {
    /// One that begins anew, with the windows of a span.
    pub fn new(made_of: MadeOf, (start, until): (Timestamp, Timestamp), is_resumable: bool) -> Backfill {
        let never = Timestamp::MIN;
        let (made, noted, complete, not_before) = (never, never, never, never);
        Backfill { made_of, start, until, is_resumable, made, noted, complete, stretch: None, not_before }
    }

    /// Takes up what an earlier run has left, if all places remember one that these windows can be gone on with. Gives the time
    /// from which events are needed then.
    pub fn take_up(&mut self, places: &[Option<Progress>]) -> Option<Timestamp> {
        let places = places.iter().copied().collect::<Option<Vec<Progress>>>()?;
        // Where one place has more than another, that is written once more.
        let least = places.iter().min_by_key(|progress| progress.made())?;
        let fits = |progress: &Progress| progress.made_of == (self.made_of)(progress.made());
        if !self.is_resumable || !places.iter().all(fits) {
            return None;
        }
        (self.made, self.noted, self.complete) = (least.made(), least.made(), least.made());
        self.stretch = Some(self.made.0.div_euclid(STRETCH));
        Some(least.needed())
    }

    /// Windows that end by then are not to be made again.
    pub fn made(&self) -> Option<Timestamp> {
        (self.made > Timestamp::MIN).then_some(self.made)
    }

    /// How far it has come, as that is remembered.
    pub fn noted(&self) -> Timestamp {
        self.noted
    }

    /// The end of the stretch that the watermark fires in next on its way to `to`, if it gets there: nothing that ends later has been
    /// touched then.
    pub fn stretch_end(&self, watermark: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let within = watermark.max(self.start);
        let end = Timestamp((within.0.div_euclid(STRETCH) + 1).saturating_mul(STRETCH));
        (end < to.min(self.until)).then_some(end)
    }

    /// Whether it is time to commit: the watermark has come to another stretch, and it can be told what has been made.
    pub fn is_due(&mut self, operator: &Operator, now: impl FnOnce() -> Timestamp) -> bool {
        let watermark = operator.watermark();
        // The end is committed anyway.
        if watermark == Timestamp::MIN || watermark == Timestamp::MAX {
            return false;
        }
        let stretch = watermark.0.div_euclid(STRETCH);
        let before = *self.stretch.get_or_insert(stretch);
        if stretch <= before || operator.made().is_none() {
            return false;
        }
        self.stretch = Some(stretch);
        self.not_before <= now()
    }

    /// Windows that end by then are complete, and will not change any more; `None` if they are those of which this was said before.
    pub fn complete(&mut self, operator: &Operator) -> Option<Timestamp> {
        let complete = match operator.watermark() {
            Timestamp::MAX => self.until,
            _ => operator.made()?.0.min(self.until),
        };
        if complete <= self.complete {
            return None;
        }
        self.complete = complete;
        Some(complete)
    }

    /// What is to be remembered with a commit of all that has fired.
    pub fn note(&mut self, operator: &Operator) -> Note {
        if operator.watermark() == Timestamp::MAX {
            return Note::Nothing;
        }
        let come = operator.made().map(|(made, needed)| (made.min(self.until), needed));
        match come.filter(|(made, _)| self.is_resumable && *made > self.noted) {
            Some((made, needed)) => {
                self.noted = made;
                Note::At(Progress::new((self.made_of)(made), made, needed))
            }
            None => Note::AsBefore,
        }
    }

    /// Takes note of how long a commit took.
    pub fn committed(&mut self, begun: Timestamp, ended: Timestamp) {
        self.not_before = Timestamp(ended.0.saturating_add((ended.0 - begun.0).saturating_mul(SHARE)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows until 50 are made of one thing, later ones of another.
    fn backfill(is_resumable: bool) -> Backfill {
        let made_of = Box::new(|made: Timestamp| if made.0 <= 50 { 1 } else { 2 });
        Backfill::new(made_of, (Timestamp(0), Timestamp(100)), is_resumable)
    }

    fn progress(made_of: u64, made: i64) -> Option<Progress> {
        Some(Progress::new(made_of, Timestamp(made), Timestamp(made - 10)))
    }

    #[test]
    fn it_is_taken_up_where_all_places_have_the_same_behind_them() {
        let check = |places: &[Option<Progress>], expected: Option<i64>| {
            let mut backfill = backfill(true);
            assert_eq!(backfill.take_up(places), expected.map(|made| Timestamp(made - 10)), "{places:?}");
            assert_eq!(backfill.made(), expected.map(Timestamp), "{places:?}");
        };
        check(&[progress(1, 40)], Some(40));
        check(&[progress(1, 40), progress(1, 30), progress(2, 60)], Some(30));
        check(&[progress(1, 40), None], None);
        check(&[progress(2, 40)], None);
        check(&[progress(1, 40), progress(1, 60)], None);
        check(&[], None);
        assert_eq!(backfill(false).take_up(&[progress(1, 40)]), None);
    }

    #[test]
    fn stretches_end_with_the_hours_of_the_span() {
        let hour = |hours: i64| Timestamp(hours * STRETCH);
        let backfill = Backfill::new(Box::new(|_| 0), (Timestamp(STRETCH / 2), hour(5)), true);
        assert_eq!(backfill.stretch_end(Timestamp::MIN, Timestamp::MAX), Some(hour(1)));
        assert_eq!(backfill.stretch_end(hour(1), Timestamp(hour(2).0 + 1)), Some(hour(2)));
        assert_eq!(backfill.stretch_end(hour(1), hour(2)), None);
        assert_eq!(backfill.stretch_end(hour(4), Timestamp::MAX), None);
    }
}
