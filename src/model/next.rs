//! What comes after a text: a forward pass over all of it, and the head on its last token.

use super::activations::Workspace;
use super::fixed::Fixed;
use super::forward::Model;
use crate::engine::linear::Factor;

impl Model {
    /// The logits of what comes after these tokens, of which there are 1 to `seq_len`: to the bit those that a forward pass over
    /// any longer text has there. The workspace is one of [`super::Plan::next`].
    pub fn next_logits<'w>(&self, parameters: &Fixed<'_>, tokens: &[u32], ws: &'w mut Workspace) -> &'w [f32] {
        // What comes after the text changes nothing before it.
        ws.scratch.inputs.fill(0);
        ws.scratch.inputs[..tokens.len()].copy_from_slice(tokens);
        self.layers_forward(parameters, self.seq_len, ws);
        let (d, last) = (self.config.hidden_size, tokens.len() - 1);
        let scratch = &mut ws.scratch;
        let stream = ws.stream.last().expect("there is a stream");
        let normed = &mut scratch.normed[..d];
        self.norm(parameters, self.net.decoder.norm, &stream[last * d..][..d], normed, &mut scratch.rinv[..1]);
        let logits = &mut scratch.logits[..self.config.vocab_size];
        self.logits(parameters, Factor::new(normed, d), logits);
        logits
    }
}
