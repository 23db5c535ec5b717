"""Folders of runs with known numbers, made without training anything."""

import csv
import itertools
import json
import os

import numpy as np

LABELS = ("benign", "malignant")


def make_run(
  folder,
  *,
  num_seeds=2,
  num_lines=6,
  num_cases=8,
  size=16,
  num_classes=2,
  channels=1,
  dice=0.5,
  split="grouped",
  image_seed=0,
  config=None,
  per_seed=None,
  auxiliary=5.0,
  cosines=False,
):
  """Writes every file of a run; `dice` is the mean of its results, which the curves end at.

  Args:
    folder: of the run.
    num_seeds: of the run.
    num_lines: of `metrics.jsonl`, for each seed.
    num_cases: of the test part.
    size: side of the images, pixels.
    num_classes: of the masks, with the background.
    channels: of the images.
    dice: see above.
    split: 'grouped', or another, which has other test cases.
    image_seed: of the noise in the images.
    config: more of the recipe.
    per_seed: the metrics of each seed; None: `dice`.
    auxiliary: weight of the loss 'focal'.
    cosines: whether cosines between gradients were measured, in every seventh line.
  """
  folder.mkdir(parents=True)
  random = np.random.default_rng(image_seed)
  seeds = range(num_seeds)
  ids = [f"case {n}" for n in range(4 * num_cases)]
  parts = {
    str(s): {
      "train": ids[2 * num_cases :],
      "validation": ids[num_cases : 2 * num_cases],
      "test": ids[:num_cases] if split == "grouped" else ids[1 : num_cases + 1],
    }
    for s in seeds
  }
  config = {"data": {"name": "made", "image_size": size, "split": split}} | (config or {})
  about = {"config": config, "versions": {"jax": "1.2.3"}, "device": "2 cpu", "data": "abc"}
  write_json(folder / "config.json", about)
  pairs = [[ids[0], ids[1], 0], [ids[0], ids[num_cases], 2]]  # the second crosses parts
  write_json(folder / "split.json", {"seeds": parts, "near_duplicates": pairs})
  metrics = {
    name: {"mean": dice, "std": 0.01, "per_seed": per_seed or [dice] * num_seeds}
    for name in ("dice", "dice_with_background", "iou", "hausdorff95")
  }
  results = {"split": "test", "metrics": metrics, "seeds": list(seeds), "config": config}
  results["classes"] = {
    f"class {c}": _class_metrics(c, dice, num_seeds) for c in range(num_classes)
  }
  _write_metrics(folder, seeds, num_lines, dice, auxiliary, cosines)
  _write_cases(folder, parts, num_classes, dice)
  _write_data(folder, ids, size, num_classes)
  _write_examples(folder, parts["0"]["test"], size, num_classes, channels, dice, random)
  write_json(folder / "results.json", results)
  os.utime(folder / "results.json", (1e9, 1e9))  # 9 September 2001
  return folder


def _class_metrics(label, dice, num_seeds):
  """Returns the metrics of a class; the second one is in no image."""
  values = {"num_true": 0 if label == 2 else 8, "num_predicted": 0 if label == 2 else 7.5}
  values |= dict.fromkeys(("dice", "dice_pooled", "iou"), None if label == 2 else dice)
  return {
    name: {"mean": value, "std": None if value is None else 0.01, "per_seed": [value] * num_seeds}
    for name, value in values.items()
  }


def write_json(path, content):
  path.write_text(json.dumps(content))


def _write_metrics(folder, seeds, num_lines, dice, auxiliary, cosines):
  terms = ("cross_entropy", "soft_dice", "soft_iou", "focal")
  with (folder / "metrics.jsonl").open("w") as file:
    for line in range(1, num_lines + 1):
      for seed in seeds:
        record = {
          "seed": seed,
          "step": line,
          "epoch": line / 7,
          "losses": {t: 1 / (line + n + seed) for n, t in enumerate(terms)},
          "weights": {t: auxiliary if t == "focal" else 0.3 for t in terms},
        }
        if cosines and line % 7 == 1:
          pairs = itertools.combinations(terms, 2)
          record["cosines"] = {
            "/".join(pair): np.cos(line + seed + n) for n, pair in enumerate(pairs)
          }
        if line % 2 == 0:
          record["validation"] = {"dice": dice * line / num_lines + 0.01 * seed}
        file.write(json.dumps(record) + "\n")


def _write_cases(folder, parts, num_classes, dice):
  rows = [
    {
      "seed": seed, "id": case, "label": LABELS[n % 2], "class": f"class {c}",
      "tp": 1, "fp": 1, "fn": 1, "tn": 1, "dice": dice + 0.01 * n - 0.5 * (c == 0),
    }
    for seed, one in parts.items()
    for n, case in enumerate(one["test"])
    for c in range(num_classes)
  ]  # fmt: skip
  _write_csv(folder / "cases.csv", rows)


def _write_data(folder, ids, size, num_classes):
  rows = [
    {"id": case, "label": LABELS[n % 2], "group": n}
    | {f"pixels_class {c}": size**2 - num_classes + 1 if c == 0 else 1 for c in range(num_classes)}
    for n, case in enumerate(ids)
  ]
  _write_csv(folder / "data.csv", rows)


def _write_csv(path, rows):
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


def _write_examples(folder, ids, size, num_classes, channels, dice, random):
  """Writes noise, on which every class is a disc, and predictions are discs moved aside."""
  count = len(ids)
  rows, columns = np.mgrid[:size, :size]

  def discs(shift):
    masks = np.zeros((count, size, size), np.uint8)
    for place in range(1, num_classes):
      centre = size * place / num_classes
      distance = np.hypot(rows - centre, columns - centre - shift)
      masks[:, distance < size / (2 * num_classes)] = place
    return masks

  np.savez_compressed(
    folder / "examples.npz",
    images=random.integers(0, 255, (count, size, size, channels), np.uint8),
    masks=discs(0),
    predictions=discs(round(size * (1 - dice) / 4)),
    ids=np.array(ids),
    dice=dice + 0.01 * np.arange(count),
  )
