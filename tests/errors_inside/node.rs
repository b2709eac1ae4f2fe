//! What the devnet's nodes answer to calls that make no sense: as Core Lightning does, or in words of their own.

use cln_rpc::ClnRpc;
use serde_json::{Value, json};

use crate::common::devnet::Devnet;
use crate::common::escrow::Socket;

/// The code and the words of an answer that must be a no.
fn refused(node: &Socket, method: &str, params: Value) -> (i32, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = ClnRpc::new(&node.0).await.unwrap();
        let answer = client.call_raw::<Value, Value>(method, &params).await;
        let error = answer.expect_err(&format!("{method} {params}"));
        (error.code.unwrap(), error.message)
    })
}

#[test]
fn calls_that_make_no_sense() {
    let devnet = Devnet::up(2, "");
    let node = devnet.socket(2);
    let invoice = node.ask("invoice", json!({"amount_msat": 9000, "label": "one", "description": "one"}));
    let bolt11 = invoice["bolt11"].as_str().unwrap();
    let cases = [
        ("getinfo", json!([1]), "too many parameters: got 1, expected 0"),
        ("getinfo", json!({"more": 1}), "unknown parameter: more"),
        ("getinfo", json!(1), "expected parameters as an array or an object"),
        ("signmessage", json!({}), "missing required parameter: message"),
        ("waitblockheight", json!({"blockheight": "x"}), "blockheight: should be an integer: invalid token '\"x\"'"),
        ("waitblockheight", json!({}), "missing required parameter: blockheight"),
        ("waitblockheight", json!({"blockheight": 9000, "timeout": 0}), "Timed out."),
        ("getblockheight", json!({}), "Unknown command 'getblockheight'"),
        ("invoice", json!({"label": "x", "description": "x"}), "missing required parameter: amount_msat"),
        ("invoice", json!({"amount_msat": 1000, "description": "x"}), "missing required parameter: label"),
        (
            "invoice",
            json!({"amount_msat": "x", "label": "x", "description": "x"}),
            "amount_msat: should be a millisatoshi amount: invalid token '\"x\"'",
        ),
        ("invoice", json!({"amount_msat": 1000, "label": "one", "description": "x"}), "Duplicate label 'one'"),
        (
            "invoice",
            json!({"amount_msat": 1000, "label": "x", "description": "x", "expiry": 1u64 << 32}),
            "expiry: should be less than 2^32",
        ),
        ("invoice", json!({"amount_msat": 1000, "label": "x", "description": "x", "cltv": 70_000}), "cltv: too large"),
        (
            "invoice",
            json!({"amount_msat": 1000, "label": "x", "description": "x".repeat(700)}),
            "expected a description of at most 639 bytes",
        ),
        ("decode", json!({"string": "lnbcrt1"}), "string: expected a bolt11 invoice: "),
        ("signinvoice", json!({"invstring": "lnbcrt1"}), "Invalid bolt11: "),
        ("xpay", json!({"invstring": "lnbcrt1"}), "Invalid bolt11: "),
        ("xpay", json!({"invstring": bolt11, "amount_msat": 5}), "amount_msat: the invoice names another amount"),
        ("xpay", json!({"invstring": bolt11, "partial_msat": 5}), "partial_msat: payments in parts are not offered"),
        ("checkmessage", json!({"message": "m", "zbase": "y", "pubkey": "x"}), "pubkey: should be a key: x"),
        ("checkmessage", json!({"message": "m", "zbase": "y"}), "zbase: cannot decode or recover the signature"),
        ("datastore", json!({"string": "x"}), "missing required parameter: key"),
        ("datastore", json!({"key": "k"}), "expected either string or hex"),
        ("datastore", json!({"key": "k", "string": "x", "mode": "somehow"}), "mode: unknown: somehow"),
        ("datastore", json!({"key": "k", "string": "x", "mode": "must-replace"}), "does not exist"),
        ("injectholdinvoice", json!({}), "missing field `invoice`"),
        ("injectholdinvoice", json!({"invoice": "lnbcrt1"}), "invalid invoice: "),
        ("injectholdinvoice", json!({"invoice": bolt11, "min_cltv": "x"}), "invalid `min_cltv`"),
        ("settleholdinvoice", json!({"preimage": "x"}), "invalid `preimage`: expected 32 bytes in hex"),
    ];
    let mut wrong = Vec::new();
    for (method, params, expected) in cases {
        let (code, found) = refused(&node, method, params.clone());
        if !found.contains(expected) {
            wrong.push(format!("{method} {params}: {code}: expected {expected:?}, found {found:?}"));
        }
    }
    node.ask("datastore", json!({"key": "k", "string": "x"}));
    for (params, expected) in [
        (json!({"key": "k", "string": "x"}), "already exists"),
        (json!({"key": "k", "string": "x", "mode": "must-replace", "generation": 9}), "generation is different"),
    ] {
        let (code, found) = refused(&node, "datastore", params);
        if !(found.contains(expected) && (1202..=1204).contains(&code)) {
            wrong.push(format!("datastore: {code}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
