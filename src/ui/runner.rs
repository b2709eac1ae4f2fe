//! The runner of GitHub Actions reads what a step prints, and obeys some of it: a line that begins with `::`, white space before it
//! left out, and `##[` wherever it stands. What others have put into a file is not to be obeyed.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Whether it is GitHub's runner that reads.
pub fn listens() -> bool {
    static LISTENS: OnceLock<bool> = OnceLock::new();
    *LISTENS.get_or_init(|| std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true"))
}

/// A line that no runner obeys, where one reads.
pub fn unheard(line: &str) -> Cow<'_, str> {
    if listens() { inert(line) } else { Cow::Borrowed(line) }
}

/// A line that no runner obeys.
fn inert(line: &str) -> Cow<'_, str> {
    let command = line.trim_start().starts_with("::");
    if !command && !line.contains("##[") {
        return Cow::Borrowed(line);
    }
    let line = line.replace("##[", "##\\[");
    Cow::Owned(if command { line.replacen("::", "\\::", 1) } else { line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runner_would_obey_is_shown_and_nothing_else_changes() {
        for (line, shown) in [
            ("::error::x", "\\::error::x"),
            (" \t::stop-commands::x", " \t\\::stop-commands::x"),
            ("\u{feff}a ::error::x", "\u{feff}a ::error::x"),
            ("l402: x ##[add-mask]a", "l402: x ##\\[add-mask]a"),
            ("###[error]", "###\\[error]"),
            ("##[a]##[b]", "##\\[a]##\\[b]"),
            ("::a ##[b]", "\\::a ##\\[b]"),
            ("## [x] a::b #[c]", "## [x] a::b #[c]"),
        ] {
            assert_eq!(inert(line), shown);
        }
    }
}
