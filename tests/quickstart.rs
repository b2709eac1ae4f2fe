//! The quickstart, played as a newcomer plays it, and what it promises.

use std::path::Path;
use std::process::Command;

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

#[test]
fn four_workers_train_a_model_and_the_one_who_lies_earns_nothing() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let output = Command::new(home.join("recipes/quickstart.sh"))
        .arg(&run)
        .env("L402", env!("CARGO_BIN_EXE_l402"))
        // Enough to show it all; the binary under test is not the optimised one.
        .env("ROUNDS", "12")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));

    let number = |line: &str, word: usize| line.split_whitespace().nth(word).unwrap().parse::<f64>().unwrap();
    let line = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    let losses = line("held-out loss:");
    let (before, after) = (number(losses, 2), number(losses, 4));
    let bigram = bigram_cross_entropy(&std::fs::read(home.join("testdata/text/tinyshakespeare.txt")).unwrap());
    assert!((5.4..5.8).contains(&before), "{losses}");
    assert!(after < 2.3 && after < bigram - 0.15, "{losses}, bigrams {bigram}");

    assert_eq!(line("earned by mallory:"), "earned by mallory: 0 msat");
    let rounds = text.lines().filter(|l| l.starts_with("round ")).count();
    let lies = text.lines().filter(|l| l.contains("mallory") && l.contains("mismatch tensor")).count();
    let honest = text.lines().filter(|l| l.contains(" exact ")).count();
    assert_eq!((rounds, lies, honest), (12, 12, 36), "{text}");
    for who in ["alice", "bob", "carol"] {
        assert!(number(line(&format!("earned by {who}:")), 3) > 0.0, "{text}");
    }
}
