//! Disputes: whatever a party cheats in, the judge finds the step and the operator, executes that one alone, and decides for
//! the honest one.

mod dispute_common;

use dispute_common::{Claims, STEPS, Work, recipe};
use l402::artifact::Digest;
use l402::data::{MASK, Marking, STARTS};
use l402::error::Kind as ErrorKind;
use l402::verify::dispute::{
    Answer, ByDefinition, Files, Outcome, Party, Question, Ruling, Settled, Side, check_transcript, settle,
};
use l402::verify::trace::{Graph, Kind, Step, TraceFile, Value};

/// Settles a dispute; which operators were executed.
fn dispute(work: &Work, a: &Claims, b: &Claims, at: u32) -> (Outcome, Vec<usize>) {
    let mut executed = Vec::new();
    let mut referee = ByDefinition(|_: &Graph, place: usize| {
        executed.push(place);
        Ok(Some(work.operands(at, place)))
    });
    let outcome = settle(&work.judge(), &mut work.party(a), &mut work.party(b), &mut referee).unwrap();
    (outcome, executed)
}

#[track_caller]
fn settled(outcome: Outcome) -> Settled {
    match outcome {
        Outcome::Settled(settled) => *settled,
        other => panic!("{other:?}"),
    }
}

/// The most exchanges that a dispute may take: one a level of each tree, and a few for what is found there.
fn most(work: &Work, graph: &Graph) -> u32 {
    let log = |n: usize| n.next_power_of_two().ilog2();
    let segments = work.context.segments();
    log(segments.count() as usize) + log(segments.every as usize) + log(graph.len()) + 12
}

/// Which values the new state or the loss comes from.
fn lead_to_the_state(graph: &Graph) -> Vec<bool> {
    let mut leads = vec![false; graph.values.len()];
    for operator in graph.operators.iter().rev() {
        if operator.kind == Kind::State || operator.written().any(|id| leads[id as usize]) {
            operator.inputs().for_each(|id| leads[id as usize] = true);
        }
    }
    leads
}

/// Plants a cheat in one output after the other, and disputes each from both sides.
fn every_cheat_is_found(work: &Work, at: u32, which: impl Fn(usize) -> bool) {
    let graph = work.judge().graph(at);
    let (honest, leads) = (work.honest(at), lead_to_the_state(&graph));
    let mut kinds = Vec::new();
    for (place, operator) in graph.operators.iter().enumerate().filter(|(place, _)| which(*place)) {
        for output in 0..operator.writes as usize {
            let what = format!("{place} {}, output {output}", operator.describe());
            // What has no effect on the state is no cheat: a row's maximum has none where the row has one key.
            let cheats = (0..12).map(|element| work.cheat_in(at, place, output, element));
            let Some(cheat) = cheats.into_iter().find(|cheat| cheat.leaves != honest.leaves) else {
                // The norm is for people: nothing is computed from it. Nor is anything from the digest of a loss, or from
                // roots that no leaf has.
                let without = match operator.kind {
                    Kind::Clip => output == 0,
                    Kind::State => output == 3 || !work.context.segments().is_end(at + 1),
                    // Beside an adapter nobody asks for the gradients of what stays.
                    _ => !work.model.net.whole() && !leads[operator.first as usize + output],
                };
                assert!(without, "{what}");
                continue;
            };
            for (a, b, right) in [(&honest, &cheat, Side::A), (&cheat, &honest, Side::B)] {
                let (outcome, executed) = dispute(work, a, b, at);
                let Settled { ruling, transcript } = settled(outcome);
                assert_eq!(ruling.stands, right, "{what}: {ruling:?}");
                assert_eq!(ruling.step, Some(at), "{what}: {ruling:?}");
                assert!(ruling.exchanges <= most(work, &graph), "{what}: {ruling:?}");
                assert_eq!(ruling.operator, Some(place as u64), "{what}: {ruling:?}");
                assert_eq!(ruling.kind.as_deref(), Some(operator.kind.name()));
                let by_hash = operator.kind.is_source() || operator.kind.works_on_digests();
                assert_eq!(executed, if by_hash { vec![] } else { vec![place] }, "{what}");
                assert_eq!(ruling.executed, executed.len() as u32);
                let checked = check_transcript(&work.judge(), "t", &transcript, None).unwrap();
                assert_eq!((&checked.ruling, checked.proven), (&ruling, by_hash), "{what}");
            }
        }
        kinds.push(operator.kind.name());
    }
    kinds.sort_unstable();
    kinds.dedup();
    println!("{} operators; kinds: {}", graph.len(), kinds.join(" "));
}

#[test]
fn a_cheat_in_any_operator_is_decided_for_the_honest_party() {
    every_cheat_is_found(&Work::new(false, 1, 1), 2, |_| true);
}

#[test]
fn so_it_is_with_tied_heads_and_groups_of_gradients() {
    every_cheat_is_found(&Work::new(true, 2, 1), 1, |_| true);
}

#[test]
fn so_it_is_where_the_products_are_of_integers() {
    every_cheat_is_found(&Work::by(2, true, 2, 1), 1, |_| true);
}

#[test]
fn so_it_is_where_an_adapter_is_trained() {
    every_cheat_is_found(&Work::of_adapter(1, 1), 1, |_| true);
    every_cheat_is_found(&Work::of_adapter(2, 2), 2, |place| place % 3 == 1);
}

#[test]
fn so_it_is_where_targets_are_masked_and_where_a_sequence_has_several_documents() {
    every_cheat_is_found(&Work::on(Marking::Masked, 1, false, 1, 1), 2, |place| place % 3 == 0);
    every_cheat_is_found(&Work::on(Marking::Packed, 1, true, 2, 1), 1, |_| true);
    every_cheat_is_found(&Work::on(Marking::Packed, 2, false, 1, 1), 1, |place| place % 3 == 1);
}

/// What is ruled on a party that trained with other marks than the shard's.
fn other_marks(work: &Work, changed: &str, to: impl Fn(usize, u8) -> u8) {
    let ruling = other_work(work, &work.other_marks(changed, to), 0);
    assert_eq!((ruling.kind.as_deref(), ruling.executed), (Some("tokens"), 0), "{ruling:?}");
}

#[test]
fn a_mask_or_documents_that_are_not_the_shards_are_found_at_their_source() {
    for targets in [Marking::Masked, Marking::Packed] {
        let work = Work::on(targets, 1, false, 1, 1);
        // The last token is trained on too, though it is none of the assistant's.
        other_marks(&work, MASK, |t, mark| if t == 6 { 1 } else { mark });
    }
    let work = Work::on(Marking::Packed, 1, false, 1, 1);
    // One document that sees all of the sequence.
    other_marks(&work, STARTS, |t, _| u8::from(t == 0));
}

#[test]
fn the_other_arithmetic_is_found_in_the_first_projection() {
    let (work, other) = (Work::by(2, false, 1, 1), Work::by(1, false, 1, 1));
    let mut floats = Work::by(2, false, 1, 1);
    floats.model = other.model;
    let ruling = other_work(&work, &floats, 0);
    assert_eq!((ruling.kind.as_deref(), ruling.executed), (Some("project"), 1), "{ruling:?}");
}

#[test]
fn so_it_is_in_the_first_and_the_last_step() {
    for at in [0, STEPS - 1] {
        every_cheat_is_found(&Work::new(true, 1, 1), at, |place| place % 11 == 3 || place < 2);
    }
}

#[test]
fn so_it_is_where_leaves_are_several_steps_apart() {
    // Segments of two steps: 0 and 1, 2 and 3, and 4 alone.
    for at in [0, 1, 2, 3, 4] {
        let work = Work::new(false, 1, 2);
        let last = work.judge().graph(at).len() - 1;
        every_cheat_is_found(&work, at, |place| place % 37 == 5 || place == last);
    }
    let work = Work::new(true, 2, STEPS);
    for at in [0, 2, 4] {
        every_cheat_is_found(&work, at, |place| place % 41 == 7);
    }
}

/// The ruling on a party that did other work than was assigned.
fn other_work(work: &Work, other: &Work, at: u32) -> Ruling {
    let (honest, mut cheat) = (work.honest(at), other.honest(at));
    // It says that its work is the assigned one.
    let graph = work.judge().graph(at);
    let values: Vec<Digest> = cheat.trace.outputs.concat();
    cheat.trace = TraceFile::new(&work.context, cheat.trace.steps.clone(), &graph, &values).unwrap();
    let ruling = settled(dispute(work, &honest, &cheat, at).0).ruling;
    assert_eq!(ruling.stands, Side::A, "{ruling:?}");
    assert_eq!(settled(dispute(work, &cheat, &honest, at).0).ruling.stands, Side::B);
    ruling
}

#[test]
fn other_data_are_found_at_their_source() {
    let work = Work::new(false, 1, 1);
    let ruling = other_work(&work, &work.other_data(), 0);
    assert_eq!(ruling.kind.as_deref(), Some("tokens"), "{ruling:?}");
    assert_eq!(ruling.executed, 0);
}

#[test]
fn another_learning_rate_is_found_in_the_first_adamw() {
    let work = Work::new(false, 1, 1);
    let mut faster = Work::new(false, 1, 1);
    faster.recipe = recipe(1, "2e-2", 1);
    let ruling = other_work(&work, &faster, 0);
    assert_eq!((ruling.kind.as_deref(), ruling.executed), (Some("adamw"), 1), "{ruling:?}");
}

#[test]
fn a_state_that_was_not_agreed_is_found_at_its_tensor() {
    let work = Work::new(false, 1, 1);
    let mut forged = Work::new(false, 1, 1);
    forged.start.moments.second[40] *= 2.0;
    let ruling = other_work(&work, &forged, 0);
    assert_eq!((ruling.kind.as_deref(), ruling.executed), (Some("second_moment"), 0), "{ruling:?}");
}

#[test]
fn other_batches_than_the_assigned_ones_lose_by_the_leaf_alone() {
    let work = Work::new(false, 1, 1);
    let mut other = Work::new(false, 1, 1);
    other.order = l402::data::BatchOrder::new(&Digest::of(b"another"), other.shard.sequences());
    let ruling = other_work(&work, &other, 0);
    assert!(ruling.why.contains("batches") && ruling.operator.is_none(), "{ruling:?}");
}

#[test]
fn a_party_whose_files_do_not_fit_each_other_loses_by_that_alone() {
    let work = Work::new(false, 1, 2);
    let (honest, cheat) = (work.honest(2), work.cheat(2, 60, 0));
    let loses = |bad: &Claims, says: &str| {
        let ruling = settled(dispute(&work, &honest, bad, 2).0).ruling;
        assert_eq!((ruling.stands, ruling.executed), (Side::A, 0), "{ruling:?}");
        assert!(ruling.why.starts_with("b: ") && ruling.why.contains(says), "{ruling:?}");
        let ruling = settled(dispute(&work, bad, &honest, 2).0).ruling;
        assert!(ruling.stands == Side::B && ruling.why.starts_with("a: "), "{ruling:?}");
    };
    // Somebody else's trace.
    let mut bad = Claims { trace: honest.trace.clone(), ..cheat.clone() };
    loses(&bad, "does not end in the leaf");
    // The steps its own, the operators another's.
    bad.trace.steps = cheat.trace.steps.clone();
    loses(&bad, "does not end in its own leaf");
    // Another graph.
    bad = cheat.clone();
    bad.trace.head.graph = Digest::of(b"another");
    loses(&bad, "its trace is of another graph: expected ");
    // A root that is not that of the lines.
    bad = cheat.clone();
    bad.trace.head.root = Digest::of(b"another");
    loses(&bad, "proof");
    // A line that was changed after the root was made, on the way down.
    bad = cheat.clone();
    bad.trace.outputs[60][0] = Digest::of(b"another");
    loses(&bad, "");
    // An output too many, under a root of its own.
    bad = cheat.clone();
    bad.trace.outputs[60].push(Digest::of(b"another"));
    bad.trace.head.root = bad.trace.tree(&work.judge().graph(2)).unwrap().root();
    loses(&bad, " outputs, found ");
    // Leaves whose losses are not those of its steps; or not numbers.
    bad = honest.clone();
    bad.leaves[1].losses_q32[0] = "7".into();
    loses(&bad, "loss");
    bad.leaves[1].losses_q32[0] = "+7".into();
    loses(&bad, "loss");
    bad = honest.clone();
    bad.leaves[1].optimizer_steps += 1;
    loses(&bad, "optimizer_steps");
    // States of steps that do not lead to the leaf.
    bad = cheat.clone();
    bad.trace.steps[1].first = Digest::of(b"another");
    loses(&bad, "does not end in the leaf");
}

#[test]
fn equal_leaves_are_no_dispute_and_silence_is_waited_for() {
    let work = Work::new(false, 1, 2);
    let (honest, cheat) = (work.honest(2), work.cheat(2, 60, 0));
    assert!(matches!(dispute(&work, &honest, &honest, 2).0, Outcome::Agreed));
    let mut silent = Files::new(&work.context, cheat.leaves.clone()).unwrap();
    let mut nobody = ByDefinition(|_: &Graph, _: usize| Ok(None));
    let waits = settle(&work.judge(), &mut work.party(&honest), &mut silent, &mut nobody).unwrap();
    assert!(matches!(waits, Outcome::Awaited { from: Side::B, question: Question::Steps { segment: 1 } }), "{waits:?}");
    // A trace of another step of that segment tells the step.
    let mut other = work.party(&Claims { trace: work.cheat(3, 60, 0).trace, ..cheat.clone() });
    let waits = settle(&work.judge(), &mut work.party(&honest), &mut other, &mut nobody);
    assert!(matches!(waits, Ok(Outcome::Settled(_))), "its steps are not those of its leaf: {waits:?}");
    // Without operands the dispute waits for them.
    let waits = settle(&work.judge(), &mut work.party(&honest), &mut work.party(&cheat), &mut nobody).unwrap();
    assert!(matches!(waits, Outcome::Operands { step: 2, operator: 60 }), "{waits:?}");
}

#[test]
fn operands_other_than_those_agreed_on_are_refused() {
    let work = Work::new(false, 1, 1);
    let (honest, cheat) = (work.honest(2), work.cheat(2, 60, 0));
    let mut referee = ByDefinition(|_: &Graph, place: usize| {
        let mut values = work.operands(2, place);
        dispute_common::bend(values.iter_mut().flatten().next().unwrap(), 0);
        Ok(Some(values))
    });
    let judge = work.judge();
    let refused = settle(&judge, &mut work.party(&honest), &mut work.party(&cheat), &mut referee).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    assert!(refused.to_string().contains("): operand 0: expected "), "{refused}");
    assert!(refused.to_string().contains(", on which both parties agree, found "), "{refused}");
}

/// A party that answers some questions with something else.
struct Odd(Files, fn(&Question) -> bool);

impl Party for Odd {
    fn answer(&mut self, question: &Question) -> l402::error::Result<Option<Answer>> {
        match (self.1)(question) {
            true => Ok(Some(Answer::Source(Vec::new()))),
            false => self.0.answer(question),
        }
    }
}

#[test]
fn who_answers_something_else_than_was_asked_loses_by_that_alone() {
    let work = Work::new(false, 1, 1);
    let (honest, cheat) = (work.honest(2), work.cheat(2, 60, 0));
    let asked: [fn(&Question) -> bool; 2] = [
        |question| matches!(question, Question::Root {}),
        // The leaf before the first that differs is shown by one party alone.
        |question| matches!(question, Question::Leaf { index: 1, .. }),
    ];
    for odd in asked {
        let mut nobody = ByDefinition(|_: &Graph, _: usize| Ok(None));
        let mut a = Odd(work.party(&honest), odd);
        let outcome = settle(&work.judge(), &mut a, &mut work.party(&cheat), &mut nobody).unwrap();
        let ruling = settled(outcome).ruling;
        assert_eq!((ruling.stands, ruling.why.as_str()), (Side::B, "a: it answers something else than was asked"));
    }
}

#[test]
fn operands_that_an_operator_cannot_take_are_refused() {
    let work = Work::new(false, 1, 1);
    let judge = work.judge();
    let graph = judge.graph(0);
    let refused = |kind: Kind, change: fn(&mut Vec<Option<Value>>), says: &str| {
        let place = graph.operators.iter().position(|operator| operator.kind == kind).unwrap();
        let mut values = work.operands(0, place);
        change(&mut values);
        let mut step = Step::new(&work.model, &graph, &work.shard, work.start.clone());
        let error = step.execute(&graph.operators[place], values).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(says), "{error}");
    };
    let infinite = |values: &mut Vec<Option<Value>>| {
        let Some(Value::Floats(first)) = &values[0] else { panic!("floats") };
        values[0] = Some(Value::floats(vec![f32::INFINITY; first.len()]));
    };
    refused(Kind::LossSum, infinite, ": the loss of token 0 is not finite, or above 2^31");
    refused(Kind::SumSquares, infinite, ": the gradient is not finite, or overflows");
    refused(Kind::Adamw, infinite, " or one of its moments is not finite");
    refused(Kind::Adamw, |values| drop(values.pop()), ": its inputs have other forms than the graph's");
}

#[test]
fn one_altered_byte_anywhere_in_a_transcript_is_found() {
    for (every, place) in [(1, 60), (2, 3)] {
        let work = Work::new(false, 1, every);
        let (outcome, _) = dispute(&work, &work.honest(2), &work.cheat(2, place, 0), 2);
        let Settled { transcript, ruling } = settled(outcome);
        let judge = work.judge();
        let mut operands =
            |_: &Graph, place: usize| -> l402::error::Result<Vec<Option<Value>>> { Ok(work.operands(2, place)) };
        let checked = check_transcript(&judge, "t", &transcript, Some(&mut operands)).unwrap();
        assert!(checked.proven && checked.ruling == ruling);
        let mut missed = Vec::new();
        for at in 0..transcript.len() {
            let mut bytes = transcript.clone().into_bytes();
            bytes[at] ^= 1 << (at % 3);
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if check_transcript(&judge, "t", &text, None).is_ok() {
                missed.push(at);
            }
        }
        assert!(missed.is_empty(), "{missed:?} of {} bytes", transcript.len());
        // Nor may a line be missing, or stand twice.
        let lines: Vec<&str> = transcript.split_inclusive('\n').collect();
        for skip in 0..lines.len() {
            let without: String = lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| *l).collect();
            assert!(check_transcript(&judge, "t", &without, None).is_err(), "without line {skip}");
            let twice: String =
                lines.iter().enumerate().map(|(i, l)| if i == skip { l.repeat(2) } else { l.to_string() }).collect();
            assert!(check_transcript(&judge, "t", &twice, None).is_err(), "line {skip} twice");
        }
        // A ruling for the other side, checksum and all made anew, does not hold where operands show what is right.
        let forged = forge(&transcript);
        let error = check_transcript(&judge, "t", &forged, Some(&mut operands));
        assert!(error.is_err(), "{error:?}");
    }
}

/// The same transcript with the ruling turned around.
fn forge(transcript: &str) -> String {
    let mut lines: Vec<String> = transcript.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap();
    let mut ruling: serde_json::Value = serde_json::from_str(&last).unwrap();
    ruling["stands"] = if ruling["stands"] == "a" { "b".into() } else { "a".into() };
    if let Some(expected) = ruling.get_mut("expected") {
        let line: serde_json::Value = lines
            .iter()
            .rev()
            .find_map(|l| {
                let exchange: serde_json::Value = serde_json::from_str(l).unwrap();
                exchange.get("b").is_some().then_some(exchange)
            })
            .unwrap();
        *expected = line["b"]["operators"][0]["outputs"].clone();
    }
    lines.push(ruling.to_string());
    lines.join("\n") + "\n"
}

#[test]
fn a_trace_file_is_read_back_and_a_malformed_one_is_refused() {
    let work = Work::new(false, 1, 2);
    let trace = work.honest(3).trace;
    let graph = work.judge().graph(3);
    let lines: Vec<String> = trace.lines(&graph).map(|line| line.unwrap()).collect();
    let text = lines.concat();
    assert!(text.len() as u64 <= TraceFile::max_bytes(&graph, 2));
    let read = TraceFile::parse("t", &text, &graph).unwrap();
    assert_eq!(read.head, trace.head);
    assert_eq!((read.steps, read.outputs), (trace.steps.clone(), trace.outputs.clone()));
    let refused = |text: String, says: &str| {
        let error = TraceFile::parse("t", &text, &graph).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(says), "{error}");
    };
    refused(String::new(), "truncated");
    refused(lines[..lines.len() - 1].concat(), "truncated");
    refused(text.clone() + &lines[lines.len() - 1], "oversized");
    refused(lines[1..].concat(), "leaves record");
    refused(text.replace("\"rope\"", "\"add\""), "operator record");
    refused(text.replacen("\"operator\":4,", "\"operator\":5,", 1), "operator record");
    refused(text.replacen("\"step\":3,", "\"step\":9,", 1), "step");
    refused(text.replacen("\"outputs\":[", "\"outputs\":[ ", 1), "canonical");
}
