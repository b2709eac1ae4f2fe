//! A folder as output: built beside under a temporary name, synced, and renamed as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::output::{Outcome, content_digest, exists};
use super::temp::{self, ScratchDir};
use crate::error::{Error, IoContext, Kind, Result};

/// A folder in the making. Dropped without [`OutDir::finish`], it leaves nothing.
pub struct OutDir {
    target: PathBuf,
    force: bool,
    building: ScratchDir,
    _lock: File,
}

impl OutDir {
    /// Starts to build the folder `target`.
    pub fn create(target: &Path, force: bool) -> Result<OutDir> {
        if target.as_os_str() == "-" {
            return Err(Error::usage("the output is a folder: name it with -o DIR"));
        }
        // A trailing slash, as shells complete it, is no part of the name.
        let target: PathBuf = target.components().collect();
        let parent = temp::parent(&target).to_owned();
        if !parent.is_dir() {
            return Err(Error::missing(format!("{}: no such directory", parent.display())));
        }
        temp::sweep(&target)?;
        let building = ScratchDir::beside(&target, 0o777)?;
        // The folder itself is locked, so that there is no moment when a killed writer leaves it without a lock.
        let lock = File::open(building.path()).path(building.path())?;
        lock.lock().path(building.path())?;
        Ok(OutDir { target, force, building, _lock: lock })
    }

    /// Where a file of the folder is written.
    pub fn path(&self, name: &str) -> PathBuf {
        self.building.path().join(name)
    }

    /// Makes a file of the folder.
    pub fn file(&self, name: &str) -> Result<BufWriter<File>> {
        let path = self.path(name);
        let _held = temp::hold();
        let file = File::create_new(&path).path(&path)?;
        Ok(BufWriter::with_capacity(1 << 18, file))
    }

    /// Fails where [`OutDir::finish`] would because something else is in its place (73). For outputs that belong
    /// together: ask the folder before the first of them is put in place.
    pub fn check_place(&self) -> Result<()> {
        if !self.occupied() || self.target.is_dir() && same(self.building.path(), &self.target)? {
            return Ok(());
        }
        if !self.force || !self.target.is_dir() {
            return Err(exists(&self.target));
        }
        refuse_foreign(self.building.path(), &self.target)
    }

    fn occupied(&self) -> bool {
        fs::read_dir(&self.target).is_ok_and(|mut d| d.next().is_some()) || self.target.is_file()
    }

    /// Puts the folder in its place. An existing one with the same files is up to date; a differing one is
    /// kept (73) unless forced.
    pub fn finish(self) -> Result<Outcome> {
        for name in listing(self.building.path())?.keys() {
            let path = self.building.path().join(name);
            File::open(&path).and_then(|f| f.sync_all()).path(&path)?;
        }
        temp::sync_dir(self.building.path())?;
        let parent = temp::parent(&self.target).to_owned();
        if self.occupied() {
            self.check_place()?;
            if same(self.building.path(), &self.target)? {
                return Ok(Outcome::UpToDate);
            }
            self.exchange()?;
        } else {
            fs::rename(self.building.path(), &self.target).path(&self.target)?;
        }
        temp::sync_dir(&parent)?;
        Ok(Outcome::Written)
    }

    /// Puts the folder in the place of another, which goes.
    fn exchange(&self) -> Result<()> {
        let aside = ScratchDir::beside(&self.target, 0o700)?;
        // No signal comes between: what was there is gone only when the new one is.
        let _held = temp::hold();
        fs::rename(&self.target, aside.path()).path(&self.target)?;
        fs::rename(self.building.path(), &self.target).path(&self.target).inspect_err(|_| {
            let _ = fs::rename(aside.path(), &self.target);
        })
    }
}

/// `--force` replaces what could be an earlier output, never a folder that holds something else.
fn refuse_foreign(ours: &Path, theirs: &Path) -> Result<()> {
    let ours = listing(ours)?;
    let extension = |name: &str| name.rsplit_once('.').map(|(_, e)| e.to_owned());
    let kinds: Vec<_> = ours.keys().map(|name| extension(name)).collect();
    match listing(theirs)?.into_keys().find(|name| !kinds.contains(&extension(name))) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            Kind::Exists,
            format!("{}: exists, and holds {name:?}, which is no earlier output of this", theirs.display()),
        )),
    }
}

fn listing(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(folder).path(folder)? {
        let entry = entry.path(folder)?;
        let meta = entry.metadata().path(&entry.path())?;
        names.insert(entry.file_name().to_string_lossy().into_owned(), meta.len());
    }
    Ok(names)
}

fn same(ours: &Path, theirs: &Path) -> Result<bool> {
    let (a, b) = (listing(ours)?, listing(theirs)?);
    if a != b {
        return Ok(false);
    }
    for name in a.keys() {
        if content_digest(&ours.join(name))? != content_digest(&theirs.join(name))? {
            return Ok(false);
        }
    }
    Ok(true)
}
