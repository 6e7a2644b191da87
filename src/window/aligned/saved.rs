//! The aligned windows of one metric as saved state.
//!
//! Every table is written with the first window still to fire that it is part of, and comes back as one that is still being
//! folded into: whether a slice was complete, shared or on a stack is found anew when its window fires.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::aggregate::encoding::{Reader, put_varint};
use crate::aggregate::saved::StateError;
use crate::time::{Timestamp, Window};
use crate::window::aligned::{Aligned, Context};
use crate::window::fired::Fired;
use crate::window::fold::{Shard, SliceKey};
use crate::window::state::{put_table, put_time, put_window, read_table, read_time, read_window};
use crate::window::table::Table;

impl Aligned {
    /// Appends everything that windows still to fire, or to be revised, need. `watermark` is the one up to which windows have
    /// fired.
    pub fn save(&self, context: Context, shards: &[&Shard], watermark: Timestamp, out: &mut Vec<u8>) {
        put_varint(out, self.overflowed);
        put_varint(out, self.nulled);
        let tables = self.tables(context, shards, watermark);
        put_varint(out, tables.len() as u64);
        for (key, table) in tables {
            put_window(out, key.slice);
            put_time(out, key.first_end);
            put_table(out, &table);
        }
        put_varint(out, self.extras.len() as u64);
        for (window, table) in &self.extras {
            put_window(out, *window);
            put_table(out, table);
        }
        put_varint(out, self.fired.len() as u64);
        for (window, fired) in &self.fired {
            put_window(out, *window);
            fired.save(out);
        }
        put_varint(out, self.early.len() as u64);
        for (window, events) in &self.early {
            put_window(out, *window);
            put_varint(out, *events);
        }
    }

    /// All tables by the first of their windows after `watermark`, merged where several threads have some of one.
    fn tables<'a>(
        &'a self,
        context: Context,
        shards: &[&'a Shard],
        watermark: Timestamp,
    ) -> BTreeMap<SliceKey, Cow<'a, Table>> {
        let mut tables: BTreeMap<SliceKey, Cow<Table>> = BTreeMap::new();
        for (key, table) in self.slices.tables().chain(shards.iter().flat_map(|shard| shard.open())) {
            // Partials are sent when their slice has ended, whatever windows there are.
            let first = match context.partials {
                true => Some(key),
                false => {
                    let fired = watermark.max(Timestamp(key.first_end.0 - 1));
                    let next = context.assigner.window_after(key.slice, fired);
                    next.map(|window| SliceKey { first_end: window.end, ..key })
                }
            };
            let Some(key) = first else { continue };
            match tables.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(Cow::Borrowed(table))),
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().to_mut().merge(table),
            }
        }
        tables
    }

    /// Takes on what `save` wrote; tables go to `shard`. Nothing may have been folded yet.
    pub fn restore(
        &mut self,
        context: Context,
        shard: &mut Shard,
        watermark: Timestamp,
        reader: &mut Reader,
    ) -> Result<(), StateError> {
        let query = context.query;
        (self.overflowed, self.nulled) = (reader.varint()?, reader.varint()?);
        let mut last = None;
        for _ in 0..reader.count()? {
            let (slice, first_end) = (read_window(reader)?, read_time(reader)?);
            let key = SliceKey { first_end, slice };
            if last.replace(key).is_some_and(|last| last >= key) {
                return Err(StateError::Malformed("slices are out of order"));
            }
            if !is_of(context, key) {
                return Err(StateError::OtherQuery("its windows are those"));
            }
            shard.restore(query, key, read_table(reader, query)?);
        }
        for _ in 0..reader.count()? {
            let window = read_window(reader)?;
            if window.end <= watermark {
                return Err(StateError::Malformed("a window has fired and waits to fire"));
            }
            self.extras.insert(window, read_table(reader, query)?);
            self.pending.insert(window);
        }
        for _ in 0..reader.count()? {
            let window = read_window(reader)?;
            self.fired.insert(window, Fired::restore(reader, query, context.form(window))?);
        }
        for _ in 0..reader.count()? {
            let window: Window = read_window(reader)?;
            self.early.insert(window, reader.varint()?);
        }
        Ok(())
    }
}

/// Whether the query's windows have such a slice.
fn is_of(context: Context, key: SliceKey) -> bool {
    let SliceKey { slice, first_end } = key;
    let first = || context.assigner.window_after(slice, Timestamp(first_end.0.saturating_sub(1)));
    context.assigner.slice(slice.start) == Some(slice)
        && if context.partials { first_end == slice.end } else { first().is_some_and(|window| window.end == first_end) }
}
