//! `--beacon HEX|FILE`: a beacon, believed or shown to be bound to a block.

use std::path::PathBuf;
use std::str::FromStr;

use crate::artifact::beacon::Purpose;
use crate::artifact::{Digest, Recipe, Room};
use crate::error::{Error, Result};
use crate::fsio::read_text_within;
use crate::score::Drawn;
use crate::ui::Ui;

/// What the flag names: a file by its slash, never by whether one happens to be there.
#[derive(Clone, Debug)]
pub enum BeaconArg {
    /// 64 hex digits.
    Free(Digest),
    /// A file of them, or of the record of a beacon that is bound.
    File(PathBuf),
}

impl FromStr for BeaconArg {
    type Err = Error;

    fn from_str(text: &str) -> Result<BeaconArg> {
        match text.contains('/') {
            true => Ok(BeaconArg::File(text.into())),
            false => text.parse().map(BeaconArg::Free).map_err(|_| {
                Error::usage("expected 64 lowercase hex digits, or a file by a name with a slash, as ./beacon-a")
            }),
        }
    }
}

impl BeaconArg {
    /// What it draws with. One that is bound must be of this run, round and purpose; one that is not is believed, which is said,
    /// or refused where the recipe has beacons bound.
    pub fn draw(&self, recipe: &Recipe, round: u64, purpose: Purpose, ui: &Ui) -> Result<Drawn> {
        let drawn = match self {
            BeaconArg::Free(value) => Drawn { value: *value, bound: None },
            BeaconArg::File(path) => {
                let text = read_text_within(path, Room::any().bytes)?;
                Drawn::parse(&path.display().to_string(), &text, &recipe.digest(), round, purpose)?
            }
        };
        drawn.require(recipe, purpose, round)?;
        if drawn.bound.is_none() {
            ui.say(format!("beacon {purpose} of round {round}: taken on trust, nothing binds it to a block"));
        }
        Ok(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_slash() {
        assert!(matches!("./ab".parse(), Ok(BeaconArg::File(_))));
        assert!(matches!("ab".repeat(32).parse(), Ok(BeaconArg::Free(_))));
        for wrong in ["", "ab", &"AB".repeat(32), &"ab".repeat(33), &"zz".repeat(32), "beacon-a"] {
            let error = wrong.parse::<BeaconArg>().unwrap_err();
            let says = "expected 64 lowercase hex digits, or a file by a name with a slash, as ./beacon-a";
            assert_eq!(error.to_string(), says);
        }
    }
}
