//! The stream of tokens, cut into sequences.

use crate::artifact::Digest;
use crate::error::{Error, Result};

/// Cuts a stream of tokens into sequences of `seq_len + 1` tokens with stride `seq_len`: a sequence's last token is
/// the next one's first, so every token but the very first is a target once. What is left at the end is dropped.
pub struct Cutter {
    seq_len: usize,
    vocab_size: u32,
    window: Vec<u32>,
    sequences: u64,
    tokens: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

/// What became of a stream of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// Digest of all tokens, of the tokenizer and of the length of a sequence.
    pub digest: Digest,
    /// Tokens, separators included.
    pub tokens: u64,
    /// Complete sequences.
    pub sequences: u64,
    /// Tokens at the end that are in no sequence.
    pub dropped: u64,
}

impl Cutter {
    /// For sequences of `seq_len + 1` token ids below `vocab_size`.
    pub fn new(seq_len: usize, vocab_size: u32) -> Cutter {
        Cutter {
            seq_len,
            vocab_size,
            window: Vec::with_capacity(seq_len + 1),
            sequences: 0,
            tokens: 0,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
        }
    }

    /// Takes the next tokens; every sequence that is complete goes to `emit` with its index.
    pub fn push(&mut self, tokens: &[u32], mut emit: impl FnMut(u64, &[u32]) -> Result<()>) -> Result<()> {
        if let Some(id) = tokens.iter().find(|id| **id >= self.vocab_size) {
            return Err(Error::data(format!("tokenizer: expected token ids below {}, found {id}", self.vocab_size)));
        }
        self.buffer.clear();
        self.buffer.extend(tokens.iter().flat_map(|t| t.to_le_bytes()));
        self.hasher.update(&self.buffer);
        self.tokens += tokens.len() as u64;
        let mut rest = tokens;
        while !rest.is_empty() {
            let room = self.seq_len + 1 - self.window.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.window.extend_from_slice(now);
            rest = later;
            if self.window.len() == self.seq_len + 1 {
                emit(self.sequences, &self.window)?;
                self.sequences += 1;
                self.window.drain(..self.seq_len);
            }
        }
        Ok(())
    }

    /// Ends the stream.
    pub fn finish(self, tokenizer: &str) -> Corpus {
        let tokens = Digest::from(self.hasher);
        let seq_len = (self.seq_len as u64).to_le_bytes();
        let shared = u64::from(self.sequences > 0);
        Corpus {
            digest: Digest::of_parts("l402/corpus/1", &[tokenizer.as_bytes(), &seq_len, &tokens.0]),
            tokens: self.tokens,
            sequences: self.sequences,
            dropped: self.window.len() as u64 - shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(tokens: &[u32], seq_len: usize, step: usize) -> (Vec<Vec<u32>>, Corpus) {
        let mut cutter = Cutter::new(seq_len, 1000);
        let mut sequences = Vec::new();
        for tokens in tokens.chunks(step) {
            cutter
                .push(tokens, |i, sequence| {
                    assert_eq!(i, sequences.len() as u64);
                    sequences.push(sequence.to_vec());
                    Ok(())
                })
                .unwrap();
        }
        (sequences, cutter.finish("bytes"))
    }

    #[test]
    fn every_target_is_in_exactly_one_sequence() {
        let tokens: Vec<u32> = (0..24).collect();
        let (sequences, corpus) = cut(&tokens, 4, 24);
        let targets: Vec<u32> = sequences.iter().flat_map(|s| s[1..].to_vec()).collect();
        assert_eq!(targets, tokens[1..21]);
        assert_eq!((corpus.sequences, corpus.dropped, corpus.tokens), (5, 3, 24));
        assert_eq!(cut(&tokens[..3], 4, 3).1.dropped, 3);
        assert_eq!(cut(&tokens[..21], 4, 3).1.dropped, 0);
    }

    #[test]
    fn the_pieces_of_a_stream_change_nothing_and_its_content_does() {
        let tokens: Vec<u32> = (0..100).collect();
        assert_eq!(cut(&tokens, 7, 1), cut(&tokens, 7, 100));
        assert_ne!(cut(&tokens, 7, 1).1.digest, cut(&tokens, 8, 1).1.digest);
        assert_ne!(cut(&tokens, 7, 1).1.digest, cut(&tokens[..99], 7, 1).1.digest);
    }

    #[test]
    fn a_token_beyond_the_vocabulary_is_refused() {
        let error = Cutter::new(4, 10).push(&[1, 10], |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("below 10, found 10"), "{error}");
    }

    #[test]
    fn a_token_beyond_the_vocabulary_is_refused() {
        let error = Cutter::new(3, 10).push(&[9, 10], |_, _| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "tokenizer: expected token ids below 10, found 10");
    }
}
