//! One digest for each operator, over fixed inputs: machines that give the same digests compute the same bits.

use super::adamw::AdamwStep;
use super::attention::AttentionShape;
use super::cross_entropy::NO_TARGET;
use super::inputs::Inputs;
use super::linear::Factor;
use super::machine::Engine;
use super::matmul::{Mat, MatMut, Start};
use super::philox::normal;
use super::rope::RopeTable;
use super::rope_scaling::{Linear, Llama3, RopeScaling, Yarn};

/// The digest of some tensors: BLAKE3 over their elements, little-endian, one tensor after the other.
fn digest(tensors: &[&[f32]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for tensor in tensors {
        let bytes: Vec<u8> = tensor.iter().flat_map(|x| x.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    *hasher.finalize().as_bytes()
}

/// The name and digest of every operator, forward and backward, as `engine` computes it, on small and ragged shapes.
pub fn operator_digests(engine: Engine) -> Vec<(&'static str, [u8; 32])> {
    vec![
        ("adamw", adamw(engine)),
        ("add", add(engine)),
        ("add_into", accumulate(engine, 2, Engine::add_into)),
        ("attention", attention(engine, false)),
        ("attention_backward", attention(engine, true)),
        ("attention_window", attention_window(engine, false)),
        ("attention_window_backward", attention_window(engine, true)),
        ("bias", bias(engine)),
        ("bias_backward", bias_backward(engine)),
        ("cross_entropy", cross_entropy(engine)),
        ("embedding", embedding(engine, false)),
        ("embedding_backward", embedding(engine, true)),
        ("exp", function(engine, 8, Engine::exp)),
        ("fma_into", accumulate(engine, 22, |engine, acc, x| engine.fma_into(acc, -0.83, x))),
        ("geglu", geglu(engine, false)),
        ("geglu_backward", geglu(engine, true)),
        ("integer_nn", product(engine, 26, Engine::integer_nn, [false, false])),
        ("integer_nt", product(engine, 27, Engine::integer_nt, [false, true])),
        ("integer_tn", product(engine, 28, Engine::integer_tn, [true, false])),
        ("log", function(engine, 9, Engine::log)),
        ("low_rank", low_rank(engine, false)),
        ("low_rank_backward", low_rank(engine, true)),
        ("matmul_nn", product(engine, 10, Engine::matmul_nn, [false, false])),
        ("matmul_nt", product(engine, 11, Engine::matmul_nt, [false, true])),
        ("matmul_tn", product(engine, 12, Engine::matmul_tn, [true, false])),
        ("normal", digest(&[&(0..300).map(|index| normal([13, 1], index)).collect::<Vec<_>>()])),
        ("rms_norm", rms_norm(engine, false)),
        ("rms_norm_backward", rms_norm(engine, true)),
        ("rms_scale", rms_scale(engine)),
        ("rope", rope(engine, Engine::rope)),
        ("rope_backward", rope(engine, Engine::rope_backward)),
        ("rope_table", rope_table()),
        ("rope_table_linear", stretched(RopeScaling::Linear(Linear { factor: 8.0 }))),
        ("rope_table_yarn", stretched(RopeScaling::Yarn(YARN))),
        ("scale", scale(engine)),
        ("sigmoid", function(engine, 18, Engine::sigmoid)),
        ("sub_from", accumulate(engine, 23, Engine::sub_from)),
        ("sum", sums(engine)),
        ("swiglu", swiglu(engine, false)),
        ("swiglu_backward", swiglu(engine, true)),
    ]
}

fn adamw(engine: Engine) -> [u8; 32] {
    let mut inputs = Inputs::of(1);
    let size = 1500;
    let [mut p, g, mut m, mut v] = [(); 4].map(|()| inputs.tensor(size));
    v.iter_mut().for_each(|v| *v = v.abs());
    let step = AdamwStep {
        clip: 0.71,
        beta1: 0.9,
        one_minus_beta1: 0.1,
        beta2: 0.95,
        one_minus_beta2: 0.05,
        bias1: 3.69,
        bias2_rsqrt: 2.65,
        eps: 1e-8,
        lr: 3e-4,
        decay: 0.999_97,
    };
    engine.adamw(&step, &mut p, &g, &mut m, &mut v);
    digest(&[&p, &m, &v])
}

fn accumulate(engine: Engine, operator: u32, run: impl Fn(Engine, &mut [f32], &[f32])) -> [u8; 32] {
    let mut inputs = Inputs::of(operator);
    let (mut acc, x) = (inputs.tensor(1001), inputs.tensor(1001));
    run(engine, &mut acc, &x);
    digest(&[&acc])
}

fn add(engine: Engine) -> [u8; 32] {
    let mut inputs = Inputs::of(24);
    let mut out = vec![0.0; 1001];
    engine.add(&inputs.tensor(1001), &inputs.tensor(1001), &mut out);
    digest(&[&out])
}

fn low_rank(engine: Engine, backward: bool) -> [u8; 32] {
    let (n, inner, out, rank) = (41, 203, 75, 5);
    let mut inputs = Inputs::of(if backward { 37 } else { 36 });
    let (a, b) = (inputs.tensor(rank * inner), inputs.tensor(out * rank));
    let (a, b) = (Factor::new(&a, inner), Factor::new(&b, rank));
    let mut u = vec![0.0; n * rank];
    if backward {
        engine.low_rank_backward(&inputs.tensor(n * out), b, 0.71, &mut u);
        return digest(&[&u]);
    }
    let mut y = inputs.tensor(n * out);
    engine.low_rank(Factor::new(&inputs.tensor(n * inner), inner), a, 0.71, &mut u);
    engine.low_rank_add(&u, b, &mut y);
    digest(&[&u, &y])
}

fn rms_scale(engine: Engine) -> [u8; 32] {
    let mut inputs = Inputs::of(25);
    let mut y = vec![0.0; 7 * 75];
    engine.rms_scale(&inputs.tensor(7 * 75), &inputs.tensor(75), &inputs.tensor(7), &mut y);
    digest(&[&y])
}

fn scale(engine: Engine) -> [u8; 32] {
    let mut x = Inputs::of(17).tensor(1001);
    engine.scale(&mut x, 0.37);
    digest(&[&x])
}

fn attention(engine: Engine, backward: bool) -> [u8; 32] {
    attention_within(engine, 3, None, AttentionShape::usual_scale(44), backward)
}

fn attention_window(engine: Engine, backward: bool) -> [u8; 32] {
    attention_within(engine, 29, Some(19), 0.21, backward)
}

fn attention_within(engine: Engine, number: u32, window: Option<usize>, scale: f32, backward: bool) -> [u8; 32] {
    let mut inputs = Inputs::of(number);
    let shape = AttentionShape { sequences: 2, seq_len: 77, heads: 4, kv_heads: 2, head_dim: 44, scale, window };
    let (wide, narrow, rows) = (shape.tokens() * 4 * 44, shape.tokens() * 2 * 44, shape.tokens() * 4);
    let [q, d_out] = [(); 2].map(|()| inputs.tensor(wide));
    let [k, v] = [(); 2].map(|()| inputs.tensor(narrow));
    let [mut out, mut dq] = [(); 2].map(|()| vec![0.0; wide]);
    let [mut dk, mut dv] = [(); 2].map(|()| vec![0.0; narrow]);
    let [mut row_max, mut row_sum] = [(); 2].map(|()| vec![0.0; rows]);
    engine.attention(&shape, &q, &k, &v, &mut out, &mut row_max, &mut row_sum);
    if !backward {
        return digest(&[&out, &row_max, &row_sum]);
    }
    engine.attention_backward(&shape, &q, &k, &v, &out, &row_max, &row_sum, &d_out, &mut dq, &mut dk, &mut dv);
    digest(&[&dq, &dk, &dv])
}

fn bias(engine: Engine) -> [u8; 32] {
    let mut inputs = Inputs::of(30);
    let mut x = inputs.tensor(39 * 203);
    engine.bias(&inputs.tensor(203), &mut x);
    digest(&[&x])
}

fn bias_backward(engine: Engine) -> [u8; 32] {
    let mut inputs = Inputs::of(31);
    let mut d_bias = inputs.tensor(203);
    engine.bias_backward(&inputs.tensor(39 * 203), 13, &mut d_bias);
    digest(&[&d_bias])
}

fn cross_entropy(engine: Engine) -> [u8; 32] {
    let mut inputs = Inputs::of(4);
    let (tokens, vocabulary) = (37, 1021);
    let mut logits = inputs.tensor(tokens * vocabulary);
    engine.scale(&mut logits, 3.0);
    let mut targets = inputs.tokens(tokens, vocabulary as u32);
    targets[5] = NO_TARGET;
    let [mut losses, mut alone] = [(); 2].map(|()| vec![0.0; tokens]);
    engine.cross_entropy_loss(&logits, vocabulary, &targets, &mut alone);
    engine.cross_entropy(&mut logits, vocabulary, &targets, 0.027, &mut losses);
    digest(&[&alone, &losses, &logits])
}

fn embedding(engine: Engine, backward: bool) -> [u8; 32] {
    let mut inputs = Inputs::of(5);
    let (rows, width, count) = (53, 71, 500);
    let mut table = inputs.tensor(rows * width);
    let tokens = inputs.tokens(count, rows as u32);
    let mut x = inputs.tensor(count * width);
    if backward {
        engine.embedding_backward(&x, width, &tokens, &mut table);
        digest(&[&table])
    } else {
        engine.embedding(&table, width, &tokens, &mut x);
        digest(&[&x])
    }
}

/// A function of one number, on normal-sized inputs and on bits of every exponent.
fn function(engine: Engine, number: u32, function: fn(Engine, &mut [f32])) -> [u8; 32] {
    let mut inputs = Inputs::of(number);
    let mut x = inputs.tensor(1000);
    engine.scale(&mut x, 20.0);
    x.extend(inputs.words(3001).map(f32::from_bits));
    function(engine, &mut x);
    // NaN has other bits elsewhere.
    x.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = f32::from_bits(0x7fc0_0000));
    digest(&[&x])
}

type Product = fn(Engine, Mat<'_>, Mat<'_>, MatMut<'_>, Start);

fn product(engine: Engine, number: u32, product: Product, transposed: [bool; 2]) -> [u8; 32] {
    let mut inputs = Inputs::of(number);
    let mut results = Vec::new();
    for (m, n, k) in [(1, 1, 3), (5, 37, 70), (103, 79, 331)] {
        let (a, b, mut c) = (inputs.tensor(m * k), inputs.tensor(k * n), inputs.tensor(m * n));
        let mat = |data, rows, cols, transposed| match transposed {
            false => Mat::new(data, rows, cols),
            true => Mat::new(data, cols, rows),
        };
        let (a, b) = (mat(&a, m, k, transposed[0]), mat(&b, k, n, transposed[1]));
        product(engine, a, b, MatMut::new(&mut c, m, n), Start::Accumulate);
        results.extend_from_slice(&c);
        product(engine, a, b, MatMut::new(&mut c, m, n), Start::Zero);
        results.extend_from_slice(&c);
    }
    digest(&[&results])
}

fn rms_norm(engine: Engine, backward: bool) -> [u8; 32] {
    let mut inputs = Inputs::of(14);
    let (seq_len, rows, d) = (13, 39, 203);
    let [x, dy, mut dx] = [(); 3].map(|()| inputs.tensor(rows * d));
    let [weight, mut d_weight] = [(); 2].map(|()| inputs.tensor(d));
    let (mut y, mut rinv) = (vec![0.0; rows * d], vec![0.0; rows]);
    engine.rms_norm(&x, &weight, 1e-5, &mut y, &mut rinv);
    if !backward {
        return digest(&[&y, &rinv]);
    }
    engine.rms_norm_backward(&x, &weight, &rinv, &dy, seq_len, &mut dx, &mut d_weight);
    digest(&[&dx, &d_weight])
}

fn rope(engine: Engine, rope: fn(Engine, &RopeTable, usize, &mut [f32])) -> [u8; 32] {
    let table = RopeTable::new(29, 46, 1e4, None);
    let mut x = Inputs::of(15).tensor(61 * 3 * 46);
    rope(engine, &table, 3 * 46, &mut x);
    digest(&[&x])
}

fn rope_table() -> [u8; 32] {
    let plain = RopeTable::new(64, 32, 1e4, None);
    let scaling =
        Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192.0 };
    let stretched = RopeTable::new(64, 64, 5e5, Some(RopeScaling::Llama3(scaling)));
    digest(&[plain.cos(), plain.sin(), stretched.cos(), stretched.sin()])
}

const YARN: Yarn = Yarn {
    factor: 4.0,
    original_max_position_embeddings: 512.0,
    beta_fast: 32.0,
    beta_slow: 1.0,
    truncate: true,
    attention_factor: 1.138_629_436_111_989,
};

fn stretched(scaling: RopeScaling) -> [u8; 32] {
    let table = RopeTable::new(64, 64, 5e5, Some(scaling));
    digest(&[table.cos(), table.sin()])
}

fn sums(engine: Engine) -> [u8; 32] {
    let mut inputs = Inputs::of(19);
    let mut results = Vec::new();
    for length in [0, 1, 31, 33, 1000, 9001] {
        let (x, y) = (inputs.tensor(length), inputs.tensor(length));
        results.extend([engine.sum(&x), engine.dot(&x, &y), engine.sum_squares(&x)]);
        results.extend([engine.tensor_sum(&x), engine.tensor_sum_squares(&x)]);
    }
    digest(&[&results])
}

fn geglu(engine: Engine, backward: bool) -> [u8; 32] {
    let mut inputs = Inputs::of(32);
    let [mut gate, mut up, mut hidden] = [(); 3].map(|()| inputs.tensor(1501));
    engine.scale(&mut gate, 10.0);
    if backward {
        engine.geglu_backward(&mut gate, &mut up, &mut hidden);
        digest(&[&gate, &up, &hidden])
    } else {
        engine.geglu(&gate, &up, &mut hidden);
        digest(&[&hidden])
    }
}

fn swiglu(engine: Engine, backward: bool) -> [u8; 32] {
    let mut inputs = Inputs::of(20);
    let [mut gate, mut up, mut hidden] = [(); 3].map(|()| inputs.tensor(1501));
    engine.scale(&mut gate, 10.0);
    if backward {
        engine.swiglu_backward(&mut gate, &mut up, &mut hidden);
        digest(&[&gate, &up, &hidden])
    } else {
        engine.swiglu(&gate, &up, &mut hidden);
        digest(&[&hidden])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::on_every_engine;

    #[test]
    fn every_engine_and_thread_count_has_the_digests_of_the_definitions() {
        let truth = operator_digests(Engine::definition());
        on_every_engine(|engine, _| {
            for ((name, ours), (_, truth)) in operator_digests(engine).iter().zip(&truth) {
                assert_eq!(ours, truth, "{name} on {engine:?}");
            }
        });
    }

    #[test]
    fn operators_are_named_once_and_in_order() {
        let names: Vec<&str> = operator_digests(Engine::detect()).iter().map(|(name, _)| *name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
    }
}
