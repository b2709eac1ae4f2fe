//! Which codec a recipe's is.

use super::blockwise8::Blockwise8;
use super::contract::Codec;
use super::demo::Demo;
use super::dense::Dense;
use super::e3m0::E3m0;
use super::f16::F16;
use super::int8::Int8;
use super::l402::L402;
use super::sparseloco::SparseLoco;
use crate::artifact::recipe::{CodecName, CodecRecipe};

/// The codec that a recipe names.
pub fn codec_for(recipe: &CodecRecipe) -> Box<dyn Codec> {
    match recipe.name {
        CodecName::Dense => Box::new(Dense),
        CodecName::F16 => Box::new(F16),
        CodecName::Int8 => Box::new(Int8),
        CodecName::Blockwise8 => Box::new(Blockwise8),
        CodecName::E3m0 => Box::new(E3m0),
        CodecName::Demo => Box::new(Demo::new(recipe.top_k)),
        CodecName::SparseLoco => Box::new(SparseLoco::new(recipe.top_k)),
        CodecName::L402 => Box::new(L402::new(recipe.top_k)),
    }
}
