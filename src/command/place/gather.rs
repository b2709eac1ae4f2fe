//! The lists of a round, put together from what single parties have sent: `alice.commitment` goes into `commitments.jsonl`.
//!
//! What stands in a list stays there, and where it stands: of commitments who was first matters. New lines are added by the
//! parts' names. A part is a stranger's: what in it is no record is left out, and said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::run::Run;
use crate::artifact::record::{self, Line, Record};
use crate::artifact::{Commitment, Reveal, Room};
use crate::error::{Kind, Result};
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
    /// The types of its records.
    pub types: &'static [&'static str],
}

/// Commitments, and then what opens them.
pub const COMMITMENTS: List =
    List { file: "commitments.jsonl", parts: &[".commitment", ".reveal"], types: &[Commitment::TYPE, Reveal::TYPE] };
/// What replays found.
pub const FINDINGS: List = List { file: "findings.jsonl", parts: &[".finding"], types: &[Finding::TYPE] };
/// The workers' hold invoices.
pub const INVOICES: List = List { file: "invoices.jsonl", parts: &[".invoices"], types: &[Invoices::TYPE] };
/// What the workers' nodes hold.
pub const HELD: List = List { file: "held.jsonl", parts: &[".held"], types: &[Held::TYPE] };
/// What the workers have claimed.
pub const CLAIMED: List = List { file: "claimed.jsonl", parts: &[".claimed"], types: &[Claimed::TYPE] };
/// So many records of a part are taken: one party has one or two, and nobody fills a list with more.
const MOST: usize = 8;

/// Puts a list together; its path, where anything of it is there.
pub fn gather(run: &Run, round: u64, list: List, ui: &Ui) -> Result<Option<PathBuf>> {
    let place = run.of(round, list.file);
    let kept = if place.is_file() { read_text_within(&place, Room::any().bytes)? } else { String::new() };
    let mut there: BTreeSet<String> = kept.lines().map(str::to_owned).collect();
    let mut text = kept.clone();
    for ending in list.parts {
        for part in run.ending(round, ending)? {
            for line in records(&part, list.types, ui)? {
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
    Ok(place.is_file().then_some(place))
}

/// The records of a part that belong into the list.
fn records(part: &Path, types: &[&str], ui: &Ui) -> Result<Vec<Line>> {
    let (mut lines, malformed) = match record::read_lines_of_many(part, Room::of_one()) {
        Ok(read) => read,
        Err(error) if error.kind() == Kind::Data => (Vec::new(), vec![error]),
        Err(error) => return Err(error),
    };
    malformed.iter().take(MOST).for_each(|error| ui.say(format!("left out: {error}")));
    lines.retain(|line| types.contains(&line.kind()));
    if lines.len() > MOST {
        ui.say(format!("left out: {}: expected at most {MOST} records, found {}", part.display(), lines.len()));
        lines.truncate(MOST);
    }
    Ok(lines)
}
