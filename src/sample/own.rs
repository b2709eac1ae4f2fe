//! Logits by our own forward pass, which keeps nothing: the whole text is read again for each token.

use crate::device::Device;
use crate::engine::{Arithmetic, Buffer, Held};
use crate::error::Result;
use crate::model::{Model, ModelConfig, Plan, Workspace};

/// Room for a text grows by so many tokens.
const STEP: usize = 16;

/// A model with the text so far.
pub struct Reader {
    config: ModelConfig,
    device: Device,
    parameters: Buffer,
    text: Vec<u32>,
    /// For texts of a length; none before the first.
    made: Option<(Model, Workspace)>,
}

impl Reader {
    /// A model with these parameters, by its layout.
    pub fn new(config: &ModelConfig, values: Vec<f32>, device: Device) -> Reader {
        let parameters = match device.hold(&values) {
            Held::Copy(buffer) => buffer,
            Held::Caller(_) => Buffer::Host(values),
        };
        Reader { config: config.clone(), device, parameters, text: Vec::new(), made: None }
    }

    /// Reads on; gives the logits of what comes next.
    pub fn push(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.text.extend_from_slice(tokens);
        let fits = |(model, _): &(Model, Workspace)| self.text.len() <= model.seq_len();
        let (model, ws) = match self.made.take().filter(fits) {
            Some(made) => self.made.insert(made),
            None => self.made.insert(room(&self.config, &self.device, self.text.len().next_multiple_of(STEP))),
        };
        Ok(model.next_logits(&model.fix(self.parameters.part(..)), &self.text, ws)?.to_vec())
    }
}

fn room(config: &ModelConfig, device: &Device, tokens: usize) -> (Model, Workspace) {
    let model = Model::new(config.clone(), device.clone(), Arithmetic::Float, tokens);
    (model, Workspace::new(device, config, Plan::next(tokens)))
}
