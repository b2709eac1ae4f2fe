//! From documents to one stream of tokens, with bounded memory.
//!
//! `bytes` need no more. A `tokenizer.json` is given a long document in pieces, and gives the tokens that it would give to the
//! whole. What a tokenizer does at the beginning and the end of a text (a space before the first word, a word cut in two) it
//! does at those of a piece too, so pieces reach over each cut, and what both see of the text there, the joint, is encoded by
//! itself as well. Where the joint's tokens begin the later piece and end the earlier one, but for those near its two ends,
//! nothing at either end reaches as far as the joint's middle: there one piece's tokens follow the other's. Where they do
//! not, there is no cut, and the two pieces are one. So the tokens depend on the document alone, never on how it was
//! read or on the number of threads.

use rayon::prelude::*;

use super::corpus::Documents;
use super::tokenizer::{HuggingFace, Tokenizer};
use crate::artifact::Digest;
use crate::error::{Error, Result};
use crate::fsio::Pieces;

/// Pieces wait until there is work for several threads: so many bytes, or so many pieces.
const WAITING_BYTES: usize = 4 << 20;
const WAITING_PIECES: usize = 1 << 12;
/// The fewest tokens of a joint that say anything.
const FEWEST: usize = 16;

/// How documents are cut, in bytes.
#[derive(Clone, Copy)]
struct Sizes {
    /// From one cut to the next.
    piece: usize,
    /// What a piece sees beyond its cut, on either side.
    beyond: usize,
    /// The longest text without a cut.
    longest: usize,
}

const SIZES: Sizes = Sizes { piece: 1 << 20, beyond: 1 << 13, longest: 8 << 20 };

/// Takes documents and emits their tokens, each document followed by the end-of-document token, and after the token before
/// every document where the tokenizer has one.
pub struct Encoder<'a, E> {
    tokenizer: &'a Tokenizer,
    emit: E,
    sizes: Sizes,
    /// The part of the open document that is no piece yet, from the joint with the piece before on.
    open: Vec<u8>,
    /// Bytes of that joint, of them those before the cut, and bytes of the document before it.
    joint: usize,
    cut: usize,
    before: usize,
    waiting: Vec<Piece>,
    waiting_bytes: usize,
    /// The last piece and its tokens, until the next one agrees with it about their joint.
    last: Option<(Piece, Tokens)>,
    /// Tokens of bytes on their way.
    tokens: Vec<u32>,
    /// Where the tokens of what is encoded together are kept.
    kept: Option<&'a mut Pieces>,
}

/// A part of a document, with its joints: bytes at its beginning and its end that the pieces beside it have too, 0 where
/// the document begins or ends.
struct Piece {
    text: String,
    before: usize,
    after: usize,
}

/// A piece's own tokens, and whether they are those of the document at its beginning and at its end.
struct Tokens {
    own: Vec<u32>,
    sound: [bool; 2],
}

impl Piece {
    fn encode(&self, hf: &HuggingFace) -> Result<Tokens> {
        let mut own = hf.encode(&self.text)?;
        let before = hf.encode(&self.text[..self.before])?;
        let after = hf.encode(&self.text[self.text.len() - self.after..])?;
        let agrees = |bytes, joint: &[u32], shared| bytes == 0 || !hf.counts() && joint.len() >= FEWEST && shared;
        let sound = [
            agrees(self.before, &before, own.starts_with(&before[..before.len() - before.len() / 4])),
            agrees(self.after, &after, own.ends_with(&after[after.len() / 4..])),
        ];
        own.truncate(own.len().saturating_sub(after.len() - after.len() / 2));
        own.drain(..(before.len() / 2).min(own.len()));
        Ok(Tokens { own, sound })
    }

    /// Of all that decides the tokens of these pieces beside the tokenizer.
    fn digest(pieces: &[Piece]) -> Digest {
        let number = |n: usize| (n as u64).to_le_bytes();
        let heads: Vec<[[u8; 8]; 3]> =
            pieces.iter().map(|piece| [piece.text.len(), piece.before, piece.after].map(number)).collect();
        let parts = pieces.iter().zip(&heads).flat_map(|(piece, head)| [head.as_flattened(), piece.text.as_bytes()]);
        Digest::of_parts("l402/pieces/1", &parts.collect::<Vec<_>>())
    }

    /// This piece and the next one, without a cut between them.
    fn join(mut self, next: &Piece, longest: usize) -> Result<Piece> {
        let text = &next.text[next.before..];
        if self.text.len() + text.len() > longest {
            return Err(uncut(self.text.len() + text.len()));
        }
        self.text.push_str(text);
        self.after = next.after;
        Ok(self)
    }
}

impl Tokens {
    /// For each of these a byte of what is sound, the number of tokens (u32), and these (u32 each), little-endian.
    fn bytes(all: &[Tokens]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Tokens { own, sound } in all {
            bytes.push(u8::from(sound[0]) | u8::from(sound[1]) << 1);
            bytes.extend_from_slice(&(own.len() as u32).to_le_bytes());
            bytes.extend(own.iter().flat_map(|id| id.to_le_bytes()));
        }
        bytes
    }

    /// The tokens of so many pieces.
    fn parse(mut bytes: &[u8], pieces: usize) -> Result<Vec<Tokens>> {
        let mut next = || {
            let (sound, rest) = bytes.split_first().filter(|(sound, _)| **sound < 4)?;
            let (count, rest) = rest.split_first_chunk::<4>()?;
            let (own, rest) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(4)?)?;
            bytes = rest;
            let own = own.as_chunks::<4>().0.iter().map(|id| u32::from_le_bytes(*id)).collect();
            Some(Tokens { own, sound: [sound & 1 == 1, sound & 2 == 2] })
        };
        let all: Option<Vec<Tokens>> = (0..pieces).map(|_| next()).collect();
        all.filter(|_| bytes.is_empty())
            .ok_or_else(|| Error::data(format!("kept tokens: expected those of {pieces} pieces of text")))
    }
}

fn uncut(bytes: usize) -> Error {
    let found = format!("expected a place to cut a document's {bytes} bytes at, found tokens that all hang together");
    Error::data(format!("tokenizer: {found}")).hint("give it shorter documents, or take another tokenizer")
}

impl<'a, E: FnMut(&[u32]) -> Result<()>> Encoder<'a, E> {
    /// An encoder whose tokens go to `emit`.
    pub fn new(tokenizer: &'a Tokenizer, emit: E) -> Encoder<'a, E> {
        Encoder {
            tokenizer,
            emit,
            sizes: SIZES,
            open: Vec::new(),
            joint: 0,
            cut: 0,
            before: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            last: None,
            tokens: Vec::new(),
            kept: None,
        }
    }

    /// With tokens that are kept, as far as they are there; the others are added.
    pub fn keep(self, kept: Option<&'a mut Pieces>) -> Encoder<'a, E> {
        Encoder { kept, ..self }
    }

    /// Emits everything that waits; to be called after the last document, and at any time between two.
    pub fn flush(&mut self) -> Result<()> {
        let Tokenizer::HuggingFace(hf) = self.tokenizer else { return Ok(()) };
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let encoded = self.encode(hf, &waiting)?;
        for (piece, tokens) in waiting.into_iter().zip(encoded) {
            self.follow(hf, piece, tokens)?;
        }
        Ok(())
    }

    /// The tokens of pieces, which depend on nothing but these and the tokenizer.
    fn encode(&mut self, hf: &HuggingFace, waiting: &[Piece]) -> Result<Vec<Tokens>> {
        let encode = || waiting.par_iter().map(|piece| piece.encode(hf)).collect::<Result<Vec<_>>>();
        let Some(kept) = &mut self.kept else { return encode() };
        let of = Piece::digest(waiting).0;
        match kept.take(&of)? {
            Some(bytes) => Tokens::parse(&bytes, waiting.len()),
            None => {
                let encoded = encode()?;
                kept.keep(of, &Tokens::bytes(&encoded))?;
                Ok(encoded)
            }
        }
    }

    /// The next piece: what is before it can be emitted, or belongs to it.
    fn follow(&mut self, hf: &HuggingFace, mut piece: Piece, mut tokens: Tokens) -> Result<()> {
        if piece.before == 0
            && let Some(begin) = self.tokenizer.begin_of_document()
        {
            (self.emit)(&[begin])?;
        }
        if let Some((last, before)) = self.last.take() {
            if before.sound[1] && tokens.sound[0] {
                (self.emit)(&before.own)?;
            } else {
                piece = last.join(&piece, self.sizes.longest)?;
                tokens = piece.encode(hf)?;
                // What is before it has been emitted.
                if before.sound[0] && !tokens.sound[0] {
                    return Err(uncut(piece.text.len()));
                }
            }
        }
        if piece.after > 0 {
            self.last = Some((piece, tokens));
            return Ok(());
        }
        (self.emit)(&tokens.own)?;
        (self.emit)(&[self.tokenizer.end_of_document()])
    }

    /// Takes the first bytes of the open document as a piece, of which the next piece sees the last `after` too.
    fn piece(&mut self, bytes: usize, after: usize) -> Result<()> {
        let text = std::str::from_utf8(&self.open[..bytes])
            .map_err(|e| Error::data(format!("not UTF-8 at byte {} of the document", self.before + e.valid_up_to())))?;
        self.waiting.push(Piece { text: text.to_owned(), before: self.joint, after });
        self.waiting_bytes += bytes;
        self.open.drain(..bytes - after);
        self.before += bytes - after;
        self.joint = after;
        if self.waiting_bytes >= WAITING_BYTES || self.waiting.len() >= WAITING_PIECES {
            self.flush()?;
        }
        Ok(())
    }
}

/// The beginning of the character at byte `at`, none of which has more than 4.
fn boundary(text: &[u8], at: usize) -> usize {
    (at - 3..=at).rev().find(|at| text[*at] & 0xc0 != 0x80).unwrap_or(at)
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
        let Sizes { piece, beyond, .. } = self.sizes;
        for bytes in bytes.chunks(piece) {
            self.open.extend_from_slice(bytes);
            while self.open.len() > self.cut + piece + beyond {
                let cut = boundary(&self.open, self.cut + piece);
                let [begins, ends] = [cut - beyond, cut + beyond].map(|at| boundary(&self.open, at));
                self.cut = cut - begins;
                self.piece(ends, ends - begins)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Tokenizer::Bytes = self.tokenizer {
            return (self.emit)(&[self.tokenizer.end_of_document()]);
        }
        self.piece(self.open.len(), 0)?;
        (self.cut, self.before) = (0, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::kinds;
    use crate::data::tokenizer::tests::bpe;

    fn tokens(tokenizer: &Tokenizer, documents: &[&[u8]], step: usize) -> Result<Vec<u32>> {
        cut(tokenizer, documents, step, SIZES)
    }

    fn cut(tokenizer: &Tokenizer, documents: &[&[u8]], step: usize, sizes: Sizes) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        let mut encoder = Encoder::new(tokenizer, |t: &[u32]| {
            all.extend_from_slice(t);
            Ok(())
        });
        encoder.sizes = sizes;
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
    fn a_token_before_every_document_is_there_once_a_document() {
        let plain = Tokenizer::parse("t", &bpe(), None).unwrap();
        let begins = Tokenizer::parse("t", &bpe(), None).unwrap().begin_with("t", "the").unwrap();
        let (begin, end) = (begins.begin_of_document().unwrap(), begins.end_of_document());
        let long = "a worker sends an update\n".repeat(50_000);
        assert!(long.len() > SIZES.piece);
        let documents: [&[u8]; 4] = [b"a", b"", long.as_bytes(), b"b"];
        let expected: Vec<u32> = tokens(&plain, &documents, 4096)
            .unwrap()
            .split_inclusive(|token| *token == end)
            .flat_map(|document| std::iter::once(begin).chain(document.iter().copied()))
            .collect();
        assert_eq!(tokens(&begins, &documents, 4096).unwrap(), expected);
        assert!(plain.begin_with("t.json", "<s>").err().unwrap().to_string().contains("t.json"));
    }

    #[test]
    fn the_tokens_do_not_depend_on_how_a_long_document_is_read() {
        let bpe = Tokenizer::parse("t", &bpe(), None).unwrap();
        let lines = "the worker sends the update\n".repeat(90_000);
        let unbroken = "wörker—".repeat(150_000);
        for text in [lines, unbroken] {
            let text = text.as_bytes();
            assert!(text.len() > SIZES.piece);
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
        let error = tokens(&bpe, &[&vec![0x80; 2 * SIZES.piece]], 4096).unwrap_err();
        assert!(error.to_string().contains("byte 0"), "{error}");
    }

    /// Real text, and what stands in the way of cuts: long words, long blanks, letters of several parts, other scripts.
    fn document() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/text/tinyshakespeare.txt");
        let text = std::fs::read_to_string(path).unwrap();
        let words: Vec<&str> = text.split_whitespace().take(4000).collect();
        [
            &text[..30_000],
            &"\n".repeat(1500),
            &words[..2000].concat()[..3000],
            &" \t ".repeat(900),
            &text[60_000..80_000],
            &"ne\u{301}e \u{1f469}\u{200d}\u{1f680} \u{fb01}n \u{130}stanbul \u{4f60}\u{597d}\u{3002}".repeat(300),
            &"1234567890".repeat(300),
            &words.join("  "),
            &text[200_000..230_000],
        ]
        .concat()
    }

    #[test]
    fn the_pieces_of_a_document_give_the_tokens_of_the_whole() {
        let text = document();
        let sizes = Sizes { piece: 4096, beyond: 512, longest: 1 << 20 };
        for (name, json) in kinds::all() {
            let tokenizer = Tokenizer::parse(name, &json, Some("</s>")).unwrap();
            let Tokenizer::HuggingFace(hf) = &tokenizer else { panic!("a tokenizer.json is one") };
            let mut whole = hf.encode(&text).unwrap();
            whole.push(tokenizer.end_of_document());
            let pieces = cut(&tokenizer, &[text.as_bytes()], 1000, sizes).unwrap();
            let differs = pieces.iter().zip(&whole).position(|(a, b)| a != b);
            assert_eq!((differs, pieces.len()), (None, whole.len()), "{name}");
        }
    }

    #[test]
    fn tokens_that_are_kept_are_those_of_the_text_and_of_no_other() {
        let place = tempfile::tempdir().unwrap();
        let sizes = Sizes { piece: 4096, beyond: 512, longest: 1 << 20 };
        let text = document();
        let (one, other) = (text.as_bytes(), &text.as_bytes()[1..]);
        for (name, json) in kinds::all() {
            let tokenizer = Tokenizer::parse(name, &json, Some("</s>")).unwrap();
            let path = place.path().join(name);
            let run = |documents: &[&[u8]], force| -> Result<_> {
                let mut kept = Pieces::open(&path, &tokenizer.id(), force)?;
                let mut all = Vec::new();
                let emit = |t: &[u32]| {
                    all.extend_from_slice(t);
                    Ok(())
                };
                let mut encoder = Encoder::new(&tokenizer, emit).keep(Some(&mut kept));
                encoder.sizes = sizes;
                for document in documents {
                    encoder.text(document)?;
                    encoder.end()?;
                    encoder.flush()?;
                }
                drop(encoder);
                Ok((all, kept.counts()))
            };
            let plain = |documents: &[&[u8]]| cut(&tokenizer, documents, 1000, sizes).unwrap();
            assert_eq!(run(&[one], false).unwrap(), (plain(&[one]), (0, 1)), "{name}");
            assert_eq!(run(&[one, other], false).unwrap(), (plain(&[one, other]), (1, 1)), "{name}");
            assert_eq!(run(&[one, other], false).unwrap(), (plain(&[one, other]), (2, 0)), "{name}");
            assert_eq!(run(&[other, one], false).unwrap_err().kind(), crate::error::Kind::Exists, "{name}");
            assert_eq!(run(&[other, one], true).unwrap(), (plain(&[other, one]), (0, 2)), "{name}");
        }
    }

    #[test]
    fn kept_tokens_of_another_form_are_malformed() {
        let all =
            [Tokens { own: vec![7, 1 << 19], sound: [true, false] }, Tokens { own: Vec::new(), sound: [false, true] }];
        let bytes = Tokens::bytes(&all);
        let back = Tokens::parse(&bytes, 2).unwrap();
        assert_eq!(
            back.iter().map(|t| (&t.own[..], t.sound)).collect::<Vec<_>>(),
            [(&[7, 1 << 19][..], [true, false]), (&[], [false, true])]
        );
        for (bytes, pieces) in [
            (&bytes[..], 1),
            (&bytes, 3),
            (&bytes[1..], 2),
            (&bytes[..4], 1),
            (&[4, 0, 0, 0, 0], 1),
            (&[0, 255, 255, 255, 255], 1),
        ] {
            let error = Tokens::parse(bytes, pieces).err().unwrap();
            assert_eq!(error.to_string(), format!("kept tokens: expected those of {pieces} pieces of text"));
        }
    }

    #[test]
    fn a_document_that_no_piece_can_be_cut_from_is_refused() {
        let (_, json) = kinds::all().into_iter().find(|(name, _)| *name == "every seven characters").unwrap();
        let tokenizer = Tokenizer::parse("t", &json, Some("</s>")).unwrap();
        let sizes = Sizes { piece: 4096, beyond: 512, longest: 1 << 14 };
        let error = cut(&tokenizer, &[document().as_bytes()], 1000, sizes).unwrap_err();
        let says = "expected a place to cut a document's ";
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.to_string().ends_with(" bytes at, found tokens that all hang together"), "{error}");
        assert_eq!(error.advice(), Some("give it shorter documents, or take another tokenizer"));
    }
}
