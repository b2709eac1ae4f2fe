//! What of a rendered conversation is trained: what the assistant says.

use std::ops::Range;

use super::record::Conversation;
use super::template::{ChatTemplate, Failure, Rendered};
use crate::error::{Error, Result};

/// Which of the assistant's turns are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turns {
    /// All of them.
    #[default]
    All,
    /// The last one.
    Last,
}

/// The text of a conversation and the spans of it that are trained, in bytes, ascending. `Ok(Err(why))` where they cannot be told:
/// then the record is ambiguous, as opposed to malformed.
///
/// A template with `{% generation %}` says what they are. Else turn i goes from the end of messages 0 to i - 1, rendered with the
/// beginning of an answer, to the end of messages 0 to i: both must be beginnings of the whole.
pub fn trained(
    template: &ChatTemplate,
    conversation: &Conversation,
    turns: Turns,
) -> Result<std::result::Result<Rendered, String>> {
    let Conversation { messages, given, tools } = conversation;
    let tools = tools.as_ref();
    let whole = template.render(messages, tools, false)?;
    // The end of the first messages, where the text before it is what they alone are.
    let end = |count: usize, prompt: bool| -> Result<std::result::Result<usize, String>> {
        let what = || format!("{count} of {} messages", messages.len());
        let rendered = match template.try_render(&messages[..count], tools, prompt) {
            Ok(rendered) => rendered,
            // What it may take is no matter of the conversation.
            Err(Failure::Bound(error)) => return Err(error),
            // Some templates refuse a conversation that is cut short; what it is then cannot be told.
            Err(Failure::Template(error)) => {
                return Ok(Err(format!("the template does not render the first {}: {error}", what())));
            }
        };
        Ok(match whole.text.starts_with(&rendered.text) {
            true => Ok(rendered.text.len()),
            false => Err(format!("the template writes the first {} otherwise than in the whole", what())),
        })
    };
    let assistants: Vec<usize> = (*given..messages.len()).filter(|i| messages[*i].role() == "assistant").collect();
    let mut spans: Vec<Range<usize>> = Vec::new();
    if template.marks_generation() {
        let begin = match given {
            0 => 0,
            given => match end(*given, false)? {
                Ok(begin) => begin,
                Err(why) => return Ok(Err(why)),
            },
        };
        spans.extend(whole.generated.iter().filter(|span| span.start >= begin).cloned());
        if turns == Turns::Last {
            spans.drain(..spans.len().saturating_sub(1));
        }
    } else {
        let last = assistants.len().saturating_sub(1);
        for i in assistants.into_iter().skip(if turns == Turns::Last { last } else { 0 }) {
            match (end(i, true)?, end(i + 1, false)?) {
                (Ok(begin), Ok(end)) if begin <= end => spans.push(begin..end),
                (Ok(_), Ok(_)) => return Ok(Err(format!("message {i} ends before it begins"))),
                (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
            }
        }
    }
    for span in &spans {
        if !(whole.text.is_char_boundary(span.start) && whole.text.is_char_boundary(span.end)) {
            return Err(Error::data(format!("{}: a block of generation within another text", template.name())));
        }
    }
    Ok(Ok(Rendered { text: whole.text, generated: spans }))
}
