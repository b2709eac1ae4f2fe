//! `recipes/worker.sh` in a run that does not pay: nothing is offered, and the second beacon stands for the judge's closing.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{FULL, WORKERS, World, talk};

/// What cron starts for a worker, in a run folder of its own.
fn worker(world: &World, who: &str) -> Output {
    worker_on(world, who, "cpu")
}

fn worker_on(world: &World, who: &str, device: &str) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/worker.sh"))
        .arg(world.path(&format!("of-{who}")))
        .arg(who)
        .env("L402", env!("CARGO_BIN_EXE_l402"))
        .env("DEVICE", device)
        .env("SYNC", format!("sh {}", world.path("sync").display()))
        .output()
        .unwrap()
}

#[track_caller]
fn ends(output: &Output, status: i32, says: &str) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &talk(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(says), "expected {says:?} in {said}");
}

#[test]
fn a_worker_of_an_unpaid_run_commits_waits_for_the_beacon_and_shows_its_work() {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", recipe.replace("round_msat = 1000000", "round_msat = 0").as_bytes());
    world.begin_run();
    // The coordinator's folder is what they get; what each puts goes where the round is.
    let sync = format!(
        "cd {world}\ncase $1 in\nget) mkdir -p \"$RUN-private/$ID/inbox/run\"; cp -r theta-* shards round-* \"$RUN-private/$ID/inbox/run/\" ;;\n\
         put) [ ! -d \"$RUN-private/$ID/outbox\" ] || cp -r \"$RUN-private/$ID/outbox/.\" . ;;\nesac\n",
        world = world.path("").display()
    );
    world.write("sync", sync.as_bytes());
    for who in WORKERS {
        fs::create_dir_all(world.path(&format!("of-{who}-private/{who}"))).unwrap();
        fs::create_dir(world.path(&format!("of-{who}"))).unwrap();
        for name in ["run.toml", "roster.jsonl", "coordinator.pub"] {
            fs::copy(world.path(name), world.path(&format!("of-{who}/{name}"))).unwrap();
        }
        fs::copy(world.path(&format!("{who}.key")), world.path(&format!("of-{who}-private/{who}/key"))).unwrap();
    }
    for n in 0..2 {
        world.ok(&format!("assign {n} --beacon random"));
        ends(&worker_on(&world, "ann", "gpu"), 2, "expected auto, cpu, cuda or cuda:N");
        for who in WORKERS {
            ends(&worker(&world, who), 75, &format!("round {n}: waiting for beacon-b"));
            assert!(world.has(&format!("round-{n}/{who}.commitment")));
            // Nothing is shown before everybody has committed.
            assert!(!world.has(&format!("round-{n}/{who}.update")) && !world.has(&format!("round-{n}/{who}.reveal")));
        }
        world.ok(&format!("beacon random -o round-{n}/beacon-b"));
        for who in WORKERS {
            ends(&worker(&world, who), 75, &format!("round {n}: waiting for the scores"));
            for kind in ["update", "reveal", "moments", "feedback", "leaves"] {
                assert!(world.has(&format!("round-{n}/{who}.{kind}")), "{who}.{kind}");
            }
        }
        world.ok(&format!("replay {n} --all"));
        world.ok(&format!("score {n}"));
        world.ok(&format!("aggregate {n}"));
    }
    for who in WORKERS {
        ends(&worker(&world, who), 0, "");
    }
    world.expect("audit", 0, "equal: ");
}
