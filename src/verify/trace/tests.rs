//! The trace of every step ends where training ends.

use super::*;
use crate::artifact::recipe::AdapterRecipe;
use crate::artifact::{Digest, Recipe, merkle};
use crate::data::{BatchOrder, MASK, Marking, Shard, ShardInfo, Split, TOKENS, to_bytes};
use crate::engine::Engine;
use crate::fsio::Source;
use crate::model::{Adapted, Adapter, Model, ModelConfig, Net, Plan, initial_parameters};
use crate::optimizer::{Moments, RoundInput, State, StepReport, run_steps};
use std::sync::Arc;

#[derive(Clone, Copy)]
struct Case {
    arithmetic: u32,
    tied: bool,
    kv_heads: usize,
    scaled: bool,
    groups: usize,
    carried: bool,
    vocabulary: usize,
    seq_len: usize,
    targets: Marking,
    /// Another configuration than Llama's, of transformers' making.
    config: Option<&'static str>,
    /// The targets of an adapter that is trained in place of the model; none of them are all.
    adapter: Option<&'static [&'static str]>,
}

const PLAIN: Case = Case {
    arithmetic: 1,
    tied: false,
    kv_heads: 2,
    scaled: false,
    groups: 1,
    carried: false,
    vocabulary: 67,
    seq_len: 12,
    targets: Marking::All,
    config: None,
    adapter: None,
};
const INTEGERS: Case = Case { arithmetic: 2, ..PLAIN };

fn model(case: &Case, engine: Engine) -> Model {
    let whole = whole_model(case, engine);
    let Some(targets) = case.adapter else { return whole };
    let decoder = whole.net.decoder.clone();
    let targets = targets.iter().map(|name| (*name).to_owned()).collect();
    let adapter = Adapter::new(&decoder, &AdapterRecipe { rank: 3, alpha: 5.0, targets }).unwrap();
    let base = Arc::new(initial_parameters(&whole.config, &decoder.layout, 7));
    let net = Net { decoder, adapted: Some(Adapted { adapter, base }) };
    Model::of_net(whole.config.clone(), net, engine, whole.arithmetic, case.seq_len)
}

fn whole_model(case: &Case, engine: Engine) -> Model {
    let scaling = r#""rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 16},"#;
    if let Some(text) = case.config {
        return Model::of(&recipe(case), ModelConfig::parse(text).unwrap(), engine);
    }
    let text = format!(
        r#"{{"model_type": "llama", "hidden_act": "silu", "hidden_size": 24, "intermediate_size": 40,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": {}, "head_dim": 6, {}
        "vocab_size": {}, "rms_norm_eps": 1e-05, "tie_word_embeddings": {}, "initializer_range": 0.2}}"#,
        case.kv_heads,
        if case.scaled { scaling } else { "" },
        case.vocabulary,
        case.tied
    );
    Model::of(&recipe(case), ModelConfig::parse(&text).unwrap(), engine)
}

fn recipe(case: &Case) -> Recipe {
    Recipe::parse(&format!(
        "arithmetic = {}\nname = \"t\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = {}\n[inner]\nsteps = 3\n\
         batch = 4\ngrad_groups = {}\nlr = 1e-2\nschedule = \"cosine\"\nwarmup = 2\ndecay_steps = 40\n\
         weight_decay = 0.1\nclip = 0.5\n",
        case.arithmetic, case.seq_len, case.groups
    ))
    .unwrap()
}

fn shard(case: &Case) -> Shard {
    let info = ShardInfo {
        split: Split::Train,
        tokenizer: "bytes".into(),
        vocab_size: case.vocabulary as u32,
        seq_len: case.seq_len,
        index: 0,
        of: 1,
        corpus: Digest([0; 32]),
        sequences: 7,
        trained: case.targets,
    };
    let mut writer = crate::artifact::Writer::new("shard", Vec::new(), info.header()).unwrap();
    let tokens: Vec<u32> = (0..7 * (case.seq_len as u32 + 1)).map(|i| i * i * 7 % case.vocabulary as u32).collect();
    // Documents of five tokens, every third of their tokens a target.
    let (n, begins) = (7 * (case.seq_len + 1), |t: usize| t.is_multiple_of(5));
    for name in case.targets.tensors() {
        let mark = |t: usize| if *name == MASK { !begins(t) && t % 3 == 1 } else { begins(t) };
        let marks: Vec<u8> = (0..n).map(|i| mark(i % (case.seq_len + 1)).into()).collect();
        writer.bytes(name, &marks).unwrap();
    }
    let mut bytes = Vec::new();
    to_bytes(&tokens, case.vocabulary as u32, &mut bytes);
    writer.bytes(TOKENS, &bytes).unwrap();
    Shard::open(Source::bytes("shard", writer.finish().unwrap().0).unwrap()).unwrap()
}

fn roots(model: &Model, state: &State) -> Vec<Digest> {
    let [first, second] = state.moments.roots(&model.layout);
    vec![merkle::root(model.layout.tensor_roots(&state.parameters)), first, second]
}

/// Traces every step, and compares what each ends in with the training's state and loss.
fn ends_where_training_ends(case: &Case, engine: Engine) {
    let (model, recipe, shard) = (model(case, engine), recipe(case), shard(case));
    let fast = model.on(Engine::detect());
    let order = BatchOrder::new(&Digest::of(b"order"), shard.sequences());
    let plan = Plan::training(&model.config, case.seq_len, 4 / case.groups, Some(2), 1 << 30);
    let input = RoundInput { recipe: &recipe, model: &fast, plan, shard: &shard, order: &order, round: 1 };
    let mut moments = Moments::zero(&model.layout);
    if case.carried {
        moments.steps = 5;
        moments.first.iter_mut().enumerate().for_each(|(i, m)| *m = (i % 13) as f32 * 1e-3 - 5e-3);
        moments.second.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 11) as f32 * 1e-4);
    }
    let parameters = match &model.net.adapted {
        None => initial_parameters(&model.config, &model.layout, 3),
        // B is not zero, or there would be no gradient of A.
        Some(Adapted { adapter, .. }) => {
            let first = adapter.initial(3).into_iter().enumerate();
            first.map(|(i, x)| if x == 0.0 { (i % 17) as f32 * 1e-2 - 8e-2 } else { x }).collect()
        }
    };
    let mut before = State { parameters, moments };
    run_steps(&input, before.clone(), 0..3, |report: &StepReport, after| {
        let after = after.state()?;
        let at = StepAt {
            round: 1,
            step: report.step,
            optimizer_steps: before.moments.steps,
            batch: report.sequences.clone(),
            masked: Masked::of(&shard, &report.sequences),
        };
        let graph = Graph::new(&recipe, &model, at);
        let begin = roots(&model, &before);
        let mut step = Step::new(&model, &graph, &shard, before.clone());
        let digests = trace(&graph, |operator, inputs| step.execute(operator, inputs), |_| ())?;
        assert_eq!(digests.len(), graph.values.len());
        let sources = &digests[..graph.state_sources(&model.layout)];
        let parts = sources.chunks(model.layout.tensors.len()).map(|part| merkle::root(part.to_vec()));
        assert_eq!(parts.collect::<Vec<_>>(), begin);
        let mut end = roots(&model, after);
        end.push(sum_digest(report.loss_q32));
        assert_eq!(digests[digests.len() - 4..], end[..], "step {}", report.step);
        let (traced, end) = step.finish();
        assert!(end == *after);
        assert_eq!(
            (traced.step, traced.loss, traced.loss_q32, traced.gradient_norm, traced.sequences),
            (report.step, report.loss, report.loss_q32, report.gradient_norm, report.sequences.clone())
        );
        before = after.clone();
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_trace_of_every_step_ends_in_the_state_and_loss_of_training() {
    let cases = [
        PLAIN,
        Case { tied: true, ..PLAIN },
        Case { groups: 2, ..PLAIN },
        Case { tied: true, groups: 4, kv_heads: 1, ..PLAIN },
        Case { kv_heads: 4, carried: true, ..PLAIN },
        Case { scaled: true, carried: true, tied: true, groups: 2, ..PLAIN },
        INTEGERS,
        Case { tied: true, groups: 2, carried: true, ..INTEGERS },
        // Of three blocks of tokens each.
        Case { seq_len: 530, ..INTEGERS },
    ];
    for case in &cases {
        ends_where_training_ends(case, Engine::detect());
    }
}

#[test]
fn so_does_the_trace_of_conversations_one_a_sequence_and_packed() {
    for targets in [Marking::Masked, Marking::Packed] {
        for case in [PLAIN, INTEGERS] {
            let case = Case { targets, tied: true, groups: 2, carried: true, ..case };
            ends_where_training_ends(&case, Engine::detect());
            ends_where_training_ends(&case, Engine::definition());
            ends_where_training_ends(&Case { seq_len: 530, scaled: true, ..case }, Engine::detect());
        }
    }
}

macro_rules! of_transformers {
    ($($name:literal),*) => {
        [$(include_str!(concat!("../../../testdata/oracle/architectures/", $name, "/config.json"))),*]
    };
}

#[test]
fn so_does_the_trace_of_every_kind_of_model() {
    let configs = of_transformers!(
        "gemma3",
        "granite",
        "llama-biases-linear",
        "llama-llama3",
        "llama-yarn",
        "mistral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3"
    );
    for config in configs {
        for case in [PLAIN, INTEGERS] {
            let case = Case { config: Some(config), vocabulary: 32, groups: 2, carried: true, ..case };
            ends_where_training_ends(&case, Engine::detect());
            ends_where_training_ends(&case, Engine::definition());
            ends_where_training_ends(&Case { targets: Marking::Packed, ..case }, Engine::detect());
        }
    }
}

#[test]
fn so_does_the_trace_of_every_kind_of_adapter() {
    for config in of_transformers!("gemma3", "llama-biases-linear", "phi3", "qwen2") {
        for (adapter, case) in [(&[][..], PLAIN), (&["o_proj", "down_proj"], INTEGERS)] {
            let case = Case { config: Some(config), vocabulary: 32, carried: true, adapter: Some(adapter), ..case };
            ends_where_training_ends(&case, Engine::detect());
            ends_where_training_ends(&Case { groups: 2, ..case }, Engine::definition());
        }
    }
    ends_where_training_ends(&Case { tied: true, adapter: Some(&["q_proj"]), ..INTEGERS }, Engine::detect());
}

#[test]
fn the_definitions_arrive_at_the_same_trace() {
    ends_where_training_ends(&Case { tied: true, groups: 2, ..PLAIN }, Engine::definition());
    ends_where_training_ends(&Case { tied: true, groups: 2, ..INTEGERS }, Engine::definition());
}

#[test]
fn a_head_in_several_chunks_of_rows_is_the_same_head() {
    // 32768 ids make chunks of 256 rows: 300 tokens are two.
    let long = Case { vocabulary: 40_000, seq_len: 300, ..PLAIN };
    ends_where_training_ends(&long, Engine::detect());
    ends_where_training_ends(&Case { tied: true, ..long }, Engine::detect());
    ends_where_training_ends(&Case { arithmetic: 2, ..long }, Engine::detect());
}

#[test]
fn a_graph_reads_only_what_was_written_before_and_nothing_is_written_in_vain() {
    let case = Case { tied: true, groups: 2, ..PLAIN };
    let (model, recipe) = (model(&case, Engine::detect()), recipe(&case));
    let at = StepAt { round: 0, step: 1, optimizer_steps: 1, batch: vec![3, 1, 4, 0], masked: None };
    let graph = Graph::new(&recipe, &model, at.clone());
    let mut read = vec![false; graph.values.len()];
    for (place, operator) in graph.operators.iter().enumerate() {
        for id in operator.inputs() {
            assert!((graph.values[id as usize].producer as usize) < place);
            read[id as usize] = true;
        }
        for (output, id) in operator.written().enumerate() {
            let value = &graph.values[id as usize];
            assert_eq!((value.producer as usize, value.output as usize), (place, output));
        }
        assert_eq!(operator.kind.is_source(), operator.reads.is_empty());
    }
    let unread: Vec<_> =
        (0..graph.values.len()).filter(|id| !read[*id]).map(|id| graph.producer(id as u32).kind).collect();
    // The norm is for people; the state is the end.
    assert_eq!(unread, [Kind::Clip, Kind::State, Kind::State, Kind::State, Kind::State]);
    // Every part of where the step stands decides the graph's digest.
    let digest = graph.digest();
    assert_eq!(Graph::new(&recipe, &model, at.clone()).digest(), digest);
    for other in [
        StepAt { round: 1, ..at.clone() },
        StepAt { step: 2, ..at.clone() },
        StepAt { optimizer_steps: 2, ..at.clone() },
        StepAt { batch: vec![1, 3, 4, 0], ..at.clone() },
    ] {
        assert_ne!(Graph::new(&recipe, &model, other).digest(), digest);
    }
    let mut faster = recipe.clone();
    faster.inner.lr *= 2.0;
    assert_ne!(Graph::new(&faster, &model, at.clone()).digest(), digest);
    // Of conversations everything that is written is read too, and how many targets there are is a part of the graph.
    for packed in [false, true] {
        let of = |targets| StepAt { masked: Some(Masked { targets, packed }), ..at.clone() };
        let graph = Graph::new(&recipe, &model, of(9));
        let read: Vec<ValueId> = graph.operators.iter().flat_map(Operator::inputs).collect();
        let data = graph.operators.iter().find(|operator| operator.kind == Kind::Tokens).unwrap();
        assert_eq!(data.written().len(), 2 + usize::from(packed));
        assert!(data.written().all(|value| read.contains(&value)));
        assert_eq!(graph.scale, 1.0 / 9.0);
        assert_ne!(graph.digest(), Graph::new(&recipe, &model, of(10)).digest());
    }
}
