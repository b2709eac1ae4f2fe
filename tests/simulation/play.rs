//! A seed from its beginning to its end: what the schedule says, then everything until it is done or cannot be any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::time::Duration;

use super::bank::{Bank, WORK};
use super::books::{self, Offered};
use super::checks;
use super::sabotage::Sabotage;
use super::schedule::*;
use super::seat::{Seat, node};
use super::shell::{self, Ended};

/// What a seed came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What each worker was offered and what it has got.
    pub paid: BTreeMap<Party, u64>,
    /// Who was judged.
    pub judged: BTreeMap<Party, Vec<usize>>,
    /// Whether there are scores, and the next model.
    pub scored: bool,
    pub next: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paid {:?}, judged {:?}, scored {}, next {}", self.paid, self.judged, self.scored, self.next)
    }
}

/// What happened in a seed, line by line, and what came of it.
pub struct Told {
    pub log: Vec<String>,
    pub result: Result<Outcome, String>,
    /// Faults that came to pass.
    pub faults: usize,
    /// Verbs that were run.
    pub verbs: usize,
}

/// What came of every step that was not done: whether one is now, whether some are not, and whether they may be by themselves.
struct Pass {
    moved: bool,
    open: bool,
    waits: bool,
}

/// A seed while it is played.
pub struct Play<'a> {
    pub bank: &'a mut Bank,
    pub seat: Seat,
    pub schedule: &'a Schedule,
    pub log: Vec<String>,
    pub done: BTreeSet<Step>,
    /// Nodes may be dead, or die.
    shaky: bool,
    faults: usize,
    verbs: usize,
}

/// Plays a schedule; the folders that it leaves.
pub fn play(bank: &mut Bank, schedule: &Schedule, sabotage: Option<Sabotage>) -> (Seat, Told) {
    let seat = Seat::new(bank, schedule.apart);
    let mut play =
        Play { bank, seat, schedule, log: Vec::new(), done: BTreeSet::new(), shaky: false, faults: 0, verbs: 0 };
    let result = play.whole(sabotage);
    play.bank.disarm();
    let told = Told { log: play.log, result, faults: play.faults, verbs: play.verbs };
    (play.seat, told)
}

impl Play<'_> {
    fn whole(&mut self, sabotage: Option<Sabotage>) -> Result<Outcome, String> {
        self.bank.up()?;
        let before = self.bank.balances()?;
        let schedule = self.schedule;
        for mov in &schedule.moves {
            self.play_move(*mov)?;
            checks::always(self)?;
        }
        self.calm(sabotage)?;
        let outcome = self.end(&before, sabotage);
        self.log.push(match &outcome {
            Ok(outcome) => outcome.to_string(),
            Err(why) => format!("BROKEN: {why}"),
        });
        outcome
    }

    fn play_move(&mut self, mov: Move) -> Result<(), String> {
        match mov {
            Move::Do(Carry(from, to), _) => {
                let came = self.seat.carry(from, to).join(" ");
                self.log.push(format!("{mov}: {came}"));
            }
            Move::Do(step, fault) => drop(self.verb(step, fault)?),
            Move::Mine(blocks) => {
                self.log.push(mov.to_string());
                self.mine(blocks)?;
            }
            Move::Kill(node) => {
                self.log.push(mov.to_string());
                shell::kill_node(self.bank, node);
                self.shaky = true;
            }
            Move::Arm(node, point, times) => {
                self.log.push(mov.to_string());
                fs::write(self.bank.devnet.node(node).join("crash"), format!("{point} {times}")).unwrap();
                self.shaky = true;
            }
            Move::Up => {
                self.log.push(mov.to_string());
                self.up()?;
            }
        }
        Ok(())
    }

    /// Brings back every node, and what the plugin calls paid and the channel still holds, as docs/operating.md says.
    fn up(&mut self) -> Result<(), String> {
        let dead: Vec<Party> = WORKERS.into_iter().filter(|w| !self.bank.alive(node(*w, false))).collect();
        if !self.bank.all_alive() {
            self.bank.up()?;
        }
        for w in dead {
            self.rescue(w)?;
        }
        self.bank.still();
        Ok(())
    }

    /// Blocks; many come in parts, so that nodes which live keep up. No node is dead for long.
    pub fn mine(&mut self, blocks: u64) -> Result<(), String> {
        if blocks > 6 {
            self.bank.disarm();
            self.up()?;
        }
        let mut left = blocks;
        while left > 0 {
            let part = left.min(20);
            self.bank.still();
            self.bank.devnet.mine(part);
            left -= part;
        }
        self.bank.still();
        Ok(())
    }

    /// A worker's payments that hang though their rows say paid: the rows are set back while the node does not run.
    fn rescue(&mut self, w: Party) -> Result<(), String> {
        let own = node(w, false);
        for look in 0..20 {
            let hanging = self.hanging(w)?;
            if hanging.is_empty() {
                return Ok(());
            }
            if look < 19 {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            shell::kill_node(self.bank, own);
            for hash in &hanging {
                let row = self.bank.devnet.node(own).join(format!("hold/{hash}.json"));
                let text = fs::read_to_string(&row).unwrap();
                fs::write(&row, text.replace("\"paid\"", "\"accepted\"")).unwrap();
            }
            self.log.push(format!("{}: {} rows set back to accepted", w.name(), hanging.len()));
            self.bank.up()?;
        }
        Ok(())
    }

    fn hanging(&self, w: Party) -> Result<Vec<String>, String> {
        let own = node(w, false);
        let channels = self.bank.channels(own).unwrap_or_default();
        let htlcs = channels.iter().flat_map(|c| c["htlcs"].as_array().cloned().unwrap_or_default());
        let held = htlcs.filter(|h| !h["state"].as_str().unwrap_or_default().contains("REMOVE"));
        let hashes = held.filter_map(|h| h["payment_hash"].as_str().map(str::to_owned));
        Ok(hashes.filter(|hash| self.bank.row(own, hash).is_some_and(|row| row["state"] == "paid")).collect())
    }

    /// Runs a verb; its exit status. The other shell's is looked at too.
    pub fn verb(&mut self, step: Step, fault: Fault) -> Result<Option<i32>, String> {
        if let Some(why) = self.waits(step) {
            self.log.push(format!("{step:?}: not yet: {why}"));
            return Ok(Some(75));
        }
        if let (Train(w), Some(_)) = (step, &self.bank.run(self.schedule.apart).work)
            && self.held(w)
            && !self.schedule.seed.is_multiple_of(32)
        {
            self.take_work(w);
            self.done.insert(step);
            self.log.push(format!("{step:?}: as before"));
            return Ok(Some(0));
        }
        let shaky = self.shaky || !self.bank.all_alive();
        let whole = self.is_whole(step);
        let ended = shell::run(self.bank, &self.seat, step, fault, &|step| self.args(step));
        let mut code = None;
        for (i, one) in ended.iter().enumerate() {
            self.verbs += 1;
            self.faults += usize::from(one.happened);
            self.log.push(format!(
                "{}{}{}: {} {}",
                one.args,
                if i == 0 { fault.to_string() } else { " [beside it]".to_owned() },
                one.method.as_ref().map_or(String::new(), |method| format!(" {method}")),
                one.code().map_or("killed".to_owned(), |code| code.to_string()),
                one.said().lines().last().unwrap_or_default(),
            ));
            self.in_order(one, fault, shaky)?;
            code = if i == 0 { one.code() } else { code };
        }
        // Of two shells the one may have ended with 75 while the other did it.
        if ended.iter().any(|one| one.args == ended[0].args && one.code() == Some(0)) {
            if whole && (!matches!(step, Held(w) if !self.held(w))) {
                self.done.insert(step);
            }
            code = Some(0);
        }
        self.shaky |= matches!(fault, Fault::Node { .. });
        if step.asks() {
            self.bank.still();
        }
        Ok(code)
    }

    /// Whether it may end like this.
    fn in_order(&self, one: &Ended, fault: Fault, shaky: bool) -> Result<(), String> {
        let all = || format!("{}: {:?}: {}", one.args, one.output.status, one.said());
        if one.said().contains("panicked") {
            return Err(all());
        }
        let silent = shaky || matches!(fault, Fault::Drop { .. } | Fault::Node { .. });
        let fine = match one.code() {
            Some(0 | 1 | 66 | 75) => true,
            Some(69) => silent,
            Some(74) => matches!(fault, Fault::Disk { .. }),
            Some(_) => false,
            None => one.happened && matches!(fault, Fault::Kill { .. }),
        };
        if fine { Ok(()) } else { Err(all()) }
    }

    fn take_work(&self, w: Party) {
        let work = self.bank.run(self.schedule.apart).work.as_ref().expect("it was looked at");
        for kind in WORK {
            let name = format!("{}.{kind}", w.name());
            fs::copy(work.path().join(&name), self.seat.file(w, &name)).unwrap();
        }
    }

    /// The judge's offers and verdicts, where they can be read.
    pub fn offers(&self) -> BTreeMap<String, Offered> {
        books::judged(&self.seat).unwrap_or_default()
    }

    /// Everything once more until it is done, or nothing moves and no deadline is left.
    fn calm(&mut self, sabotage: Option<Sabotage>) -> Result<(), String> {
        self.log.push("from here on nothing goes wrong".to_owned());
        self.bank.disarm();
        self.up()?;
        self.shaky = false;
        let begun = self.bank.height();
        let mut again = false;
        loop {
            let Pass { moved, open, waits } = self.pass(sabotage)?;
            if !open {
                break;
            }
            // What waits for something that is on its way is asked once more.
            if moved || waits && !again {
                again = !moved;
                continue;
            }
            again = false;
            // The next height at which something changes.
            let height = self.bank.height();
            let due = self.offers().values().next().map(|offer| {
                let [lock_by, commit_by, reveal_by, claim_by] = offer.heights;
                [lock_by, commit_by - ((commit_by - lock_by) / 3).min(6), commit_by + 1, reveal_by + 1, claim_by + 1]
            });
            match due.into_iter().flatten().find(|due| *due > height) {
                Some(due) => self.mine(due - height)?,
                None => break,
            }
            self.log.push(format!("mined to {}", self.bank.height()));
        }
        if sabotage == Some(Sabotage::NobodyCancels) { Ok(()) } else { checks::in_time(self, begun) }
    }

    /// Every step that is not done, in order.
    fn pass(&mut self, sabotage: Option<Sabotage>) -> Result<Pass, String> {
        let (mut moved, mut open, mut waits) = (false, false, false);
        for step in in_order(self.schedule.apart) {
            if let Some(sabotage) = sabotage {
                sabotage.before(self, step);
                if sabotage.skips(step) {
                    continue;
                }
            }
            if let Carry(from, to) = step {
                let came = self.seat.carry(from, to);
                moved |= !came.is_empty();
                continue;
            }
            if self.done.contains(&step) {
                continue;
            }
            if self.is_idle(step) {
                open = true;
                continue;
            }
            match self.verb(step, Fault::None)? {
                Some(0) if self.done.contains(&step) => moved = true,
                code => {
                    open = true;
                    waits |= matches!(code, Some(69 | 75)) && step != Score;
                }
            }
            checks::always(self)?;
        }
        Ok(Pass { moved, open, waits })
    }

    /// Past the last deadline everybody looks once more; then all of it must be right.
    fn end(&mut self, before: &[u64; 4], sabotage: Option<Sabotage>) -> Result<Outcome, String> {
        let claim_by = self.offers().values().map(|offer| offer.heights[3]).max().unwrap_or(0);
        let height = self.bank.height();
        if height <= claim_by {
            self.mine(claim_by + 1 - height)?;
        }
        for w in WORKERS {
            if sabotage != Some(Sabotage::NobodyCancels) {
                self.verb(Held(w), Fault::None)?;
            }
        }
        let after = self.bank.balances()?;
        // The payer's node may hear of an end a moment after its channel.
        for _ in 0..20 {
            self.verb(Paid, Fault::None)?;
            if !checks::is_open(self) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        if self.schedule.apart {
            self.seat.carry(Payer, Judge);
        }
        WORKERS.iter().for_each(|w| drop(self.seat.carry(*w, Judge)));
        if let Some(sabotage) = sabotage {
            sabotage.at_the_end(self);
        }
        checks::always(self)?;
        checks::at_the_end(self, before, &after)
    }
}
