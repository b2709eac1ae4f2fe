//! The methods: their names, their parameters, who answers them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::node::Node;

use super::answer::{Answer, RpcError};
use super::args::Args;
use super::{channels, datastore, hold, invoices, messages, pay};

/// Each method with its parameters in order.
const METHODS: &[(&str, &[&str])] = &[
    ("cancelholdinvoice", &["payment_hash"]),
    ("checkmessage", &["message", "zbase", "pubkey"]),
    ("datastore", &["key", "string", "hex", "mode", "generation"]),
    ("decode", &["string"]),
    ("devnet-progress", &[]),
    ("getinfo", &[]),
    ("getrawblockbyheight", &["height"]),
    ("help", &["command"]),
    ("holdinvoice", &["payment_hash", "amount"]),
    ("injectholdinvoice", &["invoice", "min_cltv"]),
    (
        "invoice",
        &[
            "amount_msat",
            "label",
            "description",
            "expiry",
            "fallbacks",
            "preimage",
            "exposeprivatechannels",
            "cltv",
            "deschashonly",
        ],
    ),
    ("listdatastore", &["key"]),
    ("listfunds", &["spent"]),
    ("listholdinvoices", &["payment_hash"]),
    ("listinvoices", &["label", "invstring", "payment_hash", "offer_id", "index", "start", "limit"]),
    ("listpays", &["bolt11", "payment_hash", "status", "index", "start", "limit"]),
    ("listpeerchannels", &["id", "short_channel_id", "channel_id"]),
    ("listsendpays", &["bolt11", "payment_hash", "status", "index", "start", "limit"]),
    (
        "pay",
        &[
            "bolt11",
            "amount_msat",
            "label",
            "riskfactor",
            "maxfeepercent",
            "retry_for",
            "maxdelay",
            "exemptfee",
            "localinvreqid",
            "exclude",
            "maxfee",
            "description",
            "partial_msat",
        ],
    ),
    ("settleholdinvoice", &["preimage"]),
    ("signinvoice", &["invstring"]),
    ("signmessage", &["message"]),
    ("stop", &[]),
    ("waitblockheight", &["blockheight", "timeout"]),
    (
        "xpay",
        &[
            "invstring",
            "amount_msat",
            "maxfee",
            "layers",
            "retry_for",
            "partial_msat",
            "maxdelay",
            "payer_note",
            "label",
            "localinvreqid",
            "dev_use_shadow",
        ],
    ),
];

/// The default of `waitblockheight`.
const WAIT_SECS: u64 = 60;

/// Calls a method.
pub async fn call(node: &Arc<Node>, method: &str, params: &Value) -> Answer {
    let Some((_, names)) = METHODS.iter().find(|(name, _)| *name == method) else {
        return Err(RpcError::new(-32601, format!("Unknown command '{method}'")));
    };
    let args = &Args::new(params, names)?;
    match method {
        "cancelholdinvoice" => hold::cancel(node, args),
        "checkmessage" => messages::check(node, args),
        "datastore" => datastore::set(node, args),
        "decode" => invoices::decode(args),
        "devnet-progress" => Ok(serde_json::to_value(node.progress()).expect("strings and numbers")),
        "getinfo" => Ok(channels::info(node)),
        "getrawblockbyheight" => raw_block(node, args),
        "help" => help(args),
        "holdinvoice" => hold::make(node, args),
        "injectholdinvoice" => hold::inject(node, args),
        "invoice" => invoices::make(node, args),
        "listdatastore" => datastore::list(node, args),
        "listfunds" => Ok(channels::funds(node)),
        "listholdinvoices" => hold::list(node, args),
        "listinvoices" => invoices::list(node, args),
        "listpays" => pay::list(node, args),
        "listpeerchannels" => channels::list(node, args),
        "listsendpays" => pay::list_parts(node, args),
        "pay" => pay::pay(node, args).await,
        "settleholdinvoice" => hold::settle(node, args),
        "signinvoice" => invoices::sign(node, args),
        "signmessage" => messages::sign(node, args),
        "stop" => Ok(stop(node)),
        "waitblockheight" => wait_block_height(node, args).await,
        "xpay" => pay::xpay(node, args).await,
        _ => Err(RpcError::new(-32601, format!("Unknown command '{method}'"))),
    }
}

fn help(args: &Args<'_>) -> Answer {
    let wanted = args.text_if("command")?;
    let known = METHODS.iter().filter(|(name, _)| wanted.is_none_or(|w| w == *name));
    let usage = |(name, names): &(&str, &[&str])| json!({ "command": format!("{name} {}", names.join(" ")).trim() });
    let list: Vec<Value> = known.map(usage).collect();
    match wanted {
        Some(wanted) if list.is_empty() => Err(RpcError::new(-32601, format!("Unknown command '{wanted}'"))),
        _ => Ok(json!({ "help": list, "format-hint": "simple" })),
    }
}

/// The answer leaves before the process does: its main loop writes what changed, and closes.
fn stop(node: &Arc<Node>) -> Value {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        node.stop();
    });
    json!({ "result": "Shutdown complete" })
}

fn raw_block(node: &Node, args: &Args<'_>) -> Answer {
    let height = args.number_if("height")?.ok_or_else(|| RpcError::params("missing required parameter: height"))?;
    Ok(node.chain.raw_block(height)?)
}

async fn wait_block_height(node: &Node, args: &Args<'_>) -> Answer {
    let height =
        args.number_if("blockheight")?.ok_or_else(|| RpcError::params("missing required parameter: blockheight"))?;
    let most = Duration::from_secs(args.number_if("timeout")?.unwrap_or(WAIT_SECS));
    let reached = node.when(|| (u64::from(node.height()) >= height).then(|| node.height()));
    match tokio::time::timeout(most, reached).await {
        Ok(height) => Ok(json!({ "blockheight": height })),
        Err(_) => Err(RpcError::new(2000, "Timed out.")),
    }
}
