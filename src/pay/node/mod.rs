//! A Core Lightning node over its JSON-RPC socket: what the verbs ask of it, and nothing else.
//!
//! Answers are read for the few fields that matter, so that a node which says more, or newer things, is understood.
//! Every call has a time limit of its own. An error says whether the node answered: what was not answered may have
//! happened all the same, and is *unknown*.

mod blocks;
mod channels;
mod payments;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cln_rpc::ClnRpc;
use cln_rpc::model::TypedRequest;
use cln_rpc::model::requests::{
    DatastoreMode, DatastoreRequest, GetinfoRequest, ListdatastoreRequest, SigninvoiceRequest, SignmessageRequest,
};
use cln_rpc::primitives::RpcError;
use lightning::bitcoin::secp256k1::PublicKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::hold::{self, HoldInvoice};
use super::ids::{NodeId, PaymentHash, Preimage};
use super::journal::Head;
use crate::artifact::record::Signer;
use crate::error::{Error, Result};

pub use channels::{Channel, Direction};
pub use payments::{PayRequest, Payment, PaymentStatus};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Known from the moment that somebody else has the node.
    info: Option<NodeInfo>,
}

impl Node {
    /// Connects, and asks the node who it is. A node that has not caught up with the chain is not asked for more: its
    /// height would mislead every margin.
    pub fn connect(socket: &Path) -> Result<Node> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::bug(format!("the runtime for the node's socket: {e}")))?;
        let mut node = Node { socket: socket.to_owned(), runtime, client: None, info: None };
        node.refresh()?;
        Ok(node)
    }

    /// What the node said of itself when it was last asked.
    pub fn info(&self) -> &NodeInfo {
        self.info.as_ref().expect("connect asks before it gives the node away")
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
        self.info = Some(NodeInfo { id: NodeId(info.id), network: info.network, height: info.blockheight });
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

    /// The journal's head that was left with the node, outside the file system, and how often it was changed.
    pub fn anchor(&mut self, key: &[String]) -> Result<Option<(Head, u64)>> {
        #[derive(Debug, Deserialize)]
        struct Item {
            key: Vec<String>,
            string: Option<String>,
            generation: Option<u64>,
        }
        #[derive(Debug, Deserialize)]
        struct Answer {
            datastore: Vec<Item>,
        }
        let answer: Answer = self.ask(&ListdatastoreRequest { key: Some(key.to_vec()) })?;
        let found = answer.datastore.into_iter().find(|item| item.key == key);
        let parse = |item: Item| Some(item.string?.parse().map(|head| (head, item.generation.unwrap_or(0))));
        found.and_then(parse).transpose()
    }

    /// Leaves the journal's head with the node, in place of the one of this generation; the new generation. Where
    /// somebody else has left one meanwhile, there are two copies of the folder at work, and that is refused.
    pub fn set_anchor(&mut self, key: &[String], head: &Head, generation: Option<u64>) -> Result<u64> {
        #[derive(Debug, Deserialize)]
        struct Answer {
            generation: Option<u64>,
        }
        let mode = if generation.is_some() { DatastoreMode::MUST_REPLACE } else { DatastoreMode::MUST_CREATE };
        let (key, string) = (key.to_vec(), Some(head.to_string()));
        let request = DatastoreRequest { key, string, hex: None, mode: Some(mode), generation };
        match self.call::<Answer, _>(&request, PATIENCE) {
            Ok(answer) => Ok(answer.generation.unwrap_or_else(|| generation.map_or(0, |g| g + 1))),
            Err(CallError::Answer(code @ 1200..=1206, why)) => {
                Err(Error::data(format!("{}: datastore: code {code}: {why}", self.name()))
                    .hint("another copy of this escrow folder is at work with the same node: use one of them alone"))
            }
            Err(error) => Err(self.call_error("datastore", error)),
        }
    }

    /// Looks after a time of waiting.
    pub fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}

fn tokio_timeout<T>(runtime: &Runtime, patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async { tokio::time::timeout(patience, work).await.ok() })
}

/// A node as a signer of records.
pub struct NodeSigner<'a>(pub std::cell::RefCell<&'a mut Node>);

impl Signer for NodeSigner<'_> {
    fn public(&self) -> PublicKey {
        self.0.borrow().info().id.0
    }

    fn sign_message(&self, message: &str) -> Result<String> {
        self.0.borrow_mut().sign_text(message)
    }
}
