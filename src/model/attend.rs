//! RoPE and attention within documents: positions begin anew with each, and no token sees one of another.
//!
//! They run over each document by itself, as over a sequence of its length. A row of either depends on its position and on the
//! rows before it, never on the length: so a document's bits are the same wherever in a sequence it lies.

use std::ops::Range;

use super::forward::Model;
use crate::device::Attended;
use crate::engine::{AttentionShape, Part, PartMut};

fn tokens_of(tokens: &Range<usize>, width: usize) -> Range<usize> {
    tokens.start * width..tokens.end * width
}

impl Model {
    /// Turns queries or keys of `width` a token, or turns their gradients back; nothing in a layer without RoPE. `documents` are
    /// ranges of tokens; where there are none, whole sequences are.
    pub fn turn(&self, layer: usize, documents: &[Range<usize>], back: bool, width: usize, mut x: PartMut<'_>) {
        let Some(rope) = self.rope(layer) else { return };
        if documents.is_empty() {
            return self.device.rope(rope, width, x, back);
        }
        for tokens in documents {
            self.device.rope(rope, width, x.part_mut(tokens_of(tokens, width)), back);
        }
    }

    fn document_shape(&self, layer: usize, tokens: &Range<usize>) -> AttentionShape {
        AttentionShape { seq_len: tokens.len(), ..self.attention_shape(layer, 1) }
    }

    /// Attention of a layer, within documents: output, row maxima and row sums.
    pub fn attend(
        &self,
        layer: usize,
        documents: &[Range<usize>],
        [q, k, v]: [Part<'_>; 3],
        mut out: PartMut<'_>,
        [mut max, mut sum]: [PartMut<'_>; 2],
    ) {
        let (qw, kvw, heads) = self.attention_widths();
        if documents.is_empty() {
            let shape = self.attention_shape(layer, q.len() / qw / self.seq_len);
            return self.device.attention(&shape, [q, k, v], out, [max, sum]);
        }
        for tokens in documents {
            let (queries, keys) = (tokens_of(tokens, qw), tokens_of(tokens, kvw));
            let qkv = [q.part(queries.clone()), k.part(keys.clone()), v.part(keys)];
            let rows = [&mut max, &mut sum].map(|rows| rows.part_mut(tokens_of(tokens, heads)));
            self.device.attention(&self.document_shape(layer, tokens), qkv, out.part_mut(queries), rows);
        }
    }

    /// The gradients of queries, keys and values.
    pub fn attend_backward(
        &self,
        layer: usize,
        documents: &[Range<usize>],
        of: &Attended<'_>,
        mut gradients: [PartMut<'_>; 3],
    ) {
        let (qw, kvw, heads) = self.attention_widths();
        if documents.is_empty() {
            let shape = self.attention_shape(layer, of.out.len() / qw / self.seq_len);
            return self.device.attention_backward(&shape, of, gradients);
        }
        for tokens in documents {
            let (queries, keys) = (tokens_of(tokens, qw), tokens_of(tokens, kvw));
            let each = [&queries, &keys, &keys];
            let of = Attended {
                qkv: std::array::from_fn(|i| of.qkv[i].part(each[i].clone())),
                out: of.out.part(queries.clone()),
                rows: of.rows.map(|rows| rows.part(tokens_of(tokens, heads))),
                d_out: of.d_out.part(queries.clone()),
            };
            let [dq, dk, dv] = &mut gradients;
            let gradients = [dq.part_mut(queries.clone()), dk.part_mut(keys.clone()), dv.part_mut(keys.clone())];
            self.device.attention_backward(&self.document_shape(layer, tokens), &of, gradients);
        }
    }

    /// Elements a token of queries, of keys and values, of row maxima and sums.
    fn attention_widths(&self) -> (usize, usize, usize) {
        (self.config.query_width(), self.config.key_width(), self.config.num_attention_heads)
    }
}
