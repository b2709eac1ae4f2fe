//! `xpay`, `pay`, `listpays`, `listsendpays`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::node::{Begun, Node, PayRequest, PayStatus, Payment};

use super::answer::{Answer, RpcError};
use super::args::Args;

/// `xpay`: answers when the payment is over.
pub async fn xpay(node: &Arc<Node>, args: &Args<'_>) -> Answer {
    let request = request(args, "invstring")?;
    match node.begin_payment(&request)? {
        Begun::Started => {}
        Begun::Pending => return Err(RpcError::new(-3, "Already paying this invoice")),
        Begun::Complete(row) if row.amount_msat == request.amount_msat => {
            return Err(RpcError::new(219, "Already paid this invoice successfully"));
        }
        Begun::Complete(row) => {
            let text = format!("Already paid this hash with amount {}msat", row.amount_msat);
            return Err(RpcError::new(201, text));
        }
    }
    let row = finished(node, &request).await?;
    Ok(json!({
        "payment_preimage": row.preimage,
        "failed_parts": 0,
        "successful_parts": 1,
        "amount_msat": row.amount_msat,
        "amount_sent_msat": row.amount_sent_msat,
    }))
}

/// `pay`: the older form, for which an invoice that is paid already is no error.
pub async fn pay(node: &Arc<Node>, args: &Args<'_>) -> Answer {
    let request = request(args, "bolt11")?;
    let row = match node.begin_payment(&request)? {
        Begun::Complete(row) => *row,
        Begun::Started | Begun::Pending => finished(node, &request).await?,
    };
    Ok(json!({
        "destination": row.destination,
        "payment_hash": row.payment_hash,
        "created_at": row.created_at as f64,
        "parts": 1,
        "amount_msat": row.amount_msat,
        "amount_sent_msat": row.amount_sent_msat,
        "payment_preimage": row.preimage,
        "status": "complete",
    }))
}

fn request(args: &Args<'_>, name: &str) -> Result<PayRequest, RpcError> {
    let invoice = args.invoice(name)?;
    let given = args.msat_if("amount_msat")?;
    let amount_msat = match (invoice.amount_milli_satoshis(), given) {
        (Some(amount), None) => amount,
        (Some(amount), Some(given)) if given == amount => amount,
        (Some(_), Some(_)) => return Err(RpcError::params("amount_msat: the invoice names another amount")),
        (None, Some(given)) => given,
        (None, None) => return Err(RpcError::params("amount_msat: required, the invoice names no amount")),
    };
    if args.msat_if("partial_msat")?.is_some_and(|partial| partial != amount_msat) {
        return Err(RpcError::params("partial_msat: payments in parts are not offered"));
    }
    let max_delay = args.number_if("maxdelay")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let max_fee_msat = args.msat_if("maxfee")?;
    Ok(PayRequest { invoice, amount_msat, max_fee_msat, max_delay, label: args.text_if("label")?.map(str::to_owned) })
}

/// Waits for the end of a payment.
async fn finished(node: &Node, request: &PayRequest) -> Result<Payment, RpcError> {
    let key = request.invoice.payment_hash().to_string();
    let row = node.when(|| node.payment(&key).filter(|row| row.status != PayStatus::Pending)).await;
    match (row.status, &row.error) {
        (PayStatus::Complete, _) => Ok(row),
        (_, Some((code, text))) => Err(RpcError::new(*code, text.as_str())),
        (_, None) => Err(RpcError::new(209, "the payment failed")),
    }
}

/// The rows that a request names.
fn wanted(node: &Node, args: &Args<'_>) -> Result<Vec<Payment>, RpcError> {
    let (bolt11, status) = (args.text_if("bolt11")?, args.get("status"));
    let hash = args.bytes32_if("payment_hash")?.map(hex::encode);
    let mut rows = node.payments();
    rows.retain(|row| {
        bolt11.is_none_or(|b| b == row.bolt11)
            && hash.as_ref().is_none_or(|h| *h == row.payment_hash)
            && status.is_none_or(|s| *s == json!(row.status))
    });
    Ok(rows)
}

/// `listpays`.
pub fn list(node: &Node, args: &Args<'_>) -> Answer {
    let row = |p: &Payment| {
        let mut value = common(p);
        if p.status == PayStatus::Complete {
            value["preimage"] = json!(p.preimage);
            value["amount_sent_msat"] = p.amount_sent_msat.into();
            value["number_of_parts"] = 1.into();
        }
        value
    };
    Ok(json!({ "pays": wanted(node, args)?.iter().map(row).collect::<Vec<_>>() }))
}

/// `listsendpays`: each payment is one part.
pub fn list_parts(node: &Node, args: &Args<'_>) -> Answer {
    let row = |p: &Payment| {
        let mut value = common(p);
        value["id"] = p.created_index.into();
        value["groupid"] = 1.into();
        value["partid"] = 1.into();
        value["amount_sent_msat"] = p.amount_sent_msat.max(p.amount_msat).into();
        if p.status == PayStatus::Complete {
            value["payment_preimage"] = json!(p.preimage);
        }
        value
    };
    Ok(json!({ "payments": wanted(node, args)?.iter().map(row).collect::<Vec<_>>() }))
}

fn common(p: &Payment) -> Value {
    let mut value = json!({
        "payment_hash": p.payment_hash,
        "status": p.status,
        "bolt11": p.bolt11,
        "destination": p.destination,
        "amount_msat": p.amount_msat,
        "created_at": p.created_at,
        "created_index": p.created_index,
    });
    if let Some(at) = p.completed_at {
        value["completed_at"] = at.into();
    }
    if let Some(label) = &p.label {
        value["label"] = label.as_str().into();
    }
    value
}
