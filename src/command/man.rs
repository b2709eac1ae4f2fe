//! `l402 man`: man pages, from the same tree as the help.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::fsio::{OutDir, Target};

/// Write the man pages, one a verb and one a verb of those that have some, into a folder.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder, built beside and renamed
    #[arg(value_name = "DIR", required_unless_present = "output")]
    folder: Option<PathBuf>,
    /// The same as DIR
    #[arg(short, long, value_name = "DIR", conflicts_with = "folder")]
    output: Option<PathBuf>,
    /// Replace a folder that exists and differs
    #[arg(long)]
    force: bool,
}

/// Runs the verb on the whole tree.
pub fn run(args: &Args, tree: &clap::Command) -> Result<()> {
    let folder = args.folder.as_ref().or(args.output.as_ref());
    let folder = folder.ok_or_else(|| Error::bug("the command line lacks what it requires"))?;
    let folder = OutDir::create(folder, args.force)?;
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
    let mut all = Vec::new();
    descend(&tree, &mut all);
    all.into_iter().map(|command| page(command.after_help(exit_status.clone()))).collect()
}

/// A command and all below it, but for those that nobody is to call.
fn descend(command: &clap::Command, all: &mut Vec<clap::Command>) {
    all.push(command.clone());
    command.get_subcommands().filter(|verb| !verb.is_hide_set()).for_each(|verb| descend(verb, all));
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
