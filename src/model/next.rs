//! What comes after a text: a forward pass over all of it, and the head on its last token.

use super::activations::{Workspace, last_stream};
use super::fixed::Fixed;
use super::forward::Model;
use crate::engine::linear::Factor;
use crate::error::Result;

impl Model {
    /// The logits of what comes after these tokens, of which there are 1 to `seq_len`: to the bit those that a forward pass over
    /// any longer text has there. The workspace is one of [`super::Plan::next`].
    pub fn next_logits<'w>(&self, parameters: &Fixed<'_>, tokens: &[u32], ws: &'w mut Workspace) -> Result<&'w [f32]> {
        // What comes after the text changes nothing before it.
        ws.scratch.inputs.host.fill(0);
        ws.scratch.inputs.host[..tokens.len()].copy_from_slice(tokens);
        self.device.show(&mut ws.scratch.inputs, 0..self.seq_len);
        self.layers_forward(parameters, self.seq_len, ws);
        let (d, last) = (self.config.hidden_size, tokens.len() - 1);
        let scratch = &mut ws.scratch;
        let stream = last_stream(&ws.plan, &ws.stream);
        let mut normed = scratch.normed.part_mut(..d);
        let x = stream.part(last * d..(last + 1) * d);
        self.norm(parameters, self.net.decoder.norm, x, normed.again(), scratch.rinv.part_mut(..1));
        let v = self.config.vocab_size;
        self.logits(parameters, Factor::new(normed.shared(), d), scratch.logits.part_mut(..v));
        self.device.seen(&scratch.logits, v, &mut scratch.seen)
    }
}
