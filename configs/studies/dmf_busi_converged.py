"""Dynamic Memory Fusion on BUSI until training has converged, at the recipe's own size.

    python -m mlseg.sweep --study=configs/studies/dmf_busi_converged.py

Does adaptive weighting help when all losses have gradients? The rows are equal weights; the paper's
three statistics without an auxiliary loss; its best row, and the same with an auxiliary loss that
fades in the first half of training; what the paper names as future work, an average over the
weights and bounds of them; a Bayesian statistic that forgets; and one method of each other family.
Images of 128×128, 32 filters, 40 epochs of 14 steps, no augmentation, on splits that keep
near-duplicates together.

Adam divides a constant factor of the gradient out, and the weights of the last three rows, whose
sum would change during training, are rescaled to the sum of equal weights. So all rows take steps
of the same size. With oneDNN and `--config.model.matmul_precision=bfloat16`, a model takes about
nine minutes on one CPU core.

Reference: Golnari & Diba, arXiv 2410.19745, table 1.
"""

BEST = "variance+class_balanced_dice"  # of the paper
_FUSION = "weighting.options.dynamic_memory_fusion"
METHODS: dict[str, dict] = {
  "fixed": {"variant": "fixed"},
  "variance+none": {"variant": "variance+none"},
  "mad+none": {"variant": "mad+none"},
  "bayesian+none": {"variant": "bayesian+none"},
  BEST: {"variant": BEST},
  f"{BEST}, fading": {"variant": BEST, "auxiliary.schedule": "cosine_decay_schedule"},
  "variance+none, average": {"variant": "variance+none", "weighting.ema": 0.9},
  "variance+none, bounds": {
    "variant": "variance+none", "weighting.lower": 0.1, "weighting.upper": 0.6,
  },
  "bayesian+none, forgetting": {"variant": "bayesian+none", f"{_FUSION}.forgetting": 0.02},
  **{
    name: {"variant": "fixed", "weighting.name": name, "weighting.rescale": "sum_to_num_losses"}
    for name in ("uncertainty", "famo", "upgrad")
  },
}  # fmt: skip


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  return {
    "name": "dmf_busi_converged",
    "config": "../dmf_busi.py",
    "seeds": 3,
    "axes": {
      "method": {name: {**settings, "num_epochs": 40} for name, settings in METHODS.items()}
    },
    "reference": "fixed",
    "published": None,
  }
