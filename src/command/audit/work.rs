//! What an audit keeps: which rounds it has verified, of which files, and the states that it has arrived at.
//!
//! Only one's own: whoever could write into it could say that everything was verified. So it is no part of a run folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::artifact::record::{self, Record};
use crate::audit::{
    Chain, Evidence, RunFolder, StateFile, StateRoom, Totals, ground, is_momentum, momentum_name, state_name,
};
use crate::error::{Error, IoContext, Result};
use crate::fsio::{LockedDir, Output, ScratchDir, Source, Target};

/// A round that was verified.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Audited {
    round: u64,
    /// The digest of the line before this one; of options and ground before the first.
    after: Digest,
    /// What the round read, to the byte.
    files: BTreeMap<String, Digest>,
    /// The states that go on from it.
    states: BTreeMap<String, Digest>,
    chain: Chain,
    /// Of all rounds up to this one.
    totals: Totals,
    /// What it proves that has changed nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<Evidence>,
}

impl Record for Audited {
    const TYPE: &'static str = "audited";
}

/// Endings of the states that are kept.
const STATES: [&str; 3] = [".feedback", ".moments", ".momentum"];

/// How far an earlier audit came.
pub struct Known {
    /// Rounds that are verified.
    pub rounds: u64,
    /// What the workers carry on.
    pub chain: Chain,
    /// What was checked.
    pub totals: Totals,
    /// What the rounds prove that has changed nothing.
    pub evidence: Vec<Evidence>,
    /// The digest of the last line.
    pub link: Digest,
}

/// The audit's own folder.
pub struct Work {
    folder: PathBuf,
    resumes: bool,
    _lock: Option<LockedDir>,
    _gone: Option<ScratchDir>,
}

impl Work {
    /// Opens a folder, making it if need be; without one, a folder that is gone afterwards.
    pub fn open(folder: Option<&Path>, run: &Path) -> Result<Work> {
        let (folder, lock, gone) = match folder {
            Some(folder) => {
                let lock = LockedDir::open(folder, true)?;
                let inside = fs::canonicalize(folder).path(folder)?.starts_with(fs::canonicalize(run).path(run)?);
                if inside {
                    return Err(Error::usage(format!(
                        "--work {}: expected a folder outside of the run folder",
                        folder.display()
                    ))
                    .hint("who made the run could have written into it that everything was verified"));
                }
                (folder.to_owned(), Some(lock), None)
            }
            None => {
                let gone = ScratchDir::new("l402-audit").map_err(|e| e.hint("--work names another"))?;
                (gone.path().to_owned(), None, Some(gone))
            }
        };
        fs::create_dir_all(folder.join("states")).path(&folder)?;
        Ok(Work { folder, resumes: lock.is_some(), _lock: lock, _gone: gone })
    }

    fn line(&self, round: u64) -> PathBuf {
        self.folder.join(format!("round-{round}.jsonl"))
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.join("states").join(name)
    }

    /// What a round reads, apart from the ground and the rounds before it; nothing where nothing is remembered.
    pub fn round_files(&self, run: &RunFolder, round: u64, most: u64) -> Result<BTreeMap<String, Digest>> {
        if !self.resumes {
            return Ok(BTreeMap::new());
        }
        let (own, next) = (format!("round-{round}/"), format!("theta-{}/", round + 1));
        digests(run, run.below(&own).chain(run.below(&next)).map(|name| (name, most)))
    }

    /// The digest of everything that every round stands on.
    pub fn base(&self, run: &RunFolder) -> Result<Digest> {
        let ground = if self.resumes { ground(run) } else { Vec::new() };
        let files = digests(run, ground.into_iter())?;
        let parts: Vec<Vec<u8>> = files.iter().flat_map(|(name, d)| [name.as_bytes().to_vec(), d.0.to_vec()]).collect();
        Ok(Digest::of_parts("l402/audit/ground/1", &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    }

    /// How far an earlier audit came whose files are all unchanged. `link` is the digest before the first round. With
    /// `states`, those that go on must be there; they are kept for the last round alone.
    pub fn resume(
        &self,
        run: &RunFolder,
        mut link: Digest,
        rounds: u64,
        states: bool,
        most: u64,
    ) -> Result<Option<Known>> {
        let (mut last, mut evidence): (Option<Audited>, Vec<Evidence>) = (None, Vec::new());
        for round in 0..rounds {
            let path = self.line(round);
            if !self.resumes || !path.exists() {
                break;
            }
            // What is damaged is verified again.
            let Some(audited) = read(&path).filter(|a| a.round == round && a.after == link) else { break };
            if audited.files != self.round_files(run, round, most)? {
                break;
            }
            link = Digest::of(record::line(&audited)?.as_bytes());
            evidence.extend(audited.evidence.clone());
            last = Some(audited);
        }
        let Some(last) = last else { return Ok(None) };
        for (name, digest) in last.states.iter().filter(|(name, _)| states || is_momentum(name)) {
            let path = self.state(name);
            if !path.exists() || raw_digest(&path)? != *digest {
                return Ok(None);
            }
        }
        Ok(Some(Known { rounds: last.round + 1, chain: last.chain, totals: last.totals, evidence, link }))
    }

    /// Remembers that a round is verified; states that nothing goes on from are removed.
    pub fn record(
        &self,
        round: u64,
        after: Digest,
        files: BTreeMap<String, Digest>,
        chain: &Chain,
        totals: &Totals,
        evidence: Vec<Evidence>,
    ) -> Result<Digest> {
        let mut states = BTreeMap::new();
        let of_workers = chain
            .iter()
            .flat_map(|(worker, last)| ["feedback", "moments"].map(|kind| state_name(worker, last.round, kind)));
        for name in of_workers.chain([momentum_name(round)]) {
            let path = self.state(&name);
            if path.exists() {
                states.insert(name, raw_digest(&path)?);
            }
        }
        let audited = Audited { round, after, files, states, chain: chain.clone(), totals: *totals, evidence };
        let line = record::line(&audited)?;
        if self.resumes {
            Target::new(Some(&self.line(round)), true).write_text(&line)?;
        }
        let folder = self.folder.join("states");
        for entry in fs::read_dir(&folder).path(&folder)?.flatten() {
            let name = entry.file_name();
            // What somebody else keeps there is not ours to remove.
            let ours = |name: &&str| STATES.iter().any(|kind| name.ends_with(kind));
            if name.to_str().filter(ours).is_some_and(|name| !audited.states.contains_key(name)) {
                fs::remove_file(entry.path()).path(&entry.path())?;
            }
        }
        Ok(Digest::of(line.as_bytes()))
    }
}

fn read(path: &Path) -> Option<Audited> {
    let mut all: Vec<Audited> = record::read(path).ok()?;
    all.pop().filter(|_| all.is_empty())
}

/// A state on its way.
struct Kept(Output);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl StateFile for Kept {
    fn keep(self: Box<Self>) -> Result<()> {
        self.0.finish().map(drop)
    }
}

impl StateRoom for Work {
    fn create(&self, name: &str) -> Result<Box<dyn StateFile>> {
        Ok(Box::new(Kept(Target::new(Some(&self.state(name)), true).create()?)))
    }

    fn open(&self, name: &str) -> Result<Source> {
        Source::open(&self.state(name))
    }
}

/// The digest of a file as it lies there, compressed or not.
fn raw_digest(path: &Path) -> Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).path(path)?;
    io::copy(&mut file, &mut hasher).path(path)?;
    Ok(hasher.into())
}

/// The digest of a file of no more than so many bytes. What is longer is refused wherever it is read, whatever it holds.
fn digest_within(path: &Path, most: u64) -> Result<Digest> {
    let len = fs::metadata(path).path(path)?.len();
    if len > most {
        return Ok(Digest::of_parts("l402/audit/too long/1", &[&len.to_le_bytes()]));
    }
    raw_digest(path)
}

fn digests<'a>(run: &RunFolder, names: impl Iterator<Item = (&'a str, u64)>) -> Result<BTreeMap<String, Digest>> {
    names.map(|(name, most)| Ok((name.to_owned(), digest_within(&run.path(name), most)?))).collect()
}
