//! A tokenizer as who speaks with a model needs it: prompts become tokens, and tokens become text.

use super::guarded;
use super::tokenizer::{end_of_document, read, vocab_size};
use crate::error::{Error, Result};

/// The token that ends a document of bytes.
const END_OF_BYTES: u32 = 256;

/// From a prompt to tokens, and back to text. Other than [`super::Tokenizer`], which makes training data of text that may say
/// anything, it takes what spells a special token for that token, as transformers does.
pub enum PromptTokenizer {
    /// The values of bytes, and 256 for the end of a document.
    Bytes,
    /// A Hugging Face tokenizer.
    HuggingFace {
        /// The tokenizer.
        inner: Box<tokenizers::Tokenizer>,
        /// One more than its largest token id, those of added tokens left out.
        vocab_size: u32,
    },
}

impl PromptTokenizer {
    /// Parses a `tokenizer.json`.
    pub fn parse(name: &str, json: &[u8]) -> Result<PromptTokenizer> {
        let inner = read(name, json)?;
        vocab_size(name, &inner)?;
        let vocab_size = inner.get_vocab(false).into_values().max().map_or(0, |id| id + 1);
        Ok(PromptTokenizer::HuggingFace { inner: Box::new(inner), vocab_size })
    }

    /// One more than the largest token id. Tokens that were added to a vocabulary do not count: some models have no row for one
    /// that they never see.
    pub fn vocab_size(&self) -> u32 {
        match self {
            PromptTokenizer::Bytes => END_OF_BYTES + 1,
            PromptTokenizer::HuggingFace { vocab_size, .. } => *vocab_size,
        }
    }

    /// The token after every document, where one of the usual names is in the vocabulary.
    pub fn end_of_document(&self) -> Option<u32> {
        match self {
            PromptTokenizer::Bytes => Some(END_OF_BYTES),
            PromptTokenizer::HuggingFace { inner, .. } => end_of_document(inner),
        }
    }

    /// The tokens of a prompt. `complete` adds what the tokenizer's own post-processor adds, such as a token that begins a text;
    /// without it they are those of the text as it stands. Only the tokens of bytes take what is not UTF-8.
    pub fn encode(&self, prompt: &[u8], complete: bool) -> Result<Vec<u32>> {
        let PromptTokenizer::HuggingFace { inner, .. } = self else {
            // Nothing, as the beginning of a text: the end of the document before it.
            let begin = (complete && prompt.is_empty()).then_some(END_OF_BYTES);
            return Ok(begin.into_iter().chain(prompt.iter().map(|byte| u32::from(*byte))).collect());
        };
        let text = std::str::from_utf8(prompt)
            .map_err(|e| Error::data(format!("prompt: expected UTF-8, found another byte at {}", e.valid_up_to())))?;
        guarded("tokenizer: the prompt", || {
            let encoding = inner.encode_fast(text, complete);
            encoding.map(|e| e.get_ids().to_vec()).map_err(|e| Error::data(format!("tokenizer: the prompt: {e}")))
        })
    }

    /// The text that tokens stand for, special ones left out. Bytes that are none of UTF-8 stand as U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        match self {
            PromptTokenizer::Bytes => {
                let bytes: Vec<u8> = tokens.iter().filter_map(|token| u8::try_from(*token).ok()).collect();
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            PromptTokenizer::HuggingFace { inner, .. } => guarded("tokenizer: what it says", || {
                inner.decode(tokens, true).map_err(|e| Error::data(format!("tokenizer: {e}")))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{bpe, words};
    use crate::error::Kind;

    #[test]
    fn bytes_are_their_own_tokens_and_come_back() {
        let tokenizer = PromptTokenizer::Bytes;
        assert_eq!(tokenizer.encode("é".as_bytes(), true).unwrap(), [0xc3, 0xa9]);
        assert_eq!(tokenizer.encode(&[0xff], true).unwrap(), [0xff]);
        assert_eq!(tokenizer.encode(b"", true).unwrap(), [256]);
        assert!(tokenizer.encode(b"", false).unwrap().is_empty());
        // Tokens past the bytes stand for none.
        assert_eq!(tokenizer.decode(&[104, 256, 105, 300, 0xff]).unwrap(), "hi\u{fffd}");
        assert_eq!((tokenizer.vocab_size(), tokenizer.end_of_document()), (257, Some(256)));
    }

    #[test]
    fn a_prompt_may_spell_special_tokens_and_the_text_leaves_them_out() {
        let tokenizer = PromptTokenizer::parse("t", &bpe()).unwrap();
        let end = tokenizer.end_of_document().unwrap();
        let tokens = tokenizer.encode("the end<|endoftext|>naïve".as_bytes(), true).unwrap();
        assert!(tokens.contains(&end));
        assert_eq!(tokenizer.decode(&tokens).unwrap(), "the endnaïve");
        let error = tokenizer.encode(b"a\xff", true).unwrap_err();
        assert_eq!(error.to_string(), "prompt: expected UTF-8, found another byte at 1");
    }

    #[test]
    fn what_the_post_processor_adds_is_added_to_a_prompt_and_not_to_a_text_that_has_it_already() {
        let mut json: serde_json::Value = serde_json::from_slice(&bpe()).unwrap();
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [265], "tokens": ["<|endoftext|>"]}},
        });
        let tokenizer = PromptTokenizer::parse("t", json.to_string().as_bytes()).unwrap();
        assert_eq!(tokenizer.end_of_document(), Some(265));
        let plain = tokenizer.encode(b"the", false).unwrap();
        assert_eq!(tokenizer.encode(b"the", true).unwrap(), [&[265][..], &plain].concat());
    }

    #[test]
    fn a_tokenizer_needs_no_known_end_but_ids_that_can_be() {
        let named = PromptTokenizer::parse("t", words("null", "end", 7).as_bytes()).unwrap();
        assert_eq!((named.end_of_document(), named.vocab_size()), (None, 8));
        for (json, part) in [
            (words("0.1", "</s>", 1), "model.dropout"),
            (words("null", "</s>", u32::MAX), "below 1048576"),
            ("{}".into(), "not a tokenizer.json"),
        ] {
            let error = PromptTokenizer::parse("t.json", json.as_bytes()).err().unwrap();
            assert!(error.kind() == Kind::Data && error.to_string().contains(part), "{error}");
        }
    }
}
