//! Which of a repository's files are asked for.

use std::collections::BTreeSet;

use super::glob::Glob;
use super::listing::Entry;
use super::name::FileName;
use super::oid::Content;
use super::pickle::is_pickle;
use super::repository::Type;
use crate::error::{Error, Result};

/// What a model is made of, where nothing else is asked for.
const MODEL: [&str; 12] = [
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab*",
    "merges.txt",
    "chat_template*",
    "*.jinja",
    "README.md",
    "LICENSE*",
];
/// Names that one message lists.
const LISTED: usize = 8;

/// Patterns of what is taken, and of what is not.
#[derive(Clone, Debug)]
pub struct Selection {
    include: Vec<Glob>,
    /// Whether somebody gave the patterns to include.
    given: bool,
    exclude: Vec<Glob>,
}

/// A file that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name, which can be made a path.
    pub name: FileName,
    /// Its content, where the list said it.
    pub content: Option<Content>,
}

impl Selection {
    /// By these patterns; without any to include, what a model needs, or all of a data set.
    pub fn new(kind: Type, include: &[Glob], exclude: &[Glob]) -> Selection {
        let own: &[&str] = match kind {
            Type::Model => &MODEL,
            Type::Dataset => &["*"],
        };
        let own = || own.iter().map(|pattern| pattern.parse().expect("the patterns are constants")).collect();
        let given = !include.is_empty();
        let include = if given { include.to_vec() } else { own() };
        Selection { include, given, exclude: exclude.to_vec() }
    }

    /// The files that are asked for, ascending by name, and the names of pickles, which are never taken. Where there is nothing
    /// but pickles, and where a given pattern asks for nothing else, that is refused; and so is a name that is no path.
    pub fn of(&self, files: &[Entry]) -> Result<(Vec<Wanted>, Vec<String>)> {
        let kept = |entry: &&Entry| !self.exclude.iter().any(|glob| glob.matches(&entry.name));
        let files: Vec<&Entry> = files.iter().filter(kept).collect();
        for glob in self.include.iter().filter(|_| self.given) {
            let asked: Vec<&str> = files.iter().map(|f| f.name.as_str()).filter(|name| glob.matches(name)).collect();
            if !asked.is_empty() && asked.iter().all(|name| is_pickle(name)) {
                return Err(refuse_pickles(&asked));
            }
        }
        let asked = files.iter().filter(|entry| self.include.iter().any(|glob| glob.matches(&entry.name)));
        let (pickles, asked): (Vec<&Entry>, Vec<&Entry>) = asked.partition(|entry| is_pickle(&entry.name));
        let pickles: Vec<String> = pickles.into_iter().map(|entry| entry.name.clone()).collect();
        if asked.is_empty() && !pickles.is_empty() {
            return Err(refuse_pickles(&pickles));
        }
        let mut wanted = asked
            .into_iter()
            .map(|entry| Ok(Wanted { name: entry.name.parse()?, content: entry.content }))
            .collect::<Result<Vec<_>>>()?;
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        check_places(&wanted)?;
        Ok((wanted, pickles))
    }
}

/// The error for who asks for nothing but these.
fn refuse_pickles<T: AsRef<str>>(pickles: &[T]) -> Error {
    Error::refused(format!("{}: opening such a file can run what is in it; it is never pulled", names(pickles)))
        .hint("safetensors and parquet hold data alone")
}

/// No two files have one place, and none stands where another needs a folder.
fn check_places(wanted: &[Wanted]) -> Result<()> {
    let mut places = BTreeSet::new();
    for file in wanted {
        if !places.insert(file.name.as_str()) {
            return Err(Error::data(format!("file name {:?}: the hub lists it twice", file.name.as_str())));
        }
    }
    for file in wanted {
        if let Some(folder) = file.name.folders().find(|folder| places.contains(folder)) {
            return Err(Error::data(format!("file name {folder:?}: the hub lists it as a file and as a folder")));
        }
    }
    Ok(())
}

/// Some names, and how many more there are.
pub fn names<T: AsRef<str>>(names: &[T]) -> String {
    let mut text = names.iter().take(LISTED).map(T::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text += &format!(" and {} more", names.len() - LISTED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn select(kind: Type, include: &[&str], exclude: &[&str], files: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
        let globs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Glob>>();
        let files: Vec<Entry> = files.iter().map(|name| Entry { name: (*name).to_owned(), content: None }).collect();
        let (wanted, pickles) = Selection::new(kind, &globs(include), &globs(exclude)).of(&files)?;
        Ok((wanted.iter().map(|file| file.name.to_string()).collect(), pickles))
    }

    const MODEL_FILES: [&str; 8] = [
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "README.md",
        ".gitattributes",
        "pytorch_model.bin",
        "onnx/model.onnx",
        "merges.txt",
    ];

    #[test]
    fn a_model_is_what_it_needs_and_a_data_set_is_everything() {
        let (wanted, pickles) = select(Type::Model, &[], &[], &MODEL_FILES).unwrap();
        assert_eq!(wanted, ["README.md", "config.json", "merges.txt", "model.safetensors", "tokenizer.json"]);
        assert!(pickles.is_empty());
        let (wanted, pickles) = select(Type::Dataset, &[], &["*.onnx"], &MODEL_FILES).unwrap();
        assert_eq!((wanted.len(), pickles), (6, vec!["pytorch_model.bin".to_owned()]));
        let (wanted, _) = select(Type::Model, &["*.json"], &["tok*"], &MODEL_FILES).unwrap();
        assert_eq!(wanted, ["config.json"]);
    }

    #[test]
    fn who_asks_for_a_pickle_alone_is_refused() {
        let error = select(Type::Model, &["config.json", "*.bin"], &[], &MODEL_FILES).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        let says = "pytorch_model.bin: opening such a file can run what is in it; it is never pulled";
        assert_eq!(error.to_string(), says);
        assert_eq!(error.advice(), Some("safetensors and parquet hold data alone"));
        assert!(select(Type::Model, &["config.json", "*.bin"], &["*.bin"], &MODEL_FILES).is_ok());
        let (wanted, pickles) = select(Type::Model, &["*"], &[], &MODEL_FILES).unwrap();
        assert_eq!((wanted.len(), pickles.len()), (7, 1));
        let error = select(Type::Dataset, &[], &[], &["a.pkl", "b.pt"]).unwrap_err();
        assert!(error.kind() == Kind::Refused && error.to_string().starts_with("a.pkl, b.pt: "), "{error}");
        let (wanted, pickles) = select(Type::Model, &[], &[], &["config.json", "vocab.bin"]).unwrap();
        assert_eq!((wanted.len(), pickles.len()), (1, 1), "nobody asked for vocab.bin alone");
    }

    #[test]
    fn names_that_are_no_paths_are_refused_unless_nobody_wants_them() {
        for (files, says) in [
            (&["../x.json"][..], "file name \"../x.json\": expected a path that stays below its folder"),
            (&["a.json", "a.json"], "file name \"a.json\": the hub lists it twice"),
            (&["a", "a/b.json"], "file name \"a\": the hub lists it as a file and as a folder"),
            (&["/a"], "file name \"/a\": expected a path that stays below its folder"),
            (&["a\\b"], "file name \"a\\\\b\": it holds a backslash or a control character"),
        ] {
            let error = select(Type::Dataset, &[], &[], files).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Data, says));
        }
        assert_eq!(select(Type::Dataset, &[], &["../*"], &["../x", "a"]).unwrap().0, ["a"]);
    }

    #[test]
    fn a_long_list_of_names_is_shortened() {
        assert_eq!(names(&["a", "b"]), "a, b");
        assert!(names(&["a"; 20]).ends_with(", a and 12 more"));
    }
}
