//! The operators that a device has.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::engine::linear::Factor;
use crate::engine::{
    AdamwStep, Arithmetic, AttentionShape, Buffer, Engine, Held, Part, PartMut, RopeTable, Start, Words,
};
use crate::error::Result;

/// A norm's weight, as its operator takes it.
#[derive(Clone, Copy, Debug)]
pub struct NormWeight<'a> {
    /// The parameter \[d\].
    pub parameter: Part<'a>,
    /// Whether the weight is one more than the parameter.
    pub plus_one: bool,
}

/// RoPE's table where a device reads it.
#[derive(Debug)]
pub struct Rope {
    /// The table.
    pub table: RopeTable,
    /// Its cosines and sines in the device's memory, where it has one of its own.
    pub device: Option<[Buffer; 2]>,
}

/// A gated activation, by its operator's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// See [`Engine::swiglu`].
    Swiglu,
    /// See [`Engine::geglu`].
    Geglu,
}

/// What a pass should work on at a time, where memory allows: a matter of speed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Tokens of a micro-batch.
    pub tokens: usize,
    /// Bytes of the logits of a chunk of tokens.
    pub logit_bytes: usize,
    /// Whether its memory is its own, and what operators make on the way takes some of it.
    pub own_memory: bool,
}

impl Pace {
    /// Of a processor: tokens enough for the products, few enough for the caches.
    pub const HOST: Pace = Pace { tokens: 1024, logit_bytes: 32 << 20, own_memory: false };
    /// Of a GPU: tiles for every multiprocessor in each of a layer's products.
    pub const GPU: Pace = Pace { tokens: 16_384, logit_bytes: 1 << 30, own_memory: true };
}

/// What a model's passes and its optimiser ask of a device. Shapes are those of the [`Engine`]'s operators of the same name;
/// what does not fit is a programming error and panics.
pub trait Operators: fmt::Debug + Send + Sync {
    /// What it is called.
    fn name(&self) -> String;
    /// The engine for what the host does beside it.
    fn engine(&self) -> Engine;
    /// What a pass should work on at a time.
    fn pace(&self) -> Pace;
    /// Bytes of the device's own memory that are free; `None` of the host's.
    fn free(&self) -> Result<Option<u64>>;
    /// The elements of the widest head of attention that it has a kernel for; `None` without a bound.
    fn widest_head(&self) -> Option<usize>;
    /// Memory, all +0.
    fn zeros(&self, len: usize) -> Buffer;
    /// Room for token ids, all 0.
    fn words(&self, len: usize) -> Words;
    /// The host's values where the device can read them.
    fn hold<'a>(&self, values: &'a [f32]) -> Held<'a>;
    /// Copies the host's values.
    fn write(&self, from: &[f32], to: PartMut<'_>);
    /// Shows the device the token ids that the host has in this range.
    fn show(&self, words: &mut Words, range: Range<usize>);
    /// Copies values to the host, once all work before is done; says what failed since the last reading.
    fn read(&self, from: Part<'_>, to: &mut [f32]) -> Result<()>;
    /// Copies values.
    fn copy(&self, from: Part<'_>, to: PartMut<'_>);
    /// Sets values to +0.
    fn clear(&self, x: PartMut<'_>);
    /// RoPE's table, where the device can read it.
    fn rope_table(&self, table: RopeTable) -> Rope;

    /// See [`Engine::add_into`].
    fn add_into(&self, acc: PartMut<'_>, x: Part<'_>);
    /// See [`Engine::add`].
    fn add(&self, x: Part<'_>, y: Part<'_>, out: PartMut<'_>);
    /// See [`Engine::scale`].
    fn scale(&self, x: PartMut<'_>, factor: f32);
    /// See [`Engine::bias`].
    fn bias(&self, bias: Part<'_>, x: PartMut<'_>);
    /// See [`Engine::bias_backward`].
    fn bias_backward(&self, dy: Part<'_>, seq_len: usize, d_bias: PartMut<'_>);
    /// See [`Engine::split_columns`].
    fn split_columns(&self, x: Part<'_>, parts: &mut [(PartMut<'_>, usize)]);
    /// See [`Engine::join_columns`].
    fn join_columns(&self, parts: &[(Part<'_>, usize)], x: PartMut<'_>);
    /// See [`Engine::embedding`]; the tokens are those of `range`.
    fn embedding(&self, table: Part<'_>, width: usize, tokens: &Words, range: Range<usize>, x: PartMut<'_>);
    /// See [`Engine::embedding_backward`]; the tokens are those of `range`.
    fn embedding_backward(&self, dx: Part<'_>, width: usize, tokens: &Words, range: Range<usize>, d_table: PartMut<'_>);
    /// See [`Engine::rms_norm`].
    fn rms_norm(&self, x: Part<'_>, weight: NormWeight<'_>, eps: f32, y: PartMut<'_>, rinv: PartMut<'_>);
    /// See [`Engine::rms_scale`].
    fn rms_scale(&self, x: Part<'_>, weight: NormWeight<'_>, rinv: Part<'_>, y: PartMut<'_>);
    /// See [`Engine::rms_norm_backward`]: `seq_len` rows are a sequence; nobody may ask for the weight's gradient.
    fn rms_norm_backward(
        &self,
        inputs: [Part<'_>; 3],
        weight: NormWeight<'_>,
        seq_len: usize,
        dx_acc: PartMut<'_>,
        d_weight: Option<PartMut<'_>>,
    );
    /// See [`Engine::rope`], and with `back` [`Engine::rope_backward`].
    fn rope(&self, rope: &Rope, width: usize, x: PartMut<'_>, back: bool);
    /// See [`Engine::attention`]: `qkv`; output; row maxima and sums.
    fn attention(&self, shape: &AttentionShape, qkv: [Part<'_>; 3], out: PartMut<'_>, rows: [PartMut<'_>; 2]);
    /// See [`Engine::attention_backward`]: the gradients of `qkv`.
    fn attention_backward(&self, shape: &AttentionShape, of: &Attended<'_>, gradients: [PartMut<'_>; 3]);
    /// See [`Engine::linear`].
    fn linear(&self, arithmetic: Arithmetic, x: Factor<'_>, w: Factor<'_>, y: PartMut<'_>);
    /// See [`Engine::linear_input_gradient`].
    fn linear_input_gradient(&self, arithmetic: Arithmetic, dy: Part<'_>, w: Factor<'_>, dx: PartMut<'_>, start: Start);
    /// See [`Engine::linear_weight_gradient`].
    fn linear_weight_gradient(
        &self,
        arithmetic: Arithmetic,
        x: Factor<'_>,
        dy: Part<'_>,
        tokens: Range<usize>,
        seq_len: usize,
        dw: PartMut<'_>,
    );
    /// See [`Engine::low_rank`].
    fn low_rank(&self, x: Factor<'_>, a: Factor<'_>, scale: f32, u: PartMut<'_>);
    /// See [`Engine::low_rank_add`].
    fn low_rank_add(&self, u: Part<'_>, b: Factor<'_>, y: PartMut<'_>);
    /// See [`Engine::low_rank_backward`].
    fn low_rank_backward(&self, dy: Part<'_>, b: Factor<'_>, scale: f32, du: PartMut<'_>);
    /// See [`Engine::swiglu`] and [`Engine::geglu`].
    fn gated(&self, gating: Gating, gate: Part<'_>, up: Part<'_>, hidden: PartMut<'_>);
    /// See [`Engine::swiglu_backward`] and [`Engine::geglu_backward`].
    fn gated_backward(&self, gating: Gating, gate: PartMut<'_>, up: PartMut<'_>, hidden: PartMut<'_>);
    /// See [`Engine::cross_entropy`]; the targets are those of `range`.
    fn cross_entropy(
        &self,
        logits: PartMut<'_>,
        vocabulary: usize,
        targets: &Words,
        range: Range<usize>,
        scale: f32,
        losses: PartMut<'_>,
    );
    /// See [`Engine::cross_entropy_loss`]; the targets are those of `range`.
    fn cross_entropy_loss(
        &self,
        logits: Part<'_>,
        vocabulary: usize,
        targets: &Words,
        range: Range<usize>,
        losses: PartMut<'_>,
    );
    /// See [`Engine::tensor_sum_squares`], of each of these tensors of one flat array.
    fn tensor_sums_squares(&self, flat: Part<'_>, tensors: &[Range<usize>]) -> Result<Vec<f32>>;
    /// The root over the chunks of each tensor of a flat array, as files of tensors have them (docs/format.md): where each begins,
    /// and its shape. `None` of memory that the host hashes itself.
    fn tensor_roots(&self, flat: Part<'_>, tensors: &[(usize, &[usize])]) -> Result<Option<Vec<[u8; 32]>>>;
    /// See [`Engine::adamw`], on each of these tensors of flat arrays. Gives the first that did not come out finite; those after it
    /// may be stepped or not.
    fn adamw(
        &self,
        tensors: &[(Range<usize>, AdamwStep)],
        parameters: PartMut<'_>,
        gradients: Part<'_>,
        moments: [PartMut<'_>; 2],
    ) -> Result<Option<usize>>;
}

/// What attention's backward pass reads: queries, keys, values; output, row maxima, row sums; the output's gradient.
#[derive(Clone, Copy, Debug)]
pub struct Attended<'a> {
    /// Queries, keys and values, turned.
    pub qkv: [Part<'a>; 3],
    /// Output.
    pub out: Part<'a>,
    /// Row maxima and row sums.
    pub rows: [Part<'a>; 2],
    /// The gradient of the output.
    pub d_out: Part<'a>,
}

/// Who computes: shared, for as long as anything of it is in use.
#[derive(Clone, Debug)]
pub struct Device(Arc<dyn Operators>);

impl Device {
    /// A device with these operators.
    pub fn new(operators: impl Operators + 'static) -> Device {
        Device(Arc::new(operators))
    }

    /// What a plan may take of a device's own memory beside `held` bytes: a tenth of what is free stays for the pieces that a pool
    /// cannot use. `None` of the host's.
    pub fn budget(&self, held: u64) -> Result<Option<u64>> {
        Ok(self.free()?.map(|free| (free / 10 * 9).saturating_sub(held)))
    }

    /// The first elements of a buffer, as the host sees them: in `room`, where they have to be copied there.
    pub fn seen<'x>(&self, buffer: &'x Buffer, len: usize, room: &'x mut Vec<f32>) -> Result<&'x [f32]> {
        match buffer.part(..len) {
            Part::Host(values) => Ok(values),
            part => {
                room.resize(len, 0.0);
                self.read(part, room)?;
                Ok(room)
            }
        }
    }
}

impl Deref for Device {
    type Target = dyn Operators;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl From<Engine> for Device {
    fn from(engine: Engine) -> Device {
        Device::new(engine)
    }
}
