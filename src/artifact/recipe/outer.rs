//! `[outer]`: how the updates that count become the next model.

use serde::{Deserialize, Serialize};

use super::rules::Rules;

/// The outer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OuterRecipe {
    /// Outer learning rate (alpha).
    #[serde(default = "whole")]
    pub lr: f64,
    /// How many updates become one.
    #[serde(default)]
    pub rule: OuterRule,
    /// Updates that `trimmed_mean` and `krum` withstand (f).
    #[serde(default)]
    pub faulty: u32,
    /// Updates that `krum` averages; 0: all but `faulty`, 1: Krum proper.
    #[serde(default)]
    pub select: u32,
    /// Iterations of `centered_clip`.
    #[serde(default = "three")]
    pub clip_iterations: u32,
    /// The radius of `centered_clip`; 0: the median of the updates' norms.
    #[serde(default)]
    pub clip_tau: f64,
    /// Decay of the outer momentum; 0: none.
    #[serde(default)]
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    #[serde(default)]
    pub nesterov: bool,
    /// With fewer updates that count there is no next model yet.
    #[serde(default)]
    pub quorum: u32,
}

/// The rules that aggregate, see docs/aggregation.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OuterRule {
    /// The mean.
    #[default]
    Mean,
    /// Each coordinate by the number of updates that sent it (Templar).
    Senders,
    /// The mean of tensors clipped to their median norm (Gauntlet, 2505.21684).
    MedianNorm,
    /// The coordinate-wise mean without the greatest and the smallest (1803.01498).
    TrimmedMean,
    /// The mean of the updates that lie closest together (Multi-Krum, 1703.02757).
    Krum,
    /// Iterated clipping around the estimate (2012.10333).
    CenteredClip,
    /// The majority's sign (1810.05291), by the median magnitude (1901.09847).
    Sign,
}

impl OuterRule {
    /// Every rule.
    pub const ALL: [OuterRule; 7] = [
        OuterRule::Mean,
        OuterRule::Senders,
        OuterRule::MedianNorm,
        OuterRule::TrimmedMean,
        OuterRule::Krum,
        OuterRule::CenteredClip,
        OuterRule::Sign,
    ];

    /// The name, as recipes have it.
    pub fn name(self) -> &'static str {
        match self {
            OuterRule::Mean => "mean",
            OuterRule::Senders => "senders",
            OuterRule::MedianNorm => "median_norm",
            OuterRule::TrimmedMean => "trimmed_mean",
            OuterRule::Krum => "krum",
            OuterRule::CenteredClip => "centered_clip",
            OuterRule::Sign => "sign",
        }
    }

    /// Whether the rule asks how many updates are faulty.
    pub fn counts_faulty(self) -> bool {
        matches!(self, OuterRule::TrimmedMean | OuterRule::Krum)
    }
}

impl Default for OuterRecipe {
    fn default() -> Self {
        OuterRecipe {
            lr: 1.0,
            rule: OuterRule::Mean,
            faulty: 0,
            select: 0,
            clip_iterations: three(),
            clip_tau: 0.0,
            momentum: 0.0,
            nesterov: false,
            quorum: 0,
        }
    }
}

/// What most fields hang on.
const RULE: [&str; 1] = ["outer.rule"];

fn whole() -> f64 {
    1.0
}
fn three() -> u32 {
    3
}

impl OuterRecipe {
    pub(super) fn ask(&self, rules: &mut Rules) {
        let within = |v: f64, low: f64, high: f64| v.is_finite() && (low..=high).contains(&v);
        let (krum, clips) = (self.rule == OuterRule::Krum, self.rule == OuterRule::CenteredClip);
        rules.require(within(self.lr, 0.0, 1e3), "outer.lr", "0 to 1000");
        match self.rule.counts_faulty() {
            true => rules.require_beside(
                (1..=1 << 20).contains(&self.faulty),
                "outer.faulty",
                &RULE,
                "1 to 2^20 with this rule",
            ),
            false => rules.require_beside(
                self.faulty == 0,
                "outer.faulty",
                &RULE,
                "none without rule \"trimmed_mean\" or \"krum\"",
            ),
        }
        rules.require_beside(self.select == 0 || krum, "outer.select", &RULE, "none without rule \"krum\"");
        rules.require(self.select <= 1 << 20, "outer.select", "at most 2^20");
        let clipping = self.clip_iterations == three() && self.clip_tau == 0.0;
        rules.require_beside(
            clips || clipping,
            "outer.clip_iterations, outer.clip_tau",
            &RULE,
            "none without rule \"centered_clip\"",
        );
        rules.require((1..=100).contains(&self.clip_iterations), "outer.clip_iterations", "1 to 100");
        let tau = self.clip_tau == 0.0 && self.clip_tau.is_sign_positive() || within(self.clip_tau, 1e-30, 1e30);
        rules.require(tau, "outer.clip_tau", "0 for the median, or 1e-30 to 1e30");
        rules.require(within(self.momentum, 0.0, 0.999_999), "outer.momentum", "0 to below 1");
        rules.require_beside(
            !self.nesterov || self.momentum > 0.0,
            "outer.nesterov",
            &["outer.momentum"],
            "false without a momentum",
        );
        rules.require(self.quorum <= 1 << 20, "outer.quorum", "at most 2^20");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    fn outer(text: &str) -> Result<OuterRecipe> {
        let outer: OuterRecipe = toml::from_str(text).map_err(|e| crate::error::Error::data(e.to_string()))?;
        let mut rules = Rules::default();
        outer.ask(&mut rules);
        rules.hold().map(|()| outer)
    }

    #[test]
    fn an_empty_table_is_the_default_and_names_are_those_that_are_read() {
        assert_eq!(outer("").unwrap(), OuterRecipe::default());
        for rule in OuterRule::ALL {
            let faulty = if rule.counts_faulty() { "faulty = 1" } else { "" };
            assert_eq!(outer(&format!("rule = \"{}\"\n{faulty}", rule.name())).unwrap().rule, rule);
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_refused_by_name() {
        for (text, field) in [
            ("rule = \"krum\"", "outer.faulty"),
            ("rule = \"trimmed_mean\"", "outer.faulty"),
            ("faulty = 1", "outer.faulty"),
            ("rule = \"trimmed_mean\"\nfaulty = 1\nselect = 1", "outer.select"),
            ("clip_iterations = 2", "outer.clip_iterations"),
            ("rule = \"sign\"\nclip_tau = 0.5", "outer.clip_tau"),
            ("rule = \"centered_clip\"\nclip_iterations = 0", "outer.clip_iterations"),
            ("rule = \"centered_clip\"\nclip_tau = -1.0", "outer.clip_tau"),
            ("rule = \"centered_clip\"\nclip_tau = -0.0", "outer.clip_tau"),
            ("momentum = 1.0", "outer.momentum"),
            ("momentum = -0.1", "outer.momentum"),
            ("nesterov = true", "outer.nesterov"),
            ("lr = inf", "outer.lr"),
            ("quorum = 2000000", "outer.quorum"),
            ("rule = \"median\"", "median"),
            ("quorum = -1", "quorum"),
        ] {
            let error = outer(text).unwrap_err().to_string();
            assert!(error.contains(field), "{text}: {error}");
        }
    }
}
