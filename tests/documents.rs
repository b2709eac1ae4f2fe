//! What README, docs and recipes tell people to type: each command is one, each flag is one of its verb's, each link leads
//! somewhere; and README's own path is walked as it stands.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use common::shell::{blocks, commands, documents, fences, home};

/// The `l402` command lines of a text without that word: those of a shell, and those that only show what there is.
fn typed(text: &str) -> Vec<Vec<String>> {
    let synopses = fences(text).into_iter().filter(|(language, _)| language == "text");
    let shown = |block: String| {
        block.lines().filter(|line| line.starts_with("l402 ")).map(|line| format!("{line}\n")).collect()
    };
    let all = blocks(text).into_iter().chain(synopses.map(|(_, block)| shown(block)));
    let words = all.flat_map(|block: String| commands(&block)).filter(|words| words[0] == "l402");
    words.map(|words| words[1..].to_vec()).collect()
}

/// What is wrong with a command line, by the tree: a verb or a flag that is none.
fn unknown(words: &[String]) -> Option<String> {
    let tree = l402::cli::Cli::command();
    let mut verb = &tree;
    let mut flags: BTreeSet<String> = BTreeSet::from(["help".into(), "version".into()]);
    let learn = |verb: &clap::Command, flags: &mut BTreeSet<String>| {
        for arg in verb.get_arguments() {
            flags.extend(arg.get_long().map(str::to_owned));
            flags.extend(arg.get_short().map(String::from));
        }
    };
    learn(verb, &mut flags);
    let mut named = false;
    for word in words {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-').filter(|rest| !rest.is_empty()));
        match flag {
            Some("") => return None,
            Some(flag) => {
                let name = flag.split('=').next().unwrap_or_default();
                if !flags.contains(name) && !name.starts_with(|c: char| c.is_ascii_digit()) {
                    return Some(format!("no flag {word}"));
                }
            }
            None => match verb.find_subcommand(word) {
                Some(below) => {
                    verb = below;
                    named = true;
                    learn(verb, &mut flags);
                }
                None if !named && word.chars().all(|c| c.is_ascii_lowercase()) => {
                    return Some(format!("no verb {word}"));
                }
                None => {}
            },
        }
    }
    None
}

#[test]
fn every_command_in_a_document_is_one() {
    let mut count = 0;
    for (path, text) in documents() {
        for words in typed(&text) {
            count += 1;
            if let Some(wrong) = unknown(&words) {
                panic!("{path}: l402 {}: {wrong}", words.join(" "));
            }
        }
    }
    assert!(count > 60, "{count}");
    let split = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    assert_eq!(unknown(&split("train 3 alice --nonsense")), Some("no flag --nonsense".into()));
    assert_eq!(unknown(&split("trian 3 alice")), Some("no verb trian".into()));
    assert_eq!(unknown(&split("invoice lock 3 --scores x")), Some("no flag --scores".into()));
}

#[test]
fn every_link_leads_somewhere() {
    for (path, text) in documents() {
        let path = home().join(path);
        let folder = path.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{}: {link}", path.display());
            }
        }
    }
}

/// A folder in which README's lines can be typed: the repository's recipes, a text, and `l402` on the path.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        let desk = Desk(tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(home().join("recipes"), desk.0.path().join("recipes")).unwrap();
        let text = fs::read(home().join("testdata/text/tinyshakespeare.txt")).unwrap();
        fs::write(desk.0.path().join("corpus.txt"), &text[..200_000]).unwrap();
        desk
    }

    fn sh(&self, place: &str, script: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_l402")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let folder = self.0.path().join(place);
        Command::new("sh").args(["-eu", "-c", script]).current_dir(folder).env("PATH", path).output().unwrap()
    }
}

#[test]
fn readmes_own_path_is_walked_as_it_stands() {
    let readme = fs::read_to_string(home().join("README.md")).unwrap();
    let blocks = blocks(&readme);
    let block =
        |begins: &str| blocks.iter().find(|block| block.starts_with(begins)).unwrap_or_else(|| panic!("{begins}"));
    let desk = Desk::new();
    // What stands in the way of a home of one's own: cargo's part is the build that this test is made of.
    let install: String = block("cargo install").lines().skip(1).map(|line| format!("{line}\n")).collect();
    std::os::unix::fs::symlink(home().join("man"), desk.0.path().join("man")).unwrap();
    let done = desk.sh(".", &format!("export HOME=$PWD/home\n{install}"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for page in
        ["man/man1/l402-train.1", "man/man5/l402-files.5", "man/man7/l402-round.7", "bash-completion/completions/l402"]
    {
        assert!(desk.0.path().join("home/.local/share").join(page).is_file(), "{page}");
    }
    for script in [block("l402 new run"), block("cd run")] {
        let done = desk.sh(".", script);
        let (out, talk) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{script}\n{out}\n{talk}");
    }
    let audit = desk.sh("run", "l402 audit --replay all");
    let said = String::from_utf8_lossy(&audit.stderr).into_owned();
    assert!(audit.status.success() && said.contains("equal: ") && said.contains("2 rounds"), "{said}");
    assert!(desk.0.path().join("run/theta-2/model.safetensors").is_file());
}
