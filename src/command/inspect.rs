//! `l402 inspect`: what is in a file.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::compress::open_state;
use crate::artifact::record::Line;
use crate::artifact::{Digest, Dtype, Meta, Reader, Recipe, Room, TensorInfo, canonical};
use crate::codec::{Report, Update};
use crate::error::{Error, Result};
use crate::fsio::{Source, read_text_within};
use crate::model::ModelFolder;
use crate::ui::{Page, Ui, escape};

/// Show what is in a file: header, metadata, digests, and statistics of every tensor.
///
/// Reads safetensors files of any origin, records, recipes with the values of all their fields, and model folders (whose
/// digest is a recipe's theta_0). With its run's recipe, an update's payloads are taken apart too: what its bits are spent
/// on, beside the least that they could be; and with the state that it left, the squared error.
///
/// For scripts, --field prints one value a line and nothing else.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Files, or model folders
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The recipe of the updates' run
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// The error feedback that the update left, as `compress --state-out` wrote it
    #[arg(long, value_name = "FILE", requires = "recipe")]
    state: Option<PathBuf>,
    /// Print JSON, one line a file
    #[arg(long)]
    json: bool,
    /// Print what this field says, a line for each file that has it: a field of a recipe (outer.momentum), of what is shown
    /// (model) or of its metadata (l402.round); of records, a line for each record that has it, and a field within a field by its
    /// path (channels.to_us_msat), and `digest`, by which others name the record; standard input is records
    #[arg(long, value_name = "NAME", conflicts_with_all = ["recipe", "json"])]
    field: Option<String>,
    /// Of records, only those with this value in this field; several are all to be so
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = condition, requires = "field")]
    conditions: Vec<(String, String)>,
}

fn condition(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the verb.
pub fn run(args: &Args, _ui: &Ui) -> Result<()> {
    if let Some(field) = &args.field {
        let lines = args.files.iter().map(|path| fields(path, field, &args.conditions)).collect::<Result<String>>()?;
        let mut page = Page::default();
        page.lines(&lines);
        return page.print();
    }
    if args.state.is_some() && args.files.len() != 1 {
        return Err(Error::usage("--state: expected one update, which left it"));
    }
    let recipe = args.recipe.as_deref().map(Recipe::load).transpose()?;
    for path in &args.files {
        let mut shown = inspect(path)?;
        let report = match &recipe {
            Some(recipe) if shown["kind"] == "update" => Some(report(recipe, path, args.state.as_deref())?),
            _ => None,
        };
        let mut page = Page::default();
        if args.json {
            if let Some(report) = report {
                shown["report"] = report.to_json();
            }
            page.json(&canonical::json(&shown));
        } else {
            table(&shown, &mut page);
            page.lines(&report.map_or_else(String::new, |report| report.table()));
        }
        page.print()?;
    }
    Ok(())
}

fn inspect(path: &Path) -> Result<Value> {
    let name = path.display().to_string();
    if path.is_dir() {
        let folder = ModelFolder::load(path)?;
        return Ok(json!({
            "file": name,
            "kind": "model folder",
            "model": folder.digest.to_string(),
            "parameters": folder.layout.total,
            "metadata": folder.meta.0,
        }));
    }
    if path.extension().is_some_and(|e| e == "toml") {
        let recipe = Recipe::load(path)?;
        let (run, values) = (recipe.digest().to_string(), recipe.values());
        return Ok(json!({ "file": name, "kind": "recipe", "name": recipe.name, "run": run, "recipe": values }));
    }
    if holds_records(path)? {
        return inspect_records(path, &name);
    }
    inspect_tensors(Reader::open(Source::open(path)?)?)
}

/// What a field says, of a file or of each of its records.
fn fields(path: &Path, field: &str, conditions: &[(String, String)]) -> Result<String> {
    // What comes through a pipe are records.
    if path.is_dir() || path.as_os_str() != "-" && !holds_records(path)? {
        if !conditions.is_empty() {
            return Err(Error::usage(format!("--where: {}: expected a file of records", path.display())));
        }
        let shown = inspect(path)?;
        let found = shown.get(field).or_else(|| shown.get("metadata")?.get(field));
        let found = found.or_else(|| field.split('.').try_fold(shown.get("recipe")?, |table, name| table.get(name)));
        return Ok(found.map_or(String::new(), |value| plain(value) + "\n"));
    }
    let name = path.display();
    let mut values = String::new();
    for (i, content) in
        read_text_within(path, Room::any().bytes)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty())
    {
        let record = Line::by_hand(&format!("{name}:{}", i + 1), content)?;
        let says = |field: &str| match field {
            // As other records name this one.
            "digest" if record.field(field).is_none() => {
                vec![Digest::of(format!("{content}\n").as_bytes()).to_string()]
            }
            _ => within(&record, field),
        };
        if conditions.iter().all(|(name, value)| says(name).contains(value)) {
            values.extend(says(field).into_iter().map(|value| value + "\n"));
        }
    }
    Ok(values)
}

/// What a record says in a field, or in a field of a field: of a list, what each of its elements says.
fn within(record: &Line, field: &str) -> Vec<String> {
    let whole = record.field(field).map(|value| vec![value]);
    let parts = || {
        let mut names = field.split('.');
        let mut found: Vec<Value> = names.next().and_then(|name| record.field(name)).into_iter().collect();
        for name in names {
            let inner = found.into_iter().flat_map(|value| match value {
                Value::Array(values) => values,
                value => vec![value],
            });
            found = inner.filter_map(|value| value.get(name).cloned()).collect();
        }
        found
    };
    whole.unwrap_or_else(parts).iter().map(plain).collect()
}

fn holds_records(path: &Path) -> Result<bool> {
    let name = path.display().to_string();
    let named = name.trim_end_matches(".zst").ends_with(".jsonl");
    // A record begins with a brace; a file of tensors would announce a header of that many bytes.
    Ok(named || begins_a_record(path)?)
}

/// A value on a line of its own: text as it is, but for what no line shows.
fn plain(value: &Value) -> String {
    escape::line(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// Whether a regular file begins as records do; whatever is read once alone is not looked into.
fn begins_a_record(path: &Path) -> Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let mut head = [0; 2];
    let read = Source::text(path)?.read_exact(&mut head);
    Ok(read.is_ok() && head == *b"{\"")
}

fn report(recipe: &Recipe, path: &Path, state: Option<&Path>) -> Result<Report> {
    let update = Update::open(recipe, Reader::open(Source::open(path)?)?)?;
    update.report(state.map(open_state).transpose()?)
}

fn inspect_records(path: &Path, name: &str) -> Result<Value> {
    let text = read_text_within(path, Room::any().bytes)?;
    let mut types = std::collections::BTreeMap::<String, usize>::new();
    let mut digests = Vec::new();
    for (i, content) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let place = format!("{name}:{}", i + 1);
        // People write rosters.
        let line = Line::parse(&place, content)
            .or_else(|error| Line::by_hand(&place, content).ok().filter(|l| l.kind() == "roster").ok_or(error))?;
        digests.push(Digest::of(format!("{content}\n").as_bytes()).to_string());
        *types.entry(line.kind().to_owned()).or_default() += 1;
    }
    Ok(
        json!({ "file": name, "kind": "records", "records": types, "digests": digests, "content": Digest::of(text.as_bytes()).to_string() }),
    )
}

fn inspect_tensors(mut reader: Reader) -> Result<Value> {
    let canonical = reader.require_canonical().is_ok();
    let header = reader.header().clone();
    let mut tensors = Vec::new();
    while let Some((info, data)) = reader.next_tensor()? {
        tensors.push(tensor(&info, &data)?);
    }
    let name = reader.name().to_owned();
    let elements: usize = header.tensors.iter().map(TensorInfo::elements).sum();
    let meta = Meta(header.metadata.clone());
    Ok(json!({
        "file": name,
        "kind": meta.opt("kind").unwrap_or("safetensors"),
        "canonical": canonical,
        "content": reader.finish()?.to_string(),
        "bytes": header.to_bytes().len() as u64 + header.data_len(),
        "elements": elements,
        "metadata": header.metadata,
        "tensors": tensors,
    }))
}

fn tensor(info: &TensorInfo, data: &[u8]) -> Result<Value> {
    let mut shown = json!({
        "name": info.name,
        "dtype": info.dtype.to_string(),
        "shape": info.shape,
        "content": Digest::of(data).short(),
    });
    if info.dtype == Dtype::F32 {
        let fields = shown.as_object_mut().ok_or_else(|| Error::bug("a JSON object is one"))?;
        for (key, value) in statistics(data) {
            fields.insert(key.into(), value);
        }
    }
    Ok(shown)
}

/// Minimum, maximum, mean and root mean square, for people: in f64, decimal.
fn statistics(data: &[u8]) -> Vec<(&'static str, Value)> {
    let values = || data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)));
    let finite = values().filter(|v| v.is_finite()).count();
    let mut shown = vec![("non_finite", json!(values().count() - finite))];
    if finite > 0 {
        let (mut low, mut high, mut sum, mut squares) = (f64::MAX, f64::MIN, 0.0, 0.0);
        for v in values().filter(|v| v.is_finite()) {
            low = if v < low { v } else { low };
            high = if v > high { v } else { high };
            sum += v;
            squares += v * v;
        }
        let n = finite as f64;
        let rounded = |v: f64| json!(format!("{v:.6}"));
        shown.extend([
            ("min", rounded(low)),
            ("max", rounded(high)),
            ("mean", rounded(sum / n)),
            ("rms", rounded((squares / n).sqrt())),
        ]);
    }
    shown
}

fn table(shown: &Value, page: &mut Page) {
    let empty = serde_json::Map::new();
    let fields = shown.as_object().unwrap_or(&empty);
    page.line(plain(&shown["file"]));
    for (key, value) in fields
        .iter()
        .filter(|(k, _)| !["file", "tensors", "metadata", "records", "digests", "recipe"].contains(&k.as_str()))
    {
        page.line(format!("  {key}: {}", plain(value)));
    }
    for group in ["metadata", "records"] {
        for (key, value) in shown[group].as_object().unwrap_or(&empty) {
            let value = plain(value);
            let cut: String = value.chars().take(100).collect();
            let dots = if cut.len() < value.len() { "..." } else { "" };
            page.line(format!("  {key} = {cut}{dots}"));
        }
    }
    if let Some(tables) = shown.get("recipe") {
        values("", tables, page);
    }
    for tensor in shown["tensors"].as_array().map_or(&[][..], Vec::as_slice) {
        let mut text = format!("  {} {} {}", plain(&tensor["name"]), plain(&tensor["dtype"]), tensor["shape"]);
        for key in ["min", "max", "mean", "rms", "non_finite"] {
            if let Some(value) = tensor.get(key).filter(|v| **v != json!(0)) {
                text += &format!(" {key} {}", plain(value));
            }
        }
        page.line(text);
    }
}

/// The fields of a recipe, each on a line, by its table and name.
fn values(table: &str, value: &Value, page: &mut Page) {
    match value.as_object() {
        Some(fields) => {
            let dot = if table.is_empty() { "" } else { "." };
            fields.iter().for_each(|(name, value)| values(&format!("{table}{dot}{name}"), value, page));
        }
        None => page.line(format!("  {table} = {value}")),
    }
}
