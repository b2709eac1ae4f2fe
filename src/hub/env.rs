//! Every environment variable that says how the hub is spoken to: those of Python's `huggingface_hub`, with their defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::address::Address;
use super::token::Token;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::read_text_within;

/// The folder of cache and token [default: `huggingface` in `XDG_CACHE_HOME`].
const HF_HOME: &str = "HF_HOME";
/// The cache [default: `hub` in `HF_HOME`].
const HF_HUB_CACHE: &str = "HF_HUB_CACHE";
/// Where the hub is.
const HF_ENDPOINT: &str = "HF_ENDPOINT";
/// Whether the network is left alone.
const HF_HUB_OFFLINE: &str = "HF_HUB_OFFLINE";
/// A token.
const HF_TOKEN: &str = "HF_TOKEN";
/// The file of a token [default: `token` in `HF_HOME`].
const HF_TOKEN_PATH: &str = "HF_TOKEN_PATH";
/// Where caches are [default: `.cache` in `HOME`].
const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// One's own folder.
const HOME: &str = "HOME";

/// The hub that everybody means.
const HUB: &str = "https://huggingface.co";

/// How the hub is spoken to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cache's folder.
    pub cache: PathBuf,
    /// Where the hub is.
    pub(super) endpoint: Address,
    /// Whether the network is left alone.
    pub offline: bool,
    /// What lets one in where not everybody is let in.
    pub(super) token: Option<Token>,
}

impl Settings {
    /// Reads the variables by `variable`; empty ones are none.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Settings> {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| match path(name).map(|value| value.into_os_string().into_string()) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(Error::usage(format!("{name}: not UTF-8"))),
        };
        let caches = path(XDG_CACHE_HOME).or_else(|| path(HOME).map(|home| home.join(".cache")));
        let home = path(HF_HOME).or_else(|| caches.map(|caches| caches.join("huggingface")));
        let cache = path(HF_HUB_CACHE).or_else(|| home.as_ref().map(|home| home.join("hub")));
        let cache = cache.ok_or_else(|| {
            Error::usage(format!("no place for the cache: none of {HF_HUB_CACHE}, {HF_HOME} and {HOME} is set"))
        })?;
        let endpoint = text(HF_ENDPOINT)?.unwrap_or_else(|| HUB.to_owned());
        let endpoint = Address::parse(&endpoint).at(HF_ENDPOINT).map_err(|e| Error::usage(e.to_string()))?;
        let offline = text(HF_HUB_OFFLINE)?.is_some_and(|value| is_true(&value));
        let file = path(HF_TOKEN_PATH).or_else(|| home.map(|home| home.join("token")));
        let token = match (offline, text(HF_TOKEN)?, file) {
            (true, ..) => None,
            (_, Some(token), _) => Token::parse(HF_TOKEN, &token)?,
            (_, None, Some(file)) => read_token(&file)?,
            (_, None, None) => None,
        };
        Ok(Settings { cache, endpoint, offline, token })
    }

    /// Whether there is a token that anybody on the way to the hub could read: it is not sent.
    pub fn withholds_token(&self) -> bool {
        self.token.is_some() && !self.endpoint.is_private()
    }

    /// The hub's host, as records name it.
    pub fn host(&self) -> &str {
        self.endpoint.authority()
    }
}

/// As `huggingface_hub` reads it.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

/// The token in a file, if there is one.
fn read_token(file: &Path) -> Result<Option<Token>> {
    match read_text_within(file, Token::MAX) {
        Ok(text) => Token::parse(&file.display().to_string(), &text),
        Err(error) if error.kind() == Kind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let cache = |set: &[(&str, &str)]| read(set).unwrap().cache;
        assert_eq!(cache(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "/f")]), Path::new("/f/hub"));
        assert_eq!(cache(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "")]), Path::new("/h/.cache/huggingface/hub"));
        let nowhere = read(&[]).unwrap_err();
        let says = "no place for the cache: none of HF_HUB_CACHE, HF_HOME and HOME is set";
        assert_eq!((nowhere.kind(), nowhere.to_string().as_str()), (Kind::Usage, says));
        let not_utf8 = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
        let refused = Settings::read(|name| (name == "HF_ENDPOINT").then(|| not_utf8.clone())).unwrap_err();
        assert_eq!(refused.to_string(), "HF_ENDPOINT: not UTF-8");
    }

    #[test]
    fn a_token_comes_from_its_variable_or_its_file() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("token"), "from-home\n").unwrap();
        std::fs::write(place.path().join("other"), "from-file\n").unwrap();
        let home = ("HF_HOME", place.path().to_str().unwrap());
        let other = place.path().join("other");
        let path = ("HF_TOKEN_PATH", other.to_str().unwrap());
        let token = |set: &[(&str, &str)]| read(set).unwrap().token.map(|token| token.header());
        assert_eq!(token(&[home]).as_deref(), Some("Bearer from-home"));
        assert_eq!(token(&[home, path]).as_deref(), Some("Bearer from-file"));
        assert_eq!(token(&[home, path, ("HF_TOKEN", "own")]).as_deref(), Some("Bearer own"));
        assert_eq!(token(&[home, ("HF_TOKEN_PATH", "/nowhere/token")]), None);
        assert_eq!(token(&[home, ("HF_HUB_OFFLINE", "1")]), None);
    }

    #[test]
    fn a_token_goes_nowhere_in_the_clear_but_to_this_machine() {
        for (endpoint, withheld) in [
            ("https://hub.example", false),
            ("http://127.0.0.1:8080", false),
            ("http://hub.example", true),
            ("http://127.0.0.1.example", true),
        ] {
            let settings = read(&[("HOME", "/h"), ("HF_TOKEN", "own"), ("HF_ENDPOINT", endpoint)]).unwrap();
            assert_eq!(settings.withholds_token(), withheld, "{endpoint}");
            assert!(!format!("{settings:?}").contains("own"));
        }
    }

    #[test]
    fn endpoint_and_offline() {
        let hub = |set: &[(&str, &str)]| read(&[set, &[("HOME", "/h")]].concat());
        assert_eq!(hub(&[]).unwrap().host(), "huggingface.co");
        assert_eq!(hub(&[("HF_ENDPOINT", "http://127.0.0.1:81")]).unwrap().host(), "127.0.0.1:81");
        for wrong in ["ftp://x", "huggingface.co", "https://me:secret@x", "https://"] {
            let error = hub(&[("HF_ENDPOINT", wrong)]).unwrap_err();
            assert!(error.kind() == Kind::Usage && !error.to_string().contains("secret"), "{error}");
        }
        for (value, offline) in [("1", true), ("True", true), ("yes", true), ("0", false), ("", false), ("no", false)] {
            assert_eq!(hub(&[("HF_HUB_OFFLINE", value)]).unwrap().offline, offline, "{value}");
        }
    }
}
