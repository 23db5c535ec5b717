"""Uncertainty-driven multi-loss network for glands of the colon (BenTaieb & Hamarneh 2017).

    python -m mlseg.main --config=configs/glands.py --config.data.root=DIR/Warwick_QU_Dataset

Variants, by name after a colon, are the eleven rows of the paper's table 1: losses of the tissue's
class (c), of its segments (s), of their topology (t) and geometry (g), with the same weights, with
weights of their own (`chosen`), or with learned variances (`uncertainty_...`, the default with all
four). `--config.weighting.name=dynamic_memory_fusion` is another weighting of the same losses.

Pictures keep their size, and patches of 250×250 are trained on; whole pictures are predicted in
overlapping tiles. `--config.data.split=grouped` keeps patients on one side; the published division,
which is the default, has most of them on both.

Where a data set has lumen inside its glands, the containment says so: classes background, gland,
lumen would be `containment = ((2, 1),)` here, and in both losses beside the exclusions.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("dmf_busi.py")))
LOSSES = {
  "c": "classification_cross_entropy",
  "s": "binary_cross_entropy",
  "t": "topology",
  "g": "geometry",
}
FIXED = {
  "c": (1.0,),
  "s": (1.0,),
  "t": (1.0,),
  "s+t+g": (1.0, 1.0, 1.0),
  "c+s": (0.5, 0.5),
  "c+s+t": (0.33, 0.33, 0.33),
  "c+s+t+g": (0.25, 0.25, 0.25, 0.25),
}
CHOSEN = (0.1, 0.6, 0.22, 0.08)
LEARNED = tuple(f"uncertainty_{terms}" for terms in ("c+s", "c+s+t", "c+s+t+g"))
VARIANTS = (*FIXED, "chosen", *LEARNED)


def get_config(variant: str = "uncertainty_c+s+t+g") -> ConfigDict:
  """Returns the recipe of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
  terms = "c+s+t+g" if variant == "chosen" else variant.removeprefix("uncertainty_")
  letters = terms.split("+")
  classifies, segments = "c" in letters, len(letters) > 1 or "c" not in letters

  config = _BASE["get_config"]("fixed")
  config.name = "glands"
  config.variant = variant
  config.num_epochs = 200  # of a patch of every picture
  config.batch_size = 10
  config.selection = "mean" if classifies and segments else "accuracy" if classifies else "dice"

  config.data.name = "glas"
  config.data.diameter = 0
  config.data.patch_size = 250
  config.data.split = "published"
  config.data.fractions = (70 / 165, 15 / 165, 80 / 165)
  config.data.glas = own = ConfigDict()
  own.label = "grade"  # benign or malignant; or 'histology': of five kinds
  own.channels = 3  # or 1: grey
  own.reduction = 1  # how many pixels of a side become one; limits in pixels are of the result
  own.complete = True  # whether all of the published pictures must be there

  config.metrics.surface = False
  config.metrics.objects = True
  config.metrics.object_neck = 0.0  # pixels; 0: predicted ones are connected regions
  config.metrics.object_size = 200  # pixels: half of the smallest gland to train on, of 388

  config.augmentation.flip_horizontal = 0.5
  config.augmentation.flip_vertical = 0.5
  config.augmentation.rotation = 180.0
  config.augmentation.shear = 5.0
  config.augmentation.scale = 0.1
  config.augmentation.elastic = 4.0
  config.augmentation.elastic_sigma = 15.0

  config.model = ConfigDict()
  config.model.name = "histology_fcn"
  heads = {"segmentation": segments, "classification": classifies}
  config.model.heads = tuple(head for head, there in heads.items() if there)
  config.model.containment = ()  # pairs (inner, outer) of classes
  config.model.depth = 4  # 250, 125, 63, 32, 16
  config.model.filters = 32  # of the first level; the paper does not say
  config.model.units = ()  # of the hidden layers of the head of classes
  config.model.norm_momentum = 0.9
  config.model.dtype = "float32"

  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 1e-2

  config.losses = tuple(LOSSES[letter] for letter in letters)
  for name in ("topology", "geometry"):
    table = config.loss_options[name]
    table.containment, table.exclusion, table.need_label = (), ((0, 1),), False

  config.weighting.fixed = (
    CHOSEN if variant == "chosen" else FIXED.get(variant, (1.0,) * len(letters))
  )
  if variant.startswith("uncertainty"):
    config.weighting.name = "uncertainty"
    learned = config.weighting.options.uncertainty
    learned.kind = "doubled"  # L/σ² + log σ²
    # By SGD at the network's rate, as in the paper, not by the default's Adam.
    learned.optimizer, learned.learning_rate = "sgd", config.optimizer.learning_rate
  return config
