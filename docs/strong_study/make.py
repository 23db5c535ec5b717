"""Makes `docs/strong_study.md` and the README's table of results from the committed rows.

    python docs/strong_study/make.py           # writes them
    python docs/strong_study/make.py --check   # exit code 1 where one of them differs

`collect.py` copies the rows from the folders of runs.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import page  # beside this file
import pages  # in the folder above
import rows  # beside this file

from mlseg import files

START, END = "<!-- table of docs/strong_study/make.py -->\n", "<!-- end of the table -->\n"


def make() -> dict[pathlib.Path, str]:
  """Returns the text of each file by its path."""
  models, curves, cases, calibration = (
    files.read_csv(HERE / f"{name}.csv") for name in ("models", "curves", "cases", "calibration")
  )
  partly = {
    path.stem: files.read_csv(path) for path in sorted((HERE / "partly_labelled").glob("*.csv"))
  }
  study = rows.Study(models, curves, cases, calibration, _peers(), partly)
  readme = (pages.ROOT / "README.md").read_text()
  before, rest = readme.split(START)
  after = rest.split(END)[1]
  return {
    HERE.parent / "strong_study.md": page.text(study),
    pages.ROOT / "README.md": before + START + page.readme_table(study) + END + after,
  }


def _peers() -> dict:
  """Returns the entries of `benchmarks/quality.py`."""
  path = pages.ROOT / "benchmarks" / "results" / "quality.json"
  return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
  sys.exit(pages.write_or_check(make(), sys.argv))
