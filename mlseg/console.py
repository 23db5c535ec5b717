"""What a run says on the console: lines, one progress bar, and the table at its end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

# What is a length, not a share.
DISTANCES = ("hausdorff", "hausdorff95", "average_symmetric_surface_distance")
SCORES = ("dice", "accuracy", "auc")  # of a validation
BOXES = ("box_ap", "box_ap50", "box_ap75")  # of a detector
OF_CASES = (  # metrics of the diagnosis that are shown
  "classification_accuracy", "balanced_accuracy", "classification_f1", "roc_auc",
  "average_precision", "sensitivity_at_specificity", "expected_calibration_error", "brier",
)  # fmt: skip


class Whole(NamedTuple):
  """A larger work of several parts, in numbers of models."""

  done: int  # trained before the part at hand
  part: int
  total: int
  start: tuple[float, float] | None  # the share that was done when the first part began, and when

  def share(self, fraction: float) -> float:
    """Returns how much of all is done, with this fraction of the part."""
    return (self.done + self.part * fraction) / self.total

  def describe(self, fraction: float, now: float) -> str:
    """Returns in a line how much is done, and how long the rest takes at the speed so far.

    Example:
      >>> Whole(10, 10, 40, start=(0.25, 100.0)).describe(0.5, now=1000.0)
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
  """The console of a run.

  Args:
    quiet: say nothing, as the processes beside the main one.

  On a terminal the bar is redrawn in place; elsewhere there is one line per epoch or per 250 cases.
  """

  def __init__(self, quiet: bool = False) -> None:
    self.console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=quiet)
    self._progress: Progress | None = None
    self._task: Any = None
    self._whole: Whole | None = None

  def say(self, text: str) -> None:
    """Prints a line, above the bar if there is one."""
    self.console.print(text, markup=False)

  def begin_part(self, done: int, part: int, total: int) -> None:
    """Says that what follows is part of a larger work; its progress is shown with each epoch.

    Args:
      done: models that are trained, of all.
      part: models that are trained now.
      total: all models.
    """
    self._whole = Whole(done, part, total, None if self._whole is None else self._whole.start)

  @contextmanager
  def bar(self, title: str, total: int, done: int) -> Iterator[None]:
    """Shows a bar of `total` steps while the block runs."""
    if self._whole is not None and self._whole.start is None:
      start = self._whole.share(done / total), time.monotonic()
      self._whole = self._whole._replace(start=start)
    columns = [
      TextColumn("{task.description}"),
      BarColumn(bar_width=20),
      MofNCompleteColumn(),
      TimeRemainingColumn(compact=True),
      TextColumn("{task.fields[facts]}"),
    ]
    progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
    with progress:
      self._progress = progress
      self._task = progress.add_task(title, total=total, completed=done, facts="")
      try:
        yield
      finally:
        self._progress = None

  def step(self, records: list[dict[str, Any]]) -> None:
    """Moves the bar to a logged step and shows its losses, weights and speed: means of models."""
    if self._progress is not None and records:
      facts = describe(_mean(records))
      self._progress.update(self._task, completed=records[0]["step"], facts=facts)

  def advance(self, done: int) -> None:
    """Moves the bar; where none is drawn, prints a line at each multiple of 250."""
    if self._progress is None:
      return
    (task,) = self._progress.tasks
    if not self.console.is_terminal and done // 250 > int(task.completed) // 250:
      self.say(f"{task.description}: {done} of {task.total:.0f}")
    self._progress.update(self._task, completed=done)

  def epoch(self, title: str, records: list[dict[str, Any]], epochs: int) -> None:
    """Prints the line of an epoch: losses with their weights, speed and validation score.

    Args:
      title: what was trained.
      records: one of each model that has not stopped; means are shown.
      epochs: of the whole run.
    """
    if not records:
      return
    said = []
    for name in SCORES:
      scores = [r["validation"][name] for r in records if name in r["validation"]]
      if scores:
        span = f" ({min(scores):.4f} to {max(scores):.4f})" if len(scores) > 1 else ""
        said.append(f"{name} {sum(scores) / len(scores):.4f}{span}")
    self.say(
      f"{title}  epoch {records[0]['epoch']:>3g}/{epochs}  {describe(_mean(records))}"
      f"  validation {', '.join(said)}"
    )
    if self._whole is not None:
      self.say(self._whole.describe(records[0]["epoch"] / epochs, time.monotonic()))

  def results(self, title: str, results: dict[str, Any], foreground: str) -> None:
    """Prints the table of test metrics, mean ± standard deviation over seeds.

    Shares are in percent, distances as they are.

    Args:
      title: of the table.
      results: what `results.json` holds.
      foreground: what the classes without the background are called.
    """
    metrics = results["metrics"]
    if "dice" in metrics:
      self._results_of_pixels(title, metrics, foreground)
    if "box_ap" in metrics:
      words = ", ".join(f"{name} {shown(metrics[name])}" for name in BOXES)
      self.say(f"boxes, average precision in percent: {words}")
    if "classification_accuracy" in metrics:
      self._results_of_cases(title, metrics)

  def _results_of_cases(self, title: str, metrics: dict[str, Any]) -> None:
    table = Table(title=f"diagnosis: {title}", title_justify="left", title_style="bold")
    table.add_column("metric")
    table.add_column("all cases", justify="right")
    for name in OF_CASES:
      table.add_row(name.replace("_", " "), shown(metrics.get(name)))
    self.console.print(table)

  def _results_of_pixels(self, title: str, metrics: dict[str, Any], foreground: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("metric")
    for name in (foreground, "mean of classes", f"{foreground}, pooled"):
      table.add_column(name, justify="right")
    for name in [n for n in metrics if f"{n}_pooled" in metrics and "background" not in n]:
      keys = (name, f"{name}_with_background", f"{name}_pooled")
      if name == "class_balanced_dice":  # it weighs all classes, so it is none of the lesion's
        keys = ("", name, "")
      factor = 1.0 if name in DISTANCES else 100.0
      table.add_row(name.replace("_", " "), *(shown(metrics.get(key), factor) for key in keys))
    self.console.print(table)


def _mean(records: list[dict[str, Any]]) -> dict[str, Any]:
  """Returns the mean losses and weights of several models, by name, and their common speed."""
  mean: dict[str, Any] = {"images_per_second": records[0]["images_per_second"]}
  for kind in ("losses", "weights"):
    values: dict[str, list[float]] = {}
    for record in records:
      for name, value in record[kind].items():
        values.setdefault(name, []).append(value)
    mean[kind] = {name: sum(several) / len(several) for name, several in values.items()}
  return mean


def shown_scores(metrics: dict[str, Any]) -> str:
  """Returns the scores of a run in a few words, percent.

  Example:
    >>> shown_scores({"dice": {"mean": 0.71234, "std": None}})
    'dice 71.23 %'
  """
  names = {"dice": "dice", "classification_accuracy": "accuracy"}
  return ", ".join(
    f"{word} {shown(metrics[name])} %" for name, word in names.items() if name in metrics
  )


def shown(entry: dict[str, Any] | None, factor: float = 100.0) -> str:
  """Returns 'mean ± standard deviation', without deviation where there is one seed.

  Args:
    entry: of a metric in `results.json`, or None.
    factor: 100 for shares, which come out in percent.

  Example:
    >>> shown({"mean": 0.71234, "std": None})
    '71.23'
    >>> shown({"mean": 0.71234, "std": 0.005})
    '71.23 ± 0.50'
  """
  if entry is None:
    return ""
  mean = f"{factor * entry['mean']:.2f}"
  return mean if entry["std"] is None else f"{mean} ± {factor * entry['std']:.2f}"


def describe(record: dict[str, Any]) -> str:
  """Returns a logged step in a few words.

  Example:
    >>> describe({"losses": {"dice": 0.5}, "weights": {"dice": 0.25}, "images_per_second": 20.1})
    'dice 0.500×0.25  20 images/s'
  """
  losses = "  ".join(
    f"{name} {value:.3f}×{record['weights'][name]:.2f}" for name, value in record["losses"].items()
  )
  return f"{losses}  {record['images_per_second']:.0f} images/s"
