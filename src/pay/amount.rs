//! Money: whole millisatoshi, checked.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An amount in millisatoshi.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Msat(pub u64);

impl Msat {
    /// Nothing.
    pub const ZERO: Msat = Msat(0);

    /// All bitcoin that there will be; also below 2^63, so that sums of a few never wrap.
    pub const MAX: Msat = Msat(2_100_000_000_000_000_000);

    /// The sum; amounts beyond all bitcoin are refused.
    pub fn plus(self, other: Msat) -> Result<Msat> {
        let sum = self.0.checked_add(other.0).map(Msat).filter(|sum| *sum <= Msat::MAX);
        sum.ok_or_else(|| Error::data(format!("{self} and {other}: more than all bitcoin")))
    }

    /// The difference, or nothing.
    #[must_use]
    pub fn minus(self, other: Msat) -> Msat {
        Msat(self.0.saturating_sub(other.0))
    }

    /// The sum of many.
    pub fn sum(amounts: impl IntoIterator<Item = Msat>) -> Result<Msat> {
        amounts.into_iter().try_fold(Msat::ZERO, Msat::plus)
    }
}

impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} msat", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_or_refused() {
        assert_eq!(Msat::sum([Msat(1), Msat(2), Msat(3)]).unwrap(), Msat(6));
        assert_eq!(Msat(5).minus(Msat(7)), Msat::ZERO);
        assert!(Msat::MAX.plus(Msat(1)).is_err());
        assert!(Msat(u64::MAX).plus(Msat(u64::MAX)).is_err());
    }
}
