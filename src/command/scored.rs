//! What scores say, in a line for each update that counts: the records are for programs.

use crate::artifact::Recipe;
use crate::score::{Score, Scores};
use crate::ui::Ui;

/// So many are said; a round may have thousands.
const SAID: usize = 20;

/// Says what each update gained, and what its worker is entitled to where the run pays.
pub fn say(scores: &Scores, recipe: &Recipe, ui: &Ui) {
    let of = &scores.round;
    let counting: Vec<&Score> = scores.scores.iter().filter(|score| score.counts).collect();
    for score in counting.iter().take(SAID) {
        let gain = score.gain_q32.as_deref().and_then(|gain| a_token(gain, of.tokens));
        let gained = gain.map_or("counts".to_owned(), |gain| format!("gains {gain:.4} nats a {}", unit(recipe)));
        let entitled = match of.round_msat {
            0 => String::new(),
            _ => format!(", entitled to {} msat", score.entitled_msat),
        };
        ui.say(format!("round {}: {} {gained}{entitled}", of.round, score.worker));
    }
    if counting.len() > SAID {
        ui.say(format!("round {}: and {} more that count", of.round, counting.len() - SAID));
    }
    if !scores.scores.is_empty() {
        ui.say(format!("round {}: {} of {} updates count", of.round, counting.len(), scores.scores.len()));
    }
}

/// A byte is a token of its own.
fn unit(recipe: &Recipe) -> &'static str {
    if recipe.data.tokenizer == "bytes" { "byte" } else { "token" }
}

/// A fixed-point sum over the held-out tokens, a token.
fn a_token(q32: &str, tokens: u64) -> Option<f64> {
    let sum = q32.parse::<i128>().ok().filter(|_| tokens > 0)?;
    Some(sum as f64 / (1u64 << 32) as f64 / tokens as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_said_a_token_and_of_nothing_there_is_none() {
        assert_eq!(a_token("-8589934592", 4), Some(-0.5));
        assert_eq!((a_token("1", 0), a_token("x", 4)), (None, None));
    }
}
