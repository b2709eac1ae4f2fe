//! The first thing that differs.

use std::fmt;

/// The first thing that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Difference {
    /// `None` where both are equal.
    pub fn between(what: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Option<Difference> {
        let (expected, found) = (expected.to_string(), found.to_string());
        (expected != found).then(|| Difference { what: what.to_owned(), expected, found })
    }
}
