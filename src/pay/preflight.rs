//! Before anything is paid: is there room for all of it? Slots, dust, money and fees, channel by channel.

use std::collections::BTreeMap;

use super::amount::Msat;
use super::ids::NodeId;
use super::node::Channel;
use crate::error::{Error, Result};

/// What the node is known to allow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// HTLCs in flight a channel, where the node does not say.
    pub htlcs: u32,
    /// HTLCs too small for the chain, summed, a channel: Core Lightning's and LDK's `max_dust_htlc_exposure`.
    pub dust: Msat,
}

/// A payment that is to be begun.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// To whom.
    pub payee: NodeId,
    /// The amount.
    pub msat: Msat,
    /// The most that its route may cost.
    pub fee: Msat,
}

/// What a second-stage transaction may cost is cut off an HTLC before it is compared with the dust limit: about 700
/// weight units, at 2,530 sat a thousand above today's fee rate, as LDK reckons.
const SECOND_STAGE: Msat = Msat(2_000_000);

struct Room {
    name: String,
    slots: u32,
    dust: Msat,
    dust_limit: Msat,
    spendable: Msat,
}

impl Room {
    fn of(channel: &Channel, limits: &Limits) -> Room {
        let most = channel.max_accepted_htlcs.unwrap_or(limits.htlcs).min(limits.htlcs);
        let is_dust = |msat: Msat, trimmed: bool| trimmed || msat < channel.dust_limit();
        let used: u64 = channel.htlcs.iter().filter(|h| is_dust(h.msat(), h.local_trimmed)).map(|h| h.msat().0).sum();
        Room {
            name: channel.short_channel_id.clone().unwrap_or_else(|| channel.channel_id.clone()),
            slots: most.saturating_sub(channel.htlcs.len() as u32),
            dust: limits.dust.minus(Msat(used)),
            dust_limit: Msat(channel.dust_limit().0.saturating_add(SECOND_STAGE.0)),
            spendable: channel.spendable(),
        }
    }

    /// Why a payment finds no room here.
    fn lacks(&self, planned: &Planned) -> Option<String> {
        let cost = Msat(planned.msat.0.saturating_add(planned.fee.0));
        if self.slots == 0 {
            return Some(format!("{}: no HTLC slot is free", self.name));
        }
        if cost > self.spendable {
            return Some(format!("{}: expected {cost} spendable, found {}", self.name, self.spendable));
        }
        if planned.msat < self.dust_limit && planned.msat > self.dust {
            return Some(format!("{}: {} more of dust would pass the channel's limit", self.name, planned.msat));
        }
        None
    }

    fn take(&mut self, planned: &Planned) {
        self.slots -= 1;
        self.spendable = self.spendable.minus(planned.msat).minus(planned.fee);
        if planned.msat < self.dust_limit {
            self.dust = self.dust.minus(planned.msat);
        }
    }
}

/// Refuses payments that do not all find room. A payee with a channel of its own is paid over that; the others over
/// all channels, the roomiest first. A route beyond the first hop is not looked at: it is found, or not, by paying.
pub fn check(channels: &[Channel], limits: &Limits, planned: &[Planned]) -> Result<()> {
    let mut rooms: BTreeMap<NodeId, Vec<Room>> = BTreeMap::new();
    for channel in channels.iter().filter(|c| c.is_usable()) {
        rooms.entry(NodeId(channel.peer_id)).or_default().push(Room::of(channel, limits));
    }
    if rooms.is_empty() {
        return Err(Error::try_again("the node has no channel that can be used now").hint("are its peers connected?"));
    }
    for payment in planned {
        let direct = rooms.contains_key(&payment.payee);
        let fee = if direct { Msat::ZERO } else { payment.fee };
        let payment = Planned { fee, ..*payment };
        let mut ways: Vec<&mut Room> = match direct {
            true => rooms.get_mut(&payment.payee).expect("just seen").iter_mut().collect(),
            false => rooms.values_mut().flatten().collect(),
        };
        ways.sort_by_key(|room| std::cmp::Reverse(room.spendable));
        let mut why = String::new();
        let free = ways.into_iter().find(|room| match room.lacks(&payment) {
            None => true,
            Some(lack) => {
                if why.is_empty() {
                    why = lack;
                }
                false
            }
        });
        match free {
            Some(room) => room.take(&payment),
            None => {
                return Err(Error::refused(format!("{} to {}: {why}", payment.msat, payment.payee))
                    .hint("nothing was paid; open another channel, or lock for fewer workers at a time"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619";
    const OTHER: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    const LIMITS: Limits = Limits { htlcs: 30, dust: Msat(50_000_000) };

    fn channel(spendable: u64, htlcs: usize) -> Channel {
        let htlc = serde_json::json!({"direction": "out", "amount_msat": 350_000, "expiry": 900, "payment_hash": ""});
        serde_json::from_value(serde_json::json!({
            "peer_id": PEER, "peer_connected": true, "state": "CHANNELD_NORMAL", "short_channel_id": "1x1x1",
            "spendable_msat": spendable, "dust_limit_msat": 546_000, "max_accepted_htlcs": 483,
            "htlcs": vec![htlc; htlcs],
        }))
        .unwrap()
    }

    fn planned(payee: &str, msat: u64, count: usize) -> Vec<Planned> {
        vec![Planned { payee: payee.parse().unwrap(), msat: Msat(msat), fee: Msat(5000) }; count]
    }

    fn why(channels: &[Channel], planned: &[Planned]) -> String {
        check(channels, &LIMITS, planned).unwrap_err().to_string()
    }

    #[test]
    fn slots_are_counted_with_what_is_in_flight() {
        check(&[channel(1 << 40, 26)], &LIMITS, &planned(PEER, 9_000_000, 4)).unwrap();
        let error = why(&[channel(1 << 40, 27)], &planned(PEER, 9_000_000, 4));
        assert!(error.contains("slot"), "{error}");
        check(&[channel(1 << 40, 27), channel(1 << 40, 29)], &LIMITS, &planned(PEER, 9_000_000, 4)).unwrap();
    }

    #[test]
    fn dust_is_summed_over_what_is_there_and_what_comes() {
        let dusty = Limits { htlcs: 483, ..LIMITS };
        check(&[channel(1 << 40, 0)], &dusty, &planned(PEER, 350_000, 142)).unwrap();
        let error = check(&[channel(1 << 40, 0)], &dusty, &planned(PEER, 350_000, 143)).unwrap_err().to_string();
        assert!(error.contains("dust"), "{error}");
        let error = check(&[channel(1 << 40, 100)], &dusty, &planned(PEER, 350_000, 43)).unwrap_err().to_string();
        assert!(error.contains("dust"), "{error}");
    }

    #[test]
    fn a_route_needs_money_for_its_fees_and_a_channel_to_the_payee_does_not() {
        check(&[channel(2_000_000, 0)], &LIMITS, &planned(PEER, 1_000_000, 2)).unwrap();
        let error = why(&[channel(2_000_000, 0)], &planned(OTHER, 1_000_000, 2));
        assert!(error.contains("spendable"), "{error}");
        check(&[channel(2_010_000, 0)], &LIMITS, &planned(OTHER, 1_000_000, 2)).unwrap();
    }

    #[test]
    fn without_a_channel_it_is_too_early() {
        let mut away = channel(1 << 40, 0);
        away.peer_connected = false;
        let error = check(&[away], &LIMITS, &planned(PEER, 1, 1)).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::TryAgain);
    }
}
