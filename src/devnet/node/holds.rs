//! Hold invoices, with the hold plugin's states, and with its weakness: the row says `paid` before the claim has reached
//! the channel. After a crash in between, the row is `paid`, the HTLC is still held, settling again does nothing, and ten
//! seconds after the restart the HTLC is failed back.

use std::time::Duration;

use lightning::chain::channelmonitor::HTLC_FAIL_BACK_BUFFER;
use lightning::ln::channel_state::InboundHTLCStateDetails;
use lightning::ln::types::ChannelId;
use lightning::types::payment::{PaymentHash, PaymentPreimage};

use crate::clock;
use crate::error::Result;

use super::Node;
use super::balance::scid_text;
use super::records::{HeldHtlc, Hold, HoldState};

/// How long after a start a held HTLC waits whose row says `paid`: the plugin's MPP timeout on regtest.
pub(super) const MPP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the plugin says to a verb that it cannot obey.
pub type HoldAnswer = std::result::Result<(), String>;

impl Node {
    pub(super) fn is_hold(&self, key: &str) -> bool {
        self.records().holds.get(key).is_some()
    }

    /// The rows, by id; all of them or the one with this hash.
    pub fn holds(&self, key: Option<&str>) -> Vec<Hold> {
        let records = self.records();
        let mut rows: Vec<Hold> =
            records.holds.iter().filter(|(k, _)| key.is_none_or(|key| key == *k)).map(|(_, row)| row.clone()).collect();
        rows.sort_by_key(|row| row.id);
        rows
    }

    /// Adds a row. The hash must be new.
    pub fn add_hold(&self, key: &str, invoice: &str, min_cltv: Option<u64>) -> Result<HoldAnswer> {
        let mut records = self.records();
        if records.holds.get(key).is_some() {
            return Ok(Err("UNIQUE constraint failed: hold_invoices.payment_hash".to_owned()));
        }
        let row = Hold {
            id: records.holds.len() as u64 + 1,
            payment_hash: key.to_owned(),
            preimage: None,
            invoice: invoice.to_owned(),
            state: HoldState::Unpaid,
            min_cltv,
            created_at: clock::text(),
            settled_at: None,
            htlcs: Vec::new(),
        };
        records.holds.put(key, row)?;
        Ok(Ok(()))
    }

    /// `settleholdinvoice`: the row first, then the claim.
    pub fn settle_hold(&self, key: &str, preimage: [u8; 32]) -> Result<HoldAnswer> {
        let mut records = self.records();
        let Some(row) = records.holds.get(key) else { return Ok(Err("invoice not found".to_owned())) };
        match row.state {
            HoldState::Paid => return Ok(Ok(())),
            HoldState::Unpaid | HoldState::Cancelled => return Ok(Err("no HTLCs to settle".to_owned())),
            HoldState::Accepted => {}
        }
        let mut row = row.clone();
        row.state = HoldState::Paid;
        row.preimage = Some(hex::encode(preimage));
        row.settled_at = Some(clock::text());
        row.htlcs.iter_mut().for_each(|htlc| htlc.state = HoldState::Paid);
        records.holds.put(key, row)?;
        self.crash.reach("after-paid-row");
        self.manager.claim_funds(PaymentPreimage(preimage));
        self.crash.reach("after-claim");
        self.changed.notify_waiters();
        Ok(Ok(()))
    }

    /// `cancelholdinvoice`.
    pub fn cancel_hold(&self, key: &str, hash: [u8; 32]) -> Result<HoldAnswer> {
        let mut records = self.records();
        let Some(row) = records.holds.get(key) else { return Ok(Err("invoice not found".to_owned())) };
        match row.state {
            HoldState::Paid => return Ok(Err("could not update invoice state: paid is final".to_owned())),
            HoldState::Cancelled => return Ok(Ok(())),
            HoldState::Unpaid | HoldState::Accepted => {}
        }
        let row = cancelled(row.clone());
        records.holds.put(key, row)?;
        self.manager.fail_htlc_backwards(&PaymentHash(hash));
        self.changed.notify_waiters();
        Ok(Ok(()))
    }

    /// An HTLC for a hold invoice is here and can be claimed.
    pub(super) fn hold_came(
        &self,
        hash: PaymentHash,
        msat: u64,
        channel: Option<ChannelId>,
        deadline: Option<u32>,
    ) -> Result<()> {
        let key = hash.to_string();
        let mut records = self.records();
        let Some(row) = records.holds.get(&key) else { return Ok(()) };
        let expiry = deadline.map_or(0, |height| height + HTLC_FAIL_BACK_BUFFER);
        let left = u64::from(expiry.saturating_sub(self.manager.current_best_block().height));
        match row.state {
            HoldState::Unpaid if row.min_cltv.is_none_or(|min| left >= min) => {}
            HoldState::Unpaid | HoldState::Cancelled => {
                self.manager.fail_htlc_backwards(&hash);
                return Ok(());
            }
            // Told again after a restart; what is `paid` waits for its timeout.
            HoldState::Accepted | HoldState::Paid => return Ok(()),
        }
        let mut row = row.clone();
        let (scid, id) = self.where_held(hash, channel);
        row.state = HoldState::Accepted;
        row.htlcs.push(HeldHtlc {
            id: row.htlcs.len() as u64 + 1,
            invoice_id: row.id,
            state: HoldState::Accepted,
            scid,
            channel_id: id,
            msat,
            cltv_expiry: expiry,
            created_at: clock::text(),
        });
        records.holds.put(&key, row)?;
        self.changed.notify_waiters();
        Ok(())
    }

    fn where_held(&self, hash: PaymentHash, channel: Option<ChannelId>) -> (String, u64) {
        let channels = self.manager.list_channels();
        let Some(channel) = channels.iter().find(|c| Some(c.channel_id) == channel) else {
            return (scid_text(0), 0);
        };
        let id = channel.pending_inbound_htlcs.iter().find(|h| h.payment_hash == hash).map_or(0, |h| h.htlc_id);
        (scid_text(channel.short_channel_id.unwrap_or(0)), id)
    }

    /// Whether an HTLC with this hash is here and neither claimed nor failed.
    fn still_held(&self, hash: PaymentHash) -> bool {
        let held = |state: &Option<InboundHTLCStateDetails>| {
            matches!(
                state,
                None | Some(InboundHTLCStateDetails::Committed | InboundHTLCStateDetails::AwaitingRemoteRevokeToAdd)
            )
        };
        let channels = self.manager.list_channels();
        channels.iter().flat_map(|c| &c.pending_inbound_htlcs).any(|h| h.payment_hash == hash && held(&h.state))
    }

    /// LDK fails an HTLC back: at the deadline, or one that should not have come. It is still in its channel then.
    pub(super) fn hold_fails(&self, hash: PaymentHash) {
        self.failing.lock().expect("no panic under the lock").insert(hash);
    }

    /// Rows whose HTLC LDK failed back are cancelled as soon as it has left its channel.
    pub(super) fn cancel_failed(&self) -> Result<()> {
        let mut failing = self.failing.lock().expect("no panic under the lock");
        if failing.is_empty() {
            return Ok(());
        }
        let hashes = std::mem::take(&mut *failing);
        for hash in hashes {
            if !self.cancel_if_gone(hash)? {
                failing.insert(hash);
            }
        }
        Ok(())
    }

    /// Cancels an accepted row without an HTLC; whether there is nothing left to watch.
    fn cancel_if_gone(&self, hash: PaymentHash) -> Result<bool> {
        let key = hash.to_string();
        let mut records = self.records();
        let Some(row) = records.holds.get(&key).filter(|row| row.state == HoldState::Accepted) else {
            return Ok(true);
        };
        if self.still_held(hash) {
            return Ok(false);
        }
        let row = cancelled(row.clone());
        records.holds.put(&key, row)?;
        self.changed.notify_waiters();
        Ok(true)
    }

    /// Compares the rows with the channels after a start. What is held and `paid` is given back later: those hashes.
    pub(super) fn reconcile_holds(&self) -> Result<Vec<PaymentHash>> {
        let mut paid = Vec::new();
        for row in self.holds(None) {
            let Some(hash) = parse_hash(&row.payment_hash) else { continue };
            match row.state {
                HoldState::Accepted => drop(self.cancel_if_gone(hash)?),
                HoldState::Cancelled if self.still_held(hash) => self.manager.fail_htlc_backwards(&hash),
                HoldState::Paid if self.still_held(hash) => paid.push(hash),
                _ => {}
            }
        }
        Ok(paid)
    }
}

fn parse_hash(text: &str) -> Option<PaymentHash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| PaymentHash(bytes))
}

fn cancelled(mut row: Hold) -> Hold {
    row.state = HoldState::Cancelled;
    row.htlcs.iter_mut().for_each(|htlc| htlc.state = HoldState::Cancelled);
    row
}
