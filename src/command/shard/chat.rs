//! `l402 shard --chat`: conversations become sequences with marks of what is trained.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::artifact::Writer;
use crate::data::chat::{
    ChatTemplate, ChatTokenizer, Date, Fill, Marked, Packer, Record, Row, TemplateFiles, Turns, conversation_lines,
    trained,
};
use crate::data::{Corpus, Format, MASK, Marking, STARTS, ShardInfo, TOKENS, Tokenizer, to_bytes};
use crate::error::{Context, Error, Result};
use crate::fsio::Source;
use crate::model::base_of;
use crate::ui::Ui;

/// Lines that are worked on together.
const LINES: usize = 256;

/// Instruction data.
#[derive(clap::Args, Debug)]
pub(super) struct ChatArgs {
    /// CORPUS are conversations: JSON Lines with `messages`, or `prompt` and `completion`; what the assistant says is trained
    #[arg(help_heading = "Conversations", long)]
    pub chat: bool,
    /// The model's folder, with chat_template.jinja or tokenizer_config.json [default: the folder of the tokenizer]
    #[arg(help_heading = "Conversations", long, value_name = "DIR", requires = "chat")]
    model: Option<PathBuf>,
    /// A chat template in the place of the model's
    #[arg(help_heading = "Conversations", long, value_name = "FILE", requires = "chat")]
    chat_template: Option<PathBuf>,
    /// The day that a template is told it is, as 2025-03-09
    #[arg(help_heading = "Conversations", long, value_name = "DATE", requires = "chat", value_parser = |text: &str| text.parse::<Date>())]
    date: Option<Date>,
    /// The assistant's turns that are trained
    #[arg(help_heading = "Conversations", long, value_name = "TURNS", requires = "chat", default_value = "all")]
    turns: TurnsArg,
    /// Leave out conversations of which a template without `{% generation %}` does not tell what the assistant says
    #[arg(help_heading = "Conversations", long, requires = "chat")]
    skip_ambiguous: bool,
    /// Put several conversations into a sequence; none sees another
    #[arg(help_heading = "Conversations", long, requires = "chat")]
    pack: bool,
}

/// See [`Turns`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum TurnsArg {
    /// All of them
    All,
    /// The last one of each conversation
    Last,
}

impl ChatArgs {
    /// Conversations (or none) as the defaults have them.
    pub fn plain(chat: bool, pack: bool) -> ChatArgs {
        let (model, chat_template, date) = (None, None, None);
        ChatArgs { chat, model, chat_template, date, turns: TurnsArg::All, skip_ambiguous: false, pack }
    }

    /// What the shards say of their tokens.
    pub fn trained(&self) -> Marking {
        match (self.chat, self.pack) {
            (false, _) => Marking::All,
            (true, false) => Marking::Masked,
            (true, true) => Marking::Packed,
        }
    }
}

/// What makes tokens of a record.
struct Reader<'a> {
    args: &'a ChatArgs,
    files: TemplateFiles,
    template: Option<ChatTemplate>,
    tokenizer: ChatTokenizer,
    /// The token that ends a completion.
    end: u32,
}

impl Reader<'_> {
    /// A record's tokens, or why they are ambiguous.
    fn marked(&self, line: &[u8]) -> Result<std::result::Result<Marked, String>> {
        let conversation = match Record::parse(line)? {
            Record::Text { prompt, completion } => {
                return Ok(Ok(self.tokenizer.encode_pair(&prompt, &completion, self.end)?));
            }
            Record::Conversation(conversation) => conversation,
        };
        let template = match &self.template {
            Some(template) => template,
            None => &ChatTemplate::new(self.files.clone(), self.args.date)?,
        };
        let turns = match self.args.turns {
            TurnsArg::All => Turns::All,
            TurnsArg::Last => Turns::Last,
        };
        match trained(template, &conversation, turns)? {
            Ok(rendered) => Ok(Ok(self.tokenizer.encode(&rendered.text, &rendered.generated)?)),
            Err(why) => Ok(Err(why)),
        }
    }
}

/// Reads all conversations of these files; their sequences go to `put` by their index, marks before tokens.
pub(super) fn read(
    chat: &ChatArgs,
    (files, seq_len): (&[PathBuf], usize),
    (tokenizer, path, json): (&Tokenizer, &Path, Option<&[u8]>),
    mut put: impl FnMut(u64, &[u8]) -> Result<()>,
    ui: &Ui,
) -> Result<Corpus> {
    let corpus = files;
    let folder = match (&chat.model, json) {
        (Some(folder), _) => folder.as_path(),
        (None, Some(_)) => path.parent().unwrap_or(Path::new("")),
        (None, None) => Path::new("."),
    };
    if let Some(folder) = chat.model.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(Error::missing(format!("{}: no such folder", folder.display())));
    }
    let mut files = TemplateFiles::read(folder, chat.chat_template.as_deref())?;
    if let Some(base) = base_of(folder)? {
        files = files.or(TemplateFiles::read(&base, chat.chat_template.as_deref())?);
    }
    let template = files.template.is_some().then(|| ChatTemplate::new(files.clone(), chat.date)).transpose()?;
    let chat_tokenizer = ChatTokenizer::new(&path.display().to_string(), json)?;
    let special = |name: &str| chat_tokenizer.special(name, files.variable(name), tokenizer).at(folder.display());
    let (end, pad) = (special("eos_token")?, special("pad_token")?);
    let reader = Reader { args: chat, files, template, tokenizer: chat_tokenizer, end };

    let vocab_size = tokenizer.vocab_size();
    let mut packer = Packer::new(seq_len, vocab_size, pad, chat.pack);
    let mut bytes = Vec::new();
    let mut emit = |i: u64, row: &Row| {
        bytes.clear();
        bytes.extend_from_slice(&row.mask);
        if chat.pack {
            bytes.extend_from_slice(&row.starts);
        }
        to_bytes(&row.tokens, vocab_size, &mut bytes);
        put(i, &bytes)
    };
    // A compressed file is shorter than its lines: the bar may be full early.
    let progress = ui.progress("reading", corpus.iter().map(|path| fs::metadata(path).map_or(0, |m| m.len())).sum());
    let (mut done, mut ambiguous) = (0, 0u64);
    for path in corpus {
        if Format::of(path) == Format::Parquet {
            return Err(Error::usage(format!("{}: --chat: expected JSON Lines, found parquet", path.display())));
        }
        let source = Source::corpus(path)?;
        let name = source.name().to_owned();
        conversation_lines(&name, source, LINES, |lines| {
            let marked: Vec<_> = lines.par_iter().map(|(_, line)| reader.marked(line)).collect();
            for ((number, _), marked) in lines.iter().zip(marked) {
                let place = format!("{name}:{number}");
                match marked.at(&place)? {
                    Ok(marked) => packer.push(marked, &mut emit).at(&place)?,
                    Err(_) if chat.skip_ambiguous => ambiguous += 1,
                    Err(why) => {
                        return Err(Error::data(format!("{place}: it is ambiguous what the assistant says: {why}")).hint(
                            "--turns last trains the last turn alone, --skip-ambiguous leaves such conversations out, and a \
                             template with {% generation %} says what is trained",
                        ));
                    }
                }
            }
            done += lines.iter().map(|(_, line)| line.len() as u64).sum::<u64>();
            progress.at(done);
            Ok(())
        })?;
    }
    drop(progress);
    let (digest, fill) = packer.finish(&tokenizer.id(), &mut emit)?;
    let Fill { sequences, conversations, cut, untrained, tokens, trained } = fill;
    if conversations == 0 {
        return Err(Error::data(format!(
            "no conversation has a token that is trained: {untrained} have none within {} tokens, {ambiguous} are ambiguous",
            seq_len + 1
        ))
        .hint("records in which the assistant speaks, or longer sequences (--seq-len)"));
    }
    let part = trained as f64 * 100.0 / tokens as f64;
    let left = [("without a trained token", untrained), ("ambiguous", ambiguous)];
    let left = left.map(|(what, n)| if n == 0 { String::new() } else { format!("; {n} {what} left out") });
    ui.say(format!(
        "{conversations} conversations in {sequences} sequences: {trained} of their {tokens} tokens are trained ({part:.1} %); {cut} \
         cut at {} tokens{}",
        seq_len + 1,
        left.concat()
    ));
    Ok(Corpus { digest, tokens, sequences, dropped: 0 })
}

/// Writes the tensors of a shard of conversations, from its sequences as the spool has them.
pub(super) fn write<W: Write>(writer: &mut Writer<W>, info: &ShardInfo, mut data: impl Read) -> Result<()> {
    let mut all = Vec::new();
    data.read_to_end(&mut all).map_err(|e| Error::io("the spool", &e))?;
    tensors(info, &all).iter().try_for_each(|(tensor, data)| writer.bytes(tensor, data))
}

fn tensors(info: &ShardInfo, data: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let width = info.seq_len + 1;
    let marks = info.trained.tensors();
    let of_a_sequence = width * (marks.len() + info.dtype().bitsize() / 8);
    let part = |from: usize, to: usize| data.chunks_exact(of_a_sequence).flat_map(|s| &s[from..to]).copied().collect();
    let mut tensors = vec![(MASK, part(0, width))];
    if marks.len() == 2 {
        tensors.push((STARTS, part(width, 2 * width)));
    }
    tensors.push((TOKENS, part(marks.len() * width, of_a_sequence)));
    tensors
}
