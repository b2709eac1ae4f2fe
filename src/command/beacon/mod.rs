//! `l402 beacon`: a value that nobody knew before.

mod bound;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::artifact::Digest;
use crate::artifact::beacon::Purpose;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{self, Outcome, Target, read_text_within};
use crate::ui::Ui;
pub use bound::AHEAD;
use bound::BoundArgs;

/// Write a beacon, once: a beacon that is there is never another.
///
/// Beacon A draws who works on what, and must not exist before the roster is closed; beacon B draws the held-out data and what is
/// replayed, and must not exist before all commitments are in.
///
/// `a` and `b` are bound to a block: a signed record closes the list and names a block above its own height, and the beacon is made of
/// that block's hash. `a` closes roster and shards itself, by the coordinator's node; the list of `b` is closed by `commit --close`. Until
/// the block is there that is a matter of trying again (75). The file then holds both records, and the headers of the blocks between.
///
/// `random` is this system's noise, and 64 hex digits are whatever somebody chose: both convince nobody but oneself.
///
/// A file that holds a beacon already stays as it is: with `random` and with the same value that is success, another value is
/// refused (73).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bound to a block; or `random`; or 64 hex digits
    #[arg(value_name = "a|b|random|HEX")]
    value: Value,
    #[command(flatten)]
    bound: BoundArgs,
    /// Output file, written beside and renamed, its folder made where it is not there [default: standard output]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
}

/// What the beacon is to be.
#[derive(Clone, Copy, Debug)]
enum Value {
    Bound(Purpose),
    Random,
    Given(Digest),
}

impl FromStr for Value {
    type Err = Error;

    fn from_str(text: &str) -> Result<Value> {
        match text {
            "a" => Ok(Value::Bound(Purpose::A)),
            "b" => Ok(Value::Bound(Purpose::B)),
            "random" => Ok(Value::Random),
            _ => text
                .parse()
                .map(Value::Given)
                .map_err(|_| Error::usage("expected `a`, `b`, `random` or 64 lowercase hex digits")),
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = Target::new(args.output.as_deref(), false);
    if let Value::Bound(purpose) = args.value {
        return bound::run(&args.bound, purpose, &target, ui);
    }
    let up_to_date = || -> Result<()> {
        ui.say(format!("{}: up to date", target.name()));
        Ok(())
    };
    if let Some(path) = target.kept().filter(|path| path.is_file()) {
        return agrees(path, args.value).and_then(|()| up_to_date());
    }
    target.make_folder()?;
    let value = match args.value {
        Value::Given(value) => value,
        Value::Random | Value::Bound(_) => Digest(fsio::random()?),
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
