//! docs/records.md is what the source says of every record: made from it, and compared with it. docs/metadata.md names every key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file, by its path below `src/`, tests cut off.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap().split("#[cfg(test)]\nmod ").next().unwrap().to_owned())
    };
    // What speaks to the hub and to nodes has records of others.
    let ours =
        |path: &&PathBuf| !["hub", "devnet"].iter().any(|other| path.starts_with(root().join("src").join(other)));
    paths.iter().filter(ours).map(read).collect()
}

/// A field as its declaration has it.
struct Field {
    name: String,
    kind: String,
    doc: String,
    /// Of a value with something of its own: the type of that.
    leads: Option<String>,
}

/// A structure or an enumeration: what is said of it, and its fields or values.
struct Type {
    doc: String,
    fields: Vec<Field>,
    values: Vec<Field>,
}

fn doc(lines: &[&str]) -> String {
    let said = lines.iter().filter_map(|line| line.trim().strip_prefix("///")).map(str::trim).filter(|l| !l.is_empty());
    // Links are of the source's own documentation.
    said.collect::<Vec<_>>()
        .join(" ")
        .replace("[`", "`")
        .replace("`]", "`")
        .replace("super::", "")
        .replace("crate::", "")
}

/// Every type of the source, by name; of several of one name those in the file that is asked first.
fn types(text: &str) -> BTreeMap<String, Type> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let declared = ["pub struct ", "struct ", "pub enum "].iter().find_map(|d| line.strip_prefix(d));
        let Some(name) = declared.and_then(|rest| rest.strip_suffix(" {")) else { continue };
        let mut above = at;
        while above > 0 && (lines[above - 1].starts_with("///") || lines[above - 1].starts_with("#[")) {
            above -= 1;
        }
        let attributes = lines[above..at].join("\n");
        if !attributes.contains("Serialize") && !text.contains(&format!("Serialize for {name} ")) {
            continue;
        }
        let (mut fields, mut values, mut before) = (Vec::new(), Vec::<Field>::new(), Vec::new());
        for line in lines[at + 1..].iter().take_while(|line| **line != "}") {
            let inner = line.trim();
            if inner.starts_with("///") || inner.starts_with("#[") {
                before.push(inner);
                continue;
            }
            let plain =
                inner.trim_start_matches("pub ").trim_end_matches(',').trim_end_matches(" {}").trim_end_matches(" {");
            if plain == "}" || plain.is_empty() {
                continue;
            }
            // What a value has of its own stands in it.
            if line.starts_with("        ")
                && let (Some((name, kind)), Some(value)) = (plain.split_once(": "), values.last_mut())
            {
                value.doc += &format!(" `{name}`, {}: {}", words(kind).0, doc(&before));
                before.clear();
                continue;
            }
            let part = match plain.split_once(": ") {
                Some((name, kind)) => Field { name: name.into(), kind: kind.into(), doc: doc(&before), leads: None },
                None => {
                    let (name, holds) = plain.split_once('(').unwrap_or((plain, ""));
                    let holds = holds.trim_end_matches(')');
                    let said =
                        if holds.is_empty() { String::new() } else { format!(" Its value is {}.", words(holds).0) };
                    let (kind, doc) = (String::new(), doc(&before) + &said);
                    Field { name: cased(name, &attributes), kind, doc, leads: words(holds).1 }
                }
            };
            if before.iter().any(|line| line.contains("default")) && !part.kind.starts_with("Option") {
                fields.push(Field { kind: format!("Option<{}>", part.kind), ..part });
            } else if part.kind.is_empty() {
                values.push(part);
            } else {
                fields.push(part);
            }
            before.clear();
        }
        let whole: Vec<&str> = lines[above..at].to_vec();
        found.insert(name.to_owned(), Type { doc: doc(&whole), fields, values });
    }
    found
}

/// A value's name as serde writes it.
fn cased(name: &str, attributes: &str) -> String {
    let snake = attributes.contains("snake_case");
    let mut shown = String::new();
    for (i, c) in name.chars().enumerate() {
        if snake && c.is_uppercase() && i > 0 {
            shown.push('_');
        }
        shown.extend(c.to_lowercase());
    }
    shown
}

/// Records by `"type"`, with the names of their structures and the file that they are in.
fn records(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let structure = pair[0].trim().split("Record for ").nth(1).and_then(|rest| rest.strip_suffix(" {"));
        let name =
            pair[1].trim().strip_prefix("const TYPE: &'static str = \"").and_then(|rest| rest.strip_suffix("\";"));
        if let (Some(structure), Some(name)) = (structure, name) {
            found.push((name.to_owned(), structure.to_owned()));
        }
    }
    // Those that a macro makes records of.
    if let Some(list) = text.split("\nsigned!(").nth(1).and_then(|rest| rest.split(");").next()) {
        for item in list.split(',') {
            let (structure, name) = item.trim().split_once(' ').unwrap();
            found.push((name.trim_matches('"').to_owned(), structure.to_owned()));
        }
    }
    found
}

/// A type of a field in words, and the structure that it leads to.
fn words(kind: &str) -> (String, Option<String>) {
    let inner = |outer: &str| kind.strip_prefix(outer).and_then(|rest| rest.strip_suffix('>'));
    if let Some(kind) = inner("Option<") {
        let (text, leads) = words(kind);
        return (format!("{text}, optional"), leads);
    }
    if let Some(kind) = inner("Vec<") {
        let (text, leads) = words(kind);
        return (format!("list of: {text}"), leads);
    }
    let kind = kind.rsplit("::").next().unwrap();
    let text = match kind {
        "Digest" | "RecordHash" | "OfferId" | "PaymentHash" | "Preimage" | "Instance" => "64 hex digits",
        "NodeId" => "public key, 66 hex digits",
        "BlockHeader" => "160 hex digits",
        "String" => "text",
        "u32" | "u64" | "usize" | "i64" => "integer",
        "Msat" => "integer, msat",
        "bool" => "true or false",
        "[Digest; 2]" => "a list of two: 64 hex digits",
        _ => return (format!("`{kind}`"), Some(kind.to_owned())),
    };
    (text.to_owned(), None)
}

/// Where a name leads from a file: to the file itself, to its neighbours, to its module, to wherever there is one.
fn lead(all: &BTreeMap<String, BTreeMap<String, Type>>, from: &str, name: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let module = from.split('/').next().unwrap();
    let has = |file: &&String| all[*file].contains_key(name);
    let near = |near: &dyn Fn(&str) -> bool| all.keys().filter(has).find(|file| near(file)).cloned();
    near(&|file| file == from)
        .or_else(|| near(&|file| file.starts_with(folder)))
        .or_else(|| near(&|file| file.starts_with(module)))
        .or_else(|| near(&|_| true))
}

/// docs/records.md, made from the source.
fn made() -> String {
    let sources = sources();
    let all: BTreeMap<String, BTreeMap<String, Type>> =
        sources.iter().map(|(file, text)| (file.clone(), types(text))).collect();
    let mut found = BTreeMap::new();
    for (file, text) in &sources {
        for (name, structure) in records(text) {
            assert!(found.insert(name.clone(), (file.clone(), structure)).is_none(), "{name} is a record twice");
        }
    }
    // What an audit and a checkpoint keep for themselves is nobody else's.
    ["audited", "checkpoint", "seal"].iter().for_each(|own| drop(found.remove(*own).unwrap()));
    let mut text = String::from(
        "# Records\n\nMade from the source by `just generate`; the tests compare it. A record is a line of JSON in one canonical \
         form: keys sorted by bytes, no white space, printable ASCII, integers from 0 to 2^53 - 1, no nulls, no unknown fields. Every \
         one has `type` and `v` (1). Where a field is optional, a record without it does not have its key. Numbers beyond that \
         range, and those below zero, are decimal text (`_q32`: in units of 2^-32).\n\nA signature (`sig`) is what a Lightning \
         node's `signmessage` gives for `l402/1/<type>/<hash>`, the hash being SHA-256 of the canonical record without `sig`, in \
         hex.\n",
    );
    let mut leads = Vec::new();
    let described = |file: &str, name: &str, leads: &mut Vec<(String, String)>| {
        let shape = &all[file][name];
        let mut text = format!("{}\n\n", shape.doc);
        if !shape.fields.is_empty() {
            text += "| field | type | what |\n|---|---|---|\n";
        }
        for field in &shape.fields {
            let (mut kind, led) = words(&field.kind);
            let inner = led.as_deref().and_then(|led| Some((lead(&all, file, led)?, led.to_owned())));
            if led.is_some() && inner.is_none() {
                kind = kind.replace("`Map<String, Value>`", "an object of what is named so");
                assert!(
                    kind.contains("`Value`") || !kind.contains('`'),
                    "{file}: {name}.{}: {kind} is not found",
                    field.name
                );
                kind = kind.replace("`Value`", "a record");
            }
            leads.extend(inner);
            writeln!(text, "| `{}` | {kind} | {} |", field.name, field.doc.replace('|', "\\|")).unwrap();
        }
        for value in &shape.values {
            leads.extend(value.leads.as_ref().and_then(|led| Some((lead(&all, file, led)?, led.clone()))));
            writeln!(text, "- `\"{}\"`: {}", value.name, value.doc).unwrap();
        }
        text
    };
    for (name, (file, structure)) in &found {
        write!(text, "\n### {name}\n\n{}", described(file, structure, &mut leads)).unwrap();
    }
    let records: BTreeSet<(String, String)> = found.into_values().collect();
    let mut parts = BTreeMap::new();
    while let Some((file, name)) = leads.pop() {
        let own = (file.clone(), name.clone());
        if !records.contains(&own) && !parts.contains_key(&(name.clone(), file.clone())) {
            parts.insert((name.clone(), file.clone()), String::new());
            let part = described(&file, &name, &mut leads);
            parts.insert((name, file), part);
        }
    }
    text += "\n## Parts of records\n\nWhat stands in a record's field, or is one of several words there.\n";
    for ((name, _), part) in parts {
        write!(text, "\n### {name}\n\n{part}").unwrap();
    }
    text
}

#[test]
fn the_committed_list_of_records_is_that_of_the_source() {
    let (path, made) = (root().join("docs/records.md"), made());
    if std::env::var_os("L402_REGENERATE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "docs/records.md is not up to date: `just generate` makes it");
    // What everybody knows to be there, in case the reader of the source itself is blind.
    for line in [
        "### offer",
        "### Heights",
        "| `paid_msat` | integer, msat | Their sum. |",
        "| `worker` | text | The worker's id. |",
        "| `hashes` | list of: 64 hex digits, optional | The rungs' payment hashes. |",
    ] {
        assert!(made.contains(line), "{line}");
    }
}

#[test]
fn every_key_of_metadata_is_described() {
    let described = fs::read_to_string(root().join("docs/metadata.md")).unwrap();
    let mut keys = BTreeSet::new();
    for (_, text) in sources().iter().filter(|(_, text)| text.contains("Meta")) {
        for rest in text.split(".set(\"").skip(1) {
            keys.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    assert!(keys.len() > 30 && keys.contains("feedback_out"), "{keys:?}");
    let lines: Vec<&str> = described.lines().filter(|line| line.starts_with("| `")).collect();
    for key in keys {
        let first = |line: &&&str| line.split('|').nth(1).unwrap().contains(&format!("`{key}`"));
        assert!(lines.iter().any(|line| first(&line)), "docs/metadata.md does not say what {key} is");
    }
}
