//! Payments: begun, and looked up.

use std::path::PathBuf;
use std::time::Duration;

use cln_rpc::ClnRpc;
use cln_rpc::model::requests::{ListpaysRequest, XpayRequest};
use cln_rpc::primitives::{Amount, RpcError};
use lightning::bitcoin::hashes::{Hash, sha256};
use serde::Deserialize;

use super::{CallError, Node, PATIENCE};
use crate::error::{Error, Result};
use crate::pay::amount::Msat;
use crate::pay::ids::PaymentHash;

/// How long a payment that is under way is looked at for a refusal by its payee.
const REFUSAL: Duration = Duration::from_millis(300);

/// How long `xpay` is listened to before the payment is looked up; it goes on without a listener.
const XPAY_PATIENCE: Duration = Duration::from_secs(20);

/// A payment, as the payer's node lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The invoice, where the node has kept it.
    pub bolt11: Option<String>,
    /// What became of it.
    pub status: PaymentStatus,
    /// What was sent in all, fees among it.
    pub sent_msat: Option<Msat>,
}

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Under way, or held.
    Pending,
    /// The preimage was shown.
    Complete,
    /// Nothing was paid.
    Failed,
}

impl Node {
    /// The node's payment for a hash, if it has begun one. Several tries count as the one that got furthest.
    pub fn payment(&mut self, hash: &PaymentHash) -> Result<Option<Payment>> {
        #[derive(Debug, Deserialize)]
        struct Pay {
            bolt11: Option<String>,
            status: String,
            amount_sent_msat: Option<Amount>,
        }
        #[derive(Debug, Deserialize)]
        struct Answer {
            pays: Vec<Pay>,
        }
        let request = ListpaysRequest {
            bolt11: None,
            payment_hash: Some(sha256::Hash::from_byte_array(hash.0)),
            status: None,
            index: None,
            start: None,
            limit: None,
        };
        let answer: Answer = self.ask(&request)?;
        let mut found: Option<Payment> = None;
        for pay in answer.pays {
            let status = match pay.status.as_str() {
                "pending" => PaymentStatus::Pending,
                "complete" => PaymentStatus::Complete,
                "failed" => PaymentStatus::Failed,
                other => {
                    return Err(Error::data(format!("{}: listpays: unknown status {other:?}", self.name())));
                }
            };
            let rank = |s: PaymentStatus| match s {
                PaymentStatus::Failed => 0,
                PaymentStatus::Pending => 1,
                PaymentStatus::Complete => 2,
            };
            if found.as_ref().is_none_or(|f| rank(status) > rank(f.status)) {
                let sent_msat = pay.amount_sent_msat.map(|a| Msat(a.msat()));
                found = Some(Payment { bolt11: pay.bolt11, status, sent_msat });
            }
        }
        Ok(found)
    }

    /// Begins payments and looks on until each is under way at the node, or has failed: `Ok(())` or the node's answer,
    /// in the order of the invoices. Each has a connection of its own; a payment goes on when nobody listens.
    pub fn begin_payments(&mut self, requests: &[PayRequest]) -> Vec<std::result::Result<(), CallError>> {
        const AT_A_TIME: usize = 32;
        let socket = self.socket.clone();
        self.runtime.block_on(async {
            let mut answers = Vec::new();
            for batch in requests.chunks(AT_A_TIME) {
                let tasks: Vec<_> =
                    batch.iter().map(|r| tokio::spawn(begin_payment(socket.clone(), r.clone()))).collect();
                for task in tasks {
                    answers.push(task.await.unwrap_or_else(|e| Err(CallError::Unanswered(e.to_string()))));
                }
            }
            answers
        })
    }
}

/// A payment to begin.
#[derive(Clone, Debug)]
pub struct PayRequest {
    /// The invoice.
    pub bolt11: String,
    /// Its hash.
    pub hash: PaymentHash,
    /// The most that the route may cost.
    pub fee: Msat,
    /// The most blocks that it may be locked for.
    pub delay: u32,
}

impl PayRequest {
    /// The request to the node.
    pub fn xpay(&self) -> XpayRequest {
        XpayRequest {
            invstring: self.bolt11.clone(),
            maxfee: Some(Amount::from_msat(self.fee.0)),
            maxdelay: Some(self.delay),
            amount_msat: None,
            dev_use_shadow: None,
            label: None,
            localinvreqid: None,
            partial_msat: None,
            payer_note: None,
            retry_for: None,
            layers: None,
        }
    }
}

/// Begins a payment on a connection of its own, until the node lists it as pending or answers.
async fn begin_payment(socket: PathBuf, request: PayRequest) -> std::result::Result<(), CallError> {
    #[derive(Debug, Deserialize)]
    struct Pay {
        status: String,
    }
    #[derive(Debug, Deserialize)]
    struct Answer {
        pays: Vec<Pay>,
    }
    let reach = |e: cln_rpc::Error| CallError::Unreachable(e.to_string());
    let mut watch = ClnRpc::new(&socket).await.map_err(reach)?;
    let mut pay = ClnRpc::new(&socket).await.map_err(reach)?;
    let list = ListpaysRequest {
        bolt11: None,
        payment_hash: Some(sha256::Hash::from_byte_array(request.hash.0)),
        status: None,
        index: None,
        start: None,
        limit: None,
    };
    let xpay = request.xpay();
    let answer = pay.call_raw::<serde_json::Value, _>("xpay", &xpay);
    tokio::pin!(answer);
    let begun = tokio::time::Instant::now();
    let mut wait = Duration::from_millis(5);
    let mut pending_since = None;
    loop {
        tokio::select! {
            answer = &mut answer => {
                return match answer {
                    Ok(_) => Ok(()),
                    Err(RpcError { code: Some(code), message, .. }) => Err(CallError::Answer(code, message)),
                    Err(RpcError { message, .. }) => Err(CallError::Unanswered(message)),
                };
            }
            () = tokio::time::sleep(wait) => {}
        }
        let listed = tokio::time::timeout(PATIENCE, watch.call_raw::<Answer, _>("listpays", &list)).await;
        match listed {
            Ok(Ok(found)) if found.pays.iter().any(|p| p.status == "pending") => {
                // What the payee refuses is pending for a moment too.
                let since = *pending_since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() >= REFUSAL {
                    return Ok(());
                }
            }
            Ok(Ok(_)) => pending_since = None,
            Ok(Err(e)) => return Err(CallError::Unanswered(e.message)),
            Err(_) => return Err(CallError::Unanswered("listpays took too long".into())),
        }
        if begun.elapsed() > XPAY_PATIENCE {
            return Err(CallError::Unanswered(format!("no answer within {} s", XPAY_PATIENCE.as_secs())));
        }
        wait = (wait * 2).min(Duration::from_millis(100));
    }
}
