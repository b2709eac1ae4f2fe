//! The party who asks.

use super::bench::Bench;
use crate::artifact::Digest;
use crate::error::Result;
use crate::verify::Leaf;
use crate::verify::dispute::{Answer, Files, Party, Question};

/// Who asks: what is not at hand is computed.
pub(super) struct Own<'a> {
    bench: &'a Bench<'a>,
    files: Option<Files>,
}

impl<'a> Own<'a> {
    /// Who asks, with these leaves.
    pub(super) fn new(bench: &'a Bench<'a>, leaves: Vec<Leaf>) -> Result<Own<'a>> {
        Ok(Own { bench, files: Some(Files::new(&bench.work, leaves)?) })
    }

    /// The root over its leaves.
    pub(super) fn root(&self) -> Digest {
        self.files.as_ref().expect("it is put back").root()
    }

    fn ask(&mut self, question: &Question) -> Result<Option<Answer>> {
        self.files.as_mut().expect("it is put back").answer(question)
    }
}

impl Party for Own<'_> {
    fn answer(&mut self, question: &Question) -> Result<Option<Answer>> {
        if let Some(answer) = self.ask(question)? {
            return Ok(Some(answer));
        }
        let files = self.files.take().expect("it is put back");
        self.files = Some(match question {
            Question::Steps { segment } => {
                files.with_steps(&self.bench.work, *segment, self.bench.segment(*segment)?)?
            }
            Question::Trace { step } => {
                let (graph, file) = self.bench.trace(*step)?;
                files.with_trace(file, &graph)?
            }
            _ => files,
        });
        self.ask(question)
    }
}
