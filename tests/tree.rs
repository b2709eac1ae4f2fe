//! The command line as a whole: every flag has one spelling and one meaning, every verb its place, every example parses.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, ArgAction, Command};
use common::shell::{blocks, commands};
use l402::cli;
use l402::command::verbs::{GLOBAL, HEADINGS};
use l402::command::{man, pages, place};

/// Every verb, those below verbs too, by its whole name; no hidden ones.
fn verbs() -> Vec<(String, Command)> {
    fn below(prefix: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
            let name = format!("{prefix}{}", verb.get_name());
            found.push((name.clone(), verb.clone()));
            below(&format!("{name}-"), verb, found);
        }
    }
    let mut tree = cli::tree();
    tree.build();
    let mut found = Vec::new();
    below("", &tree, &mut found);
    found
}

fn is_global(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(GLOBAL)
}

fn name(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => arg.get_id().to_string(),
    }
}

fn value(arg: &Arg) -> String {
    match arg.get_action().takes_values() {
        true => {
            arg.get_value_names().unwrap_or_default().iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ")
        }
        false => "none".into(),
    }
}

#[test]
fn every_argument_has_help_in_the_house_s_form() {
    for (verb, command) in verbs() {
        assert!(command.get_about().is_some(), "{verb} says nothing of itself");
        for arg in command.get_arguments() {
            let help = arg.get_help().unwrap_or_else(|| panic!("{verb} {} has no help", name(arg))).to_string();
            assert!(
                !help.ends_with('.') || help.ends_with("..."),
                "{verb} {}: {help:?} ends in a full stop",
                name(arg)
            );
            assert!(help.starts_with(|c: char| !c.is_lowercase()), "{verb} {}: {help:?}", name(arg));
            assert!(arg.get_long().is_some() || arg.is_positional(), "{verb}: -{:?} has no long form", arg.get_short());
        }
    }
}

/// Flags that take different values in different verbs, and why they have one name all the same.
const EXCEPTIONS: &[(&str, &[&str], &str)] = &[
    ("--output", &["DIR", "FILE"], "the place of what the verb makes, a file or a folder"),
    (
        "--workers",
        &["LIST", "LIST|FILE", "FILE"],
        "who works; of pay, pinned keys in a file alone; of a new run, no file yet",
    ),
    ("--previous", &["SCORES", "UPDATE"], "what the round before left of the same kind as is made here"),
    ("--held", &["FILE|DIR"], "one list, or a folder of lists"),
    ("--commitments", &["FILE|DIR"], "one list, or a folder of lists"),
    ("--coordinator", &["KEY", "KEY|FILE"], "a key; a new run takes the file that its party has sent"),
    ("--report", &["FILE"], "a report's place"),
    ("--openings", &["DIR"], "a folder"),
    (
        "--reveal",
        &["DIR", "none"],
        "the worker shows what opens its commitment, the judge what opens payments (fixed forms)",
    ),
    ("--shards", &["DIR", "N"], "how many there are to be, and then the folder that holds them (fixed forms)"),
    ("--worker", &["ID", "ID=NODE"], "which worker; of pay, with the node that is pinned for it (fixed forms)"),
    (
        "--chat",
        &["FILE", "none"],
        "conversations: a file of one where the verb answers, and what a corpus is where it is cut",
    ),
];

#[test]
fn every_flag_takes_the_same_everywhere() {
    let mut values: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (verb, command) in verbs() {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            values.entry(name(arg)).or_default().entry(value(arg)).or_default().push(verb.clone());
        }
    }
    let mut wrong = Vec::new();
    for (flag, values) in &values {
        let excepted = EXCEPTIONS.iter().find(|(name, ..)| name == flag).map_or(&[][..], |(_, values, _)| values);
        let odd = values.keys().filter(|value| !excepted.contains(&value.as_str())).count();
        if odd > 1 || odd == 1 && values.len() > 1 {
            wrong.push(format!("{flag}: {values:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // The exceptions are some.
    for (flag, listed, _) in EXCEPTIONS {
        let found = values.get(*flag).unwrap_or_else(|| panic!("{flag} is an exception and not there"));
        assert!(found.keys().all(|value| listed.contains(&value.as_str())), "{flag}: {found:?}");
    }
}

#[test]
fn every_flag_is_under_the_same_heading_everywhere() {
    // A run that begins has headings of its own; what is said of conversations is about a corpus here and about a prompt there.
    let apart = ["--chat", "--chat-template", "--date", "--model"];
    let mut headings: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (verb, command) in verbs().into_iter().filter(|(verb, _)| verb != "new") {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional() && !apart.contains(&name(arg).as_str())) {
            let heading = arg.get_help_heading().unwrap_or("Options").to_owned();
            headings.entry(name(arg)).or_default().entry(heading).or_default().push(verb.clone());
        }
    }
    let several: Vec<_> = headings.iter().filter(|(_, headings)| headings.len() > 1).collect();
    assert!(several.is_empty(), "{several:#?}");
}

#[test]
fn every_letter_is_one_flag() {
    let mut letters: BTreeMap<char, BTreeSet<String>> = BTreeMap::new();
    for (_, command) in verbs() {
        for arg in command.get_arguments() {
            letters.entry(arg.get_short().unwrap_or(' ')).or_default().insert(name(arg));
        }
    }
    letters.remove(&' ');
    assert!(letters.values().all(|flags| flags.len() == 1), "{letters:?}");
}

#[test]
fn every_verb_is_under_one_heading_and_in_the_help() {
    let tree = cli::tree();
    let names: Vec<&str> = tree.get_subcommands().map(Command::get_name).collect();
    for name in &names {
        let headings = HEADINGS.iter().filter(|(_, verbs)| verbs.contains(name)).count();
        assert_eq!(headings, 1, "{name} is under {headings} headings of command/verbs.rs");
    }
    let help = tree.clone().render_long_help().to_string();
    let mut at = 0;
    for (heading, verbs) in HEADINGS {
        at += help[at..]
            .find(&format!("{heading}:\n"))
            .unwrap_or_else(|| panic!("{heading} is not where it should be\n{help}"));
        for verb in verbs.iter().filter(|verb| names.contains(verb)) {
            at += help[at..].find(&format!("\n  {verb} ")).unwrap_or_else(|| panic!("{verb} is not in order\n{help}"));
        }
    }
    assert!(help[at..].contains(&format!("{GLOBAL}:\n")), "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 130), "{help}");
}

#[test]
fn global_flags_stand_apart_in_every_help() {
    for (verb, command) in verbs() {
        let global: Vec<&Arg> = command.get_arguments().filter(|arg| is_global(arg)).collect();
        for flag in ["--threads", "--quiet", "--verbose", "--help"] {
            assert!(global.iter().any(|arg| name(arg) == flag), "{verb}: {flag} is not under {GLOBAL}");
        }
        let help = command.clone().render_long_help().to_string();
        let (own, apart) = help.split_once(&format!("{GLOBAL}:\n")).unwrap_or_else(|| panic!("{verb}\n{help}"));
        assert!(apart.contains("--threads") && !own.contains("--threads"), "{verb}\n{help}");
    }
}

#[test]
fn every_page_has_its_sections_and_every_flag_under_its_heading() {
    let made: BTreeMap<String, String> = man::pages(&cli::tree()).unwrap().into_iter().collect();
    for (verb, command) in verbs() {
        let page = &made[&format!("l402-{verb}.1")];
        let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"]
        {
            assert!(sections.contains(&format!("\"{section}\"").as_str()), "{verb} has no {section}: {sections:?}");
        }
        let under = |heading: &str| {
            let begin = page.find(&format!(".SH {heading}\n")).or_else(|| page.find(&format!(".SH \"{heading}\"\n")));
            let rest = &page[begin.unwrap_or_else(|| panic!("{verb} has no {heading}: {sections:?}")) + 4..];
            rest.split("\n.SH ").next().unwrap().to_owned()
        };
        for arg in command.get_arguments().filter(|arg| arg.get_long().is_some() && !arg.is_hide_set()) {
            let heading = arg.get_help_heading().unwrap_or("OPTIONS").to_uppercase();
            let flag = format!("\\-\\-{}\\fR", arg.get_long().unwrap().replace('-', "\\-"));
            assert!(under(&heading).contains(&flag), "{verb}: {} is not under {heading}", name(arg));
        }
        assert_eq!(
            made["l402.1"].matches(&format!("\\fBl402\\-{}\\fR(1)", verb.replace('-', "\\-"))).count(),
            usize::from(!verb.contains('-')),
            "{verb}"
        );
    }
    // What they point to is there.
    for (file, page) in &made {
        for word in page.split(|c: char| c.is_whitespace() || c == ',') {
            let word = word.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
            if let Some((page, section)) = word.split_once('(').filter(|(page, _)| page.starts_with("l402")) {
                let named = format!("{page}.{}", section.chars().next().unwrap_or(' '));
                assert!(made.contains_key(&named), "{file} points to {word}");
            }
        }
    }
}

/// The words of `l402` in a block of shell; what a shell would put in is something of that kind.
fn typed(block: &str) -> Vec<Vec<String>> {
    let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let put_in = |word: String| match word.as_str() {
        "$C" | "$J" | "$P" => key.to_owned(),
        word if word.starts_with("$(") => {
            assert!(word.contains("beacon") || word.contains("getblockhash"), "{word}: what does this substitute?");
            "0".repeat(64)
        }
        _ => word,
    };
    let own = commands(block).into_iter().filter(|words| words[0] == "l402");
    own.map(|words| words.into_iter().map(put_in).collect()).collect()
}

#[test]
fn every_example_parses_and_is_of_its_verb() {
    let mut built = cli::tree();
    built.build();
    for (verb, _) in verbs().into_iter().chain([("l402".into(), cli::tree())]) {
        let text = pages::of(&verb).unwrap_or_else(|| panic!("{verb} has no page in src/command/pages"));
        let mut own = 0;
        for block in blocks(text) {
            for words in typed(&block) {
                let shown = words.join(" ");
                // A short form stands for another line, which only a run folder knows: its flags are known at least.
                if words.iter().any(|word| word.parse::<u64>().is_ok()) && place::is_short(&words, &built) {
                    own += 1;
                    continue;
                }
                cli::tree().try_get_matches_from(&words).unwrap_or_else(|e| panic!("{verb}: {shown}\n{e}"));
                own += usize::from(verb == "l402" || shown[5..].replace(' ', "-").starts_with(&verb));
            }
        }
        assert!(own > 0, "{verb} has no example of its own");
    }
}

#[test]
fn the_examples_are_read_as_a_shell_reads_them() {
    let found = commands("zcat a.gz | l402 shard - --x 'a b' > out && l402 key \"$C\" # l402 no");
    assert_eq!(found[0], ["zcat", "a.gz"]);
    assert_eq!(found[1], ["l402", "shard", "-", "--x", "a b"]);
    assert_eq!(found[2], ["l402", "key", "$C"]);
    assert_eq!(found.len(), 3);
    let found = commands("for x in a b; do A=1 l402 log \"$(l402 key $(cat k))\" \\\n --y; done");
    assert!(found.contains(&vec!["l402".into(), "key".into(), "$(cat k)".into()]), "{found:?}");
    assert!(
        found.contains(&vec!["l402".into(), "log".into(), "$(l402 key $(cat k))".into(), "--y".into()]),
        "{found:?}"
    );
    assert_eq!(typed("l402 beacon \"$(cat beacon-a)\"")[0][2].len(), 64);
    assert!(cli::tree().try_get_matches_from(["l402", "train", "--no-such-flag"]).is_err());
}

#[test]
fn a_flag_that_every_verb_takes_is_of_no_verb_alone() {
    for (verb, command) in verbs() {
        let global: BTreeSet<String> = command.get_arguments().filter(|arg| is_global(arg)).map(name).collect();
        let own = command.get_arguments().filter(|arg| !is_global(arg)).map(name);
        own.for_each(|flag| assert!(!global.contains(&flag), "{verb}: {flag} is there twice"));
        let counts = command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::Count)).count();
        assert_eq!(counts, 1, "{verb}: -v alone counts");
    }
}
