//! Thefts and losses: each is tried, and what came of it is counted to the msat.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use common::crowd::Crowd;
use common::devnet::Devnet;
use common::escrow::{Pair, ROUND_MSAT, Round, STEPS, Socket, Table, call};
use common::proxy::{Fault, Proxy};
use common::{records, talk};
use serde_json::{Value, json};

/// A devnet of two, and a table at it.
struct Bank {
    pair: Pair,
    table: Table,
    devnet: Devnet,
}

impl Bank {
    fn open() -> Bank {
        let devnet = Devnet::up(2, "");
        let pair = devnet.pair(1, 2);
        Bank { table: Table::new(&pair), pair, devnet }
    }

    fn round(&self, name: &str) -> Round<'_> {
        self.table.round(&self.pair, name)
    }

    fn balances(&self) -> (u64, u64) {
        (self.pair.payer.quiet(), self.pair.payee.quiet())
    }

    /// A party's journal.
    fn journal(&self, folder: &str) -> String {
        let names = self.table.world.listing(folder);
        let name = names.into_iter().find(|n| n.starts_with("journal-")).unwrap();
        format!("{folder}/{name}")
    }
}

/// Scores of the same round that somebody corrected: another's msat.
fn corrected(scores: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for mut record in std::str::from_utf8(scores).unwrap().lines().map(|l| serde_json::from_str::<Value>(l).unwrap()) {
        if record["type"] == "score" {
            record["entitled_msat"] = json!(record["entitled_msat"].as_u64().unwrap() / 2);
        } else {
            let half = ROUND_MSAT - record["returned_msat"].as_u64().unwrap();
            record["returned_msat"] = json!(ROUND_MSAT - half / 2);
        }
        lines.push(l402::artifact::canonical::json(&record) + "\n");
    }
    lines.concat().into_bytes()
}

#[test]
fn scores_that_are_corrected_after_the_verdict_reveal_nothing_more() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("s"));
    let before = bank.balances();
    round.up_to("settle");
    let (verdicts, secret) = (world.bytes("s.verdicts.jsonl"), world.tree("s.secret"));
    let scores = world.bytes("0.scores.jsonl");
    world.write("0.scores.jsonl", &corrected(&scores));
    round.expect("settle", 1, "already judged");
    world.ok("key unrelated.key");
    assert_eq!((world.bytes("s.verdicts.jsonl"), world.tree("s.secret")), (verdicts, secret));
    world.write("0.scores.jsonl", &scores);
    round.ok("settle");
    round.ok("claim");
    assert_eq!(bank.balances(), (before.0 - round.paid(), before.1 + round.paid()));
}

#[test]
fn a_journal_that_was_deleted_or_put_back_from_an_old_copy_is_noticed_and_nothing_is_done() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("j"));
    round.up_to("open");
    let judge = bank.journal("j.judge");
    let old = world.bytes(&judge);
    round.ok("settle");
    let new = world.bytes(&judge);
    let scores = world.bytes("0.scores.jsonl");
    // With other scores it would reveal other rungs.
    world.write("0.scores.jsonl", &corrected(&scores));
    world.write(&judge, &old);
    let other = round.args("settle").replace("j.secret", "j.other").replace("j.verdicts", "j.others");
    world.expect(&other, 65, "expected the journal that the node remembers");
    fs::remove_file(world.path(&judge)).unwrap();
    world.expect(&other, 65, "expected the journal that the node remembers");
    assert!(!world.has("j.other") && !world.has("j.others.jsonl"));
    // The payer's and the worker's books are the same to them.
    round.expect("lock", 65, "the node remembers");
    fs::remove_file(world.path(&bank.journal("j.worker"))).unwrap();
    round.expect("claim", 65, "the node remembers");
    world.write("0.scores.jsonl", &scores);
    fs::write(world.path(&judge), &new).unwrap();
    fs::set_permissions(world.path(&judge), fs::Permissions::from_mode(0o600)).unwrap();
    round.ok("settle");
}

#[test]
fn a_copy_of_a_folder_that_is_at_work_beside_it_is_noticed_before_anything_is_done() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("f"));
    round.up_to("issue");
    // Two machines with the same folder: each has its own lock.
    world.copy_folder("f.worker", "copy");
    for name in world.listing("copy") {
        let path = world.path(&format!("copy/{name}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    ["lock", "held"].iter().for_each(|step| drop(round.ok(step)));
    world.expect(&round.args("held").replace("f.worker", "copy"), 65, "the node remembers");
}

#[test]
fn a_folder_that_was_lost_whole_locks_nothing_twice_and_judges_nothing() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("l"));
    round.up_to("open");
    fs::rename(world.path("l.judge"), world.path("l.hidden")).unwrap();
    round.expect("lock", 1, "not begun by this escrow folder");
    round.expect("settle", 1, "not offered by this escrow folder");
    fs::remove_dir_all(world.path("l.judge")).unwrap();
    fs::rename(world.path("l.hidden"), world.path("l.judge")).unwrap();
    round.ok("settle");
    round.ok("claim");
}

#[test]
fn damaged_books_are_refused_with_the_line_that_is_wrong() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("d"));
    round.up_to("lock");
    let journal = bank.journal("d.judge");
    let good = world.bytes(&journal);
    let mut bad = good.clone();
    let second = good.iter().position(|b| *b == b'\n').unwrap() + 100;
    bad[second] ^= 1;
    world.write(&journal, &bad);
    round.expect("lock", 65, "line 2");
    world.write(&journal, &good);
    fs::set_permissions(world.path(&journal), fs::Permissions::from_mode(0o644)).unwrap();
    round.expect("lock", 65, "mode 644");
    fs::set_permissions(world.path(&journal), fs::Permissions::from_mode(0o600)).unwrap();
    round.ok("lock");
    // A secret beside a journal is not made anew.
    fs::rename(world.path("d.judge/secret"), world.path("secret")).unwrap();
    round.expect("lock", 66, "secret");
}

#[test]
fn without_a_valid_held_record_there_is_no_verdict() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("h"));
    round.up_to("open");
    let held = world.bytes("h.held.jsonl");
    let settle = |bytes: &[u8], says: &str| {
        world.write("h.held.jsonl", bytes);
        round.expect("settle", 1, says);
        assert!(!world.has("h.verdicts.jsonl"));
    };
    settle(b"", "no held record");
    // Altered by whoever carried it, and of another offer.
    let mut record: Value = serde_json::from_slice(&held).unwrap();
    record["rungs"][0]["cltv_expiry"] = json!(99_999);
    settle((l402::artifact::canonical::json(&record) + "\n").as_bytes(), "sig");
    let other = bank.round("o");
    other.up_to("held");
    settle(&world.bytes("o.held.jsonl"), "instance");
    world.write("h.held.jsonl", &held);
    round.ok("settle");
    round.ok("claim");
}

#[test]
fn a_worker_that_never_cancels_is_refused_the_next_time() {
    let bank = Bank::open();
    let world = &bank.table.world;
    let round = bank.round("n");
    let before = bank.balances();
    world.ok(&format!("{} --heights +3,+4,+5,+6", round.args("offer")));
    ["issue", "lock", "held"].iter().for_each(|step| drop(round.ok(step)));
    bank.devnet.mine(8);
    // The next offer, from the same folder.
    let next = |step: &str| round.args(step).replace("n.offers", "m.offers").replace("n.invoices", "m.invoices");
    world.ok(&format!("{} --attempt 1", next("offer")));
    world.ok(&next("issue"));
    world.expect(&next("lock"), 1, "still holds 4 payments");
    // It cancels, and is paid again.
    round.expect("held", 1, "cancelled");
    assert_eq!(bank.balances(), before);
    world.ok(&next("lock"));
}

#[test]
fn a_commitment_that_comes_after_the_closing_earns_nothing() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("c"));
    let before = bank.balances();
    round.up_to("held");
    world.write("c.commitments.jsonl", b"");
    world.ok(&format!("{} --now", round.args("close")));
    fs::remove_file(world.path("c.commitments.jsonl")).unwrap();
    ["commit", "open", "settle"].iter().for_each(|step| drop(round.ok(step)));
    let verdict = &round.records("verdicts.jsonl", "verdict")[0];
    assert_eq!(verdict["paid_msat"], json!(0));
    assert!(verdict["reason"].as_str().unwrap().contains("came after"), "{verdict}");
    // A list is closed once: the commitment does not get in any more.
    let closing = world.bytes("c.closing.jsonl");
    round.ok("close");
    assert_eq!(world.bytes("c.closing.jsonl"), closing);
    round.ok("claim");
    assert_eq!(bank.balances(), before);
}

#[test]
fn a_redo_of_a_round_that_was_closed_has_a_list_of_its_own_and_is_paid() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("f"));
    let before = bank.balances();
    round.up_to("claim");
    let again = |step: &str| {
        let files = ["offers", "invoices", "held", "commitments", "closing", "openings", "verdicts", "claimed"];
        let args = files.iter().fold(round.args(step), |a, f| a.replace(&format!("f.{f}"), &format!("ff.{f}")));
        let args = args.replace("ann.0.0.reveal", "ann.0.1.reveal");
        let attempt = if ["offer", "close"].contains(&step) { " --attempt 1" } else { "" };
        drop(world.ok(&(args + attempt)));
    };
    STEPS.iter().for_each(|step| again(step));
    assert_eq!(bank.balances(), (before.0 - 2 * round.paid(), before.1 + 2 * round.paid()));
}

#[test]
fn an_offer_that_somebody_wrote_into_the_file_takes_no_commitment() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("l"));
    round.up_to("held");
    let offers = world.bytes("l.offers.jsonl");
    let mut forged: Value = serde_json::from_slice(&offers).unwrap();
    forged["attempt"] = json!(7);
    let forged = l402::artifact::canonical::json(&forged) + "\n";
    world.write("l.offers.jsonl", &[&offers[..], forged.as_bytes()].concat());
    round.ok("commit");
    let id = &round.records("held.jsonl", "held")[0]["task"]["offer"];
    assert_eq!(&round.records("commitments.jsonl", "commitment")[0]["offer"], id);
    world.write("l.offers.jsonl", forged.as_bytes());
    world.expect(&format!("{} --force", round.args("commit")), 66, "no offer to ann, accepted");
}

#[test]
fn what_is_not_held_yet_leaves_no_empty_file_and_an_endless_wait_no_panic() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("i"));
    round.up_to("issue");
    let held = round.args("held").replace(" --wait=20", "");
    world.expect(&held, 75, "not paid yet");
    assert!(!world.has("i.held.jsonl"));
    world.expect(&format!("{held} --wait={}", u64::MAX), 2, "--wait");
    round.ok("lock");
    round.ok("held");
}

#[test]
fn a_lock_that_came_too_late_is_not_called_a_lock() {
    let bank = Bank::open();
    let (world, mut round) = (&bank.table.world, bank.round("v"));
    world.ok(&format!("{} --heights +3,+4,+5,+6", round.args("offer")));
    round.ok("issue");
    // The node never hears of the payments.
    let proxy = Proxy::new(bank.pair.payer.0.clone(), Fault::unknown(&["xpay"]));
    round.payer = Socket(proxy.path());
    round.expect("lock", 1, "xpay");
    round.payer = bank.pair.payer.clone();
    bank.devnet.mine(4);
    world.run(&format!("invoice status --escrow v.judge {}", round.payer.arg()));
    round.expect("lock", 1, "not paid by height");
}

/// Core Lightning before 25.12 answers so too when heights differ by a block.
#[test]
fn a_refusal_by_the_payee_may_pass_and_the_same_command_again_locks() {
    let bank = Bank::open();
    let (world, mut round) = (&bank.table.world, bank.round("e"));
    let before = bank.balances();
    round.up_to("issue");
    let proxy = Proxy::new(bank.pair.payer.0.clone(), Fault::refused("xpay", 203, 4));
    round.payer = Socket(proxy.path());
    let output = round.expect("lock", 75, "code 203");
    assert!(talk(&output).contains("height"), "{}", talk(&output));
    let journal = String::from_utf8(world.bytes(&bank.journal("e.judge"))).unwrap();
    assert!(journal.contains("locking") && !journal.contains("cancelled"), "{journal}");
    // From the fifth call on the node hears of it.
    ["lock", "held", "commit", "close", "open", "settle", "claim"].iter().for_each(|step| drop(round.ok(step)));
    assert_eq!(bank.balances(), (before.0 - round.paid(), before.1 + round.paid()));
}

#[test]
fn a_refusal_by_the_payee_is_final_once_nothing_can_be_locked_any_more() {
    let bank = Bank::open();
    let (world, mut round) = (&bank.table.world, bank.round("o"));
    let before = bank.balances();
    world.ok(&format!("{} --heights +3,+150,+200,+300", round.args("offer")));
    round.ok("issue");
    let proxy = Proxy::new(bank.pair.payer.0.clone(), Fault::refused("xpay", 203, usize::MAX));
    round.payer = Socket(proxy.path());
    (0..2).for_each(|_| drop(round.expect("lock", 75, "code 203")));
    bank.devnet.mine(3);
    round.expect("lock", 1, "below");
    let status = format!("invoice status --round 0 --json --escrow o.judge {}", bank.pair.payer.arg());
    let states = records(world.text(&status).as_bytes(), "rung");
    assert!(states.len() == 4 && states.iter().all(|r| r["state"] == "expired"), "{states:?}");
    round.expect("lock", 1, "");
    assert_eq!(bank.balances(), before);
}

#[test]
fn a_worker_whose_channel_has_no_room_holds_up_nobody_and_is_locked_once_there_is() {
    let (crowd, _) = Crowd::gather(2);
    let (world, second) = (&crowd.world, &crowd.workers[1].1);
    crowd.offer();
    crowd.issue();
    // Another payment waits at the second worker's node: of four slots three are free.
    let hash = "11".repeat(32);
    let other = second.ask("holdinvoice", json!({"payment_hash": hash, "amount": 5_000_000}));
    let (payer, bolt11) = (crowd.judge.0.clone(), other["bolt11"].clone());
    let paying = std::thread::spawn(move || call(&payer, "xpay", json!({"invstring": bolt11})));
    while second.ask("listholdinvoices", json!({"payment_hash": hash}))["holdinvoices"][0]["state"] != "accepted" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let lock = format!("{} --max-htlcs 4 --json", crowd.lock_args());
    let output = world.expect(&lock, 75, "no HTLC slot is free");
    let said = talk(&output);
    assert!(said.lines().any(|l| l.contains("not locked") && l.contains("w001")), "{said}");
    assert!(said.lines().any(|l| l.contains("w000") && l.contains("locking")), "{said}");
    let states = |stdout: &[u8]| -> Vec<(String, String)> {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let mut found: Vec<_> =
            records(stdout, "rung").iter().map(|r| (text(&r["worker"]), text(&r["state"]))).collect();
        found.sort();
        found
    };
    let expected = |second: &str| {
        let of = |worker: &str, state: &str| vec![(worker.to_owned(), state.to_owned()); 4];
        [of("w000", "locking"), of("w001", second)].concat()
    };
    assert_eq!(states(&output.stdout), expected("offered"));
    // The same again changes nothing, and nothing is paid twice.
    assert_eq!(states(&world.expect(&lock, 75, "w001").stdout), expected("offered"));
    second.ask("cancelholdinvoice", json!({"payment_hash": hash}));
    assert!(paying.join().unwrap().is_err());
    assert_eq!(states(&world.ok(&lock).stdout), expected("locking"));
    crowd.held();
}

#[test]
fn scores_with_lines_missing_are_refused() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("t"));
    round.up_to("open");
    let scores = String::from_utf8(world.bytes("0.scores.jsonl")).unwrap();
    for (kept, says) in [("\"type\":\"score\"", "one round_score"), ("\"type\":\"round_score\"", "add up")] {
        let part: String = scores.lines().filter(|l| l.contains(kept)).map(|l| format!("{l}\n")).collect();
        world.write("0.scores.jsonl", part.as_bytes());
        round.expect("settle", 65, says);
    }
}

#[test]
fn what_has_no_room_is_refused_before_anything_is_paid() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("r"));
    let before = bank.balances();
    round.up_to("issue");
    let lock = round.args("lock");
    let budget = format!("--budget-msat {}", 3 * ROUND_MSAT);
    world.expect(&lock.replace(&budget, &format!("--budget-msat {}", 2 * ROUND_MSAT)), 1, "bound in the round");
    world.expect(&format!("{lock} --max-htlcs 3"), 1, "slot");
    world.expect(&format!("{lock} --max-delay 300"), 65, "locked for at most 300");
    let pays = bank.pair.payer.ask("listpays", json!({}));
    assert!(pays["pays"].as_array().unwrap().is_empty());
    assert_eq!(bank.balances(), before);
    // Dust: the same in rungs of a satoshi or so.
    let dusty = bank.round("dust");
    world.ok(&format!("{} --max-msat 3000000", dusty.args("offer")));
    dusty.ok("issue");
    world.expect(&format!("{} --max-dust-msat 2500000", dusty.args("lock")), 1, "dust");
    dusty.ok("lock");
}

#[test]
fn what_others_write_beside_a_workers_invoices_holds_up_nobody() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("v"));
    round.up_to("issue");
    let good = String::from_utf8(world.bytes("v.invoices.jsonl")).unwrap();
    let mut forged: Value = serde_json::from_str(&good).unwrap();
    forged["invoices"].as_array_mut().unwrap().swap(0, 1);
    let forged = l402::artifact::canonical::json(&forged);
    let mut stranger: Value = serde_json::from_str(&good).unwrap();
    stranger["task"]["offer"] = json!("00".repeat(32));
    let stranger = l402::artifact::canonical::json(&stranger);
    let all = format!("{{rubbish\n{forged}\n{stranger}\n{good}{good}{forged}\n");
    world.write("v.invoices.jsonl", all.as_bytes());
    let output = round.expect("lock", 1, "sig");
    assert!(talk(&output).contains("left out") && talk(&output).contains("expected one of"), "{}", talk(&output));
    round.ok("held");
}

#[test]
fn a_dry_run_asks_for_nothing_and_writes_nothing() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("y"));
    let before = bank.balances();
    let unsigned = |step: &str| {
        let text = world.text(&format!("{} --dry-run", round.args(step)));
        assert!(!text.is_empty() && !text.contains("\"sig\""), "{step}: {text}");
    };
    unsigned("offer");
    assert!(!world.has("y.judge") && !world.has("y.offers.jsonl"));
    let methods = |step: &str| {
        let text = world.text(&format!("{} --dry-run", round.args(step)));
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|l| l["method"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    round.ok("offer");
    assert_eq!(methods("issue"), ["injectholdinvoice"; 4]);
    assert!(!world.has("y.worker"));
    round.ok("issue");
    let journal = world.bytes(&bank.journal("y.judge"));
    assert_eq!(methods("lock"), ["xpay"; 4]);
    assert_eq!(world.bytes(&bank.journal("y.judge")), journal);
    assert_eq!(bank.balances(), before);
    ["lock", "held", "commit"].iter().for_each(|step| drop(round.ok(step)));
    unsigned("close");
    ["close", "open"].iter().for_each(|step| drop(round.ok(step)));
    // What is signed is said for ever, and what a dry run prints was never said.
    unsigned("settle");
    assert!(!world.has("y.secret"));
    round.ok("settle");
    let asked = methods("claim");
    assert!(asked.contains(&"settleholdinvoice".to_owned()) && asked.contains(&"cancelholdinvoice".to_owned()));
    assert_eq!(bank.pair.payee.balance().1, 4);
    round.ok("claim");
    assert_eq!(bank.balances(), (before.0 - round.paid(), before.1 + round.paid()));
}

#[test]
fn a_node_without_the_plugin_is_said_to_lack_it() {
    let bank = Bank::open();
    let mut round = bank.round("p");
    round.ok("offer");
    let proxy = Proxy::new(bank.pair.payee.0.clone(), Fault::unknown(&["holdinvoice", "holdinvoices"]));
    round.payee = Socket(proxy.path());
    let output = round.expect("issue", 69, "no hold invoices");
    assert!(talk(&output).contains("BoltzExchange/hold"), "{}", talk(&output));
}

#[test]
fn one_process_at_a_time_keeps_the_books() {
    let bank = Bank::open();
    let round = bank.round("b");
    round.ok("offer");
    let folder = File::open(bank.table.world.path("b.judge")).unwrap();
    folder.lock().unwrap();
    round.expect("offer", 75, "another process");
    drop(folder);
    round.ok("offer");
}

#[test]
fn a_node_that_is_down_is_a_69_and_its_money_is_still_there_when_it_is_back() {
    let bank = Bank::open();
    let round = bank.round("w");
    let before = bank.balances();
    round.up_to("held");
    bank.devnet.kill(2);
    round.expect("claim", 66, "");
    round.expect("commit", 69, "no node there");
    bank.devnet.kill(1);
    round.expect("lock", 69, "no node there");
    bank.devnet.again();
    ["commit", "close", "open", "settle", "claim"].iter().for_each(|step| drop(round.ok(step)));
    assert_eq!(bank.balances(), (before.0 - round.paid(), before.1 + round.paid()));
}

#[test]
fn paid_by_the_plugins_word_alone_is_no_money_and_the_recovery_brings_it() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("x"));
    let before = bank.balances();
    round.up_to("settle");
    // The plugin writes its row, and the node dies before it has the preimage.
    fs::write(bank.devnet.node(2).join("crash"), "after-paid-row\n").unwrap();
    round.expect("claim", 69, "settleholdinvoice");
    bank.devnet.again();
    let danger = world.run(&round.args("claim").replace("--wait=4", "--wait=3"));
    assert_eq!(danger.status.code(), Some(1), "{}", talk(&danger));
    assert!(talk(&danger).contains("MONEY IN DANGER") && talk(&danger).contains("accepted"), "{}", talk(&danger));
    bank.devnet.kill(2);
    let rung = round.records("verdicts.jsonl", "verdict")[0]["rungs"][0].as_u64().unwrap() as usize;
    let hash = round.records("offers.jsonl", "offer")[0]["hashes"][rung].as_str().unwrap().to_owned();
    let row = bank.devnet.node(2).join(format!("hold/{hash}.json"));
    fs::write(&row, fs::read_to_string(&row).unwrap().replace("\"paid\"", "\"accepted\"")).unwrap();
    bank.devnet.again();
    round.ok("claim");
    assert_eq!(bank.balances(), (before.0 - round.paid(), before.1 + round.paid()));
}

#[test]
fn money_that_the_plugin_lost_is_never_said_to_be_claimed() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("z"));
    round.up_to("settle");
    fs::write(bank.devnet.node(2).join("crash"), "after-paid-row\n").unwrap();
    round.expect("claim", 69, "settleholdinvoice");
    bank.devnet.again();
    // Nobody acts in time: the payment goes back.
    let lost = world.run(&round.args("claim").replace("--wait=4", "--wait=25"));
    assert_eq!(lost.status.code(), Some(1), "{}", talk(&lost));
    assert!(talk(&lost).contains("MONEY IN DANGER") && talk(&lost).contains("MONEY MISSING"), "{}", talk(&lost));
    assert!(!world.has("z.claimed.jsonl"));
}

#[test]
fn over_a_router_and_an_unannounced_channel_the_payer_bears_the_fees_and_nobody_learns_a_preimage() {
    let devnet = Devnet::up(3, "--channel n1-n2 --channel n2-n3,unannounced");
    let pair = devnet.pair(1, 3);
    let table = Table::new(&pair);
    let world = &table.world;
    let round = table.round(&pair, "m");
    let balances = || (1..=3).map(|n| devnet.socket(n).quiet()).collect::<Vec<_>>();
    let before = balances();
    round.up_to("settle");
    // What is public between verdict and claim holds nothing that a router could claim with.
    let reveal = String::from_utf8(world.bytes("m.secret/ann.0.0.reveal")).unwrap();
    let preimages = records(reveal.as_bytes(), "preimages")[0]["preimages"].as_array().unwrap().clone();
    assert!(!preimages.is_empty());
    for file in world.listing(".").iter().filter(|f| f.ends_with(".jsonl")) {
        let text = String::from_utf8(world.bytes(file)).unwrap();
        for preimage in &preimages {
            assert!(!text.contains(preimage["preimage"].as_str().unwrap()), "{file}");
        }
    }
    round.ok("claim");
    let after = balances();
    let fees = after[1] - before[1];
    assert!(fees > 0);
    assert_eq!(after[2], before[2] + round.paid());
    assert_eq!(after[0], before[0] - round.paid() - fees);
    // The payer's books have the fees to the msat.
    let status = world.text(&format!("invoice status --round 0 --json --escrow m.judge {}", pair.payer.arg()));
    let claimed = records(status.as_bytes(), "rung").into_iter().filter(|r| r["state"] == "claimed");
    let sent: u64 = claimed.map(|r| r["sent_msat"].as_u64().unwrap()).sum();
    assert_eq!(sent, round.paid() + fees);
}

#[test]
fn a_payer_apart_from_the_judge_locks_what_it_cannot_open_and_gets_back_what_was_not_earned() {
    let devnet = Devnet::up(3, "");
    let pair = Pair { judge: Some(devnet.socket(3)), ..devnet.pair(1, 2) };
    let table = Table::new(&pair);
    let (world, round) = (&table.world, table.round(&pair, "a"));
    let before = (pair.payer.quiet(), pair.payee.quiet());
    STEPS.iter().for_each(|step| drop(round.ok(step)));
    let offer = &round.records("offers.jsonl", "offer")[0];
    assert_eq!((&offer["self_judged"], &offer["payer"]), (&json!(false), &json!(pair.payer.id())));
    let after = (before.0 - round.paid(), before.1 + round.paid());
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), after);
    // The payer sees what became of each rung, and does not lock again what came back.
    let status = format!("invoice status --round 0 --json --escrow a.payer {}", pair.payer.arg());
    let states = records(world.text(&status).as_bytes(), "rung");
    let of = |state: &str| -> u64 {
        states.iter().filter(|r| r["state"] == state).map(|r| r["msat"].as_u64().unwrap()).sum()
    };
    assert_eq!((of("claimed"), of("claimed") + of("cancelled")), (round.paid(), 2 * ROUND_MSAT));
    round.ok("lock");
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), after);
    // Where nothing is earned nothing is claimed: the worker's held record tells the payer that it was held.
    let idle = table.round(&pair, "i");
    idle.up_to("held");
    let held = format!("invoice status --held i.held.jsonl --json --escrow i.payer {}", pair.payer.arg());
    assert!(records(world.text(&held).as_bytes(), "rung").iter().all(|r| r["state"] == "held"));
    world.write("i.commitments.jsonl", b"");
    world.write("i.openings.jsonl", b"");
    world.ok(&format!("{} --now", idle.args("close")));
    ["settle", "claim"].iter().for_each(|step| drop(idle.ok(step)));
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), after);
    world.expect(&held.replace("--held i.held.jsonl", "--round 0"), 0, "");
    idle.ok("lock");
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), after);
}

#[test]
fn secrets_stand_in_files_for_their_owner_and_nowhere_else() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("q"));
    let mut said = String::new();
    for step in STEPS {
        let output = world.ok(&format!("{} -vv", round.args(step)));
        said += &(talk(&output) + &String::from_utf8_lossy(&output.stdout) + &round.args(step));
    }
    // Errors talk too.
    for (folder, step) in [("q.judge", "settle"), ("q.worker", "claim")] {
        let secret = world.bytes(&format!("{folder}/secret"));
        world.write(&format!("{folder}/secret"), &secret[..40]);
        said += &talk(&round.expect(step, 65, "escrow secret"));
        world.write(&format!("{folder}/secret"), &secret);
    }
    let reveal = world.bytes("q.secret/ann.0.0.reveal");
    let preimages = records(&reveal, "preimages")[0]["preimages"].as_array().unwrap().clone();
    let mut secrets: Vec<String> = preimages.iter().map(|p| p["preimage"].as_str().unwrap().to_owned()).collect();
    for folder in ["q.judge", "q.worker"] {
        secrets.push(String::from_utf8(world.bytes(&format!("{folder}/secret"))).unwrap().trim().to_owned());
    }
    world.write("torn", &reveal[..reveal.len() - 30]);
    fs::set_permissions(world.path("torn"), fs::Permissions::from_mode(0o600)).unwrap();
    said += &talk(&world.expect(&round.args("claim").replace("q.secret/ann.0.0.reveal", "torn"), 65, "torn"));
    for secret in &secrets {
        for part in [&secret[..], &secret[..32], &secret[32..]] {
            assert!(!said.contains(part), "something says a secret");
        }
    }
    for file in world.listing(".").iter().filter(|f| f.ends_with(".jsonl")) {
        let text = String::from_utf8_lossy(&world.bytes(file)).into_owned();
        assert!(secrets.iter().all(|s| !text.contains(s.as_str())), "{file}");
    }
    for folder in ["q.judge", "q.worker", "q.secret"] {
        let mode = fs::metadata(world.path(folder)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{folder}");
        for name in world.listing(folder) {
            let path = world.path(&format!("{folder}/{name}"));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }
    // A file of preimages that others may read is refused, as it is nobody's secret any more.
    fs::set_permissions(world.path("q.secret/ann.0.0.reveal"), fs::Permissions::from_mode(0o644)).unwrap();
    round.expect("claim", 65, "mode 644");
}

#[test]
fn no_work_begins_before_its_pay_is_held() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("g"));
    round.up_to("lock");
    let judge = &world.coordinator;
    let train = format!("{} --held g.held.jsonl --offers g.offers.jsonl --judge {judge}", world.train(0, "ann"));
    world.expect(&train, 66, "g.held.jsonl");
    round.ok("held");
    world.ok(&train);
    let held = world.bytes("g.held.jsonl");
    world.write("g.held.jsonl", b"");
    world.expect(&train, 1, "expected a held record");
    // A held record of another offer, and an offer by another judge.
    world.write("g.held.jsonl", &held);
    let other = bank.round("e");
    other.ok("offer");
    world.expect(&train.replace("g.offers", "e.offers"), 1, "expected a held record");
    let worker = bank.pair.payee.id();
    world.expect(&train.replace(&format!("--judge {judge}"), &format!("--judge {worker}")), 1, "judge");
}

#[test]
fn the_payees_answer_alone_settles_nothing_for_a_stranger() {
    let bank = Bank::open();
    let (world, round) = (&bank.table.world, bank.round("u"));
    round.up_to("settle");
    // Another worker's folder has not issued these invoices.
    world.expect(&round.args("claim").replace("u.worker", "u.judge"), 1, "no invoices were issued");
    let stranger = round.args("claim").replace("--escrow u.worker", "--escrow stranger");
    world.expect(&stranger, 66, "stranger");
    // A verdict that somebody altered is not the judge's.
    let reveal = String::from_utf8(world.bytes("u.secret/ann.0.0.reveal")).unwrap();
    let mut lines: Vec<Value> = reveal.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    lines[0]["height"] = json!(1);
    let forged: String = lines.iter().map(|l| l402::artifact::canonical::json(l) + "\n").collect();
    world.write("forged", forged.as_bytes());
    fs::set_permissions(world.path("forged"), fs::Permissions::from_mode(0o600)).unwrap();
    world.expect(&round.args("claim").replace("u.secret/ann.0.0.reveal", "forged"), 1, "sig");
    assert_eq!(bank.pair.payee.balance().1, 4);
    assert!(call(&bank.pair.payee.0, "nonsense", json!({})).is_err());
    round.ok("claim");
}
