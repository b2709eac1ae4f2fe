//! The lists of a round, each with the parts that workers sent as files of their own. Strangers have written to them, and to a
//! folder that somebody else put together nobody answers for: what is malformed is passed over.

use std::collections::{BTreeSet, HashSet};

use super::folder::{Book, plain};
use crate::artifact::record::{self, Line, Record};
use crate::artifact::{Commitment, Reveal};
use crate::data::Assignment;
use crate::pay::{Claimed, Closing, Held, Invoices, Offer, Report, Verdict};
use crate::score::{Believed, RoundScore, Score};
use crate::verify::Finding;

/// A round's lists; `None` where there is neither the list nor a part of it.
#[derive(Default)]
pub struct RoundLists {
    /// The round.
    pub round: u64,
    /// Who works on what.
    pub assignments: Option<Vec<Assignment>>,
    /// What was offered.
    pub offers: Option<Vec<Offer>>,
    /// What was invoiced.
    pub invoices: Option<Vec<Invoices>>,
    /// What is held.
    pub held: Option<Vec<Held>>,
    /// Commitments.
    pub commitments: Option<Vec<Commitment>>,
    /// What opens them.
    pub reveals: Vec<Reveal>,
    /// The lists that a judge has closed.
    pub closings: Vec<Closing>,
    /// What replays found.
    pub findings: Option<Vec<Finding>>,
    /// The scores.
    pub scores: Option<Vec<Score>>,
    /// What they have in common.
    pub whole: Option<RoundScore>,
    /// What was decided.
    pub verdicts: Option<Vec<Verdict>>,
    /// What was claimed.
    pub claimed: Option<Vec<Claimed>>,
    /// What became of each rung, by the payer's word.
    pub rungs: Option<Vec<Report>>,
    /// Lines that nobody can use, or whole files.
    pub malformed: u64,
}

/// One list of the folder and the endings of its parts.
struct Reading<'a> {
    book: &'a Book,
    folder: String,
    workers: BTreeSet<String>,
    /// Lists that nobody asked for.
    without: &'a [&'a str],
    malformed: u64,
}

impl Reading<'_> {
    fn file(&mut self, name: &str) -> Vec<Line> {
        match plain(self.book.run.lines_of_many(name)) {
            Ok((lines, malformed)) => {
                self.malformed += malformed.len() as u64;
                lines
            }
            Err(_) => {
                self.malformed += 1;
                Vec::new()
            }
        }
    }

    /// The lines of a list and of its parts, those of the parts that are not in the list already.
    fn lines(&mut self, list: &str, endings: &[&str]) -> Option<Vec<Line>> {
        let name = format!("{}{list}.jsonl", self.folder);
        if self.without.contains(&list) {
            return None;
        }
        let there = self.book.run.has(&name);
        let mut lines = if there { self.file(&name) } else { Vec::new() };
        let named = |who: &str, ending: &str| format!("{}{who}.{ending}", self.folder);
        let parts = self.workers.iter().flat_map(|who| endings.iter().map(move |ending| named(who, ending)));
        let parts: Vec<String> = parts.filter(|part| self.book.run.has(part)).collect();
        if parts.is_empty() {
            return there.then_some(lines);
        }
        let mut known: HashSet<String> = lines.iter().map(|line| line.text().to_owned()).collect();
        for part in parts {
            lines.extend(self.file(&part).into_iter().filter(|line| known.insert(line.text().to_owned())));
        }
        Some(lines)
    }

    fn records<R: Record>(&mut self, list: &str, endings: &[&str]) -> Option<Vec<R>> {
        let lines = self.lines(list, endings)?;
        let found: Vec<R> = record::select_well_formed(&lines);
        self.malformed += (lines.len() - found.len()) as u64;
        Some(found)
    }
}

impl RoundLists {
    /// Reads what there is of a round.
    pub fn read(book: &Book, round: u64) -> RoundLists {
        RoundLists::read_without(book, round, &[])
    }

    /// The same, but for these lists.
    pub fn read_without(book: &Book, round: u64, without: &[&str]) -> RoundLists {
        let folder = format!("round-{round}/");
        let workers = book.roster.iter().cloned().collect();
        let mut reading = Reading { book, folder, workers, without, malformed: 0 };
        let assignments: Option<Vec<Assignment>> = reading.records("assignments", &[]);
        reading.workers.extend(assignments.iter().flatten().map(|a| a.worker.clone()));
        // Whoever has a name that is none has no files of its own.
        reading.workers.retain(|who| crate::artifact::valid_worker_id(who));
        let committed = reading.lines("commitments", &["commitment", "reveal"]);
        let shown = committed.as_deref().unwrap_or_default();
        let commitments: Option<Vec<Commitment>> = committed.as_deref().map(record::select_well_formed);
        let reveals: Vec<Reveal> = record::select_well_formed(shown);
        let mut closings: Vec<Closing> = record::select_well_formed(shown);
        let known = commitments.as_ref().map_or(0, Vec::len) + reveals.len() + closings.len();
        reading.malformed += (shown.len() - known) as u64;
        closings.extend(reading.records::<Closing>("closing", &[]).unwrap_or_default());
        let scored = reading.lines("scores", &[]);
        let mut lists = RoundLists {
            round,
            assignments,
            offers: reading.records("offers", &[]),
            invoices: reading.records("invoices", &["invoices"]),
            held: reading.records("held", &["held"]),
            commitments,
            reveals,
            closings,
            findings: reading.records("findings", &["finding"]),
            scores: scored.as_deref().map(record::select_well_formed),
            whole: scored.as_deref().and_then(|lines| record::select_well_formed(lines).pop()),
            verdicts: reading.records("verdicts", &[]),
            claimed: reading.records("claimed", &["claimed"]),
            rungs: reading.records("rungs", &[]),
            malformed: 0,
        };
        lists.malformed = reading.malformed;
        // Scores without what they have in common are none.
        lists.scores = lists.scores.take().filter(|_| lists.whole.is_some());
        lists.keep_own(book);
        // What is forged says nothing, to people neither.
        if let Some(found) = lists.findings.take() {
            let believed = Believed::recorded(found, &book.recipe);
            lists.malformed += believed.left_out.len() as u64;
            lists.findings = Some(believed.findings);
        }
        lists
    }

    /// Of another run or round nothing is this one's.
    fn keep_own(&mut self, book: &Book) {
        let (run, round) = (book.id, self.round);
        let mut gone = 0;
        macro_rules! own {
            ($list:expr, |$record:ident| $of:expr) => {{
                let before = $list.len();
                $list.retain(|$record| $of == (run, round));
                gone += (before - $list.len()) as u64;
            }};
        }
        self.assignments.iter_mut().for_each(|list| own!(list, |a| (a.run, a.round)));
        self.offers.iter_mut().for_each(|list| own!(list, |o| (o.run, o.round)));
        self.invoices.iter_mut().for_each(|list| own!(list, |i| (i.task.run, i.task.round)));
        self.held.iter_mut().for_each(|list| own!(list, |h| (h.task.run, h.task.round)));
        self.commitments.iter_mut().for_each(|list| own!(list, |c| (c.run, c.round)));
        own!(self.reveals, |r| (r.run, r.round));
        own!(self.closings, |c| (c.run, c.round));
        self.findings.iter_mut().for_each(|list| own!(list, |f| (f.run, f.round)));
        self.scores.iter_mut().for_each(|list| own!(list, |s| (s.run, s.round)));
        self.whole = self.whole.take().filter(|w| (w.run, w.round) == (run, round));
        self.verdicts.iter_mut().for_each(|list| own!(list, |v| (v.task.run, v.task.round)));
        self.claimed.iter_mut().for_each(|list| own!(list, |c| (c.task.run, c.task.round)));
        self.malformed += gone;
    }

    /// Who has a task: by the assignments, or by what was scored where those are not there.
    pub fn workers(&self) -> BTreeSet<&str> {
        let assigned = self.assignments.iter().flatten().map(|a| a.worker.as_str());
        let scored = self.scores.iter().flatten().map(|s| s.worker.as_str());
        let offered = self.offers.iter().flatten().map(|o| o.worker.as_str());
        assigned.chain(scored).chain(offered).collect()
    }

    /// The last offer to a worker: each attempt has one.
    pub fn offer(&self, worker: &str) -> Option<&Offer> {
        let own = self.offers.iter().flatten().filter(|o| o.worker == worker);
        own.max_by_key(|o| o.attempt)
    }

    /// The score of a worker's update: of several the one that counts.
    pub fn score(&self, worker: &str) -> Option<&Score> {
        let own = || self.scores.iter().flatten().filter(|s| s.worker == worker);
        own().find(|s| s.counts).or_else(|| own().next())
    }
}
