//! Which findings let an update count: the recipe's rule, and nothing that a finding says of itself.

use crate::artifact::recipe::Accept;
use crate::artifact::{Digest, Recipe};
use crate::codec::codec_for;
use crate::model::Layout;
use crate::verify::{Audit, ChunkIndex, Finding, Nearness, Sample, Segments, Verdict};

/// What findings are held against.
#[derive(Clone, Copy)]
pub struct Acceptance<'a> {
    /// The recipe, whose `verify` is the rule.
    pub recipe: &'a Recipe,
    /// The model, which says how many codec chunks there are.
    pub layout: &'a Layout,
    /// The beacon by which samples must have been drawn, where it is known.
    pub beacon: Option<&'a Digest>,
}

impl Acceptance<'_> {
    /// Why a finding does not let its update count; `None` where it does.
    pub fn refuses(&self, finding: &Finding) -> Option<String> {
        let rule = &self.recipe.verify;
        match (finding.finding, &finding.sample, &finding.near) {
            (Verdict::Exact, ..) => None,
            (Verdict::Mismatch, ..) => {
                let what = finding.differs.as_deref().unwrap_or("unknown");
                Some(format!("replay differs: {what}"))
            }
            (Verdict::Sampled, Some(sample), _) if rule.accept >= Accept::Sampled => self.sampled(finding, sample),
            (Verdict::Sampled, ..) => Some("replayed in part".into()),
            (Verdict::Near, _, Some(near)) if rule.accept >= Accept::Near => {
                (!within(near, rule.tolerance_ppm)).then(|| "not near enough".into())
            }
            (Verdict::Near, ..) => Some("near, not exact".into()),
        }
    }

    /// A sample is what its beacon draws, of as many segments and chunks as there are. Where chunks do not show all of a
    /// codec's work, nothing but all of it is enough.
    fn sampled(&self, finding: &Finding, sample: &Sample) -> Option<String> {
        let rule = &self.recipe.verify;
        let count = Segments::of(self.recipe).count();
        let chunks = ChunkIndex::new(self.layout).total as u64;
        if self.beacon.is_some_and(|beacon| *beacon != sample.beacon) {
            return Some("sampled by another beacon".into());
        }
        let drawn = u32::try_from(sample.segments.len()).unwrap_or(u32::MAX);
        let audit = Audit { run: &finding.run, round: finding.round, worker: &finding.worker, beacon: &sample.beacon };
        let of = (sample.of_segments, sample.of_chunks) == (count, chunks) && sample.chunks <= chunks;
        if !of || drawn == 0 || drawn > count || sample.segments != audit.segments(drawn, count) {
            return Some("the sample is not what its beacon draws".into());
        }
        let by_chunk = codec_for(&self.recipe.codec).by_chunk().is_some();
        let least = if by_chunk { u64::from(rule.chunks).min(chunks) } else { chunks };
        let enough = drawn >= rule.segments.min(count) && sample.chunks >= least;
        (!enough).then(|| "too little of it was replayed".into())
    }
}

fn within(near: &Nearness, tolerance_ppm: u64) -> bool {
    near.tolerance_ppm <= tolerance_ppm
        && near.error_ppm <= near.tolerance_ppm
        && near.cosine_ppm.saturating_add(near.tolerance_ppm) >= 1_000_000
}
