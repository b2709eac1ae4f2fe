//! A party's escrow folder: its secret, the run's instance, and the journal that every step stands in before it is
//! taken.
//!
//! The journal's head is also left with the node, in its datastore. So a journal that was deleted, or put back from an
//! older copy, is noticed: nothing is offered, locked, judged or claimed on books that have forgotten something.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::node::NodeArgs;
use crate::artifact::record::{self, Signed};
use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::fsio::{AppendFile, LockedDir, random, read_private, write_secret};
use crate::pay::{Entry, EscrowSecret, Head, Instance, Journal, Ledger, Node, NodeId, NodeSigner};
use crate::ui::Ui;

/// The folder and the node.
#[derive(clap::Args, Debug)]
pub struct EscrowArgs {
    /// This party's own folder of secret, instance and journal; keep it, and keep it to yourself
    #[arg(help_heading = "Escrow and node", long, value_name = "DIR", default_value = "escrow")]
    pub escrow: PathBuf,
    #[command(flatten)]
    pub node: NodeArgs,
    /// Print what would be asked of the node, as JSON Lines, and do nothing
    #[arg(help_heading = "Escrow and node", long)]
    pub dry_run: bool,
}

impl EscrowArgs {
    /// Opens the folder, making it where `create` says so.
    pub fn open(&self, create: bool, ui: &Ui) -> Result<Escrow> {
        Escrow::open(&self.escrow, self.node.connect()?, create, self.dry_run, ui)
    }
}

/// An open escrow folder, with its node.
pub struct Escrow {
    /// The node.
    pub node: Node,
    /// The books.
    pub ledger: Ledger,
    /// The secret.
    pub secret: EscrowSecret,
    /// The run folder's own number.
    pub instance: Instance,
    head: Head,
    /// How often the head that the node keeps was changed.
    generation: Option<u64>,
    // The lock goes last.
    file: Option<AppendFile>,
    _folder: Option<LockedDir>,
}

/// Where the head is kept with the node.
fn anchor_key(instance: &Instance) -> [String; 3] {
    ["l402".to_owned(), "journal".to_owned(), instance.to_string()]
}

impl Escrow {
    fn open(path: &Path, mut node: Node, create: bool, dry_run: bool, ui: &Ui) -> Result<Escrow> {
        if !path.exists() && dry_run && create {
            let (secret, instance) = (EscrowSecret::parse(&hex::encode(random::<32>()?))?, Instance(random()?));
            let (ledger, head) = (Ledger::default(), Head::start());
            let generation = None;
            let mut escrow = Escrow { node, ledger, secret, instance, head, generation, file: None, _folder: None };
            escrow.ledger.apply(&Entry::Opened { instance, node: escrow.id() })?;
            return Ok(escrow);
        }
        let folder = LockedDir::open(path, create && !dry_run)?;
        // Beside a journal a new secret would open nothing that was ever offered.
        let create = create && !dry_run && !has_journal(folder.path())?;
        let secret = load(&folder.path().join("secret"), create)?;
        let secret = EscrowSecret::parse(&secret).at(folder.path().join("secret").display())?;
        let instance = load(&folder.path().join("instance"), create)?;
        let instance: Instance = instance.trim_end().parse().at(folder.path().join("instance").display())?;
        let name = folder.path().join(format!("journal-{}.jsonl", &node.info().id.to_string()[..16]));
        let place = name.display().to_string();
        let (mut file, bytes) = if dry_run && !name.exists() {
            (None, Vec::new())
        } else {
            let (file, bytes) = AppendFile::open(&name)?;
            (Some(file), bytes)
        };
        let journal = Journal::parse(&bytes).at(&place)?;
        let anchor = node.anchor(&anchor_key(&instance))?;
        if let Some((anchor, _)) = anchor
            && !journal.passed(&anchor)
        {
            return Err(Error::data(format!(
                "{place}: expected the journal that the node remembers, {} entries long at least, found {}",
                anchor.length,
                journal.entries.len()
            ))
            .hint("a journal was deleted or put back from an old copy: with it one would pay or reveal twice"));
        }
        if journal.valid_len < bytes.len() as u64 {
            ui.say(format!("{place}: the last line was cut off in a crash; it was never acted upon and is removed"));
            if let Some(file) = file.as_mut().filter(|_| !dry_run) {
                file.truncate(journal.valid_len)?;
            }
        }
        let ledger = Ledger::replay(&journal.entries).at(&place)?;
        let head = journal.head();
        let file = file.filter(|_| !dry_run);
        let generation = anchor.map(|(_, generation)| generation);
        let mut escrow = Escrow { node, ledger, secret, instance, head, generation, file, _folder: Some(folder) };
        match escrow.ledger.owner() {
            None => escrow.record(vec![Entry::Opened { instance, node: escrow.id() }])?,
            Some(owner) if owner == (instance, escrow.id()) => {}
            Some((of, by)) => {
                return Err(Error::data(format!(
                    "{place}: expected the journal of instance {instance} and node {}, found that of {of} and {by}",
                    escrow.id()
                )));
            }
        }
        Ok(escrow)
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.node.info().id
    }

    /// The chain's height, as the node last said.
    pub fn height(&self) -> u32 {
        self.node.info().height
    }

    /// Takes entries into the books and the journal. When this returns they are on disk and the node knows how far the
    /// journal has come; only then may anybody act on them. In a dry run they are in the books alone.
    pub fn record(&mut self, entries: Vec<Entry>) -> Result<()> {
        let (mut text, mut head) = (String::new(), self.head);
        for entry in &entries {
            self.ledger.apply(entry)?;
            let (line, next) = Journal::line(&head, entry)?;
            text += &line;
            head = next;
        }
        let Some(file) = self.file.as_mut().filter(|_| !entries.is_empty()) else {
            return Ok(());
        };
        file.append(text.as_bytes())?;
        self.head = head;
        self.generation = Some(self.node.set_anchor(&anchor_key(&self.instance), &head, self.generation)?);
        Ok(())
    }

    /// Signs a record with the node's key.
    pub fn sign<R: Signed + Clone>(&mut self, message: &mut R) -> Result<()> {
        record::sign(message, &NodeSigner(RefCell::new(&mut self.node)))
    }
}

fn has_journal(folder: &Path) -> Result<bool> {
    let names = std::fs::read_dir(folder).path(folder)?;
    Ok(names.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("journal-")))
}

/// Reads a file of 32 bytes in hex, made of the system's noise where there is none yet.
fn load(path: &Path, create: bool) -> Result<String> {
    if !path.exists() && create {
        write_secret(path, format!("{}\n", hex::encode(random::<32>()?)).as_bytes())?;
    }
    read_private(path)
}

/// The secret of an escrow folder, for what needs no journal.
pub fn secret(folder: &Path) -> Result<EscrowSecret> {
    let path = folder.join("secret");
    let text = read_private(&path).map_err(|error| match error.kind() {
        Kind::Missing => error.hint("`l402 invoice issue` makes the escrow folder; --escrow names it"),
        _ => error,
    })?;
    EscrowSecret::parse(&text).at(path.display())
}
