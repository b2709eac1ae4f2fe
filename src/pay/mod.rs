//! Escrow and payment over Lightning. What is promised before the work is locked before the work; what is paid
//! follows the measured worth; every step stands in a journal before it is taken.

mod amount;
mod answer;
mod arrivals;
mod hints;
mod hold;
mod ids;
pub mod invoice;
mod journal;
mod judge;
mod ladder;
mod ledger;
mod messages;
mod network;
mod node;
mod offer;
pub mod preflight;
mod report;
mod secret;
mod state;
#[cfg(test)]
mod testing;

pub use amount::Msat;
pub use answer::PayAnswer;
pub use arrivals::{Arrival, Arrivals, ArrivalsEnd};
pub use hints::route_hints;
pub use hold::{HoldInvoice, HoldState};
pub use ids::{Instance, NodeId, OfferId, PaymentHash, Preimage, RecordHash};
pub use journal::{Entry, Head, Journal, Received};
pub use judge::{Case, Evidence, decide};
pub use ladder::{Ladder, MAX_RUNGS, MIN_RUNG};
pub use ledger::{Account, Ledger, Rung};
pub use messages::{Claimed, Closing, Held, HeldRung, Invoices, Preimages, RungPreimage, Verdict, Votes, hash_of};
pub use node::{CallError, Channel, Direction, Node, NodeInfo, NodeSigner, PayRequest, Payment, PaymentStatus};
pub use offer::{Heights, MARGIN, MAX_DELAY, Offer, Task};
pub use report::Report;
pub use secret::EscrowSecret;
pub use state::State;
