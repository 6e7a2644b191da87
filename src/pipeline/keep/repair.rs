//! Late events brought into the store, beside the run that owns their metrics.
//!
//! How far late files were read is committed with the points, and so is what waits for windows that the owner has not fired. Knows
//! nothing of which metrics an event was late for.

use std::collections::BTreeSet;
use std::path::Path;

use crate::partition::PartitionId;
use crate::pipeline::keep::{
    Head, Job, KeepError, Keeper, KeptInput, Operator, Purpose, Query, Readable, Saved, Writer,
};
use crate::source::address::Address;
use crate::source::input::Input;
use crate::time::Timestamp;

impl Keeper {
    /// Opens the store to bring late events in. The inputs are gone on with where the last repair of these metrics ended.
    pub fn open_repair(
        path: &Path,
        job: &Job,
        numbers: Vec<Option<usize>>,
        inputs: &[Readable],
        queries: &[Query],
    ) -> Result<Keeper, KeepError> {
        let (writer, found) = Writer::open_repair(path, job)?;
        let mut keeper = Keeper::of(writer, job, numbers);
        let until = owned_until(found.owner.as_deref(), queries)?;
        keeper.purpose = Purpose::Repair { until, windows: BTreeSet::new(), is_dry: false };
        let heads: Vec<Option<Head>> = inputs.iter().map(Readable::head).collect::<Result<_, _>>()?;
        if let Some(once) = heads.iter().position(Option::is_none) {
            return Err(KeepError::LateOnce { input: inputs[once].name() });
        }
        let heads: Vec<Head> = heads.into_iter().flatten().collect();
        keeper.inputs = inputs.iter().zip(&heads).map(KeptInput::new).collect();
        if let Some(state) = &found.owner
            && let Some(late) = Saved::read(state)?.take_late()
        {
            // What stands behind comes again when the owner goes on: it cuts it off.
            let ends = inputs.iter().zip(&heads).map(|(input, head)| {
                let Readable::File(Input { address: Address::Path(path), .. }) = input else { return None };
                late.is(head, path).then(|| late.uncommitted()).flatten()
            });
            keeper.ends = ends.collect();
        }
        if let Some(state) = found.state {
            keeper.find_inputs(inputs, &heads, Saved::read(&state)?)?;
        }
        Ok(keeper)
    }

    /// Opens the store to make the windows within `range` anew with their late events, from events that were archived. Windows must
    /// end by the time that is given beside: the owner takes events for those that end later. `is_part`: this process has another one open, and does a part of its work.
    pub fn open_repair_over(
        path: &Path,
        job: &Job,
        numbers: Vec<Option<usize>>,
        (range, is_part): ((Timestamp, Timestamp), bool),
        queries: &[Query],
    ) -> Result<(Keeper, Timestamp), KeepError> {
        let (writer, found) = Writer::open_repair_over(path, job, range, is_part)?;
        let until = owned_until(found.owner.as_deref(), queries)?;
        // Windows that the owner may still revise would lose again what is made of them.
        let lateness = queries.iter().map(|query| query.allowed_lateness.0).max().unwrap_or(0);
        let until = if until == Timestamp::MAX { until } else { Timestamp(until.0.saturating_sub(lateness)) };
        Ok((Keeper { purpose: Purpose::Rewrite, ..Keeper::of(writer, job, numbers) }, until))
    }

    /// Where late events are brought in: up to where the owner has fired windows.
    pub fn repairs_until(&self) -> Option<Timestamp> {
        match self.purpose {
            Purpose::Repair { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Says what a repair would do, and stores nothing.
    pub fn stay_dry(&mut self) {
        if let Purpose::Repair { is_dry, .. } = &mut self.purpose {
            *is_dry = true;
        }
    }

    /// Up to which byte inputs are read that the owner is writing: so much it has committed.
    pub fn ends(&self) -> impl Iterator<Item = (PartitionId, u64)> {
        self.ends.iter().enumerate().filter_map(|(index, end)| Some((PartitionId(index as u32), (*end)?)))
    }

    /// Inputs all of whose lines are rejects, and how many these are: nothing of them was taken.
    pub fn only_rejects(&self) -> Vec<(String, u64)> {
        if !matches!(self.purpose, Purpose::Repair { .. }) {
            return Vec::new();
        }
        self.inputs.iter().filter_map(|input| Some((input.name.clone(), input.only_rejects()?))).collect()
    }

    /// Lines that earlier runs have read.
    pub fn lines_before(&self) -> u64 {
        self.inputs.iter().map(|input| input.end.lines).sum()
    }

    /// By metric, how many windows late events were brought into.
    pub fn repaired(&self) -> Vec<u64> {
        let Purpose::Repair { windows, .. } = &self.purpose else { return Vec::new() };
        let of = |metric: usize| windows.iter().filter(|(of, _)| *of == metric).count() as u64;
        (0..self.numbers.len()).map(of).collect()
    }
}

/// Up to which windows the owner of a job has fired, as its open state says; all where it keeps none.
fn owned_until(state: Option<&[u8]>, queries: &[Query]) -> Result<Timestamp, KeepError> {
    let Some(state) = state else { return Ok(Timestamp::MAX) };
    let mut operator = Operator::new(queries.to_vec(), 1, false);
    operator.restore(&Saved::read(state)?.operator)?;
    Ok(operator.watermark())
}
