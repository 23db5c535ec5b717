"""Makes `docs/response_study.md` from the committed rows.

    python docs/response_study/make.py           # writes it
    python docs/response_study/make.py --check   # exit code 1 where it differs

`collect.py` brings the rows here from the folder of the study, and
`benchmarks/loss_memory.py` the numbers of memory.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import findings  # beside this file
import page  # beside this file
import pages  # in the folder above

MEMORY = pages.ROOT / "benchmarks" / "results" / "loss_memory.json"


def make() -> dict[pathlib.Path, str]:
  """Returns by path the text of each file that is made."""
  memory = json.loads(MEMORY.read_text())
  return {HERE.parent / "response_study.md": page.text(findings.read(HERE), memory)}


if __name__ == "__main__":
  sys.exit(pages.write_or_check(make(), sys.argv))
