//! What must hold for every codec, every shape and every kind of value.

use super::*;
use crate::artifact::chunks::Chunks;
use crate::artifact::recipe::{CodecName, CodecRecipe};
use crate::artifact::{ArtifactKind, Digest, Header, Meta, Reader, Recipe, TensorInfo, Writer};
use crate::engine::philox;
use crate::error::{Kind, Result};
use crate::fsio::Source;

/// A small generator (splitmix64) for test values.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1).
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (a, b) = (self.uniform(), self.uniform());
        (-2.0 * libm::log(a)).sqrt() * libm::cos(2.0 * std::f64::consts::PI * b)
    }
}

const SHAPES: [&[usize]; 15] = [
    &[],
    &[0],
    &[1],
    &[1, 1],
    &[31],
    &[4096],
    &[4097],
    &[12289],
    &[0, 7],
    &[64, 64],
    &[1, 300],
    &[127, 3],
    &[61, 67],
    &[130, 200],
    &[3, 5, 7],
];

const KINDS: [&str; 9] = ["normal", "zero", "minus zero", "negative", "constant", "denormal", "huge", "few", "bits"];

fn values(kind: &str, n: usize, random: &mut Random) -> Vec<f32> {
    (0..n)
        .map(|_| {
            let normal = random.normal() as f32;
            match kind {
                "normal" => normal,
                "zero" => 0.0,
                "minus zero" => -0.0,
                "negative" => -normal.abs() - 1.0,
                "constant" => 0.1,
                "denormal" => f32::from_bits(random.next() as u32 & 0x8000_03ff),
                "huge" => normal * 1e33,
                "few" if random.uniform() < 0.999 => 0.0,
                "few" => normal,
                // Any exponent, so that the largest are alone.
                _ => f32::from_bits(random.next() as u32 & 0xf3ff_ffff),
            }
        })
        .collect()
}

fn codecs() -> Vec<Box<dyn Codec>> {
    let mut codecs: Vec<Box<dyn Codec>> =
        vec![Box::new(Dense), Box::new(F16), Box::new(Int8), Box::new(Blockwise8), Box::new(E3m0)];
    for top_k in [1, 64, 1000, 4096] {
        codecs.push(Box::new(SparseLoco::new(top_k)));
        codecs.push(Box::new(L402::new(top_k)));
        codecs.push(Box::new(Demo::new(top_k)));
    }
    codecs
}

#[test]
fn every_codec_goes_through_these_tests() {
    let tested: Vec<&str> = codecs().iter().map(|codec| codec.name()).collect();
    for name in CodecName::ALL {
        let codec = codec_for(&CodecRecipe { name, ..CodecRecipe::default() });
        assert!(tested.contains(&codec.name()), "{}", codec.name());
        assert_eq!(serde_json::json!(name), codec.name());
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn what_is_decoded_is_what_the_feedback_lacks() {
    let mut random = Random(1);
    for codec in codecs() {
        for shape in SHAPES {
            for kind in KINDS {
                let what = format!("{} {shape:?} {kind}", codec.name());
                let n = shape.iter().product();
                let delta = values(kind, n, &mut random);
                let (payload, left) = compress_tensor(codec.as_ref(), 0.95, shape, &delta, None).expect(&what);
                let again = compress_tensor(codec.as_ref(), 0.95, shape, &delta, None).unwrap();
                assert_eq!((&payload, bits(&left)), (&again.0, bits(&again.1)), "{what}");
                assert!(codec.payload_len(shape).unwrap().contains(&payload.len()));
                let sent = codec.decode(shape, &payload).expect(&what);
                let expected: Vec<f32> = delta.iter().zip(&sent).map(|(d, s)| d - s).collect();
                assert_eq!(left, expected, "{what}");
                if codec.name() == "dense" {
                    assert!(left.iter().all(|&v| v == 0.0));
                }
            }
        }
    }
}

/// How far a value may be from what it is sent as, beside `most`, the largest magnitude of its chunk: what each codec's
/// page says. `None` for codecs that bound sums alone.
fn bound(codec: &str, value: f64, most: f64) -> Option<f64> {
    let value = value.abs();
    // Half of the least denormal.
    let least = 2f64.powi(-150);
    match codec {
        "dense" => Some(0.0),
        "f16" => Some((value - 65504.0).max(value * 2f64.powi(-11)) + 2f64.powi(-25)),
        "blockwise8" => Some(0.0071 * most + least),
        // The least power, where the largest is at least 2^-126.
        "e3m0" => Some((value / 2.0).max((most * 4.0 / 3.0).max(2f64.powi(-126)) / 128.0)),
        _ => None,
    }
}

#[test]
fn what_comes_back_is_within_what_each_codec_promises() {
    let mut random = Random(5);
    for codec in codecs() {
        for shape in SHAPES {
            for kind in KINDS {
                let what = format!("{} {shape:?} {kind}", codec.name());
                let data = values(kind, shape.iter().product(), &mut random);
                let sent = codec.decode(shape, &codec.encode(shape, &data).expect(&what)).expect(&what);
                let chunks = Chunks::new(shape);
                for number in 0..chunks.count() {
                    let chunk = chunks.get(number);
                    let pairs = || chunk.values(&data).map(f64::from).zip(chunk.values(&sent).map(f64::from));
                    let most = pairs().map(|(v, _)| v.abs()).fold(0.0, f64::max);
                    for (v, s) in pairs() {
                        let bound = bound(codec.name(), v, most).unwrap_or(f64::INFINITY);
                        assert!((v - s).abs() <= bound, "{what}: {v:e} came back as {s:e}");
                    }
                    // What remains is no more than what was there, in squares: sending never does harm. What a tensor's
                    // bins and buckets do to one chunk is another matter.
                    let (left, whole) = pairs().fold((0.0, 0.0), |(l, w), (v, s)| (l + (v - s) * (v - s), w + v * v));
                    let slack = 2f64.powi(-130).powi(2) * chunk.size() as f64;
                    if !WHOLE.contains(&codec.name()) {
                        assert!(left <= whole * (1.0 + 1e-5) + slack, "{what}: {left:e} of {whole:e} remain");
                    }
                }
                // A bin or bucket decodes to the mean of its values, so over the tensor it holds for these two as well; only
                // a scale below the normal numbers leaves `int8` one bucket.
                let left: Vec<f32> = data.iter().zip(&sent).map(|(d, s)| d - s).collect();
                let all = SquaredError::of(&sent, &left);
                assert!(all.left <= all.whole * (1.0 + 1e-5) + 2f64.powi(-240), "{what}");
            }
        }
    }
}

#[test]
fn l402_and_constants_and_single_elements_agree() {
    for value in [1.0f32, -0.1, 3e38, 1e-37] {
        for shape in [&[1usize][..], &[1, 1], &[64, 64], &[8191], &[61, 67]] {
            let n: usize = shape.iter().product();
            let codec = L402::new(64);
            let sent = codec.decode(shape, &codec.encode(shape, &vec![value; n]).unwrap()).unwrap();
            let chunks = Chunks::new(shape);
            let count: usize = (0..chunks.count()).map(|c| (64 * chunks.get(c).size()).div_ceil(4096)).sum();
            assert_eq!(sent.iter().filter(|v| **v != 0.0).count(), count);
            // Four bits of mantissa.
            assert!(sent.iter().all(|v| *v == 0.0 || (v / value - 1.0).abs() <= 1.0 / 32.0), "{value} {shape:?}");
        }
    }
}

/// Codecs of which a payload says something of the whole tensor, which no chunk shows.
const WHOLE: [&str; 2] = ["int8", "sparseloco"];

#[test]
fn a_chunk_shows_all_that_was_made_of_it_or_is_not_asked() {
    let mut random = Random(6);
    for codec in codecs() {
        let name = codec.name();
        let Some(by_chunk) = codec.by_chunk() else {
            assert!(WHOLE.contains(&name), "{name}");
            continue;
        };
        assert!(!WHOLE.contains(&name), "{name}");
        for (shape, kind) in [
            (&[130usize, 70][..], "normal"),
            (&[9000], "normal"),
            (&[3], "normal"),
            (&[65, 9], "few"),
            (&[65, 9], "bits"),
        ] {
            let mut data = values(kind, shape.iter().product(), &mut random);
            // A chunk of zeros too.
            let zeros = data.len() / 10;
            data.iter_mut().rev().take(zeros).for_each(|v| *v = 0.0);
            let payload = codec.encode(shape, &data).unwrap();
            let chunks = Chunks::new(shape);
            let own = |number: usize| chunks.get(number).values(&data).collect::<Vec<f32>>();
            let shows = |payload: &[u8], number: usize| by_chunk.check_chunk(shape, payload, number, &own(number));
            for number in 0..chunks.count() {
                shows(&payload, number).expect(name);
                let mut other = own(number);
                if other.iter().any(|v| *v != 0.0) {
                    other.iter_mut().for_each(|v| *v *= -1.5);
                    let refused = by_chunk.check_chunk(shape, &payload, number, &other).unwrap_err();
                    assert_eq!(refused.kind(), Kind::Refused, "{refused}");
                    let refused = refused.to_string();
                    let says = match name {
                        "dense" => refused == "expected the values as they are, found others",
                        "f16" => refused.starts_with("expected 0x") && refused.contains(" at index "),
                        "l402" => refused.contains(" of the chunk, found 0x"),
                        _ => refused.contains(" of the chunk's record, found 0x"),
                    };
                    assert!(says, "{name} {shape:?} {kind}: {refused}");
                }
            }
            // Whatever bit of the payload is another one: it is no payload, or some chunk shows it.
            for _ in 0..300 {
                let (mut bent, bit) = (payload.clone(), random.next() as usize % (8 * payload.len()));
                bent[bit / 8] ^= 1 << (bit % 8);
                let hidden = codec.decode(shape, &bent).is_ok() && (0..chunks.count()).all(|n| shows(&bent, n).is_ok());
                assert!(!hidden, "{name} {shape:?} {kind} bit {bit}");
            }
        }
    }
}

/// A flipped bit is refused, or stands for something else: no content has two encodings.
#[test]
fn no_content_has_two_encodings() {
    let mut random = Random(7);
    for codec in codecs() {
        for kind in ["normal", "zero", "few", "constant"] {
            let shape = [40usize, 9];
            let data = values(kind, 360, &mut random);
            let payload = codec.encode(&shape, &data).unwrap();
            let sent = bits(&codec.decode(&shape, &payload).unwrap());
            for bit in 0..payload.len() * 8 {
                let mut other = payload.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                if let Ok(decoded) = codec.decode(&shape, &other) {
                    let what = format!("{} {kind} bit {bit}", codec.name());
                    assert!(decoded.iter().all(|v| v.is_finite()), "{what}");
                    // `int8` says its mean and scale, which its buckets' values bound and do not decide; `demo` can say
                    // coefficients that round away.
                    let aside = match codec.name() {
                        "demo" => true,
                        "int8" => bit < 64,
                        // The places of values in a bin that is zero.
                        "sparseloco" => kind != "normal",
                        _ => false,
                    };
                    assert!(aside || bits(&decoded) != sent, "{what}");
                }
            }
            for len in 0..payload.len() {
                assert!(codec.decode(&shape, &payload[..len]).is_err(), "{} {kind} {len}", codec.name());
            }
            let longer = [&payload[..], &[0]].concat();
            assert!(codec.decode(&shape, &longer).is_err(), "{} {kind}", codec.name());
        }
    }
}

#[test]
fn noise_is_decoded_or_refused() {
    let mut random = Random(8);
    for codec in codecs() {
        for shape in [&[1usize][..], &[70, 3], &[65, 65], &[5000], &[0], &[]] {
            let range = codec.payload_len(shape).unwrap();
            for round in 0..200u64 {
                let len = range.start() + (random.next() as usize) % (range.end() - range.start() + 1);
                let mask = if round % 2 == 0 { 255 } else { random.next() as u8 };
                let noise: Vec<u8> = (0..len).map(|_| random.next() as u8 & mask).collect();
                if let Ok(decoded) = codec.decode(shape, &noise) {
                    assert!(decoded.iter().all(|v| v.is_finite()), "{} {shape:?}", codec.name());
                    codec.anatomy(shape, &noise).unwrap();
                }
            }
        }
        for shape in [&[usize::MAX, usize::MAX][..], &[1 << 40], &[usize::MAX, 0], &[1; 9]] {
            assert!(codec.payload_len(shape).is_none());
            assert!(codec.decode(shape, &[0; 22]).is_err() && codec.anatomy(shape, &[0; 22]).is_err());
        }
    }
}

/// What a recipe of density 64 / 4096 is measured by: seeded, a million values each.
mod distributions {
    use super::*;

    const SIDE: usize = 1024;

    /// The value of an element in a chunk, by their numbers.
    type Distribution<'a> = &'a dyn Fn(u64, u64) -> f64;

    fn uniform(key: u32, index: u64) -> f64 {
        let [a, b, ..] = philox::philox([402, key], [index as u32, (index >> 32) as u32, 0, 0]);
        ((u64::from(a) << 21 | u64::from(b) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(key: u32, index: u64) -> f64 {
        philox::normal([403, key], index).into()
    }

    /// The least squared error of any two levels a chunk, not rounded, for its 64 largest values.
    fn least_error(data: &[f32], shape: &[usize]) -> f64 {
        let (mut error, mut power) = (0.0, 0.0);
        let chunks = Chunks::new(shape);
        for number in 0..chunks.count() {
            let mut kept: Vec<f64> = chunks.get(number).values(data).map(|v| f64::from(v.abs())).collect();
            kept.sort_by(|a, b| b.total_cmp(a));
            kept.truncate(64);
            let squares: f64 = kept.iter().map(|v| v * v).sum();
            let gain = |part: &[f64]| part.iter().sum::<f64>().powi(2) / part.len() as f64;
            let best = (1..64).map(|s| gain(&kept[..s]) + gain(&kept[s..])).fold(0.0, f64::max);
            error += squares - best;
            power += squares;
        }
        error / power
    }

    /// Relative squared error of the values that are sent, the least of any two levels, and bits each.
    fn measured(of: impl Fn(u64, u64) -> f64) -> (f64, f64, f64, Anatomy) {
        let shape = [SIDE, SIDE];
        let columns = (SIDE / 64) as u64;
        let value = |i: u64| {
            let (row, column) = (i / SIDE as u64, i % SIDE as u64);
            of(i, row / 64 * columns + column / 64) as f32
        };
        let data: Vec<f32> = (0..(SIDE * SIDE) as u64).map(value).collect();
        let codec = L402::new(64);
        let payload = codec.encode(&shape, &data).unwrap();
        let sent = codec.decode(&shape, &payload).unwrap();
        let left: Vec<f32> = data.iter().zip(&sent).map(|(d, s)| d - s).collect();
        let error = SquaredError::of(&sent, &left);
        let anatomy = codec.anatomy(&shape, &payload).unwrap();
        (
            error.left_of_sent / error.sent,
            least_error(&data, &shape),
            8.0 * payload.len() as f64 / anatomy.sent as f64,
            anatomy,
        )
    }

    #[test]
    fn errors_and_bits_are_within_what_is_promised() {
        let laplace = |i: u64| -libm::log(uniform(1, 2 * i)) * if uniform(1, 2 * i + 1) < 0.5 { -1.0 } else { 1.0 };
        let t4 = |i: u64| {
            let chi: f64 = (0..4).map(|j| normal(2, 5 * i + j).powi(2)).sum();
            normal(2, 5 * i + 4) / (chi / 4.0).sqrt()
        };
        let cases: [(&str, f64, Distribution<'_>); 4] = [
            ("gaussian", 0.0045, &|i, _| normal(0, i)),
            ("laplace", 0.014, &|i, _| laplace(i)),
            ("student t4", 0.055, &|i, _| t4(i)),
            ("gaussian, lognormal scale per chunk", 0.006, &|i, chunk| normal(3, i) * libm::exp(normal(4, chunk))),
        ];
        for (name, most, of) in cases {
            let (error, least, bits, anatomy) = measured(of);
            let each = |bits: f64| bits / anatomy.sent as f64;
            println!(
                "{name}: error {error:.5}, least of two levels {least:.5}; {bits:.3} bits a value; an index {:.3} of {:.3}, \
                 level and sign 2 of {:.3}",
                each(anatomy.index_bits as f64),
                each(anatomy.index_bound),
                each(anatomy.value_bound),
            );
            assert!(error <= most, "{name}: {error}");
            assert!((least..1.2 * least).contains(&error), "{name}: {error} of {least}");
            assert!(bits < 9.75, "{name}: {bits}");
        }
    }

    #[test]
    fn a_model_of_30_million_parameters_shrinks_205_times() {
        // Llama with 6 layers, d 512, hidden 1408, a vocabulary of 11,264, tied: 25 + 5.8 million.
        let (d, hidden, vocabulary) = (512usize, 1408usize, 22_000usize);
        let mut shapes: Vec<(String, Vec<usize>)> =
            vec![("model.embed_tokens.weight".into(), vec![vocabulary, d]), ("model.norm.weight".into(), vec![d])];
        for layer in 0..6 {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            for part in ["q", "k", "v", "o"] {
                shapes.push((name(&format!("self_attn.{part}_proj")), vec![d, d]));
            }
            shapes.push((name("mlp.gate_proj"), vec![hidden, d]));
            shapes.push((name("mlp.up_proj"), vec![hidden, d]));
            shapes.push((name("mlp.down_proj"), vec![d, hidden]));
            shapes.push((name("input_layernorm"), vec![d]));
            shapes.push((name("post_attention_layernorm"), vec![d]));
        }
        let recipe = recipe("l402");
        let mut meta = delta_meta(&recipe, 100);
        for key in ["shard", "assignment", "beacon", "inner_in", "inner_out", "order", "leaves"] {
            meta.set(key, Digest::of(key.as_bytes()));
        }
        let mut elements = 0;
        let data: Vec<Vec<f32>> = shapes
            .iter()
            .enumerate()
            .map(|(t, (_, shape))| {
                let n: usize = shape.iter().product();
                elements += n;
                let mut random = Random(t as u64);
                // Cheap, and near enough to a bell: the sum of eight bytes.
                let bell = |bits: u64| bits.to_le_bytes().iter().map(|b| f32::from(*b)).sum::<f32>() - 1020.0;
                (0..n).map(|_| bell(random.next())).collect()
            })
            .collect();
        assert!((28_000_000..33_000_000).contains(&elements), "{elements}");
        let tensors: Vec<_> =
            shapes.iter().zip(&data).map(|((name, shape), data)| (name.as_str(), &shape[..], &data[..])).collect();
        let done = compress_tensors(&recipe, &meta, &tensors, None, std::io::sink()).unwrap();
        let bytes = done.update.to_bytes().unwrap().0.len();
        let ratio = 4.0 * elements as f64 / bytes as f64;
        println!("{elements} parameters, {bytes} bytes, {ratio:.1}x");
        assert!(ratio >= 205.0, "{ratio}");
    }
}

#[test]
fn the_largest_values_of_every_chunk_are_sent_and_nothing_else() {
    let mut random = Random(2);
    let shape = [130, 200];
    let data = values("normal", 130 * 200, &mut random);
    // A bin may be zero on other data; here none is, so what is not zero was sent.
    let codec = SparseLoco::new(64);
    let decoded = codec.decode(&shape, &codec.encode(&shape, &data).unwrap()).unwrap();
    for block_row in 0..3 {
        for block_column in 0..4 {
            let rows = block_row * 64..(block_row * 64 + 64).min(130);
            let columns = block_column * 64..(block_column * 64 + 64).min(200);
            let block: Vec<usize> = rows.flat_map(|r| columns.clone().map(move |c| r * 200 + c)).collect();
            let sent = block.iter().filter(|&&i| decoded[i] != 0.0);
            let least = sent.clone().map(|&i| data[i].abs()).fold(f32::MAX, f32::min);
            let not_sent = block.iter().filter(|&&i| decoded[i] == 0.0);
            let most = not_sent.map(|&i| data[i].abs()).fold(0.0, f32::max);
            assert_eq!(sent.count(), (64 * block.len()).div_ceil(4096));
            assert!(most <= least);
        }
    }
}

#[test]
fn the_error_on_gaussian_data_is_the_published_one() {
    let mut random = Random(3);
    let shape = [1024, 512];
    let data = values("normal", 1024 * 512, &mut random);
    let codec = SparseLoco::new(64);
    let decoded = codec.decode(&shape, &codec.encode(&shape, &data).unwrap()).unwrap();
    let (mut error, mut power) = (0.0, 0.0);
    for (&v, &d) in data.iter().zip(&decoded).filter(|(_, d)| **d != 0.0) {
        error += (f64::from(v) - f64::from(d)).powi(2);
        power += f64::from(v).powi(2);
    }
    let relative = error / power;
    assert!((0.0115..0.0135).contains(&relative), "{relative}");
}

#[test]
fn over_rounds_nothing_is_lost_but_by_decay() {
    let mut random = Random(4);
    let shape = [70, 70];
    let codec = SparseLoco::new(64);
    let beta = 0.95f32;
    let mut state: Option<Vec<f32>> = None;
    let mut exact = vec![0f64; 4900];
    for round in 0..3 {
        let delta = values("normal", 4900, &mut random);
        let (payload, left) = compress_tensor(&codec, beta, &shape, &delta, state.as_deref()).unwrap();
        let sent = codec.decode(&shape, &payload).unwrap();
        for i in 0..4900 {
            let acc = f64::from(beta) * exact[i] + f64::from(delta[i]);
            exact[i] = acc - f64::from(sent[i]);
            let off = (f64::from(left[i]) - exact[i]).abs();
            assert!(off < 1e-6, "round {round}, element {i}: off by {off}");
        }
        state = Some(left);
    }
}

#[test]
fn values_that_cannot_be_sent_are_an_error() {
    for codec in codecs() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let delta = [1.0, bad, 2.0];
            let error = compress_tensor(codec.as_ref(), 0.95, &[3], &delta, None).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains("element 1"), "{error}");
        }
        let state = [f32::MAX; 2];
        assert!(compress_tensor(codec.as_ref(), 1.0, &[2], &state, Some(&state)).is_err());
    }
    let huge = [f32::MAX; 64];
    assert!(compress_tensor(&SparseLoco::new(4096), 0.0, &[64], &huge, None).is_err());
    // What only we can do wrong is said to be so.
    for (refused, says) in [
        (SparseLoco::new(64).encode(&[3], &[0.0]).unwrap_err(), "1 values for shape [3]"),
        (
            compress_tensor(&SparseLoco::new(64), 0.0, &[2], &[0.0; 2], Some(&[0.0])).unwrap_err(),
            "1 values of feedback for 2 of delta",
        ),
    ] {
        assert_eq!((refused.kind(), refused.to_string().as_str()), (Kind::Bug, says));
    }
}

fn recipe(codec: &str) -> Recipe {
    Recipe::parse(&format!(
        "arithmetic = 1\nname = \"t\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = 8\n\
         [inner]\nsteps = 1\nbatch = 1\nlr = 1e-3\n[codec]\nname = \"{codec}\"\n"
    ))
    .unwrap()
}

fn delta_meta(recipe: &Recipe, round: u64) -> Meta {
    let mut meta = Meta::new(ArtifactKind::Delta);
    meta.set("run", recipe.digest()).set("round", round).set("worker", "alice").set("theta", Digest::of(b"theta"));
    meta
}

const NAMES: [(&str, &[usize]); 3] = [("b", &[70, 65]), ("a", &[100]), ("c", &[])];

fn tensors(seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random(seed);
    NAMES.iter().map(|(_, s)| values("normal", s.iter().product(), &mut random)).collect()
}

fn with_names(data: &[Vec<f32>]) -> Vec<(&'static str, &'static [usize], &[f32])> {
    let pairs = NAMES.iter().zip(data);
    pairs.map(|((n, s), d)| (*n, *s, d.as_slice())).collect()
}

fn delta_file(meta: &Meta, data: &[Vec<f32>]) -> Vec<u8> {
    let mut tensors = with_names(data);
    tensors.sort_by_key(|t| t.0);
    let infos = tensors.iter().map(|(n, s, _)| TensorInfo::f32(*n, s));
    let header = Header::new(meta.0.clone(), infos.collect());
    let mut writer = Writer::new("delta", Vec::new(), header).unwrap();
    for (name, _, values) in tensors {
        writer.f32(name, values).unwrap();
    }
    writer.finish().unwrap().0
}

fn reader(bytes: &[u8]) -> Reader {
    Reader::open(Source::bytes("test", bytes.to_vec()).unwrap()).unwrap()
}

fn feedback(bytes: &[u8]) -> Feedback {
    Feedback::open(Feedback::digest_of(reader(bytes)).unwrap(), reader(bytes)).unwrap()
}

/// The update's bytes and the state's, by the stream.
fn stream(recipe: &Recipe, delta: &[u8], state: Option<&[u8]>) -> Result<(Vec<u8>, Vec<u8>)> {
    let state = state.map(feedback);
    let done = compress_stream(recipe, reader(delta), state, "state", Vec::new(), false, |_| {})?;
    assert_eq!(done.feedback_out, Feedback::digest_of(reader(&done.state)).unwrap());
    Ok((done.update.to_bytes()?.0, done.state))
}

#[test]
fn a_replay_in_memory_makes_the_bytes_of_the_stream() {
    for name in CodecName::ALL {
        let codec = codec_for(&CodecRecipe { name, ..CodecRecipe::default() });
        let recipe = recipe(codec.name());
        let mut state: Option<Vec<u8>> = None;
        for round in 0..3 {
            let meta = delta_meta(&recipe, round);
            let data = tensors(round);
            let delta = delta_file(&meta, &data);
            let (update, next) = stream(&recipe, &delta, state.as_deref()).unwrap();
            let before = state.as_deref().map(feedback);
            let done = compress_tensors(&recipe, &meta, &with_names(&data), before, Vec::new()).unwrap();
            assert_eq!(done.update.to_bytes().unwrap().0, update);
            assert_eq!(done.state, next);

            let update = Update::open(&recipe, reader(&update)).unwrap();
            assert_eq!((update.round(), update.worker()), (round, "alice"));
            assert_eq!(update.run(), recipe.digest());
            assert_eq!(update.feedback_in(), state.as_deref().map(|s| feedback(s).digest()));
            let file = update.file();
            assert_eq!(update.meta().digest(file, "delta").unwrap(), Digest::of(&delta));
            assert_eq!(update.meta().digest(file, "theta").unwrap(), Digest::of(b"theta"));
            assert_eq!(update.names().collect::<Vec<_>>(), ["a", "b", "c"]);
            assert!(update.shapes().expect(NAMES).is_ok());
            state = Some(next);
        }
    }
}

#[test]
fn a_state_of_another_run_worker_round_or_model_is_refused() {
    let ours = recipe("sparseloco");
    let at = |round| delta_file(&delta_meta(&ours, round), &tensors(1));
    let (_, state) = stream(&ours, &at(3), None).unwrap();
    let kind = |recipe: &Recipe, delta: &[u8]| match stream(recipe, delta, Some(&state)) {
        Ok(_) => None,
        Err(error) => Some((error.kind(), error.to_string())),
    };
    assert_eq!(kind(&ours, &at(4)), None);
    let (refused, message) = kind(&ours, &at(3)).unwrap();
    assert_eq!(refused, Kind::Refused);
    assert!(message.ends_with(": expected feedback from a round before 3, found that of round 3"), "{message}");

    let other = recipe("dense");
    let foreign = delta_file(&delta_meta(&other, 4), &tensors(1));
    let (refused, message) = kind(&other, &foreign).unwrap();
    assert_eq!(refused, Kind::Refused);
    assert!(message.contains(": expected the feedback of run "), "{message}");
    // A delta of another run than the recipe's names both.
    let (refused, message) = kind(&ours, &foreign).unwrap();
    assert_eq!(refused, Kind::Refused);
    assert!(message.contains(", the recipe's, found one of run "), "{message}");
    for run in [&ours, &other] {
        assert!(message.contains(&run.digest().to_string()), "{message}");
    }

    let mut meta = delta_meta(&ours, 4);
    meta.set("worker", "bob");
    let (refused, message) = kind(&ours, &delta_file(&meta, &tensors(1))).unwrap();
    assert_eq!(refused, Kind::Refused);
    assert!(message.ends_with(": expected the feedback of worker bob, found that of \"alice\""), "{message}");

    let header = Header::new(delta_meta(&ours, 4).0, vec![TensorInfo::f32("a", &[100]), TensorInfo::f32("c", &[])]);
    let mut writer = Writer::new("delta", Vec::new(), header).unwrap();
    writer.f32("a", &[1.0; 100]).unwrap();
    writer.f32("c", &[1.0]).unwrap();
    let (data, message) = kind(&ours, &writer.finish().unwrap().0).unwrap();
    assert_eq!(data, Kind::Data);
    assert!(message.contains("tensor b"), "{message}");
}

#[test]
fn a_state_that_is_not_what_it_was_said_to_be_is_refused() {
    let recipe = recipe("sparseloco");
    let (_, state) = stream(&recipe, &delta_file(&delta_meta(&recipe, 0), &tensors(1)), None).unwrap();
    let lie = Feedback::open(Digest::of(b"other"), reader(&state)).unwrap();
    let delta = delta_file(&delta_meta(&recipe, 1), &tensors(2));
    let done = compress_stream(&recipe, reader(&delta), Some(lie), "s", Vec::new(), false, |_| {});
    let error = done.err().unwrap();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().ends_with(": it changed while it was read"), "{error}");
}

type Tensors = Vec<(TensorInfo, Vec<u8>)>;

/// An update with something changed.
fn forged(recipe: &Recipe, change: impl Fn(&mut Meta, &mut Tensors)) -> Result<Update> {
    let delta = delta_file(&delta_meta(recipe, 0), &tensors(1));
    let (update, _) = stream(recipe, &delta, None).unwrap();
    let mut source = reader(&update);
    let mut meta = Meta(source.header().metadata.clone());
    let mut tensors = Vec::new();
    while let Some(tensor) = source.next_tensor().unwrap() {
        tensors.push(tensor);
    }
    change(&mut meta, &mut tensors);
    let infos = tensors.iter().map(|t| t.0.clone()).collect();
    let mut writer = Writer::new("forged", Vec::new(), Header::new(meta.0, infos)).unwrap();
    for (info, data) in &tensors {
        writer.bytes(&info.name, data).unwrap();
    }
    Update::open(recipe, reader(&writer.finish().unwrap().0))
}

#[test]
fn hostile_updates_are_refused_when_they_are_opened() {
    let recipe = recipe("sparseloco");
    assert!(forged(&recipe, |_, _| {}).is_ok());
    let error = |change: &dyn Fn(&mut Meta, &mut Tensors)| {
        let error = forged(&recipe, change).err().expect("it was accepted");
        (error.kind(), error.to_string())
    };
    let meta = |key: &'static str, value: &'static str, says: &str| {
        let (kind, message) = error(&|meta, _| {
            meta.set(key, value);
        });
        assert_eq!(kind, Kind::Data, "{message}");
        assert!(message.contains(says), "{message}");
    };
    meta("kind", "delta", "expected update");
    meta("codec", "dense", ": metadata l402.codec: expected sparseloco, found \"dense\"");
    meta("round", "01", "l402.round");
    meta("worker", "../x", "worker id");
    meta("feedback_in", "none", "feedback_in");
    meta("feedback_out", "zero", "feedback_out");
    meta("delta", "", "l402.delta");
    meta("run", "x", "l402.run");
    // Shapes that promise more than there is, never allocated.
    meta("shapes", r#"{"a":[100],"b":[70,65],"c":[4294967296]}"#, "tensor c");
    meta("shapes", r#"{"a":[100],"b":[70,65],"c":[99999999999]}"#, "tensor c");
    meta("shapes", r#"{"a":[100],"b":[70,65]}"#, "tensor c has no shape in the metadata");
    meta("shapes", r#"{"a":[100],"b":[70,65],"c":[],"d":[1]}"#, "tensor d");
    meta("shapes", r#"{"b":[70,65],"a":[100],"c":[]}"#, "canonical");
    let (kind, message) = error(&|meta, _| {
        meta.set("run", Digest::of(b"other"));
    });
    assert_eq!(kind, Kind::Refused, "{message}");
    let (_, message) = error(&|_, tensors| {
        let (info, data) = &mut tensors[1];
        data.push(0);
        *info = TensorInfo::bytes(info.name.clone(), data.len());
    });
    assert!(message.contains("tensor b"), "{message}");
    let (_, message) = error(&|_, tensors| {
        let (info, data) = &mut tensors[1];
        info.shape = vec![1, data.len()];
    });
    assert!(message.contains("tensor b"), "{message}");
    let (_, message) = error(&|_, tensors| drop(tensors.pop()));
    assert!(message.contains("tensor c"), "{message}");
}

#[test]
fn a_hostile_payload_is_refused_by_tensor_when_it_is_decoded() {
    let recipe = recipe("sparseloco");
    let update = forged(&recipe, |_, tensors| {
        tensors[1].1[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    })
    .unwrap();
    assert!(update.decode("a").is_ok());
    let error = update.decode("b").unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("tensor b"), "{error}");
    assert!(update.verify().is_err());
    assert!(update.decode("d").is_err());
}

/// Flush-to-zero and another rounding, left on by whoever embeds this library.
#[test]
fn a_careless_float_mode_changes_no_byte() {
    use crate::engine::machine::in_a_careless_float_mode;

    let mut random = Random(9);
    let shape = [70, 65];
    let data = values("normal", 70 * 65, &mut random);
    let tiny: Vec<f32> = values("normal", 70 * 65, &mut random).iter().map(|v| v * f32::MIN_POSITIVE).collect();
    for codec in codecs() {
        for delta in [&data, &tiny] {
            let run = || compress_tensor(codec.as_ref(), 0.95, &shape, delta, Some(&tiny)).unwrap();
            let (payload, left) = run();
            let (careless_payload, careless_left) = in_a_careless_float_mode(run);
            assert_eq!(payload, careless_payload);
            assert!(left.iter().zip(&careless_left).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
