//! Everything that is wrong with a recipe's text, at once.
//!
//! There is one reader of recipes, and it stops at the first thing that it does not take. So what it stopped at is written down,
//! mended (an unknown field goes, one that is missing gets a value that is right), and the text is read again.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer, Error};

use super::fields::{least, nearest};
use super::places::{Place, line, places, put, remove};
use crate::artifact::Recipe;

/// A text that has more is hardly a recipe.
const MOST: usize = 100;

/// Something that is wrong with a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; none of what is not there.
    pub line: Option<usize>,
    /// What is wrong: the field, what was expected, what was found.
    pub what: String,
    /// What may have been meant.
    pub hint: Option<String>,
}

/// Everything that is wrong with a text, in the order of its lines, what is missing last. Nothing where it is a recipe.
pub fn faults(text: &str) -> Vec<Fault> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let at = |error: &Error| error.span().map(|span| line(text, span.start));
    let malformed = |error: &Error| Fault {
        line: at(error),
        what: format!("not TOML: {}", error.message().replace('\n', ", ")),
        hint: None,
    };
    let mut faults: Vec<Fault> = errors.iter().map(malformed).collect();
    let syntax = !faults.is_empty();
    let mut reading = Reading { text, table, mended: BTreeSet::new(), filled: BTreeSet::new(), faults: Vec::new() };
    reading.read();
    // Where the text itself is cut up, nobody knows what was there.
    faults.extend(reading.faults.into_iter().filter(|fault| !syntax || fault.line.is_some()));
    faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
    faults.truncate(MOST);
    faults
}

/// A text, as far as it has been mended.
struct Reading<'a> {
    text: &'a str,
    table: Spanned<DeTable<'a>>,
    /// Fields that are not what stands in the text.
    mended: BTreeSet<String>,
    /// Those of them that were put in.
    filled: BTreeSet<String>,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn read(&mut self) {
        while self.faults.len() <= MOST {
            match Recipe::deserialize(Deserializer::from(self.table.clone())) {
                Ok(recipe) => return self.ask(&recipe),
                Err(error) => {
                    if !self.mend(&error) {
                        let line = error.span().map(|span| line(self.text, span.start));
                        return self.fault(line, error.message().replace('\n', ", "), None);
                    }
                }
            }
        }
    }

    fn fault(&mut self, line: Option<usize>, what: String, hint: Option<String>) {
        self.faults.push(Fault { line, what, hint });
    }

    /// Writes down what the reader stopped at, and mends it. Says whether it could.
    fn mend(&mut self, error: &Error) -> bool {
        let places = places(self.table.get_ref());
        match error.message().strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            Some(name) => self.fill(&places, name),
            None => self.drop(&places, error),
        }
    }

    /// Takes out what the reader does not take.
    fn drop(&mut self, places: &[Place], error: &Error) -> bool {
        let Some(span) = error.span() else { return false };
        let within = |place: &&Place| {
            place.name.contains(&span.start) || place.value == span || !place.table && place.value.contains(&span.start)
        };
        let Some(place) = places.iter().rfind(within) else { return false };
        let (field, line) = (&place.field, line(self.text, span.start));
        let message = error.message();
        if message.starts_with("unknown field") {
            let hint = nearest(&named(field)).map(|name| format!("the nearest field is {name}"));
            self.fault(
                Some(line),
                format!("{}: expected a field of recipes, found an unknown one", named(field)),
                hint,
            );
        } else {
            let found = self.text.get(place.value.clone()).unwrap_or_default().trim();
            let (what, hint) = refused(field, message, found);
            self.fault(Some(line), what, hint);
        }
        remove(self.table.get_mut(), field);
        self.mended.insert(field.clone());
        true
    }

    /// Puts in what is missing: in the first table that lacks it.
    fn fill(&mut self, places: &[Place], name: &str) -> bool {
        let whole = |table: &str| if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
        let lacks = |table: &&str| {
            let field = whole(table);
            !self.filled.contains(&field) && !places.iter().any(|place| place.field == field)
        };
        let tables = places.iter().filter(|place| place.table).map(|place| place.field.as_str());
        let lacking = [""].into_iter().chain(tables).filter(lacks);
        let Some((table, value)) = lacking.filter_map(|table| Some((table, least(table, name)?))).next() else {
            return false;
        };
        let field = whole(table);
        if !self.mended.contains(&field) {
            let what = match value.is_table() {
                true => format!("expected a table [{field}], found none"),
                false => format!("{}: expected a value, found none", named(&field)),
            };
            self.fault(None, what, Some("docs/recipe.md says what it is".into()));
        }
        let below = value.as_table().into_iter().flat_map(|inner| inner.keys());
        self.mended.extend(below.map(|name| format!("{field}.{}", name.get_ref())));
        put(self.table.get_mut(), table, name, Spanned::new(0..0, value));
        self.mended.insert(field.clone());
        self.filled.insert(field);
        true
    }

    /// Asks the rules of a recipe that can be read.
    fn ask(&mut self, recipe: &Recipe) {
        let places = places(self.table.get_ref());
        let values = recipe.values();
        for broken in recipe.broken() {
            let fields: Vec<&str> = broken.field.split(", ").collect();
            let beside = fields.iter().chain(broken.beside);
            if beside.clone().any(|field| self.mended.contains(*field)) {
                continue;
            }
            let at = fields.iter().find_map(|field| places.iter().find(|place| place.field == *field));
            let found = fields.iter().filter_map(|field| {
                field.split('.').try_fold(&values, |table, name| table.get(name)).map(ToString::to_string)
            });
            let what = format!(
                "{}: expected {}, found {}",
                broken.field,
                broken.expected,
                found.collect::<Vec<_>>().join(", ")
            );
            self.fault(at.map(|place| line(self.text, place.name.start)), what, None);
        }
    }
}

/// A field's name without the places in lists.
fn named(field: &str) -> String {
    field.split('.').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

/// What is said of a value that is not taken, and what may have been meant.
fn refused(field: &str, message: &str, found: &str) -> (String, Option<String>) {
    let field = named(field);
    let found: String = found.lines().next().unwrap_or_default().chars().take(80).collect();
    if let Some((_, known)) = message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected ")) {
        let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let given = found.trim_matches(['"', '\'']);
        let likeness = |name: &&str| strsim::jaro_winkler(name, given);
        let best = names.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = best.filter(|name| likeness(name) >= 0.75).map(|name| format!("the nearest is \"{name}\""));
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        return (format!("{field}: expected {}, found {found}", names.join(", ")), hint);
    }
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "i64" => "an integer",
        "f64" => "a number",
        other if other.starts_with("struct ") => "a table",
        other => other,
    });
    match expected {
        Some(expected) => (format!("{field}: expected {expected}, found {found}"), None),
        None => (format!("{field}: {}", message.replace('\n', ", ")), None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::LEAST;
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let line = |fault: &Fault| fault.line.map_or(String::new(), |line| format!("{line}: "));
        let hint = |fault: &Fault| fault.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        faults(text).iter().map(|fault| line(fault) + &fault.what + &hint(fault)).collect()
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let text = "\
arithmetic = 3
name = \"t\"
colour = \"red\"
[data]
tokenizer = 7
seq_len = 8
[inner]
steps = \"one\"
batch = 0
grad_groups = 2
weigth_decay = 0.1
beta1 = 1.5
schedule = \"cosinus\"
[codec]
name = \"sparselocco\"
[outer]
steps = 3
[[score.validators]]
weight = 1
";
        let expected = [
            "1: arithmetic: expected 1 (float32 chains) or 2 (exact integers), found 3",
            "3: colour: expected a field of recipes, found an unknown one",
            "5: data.tokenizer: expected a string, found 7",
            "8: inner.steps: expected a whole number, found \"one\"",
            "9: inner.batch: expected 1 to 2^20, found 0",
            "11: inner.weigth_decay: expected a field of recipes, found an unknown one (the nearest field is inner.weight_decay)",
            "12: inner.beta1: expected 0 to below 1, found 1.5",
            "13: inner.schedule: expected \"constant\", \"cosine\", found \"cosinus\" (the nearest is \"cosine\")",
            "15: codec.name: expected \"dense\", \"f16\", \"int8\", \"blockwise8\", \"e3m0\", \"demo\", \"sparseloco\", \"l402\", \
             found \"sparselocco\" (the nearest is \"sparseloco\")",
            "17: outer.steps: expected a field of recipes, found an unknown one (the nearest field is inner.steps)",
            "inner.lr: expected a value, found none (docs/recipe.md says what it is)",
            "score.validators.key: expected a value, found none (docs/recipe.md says what it is)",
        ];
        assert_eq!(said(text), expected);
    }

    #[test]
    fn what_is_no_toml_is_said_by_line_with_what_else_is_wrong() {
        let found = said("arithmetic = 1\nname = \nseed = 1 2\n[inner]\nbeta3 = 1\n");
        assert!(found[0].starts_with("2: not TOML: "), "{found:?}");
        assert!(found.iter().any(|f| f.starts_with("3: not TOML: ")), "{found:?}");
        assert!(found.iter().any(|f| f.starts_with("5: inner.beta3: ")), "{found:?}");
        assert!(found.iter().all(|f| !f.contains("found none")), "{found:?}");
        assert!(!said("").is_empty());
        assert!(said("data = 3").iter().any(|f| f == "1: data: expected a table, found 3"), "{:?}", said("data = 3"));
    }

    #[test]
    fn a_text_has_faults_exactly_where_it_is_no_recipe() {
        assert_eq!(said(LEAST), Vec::<String>::new());
        // Each line left out, doubled, renamed, or with another value.
        let lines: Vec<&str> = LEAST.lines().collect();
        for i in 0..lines.len() {
            let (name, value) = lines[i].split_once(" = ").unwrap_or((lines[i], ""));
            let others = [
                String::new(),
                format!("{0}\n{0}", lines[i]),
                format!("x{name} = {value}"),
                format!("{name} = -1"),
                format!("{name} = \"x\""),
                format!("{name} = 0"),
                format!("{name} = []"),
                format!("{name} = {{ a = 1 }}"),
                format!("{name} = 1e400"),
                format!("{name} = 99999999999999999999"),
                format!("{name} ="),
            ];
            for other in others {
                let text: Vec<&str> = lines.iter().enumerate().map(|(j, l)| if i == j { &other } else { *l }).collect();
                let text = text.join("\n");
                let (found, parsed) = (said(&text), Recipe::parse(&text));
                assert_eq!(found.is_empty(), parsed.is_ok(), "{text}\n{found:?}\n{parsed:?}");
                assert!(found.len() <= 12, "{text}\n{found:?}");
            }
        }
    }

    #[test]
    fn a_text_of_a_thousand_faults_is_not_read_a_thousand_times() {
        let text: String = (0..1000).map(|i| format!("x{i} = 1\n")).collect();
        assert_eq!(faults(&text).len(), MOST);
    }
}
