//! What lies beside a folder.

use std::path::{Path, PathBuf};

/// The place of this name beside a folder that is there: in the folder that holds it, where links lead to. A name that is absolute is
/// itself.
pub fn beside(folder: &Path, name: &Path) -> Option<PathBuf> {
    Some(std::fs::canonicalize(folder).ok()?.parent()?.join(name))
}
