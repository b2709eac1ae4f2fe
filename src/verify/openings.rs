//! Openings: what a worker shows of its work when segments and codec chunks have been drawn.
//!
//! A folder with
//!
//! - `leaves.jsonl`: the leaves at both ends of every drawn segment, each with the path to the update's `l402.leaves`;
//! - `step-NNNNNNNN.state`: the state at the start of a drawn segment, where theta or the segment before it does not
//!   give it already;
//! - `chunks.safetensors`: for the i-th drawn chunk `in.i`, its values in the error feedback before the round, and
//!   `in_path.i` to the root of that state (neither where that state is zero); `out_path.i`, to the root of the state
//!   after. Paths are byte tensors \[length × 32\];
//! - `feedback.state`, the whole error feedback before the round, instead of chunks where these do not show all of a codec's
//!   work (see [`crate::codec::ByChunk`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::leaves::{Leaf, Leaves};
use super::segments::Segments;
use crate::artifact::chunks::Chunks;
use crate::artifact::merkle::{self, Tree};
use crate::artifact::record::{self, Record};
use crate::artifact::{
    ArtifactKind, ChunkAt, Digest, Dtype, Header, MULTIPLE, Meta, Reader, TensorInfo, Writer, chunk_hashes, f32_from_le,
};
use crate::error::{Context, Error, Result};
use crate::model::Layout;

/// The file of opened leaves.
pub const LEAVES: &str = "leaves.jsonl";
/// The file of opened chunks.
pub const CHUNKS: &str = "chunks.safetensors";

/// The file of the whole error feedback before the round.
pub const FEEDBACK: &str = "feedback.state";

/// The file of the state when `step` steps are done.
pub fn state_file(step: u32) -> String {
    format!("step-{step:08}.state")
}

/// A leaf and what proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedLeaf {
    /// The leaf's number, counted from 0.
    pub index: u32,
    /// The leaf.
    pub leaf: Leaf,
    /// The siblings on the way to the root, from below.
    pub path: Vec<Digest>,
}

impl Record for OpenedLeaf {
    const TYPE: &'static str = "opened_leaf";
}

/// The leaves at both ends of these segments, as the file's lines.
pub fn open_leaves(context: &Leaves, leaves: &[Leaf], drawn: &[u32]) -> Result<String> {
    let tree = context.tree(leaves)?;
    let mut indices: Vec<u32> = drawn.iter().flat_map(|&i| i.checked_sub(1).into_iter().chain([i])).collect();
    indices.dedup();
    let line = |&index: &u32| {
        let (leaf, path) = (leaves[index as usize].clone(), tree.path(index as usize));
        record::line(&OpenedLeaf { index, leaf, path })
    };
    Ok(indices.iter().map(line).collect::<Result<Vec<_>>>()?.concat())
}

/// The opened leaves by their numbers, every one of them proven to stand under `root`; else why not.
pub fn check_leaves(context: &Leaves, root: &Digest, opened: Vec<OpenedLeaf>) -> Result<BTreeMap<u32, Leaf>> {
    let segments = context.segments();
    let count = segments.count();
    let mut leaves = BTreeMap::new();
    for OpenedLeaf { index, leaf, path } in opened {
        let at = || format!("leaf {index} of {count}");
        let proven = merkle::climb(context.hash(&leaf)?, index as usize, count as usize, &path);
        if proven != Some(*root) || leaf.step != segments.range(index).end {
            return Err(Error::refused(format!("{}: its path does not lead to the update's leaves, {root}", at())));
        }
        leaves.insert(index, leaf);
    }
    Ok(leaves)
}

/// The steps before which a replay of `drawn` needs the state: not where the segment before ends in it, and before the
/// first step only where the moments are `carried` from another round.
pub fn states_needed(segments: Segments, drawn: &[u32], carried: bool) -> Vec<u32> {
    let follows = |i: usize| i > 0 && drawn[i] == drawn[i - 1] + 1;
    let starts = (0..drawn.len()).filter(|&i| !follows(i)).map(|i| segments.range(drawn[i]).start);
    starts.filter(|step| *step > 0 || carried).collect()
}

/// How many codec chunks each tensor of a model has, and all of them together.
pub struct ChunkIndex {
    counts: Vec<usize>,
    /// All chunks of the model.
    pub total: usize,
}

impl ChunkIndex {
    /// Of a model.
    pub fn new(layout: &Layout) -> ChunkIndex {
        let counts: Vec<usize> = layout.tensors.iter().map(|t| Chunks::new(&t.shape).count()).collect();
        ChunkIndex { total: counts.iter().sum(), counts }
    }

    /// How many chunks a tensor has.
    pub fn count(&self, tensor: usize) -> usize {
        self.counts[tensor]
    }

    /// The chunk with this number among all of the model.
    pub fn at(&self, mut number: usize) -> ChunkAt {
        for (tensor, count) in self.counts.iter().enumerate() {
            match number.checked_sub(*count) {
                None => return ChunkAt { tensor, chunk: number },
                Some(rest) => number = rest,
            }
        }
        panic!("a model of {} chunks", self.total)
    }
}

/// One drawn chunk as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedChunk {
    /// Which.
    pub at: ChunkAt,
    /// Its values in the error feedback before the round, and their path; none where that state is zero.
    pub before: Option<(Vec<f32>, Vec<Digest>)>,
    /// The path of what remains.
    pub after: Vec<Digest>,
}

/// The parts of an error feedback that openings need: every tensor's root, and the drawn chunks' paths and values.
pub struct FeedbackOpener<'a> {
    layout: &'a Layout,
    drawn: &'a [ChunkAt],
    roots: Vec<Digest>,
    kept: BTreeMap<ChunkAt, (Vec<f32>, Vec<Digest>)>,
}

impl<'a> FeedbackOpener<'a> {
    /// For these chunks.
    pub fn new(layout: &'a Layout, drawn: &'a [ChunkAt]) -> FeedbackOpener<'a> {
        FeedbackOpener { layout, drawn, roots: Vec::new(), kept: BTreeMap::new() }
    }

    /// Takes the next tensor, by ascending name.
    pub fn push(&mut self, values: &[f32]) {
        let tensor = self.roots.len();
        let shape = &self.layout.tensors[tensor].shape;
        let hashes = chunk_hashes(shape, values);
        for at in self.drawn.iter().filter(|at| at.tensor == tensor) {
            let chunk = Chunks::new(shape).get(at.chunk).values(values).collect();
            // The way within the tensor; the way among the tensors follows at the end.
            self.kept.insert(*at, (chunk, Tree::new(hashes.clone()).path(at.chunk)));
        }
        self.roots.push(merkle::root(hashes));
    }

    /// Values and path of every drawn chunk, in the order of the draw.
    pub fn finish(self) -> Vec<(Vec<f32>, Vec<Digest>)> {
        let tree = Tree::new(self.roots);
        let mut kept = self.kept;
        let of = |at: &ChunkAt| {
            let (values, mut path) = kept.remove(at).expect("every drawn chunk's tensor was pushed");
            path.extend(tree.path(at.tensor));
            (values, path)
        };
        self.drawn.iter().map(of).collect()
    }
}

fn path_bytes(path: &[Digest]) -> Vec<u8> {
    path.iter().flat_map(|digest| digest.0).collect()
}

/// Writes the file of opened chunks.
pub fn write_chunks<W: std::io::Write>(name: &str, out: W, meta: Meta, chunks: &[OpenedChunk]) -> Result<W> {
    let mut tensors: BTreeMap<String, (TensorInfo, Vec<u8>)> = BTreeMap::new();
    let mut put = |name: String, dtype: Dtype, shape: &[usize], bytes: Vec<u8>| {
        tensors.insert(name.clone(), (TensorInfo { name, dtype, shape: shape.to_vec() }, bytes));
    };
    for (i, chunk) in chunks.iter().enumerate() {
        if let Some((values, path)) = &chunk.before {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            put(format!("in.{i}"), Dtype::F32, &[values.len()], bytes);
            put(format!("in_path.{i}"), Dtype::U8, &[path.len(), 32], path_bytes(path));
        }
        put(format!("out_path.{i}"), Dtype::U8, &[chunk.after.len(), 32], path_bytes(&chunk.after));
    }
    let header = Header::new(meta.0, tensors.values().map(|(info, _)| info.clone()).collect());
    let mut writer = Writer::new(name, out, header)?;
    for (info, bytes) in tensors.values() {
        writer.bytes(&info.name, bytes)?;
    }
    Ok(writer.finish()?.0)
}

/// The longest header of a file of so many opened chunks, in bytes.
pub fn chunks_header(count: usize) -> u64 {
    const CHUNK: u64 = 3 << 7;
    const METADATA: u64 = 4 << 10;
    MULTIPLE.saturating_mul(CHUNK.saturating_mul(count as u64).saturating_add(METADATA))
}

/// Reads the opened chunks that were drawn: sizes are those that the model gives, checked before anything is read.
pub fn read_chunks(mut reader: Reader, layout: &Layout, drawn: &[ChunkAt], zero: bool) -> Result<Vec<OpenedChunk>> {
    reader.require_canonical()?;
    let file = reader.name().to_owned();
    Meta::read(&file, reader.header(), ArtifactKind::Chunks)?;
    let index = ChunkIndex::new(layout);
    let path_len = |at: &ChunkAt| {
        merkle::path_len(at.chunk, index.count(at.tensor)) + merkle::path_len(at.tensor, layout.tensors.len())
    };
    let values_len = |at: &ChunkAt| Chunks::new(&layout.tensors[at.tensor].shape).get(at.chunk).size();
    let mut expected = BTreeMap::new();
    for (i, at) in drawn.iter().enumerate() {
        if !zero {
            expected.insert(format!("in.{i}"), (Dtype::F32, vec![values_len(at)]));
            expected.insert(format!("in_path.{i}"), (Dtype::U8, vec![path_len(at), 32]));
        }
        expected.insert(format!("out_path.{i}"), (Dtype::U8, vec![path_len(at), 32]));
    }
    let found: Vec<&TensorInfo> = reader.header().tensors.iter().collect();
    if found.len() != expected.len() {
        return Err(Error::data(format!("{file}: expected {} tensors, found {}", expected.len(), found.len())));
    }
    for (info, (name, (dtype, shape))) in found.iter().zip(&expected) {
        if info.name != *name {
            return Err(Error::data(format!("{file}: expected tensor {name}, found {}", info.name)));
        }
        info.expect(*dtype, shape).at(&file)?;
    }
    let mut data = BTreeMap::new();
    while let Some((info, bytes)) = reader.next_tensor()? {
        data.insert(info.name, bytes);
    }
    reader.finish()?;
    let mut take = |name: &str| data.remove(name).expect("the header was as expected");
    let path = |bytes: Vec<u8>| -> Vec<Digest> { bytes.as_chunks::<32>().0.iter().map(|d| Digest(*d)).collect() };
    let mut opened = Vec::new();
    for (i, at) in drawn.iter().enumerate() {
        let mut before = None;
        if !zero {
            let name = format!("in.{i}");
            let values = f32_from_le(&name, &take(&name)).at(&file)?;
            before = Some((values, path(take(&format!("in_path.{i}")))));
        }
        opened.push(OpenedChunk { at: *at, before, after: path(take(&format!("out_path.{i}"))) });
    }
    Ok(opened)
}
