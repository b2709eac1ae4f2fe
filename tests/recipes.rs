//! The recipes that measure, each at a tiny size: they end, every figure that they print is one, and what must hold among figures holds.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{CONFIG, FULL, WORKERS, World, corpus, talk};

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A recipe with these arguments and variables, under the binary that is tested.
fn recipe(name: &str, args: &[&Path], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(home().join("recipes").join(name));
    command.args(args).env("L402", env!("CARGO_BIN_EXE_l402")).envs(variables.iter().copied());
    command.stdin(Stdio::null()).output().unwrap()
}

/// What it printed, where it did what it should.
#[track_caller]
fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}\n{}", talk(output));
    text
}

/// A figure, finite.
#[track_caller]
fn figure(text: &str) -> f64 {
    let value: f64 = text.trim_end_matches('%').parse().unwrap_or_else(|_| panic!("{text}: no figure"));
    assert!(value.is_finite(), "{text}");
    value
}

/// An example of the repository, as it is built beside the tests.
fn example(name: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let built = cargo.args(["build", "--quiet", "--locked", "--example", name]).current_dir(home()).output().unwrap();
    assert!(built.status.success(), "{}", talk(&built));
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.is_file(), "{}", path.display());
    path
}

#[test]
fn the_baseline_stands_beside_a_run_round_by_round() {
    let world = World::new(FULL);
    world.begin_run();
    for round in 0..2 {
        let made = world.make(round, "baseline", &[]).output().unwrap();
        assert!(made.status.success(), "{}", talk(&made));
    }
    let text = said(&recipe("baseline.sh", &[&world.path(".")], &[]));
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["round", "step", "distributed", "plain"]);
    assert_eq!(rows.len(), 4, "{text}");
    for (n, row) in rows[1..].iter().enumerate() {
        // Three steps a round; the loss of the run's own model, as `score` has it.
        assert_eq!((row[0].to_owned(), row[1].to_owned()), (n.to_string(), (3 * n).to_string()));
        let loss = world.text(&format!("score --model theta-{n} --val shards/val-00000.safetensors"));
        let loss = figure(loss.split(' ').nth(1).unwrap());
        assert!((figure(row[2]) - loss).abs() < 1e-4, "{row:?}: {loss}");
    }
    let loss = |row: usize, column: usize| figure(rows[row][column]);
    assert_eq!(loss(1, 2), loss(1, 3));
    assert!(loss(2, 3) < loss(1, 3) && loss(3, 3) < loss(2, 3), "{text}");
    assert_ne!(loss(3, 2), loss(3, 3));
    let of = |field: &str| world.text(&format!("inspect --field {field} baseline/run.toml")).trim().to_owned();
    assert_eq!((of("inner.batch"), of("codec.name")), ((4 * WORKERS.len()).to_string(), "dense".into()));
    // A recipe that is written otherwise is not trained as something else.
    fs::remove_dir_all(world.path("baseline")).unwrap();
    let text = String::from_utf8(world.bytes("run.toml")).unwrap();
    world.write("run.toml", text.replace("batch = 4", "batch=4").as_bytes());
    assert_eq!(recipe("baseline.sh", &[&world.path(".")], &[]).status.code(), Some(65));
}

#[test]
fn the_codecs_are_compared_and_the_comparison_goes_on() {
    let world = World::empty();
    world.write(
        "config.json",
        CONFIG.replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 128").as_bytes(),
    );
    world.write("text", &corpus()[..40_000]);
    let (folder, model, text) = (world.path("out"), world.path("config.json"), world.path("text"));
    let play = |codecs: &str, rounds: &str, lr: &str| {
        let variables = [
            ("MODEL", model.to_str().unwrap()),
            ("CORPUS", text.to_str().unwrap()),
            ("CODECS", codecs),
            ("ROUNDS", rounds),
            ("LR", lr),
            ("SEEDS", "1"),
            ("STEPS", "2"),
            ("BATCH", "1"),
            ("EVERY", "1"),
            ("DECAY", "4"),
        ];
        recipe("codecs.sh", &[&folder], &variables)
    };
    let all = "adamw dense f16 int8 blockwise8 e3m0 demo sparseloco l402";
    let text = said(&play(all, "1", "3e-3"));
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    let parameters = figure(first.split(' ').next().unwrap());
    assert!(first.ends_with("512 tokens a round, 1 seeds"), "{first}");
    assert!(lines.next().unwrap().starts_with("round 1 "), "{text}");
    let rows: BTreeMap<&str, Vec<&str>> = lines
        .map(|line| (line.split_whitespace().next().unwrap(), line.split_whitespace().skip(1).collect()))
        .collect();
    assert_eq!(rows.len(), all.split(' ').count(), "{text}");
    assert_eq!(rows["adamw"][..2], ["-", "-"]);
    let bytes = |codec: &str| figure(rows[codec][0]);
    for (codec, row) in rows.iter().filter(|(codec, _)| **codec != "adamw") {
        // Beside float32, and a loss of one seed, not far from where 257 bytes that are alike likely begin.
        assert!((figure(row[1]) - parameters * 4.0 / bytes(codec)).abs() < 0.06, "{codec}: {row:?}");
        assert!(figure(row[2]) > 2.0 && figure(row[2]) < 6.0 && row[2] == row[3] && row[3] == row[4], "{row:?}");
    }
    assert_eq!(rows["dense"][5], "0.00%");
    // 32 bits a value, 16, 8, 8 with scales, 4, and 64 of 4096 values; a header apart, which is most of it here.
    let order = ["dense", "f16", "int8", "e3m0", "l402"];
    assert!(order.windows(2).all(|pair| bytes(pair[0]) > bytes(pair[1])), "{text}");
    let losses = fs::read_to_string(folder.join("losses.tsv")).unwrap();
    for line in losses.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells.len(), 6, "{line}");
        assert!(cells[1..].iter().all(|cell| figure(cell) >= 0.0), "{line}");
    }
    assert_eq!(losses.lines().count(), 2 * rows.len(), "the start and a round for each");
    let plot = fs::read_to_string(folder.join("codecs.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n") && !plot.contains("nan"), "{plot}");
    assert_eq!(plot.matches("<polyline ").count(), rows.len() - 1);

    // More rounds of some of them: what is done stays, and other settings are refused.
    let text = said(&play("dense l402", "2", "3e-3"));
    assert!(text.contains("round 2 "), "{text}");
    let longer = fs::read_to_string(folder.join("losses.tsv")).unwrap();
    let dense =
        |text: &str| text.lines().filter(|line| line.starts_with("dense\t")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((dense(&losses).as_slice(), dense(&longer).len()), (&dense(&longer)[..2], 3));
    let other = play("dense", "2", "1e-3");
    assert_eq!(other.status.code(), Some(73), "{}", talk(&other));
}

#[test]
fn the_attack_lab_measures_what_it_says() {
    let lab = example("attack-lab");
    let folder = tempfile::tempdir().unwrap();
    let small = [
        ("LAB", lab.to_str().unwrap()),
        ("SEEDS", "2"),
        ("ROUNDS", "1"),
        ("LONG", "1"),
        ("ATTACKS", "honest,idler,copier"),
        ("ROBUST", "seeds=2 rounds=1 rules=mean,krum"),
    ];
    let text = said(&recipe("attack-lab.sh", &[folder.path()], &small));
    let table = |name: &str| -> Vec<Vec<String>> {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    };
    let attacks = table("attacks.tsv");
    assert_eq!(attacks[0][..4], ["attack", "mode", "ratio", "half"]);
    let rows: BTreeMap<(&str, &str), &Vec<String>> =
        attacks[1..].iter().map(|row| ((row[0].as_str(), row[1].as_str()), row)).collect();
    assert_eq!(rows.len(), 9, "{attacks:?}");
    for (key, row) in &rows {
        assert_eq!(row.len(), attacks[0].len(), "{row:?}");
        assert!(row[2..10].iter().all(|cell| figure(cell) >= 0.0), "{row:?}");
        // Whoever sends what no work makes earns nothing where it is replayed; an honest worker what it is compared with.
        match key {
            ("honest", _) => assert!((figure(&row[2]) - 1.0).abs() < 1e-9 && row[7] == "0", "{row:?}"),
            (_, "Full") => assert_eq!(figure(&row[2]), 0.0, "{row:?}"),
            _ => {}
        }
        assert!(text.contains(&format!("{:.3} +- {:.3}", figure(&row[2]), figure(&row[3]))), "{text}");
    }
    let signals = table("signals.tsv");
    assert_eq!(signals[0], ["signal", "least", "0.1 %", "1 %", "median", "99 %", "99.9 %", "most"]);
    for row in &signals[1..signals.len() - 1] {
        let values: Vec<f64> = row[1..].iter().map(|cell| figure(cell)).collect();
        assert!(values.len() == 7 && values.is_sorted(), "{row:?}");
    }
    assert!(signals.len() > 5 && signals.last().unwrap()[0].starts_with("14 updates, refused: "), "{signals:?}");
    let unequal = table("unequal.tsv");
    let named: Vec<&str> = unequal.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(named, ["steps", "text"]);
    for row in &unequal {
        let [mean, least] =
            ["mean ", "least "].map(|begin| row.iter().find_map(|cell| cell.strip_prefix(begin)).unwrap());
        assert!(figure(least) <= figure(mean) && figure(least) >= -1.0 && figure(mean) <= 1.0, "{row:?}");
    }
    for name in ["robust.tsv", "open.tsv"] {
        let rows = table(name);
        assert_eq!((rows.len(), rows[0][0].as_str()), (1 + 2 * 5, "rule"), "{rows:?}");
        for row in &rows[1..] {
            let [mean, most, honest] = [2, 3, 4].map(|i| figure(&row[i]));
            assert!(mean <= most + 1e-4 && mean > 0.5 && honest > 1.0 && honest < 6.0, "{row:?}");
        }
    }
    let plot = fs::read_to_string(folder.path().join("attacks.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n") && !plot.contains("nan"), "{plot}");
}

#[test]
fn both_arithmetics_train_to_nearly_the_same_loss() {
    let lab = example("arithmetic");
    let world = World::empty();
    world.write("text", &corpus()[..20_000]);
    world.ok("shard text --tokenizer bytes --seq-len 128 --shards 1 --val-shards 1 -o shards");
    let mut command = Command::new(lab);
    let text =
        said(&command.args(["shards", "1", "64", "64", "2", "1", "2"]).current_dir(world.path("")).output().unwrap());
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0], ["seed", "steps", "float32", "integers", "nudged", "integers, %", "nudged, %"]);
    assert_eq!(rows.len(), 3, "{text}");
    for row in &rows[1..] {
        let [float, integers, nudged, of_integers, of_chance] = [2, 3, 4, 5, 6].map(|i| figure(row[i]));
        assert!(float > 2.0 && float < 6.0, "{row:?}");
        assert!((of_integers - 100.0 * (integers / float - 1.0)).abs() < 2e-3, "{row:?}");
        assert!((of_chance - 100.0 * (nudged / float - 1.0)).abs() < 2e-3, "{row:?}");
        assert!(of_integers.abs() < 1.0 && of_chance.abs() < 1.0, "{row:?}");
    }
    assert_ne!(rows[1][2], rows[2][2], "seeds differ");
}
