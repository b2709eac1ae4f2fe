//! Output: complete or absent. A named output is written beside, synced and renamed; standard output is for
//! artifacts and never gets binary when it is a terminal.

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use super::temp::{self, TempFile};
use super::{Source, started};
use crate::error::{Error, IoContext, Kind, Result};

/// How an output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new, or replaced another by `--force`.
    Written,
    /// It was there already, with the same content.
    UpToDate,
}

/// Where an output goes.
#[derive(Clone, Debug)]
pub struct Target {
    path: Option<PathBuf>,
    force: bool,
}

impl Target {
    /// A file, or standard output for `-` and for nothing. `force` replaces a differing file.
    pub fn new(path: Option<&Path>, force: bool) -> Target {
        let path = path.filter(|p| p.as_os_str() != "-");
        Target { path: path.map(Path::to_owned), force }
    }

    /// Standard output.
    pub fn stdout() -> Target {
        Target { path: None, force: false }
    }

    /// The name used in messages.
    pub fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "standard output".to_owned(),
        }
    }

    /// Whether it is standard output.
    pub fn is_stdout(&self) -> bool {
        self.path.is_none()
    }

    /// Fails early where the output could not be written in the end: no such folder, or binary to a terminal.
    pub fn check(&self, binary: bool) -> Result<()> {
        match &self.path {
            None if started::stdout()?.is_terminal() && binary => {
                Err(Error::usage("refusing to write binary data to a terminal")
                    .hint("name a file with -o, or pipe the output on"))
            }
            None => Ok(()),
            Some(path) => {
                let folder = temp::parent(path);
                // Renaming over a device or a pipe would replace it, and writing to it could wait for ever.
                if path.exists() && !path.is_file() {
                    return Err(Error::usage(format!("{}: expected a regular file as output", path.display()))
                        .hint("- is standard output"));
                }
                if folder.is_dir() {
                    Ok(())
                } else {
                    Err(Error::missing(format!("{}: no such directory", folder.display())))
                }
            }
        }
    }

    /// Makes the folder that the output goes to, unless it is there.
    pub fn make_folder(&self) -> Result<()> {
        let Some(folder) = self.path.as_deref().map(temp::parent) else { return Ok(()) };
        fs::create_dir_all(folder).path(folder)
    }

    /// The file in its place, where there is one and it is to be kept.
    pub fn kept(&self) -> Option<&Path> {
        self.path.as_deref().filter(|path| !self.force && path.exists())
    }

    /// Removes what killed writers left beside the output: for whoever finds it made, and writes nothing.
    pub fn sweep(&self) -> Result<()> {
        self.path.as_deref().map_or(Ok(()), temp::sweep)
    }

    /// Says to other processes, for as long as the claim is held, that this one makes the output: for work that nobody
    /// wants done twice at a time. Where another has said so it is a matter of trying again (75).
    pub fn claim(&self) -> Result<Claim> {
        let Some(path) = &self.path else { return Ok(Claim(None)) };
        let refuse = |own: Option<&Path>| match temp::maker(path, own)? {
            None => Ok(()),
            Some(who) => {
                let what = format!("{}: {who} is making it", path.display());
                Err(Error::try_again(what).hint("wait until it is done, or end it"))
            }
        };
        refuse(None)?;
        let mut file = TempFile::beside(path, 0o666)?;
        writeln!(file, "{}", std::process::id()).path(path)?;
        // Of two at a time both may go, and none stays that does not know of the other.
        refuse(Some(file.path()))?;
        Ok(Claim(Some(file)))
    }

    /// Opens the output for writing binary content.
    pub fn create(&self) -> Result<Output> {
        self.open(true)
    }

    /// Writes text (records, tables).
    pub fn write_text(&self, text: &str) -> Result<Outcome> {
        // What is there already stays, with its time too.
        if let Some(path) = self.path.as_deref().filter(|path| self.force && path.is_file())
            && path.extension().is_none_or(|end| end != "zst")
            && fs::metadata(path).path(path)?.len() == text.len() as u64
            && fs::read(path).path(path)? == text.as_bytes()
        {
            return Ok(Outcome::UpToDate);
        }
        let mut output = self.open(false)?;
        output.write_all(text.as_bytes()).map_err(|e| Error::io(self.name(), &e))?;
        output.finish()
    }

    fn open(&self, binary: bool) -> Result<Output> {
        self.check(binary)?;
        let sink = match &self.path {
            None => Sink::Plain(Place::Stdout(BufWriter::new(started::stdout()?))),
            Some(path) => {
                // 0666 before the umask, as any other program would make its output.
                let file = TempFile::beside(path, 0o666)?;
                let place = Place::File(BufWriter::with_capacity(1 << 18, file));
                if path.extension().is_some_and(|e| e == "zst") {
                    let encoder = zstd::stream::write::Encoder::new(place, 3).path(path)?;
                    Sink::Zstd(Box::new(encoder))
                } else {
                    Sink::Plain(place)
                }
            }
        };
        Ok(Output { target: self.clone(), sink, hasher: blake3::Hasher::new() })
    }
}

/// That this process makes an output, until it is dropped.
#[must_use]
pub struct Claim(#[allow(dead_code)] Option<TempFile>);

enum Place {
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<TempFile>),
}

impl Write for Place {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Place::Stdout(w) => w.write(buf),
            Place::File(w) => w.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Place::Stdout(w) => w.flush(),
            Place::File(w) => w.flush(),
        }
    }
}

enum Sink {
    Plain(Place),
    Zstd(Box<zstd::stream::write::Encoder<'static, Place>>),
}

/// An output in the making. Dropped without [`Output::finish`], a named one leaves nothing.
pub struct Output {
    target: Target,
    sink: Sink,
    hasher: blake3::Hasher,
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = match &mut self.sink {
            Sink::Plain(w) => w.write(buf)?,
            Sink::Zstd(w) => w.write(buf)?,
        };
        self.hasher.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(w) => w.flush(),
            Sink::Zstd(w) => w.flush(),
        }
    }
}

impl Output {
    /// Fails where [`Output::finish`] would because another content is in its place (73). For outputs that
    /// belong together: ask the last one before the first is put in place.
    pub fn check_place(&self) -> Result<()> {
        match &self.target.path {
            Some(path) if !self.target.force && path.exists() => {
                if content_digest(path).is_ok_and(|d| d == self.hasher.finalize()) { Ok(()) } else { Err(exists(path)) }
            }
            _ => Ok(()),
        }
    }

    /// Puts the output in its place: synced and renamed. A differing file is kept (73) unless forced.
    pub fn finish(self) -> Result<Outcome> {
        let name = self.target.name();
        let digest = self.hasher.finalize();
        let place = match self.sink {
            Sink::Plain(place) => place,
            Sink::Zstd(encoder) => encoder.finish().map_err(|e| Error::io(&name, &e))?,
        };
        match place {
            Place::Stdout(mut w) => {
                w.flush().map_err(|e| Error::io(&name, &e))?;
                Ok(Outcome::Written)
            }
            Place::File(w) => {
                let file = w.into_inner().map_err(|e| Error::io(&name, e.error()))?;
                let path = self.target.path.as_deref().expect("a file has a path");
                install(file, path, digest, self.target.force)
            }
        }
    }
}

fn install(file: TempFile, path: &Path, digest: blake3::Hash, force: bool) -> Result<Outcome> {
    file.as_file().sync_all().path(path)?;
    match file.persist(path, force) {
        Ok(()) => temp::sync_dir(temp::parent(path)).map(|()| Outcome::Written),
        Err(error) if !force && error.kind() == io::ErrorKind::AlreadyExists => {
            if content_digest(path).is_ok_and(|d| d == digest) { Ok(Outcome::UpToDate) } else { Err(exists(path)) }
        }
        Err(error) => Err(Error::io(path.display(), &error)),
    }
}

/// The error for an output that exists and differs.
pub(super) fn exists(path: &Path) -> Error {
    Error::new(Kind::Exists, format!("{}: exists, with other content", path.display())).hint("--force replaces it")
}

/// BLAKE3 over the content of a file of tensors or of what we have written, zstd undone.
pub fn content_digest(path: &Path) -> Result<blake3::Hash> {
    content_digest_within(path, u64::MAX)
}

/// [`content_digest`] of at most so many bytes: zstd frames of others can hold far more than they take, and so can files
/// with holes.
pub fn content_digest_within(path: &Path, most: u64) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut source = Source::open(path)?.within(most)?.take(most);
    io::copy(&mut source, &mut hasher).path(path)?;
    if source.limit() == 0 && source.into_inner().read(&mut [0]).path(path)? > 0 {
        return Err(Error::data(format!("{}: expected at most {most} bytes, found more", path.display())));
    }
    Ok(hasher.finalize())
}

/// Makes a new file with mode 0600 and this content, complete or absent; an existing one is an error (73).
pub fn write_secret(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = TempFile::beside(path, 0o600)?;
    file.write_all(content).path(path)?;
    file.as_file().sync_all().path(path)?;
    match file.persist(path, false) {
        Ok(()) => temp::sync_dir(temp::parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(error) => Err(Error::io(path.display(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_digest_reads_no_more_than_it_is_told_whatever_a_frame_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (path, content) = (folder.path().join("frame"), vec![0u8; 1 << 20]);
        fs::write(&path, zstd::encode_all(&content[..], 1).unwrap()).unwrap();
        let whole = content_digest(&path).unwrap();
        assert_eq!((whole, content_digest_within(&path, 1 << 20).unwrap()), (blake3::hash(&content), whole));
        let error = content_digest_within(&path, (1 << 20) - 1).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains("expected at most 1048575 bytes"), "{error}");
    }
}
