//! Disputes: two parties claim different leaves for the same work, and one operator's execution says who is right.
//!
//! The judge asks both parties questions, each of a few hashes, and checks every answer: which leaf differs first, which
//! step, which operator. Whoever cannot answer what was committed to loses by that alone; what is left is one operator
//! whose inputs both agree on, and that is executed by its definition. Questions and answers are the transcript: whoever
//! doubts it puts the same questions to the recorded answers, and must arrive at the same text. See `docs/dispute.md`.

mod check;
mod descent;
mod judge;
mod parties;
mod questions;
mod referee;
mod rules;
mod session;
mod settle;
mod transcript;

pub use check::{Checked, Operands, check_transcript};
pub use judge::{Begin, Judge};
pub use parties::{Files, Party};
pub use questions::{Answer, Exchange, Question, Tree, Voucher};
pub use referee::{ByDefinition, Referee};
pub use settle::{Outcome, Settled, settle};
pub use transcript::{Dispute, Ruling, Side};
