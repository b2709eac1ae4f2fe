//! The quickstart, played as a newcomer plays it, and what it promises.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const SEQUENCE: usize = 128;
const SLOTS: usize = 17;

/// Cross-entropy in nats a byte of a bigram model with add-one smoothing: counted on what the quickstart trains on,
/// measured on what it holds out.
fn bigram_cross_entropy(text: &[u8]) -> f64 {
    let mut counts = vec![[1.0f64; 256]; 256];
    let held_out = |i: usize| i / SEQUENCE % SLOTS == SLOTS - 1;
    let pairs = || text.windows(2).enumerate().map(|(i, pair)| (held_out(i), pair[0] as usize, pair[1] as usize));
    pairs().filter(|p| !p.0).for_each(|(_, a, b)| counts[a][b] += 1.0);
    let totals: Vec<f64> = counts.iter().map(|row| row.iter().sum()).collect();
    let losses: Vec<f64> = pairs().filter(|p| p.0).map(|(_, a, b)| (totals[a] / counts[a][b]).ln()).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// Takes the nodes down, however the test ends.
struct Nodes(PathBuf);

impl Drop for Nodes {
    fn drop(&mut self) {
        if self.0.exists() {
            let down = Command::new(env!("CARGO_BIN_EXE_l402")).args(["devnet", "down"]).arg(&self.0).output();
            drop(down);
        }
    }
}

/// A number of a record.
fn number(record: &Value, name: &str) -> u64 {
    record[name].as_u64().unwrap_or_else(|| panic!("{name}: {record}"))
}

#[test]
fn it_plays_by_exact_integers_too() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let _nodes = Nodes(folder.path().join("run-private/net"));
    let variables = [("L402", env!("CARGO_BIN_EXE_l402")), ("ROUNDS", "2"), ("ARITHMETIC", "2")];
    let output = Command::new(home.join("recipes/quickstart.sh")).arg(&run).envs(variables).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("the audit finds everything equal"), "{text}");
    let recipe = std::fs::read_to_string(run.join("run.toml")).unwrap();
    assert!(recipe.lines().any(|line| line == "arithmetic = 2"), "{recipe}");
    let honest = text.lines().filter(|l| l.contains(" exact ")).count();
    let lies = text.lines().filter(|l| l.contains("mallory") && l.contains("mismatch tensor")).count();
    assert_eq!((honest, lies), (6, 2), "{text}");
    assert!(text.contains("earned by mallory: 0 msat") && !text.contains("earned by alice: 0 msat"), "{text}");
}

#[test]
fn four_workers_train_a_model_and_are_paid_to_the_msat_but_for_the_one_who_lies() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let _nodes = Nodes(folder.path().join("run-private/net"));
    let output = Command::new(home.join("recipes/quickstart.sh"))
        .arg(&run)
        .env("L402", env!("CARGO_BIN_EXE_l402"))
        // Enough to show it all; the binary under test is not the optimised one.
        .env("ROUNDS", "12")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));

    let word = |line: &str, nth: usize| line.split_whitespace().nth(nth).unwrap().to_owned();
    let decimal = |line: &str, nth: usize| word(line, nth).parse::<f64>().unwrap();
    let msat = |line: &str, nth: usize| word(line, nth).parse::<u64>().unwrap();
    let line = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    let losses = line("held-out loss:");
    let (before, after) = (decimal(losses, 2), decimal(losses, 4));
    let bigram = bigram_cross_entropy(&std::fs::read(home.join("testdata/text/tinyshakespeare.txt")).unwrap());
    assert!((5.4..5.8).contains(&before), "{losses}");
    assert!(after < 2.3 && after < bigram - 0.15, "{losses}, bigrams {bigram}");

    assert_eq!(line("earned by mallory:"), "earned by mallory: 0 msat");
    let rounds = text.lines().filter(|l| l.starts_with("round ")).count();
    let lies = text.lines().filter(|l| l.contains("mallory") && l.contains("mismatch tensor")).count();
    let honest = text.lines().filter(|l| l.contains(" exact ")).count();
    assert_eq!((rounds, lies, honest), (12, 12, 36), "{text}");

    // The last table: before, locked, earned, returned, fees, after. What it says of earnings, the verdicts say.
    let records = |name: &str| -> Vec<Value> {
        let texts = (0..12).map(|n| std::fs::read_to_string(run.join(format!("round-{n}/{name}.jsonl"))).unwrap());
        texts.flat_map(|t| t.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<_>>()).collect()
    };
    let (verdicts, claimed) = (records("verdicts"), records("claimed"));
    assert_eq!((verdicts.len(), claimed.len()), (48, 48));
    let (mut locked, mut earned) = (0, 0);
    for who in ["alice", "bob", "carol", "mallory"] {
        let row = line(&format!("{who} "));
        let of = |records: &[Value], name: &str| -> u64 {
            records.iter().filter(|r| r["task"]["worker"] == who).map(|r| number(r, name)).sum()
        };
        assert_eq!(msat(row, 2), 12 * 60_000_000, "{row}");
        assert_eq!(msat(row, 3), of(&verdicts, "paid_msat"), "{row}");
        assert_eq!(msat(row, 3), of(&claimed, "claimed_msat"), "{row}");
        assert_eq!(msat(row, 4), msat(row, 2) - msat(row, 3), "{row}");
        assert_eq!(msat(row, 6), msat(row, 1) + msat(row, 3), "{row}");
        assert_eq!(msat(row, 3) > 0, who != "mallory", "{row}");
        locked += msat(row, 2);
        earned += msat(row, 3);
    }
    // At most what was locked and what the scores entitle to, and nearer to it than the smallest rung.
    for verdict in &verdicts {
        let earned = number(verdict, "entitled_msat").min(60_000_000);
        assert!((0..4_000_000).contains(&(earned - number(verdict, "paid_msat"))), "{verdict}");
    }
    let row = line("coordinator ");
    assert_eq!((msat(row, 2), msat(row, 3), msat(row, 4)), (locked, earned, locked - earned), "{row}");
    assert_eq!(msat(row, 6), msat(row, 1) - earned - msat(row, 5), "{row}");
    line("the balances add up to the msat");
    // In the end the model speaks, ten lines of it.
    let (_, says) = text.split_once("theta-12 says:\n").unwrap_or_else(|| panic!("{text}"));
    assert!(says.lines().count() == 10 && says.lines().map(str::len).sum::<usize>() > 40, "{says}");

    // What opens a payment is nowhere in the folder that is public, and the nodes are down.
    let public = Command::new("grep").args(["-rlE", "preimage"]).arg(&run).output().unwrap();
    assert!(public.stdout.is_empty(), "{}", String::from_utf8_lossy(&public.stdout));
    let status = Command::new(env!("CARGO_BIN_EXE_l402"))
        .args(["devnet", "status", "--json"])
        .arg(folder.path().join("run-private/net"))
        .output()
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert_eq!(status.matches("\"alive\":false").count(), 6, "{status}");
}
