//! The hold plugin's methods (BoltzExchange/hold, v0.3), as typed requests.

use cln_rpc::model::TypedRequest;
use serde::{Deserialize, Serialize};

use super::ids::{PaymentHash, Preimage};

/// The plugin's methods: where one is unknown, the plugin is missing.
pub const METHODS: [&str; 4] = ["injectholdinvoice", "listholdinvoices", "settleholdinvoice", "cancelholdinvoice"];

/// What a user does about it.
pub const WHERE_TO_GET: &str = "install the hold plugin, version 0.3 or later (BoltzExchange/hold on GitHub), and start \
                                lightningd with --plugin=/path/to/hold";

/// `listholdinvoices` of one hash.
#[derive(Clone, Debug, Serialize)]
pub struct List {
    /// The hash.
    pub payment_hash: PaymentHash,
}

/// `injectholdinvoice`: an invoice that the node has signed, to be held when it is paid.
#[derive(Clone, Debug, Serialize)]
pub struct Inject {
    /// BOLT 11.
    pub invoice: String,
}

/// `settleholdinvoice`. `Debug` does not show the preimage.
#[derive(Clone, Debug, Serialize)]
pub struct Settle {
    /// What opens the payment.
    pub preimage: Preimage,
}

/// `cancelholdinvoice`.
#[derive(Clone, Debug, Serialize)]
pub struct Cancel {
    /// The hash.
    pub payment_hash: PaymentHash,
}

macro_rules! typed {
    ($($request:ident $method:literal),*) => {$(
        impl TypedRequest for $request {
            type Response = serde_json::Value;

            fn method(&self) -> &str {
                $method
            }
        }
    )*};
}
typed!(List "listholdinvoices", Inject "injectholdinvoice", Settle "settleholdinvoice", Cancel "cancelholdinvoice");

/// A hold invoice's state at the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldState {
    /// Nothing came.
    Unpaid,
    /// A payment is held.
    Accepted,
    /// Settled, as the plugin has it: no proof that the node has the money.
    Paid,
    /// Given back.
    Cancelled,
}

/// A hold invoice, as the plugin lists it. Its preimage is not read.
#[derive(Clone, Debug, Deserialize)]
pub struct HoldInvoice {
    /// The hash in hex.
    pub payment_hash: String,
    /// BOLT 11.
    pub invoice: String,
    /// The state.
    pub state: HoldState,
}
