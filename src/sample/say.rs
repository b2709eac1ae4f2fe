//! Token after token, until something ends it.

use super::decoder::Decoder;
use super::rule::{Rule, uniform};
use super::stop::Stops;
use super::text::Detokeniser;
use crate::data::PromptTokenizer;
use crate::error::Result;

/// What is asked of a model that has read a prompt.
pub struct Request<'a> {
    /// The prompt's tokens.
    pub prompt: &'a [u32],
    /// How tokens are drawn.
    pub rule: Rule,
    /// Which numbers draw them.
    pub seed: u64,
    /// The most tokens.
    pub most: usize,
    /// Tokens that end it, and are no part of it.
    pub ends: &'a [u32],
    /// Texts that end it, and are no part of it.
    pub stops: Vec<String>,
}

/// What ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A token that ends a text.
    End,
    /// One of the stops.
    Stop,
    /// There was no room for more.
    Length,
}

impl Finish {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Finish::End => "end",
            Finish::Stop => "stop",
            Finish::Length => "length",
        }
    }
}

/// What a model said.
pub struct Said {
    /// All of the text.
    pub text: String,
    /// Tokens that were drawn, but for one that ended it.
    pub tokens: usize,
    /// What ended it.
    pub finish: Finish,
}

/// Says what the request asks for, from the logits after the prompt on. Each piece of text is told as soon as it is certain.
pub fn say(
    decoder: &mut Decoder,
    tokenizer: &PromptTokenizer,
    request: Request<'_>,
    mut logits: Vec<f32>,
    mut tell: impl FnMut(&str) -> Result<()>,
) -> Result<Said> {
    let mut pieces = Detokeniser::after(tokenizer, request.prompt);
    let mut stops = Stops::new(request.stops);
    let mut said = Said { text: String::new(), tokens: 0, finish: Finish::Length };
    let mut add = |said: &mut Said, text: String| {
        said.text += &text;
        if text.is_empty() { Ok(()) } else { tell(&text) }
    };
    while said.tokens < request.most {
        let token = request.rule.pick(&logits, uniform(request.seed, said.tokens as u64))?;
        if request.ends.contains(&token) {
            said.finish = Finish::End;
            break;
        }
        said.tokens += 1;
        let (text, stopped) = stops.push(&pieces.push(token)?);
        add(&mut said, text)?;
        if stopped {
            said.finish = Finish::Stop;
            return Ok(said);
        }
        if said.tokens < request.most {
            logits = decoder.push(&[token])?;
        }
    }
    let (text, stopped) = stops.push(&pieces.finish()?);
    add(&mut said, text)?;
    match stopped {
        true => said.finish = Finish::Stop,
        false => add(&mut said, stops.finish())?,
    }
    Ok(said)
}
