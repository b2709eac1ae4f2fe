//! Route hints: how a payer reaches a worker over channels that nobody else knows of.

use lightning::types::routing::{RouteHint, RouteHintHop, RoutingFees};

use super::node::Channel;

/// Hints in an invoice are bounded by its length; the largest channels come first.
const MOST: usize = 3;

/// One hint for each usable unannounced channel, the largest first. None where the node has an announced one: payers
/// find that by themselves.
pub fn route_hints(channels: &[Channel]) -> Vec<RouteHint> {
    let usable: Vec<&Channel> = channels.iter().filter(|c| c.is_usable()).collect();
    if usable.iter().any(|c| !c.private) {
        return Vec::new();
    }
    let mut hops: Vec<(u64, RouteHintHop)> = usable.iter().filter_map(|c| Some((c.receivable().0, hop(c)?))).collect();
    hops.sort_by_key(|(receivable, _)| std::cmp::Reverse(*receivable));
    hops.into_iter().take(MOST).map(|(_, hop)| RouteHint(vec![hop])).collect()
}

fn hop(channel: &Channel) -> Option<RouteHintHop> {
    let update = channel.remote_update()?;
    Some(RouteHintHop {
        src_node_id: channel.peer_id,
        short_channel_id: parse_scid(channel.hint_scid()?)?,
        fees: RoutingFees {
            base_msat: u32::try_from(update.base().0).ok()?,
            proportional_millionths: update.fee_proportional_millionths,
        },
        cltv_expiry_delta: update.cltv_expiry_delta,
        htlc_minimum_msat: None,
        htlc_maximum_msat: None,
    })
}

/// `block x transaction x output` as the 64 bits that it stands for (BOLT 7).
fn parse_scid(text: &str) -> Option<u64> {
    let mut parts = text.split('x').map(|part| part.parse::<u64>().ok());
    let (block, transaction, output) = (parts.next()??, parts.next()??, parts.next()??);
    let fits = block < 1 << 24 && transaction < 1 << 24 && output < 1 << 16 && parts.next().is_none();
    fits.then_some(block << 40 | transaction << 16 | output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_channel_id_is_its_64_bits() {
        assert_eq!(parse_scid("103x1x0"), Some(103 << 40 | 1 << 16));
        for wrong in ["", "1x2", "1x2x3x4", "16777216x0x0", "1x2x65536", "axbxc", "-1x0x0"] {
            assert_eq!(parse_scid(wrong), None, "{wrong}");
        }
    }

    fn channels(private: &[bool]) -> Vec<Channel> {
        let channel = |(i, private): (usize, &bool)| {
            serde_json::json!({
                "peer_id": "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619",
                "peer_connected": true, "state": "CHANNELD_NORMAL", "private": private,
                "receivable_msat": 1000 * (i + 1), "alias": {"remote": format!("{i}x1x0")},
                "updates": {"remote": {"fee_base_msat": 1000, "fee_proportional_millionths": 10, "cltv_expiry_delta": 34}},
            })
        };
        let list = serde_json::Value::Array(private.iter().enumerate().map(channel).collect());
        serde_json::from_value(list).unwrap()
    }

    #[test]
    fn unannounced_channels_are_hinted_at_and_only_when_there_is_no_other_way() {
        let hints = route_hints(&channels(&[true; 5]));
        let blocks: Vec<u64> = hints.iter().map(|h| h.0[0].short_channel_id >> 40).collect();
        assert_eq!(blocks, [4, 3, 2]);
        assert!(route_hints(&channels(&[true, false])).is_empty());
    }
}
