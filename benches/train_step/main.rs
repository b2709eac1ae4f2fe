//! Whole train steps (forward, backward, clip, AdamW) on one thread: ours, candle's, and the machine's FMA peak beside them.
//!
//! One JSON line when ready, one a step. With `--drive` a step is made for each line of stdin, so that
//! `benches/compare.py` can interleave several processes step by step. The first step of a process warms up.

#![allow(unsafe_code)]

#[path = "../peers/candle_llama.rs"]
mod candle_llama;
mod engines;
mod pace;
mod peak;
mod shape;
mod shares;

use clap::{Parser, ValueEnum};
use l402::engine::{Engine as Operators, Isa};
use pace::Pace;
use serde_json::json;
use shape::Shape;

/// Train steps of named shapes, as JSON lines.
#[derive(Parser)]
struct Args {
    /// What makes the steps
    #[arg(long, value_enum, default_value_t = Engine::Ours)]
    engine: Engine,
    /// A shape of benches/shapes.json
    #[arg(long, default_value = "5.3M")]
    shape: String,
    /// Steps to make, the first of which warms up
    #[arg(long, default_value_t = 6)]
    steps: u32,
    /// A step for each line of stdin instead
    #[arg(long, conflicts_with = "steps")]
    drive: bool,
    /// Tokens of a sequence, instead of the shape's
    #[arg(long)]
    seq_len: Option<usize>,
    /// Tokens of a step, instead of the shape's: one run each
    #[arg(long, value_delimiter = ',', conflicts_with = "drive")]
    tokens: Vec<usize>,
    /// Our arithmetic contract
    #[arg(long, default_value_t = 1)]
    arithmetic: u32,
    /// Sequences computed at a time by our engine
    #[arg(long)]
    micro_batch: Option<usize>,
    /// Our memory for activations, in MiB
    #[arg(long, default_value_t = 2048)]
    activation_memory: u64,
    /// AVX2 without VNNI on a processor that has more
    #[arg(long, hide = true)]
    avx2: bool,
    /// Measure the FMA peak, and no train step
    #[arg(long)]
    peak: bool,
    /// Each operator's share of one step, run operator by operator and sequence by sequence as a dispute's referee would
    #[arg(long)]
    shares: bool,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    /// `optimizer::run_round`
    Ours,
    /// candle's differentiable operators
    Candle,
}

/// Our operators, on what is asked for.
fn operators(args: &Args) -> Operators {
    match args.avx2 {
        true => Operators::with_isa(Isa::Avx2).expect("the processor has AVX2").without_fused_dot(),
        false => Operators::detect(),
    }
}

/// What the system says that the processor is.
fn machine() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = about.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let fields = ["model name", "cpu family", "model\t"].map(|name| field(name).unwrap_or_else(|| "?".into()));
    format!("{}, family {} model {}", fields[0], fields[1], fields[2])
}

fn main() {
    // SAFETY: no other thread runs yet. candle asks this variable how many threads to use.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is built once");
    let args = Args::parse();
    if args.peak {
        let mut pace = Pace::new(
            args.drive,
            args.steps,
            json!({"engine": "peak", "isa": peak::name(args.avx2), "machine": machine()}),
        );
        while pace.wait() {
            let gflops = peak::measure(args.avx2);
            pace.done(json!({ "gflops": gflops }));
        }
        return;
    }
    let shape = Shape::named(&args.shape, args.seq_len);
    if args.shares {
        return shares::print(&shape, &args);
    }
    let batches: Vec<usize> = match args.tokens.is_empty() {
        true => vec![shape.batch],
        false => args.tokens.iter().map(|n| n.div_ceil(shape.seq_len)).collect(),
    };
    for batch in batches {
        let shape = Shape { batch, ..shape.clone() };
        match args.engine {
            Engine::Ours => engines::ours(&shape, &args),
            Engine::Candle => engines::candle(&shape, &args).expect("candle computes the step"),
        }
    }
}
