//! Without a network: the cache alone.

use std::fs;
use std::os::unix::fs::symlink;

use super::desk::{Desk, names};
use super::hub::{Reply, Repo, git};

#[test]
fn what_is_in_the_cache_needs_no_network() {
    let repo = Repo::model();
    let hub = repo.clone().serve();
    let desk = Desk::at(&hub);
    let printed = desk.text("org/tiny");
    desk.text("org/tiny -o online");
    let asked = hub.requests().len();
    let desk = desk.with("HF_HUB_OFFLINE", "1");
    assert_eq!(desk.text("org/tiny"), printed);
    assert_eq!(desk.text(&format!("org/tiny@{}", repo.commit)), printed);
    desk.text("org/tiny -o offline");
    let read = |folder: &str, name: &str| fs::read(desk.path(folder).join(name)).unwrap();
    for name in names(&desk.path("online")) {
        assert!(read("online", &name) == read("offline", &name), "{name}");
    }
    assert_eq!(hub.requests().len(), asked, "nobody was asked");
}

#[test]
fn what_is_missing_is_named() {
    let repo = Repo::model();
    let desk = Desk::to("http://127.0.0.1:1").offline();
    desk.expect("org/tiny", 66, "org/tiny@main: offline, and the cache ");
    let hub = repo.clone().serve();
    let desk = desk.with("HF_ENDPOINT", &hub.url()).with("HF_HUB_OFFLINE", "0");
    desk.text("org/tiny --include config.json");
    let desk = desk.offline();
    desk.text("org/tiny --include config.json");
    desk.expect("org/tiny", 66, "offline, and the cache lacks README.md, model.safetensors, tokenizer.json");
    desk.expect("org/tiny@v2", 66, "org/tiny@v2: offline, and the cache ");
    fs::write(desk.cached(&format!("blobs/{}", repo.oid("config.json"))), "{\"model_type\":\"gemma\"}\n").unwrap();
    desk.expect("org/tiny --include config.json", 66, "the cache lacks config.json (damaged)");
}

#[test]
fn an_interrupted_pull_is_no_whole_one() {
    let hub = Repo::model().serve_but("tokenizer.json", 1, |_, _| Reply::status(404));
    let desk = Desk::at(&hub);
    desk.expect("org/tiny", 66, "tokenizer.json");
    let commit = Repo::model().commit;
    let desk = desk.offline();
    desk.expect("org/tiny", 66, "has nothing of it");
    desk.expect(&format!("org/tiny@{commit}"), 66, "the cache lacks tokenizer.json");
}

#[test]
fn what_python_pulled_is_taken_as_it_is() {
    let desk = Desk::to("http://127.0.0.1:1").offline();
    let commit = Repo::model().commit;
    for (name, up) in [("config.json", "../.."), ("sub/tokenizer.json", "../../..")] {
        let oid = git(name.as_bytes());
        let link = desk.cached(&format!("snapshots/{commit}/{name}"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::create_dir_all(desk.cached("blobs")).unwrap();
        fs::write(desk.cached(&format!("blobs/{oid}")), name).unwrap();
        symlink(format!("{up}/blobs/{oid}"), link).unwrap();
    }
    fs::create_dir_all(desk.cached("refs")).unwrap();
    fs::write(desk.cached("refs/main"), &commit).unwrap();
    desk.text("org/tiny --include *.json -o out");
    assert_eq!(fs::read(desk.path("out/sub/tokenizer.json")).unwrap(), b"sub/tokenizer.json");
    fs::write(desk.cached("refs/main"), "../../x").unwrap();
    desk.expect("org/tiny", 65, "expected a commit");
}
