//! What codecs cost: encoding and decoding of float32 on one thread beside copying memory, and what is left of the bytes.
//!
//! `cargo bench --bench codecs -- [CODEC...]` on a matrix of 64 MiB; medians of interleaved runs, MB of float32 a second.

use std::hint::black_box;
use std::time::Instant;

use l402::artifact::recipe::{CodecName, CodecRecipe};
use l402::codec::{SquaredError, codec_for};
use l402::engine::philox;
use rayon::prelude::*;

const SHAPE: [usize; 2] = [4096, 4096];
const RUNS: usize = 7;

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let count = SHAPE.iter().product::<usize>();
    let data: Vec<f32> = (0..count as u64).into_par_iter().map(|i| philox::normal([5, 6], i)).collect();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let megabytes = 4.0 * count as f64 / 1e6;
    let rate = |start: Instant| megabytes / start.elapsed().as_secs_f64();
    println!("{:<12}{:>10}{:>10}{:>10}{:>10}{:>10}", "codec", "encode", "decode", "memcpy", "ratio", "error");
    for name in CodecName::ALL {
        let codec = codec_for(&CodecRecipe { name, ..CodecRecipe::default() });
        if !chosen.is_empty() && !chosen.iter().any(|c| c == codec.name()) {
            continue;
        }
        let (mut encode, mut decode, mut copy) = (Vec::new(), Vec::new(), Vec::new());
        let mut room = vec![0f32; count];
        let (mut ratio, mut error) = (0.0, 0.0);
        for _ in 0..RUNS {
            let start = Instant::now();
            room.copy_from_slice(black_box(&data));
            copy.push(rate(start));
            black_box(&room);
            let start = Instant::now();
            let payload = one.install(|| codec.encode(&SHAPE, black_box(&data))).expect("it encodes");
            encode.push(rate(start));
            let start = Instant::now();
            let sent = one.install(|| codec.decode(&SHAPE, black_box(&payload))).expect("it decodes");
            decode.push(rate(start));
            ratio = 4.0 * count as f64 / payload.len() as f64;
            if error == 0.0 {
                let left: Vec<f32> = data.iter().zip(&sent).map(|(d, s)| d - s).collect();
                let squares = SquaredError::of(&sent, &left);
                error = squares.left / squares.whole;
            }
        }
        let [encode, decode, copy] = [encode, decode, copy].map(median);
        println!("{:<12}{encode:>10.0}{decode:>10.0}{copy:>10.0}{ratio:>10.1}{error:>10.4}", codec.name());
    }
}
