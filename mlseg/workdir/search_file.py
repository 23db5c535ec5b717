"""`search.json`: the trials of a search for values of keys, and how much each key matters.

    {
      "selection": "dice",
      "trials": [
        {"number": 0, "state": "complete", "score": 0.781, "epochs": 40,
         "values": {"optimizer.learning_rate": 0.0005}}
      ],
      "importance": {"optimizer.learning_rate": 1.0}
    }

`trials.csv` has the same trials as a table. The score is the mean over the seeds of the best
validation score, and null where there is none; of a trial that was stopped (`pruned`), it is the
first seed's so far. The importance, by functional ANOVA, is a share; it is empty before there are
enough complete trials.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlseg.files import read_json, reading, to_csv, to_json, write_file

NAME, TABLE = "search.json", "trials.csv"


class Trial(NamedTuple):
  """One training of a search."""

  number: int
  state: str  # 'complete', 'pruned', 'fail' or 'running'
  score: float | None  # validation
  epochs: int
  values: Mapping[str, Any]  # by key


class Search(NamedTuple):
  """A search, as far as it has come."""

  selection: str  # the validation score
  trials: tuple[Trial, ...]
  importance: Mapping[str, float]  # by key

  @property
  def best(self) -> Trial | None:
    """The complete trial with the best score; None before there is one."""
    complete = [own for own in self.trials if own.state == "complete" and own.score is not None]
    return max(complete, key=lambda own: own.score or 0.0, default=None)


def write(workdir: pathlib.Path, search: Search) -> None:
  """Writes both files into the folder of a search."""
  content = search._asdict() | {"trials": [own._asdict() for own in search.trials]}
  write_file(workdir / NAME, to_json(content, indent=1) + "\n")
  rows = [
    {name: getattr(own, name) for name in ("number", "state", "score", "epochs")} | dict(own.values)
    for own in search.trials
  ]
  write_file(workdir / TABLE, to_csv(rows))


def read(workdir: pathlib.Path) -> Search:
  """Returns the search in a folder.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  content = read_json(path)
  with reading(path):
    trials = tuple(
      Trial(
        int(own["number"]),
        str(own["state"]),
        None if own["score"] is None else float(own["score"]),
        int(own["epochs"]),
        dict(own["values"]),
      )
      for own in content["trials"]
    )
    importance = {str(key): float(value) for key, value in content["importance"].items()}
    return Search(str(content["selection"]), trials, importance)
