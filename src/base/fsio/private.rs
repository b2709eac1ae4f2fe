//! What is for its owner alone: folders, files, random bytes.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::found::open_at_once;
use crate::error::{Context, Error, IoContext, Result};

/// A larger file is refused, in bytes.
const MAX: u64 = 1 << 30;

/// Bytes from the operating system's generator.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let source = Path::new("/dev/urandom");
    File::open(source).and_then(|mut f| f.read_exact(&mut bytes)).path(source)?;
    Ok(bytes)
}

/// Makes a folder for its owner alone, unless it is there.
pub fn private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).path(path)
}

/// Reads a file that is for its owner alone, as text.
pub fn read_private(path: &Path) -> Result<String> {
    let mut file = open_at_once(path).path(path)?;
    require_private(path, &file)?;
    String::from_utf8(read_bounded(path, &mut file)?).map_err(|_| Error::data("not UTF-8")).at(path.display())
}

pub(super) fn read_bounded(path: &Path, file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes).path(path)?;
    if bytes.len() as u64 > MAX {
        return Err(Error::data(format!("{}: expected at most {MAX} bytes", path.display())));
    }
    Ok(bytes)
}

pub(super) fn require_private(path: &Path, file: &File) -> Result<()> {
    let meta = file.metadata().path(path)?;
    if !meta.is_file() {
        return Err(Error::data(format!("{}: expected a file", path.display())));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::data(format!("{}: expected a file that only its owner can read, found mode {mode:03o}", path.display()))
        .hint(format!("chmod 600 {}", path.display())))
}
