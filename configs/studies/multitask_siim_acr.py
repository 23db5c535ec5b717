"""The study of `multitask_busi.py` on other pictures.

python -m mlseg.sweep --study=configs/studies/multitask_siim_acr.py --config.data.root=DIR
"""

import pathlib
import runpy

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))


def get_study() -> dict:
  """Returns what is trained, and how it is tabulated."""
  study = _BASE["get_study"]()
  study |= {"name": "multitask_siim_acr", "config": "../multitask_siim_acr.py"}
  return study
