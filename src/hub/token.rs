//! An access token: what nobody may see but the hub.

use std::fmt;

use crate::error::{Error, Result};

/// A token of the hub. It is shown nowhere.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// More bytes are no token.
    pub const MAX: u64 = 4096;

    /// A token as somebody keeps it in `place`, without the space around it; nothing where there is nothing.
    pub fn parse(place: &str, text: &str) -> Result<Option<Token>> {
        let text = text.trim();
        if text.len() as u64 > Token::MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::data(format!("{place}: expected a token, of letters, digits and marks")));
        }
        Ok((!text.is_empty()).then(|| Token(text.to_owned())))
    }

    /// The value of the header `Authorization`.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_nowhere() {
        let token = Token::parse("HF_TOKEN", " hf_secret\n").unwrap().unwrap();
        assert_eq!(token.header(), "Bearer hf_secret");
        assert!(!format!("{token:?}").contains("secret"));
        let error = Token::parse("HF_TOKEN", "hf_secret\r\nHost: elsewhere").unwrap_err();
        assert_eq!(error.to_string(), "HF_TOKEN: expected a token, of letters, digits and marks");
        assert!(Token::parse("HF_TOKEN", " \n").unwrap().is_none());
    }
}
