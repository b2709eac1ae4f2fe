//! The shards against the list of them.

use super::differs::{Checked, blame, differs, near};
use super::folder::RunFolder;
use crate::artifact::Reader;
use crate::data::{MANIFEST, Manifest, SHARD_HEADER, ShardInfo};

/// The list of a run's shards, each of which is what the list says.
pub fn check_shards(run: &RunFolder) -> Checked<Manifest> {
    let list = format!("shards/{MANIFEST}");
    let manifest = blame(&list, Manifest::new(run.records(&list)?))?;
    if manifest.text()? != run.text(&list)? {
        return differs(&list, "its lines", "the canonical list", "another form of it");
    }
    for entry in manifest.entries() {
        let file = format!("shards/{}", entry.file);
        let found = run.digest(&file, entry.most_bytes())?;
        if found != entry.digest {
            // An altered shard has quite another digest.
            let altered = near(&entry.digest.to_string(), &found.to_string());
            return match altered {
                true => differs(&list, format!("digest of {}", entry.file), found, entry.digest),
                false => differs(&file, "digest", entry.digest, found),
            };
        }
        let reader = blame(&file, Reader::open_within(run.source(&file)?, SHARD_HEADER))?;
        let info = blame(&file, ShardInfo::read(&reader))?;
        blame(&list, entry.agrees(&info))?;
    }
    Ok(manifest)
}
