//! Conversations become sequences: one each, padded at its end, or several in one.

use super::tokens::Marked;
use crate::artifact::Digest;
use crate::error::{Error, Result};

/// Sequences that are open at a time while conversations are packed.
const OPEN: usize = 64;

/// One sequence of `seq_len + 1` tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// 1 where a token is trained.
    pub mask: Vec<u8>,
    /// 1 where a conversation, or the padding, begins.
    pub starts: Vec<u8>,
}

/// What became of the conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Sequences.
    pub sequences: u64,
    /// Conversations in them.
    pub conversations: u64,
    /// Of these, how many were cut at their end.
    pub cut: u64,
    /// Conversations without a trained token in what is left of them, which are in no sequence.
    pub untrained: u64,
    /// Tokens of conversations that are in a sequence.
    pub tokens: u64,
    /// Marking ones among them.
    pub trained: u64,
}

/// Puts conversations into sequences.
pub struct Packer {
    width: usize,
    pad: u32,
    vocab_size: u32,
    /// Sequences that still take conversations, the oldest first; without packing always empty.
    open: Vec<Row>,
    packs: bool,
    fill: Fill,
    hasher: blake3::Hasher,
}

impl Packer {
    /// For sequences of `seq_len + 1` token ids below `vocab_size`, filled up with `pad`; several conversations in each if `packs`.
    pub fn new(seq_len: usize, vocab_size: u32, pad: u32, packs: bool) -> Packer {
        let (width, hasher) = (seq_len + 1, blake3::Hasher::new());
        Packer { width, pad, vocab_size, open: Vec::new(), packs, fill: Fill::default(), hasher }
    }

    /// Takes a conversation; sequences that are full go to `emit` with their index.
    pub fn push(&mut self, conversation: Marked, mut emit: impl FnMut(u64, &Row) -> Result<()>) -> Result<()> {
        let Marked { mut tokens, mut mask } = conversation;
        if let Some(id) = tokens.iter().find(|id| **id >= self.vocab_size) {
            return Err(Error::data(format!("tokenizer: expected token ids below {}, found {id}", self.vocab_size)));
        }
        let cut = tokens.len() > self.width;
        tokens.truncate(self.width);
        mask.truncate(self.width);
        // The first token follows none that could tell of it.
        mask.iter_mut().take(1).for_each(|mask| *mask = 0);
        let trained = mask.iter().filter(|mask| **mask == 1).count() as u64;
        if trained == 0 {
            self.fill.untrained += 1;
            return Ok(());
        }
        self.fill.conversations += 1;
        self.fill.cut += u64::from(cut);
        self.fill.tokens += tokens.len() as u64;
        self.fill.trained += trained;
        let fits = |row: &Row| row.tokens.len() + tokens.len() <= self.width;
        let at = self.open.iter().position(fits).unwrap_or_else(|| {
            self.open.push(Row { tokens: Vec::new(), mask: Vec::new(), starts: Vec::new() });
            self.open.len() - 1
        });
        let row = &mut self.open[at];
        row.starts.extend((0..tokens.len()).map(|t| u8::from(t == 0)));
        row.tokens.append(&mut tokens);
        row.mask.append(&mut mask);
        if !self.packs || row.tokens.len() == self.width {
            self.close(at, &mut emit)?;
        } else if self.open.len() > OPEN {
            self.close(0, &mut emit)?;
        }
        Ok(())
    }

    fn close(&mut self, at: usize, emit: &mut impl FnMut(u64, &Row) -> Result<()>) -> Result<()> {
        let mut row = self.open.remove(at);
        let padding = self.width - row.tokens.len();
        row.starts.extend((0..padding).map(|t| u8::from(t == 0)));
        row.tokens.resize(self.width, self.pad);
        row.mask.resize(self.width, 0);
        let ids: Vec<u8> = row.tokens.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.hasher.update(&ids);
        self.hasher.update(&row.mask);
        if self.packs {
            self.hasher.update(&row.starts);
        }
        emit(self.fill.sequences, &row)?;
        self.fill.sequences += 1;
        Ok(())
    }

    /// Ends the corpus: its digest, and what became of it.
    pub fn finish(mut self, tokenizer: &str, mut emit: impl FnMut(u64, &Row) -> Result<()>) -> Result<(Digest, Fill)> {
        while !self.open.is_empty() {
            self.close(0, &mut emit)?;
        }
        let seq_len = (self.width as u64 - 1).to_le_bytes();
        let rows = Digest::from(self.hasher);
        let parts = [tokenizer.as_bytes(), &seq_len, &[u8::from(self.packs)], &rows.0];
        Ok((Digest::of_parts("l402/corpus/chat/1", &parts), self.fill))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conversations of these lengths, the n-th of tokens n; all but the first token is trained.
    fn pack(lengths: &[usize], width: usize, packs: bool) -> (Vec<Row>, Fill) {
        let (mut rows, mut packer) = (Vec::new(), Packer::new(width - 1, 100, 99, packs));
        let mut emit = |i: u64, row: &Row| {
            assert_eq!(i, rows.len() as u64);
            rows.push(row.clone());
            Ok(())
        };
        for (n, length) in lengths.iter().enumerate() {
            let conversation = Marked { tokens: vec![n as u32; *length], mask: vec![1; *length] };
            packer.push(conversation, &mut emit).unwrap();
        }
        let (_, fill) = packer.finish("t", &mut emit).unwrap();
        (rows, fill)
    }

    #[test]
    fn one_conversation_a_sequence_is_padded_cut_or_left_out() {
        let (rows, fill) = pack(&[3, 6, 1], 4, false);
        assert_eq!(rows[0], Row { tokens: vec![0, 0, 0, 99], mask: vec![0, 1, 1, 0], starts: vec![1, 0, 0, 1] });
        assert_eq!(rows[1], Row { tokens: vec![1; 4], mask: vec![0, 1, 1, 1], starts: vec![1, 0, 0, 0] });
        let expected = Fill { sequences: 2, conversations: 2, cut: 1, untrained: 1, tokens: 7, trained: 5 };
        assert_eq!(fill, expected);
    }

    #[test]
    fn packed_conversations_go_where_there_is_room_first() {
        let (rows, fill) = pack(&[4, 5, 3, 2, 2, 9], 8, true);
        let tokens: Vec<&[u32]> = rows.iter().map(|row| &row.tokens[..]).collect();
        // The one that is full is the first to go.
        assert_eq!(
            tokens,
            [
                &[5, 5, 5, 5, 5, 5, 5, 5],
                &[0, 0, 0, 0, 2, 2, 2, 99],
                &[1, 1, 1, 1, 1, 3, 3, 99],
                &[4, 4, 99, 99, 99, 99, 99, 99],
            ]
        );
        assert_eq!(rows[2].starts, [1, 0, 0, 0, 0, 1, 0, 1]);
        assert_eq!(rows[2].mask, [0, 1, 1, 1, 1, 0, 1, 0]);
        assert_eq!((fill.sequences, fill.conversations, fill.cut), (4, 6, 1));
    }

    #[test]
    fn a_corpus_is_known_by_its_tokens_and_marks() {
        let digest = |mask: [u8; 3], packs: bool| {
            let mut packer = Packer::new(3, 10, 9, packs);
            packer.push(Marked { tokens: vec![1, 2, 3], mask: mask.to_vec() }, |_, _| Ok(())).unwrap();
            packer.finish("t", |_, _| Ok(())).unwrap().0
        };
        assert_eq!(digest([0, 1, 1], false), digest([1, 1, 1], false));
        assert_ne!(digest([0, 1, 1], false), digest([0, 0, 1], false));
        assert_ne!(digest([0, 1, 1], false), digest([0, 1, 1], true));
    }
}
