//! The embedded network, from outside: the binary and the sockets, asked by Core Lightning's own client.

mod devnet_common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::time::Duration;

use cln_rpc::model::requests;
use cln_rpc::primitives::{Amount, AmountOrAny};
use lightning::bitcoin::hashes::{Hash, sha256};
use lightning::bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescriptionRef, Currency, InvoiceBuilder, PaymentSecret, RouteHint, RouteHintHop,
    RoutingFees,
};
use serde_json::{Value, json};

use devnet_common::{Net, Node, Secret, eventually, secret};

const THREE: &[&str] = &["n1", "n2", "n3"];

#[test]
fn every_answer_is_one_that_core_lightnings_client_reads() {
    let net = Net::up("--nodes 2");
    let (payer, payee) = (net.node("n1"), net.node("n2"));
    let info = payer.typed(&requests::GetinfoRequest {});
    assert_eq!((info.network.as_str(), info.num_active_channels, info.id.to_string()), ("regtest", 1, payer.id()));

    let invoice = payee.typed(&requests::InvoiceRequest {
        cltv: None,
        deschashonly: None,
        expiry: None,
        preimage: None,
        exposeprivatechannels: None,
        fallbacks: None,
        amount_msat: AmountOrAny::Amount(Amount::from_msat(1_234_567)),
        description: "tea".to_owned(),
        label: "one".to_owned(),
    });
    let decoded = payer.typed(&requests::DecodeRequest { string: invoice.bolt11.clone() });
    assert_eq!(decoded.amount_msat.unwrap().msat(), 1_234_567);
    assert_eq!(decoded.payee.unwrap().to_string(), payee.id());
    let xpay: requests::XpayRequest = serde_json::from_value(json!({ "invstring": invoice.bolt11 })).unwrap();
    let paid = payer.typed(&xpay);
    assert_eq!((paid.amount_sent_msat.msat(), paid.successful_parts), (1_234_567, 1));
    let all = json!({});
    let pays = payer.typed(&serde_json::from_value::<requests::ListpaysRequest>(all.clone()).unwrap()).pays;
    assert_eq!(pays[0].preimage.as_ref().unwrap().to_vec(), paid.payment_preimage.to_vec());
    let parts = payer.typed(&serde_json::from_value::<requests::ListsendpaysRequest>(all.clone()).unwrap()).payments;
    assert_eq!(parts[0].amount_sent_msat.msat(), 1_234_567);
    let rows = payee.typed(&serde_json::from_value::<requests::ListinvoicesRequest>(all.clone()).unwrap()).invoices;
    assert_eq!((rows[0].amount_received_msat.unwrap().msat(), rows[0].label.as_str()), (1_234_567, "one"));
    net.settled(&["n1", "n2"]);
    let channels =
        payer.typed(&serde_json::from_value::<requests::ListpeerchannelsRequest>(all.clone()).unwrap()).channels;
    assert_eq!(channels[0].to_us_msat.unwrap().msat(), 8_000_000_000 - 1_234_567);
    assert!(channels[0].updates.as_ref().unwrap().remote.is_some() && channels[0].alias.is_some());
    let funds = payer.typed(&serde_json::from_value::<requests::ListfundsRequest>(all).unwrap());
    assert_eq!(funds.channels[0].our_amount_msat.msat(), 8_000_000_000 - 1_234_567);

    let signed = payer.typed(&requests::SignmessageRequest { message: "hello".to_owned() });
    let check = |message: &str, pubkey| {
        let (message, zbase) = (message.to_owned(), signed.zbase.clone());
        payee.typed(&requests::CheckmessageRequest { pubkey, message, zbase }).verified
    };
    let key = Some(payer.id().parse().unwrap());
    assert!(check("hello", None) && check("hello", key) && !check("hullo", key));
    let foreign = payee.refused("checkmessage", json!({ "message": "hullo", "zbase": signed.zbase }));
    assert_eq!(foreign.0, 1301);
    assert!(payer.typed(&requests::HelpRequest { command: None }).help.len() > 20);
}

#[test]
fn a_hold_invoice_is_settled_or_cancelled_with_the_plugins_states_texts_and_codes() {
    let net = Net::up("--nodes 2");
    let (payer, payee) = (net.node("n1"), net.node("n2"));
    let before = payee.balance();

    let one = secret("settle");
    let bolt11 = payee.hold_invoice(&one, 5_000_123);
    assert_eq!(payee.hold(&one).unwrap()["state"], "unpaid");
    let settle = |secret: &Secret| payee.try_call("settleholdinvoice", json!({ "preimage": secret.preimage }));
    let text = |answer: Result<Value, cln_rpc::RpcError>| answer.map_err(|e| (e.code.unwrap(), e.message)).unwrap_err();
    assert_eq!(text(settle(&one)), (-32700, "no HTLCs to settle".to_owned()));
    assert_eq!(text(settle(&secret("other"))), (-32700, "invoice not found".to_owned()));
    let again = payee.refused("holdinvoice", json!({ "payment_hash": one.hash, "amount": 1 }));
    assert!(again.0 == -32700 && again.1.contains("UNIQUE constraint failed"), "{again:?}");

    let payment = payer.pay(&bolt11);
    let row = payee.wait_held(&one);
    assert_eq!(row["htlcs"][0]["msat"], 5_000_123);
    let held = payee.channels()[0]["htlcs"][0].clone();
    assert_eq!((&held["direction"], &held["expiry"]), (&json!("in"), &row["htlcs"][0]["cltv_expiry"]));
    assert_eq!((&held["state"], payee.balance()), (&json!("RCVD_ADD_ACK_REVOCATION"), before));
    assert_eq!(payer.pay_status(&one).as_deref(), Some("pending"));
    // Five more callers make no second HTLC.
    let more: Vec<_> = (0..5).map(|_| payer.pay(&bolt11)).collect();
    assert!(more.into_iter().all(|m| m.join().unwrap().unwrap_err().code == Some(-3)));
    assert_eq!(payee.channels()[0]["htlcs"].as_array().unwrap().len(), 1);

    assert_eq!(settle(&one).unwrap(), json!({}));
    assert_eq!(settle(&one).unwrap(), json!({}));
    let paid = payment.join().unwrap().unwrap();
    assert_eq!((&paid["payment_preimage"], &paid["amount_sent_msat"]), (&json!(one.preimage), &json!(5_000_123)));
    net.settled(&["n1", "n2"]);
    assert_eq!((payee.balance(), payee.hold(&one).unwrap()["state"].as_str()), (before + 5_000_123, Some("paid")));
    assert_eq!(payer.refused("xpay", json!({ "invstring": bolt11 })).0, 219);
    let cancel = |secret: &Secret| payee.try_call("cancelholdinvoice", json!({ "payment_hash": secret.hash }));
    assert_eq!(text(cancel(&one)).0, -32700);

    let two = secret("cancel");
    let bolt11 = payee.hold_invoice(&two, 700_000);
    let payment = payer.pay(&bolt11);
    payee.wait_held(&two);
    assert_eq!(cancel(&two).unwrap(), json!({}));
    assert_eq!(payment.join().unwrap().unwrap_err().code, Some(203));
    assert_eq!(payee.hold(&two).unwrap()["state"], "cancelled");
    assert_eq!(text(settle(&two)).1, "no HTLCs to settle");
    // Paid again it is refused, as an unknown one is.
    assert_eq!(payer.refused("xpay", json!({ "invstring": bolt11 })).0, 203);
    assert_eq!(payer.pay_status(&two).as_deref(), Some("failed"));
    net.settled(&["n1", "n2"]);
    assert_eq!(payee.balance(), before + 5_000_123);
    assert!(payee.call("listholdinvoices", json!({}))["holdinvoices"].as_array().unwrap().len() == 2);
}

#[test]
fn at_the_deadline_a_held_payment_goes_back() {
    let net = Net::up("--nodes 2");
    let (payer, payee) = (net.node("n1"), net.node("n2"));
    let balances = (payer.balance(), payee.balance());
    let held = secret("deadline");
    let payment = payer.pay(&payee.hold_invoice(&held, 9_000_000));
    let row = payee.wait_held(&held);
    let expiry = row["htlcs"][0]["cltv_expiry"].as_u64().unwrap();
    let mined = net.ok("mine", &format!("{} --json", expiry - 40 - payee.height()));
    let mined: Value = serde_json::from_str(&mined).unwrap();
    assert_eq!(
        (mined["height"].as_u64().unwrap(), payee.height(), payer.height()),
        (expiry - 40, expiry - 40, expiry - 40)
    );
    assert_eq!(payee.hold(&held).unwrap()["state"], "accepted");
    let block = payee.call("getrawblockbyheight", json!({ "height": expiry - 40 }));
    assert_eq!(block["blockhash"], mined["hash"]);
    let beyond = payee.call("getrawblockbyheight", json!({ "height": expiry }));
    assert_eq!(beyond, json!({ "blockhash": null, "block": null }));
    net.ok("mine", "1");
    assert_eq!(payment.join().unwrap().unwrap_err().code, Some(203));
    eventually("cancelled", || payee.hold(&held).filter(|row| row["state"] == "cancelled"));
    net.settled(&["n1", "n2"]);
    assert_eq!((payer.balance(), payee.balance()), balances);
}

#[test]
fn a_timeout_that_nobody_answers_goes_on_chain() {
    let net = Net::up("--nodes 2");
    let (payer, payee) = (net.node("n1"), net.node("n2"));
    let held = secret("on chain");
    let _payment = payer.pay(&payee.hold_invoice(&held, 9_000_000));
    let row = payee.wait_held(&held);
    net.kill("n2");
    let expiry = row["htlcs"][0]["cltv_expiry"].as_u64().unwrap();
    net.ok("mine", &(expiry + 4 - payer.height()).to_string());
    eventually("closed", || payer.channels().is_empty().then_some(()));
    // The commitment, then the claim of what timed out, then its six confirmations.
    eventually("failed", || {
        net.ok("mine", "1");
        (payer.pay_status(&held).as_deref() == Some("failed")).then_some(())
    });
}

#[test]
fn fees_over_a_router_are_exact_to_the_msat() {
    let net = Net::up("--nodes 3");
    let (router, payer, payee) = (net.node("n1"), net.node("n2"), net.node("n3"));
    let before = [router.balance(), payer.balance(), payee.balance()];
    let (amount, held) = (7_654_321, secret("hop"));
    // Core Lightning's default: 1000 msat and 10 millionths.
    let fee = 1000 + amount * 10 / 1_000_000;
    let payment = payer.pay(&payee.hold_invoice(&held, amount));
    payee.wait_held(&held);
    payee.call("settleholdinvoice", json!({ "preimage": held.preimage }));
    assert_eq!(payment.join().unwrap().unwrap()["amount_sent_msat"], amount + fee);
    net.settled(THREE);
    assert_eq!(
        [router.balance(), payer.balance(), payee.balance()],
        [before[0] + fee, before[1] - amount - fee, before[2] + amount]
    );
    let bolt11 = payee.hold_invoice(&secret("dear"), amount);
    assert_eq!(payer.refused("xpay", json!({ "invstring": bolt11, "maxfee": format!("{}msat", fee - 1) })).0, 205);
    assert_eq!(payer.refused("xpay", json!({ "invstring": bolt11, "maxdelay": 100 })).0, 205);
}

/// The hop that a payer needs to reach a node over its only channel.
fn hint(payee: &Node) -> RouteHint {
    let channel = &payee.channels()[0];
    let remote = &channel["updates"]["remote"];
    let number = |v: &Value| u32::try_from(v.as_u64().unwrap()).unwrap();
    let scid = channel["alias"]["remote"].as_str().unwrap().split('x').map(|n| n.parse::<u64>().unwrap());
    let scid = scid.collect::<Vec<_>>();
    RouteHint(vec![RouteHintHop {
        src_node_id: channel["peer_id"].as_str().unwrap().parse().unwrap(),
        short_channel_id: scid[0] << 40 | scid[1] << 16 | scid[2],
        fees: RoutingFees {
            base_msat: number(&remote["fee_base_msat"]),
            proportional_millionths: number(&remote["fee_proportional_millionths"]),
        },
        cltv_expiry_delta: u16::try_from(number(&remote["cltv_expiry_delta"])).unwrap(),
        htlc_minimum_msat: None,
        htlc_maximum_msat: None,
    }])
}

/// An invoice of a node's own making, signed by nobody who counts.
fn prepared(payee: &Node, held: &Secret, msat: u64) -> String {
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let hash = sha256::Hash::from_str(&held.hash).unwrap();
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description_hash(sha256::Hash::hash(b"the offer"))
        .payment_hash(hash)
        .payment_secret(PaymentSecret([9; 32]))
        .duration_since_epoch(Duration::from_secs(1_700_000_000 + 200_000_000))
        .expiry_time(Duration::from_secs(123_456))
        .min_final_cltv_expiry_delta(300)
        .amount_milli_satoshis(msat)
        .private_route(hint(payee))
        .build_signed(|message| Secp256k1::new().sign_ecdsa_recoverable(message, &key));
    invoice.unwrap().to_string()
}

#[test]
fn an_unannounced_payee_is_paid_by_a_prepared_invoice_of_which_only_the_secret_changes() {
    let net = Net::up("--nodes 3 --channel n1-n2 --channel n2-n3,unannounced,sat=2000000,push-sat=500000");
    let (payer, payee) = (net.node("n1"), net.node("n3"));
    assert_eq!((&payee.channels()[0]["private"], payee.balance()), (&json!(true), 500_000_000));
    let held = secret("hint");
    let draft = prepared(&payee, &held, 1_000_000);
    let signed = payee.call("signinvoice", json!({ "invstring": draft }))["bolt11"].as_str().unwrap().to_owned();
    let (draft, invoice) = (Bolt11Invoice::from_str(&draft).unwrap(), Bolt11Invoice::from_str(&signed).unwrap());
    let fields = |i: &Bolt11Invoice| {
        let Bolt11InvoiceDescriptionRef::Hash(hash) = i.description() else { panic!("{i}") };
        let numbers = (i.amount_milli_satoshis(), i.min_final_cltv_expiry_delta(), i.expiry_time());
        (hash.0, *i.payment_hash(), i.duration_since_epoch(), numbers, i.route_hints(), i.features().cloned())
    };
    assert_eq!(fields(&draft), fields(&invoice));
    assert_ne!(draft.payment_secret(), invoice.payment_secret());
    assert_eq!(invoice.get_payee_pub_key(), PublicKey::from_str(&payee.id()).unwrap());
    payee.call("injectholdinvoice", json!({ "invoice": signed }));
    let payment = payer.pay(&signed);
    let row = payee.wait_held(&held);
    assert!(row["htlcs"][0]["cltv_expiry"].as_u64().unwrap() >= payee.height() + 300);
    payee.call("settleholdinvoice", json!({ "preimage": held.preimage }));
    assert_eq!(payment.join().unwrap().unwrap()["amount_sent_msat"], 1_000_000 + 1010);
    net.settled(THREE);
    let short = secret("short");
    let signed = payee.call("signinvoice", json!({ "invstring": prepared(&payee, &short, 1_000_000) }));
    payee.call("injectholdinvoice", json!({ "invoice": signed["bolt11"], "min_cltv": 900 }));
    assert_eq!(payer.refused("xpay", json!({ "invstring": signed["bolt11"] })).0, 203);
}

/// Brings a payment of a hold invoice to its end after whatever happened, as a careful payee would; its status.
fn finish(net: &Net, payer: &Node, payee: &str, held: &Secret) -> Option<String> {
    let node = net.node(payee);
    let mut patience = 0;
    eventually("finished", || {
        let status = payer.pay_status(held);
        if status.as_deref() != Some("pending") {
            return Some(status);
        }
        match node.hold(held)?["state"].as_str().unwrap() {
            "accepted" => {
                node.call("settleholdinvoice", json!({ "preimage": held.preimage }));
            }
            "paid" => {
                patience += 1;
                let channels = node.channels();
                let htlc = channels
                    .iter()
                    .flat_map(|c| c["htlcs"].as_array().unwrap())
                    .any(|h| h["payment_hash"] == held.hash.as_str() && h["state"] == "RCVD_ADD_ACK_REVOCATION");
                if htlc && patience > 100 {
                    recover(net, payee, held);
                    patience = 0;
                }
            }
            _ => {}
        }
        None
    })
}

/// The recovery of a row that says `paid` while the HTLC is still held.
fn recover(net: &Net, payee: &str, held: &Secret) {
    net.node(payee).call("stop", json!({}));
    eventually("stopped", || (!net.alive(payee)).then_some(()));
    let path = net.path(payee).join(format!("hold/{}.json", held.hash));
    let mut row: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    row["state"] = "accepted".into();
    fs::write(&path, row.to_string()).unwrap();
    net.ok("up", "");
}

#[test]
fn a_paid_row_is_no_money_until_the_claim_has_reached_the_channel() {
    let net = Net::up("--nodes 2");
    let (payer, payee) = (net.node("n1"), net.node("n2"));
    let before = payee.balance();
    let crash_while_settling = |name: &str| {
        let held = secret(name);
        let payment = payer.pay(&payee.hold_invoice(&held, 3_000_000));
        payee.wait_held(&held);
        net.arm("n2", "after-paid-row");
        assert!(payee.try_call("settleholdinvoice", json!({ "preimage": held.preimage })).is_err());
        net.ok("up", "");
        assert_eq!(payee.hold(&held).unwrap()["state"], "paid");
        // Settling again does nothing at all.
        assert_eq!(payee.call("settleholdinvoice", json!({ "preimage": held.preimage })), json!({}));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(payee.channels()[0]["htlcs"].as_array().unwrap().len(), 1);
        assert_eq!(payee.balance(), before);
        (held, payment)
    };
    let (held, payment) = crash_while_settling("refunded");
    // Ten seconds after the start the payer has it back, and the row does not know.
    assert_eq!(payment.join().unwrap().unwrap_err().code, Some(203));
    net.settled(&["n1", "n2"]);
    assert_eq!((payee.hold(&held).unwrap()["state"].as_str(), payee.balance()), (Some("paid"), before));

    let (held, payment) = crash_while_settling("recovered");
    recover(&net, "n2", &held);
    payee.call("settleholdinvoice", json!({ "preimage": held.preimage }));
    assert_eq!(payment.join().unwrap().unwrap()["payment_preimage"], held.preimage.as_str());
    net.settled(&["n1", "n2"]);
    assert_eq!(payee.balance(), before + 3_000_000);
}

#[test]
fn whoever_dies_at_any_point_of_a_payment_it_ends_once_and_no_channel_closes() {
    let net = Net::up("--nodes 3");
    let (payer, payee) = (net.node("n2"), net.node("n3"));
    let ids = net.settled(THREE);
    let points = ["before-manager", "after-manager", "before-monitor", "after-monitor"];
    let own = [("n2", "after-pay-row"), ("n2", "after-pay"), ("n3", "after-hold-row"), ("n3", "after-claim")];
    let everywhere = THREE.iter().flat_map(|node| points.map(|point| (*node, point)));
    let mut died = 0;
    for (i, (node, point)) in everywhere.chain(own).enumerate() {
        // Another place in the payment each time.
        for nth in [1, 3] {
            let before = payee.balance();
            let held = secret(&format!("{i} {nth}"));
            let bolt11 = payee.hold_invoice(&held, 1_000_000 + i as u64);
            net.arm(node, &format!("{point} {nth}"));
            let payment = payer.pay(&bolt11);
            eventually("held or dead", || {
                let row = payee.try_call("listholdinvoices", json!({ "payment_hash": held.hash })).ok();
                let held = row.is_some_and(|r| r["holdinvoices"][0]["state"] == "accepted");
                (held || !net.alive(node)).then_some(())
            });
            if net.alive(node) {
                let _ = payee.try_call("settleholdinvoice", json!({ "preimage": held.preimage }));
                std::thread::sleep(Duration::from_millis(100));
            }
            died += u32::from(!net.disarm(node));
            net.ok("up", "");
            let status = finish(&net, &payer, "n3", &held);
            let _ = payment.join().unwrap();
            assert_eq!(net.settled(THREE), ids, "{node} {point} {nth}");
            let gained = payee.balance() - before;
            let paid = status.as_deref() == Some("complete");
            assert_eq!(gained, if paid { 1_000_000 + i as u64 } else { 0 }, "{node} {point} {nth}: {status:?}");
        }
    }
    assert!(died >= 24, "only {died} deaths");
}

#[test]
fn killed_at_random_moments_payments_in_flight_end_once_each() {
    let net = Net::up("--nodes 3");
    let (payer, payee) = (net.node("n2"), net.node("n3"));
    let ids = net.settled(THREE);
    let before = payee.balance();
    let mut sum = 0;
    for round in 0..12u64 {
        let invoices: Vec<String> = (0..4)
            .map(|i| {
                let params =
                    json!({ "amount_msat": 2_000_000 + round, "label": format!("{round} {i}"), "description": "" });
                payee.call("invoice", params)["bolt11"].as_str().unwrap().to_owned()
            })
            .collect();
        let payments: Vec<_> = invoices.iter().map(|i| payer.pay(i)).collect();
        let draw = u64::from_str_radix(&secret(&format!("random {round}")).hash[..4], 16).unwrap();
        std::thread::sleep(Duration::from_millis(draw % 70));
        net.kill(["n1", "n2", "n3", "chain"][round as usize % 4]);
        net.ok("up", "");
        payments.into_iter().for_each(|p| drop(p.join().unwrap()));
        eventually("over", || {
            let pays = payer.call("listpays", json!({ "status": "pending" }));
            pays["pays"].as_array().unwrap().is_empty().then_some(())
        });
        assert_eq!(net.settled(THREE), ids);
        let listed = payer.call("listpays", json!({}));
        for invoice in invoices {
            let paid = payee.call("listinvoices", json!({ "invstring": invoice }))["invoices"][0]["status"] == "paid";
            let row = listed["pays"].as_array().unwrap().iter().find(|p| p["bolt11"] == invoice.as_str()).cloned();
            assert_eq!(row.is_some_and(|p| p["status"] == "complete"), paid);
            sum += u64::from(paid) * (2_000_000 + round);
        }
    }
    assert_eq!(payee.balance() - before, sum);
    assert!(sum > 12 * 2_000_000);
}

#[test]
fn what_is_held_is_held_after_down_and_up_and_kills() {
    let net = Net::up("--nodes 3");
    let (payer, payee) = (net.node("n2"), net.node("n3"));
    let (ids, before) = (net.settled(THREE), payee.balance());
    let held = [secret("a"), secret("b")];
    let payments: Vec<_> = held.iter().map(|s| payer.pay(&payee.hold_invoice(s, 4_000_000))).collect();
    held.iter().for_each(|s| drop(payee.wait_held(s)));
    net.ok("down", "");
    assert!(payments.into_iter().all(|p| p.join().unwrap().is_err()) && !net.alive("n1") && !net.alive("chain"));
    assert_eq!(net.run("mine", "").status.code(), Some(69));
    net.ok("up", "");
    ["n1", "n2", "n3", "chain"].iter().for_each(|name| net.kill(name));
    let status = net.ok("up", "--json");
    assert!(status.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["alive"] == true), "{status}");
    for s in &held {
        assert_eq!(payee.hold(s).unwrap()["state"], "accepted");
        assert_eq!(payer.pay_status(s).as_deref(), Some("pending"));
    }
    payee.call("settleholdinvoice", json!({ "preimage": held[0].preimage }));
    payee.call("cancelholdinvoice", json!({ "payment_hash": held[1].hash }));
    eventually("paid", || (payer.pay_status(&held[0]).as_deref() == Some("complete")).then_some(()));
    eventually("back", || (payer.pay_status(&held[1]).as_deref() == Some("failed")).then_some(()));
    assert_eq!((net.settled(THREE), payee.balance()), (ids, before + 4_000_000));
}

#[test]
fn a_network_that_was_made_by_halves_is_finished() {
    let net = Net::empty();
    for moment in (20..160).step_by(15) {
        let mut up = net.command("up", "--nodes 3 -q").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        let _ = up.kill();
        let _ = up.wait();
        ["n1", "n2", "n3", "chain"].iter().for_each(|name| net.kill(name));
        // As many nodes, should it not have got as far as to write down how many.
        let status = net.ok("up", "--nodes 3 --json");
        let nodes = status.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
        let channels: Vec<usize> = nodes.map(|n| n["channels"].as_array().unwrap().len()).collect();
        assert_eq!(channels, [2, 1, 1], "killed after {moment} ms");
        net.settled(THREE);
        net.ok("down", "");
        fs::read_dir(net.dir()).unwrap().for_each(|entry| {
            let path = entry.unwrap().path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        });
    }
}

#[test]
fn one_up_at_a_time_and_one_network_in_a_folder() {
    let net = Net::up("--nodes 2");
    let lock = fs::File::open(net.path("lock")).unwrap();
    lock.lock().unwrap();
    let busy = net.run("up", "");
    assert_eq!(busy.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&busy.stderr).contains(": being started or stopped by another"));
    assert_eq!(net.run("down", "").status.code(), Some(75));
    drop(lock);
    net.ok("up", "--nodes 2");
    assert_eq!(net.run("up", "--nodes 3").status.code(), Some(73));
    assert_eq!(net.run("up", "--channel n1-n1").status.code(), Some(2));
    assert_eq!(net.run("up", "--nodes 2 --channel n1-n7").status.code(), Some(2));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_l402"));
    let long = net.path(&"x".repeat(100));
    let output = command.args(["devnet", "up"]).arg(&long).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("shorter path"));
}

/// Begins payments of hold invoices of this size until one is refused; how many are held.
fn fill(payer: &Node, payee: &Node, msat: u64, most: usize) -> (usize, Option<i32>) {
    for i in 0..most {
        let held = secret(&format!("fill {i}"));
        let payment = payer.pay(&payee.hold_invoice(&held, msat));
        let refused = eventually("held or refused", || {
            let accepted = payee.hold(&held).unwrap()["state"] == "accepted";
            (accepted || payment.is_finished()).then_some(!accepted)
        });
        if refused {
            return (i, payment.join().unwrap().unwrap_err().code);
        }
    }
    (most, None)
}

#[test]
fn dust_and_htlc_slots_are_bounded() {
    let net = Net::up("--nodes 2 --max-concurrent-htlcs 30");
    assert_eq!(net.node("n1").channels()[0]["max_accepted_htlcs"], 30);
    assert_eq!(fill(&net.node("n1"), &net.node("n2"), 10_000_000, 40), (30, Some(205)));
    // 50,000 sat of dust; LDK keeps room for one more HTLC as large as dust can be at a risen feerate, 2310 sat.
    let net = Net::up("--nodes 2");
    assert_eq!(fill(&net.node("n1"), &net.node("n2"), 350_000, 160), (137, Some(205)));
    assert_eq!(net.node("n1").channels()[0]["htlcs"].as_array().unwrap().len(), 137);
}

#[test]
fn the_socket_answers_whatever_it_is_asked() {
    let net = Net::up("--nodes 2");
    let socket = net.path("n1/lightning-rpc");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |request: &str, answers: usize| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        let mut piece = [0; 4096];
        while text.matches("\n\n").count() < answers {
            let n = stream.read(&mut piece).unwrap();
            text += std::str::from_utf8(&piece[..n]).unwrap();
        }
        text.split("\n\n").filter(|t| !t.is_empty()).map(|t| serde_json::from_str(t).unwrap()).collect::<Vec<Value>>()
    };
    assert_eq!(ask("}", 1)[0]["error"]["code"], -32700);
    assert_eq!(ask("[]", 1)[0]["error"]["code"], -32600);
    assert_eq!(ask(r#"{"id":1,"method":"nope"}"#, 1)[0]["error"]["code"], -32601);
    assert_eq!(ask(r#"{"id":1,"method":"decode","params":{"strung":"x"}}"#, 1)[0]["error"]["code"], -32602);
    let two = ask(r#"{"id":"a","method":"getinfo","params":[]}{"id":"b","method":"getinfo"}"#, 2);
    let mut ids: Vec<&str> = two.iter().map(|v| v["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(ask(&format!("{{\"id\":\"{}", "x".repeat(5 << 20)), 1)[0]["error"]["code"], -32600);
    assert_eq!(net.node("n1").call("stop", json!({})), json!({ "result": "Shutdown complete" }));
    eventually("stopped", || (!net.alive("n1")).then_some(()));
}
