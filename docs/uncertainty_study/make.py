"""Makes `docs/uncertainty_study.md` and its tables from the committed rows.

    python docs/uncertainty_study/make.py           # writes them
    python docs/uncertainty_study/make.py --check   # exit code 1 where one of them differs

`collect.py`, `collect_collapse.py` and `collect_converged.py` bring the rows here from the folders
of the studies.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import collapse  # beside this file
import converged
import page
import pages  # in the folder above
from findings import Study

from mlseg import files


def make() -> dict[pathlib.Path, str]:
  """Returns the text of each file by its path."""
  description = json.loads((HERE / "study.json").read_text())
  made, tests = pages.comparisons(HERE, description)
  rows, weights, sweep, diverged = (
    files.read_csv(HERE / f"{name}.csv") for name in ("rows", "weights", "sweep", "diverged")
  )
  setting = json.loads((HERE / pages.SETTING).read_text())
  study = Study(description, sweep, diverged, rows, tests, setting, weights)
  tables, of_table = _converged()
  text = page.text(study, _collapse(), of_table)
  return made | tables | {HERE.parent / "uncertainty_study.md": text}


def _collapse() -> collapse.Collapse | None:
  """Returns the rows of the study of the collapse, where they are here."""
  folder = collapse.FOLDER
  if not folder.exists():
    return None
  rows = {name: files.read_csv(folder / f"{name}.csv") for name in ("rows", "progress", "models")}
  description, setting = (
    json.loads((folder / name).read_text()) for name in ("study.json", pages.SETTING)
  )
  return collapse.Collapse(description, rows, setting)


def _converged() -> tuple[dict[pathlib.Path, str], converged.Converged | None]:
  """Returns the comparisons by path and the rows of table 1 until convergence, where it is here."""
  folder = converged.FOLDER
  if not folder.exists():
    return {}, None
  description, setting = (
    json.loads((folder / name).read_text()) for name in ("study.json", pages.SETTING)
  )
  made, tests = pages.comparisons(folder, description)
  rows = {name: files.read_csv(folder / f"{name}.csv") for name in ("rows", "weights", "models")}
  return made, converged.Converged(description, rows, tests, setting)


if __name__ == "__main__":
  sys.exit(pages.write_or_check(make(), sys.argv))
