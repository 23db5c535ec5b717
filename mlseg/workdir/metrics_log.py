"""TODO mlseg.workdir.metrics_log."""

import json
import pathlib
from typing import Any

from mlseg.files import to_json, write_file


class MetricsFile:
  """`metrics.jsonl`: one line per logged step, each with the keys 'seed' and 'step'."""

  def __init__(self, path: pathlib.Path):
    self._path = path

  def append(self, records: list[dict[str, Any]]) -> None:
    """Adds a line for each record."""
    with self._path.open("a") as file:
      file.write("".join(to_json(record) + "\n" for record in records))

  def rewind(self, seeds: list[int], step: int) -> None:
    """Drops what a run that starts again at this step of these seeds will write again."""
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      try:
        record = json.loads(line)
      except json.JSONDecodeError:  # the line that a kill cut in two
        continue
      if record["seed"] not in seeds or record["step"] <= step:
        kept.append(line)
    write_file(self._path, "".join(line + "\n" for line in kept))
