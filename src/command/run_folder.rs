//! The run folder that a verb reads.

use std::path::{Path, PathBuf};

use super::audit::walk;
use crate::artifact::canonical;
use crate::error::{Error, Result};
use crate::report::Book;
use crate::ui::Ui;

/// The folder that was named, or the one that this is called in.
pub fn place(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Opens it, as far as it can be read.
pub fn open(named: Option<&Path>, ui: &Ui) -> Result<Book> {
    let (run, _) = walk::list(&place(named))?;
    let book = Book::open(run)?;
    book.odd.iter().for_each(|why| ui.say(format!("passed over: {why}")));
    book.edited.iter().for_each(|error| ui.warn(error));
    Ok(book)
}

/// The words `[RUN] ROUND WORKER`.
pub fn split(words: &[String]) -> Result<(Option<PathBuf>, u64, &str)> {
    let (run, round, worker) = match words {
        [round, worker] => (None, round, worker),
        [run, round, worker] => (Some(PathBuf::from(run)), round, worker),
        _ => return Err(Error::usage("expected [RUN] ROUND WORKER")),
    };
    let number = canonical::integer(round);
    let round = number.ok_or_else(|| Error::usage(format!("ROUND: expected a whole number, found {round:?}")))?;
    Ok((run, round, worker))
}
