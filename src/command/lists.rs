//! Lists that several parties have written to: several files, or folders of them, each read and judged by itself.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifact::record::{self, Line, Record};
use crate::artifact::{Recipe, Room};
use crate::error::{Error, IoContext, Kind, Result};
use crate::fsio;
use crate::score::Believed;
use crate::ui::Ui;
use crate::verify::Finding;

/// So many malformed lines are said; anybody can send more.
const SAID: usize = 20;

/// One file of a list.
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// What in it is well formed.
    pub lines: Vec<Line>,
}

/// Reads a list of strangers, in the order of its files: those of a folder, `*.jsonl`, by their names. What is malformed
/// is left out with a line that says so, a line or a whole file, and costs no other party anything; only where no file at
/// all can be read is that an error.
pub fn read_many(paths: &[PathBuf], room: Room, ui: &Ui) -> Result<Vec<Part>> {
    let (mut parts, mut left_out, mut malformed) = (Vec::new(), None, Vec::new());
    for (path, room) in files(paths, room)? {
        match record::read_lines_of_many(&path, room) {
            Ok((lines, mut odd)) => {
                malformed.append(&mut odd);
                parts.push(Part { path, lines });
            }
            Err(error) if error.kind() == Kind::Data => {
                ui.say(format!("left out: {error}"));
                left_out = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    malformed.iter().take(SAID).for_each(|error| ui.say(format!("left out: {error}")));
    if malformed.len() > SAID {
        ui.say(format!("left out: and {} more lines", malformed.len() - SAID));
    }
    match left_out {
        Some(error) if parts.is_empty() => Err(error),
        _ => Ok(parts),
    }
}

/// The records of one type in a list of strangers; what is not well formed is passed over.
pub fn select<R: Record>(parts: &[Part]) -> Vec<R> {
    parts.iter().flat_map(|part| record::select_well_formed(&part.lines)).collect()
}

/// The records of one type in files that one party answers for: whatever is malformed is an error.
pub fn read_all<R: Record>(paths: &[PathBuf], room: Room) -> Result<Vec<R>> {
    let mut all = Vec::new();
    for path in paths {
        all.append(&mut record::select(&record::read_lines_within(path, room)?)?);
    }
    Ok(all)
}

/// The findings in files that one party answers for, as far as they are believed; the others are named.
pub fn read_findings(paths: &[PathBuf], room: Room, recipe: &Recipe, ui: &Ui) -> Result<Vec<Finding>> {
    let believed = Believed::of(read_all(paths, room)?, recipe);
    say_left_out(&believed.left_out, ui);
    Ok(believed.findings)
}

/// Names what does not count, as far as anybody wants to read it.
pub fn say_left_out(left_out: &[String], ui: &Ui) {
    left_out.iter().take(SAID).for_each(|why| ui.say(format!("left out: {why}")));
    if left_out.len() > SAID {
        ui.say(format!("left out: and {} more findings", left_out.len() - SAID));
    }
}

/// What a message calls these files.
pub fn name(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The files of a list, and how much each may hold: one in a folder, what one party sends.
fn files(paths: &[PathBuf], room: Room) -> Result<Vec<(PathBuf, Room)>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            fsio::found(path);
            files.extend(in_folder(path, room)?.into_iter().map(|path| (path, Room::of_one())));
        } else {
            files.push((path.clone(), room));
        }
    }
    Ok(files)
}

/// The regular files `*.jsonl` in a folder, by their names; links are none, nor is what is hidden.
fn in_folder(folder: &Path, room: Room) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).path(folder)? {
        let entry = entry.path(folder)?;
        let named = entry.file_name();
        let named = named.to_str().filter(|name| !name.starts_with('.'));
        let list = named.is_some_and(|name| name.strip_suffix(".zst").unwrap_or(name).ends_with(".jsonl"));
        if list && entry.file_type().path(folder)?.is_file() {
            found.push(entry.path());
        }
        if found.len() as u64 > room.lines {
            let most = room.lines;
            return Err(Error::data(format!("{}: expected at most {most} files, found more", folder.display())));
        }
    }
    if found.is_empty() {
        return Err(Error::missing(format!("{}: no *.jsonl in this folder", folder.display())));
    }
    found.sort();
    Ok(found)
}
