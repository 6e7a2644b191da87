//! How far partitions have come, kept from one run to the next.
//!
//! One blob a partition and one for what they share, since the next run may have other partitions, in another order: who
//! runs it knows them by name. What is read again behind the place told by `goes_on_at` takes its turn as if there had been
//! one run. Knows nothing of where the bytes are kept.

use std::collections::VecDeque;

use crate::aggregate::encoding::{put_signed, put_varint};
use crate::aggregate::saved::{Kind, StateError, seal, unseal};
use crate::partition::PartitionId;
use crate::time::Timestamp;
use crate::watermark::{Partition, Sequenced, Sequencer};

impl Sequencer {
    /// Appends the operator's watermark and the position in the stream: all that is not a partition's. How many rejects are
    /// left is not saved; every run has its own.
    pub fn save(&self, out: &mut Vec<u8>) {
        let least = self.turns.first().map_or(Timestamp::MIN, |&(watermark, _)| watermark);
        seal(Kind::Sequencer, out, |out| {
            put_signed(out, self.watermark.max(least).0);
            put_varint(out, self.position);
        });
    }

    /// Takes on what `save` wrote. To be done before anything is taken.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        (self.watermark, self.position) =
            unseal(Kind::Sequencer, bytes, |reader| Ok((Timestamp(reader.signed()?), reader.varint()?)))?;
        Ok(())
    }

    /// Appends how far a partition has come with the rows that were taken. Whether it had ended or was silent is not saved:
    /// it may have grown.
    pub fn save_partition(&self, partition: PartitionId, out: &mut Vec<u8>) {
        let Partition { queue, row, highest, in_band, .. } = &self.partitions[partition.0 as usize];
        let in_batch = queue.front().map_or(Timestamp::MIN, |batch| batch.maximum.before(*row));
        seal(Kind::Partition, out, |out| {
            put_signed(out, in_batch.max(*highest).0);
            match in_band {
                Some(watermark) => {
                    out.push(1);
                    put_signed(out, watermark.0);
                }
                None => out.push(0),
            }
        });
    }

    /// Takes on what `save_partition` wrote, perhaps under another number. To be done before the partition gives anything. A
    /// partition of which nothing was saved is a new one: the operator's watermark waits for it, and does not go back.
    pub fn restore_partition(&mut self, partition: PartitionId, bytes: &[u8]) -> Result<(), StateError> {
        let (highest, in_band) = unseal(Kind::Partition, bytes, |reader| {
            let highest = Timestamp(reader.signed()?);
            let in_band = match reader.byte()? {
                0 => None,
                1 => Some(Timestamp(reader.signed()?)),
                _ => return Err(StateError::Malformed("a mark is neither there nor not")),
            };
            Ok((highest, in_band))
        })?;
        let index = partition.0 as usize;
        (self.partitions[index].highest, self.partitions[index].in_band) = (highest, in_band);
        self.update_turn(index);
        Ok(())
    }

    /// Where a partition goes on: the number of a batch and how many of its rows were taken. `None` when everything that it
    /// gave was taken. Marks right behind the last row taken may be read again; that changes nothing.
    pub fn goes_on_at(&self, partition: PartitionId) -> Option<(usize, usize)> {
        let Partition { queue, row, .. } = &self.partitions[partition.0 as usize];
        let is_taken = |batch: &Sequenced| {
            *row == batch.rows && batch.rows > 0 && batch.in_band.is_empty() && batch.rejects.is_empty()
        };
        let goes_on = |queue: &VecDeque<Sequenced>| match queue.front() {
            Some(front) if is_taken(front) => queue.get(1).map(|next| (next.batch, 0)),
            Some(front) => Some((front.batch, *row)),
            None => None,
        };
        goes_on(queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use crate::watermark::{RunningMaximum, Step};

    fn batch(batch: usize, times: &[i64]) -> Sequenced {
        let times: Vec<_> = times.iter().map(|&time| Timestamp(time)).collect();
        let maximum = RunningMaximum::of(&times).into();
        Sequenced { batch, rows: times.len(), maximum, in_band: VecDeque::new(), rejects: VecDeque::new() }
    }

    fn next_run(sequencer: &mut Sequencer) -> (u32, u64, i64) {
        match sequencer.next(Timestamp::MAX) {
            Step::Run(run) => (run.partition.0, run.position_of(run.rows.start), run.floor.0),
            step => panic!("a run was due, not {step:?}"),
        }
    }

    /// Partitions 0 and 1 come back as 2 and 0, beside a new one, and one of them had ended.
    #[test]
    fn partitions_are_taken_on_under_other_numbers() {
        let (a, b) = (PartitionId(0), PartitionId(1));
        let mut before = Sequencer::new(2, Duration(2));
        before.push(a, batch(0, &[10, 20]));
        before.push(b, batch(1, &[15]));
        before.end(a);
        before.end(b);
        while before.next(Timestamp::MAX) != Step::End {}
        assert_eq!(before.watermark(), Timestamp(18));
        let (mut whole, mut of_a, mut of_b) = (Vec::new(), Vec::new(), Vec::new());
        before.save(&mut whole);
        before.save_partition(a, &mut of_a);
        before.save_partition(b, &mut of_b);

        let mut after = Sequencer::new(3, Duration(2));
        after.restore(&whole).unwrap();
        after.restore_partition(PartitionId(2), &of_a).unwrap();
        after.restore_partition(PartitionId(0), &of_b).unwrap();
        assert_eq!(after.watermark(), Timestamp(18));
        assert_eq!(after.partition_watermark(PartitionId(2)), Timestamp(18));
        assert_eq!(after.partition_watermark(PartitionId(0)), Timestamp(13));
        assert_eq!(after.next(Timestamp::MAX), Step::Wait(PartitionId(1)));
        after.push(PartitionId(0), batch(0, &[16, 30]));
        after.push(PartitionId(1), batch(1, &[1]));
        after.end(PartitionId(1));
        assert_eq!(next_run(&mut after), (1, 3, 18));
        assert_eq!(next_run(&mut after), (0, 4, 18));
    }

    #[test]
    fn what_was_not_taken_is_told() {
        let (a, b) = (PartitionId(0), PartitionId(1));
        let mut sequencer = Sequencer::new(2, Duration(0));
        sequencer.push(a, batch(0, &[10, 20, 30]));
        sequencer.push(b, batch(1, &[15]));
        sequencer.push(b, batch(2, &[16]));
        while matches!(sequencer.next(Timestamp(15)), Step::Run(_)) {}
        assert_eq!((sequencer.goes_on_at(a), sequencer.goes_on_at(b)), (Some((0, 2)), Some((2, 0))));
        sequencer.end(b);
        while matches!(sequencer.next(Timestamp::MAX), Step::Run(_)) {}
        assert_eq!((sequencer.goes_on_at(a), sequencer.goes_on_at(b)), (None, None));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut sequencer = Sequencer::new(1, Duration(0));
        let mut bytes = Vec::new();
        sequencer.save_partition(PartitionId(0), &mut bytes);
        for length in 0..bytes.len() {
            assert!(sequencer.restore_partition(PartitionId(0), &bytes[..length]).is_err(), "{length} bytes");
            assert!(sequencer.restore(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(sequencer.restore(&bytes), Err(StateError::OtherKind(Kind::Partition as u8)));
    }
}
