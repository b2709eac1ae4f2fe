//! Requests to the hub: which of them carry a token, where redirects lead, and what answers say of a file.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE};
use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, BodyReader};

use super::address::Address;
use super::answer::{self, Asked};
use super::commit::Commit;
use super::env::Settings;
use super::listing::{self, Listing};
use super::oid::Oid;
use super::patience::Failure;
use super::repository::Repository;
use super::token::Token;
use crate::error::{Context, Error, Result};

/// Redirects of one request.
const MAX_REDIRECTS: u32 = 8;
/// How long one waits for a connection, and for an answer to begin.
const ANSWER: Duration = Duration::from_secs(30);
/// How long one waits for the next bytes of an answer.
const SILENCE: Duration = Duration::from_secs(60);

/// How long one reads one answer: what is longer goes on with another request, so that a trickle ends.
const BODY: Duration = Duration::from_secs(3600);

/// The outcome of a request.
type Attempt<T> = std::result::Result<T, Failure>;

/// Speaks to one hub.
pub struct Client {
    agent: Agent,
    endpoint: Address,
    token: Option<Token>,
}

/// What the hub says of a file, beside its bytes.
#[derive(Debug, Default)]
pub struct Said {
    /// The digest.
    pub oid: Option<Oid>,
    /// The bytes of the whole file.
    pub size: Option<u64>,
    /// The commit that it is of.
    pub commit: Option<Commit>,
}

/// An answer whose body has not been read.
pub struct Answer {
    /// What the hub said on the way.
    pub said: Said,
    /// Bytes of this body, where it was said.
    pub length: Option<u64>,
    /// First byte, last byte and length of the whole, of an answer that is a part.
    pub part: Option<(u64, u64, u64)>,
    /// The body.
    pub body: BodyReader<'static>,
}

impl Client {
    /// A client by these settings. A token that anybody on the way could read is not sent.
    pub fn new(settings: &Settings) -> Client {
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("l402/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(ANSWER))
            .timeout_connect(Some(ANSWER))
            .timeout_send_request(Some(ANSWER))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(SILENCE))
            .timeout_recv_body(Some(BODY))
            .build();
        let token = settings.token.clone().filter(|_| !settings.withholds_token());
        Client { agent: config.into(), endpoint: settings.endpoint.clone(), token }
    }

    /// The files of a repository, at the commit where its revision stands now.
    pub fn list(&self, repository: &Repository) -> Attempt<Listing> {
        let what = repository.to_string();
        let answer = self.follow(&what, repository, Method::GET, &repository.list_path(), 0)?;
        let mut bytes = Vec::new();
        let read = answer.body.take(listing::MAX_BYTES + 1).read_to_end(&mut bytes);
        if bytes.len() as u64 > listing::MAX_BYTES {
            let most = listing::MAX_BYTES;
            return Err(Error::data(format!("{what}: the hub's list: expected at most {most} bytes")).into());
        }
        read.map_err(|error| cut(&what, &error))?;
        let listing = Listing::parse(&bytes).at(&what)?;
        match repository.revision().parse::<Commit>() {
            Ok(asked) if asked != listing.commit => {
                let found = &listing.commit;
                Err(Error::data(format!("{what}: the hub answers with another commit, {found}")).into())
            }
            _ => Ok(listing),
        }
    }

    /// What the hub says of a file, without its bytes.
    pub fn head(&self, what: &str, repository: &Repository, path: &str) -> Attempt<Said> {
        let answer = self.follow(what, repository, Method::HEAD, path, 0)?;
        let size = answer.said.size.or(answer.length);
        Ok(Said { size, ..answer.said })
    }

    /// A file's bytes, from the one numbered `from`.
    pub fn get(&self, what: &str, repository: &Repository, path: &str, from: u64) -> Attempt<Answer> {
        self.follow(what, repository, Method::GET, path, from)
    }

    /// Asks the hub, and goes where it sends one. Of other hosts nothing but bytes is believed, and none of them sees the
    /// token, nor does the hub again when one comes back from there.
    fn follow(&self, what: &str, repository: &Repository, method: Method, path: &str, from: u64) -> Attempt<Answer> {
        let page = self.endpoint.below(&format!("/{}", repository.page()))?;
        let page = page.uri().to_string();
        let asked = Asked { what, page: &page, with_token: self.token.is_some() };
        let mut address = self.endpoint.below(path).at(what)?;
        let mut said = Said::default();
        let mut at_home = true;
        for _ in 0..=MAX_REDIRECTS {
            at_home &= address.same_origin(&self.endpoint);
            let mut request = Request::builder().method(method.clone()).uri(address.uri());
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| at_home) {
                request = request.header(AUTHORIZATION, token.header());
            }
            let request = request.body(()).map_err(|e| Error::bug(format!("a request: {e}")))?;
            let response = self.agent.run(request).map_err(|error| unanswered(&address, error))?;
            let (status, headers) = (response.status(), response.headers());
            if at_home {
                said.hear(headers, status.is_success()).at(what)?;
            }
            match status.as_u16() {
                200 | 206 => {
                    let (length, part) = (number(headers, CONTENT_LENGTH.as_str())?, part(headers).at(what)?);
                    let part = part.filter(|_| status == 206);
                    if status == 206 && part.is_none() {
                        return Err(Error::data(format!("{what}: a part of a file that says not which")).into());
                    }
                    return Ok(Answer { said, length, part, body: response.into_body().into_reader() });
                }
                301 | 302 | 303 | 307 | 308 => {
                    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
                    let location = location.ok_or_else(|| Error::data(format!("{what}: a redirect to nowhere")))?;
                    let next = address.join(location).at(what)?;
                    if address.is_tls() && !next.is_tls() {
                        return Err(
                            Error::data(format!("{what}: a redirect to {next}, which everybody can read")).into()
                        );
                    }
                    // What a file is, its hub says; who has the bytes need not be asked for that.
                    if method == Method::HEAD && said.oid.is_some() && said.size.is_some() {
                        let body = response.into_body().into_reader();
                        return Ok(Answer { said, length: None, part: None, body });
                    }
                    address = next;
                }
                416 if from > 0 => {
                    return Err(Error::data(format!("{what}: the hub has no byte {from} of what it announced")).into());
                }
                _ if at_home => return Err(answer::failure(&asked, status, headers)),
                // The hub signs such an address anew each time.
                _ => {
                    let error = format!("{what}: {address}, to which the hub sends on, answers {}", status.as_u16());
                    return Err(Failure::passing(Error::unavailable(error)));
                }
            }
        }
        Err(Error::data(format!("{what}: more than {MAX_REDIRECTS} redirects")).into())
    }
}

impl Said {
    /// What the headers of an answer say. A large file's own digest, size and commit stand in headers of their own, those of
    /// the answer itself may be another thing's.
    fn hear(&mut self, headers: &HeaderMap, content: bool) -> Result<()> {
        if let Some(commit) = text(headers, "x-repo-commit")? {
            self.commit = Some(commit.parse().at("X-Repo-Commit")?);
        }
        if let Some(size) = number(headers, "x-linked-size")? {
            self.size = Some(size);
        }
        if let Some(tag) = text(headers, "x-linked-etag")? {
            self.oid = Some(bare(tag).parse().at("X-Linked-Etag")?);
        } else if let (true, None, Some(tag)) = (content, self.oid, text(headers, ETAG.as_str())?) {
            // A mirror may tag what it gives in its own way.
            self.oid = bare(tag).parse().ok();
        }
        Ok(())
    }
}

/// An entity tag without its marks.
fn bare(tag: &str) -> &str {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

/// What a header says, if it is there.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_| Error::data(format!("{name}: expected printable ASCII")))
}

/// The number that a header says, if it is there.
fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Error::data(format!("{name}: expected a number, found {text:?}")))
}

/// Which part of the whole an answer is, if it is one.
fn part(headers: &HeaderMap) -> Result<Option<(u64, u64, u64)>> {
    let Some(text) = text(headers, CONTENT_RANGE.as_str())? else { return Ok(None) };
    let parse = || {
        let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?, whole.parse().ok()?))
    };
    parse().map(Some).ok_or_else(|| Error::data(format!("Content-Range: expected bytes of a whole, found {text:?}")))
}

/// The failure of a body that ends too early.
pub fn cut(what: &str, error: &io::Error) -> Failure {
    Failure::passing(Error::unavailable(format!("{what}: the transfer was cut off: {error}")))
}

/// The failure of a request that got no answer.
fn unanswered(address: &Address, error: ureq::Error) -> Failure {
    let says = |text: String| Error::unavailable(format!("{address} does not answer: {text}"));
    match error {
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) | ureq::Error::Http(_) => {
            Failure::Final(Error::data(format!("{address}: an answer that is no HTTP: {error}")))
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Failure::Final(says(format!("no private connection: {error}"))),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Failure::Final(says(format!("no private connection: {error}")))
        }
        ureq::Error::Io(error) => Failure::passing(says(error.to_string())),
        ureq::Error::HostNotFound => Failure::passing(says("no such host".into())),
        error => Failure::passing(says(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_large_file_is_named_by_headers_of_its_own() {
        let (sha1, sha256) = ("ab".repeat(20), "cd".repeat(32));
        let mut said = Said::default();
        let redirect =
            [("etag", &*format!("\"{sha1}\"")), ("x-linked-etag", &*format!("\"{sha256}\"")), ("x-linked-size", "7")];
        said.hear(&headers(&redirect), false).unwrap();
        said.hear(&headers(&[("etag", &format!("W/\"{sha1}\""))]), true).unwrap();
        assert_eq!((said.oid.unwrap().to_string(), said.size), (sha256, Some(7)));
        let mut said = Said::default();
        said.hear(&headers(&[("etag", &format!("W/\"{sha1}\""))]), false).unwrap();
        assert!(said.oid.is_none());
        said.hear(&headers(&[("etag", &format!("W/\"{sha1}\""))]), true).unwrap();
        assert_eq!(said.oid.unwrap().to_string(), sha1);
        assert!(Said::default().hear(&headers(&[("x-linked-etag", "../x")]), false).is_err());
        assert!(Said::default().hear(&headers(&[("x-repo-commit", "main")]), false).is_err());
    }

    #[test]
    fn a_part_says_which() {
        let part = |text: &str| part(&headers(&[("content-range", text)]));
        assert_eq!(part("bytes 5-9/10").unwrap(), Some((5, 9, 10)));
        for text in ["bytes 5-9/*", "bytes */10", "bytes=5-9/10", "bytes 5-/10", "5-9/10", "bytes -5-9/10"] {
            let says = format!("Content-Range: expected bytes of a whole, found {text:?}");
            assert_eq!(part(text).unwrap_err().to_string(), says);
        }
        assert_eq!(super::part(&headers(&[])).unwrap(), None);
    }

    #[test]
    fn headers_that_are_not_what_they_must_be_are_named() {
        let hear = |name: &'static str, value: &[u8]| {
            let value = ureq::http::HeaderValue::from_bytes(value).unwrap();
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value)]);
            Said::default().hear(&headers, true).unwrap_err().to_string()
        };
        assert_eq!(hear("x-linked-size", b"many"), "x-linked-size: expected a number, found \"many\"");
        assert_eq!(hear("x-linked-etag", b"\xe9"), "x-linked-etag: expected printable ASCII");
    }

    #[test]
    fn who_does_not_answer_is_named_and_why() {
        let address = Address::parse("https://hub.example/x").unwrap();
        let says = |error| match unanswered(&address, error) {
            Failure::Final(error) => (false, error.kind().exit_code(), error.to_string()),
            Failure::Passing { error, .. } => (true, error.kind().exit_code(), error.to_string()),
        };
        let (passes, code, text) = says(ureq::Error::HostNotFound);
        assert_eq!((passes, code, &*text), (true, 69, "https://hub.example does not answer: no such host"));
        let tls = io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate");
        let (passes, code, text) = says(ureq::Error::Io(tls));
        assert_eq!((passes, code), (false, 69));
        assert!(text.ends_with(" does not answer: no private connection: invalid peer certificate"), "{text}");
        let (_, code, text) = says(ureq::Error::LargeResponseHeader(9, 8));
        assert!(code == 65 && text.starts_with("https://hub.example: an answer that is no HTTP: "), "{text}");
        let Failure::Passing { error, .. } = cut("a", &io::ErrorKind::UnexpectedEof.into()) else {
            panic!("it is over")
        };
        assert!(error.to_string().starts_with("a: the transfer was cut off: "), "{error}");
    }
}
