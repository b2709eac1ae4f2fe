//! A file of lines for whoever watches: each is there for its readers when it is written, and none is anybody's proof.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Target, read_text_within};
use crate::error::{Error, IoContext, Result};

/// A longer file is refused, in bytes.
const MAX: u64 = 1 << 30;

/// A file that lines are added to.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens a file, or makes it. Of the lines that are there those stay of which `keep` says so; the last may be torn, and then
    /// has no newline. Of what is no regular file, a terminal or a pipe, nothing is read.
    pub fn open(path: &Path, mut keep: impl FnMut(&str) -> Result<bool>) -> Result<Lines> {
        if path.is_file() {
            let text = read_text_within(path, MAX)?;
            let mut kept = String::new();
            for line in text.split_inclusive('\n') {
                if keep(line)? {
                    kept.push_str(line);
                }
            }
            if kept != text {
                Target::new(Some(path), true).write_text(&kept)?;
            }
        } else if path.is_dir() {
            return Err(Error::usage(format!("{}: expected a file, found a directory", path.display())));
        }
        let file = OpenOptions::new().append(true).create(true).open(path).path(path)?;
        Ok(Lines { path: path.to_owned(), file })
    }

    /// Adds a line, in one piece.
    pub fn add(&mut self, line: &str) -> Result<()> {
        self.file.write_all(format!("{line}\n").as_bytes()).path(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_added_behind_those_that_stay() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        for line in ["a1", "b1", "b2"] {
            Lines::open(&path, |_| Ok(true)).unwrap().add(line).unwrap();
        }
        fs::write(&path, fs::read_to_string(&path).unwrap() + "a3 to").unwrap();
        let keep = |line: &str| Ok(line != "b2\n" && line.ends_with('\n'));
        Lines::open(&path, keep).unwrap().add("b2 again").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a1\nb1\nb2 again\n");
        Lines::open(Path::new("/dev/null"), |_| Ok(false)).unwrap().add("to nobody").unwrap();
        assert!(Lines::open(place.path(), |_| Ok(true)).is_err());
    }
}
