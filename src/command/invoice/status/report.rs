//! A rung's state as a record.

use crate::artifact::record;
use crate::error::{Context, Result};
use crate::pay::{Account, Msat, OfferId, State};

/// One rung's state, for scripts.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    offer: OfferId,
    round: u64,
    attempt: u32,
    worker: String,
    rung: u32,
    msat: Msat,
    state: State,
    /// What was sent for it, fees among it, once it is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_msat: Option<Msat>,
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
