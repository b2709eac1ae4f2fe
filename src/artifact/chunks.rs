//! How a tensor is cut into chunks of at most 4096 elements.
//!
//! A tensor of two dimensions is cut into blocks of 64 x 64, block rows first, then block columns; at the lower and
//! right edge the blocks are what is left. A tensor of any other number of dimensions is cut into runs of 4096
//! in row-major order; the last one is what is left. An index within a chunk is row-major.

/// Elements of a full chunk.
pub const CHUNK: usize = 4096;
/// Rows and columns of a full block.
const SIDE: usize = 64;

/// One chunk: a block of rows, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    start: usize,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl Chunk {
    /// The number of elements, 1 to 4096.
    pub fn size(&self) -> usize {
        self.rows * self.columns
    }

    /// Where the element with this index within the chunk stands in the tensor.
    pub fn position(&self, index: usize) -> usize {
        self.start + index / self.columns * self.stride + index % self.columns
    }

    /// Rows and columns; a run of a tensor of other than two dimensions is one row.
    pub fn sides(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Puts the chunk's elements into `values`, in the order of their indices.
    pub fn copy_to(&self, tensor: &[f32], values: &mut Vec<f32>) {
        values.clear();
        self.rows_of(tensor).for_each(|row| values.extend_from_slice(row));
    }

    /// Puts `values`, the elements in the order of their indices, into a part of the tensor that begins `at` elements
    /// behind its start.
    pub fn copy_from(&self, values: &[f32], part: &mut [f32], at: usize) {
        for (row, values) in values.chunks_exact(self.columns).enumerate() {
            let start = self.start - at + row * self.stride;
            part[start..start + self.columns].copy_from_slice(values);
        }
    }

    /// The chunk's rows: its elements in the order of their indices.
    pub fn rows_of<'a>(&self, tensor: &'a [f32]) -> impl Iterator<Item = &'a [f32]> + 'a {
        let chunk = *self;
        (0..chunk.rows).map(move |row| {
            let start = chunk.start + row * chunk.stride;
            &tensor[start..start + chunk.columns]
        })
    }

    /// The chunk's elements in the order of their indices.
    pub fn values<'a>(&self, tensor: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.rows_of(tensor).flatten().copied()
    }
}

/// The cut along one dimension: `whole` pieces of full size, and one of `rest` if that is not 0.
struct Cut {
    size: usize,
    whole: usize,
    rest: usize,
}

impl Cut {
    fn new(len: usize, size: usize) -> Cut {
        Cut { size, whole: len / size, rest: len % size }
    }

    fn pieces(&self) -> usize {
        self.whole + usize::from(self.rest > 0)
    }

    fn len(&self, piece: usize) -> usize {
        if piece < self.whole { self.size } else { self.rest }
    }

    /// Sizes, and how many pieces have them.
    fn classes(&self) -> [(usize, usize); 2] {
        [(self.size, self.whole), (self.rest, usize::from(self.rest > 0))]
    }
}

/// The chunks of a shape, whose number of elements has been checked.
pub struct Chunks {
    rows: Cut,
    columns: Cut,
    stride: usize,
}

impl Chunks {
    /// Cuts a shape.
    pub fn new(shape: &[usize]) -> Chunks {
        match *shape {
            [rows, columns] => Chunks { rows: Cut::new(rows, SIDE), columns: Cut::new(columns, SIDE), stride: columns },
            _ => {
                let len = shape.iter().product();
                Chunks { rows: Cut::new(1, 1), columns: Cut::new(len, CHUNK), stride: len }
            }
        }
    }

    /// The number of chunks.
    pub fn count(&self) -> usize {
        self.rows.pieces() * self.columns.pieces()
    }

    /// The chunk with this number.
    pub fn get(&self, number: usize) -> Chunk {
        let (row, column) = (number / self.columns.pieces(), number % self.columns.pieces());
        Chunk {
            start: row * self.rows.size * self.stride + column * self.columns.size,
            rows: self.rows.len(row),
            columns: self.columns.len(column),
            stride: self.stride,
        }
    }

    /// The cut into parts that hold whole chunks, so that threads can share out a tensor: how many elements a part has, and
    /// how many chunks; the last one has what is left.
    pub fn parts(&self) -> (usize, usize) {
        match self.rows.size {
            1 => (CHUNK, 1),
            rows => ((rows * self.stride).max(1), self.columns.pieces().max(1)),
        }
    }

    /// The sum over all chunks of a function of their lengths, without visiting them one by one.
    pub fn sum_over_lengths(&self, of: impl Fn(usize) -> usize) -> Option<usize> {
        let mut sum = 0usize;
        for (rows, row_count) in self.rows.classes() {
            for (columns, column_count) in self.columns.classes() {
                let count = row_count.checked_mul(column_count)?;
                if count > 0 {
                    sum = sum.checked_add(count.checked_mul(of(rows * columns))?)?;
                }
            }
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_in_exactly_one_chunk() {
        let shapes: [&[usize]; 12] = [
            &[],
            &[1],
            &[0],
            &[4096],
            &[4097],
            &[9000],
            &[64, 64],
            &[65, 63],
            &[130, 67],
            &[0, 5],
            &[3, 5, 700],
            &[1, 8191],
        ];
        for shape in shapes {
            let elements: usize = shape.iter().product();
            let chunks = Chunks::new(shape);
            let mut seen = vec![0; elements];
            for number in 0..chunks.count() {
                let chunk = chunks.get(number);
                assert!((1..=CHUNK).contains(&chunk.size()), "{shape:?}");
                (0..chunk.size()).for_each(|i| seen[chunk.position(i)] += 1);
            }
            assert!(seen.iter().all(|&n| n == 1), "{shape:?}");
            // Part by part, every chunk copied out of a tensor and into another makes the same tensor.
            let tensor: Vec<f32> = (0..elements).map(|i| i as f32).collect();
            let (mut copy, mut values, (len, per)) = (vec![-1.0; elements], Vec::new(), chunks.parts());
            for (i, part) in copy.chunks_mut(len).enumerate() {
                for number in i * per..((i + 1) * per).min(chunks.count()) {
                    chunks.get(number).copy_to(&tensor, &mut values);
                    chunks.get(number).copy_from(&values, part, i * len);
                }
            }
            assert_eq!(copy, tensor, "{shape:?}");
            assert_eq!(chunks.sum_over_lengths(|n| n), Some(elements), "{shape:?}");
            assert_eq!(chunks.sum_over_lengths(|_| 1), Some(chunks.count()), "{shape:?}");
        }
    }

    #[test]
    fn blocks_go_row_by_row_and_the_edge_ones_are_cut() {
        let chunks = Chunks::new(&[65, 66]);
        let corners: Vec<_> = (0..chunks.count()).map(|i| (chunks.get(i).position(0), chunks.get(i).size())).collect();
        assert_eq!(corners, [(0, 4096), (64, 128), (64 * 66, 64), (64 * 66 + 64, 2)]);
        // The second row of a block two columns wide.
        assert_eq!(chunks.get(1).position(3), 66 + 65);
        let tensor: Vec<f32> = (0..65 * 66).map(|i| i as f32).collect();
        for number in 0..4 {
            let chunk = chunks.get(number);
            let by_index: Vec<f32> = (0..chunk.size()).map(|i| tensor[chunk.position(i)]).collect();
            assert_eq!(chunk.values(&tensor).collect::<Vec<_>>(), by_index);
        }
    }
}
