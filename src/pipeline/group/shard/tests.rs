//! Both stages without Kafka, against one straight run: random events, cuts, interleavings, kills and hand-overs.

use std::collections::BTreeMap;

use super::*;
use crate::pipeline::group::parcel::{Packer, Silence};
use crate::plan::MetricText;
use crate::watermark::{Progress, Run};
use crate::window::combine::Combiner;
use crate::window::operator::Input;
use crate::window::testing::{projected, splitmix64, straight};

const FINGERPRINT: u64 = 5;

/// Some thousand streams, each with other queries.
const CASES: u64 = 3000;

struct Case {
    plan: Arc<Plan>,
    is_late_allowed: bool,
    delay: i64,
    events: Vec<Vec<String>>,
}

fn below(seed: &mut u64, bound: u64) -> u64 {
    splitmix64(seed) % bound
}

fn queries(seed: &mut u64) -> (Vec<MetricText>, bool) {
    let lateness = [0, 0, 3, 9][below(seed, 4) as usize];
    let agg = "count(*) AS n, sum(t) AS s, first(t) AS f, last(t) AS l, count(DISTINCT t) AS d";
    let base = |name: &str| MetricText {
        name: Some(name.into()),
        by: Some("g".into()),
        agg: Some(agg.into()),
        allowed_lateness: Some(format!("{lateness}us")),
        ..MetricText::default()
    };
    let text = |text: &str| Some(text.to_owned());
    let gap = 1 + below(seed, 6);
    let texts = vec![
        MetricText { tumbling: text("5us"), ..base("tumbling") },
        MetricText { sliding: text("7us/3us"), ..base("sliding") },
        MetricText { sliding: text("2us/5us"), ..base("gaps") },
        MetricText { cumulate: text("8us/2us"), ..base("cumulate") },
        MetricText { session: Some(format!("{gap}us")), ..base("session") },
        MetricText { session: Some(format!("{gap}us")), session_max: text("11us"), ..base("cut") },
        MetricText { tumbling: text("6us"), top: Some(2), ..base("top") },
        MetricText { tumbling: text("4us"), having: text("n > 1"), ..base("having") },
        MetricText { global: true, allowed_lateness: None, ..base("global") },
    ];
    (texts, lateness > 0)
}

fn case(seed: &mut u64) -> Case {
    let (texts, is_late_allowed) = queries(seed);
    let plan = Arc::new(Plan::build(&texts).unwrap());
    let partitions = 1 + below(seed, 3);
    let delay = below(seed, 5) as i64;
    let disorder = below(seed, 14) as i64;
    let events = (0..partitions).map(|partition| {
        let mut time = below(seed, 10) as i64;
        let count = below(seed, 40);
        let event = |_| {
            time += below(seed, 4) as i64;
            let at = time - below(seed, 1 + disorder as u64) as i64;
            // Sessions can only be found anew where a group lives in one partition.
            format!("{}{}@{at}", ["a", "b", "c"][below(seed, 3) as usize], partition)
        };
        (0..count).map(event).collect()
    });
    Case { plan, is_late_allowed, delay, events: events.collect() }
}

/// One partition of the input, as its stage has it: what is committed, and what came since.
#[derive(Clone, Copy)]
struct Place {
    next: usize,
    highest: Timestamp,
}

/// What both stages give: events are read in random pieces, partitions by turns, some pieces are lost before they are committed, and
/// shards are saved and taken on by others.
fn in_stages(case: &Case, seed: &mut u64) -> Vec<Output> {
    let shards_count = 1 + below(seed, 3) as usize;
    let inputs = case.events.len();
    let mut shards: Vec<Shard> = (0..shards_count).map(|_| Shard::new(&case.plan, FINGERPRINT, None)).collect();
    let mut committed = vec![Place { next: 0, highest: Timestamp::MIN }; inputs];
    let mut out = Vec::new();
    loop {
        let left: Vec<usize> = (0..inputs).filter(|&p| committed[p].next < case.events[p].len()).collect();
        let is_over = left.is_empty();
        // A process has some of the partitions.
        let own: Vec<usize> = match is_over {
            true => (0..inputs).collect(),
            false => left.into_iter().filter(|_| below(seed, 3) > 0).collect(),
        };
        let mut combiner = Combiner::new(case.plan.queries.to_vec(), 1 + below(seed, 2) as usize);
        let mut places = committed.clone();
        for _ in 0..below(seed, 4) {
            for &partition in &own {
                let place = &mut places[partition];
                let count = (below(seed, 6) as usize).min(case.events[partition].len() - place.next);
                if count > 0 {
                    fold(case, &mut combiner, partition, place, count);
                }
            }
        }
        if below(seed, 4) == 0 && !is_over {
            // It was killed before it committed.
            continue;
        }
        let marks: Vec<Mark> = own.iter().map(|&partition| mark(case, partition, &places, is_over)).collect();
        for (shard, parcels) in pack(case, &mut combiner, &marks, shards_count).into_iter().enumerate() {
            for parcel in parcels {
                take(&mut shards[shard], &parcel, &mut out);
                if below(seed, 3) == 0 {
                    let mut saved = Vec::new();
                    shards[shard].save(&mut saved);
                    shards[shard] = Shard::new(&case.plan, FINGERPRINT, None);
                    shards[shard].restore(&saved).unwrap();
                    let mut again = Vec::new();
                    shards[shard].save(&mut again);
                    assert!(saved == again, "a shard is saved as it was taken on");
                }
            }
        }
        committed = places;
        if is_over {
            return out;
        }
    }
}

fn fold(case: &Case, combiner: &mut Combiner, partition: usize, place: &mut Place, count: usize) {
    let events: Vec<&str> = case.events[partition][place.next..][..count].iter().map(String::as_str).collect();
    let id = PartitionId(partition as u32);
    let projected = projected(&case.plan, id, &events);
    let run = Run {
        partition: id,
        batch: 0,
        rows: 0..count,
        position: (partition as u64) << 32 | place.next as u64,
        own: Progress::Bounded { highest: place.highest, delay: Duration(case.delay) },
        others: Timestamp::MIN,
        floor: Timestamp::MIN,
    };
    let input = [Input { run: &run, projected: &projected }];
    let found = combiner.workers().iter_mut().map(|worker| worker.fold(&input)).collect();
    combiner.apply(found);
    place.highest = place.highest.max(projected.maximum.before(count));
    place.next += count;
}

fn mark(case: &Case, partition: usize, places: &[Place], is_over: bool) -> Mark {
    let watermark = match is_over {
        true => Timestamp::MAX,
        false => Timestamp(places[partition].highest.0.saturating_sub(case.delay)),
    };
    Mark { partition: PartitionId(partition as u32), watermark, silence: Silence::AWAKE }
}

fn pack(case: &Case, combiner: &mut Combiner, marks: &[Mark], shards: usize) -> Vec<Vec<Vec<u8>>> {
    let mut packers: Vec<Packer> = (0..shards).map(|_| Packer::new(FINGERPRINT, case.events.len() as u32)).collect();
    let mut parcels: Vec<Vec<Vec<u8>>> = vec![Vec::new(); shards];
    for piece in combiner.workers().iter_mut().flat_map(|worker| worker.drain()) {
        let is_top = case.plan.queries[piece.metric].presentation.top.is_some();
        let shard = if is_top { 0 } else { piece.key.iter().map(|&byte| usize::from(byte)).sum::<usize>() % shards };
        parcels[shard].extend(packers[shard].add(&piece));
    }
    for (packer, parcels) in packers.iter_mut().zip(&mut parcels) {
        parcels.push(packer.close(marks));
    }
    parcels
}

fn take(shard: &mut Shard, parcel: &[u8], out: &mut Vec<Output>) {
    let mut late = Vec::new();
    shard.take(parcel, out, &mut late).unwrap();
    // Whether a session takes an event is for the second stage to say.
    late.retain(|partial| matches!(shard.plan.queries[partial.metric].windows, crate::window::Windows::Aligned(_)));
    assert_eq!(late, [], "what the first stage found in time is in time");
    while shard.fire(out) {}
}

/// Rows as they count: all of them, or, where windows fire again, the last one of each window and group that still holds.
fn counted(outputs: Vec<Output>, is_last: bool) -> Vec<String> {
    let rows = outputs.into_iter().map(|output| match output {
        Output::Row(row) => row,
        Output::Partial(partial) => panic!("rows were asked for, not {partial:?}"),
    });
    if !is_last {
        let mut rows: Vec<String> = rows.map(|row| format!("{row:?}")).collect();
        rows.sort();
        return rows;
    }
    let mut last = BTreeMap::new();
    for row in rows {
        let name = format!("{} {:?} {:?}", row.metric, row.window, row.groups);
        // Ranks are compared too; how often a row was written before is not.
        let value = (!row.retracted).then(|| format!("{:?} {:?}", row.aggregates, row.rank));
        last.insert(name, value);
    }
    last.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect()
}

#[test]
fn two_stages_give_what_one_straight_run_gives() {
    let mut seed = 11;
    for number in 0..CASES {
        let before = seed;
        let case = case(&mut seed);
        let events: Vec<Vec<&str>> =
            case.events.iter().map(|events| events.iter().map(String::as_str).collect()).collect();
        let expected = counted(straight(&case.plan, case.delay, &events), case.is_late_allowed);
        let found = counted(in_stages(&case, &mut seed), case.is_late_allowed);
        let missing: Vec<&String> = expected.iter().filter(|row| !found.contains(row)).collect();
        let surplus: Vec<&String> = found.iter().filter(|row| !expected.contains(row)).collect();
        assert!(
            found == expected,
            "case {number}, seed {before}: delay {}, events {:?}\nmissing {missing:#?}\nsurplus {surplus:#?}",
            case.delay,
            case.events
        );
    }
}

#[test]
fn parcels_of_other_queries_are_refused() {
    let plan = Arc::new(Plan::build(&[MetricText { tumbling: Some("1s".into()), ..MetricText::default() }]).unwrap());
    let mut shard = Shard::new(&plan, FINGERPRINT, None);
    let parcel = Packer::new(FINGERPRINT + 1, 1).close(&[]);
    let refused = shard.take(&parcel, &mut Vec::new(), &mut Vec::new());
    assert!(matches!(refused, Err(ShardError::OtherQuery)), "{refused:?}");
}

/// Time waits for every partition, goes on without those that are idle, and with the clock when all have been silent for long.
#[test]
fn time_goes_on_with_those_that_are_heard() {
    let plan = Arc::new(Plan::build(&[MetricText { tumbling: Some("1s".into()), ..MetricText::default() }]).unwrap());
    let mut shard = Shard::new(&plan, FINGERPRINT, None);
    let mut check = |marks: &[(u32, i64, Silence)], expected: Timestamp| {
        let mark = |&(partition, time, silence): &(u32, i64, Silence)| Mark {
            partition: PartitionId(partition),
            watermark: if time < 0 { Timestamp::MIN } else { Timestamp(time) },
            silence,
        };
        let parcel = Packer::new(FINGERPRINT, 2).close(&marks.iter().map(mark).collect::<Vec<_>>());
        take(&mut shard, &parcel, &mut Vec::new());
        assert_eq!(shard.watermark(), expected, "{marks:?}");
    };
    let awake = Silence::AWAKE;
    let idle = Silence { is_idle: true, closing: None };
    let closing = |micros, is_idle| Silence { is_idle, closing: Some(Duration(micros)) };
    check(&[(0, 10, awake)], Timestamp::MIN);
    check(&[(1, 5, awake)], Timestamp(5));
    check(&[(1, 5, idle)], Timestamp(10));
    // One that wakes joins at once; what has passed has passed.
    check(&[(1, 7, awake)], Timestamp(10));
    check(&[(0, 12, idle), (1, 7, idle)], Timestamp(10));
    check(&[(0, 12, closing(4, true))], Timestamp(10));
    check(&[(1, 7, closing(2, true))], Timestamp(14));
    check(&[(1, 7, closing(9, true))], Timestamp(16));
    // Silence for --idle-close alone holds nothing up and fires nothing while another goes on.
    check(&[(0, 20, awake), (1, 18, closing(50, false))], Timestamp(18));
    check(&[(0, 30, awake)], Timestamp(18));
}
