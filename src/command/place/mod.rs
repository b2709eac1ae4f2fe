//! Short forms: inside a run folder `l402 train 3 alice` stands for the command line that names every file where docs/run.md
//! has it.
//!
//! It is rewritten before it is parsed, so a verb knows nothing of it, and `-v` shows what it stands for. What a flag says stays.
//! A command line without a round in the first place is no short form, and is left as it is.

mod coordinator;
mod counted;
mod form;
mod gather;
mod given;
mod pay;
mod run;
mod signer;
mod work;

use std::ffi::OsString;
use std::path::Path;

use clap::Command;

use crate::artifact::canonical;
use crate::error::{Error, Result};
use crate::ui::Ui;
use form::Form;
use given::Given;
pub use run::{Run, VARIABLE};

/// What fills in a short form.
type Fill = fn(&mut Form) -> Result<()>;

/// The verbs that have a short form, and whether files may stand in the round's place.
const FORMS: [(&[&str], Fill, bool); 13] = [
    (&["assign"], Form::assign, false),
    (&["train"], Form::train, false),
    (&["compress"], Form::compress, true),
    (&["commit"], Form::commit, true),
    (&["open"], Form::open, false),
    (&["replay"], Form::replay, false),
    (&["score"], Form::score, true),
    (&["aggregate"], Form::aggregate, true),
    (&["invoice", "offer"], Form::offer, false),
    (&["invoice", "issue"], Form::issue, true),
    (&["invoice", "lock"], Form::lock, true),
    (&["invoice", "status"], Form::status, false),
    (&["settle"], Form::settle, false),
];

/// Flags in whose value the round of a short form stands: `commit --close 3`, `settle --claim 3 alice`.
const BY_FLAG: [(&str, &str, Fill); 2] = [("commit", "close", Form::close), ("settle", "claim", Form::claim)];

/// Verbs about a whole run, which they take in the first place, and how much follows it.
const OF_A_RUN: [(&str, usize); 4] = [("audit", 0), ("explain", 2), ("report", 0), ("status", 0)];

/// The command line that this one stands for, with everything that it leaves to the run folder.
pub fn expand(words: Vec<OsString>, tree: &Command) -> Result<Vec<OsString>> {
    let Some(mut given) = Given::take(&words, tree) else { return Ok(words) };
    let ui = Ui::new(given.has("quiet"), given.times("verbose"));
    let Some((fill, round, may_be_file)) = form(&mut given) else {
        if let [verb] = &given.verb[..]
            && OF_A_RUN.iter().any(|(of, more)| of == verb && given.rest.len() == *more)
            && let Some(run) = Run::find(given.value("run").map(Path::new))?
        {
            given.rest.insert(0, run.root().into());
            return Ok(given.words());
        }
        if given.has("without") {
            return Err(Error::usage(
                "--without: expected a round of a run folder, as in `l402 score 3 --without findings`",
            ));
        }
        return Ok(words);
    };
    let named = given.remove("run").pop();
    let Some(run) = Run::find(named.as_deref().map(Path::new))? else {
        if may_be_file && Path::new(&round.to_string()).exists() {
            return Ok(words);
        }
        return Err(Error::usage(format!("round {round}: no run.toml here or in a folder above")).hint(format!(
            "--run DIR or {VARIABLE} names the run folder; outside of one every file is named by its flag"
        )));
    };
    let mut form = Form::new(run, round, given, ui)?;
    fill(&mut form)?;
    let words = form.given.words();
    let shown: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ui.detail(format!("as: l402 {}", shown.join(" ")));
    Ok(words)
}

/// The command line that a short form of all workers, `replay 3 --all`, stands for with one of them.
pub fn for_worker(words: Vec<OsString>, tree: &Command, worker: &str) -> Result<Vec<OsString>> {
    let mut given = Given::take(&words, tree).ok_or_else(|| Error::bug("a command line that was parsed is none"))?;
    ["all", "junit"].iter().for_each(|flag| drop(given.remove(flag)));
    given.rest.push(worker.into());
    expand(given.words(), tree)
}

/// What fills in the command line, and its round, which is taken from what is no flag's value; nothing where it is no short form.
fn form(given: &mut Given) -> Option<(Fill, u64, bool)> {
    let number = |word: &OsString| canonical::integer::<u64>(word.to_str()?);
    let verb: Vec<&str> = given.verb.iter().map(String::as_str).collect();
    for (of, flag, fill) in BY_FLAG {
        let value = given.value(flag).map(OsString::from);
        if verb == [of]
            && let Some(round) = value.as_ref().and_then(number)
        {
            return Some((fill, round, true));
        }
    }
    let (_, fill, may_be_file) = FORMS.iter().find(|(of, ..)| *of == verb)?;
    let round = number(given.rest.first()?)?;
    given.rest.remove(0);
    Some((*fill, round, *may_be_file))
}
