//! What people see: nothing that others wrote is obeyed by a terminal or passes for a line of ours, and what could not be
//! written is no success.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{FULL, World, talk};
use l402::artifact::{Header, TensorInfo, Writer};

/// A colour, a line of ours, a return over what stands there, a one-byte control sequence, an override of the direction.
const VILE: &str = "x\u{1b}[31m\nl402: paid\r\u{9b}2J\u{202e}\u{7f}";

/// Runs `l402` with these arguments, as they are.
fn run<S: AsRef<OsStr>>(world: &World, args: impl IntoIterator<Item = S>) -> Output {
    world.command("").args(args).output().unwrap()
}

/// The output has lines, and within them nothing but what a terminal shows.
#[track_caller]
fn clean(what: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let obeyed = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(!text.contains(obeyed), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("l402: paid")), "{what}: {text}");
    text
}

/// The words of a command line, with `VILE` for VILE.
fn words(line: &str, vile: &OsStr) -> Vec<OsString> {
    let word = |word: &str| {
        let (before, after) = word.split_once("VILE")?;
        let mut whole = OsString::from(before);
        whole.push(vile);
        whole.push(after);
        Some(whole)
    };
    line.split_whitespace().map(|plain| word(plain).unwrap_or_else(|| plain.into())).collect()
}

#[test]
fn a_name_of_a_file_or_a_word_of_the_command_line_is_shown_and_not_obeyed() {
    let world = World::new(FULL);
    world.write(VILE, b"rubbish");
    fs::write(world.path("rubbish").with_file_name(OsStr::from_bytes(b"bad\xff\x1b[31m\nl402: paid")), b"x").unwrap();
    let mut silent = Vec::new();
    let (missing, invalid) = (format!("{VILE}no"), OsStr::from_bytes(b"bad\xff\x1b[31m\nl402: paid"));
    for line in [
        // Files.
        "inspect VILE",
        "inspect --json VILE",
        "init --config VILE --seed 1 -o out",
        "init --config config.json --seed 1 -o VILE/out",
        "shard VILE --tokenizer bytes --seq-len 8 --shards 1 -o out",
        "shard corpus.txt --tokenizer VILE --seq-len 8 --shards 1 -o out",
        "train --recipe VILE --model theta-0 --shard shards/train-00000.safetensors --round 0 --worker ann",
        "train --recipe r.toml --model VILE --shard shards/train-00000.safetensors --round 0 --worker ann",
        "compress --recipe r.toml VILE",
        "compress --recipe r.toml --state VILE shards/train-00000.safetensors",
        "commit VILE --round 0 --worker ann --key ann.key",
        "key VILE",
        "score --recipe r.toml --model theta-0 --val VILE",
        "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors VILE",
        "aggregate --recipe r.toml --model theta-0 VILE -o out",
        "sample --model VILE --prompt x",
        "sample --model theta-0 --prompt x --tokenizer VILE",
        "audit VILE",
        "devnet status VILE",
        "devnet up VILE/a/b",
        // Values.
        "VILE",
        "inspect --VILE",
        "inspect -VILE",
        "devnet mine net VILE",
        "train --round VILE",
        "train --worker VILE",
        "score --beacon VILE",
        "sample --top-p VILE",
        "devnet up --channel VILE net",
        "audit . --replay VILE",
        "completions VILE",
    ] {
        for vile in [OsStr::new(VILE), OsStr::new(&missing), invalid] {
            let output = run(&world, words(line, vile));
            assert!(!matches!(output.status.code(), Some(101 | 134) | None), "{line}: {:?}", output.status);
            clean(line, &output.stdout);
            let said = clean(line, &output.stderr);
            let refused = matches!(output.status.code(), Some(1 | 2 | 65 | 66 | 69 | 74));
            assert!(refused || said.contains("left out") || line == "key VILE", "{line}: {:?} {said}", output.status);
            // A folder that is not there is named by its first part, and a short corpus by its tokens.
            let named = !line.contains("VILE/") && !line.starts_with("shard VILE") && line != "inspect -VILE";
            if named && !output.status.success() && !said.contains("paid") {
                silent.push(format!("{line}: {said}"));
            }
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// A file of tensors that says vile things of itself.
fn tensors(kind: &str) -> Vec<u8> {
    let meta = [("l402.kind", kind), ("l402.format", "1"), (VILE, VILE), ("l402.run", VILE), ("l402.worker", VILE)];
    let meta = meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut writer = Writer::new("t", Vec::new(), Header::new(meta, vec![TensorInfo::f32(VILE, &[1])])).unwrap();
    writer.f32(VILE, &[1.0]).unwrap();
    writer.finish().unwrap().0
}

#[test]
fn what_a_file_says_of_itself_is_shown_and_not_obeyed() {
    let world = World::new(FULL);
    let json = serde_json::to_string(VILE).unwrap();
    world.write("a.safetensors", &tensors(VILE));
    world.write("update", &tensors("update"));
    world.write("delta", &tensors("delta"));
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let quoted = "\"x\\u001b[31m\\nl402: paid\\r\\u009b2J\\u202e\\u007f\"";
    world.write("named.toml", recipe.replace("\"test\"", quoted).as_bytes());
    world.write("field.toml", format!("{recipe}\n[score.{quoted}]\n").as_bytes());
    world.write("raw.toml", format!("{VILE} = 1").as_bytes());
    world.write("type.jsonl", format!("{{\"type\":{json},\"v\":1}}\n").as_bytes());
    world.write("field.jsonl", format!("{{{json}:1,\"type\":\"roster\",\"v\":1}}\n").as_bytes());
    world.write("raw.jsonl", format!("{{\"{VILE}\"").as_bytes());
    let with = |field: &str| format!("{{{field}, {}", common::CONFIG.trim_start().trim_start_matches('{'));
    world.write(
        "family.json",
        with(&format!("\"hidden_act\": {json}")).replacen("\"hidden_act\": \"silu\",", "", 1).as_bytes(),
    );
    world.write("raw.json", format!("{{{VILE}}}").as_bytes());
    world.copy_folder("theta-0", "theta-v");
    world.write("theta-v/model.safetensors", &tensors("model"));
    world.copy_folder("theta-0", "theta-i");
    let index = format!("{{\"weight_map\": {{{json}: {json}}}}}");
    world.write("theta-i/model.safetensors.index.json", index.as_bytes());
    for (line, code) in [
        ("inspect a.safetensors", 0),
        ("inspect --json a.safetensors", 0),
        ("inspect named.toml", 0),
        ("inspect --json named.toml", 0),
        ("inspect field.toml", 65),
        ("inspect raw.toml", 65),
        ("inspect type.jsonl", 65),
        ("inspect field.jsonl", 65),
        ("inspect raw.jsonl", 65),
        ("inspect theta-v", 65),
        ("inspect theta-i", 65),
        ("inspect --recipe r.toml update", 65),
        ("compress --recipe r.toml delta", 65),
        ("compress -d --recipe r.toml update", 65),
        ("init --config family.json --seed 1 -o out", 65),
        ("init --config raw.json --seed 1 -o out", 65),
        ("score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors update", 1),
        ("score --recipe r.toml --model theta-0 --val a.safetensors", 65),
    ] {
        let output = world.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", talk(&output));
        let (shown, said) = (clean(line, &output.stdout), clean(line, &output.stderr));
        assert!(said.lines().all(|line| line.starts_with("l402: ")), "{line}: {said}");
        // JSON still says what the file says.
        if line == "inspect --json a.safetensors" {
            let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!((&shown["kind"], &shown["metadata"][VILE]), (&VILE.into(), &VILE.into()));
            assert_eq!(shown["tensors"][0]["name"], VILE);
        }
    }
}

// ---- Standard streams ----

/// Runs a command line behind a redirection of the shell.
fn redirected(world: &World, args: &str, redirection: &str) -> Output {
    Command::new("sh")
        .args(["-c", &format!("exec \"$0\" \"$@\" {redirection}"), env!("CARGO_BIN_EXE_l402")])
        .args(args.split_whitespace())
        .current_dir(world.path("."))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What puts its artifact, or its answer, on standard output.
fn speakers(world: &World) -> Vec<String> {
    world.assign(0);
    world.ok(&format!("{} -o delta", world.train(0, "ann")));
    world.ok("compress --recipe r.toml delta -o update");
    let beacon = common::beacon("x");
    [
        "--help",
        "-h",
        "help",
        "help train",
        "train --help",
        "--version",
        "completions bash",
        "init --config config.json --seed 1 -o out",
        "key new.key",
        "inspect r.toml theta-0 update",
        "inspect --json update",
        "compress --recipe r.toml delta",
        "compress -d --recipe r.toml update",
        "commit update --round 0 --worker ann --key ann.key",
        "commit update --round 0 --worker ann --key ann.key --reveal",
        "-q score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors",
        "selftest",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        world.train(0, "ann"),
        world.replay(0, "ann", "update"),
        format!("assign --recipe r.toml --round 0 --shards shards --workers ann --beacon {beacon}"),
    ])
    .collect()
}

#[test]
fn what_could_not_be_written_to_standard_output_is_no_success() {
    let world = World::new(FULL);
    let full = Path::new("/dev/full").exists();
    for line in speakers(&world) {
        let closed = redirected(&world, &line, ">&-");
        assert_eq!(closed.status.code(), Some(74), "{line} >&-: {}", talk(&closed));
        assert!(talk(&closed).contains("standard output: it is closed"), "{line}: {}", talk(&closed));
        // Nothing is begun whose end could not be told.
        assert!(!world.has("out") && !world.has("new.key"), "{line}");
        if full {
            let full = redirected(&world, &line, "> /dev/full");
            assert_eq!(full.status.code(), Some(74), "{line} > /dev/full: {}", talk(&full));
            assert!(talk(&full).contains("standard output"), "{line}: {}", talk(&full));
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let gone = world.command(&line).stdout(writer).output().unwrap();
        assert_eq!(gone.status.code(), Some(74), "{line} | true: {}", talk(&gone));
        // Whoever wants nothing of it says so, in whichever mode.
        for null in ["> /dev/null", "1<> /dev/null"] {
            let null = redirected(&world, &line, null);
            assert!(matches!(null.status.code(), Some(0)), "{line}: {}", talk(&null));
        }
        let _ = fs::remove_dir_all(world.path("out"));
        let _ = fs::remove_file(world.path("new.key"));
    }
}

#[test]
fn a_named_output_needs_no_standard_output_and_a_closed_standard_error_changes_nothing() {
    let world = World::new(FULL);
    world.assign(0);
    let train = world.train(0, "ann");
    let truth = world.ok(&train).stdout;
    let named = redirected(&world, &format!("{train} -o delta"), ">&-");
    assert_eq!((named.status.code(), world.bytes("delta")), (Some(0), truth.clone()));
    let silent = redirected(&world, &format!("{train} -o silent"), "2>&-");
    assert_eq!((silent.status.code(), world.bytes("silent")), (Some(0), truth.clone()));
    assert_eq!(redirected(&world, &train, "2>&-").stdout, truth);
    let wrong = redirected(&world, "inspect corpus.txt", "2>&-");
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(65), 0));
    assert_eq!(redirected(&world, "inspect corpus.txt", "<&- >&- 2>&-").status.code(), Some(65));
}

#[test]
fn a_closed_standard_input_is_not_an_empty_one() {
    let world = World::new(FULL);
    for (line, empty) in [
        ("compress --recipe r.toml -", 65),
        ("shard - --tokenizer bytes --seq-len 8 --shards 1 -o out", 65),
        ("commit - --round 0 --worker ann --key ann.key", 0),
        ("init --config - --seed 1 -o out", 65),
    ] {
        let closed = redirected(&world, line, "<&-");
        assert_eq!(closed.status.code(), Some(74), "{line}: {}", talk(&closed));
        assert!(talk(&closed).contains("standard input: it is closed"), "{line}: {}", talk(&closed));
        let found = redirected(&world, line, "< /dev/null").status.code();
        assert!(found != Some(74) && (empty == 0 || found == Some(empty)), "{line}: {found:?}");
    }
}
