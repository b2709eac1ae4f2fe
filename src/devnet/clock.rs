//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::civil::civil;

/// Seconds since 1970.
pub fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The same in the form of the hold plugin: `2026-01-31T23:59:59`.
pub fn text() -> String {
    civil(unix())
}
