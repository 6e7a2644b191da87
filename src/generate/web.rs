//! The web site: visitors read pages, scroll, click, send forms and leave.
//!
//! Knows nothing of bytes.

use crate::generate::crowd::{Crowd, Visitor};
use crate::generate::people::{AGENTS, People};
use crate::generate::random::{Random, Waits, Weighted};
use crate::generate::schedule::Schedule;
use crate::generate::{Body, Settings};

/// One thing that happened on the site.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// What.
    pub kind: Kind,
    /// The element or form: a place in its list of names; the depth of a scroll in percent.
    pub detail: u8,
    /// How long the page had taken to load, in milliseconds.
    pub load_time: u16,
    /// Number of the user, from 0.
    pub user: u32,
    /// Number of the session.
    pub session: u64,
    /// Number of the page, below `PAGES`, the most popular first.
    pub page: u32,
}

/// What happens on a web site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A page was opened.
    PageView,
    /// Something on it was clicked.
    Click,
    /// The visitor has scrolled down.
    Scroll,
    /// A form was sent.
    FormSubmit,
}

impl Kind {
    /// All kinds, in their order as numbers.
    pub const ALL: [Kind; 4] = [Kind::PageView, Kind::Click, Kind::Scroll, Kind::FormSubmit];

    /// The event type.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PageView => "page_view",
            Kind::Click => "click",
            Kind::Scroll => "scroll",
            Kind::FormSubmit => "form_submit",
        }
    }
}

/// How many pages the site has.
pub const PAGES: u32 = 400;
/// `detail` of a `Click`.
pub const ELEMENTS: [&str; 5] = ["nav-menu", "read-more", "cta-button", "share", "video-play"];
/// `detail` of a `FormSubmit`.
pub const FORMS: [&str; 4] = ["newsletter", "contact", "login", "search"];

/// The path of page number `page`.
pub fn page_url(page: u32) -> String {
    const FRONT: [&str; 8] = ["/", "/pricing", "/blog", "/docs", "/features", "/about", "/login", "/contact"];
    const SECTIONS: [&str; 4] = ["/blog/post", "/docs/guide", "/products/item", "/help/topic"];
    match FRONT.get(page as usize) {
        Some(front) => (*front).to_owned(),
        None => format!("{}-{}", SECTIONS[page as usize % SECTIONS.len()], page / SECTIONS.len() as u32),
    }
}

const READING: i64 = 12_000_000;

/// The running site.
#[derive(Debug)]
pub struct Site {
    schedule: Schedule,
    crowd: Crowd<Journey>,
    random: Random,
    people: People,
    waits: Waits,
    popularity: Weighted,
}

/// Where a visitor stands.
#[derive(Debug, Clone, Copy)]
struct Journey {
    next: Kind,
    /// How far down the page, in percent.
    depth: u8,
    load_time: u16,
    page: u32,
}

impl Site {
    /// Opens the site.
    pub fn new(settings: &Settings, schedule: Schedule) -> Site {
        Site {
            schedule,
            crowd: Crowd::new(settings.users, settings.start.0),
            random: Random::new(settings.seed, 2),
            people: People::new(settings.seed),
            waits: Waits::new(),
            popularity: Weighted::zipf(PAGES, 1.0),
        }
    }

    /// What happens next, and when.
    #[inline(always)]
    pub fn next_event(&mut self) -> (i64, Body) {
        let now = self.schedule.next_slot();
        let start = Journey { next: Kind::PageView, depth: 0, load_time: 0, page: 0 };
        let place = self.crowd.next(now, start, &mut self.random);
        let Visitor { user, session, mut journey } = *self.crowd.visitor(place);
        let kind = journey.next;
        let detail = self.act(user, &mut journey);
        let Journey { load_time, page, .. } = journey;
        match self.go_on(journey) {
            Some(next) => {
                self.crowd.visitor(place).journey = Journey { next, ..journey };
                self.crowd.stay(place, now, READING, &mut self.random);
            }
            None => self.crowd.leave(place),
        }
        (now, Body::Site(Action { kind, detail, load_time, user, session, page }))
    }

    fn act(&mut self, user: u32, journey: &mut Journey) -> u8 {
        match journey.next {
            Kind::PageView => {
                journey.page = self.popularity.draw(&mut self.random);
                journey.depth = 0;
                let mobile = AGENTS[self.people.person(user).agent as usize].device_type != "desktop";
                let mean = if mobile { 600 } else { 300 };
                journey.load_time = 60 + self.random.wait(&self.waits, mean) as u16;
                0
            }
            Kind::Click => self.random.below(ELEMENTS.len() as u32) as u8,
            Kind::Scroll => {
                journey.depth += 25;
                journey.depth
            }
            Kind::FormSubmit => self.random.below(FORMS.len() as u32) as u8,
        }
    }

    /// The next step after the one in `journey.next`, or none when the visitor leaves.
    fn go_on(&mut self, journey: Journey) -> Option<Kind> {
        // Who has waited for the page is likelier to go.
        let patience = if journey.load_time > 1500 { 55 } else { 80 };
        match self.random.below(100) {
            roll if roll >= patience => None,
            0..30 if journey.depth < 100 => Some(Kind::Scroll),
            0..45 if journey.next != Kind::Click => Some(Kind::Click),
            45..49 if journey.next != Kind::FormSubmit => Some(Kind::FormSubmit),
            _ => Some(Kind::PageView),
        }
    }
}
