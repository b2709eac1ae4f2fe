//! `l402 devnet`: the embedded Lightning network.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Subcommand;
use l402_devnet::{Channel, Devnet, MAX_NODES, Network, NodeStatus, Process, parse_channel, run_chain, run_node};
use serde_json::json;

use crate::error::{Error, IoContext, Kind, Result};
use crate::ui::{self, Page, Ui};

/// A Lightning network on this machine, for trying and testing: no real money.
///
/// Real Lightning nodes (LDK) with real channels on a simulated chain, one process a node and one for the chain. Each node is
/// a folder, DIR/n1, DIR/n2, ..., with a socket `lightning-rpc` that speaks Core Lightning's JSON-RPC and the methods of its
/// hold invoice plugin, so that whatever speaks to Core Lightning can be tried on it. Processes may be killed at any time;
/// `up` brings them back with their channels and held payments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the network in DIR, or bring back what of it does not run
    ///
    /// Returns when all channels are usable and known to all nodes. Run again it changes nothing; another description of
    /// a network that exists is refused (73).
    Up(UpArgs),
    /// Stop all processes; `up` restores everything
    Down(DirArgs),
    /// Mine blocks, and return when every node that runs has processed them
    ///
    /// Prints the height and the hash of the last block. Hashes depend on a seed that is drawn when a network is made:
    /// nobody knows them before.
    Mine(MineArgs),
    /// Print nodes, channels and balances
    Status(DirArgs),
    #[command(hide = true)]
    RunNode { dir: PathBuf, name: String },
    #[command(hide = true)]
    RunChain { dir: PathBuf },
}

#[derive(clap::Args, Debug)]
struct DirArgs {
    /// The network's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct UpArgs {
    #[command(flatten)]
    common: DirArgs,
    /// How many nodes [default: 2, or those that are there]
    #[arg(long, value_name = "N", value_parser = nodes)]
    nodes: Option<usize>,
    /// A channel that A opens to B, as in n1-n2; again for more [default: from n1 to each other node]
    ///
    /// sat=N is its size [default: 10000000], push-sat=N what B gets of it at once [default: a fifth]; `unannounced`
    /// keeps it from the network, so that payments over it need a route hint.
    #[arg(long = "channel", value_name = "A-B[,sat=N][,push-sat=N][,unannounced]", value_parser = parse_channel)]
    channels: Vec<Channel>,
    /// HTLCs that each side of a channel accepts [default: 483; Core Lightning on mainnet has 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=483))]
    max_concurrent_htlcs: Option<u16>,
}

#[derive(clap::Args, Debug)]
struct MineArgs {
    /// The network's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// How many
    #[arg(value_name = "BLOCKS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    blocks: u32,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

fn nodes(text: &str) -> std::result::Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=MAX_NODES).contains(n));
    number.ok_or_else(|| format!("expected 1 to {MAX_NODES} nodes"))
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    match &args.verb {
        Verb::Up(args) => up(args, ui),
        Verb::Down(args) => Devnet::open_locked(&args.dir)?.down(),
        Verb::Mine(args) => mine(args),
        Verb::Status(args) => print_status(&Devnet::open(&args.dir)?, args.json),
        Verb::RunNode { dir, name } => run_node(dir, name),
        Verb::RunChain { dir } => run_chain(dir),
    }
}

fn up(args: &UpArgs, ui: &Ui) -> Result<()> {
    ui::check()?;
    let asked = args.nodes.is_some() || !args.channels.is_empty() || args.max_concurrent_htlcs.is_some();
    let devnet = Devnet::create(&args.common.dir, |there| {
        let Some(there) = there else {
            return describe(args, 2, 483).map(Some);
        };
        if asked && !there.same_shape(&describe(args, there.nodes.len(), there.max_concurrent_htlcs)?) {
            let message = format!("{}: another network is here", args.common.dir.display());
            return Err(Error::new(Kind::Exists, message).hint("name it without flags to bring it up"));
        }
        Ok(None)
    })?;
    ui.detail(format!("{} nodes, {} channels", devnet.network().nodes.len(), devnet.network().channels.len()));
    let dir = std::fs::canonicalize(&args.common.dir).path(&args.common.dir)?;
    devnet.up(&|process, folder| spawn(process, &dir, folder))?;
    print_status(&devnet, args.common.json)
}

fn describe(args: &UpArgs, nodes: usize, htlcs: u16) -> Result<Network> {
    Network::new(args.nodes.unwrap_or(nodes), &args.channels, args.max_concurrent_htlcs.unwrap_or(htlcs))
}

/// Starts a process that outlives this one, in a group of its own so that no terminal's signal reaches it.
fn spawn(process: Process<'_>, dir: &Path, folder: &Path) -> Result<Child> {
    let program = std::env::current_exe().map_err(|e| Error::io("this program", &e))?;
    let log = folder.join("log");
    let log_file = OpenOptions::new().create(true).append(true).open(&log).path(&log)?;
    let mut command = Command::new(&program);
    command.arg("devnet");
    match process {
        Process::Chain => command.arg("run-chain").arg(dir),
        Process::Node(name) => command.arg("run-node").arg(dir).arg(name),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file).process_group(0).current_dir("/");
    command.spawn().path(&program)
}

fn mine(args: &MineArgs) -> Result<()> {
    ui::check()?;
    let tip = Devnet::open(&args.dir)?.mine(args.blocks)?;
    let mut page = Page::default();
    if args.json {
        page.json(&json!({ "type": "block", "v": 1, "height": tip.height, "hash": tip.hash }).to_string());
    } else {
        page.line(format!("{} {}", tip.height, tip.hash));
    }
    page.print()
}

fn print_status(devnet: &Devnet, json: bool) -> Result<()> {
    let nodes = devnet.status()?;
    let tip = devnet.tip();
    let mut page = Page::default();
    if json {
        let height = tip.as_ref().map(|t| t.height);
        let hash = tip.as_ref().map(|t| t.hash.as_str());
        let chain = json!({ "type": "chain", "v": 1, "alive": tip.is_some(), "height": height, "hash": hash });
        page.json(&chain.to_string());
        for node in &nodes {
            let mut record = serde_json::to_value(node).expect("strings and numbers");
            record["type"] = "node".into();
            record["v"] = 1.into();
            page.json(&record.to_string());
        }
    } else {
        page.line(tip.map_or("chain  down".to_owned(), |t| format!("chain  height {} {}", t.height, t.hash)));
        nodes.iter().for_each(|node| describe_node(node, &mut page));
    }
    page.print()
}

fn describe_node(node: &NodeStatus, page: &mut Page) {
    let height = node.height.map_or("down".to_owned(), |h| format!("height {h}"));
    page.line(format!("{}  {height}  {}  {}", node.name, node.id, node.folder));
    for c in &node.channels {
        page.line(format!(
            "    {}  {}  {}{}  {} of {} msat  {} HTLCs",
            c.peer,
            c.short_channel_id.as_deref().unwrap_or("-"),
            c.state,
            if c.connected { "" } else { ", not connected" },
            c.to_us_msat,
            c.total_msat,
            c.htlcs
        ));
    }
}
