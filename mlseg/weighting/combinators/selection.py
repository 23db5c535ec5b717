"""Combinators that choose a weighting or the losses, for models side by side in one program."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import Losses, LossWeighting, State, num_losses
from mlseg.weighting.presence import as_mask


class SwitchState(NamedTuple):
  """The states of all weightings, of which one decides."""

  members: tuple[State, ...]  # one per weighting, in order


def switch(*weightings: LossWeighting) -> LossWeighting:
  """Lets one of several weightings decide, by an index that may differ from model to model.

  Formula: w = weights of the weighting with index `method`

  The index is the extra argument `method` of `update`, [] int32 (0 where it is not given), so each
  model under `vmap` has its own. The states of the other weightings stay as they are. All of them
  get the same losses; wrap those that weight fewer losses in `subset`.

  Needs: what its weightings need

  Use when: models under different weightings are trained in one program.

  Args:
    *weightings: at least one.

  Returns:
    A LossWeighting.

  Raises:
    ValueError: where no weighting is given.

  Example:
    >>> from mlseg.weighting import fixed
    >>> weighting = switch(fixed((1.0, 0.0)), fixed((0.0, 1.0)))
    >>> losses = jnp.array([0.5, 0.5])
    >>> state = weighting.init(losses)
    >>> update = lambda n: weighting.update(losses, state, method=n)[0]
    >>> jax.vmap(update)(jnp.arange(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
  """
  if not weightings:
    raise ValueError("weightings: must be at least one, got none")

  def init(losses: Losses) -> SwitchState:
    return SwitchState(tuple(weighting.init(losses) for weighting in weightings))

  def update(losses, state, *, weights=None, gram=None, key=None, method=0, **extra):
    def branch(index):
      def decide(states):
        own_weights, inner = weightings[index].update(
          losses, states[index], weights=weights, gram=gram, key=key, **extra
        )
        return own_weights, (*states[:index], inner, *states[index + 1 :])

      return decide

    branches = [branch(index) for index in range(len(weightings))]
    chosen, states = jax.lax.switch(method, branches, state.members)
    return chosen, SwitchState(states)

  return LossWeighting(
    init,
    update,
    needs_gram=any(weighting.needs_gram for weighting in weightings),
    decides_first=all(weighting.decides_first for weighting in weightings),
  )


def subset(weighting: LossWeighting, names: Sequence[str]) -> LossWeighting:
  """Weights some losses of a dict by a weighting that gets only these; the others have weight 0.

  Formula: w_k = inner weight of loss k among the names, 0 elsewhere

  Needs: what the inner weighting needs

  Use when: models of one program are trained under different losses.

  Args:
    weighting: decides the weights of the named losses.
    names: keys of a dict of losses.

  Returns:
    A LossWeighting for dicts of losses.

  Raises:
    ValueError: where there are no names, or one twice; in `init`, where the losses are not a dict
      that has all of them.

  Example:
    >>> from mlseg.weighting import fixed
    >>> weighting = subset(fixed(), ("dice",))
    >>> losses = {"dice": jnp.float32(0.3), "focal": jnp.float32(0.1)}
    >>> weights, _ = weighting.update(losses, weighting.init(losses))
    >>> {name: float(weight) for name, weight in weights.items()}
    {'dice': 1.0, 'focal': 0.0}
  """
  if not names or len(set(names)) != len(names):
    raise ValueError(f"names: must be different and at least one, got {tuple(names)}")

  def own(values: Losses) -> dict:
    return {name: values[name] for name in names}

  def init(losses: Losses) -> State:
    if not isinstance(losses, dict) or not set(names) <= set(losses):
      keys = sorted(losses) if isinstance(losses, dict) else losses
      raise ValueError(f"names: losses must be a dict with {', '.join(names)}, got {keys}")
    num_losses(losses)
    return weighting.init(own(losses))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    mask = as_mask(losses, present)
    if mask is not None:
      present = own(dict(zip(sorted(losses), mask, strict=True)))
    if gram is not None:
      chosen = [index for index, name in enumerate(sorted(losses)) if name in names]
      gram = gram[np.ix_(chosen, chosen)]
    if weights is not None:
      weights = own(weights)
    own_weights, state = weighting.update(
      own(losses), state, weights=weights, gram=gram, key=key, present=present, **extra
    )
    return {name: jnp.zeros_like(loss) for name, loss in losses.items()} | own_weights, state

  return LossWeighting(init, update, weighting.needs_gram, weighting.decides_first)
