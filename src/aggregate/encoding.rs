//! The bytes of partials and of saved state: how numbers, texts and lists are written, and how hostile bytes are read.
//!
//! Knows nothing of what any accumulator remembers. A reader never allocates more than the bytes that it was given
//! can account for, whatever counts they claim.

use crate::aggregate::Error;

/// Appends `value` in groups of seven bits, least significant first (LEB128): small numbers take one byte.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value`, signed numbers near zero being small.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends the eight bytes of `value`, little end first.
pub fn put_word(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the length of `bytes` and `bytes`.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the functions above wrote, from bytes that anyone may have written.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Ends the reading: bytes left over are an error.
    pub fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Malformed("bytes after its end")) }
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet, which is then read.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next byte, which stays unread.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Error::Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// What `put_varint` wrote, in its shortest form only, so that equal partials have equal bytes.
    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 || byte == 0 && shift > 0 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Malformed("a number is not in its shortest form"))
    }

    /// What `put_signed` wrote.
    pub fn signed(&mut self) -> Result<i64, Error> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// What `put_word` wrote.
    pub fn word(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    /// A finite double by its bits.
    pub fn double(&mut self) -> Result<f64, Error> {
        let value = f64::from_bits(self.word()?);
        if value.is_finite() { Ok(value) } else { Err(Error::Malformed("a number is not finite")) }
    }

    /// What `put_bytes` wrote.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|_| Error::Malformed("it ends too early"))?)
    }

    /// The number of elements of a list each of which takes at least one byte: never more than there are bytes left.
    pub fn count(&mut self) -> Result<usize, Error> {
        let count = self.varint()?;
        if count > self.rest.len() as u64 {
            return Err(Error::Malformed("it ends too early"));
        }
        Ok(count as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for value in [0, 1, 127, 128, 300, u64::MAX >> 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            put_signed(&mut bytes, value as i64);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint().unwrap(), value);
            assert_eq!(reader.signed().unwrap(), value as i64);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn only_the_shortest_form_of_a_number_is_read() {
        for bytes in
            [&[0x80, 0x00][..], &[0x80], &[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]]
        {
            assert!(Reader::new(bytes).varint().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn counts_beyond_the_bytes_left_are_errors() {
        assert!(Reader::new(&[200, 1, 0, 0]).count().is_err());
        assert!(Reader::new(&[3, 0, 0]).bytes().is_err());
        assert_eq!(Reader::new(&[2, 7, 8]).bytes().unwrap(), [7, 8]);
    }
}
