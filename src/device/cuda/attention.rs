//! Launches of `kernels/attention_forward.cu` and `kernels/attention_backward.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::device::operators::Attended;
use crate::engine::attention::AttentionShape;
use crate::engine::memory::{Buffer, Part, PartMut};

/// The widest head that there are kernels for.
pub(super) const WIDEST: usize = 256;

/// A kernel: the rows of its tile, and its dynamic shared memory.
type Kernel = (&'static str, usize, u32);

const MAX: Kernel = ("attention_max", 128, 25_600);
/// For heads of up to 64, 128 and 256 elements.
const FORWARD: [Kernel; 3] =
    [("attention_64", 128, 76_288), ("attention_128", 64, 68_864), ("attention_256", 64, 58_624)];
const QUERIES: [Kernel; 3] =
    [("attention_dq_64", 128, 60_416), ("attention_dq_128", 64, 60_928), ("attention_dq_256", 64, 50_688)];
const KEYS: [Kernel; 3] =
    [("attention_dkv_64", 64, 61_444), ("attention_dkv_128", 64, 35_332), ("attention_dkv_256", 32, 42_500)];

/// The kernel for this width of heads.
fn of(kernels: [Kernel; 3], head_dim: usize) -> Kernel {
    assert!(head_dim <= WIDEST, "attention: heads of {head_dim} elements, on a GPU {WIDEST} at most");
    kernels[usize::from(head_dim > 64) + usize::from(head_dim > 128)]
}

/// The sizes as the kernels take them.
fn words(shape: &AttentionShape) -> [u32; 7] {
    let AttentionShape { sequences, seq_len, heads, kv_heads, head_dim, scale, window } = *shape;
    // A window as long as a sequence hides nothing.
    let window = window.filter(|&window| window < seq_len).unwrap_or(0);
    let size = |size: usize| i32::try_from(size).expect("a size of attention") as u32;
    let [sequences, seq_len, heads, kv_heads, head_dim, window] =
        [sequences, seq_len, heads, kv_heads, head_dim, window].map(size);
    [sequences, seq_len, heads, kv_heads, head_dim, window, scale.to_bits()]
}

fn launch(cuda: &Cuda, (kernel, rows, shared): Kernel, shape: &AttentionShape, tensors: &[u64]) {
    let blocks = shape.sequences * shape.heads * shape.seq_len.div_ceil(rows);
    let blocks = u32::try_from(blocks).expect("a grid's blocks");
    let words = words(shape);
    let mut args: Vec<Arg<'_>> = tensors.iter().copied().map(Arg::Address).collect();
    args.push(Arg::Struct(&words));
    cuda.launch(kernel, Grid { blocks: [blocks, 1, 1], threads: 128, shared }, &args);
}

fn check(shape: &AttentionShape, queries: &[usize], keys: &[usize], rows: &[usize]) {
    let AttentionShape { heads, kv_heads, head_dim, .. } = *shape;
    assert!(head_dim > 0 && kv_heads > 0 && heads.is_multiple_of(kv_heads), "attention: {shape:?}");
    assert!(shape.window != Some(0), "attention: a query sees itself: {shape:?}");
    let n = shape.tokens();
    assert!(queries.iter().all(|&len| len == n * heads * head_dim), "attention: queries and outputs of {shape:?}");
    assert!(keys.iter().all(|&len| len == n * kv_heads * head_dim), "attention: keys and values of {shape:?}");
    assert!(rows.iter().all(|&len| len == n * heads), "attention: row maxima and sums of {shape:?}");
}

pub(super) fn attention(
    cuda: &Cuda,
    shape: &AttentionShape,
    [q, k, v]: [Part<'_>; 3],
    out: PartMut<'_>,
    [row_max, row_sum]: [PartMut<'_>; 2],
) {
    check(shape, &[q.len(), out.len()], &[k.len(), v.len()], &[row_max.len(), row_sum.len()]);
    let [q, k, v] = [q.address(), k.address(), v.address()];
    let [out, row_max, row_sum] = [out.address(), row_max.address(), row_sum.address()];
    launch(cuda, MAX, shape, &[q, k, row_max]);
    launch(cuda, of(FORWARD, shape.head_dim), shape, &[q, k, v, row_max, out, row_sum]);
}

/// Scratch: the output's gradient over the row sums, and where heads share keys, the gradients of keys and values by query head.
pub(super) fn attention_backward(
    cuda: &Cuda,
    shape: &AttentionShape,
    of_what: &Attended<'_>,
    [dq, dk, dv]: [PartMut<'_>; 3],
) {
    let Attended { qkv: [q, k, v], out, rows: [row_max, row_sum], d_out } = *of_what;
    check(
        shape,
        &[q.len(), out.len(), d_out.len(), dq.len()],
        &[k.len(), v.len(), dk.len(), dv.len()],
        &[row_max.len(), row_sum.len()],
    );
    let (rows, elements, head_dim) = (row_max.len(), q.len(), shape.head_dim);
    let scaled: Buffer = cuda.room(elements);
    let deltas: Buffer = cuda.room(rows);
    let [scaled, deltas] = [&scaled, &deltas].map(|buffer| buffer.part(..).address());
    let tensors = [d_out.address(), out.address(), row_sum.address(), scaled, deltas].map(Arg::Address);
    let sizes = [Arg::size(head_dim), Arg::count(rows)];
    cuda.launch("attention_scaled", Grid { threads: 128, ..Grid::over(rows, 4) }, &[&tensors[..], &sizes].concat());
    let read = [q.address(), k.address(), v.address(), scaled, deltas, row_max.address()];
    launch(cuda, of(QUERIES, head_dim), shape, &[&read[..], &[dq.address()]].concat());

    let (keys, [dk_at, dv_at]) = (dk.len(), [dk.address(), dv.address()]);
    let kernel = of(KEYS, head_dim);
    if shape.group() == 1 {
        launch(cuda, kernel, shape, &[&read[..], &[dk_at, dv_at]].concat());
        return;
    }
    let by_head: [Buffer; 2] = [cuda.room(elements), cuda.room(elements)];
    let [dk_heads, dv_heads] = by_head.each_ref().map(|buffer| buffer.part(..).address());
    launch(cuda, kernel, shape, &[&read[..], &[dk_heads, dv_heads]].concat());
    let tensors = [dk_heads, dv_heads, dk_at, dv_at].map(Arg::Address);
    let sizes = [Arg::size(shape.group()), Arg::size(head_dim), Arg::count(keys)];
    cuda.launch("attention_heads", Grid::over(keys, 128), &[&tensors[..], &sizes].concat());
}
