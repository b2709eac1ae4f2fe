//! `l402 status`: what has happened in a run, and what is next.

use std::path::PathBuf;

use super::run_folder;
use crate::artifact::record;
use crate::command::args::OutputArgs;
use crate::error::Result;
use crate::report::{Next, RoundStatus, status};
use crate::ui::{Page, Ui};

/// Say what has happened in a run, round by round, and what is next.
///
/// For each round: how many workers were assigned, offered, locked, committed, revealed, replayed, settled and have claimed, as
/// the lists say, and the parts of them that lie in files of their own. Then the commands that are next, by whom, and until
/// which block height.
///
/// Nothing is recomputed: whether the files are true is for `l402 audit`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run folder [default: as of --run]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Look at this many of the last rounds, and at what is next in them; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: u64,
    /// Print JSON Lines: `round_status` and `next`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let book = run_folder::open(args.run.as_deref(), ui)?;
    let (rounds, nexts) = status(&book, if args.last == 0 { u64::MAX } else { args.last });
    if args.json || args.output.output.is_some() {
        let lines = rounds.iter().map(record::line).chain(nexts.iter().map(record::line));
        return args.output.target().write_text(&lines.collect::<Result<String>>()?).map(drop);
    }
    let mut page = Page::default();
    let workers = book.roster.len();
    page.line(format!(
        "run {} \"{}\", {workers} on the roster, {} rounds begun",
        book.id.short(),
        book.recipe.name,
        book.begun
    ));
    page.line("");
    let first = rounds.first().map_or(0, |round| round.round);
    if first > 0 {
        page.line(format!("rounds 0 to {} are not looked at: --last 0 does", first - 1));
    }
    page.lines(&table(&rounds));
    for round in rounds.iter().filter(|round| round.unscored > 0) {
        page.line(format!(
            "round {}: the scores are older than what {} of those who were in time have shown since",
            round.round, round.unscored
        ));
    }
    heights(rounds.last(), &mut page);
    next(&nexts, &mut page);
    page.print()
}

/// Rows of cells, aligned; the first column to the left.
fn aligned(rows: &[Vec<String>], gap: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        cells.collect::<Vec<_>>().join(&" ".repeat(gap)) + "\n"
    };
    rows.iter().map(line).collect()
}

/// As many characters as the narrowest terminal has in a line.
const WIDTH: usize = 80;

/// What a round's work is, and what its pay is; the latter's columns alone say nothing where nothing is offered.
const WORK: [&str; 8] = ["round", "assigned", "committed", "closed", "revealed", "replayed", "scored", "next"];
const PAY: [&str; 5] = ["round", "offered", "locked", "settled", "claimed"];

fn table(rounds: &[RoundStatus]) -> String {
    let titled = |words: &[&str], row: fn(&RoundStatus) -> Vec<String>| -> Vec<Vec<String>> {
        let title = words.iter().map(|word| (*word).to_owned()).collect();
        std::iter::once(title).chain(rounds.iter().map(row)).collect()
    };
    if rounds.is_empty() {
        return String::new();
    }
    let fitting = |rows: &[Vec<String>]| {
        let fits = |text: &String| text.lines().all(|line| line.chars().count() <= WIDTH);
        Some(aligned(rows, 2)).filter(fits).unwrap_or_else(|| aligned(rows, 1))
    };
    let mut text = fitting(&titled(&WORK, work));
    if rounds.iter().any(|round| round.offered > 0) {
        text += "\n";
        text += &fitting(&titled(&PAY, pay));
    }
    text
}

fn of(k: u64, n: u64) -> String {
    if n == 0 { "-".to_owned() } else { format!("{k} of {n}") }
}

fn yes(done: bool, text: &str) -> String {
    if done { text.to_owned() } else { "-".to_owned() }
}

fn work(round: &RoundStatus) -> Vec<String> {
    let replayed = match round.replayed {
        0 => "-".to_owned(),
        k => format!("{k} of {}, {} exact", round.revealed.max(k), round.exact),
    };
    vec![
        round.round.to_string(),
        yes(round.assigned > 0, &round.assigned.to_string()),
        if round.committed == 0 { "-".to_owned() } else { of(round.committed, round.assigned.max(round.committed)) },
        round.closed_at.map_or("-".to_owned(), |height| format!("{} at {height}", round.in_time)),
        of(round.revealed, round.committed),
        replayed,
        yes(round.scored, &format!("{} count", round.counting)),
        yes(round.next_model, "yes"),
    ]
}

fn pay(round: &RoundStatus) -> Vec<String> {
    vec![
        round.round.to_string(),
        yes(round.offered > 0, &round.offered.to_string()),
        of(round.held, round.offered),
        of(round.settled, round.held),
        of(round.claimed, round.paid),
    ]
}

/// The heights of the last round's offers.
fn heights(round: Option<&RoundStatus>, page: &mut Page) {
    let Some(round) = round else { return };
    let (Some(lock), Some(commit), Some(reveal), Some(claim)) =
        (round.lock_by, round.commit_by, round.reveal_by, round.claim_by)
    else {
        return;
    };
    page.line("");
    page.line(format!(
        "round {} by block height: all locked by {lock}, committed and closed by {commit},",
        round.round
    ));
    page.line(format!("  verdicts by {reveal}, claimed by {claim}"));
}

/// Commands that are shown; the others are counted.
const SHOWN: usize = 24;

fn next(nexts: &[Next], page: &mut Page) {
    page.line("");
    page.line("next:");
    let until = |next: &Next| next.until.map_or(String::new(), |height| format!(", until height {height}"));
    let widest = nexts.iter().take(SHOWN).map(|next| next.command.len()).max().unwrap_or(0);
    for next in nexts.iter().take(SHOWN) {
        page.line(format!("  {:<widest$}   by {}{}", next.command, next.by, until(next)));
    }
    if nexts.len() > SHOWN {
        page.line(format!("  and {} more: --json shows them", nexts.len() - SHOWN));
    }
}
