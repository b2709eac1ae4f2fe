//! Patterns of file names.

use std::str::FromStr;

/// Characters of a pattern.
const MAX: usize = 1024;

/// A pattern over a whole name: `*` is any characters, slashes too, `?` is one. As `huggingface_hub` has it, but without
/// brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Whether the pattern is that name's.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        let (mut p, mut n) = (0, 0);
        // Where the last star stands, and where what it takes ends.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
                _ => match &mut star {
                    None => return false,
                    Some((at, end)) => {
                        *end += 1;
                        (p, n) = (*at + 1, *end);
                    }
                },
            }
        }
        pattern[p..].iter().all(|c| *c == '*')
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Glob, String> {
        if text.is_empty() || text.chars().count() > MAX {
            return Err(format!("expected a pattern of 1 to {MAX} characters"));
        }
        if text.contains(['[', ']']) {
            return Err("expected a pattern of letters, `*` and `?`; brackets have no meaning here".into());
        }
        // A folder is all that is in it.
        Ok(Glob(if text.ends_with('/') { format!("{text}*") } else { text.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Glob>().unwrap().matches(name)
    }

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name) in [
            ("*", "a/b"),
            ("*.safetensors", "x/model.safetensors"),
            ("tokenizer*", "tokenizer.json"),
            ("a?c", "aöc"),
            ("data/", "data/x/y.parquet"),
            ("*a*b*", "xxaxxbxx"),
            ("config.json", "config.json"),
            ("**", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.safetensors", "model.safetensors.index.json"),
            ("config.json", "x/config.json"),
            ("a?c", "ac"),
            ("*a*b", "ab."),
            ("data/", "data"),
            ("A", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        let brackets = "expected a pattern of letters, `*` and `?`; brackets have no meaning here";
        assert_eq!("[ab]".parse::<Glob>().unwrap_err(), brackets);
        assert_eq!("".parse::<Glob>().unwrap_err(), format!("expected a pattern of 1 to {MAX} characters"));
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        assert!(!matches(&"*a".repeat(500), &"a".repeat(499)));
    }
}
