//! `l402 beacon`: a value that nobody knew before.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::artifact::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{self, Outcome, Target, read_text_within};
use crate::ui::Ui;

/// Write a beacon, 32 bytes in hex, once: a beacon that is there is never another.
///
/// Beacon A draws who works on what, and must not exist before the roster is closed; beacon B draws the held-out data and what is
/// replayed, and must not exist before all commitments are in. Where pay rests on them they are hashes of blocks (or values of
/// drand) at heights that a signed list has named before; `random` is this system's noise, which convinces nobody but oneself.
///
/// A file that holds a beacon already stays as it is: with `random` and with the same value that is success, another value is
/// refused (73).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// `random`, or 64 hex digits
    #[arg(value_name = "random|HEX")]
    value: Value,
    /// Output file, written beside and renamed, its folder made where it is not there [default: standard output]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
}

/// What the beacon is to be.
#[derive(Clone, Copy, Debug)]
enum Value {
    Random,
    Given(Digest),
}

impl FromStr for Value {
    type Err = Error;

    fn from_str(text: &str) -> Result<Value> {
        if text == "random" {
            return Ok(Value::Random);
        }
        text.parse().map(Value::Given).map_err(|_| Error::usage("expected `random` or 64 lowercase hex digits"))
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = Target::new(args.output.as_deref(), false);
    let up_to_date = || -> Result<()> {
        ui.say(format!("{}: up to date", target.name()));
        Ok(())
    };
    if let Some(path) = target.kept().filter(|path| path.is_file()) {
        return agrees(path, args.value).and_then(|()| up_to_date());
    }
    target.make_folder()?;
    let value = match args.value {
        Value::Random => Digest(fsio::random()?),
        Value::Given(value) => value,
    };
    match target.write_text(&format!("{value}\n")) {
        Ok(Outcome::Written) => Ok(()),
        Ok(Outcome::UpToDate) => up_to_date(),
        // Another process has made it meanwhile: the first one's stays.
        Err(error) if error.kind() == Kind::Exists => match args.output.as_deref() {
            Some(path) => agrees(path, args.value).and_then(|()| up_to_date()),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Refuses a file that holds another beacon than is wanted (73), or none (65).
fn agrees(path: &Path, wanted: Value) -> Result<()> {
    let text = read_text_within(path, 1 << 10)?;
    let found: Digest = text.trim().parse().at(path.display())?;
    match wanted {
        Value::Given(value) if value != found => {
            Err(Error::new(Kind::Exists, format!("{}: exists, expected {value}, found {found}", path.display()))
                .hint("a beacon that was drawn is never another: another value needs another round"))
        }
        _ => Ok(()),
    }
}
