//! A model that reads a text and says what comes next, by whichever computes it.

use super::choice::Peer;
use super::{own, peer};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::{Layout, ModelConfig};

/// Who computes the logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A model of candle-transformers.
    Candle(Peer),
    /// Our forward pass; and what candle has not, or otherwise.
    Own(String),
}

impl By {
    /// Who serves texts of so many tokens.
    pub fn of(config: &ModelConfig, context: usize) -> By {
        Peer::of(config, context).map_or_else(By::Own, By::Candle)
    }
}

/// A model, and what it has read.
pub struct Decoder {
    by: By,
    reader: Reader,
}

enum Reader {
    Candle(peer::Reader),
    Own(Box<own::Reader>),
}

impl Decoder {
    /// A model for texts of up to `context` tokens. `values` are its parameters by the layout, wherever they are from; they are the
    /// one copy of them that there is. Our own forward pass runs on the device.
    pub fn new(
        config: &ModelConfig,
        layout: &Layout,
        values: Vec<f32>,
        by: By,
        context: usize,
        device: Device,
    ) -> Result<Decoder> {
        let reader = match by {
            By::Candle(peer) => {
                Reader::Candle(peer::Reader::new(peer, config, layout, values, context).map_err(candles)?)
            }
            By::Own(_) => Reader::Own(Box::new(own::Reader::new(config, values, device))),
        };
        Ok(Decoder { by, reader })
    }

    /// Who computes.
    pub fn by(&self) -> &By {
        &self.by
    }

    /// Reads on, one token at least; gives the logits of what comes next.
    pub fn push(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        match &mut self.reader {
            Reader::Candle(reader) => reader.push(tokens).map_err(candles),
            Reader::Own(reader) => reader.push(tokens),
        }
    }
}

fn candles(error: candle_core::Error) -> Error {
    // It may bring a backtrace along.
    let text = error.to_string();
    Error::bug(format!("candle-transformers: {}", text.lines().next().unwrap_or("failed")))
}
