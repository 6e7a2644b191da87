//! Sees to it that lines arrive: tries again what may succeed later, halves what is too long, finds the lines that a server
//! refuses and gives them back with its words.
//!
//! A server that says 400 has stored nothing of a batch, one that says 422 the good part; both are taken for the former, since a
//! point that is sent twice is one point. Knows nothing of what lines say and of when they are sent.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::store::error::Fault;
use crate::store::influx::batch::Batch;
use crate::store::influx::client::{Client, gzip};
use crate::store::influx::error::InfluxError;

/// The pause before the second try, doubled before each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What lasts no longer is no trouble to speak of.
const TROUBLE: Duration = Duration::from_secs(3);

/// Pauses are cut into parts of this length, so that a request to stop is soon seen.
const PAUSE_PART: Duration = Duration::from_millis(50);

/// A writer's right to write, which somebody else may have taken over by now.
pub trait Lease {
    /// How long a request that is sent now may take at most; `None` if nothing may be sent any more.
    fn limit(&mut self) -> Option<Duration>;

    /// Takes note of a request that has failed for a while and is made again.
    fn note_trouble(&mut self, _error: &InfluxError) {}

    /// Whether nothing is to be tried again: the process is about to end.
    fn is_hurried(&self) -> bool {
        false
    }
}

/// The right of whoever writes alone.
#[derive(Debug, Clone, Copy)]
pub struct Sole;

impl Lease for Sole {
    fn limit(&mut self) -> Option<Duration> {
        Some(Duration::MAX)
    }
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The server.
    #[error(transparent)]
    Influx(#[from] InfluxError),
    /// Somebody else may write by now.
    #[error("another process may have taken over the points by now")]
    Lost,
    /// What is stored can't be read.
    #[error("what '{place}' holds cannot be read: {what}")]
    Damaged {
        /// The bucket.
        place: String,
        /// What was found.
        what: String,
    },
}

impl WriteError {
    /// A fault of what is stored in a place.
    pub(crate) fn damaged(place: &str, fault: Fault) -> WriteError {
        let what = match fault {
            Fault::Damaged(what) => what,
            Fault::Sqlite(error) => error.to_string(),
            Fault::Fenced { owner } => owner,
        };
        WriteError::Damaged { place: place.to_owned(), what }
    }
}

/// A line that the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its number in the batch.
    pub line: usize,
    /// The server's words.
    pub words: String,
}

/// The parts of a batch that travel in one request each, the first of them compressed.
#[derive(Debug)]
pub(crate) struct Pieces {
    first: Option<(Range<usize>, Vec<u8>)>,
    rest: Vec<Range<usize>>,
}

impl Pieces {
    /// Cuts a batch into pieces of at most so many lines and bytes.
    pub fn of(batch: &Batch, lines_max: usize, bytes_max: usize) -> Pieces {
        let mut rest = batch.pieces(lines_max, bytes_max);
        let first = (!rest.is_empty()).then(|| zip(batch, rest.remove(0), Vec::new()));
        Pieces { first, rest }
    }

    /// A batch as one piece.
    pub fn whole(batch: &Batch) -> Pieces {
        Pieces::of(batch, usize::MAX, usize::MAX)
    }
}

/// Compresses some lines, into what `zipped` has room for.
fn zip(batch: &Batch, lines: Range<usize>, mut zipped: Vec<u8>) -> (Range<usize>, Vec<u8>) {
    gzip(batch.text(lines.clone()), &mut zipped);
    (lines, zipped)
}

/// Sends batches to one server.
#[derive(Debug)]
pub(crate) struct Delivery {
    client: Client,
    /// How long is tried again.
    retry_for: Duration,
    /// Makes pauses differ from those of other writers.
    jitter: RandomState,
    tries: u64,
}

impl Delivery {
    /// Sends by this client; what fails is tried again for this long.
    pub fn new(client: Client, retry_for: Duration) -> Delivery {
        Delivery { client, retry_for, jitter: RandomState::new(), tries: 0 }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What fails is tried again for so long from now on. Gives for how long it was before.
    pub fn retry_for(&mut self, retry_for: Duration) -> Duration {
        std::mem::replace(&mut self.retry_for, retry_for)
    }

    /// Writes a batch in its pieces, one request after the other; while one is under way the next piece is compressed. Lines that
    /// are refused are given back.
    pub fn write(
        &mut self,
        bucket: &str,
        batch: &Batch,
        pieces: Pieces,
        lease: &mut dyn Lease,
    ) -> Result<Vec<Refusal>, WriteError> {
        let Pieces { mut first, rest } = pieces;
        let (mut rest, mut ahead) = (rest.into_iter(), Vec::new());
        let mut refused = Vec::new();
        while let Some((lines, mut zipped)) = first {
            let (sent, next) = std::thread::scope(|scope| {
                let spare = std::mem::take(&mut ahead);
                let next = rest.next().map(|lines| scope.spawn(move || zip(batch, lines, spare)));
                let sent = self.write_piece(bucket, batch, lines, &mut zipped, lease);
                (sent, next.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
            });
            refused.extend(sent?);
            (first, ahead) = (next, zipped);
        }
        Ok(refused)
    }

    /// Writes some lines of a batch, which `zipped` holds, or else its halves.
    fn write_piece(
        &mut self,
        bucket: &str,
        batch: &Batch,
        lines: Range<usize>,
        zipped: &mut Vec<u8>,
        lease: &mut dyn Lease,
    ) -> Result<Vec<Refusal>, WriteError> {
        let mut refused = Vec::new();
        // Since when no request has been answered in time.
        let mut slow_since: Option<Instant> = None;
        let retry_for = self.retry_for;
        // Taken from its end, so that lines go in their order.
        let whole = lines.clone();
        let mut left = vec![lines];
        while let Some(lines) = left.pop() {
            if lines.is_empty() {
                continue;
            }
            if lines != whole {
                gzip(batch.text(lines.clone()), zipped);
            }
            let most = self.client.patience().write;
            let sent = self.again(lease, |client, limit, lease| {
                let sent = client.post_write(bucket, zipped, limit.min(most));
                let mut may_halve = || {
                    let since = *slow_since.get_or_insert_with(Instant::now);
                    lines.len() > 1 && !lease.is_hurried() && since.elapsed() <= retry_for
                };
                match sent {
                    Ok(()) => Ok(Sent::Taken),
                    Err(InfluxError::Timeout { .. }) if may_halve() => Ok(Sent::TooSlow),
                    Err(error) => Err(error),
                }
            });
            match sent {
                Ok(Sent::Taken) => slow_since = None,
                Ok(Sent::TooSlow) => left.extend(halves(lines)),
                Err(WriteError::Influx(InfluxError::Refused {
                    status: status @ (400 | 413 | 422), message, ..
                })) => {
                    slow_since = None;
                    let is_all = lines.len() == 1 || (status == 422 && dropped(&message) == Some(lines.len()));
                    match is_all {
                        true => refused.extend(lines.map(|line| Refusal { line, words: message.clone() })),
                        false => left.extend(halves(lines)),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Makes a request until it succeeds, fails for good, or has failed for too long.
    pub fn again<T>(
        &mut self,
        lease: &mut dyn Lease,
        mut request: impl FnMut(&Client, Duration, &mut dyn Lease) -> Result<T, InfluxError>,
    ) -> Result<T, WriteError> {
        let began = Instant::now();
        let mut pause = PAUSE_FIRST;
        loop {
            let limit = lease.limit().ok_or(WriteError::Lost)?;
            let error = match request(&self.client, limit, lease) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let left = self.retry_for.saturating_sub(began.elapsed());
            let wait = error.retry_after().unwrap_or_else(|| self.scattered(pause));
            if !error.is_transient() || lease.is_hurried() || wait > left {
                return Err(error.into());
            }
            if began.elapsed() + wait >= TROUBLE {
                lease.note_trouble(&error);
            }
            pause = (pause * 2).min(PAUSE_MAX);
            let until = Instant::now() + wait;
            loop {
                let rest = until.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    break;
                }
                if lease.is_hurried() {
                    return Err(error.into());
                }
                std::thread::sleep(rest.min(PAUSE_PART));
                // A lease is to be looked at often: that a process was stopped shows in the time between.
                lease.limit().ok_or(WriteError::Lost)?;
            }
        }
    }

    /// Between half a pause and a whole one.
    fn scattered(&mut self, pause: Duration) -> Duration {
        self.tries += 1;
        let share = self.jitter.hash_one(self.tries) as f64 / u64::MAX as f64;
        pause.mul_f64(0.5 + share / 2.0)
    }
}

/// What became of some lines.
enum Sent {
    Taken,
    /// There was no answer in time, as where they are too many for a busy server.
    TooSlow,
}

/// The halves of a range, the second one first: put at the end of what is left and taken from there they go in their order.
pub(crate) fn halves(whole: Range<usize>) -> [Range<usize>; 2] {
    let middle = whole.start + whole.len() / 2;
    [middle..whole.end, whole.start..middle]
}

/// How many points a server says to have dropped: `… dropped=N`, `… dropped N points …`.
fn dropped(message: &str) -> Option<usize> {
    let (_, rest) = message.rsplit_once("dropped")?;
    let rest = rest.strip_prefix(['=', ' '])?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Asks something that may take longer than one may go without a look at a lease: looks at it meanwhile.
pub(crate) fn while_looking<T: Send>(lease: &mut dyn Lease, ask: impl FnOnce() -> T + Send) -> T {
    const LOOK: Duration = Duration::from_millis(500);
    let looker = std::thread::current();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let answer = ask();
            looker.unpark();
            answer
        });
        while !asked.is_finished() {
            std::thread::park_timeout(LOOK);
            // What it says is asked for again before the next request.
            let _ = lease.limit();
        }
        asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: Option<usize>) {
        assert_eq!(dropped(message), expected, "{message}");
    }

    #[test]
    fn servers_say_how_many_points_they_dropped() {
        check(
            "failure writing points to database: partial write: points beyond retention policy dropped=10000",
            Some(10_000),
        );
        check(
            "partial write: field type conflict: input field \"v\" on measurement \"m\" is type string dropped=1",
            Some(1),
        );
        check("partial write: dropped 2 points outside retention policy of duration 1h0m0s", Some(2));
        check("unable to parse 'dropped'", None);
        check("dropped=", None);
        check("", None);
    }
}
