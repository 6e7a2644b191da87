//! One line under construction: the envelope and the properties, as a JSON object or as a CSV row.
//!
//! Knows nothing of what events there are. Texts are written as they are: the caller has none that needs escaping.

use crate::generate::Ids;
use crate::generate::encode::text::{write_address, write_hex, write_hundredths, write_integer};
use crate::generate::people::{AGENTS, Person};

/// A property of a profile.
#[derive(Debug)]
pub struct Column {
    /// Its place among the profile's properties, from 0.
    index: usize,
    /// Its key in JSON, with quotes and colon.
    key: &'static str,
}

impl Column {
    /// Property number `index` of its profile; `key` with quotes and colon.
    pub const fn new(index: usize, key: &'static str) -> Column {
        Column { index, key }
    }
}

/// Who sent an event, from where, and with what.
#[derive(Debug)]
pub struct Origin {
    /// Number of the user as it is printed; the warehouse has none.
    user: Option<u32>,
    session: u64,
    address: [u8; 4],
    /// Place in `AGENTS`, or beyond them.
    agent: usize,
}

const WAREHOUSE_AGENT: usize = AGENTS.len();
const DEVICE_AGENT: usize = AGENTS.len() + 1;

impl Origin {
    /// The shop's own warehouse.
    pub const WAREHOUSE: Origin = Origin { user: None, session: 0, address: [10, 0, 0, 7], agent: WAREHOUSE_AGENT };

    /// A user in a session.
    #[inline(always)]
    pub fn of_user(person: Person, user: u32, session: u64) -> Origin {
        Origin { user: Some(user + 1), session, address: person.address, agent: person.agent as usize }
    }

    /// A device since its last start. Ten devices belong to one user.
    #[inline(always)]
    pub fn of_device(device: u32, boot: u32) -> Origin {
        let address = [10, (device >> 16) as u8, (device >> 8) as u8, device as u8];
        let session = (u64::from(device) << 16) | u64::from(boot & 0xffff);
        Origin { user: Some(device / 10 + 1), session, address, agent: DEVICE_AGENT }
    }
}

/// A line under construction. Called in this order: head, the properties in the order of their columns, tail.
pub trait Row {
    /// The envelope before the properties.
    fn head(&mut self, id: u64, event_type: &str, time: &[u8; 24], origin: &Origin, ids: &Ids);

    /// What comes before the value of `column`.
    fn begin(&mut self, column: &Column, quoted: bool);

    /// Where the value goes.
    fn out(&mut self) -> &mut Vec<u8>;

    /// What comes after the value.
    fn end(&mut self, quoted: bool);

    /// The envelope after the properties, and the line feed.
    fn tail(&mut self, origin: &Origin);

    /// A property that is a text.
    #[inline(always)]
    fn text(&mut self, column: &Column, text: &str) {
        self.begin(column, true);
        self.out().extend_from_slice(text.as_bytes());
        self.end(true);
    }

    /// A property that is a text of two parts.
    #[inline(always)]
    fn joined(&mut self, column: &Column, first: &str, second: &str) {
        self.begin(column, true);
        self.out().extend_from_slice(first.as_bytes());
        self.out().extend_from_slice(second.as_bytes());
        self.end(true);
    }

    /// A property that is a text with a number at its end.
    #[inline(always)]
    fn numbered(&mut self, column: &Column, prefix: &str, number: u32) {
        self.begin(column, true);
        self.out().extend_from_slice(prefix.as_bytes());
        write_integer(number, self.out());
        self.end(true);
    }

    /// A property that is a whole number.
    #[inline(always)]
    fn integer(&mut self, column: &Column, number: u32) {
        self.begin(column, false);
        write_integer(number, self.out());
        self.end(false);
    }

    /// A property that is a number with two decimals.
    #[inline(always)]
    fn hundredths(&mut self, column: &Column, number: i64) {
        self.begin(column, false);
        write_hundredths(number, self.out());
        self.end(false);
    }
}

/// A JSON object.
#[derive(Debug)]
pub struct JsonRow<'a> {
    /// Where it goes.
    pub out: &'a mut Vec<u8>,
}

impl Row for JsonRow<'_> {
    #[inline(always)]
    fn head(&mut self, id: u64, event_type: &str, time: &[u8; 24], origin: &Origin, ids: &Ids) {
        let out = &mut *self.out;
        out.extend_from_slice(b"{\"event_id\":\"evt_");
        write_hex(id, 16, out);
        out.extend_from_slice(b"\",\"event_type\":\"");
        out.extend_from_slice(event_type.as_bytes());
        out.extend_from_slice(b"\",\"timestamp\":\"");
        out.extend_from_slice(time);
        out.extend_from_slice(b"\",\"user_id\":\"");
        write_user(origin, out);
        out.extend_from_slice(b"\",\"session_id\":\"");
        write_session(origin, ids, out);
        out.extend_from_slice(b"\",\"properties\":{");
    }

    #[inline(always)]
    fn begin(&mut self, column: &Column, quoted: bool) {
        self.out.extend_from_slice(column.key.as_bytes());
        if quoted {
            self.out.push(b'"');
        }
    }

    #[inline(always)]
    fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    #[inline(always)]
    fn end(&mut self, quoted: bool) {
        self.out.extend_from_slice(if quoted { b"\"," } else { b"," });
    }

    #[inline(always)]
    fn tail(&mut self, origin: &Origin) {
        let out = &mut *self.out;
        // The last property's comma is one too many; every event has a property.
        out.pop();
        out.extend_from_slice(b"},\"metadata\":{\"ip_address\":\"");
        write_address(origin.address, out);
        out.extend_from_slice(JSON_TAILS[origin.agent].as_bytes());
    }
}

/// A CSV row.
#[derive(Debug)]
pub struct CsvRow<'a> {
    out: &'a mut Vec<u8>,
    /// How many properties there are, and how many have been begun or passed over.
    columns: usize,
    at: usize,
}

impl<'a> CsvRow<'a> {
    /// A row with `columns` properties, to be appended to `out`.
    pub fn new(out: &'a mut Vec<u8>, columns: usize) -> CsvRow<'a> {
        CsvRow { out, columns, at: 0 }
    }
}

impl Row for CsvRow<'_> {
    fn head(&mut self, id: u64, event_type: &str, time: &[u8; 24], origin: &Origin, ids: &Ids) {
        let out = &mut *self.out;
        out.extend_from_slice(b"evt_");
        write_hex(id, 16, out);
        out.push(b',');
        out.extend_from_slice(event_type.as_bytes());
        out.push(b',');
        out.extend_from_slice(time);
        out.push(b',');
        write_user(origin, out);
        out.push(b',');
        write_session(origin, ids, out);
    }

    fn begin(&mut self, column: &Column, _quoted: bool) {
        assert!(self.at <= column.index, "property {} comes after number {}", column.key, self.at);
        self.out.resize(self.out.len() + column.index + 1 - self.at, b',');
        self.at = column.index + 1;
    }

    fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    fn end(&mut self, _quoted: bool) {}

    fn tail(&mut self, origin: &Origin) {
        self.out.resize(self.out.len() + self.columns + 1 - self.at, b',');
        write_address(origin.address, self.out);
        let (user_agent, platform) = agent(origin.agent);
        for part in [",\"", user_agent, "\",", platform, "\n"] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The header of a CSV with these properties, and its line feed.
pub fn csv_header(columns: &[Column]) -> Vec<u8> {
    let mut header = String::from("event_id,event_type,timestamp,user_id,session_id");
    for (index, column) in columns.iter().enumerate() {
        assert_eq!(index, column.index, "property {} is out of place", column.key);
        header += ",properties.";
        header += column.key.trim_matches(['"', ':']);
    }
    header += ",metadata.ip_address,metadata.user_agent,metadata.platform\n";
    header.into_bytes()
}

#[inline(always)]
fn write_user(origin: &Origin, out: &mut Vec<u8>) {
    match origin.user {
        Some(user) => {
            out.extend_from_slice(b"user_");
            write_integer(user, out);
        }
        None => out.extend_from_slice(b"warehouse"),
    }
}

#[inline(always)]
fn write_session(origin: &Origin, ids: &Ids, out: &mut Vec<u8>) {
    match origin.user {
        Some(_) => {
            out.extend_from_slice(b"sess_");
            write_hex(ids.session(origin.session), 12, out);
        }
        None => out.extend_from_slice(b"warehouse"),
    }
}

/// The user agent and platform at a place in `AGENTS` or beyond them.
fn agent(place: usize) -> (&'static str, &'static str) {
    match place {
        WAREHOUSE_AGENT => ("StockKeeper/2.1", "backend"),
        DEVICE_AGENT => ("SensorHub/2.3.1 (ESP32)", "iot"),
        _ => (AGENTS[place].text, AGENTS[place].platform),
    }
}

/// The end of a JSON line from behind the address on, by agent.
static JSON_TAILS: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
    let tail = |place| {
        let (user_agent, platform) = agent(place);
        format!("\",\"user_agent\":\"{user_agent}\",\"platform\":\"{platform}\"}}}}\n")
    };
    (0..=DEVICE_AGENT).map(tail).collect()
});
