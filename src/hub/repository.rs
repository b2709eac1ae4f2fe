//! Which repository, at which revision.

use std::fmt;

use hf_hub::{Repo, RepoType};

use super::commit::Commit;
use super::name::FileName;
use crate::error::{Error, Result};

/// Bytes of a repository's name.
const MAX_NAME: usize = 96;
/// Bytes of a revision's name.
const MAX_REVISION: usize = 255;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A model: weights, configuration, tokenizer.
    Model,
    /// A data set.
    Dataset,
}

impl Type {
    /// Its word in records.
    pub fn word(self) -> &'static str {
        match self {
            Type::Model => "model",
            Type::Dataset => "dataset",
        }
    }

    fn of_crate(self) -> RepoType {
        match self {
            Type::Model => RepoType::Model,
            Type::Dataset => RepoType::Dataset,
        }
    }
}

/// A repository at a revision: a branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    kind: Type,
    name: String,
    revision: String,
}

impl Repository {
    /// Parses `NAME`, `OWNER/NAME` and either with `@REVISION`. Both become parts of addresses and paths, so they are of
    /// plain letters.
    pub fn parse(kind: Type, text: &str) -> Result<Repository> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let refuse = |what: &str| Err(Error::usage(format!("{text:?}: expected {what}")));
        let plain = |part: &str| {
            let edge = |c: Option<char>| !matches!(c, None | Some('-' | '.'));
            part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && edge(part.chars().next())
                && edge(part.chars().next_back())
                && !part.contains("--")
                && !part.contains("..")
        };
        if name.len() > MAX_NAME || name.split('/').count() > 2 || !name.split('/').all(plain) {
            return refuse("the name of a repository, NAME or OWNER/NAME, before any @REVISION");
        }
        let plain = |part: &str| {
            part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
                && !part.is_empty()
                && !part.starts_with('.')
                && !part.contains("..")
        };
        if revision.len() > MAX_REVISION || !revision.split('/').all(plain) {
            return refuse("a branch, a tag or a commit after the @");
        }
        Ok(Repository { kind, name: name.to_owned(), revision: revision.to_owned() })
    }

    /// What it holds.
    pub fn kind(&self) -> Type {
        self.kind
    }

    /// Its name, with its owner's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The revision as it was asked for.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Where people read about it, below the endpoint.
    pub fn page(&self) -> String {
        self.at_crate(&self.revision).url()
    }

    /// Where the hub lists its files, with digests and sizes, below the endpoint.
    pub fn list_path(&self) -> String {
        format!("/api/{}?blobs=true", self.at_crate(&self.revision).api_url())
    }

    /// Where the hub has a file of a commit, below the endpoint.
    pub fn file_path(&self, commit: &Commit, file: &FileName) -> String {
        let repo = self.at_crate(&commit.to_string());
        format!("/{}/resolve/{}/{}", repo.url(), repo.url_revision(), escaped(file.as_str()))
    }

    /// The same for the crate that knows the layouts.
    pub fn at_crate(&self, revision: &str) -> Repo {
        Repo::with_revision(self.name.clone(), self.kind.of_crate(), revision.to_owned())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.revision)
    }
}

/// A path in which only slashes and plain letters stand for themselves.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(byte as char),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_repository_has_its_addresses() {
        let commit: Commit = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let model = Repository::parse(Type::Model, "org/a.b-c_d@refs/pr/1").unwrap();
        assert_eq!(model.list_path(), "/api/models/org/a.b-c_d/revision/refs%2Fpr%2F1?blobs=true");
        assert_eq!(
            model.file_path(&commit, &"x/a b#ü.json".parse().unwrap()),
            format!("/org/a.b-c_d/resolve/{commit}/x/a%20b%23%C3%BC.json")
        );
        let data = Repository::parse(Type::Dataset, "squad").unwrap();
        assert_eq!(data.to_string(), "squad@main");
        assert_eq!(data.file_path(&commit, &"a".parse().unwrap()), format!("/datasets/squad/resolve/{commit}/a"));
    }

    #[test]
    fn names_that_could_be_anything_else_are_refused() {
        let long = "a".repeat(97);
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "../a",
            "a/..",
            "a--b",
            "a b",
            "a@",
            "a@..",
            "a@x/../y",
            "a@-/",
            "a@/x",
            "a@x?y",
            "https://huggingface.co/a",
            "a\nb",
            "a@x\\y",
            ".a",
            "a@.git",
            &long,
        ] {
            let error = Repository::parse(Type::Model, text).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text:?}");
        }
    }
}
