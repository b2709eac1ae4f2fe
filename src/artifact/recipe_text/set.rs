//! Changes to a text that leave everything else in it as it is, comments too.

use std::ops::Range;

use toml::de::DeTable;

use super::places::{Place, places};
use crate::error::{Error, Result};

/// Gives a field, `table.name` or `name`, this value, as TOML has it: in the place of the one that is there, else in its table,
/// which is begun at the end where there is none.
pub fn set(text: &str, field: &str, value: &str) -> Result<String> {
    let table =
        DeTable::parse(text).map_err(|e| Error::data(format!("not TOML: {}", e.message().replace('\n', ", "))))?;
    let places = places(table.get_ref());
    if let Some(place) = places.iter().find(|place| place.field == field) {
        return Ok(replaced(text, place.value.clone(), value));
    }
    let (table, name) = field.rsplit_once('.').unwrap_or(("", field));
    let line = format!("{name} = {value}\n");
    if table.is_empty() {
        return Ok(line + text);
    }
    let own = |place: &&Place| place.field.rsplit_once('.').is_some_and(|(of, _)| of == table);
    match (places.iter().find(own), header(text, table)) {
        // Above the first of its fields, in the same line's way of saying where it is.
        (Some(first), _) if !places.iter().any(|place| place.field == table && inline(text, place)) => {
            let begin = text[..first.name.start].rfind('\n').map_or(0, |at| at + 1);
            Ok(replaced(text, begin..begin, &line))
        }
        (None, Some(after)) => Ok(replaced(text, after..after, &line)),
        (None, None) if places.iter().all(|place| place.field != table) => {
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            Ok(format!("{text}{gap}\n[{table}]\n{line}"))
        }
        _ => Err(Error::data(format!("{table}: expected a table with a header of its own, found one in a line"))),
    }
}

/// Where the line after `[table]` begins.
fn header(text: &str, table: &str) -> Option<usize> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        at += line.len();
        let bare = line.split('#').next().unwrap_or_default().trim();
        let is =
            bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|name| name.trim() == table);
        (is && line.ends_with('\n')).then_some(at)
    })
}

fn inline(text: &str, place: &Place) -> bool {
    text.get(place.value.clone()).is_some_and(|value| value.starts_with('{'))
}

fn replaced(text: &str, range: Range<usize>, by: &str) -> String {
    [&text[..range.start], by, &text[range.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_where_it_stands_and_nothing_else_changes() {
        for (text, field, expected) in [
            ("[model]\ntheta_0 = \"\"  # here\n", "model.theta_0", "[model]\ntheta_0 = 7  # here\n"),
            ("name = \"x\"\n[model] # first\n", "model.theta_0", "name = \"x\"\n[model] # first\ntheta_0 = 7\n"),
            ("name = \"x\"", "model.theta_0", "name = \"x\"\n\n[model]\ntheta_0 = 7\n"),
            ("model = { theta_0 = 1 }\n", "model.theta_0", "model = { theta_0 = 7 }\n"),
            (
                "[data]\nseq_len = 1\n[inner]\nlr = 1\n",
                "data.tokenizer",
                "[data]\ntokenizer = 7\nseq_len = 1\n[inner]\nlr = 1\n",
            ),
            ("[data]\n", "name", "name = 7\n[data]\n"),
        ] {
            assert_eq!(set(text, field, "7").unwrap(), expected, "{text}");
        }
        assert!(set("[model", "model.theta_0", "7").is_err());
        assert!(set("model = { }", "model.theta_0", "7").is_err());
        assert!(set("data = { seq_len = 1 }", "data.tokenizer", "7").is_err());
    }
}
