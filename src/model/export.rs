//! A model for others: its parameters rounded to another type, and cut into files.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;

use serde_json::json;

use super::layout::{Layout, TensorSpec};
use crate::artifact::{Digest, Dtype, Header, Meta, TensorInfo, Writer};
use crate::error::{Error, Result};

/// A floating type to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As we compute.
    Float32,
    /// 8 bits of exponent, 8 of significand.
    BFloat16,
    /// 5 bits of exponent, 11 of significand.
    Float16,
}

impl Precision {
    /// Its name in a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Float32 => "float32",
            Precision::BFloat16 => "bfloat16",
            Precision::Float16 => "float16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Precision::Float32 => Dtype::F32,
            Precision::BFloat16 => Dtype::BF16,
            Precision::Float16 => Dtype::F16,
        }
    }

    fn bytes(self) -> u64 {
        if self == Precision::Float32 { 4 } else { 2 }
    }

    /// The nearest value of this type, even on a tie.
    fn round(self, x: f32) -> f32 {
        match self {
            Precision::Float32 => x,
            Precision::BFloat16 => half::bf16::from_f32(x).to_f32(),
            Precision::Float16 => half::f16::from_f32(x).to_f32(),
        }
    }

    /// Rounds all parameters; refuses what would overflow.
    pub fn round_all(self, layout: &Layout, parameters: &mut [f32]) -> Result<()> {
        for (i, x) in parameters.iter_mut().enumerate() {
            let rounded = self.round(*x);
            if !rounded.is_finite() {
                let tensor = layout.tensor_at(i);
                return Err(Error::data(format!(
                    "tensor {}: element {} is {x}, too large for {}",
                    tensor.name,
                    i - tensor.offset,
                    self.name()
                )));
            }
            *x = rounded;
        }
        Ok(())
    }

    /// A rounded tensor's bytes.
    fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Precision::Float32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Precision::BFloat16 => values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            Precision::Float16 => values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
        }
    }
}

/// Which tensors go into which file.
pub struct Shards {
    precision: Precision,
    /// By the layout.
    tensors: Vec<Range<usize>>,
}

impl Shards {
    /// Files of at most `most` bytes of tensors, in the layout's order; a tensor that is larger has one to itself.
    pub fn new(layout: &Layout, precision: Precision, most: u64) -> Shards {
        let mut tensors: Vec<Range<usize>> = Vec::new();
        let mut size = 0;
        for (id, tensor) in layout.tensors.iter().enumerate() {
            let bytes = tensor.len() as u64 * precision.bytes();
            match tensors.last_mut() {
                Some(shard) if size + bytes <= most => {
                    shard.end = id + 1;
                    size += bytes;
                }
                _ => {
                    tensors.push(id..id + 1);
                    size = bytes;
                }
            }
        }
        Shards { precision, tensors }
    }

    /// The number of files.
    pub fn count(&self) -> usize {
        self.tensors.len()
    }

    /// A file's name, as Hugging Face has it.
    pub fn name(&self, shard: usize) -> String {
        match self.count() {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", shard + 1),
        }
    }

    /// Writes a file of rounded parameters.
    pub fn write<W: Write>(
        &self,
        shard: usize,
        out: W,
        meta: Meta,
        layout: &Layout,
        parameters: &[f32],
    ) -> Result<(W, Digest)> {
        let tensors = &layout.tensors[self.tensors[shard].clone()];
        let info = |tensor: &TensorSpec| TensorInfo {
            name: tensor.name.clone(),
            dtype: self.precision.dtype(),
            shape: tensor.shape.clone(),
        };
        let header = Header::new(meta.0, tensors.iter().map(info).collect());
        let mut writer = Writer::new(&self.name(shard), out, header)?;
        for tensor in tensors {
            writer.bytes(&tensor.name, &self.precision.encode(&parameters[tensor.range()]))?;
        }
        writer.finish()
    }

    /// `model.safetensors.index.json`, where there are several files.
    pub fn index(&self, layout: &Layout) -> Option<String> {
        if self.count() == 1 {
            return None;
        }
        let files = self.tensors.iter().enumerate();
        let map: BTreeMap<&str, String> = files
            .flat_map(|(shard, ids)| {
                layout.tensors[ids.clone()].iter().map(move |t| (t.name.as_str(), self.name(shard)))
            })
            .collect();
        let total_size = layout.total as u64 * self.precision.bytes();
        let index = json!({"metadata": {"total_size": total_size}, "weight_map": map});
        Some(serde_json::to_string_pretty(&index).expect("names and numbers") + "\n")
    }
}

/// The `config.json` of a model in this type.
pub fn config_in(text: &str, precision: Precision) -> Result<String> {
    let mut value: serde_json::Value =
        serde_json::from_str(text).map_err(|e| Error::data(format!("not a model configuration: {e}")))?;
    if let Some(fields) = value.as_object_mut() {
        let field = if fields.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        fields.insert(field.into(), precision.name().into());
    }
    super::folder::complete_config(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;

    #[test]
    fn numbers_go_to_the_nearest_and_ties_to_the_even_one() {
        let bits = f32::from_bits;
        let brain = Precision::BFloat16;
        // 0x3f80 is 1; below, at and above the middle to the next, and at the middle beyond an odd one.
        for (x, rounded) in [
            (0x3f80_7fff, 0x3f80_0000),
            (0x3f80_8000, 0x3f80_0000),
            (0x3f80_8001, 0x3f81_0000),
            (0x3f81_8000, 0x3f82_0000),
            (0xbf80_8001, 0xbf81_0000),
            (0x0000_8001, 0x0001_0000),
            (0x8000_0000, 0x8000_0000),
        ] {
            assert_eq!(brain.round(bits(x)).to_bits(), rounded, "{x:#x}");
        }
        let half = Precision::Float16;
        for (x, rounded) in [
            (2049.0, 2048.0),
            (2051.0, 2052.0),
            (-2049.5, -2050.0),
            (65_519.0, 65_504.0),
            (4e-8, 2f32.powi(-24)),
            (2f32.powi(-25), 0.0),
        ] {
            assert_eq!(half.round(x), rounded, "{x}");
        }
    }

    fn layout() -> Layout {
        let config = ModelConfig::parse(include_str!("../../recipes/quickstart.json")).unwrap();
        Layout::new(&config)
    }

    #[test]
    fn what_is_too_large_is_named() {
        let layout = layout();
        let mut parameters = vec![0.5; layout.total];
        let second = layout.tensors[1].offset;
        parameters[second + 3] = 65_520.0;
        Precision::BFloat16.round_all(&layout, &mut parameters.clone()).unwrap();
        let error = Precision::Float16.round_all(&layout, &mut parameters).unwrap_err().to_string();
        assert!(error.contains(&layout.tensors[1].name) && error.contains("element 3 is 65520"), "{error}");
        parameters[second + 3] = f32::MAX;
        Precision::BFloat16.round_all(&layout, &mut parameters).unwrap_err();
    }

    #[test]
    fn files_hold_every_tensor_once_and_as_much_as_they_may() {
        let layout = layout();
        let all = layout.total as u64 * 2;
        for most in [1, 10_000, 100_000, all - 1, all, u64::MAX] {
            let shards = Shards::new(&layout, Precision::BFloat16, most);
            let ids: Vec<usize> = shards.tensors.iter().cloned().flatten().collect();
            assert_eq!(ids, (0..layout.tensors.len()).collect::<Vec<_>>());
            let sizes =
                shards.tensors.iter().map(|ids| layout.tensors[ids.clone()].iter().map(|t| 2 * t.len() as u64).sum());
            for (ids, size) in shards.tensors.iter().zip(sizes) {
                let size: u64 = size;
                assert!(size <= most || ids.len() == 1);
            }
            assert_eq!(shards.count() == 1, most >= all);
            assert_eq!(shards.index(&layout).is_none(), most >= all);
        }
    }
}
