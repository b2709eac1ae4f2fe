//! `l402 shard`: a corpus becomes shards of tokens.

mod chat;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::made::about;
use super::{corpora, specials};
use crate::artifact::Writer;
use crate::artifact::record::Line;
use crate::command::args::OutputDirArgs;
use crate::data::{
    Corpus, Cutter, Documents, Encoder, FEWEST_TOKENS, Format, MANIFEST, MAX_SEQ_LEN, MAX_VOCAB, Manifest, ShardEntry,
    ShardInfo, Split, TOKENS, Tokenizer, Trained, Words, read_json_lines, read_parquet, read_text, to_bytes,
    train_tokenizer, word_cuts,
};
use crate::error::{Error, IoContext, Kind, Result};
use crate::fsio::{OutDir, Outcome, Source, Spool, Target};
use crate::ui::{Progress, Ui};

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
    /// Where the shards go.
    #[command(flatten)]
    output: OutputDirArgs,
}

/// What standard input, which has no name, holds.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Streamed {
    /// One document
    Text,
    /// A document a line
    Jsonl,
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
        false => read_corpus(args, &files, &deal, &tokenizer, &mut spool, ui)?,
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
    read_documents(args, files, &mut words, "counting words", ui)?;
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
    tokenizer: &Tokenizer,
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
    });
    read_documents(args, files, &mut encoder, "reading", ui)?;
    encoder.flush()?;
    drop(encoder);
    Ok(cutter.finish(&tokenizer.id()))
}

/// Reads all documents of the corpus.
fn read_documents(
    args: &Args,
    files: &[PathBuf],
    documents: &mut impl Documents,
    what: &'static str,
    ui: &Ui,
) -> Result<()> {
    let sizes: Vec<u64> = files.iter().map(|path| size(path)).collect();
    let progress = ui.progress(what, sizes.iter().sum());
    let mut before = 0;
    for (path, size) in files.iter().zip(sizes) {
        let format = match args.format {
            Some(Streamed::Jsonl) if path.as_os_str() == "-" => Format::JsonLines,
            _ => Format::of(path),
        };
        if format == Format::Parquet {
            let (name, file) = (path.display().to_string(), File::open(path).path(path)?);
            read_parquet(&name, file, &args.text_field, documents, &mut |done| {
                progress.at(before + done.min(size));
            })?;
        } else {
            let source = Source::corpus(path)?;
            let name = source.name().to_owned();
            let counted = Counted { source, progress: &progress, before, size, read: 0 };
            if format == Format::JsonLines {
                read_json_lines(&name, counted, &args.text_field, documents)?;
            } else {
                read_text(&name, counted, documents)?;
            }
        }
        before += size;
        progress.at(before);
    }
    Ok(())
}

/// The size of a file, for the progress alone.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
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

/// A source whose reading shows as progress.
struct Counted<'a> {
    source: Source,
    progress: &'a Progress,
    before: u64,
    size: u64,
    read: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buf)?;
        self.read += n as u64;
        // What is read of a compressed file is more than its size.
        self.progress.at(self.before + self.read.min(self.size));
        Ok(n)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;
    use parquet::basic::Compression;

    use super::*;
    use crate::artifact::record;
    use crate::data::{Shard, testing};
    use crate::error::Kind;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// Runs the verb in a folder, by its arguments.
    pub fn shard(folder: &Path, line: &str) -> Result<()> {
        let words = line.split(' ').map(|word| match word.split_once('@') {
            Some(("", name)) => folder.join(name).into_os_string(),
            _ => word.into(),
        });
        let line = Line::try_parse_from(std::iter::once("shard".into()).chain(words)).unwrap();
        run(&line.args, &Ui::new(true, 0))
    }

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect()
    }

    /// The sequences of every shard, by the order in which they were dealt out.
    fn sequences(folder: &Path) -> Vec<Vec<u32>> {
        let lines = record::read_lines(&folder.join(MANIFEST)).unwrap();
        let manifest = Manifest::parse(&lines).unwrap();
        let shards: Vec<Shard> = manifest
            .entries()
            .iter()
            .map(|entry| {
                let source = Source::open(&folder.join(&entry.file)).unwrap();
                let shard = Shard::open(source).unwrap();
                entry.agrees(shard.info()).unwrap();
                assert_eq!(shard.digest(), entry.digest);
                shard
            })
            .collect();
        let total: usize = shards.iter().map(Shard::sequences).sum();
        (0..total).map(|i| shards[i % shards.len()].sequence(i / shards.len()).collect()).collect()
    }

    fn documents() -> Vec<String> {
        (0..400).map(|i| format!("document {i}: the worker sends update {}\n", i * i)).collect()
    }

    #[test]
    fn text_json_lines_and_parquet_of_the_same_documents_make_the_same_shards() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let documents = documents();
        let mut texts = String::new();
        for (i, document) in documents.iter().enumerate() {
            fs::write(at(&format!("{i}.txt")), document).unwrap();
            texts += &format!("@{i}.txt ");
        }
        let json: String = documents.iter().map(|d| format!("{}\n", serde_json::json!({"n": 1, "body": d}))).collect();
        let zst = zstd::encode_all(json.as_bytes(), 3).unwrap();
        fs::write(at("c.jsonl.zst"), zst).unwrap();
        let rows: Vec<Option<&str>> = documents.iter().map(|d| Some(d.as_str())).collect();
        let table = testing::parquet(&rows, 150, Compression::SNAPPY);
        fs::write(at("c.parquet"), table).unwrap();
        fs::write(at("bpe.json"), testing::bpe()).unwrap();
        for tokenizer in ["bytes", "@bpe.json"] {
            let rest = format!("--tokenizer {tokenizer} --seq-len 16 --shards 3 --val-shards 2");
            for corpus in [&texts, "@c.jsonl.zst --text-field body ", "@c.parquet "] {
                shard(place.path(), &format!("{corpus}{rest} -o @out")).unwrap();
            }
            let made = files(&at("out"));
            assert_eq!(made.len(), if tokenizer == "bytes" { 6 } else { 7 });
            fs::remove_dir_all(at("out")).unwrap();
        }
    }

    #[test]
    fn the_sequences_are_the_documents_with_their_separators_and_no_two_shards_share_one() {
        let place = tempfile::tempdir().unwrap();
        let text = |n: u32| (0..n).map(|i| format!("{i} ")).collect::<String>();
        fs::write(place.path().join("a"), text(30_000)).unwrap();
        fs::write(place.path().join("b"), text(9)).unwrap();
        shard(place.path(), "@a @b --tokenizer bytes --seq-len 10 --shards 4 -o @out").unwrap();
        let mut expected: Vec<u32> = Vec::new();
        for text in [text(30_000), text(9)] {
            expected.extend(text.bytes().map(u32::from));
            expected.push(256);
        }
        let found = sequences(&place.path().join("out"));
        assert_eq!(found.len(), (expected.len() - 1) / 10);
        for (i, sequence) in found.iter().enumerate() {
            assert_eq!(sequence, &expected[i * 10..i * 10 + 11], "sequence {i}");
        }
        assert!(!place.path().join("out/spool").exists());
    }

    #[test]
    fn sequences_are_dealt_out_in_turn_unless_a_fraction_says_how_many_are_held_out() {
        for (train, val) in [(1, 0), (1, 1), (4, 1), (3, 2)] {
            let deal = Deal { train, val, val_ppm: None };
            assert!((0..200).all(|i| deal.slot(i) as u64 == i % (train + val)), "{train} {val}");
        }
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a"), "0123456789".repeat(4001)).unwrap();
        let counts = |more: &str| {
            shard(place.path(), &format!("@a --tokenizer bytes --seq-len 10 --shards 2 {more} -o @out")).unwrap();
            let lines = record::read_lines(&place.path().join("out").join(MANIFEST)).unwrap();
            let manifest = Manifest::parse(&lines).unwrap();
            fs::remove_dir_all(place.path().join("out")).unwrap();
            manifest.entries().iter().map(|entry| entry.sequences).collect::<Vec<_>>()
        };
        assert_eq!(counts("--val-shards 1"), [1334, 1334, 1333]);
        assert_eq!(counts("--val-fraction 0.05"), [1901, 1900, 200]);
        assert_eq!(counts("--val-fraction 0.5 --val-shards 3"), [1001, 1000, 667, 667, 666]);
        let refuse = |more: &str, kind: Kind, part: &str| {
            let line = format!("@a --tokenizer bytes --seq-len 10 --shards 2 {more} -o @out");
            let error = shard(place.path(), &line).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        };
        refuse("--val-fraction 0.0001", Kind::Data, "found 4001 sequences, 0 of them held out for 1 validation shards");
        refuse("--val-fraction 0.1 --val-shards 0", Kind::Usage, "--val-fraction");
    }

    #[test]
    fn a_large_vocabulary_takes_32_bits_and_the_tokenizer_goes_along() {
        let place = tempfile::tempdir().unwrap();
        let json = testing::words("null", "</s>", 70_000);
        fs::write(place.path().join("t.json"), &json).unwrap();
        fs::write(place.path().join("a"), "a".repeat(9)).unwrap();
        shard(place.path(), "@a @a --tokenizer @t.json --seq-len 4 --shards 2 --val-shards 0 -o @out").unwrap();
        let out = place.path().join("out");
        let last = [0, 70_000, 0, 0, 0];
        assert_eq!(sequences(&out)[2 - 1], [0, 0, 0, 0, 0]);
        assert_eq!(sequences(&out)[2], last);
        assert_eq!(files(&out)["tokenizer.json"], json.into_bytes());
        assert_eq!(files(&out).len(), 4);
    }

    #[test]
    fn what_cannot_be_sharded_is_refused_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a"), "few").unwrap();
        fs::write(place.path().join("a.jsonl"), "{").unwrap();
        fs::write(place.path().join("a.parquet"), "PAR1").unwrap();
        fs::write(place.path().join("t.json"), "{}").unwrap();
        for (line, kind, part) in [
            ("@a --tokenizer bytes", Kind::Data, "found 0 sequences"),
            ("@a.jsonl --tokenizer bytes", Kind::Data, "a.jsonl:1: "),
            ("@a.parquet --tokenizer bytes", Kind::Data, "a.parquet: "),
            ("@a --tokenizer @t.json", Kind::Data, "t.json: not a tokenizer"),
            ("@none --tokenizer bytes", Kind::Missing, "none: no such file"),
            ("@a --tokenizer bytes --eod x", Kind::Usage, "--eod"),
        ] {
            let line = format!("{line} --seq-len 8 --shards 2 -o @out");
            let error = shard(place.path(), &line).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 4);
        }
    }
}
