//! One GPU: its driver, and memory and launches as the operators use them.

use std::fmt;
use std::sync::Arc;

use super::driver::{Arg, Driver, Grid};
use crate::engine::Buffer;
use crate::error::Result;

/// One GPU.
pub struct Cuda {
    pub(super) driver: Arc<Driver>,
}

impl Cuda {
    /// The GPU with this number; what keeps it from serving is told (69).
    pub fn open(ordinal: usize) -> Result<Cuda> {
        Ok(Cuda { driver: Driver::open(ordinal)? })
    }

    pub(super) fn launch(&self, kernel: &'static str, grid: Grid, args: &[Arg<'_>]) {
        self.driver.launch(kernel, grid, args);
    }

    /// Memory for elements, holding whatever it holds.
    pub(super) fn room<T>(&self, len: usize) -> Buffer<T> {
        Buffer::Device { memory: self.driver.allocate(len * size_of::<T>()), len }
    }

    /// The host's values in the device's memory.
    pub(super) fn upload<T: Copy>(&self, values: &[T]) -> Buffer<T> {
        let buffer = self.room(values.len());
        self.driver.copy_in(values, buffer.part(..).address());
        buffer
    }
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}
