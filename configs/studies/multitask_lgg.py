"""The study of `multitask_busi.py` on other pictures, in five folds of patients.

python -m mlseg.sweep --study=configs/studies/multitask_lgg.py --config.data.root=DIR
"""

import pathlib
import runpy

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))


def get_study() -> dict:
  """Returns what is trained, and how it is tabulated."""
  study = _BASE["get_study"]()
  study |= {"name": "multitask_lgg", "config": "../multitask_lgg.py"}
  study["settings"] = {"data.num_folds": 5}
  return study
