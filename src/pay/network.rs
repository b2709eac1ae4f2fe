//! The networks that an offer may be for.

use lightning_invoice::Currency;

use crate::error::{Error, Result};

/// The currency of a network that Core Lightning names so.
pub fn currency(network: &str) -> Result<Currency> {
    match network {
        "bitcoin" => Ok(Currency::Bitcoin),
        "testnet" | "testnet4" => Ok(Currency::BitcoinTestnet),
        "signet" => Ok(Currency::Signet),
        "regtest" => Ok(Currency::Regtest),
        other => Err(Error::data(format!("network: expected bitcoin, testnet, signet or regtest, found {other:?}"))),
    }
}
