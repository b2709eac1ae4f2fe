//! What workers make: the honest pipeline from an assignment to an update, and the same with anything else in its place.

use std::sync::Arc;

use l402::artifact::{Digest, Header, Meta, Reader, Writer};
use l402::codec::{Feedback, Update, compress_tensors};
use l402::data::{Assignment, BatchOrder, Shard};
use l402::fsio::Source;
use l402::model::ModelFolder;
use l402::optimizer::{Moments, RoundInput, State, run_steps};
use l402::verify::{LeafLog, Segments, delta, delta_meta, finish_meta};

use super::world::World;

/// An update as it is sent, and what its maker keeps.
#[derive(Clone)]
pub struct Made {
    /// As others read it.
    pub update: Arc<Update>,
    /// The file.
    pub bytes: Vec<u8>,
    /// What went into the codec, without feedback.
    pub delta: Vec<f32>,
    /// The error feedback that remains, as its file.
    pub feedback: Vec<u8>,
}

/// A worker's place in a round.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The world.
    pub world: &'a World,
    /// The model at the round's start.
    pub folder: &'a ModelFolder,
    /// Its assignment.
    pub assignment: &'a Assignment,
    /// The feedback of its last update that counted.
    pub feedback: Option<&'a [u8]>,
}

/// A file in memory.
pub fn reader(name: &str, bytes: &[u8]) -> Reader {
    Reader::open(Source::bytes(name, bytes.to_vec()).expect("bytes")).expect("a tensor file")
}

impl Place<'_> {
    /// The shard that it was assigned.
    pub fn shard(&self) -> Arc<Shard> {
        self.world.shard(&self.assignment.shard_digest)
    }

    /// The assigned order of a shard's sequences.
    pub fn order(&self, shard: &Shard) -> BatchOrder {
        BatchOrder::new(&self.assignment.order, shard.sequences())
    }

    /// The assigned work, all of it.
    pub fn honest(&self) -> Made {
        let (delta, meta) = self.trained(&self.shard(), self.world.recipe.inner.steps);
        self.send(&delta, meta)
    }

    /// The pseudo-gradient of so many steps on a shard in the assigned order, and the metadata that says it was as it
    /// should be.
    pub fn trained(&self, shard: &Shard, steps: u32) -> (Vec<f32>, Meta) {
        let World { recipe, model, plan, .. } = self.world;
        let order = self.order(shard);
        let round = self.assignment.round;
        let input = RoundInput { recipe, model, plan: *plan, shard, order: &order, round };
        let mut log = LeafLog::new(&model.layout, Segments::of(recipe));
        let start = State {
            parameters: self.folder.parameters.to_vec().expect("in memory"),
            moments: Moments::zero(&model.layout),
        };
        let state = run_steps(&input, start, 0..steps, |report, state| {
            log.follow(report, state)?;
            Ok(())
        })
        .expect("it trains");
        let mut meta = self.meta();
        if steps == recipe.inner.steps {
            finish_meta(recipe, &mut meta, &model.layout, &log.leaves(), &state.moments).expect("metadata");
        } else {
            meta.set("leaves", Digest::of(b"made up"));
        }
        (delta(model.engine, &self.folder.parameters, state.parameters).expect("in memory"), meta)
    }

    /// The metadata of an honest delta, leaves left out.
    pub fn meta(&self) -> Meta {
        delta_meta(&self.world.recipe, self.folder, self.assignment, &self.shard(), "zero").expect("metadata")
    }

    /// Metadata with leaves that nobody has seen.
    pub fn made_up(&self) -> Meta {
        let mut meta = self.meta();
        meta.set("leaves", Digest::of(b"made up"));
        meta
    }

    /// A delta through the codec, with the worker's feedback.
    pub fn send(&self, delta: &[f32], meta: Meta) -> Made {
        let World { recipe, model, .. } = self.world;
        let layout = &model.layout;
        let tensors: Vec<_> =
            layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &delta[t.range()])).collect();
        let feedback = self.feedback.map(|bytes| {
            let digest = Feedback::digest_of(reader("feedback", bytes)).expect("a state");
            Feedback::open(digest, reader("feedback", bytes)).expect("a state")
        });
        let done = compress_tensors(recipe, &meta, &tensors, feedback, Vec::new()).expect("it compresses");
        let bytes = done.update.to_bytes().expect("in memory").0;
        Made { update: Arc::new(self.read(&bytes)), bytes, delta: delta.to_vec(), feedback: done.state }
    }

    /// The same payloads as somebody else's, under this worker's name.
    pub fn relabel(&self, of: &Made) -> Made {
        let header = reader("update", &of.bytes).header().clone();
        let mut meta = Meta(header.metadata.clone());
        meta.copy(&self.made_up(), &["worker", "shard", "assignment", "leaves"]);
        let mut writer = Writer::new("update", Vec::new(), Header::new(meta.0, header.tensors)).expect("a header");
        for name in of.update.names() {
            writer.bytes(name, of.update.payload(name).expect("it has its payload")).expect("in memory");
        }
        let bytes = writer.finish().expect("all of it").0;
        Made { update: Arc::new(self.read(&bytes)), bytes, delta: of.delta.clone(), feedback: of.feedback.clone() }
    }

    fn read(&self, bytes: &[u8]) -> Update {
        Update::open_for(&self.world.recipe, reader(&self.assignment.worker, bytes), self.world.model.layout.shapes())
            .expect("an update")
    }
}

impl Made {
    /// What the others decode, by the layout.
    pub fn sent(&self, world: &World) -> Vec<f32> {
        let tensors = &world.model.layout.tensors;
        tensors.iter().flat_map(|t| self.update.decode(&t.name).expect("it decodes")).collect()
    }
}
