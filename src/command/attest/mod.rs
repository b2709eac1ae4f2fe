//! `l402 attest`: what was verified, as an in-toto Statement for others to sign.

mod claims;
mod digests;
mod statement;
mod time;

use std::path::PathBuf;

use self::claims::Claims;
use self::digests::Content;
use self::statement::{Predicate, statement};
use self::time::Time;
use crate::artifact::{Room, canonical, record};
use crate::command::args::OutputArgs;
use crate::error::Result;
use crate::ui::Ui;

/// Say what was verified, as an in-toto Statement with a Simple Verification Result, for cosign or a CI to sign.
///
/// Reads findings of `replay`, or the record of an `audit`, and prints one statement, not signed: its subjects are the updates, or
/// the model that the audit ends with, and its properties what was verified of all of them. What is no equality becomes no
/// statement: a mismatch, a difference, or a finding that rests on an assumption is refused (1).
///
/// Findings and audits are believed: attest your own, or those whose signature you have checked. docs/attest.md has the properties,
/// and how to sign.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Findings, or one audit's record
    #[arg(value_name = "FINDING", required = true)]
    findings: Vec<PathBuf>,
    /// Who verified: a URI that those who read the statement know
    #[arg(long, value_name = "URI", value_parser = uri)]
    verifier: String,
    /// When it was verified: `now`, or as 2026-11-29T10:00:00Z [default: $SOURCE_DATE_EPOCH]
    #[arg(long, value_name = "TIME")]
    time: Option<Time>,
    /// An update that a finding is on, or the weights that an audit ends with: their SHA-256, by which cosign and GitHub know them,
    /// stands beside ours; as often as there are files
    #[arg(long, value_name = "FILE")]
    subject: Vec<PathBuf>,
    /// Print the predicate alone, for tools that make the statement of it and a file themselves, as GitHub's actions/attest
    #[arg(long)]
    predicate: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let time = Time::of(args.time.as_ref())?;
    let mut lines = Vec::new();
    for path in &args.findings {
        lines.append(&mut record::read_lines_within(path, Room::any())?);
    }
    let mut claims = Claims::of(&lines)?;
    for path in &args.subject {
        claims.name(path, &Content::read(path)?)?;
    }
    let unnamed = claims.subjects.iter().filter(|subject| subject.sha256.is_none()).count();
    if unnamed > 0 && !args.predicate {
        ui.say(format!(
            "{unnamed} of {} subjects have no SHA-256, by which cosign and GitHub know files: --subject FILE",
            claims.subjects.len()
        ));
    }
    let predicate = Predicate { verifier: &args.verifier, time: &time, properties: &claims.properties };
    let value = if args.predicate { predicate.value() } else { statement(&claims.subjects, &predicate) };
    target.write_text(&(canonical::json(&value) + "\n"))?;
    Ok(())
}

/// A URI of RFC 3986 as in-toto wants them: absolute, scheme and authority in lower case.
fn uri(text: &str) -> std::result::Result<String, String> {
    let expected =
        || Err("expected a URI, as https://example.org/verifier/v1, its scheme and authority in lower case".into());
    let Some((scheme, rest)) = text.split_once(':') else { return expected() };
    let begins = scheme.starts_with(|c: char| c.is_ascii_lowercase());
    let of_scheme = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    let of_rest = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let lower = !authority.bytes().any(|b| b.is_ascii_uppercase());
    if begins && scheme.bytes().all(of_scheme) && !rest.is_empty() && rest.bytes().all(of_rest) && lower {
        return Ok(text.to_owned());
    }
    expected()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifiers_are_uris_and_nothing_else() {
        for good in
            ["https://example.org/v1", "urn:uuid:f81d4fae", "https://github.com/A/b/.github/workflows/c.yml@refs/x"]
        {
            assert_eq!(uri(good).as_deref(), Ok(good));
        }
        for bad in
            ["", "alice", "https:", "HTTPS://a.b", "https://Example.org/v1", "1a:b", "a:b c", "a:b\u{1b}", "a:\"b\""]
        {
            assert!(uri(bad).is_err(), "{bad:?}");
        }
    }
}
