//! Text from elsewhere, made fit to be shown: names of files, metadata and records of others may hold what a terminal obeys,
//! what breaks a line in two, or what turns its letters around.

/// Whether a terminal shows it as one mark or space. Controls, line and paragraph separators, what changes the direction of
/// writing, what has no width and what has no meaning are none of that.
fn plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // As the second letter a combining mark is one of a word's.
        _ => ['x', c].iter().collect::<String>().escape_debug().nth(1) == Some(c),
    }
}

/// One line that shows the text: what cannot be shown stands as `\n`, `\u{1b}` and the like.
pub fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if plain(c) { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    shown
}

/// The same JSON, of which a terminal shows everything. Outside of strings JSON is ASCII, and inside each letter has an
/// escaped form.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if plain(c) {
            shown.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown += &format!("\\u{unit:04x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left_and_what_it_shows_stays() {
        let controls = (0..0x20).chain(0x7f..0xa0).chain([0xad, 0x61c, 0x180e]);
        let directions = (0x200b..0x2010).chain(0x2028..0x202f).chain(0x2060..0x2070).chain([0xfeff, 0xfff9, 0xe0001]);
        for c in controls.chain(directions).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            for shown in [line(&text), json(&text)] {
                assert!(shown.is_ascii() && !shown.contains(|c: char| c.is_control()), "{shown:?}");
                assert!(shown.starts_with("a\\") && shown.ends_with('b') && shown.len() > 3, "{shown}");
            }
        }
        for text in ["it's \"a\" \\ b", "Müller, e\u{301}te", "数据 данные δ", "🎉 ≤ ±"] {
            assert_eq!((line(text), json(text)), (text.to_owned(), text.to_owned()));
        }
        assert_eq!(line("\u{1b}[31m\r\n\u{202e}\u{9b}"), r"\u{1b}[31m\r\n\u{202e}\u{9b}");
    }

    #[test]
    fn json_says_the_same_as_before() {
        let all: String = (0..0x11_0000).filter_map(char::from_u32).collect();
        let text = serde_json::json!({ (all.clone()): [all.clone()] }).to_string();
        let shown = json(&text);
        assert!(!shown.contains(|c: char| c.is_control()));
        let back: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(back[&all][0], all.as_str());
    }
}
