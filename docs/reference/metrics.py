"""Makes `docs/reference/metrics.md`: the formula, range, pitfalls and empty-mask values of metrics.

    python docs/reference/metrics.py

The values on empty masks are computed here. Those of the worked example are in `conventions.csv`,
which `benchmarks/conventions.py` writes.
"""

import csv
import inspect
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from mlseg import metrics
from mlseg.metrics import overlap, surface

FOLDER = pathlib.Path(__file__).resolve().parent
PAGE = FOLDER / "metrics.md"
CONVENTIONS = FOLDER / "conventions.csv"  # written by benchmarks/conventions.py


class Row(NamedTuple):
  """A row of the page, without the values on empty masks."""

  name: str  # of the function in `mlseg.metrics`
  formula: str
  span: str  # the range of the values
  better: str  # up or down
  pitfall: str


OVERLAP = (
  Row("dice", "2 tp / (2 tp + fp + fn)", "[0, 1]", "up",
      "averaging over the background and pooling change it most (see below); one wrong pixel costs"
      " a small region more"),
  Row("iou", "tp / (tp + fp + fn)", "[0, 1]", "up",
      "equals Dice / (2 - Dice) for one image; a mean IoU does not follow from a mean Dice"),
  Row("precision", "tp / (tp + fp)", "[0, 1]", "up",
      "predicting fewer pixels raises it; where nothing is predicted the denominator is 0"),
  Row("recall", "tp / (tp + fn)", "[0, 1]", "up", "predicting every pixel makes it 1"),
  Row("specificity", "tn / (tn + fp)", "[0, 1]", "up",
      "near 1 for every small lesion, because the background is large; depends on how the image is"
      " cropped"),
  Row("negative_predictive_value", "tn / (tn + fn)", "[0, 1]", "up", "as specificity"),
  Row("false_positive_rate", "fp / (fp + tn)", "[0, 1]", "down", "1 - specificity"),
  Row("false_negative_rate", "fn / (fn + tp)", "[0, 1]", "down", "1 - recall"),
  Row("f1", "2 P R / (P + R)", "[0, 1]", "up",
      "equals Dice for one class and image; `summarize` takes it from the precision and recall"
      " averaged over classes, which gives another number"),
  Row("accuracy", "(tp + tn) / pixels", "[0, 1]", "up",
      "predicting nothing scores the share of the background, often above 0.9"),
  Row("volumetric_similarity", "1 - |fn - fp| / (2 tp + fp + fn)", "[0, 1]", "up",
      "1 for a region of the right size at the wrong place"),
  Row("class_balanced_dice", "Σ_c w_c Dice_c, w_c ∝ 1 - N_c / N", "[0, 1]", "up",
      "the weights come from each image's mask, or from all masks where pooled; with two classes"
      " the weight of the lesion is the share of the background"),
)  # fmt: skip
SURFACE = (
  Row("hausdorff", "max(max_p d(p, T), max_t d(t, P))", "[0, ∞)", "down",
      "one stray pixel can decide it; in pixels unless `spacing` is given"),
  Row("hausdorff95", "max of the two 95th percentiles", "[0, ∞)", "down",
      "MedPy and others pool both directions before they take the percentile, which gives less"),
  Row("average_symmetric_surface_distance", "mean of all d(p, T) and d(t, P)", "[0, ∞)", "down",
      "the longer surface weighs more; the mean of the two directed means is a different number"),
  Row("normalized_surface_dice", "share of both surfaces within the tolerance", "[0, 1]", "up",
      "has no meaning without its tolerance; surfaces are counted in pixels, so a diagonal part"
      " weighs less than its length"),
)  # fmt: skip
OBJECTS = (
  Row("object_f1", "2 tp / (2 tp + fp + fn) of objects", "[0, 1]", "up",
      "an object counts as found when half of it is covered, however well; one region over two"
      " glands finds one of them at most"),
  Row("object_dice", "½ (Σ γ_i Dice(G_i, S_i) + Σ σ_j Dice(G_j, S_j))", "[0, 1]", "up",
      "large objects weigh more, because γ and σ are shares of the area"),
  Row("object_hausdorff", "the same with H for Dice", "[0, ∞)", "down",
      "an object without partner is compared with the nearest one, however far away"),
)  # fmt: skip
CLASSIFICATION = (
  Row("classification_accuracy", "right / N", "[0, 1]", "up",
      "predicting the largest class always scores the share of that class"),
  Row("balanced_accuracy", "mean over classes of recall", "[0, 1]", "up",
      "a rare class weighs as much as any other, with the noise of its few cases"),
  Row("classification_precision", "tp / (tp + fp)", "[0, 1]", "up",
      "macro and micro averages differ: the micro average is the accuracy"),
  Row("classification_recall", "tp / (tp + fn)", "[0, 1]", "up",
      "the macro average also counts classes that are only predicted; balanced accuracy does not"),
  Row("classification_f1", "2 tp / (2 tp + fp + fn)", "[0, 1]", "up",
      "the macro, micro and weighted averages and the value for class 1 are four numbers"),
  Row("roc_auc", "P(s+ > s-) + ½ P(s+ = s-)", "[0, 1]", "up",
      "depends on ranks alone, so neither on calibration nor on the share of positives"),
  Row("average_precision", "Σ_k (R_k - R_k-1) P_k", "[0, 1]", "up",
      "chance level is the share of positives, so values from different data sets do not compare;"
      " interpolated areas are larger"),
  Row("sensitivity_at_specificity", "max sensitivity with specificity ≥ s", "[0, 1]", "up",
      "the threshold is chosen on the same data that it is reported on; for a claim, choose it on"
      " validation data"),
  Row("expected_calibration_error", "Σ_b n_b / N |acc_b - conf_b|", "[0, 1]", "down",
      "depends on the number of bins; a constant prediction of the base rate scores 0"),
  Row("brier", "mean (p - y)²; Σ over classes for more than two", "[0, 1] or [0, 2]", "down",
      "for two classes, some report twice this number"),
)  # fmt: skip
HELPERS = {
  "confusion_counts", "confusion_matrix", "classification_confusion", "foreground_dice",
  "foreground_dice_per_case", "has_foreground", "is_present", "label_objects", "match_objects",
  "mean_class_balanced_dice", "mean_over_classes", "per_case", "per_case_objects",
  "per_case_surface", "pooled_class_balanced_dice", "pooled_distances", "pooled_foreground_dice",
  "pooled_objects", "predicts_foreground", "split_objects", "summarize", "summarize_classes",
  "summarize_classification", "summarize_findings", "average_findings", "summarize_objects",
  "summarize_objects_of_classes", "summarize_presence", "summarize_surface", "surface_distances",
}  # fmt: skip
STATISTICS = (
  "mean_and_deviation", "format_mean_and_deviation", "bootstrap_interval", "delong_interval",
  "delong_test", "auc_permutation_test", "wilson_interval", "paired_tests", "holm", "compare",
  "cliffs_delta", "roc_curve", "best_f1_threshold", "calibration_curve", "reliability",
  "error_detection_auc", "lesion_ious", "lesion_f1", "panoptic_quality", "delta_m",
  "pareto_front", "hypervolume", "gradient_cosines", "conflict_statistics",
)  # fmt: skip
HEAD = """# Metrics

This page is made by `python docs/reference/metrics.py`."""
CONVENTION_NOTE = """## How they are reported

A table of a run has each metric of overlap and surface under four names: `m` is the mean over the
foreground classes, then over images; `m_with_background` is the mean over all classes, then over
images; `m_pooled` and `m_with_background_pooled` come from the counts, or distances, of all images
together, so that large regions weigh more. Metrics of objects and of classification have `m` and,
where it means something, `m_pooled`. `cases.csv` has one row per case, seed and class with the
counts of pixels, from which all of these follow.

A mean over classes leaves out the classes that are neither true nor predicted: in the image, or in
all images where pooled. Their value of 1 would reward predicting nothing: with eight foreground
classes, of which an image has one, a network that predicts none would score 7/8. An image in which
no foreground class is true or predicted counts 1. `summarize(counts, absent="one")` gives the means
over all classes, and `summarize_classes` the metrics of each class. With one foreground class the
two conventions are the same.

So an image without a lesion has a Dice of 1 where nothing is predicted, and else of 0. Where a test
part has such images, a run also has `dice_where_present`, the mean over the images with a lesion
alone, and two numbers about images as wholes: `image_sensitivity`, the share of the images with a
lesion in which any pixel is predicted, and `image_specificity`, the share of those without in which
none is; `images_true_positive`, `images_false_negative`, `images_false_positive` and
`images_true_negative` are the counts behind them. See `summarize_presence`.

The column on empty masks has three values: for *nothing true and nothing predicted*, for *predicted
only* and for *true only*. They are computed from the code when this page is made. `missing` is the
diagonal of the image unless another value is given: it is the largest distance that can occur, so
that a mean stays finite and a missed lesion raises it. MONAI gives nan or infinity there and leaves
nan out of its means, so that a missed lesion may cost nothing."""
EXAMPLE_NOTE = """## How far a number moves by convention alone

The table has one set of predictions of one network on the test set of BUSI ({cases} images of
128×128, `configs/dmf_busi.py`, seed 0), in per cent, and beside it the same for a network that
predicts no lesion anywhere.

{table}

So a table that says "Dice" may mean any of these. In a mean with the background, predicting nothing
already scores near one half; in a pooled score, large lesions decide. (The two class-balanced ones
are equal because there are two classes.) `python benchmarks/conventions.py runs/NAME/cases.csv`
writes the numbers from the cases of a run."""


def render() -> str:
  """Returns the page."""
  parts = [HEAD, inspect.getdoc(metrics) or "", CONVENTION_NOTE]
  parts += ["## Overlap, of pixels", _metrics_table(OVERLAP, _overlap_values)]
  parts += ["## Surfaces, in units of spacing", _metrics_table(SURFACE, _surface_values)]
  parts += ["## Objects, as in the gland challenge", _metrics_table(OBJECTS, _object_values)]
  parts += [
    "## Classification, of cases",
    "In place of empty masks, the column *of one class* has the values where *every case is of"
    " class 0* and where *every case is of class 1*, for the probabilities 0.2, 0.4, 0.6 of class"
    " 1.",
    _metrics_table(CLASSIFICATION, _classification_values, "of one class"),
  ]
  if CONVENTIONS.exists():
    parts.append(_example())
  parts += ["## Statistics", _statistics_table()]
  return "\n\n".join(part.strip() for part in parts) + "\n"


def _overlap_values(name: str) -> str:
  """Returns the metric of a lesion that is nowhere, that is predicted only, that is true only."""
  lesions = np.array([[0, 0, 0, 10], [0, 4, 0, 6], [0, 0, 4, 6]])
  if name == "class_balanced_dice":
    rests = lesions[:, ::-1]
    values = overlap.class_balanced_dice(np.stack([rests, lesions], axis=1))
  else:
    values = getattr(overlap, name)(lesions)
  return ", ".join(_number(value) for value in values)


def _surface_values(name: str) -> str:
  masks = np.zeros([4, 4]), np.pad(np.ones([2, 2]), 1)
  marker = 1234.0
  values = []
  for prediction, mask in ((0, 0), (1, 0), (0, 1)):
    distances = surface.surface_distances(masks[prediction], masks[mask], missing=marker)
    more = (1.0,) if name == "normalized_surface_dice" else ()
    values.append(getattr(surface, name)(distances, *more))
  return ", ".join("`missing`" if value == marker else _number(value) for value in values)


def _object_values(name: str) -> str:
  masks = np.zeros([4, 4], int), np.pad(np.ones([2, 2], int), 1)
  marker = 1234.0
  values = [
    getattr(metrics, name)(metrics.match_objects(masks[prediction], masks[mask], missing=marker))
    for prediction, mask in ((0, 0), (1, 0), (0, 1))
  ]
  return ", ".join("`missing`" if value == marker else _number(value) for value in values)


def _classification_values(name: str) -> str:
  probabilities = np.array([0.2, 0.4, 0.6])
  values = [
    metrics.summarize_classification(np.full(3, label), probabilities)[name] for label in (0, 1)
  ]
  return ", ".join(_number(value) for value in values)


def _metrics_table(rows: Iterable[Row], empty: Callable[[str], str], title="on empty masks") -> str:
  header = ["metric", "formula", "range", "better", title, "pitfalls"]
  return _table(
    header,
    [
      [f"`{row.name}`", row.formula, row.span, row.better, empty(row.name), row.pitfall]
      for row in rows
    ],
  )


def _example() -> str:
  with CONVENTIONS.open(newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
  table = _table(
    ["convention", "this network", "predicting nothing"],
    [[row["convention"], row["percent"], row["percent_of_nothing"]] for row in rows],
  )
  return EXAMPLE_NOTE.format(cases=rows[0]["cases"], table=table)


def _statistics_table() -> str:
  rows = []
  for name in STATISTICS:
    first = (inspect.getdoc(getattr(metrics, name)) or "").partition("\n")[0]
    rows.append([f"`{name}`", first])
  return _table(["function", "what it does"], rows)


def _table(header: list[str], rows: list[list[str]]) -> str:
  lines = [header, ["---"] * len(header), *rows]
  return "\n".join(
    "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
  )


def _number(value: float) -> str:
  return f"{value:.3g}"


if __name__ == "__main__":
  PAGE.write_text(render(), encoding="utf-8")
