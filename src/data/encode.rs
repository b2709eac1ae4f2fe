//! From documents to one stream of tokens, with bounded memory.
//!
//! `bytes` need no more. A `tokenizer.json` is given pieces: while more than 2^20 bytes of a document remain, the
//! first 2^20 are cut after their last newline, or after their last whole character where there is none. So the
//! tokens depend on the document alone, never on how it was read or on the number of threads.

use rayon::prelude::*;

use super::corpus::Documents;
use super::tokenizer::{HuggingFace, Tokenizer};
use crate::error::{Error, Result};

/// The longest piece that a tokenizer sees, in bytes.
const PIECE: usize = 1 << 20;
/// Pieces wait until there is work for several threads: so many bytes, or so many pieces.
const WAITING_BYTES: usize = 4 << 20;
const WAITING_PIECES: usize = 1 << 12;

/// Takes documents and emits their tokens, each document followed by the end-of-document token.
pub struct Encoder<'a, E> {
    tokenizer: &'a Tokenizer,
    emit: E,
    /// The part of the open document that is not cut yet, and how many bytes of it were before.
    open: Vec<u8>,
    before: usize,
    waiting: Vec<Piece>,
    waiting_bytes: usize,
    /// Tokens of bytes on their way.
    tokens: Vec<u32>,
}

struct Piece {
    text: String,
    ends: bool,
}

impl<'a, E: FnMut(&[u32]) -> Result<()>> Encoder<'a, E> {
    /// An encoder whose tokens go to `emit`.
    pub fn new(tokenizer: &'a Tokenizer, emit: E) -> Encoder<'a, E> {
        Encoder {
            tokenizer,
            emit,
            open: Vec::new(),
            before: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            tokens: Vec::new(),
        }
    }

    /// Emits everything that waits; to be called after the last document, and at any time between two.
    pub fn flush(&mut self) -> Result<()> {
        if let Tokenizer::HuggingFace(hf) = self.tokenizer {
            let waiting = std::mem::take(&mut self.waiting);
            self.waiting_bytes = 0;
            for (piece, tokens) in waiting.iter().zip(encode(hf, &waiting)) {
                (self.emit)(&tokens?)?;
                if piece.ends {
                    (self.emit)(&[self.tokenizer.end_of_document()])?;
                }
            }
        }
        Ok(())
    }

    /// Takes the first `len` bytes of the open document as a piece.
    fn piece(&mut self, len: usize, ends: bool) -> Result<()> {
        let rest = self.open.split_off(len);
        let piece = std::mem::replace(&mut self.open, rest);
        let text = String::from_utf8(piece).map_err(|e| {
            let at = self.before + e.utf8_error().valid_up_to();
            Error::data(format!("not UTF-8 at byte {at} of the document"))
        })?;
        self.before += len;
        self.waiting_bytes += len;
        self.waiting.push(Piece { text, ends });
        if self.waiting_bytes >= WAITING_BYTES || self.waiting.len() >= WAITING_PIECES {
            self.flush()?;
        }
        Ok(())
    }
}

fn encode(hf: &HuggingFace, pieces: &[Piece]) -> Vec<Result<Vec<u32>>> {
    pieces.par_iter().map(|p| hf.encode(&p.text)).collect()
}

/// Where a piece of at most [`PIECE`] bytes ends in a longer text.
fn cut(text: &[u8]) -> usize {
    let head = &text[..PIECE];
    if let Some(newline) = head.iter().rposition(|b| *b == b'\n') {
        return newline + 1;
    }
    // The byte after the piece begins a character unless it continues one; none has more than 4 bytes.
    let begins = |at: &usize| text[*at] & 0xc0 != 0x80;
    (PIECE - 3..=PIECE).rev().find(begins).unwrap_or(PIECE)
}

impl<E: FnMut(&[u32]) -> Result<()>> Documents for Encoder<'_, E> {
    fn text(&mut self, bytes: &[u8]) -> Result<()> {
        if let Tokenizer::Bytes = self.tokenizer {
            for bytes in bytes.chunks(1 << 14) {
                self.tokens.clear();
                self.tokens.extend(bytes.iter().map(|b| u32::from(*b)));
                (self.emit)(&self.tokens)?;
            }
            return Ok(());
        }
        for bytes in bytes.chunks(PIECE) {
            self.open.extend_from_slice(bytes);
            while self.open.len() > PIECE {
                self.piece(cut(&self.open), false)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Tokenizer::Bytes = self.tokenizer {
            return (self.emit)(&[self.tokenizer.end_of_document()]);
        }
        self.piece(self.open.len(), true)?;
        self.before = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenizer::tests::bpe;

    fn tokens(tokenizer: &Tokenizer, documents: &[&[u8]], step: usize) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        let mut encoder = Encoder::new(tokenizer, |t: &[u32]| {
            all.extend_from_slice(t);
            Ok(())
        });
        for document in documents {
            for bytes in document.chunks(step) {
                encoder.text(bytes)?;
            }
            encoder.end()?;
        }
        encoder.flush()?;
        Ok(all)
    }

    #[test]
    fn every_document_is_followed_by_the_separator() {
        let found = tokens(&Tokenizer::Bytes, &[b"ab", b"", b"\xff"], 9).unwrap();
        assert_eq!(found, [97, 98, 256, 256, 255, 256]);
        let bpe = Tokenizer::parse("t", &bpe(), None).unwrap();
        let end = bpe.end_of_document();
        let found = tokens(&bpe, &[b"a", b"", b"the"], 9).unwrap();
        assert_eq!(found.iter().filter(|t| **t == end).count(), 3);
        assert_eq!(found.last(), Some(&end));
    }

    #[test]
    fn the_tokens_do_not_depend_on_how_a_long_document_is_read() {
        let bpe = Tokenizer::parse("t", &bpe(), None).unwrap();
        let lines = "the worker sends the update\n".repeat(90_000);
        let unbroken = "wörker—".repeat(150_000);
        for text in [lines, unbroken] {
            let text = text.as_bytes();
            assert!(text.len() > PIECE);
            let whole = tokens(&bpe, &[text, b"next"], usize::MAX).unwrap();
            assert_eq!(tokens(&bpe, &[text, b"next"], 65_537).unwrap(), whole);
            let ends = whole.iter().filter(|t| **t == bpe.end_of_document()).count();
            assert_eq!(ends, 2);
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused_by_its_place() {
        let bpe = Tokenizer::parse("t", &bpe(), None).unwrap();
        let mut text = "line\n".repeat(300_000).into_bytes();
        text[1_200_003] = 0xff;
        let error = tokens(&bpe, &[&text], 4096).unwrap_err();
        assert!(error.to_string().contains("byte 1200003"), "{error}");
        let error = tokens(&bpe, &[&vec![0x80; PIECE + 9]], 4096).unwrap_err();
        assert!(error.to_string().contains("byte 0"), "{error}");
    }
}
