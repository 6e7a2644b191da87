//! One event as a line: the envelope and the properties, as a JSON object or as a CSV row.
//!
//! Knows nothing of what events there are. Texts are written as they are: the caller has none that needs escaping.

use crate::generate::Ids;
use crate::generate::encode::page::{Page, Short};
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

/// A row under construction. Called in this order: head, the properties in the order of their columns, tail.
pub trait Row<'a> {
    /// The envelope before the properties.
    fn head(&mut self, id: u64, event_type: &Short, time: &[u8; 24], origin: &Origin, ids: &Ids);

    /// What comes before the value of `column`.
    fn begin(&mut self, column: &Column, quoted: bool);

    /// Where the value goes.
    fn page(&mut self) -> &mut Page<'a>;

    /// What comes after the value.
    fn end(&mut self, quoted: bool);

    /// The envelope after the properties, and the line feed.
    fn tail(&mut self, origin: &Origin);

    /// The page with the finished line.
    fn into_page(self) -> Page<'a>;

    /// A property that is a text.
    #[inline(always)]
    fn text(&mut self, column: &Column, text: &Short) {
        self.begin(column, true);
        self.page().short(text);
        self.end(true);
    }

    /// A property that is a text of two parts.
    #[inline(always)]
    fn joined(&mut self, column: &Column, first: &Short, second: &Short) {
        self.begin(column, true);
        self.page().short(first);
        self.page().short(second);
        self.end(true);
    }

    /// A property that is a text with a number at its end.
    #[inline(always)]
    fn numbered<const N: usize>(&mut self, column: &Column, prefix: &[u8; N], number: u32) {
        self.begin(column, true);
        self.page().ascii(prefix);
        self.page().integer(number);
        self.end(true);
    }

    /// A property that is a whole number.
    #[inline(always)]
    fn integer(&mut self, column: &Column, number: u32) {
        self.begin(column, false);
        self.page().integer(number);
        self.end(false);
    }

    /// A property that is a number with two decimals.
    #[inline(always)]
    fn hundredths(&mut self, column: &Column, number: i64) {
        self.begin(column, false);
        self.page().hundredths(number);
        self.end(false);
    }
}

/// A JSON object.
#[derive(Debug)]
pub struct JsonRow<'a> {
    /// Where it goes.
    pub page: Page<'a>,
}

impl<'a> Row<'a> for JsonRow<'a> {
    #[inline(always)]
    fn head(&mut self, id: u64, event_type: &Short, time: &[u8; 24], origin: &Origin, ids: &Ids) {
        let page = &mut self.page;
        page.ascii(b"{\"event_id\":\"evt_");
        page.hex::<16>(id);
        page.ascii(b"\",\"event_type\":\"");
        page.short(event_type);
        page.ascii(b"\",\"timestamp\":\"");
        page.ascii(time);
        page.ascii(b"\",\"user_id\":\"");
        write_user(origin, page);
        page.ascii(b"\",\"session_id\":\"");
        write_session(origin, ids, page);
        page.ascii(b"\",\"properties\":{");
    }

    #[inline(always)]
    fn begin(&mut self, column: &Column, quoted: bool) {
        self.page.text(column.key);
        if quoted {
            self.page.ascii(b"\"");
        }
    }

    #[inline(always)]
    fn page(&mut self) -> &mut Page<'a> {
        &mut self.page
    }

    #[inline(always)]
    fn into_page(self) -> Page<'a> {
        self.page
    }

    #[inline(always)]
    fn end(&mut self, quoted: bool) {
        if quoted {
            self.page.ascii(b"\",");
        } else {
            self.page.ascii(b",");
        }
    }

    #[inline(always)]
    fn tail(&mut self, origin: &Origin) {
        // The last property's comma is one too many; every event has a property.
        self.page.pop();
        self.page.ascii(b"},\"metadata\":{\"ip_address\":\"");
        self.page.address(origin.address);
        self.page.text(&JSON_TAILS[origin.agent]);
    }
}

/// A CSV row.
#[derive(Debug)]
pub struct CsvRow<'a> {
    page: Page<'a>,
    /// How many properties there are, and how many have been begun or passed over.
    columns: usize,
    at: usize,
}

impl<'a> CsvRow<'a> {
    /// A row with `columns` properties.
    pub fn new(page: Page<'a>, columns: usize) -> CsvRow<'a> {
        CsvRow { page, columns, at: 0 }
    }
}

impl<'a> Row<'a> for CsvRow<'a> {
    #[inline(always)]
    fn head(&mut self, id: u64, event_type: &Short, time: &[u8; 24], origin: &Origin, ids: &Ids) {
        let page = &mut self.page;
        page.ascii(b"evt_");
        page.hex::<16>(id);
        page.commas(1);
        page.short(event_type);
        page.commas(1);
        page.ascii(time);
        page.commas(1);
        write_user(origin, page);
        page.commas(1);
        write_session(origin, ids, page);
    }

    #[inline(always)]
    fn begin(&mut self, column: &Column, _quoted: bool) {
        assert!(self.at <= column.index, "property {} comes after number {}", column.key, self.at);
        self.page.commas(column.index + 1 - self.at);
        self.at = column.index + 1;
    }

    #[inline(always)]
    fn page(&mut self) -> &mut Page<'a> {
        &mut self.page
    }

    #[inline(always)]
    fn into_page(self) -> Page<'a> {
        self.page
    }

    #[inline(always)]
    fn end(&mut self, _quoted: bool) {}

    #[inline(always)]
    fn tail(&mut self, origin: &Origin) {
        self.page.commas(self.columns + 1 - self.at);
        self.page.address(origin.address);
        let (user_agent, platform) = agent(origin.agent);
        for part in [",\"", user_agent, "\",", platform, "\n"] {
            self.page.text(part);
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
fn write_user(origin: &Origin, page: &mut Page<'_>) {
    match origin.user {
        Some(user) => {
            page.ascii(b"user_");
            page.integer(user);
        }
        None => page.ascii(b"warehouse"),
    }
}

#[inline(always)]
fn write_session(origin: &Origin, ids: &Ids, page: &mut Page<'_>) {
    match origin.user {
        Some(_) => {
            page.ascii(b"sess_");
            page.hex::<12>(ids.session(origin.session));
        }
        None => page.ascii(b"warehouse"),
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
