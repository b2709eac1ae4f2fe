//! `signmessage` and `checkmessage`.

use lightning::bitcoin::secp256k1::PublicKey;
use lightning::routing::gossip::NodeId;
use lightning::sign::NodeSigner;
use lightning::util::message_signing;
use serde_json::json;

use crate::node::Node;

use super::answer::{Answer, RpcError};
use super::args::Args;

/// `signmessage`: the zbase string, and its two parts in hex.
pub fn sign(node: &Node, args: &Args<'_>) -> Answer {
    let message = args.text("message")?;
    let zbase =
        node.keys.sign_message(message.as_bytes()).map_err(|()| RpcError::new(-1, "the message cannot be signed"))?;
    let bytes = zbase_bytes(&zbase).ok_or_else(|| RpcError::new(-1, "the signature cannot be taken apart"))?;
    let (recid, signature) = bytes.split_at(1);
    Ok(json!({ "signature": hex::encode(signature), "recid": format!("{:02x}", recid[0] - 31), "zbase": zbase }))
}

/// `checkmessage`: without `pubkey` the signer must be a node of the graph.
pub fn check(node: &Node, args: &Args<'_>) -> Answer {
    let (message, zbase) = (args.text("message")?.as_bytes(), args.text("zbase")?);
    if let Some(key) = args.text_if("pubkey")? {
        let key: PublicKey = key.parse().map_err(|_| RpcError::params(format!("pubkey: should be a key: {key}")))?;
        return Ok(json!({ "verified": message_signing::verify(message, zbase, &key), "pubkey": key.to_string() }));
    }
    let key = message_signing::recover_pk(message, zbase)
        .map_err(|_| RpcError::params("zbase: cannot decode or recover the signature"))?;
    if node.graph.read_only().node(&NodeId::from_pubkey(&key)).is_none() {
        return Err(RpcError::new(1301, "pubkey not found in the graph"));
    }
    Ok(json!({ "verified": true, "pubkey": key.to_string() }))
}

/// zbase32: five bits a character.
fn zbase_bytes(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ybndrfg8ejkmcpqxot1uwisza345h769";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for c in text.chars() {
        held = held << 5 | u32::try_from(ALPHABET.find(c)?).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (bytes.len() == 65).then_some(bytes)
}
