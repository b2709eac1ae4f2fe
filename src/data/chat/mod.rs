//! Conversations: rendered by a model's chat template as transformers renders them, tokenised, and marked with what is trained.

mod date;
mod files;
mod functions;
mod json;
mod record;
mod sequences;
mod source;
mod template;
mod tokens;
mod turns;

pub use date::Date;
pub use files::TemplateFiles;
pub use record::{Conversation, Record, conversation_lines};
pub use sequences::{Fill, Packer, Row};
pub use template::{ChatTemplate, Message, Rendered};
pub use tokens::{ChatTokenizer, Marked};
pub use turns::{Turns, trained};
