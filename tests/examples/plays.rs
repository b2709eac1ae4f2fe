//! Which blocks there are, and where each is played.

use std::collections::BTreeMap;
use std::fs;

use super::common::shell::{self, documents, home, pages};

/// A page (`invoice-lock`) or a document (`docs/using.md`), and which of its blocks: 1 is the first.
pub type Block = (String, usize);

/// Where a block is typed.
pub enum Place {
    /// In this folder of a desk.
    Folder(String),
    /// By another test, of this file.
    Elsewhere(String),
    /// By none, for a reason.
    Nowhere(String),
}

/// A line of plays.txt.
pub struct Play {
    pub block: Block,
    pub place: Place,
    /// What a shell does first.
    pub before: String,
}

/// All blocks.
pub fn blocks() -> BTreeMap<Block, String> {
    let all = pages().into_iter().chain(documents());
    let blocks = all.flat_map(|(name, text)| {
        let numbered = shell::blocks(&text).into_iter().zip(1..);
        numbered.map(move |(block, number)| ((name.clone(), number), block))
    });
    blocks.collect()
}

fn file(name: &str) -> String {
    fs::read_to_string(home().join("tests/examples").join(name)).unwrap()
}

/// plays.txt.
pub fn plays() -> Vec<Play> {
    let text = file("plays.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| play(line).unwrap_or_else(|| panic!("plays.txt: {line}"))).collect()
}

fn play(line: &str) -> Option<Play> {
    let (what, rest) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
    let words: Vec<&str> = what.split(' ').collect();
    let [name, number, place] = words[..] else { return None };
    let (place, before) = match place {
        "elsewhere" => (Place::Elsewhere(rest.to_owned()), ""),
        "nowhere" => (Place::Nowhere(rest.to_owned()), ""),
        folder => (Place::Folder(folder.to_owned()), rest),
    };
    Some(Play { block: (name.to_owned(), number.parse().ok()?), place, before: before.to_owned() })
}

/// What paid.sh plays: `play PARTY PAGE N [LINE]`, or `at FOLDER PARTY PAGE N [LINE]`; the lines where it names them.
pub fn paid() -> BTreeMap<Block, Vec<usize>> {
    let mut found: BTreeMap<Block, Vec<usize>> = BTreeMap::new();
    for line in file("paid.sh").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = match words[..] {
            ["play", _, ref rest @ ..] | ["at", _, _, ref rest @ ..] => rest,
            _ => continue,
        };
        let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("paid.sh: {line}"));
        let lines = found.entry((rest[0].to_owned(), number(rest[1]))).or_default();
        lines.extend(rest.get(2).map(|line| number(line)));
    }
    found
}
