//! Sequences of a shard, brought together for a pass over them.

use super::marks::Marking;
use super::shard::Shard;

/// Tokens and marks of some sequences, one after the other.
#[derive(Default)]
pub struct Gathered {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Their mask; empty where every token but a sequence's first is a target.
    pub mask: Vec<u8>,
    /// Where documents begin; empty where every sequence is one.
    pub starts: Vec<u8>,
}

impl Shard {
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
        let of = |s: &usize| match self.info().trained {
            Marking::All => self.seq_len(),
            _ => self.mask(*s).iter().filter(|mask| **mask == 1).count(),
        };
        sequences.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::marks::MASK;
    use super::super::shard::tests::info;
    use super::super::shard::{ShardInfo, TOKENS, to_bytes};
    use super::*;
    use crate::artifact::Writer;
    use crate::error::{Kind, Result};
    use crate::fsio::Source;

    /// Two sequences of four tokens with these marks.
    fn open(trained: Marking, mask: [u8; 8], starts: [u8; 8]) -> Result<Shard> {
        let info = ShardInfo { trained, ..info(257, 2) };
        let mut writer = Writer::new("shard", Vec::new(), info.header()).unwrap();
        for name in trained.tensors() {
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
        let shard = open(Marking::Packed, MASKS, BEGINS).unwrap();
        assert_eq!((shard.mask(0), shard.starts(1)), (&MASKS[..4], &BEGINS[4..]));
        assert_eq!((shard.targets(&[0]), shard.targets(&[1]), shard.targets(&[1, 0, 1])), (2, 1, 4));
        let mut gathered = Gathered::default();
        shard.gather(&[0], &mut gathered);
        shard.gather(&[1, 0], &mut gathered);
        assert_eq!(gathered.tokens, [4, 5, 6, 7, 0, 1, 2, 3]);
        assert_eq!(gathered.mask, [0, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(gathered.starts, [1, 0, 1, 0, 1, 1, 0, 0]);
        let plain = open(Marking::All, MASKS, BEGINS).unwrap();
        assert!(plain.mask(1).is_empty() && plain.starts(1).is_empty());
        assert_eq!(plain.targets(&[0, 1]), 6);
    }

    #[test]
    fn a_mask_that_lies_is_malformed_data() {
        let refuse = |mask: [u8; 8], starts: [u8; 8], part: &str| {
            let error = open(Marking::Packed, mask, starts).err().expect(part);
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains(part), "{error}");
        };
        refuse([0, 0, 2, 1, 0, 1, 0, 0], BEGINS, "s: tensor mask: element 2: expected 0 or 1, found 2");
        refuse(MASKS, [1, 255, 0, 0, 1, 0, 0, 0], "tensor starts: element 1: expected 0 or 1, found 255");
        refuse([0, 0, 1, 1, 0, 0, 0, 0], BEGINS, "sequence 1: expected a trained target, found none");
        refuse([1, 0, 1, 1, 0, 1, 0, 0], BEGINS, "sequence 0, token 0: a document's first token is no target");
        refuse([0, 0, 1, 1, 0, 1, 1, 0], BEGINS, "sequence 1, token 2: a document's first token is no target");
        refuse(MASKS, [1, 0, 0, 0, 0, 0, 0, 0], "sequence 1: expected a document at its first token");
        assert!(open(Marking::Masked, [0, 1, 1, 1, 0, 1, 1, 1], BEGINS).is_ok());
    }
}
