//! `l402 man`: man pages, from the same tree as the help, and from the repository's own documents.

mod markdown;
mod roff;

use std::path::PathBuf;

use self::markdown::{body, quoted, sections};
use self::roff::{inline, line, plain};
use crate::command::{pages, verbs};
use crate::error::{Error, IoContext, Result};
use crate::fsio::Target;

/// Write the man pages, one a verb and one a verb of those that have some, with l402-files(5) and l402-round(7), into a folder.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder, made if need be; other files in it stay
    #[arg(value_name = "DIR", required_unless_present = "output")]
    folder: Option<PathBuf>,
    /// The same as DIR
    #[arg(short, long, value_name = "DIR", conflicts_with = "folder", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Replace pages that exist and differ
    #[arg(long, help_heading = "Output")]
    force: bool,
}

/// Runs the verb on the whole tree.
pub fn run(args: &Args, tree: &clap::Command) -> Result<()> {
    let folder = args.folder.as_ref().or(args.output.as_ref());
    let folder = folder.ok_or_else(|| Error::bug("the command line lacks what it requires"))?;
    std::fs::create_dir_all(folder).path(folder)?;
    for (name, page) in pages(tree)? {
        Target::new(Some(&folder.join(&name)), args.force).write_text(&page)?;
    }
    Ok(())
}

/// Name and text of every page: of a command line, and of what all of it is about.
pub fn pages(tree: &clap::Command) -> Result<Vec<(String, String)>> {
    let mut tree = tree.clone().disable_help_subcommand(true);
    tree.build();
    let mut all = Vec::new();
    descend(&tree, &mut all);
    let exit_status = tree.get_after_help().map(ToString::to_string).unwrap_or_default();
    let pages = all.iter().map(|command| page(command, &exit_status)).collect::<Result<Vec<_>>>()?;
    Ok(pages.into_iter().chain(documents()).collect())
}

/// A command and all below it, but for those that nobody is to call.
fn descend(command: &clap::Command, all: &mut Vec<clap::Command>) {
    all.push(command.clone());
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
    verbs.for_each(|verb| descend(verb, all));
}

/// The environment that every verb reads.
const ENVIRONMENT: &str = "\
- `L402_RUN`: the run folder, where `-C` does not name one; without either it is the nearest folder upwards with a run.toml.
";

/// What every page says last.
const SEE_ALSO: &str = "l402(1), l402-round(7), l402-files(5)";

fn page(command: &clap::Command, exit_status: &str) -> Result<(String, String)> {
    let name = command.get_display_name().unwrap_or(command.get_name()).replace(' ', "-");
    let verb = name.strip_prefix("l402-").unwrap_or(&name);
    let texts = sections(pages::of(verb).unwrap_or_default());
    let text = |title: &str| texts.iter().find(|(found, _)| *found == title).map_or("", |(_, text)| text);
    // The date stays out: the page changes when the command line does, and not otherwise.
    let man = clap_mangen::Man::new(command.clone()).title(&name).date("").source("l402").manual("l402");
    let mut page = title(&name, "1");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page += &section("NAME", &line(&format!("{} \\- {}", plain(&name), plain(&about))));
    page += &section("SYNOPSIS", &synopsis(command));
    let long = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    page += &section("DESCRIPTION", &body(&long));
    let mut options = Vec::new();
    man.render_options_section(&mut options).map_err(|e| Error::bug(format!("man page {name}: {e}")))?;
    page += &String::from_utf8(options).map_err(|_| Error::bug(format!("man page {name} is not UTF-8")))?;
    if command.has_subcommands() {
        page += &section("VERBS", &verbs_of(command));
    }
    page += &section("EXAMPLES", &body(text("Examples")));
    page += &section("EXIT STATUS", &exit(exit_status));
    page += &section("ENVIRONMENT", &body(&(ENVIRONMENT.to_owned() + text("Environment"))));
    page += &section("FILES", &body(text("Files")));
    let also = text("See also").trim();
    let more = SEE_ALSO.split(", ").filter(|name| !also.contains(name) && *name != format!("{}(1)", name_of(command)));
    let also = also.split(", ").filter(|name| !name.is_empty()).chain(more).collect::<Vec<_>>().join(", ");
    page += &section("SEE ALSO", &line(&inline(&also)));
    Ok((format!("{name}.1"), page))
}

fn name_of(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).replace(' ', "-")
}

fn title(name: &str, section: &str) -> String {
    // Tables are for tbl.
    format!("'\\\" t\n.ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH {} {section} \"\" l402 l402\n", quoted(&plain(name)))
}

/// A section, where there is something in it.
fn section(title: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(".SH {}\n{text}", quoted(title)) }
}

fn synopsis(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let forms = usage.lines().map(str::trim).filter(|form| !form.is_empty()).map(|form| {
        let bin = command.get_bin_name().unwrap_or(command.get_name());
        match form.strip_prefix(bin) {
            Some(rest) => line(&format!("\\fB{}\\fR{}", plain(bin), plain(rest))),
            None => line(&plain(form)),
        }
    });
    forms.collect::<Vec<_>>().join(".br\n")
}

/// What is below a command: the program's verbs under their headings.
fn verbs_of(command: &clap::Command) -> String {
    let entry = |verb: &clap::Command| {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        format!(".TP\n{}{}", line(&format!("\\fB{}\\fR(1)", plain(&name_of(verb)))), line(&inline(&about)))
    };
    if command.get_name() != "l402" {
        let below = command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
        return below.map(entry).collect();
    }
    let group = |(heading, names): &(&str, &[&str])| {
        let verbs: String = verbs::under(command, names).into_iter().map(entry).collect();
        format!(".SS {}\n{verbs}", quoted(&plain(heading)))
    };
    verbs::HEADINGS.iter().map(group).collect()
}

/// The list of exit codes, of the one line that the help has of them.
fn exit(line_of_help: &str) -> String {
    let codes = line_of_help.trim_start_matches("Exit status:").trim().trim_end_matches('.');
    let code = |entry: &str| {
        let words = entry.find(|c: char| c.is_alphabetic()).unwrap_or(entry.len());
        format!(".TP\n\\fB{}\\fR\n{}", plain(entry[..words].trim()), line(&plain(&entry[words..])))
    };
    codes.split("; ").map(code).collect()
}

/// The pages that are about no verb alone.
fn documents() -> Vec<(String, String)> {
    let before = |text: &'static str, title: &str| text.split(&format!("\n## {title}")).next().unwrap_or(text);
    let whole = |name: &str, section_of: &str, about: &str, parts: &[&str]| {
        let name_line = line(&format!("{} \\- {}", plain(name), plain(about)));
        let text: String = parts.iter().map(|part| body(part)).collect();
        let also = section("SEE ALSO", &line(&plain("l402(1), l402-round(7), l402-files(5), l402-audit(1)")));
        (format!("{name}.{section_of}"), title(name, section_of) + &section("NAME", &name_line) + &text + &also)
    };
    let run = before(include_str!("../../../docs/run.md"), "What an audit checks");
    vec![
        whole(
            "l402-files",
            "5",
            "the files of a run: folders, records, tensors, updates",
            &[
                run,
                include_str!("../../../docs/records.md"),
                include_str!("../../../docs/metadata.md"),
                include_str!("../../../docs/escrow.md"),
                include_str!("../../../docs/format.md"),
                include_str!("../../../docs/recipe.md"),
            ],
        ),
        whole(
            "l402-round",
            "7",
            "a round, from the roster to the next model, and the words for it",
            &[include_str!("../../../docs/round.md"), include_str!("../../../docs/glossary.md")],
        ),
    ]
}
