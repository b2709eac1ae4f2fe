//! Instruction data: texts, tokens and masks are transformers'; what is trained is what the assistant says; and rounds are played on
//! conversations, one a sequence and packed.

mod common;

use std::path::{Path, PathBuf};

use common::{FULL, WORKERS, World, recipe};
use l402::data::chat::{
    ChatTemplate, ChatTokenizer, Conversation, Date, Message, Record, TemplateFiles, Turns, trained,
};
use l402::data::{Marking, Shard};
use l402::error::{Error, Kind};
use l402::fsio::Source;
use minijinja::Value;

fn oracle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/chat")
}

fn files(name: &str) -> TemplateFiles {
    let template = std::fs::read_to_string(oracle().join(format!("templates/{name}.jinja"))).unwrap();
    TemplateFiles { name: name.to_owned(), template: Some(template), ..TemplateFiles::default() }
}

fn tokenizer() -> ChatTokenizer {
    ChatTokenizer::new("tokenizer.json", Some(&std::fs::read(oracle().join("tokenizer.json")).unwrap())).unwrap()
}

fn numbers<T: TryFrom<usize>>(list: &Value) -> Vec<T> {
    let number = |n: Value| n.as_usize().and_then(|n| T::try_from(n).ok()).unwrap();
    list.try_iter().unwrap().map(number).collect()
}

#[test]
fn texts_tokens_and_masks_are_those_of_transformers() {
    // Order counts: a template may print a message, and a list of tools.
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(oracle().join("cases.json")).unwrap()).unwrap();
    let date: Date = cases.get_attr("date").unwrap().as_str().unwrap().parse().unwrap();
    let tokenizer = tokenizer();
    let (mut refused, mut masked, mut equal) = (0, 0, 0);
    for case in cases.get_attr("cases").unwrap().try_iter().unwrap() {
        let get = |name: &str| case.get_attr(name).unwrap();
        let name = get("template").to_string();
        let what = format!("{name}, {}, prompt {}", get("what"), get("prompt"));
        let special = get("special");
        let variable = |key: Value| (key.to_string(), special.get_item(&key).unwrap().to_string());
        let variables = special.try_iter().unwrap().map(variable).collect();
        let template = ChatTemplate::new(TemplateFiles { variables, ..files(&name) }, Some(date)).unwrap();
        let messages: Vec<Message> = get("messages").try_iter().unwrap().map(Message::of_value).collect();
        let tools = Some(get("tools")).filter(|tools| !tools.is_none());
        let rendered = template.render(&messages, tools.as_ref(), get("prompt").is_true());
        if !get("refused").is_undefined() {
            assert_eq!(rendered.unwrap_err().kind(), Kind::Data, "{what}");
            refused += 1;
            continue;
        }
        let rendered = rendered.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(rendered.text, get("text").as_str().unwrap(), "{what}");
        let marked = tokenizer.encode(&rendered.text, &rendered.generated).unwrap();
        assert_eq!(marked.tokens, numbers::<u32>(&get("ids")), "{what}");
        assert_eq!(template.marks_generation(), !get("mask").is_none(), "{what}");
        if template.marks_generation() {
            assert_eq!(marked.mask, numbers::<u8>(&get("mask")), "{what}");
            masked += usize::from(marked.mask.contains(&1));
        }
        equal += 1;
    }
    assert_eq!((equal, refused), (136, 4));
    assert!(masked > 30, "{masked}");
}

fn said(turns: &[(&str, &str)]) -> Conversation {
    let messages = turns.iter().map(|(role, content)| Message::new(role, content)).collect();
    Conversation { messages, given: 0, tools: None }
}

const TALK: [(&str, &str); 5] =
    [("system", "S"), ("user", "How?"), ("assistant", "So."), ("user", "And?"), ("assistant", "Thus.")];

fn template(name: &str) -> ChatTemplate {
    let variables = [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
    ChatTemplate::new(TemplateFiles { variables, ..files(name) }, Some("2025-03-09".parse().unwrap())).unwrap()
}

/// What is trained of a conversation, or why that is ambiguous.
fn spans(name: &str, conversation: &Conversation, turns: Turns) -> Result<Vec<String>, String> {
    let rendered = trained(&template(name), conversation, turns).unwrap()?;
    Ok(rendered.generated.iter().map(|span| rendered.text[span.clone()].to_owned()).collect())
}

#[test]
fn the_turns_of_known_templates_are_what_the_assistant_says_with_what_ends_it() {
    let cases = [
        ("qwen2.5", ["So.<|im_end|>\n", "Thus.<|im_end|>\n"]),
        ("smollm2", ["So.<|im_end|>\n", "Thus.<|im_end|>\n"]),
        ("llama-3.2", ["So.<|eot_id|>", "Thus.<|eot_id|>"]),
        ("chatml-generation", ["So.<|im_end|>", "Thus.<|im_end|>"]),
    ];
    for (name, expected) in cases {
        assert_eq!(spans(name, &said(&TALK), Turns::All).unwrap(), expected, "{name}");
        assert_eq!(spans(name, &said(&TALK), Turns::Last).unwrap(), expected[1..], "{name}");
        // What is given is not trained.
        let given = Conversation { given: 4, ..said(&TALK) };
        assert_eq!(spans(name, &given, Turns::All).unwrap(), expected[1..], "{name}");
    }
    assert_eq!(spans("mistral", &said(&TALK[1..]), Turns::All).unwrap(), [" So.</s>", " Thus.</s>"]);
    // It puts the system's words before the last question: the first turn alone begins otherwise.
    let why = spans("mistral", &said(&TALK), Turns::All).unwrap_err();
    assert!(why.contains("the template writes the first 2 of 5 messages otherwise than in the whole"), "{why}");
}

#[test]
fn a_template_that_strips_earlier_thinking_is_ambiguous_but_for_the_last_turn() {
    let talk = [
        ("user", "How?"),
        ("assistant", "<think>\nhm\n</think>\n\nSo."),
        ("user", "And?"),
        ("assistant", "<think>\nhm\n</think>\n\nThus."),
    ];
    assert_eq!(spans("qwen3", &said(&talk[..2]), Turns::All).unwrap(), ["<think>\nhm\n</think>\n\nSo.<|im_end|>\n"]);
    let why = spans("qwen3", &said(&talk), Turns::All).unwrap_err();
    assert!(why.contains("the first 2 of 4 messages otherwise"), "{why}");
    assert_eq!(spans("qwen3", &said(&talk), Turns::Last).unwrap(), ["<think>\nhm\n</think>\n\nThus.<|im_end|>\n"]);
}

#[test]
fn a_message_that_spells_a_special_token_makes_it_as_in_transformers() {
    let tokenizer = tokenizer();
    let end = tokenizer.id("<|im_end|>").unwrap();
    let marked = tokenizer.encode("a<|im_end|>b", std::slice::from_ref(&(1..11))).unwrap();
    assert_eq!(marked.tokens.iter().filter(|id| **id == end).count(), 1);
    assert_eq!(marked.mask, [0, 1, 0]);
}

// ---- Hostile templates ----

fn refused(source: &str, part: &str) {
    let files = TemplateFiles { name: "t".into(), template: Some(source.into()), ..TemplateFiles::default() };
    let messages = [Message::new("user", "hello")];
    let error: Error = match ChatTemplate::new(files, None) {
        Err(error) => error,
        Ok(template) => template.render(&messages, None, false).expect_err(source),
    };
    assert_eq!(error.kind(), Kind::Data, "{error}");
    let text = error.to_string();
    assert!(text.contains(part) && !text.contains('\n'), "{source}: {text}");
}

#[test]
fn a_template_that_does_not_end_or_grows_without_end_is_refused() {
    let many = "range(100000)";
    refused(
        &format!("{{% for i in {many} %}}{{% for j in {many} %}}{{% endfor %}}{{% endfor %}}"),
        "does not come to an end",
    );
    refused(
        "{% set n = namespace(x='aaaaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "t: the chat template",
    );
    refused(
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "t: the chat template",
    );
    refused("{{ 'a' * 10000000000 }}", "t: ");
    refused("{{ range(1000000000000) | list }}", "t: ");
    refused("{% for i in range(100000) %}{{ 'a' * 1000 }}{% endfor %}", "t: the chat template");
    refused("{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}", "t: the chat template");
    refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion");
    refused("{% macro m(x) %}{{ m([x, x]) | tojson }}{% endmacro %}{{ m(1) }}", "t: ");
    refused(&format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)), "not a chat template");
    refused(&"{% if true %}".repeat(100_000), "t: ");
    refused(
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
        "t: the chat template",
    );
    refused(&"a".repeat((1 << 18) + 1), "expected a chat template of at most 262144 bytes");
    // Nested as deep as so many bytes can be: the compiler's stack, not ours.
    for (begin, level, end) in [("{{1", "+1", "}}"), ("{{", "-", "1}}"), ("{{", "not ", "1}}"), ("{{1", "|abs", "}}")] {
        let deep = format!("{begin}{}{end}", level.repeat(((1 << 18) - 10) / level.len()));
        let files = TemplateFiles { name: "t".into(), template: Some(deep), ..TemplateFiles::default() };
        if let Ok(template) = ChatTemplate::new(files, None) {
            let _ = template.render(&[Message::new("user", "hello")], None, false);
        }
    }
}

#[test]
fn a_value_nested_without_end_overflows_no_stack() {
    let nest = "{% set n = namespace(x=[1]) %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}";
    refused(&format!("{nest}{{{{ n.x | tojson }}}}"), "nested deeper than 200");
    refused(&format!("{nest}{{{{ n.x }}}}{{{{ raise_exception('here') }}}}"), "here");
}

#[test]
fn a_template_reads_no_files_and_knows_no_clock() {
    refused("{% include '/etc/passwd' %}", "not a chat template");
    refused("{% import '/etc/passwd' as p %}", "not a chat template");
    refused("{% from 'x' import y %}", "not a chat template");
    refused("{% extends '/etc/passwd' %}", "not a chat template");
    refused("{{ ''.__class__.__mro__ }}", "t: ");
    refused("{{ strftime_now('%Y') }}", "the template asks for today's date (strftime_now)");
    refused("{{ raise_exception('no\nroles') }}", "the template refuses it: no roles (line 1 of the template)");
    refused("{{ messages.x.y }}", "undefined");
    refused("{% generation %}", "not a chat template");
    refused("{% endgeneration %}", "not a chat template");
}

#[test]
fn a_models_folder_has_its_template_in_one_of_several_places() {
    let world = World::empty();
    let load = || ChatTemplate::load(&world.path(""), None);
    let text = || load().unwrap().render(&[Message::new("user", "hi")], None, false).unwrap().text;
    assert_eq!(load().unwrap_err().kind(), Kind::Missing);
    let config = |template: &str| {
        format!(
            r#"{{"bos_token": {{"content": "<B>", "lstrip": false}}, "eos_token": null, "add_bos_token": true,
            "chat_template": {template}}}"#
        )
    };
    world.write("special_tokens_map.json", br#"{"bos_token": "<other>", "eos_token": {"content": "<E>"}}"#);
    world.write(
        "tokenizer_config.json",
        config(r#""{{ bos_token }}{{ messages[0].content }}{{ eos_token }}\n""#).as_bytes(),
    );
    assert_eq!(text(), "<B>hi<E>");
    let named = r#"[{"name": "tool_use", "template": "{{ tools | length }}"}, {"name": "default", "template": "D"}]"#;
    world.write("tokenizer_config.json", config(named).as_bytes());
    assert_eq!(text(), "D");
    let tools: Value = serde_json::from_str(r#"[{"name": "a"}]"#).unwrap();
    assert_eq!(load().unwrap().render(&[Message::new("user", "hi")], Some(&tools), false).unwrap().text, "1");
    world.write("chat_template.jinja", b"J{{ bos_token }}");
    assert_eq!(text(), "J<B>");
    std::fs::remove_file(world.path("chat_template.jinja")).unwrap();
    for (hostile, part) in [
        ("7", "chat_template: expected a string"),
        (r#"[{"name": "rag", "template": "D"}]"#, "expected one named \"default\""),
        (r#""{% if %}""#, "not a chat template"),
    ] {
        world.write("tokenizer_config.json", config(hostile).as_bytes());
        let error = load().unwrap_err();
        assert!(error.kind() == Kind::Data && error.to_string().contains(part), "{error}");
    }
    for hostile in ["[]", "{", r#"{"eos_token": {"content": 7}}"#] {
        world.write("tokenizer_config.json", hostile.as_bytes());
        assert_eq!(load().unwrap_err().kind(), Kind::Data, "{hostile}");
    }
}

// ---- Shards ----

/// Questions of two numbers, and their sum: something to learn, in few bytes.
fn corpus(count: usize) -> String {
    let line = |i: usize| {
        let (a, b) = (i % 7, i / 7 % 3);
        let turns = [("user", format!("{a}+{b}")), ("assistant", format!("={}", a + b))];
        let turns = turns.map(|(role, content)| serde_json::json!({"role": role, "content": content}));
        serde_json::json!({ "messages": turns }).to_string() + "\n"
    };
    (0..count).map(line).collect()
}

const SHORT: &[u8] =
    b"{% for m in messages %}{% if m.role == 'user' %}?{{ m.content }}{% else %}{% generation %}{{ m.content }}.\
{% endgeneration %}{% endif %}{% endfor %}";

fn shard(world: &World, path: &str) -> Shard {
    Shard::open(Source::open(&world.path(path)).unwrap()).unwrap()
}

#[test]
fn a_corpus_of_conversations_becomes_shards_with_marks() {
    let world = World::empty();
    world.write("c.jsonl", corpus(30).as_bytes());
    world.write("short.jinja", SHORT);
    let command = "shard --chat c.jsonl --chat-template short.jinja --tokenizer bytes --shards 1 --val-shards 1";
    let output = world.ok(&format!("{command} --seq-len 10 -o one"));
    let said = common::talk(&output);
    assert!(
        said.contains("30 conversations in 30 sequences: 90 of their 210 tokens are trained (42.9 %); 0 cut"),
        "{said}"
    );
    let one = shard(&world, "one/train-00000.safetensors");
    assert_eq!((one.info().trained, one.sequences()), (Marking::Masked, 15));
    let bytes = |text: &str| text.bytes().map(u32::from).chain(std::iter::repeat(256)).take(11).collect::<Vec<u32>>();
    assert_eq!(one.sequence(0).collect::<Vec<_>>(), bytes("?0+0=0."));
    assert_eq!(one.mask(0), [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(one.targets(&[0, 1]), 6);
    // The same again is up to date; text in their place is refused.
    world.ok(&format!("{command} --seq-len 10 -o one"));
    // Three in two sequences of fifteen tokens.
    let said = common::talk(&world.ok(&format!("{command} --seq-len 14 --pack -o packed")));
    assert!(said.contains("30 conversations in 15 sequences"), "{said}");
    let packed = shard(&world, "packed/val-00000.safetensors");
    assert_eq!(packed.info().trained, Marking::Packed);
    assert_eq!(packed.mask(0), [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0]);
    assert_eq!(packed.starts(0), [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
    // Cut within what is said, and before it.
    let said = common::talk(&world.ok(&format!("{command} --seq-len 4 -o cut")));
    assert!(said.contains("30 of their 150 tokens are trained (20.0 %); 30 cut at 5 tokens"), "{said}");
    world.expect(
        &format!("{command} --seq-len 3 -o none"),
        65,
        "no conversation has a token that is trained: 30 have none",
    );
    // Inspecting one names its tensors.
    assert!(world.text("inspect packed/train-00000.safetensors").contains("starts"));
}

#[test]
fn pairs_of_text_are_trained_to_their_end() {
    let world = World::empty();
    world.write(
        "p.jsonl.zst",
        &zstd::encode_all("{\"prompt\":\"ab\",\"completion\":\"cd\"}\n".repeat(2).as_bytes(), 3).unwrap(),
    );
    world.ok("shard --chat p.jsonl.zst --tokenizer bytes --seq-len 6 --shards 1 --val-shards 1 -o pairs");
    let pairs = shard(&world, "pairs/train-00000.safetensors");
    assert_eq!(pairs.sequence(0).collect::<Vec<_>>(), [97, 98, 99, 100, 256, 256, 256]);
    assert_eq!(pairs.mask(0), [0, 0, 1, 1, 1, 0, 0]);
    // With a tokenizer's own end, where the model's configuration names one beside it.
    std::fs::copy(oracle().join("tokenizer.json"), world.path("tokenizer.json")).unwrap();
    world.write("tokenizer_config.json", br#"{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}"#);
    world.ok("shard --chat p.jsonl.zst --tokenizer tokenizer.json --seq-len 20 --shards 1 --val-shards 1 -o words");
    let words = shard(&world, "words/train-00000.safetensors");
    let tokens: Vec<u32> = words.sequence(0).collect();
    let last = words.mask(0).iter().rposition(|mask| *mask == 1).unwrap();
    let id = |token: &str| tokenizer().id(token).unwrap();
    assert_eq!((tokens[last], tokens[last + 1]), (id("<|im_end|>"), id("<|endoftext|>")));
}

#[test]
fn what_is_wrong_with_a_record_is_said_with_its_line() {
    let world = World::empty();
    world.write("short.jinja", SHORT);
    let qwen3 = std::fs::read(oracle().join("templates/qwen3.jinja")).unwrap();
    world.write("qwen3.jinja", &qwen3);
    let command = |template: &str| {
        format!(
            "shard --chat c.jsonl --chat-template {template} --tokenizer bytes --seq-len 300 --shards 1 --val-shards 1 -o out"
        )
    };
    let good = corpus(2);
    world.write("c.jsonl", format!("{good}\n{{\"messages\":[{{\"role\":\"king\"}}]}}\n").as_bytes());
    world.expect(&command("short.jinja"), 65, "c.jsonl:4: messages[0].role: expected system, user, assistant or tool");
    world.write("c.jsonl", format!("{good}{{\"messages\":\n").as_bytes());
    world.expect(&command("short.jinja"), 65, "c.jsonl:3: not a JSON object");
    world.write("c.jsonl", good.as_bytes());
    world.expect(
        "shard --chat c.jsonl --tokenizer bytes --seq-len 9 --shards 1 -o out",
        66,
        "expected chat_template.jinja",
    );
    world.write("endless.jinja", b"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}");
    world.expect(&command("endless.jinja"), 65, "c.jsonl:1: endless.jinja: the chat template does not come to an end");
    // What a beginning of a conversation takes too much of is no ambiguity, to be left out.
    let endless = "{% if add_generation_prompt %}{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}\
        {% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    world.write("beginning.jinja", endless.as_bytes());
    let ends = "beginning.jinja: the chat template does not come to an end";
    world.expect(&format!("{} --skip-ambiguous", command("beginning.jinja")), 65, ends);
    // A value that has another one twice, sixty times over: fuel pays for none of what is written of it. Memory ends it, or where
    // the machine is slow, time.
    let doubled = "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}";
    world.write("vast.jinja", format!("{doubled}{{{{ n.x ~ 'a' }}}}").as_bytes());
    let limited = format!("ulimit -v {}; exec \"$0\" \"$@\"", 3 << 20);
    let mut small = std::process::Command::new("sh");
    small.args(["-c", &limited, env!("CARGO_BIN_EXE_l402")]).args(command("vast.jinja").split_whitespace());
    let output = small.args(["--threads", "2"]).current_dir(world.path(".")).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", common::talk(&output));
    assert!(common::talk(&output).contains("vast.jinja: the chat template "), "{}", common::talk(&output));
    world.write("date.jinja", b"{{ strftime_now('%Y') }}{% generation %}{{ messages[0].content }}{% endgeneration %}");
    world.expect(&command("date.jinja"), 65, "--date YYYY-MM-DD");
    world.ok(&format!("{} --date 2025-03-09", command("date.jinja")));
    world.expect(&format!("{} --date 2025-02-29", command("date.jinja")), 2, "expected a date as 2025-03-09");
    world.expect("shard c.jsonl --pack --tokenizer bytes --seq-len 9 --shards 1 -o out", 2, "--chat");
    // One of three is ambiguous.
    let turns = r#"{"role":"user","content":"a"},{"role":"assistant","content":"b"}"#;
    let twice = format!("{{\"messages\":[{turns},{turns}]}}\n");
    world.write("c.jsonl", format!("{good}{twice}").as_bytes());
    let command = command("qwen3.jinja") + " --force";
    world.expect(&command, 65, "c.jsonl:3: it is ambiguous what the assistant says");
    world.expect(&format!("{command} --skip-ambiguous"), 0, "2 conversations in 2 sequences");
    world.expect(&format!("{command} --skip-ambiguous"), 0, "1 ambiguous left out");
    world.expect(&format!("{command} --turns last"), 0, "3 conversations in 3 sequences");
    assert!(Record::parse(twice.as_bytes()).is_ok());
}

// ---- Rounds ----

/// The masked loss of a model on the held-out conversations, and how many tokens it is of.
fn loss(world: &World, model: &str) -> (f64, u64) {
    let text = world.text(&format!("score --model {model} --val shards/val-00000.safetensors --json"));
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    (said["loss"].as_f64().unwrap(), said["tokens"].as_u64().unwrap())
}

fn plays_rounds(pack: &str, seq_len: usize, adapter: &str) {
    let world = World::new(FULL);
    world.write("c.jsonl", corpus(300).as_bytes());
    world.write("short.jinja", SHORT);
    world.ok(&format!(
        "shard --chat c.jsonl --chat-template short.jinja --tokenizer bytes --seq-len {seq_len} --shards 4 --val-shards 1 \
         -o shards --force {pack}"
    ));
    let theta = world.text("init --config config.json --seed 3 -o theta-0 --force");
    let text = recipe(FULL, theta.trim()).replace("seq_len = 16", &format!("seq_len = {seq_len}"));
    let text = text
        .replace("steps = 3", "steps = 8")
        .replace("lr = 5e-3", "lr = 1e-2")
        .replace("sequences = 24", "sequences = 0");
    world.write("r.toml", text.as_bytes());
    if !adapter.is_empty() {
        std::fs::rename(world.path("theta-0"), world.path("base")).unwrap();
        let text = text.replace("lr = 1e-2", "lr = 3e-2") + adapter;
        world.write("r.toml", text.replace(theta.trim(), "").as_bytes());
        let first = world.text("init --recipe r.toml --model base --seed 5 -o theta-0");
        world.write("r.toml", text.replace(theta.trim(), first.trim()).as_bytes());
    }
    world.play(0);
    let (before, tokens) = loss(&world, "theta-0");
    let (after, _) = loss(&world, "theta-1");
    assert!(after < 0.95 * before, "{before} -> {after}");
    // Three tokens of each conversation.
    let val = shard(&world, "shards/val-00000.safetensors");
    let all: Vec<usize> = (0..val.sequences()).collect();
    assert_eq!(tokens, val.targets(&all) as u64);
    assert!(tokens.is_multiple_of(3) && tokens < (val.sequences() * seq_len) as u64 / 2);
    let scores = String::from_utf8(world.bytes("0.scores.jsonl")).unwrap();
    assert!(scores.contains(&format!("\"tokens\":{tokens}")), "{scores}");
    assert_eq!(scores.matches("\"counts\":true").count(), WORKERS.len(), "{scores}");
    // Whole, in other micro-batches and on another number of threads.
    let replay = world.replay(0, "ann", "ann.0.update");
    world.ok(&format!("{replay} --threads 1 --micro-batch 3 --activation-memory 0"));
    // Sampled.
    let draw = format!("--segments 2 --beacon {}", common::beacon("drawn"));
    world.ok(&format!("{} --state-out again --leaves leaves --openings kept -o delta", world.train(0, "ann")));
    let open = world.train(0, "ann").replacen("train", "open", 1);
    world.ok(&format!("{open} --feedback ann.0.feedback --openings kept {draw} -o shown"));
    world.expect(&format!("{replay} --leaves leaves --openings shown {draw}"), 0, "sampled");
    // The same tokens with another mask are other work.
    world.copy_folder("shards", "others");
    let name = world.shard_of(0, "ann");
    let mut bytes = world.bytes(&format!("others/{name}"));
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let lie = |bytes: &mut [u8], at: usize, mark: u8| bytes[header + at] = mark;
    // The first conversation's question is trained too.
    lie(&mut bytes, 1, 1);
    world.write(&format!("others/{name}"), &bytes);
    let other = replay.replace("--shards shards", "--shards others");
    world.expect(&other, 1, "expected digest");
    // And marks that no shard has are malformed.
    for (at, mark, says) in [(1, 2, "expected 0 or 1, found 2"), (0, 1, "a document's first token is no target")] {
        lie(&mut bytes, at, mark);
        world.write(&format!("others/{name}"), &bytes);
        world.expect(&other, 65, says);
        lie(&mut bytes, at, 0);
    }
}

#[test]
fn an_adapters_folder_leaves_template_and_tokens_to_its_models() {
    let of = |template: Option<&str>, variables: &[(&str, &str)]| TemplateFiles {
        name: "f".into(),
        template: template.map(str::to_owned),
        tool_use: None,
        variables: variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let base = || of(Some("b"), &[("bos_token", "<b>"), ("eos_token", "</b>")]);
    let own = of(Some("a"), &[("eos_token", "</a>")]).or(base());
    assert_eq!((own.template.as_deref(), own.variable("eos_token")), (Some("a"), Some("</a>")));
    assert_eq!(own.variable("bos_token"), Some("<b>"));
    assert_eq!(of(None, &[]).or(base()), TemplateFiles { name: "f".into(), ..base() });
}

#[test]
fn the_recipe_for_conversations_is_one() {
    l402::artifact::Recipe::parse(
        include_str!("../recipes/chat.toml").replace("tokenizer = \"\"", "tokenizer = \"bytes\"").as_str(),
    )
    .unwrap();
}

#[test]
fn a_model_learns_what_the_assistant_says_and_its_rounds_are_replayed() {
    plays_rounds("", 10, "");
}

#[test]
fn so_it_does_from_packed_conversations() {
    plays_rounds("--pack", 30, "");
}

#[test]
fn so_does_an_adapter() {
    plays_rounds("--pack", 30, "[adapter]\nrank = 4\nalpha = 8\n");
}
