//! Links that give a file a second name.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::temp;
use crate::error::{IoContext, Result};

/// Makes `link` lead to `target`, as it is written, whatever it led to before; its folder is made if need be.
pub fn point(link: &Path, target: &Path) -> Result<()> {
    let folder = temp::parent(link);
    fs::create_dir_all(folder).path(folder)?;
    match symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_link(link).is_ok_and(|found| found == target) {
                return Ok(());
            }
            fs::remove_file(link).path(link)?;
            symlink(target, link).path(link)
        }
        made => made.path(link),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_where_it_was_last_made_to() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("a/b");
        for target in ["../x", "../x", "../y"] {
            point(&link, Path::new(target)).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
    }
}
