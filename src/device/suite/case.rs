//! One operator beside the host's.

use crate::device::operators::Device;
use crate::engine::inputs::Inputs;
use crate::engine::{Buffer, Engine, Part, Words};
use crate::error::{Error, Result};

/// Runs one operator on some shapes.
pub type Check = fn(&mut Case<'_>) -> Result<()>;

/// One operator's inputs, and what was found.
pub struct Case<'a> {
    device: &'a Device,
    host: Device,
    inputs: Inputs,
    differs: Option<String>,
}

impl<'a> Case<'a> {
    /// The inputs of this number.
    pub fn new(device: &'a Device, number: u32) -> Case<'a> {
        Case { device, host: Engine::detect().into(), inputs: Inputs::of(number), differs: None }
    }

    /// The first difference.
    pub fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }

    /// 1 to `greatest`.
    pub fn up_to(&mut self, greatest: usize) -> usize {
        1 + self.inputs.tokens(1, greatest as u32)[0] as usize
    }

    /// Values within ±2, some of them zeros, subnormal or tiny.
    pub fn tensor(&mut self, count: usize) -> Vec<f32> {
        self.inputs.tensor(count)
    }

    /// Numbers below `limit`.
    pub fn tokens(&mut self, count: usize, limit: usize) -> Vec<u32> {
        self.inputs.tokens(count, limit as u32)
    }

    /// Runs the same on both; compares the tensors that it gives, element by element. `shape` says which inputs these were.
    pub fn compare(&mut self, shape: &str, run: impl Fn(&On<'_>) -> Result<Vec<Buffer>>) -> Result<()> {
        let ours = run(&On(self.device))?;
        let truth = run(&On(&self.host))?;
        for (tensor, (ours, truth)) in ours.iter().zip(&truth).enumerate() {
            let mut room = Vec::new();
            let ours = self.device.seen(ours, ours.len(), &mut room)?;
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            let Some(i) = ours.iter().zip(truth.host()).position(|pair| !same(pair)) else { continue };
            let (found, expected) = (ours[i], truth.host()[i]);
            let what = format!("{shape}: element {i} of output {tensor}: expected {expected:e}, found {found:e}");
            self.differs.get_or_insert(what);
        }
        match ours.len() == truth.len() {
            true => Ok(()),
            false => Err(Error::bug("a check gives other outputs on a device than on the host")),
        }
    }
}

/// A device, with what checks need of it.
pub struct On<'a>(&'a Device);

impl std::ops::Deref for On<'_> {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.0
    }
}

impl On<'_> {
    /// A copy of these values in the device's memory.
    pub fn buffer(&self, values: &[f32]) -> Buffer {
        let mut buffer = self.zeros(values.len());
        self.write(values, buffer.part_mut(..));
        buffer
    }

    /// These token ids, shown to the device.
    pub fn ids(&self, ids: &[u32]) -> Words {
        let mut words = self.words(ids.len());
        words.host.copy_from_slice(ids);
        self.show(&mut words, 0..ids.len());
        words
    }
}

/// All of a buffer.
pub fn all(buffer: &Buffer) -> Part<'_> {
    buffer.part(..)
}
