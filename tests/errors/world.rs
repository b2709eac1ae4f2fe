//! Where the transcripts are run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::{FULL, WORKERS, World, beacon};
use crate::transcript::Transcript;

/// Transcripts beside the folders that they run in.
pub struct Laid {
    pub folder: tempfile::TempDir,
    /// The transcripts' names below it.
    pub transcripts: Vec<String>,
    /// Makes the folder that it is called in a copy of the world.
    pub fresh: PathBuf,
    world: World,
}

impl Laid {
    /// Copies the transcripts, and for each a world.
    pub fn out(all: &[Transcript]) -> Laid {
        let (world, folder) = (played(), tempfile::tempdir().unwrap());
        for transcript in all {
            let place = folder.path().join(&transcript.name);
            let area = place.parent().unwrap();
            fs::create_dir_all(area).unwrap();
            // What is bad on purpose, one of each; it is there already for a second transcript of the area.
            let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/hostile");
            let _ = std::os::unix::fs::symlink(hostile, area.join("bad"));
            fs::write(&place, &transcript.text).unwrap();
            copy(&world.path(""), &place.with_extension("in"));
            copy(&world.path("../world-private"), &place.with_extension("in-private"));
        }
        let fresh = folder.path().join("fresh");
        fs::write(&fresh, FRESH).unwrap();
        fs::set_permissions(&fresh, PermissionsExt::from_mode(0o755)).unwrap();
        Laid { folder, transcripts: all.iter().map(|transcript| transcript.name.clone()).collect(), fresh, world }
    }

    /// What the steps of a transcript find in their environment.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.to_str().unwrap().to_owned();
        let bins = Path::new(env!("CARGO_BIN_EXE_l402")).parent().unwrap();
        let path = format!("{}:{}", shown(bins), std::env::var("PATH").unwrap_or_default());
        vec![
            ("WORLD", shown(&self.world.path(""))),
            ("PATH", path),
            ("LC_ALL", "C".to_owned()),
            ("HOME", shown(&self.folder.path().join("home"))),
        ]
    }
}

const FRESH: &str = "#!/bin/sh
set -eu
[ -e run.toml ] || [ -e theta-0 ] || [ -z \"$(ls -A)\" ]
find . -mindepth 1 -delete
cp -a \"$WORLD/.\" .
rm -rf \"$PWD-private\"
cp -a \"$WORLD/../world-private\" \"$PWD-private\"
";

/// Round 0 is finished and unpaid; in round 1 everybody has trained and committed, and nobody has shown it.
fn played() -> World {
    let world = World::with_keys(FULL, |who| beacon(&format!("key of {who}")));
    world.begin_run();
    train_and_commit(&world, 0);
    for who in WORKERS {
        world.ok(&format!("commit 0 {who} --reveal"));
        world.ok(&format!("replay 0 {who}"));
    }
    world.ok(&format!("score 0 --beacon {}", beacon("second 0")));
    world.ok("aggregate 0");
    train_and_commit(&world, 1);
    world
}

fn train_and_commit(world: &World, n: u64) {
    world.ok(&format!("assign {n} --beacon {}", beacon(&format!("first {n}"))));
    for who in WORKERS {
        world.ok(&format!("train {n} {who}"));
        world.ok(&format!("commit {n} {who}"));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
