//! The files of a run folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::audit::RunFolder;
use crate::error::{Error, IoContext, Result};

/// More files are refused.
const MOST: usize = 1 << 22;

/// The regular files of a folder and of the folders in it, hidden ones left out; and what is neither file nor folder.
pub fn list(root: &Path) -> Result<(RunFolder, Vec<String>)> {
    let (mut names, mut others) = (BTreeSet::new(), Vec::new());
    if !root.is_dir() {
        return Err(Error::missing(format!("{}: expected a run folder", root.display())));
    }
    read(root, "", &mut names, &mut others)?;
    // Links to files that are looked at in their own place.
    others.retain(|name| !name.starts_with("states/"));
    Ok((RunFolder::new(root, names), others))
}

fn read(folder: &Path, prefix: &str, names: &mut BTreeSet<String>, others: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).path(folder)? {
        let entry = entry.path(folder)?;
        let Ok(name) = entry.file_name().into_string() else {
            others.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().path(&entry.path())?;
        let name = format!("{prefix}{name}");
        if kind.is_file() {
            names.insert(name);
        } else if kind.is_dir() && prefix.is_empty() {
            read(&entry.path(), &format!("{name}/"), names, others)?;
        } else {
            others.push(name);
        }
        if names.len() + others.len() > MOST {
            return Err(Error::data(format!("{}: more than {MOST} files", folder.display())));
        }
    }
    Ok(())
}
