"""`findings.csv`, of the test cases, and `validation_findings.csv`: a row per seed and case.

    seed,id,label,predicted,true_effusion,true_edema,probability_effusion,probability_edema
    0,case 7,effusion,effusion+edema,1,0,0.83411,0.56589

A run has these instead of `diagnoses.csv` where a case may have several findings, or none. The
label is the combination of the true ones, and the predicted one that of those whose probability is
above 0.5. `ensemble_findings.csv` has the same of the mean of all models, without the column of the
seed.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from mlseg.files import Row
from mlseg.workdir import diagnosis_table
from mlseg.workdir.diagnosis_table import KEYS, PROBABILITY

NAME, VALIDATION_NAME = "findings.csv", "validation_findings.csv"
ENSEMBLE_NAME = "ensemble_findings.csv"
TRUE = "true_"  # before the name of a finding


def make_rows(
  seed: int | None,
  ids: Sequence[str],
  labels: Sequence[str],
  predicted: Sequence[str],
  names: Sequence[str],
  findings: np.ndarray,
  probabilities: np.ndarray,
) -> list[Row]:
  """Returns the rows of one model.

  Args:
    seed: of the model; None: of the mean of all models.
    ids: [N], of the cases.
    labels: [N], the combinations of their true findings.
    predicted: [N], those of the predicted ones.
    names: [L], of the findings.
    findings: [N, L], 0 or 1.
    probabilities: [N, L].
  """
  return [
    ({} if seed is None else {"seed": seed})
    | {"id": ids[n], "label": labels[n], "predicted": predicted[n]}
    | {f"{TRUE}{name}": int(own) for name, own in zip(names, findings[n], strict=True)}
    | {f"{PROBABILITY}{name}": float(p) for name, p in zip(names, probabilities[n], strict=True)}
    for n in range(len(ids))
  ]


def write(workdir: pathlib.Path, rows: Sequence[Row], name: str = NAME) -> None:
  """Writes the rows of all models into a run's folder.

  Args:
    workdir: the run's folder.
    rows: from `make_rows`.
    name: of the file: `NAME`, `VALIDATION_NAME` or `ENSEMBLE_NAME`.
  """
  diagnosis_table.write(workdir, rows, name)


def read(workdir: pathlib.Path, name: str = NAME) -> list[Row]:
  """Returns the rows, with numbers as numbers.

  Args:
    workdir: the run's folder.
    name: of the file, as in `write`.

  Raises:
    UserError: the file is missing or damaged.
  """
  numbers = {TRUE: _true, PROBABILITY: diagnosis_table.probability}
  return diagnosis_table.read_rows(workdir / name, KEYS[name == ENSEMBLE_NAME :], numbers)


def _true(text: str) -> int:
  if text not in ("0", "1"):
    raise ValueError(f"a finding must be 0 or 1, not {text}")
  return int(text)
