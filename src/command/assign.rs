//! `l402 assign`: who works on what.

use std::path::{Path, PathBuf};

use crate::artifact::key::SigningKey;
use crate::artifact::{Digest, Reader, Recipe, record};
use crate::cli::OutputArgs;
use crate::data::{Draw, MANIFEST, Manifest, Roster, ShardInfo};
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{Outcome, Source};
use crate::ui::Ui;

/// Assign training shards to workers, one signed `assignment` record a worker.
///
/// Shards and workers are shuffled by digests of recipe, round, beacon and the shard or worker, and dealt out in turn:
/// even, not to be foreseen before the beacon, and the same for whoever draws again. The record also decides the order
/// in which the worker goes through its shard.
///
/// Shard files are checked by their headers; `train` checks their digests.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run's recipe
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// The round
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 53))]
    round: u64,
    /// The folder that `shard` made
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// Who works: `a,b=PUBLICKEY,c`, or a file of `roster` records, its name ending in .jsonl or containing a slash
    #[arg(long, value_name = "LIST|FILE")]
    workers: String,
    /// 32 bytes in hex that nobody knew when the roster closed
    #[arg(long, value_name = "HEX")]
    beacon: Digest,
    /// The coordinator's key file, see `key`; without it the records are unsigned, for experiments of one's own
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where the records go.
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let recipe = Recipe::load(&args.recipe)?;
    let roster = roster(&args.workers)?;
    let key = args.key.as_deref().map(SigningKey::load).transpose()?;
    let manifest = load_shards(&args.shards, &recipe)?;
    let draw = Draw { run: recipe.digest(), round: args.round, beacon: args.beacon };
    let mut assignments = draw.assign(&manifest, &roster).at(args.shards.join(MANIFEST).display())?;
    let mut text = String::new();
    for assignment in &mut assignments {
        if let Some(key) = &key {
            assignment.sign(key)?;
        }
        text += &record::line(assignment)?;
    }
    if key.is_none() {
        ui.say("the assignments are unsigned; --key signs them");
    }
    if target.write_text(&text)? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    Ok(())
}

/// A file by its name, never by whether one happens to be there.
fn roster(workers: &str) -> Result<Roster> {
    let plain = workers.strip_suffix(".zst").unwrap_or(workers);
    let is_file =
        !workers.contains([',', '=']) && (workers == "-" || workers.contains('/') || plain.ends_with(".jsonl"));
    let path = Path::new(workers);
    if is_file {
        return Roster::parse_lines(&record::read_lines(path)?).at(workers);
    }
    if path.is_file() {
        return Err(Error::usage(format!("--workers {workers}: this is a file, and could be a worker's id"))
            .hint(format!("name the file ./{workers}")));
    }
    Roster::parse_list(workers).map_err(|e| Error::new(Kind::Usage, e.to_string()).at("--workers"))
}

/// The list of the shards, which must be those of the recipe and be there.
fn load_shards(folder: &Path, recipe: &Recipe) -> Result<Manifest> {
    let list = folder.join(MANIFEST);
    let manifest = Manifest::parse(&record::read_lines(&list)?).at(list.display())?;
    manifest.agrees(&recipe.data).at(list.display())?;
    for entry in manifest.entries() {
        let reader = Reader::open(Source::open(&folder.join(&entry.file))?)?;
        entry.agrees(&ShardInfo::read(&reader)?).at(folder.display())?;
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_from_a_file_by_its_form() {
        assert_eq!(roster("ann,bob").unwrap().members().len(), 2);
        assert_eq!(roster("ann").unwrap().members().len(), 1);
        assert_eq!(roster("no-such-roster.jsonl").unwrap_err().kind(), Kind::Missing);
        assert_eq!(roster("./no-such-roster").unwrap_err().kind(), Kind::Missing);
        let twice = roster("ann,ann").unwrap_err();
        assert_eq!(twice.kind(), Kind::Usage);
        assert!(twice.to_string().contains("ann: listed twice"), "{twice}");
    }
}
