//! The hold plugin's methods. All its errors carry one code; amounts are plain integers of msat.

use std::str::FromStr;

use lightning::bitcoin::hashes::{Hash, sha256};
use lightning_invoice::Bolt11Invoice;
use serde_json::{Value, json};

use crate::node::{HoldAnswer, Node};

use super::answer::{Answer, RpcError};
use super::args::Args;

/// `holdinvoice`.
pub fn make(node: &Node, args: &Args<'_>) -> Answer {
    let hash = bytes(args, "payment_hash")?;
    let amount = args.get("amount").and_then(Value::as_u64);
    let amount = amount.ok_or_else(|| RpcError::plugin("invalid type for `amount`, expected u64"))?;
    let key = hex::encode(hash);
    let invoice = node.make_hold_invoice(hash, amount)?.to_string();
    done(node.add_hold(&key, &invoice, None)?)?;
    Ok(json!({ "bolt11": invoice }))
}

/// `injectholdinvoice`.
pub fn inject(node: &Node, args: &Args<'_>) -> Answer {
    let text = args.text("invoice").map_err(|_| RpcError::plugin("missing field `invoice`"))?;
    let invoice = Bolt11Invoice::from_str(text).map_err(|e| RpcError::plugin(format!("invalid invoice: {e}")))?;
    let min_cltv = args.get("min_cltv").map(|v| v.as_u64().ok_or_else(|| RpcError::plugin("invalid `min_cltv`")));
    let min_cltv = min_cltv.transpose()?;
    done(node.add_hold(&invoice.payment_hash().to_string(), text, min_cltv)?)
}

/// `listholdinvoices`.
pub fn list(node: &Node, args: &Args<'_>) -> Answer {
    let key = match args.get("payment_hash") {
        None => None,
        Some(_) => Some(hex::encode(bytes(args, "payment_hash")?)),
    };
    Ok(json!({ "holdinvoices": node.holds(key.as_deref()) }))
}

/// `settleholdinvoice`.
pub fn settle(node: &Node, args: &Args<'_>) -> Answer {
    let preimage = bytes(args, "preimage")?;
    let key = sha256::Hash::hash(&preimage).to_string();
    done(node.settle_hold(&key, preimage)?)
}

/// `cancelholdinvoice`.
pub fn cancel(node: &Node, args: &Args<'_>) -> Answer {
    let hash = bytes(args, "payment_hash")?;
    done(node.cancel_hold(&hex::encode(hash), hash)?)
}

fn done(answer: HoldAnswer) -> Answer {
    answer.map(|()| json!({})).map_err(RpcError::plugin)
}

fn bytes(args: &Args<'_>, name: &str) -> Result<[u8; 32], RpcError> {
    let wrong = || RpcError::plugin(format!("invalid `{name}`: expected 32 bytes in hex"));
    args.bytes32_if(name).map_err(|_| wrong())?.ok_or_else(wrong)
}
