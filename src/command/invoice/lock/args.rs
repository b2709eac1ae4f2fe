//! What `l402 invoice lock` is asked.

use std::path::PathBuf;

use crate::command::escrow::EscrowArgs;
use crate::command::invoice::pins::{JudgeArg, WorkerPins};
use crate::pay::MAX_DELAY;

/// Pay the workers' invoices, and thereby lock the money: it waits at their nodes until the verdict.
///
/// Everything is checked before anything is paid: each field of each invoice, the budget, HTLC slots, dust, money and
/// fees, and whether a worker still sits on payments whose time is over. A worker is locked whole or not at all, and one that
/// is not holds up nobody else: a line says why. Payments go on when this ends. Run again it begins what is not begun, and
/// never pays twice.
///
/// Exit status 0: all is locked, or on its way; 75: for some worker not yet, by what may pass until lock_by: its channel is
/// full of what is in flight, its node refuses (it may see another height), there is no route. 1: for some worker never, its
/// invoices being wrong, late, expired or cancelled, or its channel too small.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The workers' `invoices` records: files, or folders with their `*.jsonl`. Each file is read by itself, and one that is
    /// malformed is left out
    #[arg(value_name = "INVOICES", required = true)]
    pub(super) invoices: Vec<PathBuf>,
    /// The offers; as often as there are files
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) offers: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) judge: JudgeArg,
    #[command(flatten)]
    pub(super) workers: WorkerPins,
    /// The most that the round may bind and cost, fees among it
    #[arg(long, value_name = "MSAT")]
    pub(super) budget_msat: u64,
    /// The most that a rung's route may cost, in msat beside --max-fee-ppm
    #[arg(long, value_name = "MSAT", default_value_t = 5000)]
    pub(super) max_fee_base: u64,
    /// The most that a rung's route may cost, in millionths of the rung
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub(super) max_fee_ppm: u64,
    /// The most blocks that a payment may be locked for, its route among it
    #[arg(long, value_name = "BLOCKS", default_value_t = 1008, value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_DELAY)))]
    pub(super) max_delay: u32,
    /// HTLCs that a channel takes; Core Lightning's max-concurrent-htlcs
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(super) max_htlcs: u32,
    /// Dust that a channel takes; a little under Core Lightning's max-dust-htlc-exposure-msat of 50,000 sat
    #[arg(long, value_name = "MSAT", default_value_t = 47_000_000)]
    pub(super) max_dust_msat: u64,
    /// Print every rung's state as JSON Lines
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) escrow: EscrowArgs,
}
