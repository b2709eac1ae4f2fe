//! A run folder as its layout has it (docs/run.md), and the folder beside it of what each party keeps to itself.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::artifact::{Recipe, Room, key};
use crate::error::{Error, IoContext, Result};
use crate::fsio::read_text_within;

/// What a run folder is known by.
const RECIPE: &str = "run.toml";
/// Names the run folder where no flag does.
pub const VARIABLE: &str = "L402_RUN";

/// Whether a regular file is there: a link is none, wherever it leads, for who made a folder could lead it to what is secret.
pub fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// A run folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Empty for the folder that one is in.
    root: PathBuf,
}

impl Run {
    /// The folder that is named, by a flag or by [`VARIABLE`], else the nearest one upwards that holds a run.
    pub fn find(named: Option<&Path>) -> Result<Option<Run>> {
        let variable = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(root) = named.map(Path::to_owned).or(variable) {
            let run = Run { root };
            return match run.recipe().is_file() {
                true => Ok(Some(run)),
                false => {
                    Err(Error::missing(format!("{}: no such file: expected a run folder", run.recipe().display()))
                        .hint("`l402 new` begins one"))
                }
            };
        }
        let here = env::current_dir().map_err(|e| Error::io("the working directory", &e))?;
        let found = here.ancestors().find(|folder| Run::is_one(folder));
        Ok(found.map(|folder| Run { root: if folder == here { PathBuf::new() } else { folder.to_owned() } }))
    }

    /// Whether a folder is one.
    pub fn is_one(folder: &Path) -> bool {
        folder.join(RECIPE).is_file()
    }

    /// A file or folder of the run.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root }
    }

    /// The recipe.
    pub fn recipe(&self) -> PathBuf {
        self.path(RECIPE)
    }

    /// The recipe, read.
    pub fn read_recipe(&self) -> Result<Recipe> {
        Recipe::load(&self.recipe())
    }

    /// The model at the start of a round.
    pub fn theta(&self, round: u64) -> PathBuf {
        self.path(format!("theta-{round}"))
    }

    /// A file of a round.
    pub fn of(&self, round: u64, name: &str) -> PathBuf {
        self.path(format!("round-{round}")).join(name)
    }

    /// A file of a round, if it is there.
    pub fn there(&self, round: u64, name: &str) -> Option<PathBuf> {
        Some(self.of(round, name)).filter(|path| is_regular(path))
    }

    /// The regular files of a round that end so, by their names; links are none.
    pub fn ending(&self, round: u64, ending: &str) -> Result<Vec<PathBuf>> {
        let folder = self.of(round, "");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).path(&folder)? {
            let entry = entry.path(&folder)?;
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(ending));
            if stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.'))
                && entry.file_type().path(&folder)?.is_file()
            {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// A party's public key, as `NAME.pub` has it.
    pub fn public(&self, name: &str) -> Result<Option<String>> {
        let path = self.path(format!("{name}.pub"));
        if !is_regular(&path) {
            return Ok(None);
        }
        let text = read_text_within(&path, Room::of_one().bytes)?;
        let text = text.trim_end();
        // Not what was found: by mistake that may be a secret one.
        let wrong = || Error::data(format!("{}: expected a public key, 66 hex digits", path.display()));
        key::parse_public(text).map_err(|_| wrong())?;
        Ok(Some(text.to_owned()))
    }

    /// Whose word a verdict is: the judge, or the coordinator where nobody else judges.
    pub fn judge(&self) -> &'static str {
        if is_regular(&self.path("judge.pub")) { "judge" } else { "coordinator" }
    }

    /// Whose money it is: the payer, or the judge where nobody else pays.
    pub fn payer(&self) -> &'static str {
        if is_regular(&self.path("payer.pub")) { "payer" } else { self.judge() }
    }

    /// The folder of what a party keeps to itself: `RUN-private/PARTY`, beside the run and never in it.
    pub fn private(&self, party: &str) -> Result<PathBuf> {
        let root = fs::canonicalize(self.root()).path(self.root())?;
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Err(Error::usage(format!("{}: expected a run folder that lies in another", root.display())));
        };
        let mut name = name.to_owned();
        name.push("-private");
        Ok(parent.join(name).join(party))
    }
}
