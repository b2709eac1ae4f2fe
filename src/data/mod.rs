//! Tokens: from a corpus to shards, who works on which shard, and in what order.

mod assignment;
mod batches;
mod byte_bpe;
pub mod chat;
mod checks;
mod closed;
mod corpus;
mod edited;
mod encode;
mod gather;
mod jsonl;
#[cfg(test)]
mod kinds;
mod manifest;
mod marks;
mod merges;
mod outline;
mod parquet;
mod prompt;
mod roster;
mod sequences;
mod shard;
mod specials;
mod tokenizer;
mod words;

pub use assignment::{Assignment, Draw};
pub use batches::BatchOrder;
pub use byte_bpe::{FEWEST_TOKENS, Trained, train_tokenizer, word_cuts};
pub use closed::RosterClosing;
pub use corpus::{Documents, Format, read_text};
pub use edited::edited;
pub use encode::Encoder;
pub use gather::Gathered;
pub use jsonl::read_json_lines;
pub use manifest::{MANIFEST, Manifest, ShardEntry};
pub use marks::{MASK, Marking, STARTS};
pub use parquet::read_parquet;
pub use prompt::PromptTokenizer;
pub use roster::{Member, Roster};
pub use sequences::{Corpus, Cutter};
pub use shard::{SHARD_HEADER, Shard, ShardInfo, Split, TOKENS, to_bytes};
pub use specials::Specials;
pub use tokenizer::Tokenizer;
pub use words::Words;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::error::{Error, Result};

/// The largest vocabulary that makes sense.
pub const MAX_VOCAB: u32 = 1 << 20;
/// The longest sequence, as in a recipe.
pub const MAX_SEQ_LEN: usize = 1 << 20;

/// Runs a parser that is not ours on bytes that are not ours: its panic means malformed input.
fn guarded<T>(what: &str, parse: impl FnOnce() -> Result<T>) -> Result<T> {
    thread_local!(static GUARDED: Cell<bool> = const { Cell::new(false) });
    static QUIET: Once = Once::new();
    // Its panic is our error, and needs no lines of its own.
    QUIET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let parsed = catch_unwind(AssertUnwindSafe(parse));
    GUARDED.set(outer);
    parsed.unwrap_or_else(|_| Err(Error::data(format!("{what}: its parser gave up on it"))))
}

/// Corpora and tokenizers for the tests of the verbs.
#[cfg(test)]
pub(crate) mod testing {
    pub use super::parquet::tests::write as parquet;
    pub use super::tokenizer::tests::{bpe, words};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_panics_is_malformed_data() {
        let error = guarded("t.json", || -> Result<()> { panic!("out of range") }).unwrap_err();
        assert_eq!(error.to_string(), "t.json: its parser gave up on it");
    }
}
