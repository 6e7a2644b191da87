//! Lines under construction, on a page of fixed size: what is written are moves of known length, without a call, a growth or a
//! branch for a few bytes. A page lies in the fastest cache, and is handed on when it is full.
//!
//! Knows nothing of events and formats.

/// No line is longer, with 32 bytes to spare.
const LINE_BYTES_MAX: usize = 1024;

const PAGE_BYTES: usize = 16 * LINE_BYTES_MAX;

/// Two decimal digits for each number below 100.
pub const PAIRS: [[u8; 2]; 100] = {
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

/// A text of at most 32 bytes with room behind it, so that it can be moved as a whole, whatever its length.
#[derive(Debug, Clone, Copy)]
pub struct Short {
    bytes: [u8; 32],
    length: u8,
}

impl Short {
    /// Of this text, which is no longer.
    pub fn new(text: &str) -> Short {
        let mut bytes = [0; 32];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Short { bytes, length: text.len() as u8 }
    }
}

/// Lines under construction. They refer to their buffer, so that their length can stay in a register: each piece begins where
/// the one before ended, and through memory that takes longer than all the moves.
#[derive(Debug)]
pub struct Page<'a> {
    bytes: &'a mut Buffer,
    length: usize,
}

/// What a page is written to.
pub type Buffer = [u8; PAGE_BYTES];

/// A buffer to begin with.
pub const EMPTY: Buffer = [0; PAGE_BYTES];

impl Page<'_> {
    /// An empty one in this buffer.
    #[inline(always)]
    pub fn new(bytes: &mut Buffer) -> Page<'_> {
        Page { bytes, length: 0 }
    }

    /// What has been written.
    #[inline(always)]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether it may have no room for another line.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.length > PAGE_BYTES - LINE_BYTES_MAX
    }

    /// Begins anew.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Takes back the last byte.
    #[inline(always)]
    pub fn pop(&mut self) {
        self.length -= 1;
    }

    /// Any text. Fastest where its length is known to the compiler.
    #[inline(always)]
    pub fn text(&mut self, text: &str) {
        self.bytes[self.length..][..text.len()].copy_from_slice(text.as_bytes());
        self.length += text.len();
    }

    /// A short text.
    #[inline(always)]
    pub fn short(&mut self, short: &Short) {
        self.put(&short.bytes, usize::from(short.length));
    }

    /// So many bytes of ASCII.
    #[inline(always)]
    pub fn ascii<const N: usize>(&mut self, text: &[u8; N]) {
        self.put(text, N);
    }

    /// At most 16 commas.
    #[inline(always)]
    pub fn commas(&mut self, count: usize) {
        assert!(count <= 16, "{count} commas");
        self.put(&[b','; 16], count);
    }

    /// The lowest `DIGITS` (at most 16) hex digits of `number`.
    #[inline(always)]
    pub fn hex<const DIGITS: usize>(&mut self, number: u64) {
        let mut text = [0; 16];
        text[..8].copy_from_slice(&hex_of_half((number >> 32) as u32));
        text[8..].copy_from_slice(&hex_of_half(number as u32));
        self.bytes[self.length..][..DIGITS].copy_from_slice(&text[16 - DIGITS..]);
        self.length += DIGITS;
    }

    /// A whole number.
    #[inline(always)]
    pub fn integer(&mut self, mut number: u32) {
        let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let text = &mut self.bytes[self.length..][..digits];
        let mut at = digits;
        while at >= 2 {
            at -= 2;
            text[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
            number /= 100;
        }
        if at == 1 {
            text[0] = b'0' + number as u8;
        }
        self.length += digits;
    }

    /// `number` / 100 with two decimals.
    #[inline(always)]
    pub fn hundredths(&mut self, number: i64) {
        if number < 0 {
            self.ascii(b"-");
        }
        let number = number.unsigned_abs();
        self.integer(u32::try_from(number / 100).expect("what is simulated is counted in 32 bits"));
        let [tens, ones] = PAIRS[(number % 100) as usize];
        self.ascii(&[b'.', tens, ones]);
    }

    /// An IPv4 address.
    #[inline(always)]
    pub fn address(&mut self, address: [u8; 4]) {
        for byte in address {
            let (digits, count) = &OCTETS[byte as usize];
            self.put(digits, usize::from(*count) + 1);
        }
        self.pop();
    }

    /// Moves all of `text`, of which only the first `length` bytes count.
    #[inline(always)]
    fn put<const N: usize>(&mut self, text: &[u8; N], length: usize) {
        self.bytes[self.length..][..N].copy_from_slice(text);
        self.length += length;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Page<'_>)) -> String {
        let mut buffer = EMPTY;
        let mut page = Page::new(&mut buffer);
        page.text("before");
        write(&mut page);
        String::from_utf8(page.as_bytes()["before".len()..].to_vec()).expect("ASCII")
    }

    #[test]
    fn texts_follow_each_other() {
        let longest = "12345678901234567890123456789012";
        let [a, b, c] = ["", "b", longest].map(Short::new);
        let all = written(|page| {
            [&c, &a, &b].iter().for_each(|short| page.short(short));
            page.commas(2);
            page.ascii(b"xy");
            page.pop();
        });
        assert_eq!(all, format!("{longest}b,,x"));
    }

    #[test]
    fn numbers_and_addresses() {
        for number in [0, 9, 10, 0x0123_4567_89ab_cdef, u64::MAX, 0xfedc_ba98_7654_3210] {
            assert_eq!(written(|page| page.hex::<16>(number)), format!("{number:016x}"));
            assert_eq!(written(|page| page.hex::<12>(number)), format!("{:012x}", number & 0xffff_ffff_ffff));
        }
        for number in (0..32).flat_map(|bits| [(1u32 << bits) - 1, 1 << bits]).chain([9, 10, 99, 100, 999, u32::MAX]) {
            assert_eq!(written(|page| page.integer(number)), number.to_string());
        }
        for (number, expected) in [(0, "0.00"), (5, "0.05"), (9999, "99.99"), (-150, "-1.50"), (-5, "-0.05")] {
            assert_eq!(written(|page| page.hundredths(number)), expected);
        }
        for address in [[0, 0, 0, 0], [255, 255, 255, 255], [1, 20, 100, 9], [99, 100, 10, 9]] {
            assert_eq!(written(|page| page.address(address)), std::net::Ipv4Addr::from(address).to_string());
        }
    }
}
