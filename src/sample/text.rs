//! Tokens become text as they come: nothing is said of a character that is not whole.

use crate::data::PromptTokenizer;
use crate::error::Result;

/// What stands for bytes that are no character, or not yet one.
const REPLACEMENT: char = '\u{fffd}';
/// Tokens of the prompt that the first ones are read after: a tokenizer may write a word otherwise at the beginning of a text.
const CONTEXT: usize = 8;

/// A text in the making.
pub struct Detokeniser<'a> {
    tokenizer: &'a PromptTokenizer,
    /// From the last piece that was given out on.
    tokens: Vec<u32>,
    /// How many of them were given out.
    given: usize,
}

impl<'a> Detokeniser<'a> {
    /// A text that goes on after this prompt.
    pub fn after(tokenizer: &'a PromptTokenizer, prompt: &[u32]) -> Detokeniser<'a> {
        // Bytes need none, and a prompt of them may end within a character.
        let context = if matches!(tokenizer, PromptTokenizer::Bytes) { 0 } else { CONTEXT };
        let tokens = prompt[prompt.len().saturating_sub(context)..].to_vec();
        Detokeniser { tokenizer, given: tokens.len(), tokens }
    }

    /// Takes a token; gives the text that it completes, which is none while a character may go on.
    pub fn push(&mut self, token: u32) -> Result<String> {
        self.tokens.push(token);
        let text = self.pending()?;
        if text.is_empty() || text.ends_with(REPLACEMENT) {
            return Ok(String::new());
        }
        self.tokens.drain(..self.given);
        self.given = self.tokens.len();
        Ok(text)
    }

    /// The rest, as it is.
    pub fn finish(self) -> Result<String> {
        self.pending()
    }

    /// What the tokens that were not given out add to those before them.
    fn pending(&self) -> Result<String> {
        let before = self.tokenizer.decode(&self.tokens[..self.given])?;
        let text = self.tokenizer.decode(&self.tokens)?;
        Ok(text.get(before.len()..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::bpe;

    /// Pieces, the last of which is the rest.
    fn pieces(tokenizer: &PromptTokenizer, prompt: &[u32], tokens: &[u32]) -> Vec<String> {
        let mut text = Detokeniser::after(tokenizer, prompt);
        let mut pieces: Vec<String> = tokens.iter().map(|token| text.push(*token).unwrap()).collect();
        pieces.push(text.finish().unwrap());
        pieces
    }

    #[test]
    fn a_character_over_several_tokens_comes_whole() {
        let text = "naïve — 你好 🎉!";
        for tokenizer in [PromptTokenizer::Bytes, PromptTokenizer::parse("t", &bpe()).unwrap()] {
            let tokens = tokenizer.encode(text.as_bytes(), false).unwrap();
            assert!(tokens.len() > text.chars().count());
            let pieces = pieces(&tokenizer, &[], &tokens);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| !piece.contains(REPLACEMENT)), "{pieces:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_character_are_replaced_when_that_is_certain() {
        let tokens = [0xe4, 0xbd, 0xff, 0x61, 256, 0xe4, 0xbd];
        let expected = ["", "", "", "\u{fffd}\u{fffd}a", "", "", "", "\u{fffd}"];
        assert_eq!(pieces(&PromptTokenizer::Bytes, &[], &tokens), expected);
        assert_eq!(pieces(&PromptTokenizer::Bytes, &[0xc3], &[0xa9, 0x21]), ["", "\u{fffd}!", ""]);
    }

    #[test]
    fn the_space_of_a_first_word_is_kept_after_a_prompt() {
        let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
            "post_processor": null, "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
            "split": true}, "model": {"type": "WordLevel", "vocab": {"▁one": 0, "▁two": 1, "?": 2}, "unk_token": "?"}}"#;
        let tokenizer = PromptTokenizer::parse("t", json.as_bytes()).unwrap();
        assert_eq!(pieces(&tokenizer, &[0], &[1, 0]), [" two", " one", ""]);
        assert_eq!(pieces(&tokenizer, &[], &[1, 0]), ["two", " one", ""]);
    }

    #[test]
    fn special_tokens_say_nothing() {
        let tokenizer = PromptTokenizer::parse("t", &bpe()).unwrap();
        let end = tokenizer.end_of_document().unwrap();
        let [the] = tokenizer.encode(b"the", false).unwrap()[..] else { panic!("a merge") };
        assert_eq!(pieces(&tokenizer, &[the], &[end, the, end]), ["", "the", "", ""]);
    }
}
