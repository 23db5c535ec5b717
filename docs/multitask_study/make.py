"""Makes `docs/multitask_study.md` and its tables from the committed rows.

    python docs/multitask_study/make.py           # writes them
    python docs/multitask_study/make.py --check   # exit code 1 where one of them differs

`collect.py` brings the rows here from the folders of studies.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

import page  # noqa: E402 - beside this file
from findings import Study  # noqa: E402

from mlseg import study_files  # noqa: E402


def make() -> dict[pathlib.Path, str]:
  """Returns by path the text of each file that is made."""
  made, studies = {}, {}
  for folder in (HERE / name for name in page.TITLES if (HERE / name).is_dir()):
    description = json.loads((folder / "study.json").read_text())
    tests = {}
    for score in ("dice", "accuracy"):
      scores = study_files.read_csv(folder / f"{score}.csv")
      axes, reference = description["axes"], description["reference"]
      text = study_files.to_csv(study_files.comparison_rows(scores, axes, reference))
      made[folder / f"{score}_comparisons.csv"] = text
      tests[score] = study_files.parse_csv(text)
    rows, weights = (study_files.read_csv(folder / f"{n}.csv") for n in ("rows", "weights"))
    studies[folder.name] = Study(description, rows, tests["dice"], tests["accuracy"], weights)
  head = (HERE / "head.txt").read_text()
  return made | {HERE.parent / "multitask_study.md": page.text(head, studies)}


def main(argv: list[str]) -> int:
  """Writes or checks the files; returns the exit code."""
  made = make()
  if argv[1:] not in ([], ["--check"]):
    print(f"make.py: unknown argument {argv[1]!r}: there is only --check", file=sys.stderr)
    return 2
  if not argv[1:]:
    for path, content in made.items():
      path.write_text(content)
    return 0
  different = [p for p, content in made.items() if not p.exists() or p.read_text() != content]
  for path in different:
    print(f"{path.relative_to(ROOT)} differs from what its rows give", file=sys.stderr)
  return 1 if different else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv))
