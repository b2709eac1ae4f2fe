//! The judge's side of `l402 settle`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::escrow::Escrow;
use super::args::Args;
use crate::artifact::record;
use crate::artifact::{Commitment, Digest, Reveal, Room};
use crate::command::lists;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{Outcome, Target, private_dir, read_private, read_text_within, write_secret};
use crate::pay::{Case, Closing, Entry, Evidence, Held, Offer, Preimages, RungPreimage, Verdict, Votes, decide};
use crate::score::{entitled, require_listed, votes};
use crate::ui::Ui;
use crate::verify::Finding;

/// What the verdicts rest on.
struct Evidences {
    scores: Digest,
    votes: Option<Votes>,
    by_worker: BTreeMap<String, Evidence>,
    findings: Option<Digest>,
    held: Vec<Held>,
    closings: Vec<Closing>,
    commitments: Vec<Commitment>,
    reveals: Vec<Reveal>,
}

/// Runs the judge's side.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let missing = || Error::bug("the command line lacks what it requires");
    let reveal = args.reveal.as_deref().ok_or_else(missing)?;
    let mut offers: Vec<Offer> = lists::read_all(&args.offers, Room::any())?;
    let Some(first) = offers.first() else {
        return Err(Error::missing(format!("{}: no offers", lists::name(&args.offers))));
    };
    let (run, round) = (first.run, first.round);
    let evidence = read(args, &run, round, offers.len(), ui)?;
    let mut escrow = args.escrow.open(false, ui)?;
    require_listed(&evidence.commitments, &evidence.closings, &escrow.id()).at(lists::name(&args.commitments))?;
    offers.sort_by(|a, b| (&a.worker, a.attempt).cmp(&(&b.worker, b.attempt)));
    let (mut settled, mut refused) = (Vec::new(), None);
    for offer in &offers {
        if (offer.run, offer.round) != (run, round) {
            return Err(Error::data(format!("{}: offers of two rounds", lists::name(&args.offers))));
        }
        match judge(&mut escrow, offer, &evidence) {
            Ok((verdict, held)) => settled.push((offer, verdict, held)),
            // One worker's missing or forged record holds up nobody else.
            Err(error) if matches!(error.kind(), Kind::Refused | Kind::Data | Kind::TryAgain) => {
                ui.say(format!("not settled: {error}"));
                refused = Some(graver(refused, error));
            }
            Err(error) => return Err(error),
        }
    }
    if settled.is_empty() {
        return refused.map_or(Ok(()), Err);
    }
    for (_, verdict, _) in &mut settled {
        // Two signed verdicts on one offer would prove a fraud: a dry run signs none.
        if verdict.sig.is_none() && !args.escrow.dry_run {
            escrow.sign(verdict)?;
        }
    }
    if args.escrow.dry_run {
        let lines: Result<String> = settled.iter().map(|(_, verdict, _)| record::line(verdict)).collect();
        Target::stdout().write_text(&lines?)?;
        return refused.map_or(Ok(()), Err);
    }
    // Decided, on disk, and known to the node, before any preimage leaves.
    let mut entries = Vec::new();
    for (_, verdict, held) in &settled {
        if let Some(held) = held {
            entries.push(Entry::Held { held: held.clone() });
            entries.push(Entry::Judged { verdict: verdict.clone() });
        }
    }
    escrow.record(entries)?;
    private_dir(reveal)?;
    let mut lines = String::new();
    for (offer, verdict, _) in &settled {
        lines += &record::line(verdict)?;
        if let Err(error) = reveal_to(&escrow, offer, verdict, reveal) {
            ui.say(format!("not revealed: {error}"));
            refused = Some(graver(refused, error));
            continue;
        }
        ui.say(format!(
            "{}: {} earned, {} paid, {} returned{}",
            offer.name(),
            verdict.entitled_msat,
            verdict.paid_msat,
            verdict.returned_msat,
            verdict.reason.as_ref().map_or(String::new(), |r| format!(" ({r})")),
        ));
    }
    let written = target.write_text(&lines);
    if let Some(error) = refused {
        return Err(error);
    }
    if written? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    Ok(())
}

/// Of several offers that are not settled, the one to say at the end: where one can be tried again, that is to be done.
fn graver(before: Option<Error>, error: Error) -> Error {
    match before {
        Some(before) if before.kind() == Kind::TryAgain => before,
        _ => error,
    }
}

/// The verdict on an offer: the one in the books, or a new one, not signed yet, with the held record that it rests on.
fn judge(escrow: &mut Escrow, offer: &Offer, evidence: &Evidences) -> Result<(Verdict, Option<Held>)> {
    let task = offer.task()?;
    let account = escrow.ledger.account(&task.offer).filter(|a| a.offer == *offer);
    let Some(account) = account else {
        return Err(Error::refused(format!("{}: it was not offered by this escrow folder", offer.name())));
    };
    if offer.judge != escrow.id() {
        return Err(Error::refused(format!("{}: judge: expected this node, {}", offer.name(), escrow.id())));
    }
    if let Some(verdict) = &account.verdict {
        if verdict.scores == evidence.scores {
            return Ok((verdict.clone(), None));
        }
        return Err(Error::refused(format!(
            "{}: already judged, by scores {}; these are {}",
            offer.name(),
            verdict.scores,
            evidence.scores
        ))
        .hint("a verdict stands forever; what it left out can be paid by a further offer"));
    }
    let held = Held::on(offer, &evidence.held)?;
    // A list that this folder closed is the only one for it.
    let closed = escrow.ledger.closing(&offer.run, offer.round, offer.attempt);
    let closing = closed.or_else(|| Closing::on(offer, &evidence.closings));
    let case = Case {
        offer,
        held,
        closing,
        commitments: &evidence.commitments,
        reveals: &evidence.reveals,
        score: evidence.by_worker.get(&offer.worker),
        scores: evidence.scores,
        votes: evidence.votes.as_ref(),
        findings: evidence.findings,
        height: escrow.height(),
    };
    Ok((decide(&case)?, Some(held.clone())))
}

/// Writes what the worker gets: the verdict, and the preimages of what was earned. For its eyes alone.
fn reveal_to(escrow: &Escrow, offer: &Offer, verdict: &Verdict, folder: &Path) -> Result<()> {
    let id = verdict.task.offer;
    let preimages =
        verdict.rungs.iter().map(|&rung| RungPreimage { rung, preimage: escrow.secret.preimage(&id, rung) });
    let preimages = Preimages { task: verdict.task.clone(), preimages: preimages.collect() };
    preimages
        .verify(offer, verdict)
        .map_err(|e| e.hint("is the secret of this folder the one that the offer was made with?"))?;
    let text = record::line(verdict)? + &record::line(&preimages)?;
    let path = reveal_path(folder, offer);
    if path.exists() {
        if read_private(&path)? == text {
            return Ok(());
        }
        return Err(Error::new(Kind::Exists, format!("{}: exists, with other content", path.display())));
    }
    write_secret(&path, text.as_bytes())
}

fn reveal_path(folder: &Path, offer: &Offer) -> PathBuf {
    folder.join(format!("{}.{}.{}.reveal", offer.worker, offer.round, offer.attempt))
}

fn read(args: &Args, run: &Digest, round: u64, offers: usize, ui: &Ui) -> Result<Evidences> {
    let missing = || Error::bug("the command line lacks what it requires");
    let scores_path = args.scores.as_deref().ok_or_else(missing)?;
    let text = |path: &Path| read_text_within(path, Room::any().bytes);
    // They come from the workers: nobody stops a round by sending rubbish.
    let shown = lists::read_many(&args.commitments, Room::of(2 * offers), ui)?;
    let held = lists::read_many(&args.held, Room::of(offers), ui)?;
    let scores = text(scores_path)?;
    let lines = record::parse_lines(&scores_path.display().to_string(), &scores)?;
    let findings = args.findings.as_deref().map(text).transpose()?;
    if let (Some(path), Some(text)) = (&args.findings, &findings) {
        // The scores, which decide, rest on none of them; the verdict binds the list as it is.
        let found: Vec<Finding> = record::select(&record::parse_lines(&path.display().to_string(), text)?)?;
        let forged =
            |f: &Finding| Some(format!("a finding on {} in round {}: {}", f.worker, f.round, f.signer().err()?));
        lists::say_left_out(&found.iter().filter_map(forged).collect::<Vec<_>>(), ui);
    }
    Ok(Evidences {
        scores: Digest::of(scores.as_bytes()),
        votes: votes(&lines).at(scores_path.display())?,
        by_worker: entitled(&lines, run, round).at(scores_path.display())?,
        findings: findings.map(|text| Digest::of(text.as_bytes())),
        held: lists::select(&held),
        closings: lists::select(&shown),
        commitments: lists::select(&shown),
        reveals: lists::select(&shown),
    })
}
