//! What records say was verified, and of what. What is no equality says nothing.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::digests::Content;
use crate::artifact::record::{self, Line, Record};
use crate::artifact::{Digest, valid_worker_id};
use crate::audit::{Difference, Evidence, Summary};
use crate::error::{Error, Result};
use crate::verify::{Finding, Verdict};

/// What something was verified of.
pub struct Subject {
    /// Its name within a run folder.
    pub name: String,
    /// BLAKE3 of its content: what our records call it by.
    pub blake3: Digest,
    /// SHA-256 of the same content, once a file was shown that holds it.
    pub sha256: Option<[u8; 32]>,
    /// What a reader may want to know of the verification.
    pub annotations: Map<String, Value>,
}

/// Subjects, and what was verified of each of them.
pub struct Claims {
    /// The subjects, by ascending name.
    pub subjects: Vec<Subject>,
    /// The properties, ascending.
    pub properties: BTreeSet<String>,
}

impl Claims {
    /// Of findings that found the same, or of one audit.
    pub fn of(lines: &[Line]) -> Result<Claims> {
        let known = [Finding::TYPE, Summary::TYPE, Difference::TYPE, Evidence::TYPE];
        if let Some(other) = lines.iter().find(|line| !known.contains(&line.kind())) {
            return Err(Error::data(format!(
                "expected findings, or an audit, found a record of type {:?}",
                other.kind()
            )));
        }
        let audits: Vec<Summary> = record::select(lines)?;
        let findings: Vec<Finding> = record::select(lines)?;
        match (&audits[..], &findings[..]) {
            _ if lines.iter().any(|line| line.kind() == Difference::TYPE) => {
                Err(Error::refused("the audit has found a difference: there is nothing to attest"))
            }
            ([audit], []) => of_audit(audit),
            ([], [_, ..]) => of_findings(&findings),
            ([], []) => Err(Error::data("expected findings, or an audit, found no record")),
            _ => {
                Err(Error::usage("expected findings, or one audit, and not both or several")
                    .hint("attest each by itself"))
            }
        }
    }

    /// Takes a file's SHA-256 over, if it is one of the subjects.
    pub fn name(&mut self, path: &Path, content: &Content) -> Result<()> {
        let of = self.subjects.iter_mut().filter(|subject| subject.blake3 == content.blake3);
        match of.map(|subject| subject.sha256 = Some(content.sha256)).count() {
            0 => {
                let found = format!("expected the content of a subject, found {}", content.blake3);
                Err(Error::refused(format!("--subject: {}: {found}", path.display()))
                    .hint("it is not what was verified, or was altered since"))
            }
            _ => Ok(()),
        }
    }
}

fn of_findings(findings: &[Finding]) -> Result<Claims> {
    let mut claims = Claims { subjects: Vec::new(), properties: BTreeSet::new() };
    for finding in findings {
        let (subject, property) = (of_finding(finding)?, property(finding)?);
        if let Some(first) = claims.properties.first().filter(|first| **first != property) {
            return Err(Error::usage(format!("findings of several kinds, {first} and {property}"))
                .hint("a statement says the same of all its subjects: attest each kind by itself"));
        }
        claims.properties.insert(property);
        match claims.subjects.iter().find(|known| known.name == subject.name) {
            None => claims.subjects.push(subject),
            Some(known) if known.blake3 == subject.blake3 && known.annotations == subject.annotations => {}
            Some(_) => {
                return Err(Error::usage(format!("two findings on {}", subject.name)).hint("attest each by itself"));
            }
        }
    }
    claims.subjects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(claims)
}

fn of_finding(finding: &Finding) -> Result<Subject> {
    let Finding { worker, round, .. } = finding;
    if !valid_worker_id(worker) {
        return Err(Error::data(format!("a finding on {worker:?}, which is no worker's id")));
    }
    let mut annotations = Map::new();
    let mut say = |what: &str, value: Value| annotations.insert(format!("l402_{what}"), value);
    say("finding", Digest::of(record::line(finding)?.as_bytes()).to_string().into());
    say("run", finding.run.to_string().into());
    say("steps", finding.steps.into());
    if let Some(sample) = &finding.sample {
        say("beacon", sample.beacon.to_string().into());
        say("missed_ppm", json!(sample.missed_ppm));
        say("missed_chunks_ppm", json!(sample.missed_chunks_ppm));
    }
    let name = format!("round-{round}/{worker}.update");
    Ok(Subject { name, blake3: finding.update, sha256: None, annotations })
}

/// What a finding says was verified; a refusal where that is nothing.
fn property(finding: &Finding) -> Result<String> {
    let Finding { worker, round, .. } = finding;
    if finding.state.is_some() {
        let what = format!("the finding on {worker} of round {round} rests on states that were assumed to be zero");
        return Err(Error::refused(what).hint("`replay --previous UPDATE` or `--from-zero` leaves nothing to assume"));
    }
    let malformed = || Error::data(format!("the finding on {worker} of round {round} contradicts itself"));
    match (finding.finding, &finding.sample, &finding.near, &finding.differs) {
        (Verdict::Mismatch, ..) => {
            let what = format!("the finding on {worker} of round {round} is a mismatch: there is nothing to attest");
            Err(Error::refused(what))
        }
        (Verdict::Exact, None, None, None) => Ok("L402_REPLAY_EXACT".into()),
        (Verdict::Sampled, Some(sample), None, None) => {
            let (run, all) = (sample.segments.len(), sample.of_segments);
            let good = sample.segments.is_sorted_by(|a, b| a < b)
                && sample.segments.last().is_some_and(|last| last.checked_add(1) == Some(all));
            good.then(|| format!("L402_REPLAY_SAMPLED_{run}_OF_{all}")).ok_or_else(malformed)
        }
        (Verdict::Near, None, Some(near), None) => Ok(format!("L402_REPLAY_NEAR_{}_PPM", near.tolerance_ppm)),
        _ => Err(malformed()),
    }
}

fn of_audit(audit: &Summary) -> Result<Claims> {
    let Some(model) = audit.model else {
        return Err(Error::data("the audit names no model that it ends with")
            .hint("of a run without a finished round there is none; an audit of before names none: audit again"));
    };
    let all = audit.replay.as_deref() == Some("all");
    let held = [
        ("L402_AUDIT_EQUAL", true),
        ("L402_AUDIT_REPLAYED_ALL", all),
        ("L402_AUDIT_FINDINGS_IN_EVERY_ROUND", audit.totals.without_findings + audit.totals.unsigned_findings == 0),
        ("L402_AUDIT_COMMITMENTS_IN_EVERY_ROUND", audit.totals.without_commitments == 0),
    ];
    let mut annotations = Map::new();
    let mut say = |what: &str, value: Value| annotations.insert(format!("l402_{what}"), value);
    say("run", audit.run.to_string().into());
    say("rounds", audit.rounds.into());
    say("updates", audit.totals.updates.into());
    say("counting", audit.totals.counting.into());
    say("steps", audit.totals.steps.into());
    audit.replay.iter().for_each(|replay| drop(say("replay", replay.as_str().into())));
    audit.coordinator.iter().for_each(|key| drop(say("coordinator", key.as_str().into())));
    let subject = Subject { name: format!("theta-{}", audit.rounds), blake3: model, sha256: None, annotations };
    let properties = held.iter().filter(|(_, held)| *held).map(|(name, _)| (*name).to_owned()).collect();
    Ok(Claims { subjects: vec![subject], properties })
}
