//! Where a field stands in a text.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A field in a table of a text: its whole name, and the spans of name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `inner.lr`; of a table in a list `score.validators.0.key`.
    pub field: String,
    /// The name, as far as it stands there.
    pub name: Range<usize>,
    /// The value.
    pub value: Range<usize>,
    /// Whether it is a table, or a list of them.
    pub table: bool,
}

/// Every field and table of a text, a table before what is in it.
pub fn places(table: &DeTable<'_>) -> Vec<Place> {
    let mut found = Vec::new();
    walk("", table, &mut found);
    found
}

fn walk(prefix: &str, table: &DeTable<'_>, found: &mut Vec<Place>) {
    for (name, value) in table {
        let field = format!("{prefix}{}", name.get_ref());
        let tables = tables_of(value);
        found.push(Place {
            field: field.clone(),
            name: name.span(),
            value: value.span(),
            table: !tables.is_empty() || value.get_ref().is_table(),
        });
        for (index, table) in tables {
            if !index.is_empty() {
                let field = format!("{field}.{}", index.trim_end_matches('.'));
                found.push(Place { field, name: name.span(), value: value.span(), table: true });
            }
            walk(&format!("{field}.{index}"), table, found);
        }
    }
}

/// The tables in a value, with what stands before the names in them.
fn tables_of<'a, 'i>(value: &'a Spanned<DeValue<'i>>) -> Vec<(String, &'a DeTable<'i>)> {
    match value.get_ref() {
        DeValue::Table(table) => vec![(String::new(), table)],
        DeValue::Array(list) => {
            let tables = list.iter().enumerate();
            tables.filter_map(|(i, v)| Some((format!("{i}."), v.get_ref().as_table()?))).collect()
        }
        _ => Vec::new(),
    }
}

/// Takes a field out of a table, by its whole name.
pub fn remove(table: &mut DeTable<'_>, field: &str) {
    let (name, rest) = field.split_once('.').unwrap_or((field, ""));
    let Some(key) = table.keys().find(|key| key.get_ref() == name).cloned() else { return };
    if rest.is_empty() {
        table.remove(&key);
        return;
    }
    match table.get_mut(&key).map(Spanned::get_mut) {
        Some(DeValue::Table(table)) => remove(table, rest),
        Some(DeValue::Array(list)) => {
            let (index, rest) = rest.split_once('.').unwrap_or((rest, ""));
            let at = index.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            if let Some(DeValue::Table(table)) = at.map(Spanned::get_mut) {
                remove(table, rest);
            }
        }
        _ => {}
    }
}

/// Puts a value into the table of this name (none: the outermost), where that is there.
pub fn put<'i>(table: &mut DeTable<'i>, of: &str, name: &str, value: Spanned<DeValue<'i>>) {
    if of.is_empty() {
        table.insert(Spanned::new(0..0, name.to_owned().into()), value);
        return;
    }
    let (first, rest) = of.split_once('.').unwrap_or((of, ""));
    let Some(inner) = table.iter_mut().find(|(key, _)| key.get_ref() == first).map(|(_, inner)| inner.get_mut()) else {
        return;
    };
    match inner {
        DeValue::Table(inner) => put(inner, rest, name, value),
        DeValue::Array(list) => {
            let (index, rest) = rest.split_once('.').unwrap_or((rest, ""));
            let at = index.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            if let Some(DeValue::Table(inner)) = at.map(Spanned::get_mut) {
                put(inner, rest, name, value);
            }
        }
        _ => {}
    }
}

/// The line that a place in a text is in, from 1.
pub fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
