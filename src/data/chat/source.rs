//! `{% generation %}`, a tag of transformers' own, as a call block, which it is there too: what it encloses is rendered by itself,
//! and a function that is told of it notes where it stands.

/// The function that a block of generation is a call of.
pub(super) const GENERATION: &str = "l402_generation";

/// The template with its tags of generation replaced, and whether there were any. Comments, raw blocks and strings stay as they
/// are; so does all white space and its control.
pub(super) fn with_generation(source: &str) -> (String, bool) {
    let (mut out, mut found) = (String::with_capacity(source.len()), false);
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        let length = if tag.starts_with("{#") {
            tag.find("#}").map_or(tag.len(), |end| end + 2)
        } else if tag.starts_with("{{") {
            end_of(tag, "}}")
        } else if tag.starts_with("{%") {
            let length = end_of(tag, "%}");
            let (word_at, word) = first_word(tag);
            let alone = tag.get(word_at + word.len()..length.saturating_sub(2)).is_some_and(|rest| {
                rest.trim_end_matches(['-', '+']).trim().is_empty() && tag[..length].ends_with("%}")
            });
            match word {
                "generation" if alone => {
                    found = true;
                    out.push_str(&tag[..word_at]);
                    out.push_str(&format!("call {GENERATION}()"));
                    out.push_str(&tag[word_at + word.len()..length]);
                    rest = &tag[length..];
                    continue;
                }
                "endgeneration" if alone => {
                    out.push_str(&tag[..word_at]);
                    out.push_str("endcall");
                    out.push_str(&tag[word_at + word.len()..length]);
                    rest = &tag[length..];
                    continue;
                }
                "raw" if alone => length + end_of_raw(&tag[length..]),
                _ => length,
            }
        } else {
            1
        };
        out.push_str(&tag[..length]);
        rest = &tag[length..];
    }
    out.push_str(rest);
    (out, found)
}

/// The first word of a tag, and where it stands.
fn first_word(tag: &str) -> (usize, &str) {
    let after = tag[2..].trim_start_matches(['-', '+']);
    let after = after.trim_start();
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
    (tag.len() - after.len(), &after[..end])
}

/// The length of a tag that ends in `close`, strings within it passed over; all that is left where it does not end.
fn end_of(tag: &str, close: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in tag.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if tag[at..].starts_with(close) => return at + close.len(),
            None => {}
        }
    }
    tag.len()
}

/// The length of what a raw block encloses; its closing tag is found like any other.
fn end_of_raw(text: &str) -> usize {
    let ends = |at: &usize| first_word(&text[*at..]).1 == "endraw";
    text.match_indices("{%").map(|(at, _)| at).find(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_generation_become_calls_wherever_they_are_tags() {
        let cases = [
            ("a{% generation %}b{% endgeneration %}c", "a{% call l402_generation() %}b{% endcall %}c"),
            ("{%- generation -%}x{%+endgeneration+%}", "{%- call l402_generation() -%}x{%+endcall+%}"),
            ("{%generation%}{%\n endgeneration\n-%}", "{%call l402_generation()%}{%\n endcall\n-%}"),
        ];
        for (source, expected) in cases {
            assert_eq!(with_generation(source), (expected.to_owned(), true));
        }
        for same in [
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{% endraw %}",
            "{{ '{% generation %}' }}",
            "{% set x = \"%}{% generation %}\" %}",
            "{{ 'it\\'s }} {% generation %}' }}",
            "{% if generation %}{% endif %}",
            "{% generation",
            "{ % generation % } {",
            "{%",
            "{% raw %}{% generation %}",
            "{% generation_prompt %}{% generation x %}",
            "ü{#",
        ] {
            assert_eq!(with_generation(same), (same.to_owned(), false));
        }
    }
}
