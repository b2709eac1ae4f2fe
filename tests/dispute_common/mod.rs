//! A model small enough to dispute every operator of: honest work, and work with a cheat planted in one of them.

#![allow(dead_code)] // Each test program uses a part.

use l402::artifact::recipe::AdapterRecipe;
use l402::artifact::{Digest, Recipe, Writer};
use l402::data::{BatchOrder, MASK, Marking, Shard, ShardInfo, Split, TOKENS, to_bytes};
use l402::engine::{Engine, NO_TARGET};
use l402::error::Result;
use l402::fsio::Source;
use l402::model::{Adapted, Adapter, Model, ModelConfig, Net, Plan, initial_parameters};
use l402::optimizer::{Moments, Resident, RoundInput, State, StepReport, run_steps};
use l402::verify::dispute::{Begin, Files, Judge};
use l402::verify::trace::{Graph, Kind, Operator, Step, TraceFile, Value, operands, trace};
use l402::verify::{Leaf, LeafLog, Leaves, Segments};
use std::sync::Arc;

/// Steps of the round.
pub const STEPS: u32 = 5;
const SEQ_LEN: usize = 6;

/// What the parties agree on.
pub struct Work {
    pub recipe: Recipe,
    pub model: Model,
    pub shard: Shard,
    pub order: BatchOrder,
    pub context: Leaves,
    pub start: State,
}

/// A party's claims.
#[derive(Clone)]
pub struct Claims {
    pub leaves: Vec<Leaf>,
    pub trace: TraceFile,
}

/// A recipe with this learning rate.
pub fn recipe(arithmetic: u32, lr: &str, groups: usize) -> Recipe {
    Recipe::parse(&format!(
        "arithmetic = {arithmetic}\nname = \"t\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = {SEQ_LEN}\n[inner]\n\
         steps = {STEPS}\nbatch = 2\ngrad_groups = {groups}\nlr = {lr}\nweight_decay = 0.1\nclip = 0.5\n"
    ))
    .unwrap()
}

/// Marks of the five sequences: each of two documents, of which every other token is a target.
fn marks(name: &str) -> Vec<u8> {
    let begins = |s: usize, t: usize| t == 0 || t == 2 + s % 3;
    let mark = |s: usize, t: usize| if name == MASK { !begins(s, t) && (s + t) % 2 == 1 } else { begins(s, t) };
    (0..5).flat_map(|s| (0..=SEQ_LEN).map(move |t| mark(s, t).into())).collect()
}

fn shard(seed: u32, targets: Marking, marks: impl Fn(&str) -> Vec<u8>) -> Shard {
    let info = ShardInfo {
        split: Split::Train,
        tokenizer: "bytes".into(),
        vocab_size: 11,
        seq_len: SEQ_LEN,
        index: 0,
        of: 1,
        corpus: Digest([0; 32]),
        sequences: 5,
        trained: targets,
    };
    let mut writer = Writer::new("shard", Vec::new(), info.header()).unwrap();
    targets.tensors().iter().for_each(|name| writer.bytes(name, &marks(name)).unwrap());
    let mut bytes = Vec::new();
    let tokens: Vec<u32> = (0..5 * (SEQ_LEN as u32 + 1)).map(|i| (i * i * 7 + seed) % 11).collect();
    to_bytes(&tokens, 11, &mut bytes);
    writer.bytes(TOKENS, &bytes).unwrap();
    Shard::open(Source::bytes("shard", writer.finish().unwrap().0).unwrap()).unwrap()
}

impl Work {
    /// One layer, with a leaf every so many steps; moments that were carried over.
    pub fn new(tied: bool, groups: usize, every: u32) -> Work {
        Work::by(1, tied, groups, every)
    }

    /// The same by an arithmetic.
    pub fn by(arithmetic: u32, tied: bool, groups: usize, every: u32) -> Work {
        Work::on(Marking::All, arithmetic, tied, groups, every)
    }

    /// The same on conversations.
    pub fn on(targets: Marking, arithmetic: u32, tied: bool, groups: usize, every: u32) -> Work {
        let config = ModelConfig::parse(&format!(
            r#"{{"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 11, "tie_word_embeddings": {tied},
            "initializer_range": 0.3}}"#
        ))
        .unwrap();
        let (recipe, shard) = (recipe(arithmetic, "1e-2", groups), shard(0, targets, marks));
        let model = Model::of(&recipe, config, Engine::detect());
        let parameters = initial_parameters(&model.config, &model.layout, 1);
        let mut moments = Moments::zero(&model.layout);
        moments.steps = 3;
        moments.first.iter_mut().enumerate().for_each(|(i, m)| *m = (i % 13) as f32 * 1e-3 - 5e-3);
        moments.second.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 11) as f32 * 1e-4);
        let context = Leaves {
            run: recipe.digest(),
            round: 2,
            worker: "ann".into(),
            theta: Digest::of(b"theta"),
            shard: shard.digest(),
            assignment: Digest::of(b"assignment"),
            steps: STEPS,
            every,
        };
        let order = BatchOrder::new(&Digest::of(b"order"), shard.sequences());
        Work { recipe, model, shard, order, context, start: State { parameters, moments } }
    }

    /// The same of an adapter, which is trained in place of the model.
    pub fn of_adapter(arithmetic: u32, groups: usize) -> Work {
        let whole = Work::by(arithmetic, true, groups, 1);
        let Work { model, mut start, .. } = whole;
        let base = Arc::new(start.parameters);
        let recipe = AdapterRecipe { rank: 2, alpha: 24.0, targets: ["q_proj", "down_proj"].map(str::to_owned).into() };
        let decoder = model.net.decoder.clone();
        let adapter = Adapter::new(&decoder, &recipe).unwrap();
        // No zeros, or the other factor would have no gradient.
        let tame = |i: usize, x: f32| if x == 0.0 { (i % 7) as f32 * 0.05 - 0.17 } else { x };
        let parameters = adapter.initial(2).into_iter().enumerate().map(|(i, x)| tame(i, x)).collect();
        start.moments.first.truncate(adapter.layout.total);
        start.moments.second.truncate(adapter.layout.total);
        let net = Net { decoder, adapted: Some(Adapted { adapter, base }) };
        let model = Model::of_net(model.config.clone(), net, Engine::detect(), model.arithmetic, model.seq_len());
        Work { model, start: State { parameters, moments: start.moments }, ..Work::by(arithmetic, true, groups, 1) }
    }

    /// The same work on other data.
    pub fn other_data(&self) -> Work {
        self.on_shard(shard(3, self.shard.info().trained, marks))
    }

    /// The same work with other marks of this name: another mask, or documents that begin elsewhere.
    pub fn other_marks(&self, changed: &str, to: impl Fn(usize, u8) -> u8) -> Work {
        let mark = |(at, mark): (usize, u8)| to(at % (SEQ_LEN + 1), mark);
        let change = |name: &str| match name == changed {
            true => marks(name).into_iter().enumerate().map(mark).collect(),
            false => marks(name),
        };
        self.on_shard(shard(0, self.shard.info().trained, change))
    }

    fn on_shard(&self, shard: Shard) -> Work {
        let start = self.start.clone();
        let model = self.model.on(Engine::detect());
        let (recipe, order, context) = (self.recipe.clone(), self.order.clone(), self.context.clone());
        Work { recipe, model, shard, order, context, start }
    }

    /// What the judge knows.
    pub fn judge(&self) -> Judge<'_> {
        let begin = Begin::new(&self.model.layout, &self.start.parameters, &self.start.moments);
        Judge::new(&self.recipe, &self.model, &self.shard, &self.order, self.context.clone(), begin)
    }

    fn input(&self) -> RoundInput<'_> {
        let plan = Plan::training(&self.model.config, self.model.seq_len(), 1, None, 1 << 30);
        let Work { recipe, model, shard, order, context, .. } = self;
        RoundInput { recipe, model, plan, shard, order, round: context.round }
    }

    /// Work whose step `at` is executed by `run`, traced; the others by training.
    pub fn claims(
        &self,
        at: u32,
        mut run: impl FnMut(&mut Step<'_>, usize, &Operator, Vec<Option<Value>>) -> Result<Vec<Value>>,
    ) -> Claims {
        let layout = &self.model.layout;
        let segments = self.context.segments();
        let mut log = LeafLog::new(layout, segments);
        let mut every = LeafLog::new(layout, Segments { every: 1, ..segments });
        let mut observe = |report: &StepReport, state: &mut Resident| {
            log.follow(report, state).unwrap();
            every.follow(report, state).unwrap();
            Ok(())
        };
        let before = run_steps(&self.input(), self.start.clone(), 0..at, &mut observe).unwrap();
        let graph = self.judge().graph(at);
        let mut step = Step::new(&self.model, &graph, &self.shard, before);
        let (mut place, mut last) = (0, Vec::new());
        let digests = trace(
            &graph,
            |operator, inputs| {
                let outputs = run(&mut step, place, operator, inputs)?;
                place += 1;
                if operator.kind == Kind::State {
                    last = outputs.clone();
                }
                Ok(outputs)
            },
            |_| (),
        )
        .unwrap();
        let (report, after) = step.finish();
        observe(&report, &mut Resident::new(&self.model.device, after.clone())).unwrap();
        run_steps(&self.input(), after, at + 1..segments.steps, &mut observe).unwrap();
        let (mut leaves, mut every) = (log.leaves(), every.leaves());
        // What was planted in the last operator is what its party claims.
        let end = at as usize / segments.every as usize;
        let ends_here = leaves[end].step == at + 1;
        for leaf in [&mut every[at as usize]].into_iter().chain(ends_here.then(|| &mut leaves[end])) {
            if let [Value::Root(parameters), Value::Root(first), Value::Root(second), _] = last[..] {
                (leaf.parameters, leaf.first, leaf.second) = (parameters, first, second);
            }
        }
        let range = segments.range(end as u32);
        let steps = every[range.start as usize..range.end as usize].to_vec();
        Claims { leaves, trace: TraceFile::new(&self.context, steps, &graph, &digests).unwrap() }
    }

    /// Honest work, with the trace of a step.
    pub fn honest(&self, at: u32) -> Claims {
        self.claims(at, |step, _, operator, inputs| step.execute(operator, inputs))
    }

    /// Work with one output of one operator changed, and the rest computed honestly from it.
    pub fn cheat(&self, at: u32, cheated: usize, output: usize) -> Claims {
        self.cheat_in(at, cheated, output, 0)
    }

    /// The same; `element` is counted from the one with the largest magnitude.
    pub fn cheat_in(&self, at: u32, cheated: usize, output: usize, element: usize) -> Claims {
        self.claims(at, |step, place, operator, inputs| {
            let mut outputs = step.execute(operator, inputs)?;
            if place == cheated {
                bend(&mut outputs[output], element);
                step.replace(operator, &outputs);
            }
            Ok(outputs)
        })
    }

    /// A party with these claims.
    pub fn party(&self, claims: &Claims) -> Files {
        let graph = self.judge().graph(claims.trace.head.step);
        let files = Files::new(&self.context, claims.leaves.clone()).unwrap();
        files.with_trace(claims.trace.clone(), &graph).unwrap()
    }

    /// The operands of an operator of a step, by honest work.
    pub fn operands(&self, at: u32, place: usize) -> Vec<Option<Value>> {
        let before = run_steps(&self.input(), self.start.clone(), 0..at, |_, _| Ok(())).unwrap();
        let graph: Graph = self.judge().graph(at);
        let mut step = Step::new(&self.model, &graph, &self.shard, before);
        operands(&graph, place, |operator, inputs| step.execute(operator, inputs), |_| ()).unwrap()
    }
}

/// Flips a bit of a value, in the element with the largest magnitude, or in one of those that follow.
pub fn bend(value: &mut Value, element: usize) {
    match value {
        Value::Floats(values) => {
            let values = Arc::make_mut(values);
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|i, j| values[*j].abs().total_cmp(&values[*i].abs()));
            let bent = &mut values[order[element % order.len()]];
            *bent = f32::from_bits(bent.to_bits() ^ 1 << 20);
        }
        Value::Tokens(ids) => match &mut Arc::make_mut(ids)[2 + element % 4] {
            none if *none == NO_TARGET => *none = 3,
            id => *id ^= 1,
        },
        Value::Sum(sum) => *sum ^= 1,
        Value::Root(root) => root.0[5] ^= 1,
    }
}
