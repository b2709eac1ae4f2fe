//! The rows that a node keeps beside LDK's own state: hold invoices, invoices, payments. Those that hold preimages have no
//! `Debug`.

use serde::{Deserialize, Serialize};

/// A hold invoice's state, as the plugin names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldState {
    /// Nothing came.
    Unpaid,
    /// A payment is held.
    Accepted,
    /// Settled.
    Paid,
    /// Given back.
    Cancelled,
}

/// A hold invoice, as `listholdinvoices` shows it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hold {
    /// Counts from 1.
    pub id: u64,
    /// Hex.
    pub payment_hash: String,
    /// Hex, once it was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preimage: Option<String>,
    /// The bolt11.
    pub invoice: String,
    /// Where it stands.
    pub state: HoldState,
    /// The blocks that an HTLC must have left, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_cltv: Option<u64>,
    /// When it was made, `2026-01-31T23:59:59`.
    pub created_at: String,
    /// When it was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<String>,
    /// The HTLCs that came.
    pub htlcs: Vec<HeldHtlc>,
}

/// An HTLC of a hold invoice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldHtlc {
    /// Counts from 1.
    pub id: u64,
    /// The hold invoice's.
    pub invoice_id: u64,
    /// Where it stands.
    pub state: HoldState,
    /// The channel it came over.
    pub scid: String,
    /// Its number in that channel.
    pub channel_id: u64,
    /// Its amount.
    pub msat: u64,
    /// The height at which it expires.
    pub cltv_expiry: u32,
    /// When it came.
    pub created_at: String,
}

/// An ordinary invoice.
#[derive(Clone, Serialize, Deserialize)]
pub struct Invoice {
    /// Unique.
    pub label: String,
    /// The bolt11.
    pub bolt11: String,
    /// Hex.
    pub payment_hash: String,
    /// Its amount, if it names one.
    pub amount_msat: Option<u64>,
    /// What it is for.
    pub description: String,
    /// Unix time.
    pub expires_at: u64,
    /// Counts from 1.
    pub created_index: u64,
    /// How it was paid.
    pub paid: Option<Paid>,
}

/// How an invoice was paid.
#[derive(Clone, Serialize, Deserialize)]
pub struct Paid {
    /// Hex.
    pub preimage: String,
    /// What came.
    pub received_msat: u64,
    /// Unix time.
    pub at: u64,
    /// Counts paid invoices.
    pub index: u64,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayStatus {
    /// On its way, or held.
    Pending,
    /// Paid.
    Complete,
    /// Nothing was paid.
    Failed,
}

/// A payment, the last attempt of its hash.
#[derive(Clone, Serialize, Deserialize)]
pub struct Payment {
    /// Hex.
    pub payment_hash: String,
    /// What was asked to be paid.
    pub bolt11: String,
    /// The payee.
    pub destination: String,
    /// What the payee gets.
    pub amount_msat: u64,
    /// The same and fees; once complete.
    pub amount_sent_msat: u64,
    /// Where it stands.
    pub status: PayStatus,
    /// Unix time.
    pub created_at: u64,
    /// Unix time.
    pub completed_at: Option<u64>,
    /// Counts from 1.
    pub created_index: u64,
    /// A word of the payer's own.
    pub label: Option<String>,
    /// Hex, once complete.
    pub preimage: Option<String>,
    /// Core Lightning's error code and text, once failed.
    pub error: Option<(i32, String)>,
}

/// A value, as `listdatastore` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Datum {
    /// Its key's parts.
    pub key: Vec<String>,
    /// Counts its changes from 0.
    pub generation: u64,
    /// The value.
    pub hex: String,
}
