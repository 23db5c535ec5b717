"""Several configs in one program: what differs between them becomes numbers of a model.

Configs that agree in all but the learning rate, the losses, the weighting and the auxiliary loss
share data, network and optimiser, so their models can be trained side by side. The program computes
the losses of all; each config's weighting sees its own.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import optax
from ml_collections import ConfigDict

from mlseg import weighting
from mlseg.recipe import optimizer as recipe_optimizer
from mlseg.recipe import weighting as recipe_weighting
from mlseg.recipe.properties import loss_names
from mlseg.weighting import LossWeighting

# What may differ: entries of a config, or of its sections.
_FREE = ("name", "variant", "losses", "weighting", "auxiliary", "mesh")


class Joint(NamedTuple):
  """The parts of a training step that serve all configs.

  Attributes:
    loss_names: of all configs, in the order in which they are met.
    weighting: of all losses; takes the extra arguments below.
    optimizer: as well.
    extra: per name the extra argument of each config, [configs, ...]; none for a single config,
      whose numbers are constants of the program.
  """

  loss_names: list[str]
  weighting: LossWeighting
  optimizer: optax.GradientTransformation
  extra: dict[str, np.ndarray]


def common_part(config: ConfigDict) -> str:
  """Returns what two configs must have in common to be trained in one program, as text."""
  content = {name: value for name, value in config.to_dict().items() if name not in _FREE}
  content["optimizer"] = dict(content["optimizer"], learning_rate=None)
  content["gram_at"] = config.weighting.gram_at
  content["needs_gram"] = recipe_weighting.make_weighting(config, 1).needs_gram
  return json.dumps(content, sort_keys=True, default=str)


def join(configs: Sequence[ConfigDict], steps_per_epoch: int, num_steps: int) -> Joint:
  """Returns the parts of a step for configs whose `common_part` is the same.

  Raises:
    UserError: a config is not right.
  """
  names = list(dict.fromkeys(name for config in configs for name in loss_names(config)))
  first = configs[0]
  if len(configs) == 1:
    method = recipe_weighting.make_weighting(first, steps_per_epoch)
    return Joint(names, method, recipe_optimizer.make_optimizer(first, num_steps), {})
  methods: dict[str, LossWeighting] = {}
  places = []
  for config in configs:
    key = _method_key(config)
    if key not in methods:
      own = recipe_weighting.make_weighting(config, steps_per_epoch)
      methods[key] = weighting.subset(own, loss_names(config))
    places.append(list(methods).index(key))
    optimizer = recipe_optimizer.make_optimizer(config, num_steps, rate_is_given=True)
  extra = {
    "learning_rate": np.array([c.optimizer.learning_rate for c in configs], np.float32),
    "auxiliary": np.array([(c.auxiliary.initial, c.auxiliary.decay) for c in configs], np.float32),
    "method": np.array(places, np.int32),
  }
  return Joint(names, weighting.switch(*methods.values()), optimizer, extra)


def _method_key(config: ConfigDict) -> str:
  """Returns what decides a config's weighting, less the numbers that are extra arguments."""
  auxiliary = dict(config.auxiliary, initial=None, decay=None)
  content = (config.losses, config.weighting.to_dict(), auxiliary)
  return json.dumps(content, sort_keys=True, default=str)
