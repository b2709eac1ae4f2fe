//! What updates are worth: gains on held-out data in exact arithmetic, and pay in integer msat.

mod accept;
mod alone;
mod believed;
mod consensus;
mod drawn;
mod eligible;
mod entitled;
mod gain;
mod gates;
mod measure;
mod next;
mod noise;
mod pay_rules;
mod payout;
mod pool;
mod rating;
mod records;
mod remainder;
mod round;
mod scoring;
pub mod shapley;
pub mod signals;
mod spread;
mod standings;
mod validators;
mod watch;
mod worth;

pub use accept::Acceptance;
pub use alone::{ModelLoss, model_loss};
pub use believed::Believed;
pub use consensus::{ClippedMedian, clipped_median};
pub use drawn::{Bound, Drawn, ListClosing};
pub use eligible::{
    Candidate, Eligibility, UNOPENED, Unlisted, by_arrival, committed, deciding, in_time, judge, opened_commitment,
    require_listed,
};
pub use entitled::entitled;
pub use gain::{draw_sequences, sequence_losses};
pub use next::{Next, Step, next_model};
pub use noise::{Significance, paired};
pub use pay_rules::{PayRule, Weighting};
pub use payout::{Payout, proportional, split};
pub use pool::read_assigned;
pub use rating::{FixedRating, PlackettLuce, Rating, ranks};
pub use records::{Counted, RoundScore, Score, Signals, Standing, StandingsGiven};
pub use round::{
    Scores, finding_digest, in_order, one_a_worker, read_held_out, read_update, score_round, update_digest,
};
pub use scoring::{OpenShard, Scoring};
pub use standings::check_standings;
pub use validators::{Ballot, Consensus, Endorsement, Merged, Vote, endorse, merge, votes};
pub use watch::Watch;
pub use worth::{Worth, coalitions, worth};
