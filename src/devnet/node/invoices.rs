//! Ordinary invoices, and signing prepared ones.

use lightning::ln::channelmanager::Bolt11InvoiceParameters;
use lightning::sign::{NodeSigner, Recipient};
use lightning::types::payment::{PaymentHash, PaymentPreimage};
use lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescription, Description, RawTaggedField, SignedRawBolt11Invoice, TaggedField,
};

use crate::clock;
use crate::error::{Error, Result};

use super::Node;
use super::records::{Invoice, Paid};

/// The hold plugin never looks at an invoice's expiry; LDK does. So hold invoices may be paid for this long.
const HOLD_EXPIRY_SECS: u32 = 10 * 365 * 86_400;
/// The default of `holdinvoice`.
const HOLD_CLTV: u16 = 80;
/// The default of `holdinvoice`.
const HOLD_EXPIRY: u32 = 3600;

impl Node {
    pub(super) fn is_invoice(&self, key: &str) -> bool {
        self.records().invoices.get(key).is_some()
    }

    /// Invoices by creation.
    pub fn invoices(&self) -> Vec<Invoice> {
        let mut rows: Vec<Invoice> = self.records().invoices.iter().map(|(_, row)| row.clone()).collect();
        rows.sort_by_key(|row| row.created_index);
        rows
    }

    /// Makes an invoice that is paid without being asked. The label must be new: nothing otherwise.
    pub fn make_invoice(
        &self,
        label: &str,
        amount_msat: Option<u64>,
        description: &str,
        expiry: u32,
        cltv: Option<u16>,
    ) -> Result<Option<Bolt11Invoice>> {
        let mut records = self.records();
        if records.invoices.iter().any(|(_, row)| row.label == label) {
            return Ok(None);
        }
        let invoice = self.sign_new(amount_msat, description, expiry, cltv, None)?;
        let key = invoice.payment_hash().to_string();
        let row = Invoice {
            label: label.to_owned(),
            bolt11: invoice.to_string(),
            payment_hash: key.clone(),
            amount_msat,
            description: description.to_owned(),
            expires_at: clock::unix() + u64::from(expiry),
            created_index: records.invoices.len() as u64 + 1,
            paid: None,
        };
        records.invoices.put(&key, row)?;
        Ok(Some(invoice))
    }

    /// The invoice of `holdinvoice`: 80 blocks, an hour, no description.
    pub fn make_hold_invoice(&self, hash: [u8; 32], amount_msat: u64) -> Result<Bolt11Invoice> {
        self.sign_new(Some(amount_msat), "", HOLD_EXPIRY, Some(HOLD_CLTV), Some(PaymentHash(hash)))
    }

    fn sign_new(
        &self,
        amount_msats: Option<u64>,
        description: &str,
        expiry: u32,
        cltv: Option<u16>,
        payment_hash: Option<PaymentHash>,
    ) -> Result<Bolt11Invoice> {
        let description = Description::new(description.to_owned())
            .map_err(|_| Error::usage("expected a description of at most 639 bytes"))?;
        let parameters = Bolt11InvoiceParameters {
            amount_msats,
            description: Bolt11InvoiceDescription::Direct(description),
            invoice_expiry_delta_secs: Some(expiry),
            min_final_cltv_expiry_delta: cltv,
            payment_hash,
        };
        self.manager.create_bolt11_invoice(parameters).map_err(|e| Error::refused(format!("no invoice: {e}")))
    }

    /// `signinvoice`: signs a prepared bolt11 and keeps every field of it, but for one. LDK accepts only payment secrets that
    /// it derived itself (from hash, least amount, expiry and least final CLTV), so the secret is replaced. The signature that
    /// is there does not count.
    pub fn sign_invoice(&self, bolt11: &str) -> Result<String> {
        let signed: SignedRawBolt11Invoice = bolt11.parse().map_err(|e| Error::data(format!("Invalid bolt11: {e}")))?;
        let (mut raw, _, _) = signed.into_parts();
        let hash = raw.payment_hash().ok_or_else(|| Error::data("Invalid bolt11: expected a payment hash"))?;
        let hash = PaymentHash(*hash.0.as_ref());
        let cltv = raw.min_final_cltv_expiry_delta().and_then(|delta| u16::try_from(delta.0).ok());
        let amount = raw.amount_pico_btc().map(|pico| pico / 10);
        let secret = self
            .manager
            .create_inbound_payment_for_hash(hash, amount, HOLD_EXPIRY_SECS, cltv)
            .map_err(|()| Error::refused("LDK takes no payment of this amount"))?;
        let fields = &mut raw.data.tagged_fields;
        let ours = RawTaggedField::KnownSemantics(TaggedField::PaymentSecret(secret));
        match fields.iter_mut().find(|f| matches!(f, RawTaggedField::KnownSemantics(TaggedField::PaymentSecret(_)))) {
            Some(field) => *field = ours,
            None => fields.push(ours),
        }
        let signature = self.keys.sign_invoice(&raw, Recipient::Node).map_err(|()| Error::bug("no signature"))?;
        let signed = raw.sign::<_, ()>(|_| Ok(signature)).map_err(|()| Error::bug("no signature"))?;
        let invoice = Bolt11Invoice::from_signed(signed).map_err(|e| Error::data(format!("Invalid bolt11: {e}")))?;
        Ok(invoice.to_string())
    }

    /// A claim reached the channel.
    pub(super) fn invoice_paid(&self, key: &str, received_msat: u64, preimage: Option<PaymentPreimage>) -> Result<()> {
        let mut records = self.records();
        if let (Some(row), Some(preimage)) = (records.invoices.get(key).filter(|r| r.paid.is_none()), preimage) {
            let index = records.invoices.iter().filter(|(_, r)| r.paid.is_some()).count() as u64 + 1;
            let paid = Paid { preimage: hex::encode(preimage.0), received_msat, at: clock::unix(), index };
            let row = Invoice { paid: Some(paid), ..row.clone() };
            records.invoices.put(key, row)?;
            self.changed.notify_waiters();
        }
        Ok(())
    }
}
