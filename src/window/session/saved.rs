//! The sessions of one metric as saved state: those open, and those that have fired and may still be revised.
//!
//! A session's window, its timers and its place are made anew. So is the row that `--having` may take back: it is what the
//! session's values give, since whatever changes them writes the row anew or takes it back.

use crate::aggregate::encoding::{Reader, put_bytes, put_varint};
use crate::aggregate::saved::StateError;
use crate::time::Timestamp;
use crate::window::Query;
use crate::window::session::{Gap, Session, Shard, forgotten_at};
use crate::window::state::{put_flag, put_time, put_window, read_flag, read_time, read_u32, read_window, take_key};
use crate::window::table::hash_key;
use crate::window::timers::Timer;

/// Appends the sessions of all shards of a metric, by group. Everything that is due must have been fired.
pub fn save(shards: &[&Shard], out: &mut Vec<u8>) {
    let mut groups = Vec::new();
    for shard in shards {
        debug_assert!(shard.ended.is_empty() && shard.ahead.is_empty() && shard.revisions.is_empty(), "rows wait");
        debug_assert!(shard.rows.is_empty(), "events wait to be folded");
        let open = shard.groups.iter().filter(|group| !group.sessions.is_empty());
        groups.extend(open.map(|group| (&group.key, &group.sessions, *shard)));
    }
    groups.sort_unstable_by_key(|(key, _, _)| *key);
    put_varint(out, groups.len() as u64);
    for (key, sessions, shard) in groups {
        put_bytes(out, key);
        put_varint(out, sessions.len() as u64);
        let mut sessions: Vec<&Session> = sessions.iter().collect();
        sessions.sort_by_key(|session| (session.first, session.last));
        sessions.into_iter().for_each(|session| shard.save_session(session, out));
    }
}

/// Reads what `save` wrote into the shards, which must be empty.
pub fn restore(shards: &mut [&mut Shard], query: &Query, gap: Gap, reader: &mut Reader) -> Result<(), StateError> {
    for _ in 0..reader.count()? {
        let key = take_key(reader, query)?;
        let hash = hash_key(key);
        let shard = &mut shards[crate::window::session::shard_of(hash, shards.len())];
        let group = shard.group(key, hash);
        for _ in 0..reader.count()? {
            shard.restore_session(query, gap, group, reader)?;
        }
        if shard.groups[group as usize].sessions.is_empty() {
            return Err(StateError::Malformed("a group has no session"));
        }
    }
    Ok(())
}

impl Shard {
    fn save_session(&self, session: &Session, out: &mut Vec<u8>) {
        let Session { first, last, events, early, judged, sent, fired, written, shown, slot, .. } = session;
        let span = crate::time::Window::new(*first, Timestamp(last.0 + 1));
        put_window(out, span);
        put_time(out, *judged);
        for flag in [sent, fired, shown] {
            put_flag(out, *flag);
        }
        for number in [*events, *early, u64::from(*written)] {
            put_varint(out, number);
        }
        let mut state = Vec::new();
        self.accumulators.encode_group(*slot, &mut state);
        put_bytes(out, &state);
    }

    fn restore_session(&mut self, query: &Query, gap: Gap, group: u32, reader: &mut Reader) -> Result<(), StateError> {
        let span = read_window(reader)?;
        if span == crate::time::Window::GLOBAL {
            return Err(StateError::Malformed("a session is over everything"));
        }
        let (first, last) = (span.start, Timestamp(span.end.0 - 1));
        let judged = read_time(reader)?;
        let (sent, fired, shown) = (read_flag(reader)?, read_flag(reader)?, read_flag(reader)?);
        let (events, early, written) = (reader.varint()?, reader.varint()?, read_u32(reader)?);
        let slot = self.accumulators.add_group();
        self.accumulators.decode_into_group(slot, reader.bytes()?)?;
        let window = gap.window(first, last);
        self.sessions_made += 1;
        self.open += 1;
        let id = self.sessions_made;
        let time = if fired { forgotten_at(window, query) } else { window.end };
        self.timers.set(Timer { time, group, session: id });
        let row = None;
        let session =
            Session { id, first, last, window, slot, events, early, judged, sent, fired, written, shown, row };
        self.groups[group as usize].sessions.push(session);
        if shown && query.presentation.having.is_some() && query.allowed_lateness.0 > 0 {
            let index = self.groups[group as usize].sessions.len() - 1;
            let row = self.row(query, group, index);
            self.groups[group as usize].sessions[index].row = Some(Box::new(row));
        }
        Ok(())
    }
}
