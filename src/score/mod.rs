//! What updates are worth: gains on held-out data in exact arithmetic, and pay in integer msat.

mod accept;
mod eligible;
mod entitled;
mod gain;
mod next;
mod payout;
mod records;
mod round;

pub use accept::Acceptance;
pub use eligible::{Candidate, Eligibility, deciding, in_time, judge, opened_commitment, uncommitted};
pub use entitled::entitled;
pub use gain::{draw_sequences, total_loss};
pub use next::{Next, Step, next_model};
pub use payout::{Payout, proportional};
pub use records::{RoundScore, Score};
pub use round::{
    Scores, Scoring, Watch, finding_digest, in_order, one_a_worker, read_held_out, read_update, score_round,
};
