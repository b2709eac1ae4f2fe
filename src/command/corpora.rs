//! The files of a corpus: what the command line names, what is in its folders, and what its patterns match.
//!
//! The order is that of the command line, and within a folder or a pattern that of the names' bytes, so it is the same on
//! every machine. Hidden names are passed over. A link to a file is that file, as in the Hub's cache; a link to a folder that
//! a search comes upon is passed over, so that there are no circles. Pipes, sockets and devices are taken where they are
//! named themselves and nowhere else.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use crate::data::Format;
use crate::error::{Error, IoContext, Result};
use crate::hub::{Glob, RECORD};
use crate::ui::Ui;

/// What a search found, and what it passed over.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    other_kinds: usize,
    links: usize,
    no_files: usize,
}

/// The corpus files that these arguments stand for. What is found below `output`, the shards of an earlier time, is none.
pub fn files(arguments: &[PathBuf], output: &Path, ui: &Ui) -> Result<Vec<PathBuf>> {
    let output = fs::canonicalize(output).ok();
    let (mut files, mut found, mut searched) = (Vec::new(), Found::default(), false);
    for argument in arguments {
        if argument.as_os_str() == "-" {
            if files.iter().any(|file: &PathBuf| file.as_os_str() == "-") {
                return Err(Error::usage("-: standard input can be read once"));
            }
            files.push(argument.clone());
            continue;
        }
        let before = found.files.len();
        match fs::metadata(argument) {
            Ok(meta) if meta.is_dir() => {
                everything(argument, output.as_deref(), &mut found)?;
                if found.files.len() == before {
                    let what = format!("{}: no corpus file in this folder", argument.display());
                    return Err(Error::missing(what).hint(format!("known are {}", Format::KNOWN)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && Pattern::is(argument) => {
                Pattern::parse(argument)?.matching(output.as_deref(), &mut found)?;
                if found.files.len() == before {
                    return Err(Error::missing(format!("{}: no file matches this pattern", argument.display())));
                }
            }
            known => {
                known.path(argument)?;
                files.push(argument.clone());
                continue;
            }
        }
        searched = true;
        found.files[before..].sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
        files.extend_from_slice(&found.files[before..]);
    }
    if searched {
        found.say(ui);
    }
    Ok(files)
}

impl Found {
    fn say(&self, ui: &Ui) {
        let kinds = [(Format::Text, "of text"), (Format::JsonLines, "of JSON Lines"), (Format::Parquet, "of parquet")];
        let count = |format| self.files.iter().filter(|file| Format::of(file) == format).count();
        let kinds = kinds.map(|(format, what)| (count(format), what));
        let passed = [
            (self.other_kinds, "of other kinds"),
            (self.links, "links to folders"),
            (self.no_files, "that are neither files nor folders"),
        ];
        let list = |parts: &[(usize, &str)]| {
            let parts = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
            parts.collect::<Vec<_>>().join(", ")
        };
        let passed = match list(&passed) {
            none if none.is_empty() => none,
            some => format!("; passed over: {some}"),
        };
        ui.say(format!("found {} corpus files: {}{passed}", self.files.len(), list(&kinds)));
    }

    /// Takes a file, or what a link leads to; says whether it is a folder to be searched.
    fn take(&mut self, path: PathBuf, kind: FileType) -> Result<bool> {
        let meta = if kind.is_symlink() { fs::metadata(&path).path(&path)?.file_type() } else { kind };
        match () {
            () if kind.is_dir() => return Ok(true),
            () if meta.is_file() => self.files.push(path),
            () if meta.is_dir() => self.links += 1,
            () => self.no_files += 1,
        }
        Ok(false)
    }
}

/// What is in a folder.
fn entries(folder: &Path) -> Result<Vec<(OsString, FileType)>> {
    let entries = fs::read_dir(folder).path(folder)?;
    entries.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))).path(folder)).collect()
}

fn hidden(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a search turns back here: these are the shards that are being made.
fn is_output(folder: &Path, output: Option<&Path>) -> bool {
    output.is_some() && fs::canonicalize(folder).ok().as_deref() == output
}

/// Every file of a known kind below a folder.
fn everything(root: &Path, output: Option<&Path>, found: &mut Found) -> Result<()> {
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        if is_output(&folder, output) {
            continue;
        }
        for (name, kind) in entries(&folder)?.into_iter().filter(|(name, _)| !hidden(name)) {
            let path = folder.join(&name);
            // What `l402 pull` leaves beside the files of a data set is no part of it.
            let known = Format::known(&path).is_some() && name != RECORD;
            if !known && (kind.is_file() || kind.is_symlink() && !path.is_dir()) {
                found.other_kinds += 1;
            } else if found.take(path.clone(), kind)? {
                open.push(path);
            }
        }
    }
    Ok(())
}

/// A pattern over paths: `*` and `?` within a name, `**` for any number of folders.
struct Pattern {
    /// The folder that the search begins in: all that stands before the first name with a wildcard.
    root: PathBuf,
    names: Vec<Name>,
}

enum Name {
    /// `**`: any number of names, none of them hidden.
    Any,
    /// One name; a hidden one only where the pattern begins with a dot too.
    One(Glob),
}

impl Pattern {
    /// Whether a name can be meant as a pattern.
    fn is(path: &Path) -> bool {
        path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?".contains(byte))
    }

    fn parse(path: &Path) -> Result<Pattern> {
        let invalid = |why: String| Error::usage(format!("{}: {why}", path.display()));
        let text = path.to_str().ok_or_else(|| invalid("expected a pattern in UTF-8".into()))?;
        let mut root = PathBuf::from(if text.starts_with('/') { "/" } else { "" });
        let mut names = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty()) {
            match name {
                // Two of them are one.
                "**" if matches!(names.last(), Some(Name::Any)) => {}
                "**" => names.push(Name::Any),
                _ if names.is_empty() && !Pattern::is(Path::new(name)) => root.push(name),
                _ => names.push(Name::One(name.parse().map_err(invalid)?)),
            }
        }
        Ok(Pattern { root, names })
    }

    /// Adds the places that are reached without a name: what follows `**` may begin at once.
    fn close(&self, places: BTreeSet<usize>) -> BTreeSet<usize> {
        let passed = places.iter().filter(|at| matches!(self.names.get(**at), Some(Name::Any))).map(|at| at + 1);
        passed.chain(places.iter().copied()).collect()
    }

    /// Where in the pattern one is after a name, having been at `places`.
    fn after(&self, places: &BTreeSet<usize>, name: &OsString) -> BTreeSet<usize> {
        let text = name.to_string_lossy();
        let next = places.iter().filter_map(|at| match self.names.get(*at)? {
            Name::Any => (!hidden(name)).then_some(*at),
            Name::One(glob) if hidden(name) && !glob.as_str().starts_with('.') => None,
            Name::One(glob) => glob.matches(&text).then_some(at + 1),
        });
        self.close(next.collect())
    }

    /// The files that match. Every folder is looked into once, however many ways the pattern leads there.
    fn matching(&self, output: Option<&Path>, found: &mut Found) -> Result<()> {
        let mut open = vec![(self.root.clone(), self.close(BTreeSet::from([0])))];
        while let Some((folder, places)) = open.pop() {
            let named = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            if is_output(named, output) || !named.is_dir() {
                continue;
            }
            for (name, kind) in entries(named)? {
                let after = self.after(&places, &name);
                let path = folder.join(&name);
                if kind.is_dir() {
                    if after.iter().any(|at| *at < self.names.len()) {
                        open.push((path, after));
                    }
                } else if after.contains(&self.names.len()) {
                    found.take(path, kind)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// A folder with these files, the folders that they need, and no content.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for name in names {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        place
    }

    /// The files that arguments stand for, below the folder.
    fn found(place: &Path, arguments: &[&str]) -> Result<Vec<String>> {
        let arguments: Vec<PathBuf> = arguments.iter().map(|argument| place.join(argument)).collect();
        let files = files(&arguments, &place.join("out"), &Ui::new(true, 0))?;
        let below = |path: PathBuf| path.strip_prefix(place).unwrap().to_str().unwrap().to_owned();
        Ok(files.into_iter().map(below).collect())
    }

    const TREE: [&str; 15] = [
        "b.txt",
        "a/z.jsonl",
        "a.md",
        "a-b.text",
        "a/b/c.parquet",
        "a/b/d.txt.gz",
        "a/b/e.JSON.zst",
        "a/b/f.bin",
        "a/.h.txt",
        ".hidden/g.txt",
        "hub.json",
        "out/shards.jsonl",
        "c.parquet.gz",
        "x[1].txt",
        "a/hub.json",
    ];

    #[test]
    fn a_folder_is_its_known_files_in_the_order_of_their_bytes() {
        let place = folder(&TREE);
        let expected =
            ["a-b.text", "a.md", "a/b/c.parquet", "a/b/d.txt.gz", "a/b/e.JSON.zst", "a/z.jsonl", "b.txt", "x[1].txt"];
        assert_eq!(found(place.path(), &["."]).unwrap(), expected);
        // The order of the command line comes first, and what is named twice is there twice.
        assert_eq!(found(place.path(), &["b.txt", "a/b", "b.txt"]).unwrap().first().unwrap(), "b.txt");
        assert_eq!(found(place.path(), &["b.txt", "a/b", "b.txt"]).unwrap().len(), 5);
        let error = found(place.path(), &[".hidden/none"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
        fs::create_dir(place.path().join("empty")).unwrap();
        let error = found(place.path(), &["empty"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
        assert!(error.to_string().contains("no corpus file"), "{error}");
    }

    #[test]
    fn a_pattern_is_what_it_matches_and_a_file_of_that_name_is_itself() {
        let place = folder(&TREE);
        for (pattern, expected) in [
            ("*.txt", &["b.txt", "x[1].txt"][..]),
            ("a/**/*.jsonl", &["a/z.jsonl"]),
            ("**/*.txt", &["b.txt", "x[1].txt"]),
            ("**/b/*", &["a/b/c.parquet", "a/b/d.txt.gz", "a/b/e.JSON.zst", "a/b/f.bin"]),
            ("**/**/b/**/?.bin", &["a/b/f.bin"]),
            ("a/.*", &["a/.h.txt"]),
            (".h*/*.txt", &[".hidden/g.txt"]),
            ("a/**", &["a/b/c.parquet", "a/b/d.txt.gz", "a/b/e.JSON.zst", "a/b/f.bin", "a/hub.json", "a/z.jsonl"]),
            ("x[1].txt", &["x[1].txt"]),
        ] {
            assert_eq!(found(place.path(), &[pattern]).unwrap(), expected, "{pattern}");
        }
        fs::write(place.path().join("what?*.txt"), "").unwrap();
        assert_eq!(found(place.path(), &["what?*.txt"]).unwrap(), ["what?*.txt"]);
        for (pattern, kind) in [("*.csv", Kind::Missing), ("none/**", Kind::Missing), ("*.[ab]", Kind::Usage)] {
            assert_eq!(found(place.path(), &[pattern]).unwrap_err().kind(), kind, "{pattern}");
        }
    }

    #[test]
    fn links_lead_to_files_and_never_into_folders() {
        let place = folder(&["data/a.txt", "blobs/0123"]);
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, place.path().join(name)).unwrap();
        link("..", "data/loop");
        link("../blobs/0123", "data/b.txt");
        link("../blobs/0123", "data/b.bin");
        assert_eq!(found(place.path(), &["data"]).unwrap(), ["data/a.txt", "data/b.txt"]);
        assert_eq!(found(place.path(), &["data/**/*.txt"]).unwrap(), ["data/a.txt", "data/b.txt"]);
        // A folder that is named itself is that folder, whatever led there.
        link("data", "also");
        assert_eq!(found(place.path(), &["also"]).unwrap(), ["also/a.txt", "also/b.txt"]);
        link("nowhere", "data/gone.txt");
        let error = found(place.path(), &["data"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
        assert!(error.to_string().contains("gone.txt"), "{error}");
    }

    #[test]
    fn a_pattern_of_many_stars_looks_into_every_folder_once() {
        let deep = "d/".repeat(60) + "x.txt";
        let place = folder(&[&deep]);
        assert_eq!(found(place.path(), &[&format!("{}*.txt", "**/d/".repeat(30))]).unwrap(), [deep]);
        let error = found(place.path(), &[&format!("{}none", "**/*/".repeat(30))]).unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
    }
}
