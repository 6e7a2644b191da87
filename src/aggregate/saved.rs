//! State that outlives a process, as sealed bytes: read back whole, or not at all.
//!
//! A seal is a version, the kind of state, and a checksum behind it (rapidhash V3, which has one value on all machines), so
//! that bytes cut short or changed in a file are found before anything is made of them. What is between is each kind's own,
//! written with `crate::aggregate::encoding`. Knows nothing of what any state means and of where it is kept.

use crate::aggregate::Error;
use crate::aggregate::encoding::{Reader, put_word};

/// Why saved state can't be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StateError {
    /// Another version of its encoding.
    #[error("cannot read saved state of version '{0}'")]
    Version(u8),
    /// Cut short or changed.
    #[error("cannot read saved state: its bytes are damaged")]
    Damaged,
    /// State of something else.
    #[error("cannot read saved state: it is of kind '{0}'")]
    OtherKind(u8),
    /// State of queries that are not those that it is to be used for.
    #[error("cannot read saved state: {0} of another query")]
    OtherQuery(&'static str),
    /// Sealed, and yet not what any state is.
    #[error("cannot read saved state: {0}")]
    Malformed(&'static str),
    /// The bytes of a number, a text or an accumulator.
    #[error("cannot read saved state")]
    Encoding(#[from] Error),
}

/// What is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `crate::window::operator::Operator`.
    Operator = 1,
    /// `crate::watermark::Sequencer`, without its partitions.
    Sequencer = 2,
    /// A partition of it.
    Partition = 3,
    /// A whole run of the window pipeline.
    Run = 4,
    /// Pieces on their way from one stage of a group to the other.
    Parcel = 5,
    /// What a group's second stage has of one partition.
    Shard = 6,
}

/// First byte of all saved state.
const VERSION: u8 = 1;

const CHECKSUM_BYTES: usize = 8;

/// Appends what `write` appends, sealed.
pub fn seal(kind: Kind, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([VERSION, kind as u8]);
    write(out);
    put_word(out, rapidhash::v3::rapidhash_v3(&out[start..]));
}

/// What stands between the seals. `read` must read all of it.
pub fn unseal<T>(
    kind: Kind,
    bytes: &[u8],
    read: impl FnOnce(&mut Reader) -> Result<T, StateError>,
) -> Result<T, StateError> {
    match bytes.first() {
        Some(&VERSION) => {}
        Some(&other) => return Err(StateError::Version(other)),
        None => return Err(StateError::Damaged),
    }
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(StateError::Damaged)?;
    if rapidhash::v3::rapidhash_v3(body) != u64::from_le_bytes(*checksum) {
        return Err(StateError::Damaged);
    }
    let mut reader = Reader::new(body.get(1..).ok_or(StateError::Damaged)?);
    match reader.byte()? {
        own if own == kind as u8 => {}
        other => return Err(StateError::OtherKind(other)),
    }
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut bytes = b"before".to_vec();
        seal(Kind::Partition, &mut bytes, |out| out.extend(b"state"));
        bytes.split_off(6)
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, StateError> {
        unseal(Kind::Partition, bytes, |reader| Ok(reader.take(5)?.to_vec()))
    }

    #[test]
    fn what_was_sealed_is_read_back() {
        assert_eq!(read(&sealed()), Ok(b"state".to_vec()));
    }

    /// The bytes themselves are a part of the format: they are read by other builds and on other machines.
    #[test]
    fn a_seal_is_the_same_everywhere() {
        let hex: String = sealed().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "01037374617465b817c6ccab1b5847");
    }

    #[test]
    fn every_change_is_found() {
        let whole = sealed();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
        let mut other = Vec::new();
        seal(Kind::Operator, &mut other, |out| out.extend(b"state"));
        assert_eq!(read(&other), Err(StateError::OtherKind(1)));
        assert!(unseal(Kind::Operator, &other, |_| Ok(())).is_err(), "something is left over");
        assert_eq!(read(&[9, 9]), Err(StateError::Version(9)));
    }
}
