//! Where each parameter lies in one flat array: tensors by ascending Hugging Face name.

use crate::artifact::{Digest, MULTIPLE, TensorInfo, tensor_root};
use crate::engine::{Part, PartMut};

/// Name, shape and place of one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The Hugging Face name.
    pub name: String,
    /// The shape, row-major: `[out, in]` for matrices.
    pub shape: Vec<usize>,
    /// The first element's place in the flat array.
    pub offset: usize,
}

impl TensorSpec {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its elements' places.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }

    /// Weight decay is for matrices.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// The tensors of one flat array.
#[derive(Clone, Debug)]
pub struct Layout {
    /// By ascending name.
    pub tensors: Vec<TensorSpec>,
    /// All elements together.
    pub total: usize,
}

impl Layout {
    /// Name and shape of every parameter, ascending.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..]))
    }

    /// The longest header, in bytes, of a file with up to three tensors a parameter, or with their shapes in its metadata:
    /// [`MULTIPLE`] times what ours can take.
    pub fn header_room(&self) -> u64 {
        const TENSOR: usize = 128;
        const METADATA: u64 = 4 << 10;
        let names: u64 = self.tensors.iter().map(|t| 3 * (t.name.len() + TENSOR) as u64).sum();
        MULTIPLE * (names + METADATA)
    }

    /// The most bytes of a file with so many float32 values a parameter.
    pub fn file_room(&self, values: u64) -> u64 {
        (4 * values).saturating_mul(self.total as u64).saturating_add(self.header_room())
    }

    /// These names and shapes, in any order.
    pub(super) fn of_shapes(mut shapes: Vec<(String, Vec<usize>)>) -> Layout {
        shapes.sort();
        let mut total = 0;
        let place = |(name, shape): (String, Vec<usize>)| {
            let offset = total;
            total += shape.iter().product::<usize>();
            TensorSpec { name, shape, offset }
        };
        let tensors = shapes.into_iter().map(place).collect();
        Layout { tensors, total }
    }

    /// The place of the tensor of that name in the list.
    pub(super) fn id(&self, name: &str) -> Option<usize> {
        self.tensors.binary_search_by(|t| t.name.as_str().cmp(name)).ok()
    }

    /// Float32 tensors of these shapes, their names behind a prefix.
    pub fn infos(&self, prefix: &str) -> Vec<TensorInfo> {
        self.tensors.iter().map(|t| TensorInfo::f32(format!("{prefix}{}", t.name), &t.shape)).collect()
    }

    /// The Merkle root of every tensor of a flat array, see [`tensor_root`].
    pub fn tensor_roots(&self, flat: &[f32]) -> Vec<Digest> {
        self.tensors.iter().map(|t| tensor_root(&t.shape, &flat[t.range()])).collect()
    }

    /// The tensor of that name.
    pub fn find(&self, name: &str) -> Option<&TensorSpec> {
        self.id(name).map(|id| &self.tensors[id])
    }

    /// A tensor's elements in a flat array.
    pub fn of<'a>(&self, id: usize, flat: &'a [f32]) -> &'a [f32] {
        &flat[self.tensors[id].range()]
    }

    /// A tensor's elements in a flat array, to write.
    pub fn of_mut<'a>(&self, id: usize, flat: &'a mut [f32]) -> &'a mut [f32] {
        &mut flat[self.tensors[id].range()]
    }

    /// A tensor's elements in a flat array, wherever it lies.
    pub fn part<'a>(&self, id: usize, flat: Part<'a>) -> Part<'a> {
        flat.part(self.tensors[id].range())
    }

    /// The same, to write.
    pub fn part_mut<'a>(&self, id: usize, flat: &'a mut PartMut<'_>) -> PartMut<'a> {
        flat.part_mut(self.tensors[id].range())
    }

    /// The tensor that an element of the flat array belongs to.
    pub fn tensor_at(&self, element: usize) -> &TensorSpec {
        let after = self.tensors.partition_point(|t| t.offset <= element);
        &self.tensors[after - 1]
    }
}
