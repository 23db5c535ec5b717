"""The gradient of the weighted sum of several losses, with weights decided in the same step."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting, check_integer, ravel
from mlseg.weighting.stacked import gram_of, weighted_sum

PyTree = Any
_NOT_SHARED = (
  "gram_at='logits' compares no gradients here: no two losses read the same output of the network,"
  " so their Gram matrix is diagonal; use gram_at='params'"
)


@dataclasses.dataclass(frozen=True)
class SplitLoss:
  """A loss function in two parts: a network up to its outputs, and losses of these outputs.

  The losses read the parameters through the outputs only. A SplitLoss can be called like any loss
  function: `split(params, *args) -> (losses, aux)`.
  """

  forward: Callable[..., tuple[PyTree, PyTree]]  # forward(params, *args) -> (outputs, aux)
  losses: Callable[..., PyTree]  # losses(outputs, *args) -> a pytree of scalars, or [K]

  def __call__(self, params: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
    """Returns the losses, and the second result of `forward`."""
    outputs, aux = self.forward(params, *args)
    return self.losses(outputs, *args), aux


LossFunction: TypeAlias = Callable[..., tuple[PyTree, PyTree]] | SplitLoss


class LossesAndGradients(NamedTuple):
  """The result of `losses_and_gradients`."""

  losses: PyTree  # K scalars, or [K]
  weights: PyTree  # in the structure of the losses
  gradients: PyTree  # of the weighted sum, in the structure of the parameters
  aux: PyTree  # the second result of the loss function


class _Pass(NamedTuple):
  """The results of a forward pass, and the function for the backward pass."""

  losses: PyTree
  gram: jax.Array | None  # [K, K]
  pull_back: Callable[[PyTree], PyTree]  # from weights to the gradient of the weighted sum
  aux: PyTree


def losses_and_gradients(
  loss_fn: LossFunction,
  weighting: LossWeighting,
  *,
  gram_at: Literal["logits", "params"] = "params",
  num_microbatches: int = 1,
) -> Callable[..., tuple[LossesAndGradients, PyTree]]:
  """Returns a function that weights several losses and differentiates their weighted sum.

  With losses L_k(θ) and weights w_k = weighting(L), which are constants of the derivative, the
  gradient is Σ_k w_k ∂L_k/∂θ: one `jax.vjp` of the loss vector, pulled back with the weights.

  Where the weighting needs the Gram matrix of the gradients, it can be taken in two spaces:

  - 'logits': G_ij = ⟨∂L_i/∂z, ∂L_j/∂z⟩ at the outputs z of the network, which all losses read. It
    costs K pull-backs of the losses alone, and one backward pass of the network. It is the Gram
    matrix in parameter space up to the metric that the network's Jacobian defines (by the chain
    rule): the upper bound of Sener & Koltun 2018, eq. 3. Where no two losses read the same output,
    as with a head for each loss, it is diagonal: no gradients are in conflict, and methods such as
    `pcgrad` give the plain sum. A warning says so.
  - 'params': G_ij = ⟨∂L_i/∂θ, ∂L_j/∂θ⟩, as the papers define it. It costs K backward passes, and
    the memory of K gradients.

  Gradients of complex outputs or parameters count as their real and imaginary parts, so that G_ij =
  Re⟨g_i, g_j⟩. In both cases it is summed in float32 (float64 where a gradient is), whatever dtype
  the network computes in.

  With micro-batches the batch goes through the network in `num_microbatches` parts, one after
  another, which takes the memory of one part. The losses are the means over the parts, and one set
  of weights is decided from them. So the result is that of the whole batch wherever a loss is a
  mean over examples. The weights must be known before the backward pass, so the forward pass of
  each part is computed twice, except with a Gram matrix of the parameters: then the K gradients are
  summed over the parts instead.

  Where a step lacks a loss, as that of a task without labels in this batch, `compute` takes
  `present`. The weight of an absent loss is 0. Its value does not matter, but its derivative has to
  be finite: a mean over n labelled pixels divides by max(n, 1).

  Args:
    loss_fn: `loss_fn(params, *args) -> (losses, aux)` with `losses` a pytree of scalars, or [K];
      a `SplitLoss` for 'logits'. With micro-batches the last of `args` is the batch, a pytree whose
      leaves have the examples first, and `aux` is the mean of the parts' where it holds floats (as
      the running statistics of a batch norm do) and the last part's elsewhere.
    weighting: decides the weights.
    gram_at: 'logits' or 'params'; has no effect where the weighting needs no Gram matrix.
    num_microbatches: the number of parts of a batch.

  Returns:
    `compute(params, weighting_state, *args, key=None, present=None, **extra) ->
    (LossesAndGradients, weighting_state)`; `key`, `present` and `extra` are passed to the
    weighting.

  Raises:
    ValueError: where an argument is out of its range; in `compute`, where the batch does not divide
      into the parts.

  Example:
    >>> from mlseg.weighting import fixed
    >>> def loss_fn(x):
    ...   return {"a": x**2, "b": 3.0 * x}, None
    >>> weighting = fixed({"a": 1.0, "b": 2.0})
    >>> compute = losses_and_gradients(loss_fn, weighting)
    >>> state = weighting.init({"a": jnp.zeros(()), "b": jnp.zeros(())})
    >>> result, state = compute(jnp.asarray(5.0), state)
    >>> float(result.gradients)  # 1 · 2x + 2 · 3
    16.0
  """
  _check(loss_fn, weighting, gram_at, num_microbatches)
  forward: Callable[..., _Pass] = _forward
  if weighting.needs_gram and gram_at == "logits":
    forward = _forward_at_logits
  stacks = weighting.needs_gram and gram_at == "params"

  def compute(params, weighting_state, *args, key=None, **extra):
    def decide(losses, gram):
      weights, state = weighting.update(losses, weighting_state, gram=gram, key=key, **extra)
      # The pull-back needs exactly the losses' dtypes, whatever dtype a weighting computes in.
      return jax.tree.map(lambda w, loss: w.astype(loss.dtype), weights, losses), state

    def mean(function):
      return _mean_over_parts(function, args, num_microbatches)

    if stacks:
      losses, stacked, aux = mean(lambda *part: _stacked_gradients(loss_fn, params, *part))
      weights, state = decide(losses, gram_of(stacked))
      gradients = weighted_sum(ravel(weights)[0], stacked)
    elif num_microbatches == 1:
      losses, gram, pull_back, aux = forward(loss_fn, params, *args)
      weights, state = decide(losses, gram)
      gradients = pull_back(weights)
    else:
      losses, gram = mean(lambda *part: forward(loss_fn, params, *part)[:2])
      # Logits of different parts are different coordinates, and L has 1/n of each part's loss.
      gram = None if gram is None else gram / num_microbatches
      weights, state = decide(losses, gram)

      def backward(*part):
        part = _forward(loss_fn, params, *part)
        return part.pull_back(weights), part.aux

      gradients, aux = mean(backward)
    return LossesAndGradients(losses, weights, gradients, aux), state

  return compute


def _check(loss_fn, weighting, gram_at, num_microbatches) -> None:
  if gram_at not in ("logits", "params"):
    raise ValueError(f"gram_at: choose from logits, params; got {gram_at!r}")
  if weighting.needs_gram and gram_at == "logits" and not isinstance(loss_fn, SplitLoss):
    raise ValueError(f"loss_fn: must be a SplitLoss with gram_at='logits', got {loss_fn!r}")
  check_integer("num_microbatches", num_microbatches, 1)


def _forward(loss_fn, params, *args) -> _Pass:
  """Returns the losses, and the pull-back of all of them at once."""
  losses, pull_back, aux = jax.vjp(lambda p: loss_fn(p, *args), params, has_aux=True)
  return _Pass(losses, None, lambda weights: pull_back(weights)[0], aux)


def _forward_at_logits(loss_fn: SplitLoss, params, *args) -> _Pass:
  """Returns the losses, the Gram matrix at the outputs, and the pull-back from the outputs."""
  outputs, pull_back, aux = jax.vjp(lambda p: loss_fn.forward(p, *args), params, has_aux=True)
  losses = loss_fn.losses(outputs, *args)
  if not share_inputs(lambda z: loss_fn.losses(z, *args), outputs):
    warnings.warn(_NOT_SHARED, stacklevel=2)

  def gradient(k):
    # Each loss by itself: a unit cotangent of the vector would pull zeros through the other losses.
    return jax.grad(lambda z: _select(loss_fn.losses(z, *args), k))(outputs)

  rows = [gradient(k) for k in range(ravel(losses)[0].size)]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

  def whole_pull_back(weights):
    return pull_back(weighted_sum(ravel(weights)[0], stacked))[0]

  return _Pass(losses, gram_of(stacked), whole_pull_back, aux)


def _stacked_gradients(loss_fn, params, *args) -> tuple[PyTree, PyTree, PyTree]:
  """Returns the losses, their gradients with the losses as first axis, and `aux`."""
  losses, pull_back, aux = jax.vjp(lambda p: loss_fn(p, *args), params, has_aux=True)
  vector, unravel = ravel(losses)
  # One after another: a batched backward pass would turn convolutions into grouped ones.
  rows = [pull_back(unravel(row))[0] for row in jnp.eye(vector.size, dtype=vector.dtype)]
  return losses, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows), aux


def share_inputs(losses_of: Callable[[PyTree], PyTree], outputs: PyTree) -> bool:
  """Returns whether any two losses read the same array of the outputs; True for one loss alone.

  It follows the arrays through the computation without running it. Losses that are computed in one
  compiled function, or stacked into one array, count as if each read all that the others read.

  Args:
    losses_of: from the outputs to a pytree of losses.
    outputs: a pytree of arrays.

  Example:
    >>> outputs = {"mask": jnp.ones(2), "label": jnp.ones(2)}
    >>> share_inputs(lambda z: (z["mask"].sum(), z["label"].sum()), outputs)
    False
    >>> share_inputs(lambda z: (z["mask"].sum(), (z["mask"] * z["label"]).sum()), outputs)
    True
  """
  graph = jax.make_jaxpr(losses_of)(outputs).jaxpr
  reads: dict[Any, set[int]] = {v: {n} for n, v in enumerate(graph.invars)}

  def read_by(variables) -> set[int]:
    return set().union(*(reads.get(v, ()) for v in variables if not hasattr(v, "val")))

  for equation in graph.eqns:
    reads |= dict.fromkeys(equation.outvars, read_by(equation.invars))
  each = [read_by([v]) for v in graph.outvars]
  return len(each) == 1 or sum(map(len, each)) > len(set().union(*each))


def _select(losses: PyTree, k: int) -> jax.Array:
  """Returns the k-th of the losses."""
  leaves = jax.tree.leaves(losses)
  return leaves[0][k] if jnp.ndim(leaves[0]) else leaves[k]


def _mean_over_parts(function, args: tuple, num_parts: int) -> PyTree:
  """Returns the mean of function(*args) over parts of the last argument, in the memory of one.

  Results that are not floats are those of the last part.
  """
  if num_parts == 1:
    return function(*args)
  *others, batch = args
  parts = jax.tree.map(lambda leaf: _split(leaf, num_parts), batch)
  shapes = jax.eval_shape(function, *others, jax.tree.map(lambda leaf: leaf[0], parts))

  def add(total, part):
    def combine(old, new):
      averages = jnp.issubdtype(new.dtype, jnp.inexact)
      return old + new.astype(old.dtype) / num_parts if averages else new

    return jax.tree.map(combine, total, function(*others, part)), None

  total, _ = jax.lax.scan(add, jax.tree.map(_zeros, shapes), parts)
  return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), total, shapes)


def _split(leaf: jax.Array, num_parts: int) -> jax.Array:
  """Returns [B, ...] as [num_parts, B / num_parts, ...].

  A part takes examples from all over the batch: where the batch is split over devices, each device
  has its share of every part.
  """
  if jnp.ndim(leaf) == 0 or leaf.shape[0] % num_parts:
    raise ValueError(
      f"num_microbatches: must divide the batch, got {num_parts} for shape {jnp.shape(leaf)}"
    )
  return jnp.reshape(leaf, (-1, num_parts, *leaf.shape[1:])).swapaxes(0, 1)


def _zeros(like: jax.ShapeDtypeStruct) -> jax.Array:
  """Returns zeros to sum into: in float32 at least where they are floats."""
  inexact = jnp.issubdtype(like.dtype, jnp.inexact)
  return jnp.zeros(
    like.shape, jnp.promote_types(like.dtype, jnp.float32) if inexact else like.dtype
  )
