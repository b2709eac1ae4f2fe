//! Circles: files that reach each other over what they import.
//!
//! A path of a file, in a `use` or in the code, leads to the file that its item is defined in. A module that only passes items
//! on (`pub use`) is none that needs them: paths over it lead on to where they come from. What no path names, a method of
//! a type, is not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::source::File;

type Path = Vec<String>;

/// A file of a package, and the paths that stand in it.
struct Module {
    file: String,
    place: Path,
    /// What it takes for itself, or names in its code; names as they stand there.
    taken: Vec<Path>,
    /// What it passes on, by the name that it gives it.
    passed_on: BTreeMap<String, Path>,
}

/// The packages below `src/`: what they begin with.
const PACKAGES: [&str; 3] = ["base/", "devnet/", ""];

/// Every circle, as a chain of files in words.
pub fn circles(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for package in PACKAGES {
        let own = files.iter().filter(|f| package_of(&f.path) == package && f.path != "main.rs");
        found.extend(circles_of(&own.map(|file| module(file, package)).collect::<Vec<_>>()));
    }
    found
}

fn package_of(path: &str) -> &'static str {
    PACKAGES.into_iter().find(|p| path.starts_with(p)).expect("the last begins everything")
}

fn module(file: &File, package: &str) -> Module {
    let mut place: Path =
        file.path.trim_start_matches(package).trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let facade = place.last().is_some_and(|name| name == "mod" || name == "lib");
    if facade {
        place.pop();
    }
    let (mut taken, mut passed_on) = (Vec::new(), BTreeMap::new());
    let mut code = String::new();
    let mut statement: Option<String> = None;
    for (_, line) in &file.lines {
        let begins = line.trim_start();
        let public = begins.strip_prefix("pub").is_some_and(|rest| rest.contains(" use ")) && begins.contains("use ");
        if statement.is_none() && (begins.starts_with("use ") || public) {
            statement = Some(String::new());
        }
        let Some(text) = &mut statement else {
            code += line;
            code.push('\n');
            continue;
        };
        text.push_str(begins);
        text.push(' ');
        if line.trim_end().ends_with(';') {
            let text = statement.take().expect("it was begun");
            let (before, tree) = text.split_once("use ").expect("a use");
            for (path, name) in expand(tree.trim().trim_end_matches(';')) {
                if before.trim().is_empty() || !facade {
                    taken.push(path.clone());
                }
                if !before.trim().is_empty() {
                    passed_on.insert(name, path);
                }
            }
        }
    }
    // Names that a use brought in stand for what they were taken from.
    let brought: BTreeMap<String, Path> =
        taken.iter().filter_map(|path| Some((path.last()?.clone(), path.clone()))).collect();
    for path in paths(&code) {
        match brought.get(&path[0]) {
            Some(known) => taken.push(known.iter().chain(&path[1..]).cloned().collect()),
            None => taken.push(path),
        }
    }
    Module { file: file.path.clone(), place, taken, passed_on }
}

/// The paths of a use tree, each with the name that it brings.
fn expand(tree: &str) -> Vec<(Path, String)> {
    let Some((before, rest)) = tree.split_once('{') else {
        let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path: Path = path.trim().split("::").map(|s| s.trim().to_owned()).collect();
        // `a::{self}` is a itself.
        if path.len() > 1 && path.last().is_some_and(|s| s == "self") {
            path.pop();
        }
        let name = if alias.is_empty() { path.last().cloned().unwrap_or_default() } else { alias.trim().to_owned() };
        return vec![(path, name)];
    };
    let inner = &rest[..rest.rfind('}').expect("a brace that closes")];
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inner.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match (c, depth) {
            (',', 0) => parts.push(String::new()),
            _ => parts.last_mut().expect("one at least").push(c),
        }
    }
    let wanted = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty());
    wanted.flat_map(|part| expand(&format!("{}{part}", before.trim()))).collect()
}

/// Every `a::b::c` in the code.
fn paths(code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    for word in words {
        // What follows a type's colon is a path of its own.
        for piece in word.replace("::", "\u{1}").split(':') {
            let path: Path = piece.split('\u{1}').map(str::to_owned).collect();
            if path.len() > 1 && path.iter().all(|segment| !segment.is_empty()) {
                found.push(path);
            }
        }
    }
    found
}

fn circles_of(modules: &[Module]) -> Vec<String> {
    let by_place: BTreeMap<&[String], &Module> = modules.iter().map(|m| (m.place.as_slice(), m)).collect();
    let mut arrows: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for module in modules {
        for path in &module.taken {
            let Some(absolute) = absolute(module, path, &by_place) else { continue };
            let Some(to) = defined_in(absolute, &by_place, 0) else { continue };
            if to != module.file {
                arrows.entry(&module.file).or_default().entry(to).or_insert_with(|| path.join("::"));
            }
        }
    }
    let reach = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(next) = open.pop() {
            for to in arrows.get(next.as_str()).into_iter().flatten().map(|(to, _)| (*to).to_owned()) {
                if seen.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = arrows.keys().map(|file| (*file, reach(file))).collect();
    let together = |a: &str, b: &str| {
        let reaches = |a: &str, b: &str| reached.get(a).is_some_and(|set| set.contains(b));
        reaches(a, b) && reaches(b, a)
    };
    let mut found = Vec::new();
    for (from, to) in &arrows {
        let in_circle = to.iter().filter(|(to, _)| together(from, to));
        found.extend(in_circle.map(|(to, path)| format!("{from} imports {to} ({path}), which reaches it again")));
    }
    found
}

/// A path from the package's root; none where it leads out of the package.
fn absolute(module: &Module, path: &[String], by_place: &BTreeMap<&[String], &Module>) -> Option<Path> {
    let below = |depth: usize, rest: &[String]| Some([&module.place[..depth], rest].concat());
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => below(module.place.len(), &path[1..]),
        "super" => {
            let up = path.iter().take_while(|segment| *segment == "super").count();
            below(module.place.len().checked_sub(up)?, &path[up..])
        }
        _ => {
            let child = [&module.place[..], &path[..1]].concat();
            by_place.contains_key(child.as_slice()).then(|| [&module.place[..], path].concat())
        }
    }
}

/// The file that an item is defined in.
fn defined_in<'a>(path: Path, by_place: &BTreeMap<&[String], &'a Module>, depth: usize) -> Option<&'a str> {
    assert!(depth < 16, "{path:?} is passed on in a circle");
    let (module, rest) = (0..=path.len()).rev().find_map(|n| Some((*by_place.get(&path[..n])?, &path[n..])))?;
    if let Some(from) = rest.first().and_then(|name| module.passed_on.get(name))
        && let Some(absolute) = absolute(module, from, by_place)
    {
        return defined_in([absolute.as_slice(), &rest[1..]].concat(), by_place, depth + 1);
    }
    Some(&module.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), lines: text.lines().map(str::to_owned).enumerate().collect() }
    }

    #[test]
    fn a_circle_is_seen_through_what_passes_items_on() {
        let parent = file("a/mod.rs", "mod b;\nmod c;\npub use b::{B, made as make};");
        let b = file("a/b.rs", "use super::c;\npub struct B;\nfn f() { c::help() }");
        let straight = file("a/c.rs", "pub fn help() {}");
        assert_eq!(circles(&[parent, b, straight]), Vec::<String>::new());
        let parent = file("a/mod.rs", "mod b;\nmod c;\npub use b::{B, made as make};");
        let b = file("a/b.rs", "use super::c;\npub struct B;\nfn f() { c::help() }");
        let back = file("a/c.rs", "pub fn help() { crate::a::make() }");
        let found = circles(&[parent, b, back]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a/b.rs imports a/c.rs (super::c), "), "{found:?}");
    }

    #[test]
    fn a_parent_that_needs_its_child_may_not_be_needed_by_it() {
        let parent = file("a/mod.rs", "mod b;\npub struct Shape;\nfn f() { b::task() }");
        let child = file("a/b.rs", "use super::Shape;");
        assert_eq!(circles(&[parent, child]).len(), 2);
    }

    #[test]
    fn a_tree_of_uses_is_many_paths() {
        let paths: Vec<String> =
            expand("a::{self, b::{c, d as e}, f}").iter().map(|(p, n)| p.join("::") + " " + n).collect();
        assert_eq!(paths, ["a a", "a::b::c c", "a::b::d e", "a::f f"]);
        assert_eq!(super::paths("x: crate::a::B, y.z::<u8>(1)")[0].join("::"), "crate::a::B");
    }
}
