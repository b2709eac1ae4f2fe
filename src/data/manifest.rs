//! `shards.jsonl`: the list of the shards of a corpus.

use serde::{Deserialize, Serialize};

use super::shard::{SHARD_HEADER, ShardInfo, Split};
use super::{MAX_SEQ_LEN, MAX_VOCAB};
use crate::artifact::Digest;
use crate::artifact::recipe::DataRecipe;
use crate::artifact::record::{self, Line, Record};
use crate::error::{Context, Error, Result};

/// The name of the list in a folder of shards.
pub const MANIFEST: &str = "shards.jsonl";

/// A shard, as the list names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Its file in the folder.
    pub file: String,
    /// Digest of the file's content.
    pub digest: Digest,
    /// Its place among the shards of its split.
    pub index: u64,
    /// What it is for.
    pub split: Split,
    /// Sequences.
    pub sequences: u64,
    /// Tokens a sequence, targets not counted.
    pub seq_len: u64,
    /// Token ids are below this.
    pub vocab_size: u32,
    /// `bytes`, or the digest of the `tokenizer.json`.
    pub tokenizer: String,
}

impl Record for ShardEntry {
    const TYPE: &'static str = "shard";
}

impl ShardEntry {
    /// The entry of a shard that was written with this digest.
    pub fn new(info: &ShardInfo, digest: Digest) -> ShardEntry {
        ShardEntry {
            file: info.split.file_name(info.index),
            digest,
            index: info.index,
            split: info.split,
            sequences: info.sequences as u64,
            seq_len: info.seq_len as u64,
            vocab_size: info.vocab_size,
            tokenizer: info.tokenizer.clone(),
        }
    }

    /// The most bytes that the shard can have: its tokens, each with two marks, and a header.
    pub fn most_bytes(&self) -> u64 {
        let width = ShardInfo::bytes_a_token(self.vocab_size);
        let tokens = self.sequences.saturating_mul(self.seq_len.saturating_add(1));
        tokens.saturating_mul(width + 2).saturating_add(SHARD_HEADER)
    }

    fn check(&self) -> Result<()> {
        let name = self.split.file_name(self.index);
        if self.file != name {
            return Err(Error::data(format!("field file: expected {name}, found {:?}", self.file)));
        }
        let range = |field: &str, n: u64, high: u64| match n {
            0 => Err(Error::data(format!("{name}: field {field}: expected at least 1, found 0"))),
            n if n > high => Err(Error::data(format!("{name}: field {field}: expected at most {high}, found {n}"))),
            _ => Ok(()),
        };
        range("sequences", self.sequences, u64::MAX)?;
        range("seq_len", self.seq_len, MAX_SEQ_LEN as u64)?;
        range("vocab_size", self.vocab_size.into(), MAX_VOCAB.into())?;
        if self.tokenizer != "bytes" {
            self.tokenizer.parse::<Digest>().at("field tokenizer").at(name)?;
        }
        Ok(())
    }

    /// Whether a shard's header says the same; the digest is for those who read the whole file.
    pub fn agrees(&self, info: &ShardInfo) -> Result<()> {
        let other = ShardEntry::new(info, self.digest);
        same(&self.file, self, &other, "split", |e| e.split.to_string())?;
        same(&self.file, self, &other, "index", |e| e.index.to_string())?;
        same(&self.file, self, &other, "sequences", |e| e.sequences.to_string())?;
        same(&self.file, self, &other, "seq_len", |e| e.seq_len.to_string())?;
        same(&self.file, self, &other, "vocab_size", |e| e.vocab_size.to_string())?;
        same(&self.file, self, &other, "tokenizer", |e| e.tokenizer.clone())
    }
}

/// Whether a field is the same; `place` is the file that `found` is about.
fn same(
    place: &str,
    expected: &ShardEntry,
    found: &ShardEntry,
    field: &str,
    of: fn(&ShardEntry) -> String,
) -> Result<()> {
    if of(expected) == of(found) {
        return Ok(());
    }
    Err(Error::data(format!("{place}: {field}: expected {}, found {}", of(expected), of(found))))
}

/// The list of a folder's shards, checked: file-name order, nothing twice, one tokenizer, one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<ShardEntry>,
}

impl Manifest {
    /// Checks a list.
    pub fn new(entries: Vec<ShardEntry>) -> Result<Manifest> {
        let Some(first) = entries.first() else {
            return Err(Error::data("the list names no shard"));
        };
        let mut expected = 0;
        for (i, entry) in entries.iter().enumerate() {
            entry.check()?;
            if i > 0 && entry.split != entries[i - 1].split {
                expected = 0;
            }
            let behind = i > 0 && entry.split < entries[i - 1].split;
            if entry.index != expected || behind {
                return Err(Error::data(format!(
                    "{}: out of turn: expected each split complete, in the order of the names",
                    entry.file
                )));
            }
            expected += 1;
            same(&entry.file, first, entry, "seq_len", |e| e.seq_len.to_string())?;
            same(&entry.file, first, entry, "vocab_size", |e| e.vocab_size.to_string())?;
            same(&entry.file, first, entry, "tokenizer", |e| e.tokenizer.clone())?;
        }
        Ok(Manifest { entries })
    }

    /// The list in the lines of a `shards.jsonl`; records of other types are passed over.
    pub fn parse(lines: &[Line]) -> Result<Manifest> {
        Manifest::new(record::select(lines)?)
    }

    /// The canonical lines.
    pub fn text(&self) -> Result<String> {
        self.entries.iter().map(record::line).collect()
    }

    /// All shards, training before validation.
    pub fn entries(&self) -> &[ShardEntry] {
        &self.entries
    }

    /// The shards of a split.
    pub fn split(&self, split: Split) -> impl Iterator<Item = &ShardEntry> {
        self.entries.iter().filter(move |e| e.split == split)
    }

    /// Whether these are the tokens that a recipe is about; the error names the field.
    pub fn agrees(&self, recipe: &DataRecipe) -> Result<()> {
        let ours = &self.entries[0];
        if ours.tokenizer != recipe.tokenizer {
            return Err(Error::data(format!(
                "tokenizer: the recipe has data.tokenizer {}, the shards have {}",
                recipe.tokenizer, ours.tokenizer
            )));
        }
        if ours.seq_len != recipe.seq_len as u64 {
            return Err(Error::data(format!(
                "seq_len: the recipe has data.seq_len {}, the shards have {}",
                recipe.seq_len, ours.seq_len
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::shard::tests::info;
    use crate::error::Kind;

    /// A list of training shards and one for validation.
    pub fn list(train: u64) -> Vec<ShardEntry> {
        let entry = |split, index| {
            let info = ShardInfo { split, index, ..info(257, 2) };
            ShardEntry::new(&info, Digest::of(format!("{split}{index}").as_bytes()))
        };
        let mut entries: Vec<_> = (0..train).map(|i| entry(Split::Train, i)).collect();
        entries.push(entry(Split::Val, 0));
        entries
    }

    #[test]
    fn a_list_comes_back_from_its_lines() {
        let manifest = Manifest::new(list(3)).unwrap();
        let lines: Vec<Line> = manifest.text().unwrap().lines().map(|l| Line::parse("x", l).unwrap()).collect();
        assert_eq!(Manifest::parse(&lines).unwrap(), manifest);
        assert_eq!(manifest.split(Split::Val).count(), 1);
    }

    #[test]
    fn a_list_with_a_gap_a_repetition_or_a_foreign_path_is_refused() {
        let refuse = |change: fn(&mut Vec<ShardEntry>), part: &str| {
            let mut entries = list(3);
            change(&mut entries);
            let error = Manifest::new(entries).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains(part), "{error}");
        };
        refuse(|e| e.clear(), "no shard");
        refuse(|e| drop(e.remove(1)), "train-00002.safetensors: out of turn");
        refuse(|e| e.insert(1, e[0].clone()), "train-00000.safetensors: out of turn");
        refuse(|e| e.swap(0, 3), "out of turn");
        refuse(|e| e[0].file = "../../secret".into(), "field file");
        refuse(|e| e[1].seq_len = 9, "train-00001.safetensors: seq_len: expected 3, found 9");
        refuse(|e| e[1].vocab_size = 9, "vocab_size");
        refuse(|e| e[1].tokenizer = "f".into(), "field tokenizer");
        refuse(|e| e[0].sequences = 0, "sequences");
    }

    #[test]
    fn a_shard_that_is_not_the_listed_one_is_refused_by_the_field() {
        let entry = &list(1)[0];
        entry.agrees(&info(257, 2)).unwrap();
        let error = entry.agrees(&info(257, 3)).unwrap_err().to_string();
        assert!(error.contains("sequences: expected 2, found 3"), "{error}");
    }
}
