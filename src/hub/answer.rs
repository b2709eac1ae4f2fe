//! What a hub's answer means where it is no content.

use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode};

use super::patience::Failure;
use crate::error::{Error, Kind};

/// Of whom something was asked, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it was: a repository, with a file's name or without.
    pub what: &'a str,
    /// The page on which people accept a licence.
    pub page: &'a str,
    /// Whether a token was shown.
    pub with_token: bool,
}

/// The failure that an answer of the hub stands for.
pub fn failure(asked: &Asked<'_>, status: StatusCode, headers: &HeaderMap) -> Failure {
    let what = asked.what;
    let code = headers.get("x-error-code").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let says = |text: &str| format!("{what}: {text} ({})", status.as_u16());
    match (status.as_u16(), code) {
        (_, "GatedRepo") => Failure::Final(
            Error::refused(says("the hub gives it only to accounts that have accepted its licence"))
                .hint(format!("accept the licence at {}, and set HF_TOKEN to a token of that account", asked.page)),
        ),
        (_, "RevisionNotFound") => Failure::Final(Error::missing(says("the repository has no such revision"))),
        (_, "EntryNotFound") => Failure::Final(Error::missing(says("the repository has no such file at this commit"))),
        (_, "RepoNotFound") => Failure::Final(token_hint(
            asked,
            Error::missing(says("no such repository, or none that this account may see")),
        )),
        (401, _) => Failure::Final(token_hint(asked, Error::refused(says("the hub wants to know who asks")))),
        (403, _) => Failure::Final(token_hint(asked, Error::refused(says("the hub refuses it to this account")))),
        (404 | 410, _) => Failure::Final(Error::missing(says("the hub has no such repository, revision or file"))),
        (429, _) => {
            let error = Error::try_again(says("the hub has been asked too often"));
            Failure::Passing { error, after: retry_after(headers) }
        }
        (408 | 500 | 502..=504, _) => {
            let error = Error::unavailable(says("the hub does not work at the moment"));
            Failure::Passing { error, after: retry_after(headers) }
        }
        (500.., _) => Failure::Final(Error::new(Kind::Unavailable, says("the hub does not work"))),
        _ => Failure::Final(Error::data(says("an answer that no hub gives"))),
    }
}

/// What helps who is not let in.
fn token_hint(asked: &Asked<'_>, error: Error) -> Error {
    if asked.with_token {
        error.hint(format!("the token was not enough; if there is a licence to accept, it is at {}", asked.page))
    } else {
        error.hint(format!("set HF_TOKEN; if there is a licence to accept, it is at {}", asked.page))
    }
}

/// The seconds that the hub asks to wait. A date is taken as nothing: clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, header: Option<(&'static str, &'static str)>) -> (Kind, Option<Duration>, bool, String) {
        let mut headers = HeaderMap::new();
        header.map(|(name, value)| headers.insert(name, value.parse().unwrap()));
        let asked = Asked { what: "a/b@main", page: "https://hub.example/a/b", with_token: false };
        match failure(&asked, StatusCode::from_u16(status).unwrap(), &headers) {
            Failure::Final(error) => (error.kind(), None, false, error.to_string()),
            Failure::Passing { error, after } => (error.kind(), after, true, error.to_string()),
        }
    }

    #[test]
    fn every_status_has_its_kind() {
        let gated = Some(("x-error-code", "GatedRepo"));
        for (status, header, kind, passing) in [
            (401, None, Kind::Refused, false),
            (403, gated, Kind::Refused, false),
            (401, gated, Kind::Refused, false),
            (401, Some(("x-error-code", "RepoNotFound")), Kind::Missing, false),
            (404, Some(("x-error-code", "RevisionNotFound")), Kind::Missing, false),
            (404, None, Kind::Missing, false),
            (418, None, Kind::Data, false),
            (429, None, Kind::TryAgain, true),
            (501, None, Kind::Unavailable, false),
            (503, None, Kind::Unavailable, true),
        ] {
            let (found, _, passes, text) = judged(status, header);
            assert_eq!((found, passes), (kind, passing), "{text}");
            assert!(text.starts_with("a/b@main: ") && text.ends_with(&format!("({status})")), "{text}");
        }
    }

    #[test]
    fn the_wait_that_is_asked_for_is_in_seconds() {
        let after = |value| judged(429, Some(("retry-after", value))).1;
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn who_is_not_let_in_is_told_what_may_help() {
        let advice = |status: u16, code: &'static str, with_token: bool| {
            let headers = HeaderMap::from_iter([("x-error-code".parse().unwrap(), code.parse().unwrap())]);
            let asked = Asked { what: "a/b@main", page: "https://hub.example/a/b", with_token };
            match failure(&asked, StatusCode::from_u16(status).unwrap(), &headers) {
                Failure::Final(error) => error.advice().unwrap_or_default().to_owned(),
                Failure::Passing { error, .. } => panic!("{error}"),
            }
        };
        for (status, code, with_token, says) in [
            (
                403,
                "GatedRepo",
                false,
                "accept the licence at https://hub.example/a/b, and set HF_TOKEN to a token of that account",
            ),
            (401, "", false, "set HF_TOKEN; if there is a licence to accept, it is at https://hub.example/a/b"),
            (
                401,
                "",
                true,
                "the token was not enough; if there is a licence to accept, it is at https://hub.example/a/b",
            ),
        ] {
            assert_eq!(advice(status, code, with_token), says);
        }
        assert_eq!(judged(418, None).3, "a/b@main: an answer that no hub gives (418)");
    }
}
