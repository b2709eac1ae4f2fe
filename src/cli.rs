//! The command line: one tree, from which help, man pages and completions are made.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::command;
use crate::command::verbs::GLOBAL;
use crate::error::{Error, Kind, Result};
use crate::ui::{self, Ui, escape};

/// Train one language model together, verify it bit by bit, and be paid for it.
///
/// Each verb reads files and writes files, so a round of training is a shell pipeline, a Makefile, a cron job, or
/// a person typing. `-` is standard input or output. Standard output carries the artifact, standard error the talk.
#[derive(Debug, Parser)]
#[command(name = "l402", version, max_term_width = 100, after_help = EXIT_STATUS)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version, help_heading = GLOBAL)]
    version: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Exit codes, as the help and the manual list them.
pub const EXIT_STATUS: &str = "\
Exit status: 0 done or already done; 1 a definite no (mismatch, rejected); 2 usage; 65 malformed data; 66 missing \
input; 69 a node or a hub does not answer; 70 a bug of ours; 73 the output exists; 74 input or output failed; 75 try again later; \
130, 143 signals.";

/// The exit status of a panic, which is a bug of ours.
pub const PANICKED: u8 = 70;

/// Flags that every verb takes.
#[derive(Args, Debug)]
#[command(next_help_heading = GLOBAL)]
pub struct Global {
    /// The run folder, for what is given by its round: `l402 train 3 alice` [default: $L402_RUN, or the nearest folder upwards with a
    /// run.toml]
    #[arg(short = 'C', long = "run", global = true, value_name = "DIR")]
    pub run_folder: Option<PathBuf>,
    /// Threads to compute with; the bits do not depend on it [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice for the details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print help; -h prints a summary
    #[arg(short, long, global = true, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// The verbs, one file each in `command/`. Their help is the documentation of their `Args`: a comment here would
/// replace it.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Verb {
    New(command::new::Args),
    Recipe(command::recipe::Args),
    Roster(command::roster::Args),
    Beacon(command::beacon::Args),
    Pull(command::pull::Args),
    Shard(command::shard::Args),
    Assign(command::assign::Args),
    Init(command::init::Args),
    Train(command::train::Args),
    Commit(command::commit::Args),
    Open(command::open::Args),
    Replay(command::replay::Args),
    Attest(command::attest::Args),
    Score(command::score::Args),
    Aggregate(command::aggregate::Args),
    Export(command::export::Args),
    Merge(command::merge::Args),
    Sample(command::sample::Args),
    Inspect(command::inspect::Args),
    Log(command::log::Args),
    Compress(command::compress::Args),
    Invoice(command::invoice::Args),
    Settle(command::settle::Args),
    Audit(command::audit::Args),
    Status(command::status::Args),
    Explain(command::explain::Args),
    Report(command::report::Args),
    Key(command::key::Args),
    Devnet(command::devnet::Args),
    Selftest(command::selftest::Args),
    Completions(command::completions::Args),
    Man(command::man::Args),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self, ui: &Ui) -> Result<()> {
        let threads = self.global.threads.map_or(0, usize::from);
        if threads > 0 {
            build_pool(threads)?;
        }
        match self.verb {
            Verb::New(args) => on_the_pool(threads, || command::new::run(&args, ui)),
            Verb::Recipe(args) => command::recipe::run(&args, ui),
            Verb::Roster(args) => command::roster::run(&args, ui),
            Verb::Beacon(args) => command::beacon::run(&args, ui),
            Verb::Pull(args) => command::pull::run(&args, ui),
            Verb::Shard(args) => on_the_pool(threads, || command::shard::run(&args, ui)),
            Verb::Assign(args) => command::assign::run(&args, ui),
            Verb::Init(args) => on_the_pool(threads, || command::init::run(&args, ui)),
            Verb::Train(args) => on_the_pool(threads, || command::train::run(&args, ui)),
            Verb::Commit(args) => command::commit::run(&args, ui),
            Verb::Open(args) => on_the_pool(threads, || command::open::run(&args, ui)),
            Verb::Replay(args) if args.all => on_the_pool(threads, || command::replay_all::run(&args, ui, &replay_of)),
            Verb::Replay(args) => on_the_pool(threads, || command::replay::run(&args, ui)),
            Verb::Attest(args) => command::attest::run(&args, ui),
            Verb::Score(args) => on_the_pool(threads, || command::score::run(&args, ui)),
            Verb::Aggregate(args) => on_the_pool(threads, || command::aggregate::run(&args, ui)),
            Verb::Export(args) => command::export::run(&args, ui),
            Verb::Merge(args) => on_the_pool(threads, || command::merge::run(&args, ui)),
            Verb::Sample(args) => on_the_pool(threads, || command::sample::run(&args, ui)),
            Verb::Inspect(args) => command::inspect::run(&args, ui),
            Verb::Log(args) => command::log::run(&args, ui),
            Verb::Compress(args) => on_the_pool(threads, || command::compress::run(&args, ui)),
            Verb::Invoice(args) => command::invoice::run(&args, ui),
            Verb::Settle(args) => command::settle::run(&args, ui),
            Verb::Audit(args) => on_the_pool(threads, || command::audit::run(&args, ui)),
            Verb::Status(args) => on_the_pool(threads, || command::status::run(&args, ui)),
            Verb::Explain(args) => command::explain::run(&args, ui),
            Verb::Report(args) => on_the_pool(threads, || command::report::run(&args, ui)),
            Verb::Key(args) => command::key::run(&args, ui),
            Verb::Devnet(args) => command::devnet::run(&args, ui),
            Verb::Selftest(args) => on_the_pool(threads, || command::selftest::run(&args, ui)),
            Verb::Completions(args) => command::completions::run(&args),
            Verb::Man(args) => command::man::run(&args, &tree()),
        }
    }
}

/// Runs a verb that computes on one of the pool's own threads: from any other, each of the thousands of parallel regions of a
/// step would wake one of them and go to sleep.
fn on_the_pool(threads: usize, verb: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    build_pool(threads)?;
    rayon::scope(|_| verb())
}

/// The arguments of a replay of one worker's update, where the command line asks for all of a round.
fn replay_of(worker: &str) -> Result<command::replay::Args> {
    let words = command::place::for_worker(std::env::args_os().collect(), &built(), worker)?;
    let parsed = parse_from(words).map_err(|error| Error::new(Kind::Usage, error.render().to_string()))?;
    match parsed.verb {
        Verb::Replay(args) => Ok(args),
        _ => Err(Error::bug("a replay is no replay")),
    }
}

/// The tree with everything in it that clap adds.
fn built() -> clap::Command {
    let mut tree = tolerant(Cli::command());
    tree.build();
    tree
}

/// As many threads as asked for, or (0) as there are cores. The pool is the process's: where several command lines run in one,
/// the first decides.
fn build_pool(threads: usize) -> Result<()> {
    static POOL: OnceLock<Option<String>> = OnceLock::new();
    let build = || rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build_global();
    match POOL.get_or_init(|| build().err().map(|error| error.to_string())) {
        None => Ok(()),
        Some(error) => Err(Error::new(Kind::Bug, format!("the thread pool: {error}"))),
    }
}

/// Bytes of a thread's stack: as many as `main` has.
const STACK: usize = 8 << 20;

/// The whole command line, its verbs in order and under their headings.
pub fn tree() -> clap::Command {
    command::place::told(command::verbs::arranged(Cli::command()))
}

/// The tree as it is parsed: `-1` after a flag is its value, and no flag that nobody knows.
fn tolerant(command: clap::Command) -> clap::Command {
    let negative = |arg: Arg| if arg.is_positional() { arg } else { arg.allow_negative_numbers(true) };
    let takes_value = |arg: Arg| if arg.get_action().takes_values() { negative(arg) } else { arg };
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    names.into_iter().fold(command.mut_args(takes_value), |command, name| command.mut_subcommand(name, tolerant))
}

/// Adds what is expected where something that is no whole number was given.
fn explained(mut error: clap::Error) -> clap::Error {
    if error.source().is_some_and(|source| source.is::<ParseIntError>()) {
        let tip = ContextValue::StyledStrs(vec!["a whole number is expected, 0, 1, 2, ...".into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn parse_from<T: Into<OsString> + Clone>(words: impl IntoIterator<Item = T>) -> std::result::Result<Cli, clap::Error> {
    let parsed = tolerant(tree()).try_get_matches_from(words);
    parsed.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(explained)
}

/// Answers a shell that asks how a line can go on; then there is nothing else to do.
pub fn complete() -> Result<bool> {
    command::completions::answer(tree())
}

/// Parses the command line, or the one that a short form stands for; what there is to say (help, version, an error) is already
/// printed.
pub fn parse() -> std::result::Result<Cli, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let words = command::place::expand(words, &built()).map_err(|error| {
        Ui::new(false, 0).error(&error);
        ExitCode::from(error.kind().exit_code())
    })?;
    parse_from(words).map_err(|error| {
        let said = if error.use_stderr() { refuse(error) } else { tell(&error) };
        let code = said.unwrap_or_else(|error| {
            Ui::new(false, 0).error(&error);
            error.kind().exit_code()
        });
        ExitCode::from(code)
    })
}

/// Prints the help or the version.
fn tell(said: &clap::Error) -> Result<u8> {
    ui::check()?;
    let printed = said.print().and_then(|()| std::io::stdout().flush());
    printed.map(|()| 0).map_err(|e| Error::io("standard output", &e))
}

/// Prints what is wrong with the command line. It repeats parts of it: so it is said of one in which everything can be shown.
fn refuse(error: clap::Error) -> Result<u8> {
    let given: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let shown: Vec<String> = given.iter().map(|arg| escape::line(arg)).collect();
    let error = match parse_from(&shown) {
        _ if shown == given => error,
        Err(shown) if shown.use_stderr() => shown,
        _ => tree().error(error.kind(), "it holds characters that cannot be shown"),
    };
    // Nobody is left to be told when standard error is closed.
    let _ = error.print();
    Ok(2)
}
