//! What each operator takes of a step: the step's graph, executed on the fast engine.

use std::collections::BTreeMap;
use std::time::Instant;

use l402::artifact::Digest;
use l402::data::BatchOrder;
use l402::model::{Model, initial_parameters};
use l402::optimizer::{Moments, State};
use l402::verify::trace::{Graph, Kind, Step, StepAt, trace};
use serde_json::json;

use crate::Args;
use crate::engines::{recipe, shard};
use crate::shape::Shape;

/// One line a kind of operator, with its layer's or the head's products apart: seconds, and percents of all.
pub fn print(shape: &Shape, args: &Args) {
    let recipe = recipe(shape, args.arithmetic, 1);
    let model = Model::of(&recipe, shape.config.clone(), crate::operators(args));
    let shard = shard(shape);
    let batch = BatchOrder::new(&Digest::of(b"bench"), shard.sequences()).indices(0, shape.batch);
    let at = StepAt { round: 0, step: 0, optimizer_steps: 0, batch, masked: None };
    let graph = Graph::new(&recipe, &model, at);
    let parameters = initial_parameters(&model.config, &model.layout, 402);
    let state = State { parameters, moments: Moments::zero(&model.layout) };
    let mut step = Step::new(&model, &graph, &shard, state);
    let mut seconds: BTreeMap<String, f64> = BTreeMap::new();
    let timed = |operator: &_, inputs| {
        let began = Instant::now();
        let outputs = step.execute(operator, inputs);
        let taken = began.elapsed().as_secs_f64();
        let linear = matches!(operator.kind, Kind::Project | Kind::InputGradient | Kind::WeightGradient);
        let head = linear && operator.tensor == Some(model.net.decoder.head as u32);
        let name = if head { format!("{} of the head", operator.kind) } else { operator.kind.to_string() };
        *seconds.entry(name).or_default() += taken;
        outputs
    };
    trace(&graph, timed, |_| ()).expect("the step is finite");
    let all: f64 = seconds.values().sum();
    let mut by_time: Vec<_> = seconds.into_iter().collect();
    by_time.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (operator, seconds) in by_time {
        println!("{}", json!({"operator": operator, "percent": 100.0 * seconds / all, "seconds": seconds}));
    }
}
