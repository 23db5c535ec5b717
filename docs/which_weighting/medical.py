"""The section of `docs/which_weighting.md` on the studies of medical images, from their rows."""

import json
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from pages import LATE_DWA, SETTING, is_of_first_version, wrapped
from scipy import stats

from mlseg import files
from mlseg.metrics import format_mean_and_deviation
from mlseg.report.leader import t_interval
from mlseg.report.names import listed
from mlseg.report.tables import Table, TableCell, to_markdown

DOCS = pathlib.Path(__file__).resolve().parent.parent
FIXED = "fixed sum"
CHANCE = 0.05  # the share of 95 % intervals that leave out 0 where nothing differs

# The weightings that have a mean rank; nearly all studies have them.
_RANKED = (FIXED, "dynamic_memory_fusion", "uncertainty", "dynamic_weight_average")
Values = Mapping[str, Mapping[str, float]]  # scores in percent, by weighting and seed


class Score(NamedTuple):
  """A score of a study: a column of the table."""

  title: str
  page: str  # of the study, in `docs/`
  rows: str  # the file with the scores of its models, in `docs/`
  where: Mapping[str, str]  # the labels of its rows on the study's other axes
  metric: str
  methods: Mapping[str, str]  # what the study calls each weighting of this table
  column: str = "method"  # that has these names

  def values(self) -> Values:
    """Returns the scores of the models."""
    names = {theirs: ours for ours, theirs in self.methods.items()}
    found: dict[str, dict[str, float]] = {}
    for row in files.read_csv(DOCS / self.rows):
      if self.where.items() <= row.items() and row[self.column] in names:
        found.setdefault(names[row[self.column]], {})[row["seed"]] = 100 * float(row[self.metric])
    return found


def _called(fixed: str, start: str, **others: str) -> dict[str, str]:
  """Returns the names in a study that calls its weightings as its paper does."""
  papers = {"dynamic_memory_fusion": "DMF", "uncertainty": "uncertainty"}
  papers["dynamic_weight_average"] = "DWA"
  return {FIXED: fixed} | {ours: start + name for ours, name in (papers | others).items()}


_AS_HERE = (
  "uncertainty",
  "dynamic_weight_average",
  "softadapt",
  "coefficient_of_variation",
  "random_weighting",
  "famo",
  "gradnorm",
  "upgrad",
)
_OF_DMF = {FIXED: "fixed", "dynamic_memory_fusion": "variance+none"} | dict(
  zip(_AS_HERE, _AS_HERE, strict=True)
)
_MULTITASK = (("lesion Dice", "dice"), ("accuracy", "classification_accuracy"))
SCORES = (
  Score(
    title="losses of one mask, BUSI, lesion Dice",
    page="dmf_study",
    rows="dmf_study/rows.csv",
    where={"split": "grouped"},
    metric="dice",
    methods=_OF_DMF,
  ),
  Score(
    title="four losses, glands, object Dice",
    page="uncertainty_study",
    rows="uncertainty_study/rows.csv",
    where={"split": "published"},
    metric="object_dice",
    methods=_called("c+s+t+g, chosen", "c+s+t+g, ", upgrad="UPGrad"),
  ),
  *(
    Score(
      title=f"mask and diagnosis, {name}, {title}",
      page="multitask_study",
      rows=f"multitask_study/{name.lower()}/rows.csv",
      where={},
      metric=metric,
      methods=_called("joint, 5:1", "joint, "),
    )
    for name in ("BUSI", "LGG")
    for title, metric in _MULTITASK
  ),
  Score(
    title="response, made volumes, AUC",
    page="response_study",
    rows="response_study/rows.csv",
    where={"labels": "planted"},
    metric="roc_auc",
    methods=_called("all, equal", "all, "),
  ),
  Score(
    title="the strong recipe, BUSI, lesion Dice",
    page="strong_study",
    rows="strong_study/models.csv",
    where={},
    metric="dice",
    methods={
      FIXED: "busi/efficientnet_lite0/equal",
      "dynamic_memory_fusion": "busi/efficientnet_lite0/DMF",
      "uncertainty": "busi/efficientnet_lite0/uncertainty",
      "aligned_mtl": "busi/efficientnet_lite0/Aligned-MTL",
    },
    column="run",
  ),
)


def section() -> str:
  """Returns the section."""
  values = [score.values() for score in SCORES]
  names = list(dict.fromkeys(name for own in values for name in own if name != FIXED))
  differences = [{name: _difference(own, name) for name in own if name != FIXED} for own in values]
  ranked = [own for own in values if all(name in own for name in _RANKED)]
  ranks = dict(zip(_RANKED, _mean_ranks(ranked), strict=True))
  rows = [(FIXED, *(_mean(own) for own in values), ranks[FIXED])]
  for name in names:
    cells = (_shown(own[name]) if name in own else "" for own in differences)
    rows.append((f"`{name}`", *cells, ranks.get(name, "")))
  titles = (f"[{score.title}]({score.page}.md)" for score in SCORES)
  header = ("weighting", *titles, "mean rank")
  table = to_markdown(Table("", header, tuple(tuple(map(TableCell, row)) for row in rows)))
  return f"## On medical images\n\n{_words(differences)}\n\n{table}\n{_note(len(ranked))}\n"


def _words(differences: list[dict[str, tuple[float, float, float]]]) -> str:
  """Returns how many differences have an interval without 0."""
  ends = [found[1:] for own in differences for found in own.values()]
  half = np.median([(high - low) / 2 for low, high in ends])
  better, worse = sum(low > 0 for low, _ in ends), sum(high < 0 for _, high in ends)
  return wrapped(f"""\
    The weightings in the [studies](dmf_study.md) of this project. Of {len(ends)} differences to the
    fixed sum, the interval of {better} is above 0, and that of {worse} below 0; by chance one would
    expect {CHANCE * len(ends):.1f} on both sides together. The
    models are small and few, so that the intervals are wide, with a median of ±{half:.1f} points:
    smaller effects cannot be seen here. The pages of the studies say which of their rows had not
    converged.""")


def _note(count: int) -> str:
  """Returns how the table is read."""
  titles = [f'"{score.title}"' for score in SCORES if _is_late(score)]
  late = f"In the columns {listed(titles)}, {LATE_DWA}." if titles else ""
  return wrapped(f"""\
    First row: mean ± standard deviation over the seeds or folds, in percent. Below: the difference
    to it in points, with its 95 % interval by Student's t over the seeds or folds, which are
    paired; not corrected for the number of differences. The fixed sum is the one of the study:
    equal weights (the first and the last two columns), weights that were chosen by hand (second
    column), or the paper's ratio.
    `dynamic_memory_fusion` is that with the variance, and without an auxiliary loss. {late}
    Mean rank: by the mean score among four rows, 1 to 4, over the {count} columns that have
    all of them; with a 95 % interval by Student's t over the columns, as if they were independent,
    though the two of a data set are scores of the same models.""")


def _is_late(score: Score) -> bool:
  """Returns whether the rows of a score are of the version that decided DWA one epoch late."""
  setting = (DOCS / score.rows).with_name(SETTING)
  return setting.exists() and is_of_first_version(json.loads(setting.read_text()))


def _difference(values: Values, name: str) -> tuple[float, float, float]:
  """Returns the mean difference of a weighting to the fixed sum, and its 95 % interval."""
  ours, fixed = values[name], values[FIXED]
  found = t_interval([ours[seed] - fixed[seed] for seed in sorted(ours.keys() & fixed.keys())])
  assert found is not None, f"{name} has one seed in common with the fixed sum"
  return found


def _mean_ranks(values: list[Values]) -> list[str]:
  """Returns the mean rank of each of `_RANKED` over the studies, with its interval."""
  means = [[-np.mean(list(own[name].values())) for name in _RANKED] for own in values]
  ranks = stats.rankdata(means, axis=1)
  found = (t_interval(list(column)) for column in ranks.T)
  return [f"{one[0]:.1f} [{one[1]:.1f}, {one[2]:.1f}]" for one in found if one]


def _mean(values: Values) -> str:
  return format_mean_and_deviation(list(values[FIXED].values()))


def _shown(found: tuple[float, float, float]) -> str:
  return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*found)
