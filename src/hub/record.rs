//! `hub.json`: where a folder's files are from, so that a recipe's theta_0 can be traced.

use serde_json::{Value, json};

use super::commit::Commit;
use super::repository::Repository;
use super::snapshot::Held;
use crate::artifact::canonical;

/// The record's name in the folder.
pub const RECORD: &str = "hub.json";

/// Where files are from.
pub struct Record {
    value: Value,
}

/// What two folders of one origin agree on.
const ORIGIN: [&str; 4] = ["commit", "endpoint", "repository", "repository_type"];

impl Record {
    /// Of files of a repository's commit, from the hub at `host`.
    pub fn new(repository: &Repository, commit: &Commit, host: &str, files: &[Held]) -> Record {
        let files = files.iter().map(
            |file| json!({"name": file.name.as_str(), "sha256": file.sha256.to_string(), "size": file.content.size}),
        );
        let value = json!({
            "type": "hub", "v": 1, "repository": repository.name(), "repository_type": repository.kind().word(),
            "commit": commit.to_string(), "endpoint": host, "files": files.collect::<Vec<_>>(),
        });
        Record { value }
    }

    /// In its one form, with a newline.
    pub fn text(&self) -> String {
        canonical::json(&self.value) + "\n"
    }

    /// What another record says another thing of: one of commit, endpoint, repository and its type.
    pub fn other_origin(&self, text: &str) -> Option<&'static str> {
        let other: Value = serde_json::from_str(text).unwrap_or_default();
        ORIGIN.into_iter().find(|key| other.get(key) != self.value.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::repository::Type;

    #[test]
    fn a_record_has_one_form_and_knows_another_origin() {
        let repository = |name| Repository::parse(Type::Model, name).unwrap();
        let commit: Commit = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let record = Record::new(&repository("a/b@x"), &commit, "huggingface.co", &[]);
        assert_eq!(
            record.text(),
            "{\"commit\":\"0123456789abcdef0123456789abcdef01234567\",\"endpoint\":\"huggingface.co\",\"files\":[],\
             \"repository\":\"a/b\",\"repository_type\":\"model\",\"type\":\"hub\",\"v\":1}\n"
        );
        assert_eq!(record.other_origin(&record.text()), None);
        let other = Record::new(&repository("a/c"), &commit, "huggingface.co", &[]);
        assert_eq!(record.other_origin(&other.text()), Some("repository"));
        assert_eq!(record.other_origin("not json"), Some("commit"));
    }
}
