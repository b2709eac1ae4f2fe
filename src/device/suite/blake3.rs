//! Roots of tensors where they lie. The host hashes what it reads itself: here the plain definition stands in for it.

use super::case::{Case, Check, all};
use crate::engine::memory::Buffer;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("blake3", roots)];

fn leaf(values: impl Iterator<Item = f32>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("l402/merkle/leaf/1");
    values.for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    *hasher.finalize().as_bytes()
}

fn node(pair: &[[u8; 32]]) -> [u8; 32] {
    let [left, right] = pair else { return pair[0] };
    *blake3::Hasher::new_derive_key("l402/merkle/node/1").update(left).update(right).finalize().as_bytes()
}

/// The root over the chunks of a tensor: blocks of 64 x 64 of a matrix, else runs of 4096.
pub(in crate::engine) fn root(values: &[f32], shape: &[usize]) -> [u8; 32] {
    let (rows, columns, row_side) = match *shape {
        [rows, columns] => (rows, columns, 64),
        _ => (1, values.len(), 1),
    };
    let mut level = Vec::new();
    for row in (0..rows).step_by(row_side) {
        for column in (0..columns).step_by(4096 / row_side) {
            let rows = row..rows.min(row + row_side);
            let columns_of = column..columns.min(column + 4096 / row_side);
            level.push(leaf(rows.flat_map(|r| values[r * columns..][columns_of.clone()].iter().copied())));
        }
    }
    if level.is_empty() {
        level.push(leaf(std::iter::empty()));
    }
    while level.len() > 1 {
        level = level.chunks(2).map(node).collect();
    }
    level[0]
}

/// A digest as numbers that are compared.
fn seen(on: &super::On<'_>, roots: &[[u8; 32]]) -> Buffer {
    on.buffer(&roots.concat().into_iter().map(f32::from).collect::<Vec<_>>())
}

fn roots(case: &mut Case<'_>) -> Result<()> {
    let some = [9000, 400, 90].map(|most| case.up_to(most));
    let shapes: [&[usize]; 12] = [
        &[1],
        &[0],
        &[257],
        &[4096],
        &some[..1],
        &[64, 64],
        &[65, 66],
        &some[1..],
        &[0, 5],
        &[3, 5, 700],
        &[64 * 40 + 3, 2],
        &[1, 5],
    ];
    for gap in [0, 1] {
        let mut n = 0;
        let tensors = shapes.map(|shape| {
            n += gap + shape.iter().product::<usize>();
            (n - shape.iter().product::<usize>(), shape)
        });
        let x = case.tensor(n);
        case.compare(&format!("tensors of {shapes:?}, {gap} elements between them"), |on| {
            let flat = on.buffer(&x);
            let roots = on.tensor_roots(all(&flat), &tensors)?.unwrap_or_else(|| {
                let root = |&(begin, shape): &(usize, &[usize])| root(&x[begin..][..shape.iter().product()], shape);
                tensors.iter().map(root).collect()
            });
            Ok(vec![seen(on, &roots)])
        })?;
    }
    Ok(())
}
