//! Launches of `kernels/cross_entropy.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::engine::memory::{Part, PartMut};

/// Threads of a row.
const THREADS: u32 = 1024;

fn check(logits: usize, vocabulary: usize, targets: usize, losses: usize) {
    assert!(vocabulary > 0, "cross_entropy: a vocabulary of at least one token");
    assert_eq!(logits, targets * vocabulary, "cross_entropy: a row of {vocabulary} for each target");
    assert_eq!(losses, targets, "cross_entropy: a loss for each target");
}

pub(super) fn cross_entropy(
    cuda: &Cuda,
    logits: PartMut<'_>,
    vocabulary: usize,
    targets: Part<'_, u32>,
    scale: f32,
    losses: PartMut<'_>,
) {
    let rows = targets.len();
    check(logits.len(), vocabulary, rows, losses.len());
    let [z, targets, losses] = [logits.address(), targets.address(), losses.address()].map(Arg::Address);
    let args = [z, Arg::size(vocabulary), targets, Arg::Float(scale), losses, Arg::size(rows)];
    cuda.launch("cross_entropy", Grid::over(rows * THREADS as usize, THREADS), &args);
}

pub(super) fn cross_entropy_loss(
    cuda: &Cuda,
    logits: Part<'_>,
    vocabulary: usize,
    targets: Part<'_, u32>,
    losses: PartMut<'_>,
) {
    let rows = targets.len();
    check(logits.len(), vocabulary, rows, losses.len());
    let [z, targets, losses] = [logits.address(), targets.address(), losses.address()].map(Arg::Address);
    let args = [z, Arg::size(vocabulary), targets, losses, Arg::size(rows)];
    cuda.launch("cross_entropy_loss", Grid::over(rows * THREADS as usize, THREADS), &args);
}
