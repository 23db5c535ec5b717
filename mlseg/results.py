"""What a run leaves for people: its split, one row per case, the summary, examples, and figures."""

import csv
import io
import json
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg.data.cases import Cases
from mlseg.data.splits import Split
from mlseg.log import Reporter
from mlseg.metrics import overlap, summary
from mlseg.programs import Programs
from mlseg.report import plots
from mlseg.run_folder import to_json, write_file
from mlseg.train_step import Best

NUM_EXAMPLES = 6


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


def test_seed(programs: Programs, cases: Cases, test: np.ndarray, best: Best) -> np.ndarray:
  """Returns the counts [N, C, 4] of the test cases under a seed's best variables."""
  result = programs.test(best.variables, cases.images[test], cases.masks[test])
  return np.asarray(result.counts)


def write(
  workdir: pathlib.Path,
  config: ConfigDict,
  cases: Cases,
  parts: dict[int, Split],
  tested: dict[int, np.ndarray],
) -> dict[str, Any]:
  """Writes `cases.csv` and `results.json`.

  Args:
    workdir: the run's folder.
    config: the recipe.
    cases: the data set.
    parts: the split of each seed.
    tested: per seed the counts of its test cases, from `test_seed`.

  Returns:
    What `results.json` holds.
  """
  rows = [
    row
    for seed, counts in tested.items()
    for row in _case_rows(cases, parts[seed].test, counts, seed)
  ]
  write_file(workdir / "cases.csv", _to_csv(rows))
  per_seed = [summary.summarize(counts) for counts in tested.values()]
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
  values = [float(value) for value in values]
  deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
  return {"mean": float(np.mean(values)), "std": deviation, "per_seed": values}


def _case_rows(
  cases: Cases, test: np.ndarray, counts: np.ndarray, seed: int
) -> list[dict[str, Any]]:
  """Returns one row per case and class: every metric of it."""
  metrics = summary.per_case(counts)
  return [
    {
      "seed": seed,
      "id": cases.ids[case],
      "label": cases.label_names[cases.labels[case]],
      "class": class_name,
    }
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
  dice = overlap.dice(counts)[:, 1:].mean(-1)
  order = np.argsort(-dice, kind="stable")
  places = np.linspace(0, len(order) - 1, min(NUM_EXAMPLES, len(order))).round().astype(int)
  chosen = test[order[places]]
  buffer = io.BytesIO()
  np.savez_compressed(
    buffer,
    images=cases.images[chosen],
    masks=cases.masks[chosen],
    predictions=np.asarray(programs.predict(best.variables, cases.images[chosen]), np.uint8),
    ids=np.array([cases.ids[i] for i in chosen]),
    dice=dice[order[places]],
  )
  write_file(workdir / "examples.npz", buffer.getvalue())
  plots.plot_run(workdir)
