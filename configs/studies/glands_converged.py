"""Table 1 of BenTaieb & Hamarneh on Warwick-QU, trained until it has converged.

    python -m mlseg.sweep --study=configs/studies/glands_converged.py --config.data.root=DIR

The methods are the eleven rows of the table, on the published division, at half of the
magnification in patches of 128×128, with networks of 16 filters. An epoch has one patch of every
image. The learning rate is ten times that of the recipe, whose training is twice as long. The
weights of every row are rescaled to a sum of one, so that all rows take steps of the same size;
variances are learned at the network's rate, as in the paper. A model takes five minutes on one CPU
core. The results are in `docs/uncertainty_study.md`.
"""

import pathlib
import runpy

SMALLER: dict = {
  "data.glas.reduction": 2, "data.patch_size": 128, "data.patch_overlap": 0.25, "batch_size": 5,
  "metrics.object_size": 50, "augmentation.elastic": 2.0, "augmentation.elastic_sigma": 8.0,
  "model.filters": 16, "num_epochs": 100, "optimizer.learning_rate": 0.1,
  "weighting.options.uncertainty.learning_rate": 0.1, "weighting.rescale": "sum_to_one",
}  # fmt: skip


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  labels = runpy.run_path(str(pathlib.Path(__file__).with_name("glands.py")))["LABELS"]
  return {
    "name": "glands_converged",
    "config": "../glands.py",
    "seeds": 3,
    "axes": {
      "method": {label: SMALLER | {"variant": variant} for label, variant in labels.items()}
    },
    "reference": "c+s+t+g, chosen",
    "published": ("glands_published.json", "glas"),
  }
