"""The gradient of the weighted sum of several losses, with weights decided in the same step."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting, ravel
from mlseg.weighting.checks import check_integer
from mlseg.weighting.microbatches import mean_over_parts
from mlseg.weighting.shared_parameters import Shared, is_shared, parted
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
  shared: Shared | None = None,
  specific: Literal["weighted", "unweighted"] = "weighted",
  keep_gradients: bool = True,
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
    the memory of K gradients. With `keep_gradients=False` the K passes go side by side, the inner
    products are summed array by array, and no gradient is kept: that takes the memory of K
    gradients of the largest array and of K derivatives of its inputs, and a further backward pass.
    It is less for networks of many parameters and small activations, and more for U-Nets.

  Gradients of complex outputs or parameters count as their real and imaginary parts, so that G_ij =
  Re⟨g_i, g_j⟩. In both cases it is summed in float32 (float64 where a gradient is), whatever dtype
  the network computes in.

  The papers compare gradients with respect to the parameters that all losses share, such as those
  of an encoder: heads of single losses would only add to the diagonal of G. `shared` names these.
  With `specific='unweighted'` the gradient of the other parameters is the plain sum Σ_k ∂L_k/∂θ, so
  that each head is trained by its own loss at its full strength; without a Gram matrix of the
  parameters that costs a second backward pass.

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
    shared: the parameters that the losses share: the beginning of their paths, such as 'encoder' or
      'encoder/stage1', or several, or a function from a path to a bool. None: all.
    specific: how the gradients of the other parameters are added: 'weighted' or 'unweighted'.
    keep_gradients: whether the K gradients are kept until the weights are known; has no effect
      where no Gram matrix of the parameters is needed. False only without micro-batches.

  Returns:
    `compute(params, weighting_state, *args, key=None, present=None, **extra) ->
    (LossesAndGradients, weighting_state)`; `key`, `present` and `extra` are passed to the
    weighting.

  Raises:
    ValueError: where an argument is out of its range; in `compute`, where the batch does not divide
      into the parts, or no parameter is shared.

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
  _check(loss_fn, weighting, gram_at, num_microbatches, specific)
  if not keep_gradients and num_microbatches > 1:
    raise ValueError(f"keep_gradients: must be True with {num_microbatches} micro-batches")
  forward: Callable[..., _Pass] = _forward
  if weighting.needs_gram and gram_at == "logits":
    forward = _forward_at_logits
  elif weighting.needs_gram and not keep_gradients:
    forward = functools.partial(_forward_at_params, shared)
  stacks = weighting.needs_gram and gram_at == "params" and keep_gradients
  plain = shared is not None and specific == "unweighted"

  def compute(params, weighting_state, *args, key=None, **extra):
    def decide(losses, gram):
      weights, state = weighting.update(losses, weighting_state, gram=gram, key=key, **extra)
      # The pull-back needs exactly the losses' dtypes, whatever dtype a weighting computes in.
      return jax.tree.map(lambda w, loss: w.astype(loss.dtype), weights, losses), state

    def mean(function):
      return mean_over_parts(function, args, num_microbatches)

    def pulled(pull_back, weights):
      gradients = pull_back(weights)
      return parted(gradients, pull_back(_ones(weights)), own) if plain else gradients

    own = is_shared(params, shared)
    if stacks:
      losses, stacked, aux = mean(lambda *part: _stacked_gradients(loss_fn, params, *part))
      weights, state = decide(losses, gram_of(_chosen(stacked, own)))
      vector = ravel(weights)[0]
      gradients = weighted_sum(vector, stacked)
      if plain:
        gradients = parted(gradients, weighted_sum(jnp.ones_like(vector), stacked), own)
    elif num_microbatches == 1:
      losses, gram, pull_back, aux = forward(loss_fn, params, *args)
      weights, state = decide(losses, gram)
      gradients = pulled(pull_back, weights)
    else:
      losses, gram = mean(lambda *part: forward(loss_fn, params, *part)[:2])
      # Logits of different parts are different coordinates, and L has 1/n of each part's loss.
      gram = None if gram is None else gram / num_microbatches
      weights, state = decide(losses, gram)

      def backward(*part):
        part = _forward(loss_fn, params, *part)
        return pulled(part.pull_back, weights), part.aux

      gradients, aux = mean(backward)
    return LossesAndGradients(losses, weights, gradients, aux), state

  return compute


def _check(loss_fn, weighting, gram_at, num_microbatches, specific) -> None:
  if specific not in ("weighted", "unweighted"):
    raise ValueError(f"specific: choose from weighted, unweighted; got {specific!r}")
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


def _forward_at_params(shared: Shared | None, loss_fn, params, *args) -> _Pass:
  """Returns the losses, the Gram matrix of the parameters, and the pull-back of all losses."""
  losses, pull_back, aux = jax.vjp(lambda p: loss_fn(p, *args), params, has_aux=True)
  vector, unravel = ravel(losses)
  # Side by side, so that the gradients of one array are there at one time and can be forgotten.
  stacked = jax.vmap(lambda row: pull_back(unravel(row))[0])(
    jnp.eye(vector.size, dtype=vector.dtype)
  )
  gram = gram_of(_chosen(stacked, is_shared(params, shared)))
  return _Pass(losses, gram, lambda weights: pull_back(weights)[0], aux)


def _chosen(stacked: PyTree, own: PyTree) -> list[jax.Array]:
  """Returns the arrays of which the second tree says True."""
  pairs = zip(jax.tree.leaves(stacked), jax.tree.leaves(own), strict=True)
  return [leaf for leaf, is_own in pairs if is_own]


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


def _ones(weights: PyTree) -> PyTree:
  return jax.tree.map(jnp.ones_like, weights)


def _select(losses: PyTree, k: int) -> jax.Array:
  """Returns the k-th of the losses."""
  leaves = jax.tree.leaves(losses)
  return leaves[0][k] if jnp.ndim(leaves[0]) else leaves[k]
