//! Every error that a user can meet: its text, its exit code and its hint.
//!
//! `AREA/NAME.trycmd` are transcripts. Each runs in a run folder of its own, a copy of a world of one finished round that is the
//! same each time, to the byte; `fresh` makes it whole again, and `$WORLD` is where it is copied from. `../bad/` is
//! `testdata/hostile/`. A backslash stands in a transcript as a slash. `TRYCMD=overwrite cargo test --test errors transcripts`
//! records them anew, `-- transcripts trycmd=NAME` runs one.

#[path = "../common/mod.rs"]
mod common;
mod form;
mod listed;
mod literals;
mod source;
mod transcript;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use world::Laid;

/// The folder that this program and its transcripts are in.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors")
}

#[test]
fn transcripts() {
    let laid = Laid::out(&transcript::all());
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("l402", Path::new(env!("CARGO_BIN_EXE_l402")))
        .register_bin("sh", Path::new("/bin/sh"))
        .register_bin("fresh", laid.fresh.as_path());
    laid.variables().into_iter().for_each(|(name, value)| drop(cases.env(name, value)));
    cases.case(laid.folder.path().join("*/*.trycmd"));
    cases.run();
    if std::env::var_os("TRYCMD").is_some_and(|mode| mode == "overwrite") {
        for name in laid.transcripts {
            fs::copy(laid.folder.path().join(&name), home().join(&name)).unwrap();
        }
    }
}
