//! Files mapped into memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use crate::error::{IoContext, Result};

/// Maps `len` floats at byte `offset` of a file; `None` where they do not lie there as floats in memory would.
pub fn map_floats(path: &Path, offset: usize, len: usize) -> Result<Option<MappedFloats>> {
    let file = File::open(path).path(path)?;
    MappedFloats::of(&file, offset, len).path(path)
}

/// Floats of a file, mapped into memory and read where they are: pages come in when they are used, and go when memory
/// is short. Little-endian files on little-endian machines.
#[derive(Debug)]
pub struct MappedFloats {
    map: memmap2::Mmap,
    offset: usize,
    len: usize,
}

impl MappedFloats {
    /// Maps `len` floats at `offset` bytes of the file; `None` where they do not lie in it as floats in memory would.
    ///
    /// Nobody may shorten or rewrite the file in place while it is mapped. Our own outputs are replaced by renaming, so
    /// a mapped one stays as it was.
    fn of(file: &File, offset: usize, len: usize) -> std::io::Result<Option<MappedFloats>> {
        let end = len.checked_mul(4).and_then(|size| size.checked_add(offset));
        let fits = file.metadata()?.is_file() && end.is_some() && offset.is_multiple_of(4);
        if !fits || cfg!(target_endian = "big") {
            return Ok(None);
        }
        // SAFETY: the mapping is private and read-only. Were another process to rewrite the file in place, values
        // would change under us, and were it to shorten it, reading would end the process: both are excluded above.
        let map = unsafe { memmap2::Mmap::map(file)? };
        if end.is_none_or(|end| end > map.len()) {
            return Ok(None);
        }
        Ok(Some(MappedFloats { map, offset, len }))
    }
}

impl std::ops::Deref for MappedFloats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let bytes = &self.map[self.offset..self.offset + 4 * self.len];
        let floats: *const f32 = bytes.as_ptr().cast();
        assert!(floats.is_aligned(), "a mapping begins at a page, and the offset is a multiple of 4");
        // SAFETY: the bytes are within the mapping, aligned for f32, live as long as `self`, and every bit pattern is
        // an f32.
        unsafe { std::slice::from_raw_parts(floats, self.len) }
    }
}
