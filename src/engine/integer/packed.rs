//! Operands as integers, in the order in which the kernel reads them: for one product, or for all that take the same.

use super::quantise;
use crate::engine::machine::{Engine, Kernel, Pair, Simd};
use crate::engine::matmul::{Mat, Operand};
use crate::engine::scratch::{self, Room};
use rayon::prelude::*;
use std::cell::{Cell, OnceCell};

/// Pairs that a thread quantises at a time.
const TASK: usize = 1 << 14;

/// An operand's vectors as integers, and what an integer of each is worth.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub pairs: &'a [Pair],
    pub steps: &'a [f32],
}

/// An operand of a product, and where its integers stay, if they do.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Side<'a> {
    pub operand: Operand<'a>,
    pub slot: Option<&'a Slot>,
}

impl<'a> From<Operand<'a>> for Side<'a> {
    fn from(operand: Operand<'a>) -> Side<'a> {
        Side { operand, slot: None }
    }
}

/// One operand's integers: made by the first product that asks for them, in memory that is kept.
#[derive(Default)]
pub(in crate::engine) struct Slot {
    made: OnceCell<Rooms>,
    spare: Cell<Rooms>,
}

#[derive(Default)]
struct Rooms {
    pairs: Room<Pair>,
    steps: Room<f32>,
}

impl Slot {
    /// The operand changes.
    pub fn forget(&mut self) {
        if let Some(rooms) = self.made.take() {
            self.spare.set(rooms);
        }
    }

    /// So many pairs and steps, which `make` has made.
    pub(super) fn get(&self, pairs: usize, steps: usize, make: impl FnOnce(&mut [Pair], &mut [f32])) -> Packed<'_> {
        let rooms = self.made.get_or_init(|| {
            let mut rooms = self.spare.take();
            make(rooms.pairs.of(pairs), rooms.steps.of(steps));
            rooms
        });
        Packed { pairs: rooms.pairs.first(pairs), steps: rooms.steps.first(steps) }
    }
}

impl Engine {
    /// Rows of the left operand that k runs along, all of them.
    pub(super) fn quantise_left(self, k: usize, a: Mat<'_>, pairs: &mut [Pair], steps: &mut [f32], parallel: bool) {
        let length = k.div_ceil(2);
        let rows = if parallel { TASK.div_ceil(length) } else { steps.len() };
        let task = |(i, (room, steps)): (usize, (&mut [Pair], &mut [f32]))| {
            self.dispatch(LeftRows { x: &a.data[i * rows * a.ld..], ld: a.ld, k, room, steps });
        };
        if parallel {
            pairs.par_chunks_mut(rows * length).zip(steps.par_chunks_mut(rows)).enumerate().for_each(task);
        } else {
            task((0, (pairs, steps)));
        }
    }

    /// Columns of the right operand from `first` on, as panels of NR.
    pub(super) fn quantise_right<const NR: usize>(
        self,
        k: usize,
        b: Operand<'_>,
        first: usize,
        panels: &mut [Pair],
        steps: &mut [f32],
        parallel: bool,
    ) {
        let pairs = k.div_ceil(2);
        let Mat { data, ld, .. } = b.mat;
        // A task takes some panels.
        let width = if parallel { TASK.div_ceil(pairs * NR).max(1) * NR } else { steps.len().next_multiple_of(NR) };
        let task = |(i, (panels, steps)): (usize, (&mut [Pair], &mut [f32]))| {
            let first = first + i * width;
            if b.k_along_rows {
                scratch::with(NR * pairs, |room| {
                    self.dispatch(RightRows::<NR> { x: &data[first * ld..], ld, k, room, panels, steps });
                });
            } else {
                self.dispatch(Columns::<NR> { x: &data[first..], ld, k, panels, steps });
            }
        };
        if parallel {
            let parts = panels.par_chunks_mut(width * pairs).zip(steps.par_chunks_mut(width));
            parts.enumerate().for_each(task);
        } else {
            task((0, (panels, steps)));
        }
    }
}

/// Rows of the left operand, row after row.
pub(super) struct LeftRows<'a> {
    pub x: &'a [f32],
    pub ld: usize,
    pub k: usize,
    pub room: &'a mut [Pair],
    pub steps: &'a mut [f32],
}

impl Kernel for LeftRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.room.chunks_exact_mut(self.k.div_ceil(2)).zip(self.steps);
        for (i, (row, step)) in rows.enumerate() {
            *step = quantise::row(&self.x[i * self.ld..][..self.k], row);
        }
    }
}

/// Rows of the right operand, as panels of NR.
struct RightRows<'a, const NR: usize> {
    x: &'a [f32],
    ld: usize,
    k: usize,
    room: &'a mut [Pair],
    panels: &'a mut [Pair],
    steps: &'a mut [f32],
}

impl<const NR: usize> Kernel for RightRows<'_, NR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let panels = self.panels.chunks_exact_mut(NR * self.k.div_ceil(2)).zip(self.steps.chunks_mut(NR));
        for (i, (panel, steps)) in panels.enumerate() {
            let x = &self.x[i * NR * self.ld..];
            quantise::rows(simd, x, self.ld, self.k, NR, self.room, panel, steps);
        }
    }
}

/// Columns of an operand, as panels of W.
pub(super) struct Columns<'a, const W: usize> {
    pub x: &'a [f32],
    pub ld: usize,
    pub k: usize,
    pub panels: &'a mut [Pair],
    pub steps: &'a mut [f32],
}

impl<const W: usize> Kernel for Columns<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        quantise::columns::<W>(self.x, self.ld, self.k, self.panels, self.steps);
    }
}
