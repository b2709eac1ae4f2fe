//! Input: `-` is standard input, zstd frames are undone without being asked.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::started;
use crate::error::{Error, IoContext, Result};

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd windows above this are refused: a frame may not ask for more memory than 2^27 bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A stream of content bytes with the name that errors use for it.
pub struct Source {
    name: String,
    reader: Box<dyn Read>,
    /// Bytes on disk, where the source is an uncompressed regular file.
    known_len: Option<u64>,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path) -> Result<Source> {
        if path.as_os_str() == "-" {
            return Source::new("standard input", Box::new(started::stdin()?), None);
        }
        let name = path.display().to_string();
        let file = File::open(path).path(path)?;
        let meta = file.metadata().path(path)?;
        if meta.is_dir() {
            return Err(Error::data(format!("{name}: expected a file, found a directory")));
        }
        let len = meta.is_file().then_some(meta.len());
        Source::new(&name, Box::new(file), len)
    }

    /// Wraps bytes that are already in memory.
    pub fn bytes(name: &str, bytes: Vec<u8>) -> Result<Source> {
        let len = bytes.len() as u64;
        Source::new(name, Box::new(io::Cursor::new(bytes)), Some(len))
    }

    fn new(name: &str, mut raw: Box<dyn Read>, len: Option<u64>) -> Result<Source> {
        let mut head = [0u8; 4];
        let mut filled = 0;
        while filled < head.len() {
            match raw.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(name, &error)),
            }
        }
        let whole = io::Cursor::new(head).take(filled as u64).chain(raw);
        let (reader, known_len): (Box<dyn Read>, _) = if filled == 4 && head == ZSTD_MAGIC {
            let mut decoder = zstd::stream::read::Decoder::new(whole).map_err(|e| Error::io(name, &e))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|e| Error::io(name, &e))?;
            (Box::new(BadFrame(decoder)), None)
        } else {
            (Box::new(BufReader::with_capacity(1 << 16, whole)), len)
        };
        Ok(Source { name: name.to_owned(), reader, known_len })
    }

    /// The name used in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The length of the content, where it can be known without reading it.
    pub fn known_len(&self) -> Option<u64> {
        self.known_len
    }

    /// Everything that is left, at most `limit` bytes; memory grows with what arrives.
    pub fn read_to_end(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.reader).take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io(&self.name, &e))?;
        if bytes.len() as u64 > limit {
            return Err(Error::data(format!(
                "{}: larger than {limit} bytes, which is the most that makes sense here",
                self.name
            )));
        }
        Ok(bytes)
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

/// zstd reports a damaged frame as "other": for us it is malformed data.
struct BadFrame<R>(R);

impl<R: Read> Read for BadFrame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|error| match error.kind() {
            io::ErrorKind::Other => io::Error::new(io::ErrorKind::InvalidData, format!("zstd frame: {error}")),
            _ => error,
        })
    }
}

/// Reads a text file of at most 64 MiB.
pub fn read_text(path: &Path) -> Result<String> {
    let source = Source::open(path)?;
    let name = source.name().to_owned();
    let bytes = source.read_to_end(64 << 20)?;
    String::from_utf8(bytes)
        .map_err(|e| Error::data(format!("{name}: not UTF-8 at byte {}", e.utf8_error().valid_up_to())))
}
