//! Blocks and waiting transactions, in memory and on disk.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use lightning::bitcoin::absolute::LockTime;
use lightning::bitcoin::block::{Header, Version};
use lightning::bitcoin::consensus::encode::{deserialize, serialize};
use lightning::bitcoin::constants::genesis_block;
use lightning::bitcoin::hashes::Hash;
use lightning::bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, Witness, relative, script, transaction,
};

use crate::disk;
use crate::error::{Context, Error, IoContext, Result};

use super::FAUCET_MARK;

/// The chain's state.
pub struct Ledger {
    blocks: Vec<Block>,
    waiting: Vec<Transaction>,
    /// Unspent outputs, and the height of each.
    coins: HashMap<OutPoint, u32>,
    spent_faucet: HashSet<OutPoint>,
    confirmed: HashSet<Txid>,
    file: File,
    folder: PathBuf,
    seed: [u8; 32],
}

impl Ledger {
    /// Reads the chain in `folder`, or begins one. A block that was torn by a crash is dropped.
    pub fn open(folder: &Path, seed: [u8; 32]) -> Result<Ledger> {
        let path = folder.join("blocks");
        let text = disk::read_if_there(&path)?.unwrap_or_default();
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let file = OpenOptions::new().create(true).append(true).open(&path).path(&path)?;
        file.set_len(whole as u64).path(&path)?;
        let mut ledger = Ledger {
            blocks: vec![genesis_block(Network::Regtest)],
            waiting: Vec::new(),
            coins: HashMap::new(),
            spent_faucet: HashSet::new(),
            confirmed: HashSet::new(),
            file,
            folder: folder.to_owned(),
            seed,
        };
        for line in text[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let block: Block = decode(line).at(path.display())?;
            ledger.connect(block);
        }
        let path = folder.join("mempool");
        let text = disk::read_if_there(&path)?.unwrap_or_default();
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let tx: Transaction = decode(line).at(path.display())?;
            if !ledger.confirmed.contains(&tx.compute_txid()) {
                ledger.waiting.push(tx);
            }
        }
        Ok(ledger)
    }

    /// The height of the last block.
    pub fn height(&self) -> u32 {
        self.blocks.len() as u32 - 1
    }

    /// The block at a height.
    pub fn block(&self, height: u32) -> Option<&Block> {
        self.blocks.get(height as usize)
    }

    /// The hash of the last block.
    pub fn tip(&self) -> BlockHash {
        self.blocks.last().expect("the genesis block").block_hash()
    }

    /// Transactions that wait for a block.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes transactions in; those that are known already change nothing.
    pub fn accept(&mut self, txs: Vec<Transaction>) -> Result<()> {
        let mut known: HashSet<Txid> = self.waiting.iter().map(Transaction::compute_txid).collect();
        known.extend(&self.confirmed);
        let before = self.waiting.len();
        self.waiting.extend(txs.into_iter().filter(|tx| known.insert(tx.compute_txid())));
        if self.waiting.len() > before { self.save_waiting() } else { Ok(()) }
    }

    /// Mines a number of blocks; the first takes what waits and may be confirmed, the next what that frees.
    pub fn mine(&mut self, blocks: u32, now: u32) -> Result<()> {
        let mut lines = Vec::new();
        let waiting = self.waiting.len();
        for _ in 0..blocks {
            let block = self.next_block(now);
            lines.extend_from_slice(hex::encode(serialize(&block)).as_bytes());
            lines.push(b'\n');
            self.connect(block);
        }
        let path = self.folder.join("blocks");
        self.file.write_all(&lines).and_then(|()| self.file.sync_data()).path(&path)?;
        if self.waiting.len() < waiting { self.save_waiting() } else { Ok(()) }
    }

    fn save_waiting(&self) -> Result<()> {
        let lines: Vec<String> = self.waiting.iter().map(|tx| hex::encode(serialize(tx)) + "\n").collect();
        disk::replace(&self.folder.join("mempool"), lines.concat().as_bytes())
    }

    fn next_block(&mut self, now: u32) -> Block {
        let height = self.height() + 1;
        let mut txdata = vec![self.coinbase(height)];
        let mut fresh = HashMap::new();
        let mut gone = HashSet::new();
        let (mut ready, mut left) = (Vec::new(), Vec::new());
        for tx in std::mem::take(&mut self.waiting) {
            match self.judge(&tx, height, &fresh, &gone) {
                Verdict::Confirm => {
                    let txid = tx.compute_txid();
                    fresh.extend((0..tx.output.len() as u32).map(|vout| (OutPoint { txid, vout }, height)));
                    gone.extend(tx.input.iter().map(|i| i.previous_output));
                    ready.push(tx);
                }
                Verdict::Wait => left.push(tx),
                Verdict::Drop => {}
            }
        }
        self.waiting = left;
        txdata.extend(ready);
        let previous = self.blocks.last().expect("the genesis block").header;
        let header = Header {
            version: Version::NO_SOFT_FORK_SIGNALLING,
            prev_blockhash: previous.block_hash(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: now.max(previous.time + 1),
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        };
        let mut block = Block { header, txdata };
        block.header.merkle_root = block.compute_merkle_root().expect("a coinbase");
        while block.header.validate_pow(block.header.target()).is_err() {
            block.header.nonce += 1;
        }
        block
    }

    /// Nobody's coins; the seed in it makes the network's block hashes its own.
    fn coinbase(&self, height: u32) -> Transaction {
        let script_sig = script::Builder::new().push_int(height.into()).push_slice(self.seed).into_script();
        let input =
            TxIn { previous_output: OutPoint::null(), script_sig, sequence: Sequence::MAX, witness: Witness::new() };
        let output = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return([]) };
        Transaction {
            version: transaction::Version::ONE,
            lock_time: LockTime::ZERO,
            input: vec![input],
            output: vec![output],
        }
    }

    fn judge(
        &self,
        tx: &Transaction,
        height: u32,
        fresh: &HashMap<OutPoint, u32>,
        gone: &HashSet<OutPoint>,
    ) -> Verdict {
        for input in &tx.input {
            let coin = input.previous_output;
            let faucet = coin.txid.to_byte_array().starts_with(&FAUCET_MARK);
            let known = self.confirmed.contains(&coin.txid) || fresh.contains_key(&coin);
            let since = self.coins.get(&coin).or(fresh.get(&coin)).copied();
            let spent = gone.contains(&coin) || self.spent_faucet.contains(&coin) || (known && since.is_none());
            if spent {
                return Verdict::Drop;
            }
            if since.is_none() && !faucet {
                return Verdict::Wait;
            }
            if let (Some(since), Some(relative::LockTime::Blocks(blocks))) =
                (since, input.sequence.to_relative_lock_time())
                && tx.version.0 >= 2
                && since + u32::from(blocks.value()) > height
            {
                return Verdict::Wait;
            }
        }
        match tx.lock_time {
            LockTime::Blocks(lock) if tx.is_lock_time_enabled() && lock.to_consensus_u32() >= height => Verdict::Wait,
            _ => Verdict::Confirm,
        }
    }

    fn connect(&mut self, block: Block) {
        let height = self.blocks.len() as u32;
        for tx in &block.txdata {
            let txid = tx.compute_txid();
            for input in &tx.input {
                self.coins.remove(&input.previous_output);
                if input.previous_output.txid.to_byte_array().starts_with(&FAUCET_MARK) {
                    self.spent_faucet.insert(input.previous_output);
                }
            }
            self.coins.extend((0..tx.output.len() as u32).map(|vout| (OutPoint { txid, vout }, height)));
            self.confirmed.insert(txid);
        }
        self.blocks.push(block);
    }
}

/// What becomes of a transaction in a block.
enum Verdict {
    Confirm,
    Wait,
    Drop,
}

fn decode<T: lightning::bitcoin::consensus::Decodable>(line: &[u8]) -> Result<T> {
    let bytes = hex::decode(line).map_err(|e| Error::data(format!("expected hex: {e}")))?;
    deserialize(&bytes).map_err(|e| Error::data(format!("expected a block or transaction: {e}")))
}
