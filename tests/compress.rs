//! `l402 compress` from the outside: pipes, states, exit codes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use l402::artifact::recipe::CodecName;
use l402::artifact::{ArtifactKind, Header, Meta, Reader, Recipe, TensorInfo, Writer};
use l402::codec::{Feedback, Update};
use l402::fsio::Source;

const RECIPE: &str = "arithmetic = 1\nname = \"t\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = 8\n\
                      [inner]\nsteps = 1\nbatch = 1\nlr = 1e-3\n";

/// A folder with a recipe, and deltas of rounds 0 and 1.
struct Bench {
    folder: tempfile::TempDir,
    recipe: Recipe,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), recipe: Recipe::parse(RECIPE).unwrap() };
        fs::write(bench.path("r.toml"), RECIPE).unwrap();
        for round in 0..2 {
            fs::write(bench.path(&format!("delta{round}")), bench.delta(round)).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn delta(&self, round: u64) -> Vec<u8> {
        self.delta_of(&self.recipe, round)
    }

    fn delta_of(&self, recipe: &Recipe, round: u64) -> Vec<u8> {
        let mut meta = Meta::new(ArtifactKind::Delta);
        meta.set("run", recipe.digest()).set("round", round).set("worker", "alice");
        let header = Header::new(meta.0, vec![TensorInfo::f32("w", &[100, 80])]);
        let mut writer = Writer::new("delta", Vec::new(), header).unwrap();
        let values: Vec<f32> =
            (0..8000u64).map(|i| ((i + 1) * (round + 7) * 2_654_435_761 % 1009) as f32 - 504.5).collect();
        writer.f32("w", &values).unwrap();
        writer.finish().unwrap().0
    }

    /// `l402 compress --recipe r.toml ARGS`, in the folder.
    fn compress(&self, args: &str, stdin: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_l402"))
            .args(["compress", "--recipe", "r.toml"])
            .args(args.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses early does not read on.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    fn expect(&self, args: &str, code: i32, says: &str) {
        let output = self.compress(args, b"");
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args}: {talk}");
        assert!(talk.contains(says), "{args}: {talk}");
        assert!(output.stdout.is_empty() || code == 0, "{args}");
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn update(&self, name: &str) -> Update {
        Update::open(&self.recipe, open(&self.path(name))).unwrap()
    }
}

fn open(path: &Path) -> Reader {
    Reader::open(Source::open(path).unwrap()).unwrap()
}

#[test]
fn a_pipe_a_file_and_a_compressed_file_give_the_same_update() {
    let bench = Bench::new();
    let piped = bench.compress("", &bench.delta(0));
    assert_eq!(piped.status.code(), Some(0));
    bench.expect("delta0 -o u", 0, "");
    bench.expect("delta0 -o u", 0, "up to date");
    bench.expect("delta0 -o v --state-out s", 0, "");
    bench.expect("delta0 -o w.zst --state-out s.zst", 0, "");
    assert_eq!(bench.bytes("u"), piped.stdout);
    assert_eq!(bench.bytes("v"), piped.stdout);
    assert_eq!(bench.update("w.zst").digest(), bench.update("u").digest());
}

#[test]
fn a_cut_pipe_is_malformed_data_and_nothing_is_written() {
    let bench = Bench::new();
    let delta = bench.delta(0);
    for len in [0, 7, 100, 1000, delta.len() - 1] {
        let output = bench.compress("--state-out s", &delta[..len]);
        assert_eq!(output.status.code(), Some(65), "{len}");
        assert!(output.stdout.is_empty());
    }
    let more = [delta.as_slice(), b"x"].concat();
    assert_eq!(bench.compress("", &more).status.code(), Some(65));
    let mut names: Vec<_> = fs::read_dir(bench.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["delta0", "delta1", "r.toml"]);
}

#[test]
fn the_state_goes_from_round_to_round_and_its_digests_are_recorded() {
    let bench = Bench::new();
    bench.expect("delta0 -o u0 --state-out s0", 0, "");
    bench.expect("delta1 -o u1 --state s0 --state-out s1", 0, "");
    bench.expect("delta1 -o fresh", 0, "");
    let digest = |name: &str| Feedback::digest_of(open(&bench.path(name))).unwrap().to_string();
    let content = |name: &str| open(&bench.path(name)).finish().unwrap().to_string();
    let (first, second) = (bench.update("u0"), bench.update("u1"));
    let said = |update: &Update, key: &str| update.meta().get("u", key).unwrap().to_owned();
    assert_eq!(said(&first, "feedback_in"), "zero");
    assert_eq!(said(&first, "feedback_out"), digest("s0"));
    assert_eq!(said(&second, "feedback_in"), digest("s0"));
    assert_eq!(said(&second, "feedback_out"), digest("s1"));
    assert_eq!(said(&second, "delta"), content("delta1"));
    assert_ne!(bench.bytes("u1"), bench.bytes("fresh"));
    bench.expect("delta0 --state s1", 1, "round");
    bench.expect("delta1 --state s1", 1, "round");
}

#[test]
fn states_are_never_changed_in_place() {
    let bench = Bench::new();
    bench.expect("delta0 -o u0 --state-out s0", 0, "");
    let state = bench.bytes("s0");
    bench.expect("delta1 --state s0 --state-out s0", 2, "same file");
    bench.expect("delta1 --state s0 --state-out ./s0 --force", 2, "same file");
    bench.expect("delta1 --state s0 -o s0 --force", 2, "same file");
    bench.expect("delta1 --state-out n -o ./n", 2, "same file");
    bench.expect("delta1 --state - -o u", 2, "expected a file");
    bench.expect("delta1 --state-out - -o u", 2, "expected a file");
    bench.expect("delta1 --state . -o u", 2, "regular file");
    bench.expect("delta1 --state missing -o u", 66, "missing");
    assert_eq!(bench.bytes("s0"), state);
}

#[test]
fn an_update_that_may_not_be_replaced_leaves_no_state_behind() {
    let bench = Bench::new();
    fs::write(bench.path("u"), "other").unwrap();
    bench.expect("delta0 -o u --state-out s", 73, "exists");
    assert!(!bench.path("s").exists());
    bench.expect("delta0 -o u --state-out s --force", 0, "");
    assert!(bench.path("s").exists());
}

#[test]
fn undoing_the_codec_gives_a_delta_that_says_where_it_is_from() {
    let bench = Bench::new();
    bench.expect("delta0 -o u", 0, "");
    bench.expect("-d u -o back", 0, "");
    let update = bench.update("u");
    let mut back = open(&bench.path("back"));
    back.require_canonical().unwrap();
    let meta = Meta::read("back", back.header(), ArtifactKind::Delta).unwrap();
    assert_eq!(meta.digest("back", "decoded_from").unwrap(), update.digest());
    assert_eq!(meta.get("back", "worker").unwrap(), "alice");
    let values = back.next_f32("w", &[100, 80]).unwrap();
    assert_eq!(values, update.decode("w").unwrap());
    bench.expect("-d delta0", 65, "expected update");
    bench.expect("u", 65, "expected delta");
    bench.expect("-d u --state s", 2, "");

    let mut hostile = bench.bytes("u");
    *hostile.last_mut().unwrap() = 0xff;
    let output = bench.compress("-d", &hostile);
    assert_eq!(output.status.code(), Some(65));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_report_says_the_same_when_it_is_made_and_when_the_update_is_inspected() {
    let bench = Bench::new();
    let output = bench.compress("delta0 -o u --state-out s --report=r.jsonl", b"");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{talk}");
    assert!(talk.contains("bits/index") && talk.contains("all, with the header"), "{talk}");
    let report: serde_json::Value = serde_json::from_slice(&bench.bytes("r.jsonl")).unwrap();
    let total = &report["total"];
    assert_eq!((&report["codec"], &total["sent"]), (&"sparseloco".into(), &125.into()));
    assert_eq!(total["bytes"], bench.bytes("u").len());
    let figure = |key: &str| total[key].as_str().unwrap().parse::<f64>().unwrap();
    assert_eq!((figure("bits_per_index"), figure("bits_per_value")), (12.0, 2.0));
    assert!((7.2..7.5).contains(&figure("bits_per_index_least")));
    assert!(figure("relative_squared_error") > figure("relative_squared_error_of_sent"));
    assert!((figure("ratio_f32") / figure("ratio_bf16") - 2.0).abs() < 1e-4);

    let inspect = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        command.current_dir(bench.folder.path()).arg("inspect").args(line.split_whitespace()).output().unwrap()
    };
    let shown = inspect("u --recipe r.toml --state s --json");
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["report"], report);
    let shown = inspect("u --recipe r.toml");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("all, with the header"));
    bench.expect("delta1 -o u1 --state s --state-out s1", 0, "");
    // Another state than the one that it left.
    assert_eq!(inspect("u --recipe r.toml --state s1").status.code(), Some(1));
    assert_eq!(inspect("u u1 --recipe r.toml --state s1").status.code(), Some(2));
}

#[test]
fn every_codec_goes_there_and_back_in_files() {
    let bench = Bench::new();
    for name in CodecName::ALL {
        let name = serde_json::json!(name);
        let name = name.as_str().unwrap();
        let text = format!("{RECIPE}[codec]\nname = \"{name}\"\n");
        let recipe = Recipe::parse(&text).unwrap();
        let delta = bench.delta_of(&recipe, 0);
        fs::write(bench.path("r.toml"), text).unwrap();
        fs::write(bench.path(&format!("{name}.delta")), &delta).unwrap();
        bench.expect(&format!("{name}.delta -o {name}.update --state-out {name}.state --report"), 0, "bf16");
        bench.expect(&format!("-d {name}.update -o {name}.back"), 0, "");
        let values = |file: &str| open(&bench.path(file)).next_f32("w", &[100, 80]).unwrap();
        let (delta, back, left) =
            (values(&format!("{name}.delta")), values(&format!("{name}.back")), values(&format!("{name}.state")));
        // Error feedback is exact: what remains is the one subtraction.
        assert!(delta.iter().zip(&back).zip(&left).all(|((d, b), l)| d - b == *l), "{name}");
    }
}
