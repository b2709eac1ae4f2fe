//! From a delta to an update and the worker's next state: one road for the verb, which streams files, and for a
//! replay, which has the tensors in memory, so that both arrive at the same bytes.

use std::io::Write;

use super::choice::codec_for;
use super::contract::Codec;
use super::feedback::{Feedback, compress_tensor, state_digest};
use super::report::Report;
use super::shapes::Shapes;
use crate::artifact::{
    ArtifactKind, Digest, Dtype, Header, Meta, Reader, Recipe, TensorInfo, WORKER_ID, Writer, digest_of, tensor_root,
    valid_worker_id,
};
use crate::error::{Context, Error, Result};

/// Compresses a delta tensor by tensor, in ascending order of names, and writes the feedback that remains as it goes.
pub struct Compressor<W: Write> {
    codec: Box<dyn Codec>,
    beta: f32,
    shapes: Shapes,
    meta: Meta,
    feedback: Option<Feedback>,
    state: Writer<W>,
    state_meta: Meta,
    state_roots: Vec<Digest>,
    payloads: Vec<(TensorInfo, Vec<u8>)>,
    report: Option<Report>,
}

/// What a [`Compressor`] yields.
pub struct Compressed<W> {
    /// The update.
    pub update: EncodedUpdate,
    /// The writer that took the next state.
    pub state: W,
    /// The digest of the next state, see [`Feedback`].
    pub feedback_out: Digest,
    /// What the update costs and loses, where that was asked for.
    pub report: Option<Report>,
}

/// An update before it is written: its header and its payloads.
pub struct EncodedUpdate {
    header: Header,
    payloads: Vec<Vec<u8>>,
}

impl<W: Write> Compressor<W> {
    /// Begins with the header of a delta, named `file` in errors. `state` takes the next state, `state_name` in errors.
    pub fn new(
        recipe: &Recipe,
        file: &str,
        delta: &Header,
        feedback: Option<Feedback>,
        state_name: &str,
        state: W,
    ) -> Result<Compressor<W>> {
        let given = Meta::read(file, delta, ArtifactKind::Delta)?;
        let run = given.digest(file, "run")?;
        if run != recipe.digest() {
            return Err(Error::refused(format!(
                "{file}: expected a delta of run {}, the recipe's, found one of run {run}",
                recipe.digest()
            )));
        }
        let round = given.number(file, "round")?;
        let worker = given.get(file, "worker")?;
        if let Some(theta) = given.opt("theta") {
            recipe.check_first(round, theta).at(file)?;
        }
        if !valid_worker_id(worker) {
            return Err(Error::data(format!("{file}: {worker:?} is not a worker id: expected {WORKER_ID}")));
        }
        let codec = codec_for(&recipe.codec);
        for tensor in &delta.tensors {
            tensor.expect(Dtype::F32, &tensor.shape).at(file)?;
            if codec.payload_len(&tensor.shape).is_none() {
                return Err(Error::data(format!(
                    "{file}: tensor {}: shape {:?} is too large",
                    tensor.name, tensor.shape
                )));
            }
        }
        let shapes = Shapes::of(delta);
        let feedback_in = match &feedback {
            None => "zero".to_owned(),
            Some(feedback) => {
                feedback.check(&run, worker, round, &shapes)?;
                feedback.digest().to_string()
            }
        };
        let next = Feedback::meta_after(&given, &feedback_in);
        let mut meta = Meta::new(ArtifactKind::Update);
        meta.copy_all(&given);
        meta.set("codec", codec.name()).set("feedback_in", &feedback_in).set("shapes", shapes.to_json());
        Ok(Compressor {
            codec,
            beta: recipe.codec.feedback as f32,
            shapes,
            meta,
            feedback,
            state: Writer::new(state_name, state, Header::new(next.0.clone(), delta.tensors.clone()))?,
            state_meta: next,
            state_roots: Vec::new(),
            payloads: Vec::new(),
            report: None,
        })
    }

    /// Keeps account of what the update costs and loses.
    pub fn with_report(mut self) -> Compressor<W> {
        self.report = Some(Report::new(self.codec.as_ref()));
        self
    }

    /// Takes the next tensor of the delta.
    pub fn push(&mut self, name: &str, delta: &[f32]) -> Result<()> {
        let Some(shape) = self.shapes.0.get(name) else {
            return Err(Error::bug(format!("tensor {name} is not in the header")));
        };
        let feedback = match &mut self.feedback {
            Some(feedback) => Some(feedback.next(name, shape)?),
            None => None,
        };
        let (payload, left) = compress_tensor(self.codec.as_ref(), self.beta, shape, delta, feedback.as_deref())
            .at(format!("tensor {name}"))?;
        if let Some(report) = &mut self.report {
            report.push(self.codec.as_ref(), name, shape, &payload, Some(&left))?;
        }
        // The writer also sees to it that tensors come in the header's order.
        self.state.f32(name, &left)?;
        self.state_roots.push(tensor_root(shape, &left));
        let info = self.codec.payload_info(name, shape, payload.len());
        self.payloads.push((info, payload));
        Ok(())
    }

    /// Ends after the last tensor; `delta` is the content digest of the delta.
    pub fn finish(self, delta: Digest) -> Result<Compressed<W>> {
        if let Some(feedback) = self.feedback {
            feedback.finish()?;
        }
        let (state, _) = self.state.finish()?;
        let feedback_out = state_digest(&self.state_meta, self.state_roots);
        let mut meta = self.meta;
        meta.set("delta", delta).set("feedback_out", feedback_out);
        let (tensors, payloads) = self.payloads.into_iter().unzip();
        let update = EncodedUpdate { header: Header::new(meta.0, tensors), payloads };
        let mut report = self.report;
        if let Some(report) = &mut report {
            report.file_bytes = update.header.to_bytes().len() as u64 + update.header.data_len();
        }
        Ok(Compressed { update, state, feedback_out, report })
    }
}

impl EncodedUpdate {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payloads, in the order of the header's tensors.
    pub fn payloads(&self) -> &[Vec<u8>] {
        &self.payloads
    }

    /// Name and decoded values of every parameter, ascending, one at a time.
    pub fn decoded(&self, recipe: &Recipe) -> Result<impl Iterator<Item = (String, Vec<f32>)>> {
        let shapes = Shapes::parse(Meta(self.header.metadata.clone()).get("update", "shapes")?)?;
        let codec = codec_for(&recipe.codec);
        let names = self.header.tensors.iter().map(|info| &info.name);
        Ok(names.zip(&self.payloads).map(move |(name, payload)| {
            let shape = shapes.0.get(name).expect("every payload has its shape");
            (name.clone(), codec.decode(shape, payload).expect("it was encoded just now"))
        }))
    }

    /// Writes the file; returns the writer and the content digest.
    pub fn write_to<W: Write>(&self, name: &str, writer: W) -> Result<(W, Digest)> {
        let mut writer = Writer::new(name, writer, self.header.clone())?;
        for (info, payload) in self.header.tensors.iter().zip(&self.payloads) {
            writer.bytes(&info.name, payload)?;
        }
        writer.finish()
    }

    /// The file's bytes, and their digest.
    pub fn to_bytes(&self) -> Result<(Vec<u8>, Digest)> {
        self.write_to("update", Vec::new())
    }
}

/// Compresses a delta that is read as a stream; `each` is told every tensor's name when it is done. With `report` an account
/// is kept of what the update costs.
pub fn compress_stream<W: Write>(
    recipe: &Recipe,
    mut delta: Reader,
    feedback: Option<Feedback>,
    state_name: &str,
    state: W,
    report: bool,
    mut each: impl FnMut(&str),
) -> Result<Compressed<W>> {
    delta.require_canonical()?;
    let file = delta.name().to_owned();
    let header = delta.header().clone();
    let mut compressor = Compressor::new(recipe, &file, &header, feedback, state_name, state)?;
    if report {
        compressor = compressor.with_report();
    }
    for tensor in &header.tensors {
        let values = delta.next_f32(&tensor.name, &tensor.shape)?;
        compressor.push(&tensor.name, &values).at(&file)?;
        each(&tensor.name);
    }
    compressor.finish(delta.finish()?)
}

/// Compresses a delta in memory: the metadata and the tensors (name, shape, values) that its file would have, in any
/// order. The update is the one that [`compress_stream`] makes of that file.
pub fn compress_tensors<W: Write>(
    recipe: &Recipe,
    metadata: &Meta,
    tensors: &[(&str, &[usize], &[f32])],
    feedback: Option<Feedback>,
    state: W,
) -> Result<Compressed<W>> {
    let mut tensors = tensors.to_vec();
    tensors.sort_by_key(|(name, ..)| *name);
    let infos = tensors.iter().map(|(n, s, _)| TensorInfo::f32(*n, s));
    let header = Header::new(metadata.0.clone(), infos.collect());
    let mut compressor = Compressor::new(recipe, "delta", &header, feedback, "feedback", state)?;
    for (name, _, values) in &tensors {
        compressor.push(name, values)?;
    }
    compressor.finish(digest_of(metadata.0.clone(), &tensors))
}
