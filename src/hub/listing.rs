//! What a repository holds at a commit: the hub's own list, with digests and sizes.

use serde::{Deserialize, Serialize};

use super::commit::Commit;
use super::oid::{Content, Oid};
use crate::error::{Context, Error, Result};

/// Bytes of a list.
pub const MAX_BYTES: u64 = 32 << 20;
/// As many files, and more, are a list that the hub cuts off.
const TOO_MANY: usize = 50_000;
/// The largest file that a hub may announce, in bytes.
const MAX_SIZE: u64 = 1 << 50;

/// A file of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as the hub has it: whoever makes a path of it checks it first.
    pub name: String,
    /// Its content, where the list says it.
    pub content: Option<Content>,
}

/// The files of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The commit.
    pub commit: Commit,
    /// Its files.
    pub files: Vec<Entry>,
}

/// As the hub has it, as far as it matters.
#[derive(Deserialize, Serialize)]
struct Answer {
    sha: String,
    siblings: Option<Vec<Sibling>>,
}

#[derive(Deserialize, Serialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize, Serialize)]
struct Lfs {
    sha256: String,
    size: Option<u64>,
}

impl Listing {
    /// Reads the hub's answer.
    pub fn parse(bytes: &[u8]) -> Result<Listing> {
        let answer: Answer = serde_json::from_slice(bytes)
            .map_err(|error| Error::data(format!("expected a repository's list of files: {error}")))?;
        let siblings = answer.siblings.unwrap_or_default();
        if siblings.len() >= TOO_MANY {
            let found = siblings.len();
            return Err(Error::data(format!(
                "expected fewer than {TOO_MANY} files, found {found}: the list may be cut off"
            )));
        }
        let commit = answer.sha.parse()?;
        let files = siblings.into_iter().map(Sibling::entry).collect::<Result<_>>()?;
        Ok(Listing { commit, files })
    }

    /// The same list as [`Listing::parse`] reads it.
    pub fn text(&self) -> Result<String> {
        let answer =
            Answer { sha: self.commit.to_string(), siblings: Some(self.files.iter().map(Sibling::new).collect()) };
        serde_json::to_string(&answer).map_err(|e| Error::bug(format!("a list of files: {e}")))
    }
}

impl Sibling {
    fn entry(self) -> Result<Entry> {
        let shown: String = self.rfilename.chars().take(120).collect();
        let oid = match (&self.lfs, &self.blob) {
            (Some(lfs), _) => Some(lfs.sha256.parse().at(format!("{shown:?}: lfs.sha256"))?),
            (None, Some(blob)) => Some(blob.parse().at(format!("{shown:?}: blobId"))?),
            (None, None) => None,
        };
        let size = self.lfs.as_ref().and_then(|lfs| lfs.size).or(self.size);
        if let Some(found) = size.filter(|size| *size > MAX_SIZE) {
            return Err(Error::data(format!("{shown:?}: expected at most {MAX_SIZE} bytes, found {found}")));
        }
        let content = oid.zip(size).map(|(oid, size)| Content { oid, size });
        Ok(Entry { name: self.rfilename, content })
    }

    fn new(entry: &Entry) -> Sibling {
        let (blob, lfs) = match entry.content.map(|content| (content.oid, content.size)) {
            None => (None, None),
            Some((oid @ Oid::GitBlob(_), _)) => (Some(oid.to_string()), None),
            Some((oid @ Oid::Sha256(_), size)) => (None, Some(Lfs { sha256: oid.to_string(), size: Some(size) })),
        };
        Sibling { rfilename: entry.name.clone(), size: entry.content.map(|content| content.size), blob, lfs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_list_says_what_every_file_holds() {
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let text = format!(
            r#"{{"id":"a/b","sha":"{SHA}","private":false,"siblings":[{{"rfilename":"a","size":7,"blobId":"{SHA}"}},
            {{"rfilename":"b","size":9,"blobId":"{SHA}","lfs":{{"sha256":"{sha256}","size":9,"pointerSize":134}}}},
            {{"rfilename":"c"}}]}}"#
        );
        let list = Listing::parse(text.as_bytes()).unwrap();
        assert_eq!(list.commit.to_string(), SHA);
        let contents: Vec<_> = list.files.iter().map(|f| f.content.map(|c| (c.oid.to_string(), c.size))).collect();
        assert_eq!(contents, [Some((SHA.to_owned(), 7)), Some((sha256.to_owned(), 9)), None]);
        assert_eq!(Listing::parse(list.text().unwrap().as_bytes()).unwrap(), list);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let many = vec![r#"{"rfilename":"a"}"#; TOO_MANY].join(",");
        for text in [
            "".to_owned(),
            "{}".to_owned(),
            r#"{"sha":"main","siblings":[]}"#.to_owned(),
            format!(r#"{{"sha":"{SHA}","siblings":[{{"rfilename":1}}]}}"#),
            format!(r#"{{"sha":"{SHA}","siblings":[{{"rfilename":"a","size":-1}}]}}"#),
            format!(r#"{{"sha":"{SHA}","siblings":[{{"rfilename":"a","size":1125899906842625}}]}}"#),
            format!(r#"{{"sha":"{SHA}","siblings":[{{"rfilename":"a","blobId":"../x"}}]}}"#),
            format!(r#"{{"sha":"{SHA}","siblings":[{many}]}}"#),
            "[".repeat(100_000),
        ] {
            assert!(Listing::parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(80)]);
        }
    }
}
