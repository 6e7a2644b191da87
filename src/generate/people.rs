//! What is known of users without asking: country, currency, address, browser. All follow from the seed and the user's number,
//! so that an event needs to carry only that number.
//!
//! Knows nothing of what users do.

use crate::generate::random::{Weighted, mix};

/// A country that users come from.
#[derive(Debug)]
pub struct Country {
    /// ISO 3166 code.
    pub code: &'static str,
    /// Weight among the users.
    weight: f64,
    /// ISO 4217 code.
    pub currency: &'static str,
    /// Price of 100 US cents in hundredths of the currency.
    pub per_dollar: u32,
    /// First bytes of addresses there.
    networks: [u8; 3],
}

/// Where users come from.
pub const COUNTRIES: &[Country] = &[
    country("US", 34.0, "USD", 100, [24, 73, 98]),
    country("GB", 10.0, "GBP", 79, [81, 86, 92]),
    country("DE", 12.0, "EUR", 92, [79, 84, 91]),
    country("FR", 8.0, "EUR", 92, [78, 82, 90]),
    country("ES", 5.0, "EUR", 92, [80, 83, 88]),
    country("IT", 5.0, "EUR", 92, [79, 87, 93]),
    country("NL", 4.0, "EUR", 92, [77, 84, 94]),
    country("CA", 7.0, "CAD", 136, [24, 70, 99]),
    country("AU", 5.0, "AUD", 152, [49, 101, 120]),
    country("JP", 5.0, "JPY", 14_700, [60, 118, 126]),
    country("BR", 3.0, "BRL", 495, [177, 187, 189]),
    country("IN", 2.0, "INR", 8_300, [49, 106, 117]),
];

/// A browser or an app.
#[derive(Debug)]
pub struct Agent {
    /// The `User-Agent` header.
    pub text: &'static str,
    /// `web`, `ios` or `android`.
    pub platform: &'static str,
    /// `desktop`, `mobile` or `tablet`.
    pub device_type: &'static str,
    weight: f64,
}

/// What users browse with.
pub const AGENTS: &[Agent] = &[
    agent(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "web",
        "desktop",
        26.0,
    ),
    agent(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "web",
        "desktop",
        10.0,
    ),
    agent(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
        "web",
        "desktop",
        7.0,
    ),
    agent("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "web", "desktop", 4.0),
    agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", "web", "desktop", 5.0),
    agent(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        "web",
        "mobile",
        18.0,
    ),
    agent(
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
        "web",
        "mobile",
        14.0,
    ),
    agent(
        "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        "web",
        "tablet",
        4.0,
    ),
    agent("ShopApp/7.4.1 (iPhone; iOS 18.1; Scale/3.00)", "ios", "mobile", 7.0),
    agent("ShopApp/7.4.0 (Linux; Android 14; Pixel 8)", "android", "mobile", 5.0),
];

/// One user.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// Place in `COUNTRIES`.
    pub country: u8,
    /// Place in `AGENTS`.
    pub agent: u8,
    /// IPv4 address.
    pub address: [u8; 4],
}

/// All users of a seed.
#[derive(Debug, Clone)]
pub struct People {
    seed: u64,
    countries: Weighted,
    agents: Weighted,
}

impl People {
    /// The users of `seed`.
    pub fn new(seed: u64) -> People {
        let weights = |weights: &mut dyn Iterator<Item = f64>| Weighted::new(&weights.collect::<Vec<_>>());
        People {
            seed: mix(seed ^ 0x7065_6f70_6c65),
            countries: weights(&mut COUNTRIES.iter().map(|country| country.weight)),
            agents: weights(&mut AGENTS.iter().map(|agent| agent.weight)),
        }
    }

    /// User number `user`.
    pub fn person(&self, user: u32) -> Person {
        let bits = mix(self.seed ^ u64::from(user));
        let more = mix(bits);
        let country = self.countries.pick(bits);
        let networks = COUNTRIES[country as usize].networks;
        let network = networks[(more >> 56) as usize % networks.len()];
        // The last byte avoids 0 and 255, which no host has.
        let host = 1 + (more >> 32 & 0xff) * 253 / 255;
        let address = [network, (more >> 48) as u8, (more >> 40) as u8, host as u8];
        Person { country: country as u8, agent: self.agents.pick(more.rotate_left(13)) as u8, address }
    }
}

const fn country(
    code: &'static str,
    weight: f64,
    currency: &'static str,
    per_dollar: u32,
    networks: [u8; 3],
) -> Country {
    Country { code, weight, currency, per_dollar, networks }
}

const fn agent(text: &'static str, platform: &'static str, device_type: &'static str, weight: f64) -> Agent {
    Agent { text, platform, device_type, weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_spread_by_weight_and_stay_who_they_are() {
        let people = People::new(7);
        let from_us = (0..10_000).filter(|&user| COUNTRIES[people.person(user).country as usize].code == "US").count();
        assert!((3_200..3_600).contains(&from_us), "{from_us}");
        let hosts: Vec<u8> = (0..10_000).map(|user| people.person(user).address[3]).collect();
        assert!(hosts.iter().all(|&host| (1..=254).contains(&host)));
        assert_eq!(people.person(3).address, People::new(7).person(3).address);
        assert_ne!(people.person(3).address, People::new(8).person(3).address);
    }
}
