//! Codecs whose payload is one record of bytes for each chunk, in the order of the chunks, each of a length that the chunk's
//! size decides, and made of the chunk's own values alone.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::anatomy::Anatomy;
use super::contract::{ByChunk, Codec, check_len, check_values};
use super::shapes::{elements, zeros};
use crate::artifact::chunks::{Chunk, Chunks};
use crate::engine::Engine;
use crate::error::{Context, Error, Result};

/// How a chunk becomes a record and back. Whatever implements this is a [`Codec`].
pub trait Records: Send + Sync {
    /// The codec's name.
    const NAME: &'static str;

    /// Bytes of the record of a chunk of n elements.
    fn record_len(&self, n: usize) -> usize;

    /// Appends the record of a chunk's values, which are finite.
    fn write(&self, chunk: &Chunk, values: &[f32], record: &mut Vec<u8>) -> Result<()>;

    /// Puts what a record stands for into `values`, which are zero. Refuses what [`Records::write`] does not write.
    fn read(&self, chunk: &Chunk, record: &[u8], values: &mut [f32]) -> Result<()>;

    /// What the records' bits are spent on.
    fn anatomy(&self, chunks: &Chunks, records: &[u8]) -> Result<Anatomy>;
}

/// Chunks that one thread takes at a time.
const BATCH: usize = 64;

impl<R: Records> Codec for R {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn payload_len(&self, shape: &[usize]) -> Option<RangeInclusive<usize>> {
        elements(shape)?;
        let len = Chunks::new(shape).sum_over_lengths(|n| self.record_len(n))?;
        Some(len..=len)
    }

    fn encode(&self, shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
        check_values(shape, values)?;
        let chunks = Chunks::new(shape);
        let batch = |number: usize| -> Result<Vec<u8>> {
            let (mut records, mut room) = (Vec::new(), Vec::new());
            for number in number * BATCH..((number + 1) * BATCH).min(chunks.count()) {
                let chunk = chunks.get(number);
                chunk.copy_to(values, &mut room);
                self.write(&chunk, &room, &mut records).at(format!("chunk {number}"))?;
            }
            Ok(records)
        };
        let batches = 0..chunks.count().div_ceil(BATCH);
        // A thread of the pool may have been left in another floating-point mode than this one.
        let parts: Result<Vec<Vec<u8>>> =
            batches.into_par_iter().map(|number| Engine::detect().define(|| batch(number))).collect();
        let payload = parts?.concat();
        check_len(self, shape, payload.len()).map_err(|e| Error::bug(e.to_string()))?;
        Ok(payload)
    }

    fn decode(&self, shape: &[usize], payload: &[u8]) -> Result<Vec<f32>> {
        check_len(self, shape, payload.len())?;
        let chunks = Chunks::new(shape);
        let starts = self.starts(&chunks);
        let mut values = zeros(shape)?;
        let (len, per) = chunks.parts();
        let part = |(i, part): (usize, &mut [f32])| -> Result<()> {
            let mut room = Vec::new();
            for number in i * per..((i + 1) * per).min(chunks.count()) {
                let chunk = chunks.get(number);
                room.clear();
                room.resize(chunk.size(), 0.0);
                let record = &payload[starts[number]..starts[number + 1]];
                self.read(&chunk, record, &mut room).at(format!("chunk {number}"))?;
                chunk.copy_from(&room, part, i * len);
            }
            Ok(())
        };
        let parts = values.par_chunks_mut(len).enumerate();
        parts.try_for_each(|(i, values)| Engine::detect().define(|| part((i, values))))?;
        Ok(values)
    }

    fn by_chunk(&self) -> Option<&dyn ByChunk> {
        Some(self)
    }

    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy> {
        check_len(self, shape, payload.len())?;
        Records::anatomy(self, &Chunks::new(shape), payload)
    }
}

impl<R: Records> ByChunk for R {
    /// The chunk's record is made again and compared.
    fn check_chunk(&self, shape: &[usize], payload: &[u8], chunk: usize, values: &[f32]) -> Result<()> {
        check_len(self, shape, payload.len())?;
        let chunks = Chunks::new(shape);
        let starts = self.starts(&chunks);
        let found = &payload[starts[chunk]..starts[chunk + 1]];
        let mut expected = Vec::new();
        Engine::detect().define(|| self.write(&chunks.get(chunk), values, &mut expected))?;
        match expected.iter().zip(found).position(|(a, b)| a != b) {
            None => Ok(()),
            Some(i) => Err(Error::refused(format!(
                "expected {:#04x} as byte {i} of the chunk's record, found {:#04x}",
                expected[i], found[i]
            ))),
        }
    }
}

/// Where each record begins, and where the last one ends.
trait Starts: Records {
    fn starts(&self, chunks: &Chunks) -> Vec<usize> {
        let mut at = 0;
        let ends = (0..chunks.count()).map(|number| {
            at += self.record_len(chunks.get(number).size());
            at
        });
        std::iter::once(0).chain(ends).collect()
    }
}

impl<R: Records> Starts for R {}
