//! Matrices in memory, and where a product starts.

/// A matrix, row-major: row i begins at `i * ld`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    pub(in crate::engine) data: &'a [f32],
    pub(in crate::engine) rows: usize,
    pub(in crate::engine) cols: usize,
    pub(in crate::engine) ld: usize,
}

impl<'a> Mat<'a> {
    /// A matrix whose rows follow each other.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a matrix of {rows} × {cols}");
        Mat { data, rows, cols, ld: cols }
    }

    /// A matrix whose rows begin every `ld` elements.
    pub fn with_ld(data: &'a [f32], rows: usize, cols: usize, ld: usize) -> Self {
        assert!(fits(data.len(), rows, cols, ld), "a matrix of {rows} × {cols}, a row every {ld}");
        Mat { data, rows, cols, ld }
    }

    /// Element (i, j).
    pub fn at(&self, i: usize, j: usize) -> f32 {
        debug_assert!(i < self.rows && j < self.cols);
        self.data[i * self.ld + j]
    }
}

/// A matrix to write to, row-major: row i begins at `i * ld`.
#[derive(Debug)]
pub struct MatMut<'a> {
    pub(in crate::engine) data: &'a mut [f32],
    pub(in crate::engine) rows: usize,
    pub(in crate::engine) cols: usize,
    pub(in crate::engine) ld: usize,
}

impl<'a> MatMut<'a> {
    /// A matrix whose rows follow each other.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a matrix of {rows} × {cols}");
        MatMut { data, rows, cols, ld: cols }
    }

    /// A matrix whose rows begin every `ld` elements.
    pub fn with_ld(data: &'a mut [f32], rows: usize, cols: usize, ld: usize) -> Self {
        assert!(fits(data.len(), rows, cols, ld), "a matrix of {rows} × {cols}, a row every {ld}");
        MatMut { data, rows, cols, ld }
    }
}

fn fits(length: usize, rows: usize, cols: usize, ld: usize) -> bool {
    cols <= ld && (rows == 0 || cols == 0 || length >= (rows - 1) * ld + cols)
}

/// An operand, as it lies in memory.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Operand<'a> {
    pub mat: Mat<'a>,
    /// Whether k runs along the rows of `mat`, and not down its columns.
    pub k_along_rows: bool,
}

impl<'a> Operand<'a> {
    /// Some steps of k.
    pub(super) fn part(self, first: usize, k: usize) -> Operand<'a> {
        let Mat { data, rows, cols, ld } = self.mat;
        let mat = match self.k_along_rows {
            true => Mat { data: &data[first..], rows, cols: k, ld },
            false => Mat { data: &data[first * ld..], rows: k, cols, ld },
        };
        Operand { mat, ..self }
    }
}

/// Where the chains of a product start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From +0.
    Zero,
    /// From what the result holds already.
    Accumulate,
}
