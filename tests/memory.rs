//! Memory: whoever checks a run needs no more than whoever trains, however long the run is.

mod common;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use common::{FULL, World, gzip};

/// 3.5 million parameters: 14 MB for each copy of them, which is what counts here.
const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4,
"num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 257, "tie_word_embeddings": false}"#;

/// The most resident memory that `l402 ARGS` had, in MiB, as the kernel keeps it.
fn peak(world: &World, args: &str) -> u64 {
    let mut child = world.command(&format!("{args} --threads 1")).stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    loop {
        // The high-water mark only rises: the last one seen misses what the last millisecond added.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(peak);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{args}");
            return peak / 1024;
        }
        sleep(Duration::from_millis(1));
    }
}

fn play(world: &World, round: u64) {
    let made = world.make(round, "memory", &[]).status().unwrap();
    assert!(made.success());
}

#[test]
fn checking_a_run_takes_no_more_memory_than_training_however_long_it_is() {
    let world = World::new(FULL);
    fs::remove_dir_all(world.path("theta-0")).unwrap();
    world.write("config.json", CONFIG.as_bytes());
    let theta = world.text("init --config config.json --seed 3 -o theta-0");
    fs::remove_file(world.path("r.toml")).unwrap();
    world.write("run.toml", common::recipe(FULL, theta.trim()).as_bytes());
    world.begin_run();
    play(&world, 0);

    let shard = |round: u64| {
        let assignments = String::from_utf8(world.bytes(&format!("round-{round}/assignments.jsonl"))).unwrap();
        let records: Vec<serde_json::Value> = assignments.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        records.iter().find(|r| r["worker"] == "ann").unwrap()["shard"].as_str().unwrap().to_owned()
    };
    let inputs = |round: u64| {
        format!(
            "--recipe run.toml --model theta-{round} --round {round} --worker ann --coordinator {} \
             --assignments round-{round}/assignments.jsonl",
            world.coordinator
        )
    };
    let audit = format!("audit . --coordinator {}", world.coordinator);
    let train = peak(&world, &format!("train {} --shard shards/{} -o delta", inputs(0), shard(0)));
    let first = peak(&world, &format!("{audit} --replay all"));
    let first_without = peak(&world, &audit);
    for round in 1..4 {
        play(&world, round);
    }
    let states = "--state round-2/ann.moments --state round-2/ann.feedback --previous round-2/ann.update";
    let replay = peak(&world, &format!("replay {} --shards shards --update round-3/ann.update {states}", inputs(3)));
    let last = peak(&world, &format!("{audit} --replay all"));
    let last_without = peak(&world, &audit);
    let found = format!(
        "train {train}, replay {replay}, audit {first_without} and {last_without}, with replays {first} and {last} MiB"
    );
    println!("{found}");
    // Beside what training holds (parameters, gradients, both moments) a replay has an update and a tensor of feedback.
    let copy = 14;
    // The allocator alone moves by some MiB, far less than another copy.
    let most = train + copy + 4;
    assert!(replay <= most, "{found}");
    assert!(first.max(last) <= most && first_without.max(last_without) <= most, "{found}");
    // Three more rounds keep nothing of a model's size.
    assert!(last <= first + copy && last_without <= first_without + copy, "{found}");
}

#[test]
fn a_corpus_ten_times_as_large_takes_no_more_memory_to_shard() {
    let world = World::empty();
    let text = String::from_utf8(common::corpus()).unwrap();
    let line = serde_json::json!({ "text": &text[..20_000] }).to_string() + "\n";
    // Small on disk, large in shards: of one text again and again in gzip, stored and not compressed.
    let made = |name: &str, content: &[u8], times: usize| {
        let member = gzip(content);
        fs::write(world.path(name), member.repeat(times)).unwrap();
    };
    made("small.txt.gz", &text.as_bytes()[..60_000], 130);
    made("large.txt.gz", &text.as_bytes()[..60_000], 1300);
    made("small.jsonl.gz", line.repeat(3).as_bytes(), 130);
    made("large.jsonl.gz", line.repeat(3).as_bytes(), 1300);
    made("few.jsonl.gz", line.repeat(3).as_bytes(), 80);
    made("many.jsonl.gz", line.repeat(3).as_bytes(), 800);
    let gpt2 = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/oracle/tokens/gpt2.json");
    let shard = |corpus: &str, tokenizer: &str| {
        peak(&world, &format!("shard {corpus} --tokenizer {tokenizer} --seq-len 1024 --shards 2 -o out --force"))
    };
    // What waits in memory to be written to disk: 64 MiB of tokens, which the small ones do not fill. Each of the large ones has
    // 78 MB of text and 156 MB of tokens; the one that a tokenizer encodes, whose stores must not grow either, 48 and 45 MB.
    let spool = 64;
    let cases = [
        ("small.txt.gz", "large.txt.gz", "bytes"),
        ("small.jsonl.gz", "large.jsonl.gz", "bytes"),
        ("few.jsonl.gz", "many.jsonl.gz", gpt2),
    ];
    for (small, large, tokenizer) in cases {
        let (few, many) = (shard(small, tokenizer), shard(large, tokenizer));
        println!("{small} and {large}: {few} and {many} MiB");
        assert!(many <= few + spool, "{small} and {large}: {few} and {many} MiB");
    }
}
