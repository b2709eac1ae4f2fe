//! Tokenizers: bytes as they are, or a Hugging Face `tokenizer.json`.

use tokenizers::{ModelWrapper, PreTokenizerWrapper};

use super::{MAX_VOCAB, guarded, outline};
use crate::artifact::Digest;
use crate::error::{Error, Result, plainly};

/// Tokens that end a document, the first that a tokenizer has is taken.
const END_OF_DOCUMENT: [&str; 5] =
    ["<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>"];

/// Reads a `tokenizer.json` that cuts and fills nothing, and whose tokens are the same every time.
pub(super) fn read(name: &str, json: &[u8]) -> Result<tokenizers::Tokenizer> {
    outline::check(name, json)?;
    let inner = guarded(name, || {
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|e| Error::data(format!("{name}: not a tokenizer.json: {}", plainly(e))))?;
        inner.with_truncation(None).map_err(|e| Error::data(format!("{name}: {e}")))?;
        inner.with_padding(None);
        Ok(inner)
    })?;
    if let ModelWrapper::BPE(bpe) = inner.get_model()
        && bpe.dropout.is_some_and(|p| p != 0.0)
    {
        return Err(Error::data(format!("{name}: model.dropout: expected none, or tokens would be random")));
    }
    Ok(inner)
}

/// One more than the largest token id, added tokens included.
pub(super) fn vocab_size(name: &str, inner: &tokenizers::Tokenizer) -> Result<u32> {
    let largest = inner.get_vocab(true).into_values().max();
    largest.and_then(|id| id.checked_add(1)).filter(|n| *n <= MAX_VOCAB).ok_or_else(|| {
        Error::data(format!(
            "{name}: expected token ids from 0 to below {MAX_VOCAB}, found {}",
            largest.map_or("none".into(), |id| format!("up to {id}"))
        ))
    })
}

/// The token that ends a document, where the vocabulary has one of the known names.
pub(super) fn end_of_document(inner: &tokenizers::Tokenizer) -> Option<u32> {
    END_OF_DOCUMENT.iter().find_map(|token| inner.token_to_id(token))
}

/// From text to token ids.
pub enum Tokenizer {
    /// The values of bytes, and 256 for the end of a document.
    Bytes,
    /// A Hugging Face tokenizer.
    HuggingFace(Box<HuggingFace>),
}

/// A Hugging Face tokenizer that adds nothing of its own: no special tokens, no truncation, no padding.
pub struct HuggingFace {
    inner: tokenizers::Tokenizer,
    digest: Digest,
    vocab_size: u32,
    begin_of_document: Option<u32>,
    end_of_document: u32,
}

impl Tokenizer {
    /// Parses a `tokenizer.json`. Documents end with the token `eod`, or with the first of `<|endoftext|>`, `</s>`,
    /// `<|end_of_text|>`, `<eos>` and DeepSeek's `end of sentence` that the vocabulary has.
    pub fn parse(name: &str, json: &[u8], eod: Option<&str>) -> Result<Tokenizer> {
        let mut inner = read(name, json)?;
        // Text that spells a special token is text: a document cannot end another one.
        inner.set_encode_special_tokens(true);
        let vocab_size = vocab_size(name, &inner)?;
        let end_of_document = match eod {
            Some(token) => inner
                .token_to_id(token)
                .ok_or_else(|| Error::data(format!("{name}: the vocabulary has no token {token:?}")))?,
            None => end_of_document(&inner).ok_or_else(|| {
                Error::data(format!("{name}: none of {} is in the vocabulary", END_OF_DOCUMENT.join(", ")))
                    .hint("name the token that ends a document with --eod")
            })?,
        };
        Ok(Tokenizer::HuggingFace(Box::new(HuggingFace {
            inner,
            digest: Digest::of(json),
            vocab_size,
            begin_of_document: None,
            end_of_document,
        })))
    }

    /// `bytes`, or the BLAKE3 digest of the `tokenizer.json`: what recipes and shards say.
    pub fn id(&self) -> String {
        match self {
            Tokenizer::Bytes => "bytes".to_owned(),
            Tokenizer::HuggingFace(hf) => hf.digest.to_string(),
        }
    }

    /// One more than the largest token id, added tokens included.
    pub fn vocab_size(&self) -> u32 {
        match self {
            Tokenizer::Bytes => 257,
            Tokenizer::HuggingFace(hf) => hf.vocab_size,
        }
    }

    /// Bytes of text that tokens stand for, special ones left out: as the tokenizer's decoder writes them.
    pub fn text_bytes(&self, tokens: &[u32]) -> Result<u64> {
        match self {
            Tokenizer::Bytes => Ok(tokens.iter().filter(|token| **token < 256).count() as u64),
            Tokenizer::HuggingFace(hf) => guarded("tokenizer", || {
                let text = hf.inner.decode(tokens, true).map_err(|e| Error::data(format!("tokenizer: {e}")))?;
                Ok(text.len() as u64)
            }),
        }
    }

    /// The token before every document, if there is one.
    pub fn begin_of_document(&self) -> Option<u32> {
        match self {
            Tokenizer::Bytes => None,
            Tokenizer::HuggingFace(hf) => hf.begin_of_document,
        }
    }

    /// The same tokenizer, with this token of its vocabulary before every document.
    pub fn begin_with(mut self, name: &str, token: &str) -> Result<Tokenizer> {
        let missing = || Error::data(format!("{name}: the vocabulary has no token {token:?}"));
        let Tokenizer::HuggingFace(hf) = &mut self else { return Err(missing()) };
        hf.begin_of_document = Some(hf.inner.token_to_id(token).ok_or_else(missing)?);
        Ok(self)
    }

    /// The token after every document.
    pub fn end_of_document(&self) -> u32 {
        match self {
            Tokenizer::Bytes => 256,
            Tokenizer::HuggingFace(hf) => hf.end_of_document,
        }
    }
}

/// Whether a pre-tokenizer cuts by the number of characters since the beginning.
fn counts(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::FixedLength(_) => true,
        PreTokenizerWrapper::Sequence(all) => all.as_ref().iter().any(counts),
        _ => false,
    }
}

impl HuggingFace {
    /// Whether tokens depend on all of the text before them, and not on their surroundings alone.
    pub fn counts(&self) -> bool {
        self.inner.get_pre_tokenizer().is_some_and(counts)
    }

    /// The tokens of a piece of text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let begin: String = text.chars().take(40).collect();
        guarded(&format!("tokenizer: the text {begin:?}"), || {
            let encoding = self.inner.encode_fast(text, false);
            encoding
                .map(|e| e.get_ids().to_vec())
                .map_err(|e| Error::data(format!("tokenizer: the text {begin:?}: {e}")))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Kind;

    /// A `tokenizer.json` as GPT-2 has it: BPE over bytes, here with a handful of merges, the separator after all.
    pub fn bpe() -> Vec<u8> {
        let printable = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
        let others = (0..256).filter(|b| !printable(b)).count() as u32;
        let alphabet = (0..256).filter(printable).chain(256..256 + others);
        let merges = ["t h", "th e", "\u{120} the", "e r", "o r", "k er", "d a", "da t", "dat e"];
        let mut vocab: Vec<String> = alphabet.map(|c| char::from_u32(c).unwrap().to_string()).collect();
        vocab.extend(merges.iter().map(|m| m.replace(' ', "")));
        let separator = vocab.len();
        let vocab: serde_json::Map<_, _> =
            vocab.into_iter().enumerate().map(|(id, token)| (token, id.into())).collect();
        let byte_level = serde_json::json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        });
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "post_processor": null, "pre_tokenizer": byte_level, "decoder": byte_level,
            "added_tokens": [{
                "id": separator, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            }],
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
            },
        });
        json.to_string().into_bytes()
    }

    /// A `tokenizer.json` that knows the letter a, and a separator of this id.
    pub fn words(dropout: &str, eos: &str, id: u32) -> String {
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":null,"post_processor":null,"decoder":null,
            "model":{{"type":"BPE","dropout":{dropout},"unk_token":null,"continuing_subword_prefix":null,
            "end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
            "vocab":{{"a":0,"{eos}":{id}}},"merges":[]}}}}"#
        )
    }

    #[test]
    fn a_tokenizer_json_round_trips() {
        let Tokenizer::HuggingFace(hf) = Tokenizer::parse("t", &bpe(), None).unwrap() else {
            panic!("a tokenizer.json is one");
        };
        let text = "the worker sends the update, the judge reads it: naïve — 你好\n";
        let tokens = hf.encode(text).unwrap();
        assert!(tokens.len() < text.len());
        assert!(tokens.iter().all(|t| *t < hf.vocab_size));
        assert_eq!(hf.inner.decode(&tokens, false).unwrap(), text);
    }

    #[test]
    fn text_that_spells_the_end_of_a_document_does_not_end_it() {
        let Tokenizer::HuggingFace(hf) = Tokenizer::parse("t", &bpe(), None).unwrap() else {
            panic!("a tokenizer.json is one");
        };
        let tokens = hf.encode("a <|endoftext|> b").unwrap();
        assert!(!tokens.contains(&hf.end_of_document));
    }

    #[test]
    fn hostile_tokenizers_are_malformed_data() {
        let cases = [
            ("{}".to_owned(), "not a tokenizer.json"),
            ("".to_owned(), "not a tokenizer.json"),
            ("[".repeat(100_000), "not a tokenizer.json"),
            (words("0.1", "</s>", 1), "model.dropout"),
            (words("null", "</s>", u32::MAX), "below 1048576"),
            (words("null", "</s>", 1 << 20), "below 1048576"),
            (words("null", "end", 1), "is in the vocabulary"),
        ];
        for (json, part) in cases {
            let error = Tokenizer::parse("t.json", json.as_bytes(), None).err().unwrap();
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains(part), "{error}");
        }
        let json = words("null", "end", 7);
        let named = Tokenizer::parse("t.json", json.as_bytes(), Some("end")).unwrap();
        assert_eq!((named.end_of_document(), named.vocab_size()), (7, 8));
    }
}
