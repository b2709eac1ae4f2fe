//! What a shard of conversations says of its tokens: which are trained as targets, and where documents begin.

use crate::artifact::{Dtype, Reader, TensorInfo};
use crate::error::{Error, Result};

/// The tensor that has 1 where a token is trained as a target.
pub const MASK: &str = "mask";
/// The tensor that has 1 where a document begins.
pub const STARTS: &str = "starts";

/// Which tokens of a shard are targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marking {
    /// All but the first of each sequence: plain text.
    #[default]
    All,
    /// Those that a mask names: conversations, one a sequence.
    Masked,
    /// Those that a mask names, and a sequence has several documents.
    Packed,
}

impl Marking {
    /// The tensors that the shard has beside its tokens, by ascending name.
    pub fn tensors(self) -> &'static [&'static str] {
        match self {
            Marking::All => &[],
            Marking::Masked => &[MASK],
            Marking::Packed => &[MASK, STARTS],
        }
    }

    /// Those tensors, for so many sequences of so many tokens.
    pub(super) fn infos(self, sequences: usize, width: usize) -> impl Iterator<Item = TensorInfo> {
        let info =
            move |name: &&str| TensorInfo { name: (*name).to_owned(), dtype: Dtype::U8, shape: vec![sequences, width] };
        self.tensors().iter().map(info)
    }

    /// By the names of a shard's tensors, its tokens among them.
    pub(super) fn of(names: &[&str]) -> Option<Marking> {
        let all = [Marking::All, Marking::Masked, Marking::Packed];
        all.into_iter().find(|targets| names.split_last().is_some_and(|(_, rest)| rest == targets.tensors()))
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
    pub fn read(reader: &mut Reader, trained: Marking) -> Result<Marks> {
        let mut marks = Marks::default();
        for name in trained.tensors() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_make_no_sense_are_refused_by_sequence() {
        let refused = |mask: &[u8], starts: &[u8]| {
            let marks = Marks { mask: mask.to_vec(), starts: starts.to_vec() };
            marks.check(3).map_err(|error| error.to_string())
        };
        assert_eq!(refused(&[0, 1, 1, 0, 0, 1], &[1, 0, 0, 1, 1, 0]), Ok(()));
        for (mask, starts, says) in [
            (&[0, 1, 2], &[1, 0, 0], "tensor mask: element 2: expected 0 or 1, found 2"),
            (&[0, 0, 0], &[1, 0, 0], "tensor mask: sequence 0: expected a trained target, found none"),
            (&[0, 1, 0], &[0, 1, 0], "tensor starts: sequence 0: expected a document at its first token, found none"),
            (&[0, 1, 0], &[1, 1, 0], "tensor mask: sequence 0, token 1: a document's first token is no target"),
        ] {
            assert_eq!(refused(mask, starts), Err(says.to_owned()));
        }
    }
}
