//! From text to tokens with the special ones among them, and which of them are trained.

use std::ops::Range;

use crate::data::{Tokenizer, guarded, tokenizer};
use crate::error::{Error, Result};

/// A tokenizer that takes text which spells a special token for that token, as transformers does with a rendered template, and
/// adds none of its own.
pub enum ChatTokenizer {
    /// The values of bytes: it has no special tokens that text could spell.
    Bytes,
    /// A Hugging Face tokenizer.
    HuggingFace(Box<tokenizers::Tokenizer>),
}

/// Tokens, and 1 for each that is trained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// As many marks.
    pub mask: Vec<u8>,
}

impl ChatTokenizer {
    /// The tokenizer of a `tokenizer.json`; bytes without one.
    pub fn new(name: &str, json: Option<&[u8]>) -> Result<ChatTokenizer> {
        let Some(json) = json else { return Ok(ChatTokenizer::Bytes) };
        Ok(ChatTokenizer::HuggingFace(Box::new(tokenizer::read(name, json)?)))
    }

    /// The id of a token, as it is spelled.
    pub fn id(&self, token: &str) -> Option<u32> {
        match self {
            ChatTokenizer::Bytes => None,
            ChatTokenizer::HuggingFace(inner) => inner.token_to_id(token),
        }
    }

    /// The tokens of a text; those that overlap a span (in bytes, ascending) are trained. Offsets are those of letters, as
    /// transformers counts: every token of a letter that several make up has all of it.
    pub fn encode(&self, text: &str, spans: &[Range<usize>]) -> Result<Marked> {
        let letters = |at: usize| text[..at].chars().count();
        let mut spans = spans.iter().map(|span| letters(span.start)..letters(span.end)).peekable();
        let mut mark = |start: usize, end: usize| {
            while spans.next_if(|span| start >= span.end).is_some() {}
            spans.peek().is_some_and(|span| end > span.start).into()
        };
        match self {
            ChatTokenizer::Bytes => {
                let mut marked = Marked::default();
                for (letter, c) in text.chars().enumerate() {
                    let mark = mark(letter, letter + 1);
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        marked.tokens.push(byte.into());
                        marked.mask.push(mark);
                    }
                }
                Ok(marked)
            }
            ChatTokenizer::HuggingFace(inner) => guarded("tokenizer", || {
                let encoding = inner
                    .encode_char_offsets(text, false)
                    .map_err(|e| Error::data(format!("tokenizer: the text cannot be encoded: {e}")))?;
                let mask = encoding.get_offsets().iter().map(|(start, end)| mark(*start, *end)).collect();
                Ok(Marked { tokens: encoding.get_ids().to_vec(), mask })
            }),
        }
    }

    /// A given text and the text after it, which is trained, with the token that ends it.
    pub fn encode_pair(&self, prompt: &str, completion: &str, end: u32) -> Result<Marked> {
        let text = format!("{prompt}{completion}");
        let mut marked = self.encode(&text, std::slice::from_ref(&(prompt.len()..text.len())))?;
        marked.tokens.push(end);
        marked.mask.push(1);
        Ok(marked)
    }
}

/// The token that ends a text, and the one that fills a sequence: the model's own `eos_token` and `pad_token` where it names some.
impl ChatTokenizer {
    /// The id of the special token of that name, which says this; where it says nothing, of the one that ends a document. Bytes
    /// have no others.
    pub fn special(&self, name: &str, text: Option<&str>, tokenizer: &Tokenizer) -> Result<u32> {
        match (text, self) {
            (None, _) | (_, ChatTokenizer::Bytes) => Ok(tokenizer.end_of_document()),
            (Some(text), _) => self.id(text).ok_or_else(|| {
                Error::data(format!("{name}: expected a token of the tokenizer, found {text:?}, which is none"))
            }),
        }
    }
}
