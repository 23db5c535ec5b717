"""Loss functions in two parts: a network up to some outputs, and losses that read these."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

PyTree = Any


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


@dataclasses.dataclass(frozen=True)
class FeatureLoss:
  """A loss function in two parts: the features that the losses share, and heads with their losses.

  The heads read the features, and parameters of their own besides. Features may be the outputs of
  an encoder, or any other intermediate results, as one array or a pytree of them. A FeatureLoss can
  be called like any loss function: `loss(params, *args) -> (losses, (aux, aux))`.

  Example:
    >>> import jax.numpy as jnp
    >>> from mlseg import weighting as w
    >>> loss = FeatureLoss(
    ...   lambda params, x: (params["encoder"] * x, None),
    ...   lambda params, z, x: ({k: (params[k] * z).sum() for k in ("a", "b")}, None),
    ... )
    >>> params = {"encoder": jnp.ones(2), "a": jnp.array([1.0, 0.0]), "b": jnp.array([0.0, 2.0])}
    >>> method = w.gradient_norm_balance(decay=0.0)
    >>> compute = w.losses_and_gradients(loss, method, gram_at="features")
    >>> state = method.init({"a": 0.0, "b": 0.0})
    >>> result, state = compute(params, state, jnp.array([3.0, 4.0]))
    >>> {name: round(float(weight), 3) for name, weight in result.weights.items()}
    {'a': 1.5, 'b': 0.75}
  """

  forward: Callable[..., tuple[PyTree, PyTree]]  # forward(params, *args) -> (features, aux)
  losses: Callable[..., tuple[PyTree, PyTree]]  # losses(params, features, *args) -> (losses, aux)

  def __call__(self, params: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
    """Returns the losses, and the second results of both parts."""
    features, aux = self.forward(params, *args)
    losses, of_heads = self.losses(params, features, *args)
    return losses, (aux, of_heads)


def share_inputs(losses_of: Callable[[PyTree], PyTree], outputs: PyTree) -> bool:
  """Returns whether any two losses read the same array of the outputs; True for one loss alone.

  It follows the arrays through the computation without running it. Losses that are computed in one
  compiled function, or stacked into one array, count as if each read all that the others read.

  Args:
    losses_of: from the outputs to a pytree of losses.
    outputs: a pytree of arrays.

  Example:
    >>> import jax.numpy as jnp
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
