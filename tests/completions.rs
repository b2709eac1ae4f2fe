//! A shell that completes: bash itself, with the script that it is given.

mod common;

use std::process::{Command, Stdio};

use common::World;

/// What bash offers for a line, which is cut at white space; the last word is the one that is being written.
fn offered(world: &World, folder: &str, line: &str) -> Vec<String> {
    let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(l402 completions bash)\n\
         COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9\n\
         _clap_complete_l402 l402 \"${{COMP_WORDS[COMP_CWORD]}}\" ''\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.join(" ")
    );
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_l402")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &script]).current_dir(world.path(folder)).env("PATH", path).env_remove("L402_RUN");
    let output = bash.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn bash_completes_verbs_flags_rounds_workers_and_recipes() {
    let world = World::empty();
    for name in ["run/theta-0", "run/theta-1", "run/round-0", "run/theta-12"] {
        std::fs::create_dir_all(world.path(name)).unwrap();
    }
    world.write("run/run.toml", b"");
    world.write("run/notes.txt", b"");
    let line = |id: &str| format!("{{\"type\":\"roster\",\"v\":1,\"worker\":\"{id}\"}}\n");
    world.write("run/roster.jsonl", (line("bob") + &line("alice") + &line("bill")).as_bytes());
    assert_eq!(offered(&world, "run", "l402 tra"), ["train"]);
    assert_eq!(offered(&world, "run", "l402 recipe ")[..3], ["check", "show", "diff"]);
    assert_eq!(offered(&world, "run", "l402 train --leav"), ["--leaves"]);
    assert_eq!(offered(&world, "run", "l402 train --round "), ["0", "1", "12"]);
    assert_eq!(offered(&world, "run", "l402 train --round 1"), ["1", "12"]);
    assert_eq!(offered(&world, "run", "l402 commit x --worker b"), ["bill", "bob"]);
    assert_eq!(offered(&world, "run", "l402 train ")[..3], ["0", "1", "12"]);
    assert_eq!(offered(&world, "run", "l402 replay 1 b"), ["bill", "bob"]);
    // A file's name is put into the line as it is: none that a shell would obey.
    world.write("run/x$(touch PWNED).toml", b"");
    world.write("run/x.toml", b"");
    assert_eq!(offered(&world, "run", "l402 train --recipe x"), ["x.toml"]);
    // From below, and by the environment's word elsewhere, it is the same run.
    assert_eq!(offered(&world, "run/theta-0", "l402 replay --worker a"), ["alice"]);
    assert_eq!(offered(&world, ".", "l402 replay --worker a"), Vec::<String>::new());
    assert_eq!(offered(&world, "run", "l402 train --recipe r"), ["run.toml", "round-0/"]);
}

#[test]
fn every_shell_has_a_script_and_a_question_is_answered_without_a_shell() {
    let world = World::empty();
    for (shell, part) in [
        ("bash", "complete "),
        ("zsh", "#compdef l402"),
        ("fish", "complete "),
        ("elvish", "edit:"),
        ("powershell", "Register"),
    ] {
        let script = world.text(&format!("completions {shell}"));
        assert!(script.contains(part) && script.contains("L402_COMPLETE"), "{shell}: {script}");
    }
    let ask = |shell: &str, line: &str| {
        let mut command = world.command(line);
        command.env("L402_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "1").output().unwrap()
    };
    let answer = ask("fish", "-- l402 sel");
    assert!(String::from_utf8_lossy(&answer.stdout).starts_with("selftest"), "{answer:?}");
    assert_eq!(ask("no-shell", "-- l402 sel").status.code(), Some(2));
    // Whoever does not ask is not answered.
    assert!(world.text("selftest --help").contains("Usage: l402 selftest"));
}
