//! Transcripts, taken apart.

use std::fs;

/// A file of steps.
pub struct Transcript {
    /// `AREA/NAME.trycmd`.
    pub name: String,
    pub text: String,
}

/// A command line and what it said.
pub struct Step {
    /// The line that it begins on.
    pub line: usize,
    pub command: String,
    /// As it stands after `?`; empty for success.
    pub status: String,
    pub said: Vec<String>,
}

/// All transcripts.
pub fn all() -> Vec<Transcript> {
    let areas = fs::read_dir(crate::home()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = areas.flat_map(|area| fs::read_dir(area).unwrap().map(|entry| entry.unwrap().path()));
    let mut all: Vec<Transcript> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "trycmd"))
        .map(|path| Transcript {
            name: path.strip_prefix(crate::home()).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

impl Transcript {
    /// What stands in its fences.
    pub fn steps(&self) -> Vec<Step> {
        let (mut steps, mut fenced): (Vec<Step>, bool) = (Vec::new(), false);
        for (at, line) in self.text.lines().enumerate() {
            if line.starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                continue;
            } else if let Some(command) = line.strip_prefix("$ ") {
                let (status, said) = (String::new(), Vec::new());
                steps.push(Step { line: at + 1, command: command.to_owned(), status, said });
            } else if let Some(step) = steps.last_mut() {
                match (line.strip_prefix("> "), line.strip_prefix("? ")) {
                    (Some(more), _) if step.said.is_empty() => step.command += &format!(" {more}"),
                    (_, Some(status)) if step.said.is_empty() => step.status = status.to_owned(),
                    _ => step.said.push(line.to_owned()),
                }
            }
        }
        steps
    }
}
