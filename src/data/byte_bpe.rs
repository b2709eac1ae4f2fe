//! A tokenizer of one's own: byte-pair encoding over bytes, trained on the corpus that it will encode.
//!
//! As GPT-2 has it, with every digit by itself: single digits, then GPT-2's pattern of words, then bytes as letters. Token 0 is
//! `<|endoftext|>`, then come the 256 letters by their code points, then what the merges make.

use serde_json::{Value, json};
use tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

use super::guarded;
use super::merges::learn;
use super::words::Words;
use crate::error::{Error, Result};

/// The token that ends a document.
const END: &str = "<|endoftext|>";
/// Tokens before any is learnt: the end of a document, and a letter for every byte.
pub const FEWEST_TOKENS: u32 = 257;

/// The files of a tokenizer.
#[derive(Debug, PartialEq, Eq)]
pub struct Trained {
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`.
    pub config: String,
    /// Rare words that there was no room for.
    pub forgotten: u64,
}

/// How texts are cut into words.
pub fn word_cuts() -> PreTokenizerWrapper {
    Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()]).into()
}

/// The letters that stand for bytes, by their code points: GPT-2's.
fn letters() -> Vec<String> {
    let mut letters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    letters.sort_unstable();
    letters.into_iter().map(String::from).collect()
}

/// Trains a tokenizer of exactly `size` tokens on the words of a corpus, which [`word_cuts`] has cut.
pub fn train_tokenizer(words: Words<'_>, size: u32) -> Result<Trained> {
    let (words, forgotten) = words.finish()?;
    let first = std::iter::once(END.to_owned()).chain(letters()).collect();
    let learnt = learn(words.iter().map(|(word, n)| (word.as_str(), *n)), first, size as usize);
    if learnt.tokens.len() < size as usize {
        let found = learnt.tokens.len();
        return Err(Error::data(format!("the corpus: expected {size} tokens of a tokenizer, found words for {found}"))
            .hint("ask for fewer tokens, or give it more text"));
    }
    let merges: Vec<[&String; 2]> =
        learnt.merges.iter().map(|(a, b)| [&learnt.tokens[*a as usize], &learnt.tokens[*b as usize]]).collect();
    let vocab: serde_json::Map<String, Value> =
        learnt.tokens.iter().cloned().zip((0..).map(|id: u32| id.into())).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "pre_tokenizer": word_cuts(), "decoder": ByteLevel::new(false, true, true),
        "added_tokens": [{
            "id": 0, "content": END, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        }],
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    // The crate that reads it writes it, in the form that others know: tokens in the order of their ids.
    let written = guarded("the trained tokenizer", || {
        let read = tokenizers::Tokenizer::from_bytes(json.to_string());
        read.and_then(|read| read.to_string(true)).map_err(|e| Error::bug(format!("the trained tokenizer: {e}")))
    })?;
    let config = json!({
        "add_bos_token": false, "clean_up_tokenization_spaces": false, "eos_token": END,
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    let config = serde_json::to_string_pretty(&config).expect("strings and booleans can be written");
    Ok(Trained { tokenizer: written + "\n", config: config + "\n", forgotten })
}

#[cfg(test)]
mod tests {
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::{AddedToken, TokenizerImpl};

    use super::*;
    use crate::artifact::Digest;
    use crate::data::{Documents, Tokenizer};
    use crate::error::Kind;

    const TEXT: &str = include_str!("../../testdata/text/tinyshakespeare.txt");

    fn trained(text: &str, size: u32, step: usize, threads: usize) -> Result<Trained> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let cuts = word_cuts();
            let mut words = Words::new(&cuts);
            text.as_bytes().chunks(step).try_for_each(|bytes| words.text(bytes))?;
            words.end()?;
            train_tokenizer(words, size)
        })
    }

    #[test]
    fn the_same_corpus_makes_the_same_bytes_however_it_is_read() {
        let one = trained(TEXT, 1000, usize::MAX, 1).unwrap();
        assert_eq!(trained(TEXT, 1000, 12_345, 2).unwrap(), one);
        // Those bytes, on every machine. Another digest here is another tokenizer for every corpus: say so in the changelog.
        let digest = Digest::of(one.tokenizer.as_bytes()).to_string();
        assert_eq!(digest, "64b00cceea04e2f75b2f86f4a6657c9bd42f5f1e9940579307f394e06949ae27");
    }

    #[test]
    fn the_vocabulary_is_as_large_as_was_asked_and_text_comes_back() {
        for size in [FEWEST_TOKENS, 300, 2000] {
            let trained = trained(&TEXT[..200_000], size, 4096, 1).unwrap();
            let read = tokenizers::Tokenizer::from_bytes(&trained.tokenizer).unwrap();
            assert_eq!(read.get_vocab_size(true), size as usize);
            assert_eq!(read.token_to_id(END), Some(0));
            let tokenizer = Tokenizer::parse("t", trained.tokenizer.as_bytes(), None).unwrap();
            assert_eq!((tokenizer.vocab_size(), tokenizer.end_of_document()), (size, 0));
            let text = "naïve \u{0}—你好\r\n\t 3.14 <|endoftext|> e\u{301} \u{1f469}\u{200d}\u{1f680}";
            let ids = read.encode_fast(text, false).unwrap();
            assert_eq!(read.decode(ids.get_ids(), false).unwrap(), text);
        }
    }

    #[test]
    fn a_corpus_of_too_few_words_is_refused_with_what_it_is_good_for() {
        let error = trained("banana banana", 1000, 99, 1).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        // "an", "ban", "anan"... as long as a pair occurs twice.
        let found: u32 = error.to_string().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(error.to_string().contains("expected 1000 tokens"), "{error}");
        assert!((FEWEST_TOKENS + 2..FEWEST_TOKENS + 6).contains(&found), "{error}");
        assert!(trained("banana banana", found, 99, 1).is_ok());
    }

    #[test]
    fn the_merges_are_those_of_the_crate_s_own_trainer() {
        // Blocks are cut after newlines, and so is the text here; there it is one.
        let text = &TEXT[..60_000];
        let alphabet = ByteLevel::alphabet();
        let mut trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(1500)
            .min_frequency(2)
            .initial_alphabet(alphabet.into_iter().collect())
            .special_tokens(vec![AddedToken::from(END, true)])
            .build();
        let mut model = TokenizerImpl::<
            BPE,
            tokenizers::NormalizerWrapper,
            PreTokenizerWrapper,
            tokenizers::PostProcessorWrapper,
            tokenizers::DecoderWrapper,
        >::new(BPE::default());
        model.with_pre_tokenizer(Some(word_cuts()));
        model.train(&mut trainer, [text].into_iter()).unwrap();
        let theirs = model.get_model().get_vocab();
        let ours = trained(text, 1500, usize::MAX, 1).unwrap();
        let ours = tokenizers::Tokenizer::from_bytes(&ours.tokenizer).unwrap().get_vocab(false);
        assert_eq!(ours.len(), 1500);
        for (token, id) in ours {
            assert_eq!(theirs.get(&token), Some(&id), "{token}");
        }
    }
}
