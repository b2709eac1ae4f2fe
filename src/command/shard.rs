//! `l402 shard`: a corpus becomes shards of tokens.

mod chat;
mod kept;
mod read;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::made::about;
use super::{corpora, specials};
use crate::artifact::Writer;
use crate::artifact::record::Line;
use crate::command::args::OutputDirArgs;
use crate::data::{
    Corpus, Cutter, Encoder, FEWEST_TOKENS, MANIFEST, MAX_SEQ_LEN, MAX_VOCAB, Manifest, ShardEntry, ShardInfo, Split,
    TOKENS, Tokenizer, Trained, Words, to_bytes, train_tokenizer, word_cuts,
};
use crate::error::{Error, IoContext, Kind, Result};
use crate::fsio::{OutDir, Outcome, Pieces, Spool, Target};
use crate::ui::Ui;
use kept::Kept;
use read::{Streamed, read_documents};

/// What a tokenizer is called beside its shards.
const TOKENIZER: &str = "tokenizer.json";
/// Bytes of tokens kept in memory before they go to disk.
const SPOOL_BYTES: usize = if cfg!(test) { 1 << 12 } else { 64 << 20 };

/// Cut a corpus into shards of token sequences.
///
/// A text file is one document. A file of JSON Lines (`*.jsonl`, `*.json`) has one a line, a parquet file one a row,
/// both in the field that --text-field names. zstd and gzip around text and JSON Lines are undone, where the name ends in
/// `.zst` or `.gz`. `-` is standard input: text, or what --format says, as it is.
///
/// A folder stands for the files in it and in its folders, in the order of their names' bytes: `.txt`, `.md`, `.text`, `.jsonl`,
/// `.json` and `.parquet`. Others are passed over and counted, hidden ones are passed over. A pattern in quotes stands for
/// the files that it matches: `*` and `?` within a name, `**` for any number of folders, as 'data/**/*.jsonl'. Links to files
/// are followed, links to folders only where they are named themselves.
///
/// Every document is followed by the end-of-document token, and the stream of all documents, in the order of the
/// command line, is cut into sequences of N + 1 tokens, each beginning with the last token of the one before. Sequences
/// are dealt out to the training and validation shards in turn, so each of them covers the whole corpus, and validation
/// gets as much of it as it has of the shards: a third with two training shards and one to validate, unless --val-fraction
/// says otherwise. An incomplete last sequence is dropped. The same corpus makes the same bytes everywhere.
///
/// `bytes` as tokenizer takes the values of bytes, and 256 as the end of a document. A tokenizer.json gives a long document the
/// tokens that it gives to the whole; text that spells a special token is taken as text. Where a tokenizer_config.json or
/// special_tokens_map.json lies beside a file named tokenizer.json, documents end with its eos_token, and begin with its
/// bos_token if add_bos_token is true; --eod and --bos go before it.
///
/// --train-tokenizer trains one on the corpus first, which is read twice: byte-pair encoding over bytes, every digit by
/// itself. It lies beside the shards then, as tokenizer.json. The same corpus makes the same one everywhere.
///
/// With --chat the corpus are conversations, one a line, written by the model's chat template: each becomes a sequence of its own,
/// cut or filled up, or several share one (--pack), and only what the assistant says is trained. See docs/chat.md.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Files of text, JSON Lines or parquet, by extension; folders of them; patterns
    #[arg(required = true, value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// `bytes`, or a Hugging Face tokenizer.json
    #[arg(long, value_name = "FILE|bytes", required_unless_present = "train_tokenizer")]
    tokenizer: Option<PathBuf>,
    /// Train a tokenizer of exactly N tokens on the corpus
    #[arg(long, value_name = "N", conflicts_with_all = ["tokenizer", "eod", "bos", "chat"],
          value_parser = clap::value_parser!(u32).range(i64::from(FEWEST_TOKENS)..=i64::from(MAX_VOCAB)))]
    train_tokenizer: Option<u32>,
    /// Tokens a sequence, targets not counted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_SEQ_LEN as i64))]
    seq_len: u32,
    /// Training shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: u32,
    /// Validation shards
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    val_shards: u32,
    /// The part of the sequences that is held out for validation, as 0.05 [default: the validation shards' part of all]
    #[arg(long, value_name = "PART", value_parser = part)]
    val_fraction: Option<u32>,
    /// The field or column that holds the text
    #[arg(long, value_name = "NAME", default_value = "text", conflicts_with = "chat")]
    text_field: String,
    /// What standard input holds
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Streamed>,
    /// The token that ends a document [default: the eos_token beside the tokenizer; else <|endoftext|>, </s>, <|end_of_text|> or
    /// <eos>, whichever there is first]
    #[arg(long, value_name = "TOKEN", conflicts_with = "chat")]
    eod: Option<String>,
    /// The token that begins a document, or `none` [default: the bos_token beside the tokenizer, if add_bos_token is true]
    #[arg(long, value_name = "TOKEN|none", conflicts_with = "chat")]
    bos: Option<String>,
    #[command(flatten)]
    chat: chat::ChatArgs,
    #[command(flatten)]
    kept: kept::KeptArgs,
    /// Where the shards go.
    #[command(flatten)]
    output: OutputDirArgs,
}

/// A part as 0.05, in parts per million.
fn part(text: &str) -> std::result::Result<u32, String> {
    let part = text.parse::<f64>().ok().map(|part| (part * 1e6).round()).filter(|ppm| (1.0..1e6).contains(ppm));
    part.map(|ppm| ppm as u32).ok_or_else(|| "expected a part above 0 and below 1, as 0.05".into())
}

/// Which shard a sequence goes to: training slots first.
struct Deal {
    train: u64,
    val: u64,
    /// Parts per million that are held out, where that is not what the numbers of shards say.
    val_ppm: Option<u32>,
}

impl Deal {
    /// How many of the first `n` sequences are held out.
    fn held_out(&self, n: u64) -> u64 {
        match self.val_ppm {
            Some(ppm) => (u128::from(n) * u128::from(ppm) / 1_000_000) as u64,
            None => {
                let slots = self.train + self.val;
                n / slots * self.val + (n % slots).saturating_sub(self.train)
            }
        }
    }

    fn slot(&self, i: u64) -> usize {
        let before = self.held_out(i);
        let slot = match self.held_out(i + 1) > before {
            true => self.train + before % self.val,
            false => (i - before) % self.train,
        };
        slot as usize
    }
}

impl Args {
    /// A corpus cut as the defaults have it.
    pub(super) fn plain(
        (corpus, chat, pack): (&[PathBuf], bool, bool),
        tokenizer: &Path,
        seq_len: u32,
        (shards, val_shards): (u32, u32),
        output: OutputDirArgs,
    ) -> Args {
        Args {
            corpus: corpus.to_vec(),
            tokenizer: Some(tokenizer.to_owned()),
            train_tokenizer: None,
            seq_len,
            shards,
            val_shards,
            val_fraction: None,
            text_field: "text".into(),
            format: None,
            eod: None,
            bos: None,
            chat: chat::ChatArgs::plain(chat, pack),
            kept: kept::KeptArgs::default(),
            output,
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    make(args, &args.output.output, ui)
}

/// Makes the shards, which are to be called `name` once all is done.
pub(super) fn make(args: &Args, name: &Path, ui: &Ui) -> Result<()> {
    let deal = Deal { train: args.shards.into(), val: args.val_shards.into(), val_ppm: args.val_fraction };
    if deal.val_ppm.is_some() && deal.val == 0 {
        return Err(Error::usage("--val-fraction: expected a validation shard to hold it, found --val-shards 0"));
    }
    let streamed = args.corpus.iter().any(|path| path.as_os_str() == "-");
    if args.format.is_some() && !streamed {
        return Err(Error::usage("--format: files are what their extensions say; expected `-` among them, found none"));
    }
    if args.train_tokenizer.is_some() && streamed {
        return Err(Error::usage("--train-tokenizer: a corpus on standard input cannot be read twice"));
    }
    // What is malformed is said before a folder is searched.
    let chosen = load_tokenizer(args)?;
    let files = corpora::files(&args.corpus, &args.output.output, ui)?;
    let Chosen { tokenizer, beside, said } = match args.train_tokenizer {
        Some(size) => train(args, &files, size, ui)?,
        None => chosen,
    };
    said.iter().filter(|_| !args.chat.chat).for_each(|said| ui.say(said));
    if !args.output.force {
        check_place(args, &tokenizer)?;
    }
    let mut kept = args.kept.open(&tokenizer, &args.output, ui)?;
    let out = OutDir::create(&args.output.output, args.output.force)?;
    let slots = (args.shards + args.val_shards) as usize;
    let mut spool = Spool::create(out.path("spool"), slots, SPOOL_BYTES)?;
    let corpus = match args.chat.chat {
        true => {
            let put = |i: u64, bytes: &[u8]| spool.append(deal.slot(i), bytes);
            let json = beside.iter().find(|(name, _)| *name == TOKENIZER).map(|(_, json)| &json[..]);
            let tokenizer = (&tokenizer, args.tokenizer.as_deref().unwrap_or(Path::new("bytes")), json);
            chat::read(&args.chat, (&files, args.seq_len as usize), tokenizer, put, ui)?
        }
        false => {
            let kept = kept.as_mut().map(|kept| &mut kept.pieces);
            read_corpus(args, &files, &deal, (&tokenizer, kept), &mut spool, ui)?
        }
    };
    let held_out = deal.held_out(corpus.sequences);
    if corpus.sequences - held_out < deal.train || held_out < deal.val {
        return Err(Error::data(format!(
            "the corpus has {} tokens: expected at least a sequence for each of {slots} shards, found {} sequences, {held_out} \
             of them held out for {} validation shards",
            corpus.tokens, corpus.sequences, deal.val
        ))
        .hint("fewer shards, shorter sequences, or more text"));
    }
    let entries = write_shards(args, &tokenizer, &corpus, &mut spool, &out)?;
    spool.finish()?;
    put(&out, MANIFEST, Manifest::new(entries)?.text()?.as_bytes())?;
    beside.iter().try_for_each(|(name, content)| put(&out, name, content))?;
    let outcome = out.finish()?;
    kept.map_or(Ok(()), Kept::remove)?;
    ui.say(format!(
        "{}: {} tokens in {} sequences of {}, {} training and {} validation shards; {held_out} sequences ({:.1} %) are held out \
         for validation; {} tokens at the end dropped{}",
        name.display(),
        corpus.tokens,
        corpus.sequences,
        args.seq_len,
        args.shards,
        args.val_shards,
        held_out as f64 * 100.0 / corpus.sequences as f64,
        corpus.dropped,
        if outcome == Outcome::UpToDate { "; up to date" } else { "" }
    ));
    Ok(())
}

/// Refuses shards in the place of others (73), as far as their list tells before the corpus is read.
fn check_place(args: &Args, tokenizer: &Tokenizer) -> Result<()> {
    let list = Target::new(Some(&args.output.output.join(MANIFEST)), false);
    let differs = |lines: &[Line]| {
        let manifest = Manifest::parse(lines)?;
        let count = |split| manifest.split(split).count() as u32;
        let other = |e: &ShardEntry| e.tokenizer != tokenizer.id() || e.seq_len != u64::from(args.seq_len);
        let differs = [
            ("tokenizer or length of sequences", manifest.entries().iter().any(other)),
            ("number of training shards", count(Split::Train) != args.shards),
            ("number of validation shards", count(Split::Val) != args.val_shards),
        ];
        Ok(differs.iter().find(|(_, differs)| *differs).map(|(what, _)| (*what).to_owned()))
    };
    about(&list, differs).map_err(|error| match error.kind() {
        Kind::Exists => Error::new(Kind::Exists, format!("{}: exists: {error}", args.output.output.display()))
            .hint("--force replaces it"),
        _ => error,
    })
}

/// A tokenizer, the files of it that go beside the shards, and what there is to say of it.
struct Chosen {
    tokenizer: Tokenizer,
    beside: Vec<(&'static str, Vec<u8>)>,
    said: Option<String>,
}

/// The tokenizer that is named; bytes, where one is yet to be trained.
fn load_tokenizer(args: &Args) -> Result<Chosen> {
    let Some(path) = args.tokenizer.as_ref().filter(|path| path.as_os_str() != "bytes") else {
        for (flag, given) in [("--eod", &args.eod), ("--bos", &args.bos)] {
            if given.is_some() {
                return Err(Error::usage(format!(
                    "{flag}: bytes have an end-of-document token of their own, and no other"
                )));
            }
        }
        return Ok(Chosen { tokenizer: Tokenizer::Bytes, beside: Vec::new(), said: None });
    };
    let (tokenizer, json, said) = specials::read(path, args.eod.as_deref(), args.bos.as_deref())?;
    Ok(Chosen { tokenizer, beside: vec![(TOKENIZER, json)], said: Some(said) })
}

/// A tokenizer of so many tokens for this corpus.
fn train(args: &Args, files: &[PathBuf], size: u32, ui: &Ui) -> Result<Chosen> {
    let cuts = word_cuts();
    let mut words = Words::new(&cuts);
    read_documents(files, (args.format, &args.text_field), &mut words, "counting words", ui)?;
    let Trained { tokenizer: json, config, forgotten } = train_tokenizer(words, size)?;
    let tokenizer = Tokenizer::parse("tokenizer.json", json.as_bytes(), None)?;
    let rare = match forgotten {
        0 => String::new(),
        n => format!("; {n} rare words were left out"),
    };
    let said = format!("tokenizer.json: {size} tokens, trained on this corpus, {}{rare}", tokenizer.id());
    let beside = vec![(TOKENIZER, json.into_bytes()), ("tokenizer_config.json", config.into_bytes())];
    Ok(Chosen { tokenizer, beside, said: Some(said) })
}

/// Reads the whole corpus and leaves its sequences in the spool, each in its slot.
fn read_corpus(
    args: &Args,
    files: &[PathBuf],
    deal: &Deal,
    (tokenizer, kept): (&Tokenizer, Option<&mut Pieces>),
    spool: &mut Spool,
    ui: &Ui,
) -> Result<Corpus> {
    let vocab_size = tokenizer.vocab_size();
    let mut cutter = Cutter::new(args.seq_len as usize, vocab_size);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(tokenizer, |tokens: &[u32]| {
        cutter.push(tokens, |i, sequence| {
            bytes.clear();
            to_bytes(sequence, vocab_size, &mut bytes);
            spool.append(deal.slot(i), &bytes)
        })
    })
    .keep(kept);
    read_documents(files, (args.format, &args.text_field), &mut encoder, "reading", ui)?;
    encoder.flush()?;
    drop(encoder);
    Ok(cutter.finish(&tokenizer.id()))
}

fn write_shards(
    args: &Args,
    tokenizer: &Tokenizer,
    corpus: &Corpus,
    spool: &mut Spool,
    out: &OutDir,
) -> Result<Vec<ShardEntry>> {
    let train = (0..args.shards).map(|i| (Split::Train, i, args.shards));
    let val = (0..args.val_shards).map(|i| (Split::Val, i, args.val_shards));
    let mut entries = Vec::new();
    for (slot, (split, index, of)) in train.chain(val).enumerate() {
        let (len, data) = spool.take(slot)?;
        let mut info = ShardInfo {
            tokenizer: tokenizer.id(),
            vocab_size: tokenizer.vocab_size(),
            seq_len: args.seq_len as usize,
            split,
            index: index.into(),
            of: of.into(),
            corpus: corpus.digest,
            sequences: 0,
            trained: args.chat.trained(),
        };
        let width = (info.seq_len + 1) * (info.dtype().bitsize() / 8 + info.trained.tensors().len());
        info.sequences = len as usize / width;
        let name = split.file_name(info.index);
        let mut header = info.header();
        // A conversation begins as its template has it.
        if let Some(begin) = tokenizer.begin_of_document().filter(|_| !args.chat.chat) {
            header.metadata.insert("l402.bos".into(), begin.to_string());
        }
        let mut writer = Writer::new(&name, out.file(&name)?, header)?;
        match args.chat.chat {
            true => chat::write(&mut writer, &info, data)?,
            false => writer.stream(TOKENS, len as usize, data)?,
        }
        let (mut file, digest) = writer.finish()?;
        file.flush().path(&out.path(&name))?;
        entries.push(ShardEntry::new(&info, digest));
    }
    Ok(entries)
}

fn put(out: &OutDir, name: &str, content: &[u8]) -> Result<()> {
    let path = out.path(name);
    let mut file = out.file(name)?;
    file.write_all(content).path(&path)?;
    file.flush().path(&path)
}

#[cfg(test)]
pub(super) mod tests;
