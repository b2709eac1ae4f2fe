//! The world that rounds are played in: real text, shards, a held-out shard, a model that has learnt a little, a recipe.

use std::path::Path;
use std::sync::Arc;

use l402::artifact::{Digest, Recipe, Writer};
use l402::data::{Manifest, Shard, ShardEntry, ShardInfo, Split, TOKENS, to_bytes};
use l402::engine::{Engine, philox};
use l402::fsio::Source;
use l402::model::{
    Layout, Model, ModelConfig, ModelFolder, Parameters, Plan, initial_parameters, model_digest, model_meta,
};
use l402::optimizer::{Moments, RoundInput, run_round};

/// One layer, d 32: 27,000 parameters.
const CONFIG: &str = r#"{
  "model_type": "llama", "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64,
  "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
  "vocab_size": 257, "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "tie_word_embeddings": false, "initializer_range": 0.05
}
"#;

/// What differs between worlds.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Separates worlds that are otherwise alike.
    pub seed: u64,
    /// How many workers there are, and shards.
    pub workers: usize,
    /// Inner steps a round.
    pub steps: u32,
    /// Sequences a step.
    pub batch: usize,
    /// Sequences of a training shard.
    pub shard: usize,
    /// Steps that one trainer has taken on other text before the first round.
    pub before: u32,
    /// The inner learning rate.
    pub lr: f64,
    /// Whether the text of the i-th of n training shards has n - 1 - i of n parts of drawn bytes.
    pub spoilt: bool,
    /// Tables of the recipe: codec, verify, outer, score, pay.
    pub rules: String,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            seed: 1,
            workers: 7,
            steps: 6,
            batch: 4,
            shard: 240,
            before: 100,
            lr: 1e-3,
            spoilt: false,
            rules: RULES.into(),
        }
    }
}

impl Setting {
    /// Sets a field of the rules.
    pub fn set(&mut self, table: &str, field: &str, value: &str) {
        let (head, mut rules) = (format!("[{table}]"), String::new());
        if !self.rules.lines().any(|line| line == head) {
            self.rules += &format!("{head}\n");
        }
        let mut inside = false;
        for line in self.rules.lines() {
            inside = if line.starts_with('[') { line == head } else { inside };
            if !(inside && line.split(' ').next() == Some(field)) {
                rules += &format!("{line}\n");
            }
            if line == head {
                rules += &format!("{field} = {value}\n");
            }
        }
        self.rules = rules;
    }
}

/// The rules that attackers are up against.
pub const RULES: &str = "[codec]
name = \"l402\"
top_k = 256
[verify]
accept = \"sampled\"
[score]
sequences = 64
rate_ppm = 200000
clip_ppm = 1000000
max_overlap_ppm = 500000
min_residual_ppm = 500000
memory = 3
floor_ppm = 250000
own = 24
own_z_milli = 2500
[pay]
round_msat = 7000000
";

/// Tokens of a sequence.
pub const SEQ_LEN: usize = 32;
/// Sequences of the held-out shard.
pub const HELD_OUT: usize = 256;

/// A world.
pub struct World {
    /// What it was made from.
    pub setting: Setting,
    /// The recipe.
    pub recipe: Recipe,
    /// The model's shape.
    pub model: Model,
    /// Memory for training.
    pub plan: Plan,
    /// The training shards by their index.
    pub shards: Vec<Arc<Shard>>,
    /// Their list.
    pub manifest: Manifest,
    /// The held-out shard.
    pub held_out: Shard,
    /// The first model.
    pub theta_0: Vec<f32>,
}

impl World {
    /// Makes a world.
    pub fn new(setting: Setting) -> World {
        let Setting { seed, workers, steps, batch, shard, before, lr, spoilt, ref rules } = setting;
        let toml = format!(
            "arithmetic = 1\nname = \"attack-lab\"\nseed = {seed}\n[model]\n[data]\ntokenizer = \"bytes\"\n\
             seq_len = {SEQ_LEN}\n[inner]\nsteps = {steps}\nbatch = {batch}\nlr = {lr:?}\n{rules}"
        );
        let recipe = Recipe::parse(&toml).expect("a recipe");
        let config = ModelConfig::parse(CONFIG).expect("a configuration");
        let model = Model::of(&recipe, config.clone(), Engine::detect());
        let plan = Plan::training(&config, SEQ_LEN, batch, None, 1 << 30);
        let text = Text::new(seed);
        let pieces = workers as u64;
        let bad = |i: u64| if spoilt { pieces - 1 - i } else { 0 };
        let shards: Vec<Arc<Shard>> =
            (0..pieces).map(|i| Arc::new(text.shard(Split::Train, i, pieces, shard, bad(i)))).collect();
        let held_out = text.shard(Split::Val, 0, 1, HELD_OUT, 0);
        let all = shards.iter().map(Arc::as_ref).chain([&held_out]);
        let manifest = Manifest::new(all.map(|s| ShardEntry::new(s.info(), s.digest())).collect()).expect("a list");
        let mut theta_0 = initial_parameters(&config, &Layout::new(&config), seed);
        if before > 0 {
            let mut alone = recipe.clone();
            (alone.inner.steps, alone.inner.batch, alone.inner.lr) = (before, 8, 1e-2);
            let plan = Plan::training(&config, SEQ_LEN, 8, None, 1 << 30);
            let shard = text.shard(Split::Train, pieces, pieces + 1, 8 * before as usize, 0);
            let order = l402::data::BatchOrder::new(&Digest::of(b"before"), shard.sequences());
            let input = RoundInput { recipe: &alone, model: &model, plan, shard: &shard, order: &order, round: 0 };
            let moments = Moments::zero(&model.layout);
            theta_0 = run_round(&input, theta_0, moments, |_| {}).expect("it trains").parameters;
        }
        World { setting, recipe, model, plan, shards, manifest, held_out, theta_0 }
    }

    /// The model with these parameters, as its folder would be read.
    pub fn folder(&self, parameters: Vec<f32>) -> ModelFolder {
        let Model { config, layout, .. } = &self.model;
        let digest = model_digest(config, layout, &parameters);
        ModelFolder {
            config: config.clone(),
            config_text: CONFIG.into(),
            layout: layout.clone(),
            meta: model_meta(&digest, CONFIG).expect("metadata"),
            parameters: Parameters::Read(parameters),
            digest,
            base: None,
        }
    }

    /// A training shard by its digest.
    pub fn shard(&self, digest: &Digest) -> Arc<Shard> {
        self.shards.iter().find(|shard| shard.digest() == *digest).expect("an assigned shard is there").clone()
    }

    /// The ids of the workers, ascending.
    pub fn ids(&self) -> Vec<String> {
        (0..self.setting.workers).map(|i| format!("w{i}")).collect()
    }

    /// 32 bytes for a purpose in a round.
    pub fn beacon(&self, purpose: &str, round: u64) -> Digest {
        Digest::of_parts(purpose, &[&self.setting.seed.to_le_bytes(), &round.to_le_bytes()])
    }
}

/// The repository's text, cut into sequences that every shard takes others of.
struct Text {
    bytes: Vec<u8>,
    order: Vec<usize>,
}

/// Where a training shard's sequences begin in the order, and what is kept apart for the held-out shard.
const ROOM: usize = 1024;

impl Text {
    fn new(seed: u64) -> Text {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/text/tinyshakespeare.txt");
        let bytes = std::fs::read(path).expect("the text");
        let key = Digest::of_parts("text", &[&seed.to_le_bytes()]).philox_key();
        let order = philox::permutation(key, bytes.len() / (SEQ_LEN + 1));
        Text { bytes, order }
    }

    /// A shard, of whose tokens `bad` of `of` parts are drawn.
    fn shard(&self, split: Split, index: u64, of: u64, sequences: usize, bad: u64) -> Shard {
        let width = SEQ_LEN + 1;
        let info = ShardInfo {
            tokenizer: "bytes".into(),
            vocab_size: 257,
            seq_len: SEQ_LEN,
            split,
            index,
            of,
            corpus: Digest::of(&self.bytes),
            sequences,
            trained: Default::default(),
        };
        let first = if split == Split::Val { 0 } else { ROOM * (1 + index as usize) };
        let picked = &self.order[first..first + sequences];
        let token = |at: usize| {
            let [which, value, ..] = philox::philox([7, 7], [at as u32, 0, 0, 0]);
            if u64::from(which) % of < bad { value % 256 } else { u32::from(self.bytes[at]) }
        };
        let tokens: Vec<u32> = picked.iter().flat_map(|&i| i * width..(i + 1) * width).map(token).collect();
        let mut data = Vec::new();
        to_bytes(&tokens, info.vocab_size, &mut data);
        let mut writer = Writer::new("shard", Vec::new(), info.header()).expect("a header");
        writer.bytes(TOKENS, &data).expect("its tensor");
        let bytes = writer.finish().expect("all of it").0;
        Shard::open(Source::bytes("shard", bytes).expect("bytes")).expect("a shard")
    }
}
