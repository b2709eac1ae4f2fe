//! The verbs under headings, in the order of a round: how help, manual and completions list them.

use clap::Command;

/// Headings, and what is under them. A verb that the tree has not is passed over.
pub const HEADINGS: [(&str, &[&str]); 6] = [
    ("Begin", &["new", "pull", "shard", "init", "recipe", "roster", "key"]),
    ("A round", &["beacon", "assign", "train", "compress", "commit", "open", "replay", "attest", "score", "aggregate"]),
    ("Pay", &["invoice", "settle"]),
    ("Look", &["status", "explain", "report", "audit", "inspect", "sample"]),
    ("Out", &["export", "merge", "serve", "get"]),
    ("Tools", &["log", "devnet", "selftest", "completions", "man"]),
];

/// The heading of the flags that every verb takes.
pub const GLOBAL: &str = "Global options";

/// Columns of the list.
const WIDTH: usize = 100;

/// The tree with its verbs in order, and a help that lists them under their headings.
pub fn arranged(mut tree: Command) -> Command {
    let order: Vec<&str> = HEADINGS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
    let names: Vec<String> = tree.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for name in &names {
        let place = order.iter().position(|verb| verb == name).unwrap_or(order.len());
        tree = tree.mut_subcommand(name, |verb| verb.display_order(place));
    }
    let list = list(&tree);
    tree.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{GLOBAL}:\n{{options}}\n\n\
         `l402 help VERB` says what a verb does, `man l402-round` how a round goes.\n{{after-help}}"
    ))
}

/// The verbs of a heading that a tree has, in order.
pub fn under<'t>(tree: &'t Command, verbs: &[&str]) -> Vec<&'t Command> {
    verbs.iter().filter_map(|name| tree.get_subcommands().find(|verb| verb.get_name() == *name)).collect()
}

fn list(tree: &Command) -> String {
    let width = tree.get_subcommands().map(|verb| verb.get_name().len()).max().unwrap_or(0);
    let mut shown = String::new();
    for (heading, verbs) in HEADINGS {
        shown += &format!("{heading}:\n");
        for verb in under(tree, verbs) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let lines = wrapped(&about, WIDTH - width - 4);
            for (i, line) in lines.iter().enumerate() {
                let name = if i == 0 { verb.get_name() } else { "" };
                shown += &format!("  {name:width$}  {line}\n");
            }
        }
        shown.push('\n');
    }
    // What stands in braces is the template's.
    shown.replace('{', "(").replace('}', ")")
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            *line = word.to_owned();
        } else if line.len() + 1 + word.len() <= width {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
