//! Transfers that are cut off, late, or not what was announced.

use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::desk::{Desk, names};
use super::hub::{Hub, Reply, Repo, Request, noise};

const WEIGHTS: &str = "model.safetensors";

/// The tests' model, whose large file is answered otherwise at first.
fn weights_but(times: usize, other: impl Fn(Reply, &Request) -> Reply + Send + Sync + 'static) -> (Hub, Desk) {
    let hub = Repo::model().serve_but(WEIGHTS, times, other);
    let desk = Desk::at(&hub);
    (hub, desk)
}

/// Nothing of the large file is left, and no link leads to it.
fn assert_nothing_left(desk: &Desk) {
    let repo = Repo::model();
    let blobs = desk.listing("blobs");
    assert!(!blobs.iter().any(|name| name.contains(&repo.oid(WEIGHTS))), "{blobs:?}");
    assert!(!desk.listing(&format!("snapshots/{}", repo.commit)).contains(&WEIGHTS.to_owned()));
    assert!(!desk.cached("refs/main").exists());
}

fn assert_whole(desk: &Desk) {
    let repo = Repo::model();
    let path = desk.cached(&format!("snapshots/{}/{WEIGHTS}", repo.commit));
    assert!(fs::read(path).unwrap() == repo.bytes(WEIGHTS));
    assert!(!desk.listing("blobs").iter().any(|name| name.ends_with(".incomplete")));
}

#[test]
fn a_cut_transfer_goes_on_where_it_stopped() {
    let (hub, desk) = weights_but(2, |reply, _| reply.cut(300_000));
    desk.expect("org/tiny", 0, "org/tiny: model.safetensors: the transfer was cut off");
    assert_whole(&desk);
    let from: Vec<Option<usize>> = hub.asked(WEIGHTS).iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(300_000), Some(600_000)]);
}

#[test]
fn a_hub_that_knows_no_parts_sends_all_of_it_again() {
    let whole = Repo::model().bytes(WEIGHTS);
    let (hub, desk) = weights_but(2, move |_, request| match request.from {
        None => Reply::body(&whole).cut(300_000),
        Some(_) => Reply::body(&whole),
    });
    desk.text("org/tiny");
    assert_whole(&desk);
    assert_eq!(hub.asked(WEIGHTS).len(), 2);
}

#[test]
fn a_transfer_that_never_gets_anywhere_ends_and_what_came_is_kept() {
    let (hub, desk) = weights_but(usize::MAX, |reply, request| reply.cut(if request.from.is_none() { 10 } else { 0 }));
    desk.expect("org/tiny", 69, "the transfer was cut off");
    assert_eq!(hub.asked(WEIGHTS).len(), 5);
    let incomplete = desk.cached(&format!("blobs/{}.incomplete", Repo::model().oid(WEIGHTS)));
    assert_eq!(fs::metadata(incomplete).unwrap().len(), 10);
}

#[test]
fn a_transfer_that_gets_on_may_be_cut_more_often_than_that() {
    let mut repo = Repo::model();
    repo.files[3].1 = noise("long", 7 << 20);
    let hub = repo.clone().serve_but(WEIGHTS, 6, |reply, _| reply.cut(1 << 20));
    let desk = Desk::at(&hub);
    desk.text("org/tiny");
    assert_eq!(hub.asked(WEIGHTS).len(), 7);
    assert!(fs::read(desk.cached(&format!("blobs/{}", repo.oid(WEIGHTS)))).unwrap() == repo.bytes(WEIGHTS));
}

#[test]
fn a_killed_pull_goes_on_where_it_stopped() {
    let (hub, desk) = weights_but(2, |reply, _| reply.cut(400_000).stall(Duration::from_secs(60)));
    let incomplete = desk.cached(&format!("blobs/{}.incomplete", Repo::model().oid(WEIGHTS)));
    for (signal, len) in [("KILL", 400_000), ("TERM", 800_000)] {
        let mut pulling = desk.command("org/tiny -o out").spawn().unwrap();
        let begun = Instant::now();
        let there = || fs::metadata(&incomplete).map_or(0, |meta| meta.len()) == len;
        while !there() {
            assert!(begun.elapsed() < Duration::from_secs(60) && pulling.try_wait().unwrap().is_none());
            thread::sleep(Duration::from_millis(10));
        }
        let id = pulling.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert!(!pulling.wait().unwrap().success());
        assert!(there(), "what came is kept");
        assert!(!desk.path("out").exists());
    }
    desk.text("org/tiny -o out");
    assert_whole(&desk);
    let from: Vec<Option<usize>> = hub.asked(WEIGHTS).iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(400_000), Some(800_000)]);
    assert_eq!(names(&desk.path("")), ["home", "out"]);
}

#[test]
fn what_an_earlier_process_left_is_checked_too() {
    let hub = Repo::model().serve();
    for left in [vec![1; 1000], vec![1; 2_000_000], noise("other", 1_000_000)] {
        let desk = Desk::at(&hub);
        let blobs = desk.cached("blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.incomplete", Repo::model().oid(WEIGHTS))), &left).unwrap();
        desk.text("org/tiny");
        assert_whole(&desk);
    }
}

#[test]
fn a_damaged_blob_is_fetched_again() {
    let hub = Repo::model().serve();
    let desk = Desk::at(&hub);
    desk.text("org/tiny");
    let blob = desk.cached(&format!("blobs/{}", Repo::model().oid(WEIGHTS)));
    let mut bytes = fs::read(&blob).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&blob, bytes).unwrap();
    desk.expect("org/tiny", 0, "model.safetensors: the cache holds something else in its place");
    assert_whole(&desk);
    assert_eq!(hub.asked(WEIGHTS).len(), 2);
}

#[test]
fn bytes_that_are_not_the_announced_ones_leave_nothing() {
    let (_, desk) = weights_but(9, |reply, _| reply.flip(999_999));
    desk.expect("org/tiny", 65, "org/tiny: model.safetensors: expected the digest ");
    assert_nothing_left(&desk);
    // The same of a file in Git itself.
    let hub = Repo::model().serve_but("config.json", 9, |reply, _| reply.flip(3));
    let desk = Desk::at(&hub);
    desk.expect("org/tiny", 65, "org/tiny: config.json: expected the digest ");
    assert!(!desk.listing("blobs").contains(&Repo::model().oid("config.json")));
    // And of one that the hub says is another.
    let (_, desk) = weights_but(9, |reply, _| reply.header("X-Linked-Etag", &"0".repeat(64)));
    desk.expect("org/tiny", 65, "the hub says 0000000000");
    assert_nothing_left(&desk);
}

#[test]
fn a_length_that_lies_is_refused() {
    for length in ["1000001", "999999", "0"] {
        let (hub, desk) = weights_but(9, move |reply, _| reply.header("Content-Length", length));
        desk.expect("org/tiny", 65, &format!("expected 1000000 bytes to come, the hub announces {length}"));
        assert_nothing_left(&desk);
        assert_eq!(hub.asked(WEIGHTS).len(), 1);
    }
    let (_, desk) = weights_but(9, |reply, _| reply.header("X-Linked-Size", "7"));
    desk.expect("org/tiny", 65, "expected 1000000 bytes, the hub says 7");
    assert_nothing_left(&desk);
    let (_, desk) = weights_but(9, |reply, _| reply.header("Content-Length", "many"));
    desk.expect("org/tiny", 65, "");
    assert_nothing_left(&desk);
}

#[test]
fn a_body_without_a_length_is_cut_off_where_it_should_end() {
    let (_, desk) = weights_but(9, |reply, _| reply.unframed(&[0; 100_000]));
    desk.expect("org/tiny", 65, "expected 1000000 bytes, the hub sends more");
    assert_nothing_left(&desk);
    let (_, desk) = weights_but(9, |reply, _| reply.unframed(&[]));
    desk.text("org/tiny");
    assert_whole(&desk);
}

#[test]
fn a_file_that_is_shorter_than_announced_is_refused() {
    // The list lies: the file ends before.
    let mut repo = Repo::model();
    let list = repo.list(true).to_string();
    repo.files[3].1.truncate(900_000);
    let oid = Repo::model().oid(WEIGHTS);
    let hub = Hub::start(move |request, _| match (request.path.contains("/revision/"), request.from) {
        (true, _) => Reply::body(list.as_bytes()),
        (_, None) if request.path.ends_with(WEIGHTS) => {
            Reply::body(&repo.bytes(WEIGHTS)).header("ETag", &oid).header("Content-Length", "1000000")
        }
        _ => repo.answer(request),
    });
    let desk = Desk::at(&hub);
    desk.expect("org/tiny", 65, "the hub has no byte 900000 of what it announced");
    assert_nothing_left(&desk);
}

#[test]
fn a_part_that_is_not_the_one_asked_for_is_refused() {
    for range in ["bytes 0-999999/1000000", "bytes 300000-999999/2000000", "bytes 300001-999999/1000000", "all"] {
        let (_, desk) = weights_but(9, move |reply, request| match request.from {
            None => reply.cut(300_000),
            Some(_) => reply.header("Content-Range", range),
        });
        desk.expect("org/tiny", 65, if range == "all" { "Content-Range: expected bytes" } else { "the hub sends " });
        assert_nothing_left(&desk);
    }
}

#[test]
fn two_processes_never_fetch_one_file() {
    let hub = Repo::model().serve();
    let desk = Desk::at(&hub);
    let locks = desk.path("home/hub/.locks/models--org--tiny");
    fs::create_dir_all(&locks).unwrap();
    let lock = File::create(locks.join(format!("{}.lock", Repo::model().oid(WEIGHTS)))).unwrap();
    lock.lock().unwrap();
    desk.expect("org/tiny", 75, "another process is making it");
    drop(lock);
    desk.text("org/tiny");
    assert_whole(&desk);
}
