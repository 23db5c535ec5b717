"""Impartial learning by losses: learned weights that bring all losses to one scale."""

import jax.numpy as jnp
import optax

from mlseg.weighting.base import Losses, LossWeighting, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.learned_state import ADAM, MAX_LOG, LearnedState, descend, start
from mlseg.weighting.presence import ravel_present


def impartial_losses(
  initial: float = 0.0, optimizer: optax.GradientTransformation = ADAM
) -> LossWeighting:
  """Learns weights that bring all weighted losses to 1 (IMTL-L).

  Formula: minimise Σ_k e^(s_k) L_k - s_k over s_k, so w_k = e^(s_k)

  The total is that of `uncertainty("doubled")` with s in place of -s. The weights of a step are
  those before the step of the optimiser, which needs only the losses. Gradients for s are clipped
  to [-100, 100], and s to [-20, 20]. A step with a loss that is not finite changes nothing.

  Needs: losses

  Use when: positive losses of any kind have different scales, and are not likelihoods of a
  distribution; not for losses that reach 0 or below, whose weights grow to the bound e^20.

  Source: Liu et al. 2021, ICLR, section 3.2.

  Args:
    initial: the first value of s, in [-20, 20].
    optimizer: of s; by default optax.adam(0.025), whose steps do not depend on the losses' scale.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where initial is out of its range.

  Example:
    >>> weighting = impartial_losses(optimizer=optax.sgd(0.1))
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[0.5, 4.0], [0.5, 4.0]]):
    ...   weights, state = weighting.update(losses, state)
    >>> [round(float(weight), 4) for weight in weights]
    [1.0513, 0.7408]
  """
  check_number("initial", initial, -MAX_LOG, MAX_LOG)

  def init(losses: Losses) -> LearnedState:
    return start(jnp.full(num_losses(losses), initial, state_dtype(losses)), optimizer)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    decided = jnp.exp(state.parameters)
    gradient = decided * vector - 1
    limits = -MAX_LOG, MAX_LOG
    return unravel(decided), descend(state, gradient, vector, optimizer, *limits, present)

  return LossWeighting(init, update, decides_first=True)
