//! Text from a model: the model's own logits, by candle-transformers where it computes them right and by our forward pass where
//! not, a rule that draws tokens of them, and text that comes as it is drawn.

mod choice;
mod decoder;
mod folded;
mod own;
mod peer;
mod rule;
mod say;
mod settings;
mod stop;
mod text;

pub use choice::Peer;
pub use decoder::{By, Decoder};
pub use rule::{Rule, uniform};
pub use say::{Finish, Request, Said, say};
pub use settings::Settings;
pub use stop::Stops;
pub use text::Detokeniser;
