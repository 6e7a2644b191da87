//! Events as bytes: NDJSON in the event form that all of evkit reads, or CSV with the same fields flattened.
//!
//! A pure function of the event and the seed, so that blocks can be encoded side by side. Written by hand onto one
//! page, for this is what bounds the speed: no allocation, no formatting machinery, no escaping (nothing that is written
//! needs any).

mod page;
mod row;
mod stamp;
mod words;

use crate::generate::encode::page::{Buffer, EMPTY, Page};
use crate::generate::encode::row::{Column, CsvRow, JsonRow, Origin, Row};
use crate::generate::encode::stamp::Stamp;
use crate::generate::encode::words::Words;
use crate::generate::flaw::break_line;
use crate::generate::people::{People, Person};
use crate::generate::{Body, Event, Fate, Ids, Profile, ecommerce, web};

/// How events are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// One row a line, after a header of flattened paths such as `properties.amount`.
    Csv,
}

/// Encodes the events of one run.
#[derive(Debug, Clone)]
pub struct Encoder {
    format: Format,
    profile: Profile,
    names: Names,
    stamp: Stamp,
    buffer: Buffer,
}

/// What the encoder knows beside the event.
#[derive(Debug, Clone)]
struct Names {
    ids: Ids,
    people: People,
    words: Words,
}

impl Encoder {
    /// For the events of `profile` with `seed`.
    pub fn new(profile: Profile, seed: u64, format: Format) -> Encoder {
        let names = Names { ids: Ids::new(seed), people: People::new(seed), words: Words::new() };
        Encoder { format, profile, names, stamp: Stamp::default(), buffer: EMPTY }
    }

    /// What stands before the first event: the header of CSV with its line feed, else nothing.
    pub fn header(&self) -> Vec<u8> {
        match self.format {
            Format::Ndjson => Vec::new(),
            Format::Csv => row::csv_header(columns(self.profile)),
        }
    }

    /// Appends one line for each event to `out`.
    pub fn encode(&mut self, events: &[Event], out: &mut Vec<u8>) {
        let columns = columns(self.profile).len();
        let Encoder { format, names, stamp, buffer, .. } = self;
        let mut page = Page::new(buffer);
        for event in events {
            let start = out.len() + page.as_bytes().len();
            page = match format {
                Format::Ndjson => write(JsonRow { page }, names, stamp, event),
                Format::Csv => write(CsvRow::new(page, columns), names, stamp, event),
            };
            let is_broken = matches!(event.fate, Fate::Broken(..));
            if page.is_full() || is_broken {
                out.extend_from_slice(page.as_bytes());
                page.clear();
            }
            if let Fate::Broken(flaw, variation) = event.fate {
                break_line(flaw, variation, *format, start, out);
            }
        }
        out.extend_from_slice(page.as_bytes());
    }
}

const PAGE_URL: Column = Column::new(0, "\"page_url\":");
const SHOP_PRODUCT: Column = Column::new(1, "\"product_id\":");
const SHOP_CATEGORY: Column = Column::new(2, "\"category\":");
const SHOP_PRICE: Column = Column::new(3, "\"price\":");
const SHOP_AMOUNT: Column = Column::new(4, "\"amount\":");
const SHOP_QUANTITY: Column = Column::new(5, "\"quantity\":");
const SHOP_STOCK: Column = Column::new(6, "\"stock\":");
const SHOP_CURRENCY: Column = Column::new(7, "\"currency\":");
const SHOP_PAYMENT: Column = Column::new(8, "\"payment_method\":");
const SHOP_ELEMENT: Column = Column::new(9, "\"element\":");
const SHOP_FORM: Column = Column::new(10, "\"form\":");
const SHOP_COUNTRY: Column = Column::new(11, "\"country\":");
const SHOP: &[Column] = &[
    PAGE_URL,
    SHOP_PRODUCT,
    SHOP_CATEGORY,
    SHOP_PRICE,
    SHOP_AMOUNT,
    SHOP_QUANTITY,
    SHOP_STOCK,
    SHOP_CURRENCY,
    SHOP_PAYMENT,
    SHOP_ELEMENT,
    SHOP_FORM,
    SHOP_COUNTRY,
];

const SITE_COUNTRY: Column = Column::new(1, "\"country\":");
const SITE_DEVICE: Column = Column::new(2, "\"device_type\":");
const SITE_LOAD_TIME: Column = Column::new(3, "\"load_time\":");
const SITE_ELEMENT: Column = Column::new(4, "\"element\":");
const SITE_DEPTH: Column = Column::new(5, "\"depth\":");
const SITE_FORM: Column = Column::new(6, "\"form\":");
const SITE: &[Column] = &[PAGE_URL, SITE_COUNTRY, SITE_DEVICE, SITE_LOAD_TIME, SITE_ELEMENT, SITE_DEPTH, SITE_FORM];

const FLEET_DEVICE: Column = Column::new(0, "\"device_id\":");
const FLEET_VALUE: Column = Column::new(1, "\"value\":");
const FLEET_UNIT: Column = Column::new(2, "\"unit\":");
const FLEET_SITE: Column = Column::new(3, "\"site\":");
const FLEET: &[Column] = &[FLEET_DEVICE, FLEET_VALUE, FLEET_UNIT, FLEET_SITE];

/// The properties of a profile, in the order in which its events have them.
fn columns(profile: Profile) -> &'static [Column] {
    match profile {
        Profile::Ecommerce => SHOP,
        Profile::Web => SITE,
        Profile::Iot => FLEET,
    }
}

#[inline(always)]
fn write<'a, R: Row<'a>>(mut row: R, names: &Names, stamp: &mut Stamp, event: &Event) -> Page<'a> {
    let Names { ids, people, words } = names;
    let (id, time) = (ids.event(event.sequence), stamp.text(event.time));
    match &event.body {
        Body::Shop(action) => {
            let person = people.person(action.user);
            let origin = match action.kind {
                ecommerce::Kind::Restock => Origin::WAREHOUSE,
                _ => Origin::of_user(person, action.user, action.session),
            };
            row.head(id, &words.shop_types[action.kind as usize], time, &origin, ids);
            write_shop(&mut row, person, words, action);
            row.tail(&origin);
        }
        Body::Site(action) => {
            let person = people.person(action.user);
            let origin = Origin::of_user(person, action.user, action.session);
            row.head(id, &words.site_types[action.kind as usize], time, &origin, ids);
            write_site(&mut row, person, words, action);
            row.tail(&origin);
        }
        Body::Fleet(reading) => {
            let (origin, quantity) = (Origin::of_device(reading.device, reading.boot), reading.quantity as usize);
            row.head(id, &words.quantities[quantity], time, &origin, ids);
            row.numbered(&FLEET_DEVICE, b"dev_", reading.device + 1);
            row.hundredths(&FLEET_VALUE, i64::from(reading.value));
            row.text(&FLEET_UNIT, &words.units[quantity]);
            row.text(&FLEET_SITE, &words.sites[reading.device as usize % words.sites.len()]);
            row.tail(&origin);
        }
    }
    row.into_page()
}

#[inline(always)]
fn write_shop<'a, R: Row<'a>>(row: &mut R, person: Person, words: &Words, action: &ecommerce::Action) {
    let country = person.country as usize;
    let product = |row: &mut R| row.numbered(&SHOP_PRODUCT, b"prod_", action.product);
    let detail = action.detail as usize;
    match action.kind {
        ecommerce::Kind::PageView if action.detail == ecommerce::CATEGORY => {
            row.joined(&PAGE_URL, &words.shop_pages[detail], words.category(action.product));
        }
        ecommerce::Kind::PageView => row.text(&PAGE_URL, &words.shop_pages[detail]),
        ecommerce::Kind::Click => {
            product(row);
            row.text(&SHOP_ELEMENT, &words.shop_elements[detail]);
        }
        ecommerce::Kind::FormSubmit => row.text(&SHOP_FORM, &words.shop_forms[detail]),
        ecommerce::Kind::ProductView => {
            product(row);
            row.text(&SHOP_CATEGORY, words.category(action.product));
            row.hundredths(&SHOP_PRICE, i64::from(action.amount));
            row.text(&SHOP_CURRENCY, &words.currencies[country]);
        }
        ecommerce::Kind::AddToCart => {
            product(row);
            row.hundredths(&SHOP_PRICE, i64::from(action.amount));
            row.integer(&SHOP_QUANTITY, u32::from(action.quantity));
            row.text(&SHOP_CURRENCY, &words.currencies[country]);
        }
        ecommerce::Kind::PurchaseCompleted | ecommerce::Kind::Refund => {
            product(row);
            row.hundredths(&SHOP_AMOUNT, i64::from(action.amount));
            row.text(&SHOP_CURRENCY, &words.currencies[country]);
            row.text(&SHOP_PAYMENT, &words.payment_methods[detail]);
        }
        ecommerce::Kind::Restock => {
            product(row);
            row.integer(&SHOP_QUANTITY, u32::from(action.quantity));
            row.integer(&SHOP_STOCK, action.amount);
            return;
        }
    }
    row.text(&SHOP_COUNTRY, &words.countries[country]);
}

#[inline(always)]
fn write_site<'a, R: Row<'a>>(row: &mut R, person: Person, words: &Words, action: &web::Action) {
    row.text(&PAGE_URL, &words.site_pages[action.page as usize]);
    row.text(&SITE_COUNTRY, &words.countries[person.country as usize]);
    row.text(&SITE_DEVICE, &words.device_types[person.agent as usize]);
    row.integer(&SITE_LOAD_TIME, u32::from(action.load_time));
    let detail = action.detail as usize;
    match action.kind {
        web::Kind::PageView => {}
        web::Kind::Click => row.text(&SITE_ELEMENT, &words.site_elements[detail]),
        web::Kind::Scroll => row.integer(&SITE_DEPTH, u32::from(action.detail)),
        web::Kind::FormSubmit => row.text(&SITE_FORM, &words.site_forms[detail]),
    }
}
