r"""Segmentation and grading of glands of the colon under four losses (BenTaieb & Hamarneh 2017).

    python -m mlseg.main --config=configs/glands.py --config.data.root=DIR/Warwick_QU_Dataset

The variants, named after a colon, are the eleven rows of the paper's table 1. The losses are those
of the tissue's class (c), of its segmentation (s), and of the topology (t) and geometry (g) of its
regions. They have equal weights, hand-picked weights (`chosen`), or learned variances
(`uncertainty_...`; the default has all four losses).
`--config.weighting.name=dynamic_memory_fusion` takes another weighting of the same losses.

Images keep their size. The network is trained on patches of 250×250 pixels, and whole images are
predicted in overlapping tiles. The default is the published division, in which most patients are in
both parts; `--config.data.split=grouped` keeps each patient in one part.

`folder`, alone or followed by a plus and a variant (`folder+s+t+g` has no grades), is the same
recipe on your own histology, in folders as `configs/folder.py` explains them. Images keep their
sizes, which may differ; `--config.data.patch_size` is the side of the patches. The grade is a
column of a table, or the `{label}` of the pattern of images. Here the masks have lumen (2) inside
glands (1):

    python -m mlseg.main --config=configs/glands.py:folder --config.data.root=DIR \
        --config.data.folder.images='images/{name}.png' \
        --config.data.folder.masks='masks/{name}.png' \
        --config.data.folder.classes="(('background', 0), ('gland', 1), ('lumen', 2))" \
        --config.model.containment='((2, 1),)' \
        --config.data.folder.table=cases.csv --config.data.folder.id_column=name \
        --config.data.folder.label_column=grade --config.data.folder.patient_column=patient

`config.model.containment` is the one place for the table of regions, in pairs (inner, outer) of
classes, counted from 0. With `folder` both losses read it from there, and exclude all pairs of
regions that are not nested. Metrics are of classes: a gland with lumen is scored without its lumen.
Its objects are scored from `--config.metrics.object_size` pixels on, by default from the first.

At this size it has not been trained to the end. In a smaller study on two CPU cores
(`docs/uncertainty_study.md`: half of the magnification, patches of 128×128, 16 filters, 100 epochs,
three seeds, published division) `chosen` had a class accuracy of 94.2 ± 1.4 % and an object Dice of
68.2 ± 2.1 %. The default, which the paper proposes, had 71.7 ± 3.8 % and 26.9 ± 0.0 %: its models
predict gland everywhere, and the page tells why. To segment glands, take `chosen`.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_HERE = pathlib.Path(__file__)
_BASE = runpy.run_path(str(_HERE.with_name("dmf_busi.py")))
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
DEFAULT = "uncertainty_c+s+t+g"
# By name, the variant that is trained on a user's own folder.
FOLDER_VARIANTS = {"folder": DEFAULT, **{f"folder+{variant}": variant for variant in VARIANTS}}


def get_config(variant: str = DEFAULT) -> ConfigDict:
  """Returns the recipe of a variant."""
  if variant in FOLDER_VARIANTS:
    return _folder(variant)
  if variant not in VARIANTS:
    names = ", ".join((*VARIANTS, *FOLDER_VARIANTS))
    raise ValueError(f"unknown variant {variant!r}: choose from {names}")
  return _recipe(variant)


def _folder(variant: str) -> ConfigDict:
  """Returns the recipe of a variant on a folder of images, masks and grades."""
  config = _recipe(FOLDER_VARIANTS[variant])
  config.variant = variant
  del config.data["glas"]
  config.data.name = "folder"
  config.data.split = "grouped"
  config.data.fractions = (0.7, 0.15, 0.15)
  own = runpy.run_path(str(_HERE.with_name("folder.py")))["get_config"]().data.folder
  own.classes = (("background", 0), ("gland", 255))
  own.channels = 3
  own.duplicate_bits = -1  # fields of stained tissue resemble each other by nature
  config.data.folder = own
  config.metrics.object_size = 0  # pixels; it depends on the magnification
  for name in ("topology", "geometry"):  # their tables follow from config.model.containment
    table = {"containment": "model", "exclusion": "model", "need_label": False}
    config.loss_options[name] = ConfigDict(table)
  return config


def _recipe(variant: str) -> ConfigDict:
  """Returns the recipe of a variant on Warwick-QU."""
  terms = "c+s+t+g" if variant == "chosen" else variant.removeprefix("uncertainty_")
  letters = terms.split("+")
  classifies, segments = "c" in letters, len(letters) > 1 or "c" not in letters

  config = _BASE["get_config"]("fixed")
  config.name = "glands"
  config.variant = variant
  config.num_epochs = 200  # an epoch has one patch of every image
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
  own.reduction = 1  # factor by which images are reduced; sizes in pixels refer to the result
  own.complete = True  # whether all published images must be there

  config.metrics.surface = False
  config.metrics.objects = True
  config.metrics.object_neck = 0.0  # pixels; 0: predicted objects are connected regions
  config.metrics.object_size = 200  # pixels: half of the smallest training gland, which has 388

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
  config.model.filters = 32  # of the first level; the paper does not give it
  config.model.units = ()  # sizes of the hidden layers of the classification head
  config.model.norm_momentum = 0.9
  config.model.dtype = "float32"

  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 1e-2
  config.optimizer.momentum = 0.0  # plain steps, as the paper says
  config.optimizer.nesterov = False

  config.losses = tuple(LOSSES[letter] for letter in letters)
  pixels = config.loss_options.binary_cross_entropy
  pixels.label_reduction = "sum"  # over labels, as in the paper
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
    # Trained by SGD at the network's rate, as in the paper; mlseg's default is Adam.
    learned.optimizer, learned.learning_rate = "sgd", config.optimizer.learning_rate
  return config
