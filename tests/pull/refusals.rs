//! What a hub refuses, and what of a hub is refused.

use std::time::{Duration, Instant};

use super::desk::{Desk, TOKEN, names, talk};
use super::hub::{Hub, Reply, Repo};

/// A hub that answers so, to everything.
fn always(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Hub {
    Hub::start(move |_, _| reply())
}

#[test]
fn who_is_not_let_in_hears_what_helps() {
    let hub = always(|| Reply::status(401));
    Desk::at(&hub).expect("org/tiny", 1, "org/tiny@main: the hub wants to know who asks (401)");
    Desk::at(&hub).expect("org/tiny", 1, "hint: set HF_TOKEN");
    Desk::at(&hub).with("HF_TOKEN", TOKEN).expect("org/tiny", 1, "hint: the token was not enough");
    let hub = always(|| Reply::status(401).header("X-Error-Code", "RepoNotFound"));
    Desk::at(&hub).expect("org/tiny", 66, "no such repository, or none that this account may see (401)");
    let hub = Repo::model().serve_but(".safetensors", 9, |_, _| Reply::status(403).header("X-Error-Code", "GatedRepo"));
    let desk = Desk::at(&hub);
    let says = "org/tiny: model.safetensors: the hub gives it only to accounts that have accepted its licence (403)";
    desk.expect("org/tiny", 1, says);
    desk.expect("org/tiny", 1, &format!("hint: accept the licence at {}/org/tiny, and set HF_TOKEN", hub.url()));
    let hub = always(|| Reply::status(403));
    Desk::at(&hub).expect("org/tiny", 1, "the hub refuses it to this account (403)");
}

#[test]
fn what_is_not_there_is_missing() {
    let hub = always(|| Reply::status(404));
    Desk::at(&hub).expect("org/tiny", 66, "org/tiny@main: the hub has no such repository, revision or file (404)");
    let hub = always(|| Reply::status(404).header("X-Error-Code", "RevisionNotFound"));
    Desk::at(&hub).expect("org/tiny@v2", 66, "org/tiny@v2: the repository has no such revision (404)");
    let hub =
        Repo::model().serve_but("config.json", 9, |_, _| Reply::status(404).header("X-Error-Code", "EntryNotFound"));
    Desk::at(&hub).expect("org/tiny", 66, "config.json: the repository has no such file at this commit (404)");
}

#[test]
fn a_hub_that_is_asked_too_often_is_waited_for() {
    let hub = Repo::model().serve_but("config.json", 1, |_, _| Reply::status(429).header("Retry-After", "1"));
    let begun = Instant::now();
    Desk::at(&hub).expect("org/tiny", 0, "config.json: the hub has been asked too often (429); trying again in 1.0 s");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let hub = always(|| Reply::status(429).header("Retry-After", "3600"));
    let begun = Instant::now();
    Desk::at(&hub).expect("org/tiny", 75, "hint: the hub asks to wait 3600 s");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(hub.requests().len(), 1);
}

#[test]
fn a_hub_that_fails_for_a_moment_is_asked_again() {
    let repo = Repo::model();
    let hub = Hub::start(move |request, before| if before == 0 { Reply::status(503) } else { repo.answer(request) });
    Desk::at(&hub).expect(
        "org/tiny --include config.json",
        0,
        "the hub does not work at the moment (503); trying again",
    );
    assert_eq!(hub.requests().len(), 4);
}

#[test]
fn a_hub_that_fails_for_ever_is_unavailable() {
    let hub = always(|| Reply::status(500));
    Desk::at(&hub).expect("org/tiny", 69, "l402: org/tiny@main: the hub does not work at the moment (500)\n");
    assert_eq!(hub.requests().len(), 5);
}

#[test]
fn a_hub_that_is_not_there_is_unavailable() {
    Desk::to("http://127.0.0.1:1").expect("org/tiny", 69, "http://127.0.0.1:1 does not answer");
}

#[test]
fn a_storage_that_refuses_is_asked_by_a_new_address() {
    let repo = Repo::model();
    let weights = repo.bytes("model.safetensors");
    let storage = Hub::start(move |request, _| match request.path.as_str() {
        "/1" => Reply::part(request, &weights),
        _ => Reply::status(403),
    });
    let to = storage.url_by_name();
    let hub = Hub::start(move |request, before| match request.path.ends_with(".safetensors") {
        true => Reply::redirect(&format!("{to}/{before}")),
        false => repo.answer(request),
    });
    let says = format!("{}, to which the hub sends on, answers 403; trying again", storage.url_by_name());
    Desk::at(&hub).expect("org/tiny", 0, &says);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let long = "a".repeat(300);
    for name in ["../../../x.txt", "/etc/x", "a/../../x", "a\\b", "a\0b", "a\nb", "\u{1b}[31m", ".", "a//b", "", &long]
    {
        let repo = Repo::of("datasets", &[(name, "x"), ("good.txt", "y")]);
        let hub = repo.serve();
        let desk = Desk::at(&hub);
        let output = desk.expect("org/tiny --dataset -o out", 65, "org/tiny@main: file name \"");
        assert!(!talk(&output).contains('\u{1b}'));
        assert_eq!(hub.requests().len(), 1, "{name:?}");
        assert!(names(&desk.path("")).is_empty(), "{name:?}");
        desk.text("org/tiny --dataset --include good.txt");
    }
    for files in [[("a", "x"), ("a", "y")], [("a", "x"), ("a/b", "y")]] {
        let desk = Desk::at(&Repo::of("datasets", &files).serve());
        desk.expect("org/tiny --dataset", 65, "file name \"a\": the hub lists it ");
    }
}

#[test]
fn lists_that_are_none_are_refused() {
    let commit = Repo::model().commit;
    let long = format!("{{\"sha\":\"{commit}\",\"siblings\":[]{}}}", " ".repeat(33 << 20));
    let many = format!("{{\"sha\":\"{commit}\",\"siblings\":[{}]}}", vec!["{\"rfilename\":\"a\"}"; 50_000].join(","));
    for (text, says) in [
        ("", "expected a repository's list of files: "),
        ("<html>", "expected a repository's list of files"),
        ("{\"sha\":\"main\",\"siblings\":[]}", "expected a commit"),
        (&"[".repeat(1 << 20), "expected a repository's list of files"),
        (&long, ": the hub's list: expected at most 33554432 bytes"),
        (&many, "expected fewer than 50000 files, found 50000: the list may be cut off"),
    ] {
        let body = text.as_bytes().to_vec();
        let hub = always(move || Reply::body(&body));
        Desk::at(&hub).expect("org/tiny", 65, says);
    }
    let desk = Desk::at(&Repo::of("datasets", &[]).serve());
    desk.expect("org/tiny --dataset", 66, "@main: nothing is asked for of the 0 files that there are");
    desk.expect("org/tiny --dataset", 66, "hint: --include says what to take");
}

#[test]
fn redirects_end() {
    let hub = always(|| Reply::redirect("/round"));
    Desk::at(&hub).expect("org/tiny", 65, "org/tiny@main: more than 8 redirects");
    for location in ["file:///etc/passwd", "http://me:secret@127.0.0.1/", "", "x y"] {
        let hub = always(move || Reply::redirect(location));
        let output = Desk::at(&hub).expect("org/tiny", 65, "org/tiny@main: ");
        assert!(!talk(&output).contains("secret"));
    }
}

#[test]
fn a_command_line_that_makes_no_sense_asks_nobody() {
    let hub = Repo::model().serve();
    let desk = Desk::at(&hub);
    for repository in ["../x", "a/b/c", "org/tiny@../x", "https://huggingface.co/org/tiny", "org/tiny@"] {
        desk.expect(repository, 2, "expected ");
    }
    desk.with("HF_ENDPOINT", "huggingface.co").expect("org/tiny", 2, "HF_ENDPOINT: a web address: expected http");
    assert!(hub.requests().is_empty());
}

#[test]
fn answers_that_make_no_sense_are_named() {
    let nowhere = always(|| Reply::status(302));
    Desk::at(&nowhere).expect("org/tiny", 65, "org/tiny@main: a redirect to nowhere");
    let other = "0123456789abcdef0123456789abcdef01234567";
    let list = format!("{{\"sha\":\"{}\",\"siblings\":[]}}", Repo::model().commit);
    let hub = always(move || Reply::body(list.as_bytes()));
    let says = format!("org/tiny@{other}: the hub answers with another commit, {}", Repo::model().commit);
    Desk::at(&hub).expect(&format!("org/tiny@{other}"), 65, &says);
    let hub = Repo::model().serve_but("config.json", 9, |_, _| Reply::status(206));
    Desk::at(&hub).expect("org/tiny", 65, "config.json: a part of a file that says not which");
    let hub = Repo::model().serve_but(".safetensors", 9, |reply, request| match request.from {
        None => reply.cut(300_000),
        Some(_) => Reply::status(416),
    });
    Desk::at(&hub).expect("org/tiny", 65, ": the hub has no byte 300000 of what it announced");
    // A hub that speaks plainly where it was asked in private.
    let hub = Repo::model().serve();
    Desk::to(&hub.url().replace("http:", "https:")).expect("org/tiny", 69, " does not answer: ");
}
