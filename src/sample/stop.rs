//! Texts that end what a model says, and are no part of it.

/// Lets a text through until one of some texts stands in it. What may be the beginning of one waits.
pub struct Stops {
    stops: Vec<String>,
    /// The end of what came, as far as a stop may begin in it.
    held: String,
}

impl Stops {
    /// Stops, of which none is empty.
    pub fn new(stops: Vec<String>) -> Stops {
        Stops { stops, held: String::new() }
    }

    /// Takes a piece; gives what is certain to be said, and whether a stop follows it.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held += piece;
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let starts = self.held.char_indices().map(|(at, _)| at);
        let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let keep = starts.into_iter().find(begins).unwrap_or(self.held.len());
        let waiting = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, waiting), false)
    }

    /// What still waits, where nothing comes any more.
    pub fn finish(self) -> String {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these pieces, each by itself, the rest last; and whether it was stopped.
    fn said(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut filter = Stops::new(stops.iter().map(|stop| stop.to_string()).collect());
        let mut said = Vec::new();
        for piece in pieces {
            let (text, stopped) = filter.push(piece);
            said.push(text);
            if stopped {
                return (said, true);
            }
        }
        said.push(filter.finish());
        (said, false)
    }

    #[test]
    fn a_stop_over_several_pieces_is_never_said() {
        assert_eq!(said(&["END"], &["one E", "N", "D two"]), (vec!["one ".into(), "".into(), "".into()], true));
        assert_eq!(said(&["END"], &["oneEND"]), (vec!["one".into()], true));
        assert_eq!(said(&["\n\n"], &["a\n", "\nb"]), (vec!["a".into(), "".into()], true));
    }

    #[test]
    fn what_only_began_like_one_is_said() {
        assert_eq!(said(&["END"], &["E", "N", "x"]), (vec!["".into(), "".into(), "ENx".into(), "".into()], false));
        assert_eq!(said(&["END"], &["an E"]), (vec!["an ".into(), "E".into()], false));
        // The beginning of one within the beginning of another.
        assert_eq!(said(&["aab"], &["aa", "a", "b"]), (vec!["".into(), "a".into(), "".into()], true));
    }

    #[test]
    fn the_first_of_several_ends_it() {
        assert_eq!(said(&["two", "one t"], &["zero one two"]), (vec!["zero ".into()], true));
        assert_eq!(said(&["é!"], &["caf", "é", "."]), (vec!["caf".into(), "".into(), "é.".into(), "".into()], false));
        assert_eq!(said(&[], &["all", " of it"]), (vec!["all".into(), " of it".into(), "".into()], false));
    }
}
