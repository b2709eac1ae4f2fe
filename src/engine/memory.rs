//! Memory that is the host's or a device's, and parts of it to read and to write.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Range, RangeBounds};

/// Memory of a device, freed when it is dropped.
pub trait Allocation: fmt::Debug + Send + Sync {
    /// Where it begins, in the device's address space.
    fn address(&self) -> u64;
}

/// Elements, all of them in one place.
#[derive(Debug)]
pub enum Buffer<T = f32> {
    /// In this process's memory.
    Host(Vec<T>),
    /// In a device's.
    Device {
        /// The memory.
        memory: Box<dyn Allocation>,
        /// Its elements.
        len: usize,
    },
}

/// Elements in a device's memory, of a buffer that outlives `'a`.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Where they begin.
    pub address: u64,
    /// How many there are.
    pub len: usize,
    buffer: PhantomData<&'a ()>,
}

/// Elements to read.
#[derive(Debug)]
pub enum Part<'a, T = f32> {
    /// In this process's memory.
    Host(&'a [T]),
    /// In a device's.
    Device(Span<'a>),
}

/// Elements to write.
#[derive(Debug)]
pub enum PartMut<'a, T = f32> {
    /// In this process's memory.
    Host(&'a mut [T]),
    /// In a device's.
    Device(Span<'a>),
}

const ELSEWHERE: &str = "memory of a device is not the host's to touch";

fn bounds(range: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    assert!(start <= end && end <= len, "elements {start} to {end} of {len}");
    start..end
}

impl<'a> Span<'a> {
    fn part<T>(self, range: impl RangeBounds<usize>) -> Span<'a> {
        let range = bounds(range, self.len);
        let address = self.address + (range.start * size_of::<T>()) as u64;
        Span { address, len: range.len(), buffer: PhantomData }
    }
}

impl<T> Buffer<T> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            Buffer::Host(values) => values.len(),
            Buffer::Device { len, .. } => *len,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These elements, to read.
    pub fn part(&self, range: impl RangeBounds<usize>) -> Part<'_, T> {
        match self {
            Buffer::Host(values) => Part::Host(&values[bounds(range, values.len())]),
            Buffer::Device { memory, len } => {
                let whole = Span { address: memory.address(), len: *len, buffer: PhantomData };
                Part::Device(whole.part::<T>(range))
            }
        }
    }

    /// These elements, to write.
    pub fn part_mut(&mut self, range: impl RangeBounds<usize>) -> PartMut<'_, T> {
        match self {
            Buffer::Host(values) => {
                let range = bounds(range, values.len());
                PartMut::Host(&mut values[range])
            }
            Buffer::Device { memory, len } => {
                let whole = Span { address: memory.address(), len: *len, buffer: PhantomData };
                PartMut::Device(whole.part::<T>(range))
            }
        }
    }

    /// The elements of host memory; memory of a device is a programming error.
    pub fn host(&self) -> &[T] {
        self.part(..).host()
    }

    /// The same, to write.
    pub fn host_mut(&mut self) -> &mut [T] {
        self.part_mut(..).host()
    }
}

impl<T> Clone for Part<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Part<'_, T> {}

impl<'a, T> Part<'a, T> {
    /// How many elements there are.
    pub fn len(self) -> usize {
        match self {
            Part::Host(values) => values.len(),
            Part::Device(span) => span.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Some of them.
    pub fn part(self, range: impl RangeBounds<usize>) -> Part<'a, T> {
        match self {
            Part::Host(values) => Part::Host(&values[bounds(range, values.len())]),
            Part::Device(span) => Part::Device(span.part::<T>(range)),
        }
    }

    /// The elements of host memory; memory of a device is a programming error.
    pub fn host(self) -> &'a [T] {
        match self {
            Part::Host(values) => values,
            Part::Device(_) => panic!("{ELSEWHERE}"),
        }
    }

    /// Where they lie in a device's memory; host memory is a programming error.
    pub fn address(self) -> u64 {
        match self {
            Part::Host(_) => panic!("memory of the host is not a device's to touch"),
            Part::Device(span) => span.address,
        }
    }
}

impl<'a, T> PartMut<'a, T> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.shared().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of them.
    pub fn part_mut(&mut self, range: impl RangeBounds<usize>) -> PartMut<'_, T> {
        match self {
            PartMut::Host(values) => {
                let range = bounds(range, values.len());
                PartMut::Host(&mut values[range])
            }
            PartMut::Device(span) => PartMut::Device(span.part::<T>(range)),
        }
    }

    /// All of them, for a while.
    pub fn again(&mut self) -> PartMut<'_, T> {
        self.part_mut(..)
    }

    /// All of them, to read for a while.
    pub fn shared(&self) -> Part<'_, T> {
        match self {
            PartMut::Host(values) => Part::Host(values),
            PartMut::Device(span) => Part::Device(*span),
        }
    }

    /// All of them, to read from now on.
    pub fn into_shared(self) -> Part<'a, T> {
        match self {
            PartMut::Host(values) => Part::Host(values),
            PartMut::Device(span) => Part::Device(span),
        }
    }

    /// The elements of host memory; memory of a device is a programming error.
    pub fn host(self) -> &'a mut [T] {
        match self {
            PartMut::Host(values) => values,
            PartMut::Device(_) => panic!("{ELSEWHERE}"),
        }
    }

    /// Where they lie in a device's memory; host memory is a programming error.
    pub fn address(&self) -> u64 {
        self.shared().address()
    }
}

impl<'a, T> From<&'a [T]> for Part<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Part::Host(values)
    }
}

impl<'a, T> From<&'a Vec<T>> for Part<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Part::Host(values)
    }
}

impl<'a, T> From<&'a mut [T]> for PartMut<'a, T> {
    fn from(values: &'a mut [T]) -> Self {
        PartMut::Host(values)
    }
}

impl<'a, T> From<&'a mut Vec<T>> for PartMut<'a, T> {
    fn from(values: &'a mut Vec<T>) -> Self {
        PartMut::Host(values)
    }
}

/// Values that a device can read: the caller's own, or a copy in the device's memory.
#[derive(Debug)]
pub enum Held<'a> {
    /// The caller's.
    Caller(&'a [f32]),
    /// A copy.
    Copy(Buffer),
}

impl Held<'_> {
    /// All of them.
    pub fn part(&self) -> Part<'_> {
        match self {
            Held::Caller(values) => Part::Host(values),
            Held::Copy(buffer) => buffer.part(..),
        }
    }
}

/// Token ids, which the host knows wherever they are worked on.
#[derive(Debug)]
pub struct Words {
    /// The ids.
    pub host: Vec<u32>,
    /// The same in a device's memory, where one computes.
    pub device: Option<Buffer<u32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(u64);

    impl Allocation for At {
        fn address(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn parts_of_parts_lie_where_they_are_said_to() {
        let mut buffer: Buffer = Buffer::Device { memory: Box::new(At(1000)), len: 100 };
        assert_eq!(buffer.part(10..20).part(3..).address(), 1000 + 4 * 13);
        let mut part = buffer.part_mut(50..);
        assert_eq!([part.part_mut(..7).len(), part.part_mut(7..).len()], [7, 43]);
        assert_eq!(part.part_mut(7..).into_shared().address(), 1000 + 4 * 57);
        let mut host = Buffer::Host(vec![1, 2, 3]);
        host.part_mut(1..).part_mut(1..=1).host()[0] = 9;
        assert_eq!(host.part(1..).host(), [2, 9]);
    }

    #[test]
    #[should_panic(expected = "elements 7 to 12 of 10")]
    fn a_part_beyond_the_end_is_a_programming_error_on_a_device_too() {
        let buffer: Buffer = Buffer::Device { memory: Box::new(At(1000)), len: 10 };
        let _ = buffer.part(7..12);
    }

    #[test]
    #[should_panic(expected = "not the host's to touch")]
    fn the_host_touches_nothing_of_a_device() {
        let buffer: Buffer = Buffer::Device { memory: Box::new(At(1000)), len: 10 };
        let _ = buffer.host();
    }
}
