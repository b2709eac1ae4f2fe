//! What updates are worth: gains on held-out data in exact arithmetic, and pay in integer msat.

mod eligible;
mod gain;
mod payout;
mod records;

pub use eligible::{Candidate, Eligibility, judge};
pub use gain::{draw_sequences, total_loss};
pub use payout::{Payout, proportional};
pub use records::{RoundScore, Score};
