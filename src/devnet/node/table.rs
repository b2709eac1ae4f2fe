//! Rows of JSON, a file each: small enough to be read, and with the node stopped edited, by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::crash::CrashPoints;
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::fsio;

/// A folder of rows by key.
pub struct Table<T> {
    folder: PathBuf,
    rows: BTreeMap<String, T>,
    crash: CrashPoints,
}

impl<T: Serialize + DeserializeOwned + Clone> Table<T> {
    /// Reads the table `name` in a node's folder.
    pub fn open(node: &Path, name: &str, crash: &CrashPoints) -> Result<Table<T>> {
        let folder = node.join(name);
        fsio::private_dir(&folder)?;
        let mut rows = BTreeMap::new();
        for entry in fs::read_dir(&folder).path(&folder)? {
            let path = entry.path(&folder)?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if let (false, Some(key)) = (name.starts_with('.'), name.strip_suffix(".json")) {
                let row = serde_json::from_slice(&fs::read(&path).path(&path)?)
                    .map_err(|e| Error::data(format!("{}: not a row: {e}", path.display())))?;
                rows.insert(key.to_owned(), row);
            }
        }
        Ok(Table { folder, rows, crash: crash.clone() })
    }

    /// A row.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.rows.get(key)
    }

    /// All rows, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.rows.iter()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Replaces a row, on disk first.
    pub fn put(&mut self, key: &str, row: T) -> Result<()> {
        let text = serde_json::to_string_pretty(&row).expect("rows are strings and numbers");
        disk::replace(&self.folder.join(format!("{key}.json")), (text + "\n").as_bytes())?;
        self.rows.insert(key.to_owned(), row);
        if let Some(name) = self.folder.file_name().and_then(|n| n.to_str()) {
            self.crash.reach(&format!("after-{name}-row"));
        }
        Ok(())
    }
}
