//! What flags can be given in a run folder.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter};

use crate::artifact::Room;
use crate::data::Roster;
use crate::fsio::{self, read_text_within};

/// The tree with candidates for rounds, workers and recipes wherever it asks for them, be it by a flag or by place.
pub fn attached(tree: Command, run: PathBuf) -> Command {
    let attach = |arg: Arg| {
        let run = run.clone();
        match arg.get_id().as_str() {
            "round" | "round_of" => arg.add(ArgValueCompleter::new(move |begun: &OsStr| of(rounds(&run), begun))),
            "worker" | "worker_of" => arg.add(ArgValueCompleter::new(move |begun: &OsStr| of(workers(&run), begun))),
            "recipe" => {
                let recipe = |path: &Path| path.extension().is_some_and(|ending| ending == "toml");
                arg.add(ArgValueCompleter::new(PathCompleter::any().filter(recipe)))
            }
            _ => arg,
        }
    };
    let names: Vec<String> = tree.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let tree = tree.mut_args(attach);
    names.into_iter().fold(tree, |tree, name| tree.mut_subcommand(name, |verb| attached(verb, run.clone())))
}

/// Those that a word begins as, in their order.
fn of(known: Vec<String>, begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let fits = known.into_iter().filter(|name| name.starts_with(&*begun));
    fits.enumerate().map(|(i, name)| CompletionCandidate::new(name).display_order(Some(i))).collect()
}

/// The rounds that a run folder has a model or records of, ascending.
fn rounds(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    let number = |name: &str| ["theta-", "round-"].iter().find_map(|p| name.strip_prefix(p)?.parse::<u64>().ok());
    let rounds: BTreeSet<u64> = entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    rounds.into_iter().map(|round| round.to_string()).collect()
}

/// The workers of its roster, ascending.
fn workers(run: &Path) -> Vec<String> {
    let path = run.join("roster.jsonl");
    fsio::found(&path);
    let text = read_text_within(&path, Room::any().bytes).unwrap_or_default();
    let roster = Roster::parse("roster.jsonl", &text);
    roster.map_or(Vec::new(), |roster| roster.members().iter().map(|member| member.worker.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_numbers_in_order_and_workers_those_of_the_roster() {
        let place = tempfile::tempdir().unwrap();
        for name in ["theta-10", "theta-2", "round-2", "theta-x", "states"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        assert_eq!(rounds(place.path()), ["2", "10"]);
        assert_eq!(workers(place.path()), Vec::<String>::new());
        let line = |id: &str| format!("{{\"type\":\"roster\",\"v\":1,\"worker\":\"{id}\"}}\n");
        fs::write(place.path().join("roster.jsonl"), line("bob") + &line("ann")).unwrap();
        assert_eq!(workers(place.path()), ["ann", "bob"]);
        assert_eq!(rounds(Path::new("/no/such/folder")), Vec::<String>::new());
        // A shell does not wait for whoever fills a pipe.
        fs::remove_file(place.path().join("roster.jsonl")).unwrap();
        assert!(
            std::process::Command::new("mkfifo").arg(place.path().join("roster.jsonl")).status().unwrap().success()
        );
        assert_eq!(workers(place.path()), Vec::<String>::new());
    }
}
