//! A chat template: from messages to text.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::Duration;

use indexmap::IndexMap;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind};

use super::date::Date;
use super::files::TemplateFiles;
use super::functions::{Generation, NO_DATE, environment};
use super::source::{GENERATION, with_generation};
use crate::data::guarded;
use crate::error::{Error, Result};
use crate::fsio::resident;

/// Work that a template may do on any conversation; an instruction costs one, and so do 64 bytes of text.
const FUEL: u64 = 1_500_000;
/// Bytes of stack: more than it takes to print and to drop the deepest value that so much work can make.
const STACK: usize = 256 << 20;
/// The longest that a template may take. What its fuel does not pay for, printing and comparing values that have others many times
/// over, ends here; an honest template takes milliseconds.
const LONGEST: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const TICK: Duration = Duration::from_millis(10);
/// The memory that the process may take more while a template runs, beside 64 times what it was given. It is written to no faster
/// than some hundred megabytes a tick.
const MEMORY: u64 = 256 << 20;
/// Longer templates are refused: a level of nesting can be one byte, and takes some hundred bytes of stack.
const MAX_TEMPLATE: usize = 1 << 18;
/// What a template may write, beside sixteen times what it was given.
const MAX_OUTPUT: usize = 16 << 20;

/// One message of a conversation: a JSON object with a role, and all else that a template may look at.
#[derive(Clone, Debug)]
pub struct Message(pub(super) Value);

impl Message {
    /// What somebody says.
    pub fn new(role: &str, content: &str) -> Message {
        let pairs = [("role", role), ("content", content)];
        Message(map(pairs.map(|(key, value)| (Value::from(key), Value::from(value)))))
    }

    /// A message as it stands in a record.
    pub fn of_value(message: Value) -> Message {
        Message(message)
    }

    /// Who says it; empty where that is not text.
    pub fn role(&self) -> String {
        self.0.get_attr("role").ok().and_then(|role| role.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// As transformers hands a message to a template: without fields that are null, and reasoning under each of its names.
    fn normalised(&self) -> Value {
        let Ok(keys) = self.0.try_iter() else { return self.0.clone() };
        let pairs = keys.filter_map(|key| Some((key.clone(), self.0.get_item(&key).ok()?)));
        let mut pairs: Vec<(Value, Value)> = pairs.filter(|(_, value)| !value.is_none()).collect();
        let names = ["reasoning_content", "thinking", "reasoning"].map(Value::from);
        let of = |name: &Value| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if let Some(reasoning) = names.iter().find_map(of) {
            // Where it is there already it keeps its place; the last value counts.
            pairs.insert(0, (names[1].clone(), reasoning.clone()));
            pairs.push((names[0].clone(), reasoning));
        }
        map(pairs)
    }
}

/// A conversation as its template writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// What stands in blocks of `{% generation %}`, in bytes.
    pub generated: Vec<Range<usize>>,
}

/// A chat template with the variables that it may use.
pub struct ChatTemplate {
    name: String,
    environment: Environment<'static>,
    generation: bool,
    with_tools: bool,
    variables: Vec<(String, String)>,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate").field("name", &self.name).field("variables", &self.variables).finish()
    }
}

impl ChatTemplate {
    /// The chat template of a model's folder; `date` is what it is told that today is.
    pub fn load(folder: &Path, date: Option<Date>) -> Result<ChatTemplate> {
        ChatTemplate::new(TemplateFiles::read(folder, None)?, date)
    }

    /// Compiles a template; `date` is what it is told that today is.
    pub fn new(files: TemplateFiles, date: Option<Date>) -> Result<ChatTemplate> {
        let Some(template) = files.template.clone() else { return Err(files.missing()) };
        let TemplateFiles { name, tool_use, variables, .. } = files;
        let mut environment = environment(date);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| Error::bug(format!("the template engine's syntax: {e}")))?);
        let with_tools = tool_use.is_some();
        let mut generation = false;
        for (which, source) in [("default", Some(template)), ("tool_use", tool_use)] {
            let Some(source) = source else { continue };
            if source.len() > MAX_TEMPLATE {
                let length = source.len();
                let what = format!("{name}: expected a chat template of at most {MAX_TEMPLATE} bytes, found {length}");
                return Err(Error::data(what));
            }
            let (source, found) = with_generation(&source);
            generation |= found;
            let of = name.clone();
            environment = apart(&name, MEMORY, move || {
                let added = environment.add_template_owned(which, source);
                added.map_err(|e| Error::data(format!("{of}: not a chat template: {}", one_line(&e))))?;
                Ok(environment)
            })
            .map_err(Failure::into_error)?;
        }
        Ok(ChatTemplate { name, environment, generation, with_tools, variables })
    }

    /// What it is called in errors: its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it marks what the assistant says with `{% generation %}`.
    pub fn marks_generation(&self) -> bool {
        self.generation
    }

    /// The text of a conversation, with the beginning of the assistant's answer where `add_generation_prompt`. `tools` is a list of
    /// JSON schemas.
    pub fn render(&self, messages: &[Message], tools: Option<&Value>, add_generation_prompt: bool) -> Result<Rendered> {
        self.try_render(messages, tools, add_generation_prompt).map_err(Failure::into_error)
    }

    /// The same; what the template itself refuses stands apart from the bounds that it has broken.
    pub(super) fn try_render(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        add_generation_prompt: bool,
    ) -> std::result::Result<Rendered, Failure> {
        let size = messages.iter().map(|m| weight(&m.0)).sum::<usize>() + tools.map_or(0, weight);
        let written = Arc::new(AtomicUsize::new(0));
        let tracker = Arc::new(Generation { written: written.clone(), spans: Mutex::default() });
        let messages: Vec<Value> = messages.iter().map(Message::normalised).collect();
        let given = [
            ("messages", Value::from(messages)),
            ("tools", tools.cloned().unwrap_or(Value::from(()))),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            (GENERATION, Value::from_dyn_object(tracker.clone())),
        ];
        let special = self.variables.iter().map(|(name, value)| (&**name, Value::from(&**value)));
        let variables = map(special.chain(given).map(|(name, value)| (Value::from(name), value)));
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL + 4 * size as u64));
        let which = if tools.is_some() && self.with_tools { "tool_use" } else { "default" };
        let room = MAX_OUTPUT + 16 * size;
        let name = self.name.clone();
        let text = apart(&self.name, MEMORY + 64 * size as u64, move || {
            let mut out = Bounded { bytes: Vec::new(), room, written };
            let rendered = environment
                .get_template(which)
                .and_then(|template| template.render_captured_to(variables, &mut out).map(drop));
            match rendered {
                Ok(()) => {
                    String::from_utf8(out.bytes).map(Ok).map_err(|_| Error::bug("a template has written half a letter"))
                }
                Err(error) => Ok(Err(refuse(&name, &error, room))),
            }
        })??;
        let generated = std::mem::take(&mut *tracker.spans.lock().unwrap_or_else(|e| e.into_inner()));
        Ok(Rendered { text, generated })
    }
}

/// Runs a template on a thread of its own, with a stack that nothing it makes can overflow, and without waiting for it forever, or
/// until it has all memory. What is not waited for ends with the process, which an error ends.
fn apart<T: Send + 'static>(
    name: &str,
    room: u64,
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> std::result::Result<T, Failure> {
    let (send, receive) = sync_channel(1);
    let of = name.to_owned();
    let made = Builder::new().stack_size(STACK).spawn(move || drop(send.send(guarded(&of, run))));
    made.map_err(|e| Failure::Bound(Error::io(format!("{name}: a thread for the chat template"), &e)))?;
    let begun = resident();
    for _ in 0..LONGEST.as_millis() / TICK.as_millis() {
        match receive.recv_timeout(TICK) {
            Ok(made) => return made.map_err(Failure::Bound),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let grown = resident().zip(begun).map_or(0, |(now, before)| now.saturating_sub(before));
        if grown > room {
            let what = format!("{name}: the chat template takes more than {} MiB of memory", room >> 20);
            return Err(Failure::Bound(Error::data(what)));
        }
    }
    Err(Failure::Bound(endless(name)))
}

/// Why there is no text.
pub(super) enum Failure {
    /// The template does not take such a conversation.
    Template(Error),
    /// It took more than it may.
    Bound(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Failure::Template(error) | Failure::Bound(error) => error,
        }
    }
}

fn endless(name: &str) -> Error {
    Error::data(format!("{name}: the chat template does not come to an end"))
}

fn refuse(name: &str, error: &minijinja::Error, room: usize) -> Failure {
    Failure::Template(match error.kind() {
        ErrorKind::OutOfFuel => return Failure::Bound(endless(name)),
        ErrorKind::WriteFailure => {
            let what = format!("{name}: the chat template writes more than {room} bytes of one conversation");
            return Failure::Bound(Error::data(what));
        }
        _ => {
            let text = one_line(error);
            let asks = text.contains(NO_DATE);
            let error = Error::data(format!("{name}: {text}"));
            if asks { error.hint("--date YYYY-MM-DD says which day it is") } else { error }
        }
    })
}

/// An error of the template engine: what, and in which line of the template.
fn one_line(error: &minijinja::Error) -> String {
    // What a template says itself, and what our functions say, needs no words of the engine's.
    let ours = [super::functions::REFUSED, NO_DATE, "tojson: ", "strftime_now: "];
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    let what = ours.iter().find_map(|words| what.find(words)).map_or(&*what, |at| &what[at..]);
    let line = error.line().map_or(String::new(), |line| format!(" (line {line} of the template)"));
    let text: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    format!("{text}{line}")
}

/// A mapping in this order; where a key comes again, its last value counts.
fn map(pairs: impl IntoIterator<Item = (Value, Value)>) -> Value {
    Value::from_object(pairs.into_iter().collect::<IndexMap<Value, Value>>())
}

/// About the bytes of a value.
fn weight(value: &Value) -> usize {
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len) + 8,
        ValueKind::Map => {
            8 + value.try_iter().map_or(0, |keys| {
                keys.map(|key| weight(&key) + value.get_item(&key).map_or(0, |value| weight(&value))).sum()
            })
        }
        ValueKind::Seq => 8 + value.try_iter().map_or(0, |items| items.map(|item| weight(&item)).sum()),
        _ => 8,
    }
}

/// Output with an end, that says how much of it there is.
struct Bounded {
    bytes: Vec<u8>,
    room: usize,
    written: Arc<AtomicUsize>,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room {
            return Err(io::Error::other("too much"));
        }
        self.bytes.extend_from_slice(bytes);
        self.written.store(self.bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
