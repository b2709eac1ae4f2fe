//! Where pulls are made: a folder with a cache, and the binary in it with an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::hub::Hub;

/// A folder, and what is set in it.
pub struct Desk {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    /// It stays there as long as the desk.
    _hub: Option<Hub>,
}

/// What must reach nobody but the hub.
pub const TOKEN: &str = "hf_thisIsTheSecret";

impl Desk {
    /// One that speaks to this hub.
    pub fn at(hub: &Hub) -> Desk {
        Desk { _hub: Some(hub.clone()), ..Desk::to(&hub.url()) }
    }

    /// One that speaks to whatever is there.
    pub fn to(endpoint: &str) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap(), variables: Vec::new(), _hub: None };
        let home = desk.path("home").to_str().unwrap().to_owned();
        desk.with("HF_HOME", &home).with("HF_ENDPOINT", endpoint)
    }

    /// Sets a variable.
    pub fn with(mut self, name: &str, value: &str) -> Desk {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same folder without a network.
    pub fn offline(self) -> Desk {
        self.with("HF_HUB_OFFLINE", "1").with("HF_ENDPOINT", "http://127.0.0.1:1")
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the cache of the tests' model.
    pub fn cached(&self, name: &str) -> PathBuf {
        self.path("home/hub/models--org--tiny").join(name)
    }

    /// The names in a folder of that cache, ascending; none where there is no such folder.
    pub fn listing(&self, folder: &str) -> Vec<String> {
        names(&self.cached(folder))
    }

    /// `l402 pull ARGS`, not yet started. Nothing of this process's environment is left.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        command.arg("pull").args(args.split_whitespace()).current_dir(self.folder.path()).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A recipe of the repository in this folder, with the desk's variables.
    pub fn recipe(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(name));
        command.args(args).current_dir(self.folder.path()).env("L402", env!("CARGO_BIN_EXE_l402"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it and asserts the exit status, and that standard error says something; never a token.
    #[track_caller]
    pub fn expect(&self, args: &str, code: i32, says: &str) -> Output {
        let output = self.command(args).output().unwrap();
        let talk = talk(&output);
        assert_eq!(output.status.code(), Some(code), "{args}\n{talk}");
        assert!(talk.contains(says), "{args}\nexpected {says:?} in\n{talk}");
        assert!(!talk.contains(TOKEN) && !String::from_utf8_lossy(&output.stdout).contains(TOKEN), "{talk}");
        output
    }

    /// Runs it to exit status 0; what it printed.
    #[track_caller]
    pub fn text(&self, args: &str) -> String {
        String::from_utf8(self.expect(args, 0, "").stdout).unwrap()
    }
}

/// What the program wrote to standard error.
pub fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names in a folder, ascending; none where there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
