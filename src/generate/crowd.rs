//! Who is on the site: the visitors under way, each due at some moment, and the users who come and come back.
//!
//! Every slot of the schedule is filled by a visitor who is due, else by one who arrives; so the rate is always kept and
//! the mixture of fresh and returning visitors settles by itself. Knows nothing of what visitors do.
//!
//! Sketch: 1000 events/s at 10 s between two steps of a visitor are 10,000 visitors under way, of about 60 bytes. The
//! queue is a wheel of buckets with lists threaded through the visitors: constant time, no allocation, little cache.

use crate::generate::random::{Random, Waits};

/// The most visitors under way at a time. When more would be, those who are next hurry, whatever the rate: memory stays bounded.
const VISITORS_MAX: u32 = 65_536;
/// For the first minute visitors are brisker the earlier it is, so that the stream has its usual mixture from the first second.
const WARM_UP: i64 = 60_000_000;
/// How much of the warm-up counts as over at the start: the first visitors take a hundredth of the usual time.
const WARM_UP_BEGUN: i64 = WARM_UP / 100;

/// One visitor under way.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<J> {
    /// Number of the user, from 0.
    pub user: u32,
    /// Number of the session, from 1, unique in the run.
    pub session: u64,
    /// Where the visitor stands.
    pub journey: J,
}

/// Visitors with a journey of type `J` each.
#[derive(Debug)]
pub struct Crowd<J> {
    visitors: Vec<Visitor<J>>,
    /// Places in `visitors` whose visitor has left.
    free: Vec<u32>,
    wheel: Wheel,
    users: Users,
    visitors_max: u32,
    sessions: u64,
    start: i64,
    waits: Waits,
}

impl<J: Copy> Crowd<J> {
    /// Nobody yet, of `users` (at least 1), at `start` microseconds since the epoch.
    pub fn new(users: u32, start: i64) -> Crowd<J> {
        assert!(users > 0, "nobody to visit");
        Crowd {
            visitors: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(start),
            users: Users { busy: vec![0; users as usize / 64 + 1], count: users },
            visitors_max: (users - users / 4).min(VISITORS_MAX),
            sessions: 0,
            start,
            waits: Waits::new(),
        }
    }

    /// The place of the visitor who acts in the slot at `now`: one who is due, else one who arrives and begins at `journey`.
    pub fn next(&mut self, now: i64, journey: J, random: &mut Random) -> u32 {
        if let Some(place) = self.wheel.take_due(now) {
            return place;
        }
        if self.wheel.count < self.visitors_max {
            return self.arrive(journey, random);
        }
        self.wheel.take_next()
    }

    /// The visitor at `place`.
    pub fn visitor(&mut self, place: u32) -> &mut Visitor<J> {
        &mut self.visitors[place as usize]
    }

    /// The visitor at `place` will act again after a random while around `mean` microseconds.
    pub fn stay(&mut self, place: u32, now: i64, mean: i64, random: &mut Random) {
        // The wheel's time is ahead of `now` when visitors have been hurried; they hurry by the same measure.
        let now = now.max(self.wheel.now());
        let warmth = (now - self.start + WARM_UP_BEGUN).min(WARM_UP);
        let wait = random.wait(&self.waits, mean);
        let wait =
            if warmth < WARM_UP { (i128::from(wait) * i128::from(warmth) / i128::from(WARM_UP)) as i64 } else { wait };
        self.wheel.add(now + wait, place);
    }

    /// The visitor at `place` leaves, and the session ends.
    pub fn leave(&mut self, place: u32) {
        self.users.set_free(self.visitors[place as usize].user);
        self.free.push(place);
    }

    fn arrive(&mut self, journey: J, random: &mut Random) -> u32 {
        self.sessions += 1;
        let visitor = Visitor { user: self.users.take(random), session: self.sessions, journey };
        match self.free.pop() {
            Some(place) => {
                self.visitors[place as usize] = visitor;
                place
            }
            None => {
                self.visitors.push(visitor);
                self.visitors.len() as u32 - 1
            }
        }
    }
}

/// Which users have a session under way: one bit each, for a user has one session at a time.
#[derive(Debug)]
struct Users {
    busy: Vec<u64>,
    count: u32,
}

impl Users {
    /// Takes a user who is not busy; there must be one. Low numbers come back often, high ones seldom.
    fn take(&mut self, random: &mut Random) -> u32 {
        let bits = random.bits();
        let share = bits >> 32;
        let mut user = ((((share * share) >> 32) * u64::from(self.count)) >> 32) as u32;
        if self.is_busy(user) {
            // Evenly this time: the regulars lie side by side, and stepping over all of them would take long.
            user = (((bits & 0xffff_ffff) * u64::from(self.count)) >> 32) as u32;
        }
        while self.is_busy(user) {
            user = if user + 1 == self.count { 0 } else { user + 1 };
        }
        self.busy[user as usize / 64] |= 1 << (user % 64);
        user
    }

    fn is_busy(&self, user: u32) -> bool {
        self.busy[user as usize / 64] >> (user % 64) & 1 == 1
    }

    fn set_free(&mut self, user: u32) {
        self.busy[user as usize / 64] &= !(1 << (user % 64));
    }
}

/// A queue by time, exact to 2¹⁴ µs: buckets in a ring, each a list threaded through `next`.
#[derive(Debug)]
struct Wheel {
    /// First place in each bucket, or `NOBODY`.
    heads: Vec<u32>,
    /// By place: the next one in the same bucket.
    next: Vec<u32>,
    /// The bucket that is being emptied, counted from the epoch.
    position: i64,
    count: u32,
}

const NOBODY: u32 = u32::MAX;
const BUCKET_SHIFT: u32 = 14;
/// About nine minutes; who is due beyond them comes at their end.
const BUCKETS: i64 = 1 << 15;

impl Wheel {
    fn new(start: i64) -> Wheel {
        Wheel { heads: vec![NOBODY; BUCKETS as usize], next: Vec::new(), position: start >> BUCKET_SHIFT, count: 0 }
    }

    fn now(&self) -> i64 {
        self.position << BUCKET_SHIFT
    }

    fn add(&mut self, due: i64, place: u32) {
        let bucket = (due >> BUCKET_SHIFT).clamp(self.position, self.position + BUCKETS - 1);
        if self.next.len() <= place as usize {
            self.next.resize(place as usize + 1, NOBODY);
        }
        let head = &mut self.heads[(bucket & (BUCKETS - 1)) as usize];
        self.next[place as usize] = *head;
        *head = place;
        self.count += 1;
    }

    /// Someone whose bucket has begun by `now`, earlier buckets first.
    fn take_due(&mut self, now: i64) -> Option<u32> {
        let until = now >> BUCKET_SHIFT;
        if self.count == 0 {
            self.position = self.position.max(until);
            return None;
        }
        loop {
            if let Some(place) = self.pop() {
                return Some(place);
            }
            if self.position >= until {
                return None;
            }
            self.position += 1;
        }
    }

    /// Whoever is next, however far ahead; there must be someone.
    fn take_next(&mut self) -> u32 {
        loop {
            if let Some(place) = self.pop() {
                return place;
            }
            self.position += 1;
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let head = &mut self.heads[(self.position & (BUCKETS - 1)) as usize];
        let place = *head;
        if place == NOBODY {
            return None;
        }
        *head = self.next[place as usize];
        self.count -= 1;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Runs visitors of five steps each through 20,000 slots of 1 ms, and gives (sessions, most under way).
    fn check(users: u32, mean: i64) -> (u64, usize) {
        let (mut crowd, mut random) = (Crowd::new(users, 0), Random::new(5, 0));
        let (mut under_way, mut most) = (HashSet::new(), 0);
        for slot in 0..20_000 {
            let now = slot * 1000;
            let place = crowd.next(now, 0, &mut random);
            let visitor = crowd.visitor(place);
            assert!(visitor.user < users, "{} of {users}", visitor.user);
            if visitor.journey == 0 {
                assert!(under_way.insert(visitor.user), "user {} has two sessions", visitor.user);
            }
            visitor.journey += 1;
            if visitor.journey == 5 {
                under_way.remove(&visitor.user);
                crowd.leave(place);
            } else {
                crowd.stay(place, now, mean, &mut random);
            }
            most = most.max(under_way.len());
        }
        (crowd.sessions, most)
    }

    #[test]
    fn a_user_has_one_session_at_a_time() {
        assert_eq!(check(1, 10_000_000).1, 1);
        assert_eq!(check(2, 10_000_000).1, 2);
        assert_eq!(check(8, 10_000_000).1, 6);
        let (sessions, most) = check(100_000, 10_000_000);
        assert!((4_000..9_000).contains(&sessions) && most > 500, "{sessions} sessions, {most} at most");
    }

    #[test]
    fn the_wheel_gives_the_due_in_order_of_buckets() {
        let mut wheel = Wheel::new(0);
        [(3, 50_000), (1, 20_000), (2, i64::MAX / 2), (0, 0)].iter().for_each(|&(place, due)| wheel.add(due, place));
        assert_eq!(wheel.take_due(10_000), Some(0));
        assert_eq!(wheel.take_due(10_000), None);
        assert_eq!(wheel.take_due(60_000), Some(1));
        assert_eq!(wheel.take_due(60_000), Some(3));
        assert_eq!(wheel.take_due(60_000), None);
        assert_eq!(wheel.take_next(), 2);
        assert_eq!(wheel.count, 0);
    }
}
