//! Records of instruction data: a JSON object a line.

use std::io::{BufRead, BufReader, Read};

use minijinja::value::{Value, ValueKind};

use super::template::Message;
use crate::error::{Error, Result};

/// Longer lines are refused.
const MAX_LINE: u64 = 16 << 20;
/// Longer conversations are refused: each of the assistant's turns is found by two renderings.
const MAX_MESSAGES: usize = 1000;
/// Who may speak.
const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];

/// What a line holds.
#[derive(Clone, Debug)]
pub enum Record {
    /// Messages, of which the first so many are given, and what the assistant says after them is trained.
    Conversation(Conversation),
    /// Text, and the text that follows it, which is trained.
    Text {
        /// What is given.
        prompt: String,
        /// What is trained.
        completion: String,
    },
}

/// Messages and the tools at hand.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// In their order; at least one.
    pub messages: Vec<Message>,
    /// How many of them are given: nothing of these is trained.
    pub given: usize,
    /// A list of JSON schemas, where there is one.
    pub tools: Option<Value>,
}

impl Record {
    /// Parses a line: an object with `messages` and, where tools are at hand, `tools`; else with `prompt` and `completion`, both text
    /// or both messages. Other fields are passed over.
    pub fn parse(line: &[u8]) -> Result<Record> {
        let record: Value = serde_json::from_slice(line).map_err(|e| {
            Error::data(format!("not a JSON object: {e}")).hint("a line is one conversation, a JSON object")
        })?;
        if record.kind() != ValueKind::Map {
            return Err(Error::data(format!("expected a JSON object, found a {}", record.kind())));
        }
        let field = |name: &str| {
            let value = record.get_attr(name).ok();
            value.filter(|value| !value.is_none() && !value.is_undefined())
        };
        let tools = field("tools");
        if let Some(tools) = tools.as_ref().filter(|tools| !is_list_of_objects(tools)) {
            return Err(Error::data(format!("tools: expected a list of JSON schemas, found a {}", tools.kind())));
        }
        match (field("messages"), field("prompt"), field("completion")) {
            (Some(messages), ..) => {
                let messages = parse_messages("messages", &messages)?;
                Ok(Record::Conversation(Conversation { messages, given: 0, tools }))
            }
            (None, Some(prompt), Some(completion)) => match (prompt.as_str(), completion.as_str()) {
                (Some(prompt), Some(completion)) => {
                    Ok(Record::Text { prompt: prompt.to_owned(), completion: completion.to_owned() })
                }
                (None, None) => {
                    let mut messages = parse_messages("prompt", &prompt)?;
                    let given = messages.len();
                    messages.extend(parse_messages("completion", &completion)?);
                    Ok(Record::Conversation(Conversation { messages, given, tools }))
                }
                _ => Err(Error::data("prompt and completion: expected both text or both messages")),
            },
            _ => Err(Error::data("expected messages, or prompt and completion, found neither")
                .hint("a line is one conversation, a JSON object")),
        }
    }
}

fn is_list_of_objects(value: &Value) -> bool {
    let objects = |items: minijinja::value::ValueIter| items.into_iter().all(|item| item.kind() == ValueKind::Map);
    value.kind() == ValueKind::Seq && value.try_iter().is_ok_and(objects)
}

fn parse_messages(field: &str, list: &Value) -> Result<Vec<Message>> {
    if !is_list_of_objects(list) {
        return Err(Error::data(format!("{field}: expected a list of messages, found a {}", list.kind())));
    }
    let messages: Vec<Message> = list.try_iter().into_iter().flatten().map(Message).collect();
    if messages.len() > MAX_MESSAGES {
        let found = messages.len();
        return Err(Error::data(format!("{field}: expected at most {MAX_MESSAGES} messages, found {found}")));
    }
    if messages.is_empty() {
        return Err(Error::data(format!("{field}: expected a message, found none")));
    }
    for (i, message) in messages.iter().enumerate() {
        let role = message.role();
        if !ROLES.contains(&&*role) {
            let found = message.0.get_attr("role").unwrap_or_default();
            let expected = "expected system, user, assistant or tool";
            return Err(Error::data(format!("{field}[{i}].role: {expected}, found {found:?}")));
        }
        let content = message.0.get_attr("content").unwrap_or_default();
        let calls = message.0.get_attr("tool_calls").unwrap_or_default();
        match content.kind() {
            ValueKind::String => {}
            ValueKind::Undefined | ValueKind::None if role == "assistant" && calls.is_true() => {}
            kind => return Err(Error::data(format!("{field}[{i}].content: expected text, found {kind}"))),
        }
    }
    Ok(messages)
}

/// The lines of a file with their numbers, from 1; blank ones are passed over. `take` gets so many at a time.
pub fn conversation_lines(
    name: &str,
    lines: impl Read,
    at_a_time: usize,
    mut take: impl FnMut(Vec<(u64, Vec<u8>)>) -> Result<()>,
) -> Result<()> {
    let mut lines = BufReader::with_capacity(1 << 16, lines);
    let mut ready = Vec::new();
    let mut bytes = 0;
    for number in 1u64.. {
        let mut line = Vec::new();
        (&mut lines).take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(|e| Error::io(name, &e))?;
        let ends = line.is_empty();
        if line.len() as u64 > MAX_LINE {
            return Err(Error::data(format!("{name}:{number}: the line is longer than {MAX_LINE} bytes")));
        }
        if !line.trim_ascii().is_empty() {
            bytes += line.len();
            ready.push((number, line));
        }
        if ready.len() >= at_a_time || bytes >= 8 << 20 || (ends && !ready.is_empty()) {
            take(std::mem::take(&mut ready))?;
            bytes = 0;
        }
        if ends {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_and_pairs_are_taken_in_every_form() {
        let line =
            br#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"id":7,"tools":null}"#;
        let Record::Conversation(found) = Record::parse(line).unwrap() else { panic!("it is one") };
        assert_eq!((found.messages.len(), found.given, found.tools.is_none()), (2, 0, true));
        let line = br#"{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}"#;
        let Record::Conversation(found) = Record::parse(line).unwrap() else { panic!("it is one") };
        assert_eq!((found.messages.len(), found.given), (2, 1));
        let Record::Text { prompt, completion } = Record::parse(br#"{"prompt":"a ","completion":"b"}"#).unwrap() else {
            panic!("it is text")
        };
        assert_eq!((&*prompt, &*completion), ("a ", "b"));
    }

    #[test]
    fn a_malformed_record_is_refused_by_its_field() {
        let deep = format!("{{\"messages\":{}", "[".repeat(1 << 20));
        let message = r#"{"role":"user","content":"a"}"#;
        let many = format!("{{\"messages\":[{}]}}", [message; 1001].join(","));
        let cases = [
            ("", "not a JSON object"),
            ("{", "not a JSON object"),
            (&*deep, "not a JSON object"),
            ("[]", "expected a JSON object, found a sequence"),
            ("{}", "expected messages, or prompt and completion"),
            (r#"{"messages":[]}"#, "messages: expected a message, found none"),
            (r#"{"messages":"hello"}"#, "messages: expected a list of messages"),
            (r#"{"messages":["hello"]}"#, "messages: expected a list of messages"),
            (r#"{"messages":[{"role":"king","content":"a"}]}"#, "messages[0].role: expected system"),
            (r#"{"messages":[{"content":"a"}]}"#, "messages[0].role: expected system"),
            (r#"{"messages":[{"role":"user"}]}"#, "messages[0].content: expected text"),
            (r#"{"messages":[{"role":"user","content":["a"]}]}"#, "messages[0].content: expected text, found sequence"),
            (r#"{"messages":[{"role":"assistant","content":null}]}"#, "messages[0].content: expected text, found none"),
            (r#"{"messages":[{"role":"user","content":"a"}],"tools":{}}"#, "tools: expected a list"),
            (r#"{"prompt":"a"}"#, "expected messages, or prompt and completion"),
            (r#"{"prompt":"a","completion":[{"role":"user","content":"a"}]}"#, "both text or both messages"),
            (&*many, "messages: expected at most 1000 messages, found 1001"),
            ("{\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}", "not a JSON object"),
        ];
        for (line, part) in cases {
            let error = Record::parse(line.as_bytes()).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
