//! Matrix products, by the `gemm` crate's kernel: the one place of this crate that hands out raw pointers.

/// A matrix that is read: a slice and how to step through it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_step: usize,
    col_step: usize,
}

impl<'a> Mat<'a> {
    /// Row after row, without gaps.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Mat::strided(data, rows, cols, cols)
    }

    /// Row after row, `row_step` values from the beginning of one to the beginning of the next.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_step: usize) -> Self {
        assert!(reach(rows, cols, row_step) <= data.len(), "a matrix reaches beyond its values");
        Mat { data, rows, cols, row_step, col_step: 1 }
    }

    /// The same values with rows and columns exchanged.
    pub(crate) fn t(self) -> Self {
        Mat { rows: self.cols, cols: self.rows, row_step: self.col_step, col_step: self.row_step, ..self }
    }
}

/// A matrix that is written, stored row after row.
#[derive(Debug)]
pub(crate) struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_step: usize,
}

impl<'a> MatMut<'a> {
    /// Row after row, without gaps.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        MatMut::strided(data, rows, cols, cols)
    }

    /// Row after row, `row_step` values from the beginning of one to the beginning of the next.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_step: usize) -> Self {
        assert!(reach(rows, cols, row_step) <= data.len(), "a matrix reaches beyond its values");
        assert!(cols <= row_step || rows <= 1, "the rows of a written matrix overlap");
        MatMut { data, rows, cols, row_step }
    }
}

/// How many values a matrix spans.
fn reach(rows: usize, cols: usize, row_step: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_step + cols }
}

/// Whether a product replaces what is there or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    Replace,
    Add,
}

/// `to = scale · left · right`, or `to += …`.
#[expect(clippy::needless_pass_by_value, reason = "a view that is written through is given away")]
pub(crate) fn matmul(to: MatMut<'_>, left: Mat<'_>, right: Mat<'_>, scale: f32, into: Into) {
    assert!(
        to.rows == left.rows && to.cols == right.cols && left.cols == right.rows,
        "the shapes of a matrix product do not fit"
    );
    if to.rows == 0 || to.cols == 0 {
        return;
    }
    // The kernel likes its result column by column: so it is given the transposed product, rightᵀ · leftᵀ.
    //
    // SAFETY: the constructors have checked that each matrix lies within its slice, that the written one does not
    // overlap itself, and the borrow checker that it overlaps no other. The kernel reads and writes only the
    // elements that the shapes and steps name.
    #[expect(unsafe_code, reason = "the kernel of the `gemm` crate takes pointers")]
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            to.cols,
            to.rows,
            left.cols,
            to.data.as_mut_ptr(),
            to.row_step.cast_signed(),
            1,
            into == Into::Add,
            right.data.as_ptr(),
            right.row_step.cast_signed(),
            right.col_step.cast_signed(),
            left.data.as_ptr(),
            left.row_step.cast_signed(),
            left.col_step.cast_signed(),
            1.0,
            scale,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_every_layout_are_those_of_the_definition() {
        let value = |i: usize| ((i * 37 % 19) as f32 - 9.0) / 7.0;
        for (rows, cols, depth) in [(1, 1, 1), (3, 5, 4), (17, 33, 20), (1, 64, 128), (64, 1, 7), (40, 24, 1)]
        {
            let left: Vec<f32> = (0..rows * depth).map(value).collect();
            let right: Vec<f32> = (0..depth * cols).map(|i| value(i + 5)).collect();
            let mut left_t = vec![0.0; left.len()];
            let mut right_t = vec![0.0; right.len()];
            for i in 0..rows {
                for k in 0..depth {
                    left_t[k * rows + i] = left[i * depth + k];
                }
            }
            for k in 0..depth {
                for j in 0..cols {
                    right_t[j * depth + k] = right[k * cols + j];
                }
            }
            let lefts = [Mat::new(&left, rows, depth), Mat::new(&left_t, depth, rows).t()];
            let rights = [Mat::new(&right, depth, cols), Mat::new(&right_t, cols, depth).t()];
            for (left_mat, right_mat) in
                lefts.iter().flat_map(|left| rights.iter().map(move |right| (left, right)))
            {
                let step = cols + 3;
                let mut to = vec![1.0; rows * step];
                matmul(MatMut::strided(&mut to, rows, cols, step), *left_mat, *right_mat, 0.5, Into::Add);
                for (i, row) in to.chunks(step).enumerate() {
                    for (j, got) in row.iter().enumerate() {
                        let product =
                            |j| (0..depth).map(|k| left[i * depth + k] * right[k * cols + j]).sum::<f32>();
                        let expected = if j < cols { 1.0 + 0.5 * product(j) } else { 1.0 };
                        assert!(
                            (got - expected).abs() < 1e-4,
                            "{rows}×{cols}×{depth} at {i},{j}: {got} {expected}"
                        );
                    }
                }
            }
        }
    }
}
