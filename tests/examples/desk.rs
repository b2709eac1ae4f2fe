//! Where examples are typed: what world.sh makes, once, and a copy of it for each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::common::shell::home;
use super::common::talk;
use super::hub::{Hub, Repo, commit};
use super::outputs;
use super::plays::Block;

/// The folders, and a hub with what the examples pull.
pub struct World {
    folder: TempDir,
    hub: Hub,
}

/// Short names: sockets lie in these folders.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("ex").tempdir_in("/tmp").unwrap()
}

fn bash(script: &Path, path: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_l402")).parent().unwrap();
    let mut command = Command::new("bash");
    let path = format!("{}:{}:{}", path.display(), program.display(), std::env::var("PATH").unwrap());
    command.arg("-euo").arg("pipefail").arg(script).env("PATH", path).stdin(Stdio::null());
    for variable in ["L402", "L402_RUN", "GITHUB_ACTIONS", "HF_TOKEN", "HF_HUB_OFFLINE"] {
        command.env_remove(variable);
    }
    command
}

impl World {
    /// Makes it.
    pub fn new() -> World {
        let folder = folder();
        let mut script = bash(&home().join("tests/examples/world.sh"), &folder.path().join("bin"));
        let made = script.arg(folder.path()).output().unwrap();
        assert!(made.status.success(), "world.sh: {}", talk(&made));
        let hub = hub(&folder.path().join("desk/smol"));
        World { folder, hub }
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// A copy of everything.
    fn copy(&self) -> TempDir {
        let copy = folder();
        let from = self.folder.path();
        let done = Command::new("cp").arg("-a").arg(from.join("desk")).arg(from.join("home")).arg(copy.path()).status();
        assert!(done.unwrap().success(), "cp");
        copy
    }

    /// Types a block in a folder of a desk; what is wrong with it.
    pub fn play(&self, block: &Block, place: &str, before: &str, text: &str) -> Option<String> {
        let copy = self.copy();
        let desk = copy.path().join("desk");
        let place = if place == "desk" { desk.clone() } else { desk.join(place) };
        let key = [&place, &desk.join("run")].map(|folder| fs::read_to_string(folder.join("coordinator.pub")));
        let key = key.into_iter().find_map(Result::ok).unwrap();
        let run = |what: &str, text: &str| {
            let script = desk.join(what);
            fs::write(&script, text).unwrap();
            let mut command = bash(&script, &self.bin());
            command.current_dir(&place).env("HOME", copy.path().join("home")).env("HF_ENDPOINT", self.hub.url());
            command.env("HF_HOME", copy.path().join("home/hf")).env("ROUNDS", "1").env("RUNNER_TEMP", &desk);
            let ended = command.env("C", key.trim()).env("COORDINATOR", key.trim()).output();
            let ended = ended.unwrap_or_else(|e| panic!("{block:?} in {}: {e}", place.display()));
            let _ = fs::remove_file(script);
            ended
        };
        let said = |ended: &Output, text: &str| Some(format!("{block:?}: {:?}\n{text}\n{}", ended.status, talk(ended)));
        // What is there already would not be made.
        let outputs: Vec<PathBuf> = outputs(text).iter().map(|name| place.join(name)).collect();
        for path in &outputs {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        let ready = (!before.is_empty()).then(|| run("before", before));
        if let Some(ready) = ready.filter(|ready| !ready.status.success()) {
            return said(&ready, before);
        }
        let done = run("typed", text);
        if place.join("net").is_dir() {
            let _ = Command::new(env!("CARGO_BIN_EXE_l402")).args(["devnet", "down"]).arg(place.join("net")).output();
        }
        if !done.status.success() {
            return said(&done, text);
        }
        // A block may have gone into the run that it has made.
        let made = |path: &&PathBuf| path.exists() || place.join("run").join(path.file_name().unwrap()).exists();
        let gone = outputs.iter().find(|path| !made(path));
        gone.map(|path| format!("{block:?}: made no {}\n{text}", path.display()))
    }

    /// Plays paid.sh, with the blocks as files.
    pub fn paid(&self, blocks: &BTreeMap<Block, String>) {
        let copy = self.copy();
        let examples = copy.path().join("examples");
        fs::create_dir(&examples).unwrap();
        for ((name, number), text) in blocks.iter().filter(|((name, _), _)| !name.contains('/')) {
            fs::write(examples.join(format!("{name}-{number}.sh")), text).unwrap();
        }
        let mut script = bash(&home().join("tests/examples/paid.sh"), &self.bin());
        let done = script.arg(&examples).current_dir(copy.path().join("desk")).output().unwrap();
        assert!(done.status.success(), "paid.sh: {}", talk(&done));
    }
}

/// A hub that has what is pulled, each of the models being this one.
fn hub(model: &Path) -> Hub {
    let mut files: Vec<_> = fs::read_dir(model).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files: Vec<_> =
        files.iter().map(|path| (name(path), fs::read(path).unwrap(), name(path) == "model.safetensors")).collect();
    let of = |name| Repo { name, files: files.clone(), ..Repo::model() };
    let named = "060db6499f32faf8b98477b0a26969ef7d8b9987".to_owned();
    let stories = Repo {
        name: "roneneldan/TinyStories",
        ..Repo::of("datasets", &[("data/train.parquet", "x"), ("README.md", "y")])
    };
    let repos = [
        of("HuggingFaceTB/SmolLM2-135M-Instruct"),
        Repo { commit: named, ..of("Qwen/Qwen2.5-0.5B") },
        Repo { commit: commit("instruct"), ..of("Qwen/Qwen2.5-0.5B-Instruct") },
        stories,
    ];
    Hub::start(move |request, _| {
        let asked = |repo: &&Repo| request.path.contains(&format!("/{}/", repo.name));
        repos.iter().find(asked).unwrap_or(&repos[0]).answer(request)
    })
}
