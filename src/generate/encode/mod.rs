//! Events as bytes: NDJSON in the event form that all of evkit reads, or CSV with the same fields flattened.
//!
//! A pure function of the event and the seed, so that blocks can be encoded side by side. Written by hand into one
//! buffer, for this is what bounds the speed: no allocation, no formatting machinery, no escaping (nothing that is written
//! needs any).

mod row;
mod text;

use crate::generate::encode::row::{Column, CsvRow, JsonRow, Origin, Row};
use crate::generate::encode::text::Stamp;
use crate::generate::flaw::break_line;
use crate::generate::people::{AGENTS, COUNTRIES, People, Person};
use crate::generate::{Body, Event, Fate, Ids, Profile, ecommerce, iot, web};

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
}

/// What the encoder knows beside the event.
#[derive(Debug, Clone)]
struct Names {
    ids: Ids,
    people: People,
    pages: Vec<String>,
}

impl Encoder {
    /// For the events of `profile` with `seed`.
    pub fn new(profile: Profile, seed: u64, format: Format) -> Encoder {
        let pages = (0..web::PAGES).map(web::page_url).collect();
        let names = Names { ids: Ids::new(seed), people: People::new(seed), pages };
        Encoder { format, profile, names, stamp: Stamp::default() }
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
        for event in events {
            let start = out.len();
            match self.format {
                Format::Ndjson => write(&mut JsonRow { out }, &self.names, &mut self.stamp, event),
                Format::Csv => write(&mut CsvRow::new(out, columns), &self.names, &mut self.stamp, event),
            }
            if let Fate::Broken(flaw, variation) = event.fate {
                break_line(flaw, variation, self.format, start, out);
            }
        }
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
fn write<R: Row>(row: &mut R, names: &Names, stamp: &mut Stamp, event: &Event) {
    let origin = match &event.body {
        Body::Shop(action) if action.kind == ecommerce::Kind::Restock => Origin::WAREHOUSE,
        Body::Shop(action) => Origin::of_user(names.people.person(action.user), action.user, action.session),
        Body::Site(action) => Origin::of_user(names.people.person(action.user), action.user, action.session),
        Body::Fleet(reading) => Origin::of_device(reading.device, reading.boot),
    };
    row.head(names.ids.event(event.sequence), event.body.event_type(), stamp.text(event.time), &origin, &names.ids);
    match &event.body {
        Body::Shop(action) => write_shop(row, names.people.person(action.user), action),
        Body::Site(action) => write_site(row, names.people.person(action.user), &names.pages, action),
        Body::Fleet(reading) => {
            row.numbered(&FLEET_DEVICE, "dev_", reading.device + 1);
            row.hundredths(&FLEET_VALUE, i64::from(reading.value));
            row.text(&FLEET_UNIT, reading.quantity.unit());
            row.text(&FLEET_SITE, iot::site(reading.device));
        }
    }
    row.tail(&origin);
}

#[inline(always)]
fn write_shop<R: Row>(row: &mut R, person: Person, action: &ecommerce::Action) {
    let country = &COUNTRIES[person.country as usize];
    let product = |row: &mut R| row.numbered(&SHOP_PRODUCT, "prod_", action.product);
    let category = |row: &mut R| row.text(&SHOP_CATEGORY, category(action.product));
    let detail = action.detail as usize;
    match action.kind {
        ecommerce::Kind::PageView => {
            let page = ecommerce::PAGES[detail];
            let category = if page.ends_with("category/") { self::category(action.product) } else { "" };
            row.joined(&PAGE_URL, page, category);
        }
        ecommerce::Kind::Click => {
            product(row);
            row.text(&SHOP_ELEMENT, ecommerce::ELEMENTS[detail]);
        }
        ecommerce::Kind::FormSubmit => row.text(&SHOP_FORM, ecommerce::FORMS[detail]),
        ecommerce::Kind::ProductView => {
            product(row);
            category(row);
            row.hundredths(&SHOP_PRICE, i64::from(action.amount));
            row.text(&SHOP_CURRENCY, country.currency);
        }
        ecommerce::Kind::AddToCart => {
            product(row);
            row.hundredths(&SHOP_PRICE, i64::from(action.amount));
            row.integer(&SHOP_QUANTITY, u32::from(action.quantity));
            row.text(&SHOP_CURRENCY, country.currency);
        }
        ecommerce::Kind::PurchaseCompleted | ecommerce::Kind::Refund => {
            product(row);
            row.hundredths(&SHOP_AMOUNT, i64::from(action.amount));
            row.text(&SHOP_CURRENCY, country.currency);
            row.text(&SHOP_PAYMENT, ecommerce::PAYMENT_METHODS[detail]);
        }
        ecommerce::Kind::Restock => {
            product(row);
            row.integer(&SHOP_QUANTITY, u32::from(action.quantity));
            row.integer(&SHOP_STOCK, action.amount);
            return;
        }
    }
    row.text(&SHOP_COUNTRY, country.code);
}

#[inline(always)]
fn write_site<R: Row>(row: &mut R, person: Person, pages: &[String], action: &web::Action) {
    row.text(&PAGE_URL, &pages[action.page as usize]);
    row.text(&SITE_COUNTRY, COUNTRIES[person.country as usize].code);
    row.text(&SITE_DEVICE, AGENTS[person.agent as usize].device_type);
    row.integer(&SITE_LOAD_TIME, u32::from(action.load_time));
    match action.kind {
        web::Kind::PageView => {}
        web::Kind::Click => row.text(&SITE_ELEMENT, web::ELEMENTS[action.detail as usize]),
        web::Kind::Scroll => row.integer(&SITE_DEPTH, u32::from(action.detail)),
        web::Kind::FormSubmit => row.text(&SITE_FORM, web::FORMS[action.detail as usize]),
    }
}

fn category(product: u32) -> &'static str {
    ecommerce::CATEGORIES[product as usize % ecommerce::CATEGORIES.len()]
}
