//! Node ids that the command line pins: nobody is trusted for having come first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::artifact::Room;
use crate::data::Roster;
use crate::error::{Context, Error, Result};
use crate::fsio::read_text_within;
use crate::pay::NodeId;

/// The pinned judge.
#[derive(clap::Args, Debug)]
pub struct JudgeArg {
    /// The judge's node id: offers and verdicts that it did not sign are refused
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    pub judge: NodeId,
}

/// The pinned workers.
#[derive(clap::Args, Debug)]
pub struct WorkerPins {
    /// A worker and its node id; as often as there are workers
    #[arg(long = "worker", value_name = "ID=NODE")]
    worker: Vec<String>,
    /// A file of `roster` records, instead of or beside `--worker`
    #[arg(long, value_name = "FILE")]
    workers: Option<PathBuf>,
}

/// Parses a node id.
pub fn node_id(text: &str) -> std::result::Result<NodeId, String> {
    text.parse::<NodeId>().map_err(|e| e.to_string())
}

impl WorkerPins {
    /// The workers' nodes; a worker without one, or with two, is refused.
    pub fn read(&self) -> Result<BTreeMap<String, NodeId>> {
        let mut rosters = Vec::new();
        if !self.worker.is_empty() {
            rosters.push(Roster::parse_list(&self.worker.join(",")).at("--worker")?);
        }
        if let Some(path) = &self.workers {
            rosters.push(Roster::parse(&path.display().to_string(), &read_text_within(path, Room::any().bytes)?)?);
        }
        let mut pins = BTreeMap::new();
        for member in rosters.iter().flat_map(Roster::members) {
            let key = member.public_key()?.map(NodeId);
            let key = key.ok_or_else(|| Error::usage(format!("worker {}: expected its node id", member.worker)))?;
            if pins.insert(member.worker.clone(), key).is_some_and(|old| old != key) {
                return Err(Error::usage(format!("worker {}: two node ids", member.worker)));
            }
        }
        if pins.is_empty() {
            return Err(Error::usage("expected --worker ID=NODE or --workers FILE: who works, at which node?"));
        }
        Ok(pins)
    }
}
