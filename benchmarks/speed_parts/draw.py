"""The figure of the part 'scaling'."""

import pathlib
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot is imported
from matplotlib import pyplot as plt

COLUMNS = 4


def growth(rows: list[dict[str, Any]], path: pathlib.Path) -> None:
  """Draws the time of a step beside each number that was varied, on logarithmic axes.

  Args:
    rows: of the part.
    path: of the PNG file.
  """
  names = list(dict.fromkeys(row["varied"] for row in rows))
  height = -(-len(names) // COLUMNS)
  figure, axes = plt.subplots(height, COLUMNS, figsize=(11, 2.6 * height), squeeze=False)
  for axis in axes.flat[len(names) :]:
    axis.remove()
  for name, axis in zip(names, axes.flat, strict=False):
    own = [row for row in rows if row["varied"] == name]
    values = [row["value"] for row in own]
    axis.loglog(values, [row["milliseconds"] for row in own], "o-", color="#1f5fa8", markersize=4)
    axis.set_xticks(values, [f"{value:,}" for value in values])
    axis.minorticks_off()
    axis.set_ylim(bottom=0.5 * min(row["milliseconds"] for row in rows),
                  top=2 * max(row["milliseconds"] for row in rows))  # fmt: skip
    exponent = own[-1].get("exponent")
    axis.set_title(name if exponent is None else f"{name}: exponent {exponent:.2f}", fontsize=10)
    axis.grid(True, which="major", linewidth=0.4, color="#cccccc")
  for axis in axes[:, 0]:
    axis.set_ylabel("ms a step")
  figure.tight_layout()
  figure.savefig(path, dpi=110)
  plt.close(figure)
