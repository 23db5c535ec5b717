"""Multi-task U-Net on brain MRI (TCGA-LGG): the tumour, and whether the slice shows one.

    python -m mlseg.main --config=configs/multitask_lgg.py --config.data.root=DIR

DIR is the folder `kaggle_3m` of Kaggle's `lgg-mri-segmentation`.
Variants and options are those of `multitask_busi.py`.

The diagnosis is the tumour's presence in the slice, or with `--config.data.lgg.label=grade` the
grade of the patient's tumour. Patients are never on both sides of a split; with few of them,
`--config.data.num_folds=5 --config.num_seeds=5` trains and tests one fold per seed.
`--config.data.lgg.complete=False` takes a part of the patients.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["get_config"](variant)
  config.name = "multitask_lgg"
  config.data.name = "lgg"

  config.data.lgg = own = ConfigDict()
  own.label = "presence"  # of a tumour in the slice; or 'grade': of the patient's tumour
  own.slices = "all"  # or 'tumour': those that show one
  own.channels = 3  # before contrast, FLAIR, after contrast; or 1: FLAIR
  own.complete = True  # whether all of the published patients must be there
  return config
