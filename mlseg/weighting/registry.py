"""Every weighting by its name, in the family (sub-package) that its module is in.

To add a weighting, import its factory below, as its own name. That makes it public in
`mlseg.weighting`, a choice of `config.weighting.name` (unless it is in `LIBRARY_ALONE`), a row of
`docs/reference/weighting.md` and a case of the laws in `tests/weighting`. The page has the rows in
the order of these lines.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlseg.weighting.base import LossWeighting

# isort: off
# From the values of the losses.
from mlseg.weighting.from_losses.fixed import fixed as fixed
from mlseg.weighting.from_losses.scheduled import scheduled as scheduled
from mlseg.weighting.from_losses.dynamic_memory_fusion import (
  dynamic_memory_fusion as dynamic_memory_fusion,
)
from mlseg.weighting.from_losses.softadapt import softadapt as softadapt
from mlseg.weighting.from_losses.dynamic_weight_average import (
  dynamic_weight_average as dynamic_weight_average,
)
from mlseg.weighting.from_losses.coefficient_of_variation import (
  coefficient_of_variation as coefficient_of_variation,
)
from mlseg.weighting.from_losses.relobralo import relobralo as relobralo
from mlseg.weighting.from_losses.random_weighting import random_weighting as random_weighting
from mlseg.weighting.from_losses.scalarization import geometric as geometric
from mlseg.weighting.from_losses.smooth_tchebycheff import smooth_tchebycheff as smooth_tchebycheff
from mlseg.weighting.from_losses.scalarization import (
  soft_optimal_uncertainty as soft_optimal_uncertainty,
)
from mlseg.weighting.from_losses.scalarization import cosmos as cosmos
from mlseg.weighting.from_losses.scalarization import (
  penalty_boundary_intersection as penalty_boundary_intersection,
)
from mlseg.weighting.from_losses.famo import famo as famo
from mlseg.weighting.from_losses.go4align import go4align as go4align
from mlseg.weighting.from_losses.residual_attention import (
  residual_based_attention as residual_based_attention,
)

# Learned beside the network.
from mlseg.weighting.learned.uncertainty import uncertainty as uncertainty
from mlseg.weighting.learned.uncertainty import revised_uncertainty as revised_uncertainty
from mlseg.weighting.learned.impartial_losses import impartial_losses as impartial_losses
from mlseg.weighting.learned.robust import robust as robust
from mlseg.weighting.learned.self_adaptive import self_adaptive as self_adaptive
from mlseg.weighting.learned.auto_lambda import auto_lambda as auto_lambda

# From the Gram matrix of the gradients.
from mlseg.weighting.from_gram.gradnorm import gradnorm as gradnorm
from mlseg.weighting.from_gram.norm_balance import gradient_norm_balance as gradient_norm_balance
from mlseg.weighting.from_gram.neural_tangent_kernel import (
  neural_tangent_kernel as neural_tangent_kernel,
)
from mlseg.weighting.from_gram.mgda import mgda as mgda
from mlseg.weighting.from_gram.gradient_surgery import pcgrad as pcgrad
from mlseg.weighting.from_gram.gradient_surgery import gradvac as gradvac
from mlseg.weighting.from_gram.cagrad import cagrad as cagrad
from mlseg.weighting.from_gram.impartial_gradients import impartial_gradients as impartial_gradients
from mlseg.weighting.from_gram.nash_mtl import nash_mtl as nash_mtl
from mlseg.weighting.from_gram.nash_mtl import fairgrad as fairgrad
from mlseg.weighting.from_gram.aligned_mtl import aligned_mtl as aligned_mtl
from mlseg.weighting.from_gram.upgrad import dual_projection as dual_projection
from mlseg.weighting.from_gram.upgrad import upgrad as upgrad
from mlseg.weighting.from_gram.conflict_free import conflict_free as conflict_free
from mlseg.weighting.from_gram.priority_constrained import (
  priority_constrained as priority_constrained,
)
from mlseg.weighting.from_gram.krum import krum as krum
from mlseg.weighting.from_gram.stochastic_descent import modo as modo
from mlseg.weighting.from_gram.stochastic_descent import sdmgrad as sdmgrad

# From the gradients themselves, as optax transformations.
from mlseg.weighting.from_gradients.graddrop import graddrop as graddrop
from mlseg.weighting.from_gradients.trimmed_mean import trimmed_mean as trimmed_mean
from mlseg.weighting.from_gradients.moco import moco as moco
from mlseg.weighting.from_gradients.db_mtl import db_mtl as db_mtl
from mlseg.weighting.from_gradients.excess_mtl import excess_mtl as excess_mtl
from mlseg.weighting.from_gradients.learning_rate_annealing import (
  learning_rate_annealing as learning_rate_annealing,
)

# Combinators, which change the weights that another weighting decides.
from mlseg.weighting.combinators.chain import chain as chain
from mlseg.weighting.combinators.chain import ema as ema
from mlseg.weighting.combinators.chain import bounded as bounded
from mlseg.weighting.combinators.cadence import every as every
from mlseg.weighting.combinators.cadence import per_epoch as per_epoch
from mlseg.weighting.combinators.cadence import warm_up as warm_up
from mlseg.weighting.combinators.scaling import with_prior as with_prior
from mlseg.weighting.combinators.scaling import rescale as rescale
from mlseg.weighting.combinators.auxiliary import with_auxiliary as with_auxiliary
from mlseg.weighting.combinators.selection import switch as switch
from mlseg.weighting.combinators.selection import subset as subset
# isort: on

FAMILIES = ("from_losses", "learned", "from_gram", "from_gradients", "combinators")


def _family(name: str) -> dict[str, Callable[..., Any]]:
  """Returns the factories imported above whose modules are in one family, by name."""
  prefix = f"mlseg.weighting.{name}."
  return {
    key: value
    for key, value in globals().items()
    if getattr(value, "__module__", "").startswith(prefix)
  }


REGISTRY: dict[str, dict[str, Callable[..., Any]]] = {name: _family(name) for name in FAMILIES}
# They need a keyword of `update` that the training from a recipe does not give.
LIBRARY_ALONE = ("neural_tangent_kernel", "auto_lambda")
# The methods that a recipe can name: each gives a LossWeighting without further arguments.
METHODS: dict[str, Callable[..., LossWeighting]] = {
  name: factory
  for family in ("from_losses", "learned", "from_gram")
  for name, factory in REGISTRY[family].items()
  if name not in LIBRARY_ALONE
}

if not TYPE_CHECKING:  # type checkers take the public names from `import name as name`
  __all__ = [name for factories in REGISTRY.values() for name in factories]
