//! A command line taken apart by the tree of verbs, without what the tree requires of it, and put together again.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgMatches, Command, value_parser};

/// What is no flag's value.
const REST: &str = "rest";

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The program's name.
    program: OsString,
    /// The verb, and its step where it has some: `["invoice", "lock"]`.
    pub verb: Vec<String>,
    flags: Vec<Flag>,
    /// What is no flag's value: a round, a worker, files.
    pub rest: Vec<OsString>,
}

/// What there is to say of a line that cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistyped {
    /// In several lines.
    pub said: String,
    /// Whether something is wrong: who asks for help has made no mistake.
    pub wrong: bool,
}

/// A flag as often as it is given, with the values of each time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    name: String,
    values: Vec<Vec<OsString>>,
}

impl Given {
    /// Takes a command line apart, or says what is wrong with it: a verb or a flag that is none, a value that is missing.
    pub fn take(words: &[OsString], tree: &Command) -> Result<Given, Mistyped> {
        let parsed = loose(tree).try_get_matches_from(words);
        let matches =
            parsed.map_err(|wrong| Mistyped { said: wrong.render().to_string(), wrong: wrong.use_stderr() })?;
        let (mut verb, mut flags, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let (mut level, mut of) = (&matches, tree);
        loop {
            flags.extend(of.get_arguments().filter_map(|arg| Flag::taken(arg, level)));
            match level.subcommand() {
                Some((name, below)) => {
                    verb.push(name.to_owned());
                    (level, of) = (below, of.find_subcommand(name).expect("the loose tree has the verbs of the other"));
                }
                None => break,
            }
        }
        if !of.has_subcommands() {
            rest.extend(level.get_many::<OsString>(REST).into_iter().flatten().cloned());
        }
        let program = words.first().cloned().unwrap_or_default();
        Ok(Given { program, verb, flags, rest })
    }

    /// Whether a flag is given.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|found| found.name == flag)
    }

    /// How often a flag is given.
    pub fn times(&self, flag: &str) -> u8 {
        let times: usize = self.flags.iter().filter(|found| found.name == flag).map(|found| found.values.len()).sum();
        u8::try_from(times).unwrap_or(u8::MAX)
    }

    /// All values of a flag.
    pub fn values(&self, flag: &str) -> Vec<&OsStr> {
        let found = self.flags.iter().filter(|found| found.name == flag);
        found.flat_map(|found| found.values.iter().flatten()).map(OsString::as_os_str).collect()
    }

    /// The first value of a flag.
    pub fn value(&self, flag: &str) -> Option<&OsStr> {
        self.values(flag).first().copied()
    }

    /// Gives a flag once more.
    pub fn add(&mut self, flag: &str, value: impl Into<OsString>) {
        self.flags.push(Flag { name: flag.to_owned(), values: vec![vec![value.into()]] });
    }

    /// Gives a flag that takes no value.
    pub fn turn_on(&mut self, flag: &str) {
        if !self.has(flag) {
            self.flags.push(Flag { name: flag.to_owned(), values: vec![Vec::new()] });
        }
    }

    /// Gives a flag unless it is given.
    pub fn fill(&mut self, flag: &str, value: impl Into<OsString>) {
        if !self.has(flag) {
            self.add(flag, value);
        }
    }

    /// Takes a flag away, with its values.
    pub fn remove(&mut self, flag: &str) -> Vec<OsString> {
        let (taken, kept) = std::mem::take(&mut self.flags).into_iter().partition(|found: &Flag| found.name == flag);
        self.flags = kept;
        let taken: Vec<Flag> = taken;
        taken.into_iter().flat_map(|flag| flag.values).flatten().collect()
    }

    /// The command line.
    pub fn words(self) -> Vec<OsString> {
        let mut words = vec![self.program];
        words.extend(self.verb.iter().map(OsString::from));
        words.extend(self.flags.iter().flat_map(Flag::words));
        if !self.rest.is_empty() {
            words.push("--".into());
            words.extend(self.rest);
        }
        words
    }
}

impl Flag {
    fn taken(arg: &Arg, level: &ArgMatches) -> Option<Flag> {
        let (id, name) = (arg.get_id().as_str(), arg.get_long()?);
        if arg.is_positional() || !level.try_contains_id(id).ok()? {
            return None;
        }
        let values = if arg.get_action().takes_values() {
            level.get_occurrences::<OsString>(id)?.map(|values| values.cloned().collect()).collect()
        } else {
            vec![Vec::new(); usize::from(level.get_count(id))]
        };
        (!values.is_empty()).then(|| Flag { name: name.to_owned(), values })
    }

    fn words(&self) -> Vec<OsString> {
        let flag = OsString::from(format!("--{}", self.name));
        let mut words = Vec::new();
        for values in &self.values {
            match &values[..] {
                [one] => words.push([flag.as_os_str(), OsStr::new("="), one].into_iter().collect()),
                _ => words.extend([flag.clone()].into_iter().chain(values.iter().cloned())),
            }
        }
        words
    }
}

/// The same flags, none of them required or at odds with another, their values as they are.
fn loose(command: &Command) -> Command {
    let mut made = Command::new(command.get_name().to_owned()).disable_help_subcommand(true);
    let flags = command.get_arguments().filter(|arg| !arg.is_positional());
    for arg in flags.filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
        made = made.arg(loose_flag(arg));
    }
    if !command.has_subcommands() {
        return made.arg(Arg::new(REST).num_args(0..).value_parser(value_parser!(OsString)));
    }
    command.get_subcommands().fold(made, |made, below| made.subcommand(loose(below)))
}

fn loose_flag(arg: &Arg) -> Arg {
    let mut made = Arg::new(arg.get_id().clone());
    if let Some(long) = arg.get_long() {
        made = made.long(long.to_owned());
    }
    if let Some(short) = arg.get_short() {
        made = made.short(short);
    }
    if !arg.get_action().takes_values() {
        return made.action(clap::ArgAction::Count);
    }
    if let Some(names) = arg.get_value_names() {
        made = made.value_names(names.to_vec());
    }
    made = made.action(clap::ArgAction::Append).value_parser(value_parser!(OsString)).allow_negative_numbers(true);
    if let Some(range) = arg.get_num_args() {
        // Of a list of files the run folder may know all.
        let least = if range.max_values() > 1 { 0 } else { range.min_values() };
        made = made.num_args(least..=range.max_values());
    }
    made.require_equals(arg.is_require_equals_set())
}
