//! What saved state of windows is made of: times, windows, keys and tables, as bytes.
//!
//! Equal states have equal bytes, whichever threads they were spread over: groups are written in the order of their first
//! events. Whatever can be computed anew is not written. Reading takes nothing on trust that later code relies on. Knows
//! nothing of which windows there are; each type that is saved writes itself with these words.

use crate::aggregate::encoding::{Reader, put_bytes, put_signed, put_varint};
use crate::aggregate::saved::StateError;
use crate::time::{Timestamp, Window};
use crate::window::Query;
use crate::window::key::read_key;
use crate::window::table::Table;

/// No window that an event falls into reaches beyond this, so that lengths and next edges can be computed.
const TIME_FURTHEST: i64 = 1 << 61;

/// Appends a time.
pub fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    put_signed(out, time.0);
}

/// What `put_time` wrote.
pub fn read_time(reader: &mut Reader) -> Result<Timestamp, StateError> {
    Ok(Timestamp(reader.signed()?))
}

/// Appends the start of a window and its length.
pub fn put_window(out: &mut Vec<u8>, window: Window) {
    put_time(out, window.start);
    put_varint(out, window.end.0.wrapping_sub(window.start.0) as u64);
}

/// What `put_window` wrote.
pub fn read_window(reader: &mut Reader) -> Result<Window, StateError> {
    let start = read_time(reader)?;
    let end = Timestamp(start.0.wrapping_add(reader.varint()? as i64));
    let is_near = |time: Timestamp| (-TIME_FURTHEST..=TIME_FURTHEST).contains(&time.0);
    match (start, end) {
        (Timestamp::MIN, Timestamp::MAX) => Ok(Window::GLOBAL),
        _ if start < end && is_near(start) && is_near(end) => Ok(Window::new(start, end)),
        _ => Err(StateError::Malformed("a window is empty or out of range")),
    }
}

/// Appends a truth value.
pub fn put_flag(out: &mut Vec<u8>, flag: bool) {
    out.push(u8::from(flag));
}

/// What `put_flag` wrote.
pub fn read_flag(reader: &mut Reader) -> Result<bool, StateError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(StateError::Malformed("a flag is neither set nor clear")),
    }
}

/// What `put_varint` wrote of a smaller number.
pub fn read_u32(reader: &mut Reader) -> Result<u32, StateError> {
    u32::try_from(reader.varint()?).map_err(|_| StateError::Malformed("a number is out of range"))
}

/// A key written by `put_bytes`.
pub fn take_key<'a>(reader: &mut Reader<'a>, query: &Query) -> Result<&'a [u8], StateError> {
    let key = reader.bytes()?;
    let values = read_key(key).ok_or(StateError::Malformed("a key is not one of a group"))?;
    // Where partials are merged their groups are not columns of the query.
    let fits = query.groups.is_empty() || values.len() == query.groups.len();
    if fits { Ok(key) } else { Err(StateError::OtherQuery("its groups are those")) }
}

/// Appends a table, its groups in the order that is returned.
pub fn put_table(out: &mut Vec<u8>, table: &Table) -> Vec<u32> {
    let groups = table.in_stream_order();
    let overflow = groups.iter().position(|&group| table.is_overflow(group));
    put_varint(out, groups.len() as u64);
    put_varint(out, overflow.map_or(0, |number| number as u64 + 1));
    let mut state = Vec::new();
    let mut position = 0;
    for &group in &groups {
        let first = table.first_position(group);
        put_bytes(out, table.key(group));
        put_varint(out, first - position);
        put_varint(out, table.group_events(group));
        position = first;
        state.clear();
        table.accumulators().encode_group(group, &mut state);
        put_bytes(out, &state);
    }
    groups
}

/// What `put_table` wrote; its groups are numbered in their order.
pub fn read_table(reader: &mut Reader, query: &Query) -> Result<Table, StateError> {
    let mut table = Table::new(&query.functions);
    let groups = reader.count()?;
    let overflow = reader.varint()?;
    if overflow > groups as u64 {
        return Err(StateError::Malformed("the overflow group is none of the table's"));
    }
    let mut position = 0u64;
    for number in 0..groups as u64 {
        let key = take_key(reader, query)?;
        position = position.checked_add(reader.varint()?).ok_or(StateError::Malformed("a position is out of range"))?;
        let events = reader.varint()?;
        let is_new = table.restore_group(key, (position, events), reader.bytes()?, number + 1 == overflow)?;
        if !is_new {
            return Err(StateError::Malformed("two groups of a table have one key"));
        }
    }
    Ok(table)
}
