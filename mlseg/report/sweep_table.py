"""The table of a sweep, from the results of its runs."""

import csv
import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

# Columns: the name in `results.json`, the heading, and what the value is multiplied by.
COLUMNS = (
  ("dice", "Dice, lesion", 100.0),
  ("dice_with_background", "Dice, mean of classes", 100.0),
  ("dice_pooled", "Dice, lesion, pooled", 100.0),
  ("iou", "IoU, lesion", 100.0),
  ("hausdorff95", "HD95, lesion, pixels", 1.0),
)


def rows(results: Mapping[str, pathlib.Path]) -> list[dict[str, Any]]:
  """Returns one row per run that is complete: name, number of seeds, mean and deviation per metric.

  Args:
    results: by name the path of a `results.json`, which need not be there.
  """
  table = []
  for name, path in results.items():
    if not path.exists():
      continue
    content = json.loads(path.read_text())
    row: dict[str, Any] = {"name": name, "seeds": len(content["seeds"])}
    for key, _, factor in COLUMNS:
      entry = content["metrics"].get(key)
      if entry is not None:
        row[f"{key}_mean"] = factor * entry["mean"] if entry["mean"] is not None else None
        row[f"{key}_std"] = factor * entry["std"] if entry["std"] is not None else None
    table.append(row)
  return table


def to_csv(table: list[dict[str, Any]]) -> str:
  """Returns the rows as CSV: shares in percent, distances in pixels."""
  names = list(dict.fromkeys(name for row in table for name in row))
  text = io.StringIO()
  writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
  writer.writeheader()
  for row in table:
    writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
  return text.getvalue()


def to_markdown(table: list[dict[str, Any]]) -> str:
  """Returns the rows as a table in Markdown: mean ± standard deviation over seeds.

  Example:
    >>> print(to_markdown([{"name": "a", "seeds": 2, "dice_mean": 71.25, "dice_std": 0.5}]))
    | config | seeds | Dice, lesion |
    |---|---:|---:|
    | a | 2 | 71.25 ± 0.50 |
    <BLANKLINE>
  """
  columns = [(key, title) for key, title, _ in COLUMNS if f"{key}_mean" in table[0]]
  lines = [
    "| config | seeds | " + " | ".join(title for _, title in columns) + " |",
    "|---|---:|" + "---:|" * len(columns),
  ]
  for row in table:
    cells = [_cell(row.get(f"{key}_mean"), row.get(f"{key}_std")) for key, _ in columns]
    lines.append(f"| {row['name']} | {row['seeds']} | " + " | ".join(cells) + " |")
  return "\n".join(lines) + "\n"


def _cell(mean: float | None, std: float | None) -> str:
  if mean is None:
    return "–"
  return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"
