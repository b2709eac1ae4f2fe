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

#[derive(Clone)]
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

/// Why an offer's payments find no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is missing, and where.
    pub why: String,
    /// Whether they would find room once everything has ended that is in flight now: then it is worth waiting for.
    pub may_pass: bool,
}

/// The channels that can be used, by who is at the other end.
struct Rooms(BTreeMap<NodeId, Vec<Room>>);

impl Rooms {
    fn of(channels: &[Channel], limits: &Limits) -> Rooms {
        let mut rooms: BTreeMap<NodeId, Vec<Room>> = BTreeMap::new();
        for channel in channels.iter().filter(|c| c.is_usable()) {
            rooms.entry(NodeId(channel.peer_id)).or_default().push(Room::of(channel, limits));
        }
        Rooms(rooms)
    }

    /// Takes room for all of these payments, or says what the first of them lacks. A payee with a channel of its own is paid
    /// over that; the others over all channels, the roomiest first.
    fn take(&mut self, planned: &[Planned]) -> std::result::Result<(), String> {
        for payment in planned {
            let direct = self.0.contains_key(&payment.payee);
            let fee = if direct { Msat::ZERO } else { payment.fee };
            let payment = Planned { fee, ..*payment };
            let mut ways: Vec<&mut Room> = match direct {
                true => self.0.get_mut(&payment.payee).expect("just seen").iter_mut().collect(),
                false => self.0.values_mut().flatten().collect(),
            };
            ways.sort_by_key(|room| std::cmp::Reverse(room.spendable));
            let roomiest = ways.first().and_then(|room| room.lacks(&payment));
            let Some(room) = ways.into_iter().find(|room| room.lacks(&payment).is_none()) else {
                let why = roomiest.unwrap_or_default();
                return Err(format!("{} to {}: {why}", payment.msat, payment.payee));
            };
            room.take(&payment);
        }
        Ok(())
    }
}

/// Which offers find room for all of their payments, in the order in which they are given: `None` where one does. An offer
/// is paid whole or not at all, and one that finds no room takes none from the others. Payees with channels of their own
/// come first, as no others can be paid over those alone. A route beyond the first hop is not looked at: it is found, or
/// not, by paying.
pub fn check(channels: &[Channel], limits: &Limits, offers: &[Vec<Planned>]) -> Result<Vec<Option<Lack>>> {
    let mut rooms = Rooms::of(channels, limits);
    if rooms.0.is_empty() {
        return Err(Error::try_again("the node has no channel that can be used now").hint("are its peers connected?"));
    }
    let empty: Vec<Channel> = channels.iter().map(Channel::when_all_has_ended).collect();
    let routed = |i: &usize| offers[*i].iter().any(|planned| !rooms.0.contains_key(&planned.payee));
    let mut order: Vec<usize> = (0..offers.len()).collect();
    order.sort_by_key(routed);
    let mut lacks = vec![None; offers.len()];
    for i in order {
        let mut left = Rooms(rooms.0.clone());
        match left.take(&offers[i]) {
            Ok(()) => rooms = left,
            Err(why) => {
                let may_pass = Rooms::of(&empty, limits).take(&offers[i]).is_ok();
                lacks[i] = Some(Lack { why, may_pass });
            }
        }
    }
    Ok(lacks)
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

    /// What one offer lacks.
    fn lack(channels: &[Channel], limits: &Limits, planned: Vec<Planned>) -> Option<Lack> {
        check(channels, limits, &[planned]).unwrap().remove(0)
    }

    #[track_caller]
    fn fits(channels: &[Channel], limits: &Limits, planned: Vec<Planned>) {
        assert_eq!(lack(channels, limits, planned), None);
    }

    #[track_caller]
    fn lacks(channels: &[Channel], limits: &Limits, planned: Vec<Planned>, what: &str, may_pass: bool) {
        let found = lack(channels, limits, planned).expect("there is no room");
        assert!(found.why.contains(what) && found.may_pass == may_pass, "{found:?}");
    }

    #[test]
    fn slots_are_counted_with_what_is_in_flight() {
        fits(&[channel(1 << 40, 26)], &LIMITS, planned(PEER, 9_000_000, 4));
        lacks(&[channel(1 << 40, 27)], &LIMITS, planned(PEER, 9_000_000, 4), "slot", true);
        fits(&[channel(1 << 40, 27), channel(1 << 40, 29)], &LIMITS, planned(PEER, 9_000_000, 4));
        // More than there ever are.
        lacks(&[channel(1 << 40, 0)], &LIMITS, planned(PEER, 9_000_000, 31), "slot", false);
    }

    #[test]
    fn dust_is_summed_over_what_is_there_and_what_comes() {
        let dusty = Limits { htlcs: 483, ..LIMITS };
        fits(&[channel(1 << 40, 0)], &dusty, planned(PEER, 350_000, 142));
        lacks(&[channel(1 << 40, 0)], &dusty, planned(PEER, 350_000, 143), "dust", false);
        lacks(&[channel(1 << 40, 100)], &dusty, planned(PEER, 350_000, 43), "dust", true);
    }

    #[test]
    fn a_route_needs_money_for_its_fees_and_a_channel_to_the_payee_does_not() {
        fits(&[channel(2_000_000, 0)], &LIMITS, planned(PEER, 1_000_000, 2));
        lacks(&[channel(2_000_000, 0)], &LIMITS, planned(OTHER, 1_000_000, 2), " spendable, found ", false);
        fits(&[channel(2_010_000, 0)], &LIMITS, planned(OTHER, 1_000_000, 2));
        // Ten payments of 350,000 msat may come back.
        lacks(&[channel(2_000_000, 10)], &LIMITS, planned(PEER, 2_500_000, 2), " spendable, found ", true);
        lacks(&[channel(2_000_000, 10)], &LIMITS, planned(PEER, 3_500_000, 2), " spendable, found ", false);
    }

    #[test]
    fn an_offer_without_room_takes_none_from_the_others_and_is_never_paid_in_part() {
        let channels = [channel(5_000_000, 0)];
        let offers = [3, 6, 2].map(|count| planned(PEER, 1_000_000, count));
        let found = check(&channels, &LIMITS, &offers).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
        // Who can be paid over others' channels leaves those to whom they belong.
        let found = check(&channels, &LIMITS, &[planned(OTHER, 1_000_000, 4), planned(PEER, 1_000_000, 4)]).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn without_a_channel_it_is_too_early() {
        let mut away = channel(1 << 40, 0);
        away.peer_connected = false;
        let error = check(&[away], &LIMITS, &[planned(PEER, 1, 1)]).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::TryAgain);
    }
}
