//! The house's rules, read from its source: who imports whom, who touches the world, who does arithmetic how.

mod circles;
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use source::{File, code, files, walk};

/// Every place where one of `patterns` stands in files that `within` picks, as `path:line: text`.
fn found(within: impl Fn(&File) -> bool, patterns: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files().iter().filter(|f| within(f)) {
        for (number, line) in &file.lines {
            if patterns.iter().any(|p| contains(line, p)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

/// Whether it stands there, not as the end of a longer word.
fn contains(line: &str, pattern: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let begins = pattern.starts_with(word);
    line.match_indices(pattern).any(|(at, _)| !begins || !line[..at].ends_with(word))
}

#[track_caller]
fn nowhere(places: &[String]) {
    assert!(places.is_empty(), "\n{}", places.join("\n"));
}

/// What each layer may import of the others. `error` is everyone's but the engine's, which cannot fail.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("lib", &[][..]),
        ("civil", &[]),
        ("error", &[]),
        ("engine", &[]),
        ("device", &["error", "engine"]),
        ("ui", &["error", "fsio"]),
        ("fsio", &["error"]),
        ("artifact", &["error", "fsio"]),
        ("data", &["error", "fsio", "artifact", "engine"]),
        ("hub", &["error", "fsio", "artifact"]),
        ("model", &["error", "fsio", "artifact", "engine", "device"]),
        ("codec", &["error", "artifact", "engine"]),
        ("optimizer", &["error", "fsio", "artifact", "engine", "device", "data", "model"]),
        ("verify", &["error", "artifact", "engine", "device", "data", "model", "codec", "optimizer"]),
        (
            "score",
            &["error", "fsio", "artifact", "engine", "device", "data", "model", "codec", "optimizer", "verify", "pay"],
        ),
        ("pay", &["error", "artifact"]),
        ("sample", &["error", "artifact", "engine", "device", "data", "model"]),
        (
            "audit",
            &[
                "error",
                "fsio",
                "artifact",
                "engine",
                "device",
                "data",
                "model",
                "codec",
                "optimizer",
                "verify",
                "score",
                "pay",
            ],
        ),
        ("report", &["error", "artifact", "data", "model", "pay", "verify", "score", "audit"]),
        (
            "command",
            &[
                "civil",
                "error",
                "ui",
                "fsio",
                "artifact",
                "engine",
                "device",
                "data",
                "model",
                "codec",
                "optimizer",
                "verify",
                "score",
                "pay",
                "audit",
                "report",
                "sample",
                "hub",
                "devnet",
            ],
        ),
        ("devnet", &["civil", "error", "fsio"]),
        ("cli", &["error", "ui", "command"]),
        ("main", &["cli", "ui", "fsio"]),
    ])
}

/// Modules of ours that a line names: `crate::x`, `l402::x`, and the members of `crate::{x, y::z}`.
fn imports(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    if contains(line, "l402_devnet::") {
        names.push("devnet".to_owned());
    }
    for root in ["crate::", "l402::"] {
        for (at, _) in line.match_indices(root) {
            if root == "l402::" && line[..at].ends_with(['"', '/']) {
                continue;
            }
            let rest = &line[at + root.len()..];
            let list = match rest.strip_prefix('{') {
                Some(list) => list.split(',').collect(),
                None => vec![rest],
            };
            for item in list {
                let name: String = item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                names.push(name);
            }
        }
    }
    names
}

#[test]
fn imports_run_one_way() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for file in files() {
        let layer = file.layer();
        let Some(may) = allowed.get(layer) else {
            wrong.push(format!("{}: a layer without a rule", file.path));
            continue;
        };
        for (number, line) in &file.lines {
            for name in imports(line) {
                // A list over several lines would be read in part.
                assert!(!name.is_empty() || !line.trim_end().ends_with("::{"), "{}:{number}", file.path);
                let ours = allowed.contains_key(name.as_str());
                if ours && name != layer && !may.contains(&name.as_str()) {
                    wrong.push(format!("{}:{number}: {layer} imports {name}", file.path));
                }
            }
        }
    }
    nowhere(&wrong);
}

#[test]
fn the_rules_themselves_have_no_circle() {
    let allowed = allowed();
    let below = |layer: &str| allowed[layer].iter().filter(|l| allowed.contains_key(**l)).copied().collect::<Vec<_>>();
    for layer in allowed.keys() {
        let (mut seen, mut open) = (Vec::new(), below(layer));
        while let Some(next) = open.pop() {
            assert_ne!(next, *layer, "{layer} reaches itself");
            if !seen.contains(&next) {
                seen.push(next);
                open.extend(below(next));
            }
        }
    }
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let circles = circles::circles(&files());
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

#[test]
fn only_commands_write_and_speak() {
    // Below commands, fsio is a stream of input: `Source`, or text read whole. Key files alone are made there.
    let takes = |file: &File| {
        ["artifact", "data", "model", "optimizer", "codec", "score", "audit", "report", "sample"]
            .contains(&file.layer())
    };
    let mut wrong = found(takes, &["Target", "OutDir", "Spool", "Output", "write_secret"]);
    wrong.retain(|place| !place.starts_with("artifact/key.rs") && !place.contains("type Target ="));
    nowhere(&wrong);
    // And nothing but main ends the program, but a signal that was asked to end it.
    // The crash points of the devnet are there to end it.
    let ends = |file: &File| !["main.rs", "base/fsio/ending.rs", "devnet/crash.rs"].contains(&file.path.as_str());
    nowhere(&found(ends, &["process::exit", "process::abort", "emulate_default_handler"]));
}

#[test]
fn nothing_prints_around_the_one_place_that_escapes() {
    // What people read passes `ui`, line by line. Artifacts and records, which are printable, pass `Target`.
    let speaks =
        ["println!", "eprintln!", "print!", "eprint!", "stdout()", "stderr()", "Stdout", "Stderr", "indicatif"];
    let mut places = found(|file| file.layer() != "ui", &speaks);
    places.retain(|place| !place.contains("Target::stdout()"));
    let known = ["base/fsio/output.rs", "base/fsio/started.rs"];
    places.retain(|place| !known.iter().any(|k| place.starts_with(k)));
    // Clap speaks for itself, of a command line that was escaped.
    places.retain(|place| !(place.starts_with("cli.rs") && place.contains("said.print().and_then(")));
    nowhere(&places);
    nowhere(&found(|file| file.path != "cli.rs", &["clap::Error", "clap::error"]));
    // Without a name for the output, it is records, or our own completions.
    let records =
        ["commit/close.rs", "completions/", "invoice/", "settle/judge.rs"].map(|file| format!("command/{file}"));
    let mut places =
        found(|file| file.path != "cli.rs" && file.layer() != "ui", &["Target::stdout()", "Target::new(None"]);
    places.retain(|place| !records.iter().any(|file| place.starts_with(file)));
    nowhere(&places);
}

/// What takes values and gives values.
fn domain(file: &File) -> bool {
    [
        "artifact",
        "data",
        "model",
        "codec",
        "optimizer",
        "verify",
        "score",
        "pay",
        "audit",
        "report",
        "sample",
        "engine",
        "device",
    ]
    .contains(&file.layer())
}

#[test]
fn the_domain_reads_no_clock_no_environment_and_no_global_generator() {
    let patterns =
        ["SystemTime", "Instant", "std::env", "env::", "thread_rng", "rand::", "RandomState", "std::net", "tokio::"];
    let mut places = found(domain, &patterns);
    // A node's socket waits for answers, and not forever. What it answers is judged elsewhere.
    places.retain(|place| !place.starts_with("pay/node"));
    nowhere(&places);
    nowhere(&found(|file| file.layer() != "command", &["std::process::Command", "Command::new"]));
}

#[test]
fn the_hub_alone_speaks_http_and_is_told_what_is_set() {
    nowhere(&found(|file| file.layer() != "hub", &["ureq", "hf_hub"]));
    nowhere(&found(|file| file.layer() == "hub", &["SystemTime", "Instant", "std::env", "env::var", "std::net"]));
    // Names of variables stand in one file.
    nowhere(&found(|file| file.path != "hub/env.rs", &["\"HF_"]));
    // It waits in one place, and writes through fsio alone.
    nowhere(&found(|file| file.layer() == "hub" && file.path != "hub/patience.rs", &["thread::"]));
    nowhere(&found(
        |file| file.layer() == "hub",
        &["create_dir", "fs::write", "remove_file", "rename(", "OpenOptions"],
    ));
}

#[test]
fn the_domain_touches_no_files() {
    let mut places = found(domain, &["std::fs", "fs::", "File::"]);
    places.retain(|place| !place.contains("std::os::unix::fs"));
    // Three places know that files exist: a key file's mode and its making, the size of a model's files, and the seekable
    // file that parquet needs.
    let known = ["artifact/key.rs", "model/weights.rs", "data/parquet.rs"];
    places.retain(|place| !known.iter().any(|k| place.starts_with(k)));
    nowhere(&places);
    let in_folder = found(|file| file.path == "model/weights.rs", &["std::fs", "fs::", "File::"]);
    assert!(in_folder.iter().all(|place| place.contains("metadata")), "{in_folder:?}");
}

#[test]
fn the_engine_stands_on_std_rayon_libm_and_blake3_alone() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|f| f.layer() == "engine") {
        for (number, line) in &file.lines {
            let Some(path) = line.trim().strip_prefix("use ").or(line.trim().strip_prefix("pub use ")) else {
                continue;
            };
            let root = path.split([':', ';', ' ']).next().unwrap();
            // A lower module of its own is named without a prefix.
            let own = ["crate", "self", "super"].contains(&root) || module_of_engine(root);
            if !own && !["std", "rayon", "libm", "blake3"].contains(&root) {
                wrong.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    nowhere(&wrong);
    nowhere(&found(|file| file.layer() == "engine", &["crate::error", "serde", "safetensors::", "candle"]));
    nowhere(&found(|file| !DRIVER.contains(&file.path.as_str()), &["cudarc::"]));
}

fn module_of_engine(name: &str) -> bool {
    files().iter().any(|f| {
        f.layer() == "engine" && (f.path.ends_with(&format!("/{name}.rs")) || f.path.contains(&format!("/{name}/")))
    })
}

#[test]
fn no_platform_mathematics_decides_bits() {
    // A5: sqrt and fma are exact everywhere; these are not. `libm::exp(` is the pinned one.
    let methods = [
        "exp", "exp2", "exp_m1", "ln", "ln_1p", "log", "log2", "log10", "sin", "cos", "tan", "sin_cos", "asin", "acos",
        "atan", "atan2", "sinh", "cosh", "tanh", "powf", "powi", "cbrt", "hypot",
    ];
    let mut wrong = Vec::new();
    for file in files() {
        for (number, line) in &file.lines {
            for name in methods {
                let called = line.contains(&format!(".{name}("))
                    || contains(line, &format!("f32::{name}"))
                    || contains(line, &format!("f64::{name}"));
                // The engine's own operators, and the tables that it made, bear the same names.
                let own = ["engine", "device"].contains(&file.layer())
                    && [
                        format!("engine.{name}("),
                        format!("table.{name}("),
                        format!("plain.{name}("),
                        format!("stretched.{name}("),
                    ]
                    .iter()
                    .any(|ours| line.contains(ours));
                if called && !own {
                    wrong.push(format!("{}:{number}: {}", file.path, line.trim()));
                }
            }
        }
    }
    nowhere(&wrong);
    // Nor does a product meet a sum in the compiler's own way, or a float lose its order.
    nowhere(&found(|_| true, &["fast-math", "ffast", "fadd_fast", "fmul_fast", "algebraic_"]));
}

#[test]
fn libm_is_pinned_to_one_version() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(manifest.lines().any(|line| line.starts_with("libm = \"=")), "A5: libm must be pinned exactly");
}

/// What speaks to a GPU's driver.
const DRIVER: [&str; 4] =
    ["device/cuda/driver.rs", "device/cuda/modules.rs", "device/cuda/pool.rs", "device/cuda/staging.rs"];

#[test]
fn unsafe_code_stays_where_it_is_known() {
    let known = [
        "engine/machine/vectors.rs",
        "engine/machine/pairs.rs",
        "engine/machine/digits.rs",
        "engine/machine/float_mode.rs",
        "base/fsio/started.rs",
    ];
    let elsewhere = |file: &File| !known.iter().chain(&DRIVER).any(|known| *known == file.path);
    let mut places = found(elsewhere, &["unsafe ", "allow(unsafe_code)"]);
    places.retain(|place| !place.contains("\"unsafe"));
    nowhere(&places);
}

#[test]
fn nothing_is_left_to_do() {
    nowhere(&found(|_| true, &["todo!", "dbg!", "unimplemented!"]));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for word in ["TODO", "FIXME", "XXX", "HACK"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn a_test_knows_what_it_reads() {
    let text = "use a;\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nfn g() {} // crate::ui\n";
    let lines: Vec<String> = code(text).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["use a;", "fn g() {} "]);
    assert_eq!(imports("use crate::{fsio, error::Result};"), ["fsio", "error"]);
    assert!(contains("fs::read", "fs::") && !contains("fmfs::read", "fs::"));
    assert!(files().len() > 50);
}
