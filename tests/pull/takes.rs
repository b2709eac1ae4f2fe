//! What a pull takes, from where, and who sees the token.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::desk::{Desk, TOKEN, names, talk};
use super::hub::{Hub, Reply, Repo, commit, git, noise, sha256};

const TAKEN: [&str; 4] = ["README.md", "config.json", "model.safetensors", "tokenizer.json"];

#[test]
fn a_model_goes_into_the_cache_as_huggingface_hub_has_it() {
    let repo = Repo::model();
    let hub = repo.clone().serve();
    let desk = Desk::at(&hub);
    let printed = desk.text("org/tiny");
    let snapshot = desk.cached(&format!("snapshots/{}", repo.commit));
    assert_eq!(Path::new(printed.trim_end()), snapshot);
    assert_eq!(names(&snapshot), TAKEN);
    let mut blobs: Vec<String> = TAKEN.iter().map(|name| repo.oid(name)).collect();
    blobs.sort();
    assert_eq!(desk.listing("blobs"), blobs);
    for name in TAKEN {
        let link = fs::read_link(snapshot.join(name)).unwrap();
        assert_eq!(link, Path::new(&format!("../../blobs/{}", repo.oid(name))));
        assert_eq!(fs::read(snapshot.join(name)).unwrap(), repo.bytes(name), "{name}");
    }
    assert_eq!(fs::read_to_string(desk.cached("refs/main")).unwrap(), repo.commit);
    let asked: Vec<String> = hub.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked.len(), 1 + TAKEN.len(), "{asked:?}");
}

#[test]
fn a_data_set_is_everything_with_its_folders() {
    let files = [
        ("data/train/0.jsonl", "{}\n"),
        ("data/test.jsonl", "{}{}\n"),
        (".gitattributes", "x\n"),
        ("a b#%ü?.txt", "y"),
    ];
    let repo = Repo::of("datasets", &files);
    let escaped = Repo { files: vec![("a%20b%23%25%C3%BC%3F.txt".into(), b"y".to_vec(), false)], ..repo.clone() };
    let (list, commit) = (repo.clone(), repo.commit.clone());
    let hub = Hub::start(move |request, _| match request.path.contains("%20") {
        true => escaped.answer(request),
        false => list.answer(request),
    });
    let desk = Desk::at(&hub);
    let printed = desk.text("--dataset org/tiny");
    let snapshot = desk.path(&format!("home/hub/datasets--org--tiny/snapshots/{commit}"));
    assert_eq!(Path::new(printed.trim_end()), snapshot);
    for (name, text) in files {
        assert_eq!(fs::read_to_string(snapshot.join(name)).unwrap(), text, "{name}");
    }
    let link = fs::read_link(snapshot.join("data/train/0.jsonl")).unwrap();
    assert_eq!(link, Path::new(&format!("../../../../blobs/{}", git(b"{}\n"))));
}

#[test]
fn patterns_say_what_is_taken() {
    let repo = Repo::model();
    let desk = Desk::at(&repo.clone().serve());
    desk.text("org/tiny --include *.json --include *.md --exclude tok*");
    assert_eq!(desk.listing(&format!("snapshots/{}", repo.commit)), ["README.md", "config.json"]);
    desk.expect("org/tiny --include *.parquet", 66, "nothing is asked for of the 6 files");
    desk.expect("org/tiny --include [ab]", 2, "brackets have no meaning");
}

#[test]
fn pickles_are_never_taken() {
    let repo = Repo::model();
    let hub = repo.clone().serve();
    let desk = Desk::at(&hub);
    desk.expect(
        "org/tiny --include *.bin",
        1,
        "org/tiny@main: pytorch_model.bin: opening such a file can run what is in it",
    );
    desk.expect("org/tiny --include config.json --include pytorch_model.bin", 1, "pytorch_model.bin");
    desk.expect("org/tiny --include *", 0, "left out, as opening them can run what is in them: pytorch_model.bin");
    assert_eq!(desk.listing("blobs").len(), 5);
    assert!(hub.asked("pytorch_model.bin").is_empty());
}

#[test]
fn nothing_is_fetched_twice() {
    let first = Repo::model();
    let mut second = Repo { commit: commit("second"), ..first.clone() };
    second.files[2].1 = b"{\"model_type\":\"llama\",\"rope_theta\":1}\n".to_vec();
    let hub = first.clone().serve();
    let desk = Desk::at(&hub);
    desk.text("org/tiny");
    desk.text("org/tiny");
    assert_eq!(hub.requests().len(), 6, "the second time the list alone was asked for");
    let other = second.clone().serve();
    let desk = desk.with("HF_ENDPOINT", &other.url());
    desk.text("org/tiny");
    let fetched: Vec<String> = other.requests().into_iter().skip(1).map(|request| request.path).collect();
    assert_eq!(fetched, [format!("/org/tiny/resolve/{}/config.json", second.commit)]);
    assert_eq!(desk.listing("snapshots").len(), 2);
    assert_eq!(fs::read_to_string(desk.cached("refs/main")).unwrap(), second.commit);
}

#[test]
fn a_branch_that_moves_meanwhile_mixes_nothing() {
    let first = Repo::model();
    let second = Repo { commit: commit("second"), ..first.clone() };
    let (before, after) = (first.clone(), second.clone());
    // From the second request on, the branch stands elsewhere.
    let hub = Hub::start(move |request, asked| match request.path.contains("/revision/main") && asked > 0 {
        true => after.answer(request),
        false => before.answer(request),
    });
    let desk = Desk::at(&hub);
    desk.text("org/tiny");
    let files = hub.requests().into_iter().filter(|request| request.path.contains("/resolve/"));
    assert!(files.clone().count() == 4 && files.clone().all(|request| request.path.contains(&first.commit)));
    assert_eq!(desk.listing("snapshots"), std::slice::from_ref(&first.commit));

    let mixed =
        first.clone().serve_but("config.json", 1, move |reply, _| reply.header("X-Repo-Commit", &second.commit));
    let desk = Desk::at(&mixed);
    desk.expect("org/tiny", 65, "org/tiny: config.json: expected commit ");
    assert!(!desk.cached("refs/main").exists());
}

#[test]
fn a_commit_that_is_asked_for_is_the_one_that_comes() {
    let repo = Repo::model();
    let hub = repo.clone().serve();
    let desk = Desk::at(&hub);
    desk.text(&format!("org/tiny@{}", repo.commit));
    assert!(!desk.cached("refs").exists());
    let other = Repo { commit: commit("second"), ..repo.clone() };
    let lying = Hub::start(move |_, _| Reply::body(other.list(true).to_string().as_bytes()));
    let desk = Desk::at(&lying);
    desk.expect(&format!("org/tiny@{}", repo.commit), 65, "the hub answers with another commit");
}

/// A hub that has its large files elsewhere, as the real one has.
fn elsewhere(repo: Repo, storage: String) -> Hub {
    Hub::start(move |request, _| match request.path.ends_with("model.safetensors") {
        true => Reply::redirect(&format!("{storage}/signed?Signature=1"))
            .header("X-Linked-Etag", &format!("\"{}\"", repo.oid("model.safetensors")))
            .header("X-Linked-Size", &repo.bytes("model.safetensors").len().to_string())
            .header("ETag", "\"something-else\"")
            .header("X-Repo-Commit", &repo.commit),
        false => repo.answer(request),
    })
}

#[test]
fn another_host_never_sees_the_token() {
    let repo = Repo::model();
    let weights = repo.bytes("model.safetensors");
    let storage = Hub::start(move |request, _| Reply::part(request, &weights).header("ETag", "\"of-its-own\""));
    for storage_url in [storage.url(), storage.url_by_name()] {
        let hub = elsewhere(repo.clone(), storage_url);
        let desk = Desk::at(&hub).with("HF_TOKEN", TOKEN);
        desk.text("org/tiny -v");
        assert_eq!(hub.requests().len(), 5);
        assert!(hub.requests().iter().all(|request| request.token == Some(format!("Bearer {TOKEN}"))));
    }
    assert_eq!(storage.requests().len(), 2);
    assert!(storage.requests().iter().all(|request| request.token.is_none()));
}

#[test]
fn a_host_that_sends_one_back_gains_no_token() {
    let repo = Repo::model();
    let back = Hub::start(|request, _| Reply::redirect(request.path.split_once("to=").unwrap().1));
    let home: Arc<OnceLock<String>> = Arc::default();
    let (away, own) = (back.url(), Arc::clone(&home));
    let hub = Hub::start(move |request, _| match request.path.as_str() {
        "/loot" => Reply::part(request, &repo.bytes("config.json")),
        path if path.ends_with("config.json") => Reply::redirect(&format!("{away}/?to={}/loot", own.get().unwrap())),
        _ => repo.answer(request),
    });
    home.set(hub.url()).unwrap();
    Desk::at(&hub).with("HF_TOKEN", TOKEN).text("org/tiny");
    assert!(hub.asked("config.json")[0].token.is_some());
    assert_eq!((back.requests().len(), hub.asked("/loot").len()), (1, 1));
    assert!(back.requests()[0].token.is_none() && hub.asked("/loot")[0].token.is_none());
}

#[test]
fn the_token_of_the_file_is_shown_to_the_hub() {
    let hub = Repo::model().serve();
    let desk = Desk::at(&hub);
    fs::create_dir_all(desk.path("home")).unwrap();
    fs::write(desk.path("home/token"), format!("{TOKEN}\n")).unwrap();
    desk.text("org/tiny --include config.json");
    assert!(hub.requests().iter().all(|request| request.token == Some(format!("Bearer {TOKEN}"))));
}

#[test]
fn a_mirror_whose_list_has_no_digests_says_them_file_by_file() {
    let repo = Repo::model();
    let (list, inner) = (repo.list(false).to_string(), repo.clone());
    let hub = Hub::start(move |request, _| match request.path.contains("/revision/") {
        true => Reply::body(list.as_bytes()),
        false => inner.answer(request),
    });
    let desk = Desk::at(&hub);
    desk.text("org/tiny");
    assert_eq!(desk.listing(&format!("snapshots/{}", repo.commit)), TAKEN);
    assert_eq!(hub.requests().iter().filter(|request| request.method == "HEAD").count(), 4);

    let (list, inner) = (repo.list(false).to_string(), repo.clone());
    let silent = Hub::start(move |request, _| match request.path.contains("/revision/") {
        true => Reply::body(list.as_bytes()),
        false => inner.answer(request).header("ETag", "\"1\""),
    });
    let desk = Desk::at(&silent);
    desk.expect("org/tiny", 65, "README.md: the hub does not say its digest and its size");
}

#[test]
fn quiet_is_quiet_and_standard_output_is_the_folder_alone() {
    let desk = Desk::at(&Repo::model().serve());
    let output = desk.expect("-q org/tiny --include *", 0, "");
    assert_eq!(talk(&output), "");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
}

#[test]
fn an_empty_file_and_one_of_many_pieces_are_whole() {
    let mut repo = Repo::of("datasets", &[("empty.txt", "")]);
    repo.files.push(("large.parquet".into(), noise("large", 3_000_001), true));
    let desk = Desk::at(&repo.clone().serve());
    let folder = desk.text("org/tiny --dataset");
    let read = |name: &str| fs::read(Path::new(folder.trim_end()).join(name)).unwrap();
    assert_eq!(read("empty.txt"), b"");
    assert_eq!(sha256(&read("large.parquet")), repo.oid("large.parquet"));
}
