//! The lists of a round, put together from what single parties have sent: `alice.commitment` goes into `commitments.jsonl`.
//!
//! What stands in a list stays there, and where it stands: of commitments who was first matters. New lines are added by the
//! parts' names. A part is a stranger's: what in it is no record is left out, and said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::run::{Run, is_regular};
use crate::artifact::record::{self, Line, Record};
use crate::artifact::{Commitment, Digest, Reveal, Room};
use crate::error::Result;
use crate::fsio::{Target, read_text_within};
use crate::pay::{Claimed, Held, Invoices};
use crate::ui::Ui;
use crate::verify::Finding;

/// A list of a round, and what single parties send of it.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// The list's file.
    pub file: &'static str,
    /// The endings of its parts, those first that go first.
    pub parts: &'static [&'static str],
    /// Whether a line is a record of it.
    is_one: fn(&Line) -> bool,
    /// The longest line, in bytes: so much from everybody is still what the list's readers take.
    line: usize,
}

fn is<R: Record>(line: &Line) -> bool {
    line.get::<R>().is_ok_and(|record| record.is_some())
}

/// Commitments, and then what opens them.
pub const COMMITMENTS: List = List {
    file: "commitments.jsonl",
    parts: &[".commitment", ".reveal"],
    is_one: |line| is::<Commitment>(line) || is::<Reveal>(line),
    line: 2 << 10,
};
/// What replays found.
pub const FINDINGS: List = List { file: "findings.jsonl", parts: &[".finding"], is_one: is::<Finding>, line: 16 << 10 };
/// The workers' hold invoices.
pub const INVOICES: List =
    List { file: "invoices.jsonl", parts: &[".invoices"], is_one: is::<Invoices>, line: 64 << 10 };
/// What the workers' nodes hold.
pub const HELD: List = List { file: "held.jsonl", parts: &[".held"], is_one: is::<Held>, line: 4 << 10 };
/// What the workers have claimed.
pub const CLAIMED: List = List { file: "claimed.jsonl", parts: &[".claimed"], is_one: is::<Claimed>, line: 4 << 10 };

/// So many records of a part are taken: one party has one or two, and nobody fills a list with more.
const MOST: usize = 4;

/// Puts a list together; its path, where anything of it is there.
pub fn gather(run: &Run, round: u64, list: List, ui: &Ui) -> Result<Option<PathBuf>> {
    let place = run.of(round, list.file);
    let kept = if is_regular(&place) { read_text_within(&place, Room::any().bytes)? } else { String::new() };
    let mut there: BTreeSet<String> = kept.lines().map(str::to_owned).collect();
    let mut text = kept.clone();
    let id = run.read_recipe()?.digest();
    for ending in list.parts {
        for part in run.ending(round, ending)? {
            let worker = part.file_name().and_then(|name| name.to_str()?.strip_suffix(ending)).unwrap_or_default();
            for line in records(&part, list, &Of { run: &id, round, worker }, ui) {
                if there.insert(line.text().to_owned()) {
                    if !text.is_empty() && !text.ends_with('\n') {
                        text.push('\n');
                    }
                    text += line.text();
                    text.push('\n');
                }
            }
        }
    }
    if text != kept {
        Target::new(Some(&place), true).write_text(&text)?;
    }
    Ok(is_regular(&place).then_some(place))
}

/// What a part's records must be of.
struct Of<'a> {
    run: &'a Digest,
    round: u64,
    worker: &'a str,
}

impl Of<'_> {
    /// A record of an offer says so in its task.
    fn says(&self, line: &Line) -> bool {
        let task = line.field("task");
        let field = |name: &str| line.field(name).or_else(|| task.as_ref()?.get(name).cloned());
        field("run").is_some_and(|run| run.as_str() == Some(&self.run.to_string()))
            && field("round").and_then(|round| round.as_u64()) == Some(self.round)
            && field("worker").is_some_and(|worker| worker.as_str() == Some(self.worker))
    }
}

/// The records of a part that belong into the list: the worker's own, of this round. Whatever else is there, or cannot be read,
/// costs nobody but whom the part is named after.
fn records(part: &Path, list: List, of: &Of<'_>, ui: &Ui) -> Vec<Line> {
    let (mut lines, malformed) = match record::read_lines_of_many(part, Room::of_one()) {
        Ok(read) => read,
        Err(error) => (Vec::new(), vec![error]),
    };
    malformed.iter().take(MOST).for_each(|error| ui.say(format!("left out: {error}")));
    let all = lines.len();
    lines.retain(|line| line.text().len() <= list.line && (list.is_one)(line) && of.says(line));
    if lines.len() < all {
        let left = all - lines.len();
        ui.say(format!("left out: {}: {left} records that are none of {} here", part.display(), of.worker));
    }
    if lines.len() > MOST {
        ui.say(format!("left out: {}: expected at most {MOST} records, found {}", part.display(), lines.len()));
        lines.truncate(MOST);
    }
    lines
}
