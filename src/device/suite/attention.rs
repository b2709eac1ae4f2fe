//! Attention, there and back.

use super::case::{Case, Check, all};
use crate::device::operators::Attended;
use crate::engine::attention::AttentionShape;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("attention", attention), ("attention_backward", attention_backward)];

/// Heads of every width that has kernels of its own, ragged sequences of more than a tile, groups of heads, windows.
fn shapes(case: &mut Case<'_>) -> Vec<AttentionShape> {
    let shape = |sequences, seq_len, heads, kv_heads, head_dim, window| AttentionShape {
        sequences,
        seq_len,
        heads,
        kv_heads,
        head_dim,
        scale: AttentionShape::usual_scale(head_dim),
        window,
    };
    let [long, short] = [200, 70].map(|most| case.up_to(most));
    let window = Some(case.up_to(40));
    vec![
        shape(1, 1, 1, 1, 8, None),
        shape(2, short, 4, 2, 16, None),
        shape(1, long, 2, 1, 64, None),
        shape(1, 300, 1, 1, 24, window),
        shape(1, short, 3, 3, 96, window),
        shape(1, short, 2, 1, 128, None),
        shape(1, short, 1, 1, 7, None),
        shape(1, 70, 2, 1, 256, window),
    ]
}

fn attention(case: &mut Case<'_>) -> Result<()> {
    for shape in shapes(case) {
        let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
        let (n, keys) = (shape.tokens(), shape.tokens() * kv_heads * head_dim);
        let (q, k, v) = (case.tensor(n * heads * head_dim), case.tensor(keys), case.tensor(1 + keys));
        // Values that are not on 16 bytes.
        let from = case.up_to(2) - 1;
        case.compare(&format!("{shape:?}, from {from}"), |on| {
            let [q, k, v] = [&q, &k, &v].map(|values| on.buffer(values));
            let mut out = on.zeros(n * heads * head_dim);
            let [mut row_max, mut row_sum] = [(); 2].map(|()| on.zeros(n * heads));
            let values = v.part(from..from + keys);
            let rows = [row_max.part_mut(..), row_sum.part_mut(..)];
            on.attention(&shape, [all(&q), all(&k), values], out.part_mut(..), rows);
            Ok(vec![row_max, row_sum, out])
        })?;
    }
    Ok(())
}

fn attention_backward(case: &mut Case<'_>) -> Result<()> {
    for shape in shapes(case) {
        let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
        let (n, queries) = (shape.tokens(), shape.tokens() * heads * head_dim);
        let keys = n * kv_heads * head_dim;
        let [q, d_out] = [(); 2].map(|()| case.tensor(queries));
        let [k, v] = [(); 2].map(|()| case.tensor(keys));
        case.compare(&format!("{shape:?}"), |on| {
            let [q, k, v, d_out] = [&q, &k, &v, &d_out].map(|values| on.buffer(values));
            let [mut out, mut dq] = [(); 2].map(|()| on.zeros(queries));
            let [mut dk, mut dv] = [(); 2].map(|()| on.zeros(keys));
            let [mut row_max, mut row_sum] = [(); 2].map(|()| on.zeros(n * heads));
            let qkv = || [all(&q), all(&k), all(&v)];
            on.attention(&shape, qkv(), out.part_mut(..), [row_max.part_mut(..), row_sum.part_mut(..)]);
            let rows = [all(&row_max), all(&row_sum)];
            let of = Attended { qkv: qkv(), out: all(&out), rows, d_out: all(&d_out) };
            on.attention_backward(&shape, &of, [dq.part_mut(..), dk.part_mut(..), dv.part_mut(..)]);
            Ok(vec![dq, dk, dv])
        })?;
    }
    Ok(())
}
