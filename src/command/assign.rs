//! `l402 assign`: who works on what.

use std::path::{Path, PathBuf};

use super::node::{NodeArgs, with_signer};
use crate::artifact::beacon::Purpose;
use crate::artifact::record::Signer;
use crate::artifact::{Reader, Recipe, Room, record};
use crate::command::args::OutputArgs;
use crate::command::drawn::BeaconArg;
use crate::data::{Draw, MANIFEST, Manifest, Roster, SHARD_HEADER, ShardInfo};
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{Outcome, Source, Target, read_text_within};
use crate::score::ListClosing;
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
    /// What nobody knew when the roster closed: a file of `l402 beacon a`, or 32 bytes in hex, which are taken on trust
    #[arg(long, value_name = "HEX|FILE")]
    beacon: BeaconArg,
    /// The coordinator's key file, see `key`; or name a node. Without either the records are unsigned, for experiments
    /// of one's own
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc_file", "lightning_dir"])]
    key: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
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
    with_signer(args.key.as_deref(), &args.node, |signer| assign(args, &target, &recipe, &roster, signer, ui))
}

fn assign(
    args: &Args,
    target: &Target,
    recipe: &Recipe,
    roster: &Roster,
    signer: Option<&dyn Signer>,
    ui: &Ui,
) -> Result<()> {
    let manifest = load_shards(&args.shards, recipe)?;
    let drawn = args.beacon.draw(recipe, args.round, Purpose::A, ui)?;
    if let Some(bound) = &drawn.bound {
        if let ListClosing::Roster(closing) = &bound.closing {
            closing.require(roster, &manifest)?;
        }
        signer.map_or(Ok(()), |signer| bound.require_by(&signer.public()))?;
    }
    let draw = Draw { run: recipe.digest(), round: args.round, beacon: drawn.value };
    let mut assignments = draw.assign(&manifest, roster).at(args.shards.join(MANIFEST).display())?;
    let mut text = String::new();
    for assignment in &mut assignments {
        if let Some(signer) = signer {
            assignment.sign(signer)?;
        }
        text += &record::line(assignment)?;
    }
    if signer.is_none() {
        ui.say("the assignments are unsigned; --key or --rpc-file signs them");
    }
    if target.write_text(&text)? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    let drawn: Vec<String> = assignments.iter().take(SAID).map(|a| format!("{} {}", a.worker, a.shard)).collect();
    let more = assignments.len().saturating_sub(SAID);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    ui.say(format!("round {}: {}{more}", args.round, drawn.join(", ")));
    Ok(())
}

/// Assignments that are said; more is in the records.
const SAID: usize = 8;

/// A file by its name, never by whether one happens to be there.
pub(super) fn roster(workers: &str) -> Result<Roster> {
    let plain = workers.strip_suffix(".zst").unwrap_or(workers);
    let is_file =
        !workers.contains([',', '=']) && (workers == "-" || workers.contains('/') || plain.ends_with(".jsonl"));
    let path = Path::new(workers);
    if is_file {
        return Roster::parse(workers, &read_text_within(path, Room::any().bytes)?);
    }
    if path.is_file() {
        return Err(Error::usage(format!("--workers {workers}: this is a file, and could be a worker's id"))
            .hint(format!("name the file ./{workers}")));
    }
    Roster::parse_list(workers).map_err(|e| Error::new(Kind::Usage, e.to_string()).at("--workers"))
}

/// The list of the shards, which must be those of the recipe and be there.
pub(super) fn load_shards(folder: &Path, recipe: &Recipe) -> Result<Manifest> {
    let list = folder.join(MANIFEST);
    let manifest = Manifest::parse(&record::read_lines(&list)?).at(list.display())?;
    manifest.agrees(&recipe.data).at(list.display())?;
    for entry in manifest.entries() {
        let reader = Reader::open_within(Source::open(&folder.join(&entry.file))?, SHARD_HEADER)?;
        entry.agrees(&ShardInfo::read(&reader)?).at(folder.display())?;
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;
    use std::fs;

    use crate::artifact::Digest;
    use crate::artifact::key::SigningKey;
    use crate::command::shard::tests::shard;
    use crate::data::Assignment;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn assign(folder: &Path, recipe: &str, output: &str) -> Result<Vec<Assignment>> {
        fs::write(folder.join("r.toml"), recipe).unwrap();
        let key = folder.join("key");
        if !key.exists() {
            SigningKey::generate(&key).unwrap();
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let beacon = "ab".repeat(32);
        let line = [
            "assign",
            "--recipe",
            &at("r.toml"),
            "--shards",
            &at("out"),
            "--round",
            "4",
            "--workers",
            "bob,ann,eve",
            "--beacon",
            &beacon,
            "--key",
            &at("key"),
            "-o",
            &at(output),
        ];
        let line = Line::try_parse_from(line).unwrap();
        run(&line.args, &Ui::new(true, 0))?;
        record::read(&folder.join(output))
    }

    const RECIPE: &str = "arithmetic = 1\nname = \"t\"\n[model]\n[data]\ntokenizer = \"bytes\"\n\
        seq_len = 8\n[inner]\nsteps = 1\nbatch = 2\nlr = 1e-3\n";

    #[test]
    fn every_worker_gets_a_signed_assignment_to_a_listed_shard() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a"), "0123456789".repeat(9)).unwrap();
        let line = "@a --tokenizer bytes --seq-len 8 --shards 2 -o @out";
        shard(place.path(), line).unwrap();
        let found = assign(place.path(), RECIPE, "a.jsonl").unwrap();
        let key = SigningKey::load(&place.path().join("key")).unwrap().public();
        let workers: Vec<&str> = found.iter().map(|a| a.worker.as_str()).collect();
        assert_eq!(workers, ["ann", "bob", "eve"]);
        for assignment in &found {
            assignment.verify(Some(&key)).unwrap();
            let run = Recipe::parse(RECIPE).unwrap().digest();
            assignment.check_run(&run).unwrap();
            assert!(place.path().join("out").join(&assignment.shard).exists());
        }
        assert_eq!(assign(place.path(), RECIPE, "b.jsonl").unwrap(), found);
    }

    #[test]
    fn shards_of_another_recipe_missing_ones_and_altered_ones_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("out");
        fs::write(place.path().join("a"), "0123456789".repeat(9)).unwrap();
        let line = "@a --tokenizer bytes --seq-len 8 --shards 2 -o @out";
        shard(place.path(), line).unwrap();
        let refuse = |recipe: &str, kind: Kind, part: &str| {
            let error = assign(place.path(), recipe, "a.jsonl").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        };
        let digest = Digest::of(b"other").to_string();
        refuse(&RECIPE.replace("bytes", &digest), Kind::Data, "data.tokenizer");
        refuse(&RECIPE.replace("seq_len = 8", "seq_len = 9"), Kind::Data, "data.seq_len");
        let bytes = fs::read(out.join("train-00001.safetensors")).unwrap();
        fs::write(out.join("train-00001.safetensors"), &bytes[..bytes.len() - 2]).unwrap();
        refuse(RECIPE, Kind::Data, "train-00001.safetensors");
        fs::copy(out.join("val-00000.safetensors"), out.join("train-00001.safetensors")).unwrap();
        refuse(RECIPE, Kind::Data, "train-00001.safetensors: split: expected train, found val");
        fs::remove_file(out.join("train-00001.safetensors")).unwrap();
        refuse(RECIPE, Kind::Missing, "train-00001.safetensors");
        fs::write(out.join(MANIFEST), "{}").unwrap();
        refuse(RECIPE, Kind::Data, MANIFEST);
    }

    #[test]
    fn a_beacon_is_64_lowercase_hex_digits() {
        for beacon in ["", "ab", &"AB".repeat(32), &"ab".repeat(33), &"zz".repeat(32)] {
            let line = ["assign", "--recipe", "r", "--shards", "s", "--round", "0"];
            let rest = ["--workers", "a", "--beacon", beacon];
            let error = Line::try_parse_from(line.iter().chain(&rest)).err().unwrap();
            assert!(error.to_string().contains("64 lowercase hex digits, or a file"), "{error}");
        }
    }

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
