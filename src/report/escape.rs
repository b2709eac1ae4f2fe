//! Text of others in HTML, SVG and CSV: it is shown, and never obeyed.

/// Whether it is shown as one mark, as on a terminal: no control, nothing that turns the direction of writing, nothing without
/// width.
fn plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // As the second letter a combining mark is one of a word's.
        _ => ['x', c].iter().collect::<String>().escape_debug().nth(1) == Some(c),
    }
}

/// Text for HTML and XML, between tags or in a quoted attribute.
pub fn markup(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => shown += "&amp;",
            '<' => shown += "&lt;",
            '>' => shown += "&gt;",
            '"' => shown += "&quot;",
            '\'' => shown += "&#39;",
            c if plain(c) => shown.push(c),
            c => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

/// A text as a field of a CSV file: quoted, and where a spreadsheet would take it for a formula, behind an apostrophe.
pub fn field(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if plain(c) { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    let formula = shown.trim_start().starts_with(['=', '+', '-', '@']);
    let guard = if formula { "'" } else { "" };
    format!("\"{guard}{}\"", shown.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_ends_a_tag_an_attribute_a_section_or_a_field() {
        let vile = "</title><script>alert(1)</script>\" onload='x' ]]> &amp; \u{202e}\u{0}\u{7f}\n";
        let shown = markup(vile);
        assert!(!shown.contains(['<', '>', '"', '\'', '\u{202e}', '\u{0}', '\n']), "{shown}");
        assert!(shown.contains("&amp;amp;") && shown.contains("]]&gt;") && shown.contains("\\u{202e}"), "{shown}");
        assert_eq!(markup("Müller 数据 e\u{301}"), "Müller 数据 e\u{301}");
    }

    #[test]
    fn a_spreadsheet_finds_text_and_no_formula() {
        for formula in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1"] {
            let shown = field(formula);
            let guarded = shown.starts_with("\"'") || shown.starts_with("\"\\u{");
            assert!(guarded && shown.ends_with('"') && !shown.contains(['\t', '\r']), "{shown}");
        }
        assert_eq!(field("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(field("two\nlines"), "\"two\\u{a}lines\"");
    }
}
