//! The functions, filters and tests of transformers' chat templates, where they differ from the template engine's.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::date::Date;
use super::json::{Style, dump};

/// An environment as transformers makes it.
pub(super) fn environment(date: Option<Date>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", move |format: &str| strftime(date, format));
    // Strings and mappings are sequences to jinja2.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    environment
}

fn to_json(state: &mut State<'_, '_>, value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<Value> = kwargs.get("indent")?;
    let indent = indent.filter(|indent| !indent.is_none() && !indent.is_undefined());
    let indent = match indent {
        None => None,
        Some(indent) => match (indent.as_str(), indent.as_usize()) {
            (Some(text), _) => Some(text.to_owned()),
            (_, Some(spaces)) if spaces <= 64 => Some(" ".repeat(spaces)),
            _ => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: expected an indent of at most 64")),
        },
    };
    let separators: Option<Value> = kwargs.get("separators")?;
    let usual = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    let separators = match separators.filter(|s| !s.is_none()) {
        None => usual,
        Some(pair) => {
            let part = |i: usize| pair.get_item_by_index(i).map(|part| part.to_string());
            (part(0)?, part(1)?)
        }
    };
    let flag = |name: &str| kwargs.get::<Option<bool>>(name).map(|flag| flag.unwrap_or(false));
    let style = Style { indent, separators, ensure_ascii: flag("ensure_ascii")?, sort_keys: flag("sort_keys")? };
    kwargs.assert_all_used()?;
    dump(state, value, &style)
}

/// What a template refuses, in its own words.
pub(super) const REFUSED: &str = "the template refuses it: ";

fn raise(message: &Value) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSED}{message}")))
}

fn strftime(date: Option<Date>, format: &str) -> Result<String, Error> {
    let refuse = |what: String| Error::new(ErrorKind::InvalidOperation, what);
    let date = date.ok_or_else(|| refuse(format!("{NO_DATE}(strftime_now)")))?;
    date.format(format).ok_or_else(|| refuse(format!("strftime_now: no date says {format:?}")))
}

/// Why a template that asks for the date is refused where none is given.
pub(super) const NO_DATE: &str = "the template asks for today's date ";

/// What a block of generation calls: it renders the block, and notes where the text stands.
#[derive(Debug)]
pub(super) struct Generation {
    /// Bytes that the template has written so far.
    pub written: Arc<std::sync::atomic::AtomicUsize>,
    /// Where the blocks stand, in bytes.
    pub spans: std::sync::Mutex<Vec<std::ops::Range<usize>>>,
}

impl Object for Generation {
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (kwargs,): (Kwargs,) = minijinja::value::from_args(args)?;
        let caller: Value = kwargs.get("caller")?;
        let text = caller.call(state, &[])?;
        let start = self.written.load(std::sync::atomic::Ordering::Relaxed);
        let length = text.as_str().map_or(0, str::len);
        self.spans.lock().unwrap_or_else(|e| e.into_inner()).push(start..start + length);
        Ok(text)
    }
}
