//! A panic is a bug of ours, and may repeat what others wrote: it is said in one line that a terminal can be shown.

use std::any::Any;
use std::panic::{self, PanicHookInfo};

use super::line;

/// From now on a panic is said as every error is, escaped.
pub fn say_panics() {
    panic::set_hook(Box::new(|info| {
        line(&format!("l402: {}", said(info)));
        line(
            "l402: hint: this is a bug of ours; nothing was half-written by it, and the same command can be run again",
        );
    }));
}

fn said(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or("an unknown place".to_owned(), |at| format!("{}:{}", at.file(), at.line()));
    format!("panicked at {place}: {}", text(info.payload()))
}

fn text(payload: &dyn Any) -> &str {
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_what_it_was_given() {
        assert_eq!(text(&"a word"), "a word");
        assert_eq!(text(&String::from("words")), "words");
        assert_eq!(text(&7), "no message");
    }
}
