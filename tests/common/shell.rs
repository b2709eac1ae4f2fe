//! The commands in what people read: blocks of shell in Markdown, and the words of each command as a shell has them.

use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

/// The folders whose Markdown is for people; README beside them.
const FOLDERS: [&str; 3] = ["docs", "docs/measurements", "recipes"];

/// The repository.
pub fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files of a folder of the repository, by their paths in it, ascending, with their texts.
fn texts(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(home().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    files.sort();
    let name = |path: &Path| path.strip_prefix(home()).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Every document, by its path in the repository, with its text.
pub fn documents() -> Vec<(String, String)> {
    let readme = fs::read_to_string(home().join("README.md")).unwrap();
    let rest = FOLDERS.into_iter().flat_map(texts);
    [("README.md".to_owned(), readme)].into_iter().chain(rest).collect()
}

/// What manual pages say beside the help, by the page, with its text.
pub fn pages() -> Vec<(String, String)> {
    let file = |path: String| Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
    texts("src/command/pages").into_iter().map(|(path, text)| (file(path), text)).collect()
}

/// The fenced blocks of a text, each with its language.
pub fn fences(text: &str) -> Vec<(String, String)> {
    let mut fences = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for line in text.lines() {
        let shown = line.trim_start();
        open = match (open, shown.strip_prefix("```")) {
            (None, Some(language)) => Some((language.to_owned(), String::new(), line.len() - shown.len())),
            (Some((language, block, _)), Some("")) => {
                fences.push((language, block));
                None
            }
            (Some((language, mut block, indent)), _) => {
                block.push_str(line.get(indent.min(line.len() - shown.len())..).unwrap_or_default());
                block.push('\n');
                Some((language, block, indent))
            }
            (None, None) => None,
        };
    }
    fences
}

/// The blocks that a shell is to run: those of shell, and the `run:` lines of a workflow's.
pub fn blocks(text: &str) -> Vec<String> {
    let of = |(language, block): (String, String)| match language.as_str() {
        "sh" => vec![block],
        "yaml" => block
            .lines()
            .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("run: "))
            .map(|line| format!("{line}\n"))
            .collect(),
        _ => Vec::new(),
    };
    fences(text).into_iter().flat_map(of).collect()
}

/// The commands of a block, each as its words: those in `$(...)` too, which stays a word of the outer one. Neither the shell's own words
/// and assignments before a command are its words, nor what it is redirected to.
pub fn commands(block: &str) -> Vec<Vec<String>> {
    let joined = block.replace("\\\n", " ");
    let mut found = Vec::new();
    read(&mut joined.chars().peekable(), &mut found);
    let own = |word: &String| {
        let assigns =
            word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c == '_' || c.is_alphanumeric()));
        assigns || ["do", "then", "else", "exec", "if", "while", "!", "{"].contains(&word.as_str())
    };
    let plain = |words: Vec<String>| -> Vec<String> {
        words.into_iter().skip_while(own).take_while(|word| word != ">" && word != "<").collect()
    };
    found.into_iter().map(plain).filter(|words| !words.is_empty()).collect()
}

/// Reads to the end, or to the parenthesis that closes a substitution; what was read.
fn read(from: &mut Peekable<Chars<'_>>, found: &mut Vec<Vec<String>>) -> String {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let (mut shown, mut depth) = (String::new(), 0);
    loop {
        let c = from.next();
        shown.extend(c);
        match (quote, c) {
            (Some(q), Some(c)) if c == q => quote = None,
            (None, Some(c @ ('"' | '\''))) => (quote, begun) = (Some(c), true),
            (None | Some('"'), Some('$')) if from.peek() == Some(&'(') => {
                from.next();
                let inner = read(from, found);
                shown += &format!("({inner}");
                word += &format!("$({inner}");
                begun = true;
            }
            (None, Some('#')) if !begun => while from.next_if(|c| *c != '\n').is_some() {},
            (None, c) if c.is_none_or(|c| c.is_whitespace() || "|&;><()".contains(c)) => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
                depth += i32::from(c == Some('('));
                match c {
                    Some(c @ ('>' | '<')) => words.push(c.to_string()),
                    None | Some('|' | '&' | ';' | '(' | ')' | '\n') => found.push(std::mem::take(&mut words)),
                    _ => {}
                }
                if c.is_none() || c == Some(')') && depth == 0 {
                    return shown;
                }
                depth -= i32::from(c == Some(')'));
            }
            (Some(_), None) => panic!("a quotation does not end: {shown}"),
            (_, Some(c)) => {
                word.push(c);
                begun = true;
            }
            (None, None) => unreachable!("an end is read above"),
        }
    }
}
