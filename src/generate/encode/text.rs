//! Numbers, times and addresses as text, appended to a buffer.
//!
//! Knows nothing of events.

use chrono::Datelike;

use crate::time::Timestamp;

/// Two decimal digits for each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// Each byte in decimal, with a full stop, and its length without it.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut i = 0;
    while i < 256 {
        let digits = [b'0' + (i / 100) as u8, b'0' + (i / 10 % 10) as u8, b'0' + (i % 10) as u8];
        let length = if i >= 100 {
            3
        } else if i >= 10 {
            2
        } else {
            1
        };
        let mut at = 0;
        while at < length {
            octets[i].0[at] = digits[3 - length + at];
            at += 1;
        }
        octets[i].1 = length as u8;
        i += 1;
    }
    octets
};

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

/// The lowest `digits` (at most 16) hex digits of `number`.
#[inline(always)]
pub fn write_hex(number: u64, digits: usize, out: &mut Vec<u8>) {
    let (high, low) = (hex_of_half((number >> 32) as u32), hex_of_half(number as u32));
    let mut text = [0; 16];
    text[..8].copy_from_slice(&high);
    text[8..].copy_from_slice(&low);
    out.extend_from_slice(&text[16 - digits..]);
}

/// Eight hex digits, all at once: each nibble is moved to a byte of its own, then 6 is carried over 9.
#[inline(always)]
fn hex_of_half(number: u32) -> [u8; 8] {
    let x = u64::from(number);
    let x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    let x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    let x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let is_letter = ((x + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (x + 0x3030_3030_3030_3030 + is_letter * 0x27).to_be_bytes()
}

/// A whole number.
#[inline(always)]
pub fn write_integer(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `number` / 100 with two decimals.
#[inline(always)]
pub fn write_hundredths(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    let number = number.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(number / 100).as_bytes());
    let [tens, ones] = PAIRS[(number % 100) as usize];
    out.extend_from_slice(&[b'.', tens, ones]);
}

/// An IPv4 address.
#[inline(always)]
pub fn write_address(address: [u8; 4], out: &mut Vec<u8>) {
    let mut text = [0; 16];
    let mut length = 0;
    for byte in address {
        let (digits, count) = OCTETS[byte as usize];
        text[length..length + 4].copy_from_slice(&digits);
        length += count as usize + 1;
    }
    out.extend_from_slice(&text[..length - 1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

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

    #[test]
    fn numbers_and_addresses() {
        for number in [0, 9, 10, 0x0123_4567_89ab_cdef, u64::MAX, 0xfedc_ba98_7654_3210] {
            assert_eq!(written(|out| write_hex(number, 16, out)), format!("{number:016x}"));
            assert_eq!(written(|out| write_hex(number, 12, out)), format!("{:012x}", number & 0xffff_ffff_ffff));
        }
        for (number, expected) in [(0, "0.00"), (5, "0.05"), (9999, "99.99"), (-150, "-1.50"), (-5, "-0.05")] {
            assert_eq!(written(|out| write_hundredths(number, out)), expected);
        }
        for address in [[0, 0, 0, 0], [255, 255, 255, 255], [1, 20, 100, 9], [99, 100, 10, 9]] {
            assert_eq!(written(|out| write_address(address, out)), std::net::Ipv4Addr::from(address).to_string());
        }
    }
}
