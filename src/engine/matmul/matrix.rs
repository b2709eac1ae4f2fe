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
    /// A matrix whose rows k runs along.
    pub fn along(mat: Mat<'a>) -> Operand<'a> {
        Operand { mat, k_along_rows: true }
    }

    /// A matrix down whose columns k runs.
    pub fn down(mat: Mat<'a>) -> Operand<'a> {
        Operand { mat, k_along_rows: false }
    }

    /// How many numbers meet in a sum, and how many rows (or columns) of the result there are.
    fn sizes(self) -> (usize, usize) {
        match self.k_along_rows {
            true => (self.mat.cols, self.mat.rows),
            false => (self.mat.rows, self.mat.cols),
        }
    }

    /// The number that the i-th row (or column) of the result takes at step p of k.
    pub fn at(self, i: usize, p: usize) -> f32 {
        if self.k_along_rows { self.mat.at(i, p) } else { self.mat.at(p, i) }
    }

    /// k of a product that is called so; panics where the sizes do not fit.
    #[track_caller]
    pub fn k_with(self, b: Operand<'_>, c: &MatMut<'_>, name: &str) -> usize {
        let ((k, rows), (k_of_b, cols)) = (self.sizes(), b.sizes());
        assert_eq!([k_of_b, c.rows, c.cols], [k, rows, cols], "{name}: k of b, rows and columns of c");
        k
    }

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
