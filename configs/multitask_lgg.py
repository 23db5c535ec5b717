"""Multi-task U-Net on brain MRI (TCGA-LGG): the tumour, and whether the slice shows one.

    python -m mlseg.main --config=configs/multitask_lgg.py --config.data.root=DIR

DIR is the folder `kaggle_3m` of Kaggle's `lgg-mri-segmentation`. The variants and options are those
of `multitask_busi.py`, and an image takes as long as there.

The diagnosis is the presence of a tumour in the slice, or with `--config.data.lgg.label=grade` the
grade of the patient's tumour. All slices of a patient are in one part of the split. With few
patients, `--config.data.num_folds=5 --config.num_seeds=5` trains and tests one fold per seed.
`--config.data.lgg.complete=False` accepts a folder with some of the patients.

On all patients no score has been measured. In a smaller study (`docs/multitask_study.md`: 10 of 110
patients, 64×64 pixels, width 0.35, five folds) the default had a Dice of 74.8 ± 6.7 % and an
accuracy of 71.3 ± 5.4 %.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["recipe"](variant)
  config.name = "multitask_lgg"
  config.data.name = "lgg"

  config.data.lgg = own = ConfigDict()
  own.label = "presence"  # of a tumour in the slice; or 'grade', of the patient's tumour
  own.slices = "all"  # or 'tumour', those that show a tumour
  own.channels = 3  # before contrast, FLAIR, after contrast; or 1, FLAIR
  own.complete = True  # whether all published patients must be there
  return config
