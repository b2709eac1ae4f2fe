//! An adapter put into the model that it is of: a whole model again.

use super::folder::ModelFolder;
use super::layout::Layout;
use crate::engine::Engine;
use crate::engine::matmul::{Mat, MatMut, Start};
use crate::error::Result;

impl ModelFolder {
    /// The parameters of the whole model, by the layout of its configuration: W + s · (B · A) of every linear layer that has
    /// factors. An element of B · A is a chain over ascending rank, then there is one product and one sum.
    pub fn into_merged(self, engine: Engine) -> Result<Vec<f32>> {
        let factors = self.parameters.into_vec()?;
        let Some(base) = self.base else { return Ok(factors) };
        let (layout, adapter) = (Layout::new(&self.config), base.adapter);
        let (mut whole, rank) = (base.parameters.into_vec()?, adapter.recipe.rank);
        let mut change = Vec::new();
        for (weight, pair) in adapter.pairs() {
            let (out, inner) = (layout.tensors[weight].shape[0], layout.tensors[weight].shape[1]);
            change.clear();
            change.resize(out * inner, 0.0);
            let b = Mat::new(adapter.layout.of(pair.b, &factors), out, rank);
            let a = Mat::new(adapter.layout.of(pair.a, &factors), rank, inner);
            engine.matmul_nn(b, a, MatMut::new(&mut change, out, inner), Start::Zero);
            engine.scale(&mut change, adapter.recipe.scale());
            engine.add_into(layout.of_mut(weight, &mut whole), &change);
        }
        Ok(whole)
    }
}
