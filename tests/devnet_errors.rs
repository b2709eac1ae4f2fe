//! What the devnet refuses, word by word: calls that make no sense, folders that hold something else, processes that are gone.

mod devnet_common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::time::Duration;

use devnet_common::{Net, Node, eventually, secret};
use serde_json::{Value, json};

const PARAMS: i32 = -32602;
const PLUGIN: i32 = -32700;

/// Each call is answered with this code, and a text that begins so.
#[track_caller]
fn all(node: &Node, calls: &[(&str, Value, i32, &str)]) {
    for (method, params, code, says) in calls {
        let (found, text) = node.refused(method, params.clone());
        assert!(found == *code && text.starts_with(says), "{method} {params}: {found} {text}");
    }
}

/// What is asked of a socket, as it is; one line or one answer of it.
fn ask(net: &Net, socket: &str, request: &str) -> String {
    let mut stream = UnixStream::connect(net.path(socket)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(Read::by_ref(&mut stream)).read_line(&mut line).unwrap();
    line
}

#[test]
fn every_call_that_makes_no_sense_has_its_code_and_its_text() {
    let net = Net::up("--nodes 2");
    let (payer, payee) = (net.node("n1"), net.node("n2"));
    all(
        &payee,
        &[
            ("getinfo", json!([1]), PARAMS, "too many parameters: got 1, expected 0"),
            ("decode", json!({ "strung": "x" }), PARAMS, "unknown parameter: strung"),
            ("decode", json!("x"), PARAMS, "expected parameters as an array or an object"),
            ("decode", json!({}), PARAMS, "missing required parameter: string"),
            ("decode", json!({ "string": 7 }), PARAMS, "string: should be a string: invalid token '7'"),
            ("decode", json!({ "string": "x" }), PARAMS, "string: expected a bolt11 invoice: "),
            ("waitblockheight", json!({}), PARAMS, "missing required parameter: blockheight"),
            ("waitblockheight", json!(["x"]), PARAMS, "blockheight: should be an integer: invalid token '\"x\"'"),
            ("waitblockheight", json!([1_000_000, 0]), 2000, "Timed out."),
            ("getrawblockbyheight", json!({}), PARAMS, "missing required parameter: height"),
            ("listinvoices", json!({ "payment_hash": "zz" }), PARAMS, "payment_hash: should be a 32 byte hex value: "),
            ("xpay", json!(["lnbc"]), PARAMS, "Invalid bolt11: "),
            ("signinvoice", json!(["x"]), PARAMS, "Invalid bolt11: "),
        ],
    );
    let invoice = |change: Value| {
        let mut params = json!({ "amount_msat": 1000, "label": "a", "description": "d" });
        for (key, value) in change.as_object().unwrap() {
            params[key] = value.clone();
        }
        params
    };
    payee.call("invoice", invoice(json!({})));
    all(
        &payee,
        &[
            ("invoice", invoice(json!({})), 900, "Duplicate label 'a'"),
            ("invoice", invoice(json!({ "amount_msat": null })), PARAMS, "missing required parameter: amount_msat"),
            (
                "invoice",
                invoice(json!({ "amount_msat": "x" })),
                PARAMS,
                "amount_msat: should be a millisatoshi amount: ",
            ),
            ("invoice", invoice(json!({ "label": "b", "amount_msat": 1u64 << 62 })), -1, "no invoice: "),
            ("invoice", invoice(json!({ "label": null })), PARAMS, "missing required parameter: label"),
            ("invoice", invoice(json!({ "preimage": "00" })), PARAMS, "preimage, deschashonly: not offered here"),
            ("invoice", invoice(json!({ "expiry": 1u64 << 32 })), PARAMS, "expiry: should be less than 2^32"),
            ("invoice", invoice(json!({ "cltv": 70_000 })), PARAMS, "cltv: too large"),
            (
                "invoice",
                invoice(json!({ "label": "b", "description": "x".repeat(640) })),
                -1,
                "expected a description of at most 639 bytes",
            ),
            ("datastore", json!({}), PARAMS, "missing required parameter: key"),
            ("datastore", json!({ "key": 7 }), PARAMS, "key: should be a string or an array of strings"),
            ("datastore", json!({ "key": "k" }), PARAMS, "expected either string or hex"),
            ("datastore", json!({ "key": "k", "hex": "", "mode": "x" }), PARAMS, "mode: unknown: x"),
            ("datastore", json!({ "key": "k", "hex": "", "mode": "must-replace" }), 1203, "does not exist"),
        ],
    );
    payee.call("datastore", json!({ "key": "k", "hex": "00" }));
    let replace = json!({ "key": "k", "hex": "", "mode": "must-replace", "generation": 9 });
    all(
        &payee,
        &[
            ("datastore", json!({ "key": "k", "hex": "" }), 1202, "already exists"),
            ("datastore", replace, 1204, "generation is different"),
        ],
    );
    let signed = payee.call("signmessage", json!(["a"]));
    all(
        &payee,
        &[
            ("checkmessage", json!(["a", "!", "zz"]), PARAMS, "pubkey: should be a key: zz"),
            ("checkmessage", json!(["a", "!"]), PARAMS, "zbase: cannot decode or recover the signature"),
            ("checkmessage", json!(["b", signed["zbase"]]), 1301, "pubkey not found in the graph"),
            (
                "holdinvoice",
                json!({ "payment_hash": "zz" }),
                PLUGIN,
                "invalid `payment_hash`: expected 32 bytes in hex",
            ),
            (
                "holdinvoice",
                json!({ "payment_hash": secret("x").hash }),
                PLUGIN,
                "invalid type for `amount`, expected u64",
            ),
            ("injectholdinvoice", json!({}), PLUGIN, "missing field `invoice`"),
            ("injectholdinvoice", json!({ "invoice": "x" }), PLUGIN, "invalid invoice: "),
        ],
    );
    let held = secret("held");
    let bolt11 = payee.hold_invoice(&held, 5_000);
    let inject = json!({ "invoice": bolt11, "min_cltv": "x" });
    let again = json!({ "payment_hash": held.hash, "amount": 1 });
    all(
        &payee,
        &[
            ("injectholdinvoice", inject, PLUGIN, "invalid `min_cltv`"),
            ("holdinvoice", again, PLUGIN, "UNIQUE constraint failed: hold_invoices.payment_hash"),
        ],
    );
    let any = payee.call("invoice", invoice(json!({ "amount_msat": "any", "label": "any" })));
    let payment = payer.pay(&bolt11);
    payee.wait_held(&held);
    all(
        &payer,
        &[
            ("xpay", json!([any["bolt11"]]), PARAMS, "amount_msat: required, the invoice names no amount"),
            ("xpay", json!([bolt11, 1]), PARAMS, "amount_msat: the invoice names another amount"),
            (
                "xpay",
                json!({ "invstring": bolt11, "partial_msat": 1 }),
                PARAMS,
                "partial_msat: payments in parts are not offered",
            ),
            ("xpay", json!([bolt11]), -3, "Already paying this invoice"),
        ],
    );
    payee.call("settleholdinvoice", json!({ "preimage": held.preimage }));
    payment.join().unwrap().unwrap();
    all(&payer, &[("xpay", json!([bolt11]), 219, "Already paid this invoice successfully")]);
    let cancel = json!({ "payment_hash": held.hash });
    all(&payee, &[("cancelholdinvoice", cancel, PLUGIN, "could not update invoice state: paid is final")]);
    let said = |request: &str| ask(&net, "n1/lightning-rpc", request);
    for (request, says) in [
        ("}", "expected a JSON-RPC request"),
        ("[]", "expected a JSON-RPC request object"),
        ("{\"id\":1}", "expected a method"),
        (&format!("{{\"id\":\"{}", "x".repeat(5 << 20)), "expected a request of at most 4194304 bytes"),
    ] {
        let answer: Value = serde_json::from_str(&said(request)).unwrap();
        assert_eq!(answer["error"]["message"], says);
    }
    for (request, says) in [
        ("{\"op\":\"x\"}\n", "expected tip, mine, broadcast, block, follow or stop, found {\"op\":\"x\"}"),
        ("{\"op\":\"broadcast\",\"txs\":[\"zz\"]}\n", "expected transactions: "),
    ] {
        let answer: Value = serde_json::from_str(&ask(&net, "chain/socket", request)).unwrap();
        assert!(answer["error"].as_str().unwrap().starts_with(says), "{answer}");
    }
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_folder_that_holds_something_else_and_a_process_that_is_gone_are_named() {
    let net = Net::up("--nodes 2");
    let (dir, payee) = (net.dir().display().to_string(), net.node("n2").id());
    let expect = |verb: &str, flags: &str, code: i32, says: &str| {
        let output = net.run(verb, flags);
        assert!(output.status.code() == Some(code) && talk(&output).contains(says), "{verb}: {}", talk(&output));
    };
    net.kill("n1");
    eventually("dead", || (!net.alive("n1")).then_some(()));
    // A node by itself says why it cannot start.
    let run_node = |says: &str| expect("run-node", "n1", 65, says);
    let with = |name: &str, bytes: &[u8], says: &str| {
        let path = net.path(name);
        let before = fs::read(&path).ok();
        fs::write(&path, bytes).unwrap();
        run_node(says);
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    };
    with("n1/opened", b"x", &format!("{dir}/n1/opened: expected indices: "));
    with("n1/manager", b"x", &format!("{dir}/n1: the manager cannot be read: "));
    with("n1/data/x.json", b"x", &format!("{dir}/n1/data/x.json: not a row: "));
    let monitor = fs::read_dir(net.path("n1/monitors")).unwrap().next().unwrap().unwrap();
    let name = format!("n1/monitors/{}", monitor.file_name().to_str().unwrap());
    with(&name, b"x", &format!("{dir}/{name}: not a monitor: "));
    let twice = format!("{}0", &name[..name.len() - 1]);
    let copy = if twice == name { format!("{}1", &name[..name.len() - 1]) } else { twice };
    let whole = fs::read(net.path(&name)).unwrap();
    with(&copy, &whole, "two monitors of the channel ");
    with("network.json", b"x", "not a network: ");
    let keyless = fs::read_to_string(net.path("network.json")).unwrap().replace(&payee, "zz");
    with("network.json", keyless.as_bytes(), "network.json: expected a node n2 with a public key");
    // Who starts the whole is told which process died, and where it says why.
    let opened = fs::read(net.path("n1/opened")).unwrap();
    fs::write(net.path("n1/opened"), "x").unwrap();
    expect("up", "", 69, "/n1: the process died: exit status: 65");
    fs::write(net.path("n1/opened"), opened).unwrap();
    // The chain's processes are gone too.
    net.kill("chain");
    eventually("dead", || (!net.alive("chain")).then_some(()));
    expect("mine", "1", 69, "chain/socket: the chain does not answer: ");
    fs::write(net.path("chain/blocks"), "zz\n").unwrap();
    expect("run-chain", "", 65, "expected hex: ");
    fs::write(net.path("chain/blocks"), "00\n").unwrap();
    expect("run-chain", "", 65, "expected a block or transaction: ");
    net.kill("n2");
    let empty = Net::empty();
    let output = empty.run("run-node", "n1");
    assert!(output.status.code() == Some(66) && talk(&output).contains(": no network\n"), "{}", talk(&output));
    let output = empty.run("status", "");
    assert!(talk(&output).contains(": no network here\nl402: hint: `l402 devnet up` makes one"), "{}", talk(&output));
}
