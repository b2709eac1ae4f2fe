//! What LDK tells: each event changes our own rows, on disk, before the manager that has forgotten it is written.

use lightning::bitcoin::hashes::Hash;
use lightning::events::{Event, HTLCHandlingFailureType, PaymentPurpose};

use crate::error::Result;

use super::Node;

impl Node {
    /// Handles one event. It may come again after a crash.
    pub(super) fn handle(&self, event: Event) -> Result<()> {
        match event {
            Event::FundingGenerationReady {
                temporary_channel_id,
                counterparty_node_id,
                channel_value_satoshis,
                output_script,
                ..
            } => self.fund(temporary_channel_id, counterparty_node_id, channel_value_satoshis, output_script),
            Event::ChannelReady { user_channel_id, .. } => self.opened(user_channel_id),
            Event::PaymentClaimable {
                payment_hash,
                amount_msat,
                purpose,
                claim_deadline,
                receiving_channel_ids,
                ..
            } => {
                let key = payment_hash.to_string();
                let channel = receiving_channel_ids.first().map(|(id, _)| *id);
                if self.is_hold(&key) {
                    self.hold_came(payment_hash, amount_msat, channel, claim_deadline)?;
                } else {
                    let preimage = match purpose {
                        PaymentPurpose::Bolt11InvoicePayment { payment_preimage, .. } => payment_preimage,
                        _ => None,
                    };
                    match preimage.filter(|_| self.is_invoice(&key)) {
                        Some(preimage) => self.manager.claim_funds(preimage),
                        None => self.manager.fail_htlc_backwards(&payment_hash),
                    }
                }
                Ok(())
            }
            Event::PaymentClaimed { payment_hash, amount_msat, purpose, .. } => {
                let preimage = match purpose {
                    PaymentPurpose::Bolt11InvoicePayment { payment_preimage, .. } => payment_preimage,
                    _ => None,
                };
                self.invoice_paid(&payment_hash.to_string(), amount_msat, preimage)
            }
            Event::HTLCHandlingFailed { failure_type: HTLCHandlingFailureType::Receive { payment_hash }, .. } => {
                self.hold_fails(payment_hash);
                Ok(())
            }
            Event::PaymentSent { payment_hash, payment_preimage, fee_paid_msat, .. } => {
                self.payment_sent(&payment_hash.to_string(), &hex::encode(payment_preimage.0), fee_paid_msat)
            }
            Event::PaymentFailed { payment_id, reason, .. } => {
                let hash = lightning::bitcoin::hashes::sha256::Hash::from_byte_array(payment_id.0);
                self.payment_failed(&hash.to_string(), reason)
            }
            Event::ChannelClosed { channel_id, reason, .. } => {
                self.log.note(&format!("channel {channel_id} closed: {reason}"));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
