//! `l402 completions`: completions for a shell, from the same tree as the help.

use clap_complete::Shell;

use crate::error::{Error, Result};
use crate::fsio::Target;

/// Print completions for a shell.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the verb on the whole tree.
pub fn run(args: &Args, mut tree: clap::Command) -> Result<()> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut tree, "l402", &mut bytes);
    let text = String::from_utf8(bytes).map_err(|_| Error::bug("the completions are not UTF-8"))?;
    Target::stdout().write_text(&text)?;
    Ok(())
}
