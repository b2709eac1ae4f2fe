//! A corpus, read document by document, whatever the form of its files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::data::{Documents, Format, read_json_lines, read_parquet, read_text};
use crate::error::{IoContext, Result};
use crate::fsio::Source;
use crate::ui::{Progress, Ui};

/// What standard input, which has no name, holds.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(super) enum Streamed {
    /// One document
    Text,
    /// A document a line
    Jsonl,
}

/// Reads all documents of the corpus.
pub(super) fn read_documents(
    files: &[PathBuf],
    (format, field): (Option<Streamed>, &str),
    documents: &mut impl Documents,
    what: &'static str,
    ui: &Ui,
) -> Result<()> {
    let sizes: Vec<u64> = files.iter().map(|path| size(path)).collect();
    let progress = ui.progress(what, sizes.iter().sum());
    let mut before = 0;
    for (path, size) in files.iter().zip(sizes) {
        let format = match format {
            Some(Streamed::Jsonl) if path.as_os_str() == "-" => Format::JsonLines,
            _ => Format::of(path),
        };
        if format == Format::Parquet {
            let (name, file) = (path.display().to_string(), File::open(path).path(path)?);
            read_parquet(&name, file, field, documents, &mut |done| {
                progress.at(before + done.min(size));
            })?;
        } else {
            let source = Source::corpus(path)?;
            let name = source.name().to_owned();
            let counted = Counted { source, progress: &progress, before, size, read: 0 };
            if format == Format::JsonLines {
                read_json_lines(&name, counted, field, documents)?;
            } else {
                read_text(&name, counted, documents)?;
            }
        }
        before += size;
        progress.at(before);
    }
    Ok(())
}

/// The size of a file, for the progress alone.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// A source whose reading shows as progress.
struct Counted<'a> {
    source: Source,
    progress: &'a Progress,
    before: u64,
    size: u64,
    read: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buf)?;
        self.read += n as u64;
        // What is read of a compressed file is more than its size.
        self.progress.at(self.before + self.read.min(self.size));
        Ok(n)
    }
}
