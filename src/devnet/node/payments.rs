//! Outgoing payments: a row before LDK is asked, a row when it is over.

use lightning::events::PaymentFailureReason;
use lightning::ln::channelmanager::{Bolt11PaymentError, PaymentId, RecentPaymentDetails, Retry, RetryableSendFailure};
use lightning::routing::router::RouteParametersConfig;
use lightning_invoice::Bolt11Invoice;

use crate::clock;
use crate::error::Result;

use super::Node;
use super::records::{PayStatus, Payment};

/// LDK's own limit to the blocks that a payment may be locked for.
const MAX_DELAY: u32 = 1008;
/// The most that `maxdelay` may ask for.
const MAX_MAX_DELAY: u32 = 2016;
/// Fees that are always fine.
const FREE_FEE_MSAT: u64 = 5000;
/// Routes that are tried.
const ATTEMPTS: u32 = 3;

/// What is to be paid, and at most for what.
#[derive(Clone, Debug)]
pub struct PayRequest {
    /// The invoice.
    pub invoice: Bolt11Invoice,
    /// Its amount, or the one to pay where it names none.
    pub amount_msat: u64,
    /// At most this in fees; else a hundredth, 5000 msat at the least.
    pub max_fee_msat: Option<u64>,
    /// At most this many blocks in all.
    pub max_delay: Option<u32>,
    /// A word of the payer's own.
    pub label: Option<String>,
}

/// How a request to pay begins.
pub enum Begun {
    /// It is on its way.
    Started,
    /// It was before.
    Pending,
    /// It is paid.
    Complete(Box<Payment>),
}

impl Node {
    /// Payments by creation.
    pub fn payments(&self) -> Vec<Payment> {
        let mut rows: Vec<Payment> = self.records().pays.iter().map(|(_, row)| row.clone()).collect();
        rows.sort_by_key(|row| row.created_index);
        rows
    }

    /// The payment of a hash.
    pub fn payment(&self, key: &str) -> Option<Payment> {
        self.records().pays.get(key).cloned()
    }

    /// Begins to pay, unless it was begun before.
    pub fn begin_payment(&self, request: &PayRequest) -> Result<Begun> {
        let key = request.invoice.payment_hash().to_string();
        {
            let mut records = self.records();
            match records.pays.get(&key) {
                Some(row) if row.status == PayStatus::Pending => return Ok(Begun::Pending),
                Some(row) if row.status == PayStatus::Complete => return Ok(Begun::Complete(Box::new(row.clone()))),
                _ => {}
            }
            let created_index = records.pays.iter().map(|(_, row)| row.created_index).max().unwrap_or(0) + 1;
            let row = Payment {
                payment_hash: key.clone(),
                bolt11: request.invoice.to_string(),
                destination: request.invoice.get_payee_pub_key().to_string(),
                amount_msat: request.amount_msat,
                amount_sent_msat: 0,
                status: PayStatus::Pending,
                created_at: clock::unix(),
                completed_at: None,
                created_index,
                label: request.label.clone(),
                preimage: None,
                error: None,
            };
            records.pays.put(&key, row)?;
        }
        let max_fee = request.max_fee_msat.unwrap_or((request.amount_msat / 100).max(FREE_FEE_MSAT));
        let limits = RouteParametersConfig {
            max_total_routing_fee_msat: Some(max_fee),
            max_total_cltv_expiry_delta: request.max_delay.unwrap_or(MAX_DELAY).min(MAX_MAX_DELAY),
            // A payment is one HTLC.
            max_path_count: 1,
            ..RouteParametersConfig::default()
        };
        let id = PaymentId(*request.invoice.payment_hash().as_ref());
        let amount = request.invoice.amount_milli_satoshis().is_none().then_some(request.amount_msat);
        let sent = self.manager.pay_for_bolt11_invoice(&request.invoice, id, amount, limits, Retry::Attempts(ATTEMPTS));
        self.crash.reach("after-pay");
        match sent {
            Ok(()) => {}
            // LDK still carries an attempt that our row had given up in a crash: that one decides.
            Err(Bolt11PaymentError::SendingFailed(RetryableSendFailure::DuplicatePayment)) => {}
            Err(error) => {
                let (code, text) = match error {
                    Bolt11PaymentError::SendingFailed(RetryableSendFailure::PaymentExpired) => {
                        (207, "invoice expired".to_owned())
                    }
                    Bolt11PaymentError::SendingFailed(RetryableSendFailure::RouteNotFound) => {
                        (205, NO_ROUTE.to_owned())
                    }
                    Bolt11PaymentError::SendingFailed(RetryableSendFailure::OnionPacketSizeExceeded) => {
                        (205, "the route and the invoice's metadata are too long for one onion packet".to_owned())
                    }
                    _ => (205, "the invoice and the amount to pay do not fit together".to_owned()),
                };
                self.end_payment(&key, |row| fail(row, code, text))?;
            }
        }
        Ok(Begun::Started)
    }

    /// It is paid.
    pub(super) fn payment_sent(&self, key: &str, preimage: &str, fee: Option<u64>) -> Result<()> {
        self.end_payment(key, |row| {
            row.status = PayStatus::Complete;
            row.preimage = Some(preimage.to_owned());
            row.amount_sent_msat = row.amount_msat + fee.unwrap_or(0);
        })
    }

    /// It is over and nothing was paid.
    pub(super) fn payment_failed(&self, key: &str, reason: Option<PaymentFailureReason>) -> Result<()> {
        let (code, text) = match reason {
            Some(PaymentFailureReason::RecipientRejected) => {
                (203, "Destination said it doesn't know invoice: incorrect_or_unknown_payment_details")
            }
            Some(PaymentFailureReason::PaymentExpired) => (207, "invoice expired"),
            _ => (205, NO_ROUTE),
        };
        self.end_payment(key, |row| fail(row, code, text.to_owned()))
    }

    fn end_payment(&self, key: &str, end: impl FnOnce(&mut Payment)) -> Result<()> {
        let mut records = self.records();
        // Told again after a restart, or of another time: a payment ends once.
        if let Some(row) = records.pays.get(key).filter(|row| row.status == PayStatus::Pending) {
            let mut row = row.clone();
            row.completed_at = Some(clock::unix());
            end(&mut row);
            records.pays.put(key, row)?;
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// After a start: a row that LDK knows nothing of was never sent, since HTLCs leave only after the manager is written.
    pub(super) fn reconcile_payments(&self) -> Result<()> {
        let known = |details: &RecentPaymentDetails| match details {
            RecentPaymentDetails::AwaitingInvoice { payment_id }
            | RecentPaymentDetails::Pending { payment_id, .. }
            | RecentPaymentDetails::Fulfilled { payment_id, .. }
            | RecentPaymentDetails::Abandoned { payment_id, .. } => hex::encode(payment_id.0),
        };
        let known: Vec<String> = self.manager.list_recent_payments().iter().map(known).collect();
        for row in self.payments() {
            if row.status == PayStatus::Pending && !known.contains(&row.payment_hash) {
                self.end_payment(&row.payment_hash, |row| {
                    fail(row, 205, "nothing was sent before a restart".to_owned())
                })?;
            }
        }
        Ok(())
    }
}

const NO_ROUTE: &str = "Failed: could not find a route with enough capacity within the limits";

fn fail(row: &mut Payment, code: i32, text: String) {
    row.status = PayStatus::Failed;
    row.error = Some((code, text));
}
