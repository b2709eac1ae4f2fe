//! Text that comes piece by piece on standard output.

use std::io::{IsTerminal, stdout};

use super::{escape, runner};
use crate::error::Result;
use crate::fsio::Target;

/// Text of others as they have it, each piece out at once. Only a terminal is spared what it would obey: there it stands as
/// `\u{1b}` and the like, but for line breaks and tabs.
pub struct Stream {
    shown: bool,
    /// Whether what came last, if anything did, ends its line.
    ended: bool,
}

impl Stream {
    /// Standard output.
    pub fn stdout() -> Stream {
        Stream { shown: stdout().is_terminal(), ended: false }
    }

    /// Adds a piece.
    pub fn write(&mut self, piece: &str) -> Result<()> {
        self.ended = if piece.is_empty() { self.ended } else { piece.ends_with('\n') };
        let text = if self.shown { shown(piece) } else { piece.to_owned() };
        let text: String = text.split_inclusive('\n').map(runner::unheard).collect();
        Target::stdout().write_text(&text).map(drop)
    }

    /// Ends the last line.
    pub fn finish(mut self) -> Result<()> {
        if self.ended { Ok(()) } else { self.write("\n") }
    }
}

fn shown(piece: &str) -> String {
    let lines = piece.split_inclusive(['\n', '\t']);
    let line = |line: &str| match line.strip_suffix(['\n', '\t']) {
        Some(text) => escape::line(text) + &line[text.len()..],
        None => escape::line(line),
    };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_lines_and_tabs_and_nothing_else_that_it_obeys() {
        assert_eq!(shown("one\ttwo\n\nthr\u{1b}[31m\re\u{202e}"), "one\ttwo\n\nthr\\u{1b}[31m\\re\\u{202e}");
        assert_eq!(shown("你好 é"), "你好 é");
        assert_eq!(shown(""), "");
    }
}
