//! Who says what one operator must write: by executing its definition on operands that both parties agreed on.

use super::judge::Judge;
use crate::artifact::Digest;
use crate::error::{Error, Result};
use crate::verify::trace::{Graph, Value, execute};

/// Says what an operator writes.
pub trait Referee {
    /// The digests of what the operator at `place` writes, given its inputs by their digests; none where its operands are
    /// not at hand.
    fn outputs(
        &mut self,
        judge: &Judge<'_>,
        graph: &Graph,
        place: usize,
        inputs: &[Option<Digest>],
    ) -> Result<Option<Vec<Digest>>>;
}

/// Executes the definition. `operands` gives the values that an operator of a graph reads, where it has them.
pub struct ByDefinition<F>(
    /// Gives the operands of the operator at a place of a graph.
    pub F,
);

impl<F: FnMut(&Graph, usize) -> Result<Option<Vec<Option<Value>>>>> Referee for ByDefinition<F> {
    fn outputs(
        &mut self,
        judge: &Judge<'_>,
        graph: &Graph,
        place: usize,
        inputs: &[Option<Digest>],
    ) -> Result<Option<Vec<Digest>>> {
        let Some(values) = (self.0)(graph, place)? else { return Ok(None) };
        let operator = &graph.operators[place];
        for (at, read) in operator.reads.iter().enumerate() {
            let found = read.zip(values.get(at).and_then(Option::as_ref));
            let found = found.map(|(id, value)| value.digest(&graph.values[id as usize].form));
            if found != inputs[at] {
                let text = |digest: Option<Digest>| digest.map_or("none".into(), |digest| digest.to_string());
                return Err(Error::refused(format!(
                    "operator {place} ({}): operand {at}: expected {}, on which both parties agree, found {}",
                    operator.describe(),
                    text(inputs[at]),
                    text(found)
                )));
            }
        }
        execute_on(judge, graph, place, values).map(Some)
    }
}

/// The digests of what an operator's definition makes of its operands.
pub(super) fn execute_on(
    judge: &Judge<'_>,
    graph: &Graph,
    place: usize,
    values: Vec<Option<Value>>,
) -> Result<Vec<Digest>> {
    let operator = &graph.operators[place];
    let outputs = execute(judge.model(), graph, operator, values)?;
    Ok(graph.forms(operator).zip(&outputs).map(|(form, value)| value.digest(form)).collect())
}
