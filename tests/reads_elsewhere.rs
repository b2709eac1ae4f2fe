//! What we write, others read, and what others write, we read: the safetensors crate and candle's loader stand for them.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fs;

use candle_core::{DType, Device, Tensor};
use common::{FULL, Kind, World};
use l402::artifact::{Dtype, Recipe};
use l402::codec::Update;
use l402::model::ModelFolder;
use safetensors::SafeTensors;

/// Type and shape, by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>)>;

/// Opens a file with the safetensors crate: `format: pt`, and name, type and shape of every tensor.
fn opened(bytes: &[u8]) -> (HashMap<String, String>, Tensors) {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["format"], "pt");
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.iter().map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec())));
    (metadata, tensors.collect())
}

fn folder(world: &World, name: &str) -> ModelFolder {
    ModelFolder::load(&world.path(name)).unwrap()
}

/// Every parameter's shape, by a prefix.
fn parameters(model: &ModelFolder, prefix: &str) -> Tensors {
    model.layout.tensors.iter().map(|t| (format!("{prefix}{}", t.name), (Dtype::F32, t.shape.clone()))).collect()
}

#[test]
fn the_safetensors_crate_opens_everything_that_is_written() {
    let world = World::new(FULL);
    world.play(0);
    world.ok(&format!("{} -o delta", world.train(0, "ann")));
    let model = folder(&world, "theta-0");
    let shapes = parameters(&model, "");
    for theta in ["theta-0", "theta-1"] {
        let (metadata, tensors) = opened(&world.bytes(&format!("{theta}/model.safetensors")));
        assert_eq!(tensors, shapes);
        assert_eq!(metadata["l402.kind"], "model");
        assert_eq!(metadata["l402.model"], folder(&world, theta).digest.to_string());
    }
    let (metadata, tensors) = opened(&world.bytes("delta"));
    assert_eq!((metadata["l402.kind"].as_str(), &tensors), ("delta", &shapes));
    let (metadata, tensors) = opened(&world.bytes("ann.0.feedback"));
    assert_eq!((metadata["l402.kind"].as_str(), &tensors), ("feedback", &shapes));
    let (metadata, tensors) = opened(&world.bytes("ann.0.moments"));
    let mut both = parameters(&model, "first.");
    both.extend(parameters(&model, "second."));
    assert_eq!((metadata["l402.kind"].as_str(), &tensors), ("moments", &both));
    let (metadata, tensors) = opened(&world.bytes("ann.0.update"));
    assert_eq!(metadata["l402.kind"], "update");
    assert!(tensors.keys().eq(shapes.keys()) && tensors.values().all(|(dtype, _)| *dtype == Dtype::U8), "{tensors:?}");
    for name in ["train-00000", "train-00003", "val-00000"] {
        let (metadata, tensors) = opened(&world.bytes(&format!("shards/{name}.safetensors")));
        assert_eq!(metadata["l402.kind"], "shard");
        let (dtype, shape) = &tensors["tokens"];
        assert_eq!((*dtype, shape[1], tensors.len()), (Dtype::U16, 17, 1));
    }
}

#[test]
fn a_dense_update_is_a_delta_that_anyone_reads() {
    let world = World::new(Kind { state: "reset", codec: "dense", grad_groups: 1 });
    world.assign(0);
    world.work(0, "ann");
    world.ok(&format!("{} -o delta", world.train(0, "ann")));
    let (update, delta) = (world.bytes("ann.0.update"), world.bytes("delta"));
    let (update, delta) = (SafeTensors::deserialize(&update).unwrap(), SafeTensors::deserialize(&delta).unwrap());
    for (name, view) in delta.iter() {
        assert_eq!(update.tensor(name).unwrap().data(), view.data(), "{name}");
    }
}

#[test]
fn the_tokens_of_a_shard_are_the_bytes_of_the_text() {
    let world = World::new(FULL);
    let text = world.bytes("corpus.txt");
    let bytes = world.bytes("shards/train-00001.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let ids: Vec<u16> =
        file.tensor("tokens").unwrap().data().as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
    // Sequences are dealt out in turn to four training shards and one held out.
    for (i, sequence) in ids.chunks(17).enumerate() {
        let begin = (5 * i + 1) * 16;
        let expected: Vec<u16> = text[begin..begin + 17].iter().map(|b| u16::from(*b)).collect();
        assert_eq!(sequence, expected, "sequence {i}");
    }
}

#[test]
fn candles_loader_gives_the_same_values() {
    let world = World::new(FULL);
    world.play(0);
    for theta in ["theta-0", "theta-1"] {
        let ours = folder(&world, theta);
        let path = world.path(&format!("{theta}/model.safetensors"));
        let theirs = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        assert_eq!(theirs.len(), ours.layout.tensors.len());
        for tensor in &ours.layout.tensors {
            let loaded = &theirs[&tensor.name];
            assert_eq!((loaded.dtype(), loaded.dims()), (DType::F32, &tensor.shape[..]), "{}", tensor.name);
            let values = loaded.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values == ours.parameters.to_vec().unwrap()[tensor.range()], "{}", tensor.name);
        }
    }
    // What compress -d writes is what an update stands for.
    world.ok("compress -d --recipe r.toml ann.0.update -o sent");
    let sent = candle_core::safetensors::load(world.path("sent"), &Device::Cpu).unwrap();
    let recipe = Recipe::load(&world.path("r.toml")).unwrap();
    let source = l402::fsio::Source::open(&world.path("ann.0.update")).unwrap();
    let update = Update::open(&recipe, l402::artifact::Reader::open(source).unwrap()).unwrap();
    for name in update.names() {
        let values = sent[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values, update.decode(name).unwrap(), "{name}");
    }
}

#[test]
fn the_configuration_that_is_written_says_what_other_readers_look_for() {
    let world = World::new(FULL);
    let config: serde_json::Value = serde_json::from_slice(&world.bytes("theta-0/config.json")).unwrap();
    assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    assert_eq!(config["model_type"], "llama");
    assert_eq!(config["dtype"], "float32");
    assert_eq!(config["hidden_size"], 32);
}

/// Writes theta-0 as another program would, in this type, over this many files; the values that it now stands for.
fn exported(world: &World, to: &str, dtype: DType, files: usize) -> Vec<f32> {
    let model = folder(world, "theta-0");
    fs::create_dir(world.path(to)).unwrap();
    world.write(&format!("{to}/config.json"), &world.bytes("theta-0/config.json"));
    let mut parts: Vec<HashMap<String, Tensor>> = vec![HashMap::new(); files];
    let mut weight_map = BTreeMap::new();
    let mut flat = vec![0f32; model.layout.total];
    let name_of = |part: usize| match files {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{files:05}.safetensors", part + 1),
    };
    for (i, spec) in model.layout.tensors.iter().enumerate() {
        let values = model.parameters.to_vec().unwrap()[spec.range()].to_vec();
        let tensor = Tensor::from_vec(values, spec.shape.clone(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let back = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        flat[spec.range()].copy_from_slice(&back);
        weight_map.insert(spec.name.clone(), name_of(i % files));
        parts[i % files].insert(spec.name.clone(), tensor);
    }
    for (part, tensors) in parts.iter().enumerate() {
        candle_core::safetensors::save(tensors, world.path(&format!("{to}/{}", name_of(part)))).unwrap();
    }
    if files > 1 {
        let index = serde_json::json!({ "metadata": { "total_size": 0 }, "weight_map": weight_map });
        world.write(&format!("{to}/model.safetensors.index.json"), index.to_string().as_bytes());
    }
    flat
}

#[test]
fn other_types_and_several_files_load_exactly_and_have_the_digest_of_their_values() {
    let world = World::new(FULL);
    let theta = folder(&world, "theta-0");
    let digest_of = |values: &[f32]| l402::model::model_digest(&theta.config, &theta.layout, values);
    for (to, dtype, files) in [
        ("f16", DType::F16, 1),
        ("bf16", DType::BF16, 1),
        ("f64", DType::F64, 1),
        ("f32-parts", DType::F32, 3),
        ("bf16-parts", DType::BF16, 2),
    ] {
        let values = exported(&world, to, dtype, files);
        let model = folder(&world, to);
        assert!(model.parameters.to_vec().unwrap() == values, "{to}");
        assert_eq!(model.digest, digest_of(&values), "{to}");
        // Without loss it is the same model, with loss it is another.
        assert_eq!(model.digest == theta.digest, !matches!(dtype, DType::F16 | DType::BF16), "{to}");
        let shown = world.text(&format!("inspect --json {to}"));
        assert!(shown.contains(&model.digest.to_string()), "{to}");
    }
    // The half of a value is exactly that value: a conversion there and back changes nothing any more.
    let bf16 = folder(&world, "bf16");
    assert!(bf16.parameters.to_vec().unwrap().iter().all(|v| v.to_bits() & 0xffff == 0));
    let f16 = folder(&world, "f16");
    assert!(f16.parameters.to_vec().unwrap().iter().all(|v| half::f16::from_f32(*v).to_f32() == *v));
}

#[test]
fn a_model_in_several_files_trains_to_the_same_bytes_as_in_one() {
    let world = World::new(FULL);
    exported(&world, "parts", DType::F32, 4);
    world.assign(0);
    let train = world.train(0, "ann");
    assert_eq!(world.ok(&train).stdout, world.ok(&train.replace("theta-0", "parts")).stdout);
    // A part that is not there is missing, one that is listed twice or not at all is malformed.
    fs::remove_file(world.path("parts/model-00003-of-00004.safetensors")).unwrap();
    world.expect("inspect parts", 66, "model-00003-of-00004.safetensors");
    let index = String::from_utf8(world.bytes("parts/model.safetensors.index.json")).unwrap();
    world.write("parts/model.safetensors.index.json", index.replace("00003-of", "00002-of").as_bytes());
    world.expect("inspect parts", 65, "parts");
}
