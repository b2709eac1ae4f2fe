//! Folders as output, and their record.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::{Value, json};

use super::desk::{Desk, names, talk};
use super::hub::{Repo, commit, sha256};

#[test]
fn a_folder_has_the_files_themselves_and_where_they_are_from() {
    let repo = Repo::model();
    let hub = repo.clone().serve();
    let desk = Desk::at(&hub);
    let output = desk.expect("org/tiny -o tiny", 0, "pulled: 4 files, ");
    assert!(output.stdout.is_empty());
    let taken = ["README.md", "config.json", "model.safetensors", "tokenizer.json"];
    assert_eq!(
        names(&desk.path("tiny")),
        ["README.md", "config.json", "hub.json", "model.safetensors", "tokenizer.json"]
    );
    for name in taken {
        let path = desk.path("tiny").join(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&path).unwrap(), repo.bytes(name));
    }
    let inode = |path| fs::metadata(path).unwrap().ino();
    let blob = |name: &str| desk.cached(&format!("blobs/{}", repo.oid(name)));
    assert_eq!(inode(desk.path("tiny/model.safetensors")), inode(blob("model.safetensors")));
    assert_ne!(inode(desk.path("tiny/config.json")), inode(blob("config.json")));

    let text = fs::read_to_string(desk.path("tiny/hub.json")).unwrap();
    let files: Vec<Value> = taken
        .iter()
        .map(|name| json!({"name": name, "sha256": sha256(&repo.bytes(name)), "size": repo.bytes(name).len()}))
        .collect();
    let host = hub.url().replace("http://", "");
    let expected = json!({
        "commit": repo.commit, "endpoint": host, "files": files, "repository": "org/tiny", "repository_type": "model",
        "type": "hub", "v": 1,
    });
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    assert_eq!(text, l402::artifact::canonical::json(&expected) + "\n");
}

#[test]
fn the_same_again_is_up_to_date_and_another_is_refused() {
    let first = Repo::model();
    let hub = first.clone().serve();
    let desk = Desk::at(&hub);
    desk.text("org/tiny -o tiny");
    desk.expect("org/tiny -o tiny/", 0, "up to date: 4 files");
    desk.expect("org/tiny -o tiny --include config.json", 73, "tiny: exists");
    let mut second = Repo { commit: commit("second"), ..first.clone() };
    second.files[2].1 = b"{}\n".to_vec();
    let other = second.clone().serve();
    let desk = desk.with("HF_ENDPOINT", &other.url());
    desk.expect("org/tiny -o tiny", 73, "tiny: exists, pulled from another commit");
    assert_eq!(other.requests().len(), 1, "nothing is fetched for a place that is taken");
    assert_eq!(fs::read(desk.path("tiny/config.json")).unwrap(), first.bytes("config.json"));
    desk.expect("org/tiny -o tiny --force", 0, "pulled");
    assert_eq!(fs::read(desk.path("tiny/config.json")).unwrap(), b"{}\n");
    assert_eq!(names(&desk.path("")), ["home", "tiny"]);
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let hub = Repo::model().serve();
    let desk = Desk::at(&hub);
    fs::create_dir(desk.path("mine")).unwrap();
    fs::write(desk.path("mine/letter.txt"), "dear").unwrap();
    desk.expect("org/tiny -o mine", 73, "mine: exists, with other content");
    assert_eq!(hub.requests().len(), 1);
    desk.expect("org/tiny -o mine --force", 73, "\"letter.txt\", which is no earlier output of this");
    assert_eq!(names(&desk.path("mine")), ["letter.txt"]);
    desk.expect("org/tiny -o nowhere/tiny", 66, "nowhere: no such directory");
    desk.expect("org/tiny --force", 2, "--output");
    fs::create_dir(desk.path("empty")).unwrap();
    desk.text("org/tiny -o empty");
}

#[test]
fn folders_of_a_data_set_stay_folders() {
    let repo = Repo::of("datasets", &[("data/train/0.jsonl", "{}\n"), ("data/1.jsonl", "{}{}\n"), ("x.txt", "x")]);
    let desk = Desk::at(&repo.serve());
    desk.text("org/tiny --dataset -o set");
    assert_eq!(fs::read(desk.path("set/data/train/0.jsonl")).unwrap(), b"{}\n");
    desk.expect("org/tiny --dataset -o set", 0, "up to date");
    fs::write(desk.path("set/data/train/0.jsonl"), "[]\n").unwrap();
    desk.expect("org/tiny --dataset -o set", 73, "set: exists");
}

#[test]
fn a_file_in_the_place_of_the_record_is_refused() {
    let desk = Desk::at(&Repo::of("datasets", &[("hub.json", "{}"), ("x.txt", "x")]).serve());
    desk.expect("org/tiny --dataset -o set", 1, "hub.json: the repository has a file of this name");
    desk.expect("org/tiny --dataset -o set", 1, "hint: --exclude 'hub.json*'");
    desk.text("org/tiny --dataset -o set --exclude hub.json*");
    desk.text("org/tiny --dataset");
}

#[test]
fn what_was_pulled_is_a_model_that_other_verbs_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        let output = command.args(args.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{args}: {}", talk(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let config = r#"{"model_type":"llama","hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,
        "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"vocab_size":257,"tie_word_embeddings":true}"#;
    fs::write(folder.path().join("c.json"), config).unwrap();
    let digest = run("init --config c.json --seed 1 -o made");
    let read = |name: &str| fs::read(folder.path().join("made").join(name)).unwrap();
    let mut repo = Repo::of("models", &[]);
    repo.files = vec![
        ("config.json".into(), read("config.json"), false),
        ("model.safetensors".into(), read("model.safetensors"), true),
    ];
    let desk = Desk::at(&repo.serve());
    desk.text("org/tiny -o pulled");
    let pulled = desk.path("pulled");
    assert_eq!(run(&format!("inspect --field model {}", pulled.display())), digest);
}
