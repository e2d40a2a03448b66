//! The product for serving: few rows against a large matrix, each row's sums made in one order whatever comes beside it.
//!
//! A matrix is cut into panels of 32 outputs; a panel holds, step after step along the depth, the weights of all its
//! outputs side by side. An output is the sum over the steps in their order, in one register lane of its own, whether
//! its row comes alone or among others: so a batch gives, bit for bit, what each row gives alone. The `gemm` crate
//! cuts its sums by the shape of the whole product, which is why training may use it and serving may not.

use pulp::{Arch, Simd, WithSimd};

use super::Into;

/// Outputs in a panel.
pub(crate) const PANEL: usize = 32;

/// A panel's worth of single-precision values: one cell for each of its outputs.
pub(crate) type Cells = [f32; PANEL];

/// A step of a panel as it is stored.
pub(crate) trait Step: Copy + Send + Sync {
    /// Of zeros.
    const ZERO: Self;

    /// Its weights in single precision.
    fn cells(&self) -> Cells;
}

/// Single precision. Aligned to a line of the cache, for loads that touch one line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Single(pub(crate) Cells);

/// The upper half of single precision (bfloat16).
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Brain(pub(crate) [u16; PANEL]);

/// Whole numbers, to be multiplied by a scale for each output.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Byte(pub(crate) [i8; PANEL]);

impl Step for Single {
    const ZERO: Self = Single([0.0; PANEL]);

    #[inline(always)]
    fn cells(&self) -> Cells {
        self.0
    }
}

impl Step for Brain {
    const ZERO: Self = Brain([0; PANEL]);

    #[inline(always)]
    fn cells(&self) -> Cells {
        let mut cells = [0.0; PANEL];
        for (cell, half) in cells.iter_mut().zip(self.0) {
            *cell = f32::from_bits(u32::from(half) << 16);
        }
        cells
    }
}

impl Step for Byte {
    const ZERO: Self = Byte([0; PANEL]);

    #[inline(always)]
    fn cells(&self) -> Cells {
        let mut cells = [0.0; PANEL];
        for (cell, whole) in cells.iter_mut().zip(self.0) {
            *cell = f32::from(whole);
        }
        cells
    }
}

/// How many rows the kernel takes at once: as many as the registers hold sums of.
pub(crate) fn rows_at_once() -> usize {
    struct Ask;
    impl WithSimd for Ask {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            if S::F32_LANES == 16 { 12 } else { 3 }
        }
    }
    Arch::new().dispatch(Ask)
}

/// A group of rows that the kernel takes at once.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// The first of them.
    first: usize,
    /// How many there are.
    rows: usize,
    /// How many the kernel computes: the next size that it is made for. The values of the surplus are of no meaning.
    lanes: usize,
}

/// The sizes that the kernel is made for.
const LANES: [usize; 7] = [1, 2, 3, 4, 6, 8, 12];

/// Rows to be multiplied, as the kernel reads them: in groups, and in a group step after step along the depth, a value
/// of each row.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    at_once: usize,
    rows: usize,
    depth: usize,
    groups: Vec<Group>,
    values: Vec<f32>,
}

impl Rows {
    pub(crate) fn new(at_once: usize) -> Self {
        Rows { at_once, rows: 0, depth: 0, groups: Vec::new(), values: Vec::new() }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Makes room for so many rows. What it holds then is of no meaning.
    pub(crate) fn resize(&mut self, rows: usize, depth: usize) {
        (self.rows, self.depth) = (rows, depth);
        self.groups.clear();
        let mut size = 0;
        for first in (0..rows).step_by(self.at_once) {
            let taken = (rows - first).min(self.at_once);
            let lanes = LANES.into_iter().find(|lanes| *lanes >= taken).unwrap_or(self.at_once);
            self.groups.push(Group { first, rows: taken, lanes });
            size += lanes * depth;
        }
        self.values.resize(size, 0.0);
    }

    /// Takes `values`, row after row of `depth`.
    pub(crate) fn fill(&mut self, values: &[f32], depth: usize) {
        self.resize(values.len() / depth, depth);
        for (row, values) in values.chunks_exact(depth).enumerate() {
            self.put(row, values);
        }
    }

    /// Writes one row.
    pub(crate) fn put(&mut self, row: usize, values: &[f32]) {
        let Some(group) = self.groups.get(row / self.at_once) else { return };
        let (start, lanes) = (group.first * self.depth, group.lanes);
        let Some(to) = self.values.get_mut(start..start + lanes * self.depth) else { return };
        if lanes == 1 {
            to.copy_from_slice(values);
            return;
        }
        let lane = to.get_mut(group_lane(row, group)..).unwrap_or_default();
        for (to, value) in lane.iter_mut().step_by(lanes).zip(values) {
            *to = *value;
        }
    }

    /// The values of rows that are few enough for one group, and how many a step of them has.
    pub(crate) fn only_group(&self) -> Option<(&[f32], usize)> {
        let (group, values) = self.groups().next()?;
        (group.rows == self.rows).then_some((values, group.lanes))
    }

    fn groups(&self) -> impl Iterator<Item = (Group, &[f32])> {
        self.groups.iter().filter_map(|group| {
            let start = group.first * self.depth;
            Some((*group, self.values.get(start..start + group.lanes * self.depth)?))
        })
    }
}

fn group_lane(row: usize, group: &Group) -> usize {
    row - group.first
}

/// `to = x · panelᵀ` for panel after panel: `to` holds, panel after panel, cells for each row. `steps` holds `depth`
/// steps of each panel. With `scales`, one for each output, the sums are multiplied by them.
pub(crate) fn product<F: Step>(to: &mut [Cells], x: &Rows, steps: &[F], scales: Option<&[Cells]>) {
    if x.rows > 0 && x.depth > 0 {
        Arch::new().dispatch(Product { to, x, steps, scales });
    }
}

struct Product<'a, F> {
    to: &'a mut [Cells],
    x: &'a Rows,
    steps: &'a [F],
    scales: Option<&'a [Cells]>,
}

impl<F: Step> WithSimd for Product<'_, F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let panels = self.to.chunks_exact_mut(self.x.rows).zip(self.steps.chunks_exact(self.x.depth));
        for (panel, (to, steps)) in panels.enumerate() {
            let scale = self.scales.and_then(|scales| scales.get(panel));
            for (group, x) in self.x.groups() {
                let Some(to) = to.get_mut(group.first..group.first + group.rows) else { continue };
                group_panel(simd, to, x, group.lanes, steps, Into::Replace);
                if let Some(scale) = scale {
                    for (value, scale) in to.iter_mut().flat_map(|to| to.iter_mut().zip(scale)) {
                        *value *= scale;
                    }
                }
            }
        }
    }
}

/// One panel against one group of rows, `lanes` of them in `x`; `to` may have fewer.
#[inline(always)]
pub(super) fn group_panel<S: Simd, F: Step>(
    simd: S,
    to: &mut [Cells],
    x: &[f32],
    lanes: usize,
    steps: &[F],
    into: Into,
) {
    match lanes {
        1 => sized::<S, F, 1>(simd, to, x, steps, into),
        2 => sized::<S, F, 2>(simd, to, x, steps, into),
        3 => sized::<S, F, 3>(simd, to, x, steps, into),
        4 => sized::<S, F, 4>(simd, to, x, steps, into),
        6 => sized::<S, F, 6>(simd, to, x, steps, into),
        8 => sized::<S, F, 8>(simd, to, x, steps, into),
        _ => sized::<S, F, 12>(simd, to, x, steps, into),
    }
}

#[inline(always)]
fn sized<S: Simd, F: Step, const ROWS: usize>(simd: S, to: &mut [Cells], x: &[f32], steps: &[F], into: Into) {
    let (x, _) = x.as_chunks::<ROWS>();
    // As many registers as a panel takes.
    match S::F32_LANES {
        16 => kernel::<S, F, ROWS, 2>(simd, to, x, steps, into),
        8 => kernel::<S, F, ROWS, 4>(simd, to, x, steps, into),
        4 => kernel::<S, F, ROWS, 8>(simd, to, x, steps, into),
        _ => kernel::<S, F, ROWS, 32>(simd, to, x, steps, into),
    }
}

#[inline(always)]
fn kernel<S: Simd, F: Step, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    to: &mut [Cells],
    x: &[[f32; ROWS]],
    steps: &[F],
    into: Into,
) {
    // Loops over `sums` go over all of it, so that it stays in registers: `to` may be shorter.
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    if into == Into::Add {
        let mut from = to.iter();
        for sums in &mut sums {
            if let Some(cells) = from.next() {
                *sums = registers::<S, REGISTERS>(simd, cells);
            }
        }
    }
    for (x, step) in x.iter().zip(steps) {
        if into == Into::Replace {
            prefetch(step);
        }
        let weights = registers::<S, REGISTERS>(simd, &step.cells());
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = simd.splat_f32s(*x);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(x, weight, *sum);
            }
        }
    }
    let mut to = to.iter_mut();
    for sums in sums {
        if let Some(to) = to.next() {
            for (to, sum) in S::as_mut_simd_f32s(to).0.iter_mut().zip(sums) {
                *to = sum;
            }
        }
    }
}

/// Bytes that the kernel asks the memory for ahead of time. With several rows there is so much to compute in a step that
/// the processor does not look far enough ahead by itself, and it would wait for most of the weights.
const AHEAD: usize = 16 << 10;

/// Asks for the memory some way behind `step`, which may lie beyond the list: then nothing comes of it.
#[inline(always)]
fn prefetch<F: Step>(step: &F) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let line = 64;
        let start = std::ptr::from_ref(step).cast::<i8>().wrapping_add(AHEAD);
        for at in (0..size_of::<F>()).step_by(line) {
            // SAFETY: a prefetch is a hint. It reads nothing that the program could see and never faults, whatever the
            // address.
            #[expect(unsafe_code, reason = "the standard library has no safe prefetch")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(at));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = step;
}

#[inline(always)]
fn registers<S: Simd, const REGISTERS: usize>(simd: S, cells: &Cells) -> [S::f32s; REGISTERS] {
    let mut registers = [simd.splat_f32s(0.0); REGISTERS];
    for (register, cells) in registers.iter_mut().zip(S::as_simd_f32s(cells).0) {
        *register = *cells;
    }
    registers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 37 % 1019) as f32 - 509.0) / 77.0
    }

    /// Rows alone and in groups of every size.
    fn check<F: Step>(steps: &[F], depth: usize, scales: Option<&[Cells]>) {
        let panels = steps.len() / depth;
        let all: Vec<f32> = (0..29 * depth).map(value).collect();
        let mut alone = Vec::new();
        for row in all.chunks(depth) {
            let mut x = Rows::new(rows_at_once());
            x.fill(row, depth);
            let mut to = vec![[f32::NAN; PANEL]; panels];
            product(&mut to, &x, steps, scales);
            alone.push(to);
        }
        for count in 1..=29 {
            let mut x = Rows::new(rows_at_once());
            x.fill(&all[(29 - count) * depth..], depth);
            let mut to = vec![[f32::NAN; PANEL]; panels * count];
            product(&mut to, &x, steps, scales);
            for (panel, cells) in to.chunks(count).enumerate() {
                for (row, cells) in cells.iter().enumerate() {
                    let expected = alone[29 - count + row][panel];
                    assert_eq!(cells.map(f32::to_bits), expected.map(f32::to_bits), "{count} {row} {panel}");
                }
            }
        }
        for (row, to) in all.chunks(depth).zip(&alone) {
            for (panel, cells) in to.iter().enumerate() {
                for (output, cell) in cells.iter().enumerate() {
                    let weights = &steps[panel * depth..(panel + 1) * depth];
                    let sum: f64 = row
                        .iter()
                        .zip(weights)
                        .map(|(x, w)| f64::from(*x) * f64::from(w.cells()[output]))
                        .sum();
                    let scale = scales.map_or(1.0, |scales| f64::from(scales[panel][output]));
                    let expected = sum * scale;
                    assert!((expected - f64::from(*cell)).abs() < 1e-4 * expected.abs().max(50.0));
                }
            }
        }
    }

    #[test]
    fn a_row_gives_the_same_bits_in_any_company() {
        for depth in [1, 7, 64] {
            let cells = |i: usize| std::array::from_fn::<f32, PANEL, _>(|j| value(i * PANEL + j + 3));
            let single: Vec<Single> = (0..3 * depth).map(|i| Single(cells(i))).collect();
            check(&single, depth, None);
            let brain: Vec<Brain> =
                single.iter().map(|s| Brain(s.0.map(|v| (v.to_bits() >> 16) as u16))).collect();
            check(&brain, depth, None);
            #[expect(clippy::cast_possible_truncation, reason = "small values")]
            let byte: Vec<Byte> = single.iter().map(|s| Byte(s.0.map(|v| v as i8))).collect();
            let scales: Vec<Cells> = (0..3).map(cells).collect();
            check(&byte, depth, Some(&scales));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn narrower_registers_give_the_same_bits() {
        let Some(narrow) = pulp::x86::V3::try_new() else { return };
        let depth = 37;
        let steps: Vec<Single> =
            (0..2 * depth).map(|i| Single(std::array::from_fn(|j| value(i * PANEL + j)))).collect();
        let values: Vec<f32> = (0..11 * depth).map(value).collect();
        let mut wide = vec![[f32::NAN; PANEL]; 22];
        let mut x = Rows::new(rows_at_once());
        x.fill(&values, depth);
        product(&mut wide, &x, &steps, None);
        let mut to = vec![[f32::NAN; PANEL]; 22];
        let mut x = Rows::new(3);
        x.fill(&values, depth);
        Simd::vectorize(narrow, Product { to: &mut to, x: &x, steps: &steps, scales: None });
        assert_eq!(to, wide);
    }
}
