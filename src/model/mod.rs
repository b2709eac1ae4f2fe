//! A Llama-family decoder: configuration, parameters, forward and backward, Hugging Face folders.

mod activations;
mod adapter;
mod attend;
mod attention;
mod backward;
mod batch;
mod branch;
mod config;
mod decoder;
mod export;
mod feed_forward;
mod fields;
mod fixed;
mod folder;
mod forward;
mod init;
mod inputs;
mod layer_acts;
mod layout;
mod merge;
mod net;
mod next;
mod parameters;
mod peft;
mod plan;
mod transient;
mod variant;
mod weights;

pub use adapter::{Adapter, Pair};
pub use backward::Gradients;
pub use batch::{Batch, documents, masked_targets};
pub use config::ModelConfig;
pub use decoder::{Decoder, LayerIds, Linear, LlamaLayer, Projections};
pub use export::{Precision, Shards, config_in};
pub use fixed::{Fixed, KeptWeights};
pub use folder::{
    Base, ModelFolder, complete_config, first_meta, model_digest, model_meta, model_names, read_flat, write_flat,
};
pub use forward::{Model, sum_q32};
pub use init::initial_parameters;
pub use layout::{Layout, TensorSpec};
pub use net::{Adapted, Net};
pub use parameters::{Parameters, Weights};
pub use peft::{base_of, is_adapter};
pub use plan::Plan;
pub use transient::Kept;
pub use variant::{Gate, Norms, QkNorm, Variant};
pub use weights::{WEIGHTS, model_files};

pub use activations::Workspace;
