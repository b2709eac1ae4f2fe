//! Who signs: a party's node or key, as its private folder has them.

use std::fs;
use std::path::PathBuf;

use super::given::Given;
use super::run::Run;
use crate::error::{Error, IoContext, Result};

/// A party's private folder as the layout has it: a socket or a link to one, a key, an escrow folder.
const SOCKET: &str = "lightning-rpc";
const KEY: &str = "key";
const ESCROW: &str = "escrow";

/// Whether the command line says which node or key it is.
fn said(given: &Given) -> bool {
    ["key", "rpc-file", "lightning-dir"].iter().any(|flag| given.has(flag))
}

/// The party's socket, links followed: a socket's name has its limits.
fn socket(run: &Run, party: &str) -> Result<Option<PathBuf>> {
    let path = run.private(party)?.join(SOCKET);
    if !path.exists() {
        return Ok(None);
    }
    fs::canonicalize(&path).path(&path).map(Some)
}

/// Names the party's node, or its key where it has no node. With a node its escrow folder too, if the verb has such a flag.
pub fn signer(run: &Run, party: &str, given: &mut Given, escrow: bool) -> Result<()> {
    if !said(given) {
        let key = run.private(party)?.join(KEY);
        match socket(run, party)? {
            Some(socket) => given.add("rpc-file", socket),
            None if key.is_file() => given.add("key", key),
            None => return Err(nobody(run, party)?.hint("or name the key by --key, or the node by --rpc-file")),
        }
    }
    if escrow && !given.has("key") {
        given.fill("escrow", run.private(party)?.join(ESCROW));
    }
    Ok(())
}

/// Names the party's node and its escrow folder.
pub fn node(run: &Run, party: &str, given: &mut Given) -> Result<()> {
    given.fill("escrow", run.private(party)?.join(ESCROW));
    node_alone(run, party, given)
}

/// Names the party's node.
pub fn node_alone(run: &Run, party: &str, given: &mut Given) -> Result<()> {
    if !said(given) {
        let socket = socket(run, party)?;
        let none = || -> Result<Error> {
            let folder = run.private(party)?;
            let what = format!("{}: expected {SOCKET}, a link to the socket of {party}'s node", folder.display());
            let found = if folder.join(KEY).is_file() {
                format!("{KEY} alone, which signs and holds no money")
            } else {
                "none".into()
            };
            Ok(Error::missing(format!("{what}, found {found}"))
                .hint("the roster pins the node's id then; --rpc-file or --lightning-dir names the node too"))
        };
        match socket {
            Some(socket) => given.add("rpc-file", socket),
            None => return Err(none()?),
        }
    }
    Ok(())
}

fn nobody(run: &Run, party: &str) -> Result<Error> {
    let folder = run.private(party)?;
    let what =
        format!("{}: expected {SOCKET}, a link to {party}'s socket, or {KEY}, a file of `l402 key`", folder.display());
    Ok(Error::missing(format!("{what}, found neither")))
}
