//! The cache of a repository, as Python's `huggingface_hub` lays it out: blobs by their digests, a folder of links for each
//! commit, a file for each branch or tag that says where it stood. Beside them, the lists of files, so that one can say
//! what is missing where there is no hub to ask.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo};

use super::commit::Commit;
use super::listing::{self, Entry, Listing};
use super::name::FileName;
use super::oid::{Content, Hasher, Oid, Sha256};
use super::repository::Repository;
use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::fsio::{Partial, Source, Target, point, read_text};

/// The folder of a repository in the cache.
pub struct RepoCache {
    repo: CacheRepo,
    folder: PathBuf,
    locks: PathBuf,
    refs: PathBuf,
}

/// What is in a blob's place.
pub enum Blob {
    /// The content that it should have, and its SHA-256.
    Whole(Sha256),
    /// Nothing.
    Absent,
    /// Something else.
    Damaged,
}

impl RepoCache {
    /// That of a repository, in the cache in this folder. Nothing is made.
    pub fn new(cache: &Path, repository: &Repository) -> RepoCache {
        let repo = repository.at_crate(repository.revision());
        let name = repo.folder_name();
        RepoCache {
            refs: cache.join(&name).join("refs").join(repository.revision()),
            folder: cache.join(&name),
            locks: cache.join(".locks").join(name),
            repo: Cache::new(cache.to_owned()).repo(repo),
        }
    }

    /// Where the files of a commit are.
    pub fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.repo.pointer_path(&commit.to_string())
    }

    /// Where a content is.
    pub fn blob(&self, oid: &Oid) -> PathBuf {
        self.repo.blob_path(&oid.to_string())
    }

    /// What is there of a content.
    pub fn look(&self, content: &Content) -> Result<Blob> {
        let path = self.blob(&content.oid);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Blob::Absent),
            Err(error) => return Err(Error::io(path.display(), &error)),
            Ok(meta) if !meta.is_file() || meta.len() != content.size => return Ok(Blob::Damaged),
            Ok(_) => {}
        }
        let mut hasher = Hasher::new(content);
        let mut file = fs::File::open(&path).path(&path)?;
        let mut piece = vec![0; 1 << 18];
        loop {
            match io::Read::read(&mut file, &mut piece) {
                Ok(0) => break,
                Ok(n) => hasher.update(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(path.display(), &error)),
            }
        }
        Ok(hasher.finish().map_or(Blob::Damaged, Blob::Whole))
    }

    /// What there is of a content that is still coming.
    pub fn partial(&self, oid: &Oid) -> Result<Partial> {
        let path = self.folder.join("blobs").join(format!("{oid}.incomplete"));
        Partial::open(&path, &self.locks.join(format!("{oid}.lock")))
    }

    /// Gives a content its name at a commit.
    pub fn name(&self, commit: &Commit, name: &FileName, oid: &Oid) -> Result<()> {
        let up = "../".repeat(2 + name.folders().count());
        point(&self.snapshot(commit).join(name.as_str()), Path::new(&format!("{up}blobs/{oid}")))
    }

    /// Where the revision stood when it was last pulled.
    pub fn commit(&self, revision: &str) -> Result<Option<Commit>> {
        if let Ok(commit) = revision.parse() {
            return Ok(Some(commit));
        }
        match read_text(&self.refs) {
            Ok(text) => text.trim().parse().at(self.refs.display()).map(Some),
            Err(error) if error.kind() == Kind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps where the revision stands.
    pub fn keep_commit(&self, revision: &str, commit: &Commit) -> Result<()> {
        if revision.parse::<Commit>().is_ok() {
            return Ok(());
        }
        write(&self.refs, &commit.to_string())
    }

    /// Keeps the list of a commit's files.
    pub fn keep_listing(&self, listing: &Listing) -> Result<()> {
        write(&self.listing_path(&listing.commit), &listing.text()?)
    }

    /// The list of a commit's files. Where another program pulled them, it is what there is in the commit's folder; none where
    /// there is no such folder.
    pub fn listing(&self, commit: &Commit) -> Result<Option<Listing>> {
        let path = self.listing_path(commit);
        match Source::text(&path) {
            Ok(source) => {
                let listing = Listing::parse(&source.read_to_end(listing::MAX_BYTES)?).at(path.display())?;
                if listing.commit != *commit {
                    let (path, found) = (path.display(), &listing.commit);
                    return Err(Error::data(format!(
                        "{path}: expected the list of commit {commit}, found that of {found}"
                    )));
                }
                return Ok(Some(listing));
            }
            Err(error) if error.kind() == Kind::Missing => {}
            Err(error) => return Err(error),
        }
        let folder = self.snapshot(commit);
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut files = Vec::new();
        list_links(&folder, "", &mut files)?;
        Ok(Some(Listing { commit: commit.clone(), files }))
    }

    fn listing_path(&self, commit: &Commit) -> PathBuf {
        self.folder.join("listings").join(format!("{commit}.json"))
    }
}

/// Writes a text in the place of what was there.
fn write(path: &Path, text: &str) -> Result<()> {
    let target = Target::new(Some(path), true);
    target.make_folder()?;
    target.write_text(text).map(drop)
}

/// Every file below a commit's folder, with the content that its link names.
fn list_links(folder: &Path, prefix: &str, files: &mut Vec<Entry>) -> Result<()> {
    for entry in fs::read_dir(folder).path(folder)? {
        let entry = entry.path(folder)?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().path(&path)?.is_dir() {
            list_links(&path, &format!("{name}/"), files)?;
            continue;
        }
        let target = fs::read_link(&path).unwrap_or_default();
        let oid = target.file_name().and_then(|name| name.to_str()?.parse().ok());
        let size = fs::metadata(&path).ok().map(|meta| meta.len());
        files.push(Entry { name, content: oid.zip(size).map(|(oid, size)| Content { oid, size }) });
    }
    Ok(())
}
