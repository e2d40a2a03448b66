//! Composite operations, each one node of burn's autodiff graph: forward and backward are written with the
//! tensor operations of the flex back end. burn has no derivative of its own for these as a whole; built from
//! its differentiable parts they would take several times as many passes over memory.

use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, NodeGuard, Ops, OpsKind, unary};
use burn_backend::ops::{ActivationOps, FloatTensorOps};
use burn_backend::tensor::{FloatTensor, IndexingUpdateOp, IntTensor};
use burn_backend::{Scalar, Shape, Slice, TensorMetadata};

use crate::model::{CONTEXT, Constants, HEAD_DIM, HEADS};

pub use burn_flex::Flex;
pub type Graph = burn_autodiff::Autodiff<Flex>;
pub type Plain = FloatTensor<Flex>;
pub type Tracked = FloatTensor<Graph>;

fn record<Op, const N: usize>(op: Op, inputs: [NodeGuard; N], state: Op::State, output: Plain) -> Tracked
where
    Op: Backward<Flex, N>,
{
    match op.prepare::<NoCheckpointing>(inputs).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

fn shape<const D: usize>(tensor: Plain, shape: [usize; D]) -> Plain {
    Flex::float_reshape(tensor, Shape::from(shape))
}

#[derive(Debug)]
struct RmsNorm;

pub fn rms_norm(x: Tracked, weight: Tracked) -> Tracked {
    let inputs = [x.node(), weight.node()];
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let mean_square = Flex::float_mean_dim(Flex::float_mul(x.clone(), x.clone()), 1);
    let scale = Flex::float_recip(Flex::float_sqrt(Flex::float_add_scalar(mean_square, Scalar::Float(1e-5))));
    let normed = Flex::float_mul(x, scale.clone());
    let weight = shape(weight, [1, normed.shape()[1]]);
    let output = Flex::float_mul(normed.clone(), weight.clone());
    record(RmsNorm, inputs, (normed, scale, weight), output)
}

impl Backward<Flex, 2> for RmsNorm {
    type State = (Plain, Plain, Plain);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let (normed, scale, weight) = ops.state;
        let [x_node, weight_node] = ops.parents;
        let product = Flex::float_mul(grad.clone(), normed.clone());
        if let Some(node) = weight_node {
            let sum = Flex::float_sum_dim(product.clone(), 0);
            grads.register::<Flex>(node.id, shape(sum, [product.shape()[1]]));
        }
        if let Some(node) = x_node {
            let along = Flex::float_mean_dim(Flex::float_mul(product, weight.clone()), 1);
            let across = Flex::float_sub(Flex::float_mul(grad, weight), Flex::float_mul(normed, along));
            grads.register::<Flex>(node.id, Flex::float_mul(across, scale));
        }
    }
}

#[derive(Debug)]
struct SwiGlu;

pub fn swiglu(gate: Tracked, up: Tracked) -> Tracked {
    let inputs = [gate.node(), up.node()];
    let (gate, up) = (gate.into_primitive(), up.into_primitive());
    // Written out because the branch in flex's own sigmoid is mispredicted for every other element.
    let exponential = Flex::float_exp(Flex::float_neg(gate.clone()));
    let sigmoid = Flex::float_recip(Flex::float_add_scalar(exponential, Scalar::Float(1.0)));
    let silu = Flex::float_mul(gate, sigmoid.clone());
    let output = Flex::float_mul(silu.clone(), up.clone());
    record(SwiGlu, inputs, (sigmoid, silu, up), output)
}

impl Backward<Flex, 2> for SwiGlu {
    type State = (Plain, Plain, Plain);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let (sigmoid, silu, up) = ops.state;
        let [gate_node, up_node] = ops.parents;
        if let Some(node) = up_node {
            grads.register::<Flex>(node.id, Flex::float_mul(grad.clone(), silu.clone()));
        }
        if let Some(node) = gate_node {
            // The derivative of silu is sigmoid + silu - silu × sigmoid.
            let bend = Flex::float_mul(silu.clone(), sigmoid.clone());
            let slope = Flex::float_sub(Flex::float_add(silu, sigmoid), bend);
            let into_gate = Flex::float_mul(grad, up);
            grads.register::<Flex>(node.id, Flex::float_mul(into_gate, slope));
        }
    }
}

/// Positions × batch × heads × width, as a view batch × heads × positions × width.
fn by_head(tensor: Plain, batch: usize) -> Plain {
    Flex::float_permute(shape(tensor, [CONTEXT, batch, HEADS, HEAD_DIM]), &[1, 2, 0, 3])
}

/// The inverse of `by_head`, copied into rows of activations.
fn by_position(tensor: Plain) -> Plain {
    let [batch, heads, ..] = tensor.shape().dims::<4>();
    shape(Flex::float_permute(tensor, &[2, 0, 1, 3]), [CONTEXT * batch, heads * HEAD_DIM])
}

#[derive(Debug)]
struct Attention;

/// Causal attention of all heads; rotates the `queries_keys` first.
pub fn attention(queries_keys: Tracked, values: Tracked, constants: &Constants) -> Tracked {
    let inputs = [queries_keys.node(), values.node()];
    let batch = values.shape()[0] / CONTEXT;
    let unrotated = shape(queries_keys.into_primitive(), [CONTEXT, batch * 2 * HEADS, HEAD_DIM]);
    let rotated = Flex::float_matmul(unrotated, constants.rotations.clone());
    let rotated = shape(rotated, [CONTEXT, batch, 2 * HEADS, HEAD_DIM]);
    let part = |first: usize| {
        let heads = Slice::new(first as isize, Some((first + HEADS) as isize), 1);
        let part = Flex::float_slice(rotated.clone(), &[Slice::full(), Slice::full(), heads]);
        Flex::float_permute(part, &[1, 2, 0, 3])
    };
    let (queries, keys) = (part(0), part(HEADS));
    let values = by_head(values.into_primitive(), batch);
    let scores = Flex::float_matmul(queries.clone(), Flex::float_transpose(keys.clone()));
    let mask = shape(constants.mask.clone(), [1, 1, CONTEXT, CONTEXT]);
    let weights = Flex::softmax(Flex::float_add(scores, mask), 3);
    let output = by_position(Flex::float_matmul(weights.clone(), values.clone()));
    record(Attention, inputs, [queries, keys, values, weights, constants.rotations.clone()], output)
}

impl Backward<Flex, 2> for Attention {
    type State = [Plain; 5];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let [queries, keys, values, weights, rotations] = ops.state;
        let [queries_keys_node, values_node] = ops.parents;
        let batch = queries.shape()[0];
        let grad = by_head(grad, batch);
        if let Some(node) = values_node {
            let values_grad = Flex::float_matmul(Flex::float_transpose(weights.clone()), grad.clone());
            grads.register::<Flex>(node.id, by_position(values_grad));
        }
        if let Some(node) = queries_keys_node {
            let weights_grad = Flex::float_matmul(grad, Flex::float_transpose(values));
            let scores_grad = softmax_backward(weights_grad, weights, 3);
            let queries_grad = Flex::float_matmul(scores_grad.clone(), keys);
            let keys_grad = Flex::float_matmul(Flex::float_transpose(scores_grad), queries);
            // The product with the rotations also brings the rows into the order of positions.
            let rotated = Flex::float_cat(vec![queries_grad, keys_grad], 1);
            let rotated = shape(rotated, [batch * 2 * HEADS, CONTEXT, HEAD_DIM]);
            let rotated = Flex::float_swap_dims(rotated, 0, 1);
            let unrotated = Flex::float_matmul(rotated, Flex::float_transpose(rotations));
            grads.register::<Flex>(node.id, shape(unrotated, [CONTEXT * batch, 2 * HEADS * HEAD_DIM]));
        }
    }
}

fn softmax_backward(grad: Plain, output: Plain, dim: usize) -> Plain {
    let along = Flex::float_sum_dim(Flex::float_mul(grad.clone(), output.clone()), dim);
    Flex::float_mul(Flex::float_sub(grad, along), output)
}

#[derive(Debug)]
struct CrossEntropy;

/// Sum over rows of the cross-entropy of `targets` (rows × 1), divided by `divisor`.
pub fn cross_entropy(logits: Tracked, targets: IntTensor<Flex>, divisor: usize) -> Tracked {
    let inputs = [logits.node()];
    let probabilities = Flex::softmax(logits.into_primitive(), 1);
    let chosen = Flex::float_gather(1, probabilities.clone(), targets.clone());
    let sum = Flex::float_sum(Flex::float_log(chosen));
    let output = Flex::float_mul_scalar(sum, Scalar::Float(-1.0 / divisor as f64));
    record(CrossEntropy, inputs, (probabilities, targets, divisor), output)
}

impl Backward<Flex, 1> for CrossEntropy {
    type State = (Plain, IntTensor<Flex>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (probabilities, targets, divisor) = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, grads, |grad| {
            let minus_one = crate::model::plain(vec![-1.0; targets.shape()[0]], [targets.shape()[0], 1]);
            let difference = Flex::float_scatter(1, probabilities, targets, minus_one, IndexingUpdateOp::Add);
            let grad = Flex::float_mul_scalar(shape(grad, [1, 1]), Scalar::Float(1.0 / divisor as f64));
            Flex::float_mul(difference, grad)
        });
    }
}
