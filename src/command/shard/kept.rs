//! `l402 shard --checkpoint`: tokens that are made stay made.

use std::path::PathBuf;

use crate::command::args::OutputDirArgs;
use crate::command::checkpoint::own_folder;
use crate::data::Tokenizer;
use crate::error::{Error, Result};
use crate::fsio::{LockedDir, Pieces};
use crate::ui::Ui;

/// The file in the folder.
const NAME: &str = "checkpoint.tokens";

/// Where tokens are kept while a corpus is read.
#[derive(clap::Args, Debug, Default)]
pub(super) struct KeptArgs {
    /// Keep the tokens of the corpus in a folder as they are made: killed, the same command goes on there, and makes the same
    /// bytes. The corpus is read again, and encoded where it was not
    #[arg(long, value_name = "DIR", conflicts_with = "chat")]
    checkpoint: Option<PathBuf>,
}

/// Tokens of a corpus, in a folder that is this process's alone meanwhile.
pub(super) struct Kept {
    /// What the encoder asks.
    pub pieces: Pieces,
    _folder: LockedDir,
}

impl KeptArgs {
    /// Opens the folder for this tokenizer, if one is named.
    pub fn open(&self, tokenizer: &Tokenizer, output: &OutputDirArgs, ui: &Ui) -> Result<Option<Kept>> {
        let Some(folder) = &self.checkpoint else { return Ok(None) };
        if let Tokenizer::Bytes = tokenizer {
            return Err(Error::usage("--checkpoint: bytes are their own tokens, there is nothing to keep of them"));
        }
        if folder.starts_with(&output.output) {
            let (folder, output) = (folder.display(), output.output.display());
            return Err(Error::usage(format!("--checkpoint: {folder} is inside of the output, {output}")));
        }
        let folder = own_folder(folder)?;
        // What encodes, and the order in which text is cut into pieces, are this version's.
        let with = format!("l402 {}, tokenizer {}", env!("CARGO_PKG_VERSION"), tokenizer.id());
        let pieces = Pieces::open(&folder.path().join(NAME), &with, output.force)?;
        if pieces.left() > 0 {
            let mib = pieces.left() as f64 / f64::from(1 << 20);
            ui.say(format!("goes on with {mib:.1} MiB of tokens that are kept in {}", folder.path().display()));
        }
        Ok(Some(Kept { pieces, _folder: folder }))
    }
}

impl Kept {
    /// Removes the tokens: they are in the shards. The folder stays.
    pub fn remove(self) -> Result<()> {
        self.pieces.remove()
    }
}
