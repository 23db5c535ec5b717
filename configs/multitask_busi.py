"""Multi-task U-Net on breast ultrasound (BUSI): the lesion, and whether it is malignant.

    python -m mlseg.main --config=configs/multitask_busi.py

Variants, by name after a colon, are a task and an encoder, `TASK+mobilenet_v2` or `TASK+vgg16`:

- `joint`: one encoder, a U-Net's decoder for the lesion and a head for the diagnosis (default);
- `segmentation`, `classification`: the same network with one of the two;
- `mask_rcnn`: Mask R-CNN on the same encoder, whose five losses count the same;
- `attention_unet`: a U-Net with attention gates, from scratch, without an encoder's name.

The two losses are weighed 5:1, as in the study; `--config.weighting.fixed='(1.0, 1.0)'` is another
ratio, `--config.weighting.name=uncertainty` (or any method of `mlseg.weighting`) finds its own. The
first run downloads the encoder's ImageNet weights, once; `--config.model.pretrained=none` starts
without them, `--config.model.pretrained=FILE` reads others. `--config.model.skips=False` leaves the
skips out, `--config.data.num_folds=5 --config.data.fold=0` is the first part of a cross-validation,
and `--config.optimizer.stage_rates.stage_0=0.0` freezes the encoder's first stage.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("dmf_busi.py")))
TASKS = ("joint", "segmentation", "classification", "mask_rcnn")
DETECTION = ("rpn_objectness", "rpn_box", "roi_class", "roi_box", "roi_mask")
ENCODERS = ("mobilenet_v2", "vgg16")
VARIANTS = (*(f"{task}+{encoder}" for task in TASKS for encoder in ENCODERS), "attention_unet")


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
  task, _, encoder = variant.partition("+")

  config = _BASE["get_config"]("fixed")
  config.name = "multitask_busi"
  config.variant = variant
  config.num_epochs = 50
  config.patience = 10
  config.data.diameter = 0  # pretrained encoders know unfiltered pictures

  config.augmentation.flip_horizontal = 0.5
  config.augmentation.rotation = 15.0
  config.augmentation.shear = 10.0

  # The binary cross-entropy of the lesion's probability is the cross-entropy of two classes.
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
  rates.head = 1.0  # all that is not the encoder

  config.model = ConfigDict()
  config.model.name = {"classification": "classifier", "mask_rcnn": "mask_rcnn"}.get(
    task, "multitask_unet"
  )
  config.model.encoder = encoder
  config.model.width = 1.0  # multiplier of the channels of mobilenet_v2
  # Whose weights the network can take; Keras' file of VGG16 is a ninth of torchvision's.
  config.model.convention = "keras" if encoder == "vgg16" else "torchvision"
  config.model.pretrained = "imagenet"  # or none, or a file of weights
  config.model.frozen_statistics = False  # of the encoder's batch normalisation
  config.model.norm_momentum = 0.9  # Keras' 0.999 is made for many thousands of steps
  config.model.dtype = "float32"  # or bfloat16: of the network; losses and parameters stay float32
  if task == "mask_rcnn":
    config.model.filters = 64  # of the feature pyramid
    config.model.num_proposals = 64
    config.model.num_detections = 16
    config.model.max_objects = 8  # of an image in training; smaller ones are background
    config.model.min_score = 0.05  # of an object that is found
    config.model.score_power = 0.0  # how much its score counts in the map of the image
    return config

  config.model.heads = heads
  config.model.decoder_filters = (256, 128, 64, 32, 16)  # coarsest first
  config.model.decoder_convs = 2  # of a level
  config.model.skips = True
  config.model.attention = False  # gates on the skips
  config.model.units = (128,)  # of the hidden layers of the head of classes
  return config
