//! The words of a corpus, counted, in bounded memory: what a tokenizer is trained on.

use std::collections::HashMap;

use rayon::prelude::*;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper};

use super::corpus::Documents;
use super::guarded;
use crate::error::{Error, Result};

/// Documents are counted in blocks of at most so many bytes, cut after their last newline.
const BLOCK: usize = 1 << 16;
/// So many blocks wait until there is work for several threads.
const WAITING: usize = 64;
/// A longer word is data, not language: nothing is learnt from it. In letters, one for a byte.
const LONGEST: usize = 256;

/// How many words are remembered.
#[derive(Clone, Copy)]
struct Room {
    words: usize,
    bytes: usize,
}

const ROOM: Room = Room { words: 1 << 21, bytes: 64 << 20 };

/// Takes documents and counts their words, cut as a tokenizer cuts them before its model.
///
/// Where the different words are more than there is room for, the rarest are forgotten until half of the room is free.
/// That depends on the documents and their order alone, never on how they were read or on the number of threads.
pub struct Words<'a> {
    cuts: &'a PreTokenizerWrapper,
    room: Room,
    counts: HashMap<String, u64>,
    bytes: usize,
    forgotten: u64,
    /// The part of the open document that is in no block yet, and bytes of the document before it.
    open: Vec<u8>,
    before: usize,
    waiting: Vec<String>,
}

impl<'a> Words<'a> {
    /// Nothing yet; words are what `cuts` makes of a text.
    pub fn new(cuts: &'a PreTokenizerWrapper) -> Words<'a> {
        Words {
            cuts,
            room: ROOM,
            counts: HashMap::new(),
            bytes: 0,
            forgotten: 0,
            open: Vec::with_capacity(BLOCK),
            before: 0,
            waiting: Vec::new(),
        }
    }

    /// Every word with its count, in the order of their bytes; and how many words were forgotten on the way.
    pub fn finish(mut self) -> Result<(Vec<(String, u64)>, u64)> {
        self.flush()?;
        let mut words: Vec<(String, u64)> = self.counts.into_iter().collect();
        words.sort_unstable();
        Ok((words, self.forgotten))
    }

    /// The first bytes of the open document as a block.
    fn block(&mut self, bytes: usize) -> Result<()> {
        let text = std::str::from_utf8(&self.open[..bytes])
            .map_err(|e| Error::data(format!("not UTF-8 at byte {} of the document", self.before + e.valid_up_to())))?;
        self.waiting.push(text.to_owned());
        self.open.drain(..bytes);
        self.before += bytes;
        if self.waiting.len() >= WAITING {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let blocks = std::mem::take(&mut self.waiting);
        let counted: Vec<_> = blocks.par_iter().map(|block| count(self.cuts, block)).collect();
        for block in counted {
            for (word, n) in block? {
                match self.counts.get_mut(&word) {
                    Some(count) => *count += n,
                    None => {
                        self.bytes += word.len();
                        self.counts.insert(word, n);
                    }
                }
            }
        }
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        if self.counts.len() <= self.room.words && self.bytes <= self.room.bytes {
            return;
        }
        let before = self.counts.len();
        let mut least = 2;
        while self.counts.len() > self.room.words / 2 || self.bytes > self.room.bytes / 2 {
            self.counts.retain(|_, n| *n >= least);
            self.bytes = self.counts.keys().map(String::len).sum();
            least *= 2;
        }
        self.forgotten += (before - self.counts.len()) as u64;
    }
}

/// The words of a block.
fn count(cuts: &PreTokenizerWrapper, block: &str) -> Result<HashMap<String, u64>> {
    guarded("the pre-tokenizer", || {
        let mut cut = PreTokenizedString::from(block);
        cuts.pre_tokenize(&mut cut).map_err(|e| Error::data(format!("the pre-tokenizer: {e}")))?;
        let mut counts: HashMap<String, u64> = HashMap::new();
        for (word, _, _) in cut.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            // A word of one letter has no pair.
            if !(2..=LONGEST).contains(&word.chars().take(LONGEST + 1).count()) {
                continue;
            }
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.to_owned(), 1);
                }
            }
        }
        Ok(counts)
    })
}

impl Documents for Words<'_> {
    fn text(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.open.len()));
            self.open.extend_from_slice(now);
            bytes = later;
            if self.open.len() == BLOCK {
                let line = self.open.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
                // Or before the last character.
                let character = (BLOCK - 4..BLOCK).rev().find(|at| self.open[*at] & 0xc0 != 0x80);
                self.block(line.or(character).unwrap_or(BLOCK))?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.block(self.open.len())?;
        self.before = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;

    use super::*;

    fn words(room: Room, documents: &[&str], step: usize) -> (Vec<(String, u64)>, u64) {
        let cuts = PreTokenizerWrapper::from(WhitespaceSplit);
        let mut words = Words { room, ..Words::new(&cuts) };
        for document in documents {
            document.as_bytes().chunks(step).for_each(|bytes| words.text(bytes).unwrap());
            words.end().unwrap();
        }
        words.finish().unwrap()
    }

    #[test]
    fn words_are_counted_across_blocks_and_documents() {
        let lines = "to be or not to be\n".repeat(10_000);
        let long = "x".repeat(LONGEST + 1);
        let expected = [("be", 20_001), ("not", 10_000), ("or", 10_000), ("to", 20_000)];
        let expected = expected.map(|(word, n)| (word.to_owned(), n));
        assert_eq!(words(ROOM, &[&lines, "be", &long, "a"], 1000), (expected.to_vec(), 0));
    }

    #[test]
    fn how_a_document_is_read_changes_nothing_and_no_character_is_cut() {
        let text: String = (0..40_000).map(|i| if i % 7 == 0 { "你好 ".into() } else { format!("w{i}é ") }).collect();
        let room = Room { words: 5000, bytes: 1 << 20 };
        let whole = words(room, &[&text, "end"], usize::MAX);
        assert!(whole.1 > 0, "there is room for all words");
        assert!(whole.0.iter().any(|(word, _)| word == "你好"), "the most frequent word was forgotten");
        for (step, threads) in [(1, 1), (977, 2)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| words(room, &[&text, "end"], step)), whole);
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused_by_its_place() {
        let cuts = PreTokenizerWrapper::from(WhitespaceSplit);
        let mut words = Words::new(&cuts);
        let mut text = "line\n".repeat(20_000).into_bytes();
        text[90_003] = 0xff;
        let error = words.text(&text).and_then(|()| words.end()).unwrap_err();
        assert!(error.to_string().contains("byte 90003"), "{error}");
    }
}
