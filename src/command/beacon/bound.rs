//! A beacon that is bound to a block: the list is closed by a record that names the block, and the beacon is its hash.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::artifact::beacon::{Closed, NamedBlock, Purpose};
use crate::artifact::{Recipe, record};
use crate::command::assign::{load_shards, roster};
use crate::command::headers::{Chain, ChainArgs};
use crate::data::RosterClosing;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{Outcome, Target, read_text_within};
use crate::pay::NodeSigner;
use crate::score::{Drawn, ListClosing};
use crate::ui::Ui;

/// From one look at the chain to the next.
const PAUSE: Duration = Duration::from_secs(2);

/// What a bound beacon is made from.
#[derive(clap::Args, Debug)]
pub(super) struct BoundArgs {
    /// The record that closes the list and names the block: `roster-closing.jsonl` of beacon a, which is made where it is not
    /// there; `closing.jsonl` of beacon b, which `commit --close` makes
    #[arg(long, value_name = "FILE")]
    closing: Option<PathBuf>,
    /// The run's recipe
    #[arg(long, value_name = "FILE", requires = "closing")]
    recipe: Option<PathBuf>,
    /// The round
    #[arg(long, value_name = "N", requires = "closing", value_parser = clap::value_parser!(u64).range(..1 << 53))]
    round: Option<u64>,
    /// The folder that `shard` made
    #[arg(long, value_name = "DIR", requires = "closing")]
    shards: Option<PathBuf>,
    /// Who works: `a,b=PUBLICKEY,c`, or a file of `roster` records, its name ending in .jsonl or containing a slash
    #[arg(long, value_name = "LIST|FILE", requires = "closing")]
    workers: Option<String>,
    /// How many blocks after the closing the named one comes
    #[arg(long, value_name = "BLOCKS", default_value_t = AHEAD, value_parser = clap::value_parser!(u32).range(1..=2016))]
    ahead: u32,
    /// Wait until the block is there, for so many seconds [default with the flag: 3600]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600", require_equals = true, value_parser = clap::value_parser!(u64).range(..1 << 32))]
    wait: Option<u64>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// How many blocks after its closing a list's beacon comes, where nobody says.
pub const AHEAD: u32 = 3;

/// Makes the beacon, once its block is there; until then that is a matter of trying again.
pub(super) fn run(args: &BoundArgs, purpose: Purpose, target: &Target, ui: &Ui) -> Result<()> {
    let Some(path) = &args.closing else {
        return Err(Error::usage(format!("--closing: expected the record that closes the list of beacon {purpose}")));
    };
    let mut chain = args.chain.open()?;
    let there = target.kept().filter(|there| there.is_file());
    let closing = match (purpose, path.exists(), there) {
        // What closed the list of a beacon that is there stands beside it: there is no second word.
        (Purpose::A, false, Some(there)) => read(there, purpose)?,
        (Purpose::A, false, None) => close(args, path, &mut chain, ui)?,
        _ => {
            let closing = read(path, purpose)?;
            if purpose == Purpose::A {
                ui.say(format!("{}: closed already: the block that it names stays", path.display()));
            }
            closing
        }
    };
    let name = path.display().to_string();
    let closed = closing.closed(&name)?;
    closed.check().at(&name)?;
    chain.require(&closed.block)?;
    if let Some(there) = there {
        return agrees(there, &closed, &closing, ui);
    }
    wait(&mut chain, &closed, args.wait, ui)?;
    let headers = (closed.height..=closed.block.height).map(|height| chain.header(height)).collect::<Result<_>>()?;
    let beacon = closed.beacon(headers)?;
    target.make_folder()?;
    let text = line(&closing)? + &record::line(&beacon)?;
    if target.write_text(&text)? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    Ok(())
}

fn read(path: &std::path::Path, purpose: Purpose) -> Result<ListClosing> {
    ListClosing::of(&record::read_lines(path)?, purpose, &path.display().to_string())
}

fn line(closing: &ListClosing) -> Result<String> {
    match closing {
        ListClosing::Roster(closing) => record::line(closing),
        ListClosing::Commitments(closing) => record::line(closing),
    }
}

/// Signs which roster and shards the round begins with, and which block its first beacon comes from: once, whatever comes later.
fn close(args: &BoundArgs, path: &std::path::Path, chain: &mut Chain, ui: &Ui) -> Result<ListClosing> {
    let (Some(recipe), Some(round), Some(shards), Some(workers)) =
        (&args.recipe, args.round, &args.shards, &args.workers)
    else {
        let flags = "expected --recipe, --round, --shards and --workers, to close them";
        return Err(Error::usage(format!("{}: no such file: {flags}", path.display())));
    };
    let Chain::Node(node) = chain else {
        return Err(Error::usage("--headers: expected a node, which signs that the roster is closed"));
    };
    let recipe = Recipe::load(recipe)?;
    let manifest = load_shards(shards, &recipe)?;
    let (roster, shards) = RosterClosing::digests(&roster(workers)?, &manifest)?;
    let (height, network) = (node.info().height, node.info().network.clone());
    let mut closing = RosterClosing {
        run: recipe.digest(),
        round,
        roster,
        shards,
        height,
        block: NamedBlock { height: height + args.ahead, network },
        coordinator: node.info().id.to_string(),
        sig: None,
    };
    record::sign(&mut closing, &NodeSigner(RefCell::new(node)))?;
    let target = Target::new(Some(path), false);
    target.make_folder()?;
    match target.write_text(&record::line(&closing)?) {
        Ok(_) => {
            ui.say(format!(
                "round {round}: the roster is closed at height {height}: beacon a is block {}",
                closing.block.height
            ));
            Ok(ListClosing::Roster(closing))
        }
        // Another process has closed it at the same time: the first one's stays.
        Err(error) if error.kind() == Kind::Exists => read(path, Purpose::A),
        Err(error) => Err(error),
    }
}

fn wait(chain: &mut Chain, closed: &Closed, seconds: Option<u64>, ui: &Ui) -> Result<()> {
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let Closed { purpose, round, block, .. } = closed;
    let mut said = false;
    loop {
        let tip = chain.tip()?;
        if tip >= block.height {
            return Ok(());
        }
        let (Chain::Node(node), Some(until)) = (&*chain, until.filter(|until| Instant::now() < *until)) else {
            return Err(Error::try_again(format!(
                "beacon {purpose} of round {round}: block {} is not there yet, the chain is at {tip}",
                block.height
            )));
        };
        if !said {
            ui.say(format!(
                "beacon {purpose} of round {round}: waits for block {}, the chain is at {tip}",
                block.height
            ));
            said = true;
        }
        node.pause(PAUSE.min(until - Instant::now()));
    }
}

/// A beacon that is there stays: one of the same closing is up to date, another is refused (73).
fn agrees(path: &std::path::Path, closed: &Closed, closing: &ListClosing, ui: &Ui) -> Result<()> {
    let name = path.display().to_string();
    let text = read_text_within(path, crate::artifact::Room::any().bytes)?;
    let drawn = Drawn::parse(&name, &text, &closed.run, closed.round, closed.purpose)?;
    if drawn.bound.is_some_and(|bound| bound.closing == *closing) {
        ui.say(format!("{name}: up to date"));
        return Ok(());
    }
    Err(Error::new(Kind::Exists, format!("{name}: exists, and is not the beacon of this closing"))
        .hint("a beacon that was drawn is never another: another value needs another round"))
}
