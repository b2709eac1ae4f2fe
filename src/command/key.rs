//! `l402 key`: a signing key in a file.

use std::path::PathBuf;

use crate::artifact::key::SigningKey;
use crate::error::{Error, Result};
use crate::ui::{self, Ui};

/// Make a signing key in FILE (mode 0600), or read the one that is there, and print its public key.
///
/// `assign` and `commit` sign with it; a roster pins the public keys.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The key file
    #[arg(value_name = "FILE", required_unless_present = "output")]
    file: Option<PathBuf>,
    /// The same as FILE
    #[arg(short, long, value_name = "FILE", conflicts_with = "file", help_heading = "Output")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    let file = args.file.as_ref().or(args.output.as_ref());
    let file = file.ok_or_else(|| Error::bug("the command line lacks what it requires"))?;
    let key = if file.exists() {
        SigningKey::load(file)?
    } else {
        let key = SigningKey::generate(file)?;
        ui.detail(format!("made {}", file.display()));
        key
    };
    ui::print(key.public())
}
