//! What every message looks like: the house's form, no type of ours, nothing that a terminal obeys.

use crate::transcript::{self, Step};

/// What only a type or the output of `{:?}` writes.
const INTERNAL: [&str; 9] = ["::", "Error {", "Some(", "Ok(", "Err(", "Os {", "None)", "Utf8Error", "ParseIntError"];

/// Words that name a type.
const TYPES: [&str; 14] =
    ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "f32", "f64", "bool", "struct", "enum"];

/// How a line of what went wrong begins: ours, or what the parser of command lines says.
const FORMS: [&str; 7] =
    ["l402: ", "error: ", "Usage: ", "For more information, try", "  tip: ", "  [possible values: ", "  <"];

#[test]
fn every_message_has_the_form_and_names_no_type() {
    let mut wrong = Vec::new();
    for transcript in transcript::all() {
        for step in transcript.steps() {
            let place = |what: &str, line: &str| format!("{}:{}: {what}: {line}", transcript.name, step.line);
            for line in &step.said {
                if line.chars().any(|c| c.is_control() && c != '\t') {
                    wrong.push(place("a raw control character", line));
                }
                if let Some(found) = INTERNAL.iter().find(|internal| line.contains(**internal)) {
                    wrong.push(place(&format!("{found:?}"), line));
                }
                let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                if let Some(found) = words.find(|word| TYPES.contains(word)).filter(|_| ours(line)) {
                    wrong.push(place(&format!("names the type {found}"), line));
                }
                if !step.status.is_empty() && !formed(line) {
                    wrong.push(place("not in the form of a message", line));
                }
            }
            if fails(&step) && !step.said.iter().any(|line| FORMS[..2].iter().any(|form| line.starts_with(form))) {
                wrong.push(place("fails and does not say why", &step.command));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whether it is a message, and no repetition of the command line.
fn ours(line: &str) -> bool {
    line.starts_with("l402: ")
}

fn formed(line: &str) -> bool {
    line.is_empty()
        || FORMS.iter().any(|form| line.starts_with(form))
        || ["--", "l402 "].iter().any(|begin| line.trim_start().starts_with(begin))
}

fn fails(step: &Step) -> bool {
    step.command.starts_with("l402 ") && !step.status.is_empty() && step.status != "success"
}
