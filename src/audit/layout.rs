//! Which files a run folder has: see docs/run.md.

use std::collections::BTreeMap;

use super::folder::RunFolder;
use super::outer::MOMENTUM;
use super::start::Start;
use super::validated::ENDING;
use crate::artifact::canonical;
use crate::data::{MANIFEST, ShardEntry};
use crate::model::{Layout, ModelConfig};
use crate::verify::Segments;

/// The lists and beacons of a round.
const ROUND: [&str; 17] = [
    "arrivals.jsonl",
    "assignments.jsonl",
    "beacon-a",
    "beacon-b",
    "claimed.jsonl",
    "closing.jsonl",
    "commitments.jsonl",
    "findings.jsonl",
    "held.jsonl",
    "invoices.jsonl",
    "offers.jsonl",
    MOMENTUM,
    "roster-closing.jsonl",
    "rungs.jsonl",
    "scores.jsonl",
    // A stamp that recipes/round.mk once left, without content.
    "states-linked",
    "verdicts.jsonl",
];

/// Endings of the files that a round has for each worker: its own, and the parts of lists that it has sent.
const WORKER: [&str; 11] = [
    ".claimed",
    ".commitment",
    ".feedback",
    ".finding",
    ".held",
    ".invoices",
    ".leaves",
    ".moments",
    ".receipt",
    ".reveal",
    ".update",
];

/// Public keys of the parties beside the workers.
const KEYS: [&str; 3] = ["coordinator.pub", "judge.pub", "payer.pub"];

/// How the folder of what a worker shows of its work ends.
const SHOWN: &str = ".openings";

/// A model that a round leaves, whole or an adapter's.
const MODEL: [&str; 4] = ["config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"];

/// The model that adapters are of.
const BASE: &str = "base";

/// How many rounds there are, and whether the last one is not finished and left out.
pub fn rounds(run: &RunFolder) -> (u64, bool) {
    let begun = (0u64..).take_while(|n| run.below(&format!("round-{n}/")).next().is_some()).count() as u64;
    let Some(last) = begun.checked_sub(1) else { return (0, false) };
    let scored = run.has(&format!("round-{last}/scores.jsonl"));
    let stepped = MODEL.iter().any(|file| run.has(&format!("theta-{begun}/{file}")));
    if scored && stepped { (begun, false) } else { (last, true) }
}

/// Whether a folder of this name is a part of a run folder.
pub fn is_folder(name: &str) -> bool {
    let number = |prefix: &str| canonical::integer::<u64>(name.strip_prefix(prefix)?);
    ["shards", BASE].contains(&name) || number("theta-").is_some() || number("round-").is_some()
}

/// Whether a folder in one of these is a part of a run folder that an audit has no use for: links to files that it looks at in
/// their own place, and what a worker has shown of its work.
pub fn is_aside(prefix: &str, name: &str) -> bool {
    (prefix.is_empty() && name == "states") || (prefix.starts_with("round-") && name.ends_with(SHOWN))
}

/// The files that every round stands on, before any of them was checked, with the most bytes that each can have by what the
/// others say: of what is longer nothing need be known.
pub fn ground(run: &RunFolder) -> Vec<(&str, u64)> {
    let entries: Vec<ShardEntry> = run.records(&format!("shards/{MANIFEST}")).unwrap_or_default();
    let shards: BTreeMap<String, u64> =
        entries.iter().map(|entry| (format!("shards/{}", entry.file), entry.most_bytes())).collect();
    let whole = if run.has("theta-0/adapter_config.json") { BASE } else { "theta-0" };
    let config = run.text(&format!("{whole}/config.json")).ok().and_then(|text| ModelConfig::parse(&text).ok());
    // Any floating type, and a tied head once more.
    let weights = config.map_or(0, |config| Layout::new(&config).file_room(4));
    let most = |name: &str| match name.split_once('/') {
        None if ["run.toml", "roster.jsonl"].contains(&name) || name.ends_with(".pub") => Some(run.list_bytes()),
        Some(("shards", MANIFEST)) => Some(run.list_bytes()),
        Some(("shards", _)) => shards.get(name).copied(),
        Some(("theta-0" | BASE, file)) if file.ends_with(".safetensors") => Some(weights),
        Some(("theta-0" | BASE, file)) if file.ends_with(".json") => Some(run.list_bytes()),
        _ => None,
    };
    run.names().iter().filter_map(|name| Some((name.as_str(), most(name)?))).collect()
}

/// The most bytes that any file of a round can have: the largest state, lists, leaves.
pub fn most_bytes(run: &RunFolder, start: &Start, layout: &Layout) -> u64 {
    let leaves = Segments::of(&start.recipe).leaves_room().bytes;
    layout.file_room(4).max(run.list_bytes()).max(leaves)
}

/// The files that an audit of so many rounds does not look at: they are no part of a run folder.
pub fn foreign<'a>(run: &'a RunFolder, start: &Start, rounds: u64) -> Vec<&'a str> {
    let workers: Vec<&str> = start.roster.members().iter().map(|m| m.worker.as_str()).collect();
    let known = |name: &&str| match name.split_once('/') {
        None => {
            // What `report` makes and reads is nothing that anybody answers for.
            ["run.toml", "roster.jsonl", "report.html"].contains(name)
                || name.ends_with(".log.jsonl")
                || KEYS.contains(name)
                || name.strip_suffix(".pub").is_some_and(|who| workers.contains(&who))
        }
        Some(("shards", file)) => file == MANIFEST || start.manifest.entries().iter().any(|e| e.file == file),
        Some((folder, file)) => {
            let number = |prefix: &str| canonical::integer::<u64>(folder.strip_prefix(prefix)?);
            let model = MODEL.contains(&file);
            let first = file == "model.safetensors.index.json" || file.ends_with(".safetensors");
            let of_worker = WORKER.iter().filter_map(|ending| file.strip_suffix(ending));
            number("theta-").is_some_and(|n| n <= rounds && (model || n == 0 && first))
                || folder == BASE && start.recipe.adapter.is_some() && (file == "config.json" || first)
                || number("round-").is_some_and(|n| n < rounds)
                    && (ROUND.contains(&file)
                        || file.ends_with(".update")
                        || file.ends_with(ENDING) && !start.recipe.score.validators.is_empty()
                        || of_worker.into_iter().any(|who| workers.contains(&who)))
        }
    };
    run.names().iter().map(String::as_str).filter(|name| !known(name)).collect()
}
