//! Errors: what went wrong, which exit code says so, and what to do about it.
//!
//! Exit codes are API (see the manual, EXIT STATUS): scripts branch on them.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What a failure means to the caller; each kind is one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A definite no: a mismatch, a rejection.
    Refused,
    /// The command line asks for something that makes no sense.
    Usage,
    /// Input that is not what it should be.
    Data,
    /// Input that is not there.
    Missing,
    /// A Lightning node or a hub that cannot be reached, or does not answer.
    Unavailable,
    /// A defect of this program.
    Bug,
    /// The output exists and differs.
    Exists,
    /// Reading or writing failed.
    Io,
    /// Nothing is wrong; try again later.
    TryAgain,
}

impl Kind {
    /// The exit code that stands for this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Refused => 1,
            Kind::Usage => 2,
            Kind::Data => 65,
            Kind::Missing => 66,
            Kind::Unavailable => 69,
            Kind::Bug => 70,
            Kind::Exists => 73,
            Kind::Io => 74,
            Kind::TryAgain => 75,
        }
    }
}

/// A failure: a kind, a message that names the file, tensor or record, and sometimes a hint.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// A failure of the given kind. Messages are lower case, without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None }
    }

    /// A definite no (1).
    pub fn refused(message: impl Into<String>) -> Self {
        Error::new(Kind::Refused, message)
    }

    /// A command line that makes no sense (2).
    pub fn usage(message: impl Into<String>) -> Self {
        Error::new(Kind::Usage, message)
    }

    /// Malformed data (65).
    pub fn data(message: impl Into<String>) -> Self {
        Error::new(Kind::Data, message)
    }

    /// Missing input (66).
    pub fn missing(message: impl Into<String>) -> Self {
        Error::new(Kind::Missing, message)
    }

    /// A node or a hub that cannot be reached or does not answer (69).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(Kind::Unavailable, message)
    }

    /// Nothing is wrong, but it is too early (75).
    pub fn try_again(message: impl Into<String>) -> Self {
        Error::new(Kind::TryAgain, message)
    }

    /// A defect of ours (70).
    pub fn bug(message: impl Into<String>) -> Self {
        Error::new(Kind::Bug, message)
    }

    /// An I/O failure on `what` (66 when it is not there, 65 when it ends too early, else 74).
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Error::missing(format!("{what}: no such file or directory")),
            io::ErrorKind::UnexpectedEof => Error::data(format!("{what}: ends before it is complete")),
            // A reader that wraps another hands our own verdict on its bytes through io::Error.
            io::ErrorKind::InvalidData => Error::data(format!("{what}: {error}")),
            io::ErrorKind::OutOfMemory => Error::data(format!("{what}: too large for this machine's memory")),
            _ => Error::new(Kind::Io, format!("{what}: {error}")),
        }
    }

    /// Adds advice that helps to get on.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the place where it happened in front of the message.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The advice, if there is any.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What a parser says of somebody's data, in words of data: it names the types that it reads them into.
pub fn plainly(error: impl fmt::Display) -> String {
    let text = error.to_string();
    if let Some((before, name)) = text.split_once("data did not match any variant of untagged enum ") {
        let rest = name.trim_start_matches(|c: char| c.is_alphanumeric());
        return format!("{before}it has none of the forms that are known{rest}");
    }
    let Some((before, expected)) = text.rsplit_once("expected ") else { return text };
    let word = expected.split([' ', ',']).next().unwrap_or_default();
    let (taken, words) = match word {
        "u8" => (word.len(), "a whole number from 0 to 255"),
        "u16" => (word.len(), "a whole number from 0 to 65535"),
        "u32" => (word.len(), "a whole number from 0 to 4294967295"),
        "u64" | "usize" => (word.len(), "a whole number from 0 on"),
        "i32" | "i64" => (word.len(), "a whole number"),
        "f32" | "f64" => (word.len(), "a number"),
        "struct" | "map" => (expected.find(" at line").unwrap_or(expected.len()), "named fields"),
        _ => return text,
    };
    format!("{before}expected {words}{}", &expected[taken..])
}

/// Adds a place to the error of a result.
pub trait Context<T> {
    /// Puts `place` in front of the message.
    fn at(self, place: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn at(self, place: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.at(place))
    }
}

/// Turns an `io::Result` into ours, with the file that it is about.
pub trait IoContext<T> {
    /// Names the file.
    fn path(self, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn path(self, path: &Path) -> Result<T> {
        self.map_err(|error| Error::io(path.display(), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_is_repeated_without_the_names_of_types() {
        for (said, plain) in [
            (
                "invalid value: integer `-1`, expected u64",
                "invalid value: integer `-1`, expected a whole number from 0 on",
            ),
            (
                "invalid type: string \"x\", expected u32 at line 1 column 3",
                "invalid type: string \"x\", expected a whole number from 0 to 4294967295 at line 1 column 3",
            ),
            ("invalid type: null, expected f64", "invalid type: null, expected a number"),
            (
                "invalid length 0, expected struct Index with 1 element at line 1 column 2",
                "invalid length 0, expected named fields at line 1 column 2",
            ),
            (
                "data did not match any variant of untagged enum Token at line 1",
                "it has none of the forms that are known at line 1",
            ),
            ("unknown field `a`, expected one of `b`, `c`", "unknown field `a`, expected one of `b`, `c`"),
            ("expected value at line 1 column 1", "expected value at line 1 column 1"),
            ("EOF while parsing a list", "EOF while parsing a list"),
        ] {
            assert_eq!(plainly(said), plain);
        }
    }

    #[test]
    fn each_failure_of_a_file_has_its_code_and_names_the_file() {
        for (kind, exit, says) in [
            (io::ErrorKind::NotFound, 66, "f: no such file or directory"),
            (io::ErrorKind::UnexpectedEof, 65, "f: ends before it is complete"),
            (io::ErrorKind::OutOfMemory, 65, "f: too large for this machine's memory"),
            (io::ErrorKind::PermissionDenied, 74, "f: permission denied"),
        ] {
            let error = Error::io("f", &kind.into());
            assert_eq!((error.kind().exit_code(), error.to_string().as_str()), (exit, says));
        }
        let bad = io::Error::new(io::ErrorKind::InvalidData, "gzip: bad");
        assert_eq!(Error::io("f", &bad).to_string(), "f: gzip: bad");
    }
}
