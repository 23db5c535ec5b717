"""What a run leaves for people: its split, one row per case, the summary, examples, and figures."""

import csv
import io
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg.data.cases import Cases
from mlseg.data.splits import Split
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
from mlseg.train_step import Best

NUM_EXAMPLES = 6


class SeedScores(NamedTuple):
  """What testing one seed gives."""

  counts: np.ndarray  # [N, C, 4]: true and false positives, false and true negatives
  surfaces: SurfaceTable | None  # None: the config asks for none


def say_header(
  reporter: Reporter, config: ConfigDict, cases: Cases, split: Split, workdir: pathlib.Path
) -> None:
  """Prints what is about to be trained on what."""
  sizes = " / ".join(str(len(part)) for part in split)
  height, width = cases.images.shape[1:3]
  reporter.say(f"run     {config.name}:{config.variant} in {workdir}")
  reporter.say(
    f"data    {config.data.name}, {len(cases.ids)} images of {height}×{width},"
    f" {sizes} for training / validation / test ({config.data.split} split)"
  )
  reporter.say(
    f"device  {jax.device_count()} × {jax.devices()[0].device_kind}, jax {jax.__version__}"
  )


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
  best: Best,
  reporter: Reporter,
) -> SeedScores:
  """Returns the metrics of the test cases under a seed's best variables."""
  result = programs.test(best.variables, cases.images[test], cases.masks[test])
  options = config.metrics
  if not options.surface:
    return SeedScores(np.asarray(result.counts), None)
  with reporter.bar("surface metrics", len(test), 0):
    surfaces = per_case_surface(
      np.asarray(result.predictions),
      cases.masks[test],
      len(cases.class_names),
      spacing=options.spacing,
      tolerance=options.tolerance,
      num_processes=options.num_processes or None,
      progress=lambda done, total: reporter.advance(done),
    )
  return SeedScores(np.asarray(result.counts), surfaces)


def write(
  workdir: pathlib.Path,
  config: ConfigDict,
  cases: Cases,
  parts: dict[int, Split],
  tested: dict[int, SeedScores],
) -> dict[str, Any]:
  """Writes `cases.csv` and `results.json`.

  Args:
    workdir: the run's folder.
    config: the recipe.
    cases: the data set.
    parts: the split of each seed.
    tested: per seed what `test_seed` gave.

  Returns:
    What `results.json` holds.
  """
  rows = [
    row
    for seed, result in tested.items()
    for row in _case_rows(cases, parts[seed].test, result, seed)
  ]
  write_file(workdir / "cases.csv", _to_csv(rows))
  per_seed = [_summarize(result) for result in tested.values()]
  content = {
    "split": "test",
    "metrics": {name: _over_seeds([one[name] for one in per_seed]) for name in per_seed[0]},
    "seeds": list(tested),
    "config": config.to_dict(),
  }
  write_file(workdir / "results.json", to_json(content, indent=2) + "\n")
  return content


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


def write_examples(
  workdir: pathlib.Path,
  programs: Programs,
  cases: Cases,
  test: np.ndarray,
  counts: np.ndarray,
  best: Best,
) -> None:
  """Writes `examples.npz`, test cases from the best to the worst Dice, and the run's figures."""
  scores = dice(counts)[:, 1:].mean(-1)
  order = np.argsort(-scores, kind="stable")
  places = np.linspace(0, len(order) - 1, min(NUM_EXAMPLES, len(order))).round().astype(int)
  chosen = test[order[places]]
  buffer = io.BytesIO()
  np.savez_compressed(
    buffer,
    images=cases.images[chosen],
    masks=cases.masks[chosen],
    predictions=np.asarray(programs.predict(best.variables, cases.images[chosen]), np.uint8),
    ids=np.array([cases.ids[i] for i in chosen]),
    dice=scores[order[places]],
  )
  write_file(workdir / "examples.npz", buffer.getvalue())
  plots.plot_run(workdir)
