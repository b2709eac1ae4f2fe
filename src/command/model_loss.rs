//! `l402 score` without a recipe: a model's loss on a held-out shard, for people.

use std::path::Path;

use serde_json::json;

use super::args::OutputArgs;
use super::common::{BaseArg, open, read_tokenizer, tokenizer_file};
use crate::artifact::Digest;
use crate::data::{Shard, Split, Tokenizer};
use crate::device::Device;
use crate::engine::Arithmetic;
use crate::error::{Context, Result};
use crate::model::ModelFolder;
use crate::score::{ModelLoss, model_loss};
use crate::ui::Ui;

/// What a tokenizer is called beside shards and models.
const TOKENIZER: &str = "tokenizer.json";

/// Measures the model and prints the loss: a line, or a JSON object.
pub fn run(
    base: &BaseArg,
    model: &Path,
    val: &Path,
    json: bool,
    output: &OutputArgs,
    device: Device,
    ui: &Ui,
) -> Result<()> {
    let target = output.target();
    target.check(false)?;
    let folder = base.load(model)?;
    let shard = Shard::open(open(val)?)?;
    shard.check_split(Split::Val).at(val.display())?;
    shard.check_vocabulary(folder.config.vocab_size).at(val.display())?;
    let tokenizer = tokenizer_of(&folder, model, val, &shard, ui)?;
    let mut bar = None;
    let loss =
        model_loss(
            &folder,
            &shard,
            tokenizer.as_ref(),
            Arithmetic::Float,
            device,
            |micro_batches| match micro_batches {
                Some(count) => bar = Some(ui.progress("score", count as u64)),
                None => bar.iter().for_each(|bar| bar.tick("")),
            },
        )?;
    drop(bar);
    let text = if json { as_json(&folder, &shard, &loss) } else { as_text(&shard, &loss) };
    target.write_text(&(text + "\n"))?;
    Ok(())
}

/// The shard's tokenizer, which makes bits a byte of nats a token: beside the shard, where `l402 shard` put it, or in the model's
/// folder.
fn tokenizer_of(folder: &ModelFolder, model: &Path, val: &Path, shard: &Shard, ui: &Ui) -> Result<Option<Tokenizer>> {
    let id = &shard.info().tokenizer;
    // An adapter's folder may leave it to the model's.
    let whole = folder.base.as_ref().map_or(model, |base| &base.folder);
    if let Some(own) = [model, whole].map(|folder| folder.join(TOKENIZER)).iter().find(|path| path.exists()) {
        let found = Digest::of(&tokenizer_file(own)?.1);
        if found.to_string() != *id {
            ui.say(format!("{}: tokenizer {found}, but the shard's tokens are of {id}", own.display()));
        }
    }
    if *id == Tokenizer::Bytes.id() {
        return Ok(Some(Tokenizer::Bytes));
    }
    let folders = [val.parent().unwrap_or(Path::new(".")), model, whole];
    for path in folders.map(|folder| folder.join(TOKENIZER)).into_iter().filter(|path| path.exists()) {
        let (tokenizer, _) = read_tokenizer(&path, None)?;
        if tokenizer.id() == *id {
            return Ok(Some(tokenizer));
        }
    }
    let [beside, with_model, _] = folders.map(|folder| folder.display().to_string());
    ui.say(format!("no bits a byte: the shard's tokenizer {id} is neither in {beside} nor in {with_model}"));
    Ok(None)
}

fn as_text(shard: &Shard, loss: &ModelLoss) -> String {
    let bits = loss.bits_a_byte().map_or(String::new(), |bits| format!(", {bits:.4} bits a byte"));
    format!(
        "loss {:.5} nats a token, perplexity {:.3}{bits}; {} sequences of {} tokens",
        loss.nats(),
        loss.perplexity(),
        loss.sequences,
        shard.seq_len()
    )
}

fn as_json(folder: &ModelFolder, shard: &Shard, loss: &ModelLoss) -> String {
    json!({
        "bits_a_byte": loss.bits_a_byte(),
        "held_out": shard.digest(),
        "loss": loss.nats(),
        "model": folder.digest,
        "perplexity": loss.perplexity(),
        "sequences": loss.sequences,
        "sum_q32": loss.sum_q32.to_string(),
        "tokens": loss.tokens,
    })
    .to_string()
}
