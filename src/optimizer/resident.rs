//! A worker's state where the device computes: the host's own, or a copy in the device's memory.

use super::moments::Moments;
use crate::artifact::{Digest, merkle};
use crate::device::Device;
use crate::engine::{Buffer, Held, Part, PartMut};
use crate::error::Result;
use crate::model::Layout;

/// What the inner steps work on.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The worker's parameters, by the layout: theta before the first step.
    pub parameters: Vec<f32>,
    /// Its moments.
    pub moments: Moments,
}

/// Parameters, first and second moments.
type Three<T> = [T; 3];

/// The state that a device works on. On the host it is the state itself; else the host's is behind until somebody asks for it.
pub struct Resident {
    state: State,
    /// In the device's memory, where that is another.
    copies: Option<Three<Buffer>>,
    device: Device,
    behind: bool,
}

impl Resident {
    /// Brings a state to where the device can work on it.
    pub fn new(device: &Device, state: State) -> Resident {
        let copy = |values: &Vec<f32>| match device.hold(values) {
            Held::Copy(buffer) => Some(buffer),
            Held::Caller(_) => None,
        };
        let copies = [&state.parameters, &state.moments.first, &state.moments.second].map(copy);
        let copies = match copies {
            [Some(parameters), Some(first), Some(second)] => Some([parameters, first, second]),
            _ => None,
        };
        Resident { state, copies, device: device.clone(), behind: false }
    }

    /// Steps that the moments have seen.
    pub fn steps(&self) -> u64 {
        self.state.moments.steps
    }

    /// The parameters, to read.
    pub(super) fn parameters(&self) -> Part<'_> {
        match &self.copies {
            Some([parameters, ..]) => parameters.part(..),
            None => Part::from(&self.state.parameters),
        }
    }

    /// Parameters, first and second moments, to write: one step more.
    pub(super) fn step(&mut self) -> Three<PartMut<'_>> {
        let State { parameters, moments } = &mut self.state;
        moments.steps += 1;
        match &mut self.copies {
            Some(copies) => {
                self.behind = true;
                copies.each_mut().map(|buffer| buffer.part_mut(..))
            }
            None => [parameters, &mut moments.first, &mut moments.second].map(PartMut::from),
        }
    }

    /// The state, as the host has it: copied from the device, where that has gone on since.
    pub fn state(&mut self) -> Result<&State> {
        if let Some([parameters, first, second]) = self.copies.as_ref().filter(|_| self.behind) {
            let State { parameters: p, moments } = &mut self.state;
            for (from, to) in [(parameters, p), (first, &mut moments.first), (second, &mut moments.second)] {
                self.device.read(from.part(..), to)?;
            }
            self.behind = false;
        }
        Ok(&self.state)
    }

    /// The Merkle roots over the chunks of parameters, first and second moments: made where they lie.
    pub fn roots(&self, layout: &Layout) -> Result<[Digest; 3]> {
        let State { parameters, moments } = &self.state;
        let tensors: Vec<(usize, &[usize])> = layout.tensors.iter().map(|t| (t.offset, &t.shape[..])).collect();
        let root = |part: Part<'_>, host: &[f32]| -> Result<Digest> {
            let roots = self.device.tensor_roots(part, &tensors)?;
            let roots = roots.map(|roots| roots.into_iter().map(Digest).collect());
            Ok(merkle::root(roots.unwrap_or_else(|| layout.tensor_roots(host))))
        };
        let hosts = [parameters, &moments.first, &moments.second];
        let parts = match &self.copies {
            Some(copies) => copies.each_ref().map(|buffer| buffer.part(..)),
            None => hosts.map(Part::from),
        };
        Ok([root(parts[0], hosts[0])?, root(parts[1], hosts[1])?, root(parts[2], hosts[2])?])
    }

    /// The state, for good.
    pub fn into_state(mut self) -> Result<State> {
        self.state()?;
        Ok(self.state)
    }
}
