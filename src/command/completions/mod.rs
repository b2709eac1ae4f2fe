//! `l402 completions`: completions for a shell. The shell asks this program itself, which knows the run folder that it is in.

mod candidates;

use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::command::place;
use crate::error::{Error, Result};
use crate::fsio::Target;

/// Print completions for a shell.
///
/// They complete verbs, flags and files, and in a run folder the rounds, the workers of its roster, and recipes: the shell asks this
/// program, which reads no more than the names in the folder and roster.jsonl.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// The variable by which a shell asks; its value is the shell.
const ASKED: &str = "L402_COMPLETE";

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    let mut bytes = Vec::new();
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell).ok_or_else(|| Error::usage(format!("{shell}: no completions for it")))?;
    completer
        .write_registration(ASKED, "l402", "l402", "l402", &mut bytes)
        .map_err(|e| Error::bug(format!("completions for {shell}: {e}")))?;
    print(bytes)
}

/// Answers a shell that asks what a line can go on with; false where none does.
pub fn answer(tree: clap::Command) -> Result<bool> {
    let Some(shell) = std::env::var_os(ASKED).filter(|shell| !shell.is_empty()) else { return Ok(false) };
    let shells = Shells::builtins();
    let completer = shell.to_str().and_then(|shell| shells.completer(shell));
    let completer = completer.ok_or_else(|| Error::usage(format!("{ASKED}: expected a shell, found {shell:?}")))?;
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let here = std::env::current_dir().map_err(|e| Error::io("the current folder", &e))?;
    let mut tree = candidates::attached(place::with_places(tree), run_of(&words, here.clone()));
    let mut bytes = Vec::new();
    // A line that makes no sense has no answer; the shell is not to be bothered with why.
    let _ = completer.write_complete(&mut tree, words, Some(&here), &mut bytes);
    if shell == "bash" {
        bytes = harmless(&bytes);
    }
    print(bytes).map(|()| true)
}

/// bash puts a candidate into the line as it is, and a shell would do what it says: those alone that say nothing to a shell.
fn harmless(bytes: &[u8]) -> Vec<u8> {
    let separator = std::env::var("_CLAP_IFS").ok().and_then(|ifs| ifs.bytes().next()).unwrap_or(b'\n');
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._/+:=@%,-".contains(byte);
    let kept: Vec<&[u8]> = bytes
        .split(|byte| *byte == separator)
        .filter(|one| one.strip_suffix(b" ").unwrap_or(one).iter().all(plain))
        .collect();
    kept.join(&separator)
}

/// The run folder that a line is about: the one that it names, the one of the environment, or the nearest upwards.
fn run_of(words: &[OsString], here: PathBuf) -> PathBuf {
    let named = words.windows(2).find(|pair| pair[0] == "-C" || pair[0] == "--run").map(|pair| here.join(&pair[1]));
    let named = named.or_else(|| std::env::var_os("L402_RUN").filter(|run| !run.is_empty()).map(|run| here.join(run)));
    let nearest = || here.ancestors().find(|folder| folder.join("run.toml").is_file()).map(PathBuf::from);
    named.or_else(nearest).unwrap_or(here)
}

fn print(bytes: Vec<u8>) -> Result<()> {
    // Names of files that are no text cannot be completed.
    Target::stdout().write_text(&String::from_utf8_lossy(&bytes)).map(drop)
}
