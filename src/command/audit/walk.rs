//! The files of a run folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::audit::{RunFolder, is_aside, is_folder};
use crate::error::{Error, IoContext, Result};
use crate::fsio;

/// More files are refused.
const MOST: usize = 1 << 22;

/// The regular files of a run folder and of the folders in it that are ours, hidden ones left out; and what is nothing of
/// ours, named as a terminal can show it. What stands in folders of others is not looked at.
pub fn list(root: &Path) -> Result<(RunFolder, Vec<String>)> {
    let (mut names, mut others) = (BTreeSet::new(), Vec::new());
    if !root.is_dir() {
        return Err(Error::missing(format!("{}: expected a run folder", root.display())));
    }
    fsio::found(root);
    read(root, "", &mut names, &mut others)?;
    Ok((RunFolder::new(root, names), others))
}

fn read(folder: &Path, prefix: &str, names: &mut BTreeSet<String>, others: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).path(folder)? {
        let entry = entry.path(folder)?;
        let raw = entry.file_name();
        if raw.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type().path(&entry.path())?;
        // Our names are printable ASCII.
        let name = raw.to_str().filter(|name| name.bytes().all(|b| (b' '..=b'~').contains(&b)));
        match name {
            Some(name) if kind.is_file() => {
                names.insert(format!("{prefix}{name}"));
            }
            Some(name) if kind.is_dir() && prefix.is_empty() && is_folder(name) => {
                read(&entry.path(), &format!("{name}/"), names, others)?;
            }
            Some(name) if kind.is_dir() && is_aside(prefix, name) => {}
            _ => {
                let end = if kind.is_dir() { "/" } else { "" };
                others.push(format!("{prefix}{}{end}", raw.as_encoded_bytes().escape_ascii()));
            }
        }
        if names.len() + others.len() > MOST {
            return Err(Error::data(format!("{}: more than {MOST} files", folder.display())));
        }
    }
    Ok(())
}
