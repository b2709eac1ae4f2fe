//! The files of a repository at one commit: from the hub through the cache, or from the cache alone.

use std::path::{Path, PathBuf};

use super::cache::{Blob, RepoCache};
use super::client::Client;
use super::commit::Commit;
use super::env::Settings;
use super::fetch::File;
use super::listing::Listing;
use super::name::FileName;
use super::oid::{Content, Sha256};
use super::patience::persist;
use super::repository::Repository;
use super::select::{Selection, Wanted, names};
use super::watch::Watch;
use crate::error::{Context, Error, Result};

/// What helps where the cache lacks something.
const ONLINE: &str = "without HF_HUB_OFFLINE it is fetched from the hub";

/// A commit, and which of its files are asked for.
pub struct Snapshot<'a> {
    repository: &'a Repository,
    cache: RepoCache,
    /// Where there is none, the network is left alone.
    client: Option<Client>,
    listing: Listing,
    wanted: Vec<Wanted>,
    /// Pickles that were asked for, among other files, and are not taken.
    pub left_out: Vec<String>,
}

/// A file in the cache, checked.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its name in the repository.
    pub name: FileName,
    /// Its digest as the hub has it, and its bytes.
    pub content: Content,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Where it is.
    pub path: PathBuf,
}

impl<'a> Snapshot<'a> {
    /// Asks once where the revision stands, and picks from what is there. Everything else is of that commit.
    pub fn resolve(
        repository: &'a Repository,
        selection: &Selection,
        settings: &Settings,
        watch: &dyn Watch,
    ) -> Result<Snapshot<'a>> {
        let cache = RepoCache::new(&settings.cache, repository);
        let client = (!settings.offline).then(|| Client::new(settings));
        let mut listing = match &client {
            Some(client) => persist(watch, || client.list(repository))?,
            None => offline_listing(repository, &cache, &settings.cache)?,
        };
        let (mut wanted, left_out) = selection.of(&listing.files).at(repository)?;
        if wanted.is_empty() {
            let found = listing.files.len();
            return Err(Error::missing(format!(
                "{repository}: nothing is asked for of the {found} files that there are"
            ))
            .hint("--include says what to take"));
        }
        if let Some(client) = &client {
            learn(repository, client, &mut listing, &mut wanted, watch)?;
        }
        Ok(Snapshot { repository, cache, client, listing, wanted, left_out })
    }

    /// The commit.
    pub fn commit(&self) -> &Commit {
        &self.listing.commit
    }

    /// The folder of the commit's files in the cache.
    pub fn folder(&self) -> PathBuf {
        self.cache.snapshot(self.commit())
    }

    /// The names of the files that are asked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|file| file.name.as_str())
    }

    /// Bytes that are asked for, as far as they are known.
    pub fn size(&self) -> u64 {
        self.wanted.iter().filter_map(|file| file.content).fold(0, |sum, content| sum.saturating_add(content.size))
    }

    /// Brings every file that is asked for into the cache, where it is not there, and checks those that are.
    pub fn gather(&self, watch: &dyn Watch) -> Result<Vec<Held>> {
        match &self.client {
            Some(client) => self.pull(client, watch),
            None => self.check(watch),
        }
    }

    fn pull(&self, client: &Client, watch: &dyn Watch) -> Result<Vec<Held>> {
        self.cache.keep_listing(&self.listing)?;
        let mut held = Vec::new();
        let mut done = 0;
        for file in &self.wanted {
            let content = file.content.ok_or_else(|| Error::bug(format!("{}: nothing is known of it", file.name)))?;
            let of = File { client, repository: self.repository, commit: self.commit(), name: &file.name };
            let sha256 = self.bring(&of, &content, done, watch)?;
            self.cache.name(self.commit(), &file.name, &content.oid)?;
            done += content.size;
            watch.at(done);
            held.push(Held { name: file.name.clone(), content, sha256, path: self.cache.blob(&content.oid) });
        }
        self.cache.keep_commit(self.repository.revision(), self.commit())?;
        Ok(held)
    }

    /// A content that is in the cache afterwards.
    fn bring(&self, file: &File<'_>, content: &Content, before: u64, watch: &dyn Watch) -> Result<Sha256> {
        if let Blob::Whole(sha256) = self.cache.look(content)? {
            return Ok(sha256);
        }
        let partial = self.cache.partial(&content.oid)?;
        // Another process may have brought it before this one was let in.
        match self.cache.look(content)? {
            Blob::Whole(sha256) => partial.discard().map(|()| sha256),
            Blob::Damaged => {
                watch.note(&format!("{}: the cache holds something else in its place; it is fetched again", file.name));
                file.fetch(content, partial, &self.cache.blob(&content.oid), before, watch)
            }
            Blob::Absent => file.fetch(content, partial, &self.cache.blob(&content.oid), before, watch),
        }
    }

    /// What the cache alone has, all of it or nothing.
    fn check(&self, watch: &dyn Watch) -> Result<Vec<Held>> {
        let (mut held, mut missing) = (Vec::new(), Vec::new());
        for file in &self.wanted {
            match file.content.map(|content| Ok((content, self.cache.look(&content)?))).transpose()? {
                Some((content, Blob::Whole(sha256))) => {
                    self.cache.name(self.commit(), &file.name, &content.oid)?;
                    let path = self.cache.blob(&content.oid);
                    held.push(Held { name: file.name.clone(), content, sha256, path });
                    watch.at(held.iter().fold(0, |sum, file| sum + file.content.size));
                }
                Some((_, Blob::Damaged)) => missing.push(format!("{} (damaged)", file.name)),
                _ => missing.push(file.name.to_string()),
            }
        }
        if missing.is_empty() {
            return Ok(held);
        }
        let what = format!("{}: offline, and the cache lacks {}", self.repository, names(&missing));
        Err(Error::missing(what).hint(ONLINE))
    }
}

/// Asks file by file for what the list does not say of those that are asked for.
fn learn(
    repository: &Repository,
    client: &Client,
    listing: &mut Listing,
    wanted: &mut [Wanted],
    watch: &dyn Watch,
) -> Result<()> {
    for file in wanted.iter_mut().filter(|file| file.content.is_none()) {
        let of = File { client, repository, commit: &listing.commit, name: &file.name };
        let content = of.content(watch)?;
        file.content = Some(content);
        let entries = listing.files.iter_mut().filter(|entry| entry.name == file.name.as_str());
        entries.for_each(|entry| entry.content = Some(content));
    }
    Ok(())
}

/// The list of files where the revision stood when it was last pulled.
fn offline_listing(repository: &Repository, cache: &RepoCache, folder: &Path) -> Result<Listing> {
    let listing = match cache.commit(repository.revision())? {
        Some(commit) => cache.listing(&commit)?,
        None => None,
    };
    listing.ok_or_else(|| {
        let what = format!("{repository}: offline, and the cache {} has nothing of it", folder.display());
        Error::missing(what).hint(ONLINE)
    })
}
