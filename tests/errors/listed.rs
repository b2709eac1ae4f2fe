//! Every message stands, word by word, in a transcript or in a test, or in `unmet/AREA.toml` with the reason why nobody meets it.
//!
//! `L402_REGENERATE=1 cargo test --test errors listed` writes what is still missing to `todo/AREA.txt`; a message that stands
//! there is let pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::home;
use crate::source::{Source, Template};
use crate::transcript;

/// Fewer letters than this are no words of their own: then the whole message must be there.
const WORDS: usize = 8;

/// The texts that demand messages.
struct Demanded {
    transcripts: Vec<String>,
    tests: Vec<String>,
}

impl Demanded {
    fn read(tested: Vec<String>) -> Demanded {
        let steps = transcript::all().into_iter().flat_map(|transcript| transcript.steps());
        let transcripts = steps.flat_map(|step| step.said).collect();
        let scripts = ["sh", "py"].iter().flat_map(|kind| files(&home().join(".."), kind));
        let tests = tested.into_iter().chain(scripts.map(|path| fs::read_to_string(path).unwrap())).collect();
        Demanded { transcripts, tests }
    }

    fn has(&self, template: &str) -> bool {
        let parts = fixed(template);
        let Some(longest) = parts.iter().max_by_key(|part| part.len()) else { return true };
        let shown: Vec<String> = parts.iter().map(|part| part.replace('\\', "/")).collect();
        self.transcripts.iter().any(|line| in_order(line, &shown))
            || self.tests.iter().any(|text| {
                if longest.len() < WORDS { in_order(text, &parts) } else { text.contains(longest.as_str()) }
            })
    }
}

/// The parts of a template that are the same in every message made of it.
fn fixed(template: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if depth == 0 && letters.next_if_eq(&letter).is_some() => parts.last_mut().unwrap().push(letter),
            '{' => {
                depth += 1;
                parts.push(String::new());
            }
            '}' => depth -= 1,
            letter if depth == 0 => parts.last_mut().unwrap().push(letter),
            _ => {}
        }
    }
    parts.retain(|part| part.trim().len() > 1);
    parts
}

fn in_order(text: &str, parts: &[String]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.find(part.as_str()) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// Whether it is words, and not a separator, a name of a field or a format of numbers.
fn says_something(template: &str) -> bool {
    let letters: usize = fixed(template).iter().map(|part| part.chars().filter(|c| c.is_alphabetic()).count()).sum();
    letters >= 4 && template.contains(' ')
}

fn key(template: &Template) -> String {
    format!("{}: {}", template.file, template.text.replace('\n', "\\n"))
}

fn area(key: &str) -> &str {
    key.split([':', '/']).next().unwrap()
}

fn files(folder: &std::path::Path, kind: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path, kind),
            false if path.extension().is_some_and(|extension| extension == kind) => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// By message, the reason why none can be met.
fn unmet() -> BTreeMap<String, String> {
    let mut unmet = BTreeMap::new();
    for path in files(&home().join("unmet"), "toml") {
        let parsed: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        for group in parsed["unmet"].as_array().unwrap() {
            let reason = group["reason"].as_str().unwrap();
            for message in group["messages"].as_array().unwrap() {
                let message = message.as_str().unwrap().to_owned();
                assert!(unmet.insert(message.clone(), reason.to_owned()).is_none(), "twice: {message}");
            }
        }
    }
    unmet
}

#[test]
fn every_message_is_demanded_or_listed_with_a_reason() {
    let source = Source::read();
    let templates: Vec<Template> =
        source.templates.into_iter().filter(|template| says_something(&template.text)).collect();
    let demanded = Demanded::read(source.tested);
    let unmet = unmet();
    let todo: BTreeSet<String> = files(&home().join("todo"), "txt")
        .into_iter()
        .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let (mut wrong, mut missing, mut open) = (Vec::new(), BTreeSet::new(), BTreeMap::<String, usize>::new());
    for template in &templates {
        let (key, met) = (key(template), demanded.has(&template.text));
        let place = format!("src/{}:{}: {:?}", template.file, template.line, template.text);
        match (met, unmet.get(&key)) {
            (true, None) => {}
            (true, Some(_)) => wrong.push(format!("{place}: listed as unmet, and a test demands it")),
            (false, Some(_)) => {}
            (false, None) => {
                *open.entry(area(&key).to_owned()).or_default() += 1;
                if !todo.contains(&key) {
                    wrong.push(format!("{place}: no test demands it, and tests/errors/unmet/ does not say why"));
                }
                missing.insert(key);
            }
        }
    }
    let keys: BTreeSet<String> = templates.iter().map(key).collect();
    let gone = |name: &str| format!("{name}: listed, and not in src/");
    wrong.extend(unmet.keys().filter(|name| !keys.contains(*name)).map(|name| gone(name)));
    wrong.extend(todo.difference(&missing).map(|name| format!("{name}: no longer to do")));
    println!("{} messages, {} unmet with a reason, to do {}: {open:?}", keys.len(), unmet.len(), missing.len());
    if std::env::var_os("L402_REGENERATE").is_some() {
        return write(&missing);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn write(missing: &BTreeSet<String>) {
    let folder = home().join("todo");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    let mut areas = BTreeMap::<&str, String>::new();
    missing.iter().for_each(|key| *areas.entry(area(key)).or_default() += &format!("{key}\n"));
    for (area, text) in areas {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{}.txt", area.trim_end_matches(".rs"))), text).unwrap();
    }
}
