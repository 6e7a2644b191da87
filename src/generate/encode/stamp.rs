//! Times as text.
//!
//! Knows nothing of events.

use chrono::Datelike;

use crate::generate::encode::page::PAIRS;
use crate::time::Timestamp;

/// A timestamp as RFC 3339 with milliseconds and `Z`. Remembers the day, since neighbours mostly share it.
#[derive(Debug, Clone)]
pub struct Stamp {
    day: i64,
    text: [u8; 24],
}

impl Default for Stamp {
    fn default() -> Stamp {
        Stamp { day: 0, text: *b"1970-01-01T00:00:00.000Z" }
    }
}

impl Stamp {
    /// `micros` since the epoch, within the years 0 to 9999; what is below the millisecond is cut off.
    #[inline(always)]
    pub fn text(&mut self, micros: i64) -> &[u8; 24] {
        const DAY: i64 = 86_400_000_000;
        let day = micros.div_euclid(DAY);
        if day != self.day {
            self.turn_to(day);
        }
        let millis = (micros.rem_euclid(DAY) / 1000) as u32;
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (minutes, second) = (seconds / 60, seconds % 60);
        self.pair(11, minutes / 60);
        self.pair(14, minutes % 60);
        self.pair(17, second);
        self.text[20] = b'0' + (millis / 100) as u8;
        self.pair(21, millis % 100);
        &self.text
    }

    #[cold]
    fn turn_to(&mut self, day: i64) {
        self.day = day;
        let date = chrono::DateTime::from_timestamp_micros(Timestamp(day * 86_400_000_000).0)
            .expect("a run ends before the calendar does");
        let year = u32::try_from(date.year()).expect("a run begins after the year 0");
        self.pair(0, year / 100);
        self.pair(2, year % 100);
        self.pair(5, date.month());
        self.pair(8, date.day());
    }

    #[inline(always)]
    fn pair(&mut self, at: usize, number: u32) {
        self.text[at..at + 2].copy_from_slice(&PAIRS[number as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_everywhere_else() {
        let mut stamp = Stamp::default();
        let mut check = |micros: i64| {
            let expected = Timestamp(micros - micros.rem_euclid(1000)).to_string();
            assert_eq!(std::str::from_utf8(stamp.text(micros)).expect("ASCII"), expected);
        };
        [0, 999, 1000, 59_999_999, 86_399_999_999, 86_400_000_000, 1_771_237_800_123_456, -1, 253_402_300_799_999_999]
            .into_iter()
            .for_each(&mut check);
        (0..2000).for_each(|i| check(i * 86_400_000_123 * 37 / 10));
    }
}
