//! The states of all groups of one table: folded from batches, merged, read out, and written as partials.
//!
//! Knows how results are made of states, and nothing of how states add and merge.

use crate::aggregate::encoding::Reader;
use crate::aggregate::exact_sum::ExactSum;
use crate::aggregate::rounding::Parts;
use crate::aggregate::states::{Selection, States};
use crate::aggregate::variance::Moments;
use crate::aggregate::{Error, Function};
use crate::batch::{Column, EventBatch};
use crate::value::Value;
use std::sync::Arc;

/// The accumulators of all groups of one table: for each aggregate one state a group.
#[derive(Debug, Clone)]
pub struct Accumulators {
    functions: Arc<[Function]>,
    states: Vec<States>,
    groups: u32,
    /// One group each, into which partials are read: those are many, and small.
    decoded: Vec<States>,
}

/// First byte of every partial.
const VERSION: u8 = 1;

impl Accumulators {
    /// Accumulators of these aggregates, without groups. The functions are shared: to make many tables, clone an empty one.
    pub fn new(functions: &[Function]) -> Self {
        let states = functions.iter().map(States::of).collect();
        Accumulators { functions: functions.into(), states, groups: 0, decoded: Vec::new() }
    }

    /// The aggregates.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Number of groups.
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// Adds a group without events; its number is the next one.
    pub fn add_group(&mut self) -> u32 {
        self.states.iter_mut().for_each(States::add_group);
        self.groups += 1;
        self.groups - 1
    }

    /// Makes `group` one without events, so that its number can be given to another. Frees what it held.
    pub fn reset_group(&mut self, group: u32) {
        self.states.iter_mut().for_each(|states| states.reset_group(group as usize));
    }

    /// Folds row `rows[i]` of the columns into group `groups[i]`, for each i, where the row's cell of `filter` is TRUE.
    ///
    /// Without `input` it is `count(*)`; every other function needs one. Without `filter` every row counts. `batch` gives
    /// the text, times and places of the rows. Cells of a wrong type are taken for NULL and counted in `nulled`.
    #[expect(clippy::too_many_arguments, reason = "each is a vector of its own, named once by one caller")]
    pub fn update(
        &mut self,
        aggregate: usize,
        groups: &[u32],
        rows: &[u32],
        input: Option<&Column>,
        filter: Option<&Column>,
        batch: &EventBatch,
        nulled: &mut u64,
    ) {
        debug_assert_eq!(groups.len(), rows.len(), "one group a row");
        let selection = Selection { groups, rows, filter };
        match input {
            Some(column) => self.states[aggregate].update(selection, column, batch, nulled),
            None => self.states[aggregate].update_rows(selection),
        }
    }

    /// Takes all that `group` of `from` has into the group `into`. Both have the same aggregates.
    pub fn merge_group(&mut self, into: u32, from: &Accumulators, group: u32) {
        for (own, other) in self.states.iter_mut().zip(&from.states) {
            own.merge(into as usize, other, group as usize);
        }
    }

    /// Takes all that group `from` has into the group `into` of the same accumulators. `from` keeps what it has.
    pub fn merge_within(&mut self, into: u32, from: u32) {
        let states = self.functions.iter().map(States::of).collect();
        let mut moved = Accumulators { functions: Arc::clone(&self.functions), states, groups: 0, decoded: Vec::new() };
        let group = moved.add_group();
        moved.merge_group(group, self, from);
        self.merge_group(into, &moved, group);
    }

    /// The result of one aggregate for one group. `window_seconds`, the window's length, is what `rate` divides by: NULL
    /// where the window has none.
    pub fn finish(&self, aggregate: usize, group: u32, window_seconds: Option<f64>) -> Value {
        let group = group as usize;
        let double = |value: Option<f64>| value.map_or(Value::Null, Value::Float);
        match &self.states[aggregate] {
            States::Count(counts) => Value::Int(counts[group].into()),
            States::Distinct(sets) => Value::Int(sets[group].count().into()),
            States::ApproxDistinct(sketches) => Value::Int(sketches[group].estimate().into()),
            States::Sum(sums) => match self.functions[aggregate] {
                Function::Rate => double(window_seconds.and_then(|seconds| rate(&sums[group], seconds))),
                _ => sums[group].value(),
            },
            States::Average(averages) => {
                let (sum, count) = &averages[group];
                double(sum.quotient(*count, 0))
            }
            States::Extreme(extremes, _) => extremes[group].value(),
            States::Positioned(positioned, _) => positioned[group].value(),
            States::Moments(moments) => double(spread(&self.functions[aggregate], &moments[group])),
            States::Samples(samples) => match self.functions[aggregate] {
                Function::PercentileDisc(fraction) => samples[group].discrete(fraction),
                Function::PercentileCont(fraction) => samples[group].continuous(fraction),
                _ => unreachable!("only exact percentiles keep samples"),
            },
            States::Sketch(sketches) => match self.functions[aggregate] {
                Function::ApproxPercentile(fraction) => double(sketches[group].quantile(fraction)),
                _ => unreachable!("only approximate percentiles keep a sketch"),
            },
            States::Greatest(greatest, _) => greatest[group].value(),
        }
    }

    /// Appends the partial of a group: a version, then for each aggregate its kind of state and the state. Groups that
    /// have taken in the same events have the same bytes.
    pub fn encode_group(&self, group: u32, out: &mut Vec<u8>) {
        out.push(VERSION);
        for states in &self.states {
            out.push(states.kind());
            states.encode(group as usize, out);
        }
    }

    /// The partial of a group with those aggregates only that `keeps` names by number: as accumulators of these functions
    /// alone would write it.
    pub fn encode_some(&self, group: u32, keeps: impl Fn(usize) -> bool, out: &mut Vec<u8>) {
        out.push(VERSION);
        for (_, states) in self.states.iter().enumerate().filter(|(aggregate, _)| keeps(*aggregate)) {
            out.push(states.kind());
            states.encode(group as usize, out);
        }
    }

    /// Takes all that a partial has into a group. On an error the group is as it was.
    pub fn decode_into_group(&mut self, group: u32, bytes: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        if self.decoded.is_empty() {
            self.decoded = self.functions.iter().map(States::of).collect();
            self.decoded.iter_mut().for_each(States::add_group);
        }
        for states in &mut self.decoded {
            if reader.byte()? != states.kind() {
                return Err(Error::OtherAggregates);
            }
            states.decode(0, &mut reader)?;
        }
        reader.finish()?;
        for (own, other) in self.states.iter_mut().zip(&self.decoded) {
            own.merge(group as usize, other, 0);
        }
        Ok(())
    }
}

/// The exact sum divided by the exact seconds, rounded once.
fn rate(sum: &ExactSum, seconds: f64) -> Option<f64> {
    if !(seconds.is_finite() && seconds > 0.0) {
        return None;
    }
    let parts = Parts::of(seconds);
    sum.quotient(parts.mantissa, parts.exponent)
}

fn spread(function: &Function, moments: &Moments) -> Option<f64> {
    match function {
        Function::VarSamp => moments.variance(1),
        Function::VarPop => moments.variance(0),
        Function::StddevSamp => moments.variance(1).map(f64::sqrt),
        Function::StddevPop => moments.variance(0).map(f64::sqrt),
        _ => unreachable!("only variances keep moments"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::{Random, batch};
    use crate::time::Timestamp;

    fn folded(function: &Function, values: &[Value]) -> (Accumulators, u64) {
        let times: Vec<i64> = (0..values.len() as i64).collect();
        let batch = batch(0, 0, values, &times);
        let mut accumulators = Accumulators::new(std::slice::from_ref(function));
        let mut nulled = 0;
        let group = accumulators.add_group();
        let rows: Vec<u32> = (0..values.len() as u32).collect();
        let groups = vec![group; rows.len()];
        accumulators.update(0, &groups, &rows, Some(&batch.columns[0]), None, &batch, &mut nulled);
        (accumulators, nulled)
    }

    /// Over these values, in a window of a minute, at one event a microsecond.
    fn check(function: Function, values: &[Value], expected: Value) {
        let (accumulators, _) = folded(&function, values);
        assert_eq!(accumulators.finish(0, 0, Some(60.0)), expected, "{function:?} of {values:?}");
    }

    const NULL: Value = Value::Null;

    fn i(value: i128) -> Value {
        Value::Int(value)
    }

    fn f(value: f64) -> Value {
        Value::Float(value)
    }

    fn t(value: &str) -> Value {
        Value::Text(value.into())
    }

    #[test]
    fn counts() {
        check(Function::Count, &[], i(0));
        check(Function::Count, &[i(1), NULL, t("a"), Value::Bool(false)], i(3));
        for function in [Function::CountDistinct, Function::ApproxCountDistinct] {
            check(function.clone(), &[], i(0));
            check(function.clone(), &[NULL, NULL], i(0));
            check(function.clone(), &[i(1), f(1.0), t("1"), f(1.5), f(0.0), f(-0.0), Value::Bool(true)], i(5));
            check(function.clone(), &[t("a"), t("b"), t("a"), t(""), Value::Json("[]".into()), t("[]")], i(5));
            check(function.clone(), &[i(7), Value::Time(Timestamp(7)), i(u64::MAX.into()), i(-1)], i(4));
        }
    }

    #[test]
    fn sums_and_averages() {
        check(Function::Sum, &[], NULL);
        check(Function::Sum, &[NULL, t("5")], NULL);
        check(Function::Sum, &[i(1), NULL, i(2)], i(3));
        check(Function::Sum, &[f(0.1), f(0.2), f(0.3)], f(0.6));
        check(Function::Sum, &[i(1), f(0.5), i(u64::MAX.into())], f(18446744073709551616.0));
        check(Function::Sum, &[f(f64::MAX), f(f64::MAX)], NULL);
        check(Function::Avg, &[], NULL);
        check(Function::Avg, &[i(1), NULL, i(2)], f(1.5));
        check(Function::Avg, &[i(1), i(1), i(2)], f(4.0 / 3.0));
        check(Function::Avg, &[f(f64::MAX), f(f64::MAX)], f(f64::MAX));
        check(Function::Rate, &[], NULL);
        check(Function::Rate, &[i(30), f(0.0)], f(0.5));
    }

    #[test]
    fn rate_needs_a_window_with_a_length() {
        let (accumulators, _) = folded(&Function::Rate, &[i(1), i(2)]);
        let cases = [(Some(0.25), f(12.0)), (Some(0.3), f(10.0)), (Some(0.0), NULL), (Some(-1.0), NULL), (None, NULL)];
        for (seconds, expected) in cases {
            assert_eq!(accumulators.finish(0, 0, seconds), expected, "{seconds:?}");
        }
    }

    #[test]
    fn extremes() {
        check(Function::Min, &[NULL], NULL);
        check(Function::Min, &[i(3), f(2.5), i(i64::MAX.into())], f(2.5));
        check(Function::Max, &[i(9007199254740993), f(9007199254740992.0)], i(9007199254740993));
        check(Function::Max, &[t("a"), t("b"), t("aa")], t("b"));
        check(Function::Max, &[t("1"), i(2), Value::Bool(true)], t("1"));
        check(Function::Min, &[t("1"), i(2)], i(2));
        check(Function::Max, &[Value::Time(Timestamp(5)), Value::Time(Timestamp(3))], Value::Time(Timestamp(5)));
        check(Function::TopK(2), &[], NULL);
        check(Function::TopK(2), &[i(1), NULL], Value::Array(vec![i(1)]));
        check(Function::TopK(3), &[i(1), i(5), f(2.5), i(5), i(0)], Value::Array(vec![i(5), i(5), f(2.5)]));
        check(Function::TopK(1), &[t("b"), t("a")], Value::Array(vec![t("b")]));
    }

    #[test]
    fn spreads() {
        check(Function::VarSamp, &[], NULL);
        check(Function::VarSamp, &[i(1)], NULL);
        check(Function::VarPop, &[i(1)], f(0.0));
        check(Function::VarSamp, &[i(1), f(2.0), i(3), NULL, t("9")], f(1.0));
        check(Function::StddevPop, &[i(2), i(4), i(4), i(4), i(5), i(5), i(7), i(9)], f(2.0));
        check(Function::StddevSamp, &[f(1e9 + 0.25), f(1e9 + 0.5), f(1e9 + 0.75)], f(0.25));
    }

    #[test]
    fn percentiles() {
        check(Function::PercentileCont(0.5), &[], NULL);
        check(Function::PercentileCont(0.5), &[i(1), i(2), i(4), f(3.0)], f(2.5));
        check(Function::PercentileCont(0.25), &[i(10), i(20), i(30)], f(15.0));
        check(Function::PercentileCont(1.0), &[f(3.5), f(1.5)], f(3.5));
        check(Function::PercentileCont(0.5), &[f(-f64::MAX), f(f64::MAX)], f(0.0));
        check(Function::PercentileCont(0.5), &[i(u64::MAX.into()), i(u64::MAX.into())], f(18446744073709551616.0));
        check(Function::PercentileDisc(0.5), &[], NULL);
        check(Function::PercentileDisc(0.5), &[i(1), i(2), i(3), i(4)], i(2));
        check(Function::PercentileDisc(0.51), &[i(1), i(2), f(3.5), i(4)], f(3.5));
        check(Function::PercentileDisc(0.0), &[i(9), i(7)], i(7));
        check(Function::PercentileDisc(1.0), &[i(9), i(7)], i(9));
        check(Function::ApproxPercentile(0.5), &[], NULL);
        check(Function::ApproxPercentile(0.5), &[i(0), NULL, f(0.0)], f(0.0));
    }

    #[test]
    fn first_and_last_go_by_time_then_partition_then_offset() {
        let mut accumulators = Accumulators::new(&[Function::First, Function::Last]);
        accumulators.add_group();
        let batches = [
            batch(1, 100, &[t("late"), NULL, t("b")], &[9, 0, 5]),
            batch(0, 500, &[t("c"), t("d"), t("e")], &[5, 5, 9]),
            batch(1, 0, &[t("before late")], &[9]),
        ];
        for batch in &batches {
            let rows: Vec<u32> = (0..batch.rows() as u32).collect();
            for aggregate in 0..2 {
                let groups = vec![0; rows.len()];
                accumulators.update(aggregate, &groups, &rows, Some(&batch.columns[0]), None, batch, &mut 0);
            }
        }
        assert_eq!(accumulators.finish(0, 0, None), t("c"));
        assert_eq!(accumulators.finish(1, 0, None), t("late"));
    }

    #[test]
    fn wrong_types_are_counted_where_numbers_are_wanted() {
        let values =
            [t("1"), Value::Bool(true), Value::Json("{}".into()), Value::Time(Timestamp(1)), NULL, i(1), f(2.0)];
        for (function, expected) in [
            (Function::Sum, 4),
            (Function::Avg, 4),
            (Function::Rate, 4),
            (Function::VarPop, 4),
            (Function::PercentileCont(0.5), 4),
            (Function::PercentileDisc(0.5), 4),
            (Function::ApproxPercentile(0.5), 4),
            (Function::Count, 0),
            (Function::CountDistinct, 0),
            (Function::Max, 0),
            (Function::TopK(1), 0),
            (Function::Last, 0),
        ] {
            assert_eq!(folded(&function, &values).1, expected, "{function:?}");
        }
    }

    #[test]
    fn only_rows_that_the_filter_takes_are_folded() {
        let batch = batch(0, 0, &[i(1), i(2), i(4), i(8)], &[0, 1, 2, 3]);
        let mut filter = Column::new();
        for value in [Value::Bool(true), Value::Bool(false), NULL, Value::Bool(true)] {
            filter.push_value(&value, &mut Vec::new());
        }
        let mut accumulators = Accumulators::new(&[Function::Count, Function::Sum]);
        (0..2).for_each(|_| _ = accumulators.add_group());
        let (groups, rows) = ([0, 1, 0, 1], [0, 1, 2, 3]);
        accumulators.update(0, &groups, &rows, None, Some(&filter), &batch, &mut 0);
        accumulators.update(1, &groups, &rows, Some(&batch.columns[0]), Some(&filter), &batch, &mut 0);
        assert_eq!([0, 1].map(|group| accumulators.finish(0, group, None)), [i(1), i(1)]);
        assert_eq!([0, 1].map(|group| accumulators.finish(1, group, None)), [i(1), i(8)]);
        accumulators.reset_group(1);
        assert_eq!([0, 1].map(|group| accumulators.finish(0, group, None)), [i(1), i(0)]);
        assert_eq!([0, 1].map(|group| accumulators.finish(1, group, None)), [i(1), NULL]);
    }

    fn every_function() -> Vec<Function> {
        let mut functions: Vec<Function> = crate::aggregate::FUNCTION_NAMES
            .iter()
            .map(|name| {
                let parameters: &[f64] = match *name {
                    "topk" => &[5.0],
                    name if name.contains("percentile") => &[0.9],
                    _ => &[],
                };
                Function::from_name(name, false, parameters).expect("a known name")
            })
            .collect();
        functions.push(Function::CountDistinct);
        functions
    }

    fn random_value(random: &mut Random) -> Value {
        match random.below(14) {
            0 => NULL,
            1 => Value::Bool(random.below(2) == 0),
            2 => Value::Int(random.next().into()),
            3 => i((random.next() as i64).into()),
            4 => i(i128::from(random.below(20)) - 10),
            5 => f(random.below(20) as f64 - 10.0),
            6..8 => f(random.below(100_000) as f64 / 100.0),
            8 => f(random.double()),
            9 => f(-0.0),
            10..12 => t(&format!("text-{}", random.below(3000))),
            12 => Value::Json(format!("[{}]", random.below(5)).into()),
            _ => Value::Time(Timestamp(random.below(100) as i64)),
        }
    }

    fn partials(accumulators: &Accumulators) -> Vec<Vec<u8>> {
        let encode = |group| {
            let mut bytes = Vec::new();
            accumulators.encode_group(group, &mut bytes);
            bytes
        };
        (0..accumulators.groups()).map(encode).collect()
    }

    /// Every row goes to a random one of `parts` tables, rows of a table in random order; then two random tables are
    /// merged, half of the times through bytes, until one is left.
    fn folded_apart(
        functions: &[Function],
        batches: &[EventBatch],
        groups: u64,
        parts: u64,
        random: &mut Random,
    ) -> Accumulators {
        let empty = || {
            let mut table = Accumulators::new(functions);
            (0..groups).for_each(|_| _ = table.add_group());
            table
        };
        let mut tables: Vec<Accumulators> = (0..parts).map(|_| empty()).collect();
        let mut order: Vec<usize> = (0..batches.len()).collect();
        (1..order.len()).rev().for_each(|i| order.swap(i, random.below(i as u64 + 1) as usize));
        for batch in order.into_iter().map(|i| &batches[i]) {
            let mut rows: Vec<u32> = (0..batch.rows() as u32).collect();
            (1..rows.len()).rev().for_each(|i| rows.swap(i, random.below(i as u64 + 1) as usize));
            for row in rows {
                let table = &mut tables[random.below(parts) as usize];
                update_all(table, &[row], groups, batch);
            }
        }
        while tables.len() > 1 {
            let from = tables.swap_remove(random.below(tables.len() as u64) as usize);
            let into = random.below(tables.len() as u64) as usize;
            for (group, bytes) in partials(&from).iter().enumerate() {
                if random.below(2) == 0 {
                    tables[into].merge_group(group as u32, &from, group as u32);
                } else {
                    tables[into].decode_into_group(group as u32, bytes).expect("own bytes can be read");
                }
            }
        }
        tables.swap_remove(0)
    }

    /// The group of a row is its time modulo the number of groups.
    fn update_all(table: &mut Accumulators, rows: &[u32], groups: u64, batch: &EventBatch) {
        let numbers: Vec<u32> = rows.iter().map(|row| (batch.times[*row as usize].0 as u64 % groups) as u32).collect();
        for aggregate in 0..table.functions().len() {
            table.update(aggregate, &numbers, rows, Some(&batch.columns[0]), None, batch, &mut 0);
        }
    }

    #[test]
    fn any_split_and_order_of_merges_gives_the_same_bytes_and_results() {
        let functions = every_function();
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let groups = 1 + random.below(3);
            let batches: Vec<EventBatch> = (0..1 + random.below(4))
                .map(|number| {
                    let rows = random.below(if seed < 50 { 60 } else { 4000 });
                    let values: Vec<Value> = (0..rows).map(|_| random_value(&mut random)).collect();
                    let times: Vec<i64> = values.iter().map(|_| random.below(50) as i64).collect();
                    batch(random.below(2) as u32, number * 100_000, &values, &times)
                })
                .collect();
            let mut straight = Accumulators::new(&functions);
            (0..groups).for_each(|_| _ = straight.add_group());
            for batch in &batches {
                let rows: Vec<u32> = (0..batch.rows() as u32).collect();
                update_all(&mut straight, &rows, groups, batch);
            }
            let parts = 1 + random.below(6);
            let merged = folded_apart(&functions, &batches, groups, parts, &mut random);
            for (aggregate, function) in functions.iter().enumerate() {
                for group in 0..groups as u32 {
                    let results = [&straight, &merged].map(|table| table.finish(aggregate, group, Some(7.0)));
                    assert_eq!(results[0], results[1], "seed {seed}: {function:?}");
                }
            }
            assert_eq!(partials(&straight), partials(&merged), "seed {seed}");
        }
    }

    #[test]
    fn forged_partials_are_errors_or_harmless() {
        let functions = every_function();
        let mut table = Accumulators::new(&functions);
        table.add_group();
        let mut random = Random::new(1);
        let values: Vec<Value> = (0..80).map(|_| random_value(&mut random)).collect();
        let batch = batch(0, 0, &values, &vec![0; 80]);
        update_all(&mut table, &(0..80).collect::<Vec<_>>(), 1, &batch);
        let good = partials(&table).remove(0);
        let mut read = 0;
        for seed in 0..20_000 {
            let mut random = Random::new(seed);
            let mut bytes = good.clone();
            for _ in 0..1 + random.below(3) {
                let place = random.below(bytes.len() as u64) as usize;
                match random.below(4) {
                    0 => bytes[place] = random.next() as u8,
                    1 => bytes[place] ^= 1 << random.below(8),
                    2 => bytes.insert(place, [0, 0x7f, 0x80, 0xff][random.below(4) as usize]),
                    _ => bytes.truncate(place.max(1)),
                }
            }
            let mut into = Accumulators::new(&functions);
            into.add_group();
            let untouched = partials(&into);
            if into.decode_into_group(0, &bytes).is_err() {
                assert_eq!(partials(&into), untouched, "seed {seed}: an error must leave the group as it was");
                continue;
            }
            read += 1;
            assert_eq!(partials(&into)[0], bytes, "seed {seed}: what is read is canonical");
            into.decode_into_group(0, &bytes).expect("it was read before");
            into.merge_group(0, &table, 0);
            (0..functions.len()).for_each(|aggregate| _ = into.finish(aggregate, 0, Some(1.0)));
        }
        assert!(read > 100, "only {read} forged partials could be read: the test shows nothing");
    }

    #[test]
    fn partials_of_another_query_or_version_are_refused() {
        let (sums, _) = folded(&Function::Sum, &[i(1)]);
        let mut bytes = partials(&sums).remove(0);
        let (mut counts, _) = folded(&Function::Count, &[]);
        assert_eq!(counts.decode_into_group(0, &bytes), Err(Error::OtherAggregates));
        bytes[0] = 9;
        assert_eq!(counts.decode_into_group(0, &bytes), Err(Error::Version(9)));
        assert!(counts.decode_into_group(0, &[]).is_err());
    }
}
