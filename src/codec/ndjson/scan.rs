//! One pass over a block that marks where strings can end: a bit for each quote, backslash and control character.
//!
//! With it the end of a string is a load, a shift and a count of zeros, however its bytes lie. The pass also finds out
//! whether all is ASCII, as most blocks are, so that only the others need a look at their UTF-8.
//! Knows nothing of JSON's grammar: what a mark means depends on where it stands.

use crate::codec::ndjson::instructions::Instructions;

/// Bytes that one word of marks stands for, and by which the pass goes.
const WORD: usize = 64;

/// The marks of one block. Reuses its memory from block to block.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Bit `i % 8` of byte `i / 8` stands for byte `i` of the block.
    bits: Vec<u8>,
}

impl Marks {
    /// Marks `bytes` anew. Whether all of them are ASCII.
    pub fn mark(&mut self, bytes: &[u8], instructions: Instructions) -> bool {
        self.bits.clear();
        // Behind the last byte all is marked, so that a search always ends.
        self.bits.resize(bytes.len().div_ceil(WORD) * 8 + 16, 0xff);
        #[cfg(target_arch = "x86_64")]
        if instructions.has_avx2() {
            // SAFETY: the processor has AVX2.
            return unsafe { avx2::mark(bytes, &mut self.bits) };
        }
        mark_by(bytes, &mut self.bits, word_of)
    }

    /// The first marked byte at or after `at`, which must not lie behind the block.
    #[inline(always)]
    pub fn next(&self, mut at: usize) -> usize {
        loop {
            let eight: &[u8; 8] = self.bits[at / 8..at / 8 + 8].try_into().expect("eight bytes");
            let ahead = u64::from_le_bytes(*eight) >> (at % 8);
            if ahead != 0 {
                return at + ahead.trailing_zeros() as usize;
            }
            at += WORD - at % 8;
        }
    }
}

/// Goes over all of the block; `word_of` gives the marks of 64 bytes, and whether they are ASCII.
#[inline(always)]
fn mark_by(bytes: &[u8], bits: &mut [u8], word_of: impl Fn(&[u8; WORD]) -> (u64, bool)) -> bool {
    let (whole, rest) = bytes.as_chunks::<WORD>();
    let (words, _) = bits.as_chunks_mut::<8>();
    let mut is_ascii = true;
    for (chunk, word) in whole.iter().zip(&mut *words) {
        let (marks, ascii) = word_of(chunk);
        *word = marks.to_le_bytes();
        is_ascii &= ascii;
    }
    if !rest.is_empty() {
        // A NUL is a control character: what lies behind the block is marked.
        let mut padded = [0; WORD];
        padded[..rest.len()].copy_from_slice(rest);
        let (marks, ascii) = word_of(&padded);
        words[whole.len()] = marks.to_le_bytes();
        is_ascii &= ascii;
    }
    is_ascii
}

/// For any machine: eight bytes at a time.
fn word_of(chunk: &[u8; WORD]) -> (u64, bool) {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The highest bit of each byte that is zero; no byte disturbs another.
    let zeros = |word: u64| !(((word & !HIGH) + !HIGH) | word) & HIGH;
    // One bit for each highest bit, in order.
    let gather = |high: u64| (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let (eights, _) = chunk.as_chunks::<8>();
    let (mut marks, mut all) = (0, 0);
    for (i, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        let specials =
            zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64)) | zeros(word & (ONES * 0xe0));
        marks |= gather(specials) << (8 * i);
        all |= word;
    }
    (marks, all & HIGH == 0)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8,
    };

    use crate::codec::ndjson::scan::{WORD, mark_by};

    /// The pass, 32 bytes at a time.
    #[target_feature(enable = "avx2")]
    pub fn mark(bytes: &[u8], bits: &mut [u8]) -> bool {
        mark_by(bytes, bits, |chunk| word_of(chunk))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn word_of(chunk: &[u8; WORD]) -> (u64, bool) {
        // SAFETY: each load is of 32 of the 64 bytes of `chunk`.
        let (low, high) = unsafe {
            (_mm256_loadu_si256(chunk.as_ptr().cast()), _mm256_loadu_si256(chunk.as_ptr().add(WORD / 2).cast()))
        };
        let marks = specials(low) as u64 | (specials(high) as u64) << 32;
        (marks, _mm256_movemask_epi8(_mm256_or_si256(low, high)) == 0)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn specials(bytes: __m256i) -> u32 {
        let quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
        let backslashes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
        let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
        _mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quotes, backslashes), controls)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte at each place of a word and in the rest behind the last whole word, by all that this machine has.
    #[test]
    fn quotes_backslashes_and_control_characters_are_marked() {
        for instructions in [Instructions::BASELINE, Instructions::best()] {
            let mut marks = Marks::default();
            for length in [0, 1, 63, 64, 65, 130] {
                for byte in 0..=255u8 {
                    for at in 0..length {
                        let mut bytes = vec![b'x'; length];
                        bytes[at] = byte;
                        let is_ascii = marks.mark(&bytes, instructions);
                        let is_special = byte < 0x20 || byte == b'"' || byte == b'\\';
                        assert_eq!(is_ascii, byte.is_ascii(), "{instructions:?}: byte {byte:#x} at {at} of {length}");
                        let expected = if is_special { at } else { length };
                        assert_eq!(marks.next(0), expected, "{instructions:?}: byte {byte:#x} at {at} of {length}");
                        assert_eq!(marks.next(at), expected, "{instructions:?}: byte {byte:#x} at {at} of {length}");
                        assert_eq!(marks.next(at + 1), length, "{instructions:?}: byte {byte:#x} at {at} of {length}");
                    }
                }
            }
        }
    }
}
