//! RoPE and attention within documents: positions begin anew with each, and no token sees one of another.
//!
//! They run over each document by itself, as over a sequence of its length. A row of either depends on its position and on the
//! rows before it, never on the length: so a document's bits are the same wherever in a sequence it lies.

use std::ops::Range;

use super::forward::Model;
use crate::engine::AttentionShape;

/// What attention's backward pass reads: queries, keys, values; output, row maxima, row sums; the output's gradient.
pub struct Attended<'a> {
    /// Queries, keys and values, turned.
    pub qkv: [&'a [f32]; 3],
    /// Output.
    pub out: &'a [f32],
    /// Row maxima and row sums.
    pub rows: [&'a [f32]; 2],
    /// The gradient of the output.
    pub d_out: &'a [f32],
}

fn part<'x>(x: &'x [f32], tokens: &Range<usize>, width: usize) -> &'x [f32] {
    &x[tokens.start * width..tokens.end * width]
}

fn part_mut<'x>(x: &'x mut [f32], tokens: &Range<usize>, width: usize) -> &'x mut [f32] {
    &mut x[tokens.start * width..tokens.end * width]
}

impl Model {
    /// Turns queries or keys of `width` a token, or turns their gradients back; nothing in a layer without RoPE. `documents` are
    /// ranges of tokens; where there are none, whole sequences are.
    pub fn turn(&self, layer: usize, documents: &[Range<usize>], back: bool, width: usize, x: &mut [f32]) {
        let Some(table) = self.rope(layer) else { return };
        let turn = |x: &mut [f32]| match back {
            false => self.engine.rope(table, width, x),
            true => self.engine.rope_backward(table, width, x),
        };
        if documents.is_empty() {
            return turn(x);
        }
        documents.iter().for_each(|tokens| turn(part_mut(x, tokens, width)));
    }

    fn document_shape(&self, layer: usize, tokens: &Range<usize>) -> AttentionShape {
        AttentionShape { seq_len: tokens.len(), ..self.attention_shape(layer, 1) }
    }

    /// Attention of a layer, within documents: output, row maxima and row sums.
    pub fn attend(
        &self,
        layer: usize,
        documents: &[Range<usize>],
        [q, k, v]: [&[f32]; 3],
        out: &mut [f32],
        [max, sum]: [&mut [f32]; 2],
    ) {
        let (qw, kvw, heads) = self.attention_widths();
        if documents.is_empty() {
            let shape = self.attention_shape(layer, q.len() / qw / self.seq_len);
            return self.engine.attention(&shape, q, k, v, out, max, sum);
        }
        for tokens in documents {
            let [q, k, v] = [part(q, tokens, qw), part(k, tokens, kvw), part(v, tokens, kvw)];
            let rows = [part_mut(max, tokens, heads), part_mut(sum, tokens, heads)];
            let ([max, sum], out) = (rows, part_mut(out, tokens, qw));
            self.engine.attention(&self.document_shape(layer, tokens), q, k, v, out, max, sum);
        }
    }

    /// The gradients of queries, keys and values.
    pub fn attend_backward(
        &self,
        layer: usize,
        documents: &[Range<usize>],
        of: &Attended<'_>,
        [dq, dk, dv]: [&mut [f32]; 3],
    ) {
        let Attended { qkv: [q, k, v], out, rows: [max, sum], d_out } = *of;
        let (qw, kvw, heads) = self.attention_widths();
        if documents.is_empty() {
            let shape = self.attention_shape(layer, q.len() / qw / self.seq_len);
            return self.engine.attention_backward(&shape, q, k, v, out, max, sum, d_out, dq, dk, dv);
        }
        for tokens in documents {
            let [q, out, d_out] = [q, out, d_out].map(|x| part(x, tokens, qw));
            let [k, v] = [k, v].map(|x| part(x, tokens, kvw));
            let [max, sum] = [max, sum].map(|x| part(x, tokens, heads));
            let dq = part_mut(dq, tokens, qw);
            let (dk, dv) = (part_mut(dk, tokens, kvw), part_mut(dv, tokens, kvw));
            let shape = self.document_shape(layer, tokens);
            self.engine.attention_backward(&shape, q, k, v, out, max, sum, d_out, dq, dk, dv);
        }
    }

    /// Elements a token of queries, of keys and values, of row maxima and sums.
    fn attention_widths(&self) -> (usize, usize, usize) {
        (self.config.query_width(), self.config.key_width(), self.config.num_attention_heads)
    }
}
