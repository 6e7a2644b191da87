//! Aligned windows of one metric: gather complete slices from the shards, fire windows in order, and keep those that have
//! fired while they may still be revised.
//!
//! All of this happens in the order of the stream, in one place. Knows nothing of runs and of other metrics, of how slices
//! are merged (`crate::window::slices`) and of which rows a straggler changes (`crate::window::fired`).

mod saved;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::metric::Metric;
use crate::time::{Timestamp, Window};
use crate::window::assigner::Assigner;
use crate::window::bound::OpenTables;
use crate::window::fired::{Change, Fired, Form};
use crate::window::fold::{Shard, SliceKey, Straggler};
use crate::window::key::groups_of;
use crate::window::slices::Slices;
use crate::window::table::{GroupLimit, Table};
use crate::window::{Output, Partial, Projected, Query, Row, Selected};

/// The open and the recently fired windows of one metric.
#[derive(Debug, Default)]
pub struct Aligned {
    /// Complete slices that windows still to fire need.
    slices: Slices,
    /// Events for one window only: late for the windows before it by their own partition's watermark, while the
    /// operator's had not come so far.
    extras: BTreeMap<Window, Table>,
    /// Windows that are known to have data, by end.
    pending: BTreeSet<Window>,
    /// Windows that fired and may still be revised.
    fired: BTreeMap<Window, Fired>,
    /// Events of each window when it was last written early.
    early: BTreeMap<Window, u64>,
    /// Events that joined the overflow group, over all windows fired.
    overflowed: u64,
    /// Values of stragglers that became NULL, once for each window that they joined.
    nulled: u64,
    /// Once open tables have more groups than this, they are reduced again.
    groups_allowed: usize,
    /// Whether rows carry the states of their groups.
    keeps_states: bool,
}

/// What comes to a window on its own, out of the common fold.
#[derive(Debug, Clone, Copy)]
pub enum Arrival<'a> {
    /// An event: its batch, the rows that the metric uses, and which of them it is.
    Event(&'a Projected, &'a Selected, Straggler),
    /// A partial that another program folded.
    Partial(&'a Partial),
}

impl Arrival<'_> {
    fn events(&self) -> u64 {
        match self {
            Arrival::Partial(partial) => partial.events,
            Arrival::Event(..) => 1,
        }
    }

    /// Adds this to a table; returns its group. `position` is its place in the stream.
    fn join(
        &self,
        table: &mut Table,
        query: &Query,
        (position, limit): (u64, Option<&GroupLimit>),
        nulled: &mut u64,
    ) -> u32 {
        match self {
            Arrival::Partial(partial) => table.join_partial(partial, position, limit),
            Arrival::Event(projected, selected, straggler) => {
                let index = straggler.selected as usize;
                let group = table.join(selected.key(index), selected.hash(index), position, limit);
                query.update(table.accumulators_mut(), (&[group], &[straggler.row]), projected, nulled);
                group
            }
        }
    }
}

/// For which of the windows of a slice something comes: those that end after `after`; and of these, those that end by
/// `closed` have closed.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The slice.
    pub slice: Window,
    /// Windows that end by then take nothing.
    pub after: Timestamp,
    /// The watermark that judged it.
    pub closed: Timestamp,
}

/// What one metric needs to write rows.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Its number.
    pub metric: usize,
    /// Its query.
    pub query: &'a Query,
    /// Its windows.
    pub assigner: &'a Assigner,
    /// Write partials instead of rows.
    pub partials: bool,
}

impl<'a> Context<'a> {
    fn form(&self, window: Window) -> Form<'a> {
        Form { presentation: &self.query.presentation, aggregates: self.query.functions.len(), window }
    }

    fn row(&self, window: Window, change: Change) -> Metric {
        let Change { row, revision, retracted } = change;
        Metric {
            metric: self.metric,
            window,
            groups: row.groups,
            aggregates: row.aggregates,
            rank: row.rank,
            revision,
            is_final: true,
            retracted,
            state: None,
        }
    }
}

impl Aligned {
    /// The tables of what has not fired and is complete.
    pub fn unfired(&self) -> impl Iterator<Item = &Table> {
        self.slices.tables().map(|(_, table)| table).chain(self.extras.values())
    }

    /// Events that joined the overflow group, over all windows fired.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Values of stragglers that became NULL, once for each window that they joined.
    pub fn nulled(&self) -> u64 {
        self.nulled
    }

    /// From now on rows carry the states of their groups.
    pub fn keep_states(&mut self) {
        self.keeps_states = true;
    }

    /// The end of the first window to fire by `watermark`.
    pub fn next_due(
        &mut self,
        context: Context,
        shards: &mut [&mut Shard],
        watermark: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Timestamp> {
        self.collect(context, shards, watermark, out);
        self.pending.first().map(|window| window.end).filter(|&end| end <= watermark)
    }

    /// Fires every window that ends by `watermark`, in order of end and start.
    pub fn fire(&mut self, context: Context, shards: &mut [&mut Shard], watermark: Timestamp, out: &mut Vec<Output>) {
        self.collect(context, shards, watermark, out);
        while let Some(&window) = self.pending.first()
            && window.end <= watermark
        {
            self.pending.pop_first();
            self.early.remove(&window);
            self.write(context, window, out);
        }
        let lateness = context.query.allowed_lateness.0;
        while let Some(fired) = self.fired.first_entry()
            && fired.key().end.0.saturating_add(lateness) <= watermark.0
        {
            fired.remove();
        }
    }

    /// Keeps open tables within a small multiple of `--max-groups`. `watermark` is the one up to which windows have fired.
    /// Partials are sent as they are: their merger has a limit of its own.
    pub fn bound_groups<'a>(&'a mut self, context: Context, shards: Vec<&'a mut Shard>, watermark: Timestamp) {
        let limit = &context.query.limit;
        let allowed = self.groups_allowed.max(limit.groups_max as usize);
        let complete = self.slices.tables().map(|(_, table)| table.len() as usize).sum::<usize>();
        let groups = complete + shards.iter().map(|shard| shard.groups()).sum::<usize>();
        if groups <= allowed || context.partials {
            return;
        }
        let slices = self.slices.tables_mut().chain(shards.into_iter().flat_map(Shard::open_mut)).collect();
        let mut tables = OpenTables { slices, extras: &self.extras };
        tables.bound(context.assigner, &context.query.functions, limit, watermark);
        self.groups_allowed = 2 * tables.groups();
    }

    /// Takes complete tables from the shards. Where partials are asked for, this is the moment when they are sent.
    fn collect(&mut self, context: Context, shards: &mut [&mut Shard], watermark: Timestamp, out: &mut Vec<Output>) {
        let mut complete: BTreeMap<SliceKey, Table> = BTreeMap::new();
        for (key, table) in shards.iter_mut().flat_map(|shard| shard.take_complete(watermark)) {
            match complete.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(table);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(&table),
            }
        }
        for (key, table) in complete {
            if context.partials {
                send_partials(context, key, &table, out);
            } else {
                self.pending.extend(context.assigner.window_after(key.slice, Timestamp(key.first_end.0 - 1)));
                self.slices.add(key, table);
            }
        }
    }

    /// Writes the rows of a window that fires for the first time.
    fn write(&mut self, context: Context, window: Window, out: &mut Vec<Output>) {
        let query = context.query;
        let (mut table, next) = self.slices.fire(context.assigner, &query.functions, window);
        self.pending.extend(next);
        if let Some(extra) = self.extras.remove(&window) {
            table.to_mut().merge(&extra);
        }
        let table = limited(table, query);
        self.overflowed += table.overflowed();
        let rows = query.presentation.rows(&table, query.functions.len(), window);
        let states = states(&table, &rows, self.keeps_states);
        if query.allowed_lateness.0 > 0 {
            self.fired.insert(window, Fired::new(table.into_owned(), &rows, &query.presentation));
        }
        out.extend(first_rows(context, window, rows, states).map(Output::Row));
    }

    /// Applies what came after a window of its slice had closed, to the windows that had. `operator` is the operator's
    /// watermark before it: windows up to that have fired.
    pub fn straggle(
        &mut self,
        context: Context,
        bounds: Bounds,
        (arrival, position): (Arrival, u64),
        operator: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Bounds { slice, after, closed } = bounds;
        if context.partials {
            let first = context.assigner.window_after(slice, after);
            let first_end = first.expect("a straggler has a window that it may change").end;
            let mut table = Table::new(&context.query.functions);
            arrival.join(&mut table, context.query, (position, None), &mut self.nulled);
            send_partials(context, SliceKey { first_end, slice }, &table, out);
            return;
        }
        let mut end = after;
        while let Some(window) = context.assigner.window_after(slice, end)
            && window.end <= closed
        {
            end = window.end;
            if window.end <= operator {
                self.revise(context, window, (arrival, position), out);
            } else {
                let table = self.extras.entry(window).or_insert_with(|| Table::new(&context.query.functions));
                arrival.join(table, context.query, (position, None), &mut self.nulled);
                self.pending.insert(window);
            }
        }
    }

    /// Adds something to a window that has fired, and writes what that changes.
    fn revise(&mut self, context: Context, window: Window, (arrival, position): (Arrival, u64), out: &mut Vec<Output>) {
        let query = context.query;
        let presentation = &query.presentation;
        let none = || Fired::new(Table::new(&query.functions), &[], presentation);
        let fired = self.fired.entry(window).or_insert_with(none);
        let changed = arrival.join(fired.table_mut(), query, (position, Some(&query.limit)), &mut self.nulled);
        if fired.table().is_overflow(changed) {
            self.overflowed += arrival.events();
        }
        let changes = fired.changed(context.form(window), changed);
        // Where states are kept no group changes the row of another one.
        let state = self.keeps_states.then(|| state_of(fired.table(), changed));
        out.extend(changes.into_iter().map(|change| {
            let row = context.row(window, change);
            Output::Row(Metric { state: state.clone(), ..row })
        }));
    }

    /// Writes every window after `watermark` that has changed since the last call as rows that are not final.
    pub fn write_early(&mut self, context: Context, shards: &[&Shard], watermark: Timestamp, out: &mut Vec<Output>) {
        for (window, table) in self.open(context, shards, watermark) {
            let events = table.events();
            if self.early.insert(window, events) != Some(events) {
                self.write_unfinished(context, window, table, out);
            }
        }
    }

    /// Writes every window after `watermark` as rows that are not final, and changes nothing.
    pub fn write_open(&self, context: Context, shards: &[&Shard], watermark: Timestamp, out: &mut Vec<Output>) {
        for (window, table) in self.open(context, shards, watermark) {
            self.write_unfinished(context, window, table, out);
        }
    }

    /// Every window after `watermark` that has data, with what it has.
    fn open(&self, context: Context, shards: &[&Shard], watermark: Timestamp) -> BTreeMap<Window, Table> {
        let mut open: BTreeMap<Window, Table> = BTreeMap::new();
        for (key, table) in self.slices.tables().chain(shards.iter().flat_map(|shard| shard.open())) {
            // A slice that a window still needs has others that have fired.
            let mut end = watermark.max(Timestamp(key.first_end.0 - 1));
            while let Some(window) = context.assigner.window_after(key.slice, end) {
                end = window.end;
                open.entry(window).or_insert_with(|| Table::new(&context.query.functions)).merge(table);
            }
        }
        for (window, table) in &self.extras {
            open.entry(*window).or_insert_with(|| Table::new(&context.query.functions)).merge(table);
        }
        open
    }

    fn write_unfinished(&self, context: Context, window: Window, table: Table, out: &mut Vec<Output>) {
        let table = limited(Cow::Owned(table), context.query);
        let rows = context.query.presentation.rows(&table, context.query.functions.len(), window);
        let states = states(&table, &rows, self.keeps_states);
        let rows = first_rows(context, window, rows, states);
        out.extend(rows.map(|row| Output::Row(Metric { is_final: false, ..row })));
    }

    /// The window that fires next, if any is open.
    pub fn next_window(&self, context: Context, shards: &[&Shard]) -> Option<Window> {
        let first = |key: SliceKey| context.assigner.window_after(key.slice, Timestamp(key.first_end.0 - 1));
        let open = shards.iter().filter_map(|shard| shard.open().next().and_then(|(key, _)| first(key)));
        self.pending.first().copied().into_iter().chain(open).min()
    }
}

/// The table with no more groups than a window may have.
fn limited<'a>(table: Cow<'a, Table>, query: &Query) -> Cow<'a, Table> {
    match table.limited(&query.functions, &query.limit) {
        Some(limited) => Cow::Owned(limited),
        None => table,
    }
}

/// Rows of a window of which none was written before. `states` is empty, or has one for each of them.
fn first_rows<'a>(
    context: Context<'a>,
    window: Window,
    rows: Vec<(u32, Row)>,
    states: Vec<Box<[u8]>>,
) -> impl Iterator<Item = Metric> + 'a {
    let mut states = states.into_iter();
    rows.into_iter().map(move |(_, row)| {
        let row = context.row(window, Change { row, revision: 0, retracted: false });
        Metric { state: states.next(), ..row }
    })
}

/// The states of the groups of these rows; none where they are not kept.
fn states(table: &Table, rows: &[(u32, Row)], are_kept: bool) -> Vec<Box<[u8]>> {
    let kept = rows.iter().filter(|_| are_kept);
    kept.map(|(group, _)| state_of(table, *group)).collect()
}

fn state_of(table: &Table, group: u32) -> Box<[u8]> {
    let mut state = Vec::new();
    table.accumulators().encode_group(group, &mut state);
    state.into()
}

/// Sends a table as partials, in the order of its groups' first events.
fn send_partials(context: Context, key: SliceKey, table: &Table, out: &mut Vec<Output>) {
    for group in table.in_stream_order() {
        let mut state = Vec::new();
        table.accumulators().encode_group(group, &mut state);
        out.push(Output::Partial(Partial {
            metric: context.metric,
            span: key.slice,
            first_end: key.first_end,
            judged: Timestamp::MIN,
            groups: groups_of(table.key(group)),
            events: table.group_events(group),
            state,
        }));
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::MetricText;
    use crate::window::testing::check;

    fn tumbling(lateness: &str) -> MetricText {
        let allowed_lateness = Some(lateness.into());
        MetricText { tumbling: Some("10us".into()), allowed_lateness, ..MetricText::default() }
    }

    /// ```text
    /// 0                  10        15
    /// [── a@1 ───────────)         ┊        w = 10 fires a=1
    ///                     z@10  a@2┊ a@3    each within 5 of the end: one revision an event
    /// ```
    #[test]
    fn a_window_fires_again_for_every_straggler() {
        let expected = ["[0,10) a=1", "[0,10) a=2 #1", "[0,10) a=3 #2", "[0,10) b=1", "[10,20) z=1"];
        check(tumbling("5us"), 0, &["a@1 z@10 a@2 a@3 b@4"], &expected);
    }

    /// At w = end + lateness exactly it is too late.
    #[test]
    fn nothing_joins_at_the_end_of_the_lateness() {
        check(tumbling("5us"), 0, &["a@1 z@14 a@2"], &["[0,10) a=1", "[0,10) a=2 #1", "[10,20) z=1"]);
        check(tumbling("5us"), 0, &["a@1 z@15 a@2"], &["[0,10) a=1", "[10,20) z=1"]);
    }

    /// A window without an event has fired silently; its first straggler gives its first row.
    #[test]
    fn a_straggler_may_be_the_first_of_its_window() {
        check(tumbling("5us"), 0, &["z@12 a@2"], &["[0,10) a=1", "[10,20) z=1"]);
    }

    /// b overtakes a after the window fired: a falls out of the top and is taken back as it was.
    #[test]
    fn a_group_that_falls_out_of_the_top_is_retracted() {
        let query = MetricText { top: Some(1), ..tumbling("5us") };
        let expected = ["[0,10) a=1", "[0,10) a=1 #1 gone", "[0,10) b=2", "[10,20) z=1"];
        check(query, 0, &["a@1 b@1 z@10 b@2"], &expected);
    }

    #[test]
    fn a_row_that_fails_having_is_retracted_and_may_come_back() {
        let query = MetricText { having: Some("count <> 2".into()), ..tumbling("5us") };
        let expected = ["[0,10) a=1", "[0,10) a=1 #1 gone", "[0,10) a=3 #2", "[10,20) z=1"];
        check(query, 0, &["a@1 z@10 a@2 a@3"], &expected);
    }

    /// b overtakes a in two steps: the first moves nobody else, the second moves a to the second place.
    #[test]
    fn a_row_whose_rank_alone_has_changed_is_written_again() {
        let query = MetricText { top: Some(2), ..tumbling("5us") };
        let expected = ["[0,10) a=2", "[0,10) b=1", "[0,10) b=2 #1", "[0,10) b=3 #2", "[0,10) a=2 #1", "[10,20) z=1"];
        check(query, 0, &["a@1 a@2 b@1 c@1 z@10 b@2 b@3"], &expected);
    }

    /// a and b share the first place until a comes again; then c, below them all the time, is not in question.
    #[test]
    fn rows_that_no_longer_tie_with_the_last_are_retracted() {
        let query = MetricText { top: Some(1), with_ties: true, ..tumbling("5us") };
        let expected =
            ["[0,10) a=2", "[0,10) b=2", "[0,10) d=2", "[0,10) b=2 #1 gone", "[0,10) d=2 #1 gone", "[0,10) a=3 #1"];
        check(query, 0, &["a@1 a@1 b@1 b@1 c@1 d@2 d@2 z@10 a@2"], &[&expected[..], &["[10,20) z=1"]].concat());
    }

    /// When a fails `--having` the next one moves up, as it was before, and goes again when a is back.
    #[test]
    fn a_place_left_by_a_row_that_fails_having_is_taken_by_the_next() {
        let query = MetricText { top: Some(1), having: Some("count <> 3".into()), ..tumbling("5us") };
        let expected = ["[0,10) a=2", "[0,10) a=2 #1 gone", "[0,10) b=1", "[0,10) b=1 #1 gone", "[0,10) a=4 #2"];
        check(query, 0, &["a@1 a@2 b@1 z@10 a@2 a@3"], &[&expected[..], &["[10,20) z=1"]].concat());
    }

    /// Each partition's events are judged by its own watermark: b is ahead, and its old event is late although the window,
    /// which waits for a, has not fired.
    /// ```text
    /// 0: a@1 ── a@3 ────────── end
    /// 1: b@2 ── b@20 ── b@4 (late: w of its own is 20)
    /// ```
    #[test]
    fn an_event_is_late_by_its_own_partition() {
        let expected = ["[0,10) a=2", "[0,10) b=1", "[20,30) b=1"];
        check(tumbling("0s"), 0, &["a@1 a@3", "b@2 b@20 b@4"], &expected);
    }

    /// A year in steps of a quarter, from the first with data.
    #[test]
    fn cumulative_windows_fire_at_every_step_from_the_first_with_data() {
        let query = MetricText { cumulate: Some("8us/2us".into()), ..MetricText::default() };
        check(query, 0, &["a@3 a@6"], &["[0,4) a=1", "[0,6) a=1", "[0,8) a=2"]);
    }
}
