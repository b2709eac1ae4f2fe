//! A channel's balance, exact to the msat.

use lightning::ln::channel_state::ChannelDetails;

/// Core Lightning's `to_us_msat`: what is settled as ours; an outgoing HTLC counts as ours until it is fulfilled.
///
/// LDK tells capacities, which are balances less reserves and pending HTLCs, but never below zero. So our own side is used
/// where it is above zero, else the other side; both below their reserve cannot be.
pub fn to_us_msat(channel: &ChannelDetails) -> u64 {
    let total = channel.channel_value_satoshis * 1000;
    let outgoing: u64 = channel.pending_outbound_htlcs.iter().map(|h| h.amount_msat).sum();
    let incoming: u64 = channel.pending_inbound_htlcs.iter().map(|h| h.amount_msat).sum();
    if channel.outbound_capacity_msat > 0 {
        channel.outbound_capacity_msat + outgoing + channel.unspendable_punishment_reserve.unwrap_or(0) * 1000
    } else {
        let theirs =
            channel.inbound_capacity_msat + incoming + channel.counterparty.unspendable_punishment_reserve * 1000;
        total.saturating_sub(theirs)
    }
}

/// A short channel id as people write it: `103x1x0`.
pub fn scid_text(scid: u64) -> String {
    format!("{}x{}x{}", scid >> 40, scid >> 16 & 0xff_ffff, scid & 0xffff)
}
