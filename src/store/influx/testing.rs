//! What the acceptance tests have, for the tests of this module.

#[path = "../../../tests/support/influx.rs"]
pub(crate) mod influx;
#[path = "../../../tests/support/points.rs"]
pub(crate) mod points;
#[path = "../../../tests/support/random.rs"]
pub(crate) mod random;
