//! Parcels: what the first stage of a group sends to one partition of the second: pieces, and how far time has come.
//!
//! A parcel is sealed, and says of which query it is. What it says of watermarks holds for the pieces behind it: those before were sent
//! first. Knows nothing of how parcels travel.

use crate::aggregate::encoding::{Reader, put_bytes, put_varint, put_word};
use crate::aggregate::saved::{Kind, StateError, seal, unseal};
use crate::partition::PartitionId;
use crate::time::{Duration, Timestamp};
use crate::window::combine::Piece;
use crate::window::state::{put_flag, put_time, put_window, read_flag, read_time, read_u32, read_window};

/// A parcel is closed once it is longer than this: half of what a broker takes by default.
pub const PARCEL_BYTES: usize = 512 << 10;

/// How far one partition of the input has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The partition.
    pub partition: PartitionId,
    /// Its watermark.
    pub watermark: Timestamp,
    /// Whether it is heard of.
    pub silence: Silence,
}

/// What a partition's silence has come to mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Silence {
    /// It has been silent for `--idle-timeout`: the others need not wait for it.
    pub is_idle: bool,
    /// It has been silent for `--idle-close`, and so long after: when all are, time goes on with the clock.
    pub closing: Option<Duration>,
}

impl Silence {
    /// It gives records.
    pub const AWAKE: Silence = Silence { is_idle: false, closing: None };
}

/// What a parcel holds.
#[derive(Debug, PartialEq)]
pub struct Parcel {
    /// What the query was told apart by.
    pub fingerprint: u64,
    /// How many partitions the input has, as far as is known.
    pub inputs: u32,
    /// Pieces, to be merged before the marks are looked at.
    pub pieces: Vec<Piece>,
    /// How far time has come.
    pub marks: Vec<Mark>,
}

/// Parcels in the making for one partition.
#[derive(Debug)]
pub struct Packer {
    fingerprint: u64,
    inputs: u32,
    pieces: Vec<u8>,
    count: u64,
}

impl Packer {
    /// An empty one.
    pub fn new(fingerprint: u64, inputs: u32) -> Packer {
        Packer { fingerprint, inputs, pieces: Vec::new(), count: 0 }
    }

    /// Adds a piece. A parcel that is full by it comes back, without marks.
    pub fn add(&mut self, piece: &Piece) -> Option<Vec<u8>> {
        let out = &mut self.pieces;
        put_varint(out, piece.metric as u64);
        put_window(out, piece.span);
        put_time(out, piece.first_end);
        put_time(out, piece.judged);
        put_varint(out, piece.position);
        put_varint(out, piece.events);
        put_bytes(out, &piece.key);
        put_bytes(out, &piece.state);
        self.count += 1;
        (self.pieces.len() >= PARCEL_BYTES).then(|| self.close(&[]))
    }

    /// The last parcel, with the marks.
    pub fn close(&mut self, marks: &[Mark]) -> Vec<u8> {
        let mut parcel = Vec::with_capacity(self.pieces.len() + 64);
        seal(Kind::Parcel, &mut parcel, |out| {
            put_word(out, self.fingerprint);
            put_varint(out, self.inputs.into());
            put_varint(out, self.count);
            out.append(&mut self.pieces);
            put_marks(out, marks);
        });
        self.count = 0;
        parcel
    }
}

impl Parcel {
    /// Reads a parcel.
    pub fn read(bytes: &[u8]) -> Result<Parcel, StateError> {
        unseal(Kind::Parcel, bytes, |reader| {
            let (fingerprint, inputs) = (reader.word()?, read_u32(reader)?);
            let pieces = (0..reader.count()?).map(|_| read_piece(reader)).collect::<Result<_, StateError>>()?;
            Ok(Parcel { fingerprint, inputs, pieces, marks: read_marks(reader)? })
        })
    }
}

fn read_piece(reader: &mut Reader) -> Result<Piece, StateError> {
    Ok(Piece {
        metric: read_u32(reader)? as usize,
        span: read_window(reader)?,
        first_end: read_time(reader)?,
        judged: read_time(reader)?,
        position: reader.varint()?,
        events: reader.varint()?,
        key: reader.bytes()?.into(),
        state: reader.bytes()?.into(),
    })
}

/// Appends marks.
pub fn put_marks(out: &mut Vec<u8>, marks: &[Mark]) {
    put_varint(out, marks.len() as u64);
    for mark in marks {
        put_varint(out, mark.partition.0.into());
        put_time(out, mark.watermark);
        put_flag(out, mark.silence.is_idle);
        put_flag(out, mark.silence.closing.is_some());
        if let Some(for_long) = mark.silence.closing {
            put_varint(out, for_long.0.unsigned_abs());
        }
    }
}

/// What `put_marks` wrote.
pub fn read_marks(reader: &mut Reader) -> Result<Vec<Mark>, StateError> {
    let mut marks = Vec::new();
    for _ in 0..reader.count()? {
        let (partition, watermark) = (PartitionId(read_u32(reader)?), read_time(reader)?);
        let (is_idle, is_closing) = (read_flag(reader)?, read_flag(reader)?);
        let closing = match is_closing {
            true => Some(Duration(reader.varint()?.min(i64::MAX as u64) as i64)),
            false => None,
        };
        marks.push(Mark { partition, watermark, silence: Silence { is_idle, closing } });
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Window;

    #[test]
    fn parcels_read_back_and_are_closed_when_full() {
        let piece = |number: u64| Piece {
            metric: number as usize % 3,
            span: Window::new(Timestamp(number as i64), Timestamp(number as i64 + 7)),
            first_end: Timestamp(number as i64 + 7),
            judged: Timestamp::MIN,
            position: number,
            events: number + 1,
            key: vec![3; number as usize % 40].into(),
            state: vec![number as u8; 200].into(),
        };
        let marks = [
            Mark { partition: PartitionId(0), watermark: Timestamp(-5), silence: Silence::AWAKE },
            Mark {
                partition: PartitionId(11),
                watermark: Timestamp::MIN,
                silence: Silence { is_idle: true, closing: None },
            },
            Mark {
                partition: PartitionId(2),
                watermark: Timestamp(9),
                silence: Silence { is_idle: false, closing: Some(Duration(3)) },
            },
        ];
        let mut packer = Packer::new(77, 12);
        let mut parcels: Vec<Vec<u8>> = (0..5000).filter_map(|number| packer.add(&piece(number))).collect();
        parcels.push(packer.close(&marks));
        assert!(parcels.len() > 1 && parcels.iter().all(|parcel| parcel.len() < PARCEL_BYTES + 1024));
        let read: Vec<Parcel> = parcels.iter().map(|bytes| Parcel::read(bytes).unwrap()).collect();
        assert!(read.iter().all(|parcel| (parcel.fingerprint, parcel.inputs) == (77, 12)));
        assert_eq!(read.last().unwrap().marks, marks);
        let pieces: Vec<Piece> = read.into_iter().flat_map(|parcel| parcel.pieces).collect();
        assert_eq!(pieces, (0..5000).map(piece).collect::<Vec<_>>());
        assert_eq!(Parcel::read(&parcels[0][..100]), Err(StateError::Damaged));
    }
}
