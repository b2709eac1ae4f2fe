//! `l402 sample`: text from a model.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use serde_json::json;

use super::common::{BaseArg, open, tokenizer_file};
use super::device::{Choice, DeviceArgs};
use crate::artifact::canonical;
use crate::data::chat::{ChatTemplate, Date, Record, TemplateFiles};
use crate::data::{MAX_SEQ_LEN, PromptTokenizer};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::read_text;
use crate::model::{Layout, ModelConfig, ModelFolder};
use crate::sample::{By, Decoder, Request, Rule, Said, Settings, say};
use crate::ui::{self, Page, Stream, Ui};

/// The longest prompt, in bytes.
const MAX_PROMPT: u64 = 16 << 20;
/// What a tokenizer is called in a model's folder.
const TOKENIZER: &str = "tokenizer.json";

/// Print what a model says after a prompt.
///
/// Tokens are drawn by --temperature, --top-k and --top-p from the model's logits, and their text is printed as they come, the
/// prompt left out. The same seed gives the same text on the same machine: logits here are no part of the arithmetic contract.
/// The text ends at a token that ends a text (`eos_token_id` of generation_config.json or config.json, else the tokenizer's), before
/// a --stop, or where there is no room for more.
///
/// A conversation (--chat) is written by the model's chat template, as docs/chat.md has it, up to where the assistant speaks.
///
/// candle-transformers computes the logits where it has the model as it is meant, and keeps what it has read; else our own forward
/// pass does, which reads the whole text again for each token. -v says which, and how fast; docs/sample.md says when.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The model: a Hugging Face folder
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    base: BaseArg,
    #[command(flatten)]
    source: PromptArgs,
    #[command(flatten)]
    template: TemplateArgs,
    /// A Hugging Face tokenizer.json, or `bytes` [default: the model's own; bytes for a model of 257 tokens without one]
    #[arg(long, value_name = "FILE|bytes")]
    tokenizer: Option<PathBuf>,
    /// What logits are divided by; 0 takes the likeliest token [default: generation_config.json's, else 1]
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<f64>,
    /// Draw from the likeliest tokens alone, so many of them; 0 from all [default: generation_config.json's, else all]
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
    /// Draw from the fewest tokens whose probabilities come to this [default: generation_config.json's, else 1]
    #[arg(long, value_name = "P", value_parser = top_p)]
    top_p: Option<f64>,
    /// Other seeds, other texts
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..1 << 53))]
    seed: u64,
    /// The most tokens; the model's context is the most in any case
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// End before this text; as often as there are such texts
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    stop: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print a record of it at the end, and no text before
    #[arg(long)]
    json: bool,
}

/// Where the prompt comes from.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct PromptArgs {
    /// What the model goes on from
    #[arg(help_heading = "The prompt", long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The same from a file, as it stands there; `-` is standard input
    #[arg(help_heading = "The prompt", long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// A conversation, which the assistant answers: JSON, `messages` (and `tools`) or a list of messages; `-` is standard input
    #[arg(help_heading = "The prompt", long, value_name = "FILE")]
    chat: Option<PathBuf>,
}

/// How a conversation becomes a prompt.
#[derive(clap::Args, Debug)]
struct TemplateArgs {
    /// A chat template in the place of the model's
    #[arg(help_heading = "The prompt", long, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    /// The day that a template is told it is, as 2025-03-09
    #[arg(help_heading = "The prompt", long, value_name = "DATE", value_parser = |text: &str| text.parse::<Date>())]
    date: Option<Date>,
}

impl TemplateArgs {
    /// The conversation by the template of the first of these folders that has one, up to where the assistant speaks.
    fn render<'p>(&self, chat: &Path, folders: impl Iterator<Item = &'p Path>) -> Result<String> {
        let source = open(chat)?;
        let name = source.name().to_owned();
        let mut text = source.read_to_end(MAX_PROMPT)?;
        if serde_json::from_slice::<Vec<IgnoredAny>>(&text).is_ok() {
            text = [b"{\"messages\": ", &text[..], b"}"].concat();
        }
        let Record::Conversation(conversation) = Record::parse(&text).at(&name)? else {
            return Err(Error::data(format!("{name}: expected messages, found a prompt and its completion")));
        };
        let mut files = TemplateFiles::default();
        for folder in folders {
            let found = TemplateFiles::read(folder, self.chat_template.as_deref())?;
            files = if files == TemplateFiles::default() { found } else { files.or(found) };
        }
        let template = ChatTemplate::new(files, self.date)?;
        let rendered = template.render(&conversation.messages, conversation.tools.as_ref(), true).at(&name)?;
        Ok(rendered.text)
    }
}

impl PromptArgs {
    /// The prompt's bytes, and whether the tokenizer adds what begins a text: a chat template has that itself.
    fn read<'p>(&self, template: &TemplateArgs, folders: impl Iterator<Item = &'p Path>) -> Result<(Vec<u8>, bool)> {
        match (&self.prompt, &self.prompt_file, &self.chat) {
            (Some(text), ..) => Ok((text.clone().into_bytes(), true)),
            (_, Some(path), _) => Ok((open(path)?.read_to_end(MAX_PROMPT)?, true)),
            (.., Some(chat)) => Ok((template.render(chat, folders)?.into_bytes(), false)),
            _ => Err(Error::bug("the command line lacks what it requires")),
        }
    }
}

/// What it took.
struct Timing {
    prompt: Duration,
    text: Duration,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    let TemplateArgs { chat_template, date } = &args.template;
    if args.source.chat.is_none() && (chat_template.is_some() || date.is_some()) {
        return Err(Error::usage("--chat-template, --date: expected --chat, whose template they are about"));
    }
    let folder = args.base.load(&args.model)?;
    let (prompt, complete) = args.source.read(&args.template, places(&args.model, &folder))?;
    let settings = read_settings(&args.model, &folder)?;
    let rule = Rule {
        temperature: args.temperature.unwrap_or(settings.rule.temperature),
        top_k: args.top_k.map_or(settings.rule.top_k, |k| Some(k as usize).filter(|k| *k > 0)),
        top_p: args.top_p.unwrap_or(settings.rule.top_p),
    };
    let tokenizer = read_tokenizer(args, &folder)?;
    let ends = match settings.ends.is_empty() {
        true => tokenizer.end_of_document().into_iter().collect(),
        false => settings.ends,
    };
    let prompt = tokenizer.encode(&prompt, complete)?;
    let most = room(&folder, &prompt)?.min(args.max_tokens as usize);

    let device = match args.device.device.first {
        Choice::Cpu => Engine::detect().into(),
        _ => args.device.open(ui)?,
    };
    let by = match device.free()? {
        None => By::of(&folder.config, prompt.len() + most),
        Some(_) => By::Own(device.name()),
    };
    let digest = folder.digest;
    let (config, layout, values) = weights(folder)?;
    let mut decoder = Decoder::new(&config, &layout, values, by, prompt.len() + most, device)?;
    ui.detail(match decoder.by() {
        By::Candle(peer) => format!("logits by candle-transformers' {}", peer.name()),
        By::Own(why) => format!("logits by our own forward pass, for candle-transformers has not: {why}"),
    });
    let begun = Instant::now();
    let logits = decoder.push(&prompt)?;
    let prompt_time = begun.elapsed();
    let mut stream = (!args.json).then(Stream::stdout);
    let request = Request { prompt: &prompt, rule, seed: args.seed, most, ends: &ends, stops: args.stop.clone() };
    let said = say(&mut decoder, &tokenizer, request, logits, |piece| match &mut stream {
        Some(stream) => stream.write(piece),
        None => Ok(()),
    })?;
    let timing = Timing { prompt: prompt_time, text: begun.elapsed() - prompt_time };
    match stream {
        Some(stream) => stream.finish()?,
        None => {
            let forward = match decoder.by() {
                By::Candle(peer) => format!("candle {}", peer.name()),
                By::Own(_) => "own".to_owned(),
            };
            let mut page = Page::default();
            page.json(&canonical::json(&json!({
                "finish": said.finish.name(),
                "forward": forward,
                "model": digest,
                "prompt_tokens": prompt.len(),
                "seed": args.seed,
                "temperature": rule.temperature.to_string(),
                "text": said.text,
                "tokens": said.tokens,
                "top_k": rule.top_k.unwrap_or(0),
                "top_p": rule.top_p.to_string(),
                "type": "sample",
                "v": 1,
            })));
            page.print()?;
        }
    }
    tell(ui, prompt.len(), &said, &timing);
    Ok(())
}

/// What computes: a configuration, where its parameters lie, and they themselves, the only copy of them; of an adapter's folder
/// those of the merged model.
fn weights(folder: ModelFolder) -> Result<(ModelConfig, Layout, Vec<f32>)> {
    let config = folder.config.clone();
    let layout = Layout::new(&config);
    Ok((config, layout, folder.into_merged(Engine::detect())?))
}

/// Where the files are that travel with a model: its folder; an adapter's may leave them to the model's.
fn places<'p>(model: &'p Path, folder: &'p ModelFolder) -> impl Iterator<Item = &'p Path> {
    [Some(model), folder.base.as_ref().map(|base| &*base.folder)].into_iter().flatten()
}

/// One of those files.
fn beside(model: &Path, folder: &ModelFolder, name: &str) -> PathBuf {
    let mut paths = places(model, folder).map(|place| place.join(name));
    paths.find(|path| path.exists()).unwrap_or(model.join(name))
}

/// Says how fast it went.
fn tell(ui: &Ui, prompt: usize, said: &Said, timing: &Timing) {
    let rate = |tokens: usize, time: Duration| {
        let seconds = time.as_secs_f64().max(1e-9);
        format!("{tokens} tokens in {seconds:.3} s, {:.1} tokens/s", tokens as f64 / seconds)
    };
    let (read, drawn) = (rate(prompt, timing.prompt), rate(said.tokens, timing.text));
    ui.detail(format!("prompt: {read}; text: {drawn}; ended by {}", said.finish.name()));
}

/// What the folder says of how text is drawn.
fn read_settings(model: &Path, folder: &ModelFolder) -> Result<Settings> {
    let path = beside(model, folder, "generation_config.json");
    let name = path.display().to_string();
    let text = match read_text(&path) {
        Err(error) if error.kind() == Kind::Missing => None,
        text => Some(text?),
    };
    let (place, config_text) = match &folder.base {
        None => (model, &folder.config_text),
        Some(base) => (&*base.folder, &base.config_text),
    };
    let config = place.join("config.json").display().to_string();
    Settings::read(text.as_deref().map(|text| (name.as_str(), text)), (&config, config_text))
}

/// The tokenizer that was named, or that the model has; its tokens must be the model's.
fn read_tokenizer(args: &Args, folder: &ModelFolder) -> Result<PromptTokenizer> {
    let beside = beside(&args.model, folder, TOKENIZER);
    let expected = folder.config.vocab_size;
    let tokenizer = match &args.tokenizer {
        Some(name) if name.as_os_str() == "bytes" => PromptTokenizer::Bytes,
        Some(path) => parse(path)?,
        None if beside.exists() => parse(&beside)?,
        None if expected == PromptTokenizer::Bytes.vocab_size() as usize => PromptTokenizer::Bytes,
        None => {
            let what = format!("{}: no such file, and the model's {expected} tokens are no bytes", beside.display());
            return Err(Error::missing(what).hint("name the tokenizer with --tokenizer"));
        }
    };
    let found = tokenizer.vocab_size();
    if found as usize > expected {
        return Err(Error::refused(format!(
            "tokenizer: expected at most the model's {expected} tokens, found {found}"
        )));
    }
    Ok(tokenizer)
}

fn parse(path: &Path) -> Result<PromptTokenizer> {
    let (name, json) = tokenizer_file(path)?;
    PromptTokenizer::parse(&name, &json)
}

/// Tokens that fit into the model's context after the prompt.
fn room(folder: &ModelFolder, prompt: &[u32]) -> Result<usize> {
    let (context, tokens) = (folder.config.max_position_embeddings.min(MAX_SEQ_LEN), prompt.len());
    if tokens == 0 {
        return Err(Error::data(
            "prompt: expected a token at least, found none: the tokenizer begins no text by itself",
        ));
    }
    if let Some(token) = prompt.iter().find(|token| **token as usize >= folder.config.vocab_size) {
        let vocabulary = folder.config.vocab_size;
        return Err(Error::refused(format!("prompt: token {token}: expected one of the model's {vocabulary}")));
    }
    context.checked_sub(tokens).ok_or_else(|| {
        let expected = format!("at most {context} tokens (max_position_embeddings)");
        Error::data(format!("prompt: expected {expected}, found {tokens}"))
    })
}

fn temperature(text: &str) -> std::result::Result<f64, String> {
    let value = text.parse().map_err(|_| "expected a number".to_owned())?;
    checked(Rule { temperature: value, ..Rule::PLAIN }).map(|rule| rule.temperature)
}

fn top_p(text: &str) -> std::result::Result<f64, String> {
    let value = text.parse().map_err(|_| "expected a number".to_owned())?;
    checked(Rule { top_p: value, ..Rule::PLAIN }).map(|rule| rule.top_p)
}

fn checked(rule: Rule) -> std::result::Result<Rule, String> {
    rule.check().map(|()| rule).map_err(|error| error.to_string())
}
