"""The study of `multitask_busi.py` on brain MRI (TCGA-LGG), in five folds of patients.

    python -m mlseg.sweep --study=configs/studies/multitask_lgg.py --config.data.root=DIR

The results at a smaller size are in `docs/multitask_study.md`.
"""

import pathlib
import runpy

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  study = _BASE["get_study"]()
  study |= {"name": "multitask_lgg", "config": "../multitask_lgg.py"}
  study["settings"] = {"data.num_folds": 5}
  return study
