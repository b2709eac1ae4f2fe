//! `l402 man`: man pages, from the same tree as the help.

use crate::command::args::OutputDirArgs;
use crate::error::{Error, Result};
use crate::fsio::{OutDir, Target};

/// Write the man pages, one a verb, into a folder.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    output: OutputDirArgs,
}

/// Runs the verb on the whole tree.
pub fn run(args: &Args, tree: &clap::Command) -> Result<()> {
    let folder = OutDir::create(&args.output.output, args.output.force)?;
    for (name, page) in pages(tree)? {
        Target::new(Some(&folder.path(&name)), false).write_text(&page)?;
    }
    folder.finish()?;
    Ok(())
}

/// Name and text of every page of a command line.
pub fn pages(tree: &clap::Command) -> Result<Vec<(String, String)>> {
    let mut tree = tree.clone().disable_help_subcommand(true);
    tree.build();
    let exit_status = tree.get_after_help().cloned().unwrap_or_default();
    let verbs = tree.get_subcommands().cloned();
    std::iter::once(tree.clone()).chain(verbs).map(|command| page(command.after_help(exit_status.clone()))).collect()
}

fn page(command: clap::Command) -> Result<(String, String)> {
    let name = command.get_display_name().unwrap_or(command.get_name()).replace(' ', "-");
    // The date stays out: the page changes when the command line does, and not otherwise.
    let man = clap_mangen::Man::new(command).title(&name).date("").manual("l402");
    let mut bytes = Vec::new();
    man.render(&mut bytes).map_err(|e| Error::bug(format!("man page {name}: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::bug(format!("man page {name} is not UTF-8")))?;
    Ok((format!("{name}.1"), text))
}
