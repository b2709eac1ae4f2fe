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
use crate::fsio;
use crate::ui::Ui;
use form::Form;
use given::{Given, Mistyped};
pub use run::{Run, VARIABLE};

/// What fills in a short form.
type Fill = fn(&mut Form) -> Result<()>;

/// The verbs that have a short form, how it is written, what fills it in, and whether files may stand in the round's place.
const FORMS: [(&[&str], &str, Fill, bool); 14] = [
    (&["beacon"], "N a|b", Form::bound_beacon, false),
    (&["assign"], "N", Form::assign, false),
    (&["train"], "N WORKER", Form::train, false),
    (&["compress"], "N WORKER [IN]", Form::compress, true),
    (&["commit"], "N WORKER [--reveal] | --receive N | --close N", Form::commit, true),
    (&["open"], "N WORKER", Form::open, false),
    (&["replay"], "N WORKER [VALIDATOR] | N --all", Form::replay, false),
    (&["score"], "N [VALIDATOR] | N --consensus", Form::score, true),
    (&["aggregate"], "N", Form::aggregate, true),
    (&["invoice", "offer"], "N", Form::offer, false),
    (&["invoice", "issue"], "N WORKER", Form::issue, true),
    (&["invoice", "lock"], "N --budget-msat <MSAT>", Form::lock, true),
    (&["invoice", "status"], "N [WORKER]", Form::status, false),
    (&["settle"], "N | --claim N WORKER", Form::settle, false),
];

/// The tree whose usage lines say the short forms too, before the long ones.
pub fn told(tree: Command) -> Command {
    let mut built = tree.clone();
    built.build();
    let tree = below(tree, &["audit"], Box::new(|verb| verb.override_usage("l402 audit [OPTIONS] [RUN]")));
    let usage = [("check", "l402 recipe check [OPTIONS] [FILE]..."), ("show", "l402 recipe show [OPTIONS] [FILE]")];
    let tree = usage.into_iter().fold(tree, |tree, (step, usage)| {
        below(tree, &["recipe", step], Box::new(move |verb| verb.override_usage(usage)))
    });
    // What is changed goes to the end: the last one too, so that they stay in their order.
    let tree = below(tree, &["recipe", "diff"], Box::new(|verb| verb));
    FORMS.iter().fold(tree, |tree, (verb, short, ..)| {
        let found = verb.iter().try_fold(&built, |level, name| level.find_subcommand(name));
        let Some(found) = found else { return tree };
        let long = found.clone().render_usage().to_string();
        let long = long.trim_start_matches("Usage:").trim();
        let usage = format!("l402 {} [OPTIONS] {short}    (round N, in a run folder)\n       {long}", verb.join(" "));
        below(tree, verb, Box::new(|verb| verb.override_usage(usage)))
    })
}

/// The tree as a shell completes it: of the verbs that take no files the round and the worker of a short form have their places.
pub fn with_places(tree: Command) -> Command {
    FORMS.iter().filter(|(.., may_be_file)| !may_be_file).fold(tree, |tree, (verb, short, ..)| {
        let worker = short.contains("WORKER");
        below(
            tree,
            verb,
            Box::new(move |verb| {
                let verb = verb.arg(clap::Arg::new("round_of").value_name("N"));
                if worker { verb.arg(clap::Arg::new("worker_of").value_name("WORKER")) } else { verb }
            }),
        )
    })
}

/// Changes a verb, however deep it stands.
fn below(tree: Command, verb: &[&str], change: Box<dyn FnOnce(Command) -> Command>) -> Command {
    match verb {
        [] => change(tree),
        [name, rest @ ..] => tree.mut_subcommand(*name, |level| below(level, rest, change)),
    }
}

/// Flags in whose value the round of a short form stands: `commit --receive 3`, `commit --close 3`, `settle --claim 3 alice`.
const BY_FLAG: [(&str, &str, Fill); 3] =
    [("commit", "close", Form::close), ("commit", "receive", Form::receive), ("settle", "claim", Form::claim)];

/// Verbs about a whole run, which they take in the first place, and how much follows it.
const OF_A_RUN: [(&str, usize); 6] =
    [("audit", 0), ("explain", 2), ("recipe check", 0), ("recipe show", 0), ("report", 0), ("status", 0)];

/// The command line that this one stands for, with everything that it leaves to the run folder.
pub fn expand(words: Vec<OsString>, tree: &Command) -> Result<Vec<OsString>> {
    let mut given = match Given::take(&words, tree) {
        Ok(given) => given,
        Err(wrong) => return mistyped(&words, &wrong).map_or(Ok(words), Err),
    };
    let ui = Ui::new(given.has("quiet"), given.times("verbose"));
    let Some((fill, round, may_be_file)) = form(&mut given) else {
        let verb = given.verb.join(" ");
        if OF_A_RUN.iter().any(|(of, more)| *of == verb && given.rest.len() == *more)
            && let Some(run) = Run::find(given.value("run").map(Path::new))?
        {
            given.remove("run");
            // Its own folder says who judges where nobody else is named; whether anybody made it up is for --coordinator to say.
            if verb == "audit"
                && run.judge() == "judge"
                && let Some(judge) = run.public("judge")?
            {
                given.fill("judge", judge);
            }
            let what = if verb.starts_with("recipe") { run.recipe() } else { run.root().to_owned() };
            given.rest.insert(0, what.into());
            return Ok(given.words());
        }
        if OF_A_RUN.iter().any(|(of, more)| *of == verb && given.rest.len() == *more) {
            return Err(outside("no run.toml here or in a folder above"));
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
        return Err(outside(&format!("round {round}: no run.toml here or in a folder above")));
    };
    let mut form = Form::new(run, round, given, ui)?;
    fill(&mut form)?;
    let given = words;
    let words = form.given.words();
    // What the form has filled in is there by others' doing.
    for word in words.iter().filter(|word| !given.contains(word)) {
        let named = word.to_str().and_then(|word| word.strip_prefix("--")?.split_once('='));
        fsio::found(named.map_or(Path::new(word), |(_, value)| Path::new(value)));
    }
    let shown: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ui.detail(format!("as: l402 {}", shown.join(" ")));
    Ok(words)
}

/// Whether a command line is a short form, and knows its flags.
pub fn is_short(words: &[String], tree: &Command) -> bool {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    Given::take(&words, tree).is_ok_and(|mut given| form(&mut given).is_some())
}

/// Neither in a run folder nor told of one.
fn outside(what: &str) -> Error {
    Error::usage(what)
        .hint(format!("--run DIR or {VARIABLE} names the run folder; outside of one every file is named by its flag"))
}

/// What is wrong with a short form that was mistyped: the tree of the long forms would stumble over its round. Nothing where it is
/// none.
fn mistyped(words: &[OsString], Mistyped { said, wrong }: &Mistyped) -> Option<Error> {
    let verbs: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let is = |of: &&[&str]| of.iter().all(|name| verbs.contains(name));
    let short =
        FORMS.iter().map(|(of, ..)| of).any(is) && verbs.iter().any(|word| canonical::integer::<u64>(word).is_some());
    if !short || !wrong {
        return None;
    }
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = Error::usage(lines.next()?.trim_start_matches("error: "));
    Some(match lines.find_map(|line| line.strip_prefix("tip: ")) {
        Some(tip) => error.hint(tip),
        None => error,
    })
}

/// The command line that a short form of all workers, `replay 3 --all`, stands for with one of them.
pub fn for_worker(words: Vec<OsString>, tree: &Command, worker: &str) -> Result<Vec<OsString>> {
    let mut given = Given::take(&words, tree).map_err(|_| Error::bug("a command line that was parsed is none"))?;
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
    let (.., fill, may_be_file) = FORMS.iter().find(|(of, ..)| *of == verb)?;
    let round = number(given.rest.first()?)?;
    given.rest.remove(0);
    Some((*fill, round, *may_be_file))
}
