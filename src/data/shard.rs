//! Shards: sequences of tokens in one canonical file.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::marks::{Marking, Marks};
use super::{MAX_SEQ_LEN, MAX_VOCAB};
use crate::artifact::{ArtifactKind, Digest, Dtype, Header, Meta, Reader, TensorInfo};
use crate::error::{Context, Error, Result};
use crate::fsio::Source;

/// The tensor of a shard: sequences of `seq_len + 1` token ids.
pub const TOKENS: &str = "tokens";

/// What a shard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To train on.
    Train,
    /// To score with.
    Val,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Val => "val",
        })
    }
}

impl Split {
    /// The name of a shard's file.
    pub fn file_name(self, index: u64) -> String {
        format!("{self}-{index:05}.safetensors")
    }
}

/// What the header of a shard says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// `bytes`, or the digest of the `tokenizer.json`.
    pub tokenizer: String,
    /// Token ids are below this.
    pub vocab_size: u32,
    /// Tokens a sequence, targets not counted.
    pub seq_len: usize,
    /// What it is for.
    pub split: Split,
    /// Its place among the shards of its split, from 0.
    pub index: u64,
    /// How many shards the split has.
    pub of: u64,
    /// Digest of the corpus.
    pub corpus: Digest,
    /// Sequences.
    pub sequences: usize,
    /// Which tokens are targets.
    pub trained: Marking,
}

/// The longest header of a shard, in bytes: ours take less than one.
pub const SHARD_HEADER: u64 = 4 << 10;

impl ShardInfo {
    /// The bytes that hold a token id.
    pub fn bytes_a_token(vocab_size: u32) -> u64 {
        dtype(vocab_size).bitsize() as u64 / 8
    }

    /// The type that holds a token id.
    pub fn dtype(&self) -> Dtype {
        dtype(self.vocab_size)
    }

    /// The canonical header.
    pub fn header(&self) -> Header {
        let mut meta = Meta::new(ArtifactKind::Shard);
        meta.set("tokenizer", &self.tokenizer)
            .set("vocab_size", self.vocab_size)
            .set("seq_len", self.seq_len)
            .set("split", self.split)
            .set("index", self.index)
            .set("of", self.of)
            .set("corpus", self.corpus);
        let tokens =
            TensorInfo { name: TOKENS.to_owned(), dtype: self.dtype(), shape: vec![self.sequences, self.seq_len + 1] };
        Header::new(meta.0, self.trained.infos(self.sequences, self.seq_len + 1).chain([tokens]).collect())
    }

    /// Reads and checks the header of a shard.
    pub fn read(reader: &Reader) -> Result<ShardInfo> {
        let file = reader.name();
        let header = reader.header();
        let meta = Meta::read(file, header, ArtifactKind::Shard)?;
        reader.require_canonical()?;
        let number = |key: &str, low: u64, high: u64| -> Result<u64> {
            let n = meta.number(file, key)?;
            if (low..=high).contains(&n) {
                return Ok(n);
            }
            Err(Error::data(format!("{file}: metadata l402.{key}: expected {low} to {high}, found {n}")))
        };
        let tokenizer = meta.get(file, "tokenizer")?;
        if tokenizer != "bytes" {
            meta.digest(file, "tokenizer")?;
        }
        let split = match meta.get(file, "split")? {
            "train" => Split::Train,
            "val" => Split::Val,
            other => {
                return Err(Error::data(format!(
                    "{file}: metadata l402.split: expected train or val, found {other:?}"
                )));
            }
        };
        let vocab_size = number("vocab_size", 1, MAX_VOCAB.into())? as u32;
        let seq_len = number("seq_len", 1, MAX_SEQ_LEN as u64)? as usize;
        let of = number("of", 1, u32::MAX.into())?;
        let index = number("index", 0, of - 1)?;
        let names: Vec<&str> = header.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let (Some(trained), Some(tensor)) = (Marking::of(&names), header.tensors.last()) else {
            return Err(Error::data(format!(
                "{file}: expected the tensor {TOKENS}, with mask or with mask and starts beside it, found {} tensors",
                names.len()
            )));
        };
        if tensor.name != TOKENS {
            return Err(Error::data(format!("{file}: expected tensor {TOKENS}, found {}", tensor.name)));
        }
        let sequences = tensor.shape.first().copied().unwrap_or(0).max(1);
        tensor.expect(dtype(vocab_size), &[sequences, seq_len + 1]).at(file)?;
        let info = ShardInfo {
            tokenizer: tokenizer.to_owned(),
            vocab_size,
            seq_len,
            split,
            index,
            of,
            corpus: meta.digest(file, "corpus")?,
            sequences,
            trained,
        };
        for (found, mark) in header.tensors.iter().zip(trained.infos(sequences, seq_len + 1)) {
            found.expect(mark.dtype, &mark.shape).at(file)?;
        }
        Ok(info)
    }
}

/// 16 bits where they are enough.
fn dtype(vocab_size: u32) -> Dtype {
    if vocab_size <= 1 << 16 { Dtype::U16 } else { Dtype::U32 }
}

/// Token ids as a shard of this vocabulary holds them.
pub fn to_bytes(tokens: &[u32], vocab_size: u32, out: &mut Vec<u8>) {
    match dtype(vocab_size) {
        Dtype::U16 => out.extend(tokens.iter().flat_map(|t| (*t as u16).to_le_bytes())),
        _ => out.extend(tokens.iter().flat_map(|t| t.to_le_bytes())),
    }
}

/// A shard in memory, checked: every token id is in the vocabulary.
pub struct Shard {
    info: ShardInfo,
    tokens: Tokens,
    marks: Marks,
    digest: Digest,
}

enum Tokens {
    Narrow(Vec<u16>),
    Wide(Vec<u32>),
}

impl Shard {
    /// Reads a shard, zstd undone.
    pub fn open(source: Source) -> Result<Shard> {
        let mut reader = Reader::open_within(source, SHARD_HEADER)?;
        let file = reader.name().to_owned();
        let info = ShardInfo::read(&reader)?;
        let marks = Marks::read(&mut reader, info.trained)?;
        let (_, data) =
            reader.next_tensor()?.ok_or_else(|| Error::data(format!("{file}: tensor {TOKENS} is missing")))?;
        let tokens = match info.dtype() {
            Dtype::U16 => {
                let (ids, _) = data.as_chunks::<2>();
                Tokens::Narrow(ids.iter().map(|id| u16::from_le_bytes(*id)).collect())
            }
            _ => {
                let (ids, _) = data.as_chunks::<4>();
                Tokens::Wide(ids.iter().map(|id| u32::from_le_bytes(*id)).collect())
            }
        };
        drop(data);
        let beyond = |id: &u32| *id >= info.vocab_size;
        let bad = match &tokens {
            Tokens::Narrow(ids) => ids.iter().position(|id| beyond(&u32::from(*id))),
            Tokens::Wide(ids) => ids.iter().position(beyond),
        };
        let digest = reader.finish()?;
        marks.check(info.seq_len + 1).at(&file)?;
        let shard = Shard { info, tokens, marks, digest };
        match bad {
            None => Ok(shard),
            Some(at) => Err(Error::data(format!(
                "{file}: tensor {TOKENS}: element {at}: expected a token id below {}, found {}",
                shard.info.vocab_size,
                shard.token(at)
            ))),
        }
    }

    /// What its header says.
    pub fn info(&self) -> &ShardInfo {
        &self.info
    }

    /// Digest of the file's content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Sequences.
    pub fn sequences(&self) -> usize {
        self.info.sequences
    }

    /// Tokens a sequence, targets not counted.
    pub fn seq_len(&self) -> usize {
        self.info.seq_len
    }

    fn token(&self, at: usize) -> u32 {
        match &self.tokens {
            Tokens::Narrow(ids) => ids[at].into(),
            Tokens::Wide(ids) => ids[at],
        }
    }

    /// The `seq_len + 1` token ids of sequence `i`, which must be below [`Shard::sequences`].
    pub fn sequence(&self, i: usize) -> impl ExactSizeIterator<Item = u32> + '_ {
        assert!(i < self.sequences(), "sequence {i} of {}", self.sequences());
        let width = self.info.seq_len + 1;
        (i * width..(i + 1) * width).map(|at| self.token(at))
    }

    /// The mask of sequence `i`; empty where every token but the first is a target.
    pub fn mask(&self, i: usize) -> &[u8] {
        self.of_sequence(&self.marks.mask, i)
    }

    /// Where documents begin in sequence `i`; empty where it is one.
    pub fn starts(&self, i: usize) -> &[u8] {
        self.of_sequence(&self.marks.starts, i)
    }

    fn of_sequence<'s>(&self, marks: &'s [u8], i: usize) -> &'s [u8] {
        let width = self.info.seq_len + 1;
        if marks.is_empty() { marks } else { &marks[i * width..(i + 1) * width] }
    }

    /// Copies the `seq_len + 1` token ids of sequence `i` to `out`, which has that length.
    pub fn fill(&self, i: usize, out: &mut [u32]) {
        assert_eq!(out.len(), self.info.seq_len + 1);
        for (to, id) in out.iter_mut().zip(self.sequence(i)) {
            *to = id;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::artifact::Writer;
    use crate::error::Kind;

    pub fn info(vocab_size: u32, sequences: usize) -> ShardInfo {
        ShardInfo {
            tokenizer: "bytes".into(),
            vocab_size,
            seq_len: 3,
            split: Split::Train,
            index: 0,
            of: 2,
            corpus: Digest::of(b"corpus"),
            sequences,
            trained: Marking::All,
        }
    }

    fn write(info: &ShardInfo, tokens: &[u32]) -> (Vec<u8>, Digest) {
        let mut data = Vec::new();
        to_bytes(tokens, info.vocab_size, &mut data);
        let mut writer = Writer::new("shard", Vec::new(), info.header()).unwrap();
        writer.bytes(TOKENS, &data).unwrap();
        writer.finish().unwrap()
    }

    fn open(bytes: Vec<u8>) -> Result<Shard> {
        Shard::open(Source::bytes("s.safetensors", bytes)?)
    }

    #[test]
    fn a_shard_comes_back_with_16_and_with_32_bits() {
        for (vocab, dtype) in [(1 << 16, Dtype::U16), ((1 << 16) + 1, Dtype::U32)] {
            let info = info(vocab, 2);
            assert_eq!(info.dtype(), dtype);
            let tokens = [0, 1, 2, vocab - 1, vocab - 1, 5, 6, 7];
            let (bytes, digest) = write(&info, &tokens);
            let shard = open(bytes).unwrap();
            assert_eq!(shard.info(), &info);
            assert_eq!(shard.digest(), digest);
            assert!(shard.sequence(0).eq(tokens[..4].iter().copied()));
            let mut second = [0; 4];
            shard.fill(1, &mut second);
            assert_eq!(second, tokens[4..]);
        }
    }

    #[test]
    fn hostile_shards_are_malformed_data() {
        let good = info(257, 2);
        let refuse = |info: &ShardInfo, part: &str| {
            let tokens = vec![0; info.sequences * (info.seq_len + 1)];
            let error = open(write(info, &tokens).0).err().expect(part);
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains(part), "{error}");
        };
        let with = |change: fn(&mut ShardInfo)| {
            let mut info = good.clone();
            change(&mut info);
            info
        };
        refuse(&with(|i| i.vocab_size = MAX_VOCAB + 1), "vocab_size");
        refuse(&with(|i| i.vocab_size = 0), "vocab_size");
        refuse(&with(|i| i.seq_len = 0), "seq_len");
        refuse(&with(|i| i.sequences = 0), "tensor tokens: expected");
        refuse(&with(|i| i.index = 2), "l402.index");
        refuse(&with(|i| i.of = 0), "l402.of");
        refuse(&with(|i| i.tokenizer = "words".into()), "tokenizer");

        let (bytes, _) = write(&good, &[0, 1, 2, 3, 4, 257, 6, 7]);
        let error = open(bytes).err().unwrap().to_string();
        assert!(error.contains("element 5: expected a token id below 257, found 257"), "{error}");

        let (bytes, _) = write(&good, &[0; 8]);
        assert!(open(bytes[..bytes.len() - 1].to_vec()).is_err());
        let text = String::from_utf8_lossy(&bytes).replace("\"257\"", "\"99999\"");
        assert!(open(text.into_bytes()).is_err());
    }

    #[test]
    fn a_shard_has_its_tokens_last_and_marks_alone_beside_them() {
        let mut header = info(257, 2).header();
        header.tensors.insert(0, TensorInfo::bytes("a", 1));
        let mut writer = Writer::new("shard", Vec::new(), header).unwrap();
        writer.bytes("a", &[0]).unwrap();
        writer.bytes(TOKENS, &[0; 16]).unwrap();
        let error = open(writer.finish().unwrap().0).unwrap_err();
        let says = ": expected the tensor tokens, with mask or with mask and starts beside it, found 2 tensors";
        assert_eq!(error.to_string(), format!("s.safetensors{says}"));
    }
}
