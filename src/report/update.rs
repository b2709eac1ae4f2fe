//! What an update's own file says, without decoding it.

use super::folder::{Book, plain};
use super::lists::RoundLists;
use crate::artifact::{ArtifactKind, Digest, Meta, Reader};
use crate::error::Result;

/// An update as it lies in a round.
pub struct Sent {
    /// Its content's digest.
    pub digest: Digest,
    /// Its content's size.
    pub bytes: u64,
    /// Its metadata.
    pub meta: Meta,
}

/// Reads a worker's update of a round; `None` where it is not there.
pub fn sent(book: &Book, round: u64, worker: &str) -> Option<Result<Sent>> {
    let name = format!("round-{round}/{worker}.update");
    book.run.has(&name).then(|| read(book, &name))
}

/// Whether a worker's update of this very round is there, by what its file says of itself.
pub fn is_there(book: &Book, round: u64, worker: &str) -> bool {
    let name = format!("round-{round}/{worker}.update");
    let of = [("run", book.id.to_string()), ("round", round.to_string()), ("worker", worker.to_owned())];
    book.run.has(&name)
        && open(book, &name)
            .is_ok_and(|(_, meta)| of.iter().all(|(key, expected)| meta.opt(key) == Some(expected.as_str())))
}

/// An update's file, opened, and its metadata.
fn open(book: &Book, name: &str) -> Result<(Reader, Meta)> {
    let header = book.layout().map_or(HEADER, |layout| layout.header_room());
    let reader = Reader::open_within(plain(book.run.source(name))?.within(book.most_bytes())?, header)?;
    let meta = Meta::read(name, reader.header(), ArtifactKind::Update)?;
    Ok((reader, meta))
}

fn read(book: &Book, name: &str) -> Result<Sent> {
    let most = book.most_bytes();
    let (reader, meta) = open(book, name)?;
    let bytes = reader.header().to_bytes().len() as u64 + reader.header().data_len();
    // A frame may hold more than its file: of that no more is read than an update can have.
    let digest = plain(book.run.digest(name, most))?;
    Ok(Sent { digest, bytes, meta })
}

/// The longest header where no model says how long one can be.
const HEADER: u64 = 16 << 20;

/// The states that an update begins with and ends in, by their keys, and how a sentence about them begins.
pub const STATES: [(&str, &str, &str); 2] =
    [("feedback_in", "feedback_out", "error feedback begins"), ("inner_in", "inner_out", "moments begin")];

/// Every list but the scores.
const OTHERS: [&str; 10] =
    ["assignments", "commitments", "closing", "offers", "invoices", "held", "findings", "verdicts", "claimed", "rungs"];

/// The last update of a worker that counted before a round, by the scores: its round and digest.
pub fn last_counted(book: &Book, round: u64, worker: &str) -> Option<(u64, Digest)> {
    (0..round).rev().find_map(|earlier| {
        let lists = RoundLists::read_without(book, earlier, &OTHERS);
        lists.score(worker).filter(|s| s.counts).map(|s| (earlier, s.update))
    })
}
