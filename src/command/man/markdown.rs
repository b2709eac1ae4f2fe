//! Manual pages from the repository's own documents: the part of markdown that these use.

use super::roff::{inline, line, plain};

/// The body of a page: headings become sections, whatever their level below `top` subsections.
pub fn body(text: &str) -> String {
    let mut page = String::new();
    let mut lines = text.lines().peekable();
    while let Some(first) = lines.next() {
        let trimmed = first.trim_start();
        if let Some(title) = heading(first) {
            page += &title;
        } else if let Some(fence) = trimmed.strip_prefix("```") {
            let _ = fence;
            page += ".PP\n.RS 4\n.nf\n";
            for code in lines.by_ref().take_while(|l| !l.trim_start().starts_with("```")) {
                page += &line(&plain(code));
            }
            page += ".fi\n.RE\n";
        } else if trimmed.starts_with('|') {
            let mut rows = vec![first];
            while let Some(row) = lines.next_if(|l| l.trim_start().starts_with('|')) {
                rows.push(row);
            }
            page += &table(&rows);
        } else if let Some((mark, begin)) = item(trimmed) {
            let mut text = begin.to_owned();
            while let Some(more) =
                lines.next_if(|l| l.starts_with("  ") && !l.trim().is_empty() && item(l.trim_start()).is_none())
            {
                text = format!("{text} {}", more.trim());
            }
            page += &format!(".IP {} 4\n{}", mark, line(&inline(&text)));
        } else if !trimmed.is_empty() {
            let mut text = first.trim().to_owned();
            while let Some(more) = lines.next_if(|l| continues(l)) {
                text = format!("{text} {}", more.trim());
            }
            page += &format!(".PP\n{}", line(&inline(&text)));
        }
    }
    page
}

/// Whether a line goes on with the paragraph before it.
fn continues(text: &str) -> bool {
    let trimmed = text.trim_start();
    !trimmed.is_empty()
        && heading(text).is_none()
        && !trimmed.starts_with("```")
        && !trimmed.starts_with('|')
        && item(trimmed).is_none()
}

fn heading(text: &str) -> Option<String> {
    let level = text.bytes().take_while(|b| *b == b'#').count();
    let title = text.get(level..)?.strip_prefix(' ').filter(|_| level > 0)?.trim();
    Some(match level {
        1 | 2 => format!(".SH {}\n", quoted(&inline(&title.to_uppercase()))),
        _ => format!(".SS {}\n", quoted(&inline(title))),
    })
}

/// An argument of a macro.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\(dq"))
}

/// The mark of a list's item, and its text.
fn item(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")) {
        return Some(("\\(bu".into(), rest));
    }
    let (number, rest) = text.split_once(". ")?;
    (!number.is_empty() && number.len() < 3 && number.bytes().all(|b| b.is_ascii_digit()))
        .then(|| (format!("{number}."), rest))
}

/// A table, for tbl.
fn table(rows: &[&str]) -> String {
    let cells = |row: &str| {
        let row = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
        row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect::<Vec<_>>()
    };
    let rule = |row: &&&str| !row.trim().trim_matches(['|', '-', ':', ' ']).is_empty();
    let rows: Vec<Vec<String>> = rows.iter().filter(rule).map(|row| cells(row)).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let form = |font: &str| {
        let column = |i: usize| if i + 1 == columns { format!("l{font}x") } else { format!("l{font}") };
        (0..columns).map(column).collect::<Vec<_>>().join(" ")
    };
    let mut page = format!(".PP\n.TS\ntab(@);\n{}\n{}.\n", form("B"), form(""));
    for row in rows {
        let row = row.iter().map(|cell| format!("T{{\n{}T}}", line(&inline(cell))));
        page += &row.collect::<Vec<_>>().join("@");
        page.push('\n');
    }
    page + ".TE\n"
}

/// The sections of a document, each by its heading of the second level, with the text below it.
pub fn sections(text: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut code = false;
    for l in text.lines() {
        code ^= l.starts_with("```");
        match (l.strip_prefix("## "), found.last_mut()) {
            (Some(title), _) if !code => found.push((title.trim(), String::new())),
            (_, Some((_, body))) => *body += &format!("{l}\n"),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lists_code_and_tables_keep_their_form() {
        let page = body(
            "# Title\n\nOne\ntwo.\n\n- a\n  b\n- c\n\n```sh\n.x 'y'\n```\n| a | b |\n|---|---|\n| `c\\|d` | e |\n### Sub\n1. x\n",
        );
        let expected = ".SH \"TITLE\"\n.PP\nOne two.\n.IP \\(bu 4\na b\n.IP \\(bu 4\nc\n.PP\n.RS 4\n.nf\n\\&.x \\(aqy\\(aq\n.fi\n.RE\n\
            .PP\n.TS\ntab(@);\nlB lBx\nl lx.\nT{\na\nT}@T{\nb\nT}\nT{\n\\fBc|d\\fR\nT}@T{\ne\nT}\n.TE\n.SS \"Sub\"\n.IP 1. 4\nx\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn sections_are_cut_at_headings_and_not_in_code() {
        let found = sections("before\n## A\nx\n```\n## no\n```\n## B\ny\n");
        assert_eq!(found, [("A", "x\n```\n## no\n```\n".to_owned()), ("B", "y\n".to_owned())]);
    }
}
