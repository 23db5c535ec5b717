r"""Multi-task U-Net on breast ultrasound (BUSI): the lesion, and whether it is malignant.

    python -m mlseg.main --config=configs/multitask_busi.py

A variant, named after a colon, is a task and an encoder, `TASK+mobilenet_v2` or `TASK+vgg16`, or
`attention_unet` alone. `folder` is for your own data, below.

- `joint`: one encoder, a U-Net's decoder for the lesion and a head for the diagnosis (default);
- `segmentation`, `classification`: the same network with the decoder or the head alone;
- `mask_rcnn`: Mask R-CNN on the same encoder, with equal weights for its five losses;
- `attention_unet`: a U-Net with attention gates, trained from scratch.

For your own images, masks and diagnoses, `folder` and what may follow it after a plus (a task, an
encoder, both, or `attention_unet`: `folder+mobilenet_v2`, `folder+segmentation+vgg16`) is the same
recipe on folders as `configs/folder.py` explains them. The diagnosis is the `{label}` of the
pattern of images, here the name of a folder:

    python -m mlseg.main --config=configs/multitask_busi.py:folder --config.data.root=DIR \
        --config.data.folder.images='images/{label}/{name}.png' \
        --config.data.folder.masks='masks/{label}/{name}.png'

or a column of a table, `--config.data.folder.table=cases.csv`, with
`--config.data.folder.id_column=name` and `--config.data.folder.label_column=diagnosis`. Without
diagnoses there is `folder+segmentation`. Colour images want `--config.data.folder.channels=3`.

Some options:

- `--config.weighting.fixed='(1.0, 1.0)'`: the ratio of the two losses, by default 5:1 as in the
  Multi-task U-Net study; `--config.weighting.name=uncertainty`, or any other method of
  `mlseg.weighting`, adapts it;
- `--config.model.pretrained=none` starts from scratch, and `FILE` from a file of weights; by
  default the first run downloads the encoder's ImageNet weights;
- `--config.model.skips=False` removes the skips;
- `--config.data.num_folds=5 --config.data.fold=0` tests the first fold of a cross-validation;
- `--config.optimizer.stage_rates.stage_0=0.0` freezes the encoder's first stage.

A seed takes at most 25 minutes on two CPU cores (17 images per second, measured in
`benchmarks/results/cpu.md`), and less if it stops early; on one core with products of bfloat16, 12
minutes in the study of `docs/multitask_study.md`. There, over three seeds, the default had a Dice
of 70.9 ± 1.7 % and an accuracy of 88.1 ± 5.1 %.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_HERE = pathlib.Path(__file__)
_BASE = runpy.run_path(str(_HERE.with_name("dmf_busi.py")))
TASKS = ("joint", "segmentation", "classification", "mask_rcnn")
DETECTION = ("rpn_objectness", "rpn_box", "roi_class", "roi_box", "roi_mask")
ENCODERS = ("mobilenet_v2", "vgg16")
VARIANTS = (*(f"{task}+{encoder}" for task in TASKS for encoder in ENCODERS), "attention_unet")
# By name, the variant that is trained on a user's own folder.
FOLDER_VARIANTS = {
  "folder": "joint+mobilenet_v2",
  **{f"folder+{encoder}": f"joint+{encoder}" for encoder in ENCODERS},
  **{f"folder+{task}": f"{task}+mobilenet_v2" for task in TASKS},
  **{f"folder+{variant}": variant for variant in VARIANTS},
}


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  if variant in FOLDER_VARIANTS:
    return _folder(variant)
  if variant.partition("+")[0] == "folder":
    raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(FOLDER_VARIANTS)}")
  return recipe(variant)


def _folder(variant: str) -> ConfigDict:
  """Returns the recipe of a variant on a folder of images, masks and diagnoses."""
  config = recipe(FOLDER_VARIANTS[variant])
  config.name = "multitask"
  config.variant = variant
  config.data.name = "folder"
  config.data.folder = runpy.run_path(str(_HERE.with_name("folder.py")))["get_config"]().data.folder
  return config


def recipe(variant: str) -> ConfigDict:
  """Returns the recipe of a variant on BUSI, which other files change to other data."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
  task, _, encoder = variant.partition("+")

  config = _BASE["get_config"]("fixed")
  config.name = "multitask_busi"
  config.variant = variant
  config.num_epochs = 50
  config.patience = 10
  config.data.diameter = 0  # encoders were pretrained on unfiltered images

  config.augmentation.flip_horizontal = 0.5
  config.augmentation.rotation = 15.0
  config.augmentation.shear = 10.0

  # With two classes, this cross-entropy is the binary cross-entropy of the lesion's probability.
  both = {
    "segmentation": "cross_entropy",
    "classification": "classification_weighted_cross_entropy",
  }
  heads = {"joint": tuple(both), "classification": ("classification",)}.get(task, ("segmentation",))
  config.losses = DETECTION if task == "mask_rcnn" else tuple(both[head] for head in heads)
  config.weighting.fixed = (5.0, 1.0) if task == "joint" else (1.0,) * len(config.losses)
  config.selection = {"joint": "mean", "classification": "accuracy"}.get(task, "dice")
  if task == "attention_unet":
    config.model.name = "attention_unet"
    config.model.convs_per_level = 2
    return config

  rates = config.optimizer.stage_rates  # factors of the learning rate; 0: frozen
  rates.stage_0 = rates.stage_1 = rates.stage_2 = rates.stage_3 = rates.stage_4 = 1.0
  rates.head = 1.0  # for everything but the encoder

  config.model = ConfigDict()
  config.model.name = {"classification": "classifier", "mask_rcnn": "mask_rcnn"}.get(
    task, "multitask_unet"
  )
  config.model.encoder = encoder
  config.model.width = 1.0  # multiplier of the channels of mobilenet_v2
  # The library that the weights come from; Keras's file of VGG16 is a ninth of torchvision's.
  config.model.convention = "keras" if encoder == "vgg16" else "torchvision"
  config.model.pretrained = "imagenet"  # or none, or a file of weights
  config.model.frozen_statistics = False  # of the encoder's batch normalisation
  config.model.norm_momentum = 0.9  # Keras's 0.999 suits many thousands of steps
  config.model.dtype = "float32"  # or bfloat16, for activations; losses and parameters are float32
  if task == "mask_rcnn":
    config.model.filters = 64  # of the feature pyramid
    config.model.num_proposals = 64
    config.model.num_detections = 16
    config.model.max_objects = 8  # of a training image; further, smaller objects are background
    config.model.min_score = 0.05  # lowest probability of an object that is found
    config.model.score_power = 0.0  # how much an object's probability counts in the map
    return config

  config.model.heads = heads
  config.model.decoder_filters = (256, 128, 64, 32, 16)  # coarsest first
  config.model.decoder_convs = 2  # in each level
  config.model.skips = True
  config.model.attention = False  # whether attention gates weigh the skips
  config.model.units = (128,)  # sizes of the hidden layers of the classification head
  return config
