//! What a fuzzer feeds to every decoder, and what must hold whatever it feeds. `fuzz_targets` run it under libFuzzer,
//! `tests/fuzz.rs` with seeded mutations on any toolchain.

use l402::artifact::recipe::{CodecName, CodecRecipe};
use l402::artifact::{Reader, Recipe};
use l402::codec::{Codec, Update, codec_for};
use l402::fsio::Source;

/// Shapes that the first byte of an input chooses from.
pub const SHAPES: [&[usize]; 8] = [&[], &[1], &[0], &[300], &[40, 9], &[70, 3], &[2, 3, 5], &[65, 65]];
/// Densities that the second byte chooses from.
pub const TOP_K: [usize; 4] = [64, 1, 1000, 4096];

/// The codec and shape that an input begins with, and the payload that follows.
type Input<'a> = (Box<dyn Codec>, &'static [usize], &'a [u8]);

/// Takes an input apart.
pub fn split(name: CodecName, data: &[u8]) -> Option<Input<'_>> {
    let ([shape, top_k], payload) = data.split_first_chunk::<2>()?;
    let top_k = TOP_K[usize::from(*top_k) % TOP_K.len()];
    let shape = SHAPES[usize::from(*shape) % SHAPES.len()];
    Some((codec_for(&CodecRecipe { name, top_k, ..CodecRecipe::default() }), shape, payload))
}

/// Whatever the bytes are: a payload is refused, or stands for finite values of the shape, always the same.
pub fn payload(name: CodecName, data: &[u8]) {
    let Some((codec, shape, payload)) = split(name, data) else { return };
    let Ok(values) = codec.decode(shape, payload) else { return };
    assert!(codec.payload_len(shape).expect("it has been decoded").contains(&payload.len()));
    assert_eq!(values.len(), shape.iter().product::<usize>());
    assert!(values.iter().all(|v| v.is_finite()));
    assert_eq!(codec.decode(shape, payload).expect("it was accepted before"), values);
    let anatomy = codec.anatomy(shape, payload).expect("it decodes");
    assert!(anatomy.index_bits + anatomy.value_bits <= 8 * payload.len());
    // What was sent is itself something to send, whose first chunk either is as it is or is not.
    if let Ok(again) = codec.encode(shape, &values) {
        codec.decode(shape, &again).expect("an encoder wrote it");
        if let Some(codec) = codec.by_chunk().filter(|_| !values.is_empty() && shape.len() == 1) {
            let first = &values[..values.len().min(4096)];
            codec.check_chunk(shape, &again, 0, first).expect("an encoder wrote it");
            let _ = codec.check_chunk(shape, payload, 0, first);
        }
    }
}

/// The recipe of a file whose first byte chose this codec.
pub fn recipe(name: CodecName) -> Recipe {
    let name = serde_json::json!(name);
    Recipe::parse(&format!(
        "arithmetic = 1\nname = \"fuzz\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = 8\n\
         [inner]\nsteps = 1\nbatch = 1\nlr = 1e-3\n[codec]\nname = {name}\n"
    ))
    .expect("it is a recipe")
}

/// A whole file: opened, decoded and reported on, or refused.
pub fn update(data: &[u8]) {
    let Some((first, file)) = data.split_first() else { return };
    let recipe = recipe(CodecName::ALL[usize::from(*first) % CodecName::ALL.len()]);
    // A fuzzer may ask for what no machine has; a model's shapes bound it elsewhere.
    let parameters = [("a", &[40usize, 9][..]), ("b", &[300])];
    let Ok(source) = Source::bytes("fuzz", file.to_vec()) else { return };
    let Ok(reader) = Reader::open(source) else { return };
    let Ok(update) = Update::open_for(&recipe, reader, parameters) else { return };
    if update.verify().is_ok() {
        update.report(None).expect("it decodes");
    }
}
