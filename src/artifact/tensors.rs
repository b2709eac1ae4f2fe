//! Safetensors with one canonical form: metadata and tensors by ascending name, data in the same order, the
//! header padded with spaces so that data begin at a multiple of 64. The same content is the same bytes.
//!
//! Reading is a stream: a header, then tensors in the order of their data; memory grows with the bytes that
//! arrive, never with what a header promises. Foreign files (any order, any padding) are read too; where an
//! artifact of ours is expected, the header must be the canonical one.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read, Write};

use safetensors::Dtype;

use super::digest::Digest;
use super::tensors_json::{self, Entry};
use crate::error::{Error, Result, plainly};
use crate::fsio::Source;

/// Headers above this are refused where nothing is known of what the file should hold: some hundred thousand tensors.
const MAX_HEADER: u64 = 16 << 20;
/// Data begin at a multiple of this.
const ALIGN: usize = 64;
const PREFIX: usize = 8;

/// Name, type and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The shape, row-major.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// A float32 tensor.
    pub fn f32(name: impl Into<String>, shape: &[usize]) -> TensorInfo {
        TensorInfo { name: name.into(), dtype: Dtype::F32, shape: shape.to_vec() }
    }

    /// A byte tensor of one dimension.
    pub fn bytes(name: impl Into<String>, len: usize) -> TensorInfo {
        TensorInfo { name: name.into(), dtype: Dtype::U8, shape: vec![len] }
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The size of the data in bytes.
    pub fn size(&self) -> usize {
        self.elements() * self.dtype.bitsize() / 8
    }

    /// Whether type and shape are these; the error names the tensor and both.
    pub fn expect(&self, dtype: Dtype, shape: &[usize]) -> Result<()> {
        if self.dtype == dtype && self.shape == shape {
            return Ok(());
        }
        Err(Error::data(format!(
            "tensor {}: expected {dtype} {shape:?}, found {} {:?}",
            self.name, self.dtype, self.shape
        )))
    }
}

/// A header: metadata and the list of tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// String metadata, by key.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, in the order of their data.
    pub tensors: Vec<TensorInfo>,
}

impl Header {
    /// A canonical header: tensors are put in the order of their names.
    pub fn new(metadata: BTreeMap<String, String>, mut tensors: Vec<TensorInfo>) -> Header {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        debug_assert!(tensors.windows(2).all(|w| w[0].name != w[1].name));
        Header { metadata, tensors }
    }

    /// The bytes before the data: length and padded JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut offset = 0;
        let entry = |tensor: &TensorInfo| {
            let begin = offset;
            offset += tensor.size();
            let (name, dtype, shape) = (tensor.name.clone(), tensor.dtype, tensor.shape.clone());
            Entry { name, dtype, shape, data_offsets: (begin, offset) }
        };
        let entries: Vec<Entry> = self.tensors.iter().map(entry).collect();
        let mut json = tensors_json::write(&self.metadata, &entries).into_bytes();
        json.resize((PREFIX + json.len()).next_multiple_of(ALIGN) - PREFIX, b' ');
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut json);
        bytes
    }

    /// The size of all data in bytes.
    pub fn data_len(&self) -> u64 {
        self.tensors.iter().map(|t| t.size() as u64).sum()
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|t| t.name == name)
    }

    fn parse(json: &[u8]) -> Result<Header> {
        let (metadata, mut infos) = tensors_json::parse(json)
            .map_err(|e| Error::data(format!("the safetensors header does not parse: {}", plainly(e))))?;
        infos.sort_by(|a, b| (a.data_offsets, &a.name).cmp(&(b.data_offsets, &b.name)));
        let mut tensors = Vec::with_capacity(infos.len());
        let mut start = 0usize;
        for info in infos {
            let name = info.name;
            let elements = info.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let size = elements
                .and_then(|n| n.checked_mul(info.dtype.bitsize()))
                .filter(|bits| bits % 8 == 0)
                .map(|bits| bits / 8)
                .ok_or_else(|| Error::data(format!("tensor {name}: its size overflows")))?;
            let (begin, end) = info.data_offsets;
            if begin != start || end.checked_sub(begin) != Some(size) {
                return Err(Error::data(format!(
                    "tensor {name}: expected {size} bytes of data at offset {start}, found offsets {begin}..{end}"
                )));
            }
            start = end;
            tensors.push(TensorInfo { name, dtype: info.dtype, shape: info.shape });
        }
        Ok(Header { metadata, tensors })
    }
}

/// Writes a canonical file, tensor by tensor in the header's order, and digests what it writes.
pub struct Writer<W: Write> {
    inner: W,
    name: String,
    header: Header,
    next: usize,
    hasher: blake3::Hasher,
}

impl<W: Write> Writer<W> {
    /// Writes the header. `name` is used in errors.
    pub fn new(name: &str, inner: W, header: Header) -> Result<Writer<W>> {
        let mut writer = Writer {
            inner,
            name: name.to_owned(),
            header: Header::new(header.metadata, header.tensors),
            next: 0,
            hasher: blake3::Hasher::new(),
        };
        let bytes = writer.header.to_bytes();
        writer.put(&bytes)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes).map_err(|e| Error::io(&self.name, &e))
    }

    fn advance(&mut self, name: &str, size: usize) -> Result<()> {
        let expected = self.header.tensors.get(self.next);
        if expected.is_none_or(|t| t.name != name || t.size() != size) {
            return Err(Error::bug(format!("{}: tensor {name} of {size} bytes written out of turn", self.name)));
        }
        self.next += 1;
        Ok(())
    }

    /// The next tensor's data as bytes.
    pub fn bytes(&mut self, name: &str, data: &[u8]) -> Result<()> {
        self.advance(name, data.len())?;
        self.put(data)
    }

    /// The next tensor's data as the `size` bytes that a reader gives.
    pub fn stream(&mut self, name: &str, size: usize, mut data: impl Read) -> Result<()> {
        self.advance(name, size)?;
        let mut buffer = vec![0; 1 << 16];
        let mut left = size;
        while left > 0 {
            let most = left.min(buffer.len());
            data.read_exact(&mut buffer[..most]).map_err(|e| Error::io(&self.name, &e))?;
            self.put(&buffer[..most])?;
            left -= most;
        }
        Ok(())
    }

    /// The next tensor's data as float32.
    pub fn f32(&mut self, name: &str, data: &[f32]) -> Result<()> {
        self.advance(name, data.len() * 4)?;
        let mut buffer = Vec::with_capacity(1 << 16);
        for chunk in data.chunks(1 << 14) {
            buffer.clear();
            buffer.extend(chunk.iter().flat_map(|v| v.to_le_bytes()));
            self.put(&buffer)?;
        }
        Ok(())
    }

    /// The header, in canonical order.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Ends the file: every tensor must have been written. Returns the inner writer and the content digest.
    pub fn finish(self) -> Result<(W, Digest)> {
        if let Some(missing) = self.header.tensors.get(self.next) {
            return Err(Error::bug(format!("{}: tensor {} was never written", self.name, missing.name)));
        }
        Ok((self.inner, self.hasher.into()))
    }
}

/// The content digest that [`Writer`] would arrive at for these float32 tensors, without writing them.
pub fn digest_of(metadata: BTreeMap<String, String>, tensors: &[(&str, &[usize], &[f32])]) -> Digest {
    let infos = tensors.iter().map(|(n, s, _)| TensorInfo::f32(*n, s)).collect();
    let by_name: HashMap<&str, &[f32]> = tensors.iter().map(|(n, _, d)| (*n, *d)).collect();
    let header = Header::new(metadata, infos);
    let names: Vec<String> = header.tensors.iter().map(|t| t.name.clone()).collect();
    let mut writer = Writer::new("digest", std::io::sink(), header).expect("a sink takes everything");
    for name in &names {
        writer.f32(name, by_name[name.as_str()]).expect("a sink takes everything");
    }
    writer.finish().expect("all tensors were written").1
}

/// Reads a safetensors stream, tensor by tensor.
pub struct Reader {
    source: Source,
    header: Header,
    canonical: bool,
    next: usize,
    hasher: blake3::Hasher,
}

impl Reader {
    /// Reads and checks the header, where nothing is known of what the file should hold.
    pub fn open(source: Source) -> Result<Reader> {
        Reader::open_within(source, MAX_HEADER)
    }

    /// Reads and checks the header, which has at most so many bytes: of a longer one nothing is read.
    pub fn open_within(mut source: Source, most: u64) -> Result<Reader> {
        let name = source.name().to_owned();
        let mut prefix = [0u8; PREFIX];
        source.read_exact(&mut prefix).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Error::data(format!("{name}: too short to be a safetensors file")),
            _ => Error::io(&name, &error),
        })?;
        let len = u64::from_le_bytes(prefix);
        let room = source.known_len().map(|l| l.saturating_sub(PREFIX as u64));
        if len > most.min(MAX_HEADER) || room.is_some_and(|room| len > room) {
            let most = most.min(MAX_HEADER).min(room.unwrap_or(u64::MAX));
            return Err(Error::data(format!(
                "{name}: not a safetensors file of its kind: expected a header of at most {most} bytes, it announces a header \
                 of {len} bytes"
            )));
        }
        let mut json = Vec::new();
        (&mut source).take(len).read_to_end(&mut json).map_err(|e| Error::io(&name, &e))?;
        if (json.len() as u64) < len {
            return Err(Error::data(format!("{name}: truncated: the header ends after {} of {len} bytes", json.len())));
        }
        let header = Header::parse(&json).map_err(|e| e.at(&name))?;
        if let Some(room) = room {
            let found = room - len;
            let expected = header.data_len();
            if found != expected {
                return Err(Error::data(format!(
                    "{name}: expected {expected} bytes of data, found {found}: {}",
                    if found < expected { "truncated" } else { "oversized" }
                )));
            }
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&prefix);
        hasher.update(&json);
        let canonical = {
            let again = Header::new(header.metadata.clone(), header.tensors.clone());
            let bytes = again.to_bytes();
            bytes[..PREFIX] == prefix && bytes[PREFIX..] == json
        };
        Ok(Reader { source, header, canonical, next: 0, hasher })
    }

    /// The name used in messages.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Refuses a file whose header is not the one canonical form.
    pub fn require_canonical(&self) -> Result<()> {
        if self.canonical {
            return Ok(());
        }
        Err(Error::data(format!("{}: its header is not in canonical form", self.name())))
    }

    /// Refuses a file with other tensors than these, before any of them is read: a compressed file of a few bytes may
    /// announce any amount of data.
    pub fn expect_tensors(&self, expected: impl IntoIterator<Item = TensorInfo>) -> Result<()> {
        let mut found = self.header.tensors.iter();
        for expected in expected {
            let Some(info) = found.next() else {
                return Err(Error::data(format!("{}: tensor {} is missing", self.name(), expected.name)));
            };
            if info.name != expected.name {
                let what = format!("expected tensor {}, found {}", expected.name, info.name);
                return Err(Error::data(format!("{}: {what}", self.name())));
            }
            info.expect(expected.dtype, &expected.shape).map_err(|e| e.at(self.name()))?;
        }
        match found.next() {
            None => Ok(()),
            Some(extra) => Err(Error::data(format!("{}: tensor {}: not part of the model", self.name(), extra.name))),
        }
    }

    /// The next tensor and its bytes; `None` after the last, when the stream has ended as it should.
    pub fn next_tensor(&mut self) -> Result<Option<(TensorInfo, Vec<u8>)>> {
        let name = self.source.name().to_owned();
        let Some(info) = self.header.tensors.get(self.next).cloned() else {
            let mut rest = [0u8; 1];
            return match self.source.read(&mut rest) {
                Ok(0) => Ok(None),
                Ok(_) => Err(Error::data(format!("{name}: oversized: bytes after the last tensor"))),
                Err(e) => Err(Error::io(name, &e)),
            };
        };
        let size = info.size();
        // Reserve what a file on disk is known to hold, else grow with what arrives.
        let mut data = match self.source.known_len() {
            Some(_) => Vec::with_capacity(size),
            None => Vec::new(),
        };
        (&mut self.source).take(size as u64).read_to_end(&mut data).map_err(|e| Error::io(&name, &e))?;
        if data.len() < size {
            return Err(Error::data(format!(
                "{name}: truncated: tensor {} ends after {} of {size} bytes",
                info.name,
                data.len()
            )));
        }
        self.hasher.update(&data);
        self.next += 1;
        Ok(Some((info, data)))
    }

    /// The next tensor, which must be this float32 one, finite throughout.
    pub fn next_f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let file = self.name().to_owned();
        let missing = || Error::data(format!("{file}: tensor {name} is missing"));
        // Checked before data are read: a compressed file of a few bytes may announce any amount of them.
        let info = self.header.tensors.get(self.next).ok_or_else(missing)?;
        if info.name != name {
            return Err(Error::data(format!("{file}: expected tensor {name}, found {}", info.name)));
        }
        info.expect(Dtype::F32, shape).map_err(|e| e.at(&file))?;
        let (_, data) = self.next_tensor()?.ok_or_else(missing)?;
        f32_from_le(name, &data).map_err(|e| e.at(&file))
    }

    /// Reads to the end and returns the digest of the whole content.
    pub fn finish(mut self) -> Result<Digest> {
        while self.next_tensor()?.is_some() {}
        Ok(self.hasher.into())
    }
}

/// Little-endian float32 data; a NaN or an infinity is refused by its index.
pub fn f32_from_le(tensor: &str, data: &[u8]) -> Result<Vec<f32>> {
    let (words, rest) = data.as_chunks::<4>();
    debug_assert!(rest.is_empty());
    let values: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(values),
        Some(i) => Err(Error::data(format!(
            "tensor {tensor}: element {i} is {}, expected finite values",
            if values[i].is_nan() { "NaN" } else { "infinite" }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_header_says() {
        let header = || Header::new(BTreeMap::new(), vec![TensorInfo::f32("a", &[2]), TensorInfo::f32("b", &[1])]);
        let mut writer = Writer::new("out", Vec::new(), header()).unwrap();
        let turn = writer.f32("b", &[1.0]).unwrap_err();
        assert_eq!(turn.to_string(), "out: tensor b of 4 bytes written out of turn");
        writer.f32("a", &[1.0, 2.0]).unwrap();
        let missing = writer.finish().err().unwrap();
        assert_eq!(missing.to_string(), "out: tensor b was never written");
        assert_eq!((turn.kind().exit_code(), missing.kind().exit_code()), (70, 70));
    }
}
