//! `getinfo`, `listpeerchannels`, `listfunds`.

use lightning::ln::channel_state::{
    ChannelDetails, InboundHTLCDetails, InboundHTLCStateDetails, OutboundHTLCDetails, OutboundHTLCStateDetails,
};
use serde_json::{Value, json};

use crate::node::{CLTV_DELTA, DUST_LIMIT_SAT, FEE_BASE_MSAT, FEE_PPM, FEERATE, Node, scid_text, to_us_msat};

use super::answer::Answer;
use super::args::Args;

/// `getinfo`.
pub fn info(node: &Node) -> Value {
    let channels = node.manager.list_channels();
    let (mut active, mut inactive, mut pending) = (0, 0, 0);
    for channel in &channels {
        match (channel.is_channel_ready, channel.is_usable) {
            (true, true) => active += 1,
            (true, false) => inactive += 1,
            (false, _) => pending += 1,
        }
    }
    json!({
        "id": node.id.to_string(),
        "alias": node.name,
        "color": &node.id.to_string()[..6],
        "num_peers": node.peers.list_peers().len(),
        "num_pending_channels": pending,
        "num_active_channels": active,
        "num_inactive_channels": inactive,
        "address": [],
        "binding": [],
        "version": concat!("l402-devnet-", env!("CARGO_PKG_VERSION")),
        "blockheight": node.height(),
        "network": "regtest",
        "fees_collected_msat": 0,
        "lightning-dir": node.folder.display().to_string(),
    })
}

/// `listpeerchannels`.
pub fn list(node: &Node, args: &Args<'_>) -> Answer {
    let (id, scid, channel_id) = (args.text_if("id")?, args.text_if("short_channel_id")?, args.text_if("channel_id")?);
    let wanted = |c: &&ChannelDetails| {
        id.is_none_or(|id| id == c.counterparty.node_id.to_string())
            && scid.is_none_or(|scid| c.short_channel_id.is_some_and(|own| scid == scid_text(own)))
            && channel_id.is_none_or(|id| id == c.channel_id.to_string())
    };
    let channels = node.manager.list_channels();
    let rows: Vec<Value> = channels.iter().filter(wanted).map(|c| row(node, c)).collect();
    Ok(json!({ "channels": rows }))
}

/// `listfunds`: there is no wallet, coins come from the faucet.
pub fn funds(node: &Node) -> Value {
    let row = |c: &ChannelDetails| {
        let funding = c.funding_txo?;
        Some(compact(json!({
            "peer_id": c.counterparty.node_id.to_string(),
            "connected": connected(node, c),
            "state": state(c),
            "channel_id": c.channel_id.to_string(),
            "short_channel_id": c.short_channel_id.map(scid_text),
            "our_amount_msat": to_us_msat(c),
            "amount_msat": c.channel_value_satoshis * 1000,
            "funding_txid": funding.txid.to_string(),
            "funding_output": funding.index,
        })))
    };
    let rows: Vec<Value> = node.manager.list_channels().iter().filter_map(row).collect();
    json!({ "outputs": [], "channels": rows })
}

fn connected(node: &Node, channel: &ChannelDetails) -> bool {
    node.peers.peer_by_node_id(&channel.counterparty.node_id).is_some()
}

fn state(channel: &ChannelDetails) -> &'static str {
    match channel.channel_shutdown_state {
        Some(lightning::ln::channel_state::ChannelShutdownState::NotShuttingDown) | None => {
            if channel.is_channel_ready { "CHANNELD_NORMAL" } else { "CHANNELD_AWAITING_LOCKIN" }
        }
        Some(_) => "CHANNELD_SHUTTING_DOWN",
    }
}

fn row(node: &Node, c: &ChannelDetails) -> Value {
    let total = c.channel_value_satoshis * 1000;
    let to_us = to_us_msat(c);
    let opener = if c.is_outbound { "local" } else { "remote" };
    let peer = &c.counterparty;
    compact(json!({
        "peer_id": peer.node_id.to_string(),
        "peer_connected": connected(node, c),
        "reestablished": c.is_usable,
        "state": state(c),
        "short_channel_id": c.short_channel_id.map(scid_text),
        "direction": u32::from(node.id > peer.node_id),
        "alias": compact(json!({
            "local": c.outbound_scid_alias.map(scid_text),
            "remote": c.inbound_scid_alias.map(scid_text),
        })),
        "channel_id": c.channel_id.to_string(),
        "funding_txid": c.funding_txo.map(|o| o.txid.to_string()),
        "funding_outnum": c.funding_txo.map(|o| o.index),
        "funding": {
            "local_funds_msat": if c.is_outbound { total } else { 0 },
            "remote_funds_msat": if c.is_outbound { 0 } else { total },
        },
        "private": !c.is_announced,
        "opener": opener,
        "features": ["option_static_remotekey"],
        "feerate": { "perkw": FEERATE, "perkb": FEERATE * 4 },
        "total_msat": total,
        "to_us_msat": to_us,
        "spendable_msat": c.next_outbound_htlc_limit_msat,
        "receivable_msat": c.inbound_capacity_msat,
        "our_reserve_msat": c.unspendable_punishment_reserve.unwrap_or(0) * 1000,
        "their_reserve_msat": peer.unspendable_punishment_reserve * 1000,
        "dust_limit_msat": DUST_LIMIT_SAT * 1000,
        "max_accepted_htlcs": node.network.max_concurrent_htlcs,
        "minimum_htlc_in_msat": c.inbound_htlc_minimum_msat,
        "minimum_htlc_out_msat": c.next_outbound_htlc_minimum_msat,
        "maximum_htlc_out_msat": peer.outbound_htlc_maximum_msat,
        "our_max_htlc_value_in_flight_msat": c.inbound_htlc_maximum_msat,
        "their_max_htlc_value_in_flight_msat": peer.outbound_htlc_maximum_msat,
        "our_to_self_delay": c.force_close_spend_delay,
        "fee_base_msat": FEE_BASE_MSAT,
        "fee_proportional_millionths": FEE_PPM,
        "updates": compact(json!({ "local": local_update(c), "remote": remote_update(c) })),
        "htlcs": htlcs(c),
    }))
}

fn local_update(c: &ChannelDetails) -> Value {
    let config = c.config.unwrap_or_default();
    json!({
        "htlc_minimum_msat": c.counterparty.outbound_htlc_minimum_msat.unwrap_or(0),
        "htlc_maximum_msat": c.counterparty.outbound_htlc_maximum_msat.unwrap_or(0),
        "cltv_expiry_delta": config.cltv_expiry_delta.max(CLTV_DELTA),
        "fee_base_msat": config.forwarding_fee_base_msat,
        "fee_proportional_millionths": config.forwarding_fee_proportional_millionths,
    })
}

/// What the peer asks for what it forwards to us: route hints are made of it.
fn remote_update(c: &ChannelDetails) -> Option<Value> {
    let info = c.counterparty.forwarding_info.as_ref()?;
    Some(json!({
        "htlc_minimum_msat": c.inbound_htlc_minimum_msat.unwrap_or(0),
        "htlc_maximum_msat": c.inbound_htlc_maximum_msat.unwrap_or(0),
        "cltv_expiry_delta": info.cltv_expiry_delta,
        "fee_base_msat": info.fee_base_msat,
        "fee_proportional_millionths": info.fee_proportional_millionths,
    }))
}

fn htlcs(c: &ChannelDetails) -> Vec<Value> {
    let incoming = c.pending_inbound_htlcs.iter().map(incoming);
    // An HTLC that waits for its turn has no number yet.
    let outgoing = c.pending_outbound_htlcs.iter().enumerate().map(|(i, h)| outgoing(h, (1 << 32) + i as u64));
    incoming.chain(outgoing).collect()
}

fn incoming(h: &InboundHTLCDetails) -> Value {
    let state = match h.state {
        Some(InboundHTLCStateDetails::AwaitingRemoteRevokeToAdd) => "RCVD_ADD_COMMIT",
        Some(InboundHTLCStateDetails::Committed) | None => "RCVD_ADD_ACK_REVOCATION",
        Some(
            InboundHTLCStateDetails::AwaitingRemoteRevokeToRemoveFulfill
            | InboundHTLCStateDetails::AwaitingRemoteRevokeToRemoveFail,
        ) => "SENT_REMOVE_COMMIT",
    };
    json!({
        "direction": "in",
        "id": h.htlc_id,
        "amount_msat": h.amount_msat,
        "expiry": h.cltv_expiry,
        "payment_hash": h.payment_hash.to_string(),
        "state": state,
        "local_trimmed": h.amount_msat / 1000 < DUST_LIMIT_SAT + u64::from(FEERATE) * 703 / 1000,
    })
}

fn outgoing(h: &OutboundHTLCDetails, provisional: u64) -> Value {
    let state = match h.state {
        _ if h.htlc_id.is_none() => "SENT_ADD_HTLC",
        Some(OutboundHTLCStateDetails::AwaitingRemoteRevokeToAdd) => "SENT_ADD_COMMIT",
        Some(OutboundHTLCStateDetails::Committed) | None => "SENT_ADD_ACK_REVOCATION",
        Some(
            OutboundHTLCStateDetails::AwaitingRemoteRevokeToRemoveSuccess
            | OutboundHTLCStateDetails::AwaitingRemoteRevokeToRemoveFailure,
        ) => "RCVD_REMOVE_COMMIT",
    };
    json!({
        "direction": "out",
        "id": h.htlc_id.unwrap_or(provisional),
        "amount_msat": h.amount_msat,
        "expiry": h.cltv_expiry,
        "payment_hash": h.payment_hash.to_string(),
        "state": state,
        "local_trimmed": h.amount_msat / 1000 < DUST_LIMIT_SAT + u64::from(FEERATE) * 663 / 1000,
    })
}

/// Without the fields that are null: Core Lightning leaves them out.
fn compact(mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.retain(|_, v| !v.is_null());
    }
    value
}
