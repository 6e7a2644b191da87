//! Everything that events say in words, ready to be moved onto a page.
//!
//! Knows nothing of formats.

use crate::generate::encode::page::Short;
use crate::generate::people::{AGENTS, COUNTRIES};
use crate::generate::{ecommerce, iot, web};

/// The words, each list in the order of its numbers.
#[derive(Debug, Clone)]
pub struct Words {
    /// ISO codes.
    pub countries: Vec<Short>,
    /// By country.
    pub currencies: Vec<Short>,
    /// By agent.
    pub device_types: Vec<Short>,
    /// What happens in the shop.
    pub shop_types: [Short; 8],
    /// Kinds of pages.
    pub shop_pages: [Short; 5],
    /// What is clicked in the shop.
    pub shop_elements: [Short; 4],
    /// What is sent in the shop.
    pub shop_forms: [Short; 2],
    /// How is paid.
    pub payment_methods: [Short; 5],
    /// Of products and pages.
    pub categories: [Short; 8],
    /// What happens on the site.
    pub site_types: [Short; 4],
    /// Paths.
    pub site_pages: Vec<Short>,
    /// What is clicked on the site.
    pub site_elements: [Short; 5],
    /// What is sent on the site.
    pub site_forms: [Short; 4],
    /// What is measured.
    pub quantities: [Short; 3],
    /// By quantity.
    pub units: [Short; 3],
    /// Where devices stand.
    pub sites: [Short; 8],
}

impl Words {
    /// All of them.
    pub fn new() -> Words {
        let short = Short::new;
        Words {
            countries: COUNTRIES.iter().map(|country| short(country.code)).collect(),
            currencies: COUNTRIES.iter().map(|country| short(country.currency)).collect(),
            device_types: AGENTS.iter().map(|agent| short(agent.device_type)).collect(),
            shop_types: ecommerce::Kind::ALL.map(|kind| short(kind.name())),
            shop_pages: ecommerce::PAGES.map(short),
            shop_elements: ecommerce::ELEMENTS.map(short),
            shop_forms: ecommerce::FORMS.map(short),
            payment_methods: ecommerce::PAYMENT_METHODS.map(short),
            categories: ecommerce::CATEGORIES.map(short),
            site_types: web::Kind::ALL.map(|kind| short(kind.name())),
            site_pages: (0..web::PAGES).map(|page| short(&web::page_url(page))).collect(),
            site_elements: web::ELEMENTS.map(short),
            site_forms: web::FORMS.map(short),
            quantities: iot::Quantity::ALL.map(|quantity| short(quantity.name())),
            units: iot::Quantity::ALL.map(|quantity| short(quantity.unit())),
            sites: iot::SITES.map(short),
        }
    }

    /// The category of a product, or the one with this number.
    #[inline(always)]
    pub fn category(&self, product: u32) -> &Short {
        &self.categories[product as usize % self.categories.len()]
    }
}
