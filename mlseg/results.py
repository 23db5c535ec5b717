"""What a run leaves for people: its split, one row per case, the summary, examples, and figures."""

import csv
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg import sharding
from mlseg.data.cases import Cases
from mlseg.data.splits import Split
from mlseg.group import Run
from mlseg.log import Reporter
from mlseg.metrics import (
  dice,
  mean_and_deviation,
  per_case,
  per_case_surface,
  summarize,
  summarize_surface,
)
from mlseg.metrics.surface_cases import SurfaceTable
from mlseg.programs import Programs
from mlseg.report import plots
from mlseg.run_folder import to_json, write_file
from mlseg.sharding import Layout

MAX_EXAMPLES = 200  # of a run, to keep its folder small


class SeedScores(NamedTuple):
  """What testing one seed gives."""

  counts: np.ndarray  # [N, C, 4]: true and false positives, false and true negatives
  predictions: np.ndarray  # [N, H, W] uint8, classes
  surfaces: SurfaceTable | None  # None: the config asks for none


def say_header(reporter: Reporter, runs: Sequence[Run], cases: Cases, split: Split) -> None:
  """Prints what is about to be trained on what."""
  config = runs[0].config
  names = ", ".join(run.name for run in runs)
  where = runs[0].workdir if len(runs) == 1 else runs[0].workdir.parent
  sizes = " / ".join(str(len(part)) for part in split)
  height, width = cases.images.shape[1:3]
  reporter.say(f"run     {names} in {where}")
  reporter.say(
    f"data    {config.data.name}, {len(cases.ids)} images of {height}×{width},"
    f" {sizes} for training / validation / test ({config.data.split} split)"
  )
  reporter.say(
    f"device  {jax.device_count()} × {jax.devices()[0].device_kind}, jax {jax.__version__}"
  )


def say_layout(
  reporter: Reporter, strategy: str, num_models: int, num_runs: int, layout: Layout
) -> None:
  """Prints how several models are trained, and on which devices, where there is a choice."""
  if num_models > 1:
    configs = f" of {num_runs} configs" if num_runs > 1 else ""
    reporter.say(f"models  {num_models}{configs}, strategy {strategy}")
  if max(layout) > 1:
    sizes = ", ".join(f"{name} {size}" for name, size in layout._asdict().items())
    reporter.say(f"mesh    {sizes}; {jax.process_count()} processes")


def split_json(cases: Cases, pairs: list[tuple[int, int, int]], parts: dict[int, Split]) -> str:
  """Returns the text of `split.json`: the ids of each part per seed, and the near-duplicates."""
  content = {
    "seeds": {
      str(seed): {name: [cases.ids[i] for i in part] for name, part in split._asdict().items()}
      for seed, split in parts.items()
    },
    "near_duplicates": [[cases.ids[i], cases.ids[j], int(distance)] for i, j, distance in pairs],
  }
  return json.dumps(content, indent=1) + "\n"


def test_seed(
  programs: Programs,
  config: ConfigDict,
  cases: Cases,
  test: np.ndarray,
  variables: Any,
  reporter: Reporter,
) -> SeedScores:
  """Returns the metrics of the test cases under a seed's best variables.

  All processes predict; the main one measures surfaces.
  """
  result = programs.test(variables, cases.images[test], cases.masks[test])
  counts, predictions = np.asarray(result.counts), np.asarray(result.predictions)
  options = config.metrics
  if not options.surface or not sharding.is_main():
    return SeedScores(counts, predictions, None)
  with reporter.bar("surface metrics", len(test), 0):
    surfaces = per_case_surface(
      predictions,
      cases.masks[test],
      len(cases.class_names),
      spacing=options.spacing,
      tolerance=options.tolerance,
      num_processes=options.num_processes or None,
      progress=lambda done, total: reporter.advance(done),
    )
  return SeedScores(counts, predictions, surfaces)


def summarize_seeds(config: ConfigDict, tested: dict[int, SeedScores]) -> dict[str, Any]:
  """Returns what `results.json` holds.

  Args:
    config: the recipe.
    tested: per seed what `test_seed` gave.
  """
  per_seed = [_summarize(result) for result in tested.values()]
  return {
    "split": "test",
    "metrics": {name: _over_seeds([one[name] for one in per_seed]) for name in per_seed[0]},
    "seeds": list(tested),
    "config": config.to_dict(),
  }


def write(
  workdir: pathlib.Path,
  cases: Cases,
  parts: dict[int, Split],
  tested: dict[int, SeedScores],
  summary: dict[str, Any],
) -> None:
  """Writes `cases.csv`, `examples.npz`, the run's figures, and last `results.json`.

  Args:
    workdir: the run's folder.
    cases: the data set.
    parts: the split of each seed.
    tested: per seed what `test_seed` gave.
    summary: from `summarize_seeds`.
  """
  rows = [
    row
    for seed, result in tested.items()
    for row in _case_rows(cases, parts[seed].test, result, seed)
  ]
  write_file(workdir / "cases.csv", _to_csv(rows))
  seed, result = next(iter(tested.items()))
  buffer = io.BytesIO()
  examples = _examples(cases, parts[seed].test, result)
  np.savez_compressed(buffer, allow_pickle=False, **examples)
  write_file(workdir / "examples.npz", buffer.getvalue())
  plots.plot_run(workdir)
  write_file(workdir / "results.json", to_json(summary, indent=2) + "\n")  # says: complete


def _over_seeds(values: list[float]) -> dict[str, Any]:
  """Returns mean, sample standard deviation (None for one seed) and the values themselves."""
  mean, deviation = mean_and_deviation(values)
  std = deviation if len(values) > 1 else None
  return {"mean": mean, "std": std, "per_seed": [float(value) for value in values]}


def _summarize(result: SeedScores) -> dict[str, float]:
  surfaces = {} if result.surfaces is None else summarize_surface(result.surfaces)
  return summarize(result.counts) | surfaces


def _case_rows(
  cases: Cases, test: np.ndarray, result: SeedScores, seed: int
) -> list[dict[str, Any]]:
  """Returns one row per case and class: its counts of pixels, and every metric of it."""
  metrics = per_case(result.counts)
  if result.surfaces is not None:
    metrics |= result.surfaces.metrics
  return [
    {
      "seed": seed,
      "id": cases.ids[case],
      "label": cases.label_names[cases.labels[case]],
      "class": class_name,
    }
    | dict(zip(("tp", "fp", "fn", "tn"), result.counts[n, c].tolist(), strict=True))
    | {name: float(values[n, c]) for name, values in metrics.items()}
    for n, case in enumerate(test)
    for c, class_name in enumerate(cases.class_names)
  ]


def _to_csv(rows: list[dict[str, Any]]) -> str:
  text = io.StringIO()
  writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
  writer.writeheader()
  for row in rows:
    writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
  return text.getvalue()


def _examples(cases: Cases, test: np.ndarray, result: SeedScores) -> dict[str, np.ndarray]:
  """Returns what `examples.npz` holds: the test cases, or as many of them, evenly spaced.

  The choice does not depend on the model, so that runs can be looked at side by side.
  """
  places = np.linspace(0, len(test) - 1, min(MAX_EXAMPLES, len(test))).round().astype(int)
  chosen = test[places]
  return {
    "images": cases.images[chosen],
    "masks": cases.masks[chosen],
    "predictions": result.predictions[places],
    "ids": np.array([cases.ids[i] for i in chosen]),
    "dice": dice(result.counts)[places, 1:].mean(-1),
  }


def data_csv(cases: Cases, groups: np.ndarray) -> str:
  """Returns the text of `data.csv`: per case diagnosis, group, and pixels of each class.

  Args:
    cases: the data set.
    groups: [N], the same number for cases that a split keeps together.
  """
  places = range(len(cases.class_names))
  pixels = np.stack([(cases.masks == c).sum((1, 2)) for c in places], axis=-1)
  return _to_csv(
    [
      {"id": name, "label": cases.label_names[cases.labels[n]], "group": int(groups[n])}
      | {f"pixels_{cases.class_names[c]}": int(pixels[n, c]) for c in places}
      for n, name in enumerate(cases.ids)
    ]
  )
