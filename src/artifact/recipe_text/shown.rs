//! A recipe's effective values: what the text says, and the defaults for what it does not.

use std::collections::BTreeSet;

use toml::de::DeTable;

use super::places::places;
use crate::artifact::Recipe;
use crate::error::{Error, Result};

/// A field with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Table and name.
    pub name: String,
    /// The value, as TOML has it.
    pub value: String,
    /// Whether the text leaves it out.
    pub default: bool,
}

/// A field that two recipes have with different values; nothing where one does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Table and name.
    pub name: String,
    /// The first one's value.
    pub first: Option<String>,
    /// The other one's.
    pub second: Option<String>,
}

fn written(recipe: &Recipe) -> Result<String> {
    toml::to_string(recipe).map_err(|e| Error::bug(format!("a recipe as TOML: {e}")))
}

/// The fields that a text names itself.
fn named(text: &str) -> Result<BTreeSet<String>> {
    let table =
        DeTable::parse(text).map_err(|e| Error::data(format!("not TOML: {}", e.message().replace('\n', ", "))))?;
    Ok(places(table.get_ref()).into_iter().map(|place| place.field).collect())
}

/// The effective values as a recipe of their own, with a comment behind each that `text`, of which `recipe` was read, leaves out.
pub fn effective(text: &str, recipe: &Recipe) -> Result<String> {
    let (named, written) = (named(text)?, written(recipe)?);
    let table = DeTable::parse(&written).map_err(|e| Error::bug(format!("a recipe as TOML: {e}")))?;
    let mut ends: Vec<usize> = places(table.get_ref())
        .into_iter()
        .filter(|place| !place.table && !named.contains(&place.field))
        .map(|place| place.value.end)
        .collect();
    ends.sort_unstable();
    let (mut shown, mut from) = (String::new(), 0);
    for end in ends {
        shown += &written[from..end];
        shown += "  # default";
        from = end;
    }
    Ok(shown + &written[from..])
}

/// The fields one by one, in the order of their places in a recipe.
pub fn fields_of(text: &str, recipe: &Recipe) -> Result<Vec<Field>> {
    let (named, written) = (named(text)?, written(recipe)?);
    let table = DeTable::parse(&written).map_err(|e| Error::bug(format!("a recipe as TOML: {e}")))?;
    let mut found = places(table.get_ref());
    found.retain(|place| !place.table);
    found.sort_by_key(|place| place.name.start);
    let field = |place: super::places::Place| Field {
        default: !named.contains(&place.field),
        value: written[place.value].to_owned(),
        name: place.field,
    };
    Ok(found.into_iter().map(field).collect())
}

/// The fields that differ by their effective values, in the order of their places in a recipe.
pub fn differences(first: &Recipe, second: &Recipe) -> Result<Vec<Difference>> {
    let (a, b) = (fields_of("", first)?, fields_of("", second)?);
    let value = |fields: &[Field], name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value.clone());
    let only_second = b.iter().filter(|f| value(&a, &f.name).is_none());
    let names = a.iter().chain(only_second).map(|f| &f.name);
    let both = names.map(|name| Difference { name: name.clone(), first: value(&a, name), second: value(&b, name) });
    Ok(both.filter(|d| d.first != d.second).collect())
}

#[cfg(test)]
mod tests {
    use super::super::fields::LEAST;
    use super::*;

    const PLAIN: &str = "arithmetic = 1\nname = \"t\"\n[data]\ntokenizer = \"bytes\"\nseq_len = 8\n[inner]\nsteps = 1\nbatch = 2\nlr = 1e-3\nbeta1 = 0.9\n";

    #[test]
    fn the_effective_values_are_a_recipe_of_the_same_run_and_say_which_are_defaults() {
        for text in [PLAIN, LEAST] {
            let recipe = Recipe::parse(text).unwrap();
            let shown = effective(text, &recipe).unwrap();
            assert_eq!(Recipe::parse(&shown).unwrap().digest(), recipe.digest(), "{shown}");
        }
        let shown = effective(PLAIN, &Recipe::parse(PLAIN).unwrap()).unwrap();
        for line in [
            "seed = 0  # default",
            "lr = 0.001",
            "beta1 = 0.9",
            "beta2 = 0.95  # default",
            "validators = []  # default",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line} in\n{shown}");
        }
    }

    #[test]
    fn recipes_differ_by_values_and_never_by_how_they_are_written() {
        let plain = Recipe::parse(PLAIN).unwrap();
        let spelled = Recipe::parse(&format!("seed = 0\n{PLAIN}clip = 1.0 # as ever\n")).unwrap();
        assert_eq!(differences(&plain, &spelled).unwrap(), []);
        let other =
            Recipe::parse(&PLAIN.replace("1e-3", "2e-3").replace("[inner]", "[adapter]\nrank = 1\nalpha = 2\n[inner]"));
        let found = differences(&plain, &other.unwrap()).unwrap();
        let names: Vec<&str> = found.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["inner.lr", "adapter.rank", "adapter.alpha", "adapter.targets"]);
        assert_eq!((found[0].first.as_deref(), found[0].second.as_deref()), (Some("0.001"), Some("0.002")));
        assert_eq!(found[1].first, None);
    }
}
