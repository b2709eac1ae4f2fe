//! A rung's state as a record.

use super::amount::Msat;
use super::ids::OfferId;
use super::ledger::Account;
use super::state::State;
use crate::artifact::record;
use crate::error::{Context, Result};

/// One rung's state, for scripts.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The offer.
    pub offer: OfferId,
    /// The round.
    pub round: u64,
    /// Which try at it.
    pub attempt: u32,
    /// The worker.
    pub worker: String,
    /// The rung.
    pub rung: u32,
    /// Its amount.
    pub msat: Msat,
    /// How far it is.
    pub state: State,
    /// What was sent for it, fees among it, once it is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_msat: Option<Msat>,
}

impl record::Record for Report {
    const TYPE: &'static str = "rung";
}

impl Report {
    /// The lines of an offer's rungs.
    pub fn lines(account: &Account) -> Result<String> {
        let offer = &account.offer;
        let id = offer.id()?;
        let lines = (0u32..).zip(&account.rungs).map(|(rung, book)| {
            record::line(&Report {
                offer: id,
                round: offer.round,
                attempt: offer.attempt,
                worker: offer.worker.clone(),
                rung,
                msat: offer.rungs_msat[rung as usize],
                state: book.state,
                sent_msat: book.sent_msat,
            })
        });
        lines.collect::<Result<Vec<_>>>().map(|lines| lines.concat()).at(offer.name())
    }
}
