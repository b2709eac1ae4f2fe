//! Which messages there are: the templates in the source from which errors and their hints are made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::literals::{apart, bare, is, strings, text};

/// A string literal of production that an error says.
pub struct Template {
    /// Below `src/`.
    pub file: String,
    pub line: usize,
    pub text: String,
}

/// What the source holds.
pub struct Source {
    pub templates: Vec<Template>,
    /// The string literals of tests, wherever they stand.
    pub tested: Vec<String>,
}

/// What makes an error, or says what is wrong in one.
const MAKERS: [&str; 10] =
    ["refused", "usage", "data", "missing", "unavailable", "try_again", "bug", "new", "io", "plugin"];
const SAYERS: [&str; 5] = ["hint", "Err", "ok_or", "ok_or_else", "map_err"];

impl Source {
    /// Reads `src/` and `tests/`.
    pub fn read() -> Source {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut read = Source { templates: Vec::new(), tested: Vec::new() };
        let files: Vec<(PathBuf, TokenStream)> = rust(&root.join("src")).into_iter().map(tokens).collect();
        let parts: Vec<_> = files.iter().map(|(path, tokens)| (path, apart(tokens.clone()))).collect();
        let only_tests: BTreeSet<PathBuf> = parts.iter().flat_map(|(path, (_, tests))| modules(path, tests)).collect();
        let mut tests: Vec<TokenStream> = rust(&root.join("tests")).into_iter().map(|path| tokens(path).1).collect();
        let mut kept = Vec::new();
        for (path, (production, tested)) in parts {
            let below = path.strip_prefix(root.join("src")).unwrap().to_str().unwrap().to_owned();
            if only_tests.iter().any(|other| path == other || path.starts_with(other.with_extension(""))) {
                tests.push(production);
            } else {
                kept.push((below, production));
            }
            tests.push(tested);
        }
        for (file, production) in kept {
            let mut found = Finder { helpers: helpers(&production), found: Vec::new() };
            found.walk(production, false);
            let template = |(line, text)| Template { file: file.clone(), line, text };
            read.templates.extend(found.found.into_iter().map(template));
        }
        for tokens in tests {
            let mut found = Vec::new();
            strings(tokens, &mut found);
            read.tested.extend(found.into_iter().map(|(_, text)| text));
        }
        read
    }
}

/// Rust files below a folder, sorted.
fn rust(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn tokens(path: PathBuf) -> (PathBuf, TokenStream) {
    let parsed = fs::read_to_string(&path).unwrap().parse();
    let tokens = parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, tokens)
}

/// The files of modules that only tests have.
fn modules(path: &Path, tests: &TokenStream) -> Vec<PathBuf> {
    let tokens: Vec<TokenTree> = tests.clone().into_iter().collect();
    let declared = tokens.windows(3).filter(|three| is(&three[0], "mod") && is(&three[2], ";"));
    let names: Vec<String> = declared.map(|three| format!("{}.rs", three[1])).collect();
    names.iter().flat_map(|name| [path.with_file_name(name), path.with_extension("").join(name)]).collect()
}

/// The names of a file's functions and closures that make errors of what they are given.
fn helpers(tokens: &TokenStream) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let tokens = bare(tokens.clone());
    for (at, token) in tokens.iter().enumerate() {
        let name = tokens.get(at + 1).map(ToString::to_string).unwrap_or_default();
        let function =
            is(token, "fn") && makes_errors(&tokens[at..until(&tokens, at)]) && is_given_words(&tokens[at..]);
        let closure =
            || is(token, "let") && is_closure(&tokens[at..]) && makes_errors(&tokens[at..statement(&tokens, at)]);
        if function || closure() {
            found.insert(name);
        }
        if let TokenTree::Group(group) = token {
            found.extend(helpers(&group.stream()));
        }
    }
    found
}

/// Just behind the body of the function that begins here.
fn until(tokens: &[TokenTree], at: usize) -> usize {
    let body = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let ends = tokens[at..].iter().position(|token| body(token) || is(token, ";"));
    ends.map_or(tokens.len(), |ends| at + ends + 1)
}

fn statement(tokens: &[TokenTree], at: usize) -> usize {
    tokens[at..].iter().position(|token| is(token, ";")).map_or(tokens.len(), |ends| at + ends)
}

fn is_closure(tokens: &[TokenTree]) -> bool {
    tokens.get(2).is_some_and(|token| is(token, "=")) && tokens.iter().skip(3).take(2).any(|token| is(token, "|"))
}

/// Whether words, `&str` or the like, are among its parameters.
fn is_given_words(tokens: &[TokenTree]) -> bool {
    let parameters = tokens.iter().take(12).find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group.stream().to_string()),
        _ => None,
    });
    parameters.is_some_and(|text| ["str", "String", "Display"].iter().any(|kind| text.contains(kind)))
}

fn makes_errors(tokens: &[TokenTree]) -> bool {
    let text: String = tokens.iter().map(ToString::to_string).collect::<String>().replace(' ', "");
    MAKERS.iter().any(|maker| text.contains(&format!("Error::{maker}(")))
}

struct Finder {
    helpers: BTreeSet<String>,
    found: Vec<(usize, String)>,
}

impl Finder {
    /// Takes the literals of what makes an error: of everything, where `inside` one.
    fn walk(&mut self, tokens: TokenStream, inside: bool) {
        let tokens = bare(tokens);
        // The end of a function or a closure that makes errors.
        let mut within = 0;
        for (at, token) in tokens.iter().enumerate() {
            if is(token, "fn") && returns_an_error(&tokens[at..until(&tokens, at)]) {
                within = within.max(until(&tokens, at));
            }
            let closure = is(token, "let") && is_closure(&tokens[at..]);
            if closure && makes_errors(&tokens[at..statement(&tokens, at)]) {
                within = within.max(statement(&tokens, at));
            }
            let inside = inside || at < within;
            match token {
                TokenTree::Literal(literal) => {
                    let Some(text) = text(&literal.to_string()) else { continue };
                    if inside || text.contains("expected ") {
                        self.found.push((literal.span().start().line, text));
                    }
                }
                TokenTree::Group(group) => {
                    let called = group.delimiter() == Delimiter::Parenthesis && self.says(&tokens[..at]);
                    self.walk(group.stream(), inside || called);
                }
                _ => {}
            }
        }
    }

    /// Whether a group in parentheses is what something is called with that makes an error of it.
    fn says(&self, before: &[TokenTree]) -> bool {
        let Some(TokenTree::Ident(name)) = before.last() else { return false };
        let name = name.to_string();
        let of = |back: usize| before.len().checked_sub(back).map(|at| before[at].to_string()).unwrap_or_default();
        let of_an_error = of(2) == ":" && of(4).ends_with("Error") && MAKERS.contains(&name.as_str());
        of_an_error || SAYERS.contains(&name.as_str()) || (self.helpers.contains(&name) && of(2) != "fn")
    }
}

fn returns_an_error(tokens: &[TokenTree]) -> bool {
    let arrow = tokens.windows(3).position(|three| is(&three[0], "-") && is(&three[1], ">"));
    arrow.is_some_and(|at| {
        let returned: Vec<&TokenTree> =
            tokens[at + 2..].iter().take_while(|token| !matches!(token, TokenTree::Group(_))).collect();
        returned.last().is_some_and(|last| is(last, "Error"))
    })
}
