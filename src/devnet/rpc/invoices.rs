//! `invoice`, `listinvoices`, `decode`, `signinvoice`.

use std::str::FromStr;

use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef};
use serde_json::{Value, json};

use crate::node::{Invoice, Node, scid_text};

use super::answer::{Answer, RpcError};
use super::args::Args;

/// Core Lightning's default: a week.
const WEEK: u64 = 7 * 86_400;

/// `invoice`.
pub fn make(node: &Node, args: &Args<'_>) -> Answer {
    let amount = match args.get("amount_msat") {
        Some(Value::String(any)) if any == "any" => None,
        _ => Some(
            args.msat_if("amount_msat")?.ok_or_else(|| RpcError::params("missing required parameter: amount_msat"))?,
        ),
    };
    if args.get("preimage").is_some() || args.get("deschashonly").is_some_and(|v| *v == true) {
        return Err(RpcError::params("preimage, deschashonly: not offered here"));
    }
    let label = args.get("label").map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let label = label.ok_or_else(|| RpcError::params("missing required parameter: label"))?;
    let description = args.text("description")?;
    let expiry = args.number_if("expiry")?.unwrap_or(WEEK);
    let expiry = u32::try_from(expiry).map_err(|_| RpcError::params("expiry: should be less than 2^32"))?;
    let cltv = args.number_if("cltv")?.map(|n| u16::try_from(n).map_err(|_| RpcError::params("cltv: too large")));
    let made = node.make_invoice(&label, amount, description, expiry, cltv.transpose()?)?;
    let invoice = made.ok_or_else(|| RpcError::new(900, format!("Duplicate label '{label}'")))?;
    Ok(json!({
        "payment_hash": invoice.payment_hash().to_string(),
        "expires_at": (invoice.duration_since_epoch() + invoice.expiry_time()).as_secs(),
        "bolt11": invoice.to_string(),
        "payment_secret": hex::encode(invoice.payment_secret().0),
        "created_index": node.invoices().len(),
    }))
}

/// `listinvoices`.
pub fn list(node: &Node, args: &Args<'_>) -> Answer {
    let (label, invstring) = (args.text_if("label")?, args.text_if("invstring")?);
    let hash = args.bytes32_if("payment_hash")?.map(hex::encode);
    let wanted = |row: &&Invoice| {
        label.is_none_or(|l| l == row.label)
            && invstring.is_none_or(|i| i == row.bolt11)
            && hash.as_ref().is_none_or(|h| *h == row.payment_hash)
    };
    let rows: Vec<Value> = node.invoices().iter().filter(wanted).map(row).collect();
    Ok(json!({ "invoices": rows }))
}

fn row(invoice: &Invoice) -> Value {
    let mut value = json!({
        "label": invoice.label,
        "bolt11": invoice.bolt11,
        "payment_hash": invoice.payment_hash,
        "status": if invoice.paid.is_some() { "paid" } else { "unpaid" },
        "description": invoice.description,
        "expires_at": invoice.expires_at,
        "created_index": invoice.created_index,
    });
    if let Some(amount) = invoice.amount_msat {
        value["amount_msat"] = amount.into();
    }
    if let Some(paid) = &invoice.paid {
        value["pay_index"] = paid.index.into();
        value["amount_received_msat"] = paid.received_msat.into();
        value["paid_at"] = paid.at.into();
        value["payment_preimage"] = paid.preimage.as_str().into();
    }
    value
}

/// `signinvoice`.
pub fn sign(node: &Node, args: &Args<'_>) -> Answer {
    let signed = node.sign_invoice(args.text("invstring")?);
    Ok(json!({ "bolt11": signed.map_err(|e| RpcError::params(e.to_string()))? }))
}

/// `decode`, of bolt11 alone.
pub fn decode(args: &Args<'_>) -> Answer {
    let invoice = Bolt11Invoice::from_str(args.text("string")?)
        .map_err(|e| RpcError::params(format!("string: expected a bolt11 invoice: {e}")))?;
    let (_, signature) = invoice.clone().into_signed_raw().signature().0.serialize_compact();
    let mut value = json!({
        "type": "bolt11 invoice",
        "valid": true,
        "currency": invoice.currency().to_string(),
        "created_at": invoice.duration_since_epoch().as_secs(),
        "expiry": invoice.expiry_time().as_secs(),
        "payee": invoice.get_payee_pub_key().to_string(),
        "payment_hash": invoice.payment_hash().to_string(),
        "payment_secret": hex::encode(invoice.payment_secret().0),
        "min_final_cltv_expiry": invoice.min_final_cltv_expiry_delta(),
        "signature": hex::encode(signature),
    });
    if let Some(amount) = invoice.amount_milli_satoshis() {
        value["amount_msat"] = amount.into();
    }
    match invoice.description() {
        Bolt11InvoiceDescriptionRef::Direct(text) => value["description"] = text.to_string().into(),
        Bolt11InvoiceDescriptionRef::Hash(hash) => value["description_hash"] = hash.0.to_string().into(),
    }
    if let Some(features) = invoice.features() {
        let big_endian: Vec<u8> = features.le_flags().iter().rev().copied().collect();
        value["features"] = hex::encode(big_endian).into();
    }
    let hints: Vec<Value> = invoice.route_hints().iter().map(|hint| hint.0.iter().map(hop).collect()).collect();
    if !hints.is_empty() {
        value["routes"] = hints.into();
    }
    Ok(value)
}

fn hop(hop: &lightning::routing::router::RouteHintHop) -> Value {
    json!({
        "pubkey": hop.src_node_id.to_string(),
        "short_channel_id": scid_text(hop.short_channel_id),
        "fee_base_msat": hop.fees.base_msat,
        "fee_proportional_millionths": hop.fees.proportional_millionths,
        "cltv_expiry_delta": hop.cltv_expiry_delta,
    })
}
