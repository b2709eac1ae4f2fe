//! Workers as a command line names them: `alice`, `bob=02...`, `carol=carol.pub`.

use std::path::Path;

use crate::artifact::{key, record};
use crate::command::args::worker_id;
use crate::data::Member;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::read_text_within;

/// The largest file of a public key.
const MAX_KEY: u64 = 1 << 10;

/// A worker, `ID`, `ID=KEY` or `ID=FILE`.
pub fn member(text: &str) -> Result<Member> {
    let (worker, key) = text.split_once('=').map_or((text, None), |(worker, key)| (worker, Some(key)));
    let worker = worker_id(worker).map_err(|e| Error::usage(format!("worker {worker:?}: {e}")))?;
    let key = key.map(public_key).transpose().at(format!("worker {worker}"))?;
    Ok(Member { worker, key })
}

/// A public key in hex, or the one in a file, as `l402 key FILE > ID.pub` leaves it.
pub fn public_key(text: &str) -> Result<String> {
    if key::parse_public(text).is_ok() {
        return Ok(text.to_owned());
    }
    let expected = "expected 66 hex digits of a public key, or a file that holds them";
    let found = match read_text_within(Path::new(text), MAX_KEY) {
        Ok(found) => found,
        Err(error) if error.kind() == Kind::Missing && !text.contains(['/', '.']) => {
            return Err(Error::usage(format!("{expected}, found {text:?}")));
        }
        Err(error) => return Err(error),
    };
    // What it holds instead may be a secret, and is not shown.
    let found = found.trim();
    match key::parse_public(found) {
        Ok(_) => Ok(found.to_owned()),
        Err(_) => {
            Err(Error::data(format!("{text}: expected 66 hex digits of a public key")).hint("l402 key prints it"))
        }
    }
}

/// The records of these workers, in this order.
pub fn lines(members: &[Member]) -> Result<String> {
    members.iter().map(record::line).collect()
}
