"""Makes `docs/multitask_study.md` and its tables from the committed rows.

    python docs/multitask_study/make.py           # writes them
    python docs/multitask_study/make.py --check   # exit code 1 where one of them differs

`collect.py` brings the rows here from the folders of studies.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import page  # beside this file
import pages  # in the folder above
from findings import Study

from mlseg import files


def make() -> dict[pathlib.Path, str]:
  """Returns the text of each file by its path."""
  made: dict[pathlib.Path, str] = {}
  studies = {}
  for folder in (HERE / name for name in page.TITLES if (HERE / name).is_dir()):
    description = json.loads((folder / "study.json").read_text())
    compared, tests = pages.comparisons(folder, description)
    rows, weights = (files.read_csv(folder / f"{n}.csv") for n in ("rows", "weights"))
    # Rows of version 0.1.0 have no minutes.
    models = files.read_csv(minutes) if (minutes := folder / "models.csv").exists() else []
    scores = {name: files.read_csv(folder / f"{name}.csv") for name in ("dice", "accuracy")}
    setting = json.loads((folder / pages.SETTING).read_text())
    studies[folder.name] = Study(description, rows, tests, setting, weights, models, scores)
    made |= compared
  return made | {HERE.parent / "multitask_study.md": page.text(studies)}


if __name__ == "__main__":
  sys.exit(pages.write_or_check(make(), sys.argv))
