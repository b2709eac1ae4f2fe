//! Text for troff: what it would read as its own is made plain.

/// A text without anything of troff's in it.
pub fn plain(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\\' => shown += "\\e",
            '-' => shown += "\\-",
            '\'' => shown += "\\(aq",
            '`' => shown += "\\(ga",
            '^' => shown += "\\(ha",
            '~' => shown += "\\(ti",
            c if c.is_ascii() => shown.push(c),
            c => shown += &format!("\\[u{:04X}]", c as u32),
        }
    }
    shown
}

/// A line that does not begin as a command does.
pub fn line(text: &str) -> String {
    let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
    format!("{guard}{text}\n")
}

/// Markdown within a line: code and strong are bold, emphasis is italic, of links the text.
pub fn inline(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['`', '*', '[', '\\']) {
        shown += &plain(&rest[..at]);
        rest = &rest[at..];
        let (made, left) = span(rest);
        shown += &made;
        rest = left;
    }
    shown + &plain(rest)
}

/// What begins with a mark, and what follows it.
fn span(text: &str) -> (String, &str) {
    let within = |mark: &str| {
        let inner = text.strip_prefix(mark)?;
        let end = inner.find(mark).filter(|end| *end > 0)?;
        Some((&inner[..end], &inner[end + mark.len()..]))
    };
    if let Some((code, rest)) = within("``").or_else(|| within("`")) {
        return (format!("\\fB{}\\fR", plain(code)), rest);
    }
    if let Some((strong, rest)) = within("**") {
        return (format!("\\fB{}\\fR", inline(strong)), rest);
    }
    if let Some((soft, rest)) = within("*").filter(|(soft, _)| !soft.starts_with(' ') && !soft.ends_with(' ')) {
        return (format!("\\fI{}\\fR", inline(soft)), rest);
    }
    if let Some((label, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]("))
        && let Some((_, rest)) = rest.split_once(')')
    {
        return (inline(label), rest);
    }
    if let Some(escaped) = text.strip_prefix('\\').filter(|rest| rest.starts_with(['[', ']', '*', '`', '\\', '|', '_']))
    {
        return (plain(&escaped[..1]), &escaped[1..]);
    }
    (plain(&text[..1]), &text[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_fonts_and_nothing_becomes_a_command() {
        for (text, expected) in [
            ("a `--b` c", "a \\fB\\-\\-b\\fR c"),
            ("**x** and *y*, 2 * 3", "\\fBx\\fR and \\fIy\\fR, 2 * 3"),
            ("see [runs](run.md#x).", "see runs."),
            ("\\[rank × in\\]", "[rank \\[u00D7] in]"),
            ("a\\b", "a\\eb"),
        ] {
            assert_eq!(inline(text), expected, "{text}");
        }
        assert_eq!(line(".TH"), "\\&.TH\n");
    }
}
