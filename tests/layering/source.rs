//! The source, as the rules read it: without tests and comments.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below `src/`, and its lines of code without tests and comments.
pub struct File {
    pub path: String,
    pub lines: Vec<(usize, String)>,
}

impl File {
    /// The module at the top that it belongs to. What lies in `base/` is a package of its own, and its modules are taken
    /// as if they stood at the top.
    pub fn layer(&self) -> &str {
        let path = self.path.strip_prefix("base/").unwrap_or(&self.path);
        path.split('/').next().unwrap().trim_end_matches(".rs")
    }
}

/// All files but those of tests.
pub fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let test_only = test_only_modules(&paths);
    let kept = paths.iter().filter(|path| !test_only.contains(path));
    let read = |path: &PathBuf| File {
        path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
        lines: code(&fs::read_to_string(path).unwrap()),
    };
    kept.map(read).collect()
}

/// All Rust files below a folder.
pub fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The files of modules declared as `#[cfg(test)] mod name;`.
fn test_only_modules(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            let declared = lines.peek().and_then(|next| next.rsplit("mod ").next()?.strip_suffix(';'));
            if let (true, Some(name)) =
                (line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test"), declared)
            {
                found.push(path.parent().unwrap().join(format!("{name}.rs")));
            }
        }
    }
    found
}

/// Lines of code, numbered from 1. An item under `#[cfg(test)]` goes, from its first brace to the one that closes it.
pub fn code(text: &str) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let (mut skipping, mut depth, mut opened) = (false, 0i64, false);
    for (i, line) in text.lines().enumerate() {
        let bare = line.split("//").next().unwrap();
        let attribute = bare.trim_start();
        if !skipping && (attribute.starts_with("#[cfg(test)]") || attribute.starts_with("#[cfg(all(test")) {
            (skipping, depth, opened) = (true, 0, false);
            continue;
        }
        if !skipping {
            kept.push((i + 1, bare.to_owned()));
            continue;
        }
        // Braces in strings come in pairs, in this house.
        depth += bare.matches('{').count() as i64 - bare.matches('}').count() as i64;
        opened |= bare.contains('{');
        let ends = if opened { depth <= 0 } else { bare.trim_end().ends_with(';') };
        skipping = !ends;
    }
    kept
}
