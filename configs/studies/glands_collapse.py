"""Why four losses with learned uncertainty predict gland everywhere, on Warwick-QU.

    python -m mlseg.sweep --study=configs/studies/glands_collapse.py --config.data.root=DIR

The row of the paper's table 1 with all four losses and learned variances has an object Dice of 87
there, and of 27 in `docs/uncertainty_study.md`, where its models predict gland everywhere. Here its
recipe is changed one thing at a time, from the faults of version 0.1.0 (Nesterov's momentum where
the paper has plain steps; a segmentation loss that was a mean over the labels, not their sum) to
longer trainings, twice the magnification, weights of a constant sum, weights of which none is more
than half of that sum, Adam, variances that are learned at a tenth of the rate, and no geometry. The
paper's equal and chosen weights are beside it. Images are at a quarter of the magnification, in
patches of 64×64, and networks have 16 filters, where a model takes a minute or two on one CPU core
for 50 epochs.

Reference: BenTaieb & Hamarneh 2017, table 1.
"""

SMALL: dict = {
  "data.glas.reduction": 4, "data.patch_size": 64, "data.patch_overlap": 0.25, "batch_size": 5,
  "metrics.object_size": 12, "augmentation.elastic": 1.0, "augmentation.elastic_sigma": 4.0,
  "model.filters": 16, "num_epochs": 50,
}  # fmt: skip
MOMENTUM = {"optimizer.momentum": 0.9, "optimizer.nesterov": True}
MEAN = {"loss_options.binary_cross_entropy.label_reduction": "mean"}
LONG = {"num_epochs": 200}
TWICE = {
  "data.glas.reduction": 2, "data.patch_size": 128, "metrics.object_size": 50,
  "augmentation.elastic": 2.0, "augmentation.elastic_sigma": 8.0,
}  # fmt: skip
ADAM = {
  "optimizer.name": "adam", "optimizer.learning_rate": 1e-3,
  "weighting.options.uncertainty.learning_rate": 1e-3,
}  # fmt: skip
SLOW = {"weighting.options.uncertainty.learning_rate": 1e-3}
CONSTANT = {"weighting.rescale": "sum_to_one"}
HALF = CONSTANT | {"weighting.upper": 0.5}  # of the sum
CHANGES: dict[str, dict] = {
  "version 0.1.0": MOMENTUM | MEAN,
  "without momentum": MEAN,
  "segmentation as a sum": MOMENTUM,
  "recipe": {},
  "recipe, 200 epochs": LONG,
  "recipe, 200 epochs, momentum": LONG | MOMENTUM,
  "recipe, 200 epochs, sum of one": LONG | CONSTANT,
  "recipe, 200 epochs, at most half": LONG | HALF,
  "recipe, 200 epochs, Adam": LONG | ADAM,
  "recipe, 200 epochs, slow variances": LONG | SLOW,
  "recipe, 200 epochs, no geometry": LONG | {"variant": "uncertainty_c+s+t"},
  "equal weights, 200 epochs": LONG | {"variant": "c+s+t+g"},
  "chosen weights, 200 epochs": LONG | {"variant": "chosen"},
  "recipe, 200 epochs, twice the magnification": LONG | TWICE,
}


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  start = SMALL | {"variant": "uncertainty_c+s+t+g"}
  return {
    "name": "glands_collapse",
    "config": "../glands.py",
    "seeds": 3,
    "axes": {"change": {name: start | change for name, change in CHANGES.items()}},
    "reference": "recipe",
  }
