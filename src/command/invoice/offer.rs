//! `l402 invoice offer`: what the judge promises, with the hashes that only its secret opens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::common::{CoordinatorArg, RoundArgs, open, read_assignments};
use super::super::escrow::{Escrow, EscrowArgs};
use super::pins::{WorkerPins, node_id};
use crate::artifact::{Digest, Reader, record};
use crate::codec::Feedback;
use crate::command::args::OutputArgs;
use crate::data::Assignment;
use crate::error::{Context, Error, Result};
use crate::fsio::{Outcome, Target};
use crate::model::Layout;
use crate::pay::{Entry, Heights, Ladder, MAX_DELAY, MAX_RUNGS, Msat, NodeId, Offer};
use crate::ui::Ui;

/// Offer workers their tasks' pay: amounts, payment hashes, and the heights by which each step must be done.
///
/// One signed `offer` record a worker. Hashes are offered once, ever: the same command gives the same offers again, and
/// a redo of a round is `--attempt`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    run: RoundArgs,
    /// The round
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 53))]
    round: u64,
    /// The round's assignments
    #[arg(long, value_name = "FILE")]
    assignments: PathBuf,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// The judge's node id: this node's own
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    judge: NodeId,
    /// The payer's node id; the judge's own where nobody else pays
    #[arg(long, value_name = "NODE", value_parser = node_id)]
    payer: NodeId,
    #[command(flatten)]
    workers: WorkerPins,
    /// The error feedback that a worker goes on from: its file, or its digest [default: zero]
    #[arg(long, value_name = "ID=FILE|HEX")]
    state_in: Vec<String>,
    /// The most that a task may pay [default: twice an even part of the recipe's pay.round_msat]
    #[arg(long, value_name = "MSAT")]
    max_msat: Option<u64>,
    /// Payments that the most is split into
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RUNGS)))]
    rungs: u32,
    /// Heights to lock, commit, reveal and claim by; +N counts from the chain's height
    #[arg(long, value_name = "L,C,R,C", default_value = "+18,+162,+234,+378", value_parser = parse_heights)]
    heights: HeightsArg,
    /// The most blocks that a payment may be locked for
    #[arg(long, value_name = "BLOCKS", default_value_t = 1008, value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_DELAY)))]
    max_delay: u32,
    /// Which try at the round this is
    #[arg(long, value_name = "N", default_value_t = 0)]
    attempt: u32,
    #[command(flatten)]
    escrow: EscrowArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Four heights, each of them maybe relative.
#[derive(Clone, Debug)]
struct HeightsArg([(bool, u32); 4]);

fn parse_heights(text: &str) -> std::result::Result<HeightsArg, String> {
    let one = |part: &str| {
        let (relative, digits) = part.strip_prefix('+').map_or((false, part), |rest| (true, rest));
        digits.parse::<u32>().ok().filter(|n| *n < 1 << 30).map(|n| (relative, n))
    };
    let parts: Option<Vec<_>> = text.split(',').map(one).collect();
    let four = parts.and_then(|parts| parts.try_into().ok());
    four.map(HeightsArg).ok_or_else(|| "expected four heights as 800018,800162,800234,800378 or +18,+162,...".into())
}

impl HeightsArg {
    fn at(&self, height: u32) -> Heights {
        let [lock_by, commit_by, reveal_by, claim_by] =
            self.0.map(|(relative, n)| if relative { height.saturating_add(n) } else { n });
        Heights { offered_at: height, lock_by, commit_by, reveal_by, claim_by }
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let (recipe, folder, round) = args.run.load(Some(args.round))?;
    let assignments = read_assignments(&args.assignments, &recipe, &args.coordinator, ui)?;
    let of_round = assignments.iter().filter(|a| a.round == round).count() as u64;
    let pins = args.workers.read()?;
    let states = parse_states(&args.state_in, &folder.layout)?;
    let most = Msat(args.max_msat.unwrap_or(2 * recipe.pay.round_msat / of_round.max(1)).min(Msat::MAX.0));
    let ladder = Ladder::new(most, args.rungs).at("--max-msat")?;
    let mut escrow = args.escrow.open(true, ui)?;
    let info = escrow.node.info().clone();
    if args.judge != info.id {
        return Err(Error::refused(format!("--judge: expected this node, {}, found {}", info.id, args.judge)));
    }
    let heights = args.heights.at(info.height);
    heights.check(args.max_delay)?;

    let mut offers = Vec::new();
    for (worker, payee) in &pins {
        let assignment = Assignment::find(&assignments, round, worker).at(args.assignments.display())?;
        if let Some(key) = assignment.worker_key()?
            && key != payee.0
        {
            return Err(Error::refused(format!("worker {worker}: expected node {key}, as assigned, found {payee}")));
        }
        let terms = Offer {
            network: info.network.clone(),
            instance: escrow.instance,
            run: recipe.digest(),
            round,
            worker: worker.clone(),
            attempt: args.attempt,
            payee: *payee,
            payer: args.payer,
            judge: args.judge,
            self_judged: args.judge == args.payer,
            assignment: assignment.digest()?,
            theta: folder.digest,
            state_in: states.get(worker).map_or("zero".to_owned(), Digest::to_string),
            rungs_msat: ladder.rungs().to_vec(),
            hashes: Vec::new(),
            heights,
            sig: None,
        };
        offers.push(make(&mut escrow, terms, args.escrow.dry_run)?);
    }
    let entries = offers.iter().map(|offer| Entry::Offered { offer: Box::new(offer.clone()) });
    let new: Vec<Entry> = entries.filter(|e| is_new(&escrow, e)).collect();
    escrow.record(new)?;
    if args.escrow.dry_run {
        ui.say("dry run: nothing was written; the hashes would be others");
    }
    let lines: Vec<String> = offers.iter().map(record::line).collect::<Result<_>>()?;
    if args.escrow.dry_run {
        return Target::stdout().write_text(&lines.concat()).map(drop);
    }
    if target.write_text(&lines.concat())? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    Ok(())
}

fn is_new(escrow: &Escrow, entry: &Entry) -> bool {
    matches!(entry, Entry::Offered { offer } if escrow.ledger.offered(offer).is_none())
}

/// The offer for these terms: the one in the books, or a new one. A dry run signs none: it would be in no books.
fn make(escrow: &mut Escrow, terms: Offer, dry_run: bool) -> Result<Offer> {
    if let Some(account) = escrow.ledger.offered(&terms) {
        if account.offer.same_terms(&terms) {
            return Ok(account.offer.clone());
        }
        return Err(Error::refused(format!("{}: it was offered already, on other terms", terms.name()))
            .hint(format!("a redo of the round is --attempt {}", terms.attempt + 1)));
    }
    let mut offer = terms.with_hashes(&escrow.secret)?;
    offer.check()?;
    if !dry_run {
        escrow.sign(&mut offer)?;
    }
    Ok(offer)
}

fn parse_states(given: &[String], layout: &Layout) -> Result<BTreeMap<String, Digest>> {
    let mut states = BTreeMap::new();
    for text in given {
        let (worker, digest) = text
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("--state-in {text}: expected ID=FILE or ID=HEX")))?;
        let digest = match digest.parse() {
            Ok(digest) => digest,
            Err(_) => {
                let reader = Reader::open_within(open(Path::new(digest))?, layout.header_room())?;
                reader.expect_tensors(layout.infos(""))?;
                Feedback::digest_of(reader)?
            }
        };
        states.insert(worker.to_owned(), digest);
    }
    Ok(states)
}
