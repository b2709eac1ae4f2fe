//! A folder as output: built beside under a temporary name, synced, and renamed as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use super::found::open_regular;
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

    /// Takes over a file that is elsewhere, under a name that may have folders. `share` says that both may be one file from
    /// then on, where the file system can do that; else it is copied.
    pub fn adopt(&self, name: &str, from: &Path, share: bool) -> Result<()> {
        let path = self.path(name);
        let mut copy = {
            let _held = temp::hold();
            let folder = temp::parent(&path);
            fs::create_dir_all(folder).path(folder)?;
            if share && fs::hard_link(from, &path).is_ok() {
                return Ok(());
            }
            File::create_new(&path).path(&path)?
        };
        let mut source = File::open(from).path(from)?;
        io::copy(&mut source, &mut copy).path(&path).map(drop)
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
            // Nor here: whoever removes it for a signal would go on in what is in its place by then.
            let _held = temp::hold();
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
    let extension = |name: &str| name.rsplit('/').next().and_then(|name| Some(name.rsplit_once('.')?.1.to_owned()));
    let kinds: Vec<_> = ours.keys().map(|name| extension(name)).collect();
    let known = |name: &String| match name.ends_with('/') {
        true => ours.contains_key(name),
        false => kinds.contains(&extension(name)),
    };
    match listing(theirs)?.into_keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            Kind::Exists,
            format!("{}: exists, and holds {name:?}, which is no earlier output of this", theirs.display()),
        )),
    }
}

/// Everything below a folder, with its bytes; a folder's name ends with a slash.
fn listing(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut names = BTreeMap::new();
    list_into(folder, "", &mut names)?;
    Ok(names)
}

fn list_into(folder: &Path, prefix: &str, names: &mut BTreeMap<String, u64>) -> Result<()> {
    for entry in fs::read_dir(folder).path(folder)? {
        let entry = entry.path(folder)?;
        let meta = entry.metadata().path(&entry.path())?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if meta.is_dir() {
            let inside = format!("{name}/");
            list_into(&entry.path(), &inside, names)?;
            names.insert(inside, 0);
        } else {
            names.insert(name, meta.len());
        }
    }
    Ok(())
}

fn same(ours: &Path, theirs: &Path) -> Result<bool> {
    let (a, b) = (listing(ours)?, listing(theirs)?);
    if a != b {
        return Ok(false);
    }
    for name in a.keys().filter(|name| !name.ends_with('/')) {
        let (a, b) = (ours.join(name), theirs.join(name));
        // What is named as a frame and is none is compared as it is.
        if !equal(&a, &b)? && content_digest(&a)? != content_digest(&b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two files are the same bytes.
fn equal(a: &Path, b: &Path) -> Result<bool> {
    let open = |path: &Path| open_regular(path).map(BufReader::new);
    let (mut a, mut b) = ((open(a)?, a), (open(b)?, b));
    loop {
        let (left, right) = (a.0.fill_buf().path(a.1)?, b.0.fill_buf().path(b.1)?);
        let both = left.len().min(right.len());
        if both == 0 {
            return Ok(left.len() == right.len());
        }
        if left[..both] != right[..both] {
            return Ok(false);
        }
        a.0.consume(both);
        b.0.consume(both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(target: &Path, force: bool, files: &[(&str, &Path)]) -> Result<Outcome> {
        let out = OutDir::create(target, force)?;
        files.iter().try_for_each(|(name, from)| out.adopt(name, from, true))?;
        out.finish()
    }

    #[test]
    fn a_folder_with_folders_is_compared_and_replaced_as_a_whole() {
        let place = tempfile::tempdir().unwrap();
        let (one, two, target) = (place.path().join("one"), place.path().join("two"), place.path().join("out"));
        fs::write(&one, "one").unwrap();
        fs::write(&two, "two").unwrap();
        assert_eq!(build(&target, false, &[("a/b/x.json", &one)]).unwrap(), Outcome::Written);
        assert_eq!(fs::read(target.join("a/b/x.json")).unwrap(), b"one");
        assert_eq!(build(&target, false, &[("a/b/x.json", &one)]).unwrap(), Outcome::UpToDate);
        for other in [("a/b/x.json", &*two), ("a/x.json", &*one), ("a/b/y.json", &*one)] {
            assert_eq!(build(&target, false, &[other]).unwrap_err().kind(), Kind::Exists, "{}", other.0);
        }
        assert_eq!(build(&target, true, &[("a/b/x.json", &two)]).unwrap(), Outcome::Written);
        assert_eq!(fs::read(target.join("a/b/x.json")).unwrap(), b"two");
        fs::create_dir(target.join("mine")).unwrap();
        let error = build(&target, true, &[("a/b/x.json", &one)]).unwrap_err();
        assert!(error.to_string().contains("\"mine/\""), "{error}");
    }

    #[test]
    fn what_only_looks_like_a_frame_is_compared_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        let (one, target) = (place.path().join("one"), place.path().join("out"));
        let frame = zstd::encode_all(&b"text"[..], 3).unwrap();
        fs::write(&one, [&frame[..], &frame[..]].concat()).unwrap();
        assert_eq!(build(&target, false, &[("x.zst", &one)]).unwrap(), Outcome::Written);
        assert_eq!(build(&target, false, &[("x.zst", &one)]).unwrap(), Outcome::UpToDate);
    }
}
