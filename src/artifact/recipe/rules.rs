//! What fields must be, and which are not.

use crate::error::{Error, Result};

/// A field that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::artifact) struct Broken {
    /// The field by its table and name; two that must agree are both named.
    pub field: String,
    /// Other fields that say what it must be.
    pub beside: &'static [&'static str],
    /// What it must be.
    pub expected: String,
}

/// Rules as they are asked one after the other, and those that do not hold.
#[derive(Debug, Default)]
pub(super) struct Rules {
    broken: Vec<Broken>,
}

impl Rules {
    /// Asks that a field, by its name, is what is expected.
    pub fn require(&mut self, holds: bool, field: &str, expected: &str) {
        self.require_beside(holds, field, &[], expected);
    }

    /// The same of a field of which others say what it must be: where one of those is broken itself, nothing is asked.
    pub fn require_beside(&mut self, holds: bool, field: &str, beside: &'static [&'static str], expected: &str) {
        let asked = |broken: &Broken| broken.field == field || beside.contains(&broken.field.as_str());
        if !holds && !self.broken.iter().any(asked) {
            self.broken.push(Broken { field: field.to_owned(), beside, expected: expected.to_owned() });
        }
    }

    /// The rules that do not hold, one a field, in the order in which they were asked.
    pub fn broken(self) -> Vec<Broken> {
        self.broken
    }

    /// Refuses what breaks a rule, by the first of them.
    pub fn hold(self) -> Result<()> {
        match self.broken.into_iter().next() {
            None => Ok(()),
            Some(Broken { field, expected, .. }) => Err(Error::data(format!("{field}: expected {expected}"))),
        }
    }
}
