//! Does a device compute what the host does? Every operator on fixed and ragged inputs, on both, compared bit by bit.

mod adamw;
mod attention;
mod bias;
mod columns;
mod cross_entropy;
mod elementwise;
mod embedding;
mod gated;
mod integer;
mod low_rank;
mod matmul;
mod rms_norm;
mod rope;
mod sum;

use super::Device;
use crate::engine::Engine;
use crate::engine::inputs::Inputs;
use crate::engine::memory::{Buffer, Part, Words};
use crate::error::{Error, Result};

/// Runs one operator on some shapes.
type Check = fn(&mut Case<'_>) -> Result<()>;

/// Operators by name, ascending; those of one file together.
const CHECKS: &[&[(&str, Check)]] = &[
    adamw::CHECKS,
    attention::CHECKS,
    bias::CHECKS,
    columns::CHECKS,
    cross_entropy::CHECKS,
    elementwise::CHECKS,
    embedding::CHECKS,
    gated::CHECKS,
    integer::CHECKS,
    low_rank::CHECKS,
    matmul::CHECKS,
    rms_norm::CHECKS,
    rope::CHECKS,
    sum::CHECKS,
];

/// Checks every operator of a device against the host's engine, on inputs that `seed` makes. `tell` is told of each: its name, and what
/// differs. An error is the device's own: it could not compute at all.
pub fn check(device: &Device, seed: u32, mut tell: impl FnMut(&'static str, Option<&str>) -> Result<()>) -> Result<()> {
    for (number, (name, check)) in (0u32..).zip(CHECKS.iter().copied().flatten()) {
        let inputs = Inputs::of(seed.wrapping_mul(1000).wrapping_add(number));
        let mut case = Case { device, host: Engine::detect().into(), inputs, differs: None };
        check(&mut case).map_err(|error| error.at(name))?;
        tell(name, case.differs.as_deref())?;
    }
    Ok(())
}

/// One operator's inputs, and what was found.
pub(super) struct Case<'a> {
    device: &'a Device,
    host: Device,
    inputs: Inputs,
    differs: Option<String>,
}

impl Case<'_> {
    /// 1 to `greatest`.
    fn up_to(&mut self, greatest: usize) -> usize {
        1 + self.inputs.tokens(1, greatest as u32)[0] as usize
    }

    /// Values within ±2, some of them zeros, subnormal or tiny.
    fn tensor(&mut self, count: usize) -> Vec<f32> {
        self.inputs.tensor(count)
    }

    /// Numbers below `limit`.
    fn tokens(&mut self, count: usize, limit: usize) -> Vec<u32> {
        self.inputs.tokens(count, limit as u32)
    }

    /// Runs the same on both; compares the tensors that it gives, element by element. `shape` says which inputs these were.
    fn compare(&mut self, shape: &str, run: impl Fn(&On<'_>) -> Result<Vec<Buffer>>) -> Result<()> {
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
pub(super) struct On<'a>(&'a Device);

impl std::ops::Deref for On<'_> {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.0
    }
}

impl On<'_> {
    /// A copy of these values in the device's memory.
    fn buffer(&self, values: &[f32]) -> Buffer {
        let mut buffer = self.zeros(values.len());
        self.write(values, buffer.part_mut(..));
        buffer
    }

    /// These token ids, shown to the device.
    fn ids(&self, ids: &[u32]) -> Words {
        let mut words = self.words(ids.len());
        words.host.copy_from_slice(ids);
        self.show(&mut words, 0..ids.len());
        words
    }
}

/// All of a buffer.
fn all(buffer: &Buffer) -> Part<'_> {
    buffer.part(..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_passes_as_a_device_and_every_operator_is_checked() {
        let mut names = Vec::new();
        let definitions = Device::from(Engine::definition());
        check(&definitions, 0, |name, differs| {
            assert_eq!(differs, None, "{name}");
            names.push(name);
            Ok(())
        })
        .unwrap();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
