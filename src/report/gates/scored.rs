//! What others find of the update: its replay, what it shows of itself, whether it counts, what it gains and is entitled to.

use serde_json::json;

use super::GateState::{Failed, Passed, Unknown, Waiting};
use super::reasons::{by_gain, by_replay, by_signal};
use super::{Case, Gate, GateState, gate};
use crate::artifact::Digest;
use crate::report::said::{count, nats, part, plainly, trimmed};
use crate::score::deciding;
use crate::verify::{Finding, Verdict};

impl Case<'_> {
    /// The digest of the update that all of this is about.
    pub(super) fn about(&self) -> Option<Digest> {
        let own = self.sent.as_ref().and_then(|sent| sent.as_ref().ok()).map(|sent| sent.digest);
        self.score.map(|score| score.update).or(own)
    }

    /// The finding that decides.
    pub(super) fn finding(&self) -> Option<&Finding> {
        let about = self.about()?;
        let own = |f: &&Finding| f.worker == self.worker && f.update == about;
        deciding(|| self.lists.findings.iter().flatten().filter(own))
    }

    pub(super) fn replayed(&self) -> Gate {
        let Some(findings) = &self.lists.findings else {
            let says = "no findings: nobody replayed";
            return gate("replayed", if self.lists.scores.is_some() { Unknown } else { Waiting }, says, json!({}));
        };
        let Some(finding) = self.finding() else {
            let state = if self.lists.scores.is_some() { Failed } else { Waiting };
            let says = format!("{}, none of them on this update", count(findings.len() as u64, "finding"));
            return gate("replayed", state, says, json!({}));
        };
        let name = match finding.finding {
            Verdict::Exact => "exact",
            Verdict::Sampled => "sampled",
            Verdict::Near => "near",
            Verdict::Mismatch => "mismatch",
        };
        let steps = count(finding.steps, "step");
        let figures = json!({
            "finding": name, "steps": finding.steps, "differs": finding.differs, "expected": finding.expected,
            "found": finding.found, "assumed_zero": finding.state.map(|_| true),
        });
        let says = match finding.finding {
            Verdict::Exact => format!("exact: {steps} run again, every byte equal"),
            Verdict::Sampled => format!("sampled: {steps} run again, equal"),
            Verdict::Near => "near: within a tolerance, not equal".to_owned(),
            Verdict::Mismatch => {
                let differs = finding.differs.as_deref().unwrap_or("unknown");
                let both = match (&finding.expected, &finding.found) {
                    (Some(expected), Some(found)) => format!(": expected {}, found {}", begin(expected), begin(found)),
                    _ => String::new(),
                };
                format!("mismatch: {differs} differs{both}")
            }
        };
        let refused = finding.finding == Verdict::Mismatch || self.reason().is_some_and(by_replay);
        gate("replayed", if refused { Failed } else { Passed }, says, figures)
    }

    pub(super) fn signals(&self) -> Gate {
        let Some(signals) = self.score.and_then(|s| s.signals.as_ref()) else {
            let (state, why) = self.unmeasured();
            return gate("signals", state, why, json!({}));
        };
        let rule = &self.book.recipe.score;
        let agreement = signals.agreement_ppm.as_ref().and_then(|ppm| ppm.parse::<i64>().ok());
        let own = signals.own_q32.as_deref().and_then(nats).zip(signals.own_error_q32.as_deref().and_then(nats));
        let limit =
            |limit: u64, word: &str| if limit > 0 { format!(", {word} {}", part(limit)) } else { String::new() };
        let mut figures = vec![
            (
                format!("norm {} of the median{}", part(signals.norm_ppm), limit(rule.max_norm_ppm, "at most")),
                rule.max_norm_ppm > 0 && signals.norm_ppm > rule.max_norm_ppm,
            ),
            (
                format!("overlap {}{}", part(signals.overlap_ppm), limit(rule.max_overlap_ppm, "at most")),
                rule.max_overlap_ppm > 0 && signals.overlap_ppm > rule.max_overlap_ppm,
            ),
            (
                format!("residual {}{}", part(signals.residual_ppm), limit(rule.min_residual_ppm, "at least")),
                signals.residual_ppm < rule.min_residual_ppm,
            ),
        ];
        if let Some(found) = agreement {
            let most = rule.max_against_ppm;
            let least = if most > 0 { format!(", at least -{}", part(most)) } else { String::new() };
            let beyond = most > 0 && found < 0 && found.unsigned_abs() > most;
            figures.push((format!("sign {}{least}", trimmed(found as f64 / 1e6, 4)), beyond));
        }
        if let Some((more, error)) = own {
            let least = rule.own_z_milli as f64 / 1e3;
            let z = if error > 0.0 { trimmed(more / error, 2) } else { "many".to_owned() };
            let text = format!("own data {z} standard errors, more than {}", trimmed(least, 3));
            figures.push((text, more <= least * error));
        }
        let exact = self.finding().is_some_and(|f| f.finding == Verdict::Exact);
        let refuses: Vec<&str> = figures.iter().filter(|(_, beyond)| *beyond).map(|(text, _)| text.as_str()).collect();
        let all: Vec<&str> = figures.iter().map(|(text, _)| text.as_str()).collect();
        let refused = self.reason().is_some_and(by_signal);
        let mut says = all.join("; ");
        if !refuses.is_empty() {
            let how = if exact {
                "beyond its limit, but the whole was replayed, which no signal outranks"
            } else {
                "refuses"
            };
            says = format!("{how}: {}; all: {says}", refuses.join("; "));
        }
        let figures = serde_json::to_value(signals).unwrap_or_default();
        gate("signals", if refused { Failed } else { Passed }, says, figures)
    }

    /// Why something was not measured.
    pub(super) fn unmeasured(&self) -> (GateState, &'static str) {
        match (&self.lists.scores, self.score) {
            (None, _) => (Waiting, "no scores yet"),
            (Some(_), None) => (Unknown, "not measured: no update of it was scored"),
            (Some(_), Some(_)) => (Unknown, "not measured: the update did not come so far"),
        }
    }

    pub(super) fn counts(&self) -> Gate {
        match (self.score, self.reason(), &self.lists.scores) {
            (Some(score), None, _) => {
                let assumed = if score.state.is_some() { "; its states were assumed to be zero" } else { "" };
                gate("counts", Passed, format!("the update counts{assumed}"), json!({"counts": true}))
            }
            (Some(_), Some(reason), _) => {
                gate("counts", Failed, reason, json!({"counts": false, "reason": plainly(reason)}))
            }
            (None, _, Some(_)) => gate("counts", Failed, "no update of it was scored", json!({"counts": false})),
            (None, _, None) => gate("counts", Waiting, "no scores: nobody has scored the round", json!({})),
        }
    }

    pub(super) fn gain(&self) -> Gate {
        let tokens = self.lists.whole.as_ref().map(|whole| whole.tokens).filter(|tokens| *tokens > 0);
        let gain = self.score.and_then(|s| s.gain_q32.as_deref()).and_then(nats);
        let (Some(gain), Some(tokens)) = (gain, tokens) else {
            let (state, why) = self.unmeasured();
            return gate("gain", state, why, json!({}));
        };
        let unit = self.book.unit();
        let a_token = gain / tokens as f64;
        let error = self.score.and_then(|s| s.signals.as_ref()?.error_q32.as_deref()).and_then(nats);
        let mut says = format!("{a_token:.4} nats/{unit}");
        if let Some(error) = error {
            says += &format!(" +- {:.4}", error / tokens as f64);
            if error > 0.0 {
                says += &format!(", {} standard errors", trimmed(gain / error, 1));
            }
        }
        let rule = &self.book.recipe.score;
        if rule.z_milli > 0 {
            says += &format!(", at least {}", trimmed(f64::from(rule.z_milli) / 1e3, 3));
        }
        if rule.floor_ppm > 0 {
            says += &format!("; the least that counts is {} of the median gain", part(rule.floor_ppm));
        }
        let score = self.score.expect("it has a gain");
        let figures = json!({
            "gain_q32": score.gain_q32, "after_q32": score.after_q32, "worth_q32": score.worth_q32, "tokens": tokens,
            "error_q32": score.signals.as_ref().and_then(|s| s.error_q32.clone()),
            "before_q32": self.lists.whole.as_ref().map(|whole| whole.before_q32.clone()),
        });
        let noise = self.reason().is_some_and(by_gain);
        let nothing = score.counts && gain <= 0.0;
        if nothing {
            says += "; harm and nothing weigh nothing";
        }
        gate("gain", if noise || nothing { Failed } else { Passed }, says, figures)
    }

    pub(super) fn share(&self) -> Gate {
        let (Some(score), Some(whole)) = (self.score, &self.lists.whole) else {
            let (state, why) = self.unmeasured();
            return gate("share", state, why, json!({}));
        };
        let (own, all) = (score.entitled_msat, whole.round_msat);
        if all == 0 {
            return gate("share", Unknown, "the round pays nothing: pay.round_msat is 0", json!({}));
        }
        let says = format!(
            "entitled to {own} of the round's {all} msat ({} %); each of {} brings {}",
            trimmed(own as f64 / all as f64 * 100.0, 2),
            count(whole.workers, "task"),
            all / whole.workers.max(1)
        );
        let figures = json!({"entitled_msat": own, "round_msat": all, "workers": whole.workers});
        gate("share", if own > 0 { Passed } else { Failed }, says, figures)
    }
}

/// A digest's beginning; of anything else all.
fn begin(text: &str) -> &str {
    let digest = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digest { &text[..8] } else { text }
}
