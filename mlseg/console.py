"""The console output of a run: messages, a progress bar, and the tables of results."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mlseg.errors import printable

DISTANCES = ("hausdorff", "hausdorff95", "average_symmetric_surface_distance", "object_hausdorff")
BOXES = ("box_ap", "box_ap50", "box_ap75")  # metrics of a detector that are shown
OF_CLASSES = ("dice", "dice_pooled", "precision", "recall")  # metrics of a class that are shown
OF_PRESENCE = ("dice_where_present", "image_sensitivity", "image_specificity")
OF_IMAGES = ("true_positive", "false_negative", "false_positive", "true_negative")
OF_CASES = (  # metrics of the diagnosis that are shown
  "classification_accuracy", "balanced_accuracy", "classification_f1", "roc_auc",
  "average_precision", "sensitivity_at_specificity", "expected_calibration_error", "brier",
)  # fmt: skip
OF_FINDINGS = ("roc_auc", "average_precision", "classification_recall", "classification_f1")
# Those of one diagnosis, the positive one, where there are two diagnoses.
OF_POSITIVE = ("classification_f1", "average_precision", "sensitivity_at_specificity")


class OverallProgress(NamedTuple):
  """The progress of a command that trains its models in several programs, one after another.

  Attributes:
    done: number of models that were trained before the current program.
    part: number of models that the current program trains.
    total: number of models of the command.
    start: the share of all work that was done when the first program began, and the time then, in
      seconds; None before it began.
  """

  done: int
  part: int
  total: int
  start: tuple[float, float] | None

  def share(self, fraction: float) -> float:
    """Returns the share of all work that is done, with a fraction of the current program's."""
    return min(1, (self.done + self.part * fraction) / self.total)

  def describe(self, fraction: float, now: float) -> str:
    """Returns a line with the share that is done, and the time left at the speed so far.

    Args:
      fraction: the share of the current program's work that is done.
      now: the time, in seconds.

    Example:
      >>> OverallProgress(10, 10, 40, start=(0.25, 100.0)).describe(0.5, now=1000.0)
      'all     38 % of 40 models, 1 h 15 min left'
    """
    share = self.share(fraction)
    text = f"all     {100 * share:.0f} % of {self.total} models"
    if self.start is None or share <= self.start[0]:
      return text
    left = (1 - share) * (now - self.start[1]) / (share - self.start[0])
    hours, minutes = divmod(round(left / 60), 60)
    return f"{text}, {hours} h {minutes:02d} min left" if hours else f"{text}, {minutes} min left"


class Reporter:
  """Prints the messages, progress and results of a run.

  On a terminal a progress bar is redrawn in place; elsewhere there is one line per epoch or per 250
  cases.

  Args:
    quiet: whether nothing is printed, as in all processes but the main one.
  """

  def __init__(self, quiet: bool = False) -> None:
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    self.console = Console(highlight=False, soft_wrap=not is_terminal, quiet=quiet)
    self._progress: Progress | None = None
    self._task: Any = None
    self._overall: OverallProgress | None = None

  def print(self, text: str) -> None:
    """Prints a message, above the progress bar if there is one.

    Control characters in it, which names of files may have, become '?'.
    """
    lines = "\n".join(map(printable, text.split("\n")))  # a sweep prints whole tables
    self.console.print(lines, markup=False)

  def begin_part(self, done: int, total: int) -> None:
    """Begins a part of a command's models, of which `done` of `total` are trained already."""
    start = None if self._overall is None else self._overall.start
    self._overall = OverallProgress(done, 0, total, start)

  @contextmanager
  def bar(self, title: str, total: int, done: int, models: int = 0) -> Iterator[None]:
    """Shows a progress bar while the block runs.

    Args:
      title: the text before the bar.
      total: number of steps.
      done: number of steps that are already done.
      models: number of models that these steps train.
    """
    overall = None if self._overall is None or not models else self._overall._replace(part=models)
    if overall is not None:
      start = overall.start or (overall.share(done / total), time.monotonic())
      self._overall = overall._replace(start=start)
    columns = [
      TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
      TimeRemainingColumn(compact=True), TextColumn("{task.fields[facts]}"),
    ]  # fmt: skip
    progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
    with progress:
      self._progress = progress
      self._task = progress.add_task(title, total=total, completed=done, facts="")
      try:
        yield
      finally:
        self._progress = None
    if overall is not None and self._overall is not None:
      self._overall = self._overall._replace(done=overall.done + models, part=0)

  def step(self, records: list[dict[str, Any]]) -> None:
    """Moves the bar to a logged step; shows losses and weights, averaged over models, and speed."""
    if self._progress is not None and records:
      facts = describe(_mean(records))
      self._progress.update(self._task, completed=records[0]["step"], facts=facts)

  def advance(self, done: int) -> None:
    """Moves the bar to a number of steps; without a terminal, prints a line every 250 steps."""
    if self._progress is None:
      return
    (task,) = self._progress.tasks
    if not self.console.is_terminal and done // 250 > int(task.completed) // 250:
      self.print(f"{task.description}: {done} of {task.total:.0f}")
    self._progress.update(self._task, completed=done)

  def epoch(self, title: str, records: list[dict[str, Any]], epochs: int) -> None:
    """Prints the line of an epoch: losses with their weights, speed, and validation scores.

    Args:
      title: the name of the group.
      records: the record of each model that is still training; means over them are shown.
      epochs: number of epochs of the whole run.
    """
    if not records:
      return
    texts = []
    for name in [name for name in records[0]["validation"] if name != "losses"]:
      scores = [record["validation"][name] for record in records]
      span = f" ({min(scores):.4f} to {max(scores):.4f})" if len(scores) > 1 else ""
      texts.append(f"{name} {sum(scores) / len(scores):.4f}{span}")
    self.print(
      f"{title}  epoch {records[0]['epoch']:>3g}/{epochs}  {describe(_mean(records))}"
      f"  validation {', '.join(texts)}"
    )
    if self._overall is not None:
      self.print(self._overall.describe(records[0]["epoch"] / epochs, time.monotonic()))

  def results(
    self, title: str, results: dict[str, Any], foreground: str, positive: str = ""
  ) -> None:
    """Prints the test metrics in tables, as mean ± standard deviation over seeds.

    Distances are in their unit, all other metrics in percent.

    Args:
      title: title of the tables.
      results: the content of `results.json`.
      foreground: name for all classes but the background.
      positive: the diagnosis that metrics of `OF_POSITIVE` are of; '': they are means over all.
    """
    metrics = results["metrics"]
    if "dice" in metrics:
      self._results_of_pixels(title, metrics, foreground)
      if len(results.get("classes", {})) > 2:
        self._results_of_each(title, "class", "images", results["classes"], OF_CLASSES)
    if "image_specificity" in metrics:
      self.print(_of_presence(metrics, foreground))
    if "box_ap" in metrics:
      values = ", ".join(f"{name} {shown(metrics[name])}" for name in BOXES)
      self.print(f"boxes, average precision in percent: {values}")
    if "classification_accuracy" in metrics:
      what = "mean of findings" if "findings" in results else "diagnosis"
      self._results_of_cases(f"{what}: {title}", metrics, positive)
    if "findings" in results:
      self._results_of_each(title, "finding", "cases", results["findings"], OF_FINDINGS)

  def _results_of_cases(self, title: str, metrics: dict[str, Any], positive: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("metric")
    table.add_column("all cases", justify="right")
    for name in OF_CASES:
      of = (f" of {positive}" if positive else ", mean") if name in OF_POSITIVE else ""
      table.add_row(f"{name.replace('_', ' ')}{of}", shown(metrics.get(name)))
    self.console.print(table)

  def _results_of_each(self, title: str, kind: str, counted: str, rows: Any, names: Any) -> None:
    table = Table(title=f"each {kind}: {title}", title_justify="left", title_style="bold")
    table.add_column(kind)
    for name in (f"{counted} with it", f"{counted} predicted", *names):
      table.add_column(name.replace("_", " "), justify="right")
    for row_name, metrics in rows.items():
      numbers = (f"{metrics[name]['mean']:g}" for name in ("num_true", "num_predicted"))
      table.add_row(row_name, *numbers, *(shown(metrics[name]) for name in names))
    self.console.print(table)

  def _results_of_pixels(self, title: str, metrics: dict[str, Any], foreground: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("metric")
    for name in (foreground, "mean of classes", f"{foreground}, pooled"):
      table.add_column(name, justify="right")
    for name in [n for n in metrics if f"{n}_pooled" in metrics and "background" not in n]:
      keys = (name, f"{name}_with_background", f"{name}_pooled")
      if name == "class_balanced_dice":  # it weighs all classes, the background included
        keys = ("", name, "")
      factor = 1.0 if name in DISTANCES else 100.0
      table.add_row(name.replace("_", " "), *(shown(metrics.get(key), factor) for key in keys))
    self.console.print(table)


def _mean(records: list[dict[str, Any]]) -> dict[str, Any]:
  """Returns the losses and weights, averaged over models, and the speed, which they share."""
  mean: dict[str, Any] = {"images_per_second": records[0]["images_per_second"]}
  for kind in ("losses", "weights"):
    values: dict[str, list[float]] = {}
    for record in records:
      for name, value in record[kind].items():
        values.setdefault(name, []).append(value)
    mean[kind] = {name: sum(several) / len(several) for name, several in values.items()}
  shares = [record["auxiliary_share"] for record in records if "auxiliary_share" in record]
  if shares:
    mean["auxiliary_share"] = sum(shares) / len(shares)
  return mean


def shown_scores(metrics: dict[str, Any]) -> str:
  """Returns the main scores of a run in percent, as text.

  Example:
    >>> shown_scores({"dice": {"mean": 0.71234, "std": None}})
    'dice 71.23 %'
  """
  titles = {"dice": "dice", "classification_accuracy": "accuracy"}
  return ", ".join(
    f"{title} {shown(metrics[name])} %" for name, title in titles.items() if name in metrics
  )


def _of_presence(metrics: dict[str, Any], foreground: str) -> str:
  found, missed, false, empty = (metrics[f"images_{name}"]["mean"] for name in OF_IMAGES)
  dice, right, clear = (shown(metrics[key]) for key in OF_PRESENCE)
  return (
    f"images with {foreground}: dice {dice} %, found {found:g} of {found + missed:g} (sensitivity"
    f" {right} %); without: empty {empty:g} of {empty + false:g} (specificity {clear} %)"
  )


def shown(entry: dict[str, Any] | None, factor: float = 100.0) -> str:
  """Returns a metric as 'mean ± standard deviation'; for one seed, as the mean alone.

  Args:
    entry: the metric's entry in `results.json`; None gives an empty text, as does NaN.
    factor: multiplier; 100 gives percent.

  Example:
    >>> shown({"mean": 0.71234, "std": None})
    '71.23'
    >>> shown({"mean": 0.71234, "std": 0.005})
    '71.23 ± 0.50'
  """
  if entry is None or not math.isfinite(entry["mean"]):
    return ""
  mean = f"{factor * entry['mean']:.2f}"
  return mean if entry["std"] is None else f"{mean} ± {factor * entry['std']:.2f}"


def describe(record: dict[str, Any]) -> str:
  """Returns the losses with their weights and the speed of a logged step, as text.

  The share of the auxiliary loss, if there is one, is that in the sum of all weights.

  Example:
    >>> describe({"losses": {"dice": 0.5}, "weights": {"dice": 0.25}, "images_per_second": 20.1})
    'dice 0.500×0.25  20 images/s'
  """
  losses = "  ".join(
    f"{name} {value:.3f}×{record['weights'][name]:.2f}" for name, value in record["losses"].items()
  )
  share = record.get("auxiliary_share")
  auxiliary = "" if share is None else f"  auxiliary {100 * share:.0f} % of the weight"
  return f"{losses}{auxiliary}  {record['images_per_second']:.0f} images/s"
