//! Web addresses: where the hub is, and where it sends one on to.

use std::fmt;

use ureq::http::Uri;

use crate::error::{Error, Result};

/// Bytes of an address. Those that a hub signs for its storage have a thousand or two.
const MAX: usize = 8192;

/// An address over HTTP or TLS. Shown, it is its scheme, host and port alone: the rest can hold what lets its bearer in.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Uri);

impl Address {
    /// Parses a whole address.
    pub fn parse(text: &str) -> Result<Address> {
        let refuse = |why: &str| Err(Error::data(format!("a web address: {why}")));
        if text.len() > MAX {
            return refuse("too long");
        }
        let Ok(uri) = text.parse::<Uri>() else { return refuse("expected http:// or https:// and a host") };
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return refuse("expected http:// or https:// and a host");
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return refuse("expected none with a name or a password in it");
        }
        Ok(Address(uri))
    }

    /// The same host, another path.
    pub fn with_path(&self, path: &str) -> Result<Address> {
        Address::parse(&format!("{self}{path}"))
    }

    /// What stands below this address.
    pub fn below(&self, path: &str) -> Result<Address> {
        self.with_path(&format!("{}{path}", self.0.path().trim_end_matches('/')))
    }

    /// Where `location` leads from here, as a redirect says it: a whole address, or a path on this host.
    pub fn join(&self, location: &str) -> Result<Address> {
        if location.starts_with("//") {
            Address::parse(&format!("{}:{location}", self.scheme()))
        } else if location.starts_with('/') {
            self.with_path(location)
        } else {
            Address::parse(location)
        }
    }

    /// Whether the other is the same scheme, host and port.
    pub fn same_origin(&self, other: &Address) -> bool {
        self.scheme() == other.scheme() && self.host().eq_ignore_ascii_case(other.host()) && self.port() == other.port()
    }

    /// The host, without a port.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// The host, and the port where one is named.
    pub fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Whether it is over TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme() == "https"
    }

    /// Whether nobody on the way can read along: it is over TLS, or this machine.
    pub fn is_private(&self) -> bool {
        self.is_tls() || matches!(self.host(), "localhost" | "127.0.0.1" | "[::1]")
    }

    /// The address itself, for the client alone.
    pub fn uri(&self) -> Uri {
        self.0.clone()
    }

    fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or_default()
    }

    fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.scheme() == "https" { 443 } else { 80 })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/..")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_followed_from_where_it_stands() {
        let here = Address::parse("https://hub.example/a/b?c").unwrap();
        let to = |location: &str| here.join(location).unwrap().uri().to_string();
        assert_eq!(to("/x?y=1"), "https://hub.example/x?y=1");
        assert_eq!(to("//cdn.example/x"), "https://cdn.example/x");
        assert_eq!(to("http://other.example:81/x"), "http://other.example:81/x");
        assert!(here.join("x/y").is_err() && here.join("file:///etc/passwd").is_err() && here.join("").is_err());
        let mirror = Address::parse("https://mirror.example/hf/").unwrap();
        assert_eq!(mirror.below("/api/x").unwrap().uri().to_string(), "https://mirror.example/hf/api/x");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| Address::parse(a).unwrap().same_origin(&Address::parse(b).unwrap());
        assert!(same("https://a.example/x", "https://A.example:443/y"));
        for other in ["http://a.example", "https://a.example:444", "https://b.example", "https://a.example.b.example"] {
            assert!(!same("https://a.example", other), "{other}");
        }
    }

    #[test]
    fn what_lets_its_bearer_in_is_not_shown() {
        let signed = Address::parse("https://cdn.example/x?Signature=secret").unwrap();
        assert_eq!(signed.to_string(), "https://cdn.example");
        assert!(!format!("{signed:?}").contains("secret"));
        let error = Address::parse("https://me:secret@hub.example").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_address_says_what_one_is() {
        for (text, says) in [
            ("ftp://x", "expected http:// or https:// and a host"),
            ("http://", "expected http:// or https:// and a host"),
            ("https://me:secret@hub.example", "expected none with a name or a password in it"),
            (&format!("https://x/{}", "a".repeat(1 << 20)), "too long"),
        ] {
            assert_eq!(Address::parse(text).unwrap_err().to_string(), format!("a web address: {says}"));
        }
    }
}
