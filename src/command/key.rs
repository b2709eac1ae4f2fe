//! `l402 key`: a signing key in a file.

use std::path::PathBuf;

use crate::artifact::key::SigningKey;
use crate::error::Result;
use crate::fsio::Target;
use crate::ui::Ui;

/// Make a signing key in FILE (mode 0600), or read the one that is there, and print its public key.
///
/// `assign` and `commit` sign with it; a roster pins the public keys.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The key file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let key = if args.file.exists() {
        SigningKey::load(&args.file)?
    } else {
        let key = SigningKey::generate(&args.file)?;
        ui.detail(format!("made {}", args.file.display()));
        key
    };
    Target::new(None, false).write_text(&format!("{}\n", key.public()))?;
    Ok(())
}
