//! `l402 audit`: everything in a run folder again, from theta_0.

pub(super) mod walk;
mod work;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use lightning::bitcoin::secp256k1::PublicKey;

use super::checks::{CheckArgs, Checks, Outcome};
use super::common::CoordinatorArg;
use super::device::DeviceArgs;
use super::headers::ChainArgs;
use super::invoice::node_id;
use crate::artifact::record;
use crate::artifact::{Digest, key};
use crate::audit::{
    Audit, Blocks, Chain, Depth, Evidence, Pins, Start, Stop, Summary, Totals, audit_round, check_keys, check_start,
    foreign, most_bytes, rounds, weights_digest,
};
use crate::command::args::OutputArgs;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::pay::NodeId;
use crate::report;
use crate::ui::Ui;
use work::Work;

/// Recompute a run folder from theta_0, and name the first artifact that differs.
///
/// Round by round: shards against their list, theta_0 against recipe and seed, assignments drawn again, signatures,
/// commitments, which updates count, scores and entitlements, verdicts, the next model, to the byte. Recorded findings are
/// taken as they are, unless --replay does the training again. docs/run.md has the layout and the rules.
///
/// Exit status 0: everything is equal; 1: an artifact differs, and is named; 66: one is missing. A worker that lied and was
/// found out does not make a run dishonest. A signed record that the recomputed one contradicts is printed as evidence,
/// with --json or -o.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run folder [default: as of --run]
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// The judge's node id, where that is not the coordinator
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    judge: Option<NodeId>,
    /// Do the training again: of every update, from states that the audit carries itself; or of K updates a round, drawn
    /// by its second beacon
    #[arg(long, value_name = "all|K", value_parser = depth)]
    replay: Option<Depth>,
    /// A folder of one's own, outside of RUN, that remembers which rounds are verified and keeps the states: an audit that
    /// was stopped goes on from there
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Memory for activations, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, help_heading = "Memory")]
    activation_memory: u64,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print what was found as JSON Lines: `audit`, or `evidence` and `difference`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    checks: CheckArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn depth(text: &str) -> std::result::Result<Depth, String> {
    match (text, text.parse::<u64>()) {
        ("all", _) => Ok(Depth::All),
        (_, Ok(count)) if count > 0 => Ok(Depth::Sample(count)),
        _ => Err("expected all, or a number of updates a round".into()),
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let device = args.device.open(ui)?;
    let target = args.output.target();
    target.check(false)?;
    let speaks = args.json || args.output.output.is_some();
    let mut checks = Checks::begin("audit", args.run.display().to_string());
    let mut proofs = Vec::new();
    let found = audit(args, &device, &mut checks, &mut proofs, ui);
    match &found {
        Ok(_) => checks.add("all of it", Outcome::Passed),
        Err(Stop::Differs(difference, _)) => checks.add("first difference", Outcome::Failed(difference.to_string())),
        Err(Stop::Failed(error)) => checks.add("what stopped it", Outcome::Broken(error.to_string())),
    };
    args.checks.tell(&checks, ui)?;
    let (summary, evidence, last) = match found {
        Ok(summary) => (Ok(summary.clone()), proofs, record::line(&summary)?),
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Differs(difference, evidence)) => {
            proofs.extend(evidence);
            let refused = Error::refused(format!("{}/{difference}", args.run.display()));
            (Err(refused), proofs, record::line(&difference)?)
        }
    };
    for found in &evidence {
        ui.say(format!("evidence against who signed {}: {}", found.artifact, found.rule));
    }
    if speaks {
        let lines: Result<String> = evidence.iter().map(record::line).collect();
        target.write_text(&(lines? + &last))?;
    } else if !evidence.is_empty() {
        ui.say("--json prints the evidence: the signed records beside what they contradict");
    }
    let Summary { run, rounds, totals, .. } = summary?;
    say_equal(args, &run, rounds, &totals, ui);
    Ok(())
}

/// Says that everything is equal, and what that rests on.
fn say_equal(args: &Args, run: &Digest, rounds: u64, totals: &Totals, ui: &Ui) {
    if totals.without_findings > 0 {
        let replayed = if args.replay == Some(Depth::All) { ", but this audit" } else { "" };
        let (without, all) = (totals.without_findings, rounds);
        ui.say(format!("nobody replayed the updates of {without} of {all} rounds{replayed}: no findings.jsonl"));
    }
    if totals.without_commitments > 0 {
        let (without, all) = (totals.without_commitments, rounds);
        ui.say(format!(
            "no commitments: in {without} of {all} rounds updates may have been made after others were shown"
        ));
    }
    if totals.without_arrivals > 0 {
        let (without, all) = (totals.without_arrivals, rounds);
        ui.say(format!("no arrivals: in {without} of {all} rounds the order of commitments is signed by nobody"));
    }
    if totals.free_beacons > 0 {
        let (free, all) = (totals.free_beacons, rounds);
        ui.say(format!(
            "beacons taken on trust: in {free} of {all} rounds nothing says that the coordinator did not choose what it drew"
        ));
    }
    if totals.unsigned_findings > 0 {
        let (unsigned, all) = (totals.unsigned_findings, rounds);
        ui.say(format!(
            "no validator has signed the findings of {unsigned} of {all} rounds: whoever wrote them down is believed{}",
            if args.replay == Some(Depth::All) { ", but this audit has replayed them" } else { "" }
        ));
    }
    ui.say(format!(
            "equal: run {}: {rounds} rounds, {} updates, {} of them count, {} msat entitled, {} msat paid, {} steps replayed",
            run.short(),
            totals.updates,
            totals.counting,
            totals.entitled_msat,
            totals.paid_msat,
            totals.steps
        ));
}

fn audit(
    args: &Args,
    device: &Device,
    checks: &mut Checks,
    proofs: &mut Vec<Evidence>,
    ui: &Ui,
) -> std::result::Result<Summary, Stop> {
    let (run, links) = walk::list(&args.run)?;
    let pins = Pins { coordinator: args.coordinator.coordinator, judge: args.judge };
    let work = Work::open(args.work.as_deref(), &args.run)?;
    let begun = work.base(&run)?;
    let (mut start, first) = check_start(&run, pins)?;
    let run = run.of_workers(start.roster.members().len());
    let most = most_bytes(&run, &start, &first.layout);
    drop(first);
    let (rounds, unfinished) = rounds(&run);
    if rounds == 0 {
        check_keys(&run, &start.roster)?;
    }
    if unfinished {
        ui.say(format!("round-{rounds}: not finished: left out"));
    }
    let others = foreign(&run, &start, rounds + u64::from(unfinished));
    name_foreign(&others, &links, ui);
    // Neither read nor remembered.
    let run = run.without(&others);
    pin(&mut start, &run.path("round-0/assignments.jsonl"), ui);
    report::edited(&run, &start.id).iter().for_each(|error| ui.warn(error));

    let depth = args.replay.unwrap_or(Depth::Recorded);
    let known_blocks = args.chain.named().then(|| args.chain.open()).transpose()?.map(RefCell::new);
    let block = known_blocks.as_ref().map(|chain| |height: u32| chain.borrow_mut().header(height));
    let blocks = block.as_ref().map(|block| block as &Blocks<'_>);
    if start.recipe.verify.beacons_are_bound() && blocks.is_none() {
        ui.say("beacons are of blocks that carry the work that they state; whether a chain has them --headers or --rpc-file tells");
    }
    let options = options(depth, blocks.is_some(), &start);
    let (mut from, mut totals, mut chain, mut model) = (0, Totals::default(), Chain::new(), None);
    let mut link = Digest::of_parts("l402/audit/1", &[options.as_bytes(), &begun.0]);
    if let Some(known) = work.resume(&run, link, rounds, depth == Depth::All, most)? {
        (from, totals, chain, link) = (known.rounds, known.totals, known.chain, known.link);
        proofs.extend(known.evidence);
        ui.say(format!("rounds 0 to {} are verified, and their files unchanged", from - 1));
        for round in 0..from {
            checks.add(format!("round {round}"), Outcome::Passed);
        }
        model = Some(weights_digest(&run, &start.recipe, from)?);
    }
    for round in from..rounds {
        let files = work.round_files(&run, round, most)?;
        let bar = ui.progress("replay", u64::from(start.recipe.inner.steps) * start.roster.members().len() as u64);
        let proved = RefCell::new(Vec::new());
        let audit = Audit {
            run: &run,
            start: &start,
            depth,
            room: &work,
            activations: args.activation_memory << 20,
            device,
            blocks,
            step: &|worker, step| bar.tick(format!("round {round} {worker} step {step}")),
            say: &|text| ui.say(text),
            prove: &|evidence| proved.borrow_mut().push(evidence),
        };
        let done = audit_round(&audit, round, &mut chain);
        let proved = proved.take();
        proofs.extend(proved.iter().cloned());
        let (found, next) = done?;
        drop(bar);
        totals.add(&found);
        model = Some(next);
        checks.add(format!("round {round}"), Outcome::Passed);
        link = work.record(round, link, files, &chain, &totals, proved)?;
        ui.detail(format!("round {round}: equal: {} updates, {} count", found.updates, found.counting));
    }
    let coordinator = start.coordinator.map(|key| key.to_string());
    let replay = match depth {
        Depth::Recorded => None,
        Depth::Sample(count) => Some(count.to_string()),
        Depth::All => Some("all".into()),
    };
    Ok(Summary { run: start.id, rounds, totals, model, replay, coordinator })
}

/// Everything but the files that decides what an audit looks at.
fn options(depth: Depth, blocks: bool, start: &Start) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let blocks = if blocks { " blocks" } else { "" };
    format!("{version} {depth:?}{blocks} {:?} {:?}", start.coordinator, start.judge)
}

/// Nobody's key is pinned: then all must at least be signed by the one that signed the first assignments.
fn pin(start: &mut Start, assignments: &Path, ui: &Ui) {
    if start.pinned {
        return;
    }
    let named = start.coordinator.is_some();
    if !named {
        let signed = |line: &record::Line| line.get::<crate::data::Assignment>().ok().flatten()?.coordinator;
        let lines = record::read_lines(assignments).unwrap_or_default();
        start.coordinator = lines.iter().find_map(signed).and_then(|text| parse(&text));
    }
    start.judge = start.judge.or(start.coordinator.map(NodeId));
    match start.coordinator {
        Some(key) => {
            let whence =
                if named { "coordinator.pub in the folder says" } else { "the first assignments are signed by" };
            ui.say(format!(
                "anybody may have made this: no key is pinned, and {whence} {key}; --coordinator KEY pins the one that you know from \
                 elsewhere"
            ))
        }
        None => {
            ui.say("anybody may have made this: the assignments are not signed, so no --coordinator KEY can be pinned")
        }
    }
}

fn parse(text: &str) -> Option<PublicKey> {
    key::parse_public(text).ok()
}

/// What is no part of a run folder is named, and does not matter.
fn name_foreign(names: &[&str], links: &[String], ui: &Ui) {
    let all: Vec<&str> = names.iter().copied().chain(links.iter().map(String::as_str)).collect();
    if all.is_empty() {
        return;
    }
    let shown = all.iter().take(16).copied().collect::<Vec<_>>().join(", ");
    let more = if all.len() > 16 { format!(" and {} more", all.len() - 16) } else { String::new() };
    ui.say(format!("not part of a run folder, and not looked at: {shown}{more}"));
}
