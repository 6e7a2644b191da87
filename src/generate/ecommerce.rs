//! The shop: visitors walk from page to product to cart to checkout, or give up on the way; some return what they bought;
//! stock runs down and is restocked.
//!
//! Knows nothing of bytes. The customs that a reader may rely on: a purchase follows an `add_to_cart` of the same product
//! in the same session, a refund follows its purchase, and stock never goes below zero.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::generate::crowd::{Crowd, Visitor};
use crate::generate::people::{COUNTRIES, People};
use crate::generate::random::{Chance, Random, Waits, Weighted};
use crate::generate::schedule::Schedule;
use crate::generate::{Body, Settings};

/// One thing that happened in the shop.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// What.
    pub kind: Kind,
    /// Kind of page, element, form or payment method: a place in the kind's list of names.
    pub detail: u8,
    /// How many pieces, or 0.
    pub quantity: u16,
    /// Number of the user, from 0; means nothing in a restock.
    pub user: u32,
    /// Number of the session; means nothing in a restock.
    pub session: u64,
    /// Number of the product, from 1; of the category on a category page.
    pub product: u32,
    /// Price or amount in hundredths of the user's currency; the stock after a restock.
    pub amount: u32,
}

/// What happens in a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A page other than a product's was opened.
    PageView,
    /// Something on a page was clicked.
    Click,
    /// A form was sent.
    FormSubmit,
    /// A product's page was opened.
    ProductView,
    /// A product was put into the cart.
    AddToCart,
    /// A product of the cart was paid for; one event a product.
    PurchaseCompleted,
    /// A purchase was paid back.
    Refund,
    /// New stock of a product has come.
    Restock,
}

impl Kind {
    /// All kinds, in their order as numbers.
    pub const ALL: [Kind; 8] = [
        Kind::PageView,
        Kind::Click,
        Kind::FormSubmit,
        Kind::ProductView,
        Kind::AddToCart,
        Kind::PurchaseCompleted,
        Kind::Refund,
        Kind::Restock,
    ];

    /// The event type.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PageView => "page_view",
            Kind::Click => "click",
            Kind::FormSubmit => "form_submit",
            Kind::ProductView => "product_view",
            Kind::AddToCart => "add_to_cart",
            Kind::PurchaseCompleted => "purchase_completed",
            Kind::Refund => "refund",
            Kind::Restock => "restock",
        }
    }
}

/// `detail` of a `PageView`. The category's name follows number `CATEGORY`.
pub const PAGES: [&str; 5] = ["/", "/category/", "/cart", "/checkout", "/thank-you"];
/// `detail` of a `Click`.
pub const ELEMENTS: [&str; 4] = ["image-zoom", "reviews", "size-guide", "recommendation"];
/// `detail` of a `FormSubmit`.
pub const FORMS: [&str; 2] = ["checkout", "search"];
/// `detail` of a `PurchaseCompleted` or `Refund`.
pub const PAYMENT_METHODS: [&str; 5] = ["credit_card", "paypal", "apple_pay", "google_pay", "bank_transfer"];
/// The category of product `p` is number `p % 8`.
pub const CATEGORIES: [&str; 8] = ["books", "electronics", "fashion", "garden", "home", "music", "sports", "toys"];

const HOME: u8 = 0;
/// The `detail` of a page whose category's name follows.
pub const CATEGORY: u8 = 1;
const CART: u8 = 2;
const CHECKOUT: u8 = 3;
const THANKS: u8 = 4;

const SECOND: i64 = 1_000_000;
/// How long visitors look at something.
const THINKING: i64 = 9 * SECOND;
const CART_MAX: usize = 3;
/// Refunds that are still to come. Beyond it purchases are for good, so that memory stays bounded.
const REFUNDS_MAX: usize = 65_536;

/// The running shop.
#[derive(Debug)]
pub struct Shop {
    schedule: Schedule,
    crowd: Crowd<Journey>,
    store: Store,
}

/// The shop without its visitors.
#[derive(Debug)]
struct Store {
    random: Random,
    people: People,
    waits: Waits,
    popularity: Weighted,
    /// By rank in popularity.
    products: Vec<Product>,
    errands: BinaryHeap<Reverse<Errand>>,
    refund_chance: Chance,
}

/// Where a visitor stands. The cart holds ranks of products and quantities.
#[derive(Debug, Clone, Copy)]
struct Journey {
    next: Step,
    cart_length: u8,
    /// Price of 100 US cents in hundredths of the visitor's currency.
    per_dollar: u32,
    viewed: u32,
    cart: [(u32, u16); CART_MAX],
}

/// What a visitor does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Land,
    OpenCategory,
    ViewProduct,
    Search,
    Click,
    AddToCart,
    OpenCart,
    OpenCheckout,
    SubmitCheckout,
    Buy,
    Thank,
}

#[derive(Debug)]
struct Product {
    /// As it is printed, from 1. Popular products have any number.
    number: u32,
    /// In US cents.
    price: u32,
    stock: u32,
    /// What a full shelf holds.
    shelf: u32,
    ordered: bool,
}

/// Something that happens later without a visitor's next step. Ordered by time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Errand {
    due: i64,
    number: u64,
    job: Job,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Refund { user: u32, session: u64, rank: u32, quantity: u16, amount: u32, method: u8 },
    Restock { rank: u32 },
}

impl Shop {
    /// Opens the shop.
    pub fn new(settings: &Settings, schedule: Schedule) -> Shop {
        let mut random = Random::new(settings.seed, 2);
        let store = Store {
            people: People::new(settings.seed),
            waits: Waits::new(),
            popularity: Weighted::zipf(settings.products, 1.05),
            products: Product::assortment(settings.products, &mut random),
            errands: BinaryHeap::new(),
            refund_chance: Chance::new(0.04),
            random,
        };
        Shop { schedule, crowd: Crowd::new(settings.users, settings.start.0), store }
    }

    /// What happens next, and when.
    #[inline(always)]
    pub fn next_event(&mut self) -> (i64, Body) {
        let now = self.schedule.next_slot();
        let action = match self.store.errands.peek() {
            Some(Reverse(errand)) if errand.due <= now => self.store.run_errand(),
            _ => self.visit(now),
        };
        (now, Body::Shop(action))
    }

    #[inline(always)]
    fn visit(&mut self, now: i64) -> Action {
        let Shop { crowd, store, .. } = self;
        let start = Journey { next: Step::Land, cart_length: 0, per_dollar: 0, viewed: 0, cart: [(0, 0); CART_MAX] };
        let place = crowd.next(now, start, &mut store.random);
        let Visitor { user, session, journey } = crowd.visitor(place);
        if journey.next == Step::Land {
            journey.per_dollar = COUNTRIES[store.people.person(*user).country as usize].per_dollar;
        }
        let action = store.act(now, *user, *session, journey);
        match store.go_on(journey) {
            Some((next, wait)) => {
                journey.next = next;
                crowd.stay(place, now, wait, &mut store.random);
            }
            None => crowd.leave(place),
        }
        action
    }
}

impl Store {
    /// A visitor takes the step that is next; afterwards `next` is the step that was really taken.
    #[inline(always)]
    fn act(&mut self, now: i64, user: u32, session: u64, journey: &mut Journey) -> Action {
        let seen = |kind, detail| Action { kind, detail, quantity: 0, user, session, product: 0, amount: 0 };
        match journey.next {
            Step::Land if self.random.below(100) < 60 => seen(Kind::PageView, HOME),
            Step::Land | Step::OpenCategory => {
                let product = self.random.below(CATEGORIES.len() as u32);
                Action { product, ..seen(Kind::PageView, CATEGORY) }
            }
            Step::Search => seen(Kind::FormSubmit, 1),
            Step::ViewProduct => {
                journey.viewed = self.popularity.draw(&mut self.random);
                let (product, amount) = self.offer(journey.viewed, journey.per_dollar);
                Action { product, amount, ..seen(Kind::ProductView, 0) }
            }
            Step::Click => {
                let (product, _) = self.offer(journey.viewed, journey.per_dollar);
                Action { product, ..seen(Kind::Click, self.random.below(ELEMENTS.len() as u32) as u8) }
            }
            Step::AddToCart => {
                let quantity = [1, 1, 1, 1, 1, 1, 2, 3][self.random.below(8) as usize];
                journey.cart[journey.cart_length as usize] = (journey.viewed, quantity);
                journey.cart_length += 1;
                let (product, amount) = self.offer(journey.viewed, journey.per_dollar);
                Action { product, amount, quantity, ..seen(Kind::AddToCart, 0) }
            }
            Step::OpenCart => seen(Kind::PageView, CART),
            Step::OpenCheckout => seen(Kind::PageView, CHECKOUT),
            Step::SubmitCheckout => seen(Kind::FormSubmit, 0),
            Step::Buy => self.buy(now, user, session, journey).unwrap_or_else(|| {
                // Somebody else was quicker. The visitor is told so on the cart's page, and goes.
                journey.next = Step::Thank;
                seen(Kind::PageView, CART)
            }),
            Step::Thank => seen(Kind::PageView, THANKS),
        }
    }

    /// The next step after the one in `journey.next`, and how long it takes around; or none when the visitor leaves.
    #[inline(always)]
    fn go_on(&mut self, journey: &Journey) -> Option<(Step, i64)> {
        let roll = self.random.below(100);
        let has_room = (journey.cart_length as usize) < CART_MAX;
        let step = match journey.next {
            Step::Land | Step::OpenCategory | Step::Search => match roll {
                0..55 => Step::ViewProduct,
                55..72 => Step::OpenCategory,
                72..80 => Step::Search,
                _ => return None,
            },
            Step::ViewProduct | Step::Click => match roll {
                0..16 if has_room && self.products[journey.viewed as usize].stock > 0 => Step::AddToCart,
                0..50 => Step::ViewProduct,
                50..68 => Step::Click,
                68..80 => Step::OpenCategory,
                80..84 if journey.cart_length > 0 => Step::OpenCart,
                _ => return None,
            },
            Step::AddToCart => match roll {
                0..45 => Step::OpenCart,
                45..75 => Step::ViewProduct,
                _ => return None,
            },
            Step::OpenCart => match roll {
                0..65 => Step::OpenCheckout,
                65..75 => Step::ViewProduct,
                _ => return None,
            },
            Step::OpenCheckout if roll < 85 => Step::SubmitCheckout,
            Step::SubmitCheckout if roll < 92 => return Some((Step::Buy, 2 * SECOND)),
            Step::Buy if journey.cart_length > 0 => return Some((Step::Buy, SECOND / 5)),
            Step::Buy => return Some((Step::Thank, SECOND)),
            Step::OpenCheckout | Step::SubmitCheckout | Step::Thank => return None,
        };
        Some((step, THINKING))
    }

    /// Takes the last product out of the cart and off the shelf, unless there is too little.
    fn buy(&mut self, now: i64, user: u32, session: u64, journey: &mut Journey) -> Option<Action> {
        journey.cart_length -= 1;
        let (rank, quantity) = journey.cart[journey.cart_length as usize];
        let (product, price) = self.offer(rank, journey.per_dollar);
        let shelf = &mut self.products[rank as usize];
        shelf.stock = shelf.stock.checked_sub(u32::from(quantity))?;
        if shelf.stock * 4 < shelf.shelf && !shelf.ordered {
            shelf.ordered = true;
            self.plan(now, 40 * SECOND, Job::Restock { rank });
        }
        let amount = price * u32::from(quantity);
        let method = [0, 0, 0, 0, 1, 1, 2, 2, 3, 4][self.random.below(10) as usize];
        if self.random.hits(self.refund_chance) && self.errands.len() < REFUNDS_MAX {
            let hasty = self.random.below(2) == 0;
            let mean = if hasty { 120 * SECOND } else { 10 * 3600 * SECOND };
            self.plan(now, mean, Job::Refund { user, session, rank, quantity, amount, method });
        }
        Some(Action { kind: Kind::PurchaseCompleted, detail: method, quantity, user, session, product, amount })
    }

    /// Number and price of a product, in the user's currency.
    fn offer(&self, rank: u32, per_dollar: u32) -> (u32, u32) {
        let product = &self.products[rank as usize];
        (product.number, (u64::from(product.price) * u64::from(per_dollar) / 100) as u32)
    }

    fn plan(&mut self, now: i64, mean: i64, job: Job) {
        let due = now + 1 + self.random.wait(&self.waits, mean);
        // The number makes the order among equals certain without comparing jobs.
        let number = self.random.bits();
        self.errands.push(Reverse(Errand { due, number, job }));
    }

    fn run_errand(&mut self) -> Action {
        let Reverse(errand) = self.errands.pop().expect("the caller has seen an errand");
        match errand.job {
            Job::Refund { user, session, rank, quantity, amount, method } => {
                let product = self.products[rank as usize].number;
                Action { kind: Kind::Refund, detail: method, quantity, user, session, product, amount }
            }
            Job::Restock { rank } => {
                let shelf = &mut self.products[rank as usize];
                let quantity = shelf.shelf - shelf.stock;
                shelf.stock = shelf.shelf;
                shelf.ordered = false;
                let (product, amount) = (shelf.number, shelf.stock);
                Action {
                    kind: Kind::Restock,
                    detail: 0,
                    quantity: quantity as u16,
                    user: 0,
                    session: 0,
                    product,
                    amount,
                }
            }
        }
    }
}

impl Product {
    /// All products, the most popular first.
    fn assortment(count: u32, random: &mut Random) -> Vec<Product> {
        let mut numbers: Vec<u32> = (1..=count).collect();
        for i in (1..count).rev() {
            numbers.swap(i as usize, random.below(i + 1) as usize);
        }
        let product = |(rank, number): (usize, u32)| {
            // Most things are cheap: the product of two even draws leans to the low end. Prices end in 99.
            let lean = u64::from(random.below(1000)) * u64::from(random.below(1000));
            let price = (lean * 500 / 1_000_000) as u32 * 100 + 499;
            let shelf = 24 + 400 / (rank as u32 + 1);
            Product { number, price, stock: shelf / 4 + random.below(shelf / 2), shelf, ordered: false }
        };
        numbers.into_iter().enumerate().map(product).collect()
    }
}
