//! What was found, not named: in a run folder, or in a folder of lists, others decide what lies there. A pipe, a socket or a
//! device in the place of a file would keep its reader waiting for ever, so whatever is found must be a regular file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, IoContext, Result};

/// Places of this process's run, with everything below them.
static FOUND: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From now on a file here, or below it, is one that was found.
pub fn found(place: &Path) {
    let mut all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if !all.iter().any(|known| known == place) {
        all.push(place.to_owned());
    }
}

/// Whether a file is one that was found.
fn is_found(path: &Path) -> bool {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|place| path.starts_with(place))
}

/// Opens an input: what somebody has named as it is, what was found only where it is a regular file.
pub(super) fn open(path: &Path) -> Result<File> {
    if is_found(path) { open_regular(path) } else { File::open(path).path(path) }
}

/// Opens a regular file, and nothing else (65).
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let refused = |what: &str| Error::data(format!("{}: expected a regular file, found {what}", path.display()));
    let file = match open_at_once(path) {
        // A socket cannot be opened, nor a device that nobody drives.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(refused("a socket or a device")),
        opened => opened.path(path)?,
    };
    let kind = file.metadata().path(path)?.file_type();
    match () {
        () if kind.is_file() => Ok(file),
        () if kind.is_dir() => Err(refused("a directory")),
        () if kind.is_fifo() => Err(refused("a pipe")),
        () => Err(refused("a device")),
    }
}

/// Opens whatever it is, and waits for nobody at its other end.
pub(super) fn open_at_once(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_is_found_is_a_regular_file_or_is_refused_by_name_at_once() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join("round-0").join(name);
        std::fs::create_dir(path("")).unwrap();
        std::fs::write(path("file"), "text").unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        std::os::unix::fs::symlink(path("pipe"), path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        assert!(!is_found(&path("pipe")));
        found(&path(""));
        for (name, what) in [
            ("pipe", "a pipe"),
            ("link", "a pipe"),
            ("zero", "a device"),
            ("socket", "a socket or a device"),
            ("", "a directory"),
        ] {
            let error = open(&path(name)).unwrap_err();
            assert_eq!(error.kind(), Kind::Data, "{error}");
            assert!(error.to_string().ends_with(&format!("expected a regular file, found {what}")), "{error}");
        }
        open(&path("file")).unwrap();
        assert_eq!(open(&path("none")).unwrap_err().kind(), Kind::Missing);
        assert!(!is_found(&place.path().join("round-01/pipe")));
    }
}
