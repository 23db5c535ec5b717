"""The gradient of the weighted sum of several losses, with weights decided in the same step."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from mlseg.weighting import passes
from mlseg.weighting.base import LossWeighting, ravel
from mlseg.weighting.checks import check_integer
from mlseg.weighting.microbatches import mean_over_parts
from mlseg.weighting.shared_parameters import Shared, is_shared, parted
from mlseg.weighting.split_loss import FeatureLoss, SplitLoss
from mlseg.weighting.stacked import gram_of, weighted_sum

PyTree = Any
LossFunction: TypeAlias = Callable[..., tuple[PyTree, PyTree]] | SplitLoss | FeatureLoss


class LossesAndGradients(NamedTuple):
  """The result of `losses_and_gradients`."""

  losses: PyTree  # K scalars, or [K]
  weights: PyTree  # in the structure of the losses
  gradients: PyTree  # of the weighted sum, in the structure of the parameters
  aux: PyTree  # the second result of the loss function


def losses_and_gradients(
  loss_fn: LossFunction,
  weighting: LossWeighting,
  *,
  gram_at: Literal["logits", "features", "params"] = "params",
  num_microbatches: int = 1,
  shared: Shared | None = None,
  specific: Literal["weighted", "unweighted"] = "weighted",
  keep: Literal["all", "gradients", "activations"] = "all",
) -> Callable[..., tuple[LossesAndGradients, PyTree]]:
  """Returns a function that weights several losses and differentiates their weighted sum.

  With losses L_k(θ) and weights w_k = weighting(L), which are constants of the derivative, the
  gradient is Σ_k w_k ∂L_k/∂θ: one `jax.vjp` of the loss vector, pulled back with the weights.

  Where the weighting needs the Gram matrix of the gradients, it can be taken in three spaces:

  - 'logits': G_ij = ⟨∂L_i/∂z, ∂L_j/∂z⟩ at the outputs z of the network, which all losses read. It
    costs K pull-backs of the losses alone, and one backward pass of the network. It is the Gram
    matrix in parameter space up to the metric that the network's Jacobian defines (by the chain
    rule): the upper bound of Sener & Koltun 2018, eq. 3. Where no two losses read the same output,
    as with a head for each loss, it is diagonal: no gradients are in conflict, and methods such as
    `pcgrad` give the plain sum. A warning says so.
  - 'features': the same at intermediate results z, such as an encoder's, behind which each loss has
    a head of its own. It costs K backward passes of the heads, and one of all.
  - 'params': G_ij = ⟨∂L_i/∂θ, ∂L_j/∂θ⟩, as the papers define it. It costs K backward passes, and
    memory, of which `keep` decides:

    - 'all': the activations of one forward pass are kept for all backward passes, and K gradients.
    - 'gradients': each loss has a forward pass of its own, so that its backward pass frees the
      activations as it goes. That takes the memory of one backward pass and K gradients, compiles
      in less time, and costs K - 1 further forward passes.
    - 'activations': the K backward passes go side by side, the inner products are summed array by
      array, and no gradient is kept. That takes the memory of K gradients of the largest array and
      of K derivatives of its inputs, and a further backward pass. It is less for networks of many
      parameters and small activations, and more for U-Nets.

  Gradients of complex outputs or parameters count as their real and imaginary parts, so that G_ij =
  Re⟨g_i, g_j⟩. In all cases it is summed in float32 (float64 where a gradient is), whatever dtype
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
      a `SplitLoss` for 'logits', a `FeatureLoss` for 'features'. With micro-batches the last of
      `args` is the batch, a pytree whose leaves have the examples first, and `aux` is the mean of
      the parts' where it holds floats (as the running statistics of a batch norm do) and the last
      part's elsewhere.
    weighting: decides the weights.
    gram_at: 'logits', 'features' or 'params'; has no effect where the weighting needs no Gram
      matrix.
    num_microbatches: the number of parts of a batch.
    shared: the parameters that the losses share: the beginning of their paths, such as 'encoder' or
      'encoder/stage1', or several, or a function from a path to a bool. None: all.
    specific: how the gradients of the other parameters are added: 'weighted' or 'unweighted'.
    keep: what is kept until the weights are known: 'all', 'gradients' or 'activations'; has no
      effect where no Gram matrix of the parameters is needed. 'activations' only without
      micro-batches.

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
  _check(loss_fn, weighting, gram_at, num_microbatches, specific, keep)
  at = gram_at if weighting.needs_gram else None
  stacks = at == "params" and keep != "activations"
  gradients_of = passes.stacked_gradients if keep == "all" else passes.recomputed_gradients
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

    def forward(*part):
      if at == "params":
        return passes.forward_at_params(own, loss_fn, params, *part)
      if at == "features" and isinstance(loss_fn, FeatureLoss):
        return passes.forward_at_features(loss_fn, params, *part)
      if at == "logits" and isinstance(loss_fn, SplitLoss):
        return passes.forward_at_logits(loss_fn, params, *part)
      return passes.forward(loss_fn, params, *part)

    own = is_shared(params, shared)
    if stacks:
      losses, stacked, aux = mean(lambda *part: gradients_of(loss_fn, params, *part))
      weights, state = decide(losses, gram_of(passes.chosen(stacked, own)))
      vector = ravel(weights)[0]
      gradients = weighted_sum(vector, stacked)
      if plain:
        gradients = parted(gradients, weighted_sum(jnp.ones_like(vector), stacked), own)
    elif num_microbatches == 1:
      losses, gram, pull_back, aux = forward(*args)
      weights, state = decide(losses, gram)
      gradients = pulled(pull_back, weights)
    else:
      losses, gram = mean(lambda *part: forward(*part)[:2])
      # Outputs of different parts are different coordinates, and L has 1/n of each part's loss.
      gram = None if gram is None else gram / num_microbatches
      weights, state = decide(losses, gram)

      def backward(*part):
        part = passes.forward(loss_fn, params, *part)
        return pulled(part.pull_back, weights), part.aux

      gradients, aux = mean(backward)
    return LossesAndGradients(losses, weights, gradients, aux), state

  return compute


def _check(loss_fn, weighting, gram_at, num_microbatches, specific, keep) -> None:
  kinds = {"logits": SplitLoss, "features": FeatureLoss, "params": object}
  for name, value, choices in (
    ("specific", specific, ("weighted", "unweighted")),
    ("gram_at", gram_at, tuple(kinds)),
    ("keep", keep, ("all", "gradients", "activations")),
  ):
    if value not in choices:
      raise ValueError(f"{name}: choose from {', '.join(choices)}; got {value!r}")
  if weighting.needs_gram and not isinstance(loss_fn, kinds[gram_at]):
    wanted = kinds[gram_at].__name__
    raise ValueError(f"loss_fn: must be a {wanted} with gram_at={gram_at!r}, got {loss_fn!r}")
  check_integer("num_microbatches", num_microbatches, 1)
  if keep == "activations" and num_microbatches > 1:
    raise ValueError(f"keep: no 'activations' with {num_microbatches} micro-batches")


def _ones(weights: PyTree) -> PyTree:
  return jax.tree.map(jnp.ones_like, weights)
