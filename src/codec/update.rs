//! Updates as they come from others: everything is checked when one is opened, save what only decoding shows.

use std::collections::BTreeMap;

use super::choice::codec_for;
use super::contract::{Codec, check_payload};
use super::feedback::Feedback;
use super::report::Report;
use super::shapes::Shapes;
use crate::artifact::{ArtifactKind, Digest, Header, Meta, Reader, Recipe, TensorInfo, WORKER_ID, valid_worker_id};
use crate::engine::Engine;
use crate::error::{Context, Error, Result};

/// An update: its metadata, and its payloads in memory.
pub struct Update {
    file: String,
    codec: Box<dyn Codec>,
    meta: Meta,
    run: Digest,
    round: u64,
    worker: String,
    shapes: Shapes,
    payloads: BTreeMap<String, Vec<u8>>,
    digest: Digest,
    bytes: u64,
}

impl Update {
    /// Reads an update of the recipe's run. Another run is a refusal; anything malformed is malformed data. Payload
    /// lengths are checked against the shapes before a payload is read.
    pub fn open(recipe: &Recipe, reader: Reader) -> Result<Update> {
        Update::open_checked(recipe, reader, |_| Ok(()))
    }

    /// Reads an update, which must have exactly these parameters (name and shape). They are checked before a payload is
    /// read, so that memory is bounded by the model, not by what an update announces.
    pub fn open_for<'a>(
        recipe: &Recipe,
        reader: Reader,
        parameters: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Result<Update> {
        Update::open_checked(recipe, reader, |shapes| shapes.expect(parameters))
    }

    fn open_checked(recipe: &Recipe, mut reader: Reader, check: impl FnOnce(&Shapes) -> Result<()>) -> Result<Update> {
        reader.require_canonical()?;
        let file = reader.name().to_owned();
        let meta = Meta::read(&file, reader.header(), ArtifactKind::Update)?;
        let run = meta.digest(&file, "run")?;
        if run != recipe.digest() {
            return Err(Error::refused(format!(
                "{file}: expected an update of run {}, the recipe's, found one of run {run}",
                recipe.digest()
            )));
        }
        let codec = codec_for(&recipe.codec);
        let found = meta.get(&file, "codec")?;
        if found != codec.name() {
            return Err(Error::data(format!(
                "{file}: metadata l402.codec: expected {}, found {found:?}",
                codec.name()
            )));
        }
        let round = meta.number(&file, "round")?;
        let worker = meta.get(&file, "worker")?.to_owned();
        if !valid_worker_id(&worker) {
            return Err(Error::data(format!("{file}: {worker:?} is not a worker id: expected {WORKER_ID}")));
        }
        meta.digest(&file, "delta")?;
        if meta.get(&file, "feedback_in")? != "zero" {
            meta.digest(&file, "feedback_in")?;
        }
        meta.digest(&file, "feedback_out")?;
        let shapes = Shapes::parse(meta.get(&file, "shapes")?).at(format!("{file}: metadata l402.shapes"))?;
        check(&shapes).at(&file)?;
        check_payloads(codec.as_ref(), &shapes, reader.header()).at(&file)?;
        let mut payloads = BTreeMap::new();
        while let Some((info, payload)) = reader.next_tensor()? {
            payloads.insert(info.name, payload);
        }
        let bytes = reader.header().to_bytes().len() as u64 + reader.header().data_len();
        let digest = reader.finish()?;
        Ok(Update { file, codec, meta, run, round, worker, shapes, payloads, digest, bytes })
    }

    /// The name used in messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The run it belongs to: the recipe's digest.
    pub fn run(&self) -> Digest {
        self.run
    }

    /// The round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// The worker that it says it comes from; a signed commitment proves it.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// The content digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of the content in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All metadata.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The content digest of the state that was added, `None` for the zero state.
    pub fn feedback_in(&self) -> Option<Digest> {
        self.meta.opt("feedback_in")?.parse().ok()
    }

    /// The shapes of all parameters.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The names of all parameters, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.payloads.keys().map(String::as_str)
    }

    /// A parameter's payload, as it was sent.
    pub fn payload(&self, name: &str) -> Option<&[u8]> {
        self.payloads.get(name).map(Vec::as_slice)
    }

    /// The values of one parameter, row-major and finite.
    pub fn decode(&self, name: &str) -> Result<Vec<f32>> {
        let (Some(shape), Some(payload)) = (self.shapes.0.get(name), self.payloads.get(name)) else {
            return Err(Error::data(format!("{}: tensor {name} is missing", self.file)));
        };
        Engine::detect().define(|| self.codec.decode(shape, payload)).at(format!("{}: tensor {name}", self.file))
    }

    /// Whether one chunk of a parameter was sent as these values, its own, lead to, see [`ByChunk`]. A codec whose chunks
    /// do not show that must not be asked.
    pub fn check_chunk(&self, name: &str, chunk: usize, values: &[f32]) -> Result<()> {
        let (Some(shape), Some(payload)) = (self.shapes.0.get(name), self.payloads.get(name)) else {
            return Err(Error::data(format!("{}: tensor {name} is missing", self.file)));
        };
        let codec = self.codec.by_chunk();
        let codec = codec.ok_or_else(|| Error::bug(format!("chunks of {} show little", self.codec.name())))?;
        Engine::detect().define(|| codec.check_chunk(shape, payload, chunk, values))
    }

    /// Whether this is the feedback that the update left.
    fn check_left(&self, left: &Feedback) -> Result<()> {
        let says = self.meta.digest(&self.file, "feedback_out")?;
        if left.digest() != says {
            return Err(Error::refused(format!(
                "{}: expected the feedback that the update left, {says}, found {}",
                left.file(),
                left.digest()
            )));
        }
        left.shapes().expect(self.shapes.iter()).at(left.file())
    }

    /// What it costs, and what it loses where the feedback that it left is at hand.
    pub fn report(&self, mut left: Option<Feedback>) -> Result<Report> {
        if let Some(left) = &left {
            self.check_left(left)?;
        }
        let mut report = Report::new(self.codec.as_ref());
        report.file_bytes = self.bytes;
        for (name, shape) in self.shapes.iter() {
            let left = match &mut left {
                Some(left) => Some(left.next(name, shape)?),
                None => None,
            };
            let at = || format!("{}: tensor {name}", self.file);
            self.decode(name)?;
            report.push(self.codec.as_ref(), name, shape, &self.payloads[name], left.as_deref()).at(at())?;
        }
        if let Some(left) = left {
            left.finish()?;
        }
        Ok(report)
    }

    /// Decodes everything once, so that nothing can fail later.
    pub fn verify(&self) -> Result<()> {
        self.names().try_for_each(|name| self.decode(name).map(drop))
    }

    /// The header of the delta that the update decodes to: float32 tensors, the update's metadata, and
    /// `decoded_from`, its content digest.
    pub fn decoded_header(&self) -> Header {
        let mut meta = Meta::new(ArtifactKind::Delta);
        meta.copy_all(&self.meta);
        // Said by the tensors themselves now.
        meta.0.remove("l402.shapes");
        meta.set("decoded_from", self.digest);
        let tensors = self.shapes.iter().map(|(n, s)| TensorInfo::f32(n, s));
        Header::new(meta.0, tensors.collect())
    }
}

/// One payload for each shape, of a type and length that the codec can have written.
fn check_payloads(codec: &dyn Codec, shapes: &Shapes, header: &Header) -> Result<()> {
    for tensor in &header.tensors {
        let Some(shape) = shapes.0.get(&tensor.name) else {
            return Err(Error::data(format!("tensor {} has no shape in the metadata", tensor.name)));
        };
        check_payload(codec, shape, tensor)?;
    }
    // Both ascend by name, and every tensor has its shape: the first shape without a tensor is where they part.
    let mut tensors = header.tensors.iter();
    match shapes.0.keys().find(|n| tensors.next().is_none_or(|t| t.name != **n)) {
        None => Ok(()),
        Some(name) => Err(Error::data(format!("tensor {name} is missing"))),
    }
}
