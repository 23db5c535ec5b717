r"""Trains a recipe, and beside it segmentation-models-pytorch's U-Net, and compares their scores.

    python benchmarks/quality.py --workdir=DIR --config=configs/strong.py:busi+mobilenet_v2 \
        --config.model.pretrained=FILE --weights=FILE --config.num_seeds=3

FILE has the weights of MobileNetV2 under torchvision's names, as safetensors.

Both have the same training, validation and test cases, image size, batch size, number of epochs,
learning rate with a cosine schedule, and weights of the encoder; both keep the best validation
epoch. The peer trains as is usual: by Adam, under Dice and cross-entropy, with mirroring, rotation,
shear, scale, brightness and contrast in the ranges of the recipe. What else the recipe has, such as
elastic maps, gamma, noise, blur, an average of the parameters, mirrored views in testing and the
removal of small components, the peer has not.

The recipe is trained into DIR as by `mlseg.main`, which goes on where it stands. With
`--rows=docs/strong_study/cases.csv --label=LABEL` instead of `--workdir`, its scores are those of
an earlier training, by the label of its rows. The results are in benchmarks/results/quality.json
(`--out` names another folder), an entry per name (`--name`), with a row per seed, and in
quality.md, which is made from it; both are written after each seed. Seconds are of the machine as
it was; a fair comparison of speed is `benchmarks/speed.py`.
"""

import argparse
import json
import os
import pathlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from speed_parts.torchvision_models import torchvision_models

from mlseg import files
from mlseg.console import Reporter
from mlseg.data.cases import Cases
from mlseg.data.splits import cross_validation, grouped
from mlseg.devices import runtime
from mlseg.metrics import bootstrap_interval, confusion_counts, dice, iou, per_case_surface
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment as recipe_experiment
from mlseg.recipe import parse
from mlseg.recipe import split as recipe_split
from mlseg.training import train
from mlseg.workdir import case_table

RESULTS = pathlib.Path(__file__).parent / "results"
LESION = 1  # the class that is scored
METRICS = ("dice", "iou", "hausdorff95", "normalized_surface_dice")
HEADINGS = ("Dice, %", "IoU, %", "HD95, pixels", "NSD, %")


def scores_of(
  predictions: np.ndarray, masks: np.ndarray, options: recipe_experiment.Metrics
) -> dict[str, np.ndarray]:
  """Returns the metrics [N] of the lesion by name, as in a run's `cases.csv`."""
  counts = np.asarray(confusion_counts(predictions, masks, 2))
  surfaces = per_case_surface(
    predictions, masks, 2, spacing=options.spacing, tolerance=options.tolerance, num_processes=1
  )
  overlap = {"dice": np.asarray(dice(counts)), "iou": np.asarray(iou(counts))}
  values = overlap | surfaces.metrics
  return {name: values[name][:, LESION].astype(float) for name in METRICS}


def own_rows(flags: argparse.Namespace) -> list[dict[str, Any]]:
  """Returns seed, id and metrics of the recipe's test cases, from its run or from a study."""
  if flags.rows:
    rows = [row for row in files.read_csv(flags.rows) if row["run"] == flags.label]
    return [row | {"seed": int(row["seed"])} for row in rows if row["seed"] != "mean"]
  rows = case_table.read(flags.workdir)
  lesion = case_table.class_names(rows)[LESION]
  return [row for row in rows if row["class"] == lesion]


def own_scores(
  rows: Sequence[dict[str, Any]], seed: int, ids: Sequence[str]
) -> dict[str, np.ndarray]:
  """Returns the same metrics of the recipe's model of a seed, in the order of the ids."""
  own = {row["id"]: row for row in rows if row["seed"] == seed}
  if set(own) != set(ids):
    raise SystemExit(f"the rows of seed {seed} are of other test cases than the recipe's")
  return {name: np.array([float(own[one][name]) for one in ids]) for name in METRICS}


def splits_of(experiment: recipe_experiment.Experiment, cases: Cases) -> dict[int, grouped.Split]:
  """Returns the split of each seed, as `training.train` makes it."""
  pairs = recipe_data.find_near_duplicates(cases)
  together = grouped.groups(len(cases.ids), pairs, cases.patients)
  return cross_validation.equalised(
    {
      seed: recipe_split.make_split(experiment.data, experiment.batch_size, cases, together, seed)
      for seed in experiment.seeds.numbers
    }
  )


def summary(ours: dict[str, np.ndarray], peers: dict[str, np.ndarray]) -> dict[str, Any]:
  """Returns both means, and the mean difference with its 95 % interval over cases."""
  found = {}
  for name in METRICS:
    difference = ours[name] - peers[name]
    interval = bootstrap_interval(difference, seed=0)
    found[name] = {
      "mlseg": float(ours[name].mean()),
      "peer": float(peers[name].mean()),
      "difference": float(difference.mean()),
      "low": interval.low,
      "high": interval.high,
    }
  return found


def compare(flags: argparse.Namespace, rest: Sequence[str]) -> Iterator[dict[str, Any]]:
  """Trains both for every seed of the recipe; yields the entry of the results after each."""
  import quality_peer as peer  # after torchvision, which the peer's encoders are made of

  config, _ = parse.parse(["quality", *rest])
  experiment = recipe_experiment.read(config)
  started, own_seconds = time.perf_counter(), None  # of a model
  if flags.workdir:
    train.train(experiment, flags.workdir, Reporter())
    own_seconds = (time.perf_counter() - started) / experiment.seeds.num
  known = own_rows(flags)
  cases = recipe_data.load_cases(experiment.data, [experiment.losses.targets], Reporter(quiet=True))
  rows, pairs = [], []
  for seed, split in splits_of(experiment, cases).items():
    tested = [cases.ids[n] for n in split.test]
    ours = own_scores(known, seed, tested)
    parts = {
      part: peer.Part(cases.images[n], cases.masks[n]) for part, n in split._asdict().items()
    }
    options = peer.Options(
      flags.peer_encoder,
      "" if flags.scratch else str(flags.weights),
      experiment.num_epochs,
      experiment.batch_size,
      config.optimizer.learning_rate,
      dict(experiment.augmentation),
      seed,
    )
    trained = peer.train(options, parts, flags.threads)
    theirs = scores_of(trained.predictions, parts["test"].masks, experiment.metrics)
    pairs.append((ours, theirs))
    rows.append(
      {
        "seed": seed,
        "cases": len(tested),
        "peer_seconds": trained.seconds,
        "peer_params": trained.params,
        "best_validation_dice": max(trained.validation),
        "metrics": summary(ours, theirs),
      }
    )
    print(f"seed {seed}: Dice {rows[-1]['metrics']['dice']}")
    both = [
      {name: np.concatenate([pair[side][name] for pair in pairs]) for name in METRICS}
      for side in range(2)
    ]
    yield {
      "command": " ".join(_without_folders(word) for word in rest),
      "peer": f"smp.Unet({flags.peer_encoder!r})" + (", from scratch" if flags.scratch else ""),
      "image_size": experiment.data.image_size,
      "num_epochs": experiment.num_epochs,
      "threads": flags.threads,
      "seconds_a_model": own_seconds,
      "seeds": list(rows),
      "all": summary(*both),
    }


def _without_folders(word: str) -> str:
  """Returns a word of the command line, an absolute path in it without its folders."""
  return re.sub(r"=/.*/", "=", word)


def page(entries: dict[str, Any]) -> str:
  """Returns the text of quality.md."""
  lines = [
    "# Quality beside a peer",
    "",
    "Written by `python benchmarks/quality.py`; the numbers are in the JSON file. Test cases of all"
    " seeds, at the size that the network sees; the interval of the difference is a bootstrap over"
    " cases. Both chose their epoch on the same validation cases.",
  ]
  for name, entry in entries.items():
    seeds = entry["seeds"]
    lines += [
      "",
      f"## {name}",
      "",
      f"`{entry['command']}`; {len(seeds)} seeds, {entry['num_epochs']} epochs at"
      f" {entry['image_size']} pixels. Peer: {entry['peer']}, threads: {entry['threads']}.",
      "",
      "| | mlseg | peer | difference (95 % interval) |",
      "|---|---|---|---|",
    ]
    for metric, heading in zip(METRICS, HEADINGS, strict=True):
      factor = 100 if heading.endswith("%") else 1
      ours, theirs, gap, low, high = (factor * entry["all"][metric][key] for key in
                                      ("mlseg", "peer", "difference", "low", "high"))  # fmt: skip
      cells = f"{ours:.1f} | {theirs:.1f} | {gap:+.1f} ({low:+.1f} to {high:+.1f})"
      lines.append(f"| {heading} | {cells} |")
    if entry["seconds_a_model"] is not None:
      of_peer = np.mean([row["peer_seconds"] for row in seeds]) / 60
      minutes = f"{entry['seconds_a_model'] / 60:.0f} | {of_peer:.0f} | |"
      lines.append(f"| minutes a model, with compilation and testing | {minutes}")
  return "\n".join(lines) + "\n"


def main() -> None:
  """Runs the comparison and writes the results."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--name", default="busi", help="name of the entry in the results")
  parser.add_argument("--workdir", type=pathlib.Path, help="folder of the run")
  parser.add_argument("--rows", type=pathlib.Path, help="scores of cases of an earlier training")
  parser.add_argument("--label", help="of the rows")
  parser.add_argument("--weights", type=pathlib.Path, help="file of the encoder's weights")
  parser.add_argument("--scratch", action="store_true", help="the peer starts from scratch")
  parser.add_argument("--peer_encoder", default="mobilenet_v2", help="its name in the peer")
  parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the peer")
  parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="folder of the results")
  flags, rest = parser.parse_known_args()
  if bool(flags.workdir) == bool(flags.rows) or bool(flags.rows) != bool(flags.label):
    parser.error("either --workdir, or --rows and --label, are needed")
  if bool(flags.weights) == flags.scratch:
    parser.error("one of --weights and --scratch is needed")
  torchvision_models()
  runtime.keep_compiled_programs()
  path = flags.out / "quality.json"
  entries = json.loads(path.read_text()) if path.exists() else {}
  for entry in compare(flags, rest):
    entries[flags.name] = entry
    path.write_text(json.dumps(entries, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(entries))
  print(page({flags.name: entries[flags.name]}))


if __name__ == "__main__":
  main()
