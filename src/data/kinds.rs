//! A tokenizer of each kind that there is, for tests, small and made from the text that they read.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

/// Words of the committed text, each with its count.
fn words() -> BTreeMap<String, usize> {
    let text = include_str!("../../testdata/text/tinyshakespeare.txt");
    let mut words = BTreeMap::new();
    for word in text[..80_000].split_whitespace() {
        *words.entry(word.to_owned()).or_insert(0) += 1;
    }
    words
}

/// The most frequent pairs of parts, one after the other (Sennrich et al., 2016); every word begins with `space`.
fn merges(space: char, count: usize) -> Vec<(String, String)> {
    let apart = |word: &str| std::iter::once(space).chain(word.chars()).map(String::from).collect();
    let mut words: Vec<(Vec<String>, usize)> = words().iter().map(|(word, n)| (apart(word), *n)).collect();
    let mut merges = Vec::new();
    while merges.len() < count {
        let mut pairs: HashMap<(&str, &str), usize> = HashMap::new();
        for (parts, n) in &words {
            for pair in parts.windows(2) {
                *pairs.entry((&pair[0], &pair[1])).or_insert(0) += n;
            }
        }
        let (best, _) = pairs.into_iter().max_by_key(|(pair, n)| (*n, *pair)).expect("there are words left");
        let (left, right) = (best.0.to_owned(), best.1.to_owned());
        for (parts, _) in &mut words {
            let mut i = 0;
            while i + 1 < parts.len() {
                if parts[i] == left && parts[i + 1] == right {
                    parts[i] += &right;
                    parts.remove(i + 1);
                }
                i += 1;
            }
        }
        merges.push((left, right));
    }
    merges
}

fn vocabulary(tokens: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for token in tokens {
        let id = all.len();
        all.entry(token).or_insert(id);
    }
    all
}

fn ascii() -> impl Iterator<Item = String> {
    ('!'..='~').map(String::from)
}

/// GPT-2's letters for bytes.
fn byte_letters() -> impl Iterator<Item = String> {
    let printable = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    (0..256).filter(printable).chain(256..256 + 68).filter_map(char::from_u32).map(String::from)
}

fn bpe(first: Vec<String>, space: char, unknown: Option<&str>) -> Value {
    let merges = merges(space, 250);
    let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
    let vocab = vocabulary(first.into_iter().chain(merged));
    let merges: Vec<String> = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
    json!({
        "type": "BPE", "dropout": null, "unk_token": unknown, "fuse_unk": unknown.is_some(),
        "continuing_subword_prefix": null, "end_of_word_suffix": null, "byte_fallback": unknown.is_some(),
        "ignore_merges": false, "vocab": vocab, "merges": merges,
    })
}

fn byte_bpe() -> Value {
    bpe(std::iter::once("</s>".into()).chain(byte_letters()).collect(), '\u{120}', None)
}

fn sentencepiece_bpe() -> Value {
    let bytes = (0..256).map(|b| format!("<0x{b:02X}>"));
    let first = ["<unk>", "<s>", "</s>", "\u{2581}", "\n"].map(String::from);
    bpe(first.into_iter().chain(bytes).chain(ascii()).collect(), '\u{2581}', Some("<unk>"))
}

fn unigram() -> Value {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (word, n) in words() {
        let letters: Vec<char> = std::iter::once('\u{2581}').chain(word.chars()).collect();
        for length in 2..=6 {
            for part in letters.windows(length) {
                *counts.entry(part.iter().collect()).or_insert(0) += n;
            }
        }
    }
    let mut parts: Vec<(String, usize)> = counts.into_iter().collect();
    parts.sort_by_key(|(part, n)| (usize::MAX - n * part.chars().count(), part.clone()));
    let single = ["\u{2581}".to_owned(), "\n".to_owned()].into_iter().chain(ascii()).map(|letter| (letter, -8.0));
    let several = parts.into_iter().take(700).map(|(part, n)| (part, libm::log(n as f64 / 80_000.0)));
    let first = [("<unk>".to_owned(), 0.0), ("</s>".to_owned(), 0.0)];
    let vocab: Vec<(String, f64)> = first.into_iter().chain(single).chain(several).collect();
    json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false})
}

fn word_piece() -> Value {
    let words = words();
    let lower = words.keys().map(|word| word.to_lowercase());
    let parts = lower.flat_map(|word| {
        let letters: Vec<char> = word.chars().collect();
        (1..letters.len().min(5)).map(|n| letters[..n].iter().collect::<String>()).collect::<Vec<_>>()
    });
    let parts: Vec<String> = ascii().chain(parts).collect();
    let inner: Vec<String> = parts.iter().map(|part| format!("##{part}")).collect();
    let vocab = vocabulary(["[UNK]".to_owned(), "</s>".to_owned()].into_iter().chain(parts).chain(inner));
    json!({
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocab,
    })
}

fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": split})
}

fn byte_level(space: bool, regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": regex})
}

fn sequence(kind: &str, of: &[Value]) -> Value {
    json!({"type": "Sequence", kind: of})
}

/// Every kind, by name.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let words = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\
                 \\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    let split = json!({"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": false});
    let prepend = json!({"type": "Prepend", "prepend": "\u{2581}"});
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
    let bert = json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
        "lowercase": true,
    });
    let strip = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    let tidy = sequence("normalizers", &[json!({"type": "NFKC"}), json!({"type": "Lowercase"}), strip]);
    let digits = json!({"type": "Digits", "individual_digits": false});
    let punctuation = json!({"type": "Punctuation", "behavior": "Isolated"});
    let pieces = sequence("pretokenizers", &[json!({"type": "Whitespace"}), digits, punctuation]);
    let none = Value::Null;
    let kinds = [
        ("bytes as GPT-2 has them", none.clone(), byte_level(false, true), byte_bpe()),
        ("bytes with a space before", none.clone(), byte_level(true, true), byte_bpe()),
        (
            "bytes by a pattern",
            json!({"type": "NFC"}),
            sequence("pretokenizers", &[split, byte_level(false, false)]),
            byte_bpe(),
        ),
        ("unigram, a space first", none.clone(), metaspace("first", true), unigram()),
        ("unigram, a space always", none.clone(), metaspace("always", true), unigram()),
        ("unigram, a space never", none.clone(), metaspace("never", true), unigram()),
        ("unigram over everything", none.clone(), metaspace("first", false), unigram()),
        (
            "unigram by words",
            tidy.clone(),
            sequence("pretokenizers", &[json!({"type": "WhitespaceSplit"}), metaspace("always", true)]),
            unigram(),
        ),
        (
            "sentencepiece over everything",
            sequence("normalizers", &[prepend, replace]),
            none.clone(),
            sentencepiece_bpe(),
        ),
        ("sentencepiece, a space first", none.clone(), metaspace("first", false), sentencepiece_bpe()),
        ("tidy words", tidy, pieces, sentencepiece_bpe()),
        ("word pieces", bert, json!({"type": "BertPreTokenizer"}), word_piece()),
        ("every seven characters", none, json!({"type": "FixedLength", "length": 7}), sentencepiece_bpe()),
    ];
    let json = |(name, normalizer, pre_tokenizer, model): (&'static str, Value, Value, Value)| {
        // One that is looked for in the text before all else, with the blanks around it.
        let added = json!({
            "id": 9999, "content": "ROMEO:", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false,
            "special": false,
        });
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [added], "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": null, "model": model,
        });
        (name, json.to_string().into_bytes())
    };
    kinds.into_iter().map(json).collect()
}
