//! A round with many workers, each with a node and a channel of its own: what it costs, and that it adds up.

use std::time::{Duration, Instant};

use l402::artifact::record::{self, Signed};
use l402::artifact::{Digest, Recipe, commit};
use l402::score::{RoundScore, Score};
use serde_json::json;

use super::devnet::Devnet;
use super::escrow::Socket;
use super::{CONFIG, FULL, Kind, World, beacon, corpus, recipe, records};

/// What each worker brings to the round's msat.
const SHARE: u64 = 30_000_000;

/// What the steps took.
pub struct Times {
    /// Step and time, in order.
    pub steps: Vec<(&'static str, Duration)>,
}

/// Everyone.
pub struct Crowd {
    devnet: Devnet,
    /// The files.
    pub world: World,
    /// Pays and judges.
    pub judge: Socket,
    /// Name, socket and node id.
    pub workers: Vec<(String, Socket, String)>,
}

impl Crowd {
    /// So many workers; how long the network took to stand.
    pub fn gather(count: usize) -> (Crowd, Duration) {
        let begun = Instant::now();
        let devnet = Devnet::up(count + 1, "");
        let up = begun.elapsed();
        let judge = devnet.socket(1);
        let mut world = World::empty();
        world.coordinator = judge.id();
        let workers: Vec<_> = (0..count)
            .map(|i| {
                let socket = devnet.socket(i + 2);
                let id = socket.id();
                (format!("w{i:03}"), socket, id)
            })
            .collect();
        let roster = workers
            .iter()
            .map(|(name, _, id)| format!("{{\"key\":\"{id}\",\"type\":\"roster\",\"v\":1,\"worker\":\"{name}\"}}\n"));
        world.write("roster.jsonl", roster.collect::<String>().as_bytes());
        world.write("corpus.txt", &corpus()[..24_000]);
        world.write("config.json", CONFIG.as_bytes());
        world.ok("shard corpus.txt --tokenizer bytes --seq-len 16 --shards 4 --val-shards 1 -o shards");
        let theta = world.text("init --config config.json --seed 3 -o theta-0");
        let pay = format!("round_msat = {}", SHARE * count as u64);
        let text = recipe(Kind { state: "reset", ..FULL }, theta.trim()).replace("round_msat = 1000000", &pay);
        world.write("r.toml", text.as_bytes());
        world.ok(&format!(
            "assign --recipe r.toml --round 0 --shards shards --workers ./roster.jsonl --beacon {} {} -o assignments.jsonl",
            beacon("crowd"),
            judge.arg()
        ));
        (Crowd { devnet, world, judge, workers }, up)
    }

    fn mine(&self) -> String {
        format!("--escrow judge {}", self.judge.arg())
    }

    /// Offers to everybody.
    pub fn offer(&self) {
        let judge = &self.world.coordinator;
        self.world.ok(&format!(
            "invoice offer --recipe r.toml --model theta-0 --round 0 --assignments assignments.jsonl --coordinator \
             {judge} --judge {judge} --payer {judge} --workers roster.jsonl {} -o offers.jsonl",
            self.mine()
        ));
    }

    /// Everybody's invoices.
    pub fn issue(&self) {
        let judge = &self.world.coordinator;
        let text = self.each(|name, socket| {
            format!("invoice issue offers.jsonl --judge {judge} --escrow {name} {}", socket.arg())
        });
        self.world.write("invoices.jsonl", text.as_bytes());
    }

    /// The command line that pays them.
    pub fn lock_args(&self) -> String {
        format!(
            "invoice lock invoices.jsonl --offers offers.jsonl --judge {} --workers roster.jsonl --budget-msat {} {}",
            self.world.coordinator,
            3 * SHARE * self.workers.len() as u64,
            self.mine()
        )
    }

    /// Everybody's word that all of it is held.
    pub fn held(&self) {
        let text = self.each(|name, socket| format!("invoice status --wait=30 --escrow {name} {}", socket.arg()));
        self.world.write("held.jsonl", text.as_bytes());
    }

    fn each(&self, args: impl Fn(&str, &Socket) -> String) -> String {
        self.workers.iter().map(|(name, socket, _)| self.world.text(&args(name, socket))).collect()
    }

    /// A signature by a node.
    fn sign<R: Signed + Clone>(socket: &Socket, message: &mut R) {
        let text = format!("l402/1/{}/{}", R::TYPE, hex::encode(record::hash(message).unwrap()));
        let answer = socket.ask("signmessage", json!({"message": text}));
        *message.sig() = Some(answer["zbase"].as_str().unwrap().to_owned());
    }

    /// The whole round; what each step took. The work itself is left out: the updates are made up, and so is what
    /// they are worth: worker i earns i-th of the shares.
    pub fn play(&self) -> Times {
        let (world, count, mine) = (&self.world, self.workers.len() as u64, self.mine());
        let mut times = Times { steps: Vec::new() };
        let mut timed = |step: &'static str, work: &mut dyn FnMut()| {
            let begun = Instant::now();
            work();
            times.steps.push((step, begun.elapsed()));
        };
        let before: Vec<u64> = (1..=self.workers.len() + 1).map(|n| self.devnet.socket(n).quiet()).collect();
        timed("offer", &mut || self.offer());
        timed("issue", &mut || self.issue());
        timed("lock", &mut || drop(world.ok(&self.lock_args())));
        timed("status", &mut || self.held());
        self.make_up_the_work(&mine);
        timed("settle", &mut || {
            world.ok(&format!(
                "settle --scores scores.jsonl --offers offers.jsonl --held held.jsonl --commitments commitments.jsonl \
                 --commitments closing.jsonl --reveal secret {mine} -o verdicts.jsonl"
            ));
        });
        timed("claim", &mut || {
            self.each(|name, socket| {
                format!("settle --claim secret/{name}.0.0.reveal --wait=30 --escrow {name} {}", socket.arg())
            });
        });
        let verdicts = records(&world.bytes("verdicts.jsonl"), "verdict");
        assert_eq!(verdicts.len() as u64, count);
        let paid: Vec<u64> = verdicts.iter().map(|v| v["paid_msat"].as_u64().unwrap()).collect();
        for (i, paid) in paid.iter().enumerate() {
            assert_eq!(self.devnet.socket(i + 2).quiet(), before[i + 1] + paid, "worker {i}");
        }
        assert_eq!(self.devnet.socket(1).quiet(), before[0] - paid.iter().sum::<u64>());
        times
    }

    /// Commitments that the workers' nodes sign, their closing, and scores.
    fn make_up_the_work(&self, mine: &str) {
        let world = &self.world;
        let run = Recipe::load(&world.path("r.toml")).unwrap().digest();
        let offers = records(&world.bytes("offers.jsonl"), "offer");
        let held = records(&world.bytes("held.jsonl"), "held");
        let (mut lines, mut openings, mut scores, mut left) = (String::new(), String::new(), String::new(), 0);
        for (i, (name, socket, _)) in self.workers.iter().enumerate() {
            assert_eq!(offers[i]["worker"], json!(name));
            let own = held.iter().find(|h| h["task"]["worker"] == json!(name)).unwrap();
            let update = Digest::of(name.as_bytes());
            let (mut commitment, opening) = commit(run, 0, name, update, Digest::of(b"nonce"));
            commitment.offer = own["task"]["offer"].as_str().map(str::to_owned);
            Self::sign(socket, &mut commitment);
            lines += &record::line(&commitment).unwrap();
            openings += &record::line(&opening).unwrap();
            let entitled_msat = SHARE * i as u64 / self.workers.len() as u64;
            left += SHARE - entitled_msat;
            let worker = name.clone();
            let gain = Some("1".to_owned());
            let score = Score {
                run,
                round: 0,
                worker,
                update,
                counts: true,
                reason: None,
                finding: None,
                state: None,
                after_q32: gain.clone(),
                gain_q32: gain,
                worth_q32: None,
                worth_error_q32: None,
                signals: None,
                entitled_msat,
                bytes: 1,
            };
            scores += &record::line(&score).unwrap();
        }
        let whole = RoundScore {
            run,
            round: 0,
            theta: Digest::of(b"theta"),
            held_out: Digest::of(b"val"),
            beacon: None,
            sequences: 1,
            tokens: 1,
            needed_sequences: None,
            own_sequences: None,
            standings: None,
            before_q32: "2".into(),
            workers: self.workers.len() as u64,
            round_msat: SHARE * self.workers.len() as u64,
            returned_msat: left,
        };
        scores += &record::line(&whole).unwrap();
        world.write("scores.jsonl", scores.as_bytes());
        world.write("commitments.jsonl", lines.as_bytes());
        world.ok(&format!("commit --close commitments.jsonl --round 0 {mine} -o closing.jsonl"));
        world.write("commitments.jsonl", (lines + &openings).as_bytes());
    }
}
