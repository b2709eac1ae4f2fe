//! A Core Lightning node over its JSON-RPC socket: what the verbs ask of it, and nothing else.
//!
//! Answers are read for the few fields that matter, so that a node which says more, or newer things, is understood.
//! Every call has a time limit of its own. An error says whether the node answered: what was not answered may have
//! happened all the same, and is *unknown*.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cln_rpc::ClnRpc;
use cln_rpc::model::TypedRequest;
use cln_rpc::model::requests::{
    DatastoreMode, DatastoreRequest, GetinfoRequest, ListdatastoreRequest, ListpaysRequest, ListpeerchannelsRequest,
    SigninvoiceRequest, SignmessageRequest, XpayRequest,
};
use cln_rpc::primitives::{Amount, RpcError};
use lightning::bitcoin::hashes::{Hash, sha256};
use lightning::bitcoin::secp256k1::PublicKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::amount::Msat;
use super::hold::{self, HoldInvoice};
use super::ids::{NodeId, PaymentHash, Preimage};
use super::journal::Head;
use crate::artifact::record::Signer;
use crate::error::{Error, Result};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a payment that is under way is looked at for a refusal by its payee.
const REFUSAL: Duration = Duration::from_millis(300);

/// How long `xpay` is listened to before the payment is looked up; it goes on without a listener.
const XPAY_PATIENCE: Duration = Duration::from_secs(20);

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Its network: bitcoin, testnet, signet, regtest.
    pub network: String,
    /// The chain.
    pub height: u32,
}

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

/// A direction of an HTLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the node.
    In,
    /// From the node.
    Out,
}

/// An HTLC on one of the node's channels.
#[derive(Clone, Debug, Deserialize)]
pub struct Htlc {
    /// To or from us.
    pub direction: Direction,
    amount_msat: Amount,
    /// The height at which it expires.
    pub expiry: u32,
    payment_hash: String,
    /// Its state as the node names it.
    #[serde(default)]
    pub state: String,
    /// Whether it is too small for the chain.
    #[serde(default)]
    pub local_trimmed: bool,
}

impl Htlc {
    /// Its amount.
    pub fn msat(&self) -> Msat {
        Msat(self.amount_msat.msat())
    }

    /// Whether it is locked to this hash.
    pub fn is_for(&self, hash: &PaymentHash) -> bool {
        self.payment_hash == hash.to_string()
    }

    /// Whether it is on its way out of the channel: settled or failed, not yet gone.
    pub fn is_leaving(&self) -> bool {
        self.state.contains("REMOVE")
    }
}

/// A channel, as `listpeerchannels` tells of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Channel {
    /// The other end.
    pub peer_id: PublicKey,
    /// Whether the other end is there.
    #[serde(default)]
    pub peer_connected: bool,
    /// Its state, `CHANNELD_NORMAL` where it can be used.
    pub state: String,
    /// The channel's id.
    #[serde(default)]
    pub channel_id: String,
    /// Its short id, once it is in a block.
    pub short_channel_id: Option<String>,
    alias: Option<Alias>,
    /// Whether nobody else knows of it.
    #[serde(default)]
    pub private: bool,
    to_us_msat: Option<Amount>,
    spendable_msat: Option<Amount>,
    receivable_msat: Option<Amount>,
    in_fulfilled_msat: Option<Amount>,
    dust_limit_msat: Option<Amount>,
    /// How many HTLCs the node accepts on it.
    pub max_accepted_htlcs: Option<u32>,
    updates: Option<Updates>,
    /// What is in flight on it.
    #[serde(default)]
    pub htlcs: Vec<Htlc>,
}

#[derive(Clone, Debug, Deserialize)]
struct Alias {
    remote: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Updates {
    remote: Option<Update>,
}

/// What the other end asks for forwarding to us.
#[derive(Clone, Debug, Deserialize)]
pub struct Update {
    fee_base_msat: Amount,
    /// Millionths of the amount.
    pub fee_proportional_millionths: u32,
    /// Blocks.
    pub cltv_expiry_delta: u16,
}

impl Update {
    /// The base fee.
    pub fn base(&self) -> Msat {
        Msat(self.fee_base_msat.msat())
    }
}

fn msat(amount: Option<Amount>) -> Msat {
    Msat(amount.map_or(0, |a| a.msat()))
}

impl Channel {
    /// Whether payments can go over it now.
    pub fn is_usable(&self) -> bool {
        self.peer_connected && self.state == "CHANNELD_NORMAL"
    }

    /// The node's settled share; what is in flight counts as its sender's.
    pub fn to_us(&self) -> Msat {
        msat(self.to_us_msat)
    }

    /// What can be sent over it.
    pub fn spendable(&self) -> Msat {
        msat(self.spendable_msat)
    }

    /// What can come in over it.
    pub fn receivable(&self) -> Msat {
        msat(self.receivable_msat)
    }

    /// The amount from which on an HTLC reaches the chain.
    pub fn dust_limit(&self) -> Msat {
        msat(self.dust_limit_msat)
    }

    /// What came in over it so far: the node's own count where it keeps one, else its share.
    pub fn received(&self) -> Msat {
        msat(self.in_fulfilled_msat.or(self.to_us_msat))
    }

    /// The short id that stands in a route hint.
    pub fn hint_scid(&self) -> Option<&str> {
        self.alias.as_ref().and_then(|a| a.remote.as_deref()).or(self.short_channel_id.as_deref())
    }

    /// What the other end asks for forwarding to us, once it has said.
    pub fn remote_update(&self) -> Option<&Update> {
        self.updates.as_ref()?.remote.as_ref()
    }
}

/// How a call failed.
#[derive(Debug)]
pub enum CallError {
    /// The node said no: its code and its words.
    Answer(i32, String),
    /// There is no node there; nothing was asked.
    Unreachable(String),
    /// No answer came: what was asked may have happened.
    Unanswered(String),
}

/// A node's socket.
pub struct Node {
    socket: PathBuf,
    runtime: Runtime,
    client: Option<ClnRpc>,
    info: NodeInfo,
}

impl Node {
    /// Connects, and asks the node who it is. A node that has not caught up with the chain is not asked for more: its
    /// height would mislead every margin.
    pub fn connect(socket: &Path) -> Result<Node> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::bug(format!("the runtime for the node's socket: {e}")))?;
        let nobody = NodeInfo { id: NodeId(dummy_key()), network: String::new(), height: 0 };
        let mut node = Node { socket: socket.to_owned(), runtime, client: None, info: nobody };
        node.refresh()?;
        Ok(node)
    }

    /// What the node said of itself when it was last asked.
    pub fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// Its socket, for errors.
    pub fn name(&self) -> String {
        self.socket.display().to_string()
    }

    /// Asks again for the chain's height.
    pub fn refresh(&mut self) -> Result<u32> {
        #[derive(Debug, Deserialize)]
        struct Info {
            id: PublicKey,
            network: String,
            blockheight: u32,
            warning_bitcoind_sync: Option<String>,
            warning_lightningd_sync: Option<String>,
        }
        let info: Info = self.ask(&GetinfoRequest {})?;
        if let Some(warning) = info.warning_bitcoind_sync.or(info.warning_lightningd_sync) {
            return Err(Error::try_again(format!("{}: the node is behind the chain: {warning}", self.name())));
        }
        self.info = NodeInfo { id: NodeId(info.id), network: info.network, height: info.blockheight };
        Ok(info.blockheight)
    }

    /// One call, its error in full.
    pub(super) fn call<R, Q>(&mut self, request: &Q, patience: Duration) -> std::result::Result<R, CallError>
    where
        R: DeserializeOwned + std::fmt::Debug,
        Q: TypedRequest + Serialize + std::fmt::Debug,
    {
        if self.client.is_none() {
            let connect = tokio_timeout(&self.runtime, patience, ClnRpc::new(&self.socket));
            match connect {
                Some(Ok(client)) => self.client = Some(client),
                Some(Err(e)) => return Err(CallError::Unreachable(e.root_cause().to_string())),
                None => return Err(CallError::Unreachable("no connection in time".into())),
            }
        }
        let client = self.client.as_mut().expect("just connected");
        match tokio_timeout(&self.runtime, patience, client.call_raw(request.method(), request)) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(RpcError { code: Some(code), message, .. })) => Err(CallError::Answer(code, message)),
            Some(Err(RpcError { code: None, message, .. })) => {
                self.client = None;
                Err(CallError::Unanswered(message))
            }
            None => {
                // The answer may still come, to a question that is no longer asked: a new connection for the next one.
                self.client = None;
                Err(CallError::Unanswered(format!("no answer within {} s", patience.as_secs())))
            }
        }
    }

    /// One call whose failure ends the verb.
    pub(super) fn ask<R, Q>(&mut self, request: &Q) -> Result<R>
    where
        R: DeserializeOwned + std::fmt::Debug,
        Q: TypedRequest + Serialize + std::fmt::Debug,
    {
        self.call(request, PATIENCE).map_err(|e| self.call_error(request.method(), e))
    }

    /// A failed call as an error of ours.
    pub fn call_error(&self, method: &str, error: CallError) -> Error {
        let place = format!("{}: {method}", self.name());
        match error {
            CallError::Answer(-32601, _) if hold::METHODS.contains(&method) => {
                Error::unavailable(format!("{place}: the node has no hold invoices")).hint(hold::WHERE_TO_GET)
            }
            CallError::Answer(code, message) => Error::refused(format!("{place}: code {code}: {message}")),
            CallError::Unreachable(why) => Error::unavailable(format!("{place}: no node there: {why}"))
                .hint("is the node running, and is this its lightning-rpc socket?"),
            CallError::Unanswered(why) => Error::unavailable(format!("{place}: the node did not answer: {why}"))
                .hint("what was asked may have happened; run the same command again"),
        }
    }

    /// The node's channels.
    pub fn channels(&mut self) -> Result<Vec<Channel>> {
        #[derive(Debug, Deserialize)]
        struct Answer {
            channels: Vec<Channel>,
        }
        let request = ListpeerchannelsRequest { id: None, channel_id: None, short_channel_id: None };
        let answer: Answer = self.ask(&request)?;
        Ok(answer.channels)
    }

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

    /// Signs an invoice with the node's key.
    pub fn sign_invoice(&mut self, bolt11: &str) -> Result<String> {
        #[derive(Debug, Deserialize)]
        struct Answer {
            bolt11: String,
        }
        let answer: Answer = self.ask(&SigninvoiceRequest { invstring: bolt11.to_owned() })?;
        Ok(answer.bolt11)
    }

    fn sign_text(&mut self, message: &str) -> Result<String> {
        #[derive(Debug, Deserialize)]
        struct Answer {
            zbase: String,
        }
        let answer: Answer = self.ask(&SignmessageRequest { message: message.to_owned() })?;
        Ok(answer.zbase)
    }

    /// The hold invoice for a hash, if the node has one.
    pub fn hold_invoice(&mut self, hash: &PaymentHash) -> Result<Option<HoldInvoice>> {
        #[derive(Debug, Deserialize)]
        struct Answer {
            holdinvoices: Vec<HoldInvoice>,
        }
        let answer: Answer = self.ask(&hold::List { payment_hash: *hash })?;
        Ok(answer.holdinvoices.into_iter().find(|i| i.payment_hash == hash.to_string()))
    }

    /// Hands a signed invoice to the plugin, whose payment it will hold.
    pub fn inject_hold_invoice(&mut self, bolt11: &str) -> std::result::Result<(), CallError> {
        let request = hold::Inject { invoice: bolt11.to_owned() };
        self.call::<serde_json::Value, _>(&request, PATIENCE).map(drop)
    }

    /// Settles a held payment.
    pub fn settle_hold_invoice(&mut self, preimage: &Preimage) -> std::result::Result<(), CallError> {
        self.call::<serde_json::Value, _>(&hold::Settle { preimage: *preimage }, PATIENCE).map(drop)
    }

    /// Gives a held payment back, or refuses one that may come.
    pub fn cancel_hold_invoice(&mut self, hash: &PaymentHash) -> std::result::Result<(), CallError> {
        self.call::<serde_json::Value, _>(&hold::Cancel { payment_hash: *hash }, PATIENCE).map(drop)
    }

    /// The journal's head that was left with the node, outside the file system.
    pub fn anchor(&mut self, key: &[String]) -> Result<Option<Head>> {
        #[derive(Debug, Deserialize)]
        struct Item {
            key: Vec<String>,
            string: Option<String>,
        }
        #[derive(Debug, Deserialize)]
        struct Answer {
            datastore: Vec<Item>,
        }
        let answer: Answer = self.ask(&ListdatastoreRequest { key: Some(key.to_vec()) })?;
        let found = answer.datastore.into_iter().find(|item| item.key == key);
        found.and_then(|item| item.string).map(|text| text.parse()).transpose()
    }

    /// Leaves the journal's head with the node.
    pub fn set_anchor(&mut self, key: &[String], head: &Head) -> Result<()> {
        let request = DatastoreRequest {
            key: key.to_vec(),
            string: Some(head.to_string()),
            hex: None,
            mode: Some(DatastoreMode::CREATE_OR_REPLACE),
            generation: None,
        };
        self.ask::<serde_json::Value, _>(&request).map(drop)
    }

    /// Looks after a time of waiting.
    pub fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// The payments in flight by hash, over all channels: amounts and the smallest expiry.
    pub fn incoming(channels: &[Channel]) -> BTreeMap<String, (Msat, u32)> {
        let mut found: BTreeMap<String, (Msat, u32)> = BTreeMap::new();
        let held = channels.iter().flat_map(|c| &c.htlcs).filter(|h| h.direction == Direction::In && !h.is_leaving());
        for htlc in held {
            let entry = found.entry(htlc.payment_hash.clone()).or_insert((Msat::ZERO, u32::MAX));
            entry.0 = Msat(entry.0.0.saturating_add(htlc.msat().0));
            entry.1 = entry.1.min(htlc.expiry);
        }
        found
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

fn tokio_timeout<T>(runtime: &Runtime, patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async { tokio::time::timeout(patience, work).await.ok() })
}

/// A key that no node has been asked for yet.
fn dummy_key() -> PublicKey {
    use lightning::bitcoin::secp256k1::{Secp256k1, SecretKey};
    PublicKey::from_secret_key(&Secp256k1::new(), &SecretKey::from_slice(&[1; 32]).expect("one is a secret key"))
}

/// A node as a signer of records.
pub struct NodeSigner<'a>(pub std::cell::RefCell<&'a mut Node>);

impl Signer for NodeSigner<'_> {
    fn public(&self) -> PublicKey {
        self.0.borrow().info.id.0
    }

    fn sign_message(&self, message: &str) -> Result<String> {
        self.0.borrow_mut().sign_text(message)
    }
}
