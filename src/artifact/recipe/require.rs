//! What a field must be.

use crate::error::{Error, Result};

/// Refuses a field by its name, with what it should be.
pub(super) fn require(holds: bool, field: &str, expected: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::data(format!("{field}: expected {expected}"))) }
}
