r"""Multi-task U-Net on any folder whose cases may have several findings: masks and findings.

    python -m mlseg.main --config=configs/findings.py --config.data.root=DIR \
        --config.data.folder.images='images/{name}.png' \
        --config.data.folder.masks='masks/{name}.png' \
        --config.data.folder.table=findings.csv --config.data.folder.id_column=name \
        --config.data.folder.label_columns="('effusion', 'edema')"

`findings.csv` has a row per image, with a column of 0 and 1 for each finding; a case may have both,
one or none of them:

    name,effusion,edema
    0001,1,1
    0002,0,1
    0003,0,0

The network of `multitask_busi.py` gives one logit per finding, whose sigmoid is the probability of
the finding; a finding is predicted above 0.5. Its loss is the binary cross-entropy, mean over the
findings; `--config.loss_options.classification_binary_cross_entropy.positive_weight=4.0` weighs the
cases that have a finding, and a file such as this may give one number per finding. The epoch is
kept by the mean of Dice and the findings' balanced accuracy. `configs/folder.py` explains the
patterns and the other keys of a folder.

A variant, named after a colon, is a task and an encoder: `joint` (default) or `classification`, and
`mobilenet_v2` or `vgg16`, as in `joint+vgg16`. An image takes as long as in `multitask_busi.py`: 17
images per second in training on two CPU cores. The score depends on your data.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_HERE = pathlib.Path(__file__).parent
_BASE = runpy.run_path(str(_HERE / "multitask_busi.py"))
_FOLDER = runpy.run_path(str(_HERE / "folder.py"))
TASKS = ("joint", "classification")
VARIANTS = tuple(f"{task}+{encoder}" for task in TASKS for encoder in ("mobilenet_v2", "vgg16"))


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
  config = _BASE["get_config"](variant)
  config.name = "findings"
  config.losses = (*config.losses[:-1], "classification_binary_cross_entropy")
  config.loss_options.classification_binary_cross_entropy = options = ConfigDict()
  options.positive_weight = 1.0  # of cases that have a finding; or one number per finding

  config.data.name = "folder"
  config.data.folder = files = _FOLDER["get_config"]().data.folder
  files.table = "findings.csv"
  files.id_column = "name"
  files.label_columns = ("effusion", "edema")
  return config
