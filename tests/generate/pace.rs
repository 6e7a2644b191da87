//! Runs: by a clock that stands still until it is waited for, on several threads, stopped, and left by their reader.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use evkit::generate::Profile;
use evkit::generate::disturb::Delay;
use evkit::generate::encode::Format;
use evkit::generate::random::Chance;
use evkit::generate::schedule::Rate;
use evkit::pipeline::generate::{End, Job, Outcome, run};
use evkit::pipeline::pace::Pacer;
use evkit::sink::memory::MemorySink;
use evkit::sink::{Sink, SinkError};
use evkit::time::{Clock, Duration, Timestamp};
use serde_json::Value;

use crate::{PROFILES, SECOND, bytes, disturbed, job, lines};

/// Runs a job that is not paced, or whose pace is of no account; gives its bytes too.
pub fn run_job(job: &Job) -> (Vec<u8>, Outcome) {
    let (pacer, mut sink) = (TestPacer::default(), MemorySink::new());
    let outcome = run(job, &pacer, &|| false, &mut sink).unwrap();
    (sink.flushed(), outcome)
}

/// What the truth file would hold.
pub fn truth(outcome: Outcome) -> Value {
    serde_json::from_slice(&outcome.truth.expect("the job asks for the truth").to_json()).unwrap()
}

/// A clock that moves only when it is waited for, and writes down when that was.
#[derive(Default)]
struct TestPacer {
    now: AtomicI64,
    sink: MemorySink,
    /// At each wait: the time, and how many lines the reader had seen.
    waits: Mutex<Vec<(i64, usize)>>,
}

impl Clock for TestPacer {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }
}

impl Pacer for TestPacer {
    fn sleep_until(&self, time: Timestamp) {
        let lines = self.sink.flushed().iter().filter(|&&byte| byte == b'\n').count();
        self.waits.lock().unwrap().push((self.now().0, lines));
        self.now.fetch_max(time.0, Ordering::Relaxed);
    }
}

/// 3 s at 1000 events/s, paced by the clock.
fn paced_job() -> Job {
    let mut job = job(Profile::Ecommerce);
    job.settings.events_max = None;
    job.settings.duration = Some(Duration(3 * SECOND));
    job.settings.rate = Some(Rate::Fixed { events: 1000, seconds: 1 });
    Job { speed: Some(1.0), ..job }
}

#[test]
fn a_paced_run_keeps_to_the_clock() {
    let check = |job: &Job, millis_per_line: i64, lines: usize| {
        let pacer = TestPacer::default();
        let outcome = run(job, &pacer, &|| false, &mut pacer.sink.clone()).unwrap();
        assert_eq!((outcome.end, outcome.lines, outcome.lag_max), (End::Finished, lines as u64, Duration(0)));
        for &(now, seen) in pacer.waits.lock().unwrap().iter() {
            assert_eq!(seen as i64, now / 1000 / millis_per_line + 1, "lines seen at {now} us");
        }
        assert!(pacer.sink.flushed() == bytes(&Job { speed: None, ..job.clone() }), "the pace shows in the bytes");
    };
    check(&paced_job(), 1, 3000);
    let mut fast = paced_job();
    fast.settings.rate = Some(Rate::Fixed { events: 1_000_000, seconds: 60_000 });
    fast.settings.duration = Some(Duration(120 * SECOND));
    check(&Job { speed: Some(60.0), ..fast }, 1, 2000);
    let mut slow = paced_job();
    slow.settings.rate = Some(Rate::Fixed { events: 4, seconds: 1 });
    check(&slow, 250, 12);
}

/// A reader that takes 10 ms for each write.
struct SlowSink<'a>(&'a TestPacer);

impl Sink for SlowSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.0.now.fetch_add(10_000, Ordering::Relaxed);
        self.0.sink.clone().write(bytes)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.0.sink.clone().flush()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.0.sink.clone().finish()
    }
}

#[test]
fn a_slow_reader_does_not_slow_the_schedule() {
    let pacer = TestPacer::default();
    let outcome = run(&paced_job(), &pacer, &|| false, &mut SlowSink(&pacer)).unwrap();
    assert!((9_000..=10_000).contains(&outcome.lag_max.0), "{:?}", outcome.lag_max);
    let end = pacer.now().0;
    assert!((3 * SECOND..3 * SECOND + 30_000).contains(&end), "took {end} us");
    assert!(pacer.sink.flushed() == bytes(&Job { speed: None, ..paced_job() }));
}

#[test]
fn a_paced_run_does_not_wait_for_its_stragglers() {
    let mut job = paced_job();
    job.settings.disturbances.late = Delay { by: Duration(3600 * SECOND), share: Chance::new(0.1) };
    let pacer = TestPacer::default();
    let outcome = run(&job, &pacer, &|| false, &mut pacer.sink.clone()).unwrap();
    assert_eq!((outcome.lines, outcome.lag_max), (3000, Duration(0)));
    assert!(pacer.now().0 <= 3 * SECOND, "took {} us", pacer.now().0);
}

#[test]
fn a_run_that_is_stopped_has_the_truth_of_what_it_wrote() {
    for job in [paced_job(), disturbed(Profile::Web), Job { threads: 3, ..disturbed(Profile::Web) }] {
        let (pacer, asked) = (TestPacer::default(), AtomicI64::new(0));
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 5;
        let outcome = run(&job, &pacer, &stop, &mut pacer.sink.clone()).unwrap();
        let written = pacer.sink.flushed();
        assert_eq!(outcome.end, End::Stopped);
        assert!(bytes(&Job { speed: None, ..job.clone() }).starts_with(&written) && !written.is_empty());
        assert_eq!(truth(outcome)["lines"], lines(&written).count());
    }
}

#[test]
fn a_reader_that_leaves_ends_the_run() {
    for mut job in [paced_job(), job(Profile::Iot), Job { threads: 3, ..job(Profile::Iot) }] {
        (job.settings.events_max, job.settings.duration) = (None, None);
        let outcome = run(&job, &TestPacer::default(), &|| false, &mut MemorySink::closing_after(1_000_000)).unwrap();
        assert_eq!(outcome.end, End::ReaderLeft);
        assert!(outcome.truth.is_none());
    }
}

#[test]
fn nothing_to_write_is_fine() {
    let mut job = job(Profile::Ecommerce);
    job.settings.events_max = Some(0);
    assert!(bytes(&job).is_empty());
    assert!(bytes(&Job { threads: 2, ..job.clone() }).is_empty());
    assert_eq!(lines(&bytes(&Job { format: Format::Csv, ..job })).count(), 1);
}

#[test]
fn the_number_of_threads_does_not_show() {
    for profile in PROFILES {
        for format in [Format::Ndjson, Format::Csv] {
            let with = |threads| {
                let (bytes, outcome) = run_job(&Job { threads, format, ..disturbed(profile) });
                assert_eq!(outcome.end, End::Finished);
                (bytes, outcome.lines, truth(outcome))
            };
            let one = with(1);
            assert!(one.0.len() > 2_000_000);
            assert!(one == with(2), "{profile:?} {format:?} with 2 threads");
            assert!(one == with(5), "{profile:?} {format:?} with 5 threads");
        }
    }
}
