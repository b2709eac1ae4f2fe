//! What GitHub Actions reads: `::error` lines in the log, and a summary in the file that it names.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;

use super::check::{Checks, Outcome};
use crate::error::{IoContext, Result};
use crate::ui::{Ui, escape};

/// Says which checks did not pass, and adds a table of all to the job's summary.
pub fn tell(checks: &Checks, ui: &Ui) -> Result<()> {
    if env::var_os("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
        return Ok(());
    }
    for check in &checks.checks {
        if let Some(why) = check.outcome.why() {
            let title = property(&format!("l402 {} {}: {}", checks.verb, checks.of, check.name));
            ui.command(&format!("::error title={title}::{}", data(why)));
        }
    }
    let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return Ok(()) };
    let path = std::path::PathBuf::from(path);
    let mut file = OpenOptions::new().create(true).append(true).open(&path).path(&path)?;
    file.write_all(summary(checks).as_bytes()).path(&path)
}

/// A value after the command, and one of its properties, as the runner undoes them.
fn data(text: &str) -> String {
    escape::line(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A table in Markdown.
fn summary(checks: &Checks) -> String {
    let mut text =
        format!("### l402 {} {}\n\n| check | result | seconds |\n|---|---|---:|\n", checks.verb, cell(&checks.of));
    for check in &checks.checks {
        let result = match &check.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(why) => format!("**failed**: {}", cell(why)),
            Outcome::Broken(why) => format!("**broken**: {}", cell(why)),
            Outcome::Skipped(why) => format!("not there: {}", cell(why)),
        };
        text += &format!("| {} | {result} | {:.1} |\n", cell(&check.name), check.time.as_secs_f64());
    }
    text + "\n"
}

/// Text in a table's cell: nothing in it is Markdown or HTML.
fn cell(text: &str) -> String {
    let mut escaped = String::new();
    for c in escape::line(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '#' | '~' | '@' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_wrote_is_a_command_or_markdown() {
        assert_eq!(data("50% ::error::x\n::set-output"), "50%25 ::error::x\\n::set-output");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        let mut checks = Checks::begin("replay", "round 3");
        checks.add("a|b", Outcome::Failed("<img src=x> [x](y) `z`".into()));
        let table = summary(&checks);
        assert!(table.contains("| a\\|b | **failed**: &lt;img src=x&gt; \\[x\\](y) \\`z\\` |"), "{table}");
        assert_eq!(table.lines().count(), 6, "{table}");
    }
}
