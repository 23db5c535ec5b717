"""How many patients and diagnoses the parts of a split have, for the console."""

import numpy as np

from mlseg.data import partial
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split


def lines(cases: Cases, split: Split, hidden: partial.Hidden | None = None) -> list[str]:
  """Returns a line about patients, and one about diagnoses or findings, where the data tell them.

  A further line says how many training cases lack a mask or a diagnosis, where some do.

  Numbers are of all cases, then of training, validation and test.

  Args:
    cases: the data set.
    split: of the first seed.
    hidden: what its model is not shown; None: nothing.
  """
  found = []
  if cases.patients is not None:
    counts = [len(np.unique(part)) for part in _parts(cases.patients, split)]
    found.append(f"        {_counted('patients', counts)}")
  if cases.findings is not None:
    columns = zip(cases.finding_names, cases.findings.T, strict=True)
    words = [_counted(name, [int(part.sum()) for part in _parts(own, split)])
             for name, own in columns]  # fmt: skip
    found.append(f"        {'; '.join(words)}")
  elif len(cases.label_names) > 1:
    words = [
      _counted(name, [int((part == number).sum()) for part in _parts(cases.labels, split)])
      for number, name in enumerate(cases.label_names)
    ]
    found.append(f"        {'; '.join(words)}")
  lacking = _lacking(cases, split.train, hidden)
  if any(lacking):
    found.append(
      "        training cases without a mask: {}; without a diagnosis: {}".format(*lacking)
    )
  return found


def _lacking(cases: Cases, train: np.ndarray, hidden: partial.Hidden | None) -> tuple[int, int]:
  """Returns how many training cases have no mask, and how many no diagnosis."""
  train = np.unique(train)
  known = partial.has_mask(cases.masks)[train], partial.has_label(cases.diagnoses)[train]
  if hidden is not None:
    known = known[0] & ~hidden.masks[train], known[1] & ~hidden.labels[train]
  return int((~known[0]).sum()), int((~known[1]).sum())


def positive(cases: Cases) -> str:
  """Returns the diagnosis that F1, average precision and sensitivity are of.

  It is the second of two; '' where there are more, or findings, since such metrics are means over
  all then.
  """
  two = len(cases.label_names) == 2 and cases.findings is None
  return cases.label_names[1] if two else ""


def _parts(values: np.ndarray, split: Split) -> list[np.ndarray]:
  """Returns the values of all cases, and of those in each part."""
  return [values, *(values[part] for part in split)]


def _counted(name: str, counts: list[int]) -> str:
  """Returns counts in words.

  Example:
    >>> _counted("benign", [10, 6, 2, 2])
    'benign: 10 (6 / 2 / 2)'
  """
  return f"{name}: {counts[0]} ({' / '.join(map(str, counts[1:]))})"
