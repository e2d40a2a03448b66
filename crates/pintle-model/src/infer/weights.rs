//! A model's weights as serving reads them: matrices in panels (see `math::panel`), in one of three precisions.

use std::{borrow::Cow, sync::Arc};

use crate::{
    Layout, ModelConfig, ModelError, Tensor,
    artefact::weights::to_bf16,
    math::{Brain, Byte, Cells, PANEL, Rows, Single, Step, product},
    network::Shape,
};

/// How the matrices are kept. Arithmetic is in single precision always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Single precision, as trained: 4 bytes a weight.
    #[default]
    F32,
    /// bfloat16: 2 bytes a weight. Loses nothing of a model that was published in it.
    Bf16,
    /// Whole numbers from -127 to 127 and a scale for each output: about 1 byte a weight.
    Int8,
}

#[derive(Debug)]
enum Steps {
    F32(Vec<Single>),
    Bf16(Vec<Brain>),
    Int8 { steps: Vec<Byte>, scales: Vec<Cells> },
}

/// A matrix with a row for each output, in panels.
#[derive(Debug)]
pub(super) struct Matrix {
    depth: usize,
    panels: usize,
    steps: Steps,
}

impl Matrix {
    /// Of rows of `depth`; `None` is a row of zeros.
    fn new(precision: Precision, depth: usize, rows: &[Option<&[f32]>]) -> Self {
        let panels = rows.len().div_ceil(PANEL);
        let steps = match precision {
            Precision::F32 => Steps::F32(pack(depth, rows, |to: &mut Single, lane, value, _| {
                put(&mut to.0, lane, value);
            })),
            Precision::Bf16 => Steps::Bf16(pack(depth, rows, |to: &mut Brain, lane, value, _| {
                put(&mut to.0, lane, to_bf16(value));
            })),
            Precision::Int8 => {
                let scale = |row: &Option<&[f32]>| {
                    row.unwrap_or_default().iter().fold(0.0_f32, |most, value| most.max(value.abs())) / 127.0
                };
                let scales: Vec<f32> = rows.iter().map(scale).collect();
                let steps = pack(depth, rows, |to: &mut Byte, lane, value, row| {
                    let scale = scales.get(row).copied().unwrap_or(0.0);
                    let whole = if scale > 0.0 { (value / scale).round() } else { 0.0 };
                    #[expect(clippy::cast_possible_truncation, reason = "within ±127 by the scale")]
                    put(&mut to.0, lane, whole as i8);
                });
                let mut cells = vec![[0.0; PANEL]; panels];
                for (to, scale) in cells.iter_mut().flatten().zip(scales) {
                    *to = scale;
                }
                Steps::Int8 { steps, scales: cells }
            }
        };
        Matrix { depth, panels, steps }
    }

    pub(super) fn panels(&self) -> usize {
        self.panels
    }

    fn bytes(&self) -> usize {
        match &self.steps {
            Steps::F32(steps) => size_of_val(steps.as_slice()),
            Steps::Bf16(steps) => size_of_val(steps.as_slice()),
            Steps::Int8 { steps, scales } => size_of_val(steps.as_slice()) + size_of_val(scales.as_slice()),
        }
    }

    /// The products of `x` with the outputs of some panels: `to` has, for each panel, cells for each row.
    pub(super) fn product(&self, to: &mut [Cells], x: &Rows, panels: std::ops::Range<usize>) {
        let range = panels.start * self.depth..panels.end * self.depth;
        match &self.steps {
            Steps::F32(steps) => product(to, x, steps.get(range).unwrap_or_default(), None),
            Steps::Bf16(steps) => product(to, x, steps.get(range).unwrap_or_default(), None),
            Steps::Int8 { steps, scales } => {
                product(to, x, steps.get(range).unwrap_or_default(), scales.get(panels));
            }
        }
    }

    /// The row of one output: the embedding of a token, where the matrix is the embedding.
    pub(super) fn row(&self, output: usize, to: &mut [f32]) {
        let (panel, lane) = (output / PANEL, output % PANEL);
        let range = panel * self.depth..(panel + 1) * self.depth;
        match &self.steps {
            Steps::F32(steps) => unpack(steps.get(range), lane, to, 1.0),
            Steps::Bf16(steps) => unpack(steps.get(range), lane, to, 1.0),
            Steps::Int8 { steps, scales } => {
                let scale = scales.as_flattened().get(output).copied().unwrap_or(0.0);
                unpack(steps.get(range), lane, to, scale);
            }
        }
    }
}

fn pack<F: Step>(depth: usize, rows: &[Option<&[f32]>], write: impl Fn(&mut F, usize, f32, usize)) -> Vec<F> {
    let mut steps = vec![F::ZERO; rows.len().div_ceil(PANEL) * depth];
    for (index, row) in rows.iter().enumerate() {
        let panel = steps.iter_mut().skip(index / PANEL * depth);
        for (step, value) in panel.zip(row.unwrap_or_default()) {
            write(step, index % PANEL, *value, index);
        }
    }
    steps
}

fn unpack<F: Step>(steps: Option<&[F]>, lane: usize, to: &mut [f32], scale: f32) {
    for (to, step) in to.iter_mut().zip(steps.unwrap_or_default()) {
        *to = step.cells().get(lane).copied().unwrap_or(0.0) * scale;
    }
}

fn put<T>(cells: &mut [T; PANEL], lane: usize, value: T) {
    if let Some(cell) = cells.get_mut(lane) {
        *cell = value;
    }
}

#[derive(Debug)]
pub(super) struct LayerWeights {
    pub(super) norm_before: Vec<f32>,
    pub(super) qkv: Matrix,
    pub(super) out: Matrix,
    pub(super) norm_between: Vec<f32>,
    /// Panels of gate and of up by turns, so that one thread has both of a value.
    pub(super) gate_up: Matrix,
    pub(super) down: Matrix,
}

/// A model, ready to be served.
#[derive(Debug)]
pub struct EngineModel {
    pub(super) shape: Shape,
    pub(super) embedding: Arc<Matrix>,
    pub(super) layers: Vec<LayerWeights>,
    pub(super) norm_last: Vec<f32>,
    /// The embedding itself where they are tied.
    pub(super) head: Arc<Matrix>,
}

impl EngineModel {
    /// Packs a network from its flat list of weights.
    ///
    /// # Errors
    /// When the configuration does not fit together, or the list has another length than it asks for.
    pub fn new(config: ModelConfig, weights: &[f32], precision: Precision) -> Result<Self, ModelError> {
        EngineModel::from_tensors(config, precision, |tensor| {
            Ok(Cow::Borrowed(weights.get(tensor.range.clone()).unwrap_or_default()))
        })
    }

    /// Packs a network tensor by tensor, so that no more than one layer's matrices lie in memory twice. `source` is
    /// asked for the tensors of [`Layout::tensors`] in their order.
    ///
    /// # Errors
    /// Those of `source`, and when a tensor has another length than its shape.
    pub fn from_tensors<'a>(
        config: ModelConfig,
        precision: Precision,
        mut source: impl FnMut(&Tensor) -> Result<Cow<'a, [f32]>, ModelError>,
    ) -> Result<Self, ModelError> {
        let shape = Shape::new(config)?;
        let layout = Arc::clone(&shape.layout);
        let mut tensors = layout.tensors.iter();
        let mut next = || {
            let wrong = ModelError::Config { field: "weights", why: "their number is not that of its shape" };
            let Some(tensor) = tensors.next() else { return Err(wrong) };
            let values = source(tensor)?;
            if values.len() == tensor.range.len() { Ok(values) } else { Err(wrong) }
        };
        let config = &shape.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let matrix = |values: &[f32], depth: usize| {
            Matrix::new(precision, depth, &values.chunks_exact(depth).map(Some).collect::<Vec<_>>())
        };
        let embedding = Arc::new(matrix(&next()?, hidden));
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for _ in 0..config.num_hidden_layers {
            let norm_before = next()?.into_owned();
            let (q, k, v) = (next()?, next()?, next()?);
            let rows: Vec<_> =
                [&q, &k, &v].into_iter().flat_map(|part| part.chunks_exact(hidden).map(Some)).collect();
            let qkv = Matrix::new(precision, hidden, &rows);
            let out = matrix(&next()?, shape.heads.query_width());
            let norm_between = next()?.into_owned();
            let (gate, up) = (next()?, next()?);
            let gate_up = Matrix::new(precision, hidden, &by_turns(&gate, &up, hidden));
            let down = matrix(&next()?, inner);
            layers.push(LayerWeights { norm_before, qkv, out, norm_between, gate_up, down });
        }
        let norm_last = next()?.into_owned();
        let tied = config.tie_word_embeddings;
        let head = if tied { Arc::clone(&embedding) } else { Arc::new(matrix(&next()?, hidden)) };
        Ok(EngineModel { shape, embedding, layers, norm_last, head })
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.shape.config
    }

    /// Its tensors.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.shape.layout
    }

    /// Bytes that its matrices take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layers: usize = self
            .layers
            .iter()
            .map(|l| l.qkv.bytes() + l.out.bytes() + l.gate_up.bytes() + l.down.bytes())
            .sum();
        let head = if Arc::ptr_eq(&self.embedding, &self.head) { 0 } else { self.head.bytes() };
        layers + self.embedding.bytes() + head
    }
}

/// A panel of gate's rows, the panel of up's rows, the next of gate's; each filled up with rows of zeros.
fn by_turns<'a>(gate: &'a [f32], up: &'a [f32], depth: usize) -> Vec<Option<&'a [f32]>> {
    let mut rows = Vec::new();
    let panel = PANEL * depth;
    for (gate, up) in gate.chunks(panel).zip(up.chunks(panel)) {
        for part in [gate, up] {
            let given = part.chunks_exact(depth).map(Some);
            rows.extend(given.chain(std::iter::repeat(None)).take(PANEL));
        }
    }
    rows
}
