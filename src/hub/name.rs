//! Names of files as a hub gives them: they become paths here, so they are taken as hostile.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Bytes of a name with its folders.
const MAX: usize = 1024;
/// Bytes of what stands between two slashes: what file systems take.
const MAX_PART: usize = 255;

/// The name of a file in a repository, with its folders: relative, and never out of the folder that it is put into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last part.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folders that it needs, the outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl FromStr for FileName {
    type Err = Error;

    fn from_str(text: &str) -> Result<FileName> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(120).collect();
            Err(Error::data(format!("file name {shown:?}: {why}")))
        };
        if text.len() > MAX || text.split('/').any(|part| part.len() > MAX_PART) {
            return refuse("too long");
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return refuse("it holds a backslash or a control character");
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("expected a path that stays below its folder");
        }
        Ok(FileName(text.to_owned()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_below_its_folder() {
        for name in ["config.json", "data/train-00000.parquet", "a b/ü#?%.txt", "..a/b..", ".gitattributes"] {
            assert_eq!(name.parse::<FileName>().unwrap().as_str(), name);
        }
        let long = "a".repeat(256);
        let deep = "a/".repeat(600) + "a";
        for name in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "a/./b",
            "a\\b",
            "C:\\x",
            "a\0b",
            "a\nb",
            "a\u{7f}b",
            "a\u{85}b",
            &long,
            &deep,
        ] {
            let refused = name.parse::<FileName>().unwrap_err().to_string();
            let says = [
                ": too long",
                ": it holds a backslash or a control character",
                ": expected a path that stays below its folder",
            ];
            assert!(says.iter().any(|says| refused.ends_with(says)), "{refused}");
        }
    }

    #[test]
    fn folders_are_listed_from_outside() {
        let name: FileName = "a/b/c".parse().unwrap();
        assert_eq!((name.folders().collect::<Vec<_>>(), name.last()), (vec!["a", "a/b"], "c"));
    }
}
