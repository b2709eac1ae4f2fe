//! A rung's invoice: made from the offer by the worker, checked field by field by the payer.

use std::str::FromStr;
use std::time::Duration;

use lightning::bitcoin::hashes::{Hash, sha256};
use lightning::bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning::types::payment::PaymentSecret;
use lightning::types::routing::RouteHint;
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef, Currency, InvoiceBuilder};

use super::ids::{NodeId, PaymentHash};
use super::offer::Offer;
use super::secret::EscrowSecret;
use crate::error::{Context, Error, Result};

/// A foreign invoice may be at most so long, in bytes.
const MAX_INVOICE: usize = 4096;

/// Seconds that an invoice lives for each block until `lock_by`, and at least: blocks may be slow.
const SECONDS_A_BLOCK: u64 = 1200;
const MIN_EXPIRY: u64 = 3600;

/// What an invoice of a foreign node may cost the payer on its last hops, where it brings hints.
#[derive(Clone, Copy, Debug)]
pub struct HintLimits {
    /// Route hints an invoice.
    pub hints: usize,
    /// msat a hop.
    pub base_msat: u32,
    /// Millionths of the amount a hop.
    pub proportional_millionths: u32,
    /// Blocks a hop.
    pub cltv_expiry_delta: u16,
}

/// Ten times Core Lightning's defaults.
pub const HINT_LIMITS: HintLimits =
    HintLimits { hints: 8, base_msat: 10_000, proportional_millionths: 5000, cltv_expiry_delta: 144 };

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

/// The unsigned invoice of a rung, as text with a signature that nobody made: `signinvoice` replaces it.
///
/// `now` is the time as seconds since 1970; `hints` lead to the worker over channels that nobody else knows of.
pub fn build(offer: &Offer, rung: u32, secret: &EscrowSecret, hints: &[RouteHint], now: u64) -> Result<String> {
    let i = rung as usize;
    let place = || format!("invoice for rung {rung} of the {}", offer.name());
    let blocks = u64::from(offer.heights.lock_by - offer.heights.offered_at);
    let mut builder = InvoiceBuilder::new(currency(&offer.network)?)
        .description_hash(sha256::Hash::from_byte_array(offer.description_hash()?.0))
        .payment_hash(sha256::Hash::from_byte_array(offer.hashes[i].0))
        .duration_since_epoch(Duration::from_secs(now))
        .expiry_time(Duration::from_secs((blocks * SECONDS_A_BLOCK).max(MIN_EXPIRY)))
        .min_final_cltv_expiry_delta(offer.heights.final_delta().into())
        .payment_secret(PaymentSecret(secret.payment_secret(&offer.id()?, rung)))
        .amount_milli_satoshis(offer.rungs_msat[i].0);
    // No basic_mpp: a rung is one HTLC, whole or not at all.
    for hint in hints {
        builder = builder.private_route(hint.clone());
    }
    let nobody = SecretKey::from_slice(&[1; 32]).expect("one is a secret key");
    let signed = builder.build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &nobody));
    signed.map(|invoice| invoice.to_string()).map_err(|e| Error::bug(format!("{}: {e:?}", place())))
}

/// Refuses, by the name of the field, an invoice that is not the payee's for this rung, or would cost the payer more
/// than the rung. `now` is the time as seconds since 1970.
pub fn check(offer: &Offer, rung: u32, bolt11: &str, now: u64) -> Result<()> {
    check_terms(offer, rung, bolt11, now).at(format!("invoice for rung {rung} of the {}", offer.name()))
}

fn check_terms(offer: &Offer, rung: u32, bolt11: &str, now: u64) -> Result<()> {
    let invoice = parse(bolt11)?;
    let i = rung as usize;
    let payee = NodeId(invoice.get_payee_pub_key());
    expect("payee", &payee, &offer.payee)?;
    let network = currency(&offer.network)?;
    expect("network", &invoice.currency().to_string(), &network.to_string())?;
    let hash = PaymentHash(invoice.payment_hash().to_byte_array());
    expect("payment hash", &hash, &offer.hashes[i])?;
    match invoice.amount_milli_satoshis() {
        Some(found) => expect("amount", &found, &offer.rungs_msat[i].0)?,
        None => return Err(Error::refused(format!("amount: expected {}, found none", offer.rungs_msat[i]))),
    }
    let description = offer.description_hash()?.to_string();
    match invoice.description() {
        Bolt11InvoiceDescriptionRef::Hash(found) => expect("description hash", &found.0.to_string(), &description)?,
        Bolt11InvoiceDescriptionRef::Direct(_) => {
            return Err(Error::refused(format!("description hash: expected {description}, found a description")));
        }
    }
    let made = invoice.duration_since_epoch().as_secs();
    let ends = made.saturating_add(invoice.expiry_time().as_secs());
    if ends <= now {
        return Err(Error::refused(format!("expiry: the invoice expired {} s ago", now - ends)));
    }
    if made > now.saturating_add(MIN_EXPIRY) {
        return Err(Error::refused(format!("timestamp: {} s in the future", made - now)));
    }
    let delta = u64::from(offer.heights.final_delta());
    expect("final CLTV", &invoice.min_final_cltv_expiry_delta(), &delta)?;
    check_features(&invoice)?;
    if invoice.payment_metadata().is_some() {
        return Err(Error::refused("payment metadata: expected none"));
    }
    if !invoice.fallbacks().is_empty() {
        return Err(Error::refused("fallback address: expected none"));
    }
    check_hints(&invoice.route_hints(), &HINT_LIMITS)
}

fn expect<T: PartialEq + std::fmt::Display>(field: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::refused(format!("{field}: expected {expected}, found {found}")))
}

/// Parses a foreign invoice, its signature and its fields checked for sense.
pub fn parse(bolt11: &str) -> Result<Bolt11Invoice> {
    if bolt11.len() > MAX_INVOICE {
        return Err(Error::refused(format!("expected at most {MAX_INVOICE} bytes, found {}", bolt11.len())));
    }
    let invoice = Bolt11Invoice::from_str(bolt11).map_err(|e| Error::refused(format!("not an invoice: {e}")))?;
    // One invoice has one text: what was checked is what is paid and what its hash stands for.
    if invoice.to_string() != bolt11 {
        return Err(Error::refused("not an invoice as one writes it: expected lower case, no other spelling"));
    }
    Ok(invoice)
}

fn check_features(invoice: &Bolt11Invoice) -> Result<()> {
    let refuse = |what: &str| Err(Error::refused(format!("features: {what}")));
    let Some(features) = invoice.features() else {
        return refuse("expected payment_secret, found none");
    };
    if !features.requires_payment_secret() {
        return refuse("expected payment_secret to be required");
    }
    if features.supports_basic_mpp() {
        return refuse("expected no basic_mpp: a rung is one payment, not several");
    }
    if features.requires_unknown_bits() {
        return refuse("an unknown one is required");
    }
    Ok(())
}

fn check_hints(hints: &[RouteHint], limits: &HintLimits) -> Result<()> {
    let refuse = |what: String| Err(Error::refused(format!("route hint: {what}")));
    if hints.len() > limits.hints {
        return refuse(format!("expected at most {}, found {}", limits.hints, hints.len()));
    }
    for hint in hints {
        if hint.0.len() != 1 {
            return refuse(format!("expected one hop, found {}", hint.0.len()));
        }
        let hop = &hint.0[0];
        let found = [
            ("base fee in msat", hop.fees.base_msat, limits.base_msat),
            ("fee in millionths", hop.fees.proportional_millionths, limits.proportional_millionths),
            ("CLTV delta", hop.cltv_expiry_delta.into(), limits.cltv_expiry_delta.into()),
        ];
        if let Some((what, found, most)) = found.into_iter().find(|(_, found, most)| found > most) {
            return refuse(format!("{what}: expected at most {most}, found {found}"));
        }
    }
    Ok(())
}
