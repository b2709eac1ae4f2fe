//! JSON as Python's `json.dumps` writes it, which is what templates' `tojson` is: order kept, ", " and ": " between, floats by
//! `repr`.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// What `tojson` may be told.
pub(super) struct Style {
    /// Spaces a level, on lines of their own.
    pub indent: Option<String>,
    /// Between items, and after a key.
    pub separators: (String, String),
    /// Whether letters beyond ASCII are escaped.
    pub ensure_ascii: bool,
    /// Whether keys are sorted.
    pub sort_keys: bool,
}

/// Deeper values are refused: the recursion is ours.
const DEEPEST: usize = 200;

/// The JSON of a value. Bytes are paid for as they come, as the template's other work is.
pub(super) fn dump(state: &State<'_, '_>, value: &Value, style: &Style) -> Result<String, Error> {
    let mut out = String::new();
    write(state, value, style, 0, &mut out)?;
    Ok(out)
}

fn write(state: &State<'_, '_>, value: &Value, style: &Style, depth: usize, out: &mut String) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(ErrorKind::BadSerialization, what));
    if depth > DEEPEST {
        return refuse(format!("tojson: nested deeper than {DEEPEST}"));
    }
    state.consume_fuel(1)?;
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => out.push_str(&value.to_string()),
        ValueKind::Number => out.push_str(&float(f64::try_from(value.clone())?)),
        ValueKind::String => string(value.as_str().unwrap_or_default(), style.ensure_ascii, out),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let item = |item: &Value, out: &mut String| write(state, item, style, depth + 1, out);
            list('[', ']', &items, style, depth, out, item)?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            list('{', '}', &keys, style, depth, out, |key, out| {
                match key.as_str() {
                    Some(text) => string(text, style.ensure_ascii, out),
                    None => string(&key.to_string(), style.ensure_ascii, out),
                }
                out.push_str(&style.separators.1);
                write(state, &value.get_item(key)?, style, depth + 1, out)
            })?;
        }
        kind => return refuse(format!("tojson: a value of type {kind} is no JSON")),
    }
    Ok(())
}

fn list(
    open: char,
    close: char,
    items: &[Value],
    style: &Style,
    depth: usize,
    out: &mut String,
    mut item: impl FnMut(&Value, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = style.indent.as_ref().filter(|_| !items.is_empty()) {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    };
    out.push(open);
    for (i, value) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(&style.separators.0);
        }
        line(depth + 1, out);
        item(value, out)?;
    }
    line(depth, out);
    out.push(close);
    Ok(())
}

fn string(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if ascii && (!c.is_ascii() || c == '\u{7f}') => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Python's `repr`: the shortest digits, an exponent below 1e-4 and from 1e16 on.
fn float(x: f64) -> String {
    if !x.is_finite() {
        let sign = if x < 0.0 { "-" } else { "" };
        return if x.is_nan() { "NaN".to_owned() } else { format!("{sign}Infinity") };
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').expect("it is written with an exponent");
    match exponent.parse::<i32>().expect("it is a number") {
        e if (-4..16).contains(&e) => {
            let text = x.to_string();
            if text.contains('.') { text } else { text + ".0" }
        }
        e => format!("{digits}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (2.5e-7, "2.5e-07"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0.0"),
            (1.5e300, "1.5e+300"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (x, text) in cases {
            assert_eq!(float(x), text);
        }
    }
}
