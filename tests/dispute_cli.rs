//! A dispute through the binary: leaves, traces, operands, transcripts and exit statuses.

mod common;
mod dispute_common;

use common::work::Bench;
use common::{FULL, World};
use dispute_common::{Claims, Work};
use l402::artifact::key::SigningKey;
use l402::artifact::{Header, Reader, TensorInfo, Writer, record};
use l402::data::BatchOrder;
use l402::fsio::Source;
use l402::verify::Leaves;
use l402::verify::trace::TraceFile;

/// Round 1 of ann: four steps, a leaf after every second; her update and leaves, and what she kept.
fn world() -> World {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap().replace("steps = 3", "steps = 4");
    world.write("r.toml", (recipe + "[verify]\nleaf_every = 2\n").as_bytes());
    world.play(0);
    world.assign(1);
    world.work(1, "ann");
    let train = world.train(1, "ann");
    world.ok(&format!("{train} --leaves ann.leaves --openings kept --keep-states 1 --state-out again -o delta"));
    world
}

fn work(world: &World) -> Work {
    let bench = Bench::new(world, 1, "ann");
    let (context, _) = Leaves::parse(&record::read_lines(&world.path("ann.leaves")).unwrap()).unwrap();
    let order = BatchOrder::new(&bench.assignment.order, bench.shard.sequences());
    let start = bench.start();
    let Bench { recipe, model, shard, .. } = bench;
    Work { recipe, model, shard, order, context, start }
}

fn write(world: &World, work: &Work, name: &str, claims: &Claims) {
    world.write(&format!("{name}.leaves"), work.context.to_text(&claims.leaves).unwrap().as_bytes());
    let graph = work.judge().graph(claims.trace.head.step);
    let lines: Vec<String> = claims.trace.lines(&graph).map(Result::unwrap).collect();
    world.write(&format!("{name}.trace"), lines.concat().as_bytes());
}

#[test]
fn a_dispute_goes_from_leaves_to_one_operator_and_its_transcript_convinces_a_third_party() {
    let world = world();
    let work = work(&world);
    let replay = world.replay(1, "ann", "ann.1.update");
    let expect = |args: &str, code: i32, says: &str| world.expect(&format!("{replay} {args}"), code, says);

    // The honest trace, from theta or from a kept state, is the library's.
    let honest = work.honest(3);
    write(&world, &work, "honest", &honest);
    expect("--trace 3 -o ann.trace", 0, "");
    expect("--trace 3 --openings kept -o kept.trace", 0, "");
    assert!(world.bytes("ann.trace") == world.bytes("honest.trace"));
    assert!(world.bytes("kept.trace") == world.bytes("honest.trace"));
    assert!(world.bytes("ann.leaves") == world.bytes("honest.leaves"));

    // Somebody claims other leaves: an operator of the last step was bent.
    let graph = work.judge().graph(3);
    let bent = graph.operators.iter().rposition(|operator| operator.kind.name() == "weight_gradient").unwrap();
    write(&world, &work, "liar", &work.cheat(3, bent, 0));
    expect("--leaves ann.leaves --against honest.leaves", 0, "nothing to dispute");
    expect("--leaves ann.leaves --against liar.leaves", 75, "awaited is the other party's trace");
    let both = "--against liar.leaves --against liar.trace";
    let decided = format!("operator {bent}: weight_gradient");
    expect(&format!("--leaves ann.leaves {both} -o transcript"), 0, &decided);
    expect(&format!("{both} -o computed"), 0, &decided);
    assert!(world.bytes("computed") == world.bytes("transcript"));
    let rulings = common::records(&world.bytes("transcript"), "ruling");
    assert_eq!((&rulings[0]["stands"], &rulings[0]["executed"]), (&"a".into(), &1.into()));
    assert_eq!((&rulings[0]["step"], &rulings[0]["operator"]), (&3.into(), &bent.into()));

    // From the other side: the liar's own machine computes what is right.
    expect("--leaves liar.leaves --against ann.leaves --against ann.trace", 1, "the other party is right");

    // A third party, without a step and with the one operator's operands.
    expect("--transcript transcript", 0, "--operands executes it");
    expect(&format!("--trace 3 --operator {bent} -o operands"), 0, "");
    expect("--transcript transcript --operands operands", 0, "holds: a is right");
    expect(&format!("--leaves ann.leaves {both} --operands operands -o again-transcript"), 0, &decided);
    expect(&format!("--trace 3 --operator {} -o other", bent - 1), 0, "");
    expect("--transcript transcript --operands other", 1, "l402.operator");
    let mut bytes = world.bytes("transcript");
    for at in [20, bytes.len() / 3, bytes.len() / 2, bytes.len() - 40] {
        bytes[at] ^= 1;
        world.write("altered", &bytes);
        let code = world.run(&format!("{replay} --transcript altered --operands operands")).status.code();
        assert!(matches!(code, Some(1 | 65)), "byte {at}: {code:?}");
        bytes[at] ^= 1;
    }
    let operands = world.bytes("operands");
    world.write("short", &operands[..operands.len() - 1]);
    expect("--transcript transcript --operands short", 65, "short");
    let mut other = operands.clone();
    *other.last_mut().unwrap() ^= 1;
    world.write("other", &other);
    expect("--transcript transcript --operands other", 1, ", on which both parties agree, found ");
    // The same of themselves, over other tensors.
    let metadata = Reader::open(Source::open(&world.path("operands")).unwrap()).unwrap().header().metadata.clone();
    let mut writer = Writer::new("other", Vec::new(), Header::new(metadata, vec![TensorInfo::bytes("w", 1)])).unwrap();
    writer.bytes("w", &[7]).unwrap();
    world.write("other", &writer.finish().unwrap().0);
    expect("--transcript transcript --operands other", 65, ": its tensors are not the operands of ");

    // Files that are not what they should be.
    let text = String::from_utf8(world.bytes("liar.trace")).unwrap();
    world.write("cut", &text.as_bytes()[..text.len() - 200]);
    expect("--leaves ann.leaves --against liar.leaves --against cut", 65, "cut");
    world.write("foreign", text.replace("\"worker\":\"ann\"", "\"worker\":\"bob\"").as_bytes());
    expect(
        "--leaves ann.leaves --against liar.leaves --against foreign",
        1,
        "leaves record: worker: expected ann, found bob",
    );
    expect("--leaves ann.leaves --against liar.leaves --against missing", 66, "missing");
    expect("--leaves ann.leaves --against liar.trace", 2, "leaves");
    expect("--leaves ann.leaves --against liar.leaves --against ann.leaves", 2, "second");
    expect("--transcript ann.trace", 65, "transcript");
    expect("--trace 4", 2, "from 0 to 3");
    expect("--trace 3 --operator 0", 2, "hashes decide");
    expect("--trace 3 --operator 99999", 2, "expected a number");
    expect("--openings kept", 2, "--openings");
    // Two parties of whom neither made the update.
    write(&world, &work, "another", &work.cheat(2, bent, 0));
    expect("--leaves another.leaves --against liar.leaves", 1, "expected a party whose leaves are the update's");
    expect("--leaves ann.leaves --against another.leaves --against another.trace", 0, "step 2: operator");
}

#[test]
fn a_signed_trace_is_its_signers_and_its_transcript_says_so() {
    let world = world();
    let work = work(&world);
    let replay = world.replay(1, "ann", "ann.1.update");
    let expect = |args: &str, code: i32, says: &str| world.expect(&format!("{replay} {args}"), code, says);
    let key = |who: &str| SigningKey::load(&world.path(&format!("{who}.key"))).unwrap();
    let [ann, bob] = ["ann", "bob"].map(|who| key(who).public().to_string());

    let graph = work.judge().graph(3);
    let bent = graph.operators.iter().rposition(|operator| operator.kind.name() == "weight_gradient").unwrap();
    let mut liar = work.cheat(3, bent, 0);
    write(&world, &work, "liar", &liar);
    let both = "--leaves ann.leaves --against liar.leaves --against liar.trace";
    expect(&format!("{both} -o unsigned"), 0, "liar.trace: anybody may have made this trace: it is not signed");
    liar.trace.sign(&key("bob")).unwrap();
    write(&world, &work, "liar", &liar);
    expect(&format!("{both} --key ann.key -o transcript"), 0, &format!("liar.trace: the trace of {bob}, which has"));
    let checked = expect("--transcript transcript", 0, &format!("a's trace is that of {ann}, which has signed it"));
    assert!(common::talk(&checked).contains(&format!("b's trace is that of {bob}")), "{}", common::talk(&checked));
    assert!(!common::talk(&expect("--transcript unsigned", 0, "")).contains("trace is that of"));

    // Signed or not, the trace is the same, and the same each time.
    expect("--trace 3 -o plain", 0, "");
    expect("--trace 3 --key ann.key -o mine", 0, "");
    expect("--trace 3 --key ann.key -o twice", 0, "");
    assert_eq!(world.bytes("mine"), world.bytes("twice"));
    let text = |name: &str| String::from_utf8(world.bytes(name)).unwrap();
    let mut mine = TraceFile::parse("mine", &text("mine"), &graph).unwrap();
    assert_eq!(mine.signer().unwrap(), Some(key("ann").public()));
    (mine.head.states, mine.head.party, mine.head.sig) = (None, None, None);
    assert_eq!(mine.lines(&graph).map(Result::unwrap).collect::<String>(), text("plain"));

    // What was signed is all of it, by that key alone.
    let signed = text("liar.trace");
    let head = signed.lines().nth(1).unwrap();
    let field = |name: &str| {
        let rest = &head[head.find(&format!("\"{name}\":\"")).unwrap()..];
        rest[..rest.find(',').unwrap_or(rest.len()) + 1].to_owned()
    };
    let leaf = signed.lines().find(|line| line.contains("\"type\":\"leaf\"")).unwrap();
    let at = leaf.find("\"parameters\":\"").unwrap() + 14;
    let digit = if leaf.as_bytes()[at] == b'0' { "1" } else { "0" };
    let other = format!("{}{digit}{}", &leaf[..at], &leaf[at + 1..]);
    let trace = |forged: String, says: &str| {
        assert_ne!(forged, signed);
        world.write("forged", forged.as_bytes());
        expect("--leaves ann.leaves --against liar.leaves --against forged -o out", 65, says);
    };
    trace(signed.replace(&bob, &ann), ", whose it says it is, did not sign it");
    trace(signed.replacen("\"step\":3", "\"step\":2", 1), ", whose it says it is, did not sign it");
    trace(signed.replacen(leaf, &other, 1), "trace record: the states that were signed are others");
    for part in ["sig", "party", "states"] {
        trace(signed.replacen(&field(part), "", 1), "trace record: states, party and sig belong together");
    }
    world.write("forged", text("transcript").replace(&bob, &ann).as_bytes());
    expect("--transcript forged", 65, ": b: trace record: ");
}
