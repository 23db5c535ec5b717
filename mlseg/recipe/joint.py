"""Several recipes in one program: what differs between them becomes numbers of a model.

Recipes that agree in all but the learning rate, the losses, the weighting and the auxiliary loss
share data, network and optimiser, so their models can be trained side by side. The program computes
the losses of all recipes; the weighting of each sees its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import optax

from mlseg import weighting
from mlseg.recipe.experiment import Experiment
from mlseg.weighting import LossWeighting


class Joint(NamedTuple):
  """The parts of a training step that serve all recipes of a program.

  Attributes:
    loss_names: of all recipes, in the order in which they are met.
    weighting: of all losses; takes the extra arguments below.
    optimizer: takes them as well.
    extra: per name the extra argument of each recipe, [recipes, ...]; none for a single recipe,
      whose numbers are constants of the program.
  """

  loss_names: list[str]
  weighting: LossWeighting
  optimizer: optax.GradientTransformation
  extra: dict[str, np.ndarray]


def join(experiments: Sequence[Experiment], steps_per_epoch: int, num_steps: int) -> Joint:
  """Returns the parts of a step for recipes whose `common` is the same.

  Raises:
    UserError: a recipe is not right.
  """
  names = list(dict.fromkeys(name for one in experiments for name in one.losses.names))
  first = experiments[0]
  if len(experiments) == 1:
    method = first.weighting.make(steps_per_epoch, num_steps)
    return Joint(names, method, first.optimizer.make(num_steps), {})
  methods: dict[str, LossWeighting] = {}
  index_of_method = []
  for one in experiments:
    key = one.weighting.key
    if key not in methods:
      own = one.weighting.make(steps_per_epoch, num_steps)
      methods[key] = weighting.subset(own, list(one.losses.names))
    index_of_method.append(list(methods).index(key))
  extra = {
    "learning_rate": np.array([one.optimizer.learning_rate for one in experiments], np.float32),
    "auxiliary": np.array([one.weighting.auxiliary for one in experiments], np.float32),
    "method": np.array(index_of_method, np.int32),
  }
  # The optimiser is one for all: what differs between them is the rate alone.
  optimizer = first.optimizer.make(num_steps, rate_is_given=True)
  return Joint(names, weighting.switch(*methods.values()), optimizer, extra)
