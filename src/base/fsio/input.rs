//! Input: `-` is standard input. What a file's name says decides how it is framed, never what somebody wrote into it:
//! `*.zst` is a zstd frame, a corpus named `*.gz` is gzip, everything else is what it is. Only a file of tensors, which is one party's alone and never
//! begins as a frame does, is undone by its content too. A frame is one, whole, with nothing before it or after it: what
//! follows could be another party's.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::gzip::Gzip;
use super::{found, started};
use crate::error::{Error, IoContext, Result};

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd windows above this are refused: a frame may not ask for more memory than 2^27 bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// The most that a configuration, a recipe or a key can be, in bytes: what people write by hand.
const MAX_TEXT: u64 = 1 << 20;

/// What says that a file is a zstd frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framed {
    /// Its name alone.
    ByName,
    /// Its name alone; and there may be several frames.
    InParts,
    /// Its name, or how it begins.
    ByContent,
}

/// A stream of content bytes with the name that errors use for it.
pub struct Source {
    name: String,
    reader: Box<dyn Read>,
    /// Bytes on disk, where the source is an uncompressed regular file.
    known_len: Option<u64>,
}

impl Source {
    /// Opens a file of tensors, or standard input for `-`: a zstd frame where its name says so, or where the whole content
    /// is one. No safetensors file begins as a frame does.
    pub fn open(path: &Path) -> Result<Source> {
        Source::from(path, Framed::ByContent)
    }

    /// Opens text, or standard input for `-`: a zstd frame where its name says so, and nowhere else.
    pub fn text(path: &Path) -> Result<Source> {
        Source::from(path, Framed::ByName)
    }

    /// Opens text of one's own, as [`Source::text`]; where the name says zstd there may be several frames, and where it says
    /// gzip there are its members. Standard input has no name.
    pub fn corpus(path: &Path) -> Result<Source> {
        let mut source = Source::from(path, Framed::InParts)?;
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
            source = Source { reader: Box::new(Gzip::new(source.reader)), known_len: None, ..source };
        }
        Ok(source)
    }

    fn from(path: &Path, framed: Framed) -> Result<Source> {
        if path.as_os_str() == "-" {
            return Source::new("standard input", Box::new(started::stdin()?), None, framed, false);
        }
        let name = path.display().to_string();
        let file = found::open(path)?;
        let meta = file.metadata().path(path)?;
        if meta.is_dir() {
            return Err(Error::data(format!("{name}: expected a file, found a directory")));
        }
        let len = meta.is_file().then_some(meta.len());
        Source::new(
            &name,
            Box::new(file),
            len,
            framed,
            path.extension().is_some_and(|e| e == "zst" || framed == Framed::InParts && e.eq_ignore_ascii_case("zst")),
        )
    }

    /// Wraps the bytes of a file of tensors that are already in memory.
    pub fn bytes(name: &str, bytes: Vec<u8>) -> Result<Source> {
        let len = bytes.len() as u64;
        Source::new(name, Box::new(io::Cursor::new(bytes)), Some(len), Framed::ByContent, false)
    }

    fn new(name: &str, mut raw: Box<dyn Read>, len: Option<u64>, framed: Framed, named: bool) -> Result<Source> {
        let mut head = [0u8; 4];
        let mut filled = 0;
        // Nothing but tensors and named frames is looked into.
        while filled < head.len() && (named || framed == Framed::ByContent) {
            match raw.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(name, &error)),
            }
        }
        let begins = filled == head.len() && head == ZSTD_MAGIC;
        if named && !begins {
            return Err(Error::data(format!("{name}: expected a zstd frame, as its name says")));
        }
        let whole = io::Cursor::new(head).take(filled as u64).chain(raw);
        let (reader, known_len): (Box<dyn Read>, _) = if begins {
            (Box::new(Frame::new(whole, framed != Framed::InParts).map_err(|e| Error::io(name, &e))?), None)
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

    /// Refuses what is known to be longer, before anything of it is read.
    pub fn within(self, most: u64) -> Result<Source> {
        match self.known_len {
            Some(len) if len > most => {
                Err(Error::data(format!("{}: expected at most {most} bytes, found {len}", self.name)))
            }
            _ => Ok(self),
        }
    }

    /// Everything that is left, at most `limit` bytes; memory grows with what arrives.
    pub fn read_to_end(self, limit: u64) -> Result<Vec<u8>> {
        let mut source = self.within(limit)?;
        let mut bytes = Vec::new();
        (&mut source.reader).take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io(&source.name, &e))?;
        if bytes.len() as u64 > limit {
            return Err(Error::data(format!("{}: expected at most {limit} bytes, found more", source.name)));
        }
        Ok(bytes)
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

/// The content of a zstd frame, which must be all that there is; or of several.
struct Frame<R: Read> {
    decoder: zstd::stream::read::Decoder<'static, BufReader<R>>,
    alone: bool,
}

impl<R: Read> Frame<R> {
    fn new(raw: R, alone: bool) -> io::Result<Frame<R>> {
        let mut decoder = zstd::stream::read::Decoder::new(raw)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Ok(Frame { decoder: if alone { decoder.single_frame() } else { decoder }, alone })
    }
}

impl<R: Read> Read for Frame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let malformed = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("zstd frame: {why}"));
        let read = self.decoder.read(buf).map_err(|error| match error.kind() {
            // zstd reports a damaged frame as "other": for us it is malformed data.
            io::ErrorKind::Other => malformed(error.to_string()),
            _ => error,
        })?;
        if read == 0 && !buf.is_empty() && self.alone && !self.decoder.get_mut().fill_buf()?.is_empty() {
            return Err(malformed("expected one frame and nothing after it, found more".into()));
        }
        Ok(read)
    }
}

/// Reads what people write by hand, a configuration, a recipe or a key: at most 1 MiB of text.
pub fn read_text(path: &Path) -> Result<String> {
    read_text_within(path, MAX_TEXT)
}

/// Reads a text of at most so many bytes.
pub fn read_text_within(path: &Path, most: u64) -> Result<String> {
    let source = Source::text(path)?;
    let name = source.name().to_owned();
    let bytes = source.read_to_end(most)?;
    String::from_utf8(bytes)
        .map_err(|e| Error::data(format!("{name}: not UTF-8 at byte {}", e.utf8_error().valid_up_to())))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::error::Kind;

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    /// A skippable frame over so many bytes, which follow.
    fn skippable(over: u32) -> Vec<u8> {
        [&[0x50, 0x2a, 0x4d, 0x18], &over.to_le_bytes()[..]].concat()
    }

    #[test]
    fn a_name_says_whether_text_is_framed_and_no_foreign_byte_does() {
        let frame = zstd::encode_all(&b"mine\n"[..], 3).unwrap();
        for rest in [b"yours\n".to_vec(), Vec::new(), skippable(6)] {
            let all = [&frame[..], &rest, b"yours\n"].concat();
            let (_folder, path) = written("list.jsonl", &all);
            assert_eq!(Source::text(&path).unwrap().read_to_end(1 << 10).unwrap(), all);
        }
        let (_folder, path) = written("list.jsonl.zst", &frame);
        assert_eq!(read_text(&path).unwrap(), "mine\n");
        let (_folder, path) = written("list.jsonl.zst", b"mine\n");
        assert_eq!(Source::text(&path).err().unwrap().kind(), Kind::Data);
    }

    #[test]
    fn a_frame_stands_alone() {
        let frame = zstd::encode_all(&b"mine\n"[..], 3).unwrap();
        for (what, bytes) in [
            ("another frame after it", [&frame[..], &frame].concat()),
            ("a skippable frame after it", [&frame[..], &skippable(2), b"xx"].concat()),
            ("a skippable frame before it", [&skippable(2)[..], b"xx", &frame].concat()),
            ("plain bytes after it", [&frame[..], b"\n"].concat()),
            ("its end missing", frame[..frame.len() - 1].to_vec()),
        ] {
            let (_folder, path) = written("f.zst", &bytes);
            for open in [Source::open, Source::text] {
                let read = open(&path).and_then(|source| source.read_to_end(1 << 10));
                assert_eq!(read.err().map(|e| e.kind()), Some(Kind::Data), "{what}");
            }
        }
        // A corpus of one's own may come in parts, as parallel compressors leave it.
        let (_folder, path) = written("c.txt.zst", &[&frame[..], &frame].concat());
        assert_eq!(Source::corpus(&path).unwrap().read_to_end(1 << 10).unwrap(), b"mine\nmine\n");
        // Tensors of one party are undone whatever their name; and alone.
        let (_folder, path) = written("update", &frame);
        assert_eq!(Source::open(&path).unwrap().read_to_end(1 << 10).unwrap(), b"mine\n");
    }

    #[test]
    fn a_file_of_terabytes_is_refused_by_its_length() {
        let (_folder, path) = written("sparse", b"");
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let error = Source::text(&path).and_then(|source| source.read_to_end(100)).unwrap_err();
        assert!(error.to_string().contains("expected at most 100 bytes, found 1099511627776"), "{error}");
    }
}
