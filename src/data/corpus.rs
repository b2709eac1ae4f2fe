//! A corpus: documents in files of text, JSON Lines or parquet, read in pieces.

use std::io::Read;
use std::path::Path;

use crate::error::{Context, Error, Result};

/// Bytes read at once.
const PIECE: usize = 1 << 16;

/// What takes the documents of a corpus, piece by piece.
pub trait Documents {
    /// The next bytes of the document; where they are cut has no meaning.
    fn text(&mut self, bytes: &[u8]) -> Result<()>;
    /// The document is complete.
    fn end(&mut self) -> Result<()>;
}

/// How a corpus file holds its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One document.
    Text,
    /// A JSON object a line, one of its fields a document.
    JsonLines,
    /// A row a document, in one of its columns.
    Parquet,
}

impl Format {
    /// The extensions that [`Format::known`] knows, for messages.
    pub const KNOWN: &str = ".txt, .md, .text, .jsonl and .json, these also with .zst or .gz, and .parquet";

    /// By the extension, a `.zst` or `.gz` after it passed over; whatever is not known is text.
    pub fn of(path: &Path) -> Format {
        match extension(path).0.as_deref() {
            Some("jsonl" | "json") => Format::JsonLines,
            Some("parquet") => Format::Parquet,
            _ => Format::Text,
        }
    }

    /// The same of a file that nobody has named: none where its extension is not that of a corpus.
    pub fn known(path: &Path) -> Option<Format> {
        match extension(path) {
            (Some(name), _) if ["txt", "md", "text", "jsonl", "json"].contains(&&*name) => Some(Format::of(path)),
            (Some(name), false) if name == "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}

/// The extension that says the format, and whether one of compression came after it.
fn extension(path: &Path) -> (Option<String>, bool) {
    let of = |p: &Path| Some(p.extension()?.to_str()?.to_ascii_lowercase());
    match of(path) {
        Some(outer) if outer == "zst" || outer == "gz" => (path.file_stem().and_then(|p| of(Path::new(p))), true),
        other => (other, false),
    }
}

/// Reads a text as one document. `name` is used in errors.
pub fn read_text(name: &str, mut text: impl Read, documents: &mut impl Documents) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match text.read(&mut buffer) {
            Ok(0) => return documents.end().at(name),
            Ok(n) => documents.text(&buffer[..n]).at(name)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(name, &error)),
        }
    }
}

/// Documents in memory, for tests.
#[cfg(test)]
#[derive(Default)]
pub struct Collected {
    /// Complete documents.
    pub documents: Vec<Vec<u8>>,
    open: Vec<u8>,
}

#[cfg(test)]
impl Documents for Collected {
    fn text(&mut self, bytes: &[u8]) -> Result<()> {
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.documents.push(std::mem::take(&mut self.open));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_before_that_of_compression_says_the_format() {
        for (path, format) in [
            ("a.txt", Format::Text),
            ("a", Format::Text),
            ("-", Format::Text),
            ("x/a.jsonl", Format::JsonLines),
            ("a.json.zst", Format::JsonLines),
            ("a.txt.zst", Format::Text),
            ("a.PARQUET", Format::Parquet),
            ("a.jsonl.gz", Format::JsonLines),
            ("a.gz", Format::Text),
        ] {
            assert_eq!(Format::of(Path::new(path)), format, "{path}");
        }
        for known in ["a.txt", "a.MD.gz", "a.text", "x.y/a.json.zst", "a.parquet"] {
            assert_eq!(Format::known(Path::new(known)), Some(Format::of(Path::new(known))), "{known}");
        }
        for other in ["a", "-", "a.gz", "txt", ".txt", "a.parquet.gz", "a.txt.gz.zst", "a.bin", "a.txt.bin"] {
            assert_eq!(Format::known(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_text_is_one_document() {
        let mut collected = Collected::default();
        let text = b"line\n".repeat(100_000);
        read_text("t", text.as_slice(), &mut collected).unwrap();
        assert_eq!(collected.documents, [text]);
    }
}
