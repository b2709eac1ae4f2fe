//! A transcript, checked by somebody who was not there: the same questions to the recorded answers must end in the same
//! text. No step of training is run; with the operands at hand, the one operator is executed again.

use lightning::bitcoin::secp256k1::PublicKey;

use super::judge::Judge;
use super::parties::Party;
use super::questions::{Answer, Exchange, Question};
use super::referee::Referee;
use super::settle::{Outcome, Settled, settle};
use super::transcript::{Dispute, Ruling};
use crate::artifact::Digest;
use crate::artifact::record::Line;
use crate::error::{Context, Error, Result};
use crate::verify::trace::{Graph, Value};

/// Gives the values that the operator at a place of a graph reads.
pub type Operands<'a> = dyn FnMut(&Graph, usize) -> Result<Vec<Option<Value>>> + 'a;

/// What the check of a transcript found.
#[derive(Debug)]
pub struct Checked {
    /// The ruling.
    pub ruling: Ruling,
    /// Whether it is proven to the end: by hashes alone, or by executing the operator. Else it stands if the operator
    /// writes what the ruling says.
    pub proven: bool,
    /// The roots over both parties' leaves.
    pub roots: [Digest; 2],
    /// Whose traces it has, as far as somebody vouches for them.
    pub signers: [Option<PublicKey>; 2],
}

/// Checks a transcript against what the judge knows by itself. `operands` gives the values that the one operator reads,
/// where they are at hand. An error is what does not hold.
pub fn check_transcript<'o>(
    judge: &Judge<'_>,
    name: &str,
    text: &str,
    operands: Option<&'o mut Operands<'o>>,
) -> Result<Checked> {
    let mut lines = Vec::new();
    for (i, line) in text.split_terminator('\n').enumerate() {
        lines.push(Line::parse(&format!("{name}:{}", i + 1), line)?);
    }
    let dispute = lines.first().map(Line::get::<Dispute>).transpose()?.flatten();
    let ruling = lines.last().map(Line::get::<Ruling>).transpose()?.flatten();
    let (Some(dispute), Some(ruling)) = (dispute, ruling) else {
        return Err(Error::data(format!("{name}: expected a transcript, from a dispute record to a ruling")));
    };
    if (&dispute.work, &dispute.begin) != (&judge.work, &judge.begin) {
        return Err(Error::refused(format!(
            "{name}: dispute record: expected one about {}'s round {} as recipe, model, shard, assignment and states \
             make it, found another",
            judge.work.worker, judge.work.round
        )));
    }
    let exchanges: Vec<Exchange> =
        (2..).zip(&lines[1..lines.len() - 1]).map(|(i, line)| need(name, i, line)).collect::<Result<_>>()?;
    let mut signers = [None, None];
    for (exchange, number) in exchanges.iter().zip(2..) {
        if let Question::Trace { step } = exchange.question {
            let of = |answer: Option<&Answer>| answer.map_or(Ok(None), |answer| answer.signer(step));
            signers = [
                of(Some(&exchange.a)).at(format!("{name}:{number}: a"))?,
                of(exchange.b.as_ref()).at(format!("{name}:{number}: b"))?,
            ];
        }
    }
    let by_hand = operands.is_some();
    let mut referee = Again { recorded: ruling.expected.clone(), operands };
    let [mut a, mut b] = [0, 1].map(|side| Recorded { exchanges: &exchanges, side, next: 0 });
    let outcome = settle(judge, &mut a, &mut b, &mut referee)?;
    match outcome {
        Outcome::Settled(settled) if settled.transcript == text => {
            let Settled { ruling, .. } = *settled;
            let proven = ruling.executed == 0 || by_hand;
            let root = |answer: Option<&Answer>| match answer {
                Some(Answer::Root(root)) => Ok(*root),
                _ => Err(Error::bug("a dispute that begins with something else than roots")),
            };
            let first = exchanges.first();
            let roots = [root(first.map(|e| &e.a))?, root(first.and_then(|e| e.b.as_ref()))?];
            Ok(Checked { ruling, proven, roots, signers })
        }
        Outcome::Settled(settled) => {
            let line = settled.transcript.lines().zip(text.lines()).take_while(|(ours, theirs)| ours == theirs).count();
            Err(Error::refused(format!("{name}:{}: the transcript does not follow from what it says", line + 1)))
        }
        _ => Err(Error::refused(format!("{name}: the transcript does not lead to its ruling"))),
    }
}

fn need(name: &str, number: usize, line: &Line) -> Result<Exchange> {
    let found = line.kind();
    let what = || Error::data(format!("{name}:{number}: expected an exchange record, found one of type {found:?}"));
    line.get()?.ok_or_else(what)
}

/// A party that says again what it said.
struct Recorded<'a> {
    exchanges: &'a [Exchange],
    side: usize,
    next: usize,
}

impl Party for Recorded<'_> {
    fn answer(&mut self, question: &Question) -> Result<Option<Answer>> {
        // Questions to the first party alone are none for the second.
        while let Some(exchange) = self.exchanges.get(self.next) {
            self.next += 1;
            let answer = if self.side == 0 { Some(&exchange.a) } else { exchange.b.as_ref() };
            if let Some(answer) = answer {
                return Ok((exchange.question == *question).then(|| answer.clone()));
            }
        }
        Ok(None)
    }
}

/// Executes the operator where its operands are at hand, else takes the ruling's word.
struct Again<'a> {
    recorded: Option<Vec<Digest>>,
    operands: Option<&'a mut Operands<'a>>,
}

impl Referee for Again<'_> {
    fn outputs(
        &mut self,
        judge: &Judge<'_>,
        graph: &Graph,
        place: usize,
        inputs: &[Option<Digest>],
    ) -> Result<Option<Vec<Digest>>> {
        match self.operands.as_mut() {
            None => Ok(self.recorded.clone()),
            Some(operands) => {
                let mut one = super::referee::ByDefinition(|graph: &Graph, place| operands(graph, place).map(Some));
                one.outputs(judge, graph, place, inputs)
            }
        }
    }
}
