//! The log of a training, and what is made of it for other programs.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{FULL, World};
use serde_json::Value;

fn lines(world: &World, name: &str) -> Vec<Value> {
    let text = String::from_utf8(world.bytes(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_log_has_a_line_a_step_with_what_it_says_in_the_manual() {
    let world = World::new(FULL);
    world.assign(0);
    let train = world.train(0, "ann");
    world.ok(&format!("{train} -o quiet"));
    world.ok(&format!("{train} --threads 2 --log log -o delta"));
    // It changes nothing of the work.
    assert_eq!(world.bytes("quiet"), world.bytes("delta"));
    let lines = lines(&world, "log");
    assert_eq!(lines.len(), 4);
    let begin = &lines[0];
    let run = world.text("inspect --field run r.toml");
    for line in &lines {
        let of = (line["run"].as_str().unwrap(), &line["round"], &line["worker"], &line["v"]);
        assert_eq!(of, (run.trim(), &0.into(), &"ann".into(), &1.into()));
    }
    assert_eq!((&begin["type"], &begin["step"], &begin["steps"]), (&"begin".into(), &0.into(), &3.into()));
    assert_eq!((&begin["threads"], &begin["seq_len"]), (&2.into(), &16.into()));
    assert!(begin["parameters"].as_u64().unwrap() > 10_000 && begin["time"].as_f64().unwrap() > 1.7e9);
    let mut before = 0.0;
    for (i, line) in lines[1..].iter().enumerate() {
        assert_eq!((&line["type"], &line["step"], &line["tokens"]), (&"step".into(), &(i + 1).into(), &64.into()));
        let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"));
        assert!((1.0..7.0).contains(&number("loss")) && number("gradient_norm") > 0.0, "{line}");
        let (seconds, speed) = (number("seconds"), number("tokens_per_second"));
        assert!((speed * (seconds - before) / 64.0 - 1.0).abs() < 1e-3, "{line}");
        before = seconds;
        assert!(!cfg!(target_os = "linux") || number("memory_bytes") > 1e6, "{line}");
    }
    // Two steps of warm-up to 5e-3.
    let rates: Vec<f64> = lines[1..].iter().map(|line| line["lr"].as_f64().unwrap()).collect();
    assert!((rates[0] / 2.5e-3 - 1.0).abs() < 1e-6 && (rates[1] / 5e-3 - 1.0).abs() < 1e-6, "{rates:?}");
}

#[test]
fn a_step_that_is_done_again_stands_in_the_log_once_and_other_work_stays() {
    let world = World::new(FULL);
    world.assign(0);
    for who in ["ann", "bob", "ann", "ann"] {
        world.ok(&format!("{} --log log --force -o {who}.delta", world.train(0, who)));
    }
    let of = |who: &str| lines(&world, "log").into_iter().filter(|line| line["worker"] == who).count();
    assert_eq!((of("ann"), of("bob")), (4, 4));
    // What its writer was killed in goes.
    let text = String::from_utf8(world.bytes("log")).unwrap();
    world.write("log", (text.clone() + "{\"gradient_no").as_bytes());
    world.ok(&format!("{} --log log --force -o cy.delta", world.train(0, "cy")));
    assert_eq!((of("ann"), of("bob"), of("cy")), (4, 4, 4));
    // What is no log is left alone.
    let recipe = world.bytes("r.toml");
    world.expect(&format!("{} --log r.toml -o x", world.train(0, "ann")), 65, "r.toml:1: expected a line of a log");
    assert_eq!(world.bytes("r.toml"), recipe);
    world.expect(
        &format!("{} --log ann.delta --force -o ann.delta", world.train(0, "ann")),
        2,
        "the same file as --log",
    );
    world.expect(&format!("{} --log - -o x", world.train(0, "ann")), 2, "expected a file");
    world.expect(&format!("{} --log nowhere/log -o x", world.train(0, "ann")), 66, "nowhere/log");
}

#[test]
fn a_log_that_cannot_be_written_ends_no_training() {
    let world = World::new(FULL);
    world.assign(0);
    if fs::exists("/dev/full").unwrap() {
        let train = world.train(0, "ann");
        world.expect(
            &format!("{train} --log /dev/full -o delta"),
            0,
            "the log ends here, the training goes on: /dev/full",
        );
        assert!(world.has("delta"));
    }
}

// ---- TensorBoard ----

/// CRC-32C by a table, where ours goes bit by bit.
fn masked_crc(data: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| (0..8).fold(byte, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }))
        .collect();
    let crc = !data.iter().fold(!0u32, |crc, byte| table[(crc as u8 ^ byte) as usize] ^ crc >> 8);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A field of a message: number, and its bytes or its value.
enum Field<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

fn varint(data: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = data[0];
        *data = &data[1..];
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return number;
        }
    }
}

fn message(mut data: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut data)),
            kind => {
                let len = [0, 8, usize::MAX, 0, 0, 4][kind as usize];
                let len = if len == usize::MAX { varint(&mut data) as usize } else { len };
                let (bytes, rest) = data.split_at(len);
                data = rest;
                Field::Bytes(bytes)
            }
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// What an event file says: by tag, step and value; its wall times must rise.
fn read_events(bytes: &[u8]) -> BTreeMap<String, Vec<(u64, f32)>> {
    let (mut rest, mut curves, mut first, mut last) = (bytes, BTreeMap::<String, Vec<_>>::new(), true, 0.0);
    while !rest.is_empty() {
        let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let crc = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let data = &rest[12..12 + len];
        assert_eq!((crc(8), crc(12 + len)), (masked_crc(&rest[..8]), masked_crc(data)));
        let (mut step, mut summary) = (0, None);
        for (number, field) in message(data) {
            match (number, field) {
                (1, Field::Bytes(time)) => {
                    let time = f64::from_le_bytes(time.try_into().unwrap());
                    assert!(time >= last);
                    last = time;
                }
                (2, Field::Number(number)) => step = number,
                (3, Field::Bytes(version)) => assert!(std::mem::take(&mut first) && version == b"brain.Event:2"),
                (5, Field::Bytes(bytes)) => summary = Some(bytes),
                (number, _) => panic!("field {number}"),
            }
        }
        assert!(!first);
        for (_, value) in summary.map_or(Vec::new(), message) {
            let Field::Bytes(value) = value else { panic!("a value is a message") };
            let [(1, Field::Bytes(tag)), (2, Field::Bytes(number))] = &message(value)[..] else {
                panic!("a tag and a number")
            };
            let number = f32::from_le_bytes((*number).try_into().unwrap());
            curves.entry(String::from_utf8(tag.to_vec()).unwrap()).or_default().push((step, number));
        }
        rest = &rest[16 + len..];
    }
    curves
}

#[test]
fn tensorboard_gets_every_number_of_a_log_at_its_step_of_the_run() {
    let world = World::new(FULL);
    world.play(0);
    world.assign(1);
    for (n, who) in [(0, "ann"), (1, "ann"), (1, "bob")] {
        world.ok(&format!("{} --log {who}.log -o {who}.{n}.delta", world.train(n, who)));
    }
    world.ok("log ann.log bob.log --tensorboard runs/all");
    assert_eq!(world.listing("runs/all"), ["ann", "bob"]);
    let name = world.listing("runs/all/ann").pop().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    let path = format!("runs/all/ann/{name}");
    let curves = read_events(&world.bytes(&path));
    let tags: Vec<&str> = curves.keys().map(String::as_str).collect();
    assert_eq!(tags, ["gradient_norm", "loss", "lr", "memory_bytes", "tokens_per_second"]);
    for (tag, curve) in &curves {
        let logged: Vec<(u64, f32)> = lines(&world, "ann.log")
            .iter()
            .filter(|line| line["type"] == "step")
            .map(|line| {
                let step = line["round"].as_u64().unwrap() * 3 + line["step"].as_u64().unwrap();
                (step, line[tag.as_str()].as_f64().unwrap() as f32)
            })
            .collect();
        assert_eq!(*curve, logged, "{tag}");
    }
    assert_eq!(curves["loss"].iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    world.expect("log ann.log bob.log --tensorboard runs/all", 0, "up to date");
    world.write("half.log", &world.bytes("ann.log")[..1500]);
    world.expect("log half.log bob.log --tensorboard runs/all", 73, "exists, with other content");
    world.ok("log half.log bob.log --tensorboard runs/all --force");
    world.expect("log r.toml --tensorboard runs/x", 65, "r.toml:1: expected a line of a log");
    for (key, bad) in [("worker", "\"../up\""), ("run", "\"x\""), ("round", "-1"), ("step", "1.5"), ("seconds", "null")]
    {
        let mut line = lines(&world, "ann.log")[1].clone();
        line[key] = serde_json::from_str(bad).unwrap();
        world.write("bad.log", format!("{line}\n").as_bytes());
        world.expect("log bad.log --tensorboard runs/x", 65, &format!("bad.log:1: expected a field \"{key}\""));
    }
    assert!(!world.has("runs/x") && !world.has("runs/up"));
}
