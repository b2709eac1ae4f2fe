//! A commit of a repository.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A Git commit: 40 lowercase hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit(String);

impl FromStr for Commit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Commit> {
        if text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Commit(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::data(format!("expected a commit, 40 lowercase hex digits, found {shown:?}")))
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_forty_hex_digits_and_nothing_else() {
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<Commit>().is_ok());
        for text in
            ["", "main", "0123456789ABCDEF0123456789abcdef01234567", "../../../../../../../../../../etc/passwd0"]
        {
            let says = format!("expected a commit, 40 lowercase hex digits, found {text:?}");
            assert_eq!(text.parse::<Commit>().unwrap_err().to_string(), says);
        }
    }
}
