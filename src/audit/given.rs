//! The updates of a round as they lie there, readable or not.

use super::differs::Checked;
use super::folder::RunFolder;
use super::lists::Names;
use super::start::Start;
use crate::artifact::{Digest, Meta};
use crate::codec::Update;
use crate::error::{Error, Kind, Result};
use crate::fsio::Source;
use crate::model::Layout;
use crate::score::{Candidate, read_update, update_digest};

/// A file that holds an update, or should.
pub struct Given {
    /// Whose it is by its name.
    pub worker: String,
    /// The file.
    pub file: String,
    /// The digest of what is there.
    pub content: Digest,
    /// What it says of itself, with its metadata; or why it cannot be read.
    pub update: Result<(Candidate, Meta)>,
}

/// The updates of a round, one after the other.
pub fn read_given(run: &RunFolder, start: &Start, layout: &Layout, names: &Names) -> Checked<Vec<Given>> {
    let mut given = Vec::new();
    for file in run.below(&names.folder) {
        let Some(worker) = file[names.folder.len()..].strip_suffix(".update").filter(|w| !w.contains('/')) else {
            continue;
        };
        let update = match Source::open(&run.path(file)).and_then(|s| read_update(s, &start.recipe, layout)) {
            Ok(update) => Ok((Candidate::of(&update), update.meta().clone())),
            Err(error) if matches!(error.kind(), Kind::Data | Kind::Refused) => Err(error),
            Err(error) => return Err(error.into()),
        };
        // What has no content, a cut frame, has no digest either, nor what no update can be.
        let content = match update_digest(&run.path(file), layout) {
            Ok(digest) => digest,
            Err(error) if error.kind() == Kind::Data => Digest([0; 32]),
            Err(error) => return Err(error.into()),
        };
        given.push(Given { worker: worker.to_owned(), file: file.to_owned(), content, update });
    }
    Ok(given)
}

/// Opens an update that was read before, and is still what it was.
pub fn open(run: &RunFolder, start: &Start, layout: &Layout, file: &str, digest: Digest) -> Result<Update> {
    let source = run.source(file).map_err(|_| Error::missing(format!("{file}: it was there before")))?;
    let update = read_update(source, &start.recipe, layout)?;
    if update.digest() == digest {
        return Ok(update);
    }
    Err(Error::new(Kind::Io, format!("{}: it changed while it was audited", update.file())))
}
