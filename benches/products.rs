//! A linear layer's three products in both arithmetics, on one thread, interleaved: `cargo bench --bench products`.
//!
//! Each line is a layer of a model of the shapes that `just bench` uses: how many times a second it multiplies and adds, and
//! what the second arithmetic does beside the first. The shortest of some runs counts: other people's work only adds.

use std::time::Instant;

use l402::engine::linear::Factor;
use l402::engine::{Arithmetic, Engine, Isa, Start};

/// Tokens of a micro-batch, and of a sequence.
const TOKENS: usize = 1024;
const SEQ_LEN: usize = 512;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    let mut engine = Engine::detect();
    if has("--avx2") {
        engine = Engine::with_isa(Isa::Avx2).expect("the processor has AVX2");
    }
    if has("--no-vnni") {
        engine = engine.without_fused_dot();
    }
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is not built yet");
    println!("{engine:?}; GMAC/s of arithmetic 1 and 2, and their ratio\n");
    println!("| layer (in to out) | forward | | | input gradient | | | weight gradient | | |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let only: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
    for (inner, out) in [
        (128, 512),
        (256, 512),
        (384, 512),
        (512, 512),
        (512, 1376),
        (1376, 512),
        (512, 10752),
        (576, 1536),
        (1536, 576),
        (576, 49152),
    ] {
        if !only.is_empty() && only != [inner, out] {
            continue;
        }
        // A head is worked on in chunks.
        let tokens = if out > 8192 { 256 } else { TOKENS };
        print!("| {inner} to {out} ");
        line(engine, inner, out, tokens);
        println!("|");
    }
}

fn line(engine: Engine, inner: usize, out: usize, tokens: usize) {
    let normal = |count: usize, seed: u32| -> Vec<f32> {
        (0..count as u64).map(|i| l402::engine::philox::normal([seed, 402], i)).collect()
    };
    let (x, w, dy) = (normal(tokens * inner, 1), normal(out * inner, 2), normal(tokens * out, 3));
    let (mut y, mut dx, mut dw) = (vec![0.0; tokens * out], vec![0.0; tokens * inner], vec![0.0; out * inner]);
    let macs = (tokens * inner * out) as f64;
    let both = [Arithmetic::Float, Arithmetic::Integer];
    let mut best = [[f64::INFINITY; 2]; 3];
    for _ in 0..6 {
        for (i, arithmetic) in both.into_iter().enumerate() {
            let mut time = |which: usize, run: &mut dyn FnMut()| {
                let began = Instant::now();
                run();
                best[which][i] = best[which][i].min(began.elapsed().as_secs_f64());
            };
            time(0, &mut || engine.linear(arithmetic, Factor::new(&x, inner), Factor::new(&w, inner), &mut y));
            time(1, &mut || {
                engine.linear_input_gradient(arithmetic, &dy, Factor::new(&w, inner), &mut dx, Start::Zero)
            });
            time(2, &mut || {
                engine.linear_weight_gradient(
                    arithmetic,
                    Factor::new(&x, inner),
                    &dy,
                    0..tokens,
                    SEQ_LEN.min(tokens),
                    &mut dw,
                )
            });
        }
    }
    for [float, integer] in best {
        print!("| {:.1} | {:.1} | {:.2} ", macs / float / 1e9, macs / integer / 1e9, float / integer);
    }
}
