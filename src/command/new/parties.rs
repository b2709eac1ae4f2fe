//! Who takes part in a run, and with which keys.

use std::path::Path;

use crate::artifact::key::SigningKey;
use crate::command::args::RESERVED;
use crate::command::members::{lines, member, public_key};
use crate::data::{Member, Roster};
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::private_dir;

/// The coordinator's name among the parties.
const COORDINATOR: &str = "coordinator";

/// Who takes part, as the command line says.
pub struct Parties {
    /// The workers in the order in which they were named.
    pub workers: Vec<Member>,
    coordinator: Option<String>,
}

/// Everybody's public keys.
pub struct Keys {
    workers: Vec<Member>,
    coordinator: String,
    /// The parties whose secret keys are in the folder of secrets.
    pub made: Vec<String>,
}

impl Parties {
    /// From `--workers` and `--coordinator`.
    pub fn parse(workers: &str, coordinator: Option<&str>) -> Result<Parties> {
        let workers = workers.split(',').map(member).collect::<Result<Vec<_>>>().at("--workers")?;
        Roster::new(workers.clone()).map_err(|e| Error::new(Kind::Usage, e.to_string())).at("--workers")?;
        if let Some(reserved) = workers.iter().find(|worker| RESERVED.contains(&worker.worker.as_str())) {
            return Err(Error::usage(format!("--workers: {} is the name of a party of its own", reserved.worker)));
        }
        let coordinator = coordinator.map(public_key).transpose().at("--coordinator")?;
        Ok(Parties { workers, coordinator })
    }

    /// The keys that were named, and for the others those in the folder of secrets, which are made where they are not there.
    pub fn keys(&self, private: &Path) -> Result<Keys> {
        let mut made = Vec::new();
        let mut key = |party: &str, named: &Option<String>| match named {
            Some(key) => Ok(key.clone()),
            None => {
                made.push(party.to_owned());
                secret(&private.join(party))
            }
        };
        let coordinator = key(COORDINATOR, &self.coordinator)?;
        let own = |Member { worker, key: named }: &Member| {
            let key = Some(key(worker, named)?);
            Ok(Member { worker: worker.clone(), key })
        };
        let workers = self.workers.iter().map(own).collect::<Result<Vec<_>>>()?;
        Ok(Keys { workers, coordinator, made })
    }
}

/// The public key of a party's secret one, which is made where it is not there.
fn secret(folder: &Path) -> Result<String> {
    private_dir(folder)?;
    let path = folder.join("key");
    let key = if path.exists() { SigningKey::load(&path)? } else { SigningKey::generate(&path)? };
    Ok(key.public().to_string())
}

impl Keys {
    /// The public files that say so, by their names in the run's folder.
    pub fn files(&self) -> Result<Vec<(String, String)>> {
        let key = |worker: &Member| worker.key.clone().ok_or_else(|| Error::bug("a worker without a key"));
        let mut files = vec![("roster.jsonl".into(), lines(&self.workers)?)];
        files.push((format!("{COORDINATOR}.pub"), format!("{}\n", self.coordinator)));
        for worker in &self.workers {
            files.push((format!("{}.pub", worker.worker), format!("{}\n", key(worker)?)));
        }
        Ok(files)
    }
}
