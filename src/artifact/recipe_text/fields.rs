//! The fields that there are.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::artifact::Recipe;

/// A recipe with a value in every field that must have one, and nothing else; of what may be there and has such fields too.
pub const LEAST: &str = "\
arithmetic = 1
name = \"least\"
[data]
tokenizer = \"bytes\"
seq_len = 1
[inner]
steps = 1
batch = 1
lr = 0.001
[verify]
beacons = \"free\"
[adapter]
rank = 1
alpha = 1.0
[[score.validators]]
key = \"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\"
";

/// Every field, by its table and name, in the order of the recipe's own type.
pub fn known() -> Vec<String> {
    let all = Recipe::parse(LEAST).expect("a constant, which a test reads").values();
    let mut names = Vec::new();
    leaves("", &all, &mut names);
    names
}

fn leaves(prefix: &str, value: &serde_json::Value, names: &mut Vec<String>) {
    let fields = match value {
        serde_json::Value::Object(fields) => fields,
        // Tables of a list have the same fields.
        serde_json::Value::Array(list) if list.first().is_some_and(serde_json::Value::is_object) => {
            names.push(prefix.to_owned());
            return leaves(prefix, &list[0], names);
        }
        _ => return names.push(prefix.to_owned()),
    };
    let dot = if prefix.is_empty() { "" } else { "." };
    fields.iter().for_each(|(name, value)| leaves(&format!("{prefix}{dot}{name}"), value, names));
}

/// The known field that one by this name is meant to be: of the same name in another table, else the one that is written
/// most like it, first in its own table.
pub fn nearest(field: &str) -> Option<String> {
    let known = known();
    let split = |field: &str| match field.rsplit_once('.') {
        Some((table, name)) => (table.to_owned(), name.to_owned()),
        None => (String::new(), field.to_owned()),
    };
    let (table, name) = split(field);
    let likeness = |other: &String| {
        let (other_table, other_name) = split(other);
        let own = if other_table == table { 0.1 } else { 0.0 };
        let same = if other_name == name { 1.0 } else { 0.0 };
        strsim::jaro_winkler(&other_name, &name) + own + same
    };
    let best = known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= 0.75).then_some(best)
}

/// A value to go on with of a field that must be there, by its table (none: the outermost) and name.
pub fn least(table: &str, name: &str) -> Option<DeValue<'static>> {
    let all = DeTable::parse(LEAST).expect("a constant, which a test reads").into_inner();
    let mut parts = table.split('.').filter(|part| !part.is_empty());
    let inner = parts.try_fold(DeValue::Table(all), |value, part| match value {
        DeValue::Table(table) => value_of(table, part),
        // The tables of a list have the same fields.
        DeValue::Array(list) => list.into_iter().next().map(Spanned::into_inner),
        _ => None,
    });
    match inner {
        Some(DeValue::Table(table)) => value_of(table, name),
        _ => None,
    }
}

fn value_of(table: DeTable<'static>, name: &str) -> Option<DeValue<'static>> {
    table.into_iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_known_by_its_table() {
        let known = known();
        for field in ["arithmetic", "inner.lr", "adapter.targets", "score.validators.key", "pay.shapley_tolerance_ppm"]
        {
            assert!(known.iter().any(|name| name == field), "{field}: {known:?}");
        }
        let document = include_str!("../../../docs/recipe.md");
        for field in known.iter().filter(|field| !field.starts_with("score.validators.")) {
            assert!(document.contains(&format!("`{field}`")), "docs/recipe.md does not say what {field} is");
        }
    }

    #[test]
    fn what_is_meant_is_found_in_its_table_or_in_another() {
        for (field, meant) in [
            ("inner.beta3", Some("inner.beta2")),
            ("inner.learning_rate", Some("inner.lr")),
            ("colour", None),
            ("inner.weigth_decay", Some("inner.weight_decay")),
            ("codec.topk", Some("codec.top_k")),
            ("outer.steps", Some("inner.steps")),
            ("seq_len", Some("data.seq_len")),
            ("sed", Some("seed")),
            ("score.validators.weigth", Some("score.validators.weight")),
        ] {
            assert_eq!(nearest(field).as_deref(), meant, "{field}");
        }
    }
}
