//! What a shard of conversations says of its tokens: which are trained as targets, and where documents begin.

use super::shard::ShardInfo;
use crate::artifact::{Dtype, Reader, TensorInfo};
use crate::error::{Error, Result};

/// The tensor that has 1 where a token is trained as a target.
pub const MASK: &str = "mask";
/// The tensor that has 1 where a document begins.
pub const STARTS: &str = "starts";

/// Which tokens of a shard are targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// All but the first of each sequence: plain text.
    #[default]
    All,
    /// Those that a mask names: conversations, one a sequence.
    Masked,
    /// Those that a mask names, and a sequence has several documents.
    Packed,
}

impl Targets {
    /// The tensors that the shard has beside its tokens, by ascending name.
    pub fn tensors(self) -> &'static [&'static str] {
        match self {
            Targets::All => &[],
            Targets::Masked => &[MASK],
            Targets::Packed => &[MASK, STARTS],
        }
    }

    /// By the names of a shard's tensors, its tokens among them.
    pub(super) fn of(names: &[&str]) -> Option<Targets> {
        let all = [Targets::All, Targets::Masked, Targets::Packed];
        all.into_iter().find(|targets| names.split_last().is_some_and(|(_, rest)| rest == targets.tensors()))
    }
}

impl ShardInfo {
    /// The tensors beside the tokens.
    pub(super) fn marks(&self) -> impl Iterator<Item = TensorInfo> + '_ {
        let shape = [self.sequences, self.seq_len + 1];
        let info = move |name: &&str| TensorInfo { name: (*name).to_owned(), dtype: Dtype::U8, shape: shape.to_vec() };
        self.targets.tensors().iter().map(info)
    }
}

/// Mask and starts of all sequences; empty where the shard has none.
#[derive(Default)]
pub(super) struct Marks {
    pub mask: Vec<u8>,
    pub starts: Vec<u8>,
}

impl Marks {
    /// Reads what the header has announced.
    pub fn read(reader: &mut Reader, info: &ShardInfo) -> Result<Marks> {
        let mut marks = Marks::default();
        for name in info.targets.tensors() {
            let (_, bytes) = reader.next_tensor()?.ok_or_else(|| missing(reader, name))?;
            *(if *name == MASK { &mut marks.mask } else { &mut marks.starts }) = bytes;
        }
        Ok(marks)
    }

    /// Refuses marks that are neither 0 nor 1, a sequence without a target, and a target that begins a document: the tokens
    /// before it are another's, or there are none.
    pub fn check(&self, width: usize) -> Result<()> {
        for (name, bytes) in [(MASK, &self.mask), (STARTS, &self.starts)] {
            if let Some(at) = bytes.iter().position(|b| *b > 1) {
                return Err(Error::data(format!("tensor {name}: element {at}: expected 0 or 1, found {}", bytes[at])));
            }
        }
        for (s, mask) in self.mask.chunks_exact(width).enumerate() {
            if !mask.contains(&1) {
                return Err(Error::data(format!("tensor {MASK}: sequence {s}: expected a trained target, found none")));
            }
            let starts = self.starts.chunks_exact(width).nth(s);
            if starts.is_some_and(|starts| starts[0] != 1) {
                let what = format!("tensor {STARTS}: sequence {s}: expected a document at its first token, found none");
                return Err(Error::data(what));
            }
            let begins = |at: usize| at == 0 || starts.is_some_and(|starts| starts[at] == 1);
            if let Some(at) = (0..width).find(|at| mask[*at] == 1 && begins(*at)) {
                let what = format!("tensor {MASK}: sequence {s}, token {at}: a document's first token is no target");
                return Err(Error::data(what));
            }
        }
        Ok(())
    }
}

fn missing(reader: &Reader, name: &str) -> Error {
    Error::data(format!("{}: tensor {name} is missing", reader.name()))
}

/// Sequences of a shard, gathered for a pass over them.
#[derive(Default)]
pub struct Gathered {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Their mask; empty where every token but a sequence's first is a target.
    pub mask: Vec<u8>,
    /// Where documents begin; empty where every sequence is one.
    pub starts: Vec<u8>,
}

impl super::Shard {
    /// These sequences, in the place of those that were gathered before.
    pub fn gather(&self, sequences: &[usize], into: &mut Gathered) {
        let Gathered { tokens, mask, starts } = into;
        tokens.clear();
        mask.clear();
        starts.clear();
        for s in sequences {
            tokens.extend(self.sequence(*s));
            mask.extend_from_slice(self.mask(*s));
            starts.extend_from_slice(self.starts(*s));
        }
    }

    /// The targets of these sequences together.
    pub fn targets(&self, sequences: &[usize]) -> usize {
        let of = |s: &usize| match self.info().targets {
            Targets::All => self.seq_len(),
            _ => self.mask(*s).iter().filter(|mask| **mask == 1).count(),
        };
        sequences.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::shard::tests::info;
    use super::super::{Shard, TOKENS, to_bytes};
    use super::*;
    use crate::artifact::Writer;
    use crate::error::Kind;
    use crate::fsio::Source;

    /// Two sequences of four tokens with these marks.
    fn open(targets: Targets, mask: [u8; 8], starts: [u8; 8]) -> Result<Shard> {
        let info = ShardInfo { targets, ..info(257, 2) };
        let mut writer = Writer::new("shard", Vec::new(), info.header()).unwrap();
        for name in targets.tensors() {
            writer.bytes(name, if *name == MASK { &mask } else { &starts }).unwrap();
        }
        let mut tokens = Vec::new();
        to_bytes(&[0, 1, 2, 3, 4, 5, 6, 7], 257, &mut tokens);
        writer.bytes(TOKENS, &tokens).unwrap();
        Shard::open(Source::bytes("s", writer.finish().unwrap().0)?)
    }

    const MASKS: [u8; 8] = [0, 0, 1, 1, 0, 1, 0, 0];
    const BEGINS: [u8; 8] = [1, 1, 0, 0, 1, 0, 1, 0];

    #[test]
    fn marks_come_back_and_targets_are_counted() {
        let shard = open(Targets::Packed, MASKS, BEGINS).unwrap();
        assert_eq!((shard.mask(0), shard.starts(1)), (&MASKS[..4], &BEGINS[4..]));
        assert_eq!((shard.targets(&[0]), shard.targets(&[1]), shard.targets(&[1, 0, 1])), (2, 1, 4));
        let mut gathered = Gathered::default();
        shard.gather(&[0], &mut gathered);
        shard.gather(&[1, 0], &mut gathered);
        assert_eq!(gathered.tokens, [4, 5, 6, 7, 0, 1, 2, 3]);
        assert_eq!(gathered.mask, [0, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(gathered.starts, [1, 0, 1, 0, 1, 1, 0, 0]);
        let plain = open(Targets::All, MASKS, BEGINS).unwrap();
        assert!(plain.mask(1).is_empty() && plain.starts(1).is_empty());
        assert_eq!(plain.targets(&[0, 1]), 6);
    }

    #[test]
    fn a_mask_that_lies_is_malformed_data() {
        let refuse = |mask: [u8; 8], starts: [u8; 8], part: &str| {
            let error = open(Targets::Packed, mask, starts).err().expect(part);
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains(part), "{error}");
        };
        refuse([0, 0, 2, 1, 0, 1, 0, 0], BEGINS, "s: tensor mask: element 2: expected 0 or 1, found 2");
        refuse(MASKS, [1, 255, 0, 0, 1, 0, 0, 0], "tensor starts: element 1: expected 0 or 1, found 255");
        refuse([0, 0, 1, 1, 0, 0, 0, 0], BEGINS, "sequence 1: expected a trained target, found none");
        refuse([1, 0, 1, 1, 0, 1, 0, 0], BEGINS, "sequence 0, token 0: a document's first token is no target");
        refuse([0, 0, 1, 1, 0, 1, 1, 0], BEGINS, "sequence 1, token 2: a document's first token is no target");
        refuse(MASKS, [1, 0, 0, 0, 0, 0, 0, 0], "sequence 1: expected a document at its first token");
        assert!(open(Targets::Masked, [0, 1, 1, 1, 0, 1, 1, 1], BEGINS).is_ok());
    }
}
