//! A rung's invoice: made from the offer by the worker, checked field by field by the payer.

use std::str::FromStr;
use std::time::Duration;

use lightning::bitcoin::hashes::{Hash, sha256};
use lightning::bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning::types::payment::PaymentSecret;
use lightning::types::routing::RouteHint;
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef, InvoiceBuilder};

use super::ids::{NodeId, PaymentHash};
use super::network::currency;
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

#[cfg(test)]
mod tests {
    use lightning::types::routing::{RouteHintHop, RoutingFees};
    use lightning_invoice::{RawTaggedField, SignedRawBolt11Invoice, TaggedField};

    use super::super::testing::{
        Key, NOW, invoices, judge, offer, offer_with, refused, secret, sign_invoice, sign_raw, worker,
    };
    use super::*;

    fn invoice_of(offer: &Offer) -> String {
        sign_invoice(&build(offer, 1, &secret(), &[], NOW).unwrap(), &worker())
    }

    /// The right invoice with one tagged field changed, or taken away, and signed by the worker all the same.
    fn with_field(change: impl Fn(TaggedField) -> Option<TaggedField>) -> String {
        let signed: SignedRawBolt11Invoice = invoice_of(&offer()).parse().unwrap();
        let mut raw = signed.into_parts().0;
        raw.data.tagged_fields = raw
            .data
            .tagged_fields
            .into_iter()
            .filter_map(|field| match field {
                RawTaggedField::KnownSemantics(field) => change(field).map(RawTaggedField::KnownSemantics),
                other => Some(other),
            })
            .collect();
        sign_raw(raw, &worker())
    }

    #[track_caller]
    fn no(bolt11: &str, field: &str) {
        refused(check(&offer(), 1, bolt11, NOW), &[field, "rung 1", "alice"]);
    }

    #[test]
    fn the_workers_own_invoice_is_accepted_for_its_rung_alone() {
        let offer = offer();
        for (rung, bolt11) in (0u32..).zip(invoices(&offer)) {
            check(&offer, rung, &bolt11, NOW).unwrap();
            check(&offer, rung, &bolt11, NOW + 3600).unwrap();
            refused(check(&offer, (rung + 1) % 4, &bolt11, NOW), &["payment hash"]);
        }
    }

    #[test]
    fn another_payee() {
        no(&sign_invoice(&build(&offer(), 1, &secret(), &[], NOW).unwrap(), &judge()), "payee");
    }

    #[test]
    fn another_network() {
        let signed: SignedRawBolt11Invoice = invoice_of(&offer()).parse().unwrap();
        let mut raw = signed.into_parts().0;
        raw.hrp.currency = lightning_invoice::Currency::Bitcoin;
        no(&sign_raw(raw, &worker()), "network");
    }

    #[test]
    fn another_hash() {
        no(&invoice_of(&offer_with(|o| o.attempt = 1)), "payment hash");
    }

    #[test]
    fn another_amount_or_none() {
        let signed: SignedRawBolt11Invoice = invoice_of(&offer()).parse().unwrap();
        let raw = signed.into_parts().0;
        for amount in [Some(raw.hrp.raw_amount.unwrap() + 1), None] {
            let mut raw = raw.clone();
            raw.hrp.raw_amount = amount;
            if amount.is_none() {
                raw.hrp.si_prefix = None;
            }
            let what = amount.map_or("amount: expected 40000 msat, found none", |_| "amount: expected 40000, found ");
            no(&sign_raw(raw, &worker()), what);
        }
    }

    #[test]
    fn another_description_hash_or_a_description() {
        let other = with_field(|f| match f {
            TaggedField::DescriptionHash(_) => {
                Some(TaggedField::DescriptionHash(lightning_invoice::Sha256(sha256::Hash::hash(b"other"))))
            }
            f => Some(f),
        });
        no(&other, "description hash");
        let direct = with_field(|f| match f {
            TaggedField::DescriptionHash(_) => {
                Some(TaggedField::Description(lightning_invoice::Description::new("work".into()).unwrap()))
            }
            f => Some(f),
        });
        let hash = offer().description_hash().unwrap();
        no(&direct, &format!("description hash: expected {hash}, found a description"));
    }

    #[test]
    fn an_expired_one_and_one_from_the_future() {
        let bolt11 = invoice_of(&offer());
        refused(check(&offer(), 1, &bolt11, NOW + 18 * SECONDS_A_BLOCK), &["expiry: the invoice expired 0 s ago"]);
        refused(check(&offer(), 1, &bolt11, NOW - MIN_EXPIRY - 1), &["timestamp: 3601 s in the future"]);
    }

    #[test]
    fn another_final_cltv() {
        for delta in [18, 449, 451, 2016] {
            let bolt11 = with_field(|f| match f {
                TaggedField::MinFinalCltvExpiryDelta(_) => {
                    Some(TaggedField::MinFinalCltvExpiryDelta(lightning_invoice::MinFinalCltvExpiryDelta(delta)))
                }
                f => Some(f),
            });
            no(&bolt11, "final CLTV");
        }
    }

    #[test]
    fn features_that_split_or_that_nobody_knows() {
        let with = |set: fn(&mut lightning::types::features::Bolt11InvoiceFeatures)| {
            with_field(|f| match f {
                TaggedField::Features(mut features) => {
                    set(&mut features);
                    Some(TaggedField::Features(features))
                }
                f => Some(f),
            })
        };
        no(
            &with(|f| f.set_basic_mpp_optional()),
            "features: expected no basic_mpp: a rung is one payment, not several",
        );
        let optional = with(|f| {
            f.clear_payment_secret();
            f.set_payment_secret_optional();
        });
        no(&optional, "features: expected payment_secret to be required");
        no(&with(|f| f.set_required_custom_bit(1002).unwrap()), "");
        no(&with_field(|f| (!matches!(f, TaggedField::Features(_))).then_some(f)), "");
    }

    #[test]
    fn metadata_and_fallback_addresses() {
        let with = |field: TaggedField| {
            let signed: SignedRawBolt11Invoice = invoice_of(&offer()).parse().unwrap();
            let mut raw = signed.into_parts().0;
            raw.data.tagged_fields.push(RawTaggedField::KnownSemantics(field));
            sign_raw(raw, &worker())
        };
        no(&with(TaggedField::PaymentMetadata(vec![1, 2])), "payment metadata: expected none");
        let hash = lightning::bitcoin::PubkeyHash::from_byte_array([7; 20]);
        let fallback = lightning_invoice::Fallback::PubKeyHash(hash);
        no(&with(TaggedField::Fallback(fallback)), "fallback address: expected none");
    }

    fn hint(base: u32, millionths: u32, delta: u16) -> RouteHint {
        RouteHint(vec![RouteHintHop {
            src_node_id: Key::new(9).id().0,
            short_channel_id: 103 << 40,
            fees: RoutingFees { base_msat: base, proportional_millionths: millionths },
            cltv_expiry_delta: delta,
            htlc_minimum_msat: None,
            htlc_maximum_msat: None,
        }])
    }

    #[test]
    fn route_hints_that_extort_fees_or_delay() {
        let with = |hints: &[RouteHint]| sign_invoice(&build(&offer(), 1, &secret(), hints, NOW).unwrap(), &worker());
        check(&offer(), 1, &with(&[hint(1000, 10, 34)]), NOW).unwrap();
        no(&with(&[hint(1000, 10, 34), hint(10_001, 10, 34)]), "route hint: base fee");
        no(&with(&[hint(1000, 5001, 34)]), "route hint: fee in millionths");
        no(&with(&[hint(1000, 10, 145)]), "route hint: CLTV delta");
        no(&with(&[RouteHint([hint(0, 0, 1).0, hint(0, 0, 1).0].concat())]), "route hint: expected one hop, found 2");
        no(&with(&vec![hint(0, 0, 1); 9]), "route hint: expected at most 8");
    }

    #[test]
    fn a_broken_signature_another_spelling_and_what_is_no_invoice() {
        let bolt11 = invoice_of(&offer());
        let other = "not an invoice as one writes it: expected lower case, no other spelling";
        no(&bolt11.to_uppercase(), other);
        let mut broken = bolt11.clone().into_bytes();
        let at = broken.len() - 30;
        broken[at] = if broken[at] == b'q' { b'p' } else { b'q' };
        no(std::str::from_utf8(&broken).unwrap(), "not an invoice");
        no("lnbcrt1", "not an invoice: ");
        no(&"l".repeat(5000), "expected at most 4096 bytes, found 5000");
    }
}
