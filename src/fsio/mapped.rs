//! Files mapped into memory.

use std::fs::File;
use std::path::Path;

use crate::engine::machine::MappedFloats;
use crate::error::{IoContext, Result};

/// Maps `len` floats at byte `offset` of a file; `None` where they do not lie there as floats in memory would.
pub fn map_floats(path: &Path, offset: usize, len: usize) -> Result<Option<MappedFloats>> {
    let file = File::open(path).path(path)?;
    MappedFloats::of(&file, offset, len).path(path)
}
