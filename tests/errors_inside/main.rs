//! Errors that no command line alone brings about, word by word: of paid rounds at nodes that misbehave, and of rules that are
//! given what no file says.
//!
//! The nodes are a devnet's; where one is to misbehave, a socket before it gives other answers. What is said of offers, of
//! payments, of commitments and of money has a file each. `L402_REGENERATE=1` writes what is said into them.

#[path = "../common/mod.rs"]
mod common;
mod liar;
mod lock;
mod money;
mod offers;
mod rules;
mod said;
mod work;

use common::devnet::Devnet;
use common::escrow::{Pair, Round, Socket, Table};
use l402::artifact::record::{self, Record, Signed, Signer};
use l402::error::Result;
use l402::pay::{NodeId, Offer};
use liar::{Liar, Lie};
use said::Said;
use serde_json::json;

/// What is changed of a record, in words, and how.
pub type Change<T> = (&'static str, fn(&mut T));

/// A devnet of two, and a table at it.
struct Bank {
    pair: Pair,
    table: Table,
    devnet: Devnet,
}

impl Bank {
    fn open() -> Bank {
        let devnet = Devnet::up(2, "");
        let pair = devnet.pair(1, 2);
        Bank { table: Table::new(&pair), pair, devnet }
    }

    fn round(&self, name: &str) -> Round<'_> {
        self.table.round(&self.pair, name)
    }

    fn said(&self) -> Said<'_> {
        let mut said = Said::in_world(&self.table.world);
        said.call(self.devnet.dir(), "NET");
        said
    }

    /// The payer's node, or the payee's, behind a socket that lies.
    fn lies(&self, said: &mut Said<'_>, payers: bool, lies: &'static [(&'static str, Lie)]) -> (Liar, String) {
        let node = if payers { &self.pair.payer } else { &self.pair.payee };
        let liar = Liar::new(&node.0, lies);
        said.call(liar.path(), "NODE");
        let arg = Socket(liar.path()).arg();
        (liar, arg)
    }

    /// A step's command line at a socket that lies.
    fn at(&self, round: &Round<'_>, step: &str, payers: bool, liar: &str) -> String {
        let node = if payers { &self.pair.payer } else { &self.pair.payee };
        round.args(step).replace(&node.arg(), liar)
    }

    /// Writes a record, changed, and signed by a node all the same.
    fn forge<R: Signed + Clone>(&self, by: &Socket, file: &str, mut record: R) {
        record::sign(&mut record, &ByNode(by)).unwrap();
        self.table.world.write(file, record::line(&record).unwrap().as_bytes());
    }

    /// The first record of this type in a file.
    fn read<R: Record>(&self, file: &str) -> R {
        let lines = record::read_lines(&self.table.world.path(file)).unwrap();
        record::select::<R>(&lines).unwrap().remove(0)
    }

    /// The round's offer, changed before the judge signs it.
    fn other_offer(&self, round: &Round<'_>, change: impl FnOnce(&mut Offer)) {
        let mut offer: Offer = self.read(&round.file("offers.jsonl"));
        change(&mut offer);
        self.forge(self.pair.judge(), "other.jsonl", offer);
    }
}

/// A node as who signs.
struct ByNode<'a>(&'a Socket);

impl Signer for ByNode<'_> {
    fn public(&self) -> lightning::bitcoin::secp256k1::PublicKey {
        self.0.id().parse::<NodeId>().unwrap().0
    }

    fn sign_message(&self, message: &str) -> Result<String> {
        let answer = self.0.ask("signmessage", json!({ "message": message }));
        Ok(answer["zbase"].as_str().unwrap().to_owned())
    }
}
